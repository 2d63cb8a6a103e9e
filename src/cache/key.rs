//! What is a cached value found by, and what groups does it belong to?
//!
//! An id is opaque: `*` in it is a star, `:` a colon. A tag is compared as a whole, so what is said of floor `1` never
//! touches floor `10`.

use std::fmt;
use std::sync::Arc;

use crate::id::{BuildingId, ResourceId, RoomId};

use super::strategy::StrategyId;

/// The longest id of an entry, in bytes of UTF-8: the longest id of a floor and what may stand around it.
pub const ENTRY_ID_BYTES_MAX: usize = 512;

/// How many tags an entry may have.
pub const TAGS_MAX: usize = 8;

/// Why a text is not an entry's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadKey {
    /// The text is empty.
    Empty,
    /// The text has this many bytes, more than [`ENTRY_ID_BYTES_MAX`].
    TooLong(usize),
    /// The text holds this control character.
    Control(char),
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadKey::Empty => write!(f, "the id of a cache entry must not be empty"),
            BadKey::TooLong(n) => {
                write!(f, "the id of a cache entry has at most {ENTRY_ID_BYTES_MAX} bytes, this one has {n}")
            }
            BadKey::Control(c) => {
                write!(f, "the id of a cache entry must not hold the control character U+{:04X}", *c as u32)
            }
        }
    }
}

impl std::error::Error for BadKey {}

/// An entry's id within its strategy. It has been checked: 1 to [`ENTRY_ID_BYTES_MAX`] bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(Arc<str>);

impl EntryId {
    /// Checks `text` and takes a copy of it.
    pub fn new(text: &str) -> Result<EntryId, BadKey> {
        match text.len() {
            0 => Err(BadKey::Empty),
            n if n > ENTRY_ID_BYTES_MAX => Err(BadKey::TooLong(n)),
            _ => match text.chars().find(|c| c.is_control()) {
                Some(control) => Err(BadKey::Control(control)),
                None => Ok(EntryId(text.into())),
            },
        }
    }

    /// The id of what a strategy keeps for a whole floor: `floor:F`.
    pub fn of_floor(floor: &RoomId) -> EntryId {
        EntryId(format!("floor:{}", floor.as_str()).into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A cached value's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What kind of value.
    pub strategy: StrategyId,
    /// Which one.
    pub id: EntryId,
}

/// A group of entries that become invalid together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Everything about a floor.
    pub fn floor(floor: &RoomId) -> Tag {
        Tag(format!("floor:{}", floor.as_str()).into())
    }

    /// Everything about a building.
    pub fn building(building: &BuildingId) -> Tag {
        Tag(format!("building:{}", building.as_str()).into())
    }

    /// Everything about a single thing.
    pub fn resource(resource: &ResourceId) -> Tag {
        Tag(format!("resource:{}", resource.as_str()).into())
    }

    /// A tag of a group of the cache's own making.
    pub(super) fn prefixed(prefix: &str, text: &str) -> Tag {
        Tag(format!("{prefix}{text}").into())
    }

    /// A tag as another node or a client names it: a text as [`EntryId`] would take it.
    pub fn named(text: &str) -> Result<Tag, BadKey> {
        EntryId::new(text).map(|EntryId(text)| Tag(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_anything_that_can_be_shown() {
        for good in ["floor:1", "*", "a b", "/usa/ny:1?x=[2]", "Ünï", &"x".repeat(ENTRY_ID_BYTES_MAX)] {
            assert_eq!(EntryId::new(good).unwrap().as_str(), good);
        }
        assert_eq!(EntryId::new(""), Err(BadKey::Empty));
        assert_eq!(EntryId::new("a\nb"), Err(BadKey::Control('\n')));
        assert_eq!(EntryId::new(&"x".repeat(513)), Err(BadKey::TooLong(513)));
    }
}
