//! What is asked of the cache, and what it answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::cache::place::Placed;
use arxosrt_core::id::UserId;
use bytes::Bytes;

use super::etag::Etag;
use crate::origin::fetch::FetchError;

/// Who asks, and for how long he waits.
#[derive(Clone, Debug)]
pub struct Want {
    /// The person, as far as that is known: the preloader learns from it.
    pub user: Option<UserId>,
    /// For how long he waits.
    pub patience: Duration,
}

/// A value as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The value.
    pub bytes: Bytes,
    /// Its version.
    pub etag: Etag,
    /// How long ago it was loaded or put.
    pub age_ms: u64,
    /// How long it may be served yet.
    pub left_ms: u64,
    /// Where it comes from.
    pub from: ServedFrom,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedFrom {
    /// This process.
    Local,
    /// The tier that nodes share.
    Shared,
    /// The origin.
    Origin,
    /// This process, after its time, because the origin fails.
    Stale,
}

impl ServedFrom {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ServedFrom::Local => "local",
            ServedFrom::Shared => "shared",
            ServedFrom::Origin => "origin",
            ServedFrom::Stale => "stale",
        }
    }
}

/// When a value may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteIf {
    /// In any case.
    Always,
    /// If the present version is in this list of tags.
    Matches(String),
    /// If there is none.
    Absent,
}

/// A value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its version.
    pub etag: Etag,
    /// The origin has it too.
    pub is_in_origin: bool,
}

/// Why there is no value, or none was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheError {
    /// There is none.
    NotThere,
    /// Values of this strategy live in the shared tier only, and that cannot be reached.
    NoSharedTier(Box<str>),
    /// So many loads are under way.
    Busy(usize),
    /// Whoever asked has waited for so long; the load goes on.
    Timeout(Duration),
    /// The load broke off, twice.
    BrokeOff,
    /// The origin has no answer.
    Origin(FetchError),
    /// The version that is there, if any, is not one that the writer names.
    Changed(Option<Etag>),
    /// So many bytes are more than one value may have.
    TooLarge(usize, usize),
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CacheError::NotThere => write!(f, "there is no such value"),
            CacheError::NoSharedTier(strategy) => {
                write!(f, "values of {strategy} are kept in the shared cache only, which cannot be reached")
            }
            CacheError::Busy(max) => write!(f, "{max} loads are under way"),
            CacheError::Timeout(after) => write!(f, "the value was not there within {} ms", after.as_millis()),
            CacheError::BrokeOff => write!(f, "the load broke off"),
            CacheError::Origin(error) => error.fmt(f),
            CacheError::Changed(Some(etag)) => write!(f, "the value is at version {etag}"),
            CacheError::Changed(None) => write!(f, "there is no value yet"),
            CacheError::TooLarge(bytes, max) => {
                write!(f, "a value of {bytes} bytes cannot be kept, the most is {max} bytes")
            }
        }
    }
}

impl std::error::Error for CacheError {}

/// A value as the local tier holds it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub bytes: Bytes,
    pub etag: Etag,
    /// The origin's own name of this version.
    pub validator: Option<Arc<str>>,
    pub placed: Arc<Placed>,
    /// A client has set it, whatever the origin says.
    pub is_put: bool,
}

impl Held {
    pub fn new(bytes: Bytes, validator: Option<Arc<str>>, placed: Arc<Placed>) -> Held {
        Held { etag: Etag::of(&bytes), bytes, validator, placed, is_put: false }
    }

    pub fn served(&self, age_ms: u64, left_ms: u64, from: ServedFrom) -> Value {
        Value { bytes: self.bytes.clone(), etag: self.etag, age_ms, left_ms, from }
    }
}
