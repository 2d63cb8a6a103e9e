//! Where in Redis is what? Names of keys and of the channel.
//!
//! `PREFIX:{HOME}:v:STRATEGY:ID` is a value, `PREFIX:{HOME}:g:TAG` a tag's generation there. What stands in braces is all
//! that a cluster chooses a slot by, so a value and its generations are in one slot and one round trip reads them all.
//! Every part is escaped: no id and no tag can leave its place in the name, close the braces, or be taken for a pattern.

use std::fmt::Write as _;
use std::sync::Arc;

use arxosrt_core::cache::{EntryId, StrategyId, Tag};
use smallvec::SmallVec;

/// The tags of an entry, few and mostly held in place.
pub type Tags = SmallVec<[Tag; 4]>;

/// Where a value belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// What it is kept together with: a building, mostly. All that is said of a tag is said per home.
    pub home: Arc<str>,
    /// What kind of value.
    pub strategy: StrategyId,
    /// Which one.
    pub id: EntryId,
    /// What makes it invalid.
    pub tags: Tags,
}

/// The names under one prefix.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: Box<str>,
}

impl Names {
    /// The names under `prefix`, which has been checked to need no escaping.
    pub fn new(prefix: &str) -> Names {
        Names { prefix: prefix.into() }
    }

    /// The key of a value.
    pub fn value(&self, home: &str, strategy: &str, id: &EntryId) -> String {
        let mut key = self.in_home(home, 'v');
        push_escaped(&mut key, strategy);
        key.push(':');
        push_escaped(&mut key, id.as_str());
        key
    }

    /// The key of a tag's generation.
    pub fn generation(&self, home: &str, tag: &Tag) -> String {
        let mut key = self.in_home(home, 'g');
        push_escaped(&mut key, tag.as_str());
        key
    }

    /// The key of the epochs, a hash. Its slot is like any other's.
    pub fn epochs(&self) -> String {
        format!("{}:epochs", self.prefix)
    }

    /// The channel of the bus.
    pub fn channel(&self) -> String {
        format!("{}:bus", self.prefix)
    }

    fn in_home(&self, home: &str, kind: char) -> String {
        let mut key = String::with_capacity(self.prefix.len() + home.len() + 64);
        key.push_str(&self.prefix);
        key.push_str(":{");
        // With nothing inside, the braces would mean nothing and a value's keys would lie in different slots.
        if home.is_empty() {
            key.push('-');
        }
        push_escaped(&mut key, home);
        key.push_str("}:");
        key.push(kind);
        key.push(':');
        key
    }
}

/// Everything but letters, digits and `-_./~` becomes `%XX`.
fn push_escaped(key: &mut String, part: &str) {
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' | b'~' => key.push(char::from(byte)),
            _ => write!(key, "%{byte:02X}").expect("writing to a string does not fail"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_its_place() {
        let names = Names::new("arx");
        let id = |text: &str| EntryId::new(text).unwrap();
        assert_eq!(names.value("b1", "floor_data", &id("floor:1")), "arx:{b1}:v:floor_data:floor%3A1");
        assert_eq!(names.value("a}:{b", "s", &id("*?[x]\\")), "arx:{a%7D%3A%7Bb}:v:s:%2A%3F%5Bx%5D%5C");
        assert_eq!(names.value("", "s", &id("é%")), "arx:{-}:v:s:%C3%A9%25");
        assert_eq!(names.generation("b", &Tag::named("floor:1").unwrap()), "arx:{b}:g:floor%3A1");
        for odd in ["a:b", "a%3Ab", "a}b", "a{b", "a*b", "a b"] {
            let key = names.value(odd, "s", &id(odd));
            assert_eq!(key.matches(['{', '}']).count(), 2, "{key}");
            assert_eq!(key.matches(':').count(), 4, "{key}");
            assert!(!key.contains(['*', '?', '[', ']', ' ']), "{key}");
        }
        let keys: std::collections::BTreeSet<_> =
            ["a:b", "a%3Ab", "a%b", "ab"].iter().map(|odd| names.value("h", "s", &id(odd))).collect();
        assert_eq!(keys.len(), 4, "different ids have different keys");
    }
}
