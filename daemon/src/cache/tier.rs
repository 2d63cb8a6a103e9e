//! What does the cache want from a tier that several nodes share?
//!
//! Values that others have loaded, and that what one node says is invalid is invalid for all. Such a tier is never
//! waited for longer than it promises: what is not up answers [`Read::Down`] at once, and invalidations are handed over
//! without waiting and are made up for when it is back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arxosrt_core::cache::{EntryId, StrategyId, Tag};
use arxosrt_core::time::Wall;
use bytes::Bytes;
use smallvec::SmallVec;

/// An answer that is on its way.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where a value is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// What it is kept beside.
    pub home: Arc<str>,
    /// What kind of value.
    pub strategy: StrategyId,
    /// Which one.
    pub id: EntryId,
    /// What it becomes invalid with.
    pub tags: SmallVec<[Tag; 4]>,
}

/// A value with what must be known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredValue {
    /// The value as it is served.
    pub bytes: Bytes,
    /// The origin's name of this version.
    pub etag: Option<Box<str>>,
    /// When it was loaded, by the clock of whoever loaded it.
    pub created: Wall,
    /// For how long after that it is served.
    pub ttl_ms: u64,
    /// For how long after that it is served when the origin is out of reach.
    pub hard_ms: u64,
    /// The value is that there is none.
    pub negative: bool,
    /// What loading it took.
    pub load_cost_us: u64,
}

/// What the tier has.
pub enum Read {
    /// This value.
    Hit(StoredValue),
    /// None; what is loaded now may be put there.
    Miss(Box<dyn Fill>),
    /// It cannot be asked.
    Down,
}

/// The place of a value that was not there, as it was when that was seen.
pub trait Fill: Send {
    /// Puts a value there that was loaded since, unless something has become invalid meanwhile.
    fn put(self: Box<Self>, value: StoredValue) -> Later<Stored>;
}

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there.
    Installed,
    /// Something became invalid since: the value may be older than that.
    Outdated,
    /// The tier cannot be reached.
    Down,
}

/// Something that is no longer what was cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// One value.
    Key(At),
    /// All that have a tag, in one home.
    Tag {
        /// Where they are kept.
        home: Arc<str>,
        /// The tag.
        tag: Tag,
    },
    /// All of a strategy, wherever they are kept.
    Strategy(StrategyId),
    /// All.
    All,
}

/// A tier that several nodes share.
pub trait SharedTier: Send + Sync + 'static {
    /// It answers.
    fn is_up(&self) -> bool;

    /// What is there.
    fn read(&self, at: At) -> Later<Read>;

    /// Puts a value there in the place of whatever there is.
    fn write(&self, at: At, value: StoredValue) -> Later<Stored>;

    /// Takes a value away, for all nodes. `false`: the tier cannot be reached, and it is made up for.
    fn remove(&self, at: At) -> Later<bool>;

    /// Makes values invalid for all nodes. Never waits.
    fn invalidate(&self, changes: Vec<Change>);
}
