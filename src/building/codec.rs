//! How events become bytes of the log and come back.
//!
//! A version byte, then the batch in postcard. What was written by an older release stays readable because variants
//! and fields are only appended (see [`super::event`]). Whatever the bytes are, reading them never panics: they give
//! events or [`Corrupt`].

use std::fmt;

use super::event::Event;
pub use super::stored::Reader;

/// The first byte of a batch.
const VERSION: u8 = 2;

/// Stored bytes that no release could have written, or that a newer one has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// There are no bytes.
    Empty,
    /// The version byte is of a format that this release cannot read.
    Version(u8),
    /// The bytes do not decode.
    Malformed(&'static str),
    /// So many bytes are left over after the end.
    Trailing(usize),
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Corrupt::Empty => write!(f, "no bytes where a version byte was expected"),
            Corrupt::Version(v) => write!(f, "format version {v} is not readable, this release reads {VERSION}"),
            Corrupt::Malformed(what) => write!(f, "malformed {what}"),
            Corrupt::Trailing(n) => write!(f, "{n} bytes follow the end"),
        }
    }
}

impl std::error::Error for Corrupt {}

/// The bytes of a batch of events.
pub fn encode_events(events: &[Event]) -> Vec<u8> {
    encode(events, "events")
}

/// The events of one batch. For all batches of a log there is [`Reader`].
pub fn decode_events(bytes: &[u8]) -> Result<Vec<Event>, Corrupt> {
    Reader::default().events(bytes)
}

/// A value behind the version byte.
pub(super) fn encode<T: serde::Serialize + ?Sized>(value: &T, what: &'static str) -> Vec<u8> {
    let bytes = vec![VERSION];
    match postcard::to_extend(value, bytes) {
        Ok(bytes) => bytes,
        Err(error) => unreachable!("a growing buffer takes any {what}: {error}"),
    }
}

/// The value behind the version byte, if it is all that there is.
pub(super) fn decode<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8], what: &'static str) -> Result<T, Corrupt> {
    let (&version, body) = bytes.split_first().ok_or(Corrupt::Empty)?;
    if version != VERSION {
        return Err(Corrupt::Version(version));
    }
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(Corrupt::Trailing(rest.len())),
        Err(_) => Err(Corrupt::Malformed(what)),
    }
}
