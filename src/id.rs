//! Which names does the outside give to things, and which of them are acceptable?
//!
//! Ids are opaque text: `floor_123`, `/usa/ny/ps-118/floor-02`, `did:key:z6Mk…`. Nothing here ever reads meaning into
//! one, and nothing downstream may interpret one as a path, a glob or markup. An id that exists has been checked:
//! 1 to [`ID_BYTES_MAX`] bytes of UTF-8 without control characters.
//!
//! An id is looked up many times for each time that it is read, so it carries the hash of its text. Hashes differ from
//! process to process: nobody outside can choose ids that collide, and nothing may depend on their order.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use foldhash::quality::RandomState;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::{Serialize, Serializer};

/// The longest id, in bytes of UTF-8.
pub const ID_BYTES_MAX: usize = 256;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadId {
    /// The text is empty.
    Empty,
    /// The text has this many bytes, more than [`ID_BYTES_MAX`].
    TooLong(usize),
    /// The text holds this control character.
    Control(char),
}

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadId::Empty => write!(f, "an id must not be empty"),
            BadId::TooLong(n) => write!(f, "an id has at most {ID_BYTES_MAX} bytes, this one has {n}"),
            BadId::Control(c) => write!(f, "an id must not hold the control character U+{:04X}", *c as u32),
        }
    }
}

impl std::error::Error for BadId {}

fn check(text: &str) -> Result<(), BadId> {
    if text.is_empty() {
        return Err(BadId::Empty);
    }
    if text.len() > ID_BYTES_MAX {
        return Err(BadId::TooLong(text.len()));
    }
    // Nearly all ids are ASCII, where one look at each byte is enough.
    if text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_control()) {
        return Ok(());
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(BadId::Control(c)),
        None => Ok(()),
    }
}

/// A map by id, which takes the hash that the id carries.
pub(crate) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<Carried>>;

/// Gives the hash of one id back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Carried(u64);

impl Hasher for Carried {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Keys that are no ids are not meant to come here, but must not fall together either.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0.rotate_left(8) ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// An id of any kind.
pub(crate) trait Id {
    /// The id that this text is. It has been checked, and this is its hash.
    fn of(text: Arc<str>, hash: u64) -> Self;
}

/// The texts that were read lately, each once, with its hash.
#[derive(Debug, Default)]
pub(crate) struct Texts(Vec<Option<(Arc<str>, u64)>>);

impl Texts {
    /// So many are remembered; a newer one takes the place of an older one of its slot.
    const SLOTS: usize = 1024;

    /// The id that `text` is, sharing the copy that was made lately.
    pub(crate) fn id<I: Id>(&mut self, text: &str) -> Result<I, BadId> {
        check(text)?;
        let (text, hash) = self.recall(text);
        Ok(I::of(text, hash))
    }

    /// The one copy of `text`, as far as it is remembered.
    pub(crate) fn recall(&mut self, text: &str) -> (Arc<str>, u64) {
        if self.0.is_empty() {
            self.0.resize(Self::SLOTS, None);
        }
        let hash = hash(text);
        let slot = &mut self.0[hash as usize % Self::SLOTS];
        match slot {
            Some((there, its_hash)) if *its_hash == hash && **there == *text => (there.clone(), hash),
            _ => slot.insert((Arc::from(text), hash)).clone(),
        }
    }
}

fn hash(text: &str) -> u64 {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::default);
    SEED.hash_one(text)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name {
            text: Arc<str>,
            hash: u64,
        }

        impl $name {
            /// Checks `text` and takes a copy of it.
            pub fn new(text: &str) -> Result<Self, BadId> {
                check(text)?;
                Ok(Self { text: Arc::from(text), hash: hash(text) })
            }

            /// The id as it was given.
            pub fn as_str(&self) -> &str {
                &self.text
            }
        }

        impl Id for $name {
            fn of(text: Arc<str>, hash: u64) -> Self {
                Self { text, hash }
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                // Equal ids mostly are one text.
                Arc::ptr_eq(&self.text, &other.text) || (self.hash == other.hash && self.text == other.text)
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.text.cmp(&other.text)
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write_u64(self.hash);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.text, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "an id of 1 to {ID_BYTES_MAX} bytes")
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }
                d.deserialize_str(Text).map_err(D::Error::custom)
            }
        }
    )+};
}

ids! {
    /// A person (or a program that acts for one).
    UserId,
    /// A room: a floor, a building, or whatever else clients gather in.
    RoomId,
    /// A building: the unit of order. A room of no known building is a building of its own, under the room's id.
    BuildingId,
    /// What can be locked: a floor, an object, a route.
    ResourceId,
    /// One connection's identity, which may outlive its socket.
    SessionId,
}

impl RoomId {
    /// The room of a floor or a building, which can be locked under the same name.
    pub fn of_resource(resource: &ResourceId) -> Self {
        Self { text: resource.text.clone(), hash: resource.hash }
    }
}

impl BuildingId {
    /// The building of a room that belongs to no known building.
    pub fn of_lone_room(room: &RoomId) -> Self {
        Self { text: room.text.clone(), hash: room.hash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_opaque_but_bounded() {
        for good in ["42", "a/b", "100%", "*", "🏢", "did:key:z6Mk", "a b"] {
            assert_eq!(RoomId::new(good).map(|id| id.to_string()), Ok(good.to_owned()));
        }
        assert_eq!(RoomId::new(""), Err(BadId::Empty));
        assert_eq!(RoomId::new("a\0b"), Err(BadId::Control('\0')));
        assert_eq!(RoomId::new(&"x".repeat(257)), Err(BadId::TooLong(257)));
        assert!(serde_json::from_str::<RoomId>("\"\"").is_err());
    }
}
