//! How important is each item? Said by some bits of a key that is a number, or by what stands before its colon.

use std::fmt;

use super::trace::{Item, Name};

/// How important an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Whatever is not named.
    Low,
    /// More.
    Medium,
    /// Most.
    High,
}

impl Class {
    /// From the least to the most.
    pub const ALL: [Class; 3] = [Class::Low, Class::Medium, Class::High];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Low => "low",
            Class::Medium => "medium",
            Class::High => "high",
        }
    }
}

/// How classes are told apart. Written as `bits:27-31;high=1,4;medium=2` or `prefix;high=floor,grid;medium=object`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// Which bits of a number are looked at, the first and the last; otherwise the text before the first colon.
    bits: Option<(u32, u32)>,
    high: Vec<Box<str>>,
    medium: Vec<Box<str>>,
}

/// Why a text says no classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadClasses(Box<str>);

impl fmt::Display for BadClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither `bits:FIRST-LAST`, `prefix`, `high=NAME,…` nor `medium=NAME,…`", self.0)
    }
}

impl std::error::Error for BadClasses {}

impl Classes {
    /// Reads what was written.
    pub fn parse(text: &str) -> Result<Classes, BadClasses> {
        let bad = |part: &str| BadClasses(part.into());
        let (how, lists) = text.split_once(';').unwrap_or((text, ""));
        let bits = match how.strip_prefix("bits:") {
            Some(range) => Some(bits(range).ok_or_else(|| bad(how))?),
            None if how == "prefix" => None,
            None => return Err(bad(how)),
        };
        let mut classes = Classes { bits, high: Vec::new(), medium: Vec::new() };
        for list in lists.split(';').filter(|list| !list.is_empty()) {
            let (class, names) = list.split_once('=').ok_or_else(|| bad(list))?;
            let names = names.split(',').map(Box::from);
            match class {
                "high" => classes.high.extend(names),
                "medium" => classes.medium.extend(names),
                _ => return Err(bad(list)),
            }
        }
        Ok(classes)
    }

    /// The class of an item.
    pub fn of(&self, item: &Item) -> Class {
        let group = match (self.bits, &item.key) {
            (Some((first, last)), Name::Number(number)) => {
                (number >> first & (u64::MAX >> (63 - (last - first)))).to_string()
            }
            (None, key) => key.to_string().split(':').next().unwrap_or_default().to_owned(),
            (Some(_), Name::Text(_)) => return Class::Low,
        };
        let is_in = |names: &[Box<str>]| names.iter().any(|name| **name == *group);
        match (is_in(&self.high), is_in(&self.medium)) {
            (true, _) => Class::High,
            (_, true) => Class::Medium,
            _ => Class::Low,
        }
    }
}

fn bits(range: &str) -> Option<(u32, u32)> {
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < 64).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: Name) -> Item {
        Item { key, weight: 1 }
    }

    #[test]
    fn classes_follow_bits_or_what_stands_before_the_colon() {
        let bits = Classes::parse("bits:27-31;high=1,4;medium=2").unwrap();
        for (number, class) in [(1 << 27 | 77, Class::High), (4 << 27, Class::High), (2 << 27, Class::Medium)] {
            assert_eq!(bits.of(&item(Name::Number(number))), class);
        }
        assert_eq!(bits.of(&item(Name::Number(1 << 32 | 2))), Class::Low);
        assert_eq!(bits.of(&item(Name::Text("1".into()))), Class::Low);
        let prefix = Classes::parse("prefix;high=floor;medium=object,route").unwrap();
        for (text, class) in [("floor:1", Class::High), ("route:x:y", Class::Medium), ("floors:1", Class::Low)] {
            assert_eq!(prefix.of(&item(Name::Text(text.into()))), class);
        }
        for bad in ["", "bits", "bits:5-4", "bits:0-64", "prefix;top=a", "prefix;high"] {
            assert!(Classes::parse(bad).is_err(), "{bad}");
        }
    }
}
