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

/// How classes are told apart. Written as `bits:27-31;high=1,4;medium=2`, as `bits:27-31%3;high=2;medium=1` where the
/// remainder of those bits counts, or as `prefix;high=floor,grid;medium=object`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// What of a number is looked at; otherwise it is the text before the first colon.
    bits: Option<Bits>,
    high: Vec<Box<str>>,
    medium: Vec<Box<str>>,
}

/// Some bits of a number, the first and the last, or what these are modulo another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits {
    first: u32,
    last: u32,
    modulo: Option<u64>,
}

/// Why a text says no classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadClasses(Box<str>);

impl fmt::Display for BadClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is neither `bits:FIRST-LAST`, `bits:FIRST-LAST%N`, `prefix`, `high=NAME,…` nor `medium=NAME,…`",
            self.0
        )
    }
}

impl std::error::Error for BadClasses {}

impl Classes {
    /// Reads what was written.
    pub fn parse(text: &str) -> Result<Classes, BadClasses> {
        let bad = |part: &str| BadClasses(part.into());
        let (how, lists) = text.split_once(';').unwrap_or((text, ""));
        let bits = match how.strip_prefix("bits:") {
            Some(text) => Some(Bits::parse(text).ok_or_else(|| bad(how))?),
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
            (Some(bits), Name::Number(number)) => bits.of(*number).to_string(),
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

impl Bits {
    fn parse(text: &str) -> Option<Bits> {
        let (range, modulo) = match text.split_once('%') {
            Some((range, modulo)) => (range, Some(modulo.parse().ok().filter(|modulo| *modulo > 0)?)),
            None => (text, None),
        };
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last < 64).then_some(Bits { first, last, modulo })
    }

    fn of(self, number: u64) -> u64 {
        let bits = number >> self.first & (u64::MAX >> (63 - (self.last - self.first)));
        self.modulo.map_or(bits, |modulo| bits % modulo)
    }
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
        let modulo = Classes::parse("bits:27-31%3;high=2;medium=1").unwrap();
        for (number, class) in [(17 << 27, Class::High), (7 << 27, Class::Medium), (9 << 27, Class::Low)] {
            assert_eq!(modulo.of(&item(Name::Number(number))), class);
        }
        let prefix = Classes::parse("prefix;high=floor;medium=object,route").unwrap();
        for (text, class) in [("floor:1", Class::High), ("route:x:y", Class::Medium), ("floors:1", Class::Low)] {
            assert_eq!(prefix.of(&item(Name::Text(text.into()))), class);
        }
        for bad in ["", "bits", "bits:5-4", "bits:0-64", "bits:0-4%0", "prefix;top=a", "prefix;high"] {
            assert!(Classes::parse(bad).is_err(), "{bad}");
        }
    }
}
