//! What does the cache want from a tier that several nodes share?
//!
//! Values that others have loaded, and that what one node says is invalid is invalid for all. Such a tier is never
//! waited for longer than it promises: what is not up answers [`Read::Down`] at once, and invalidations are handed over
//! without waiting and are made up for when it is back.

use std::future::Future;
use std::pin::Pin;

use arxosrt_core::time::Wall;

pub use super::shared::{At, Change, StoredValue, Tags};

/// An answer that is on its way.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

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

/// A tier that several nodes share.
pub trait SharedTier: Send + Sync + 'static {
    /// It answers.
    fn is_up(&self) -> bool;

    /// Since when it does not, by the clock on the wall.
    fn down_since(&self) -> Option<Wall>;

    /// Where it is, for operators: without a password.
    fn address(&self) -> &str;

    /// What is there.
    fn read(&self, at: At) -> Later<Read>;

    /// The place of a value that grows old, for one that is loaded to replace it.
    fn capture(&self, at: At) -> Later<Option<Box<dyn Fill>>>;

    /// Puts a value there in the place of whatever there is, here or on other nodes.
    fn write(&self, at: At, value: StoredValue) -> Later<Stored>;

    /// Takes a value away, for all nodes. `false`: they do not know it yet.
    fn remove(&self, at: At) -> Later<bool>;

    /// Makes values invalid for all nodes. Never waits.
    fn invalidate(&self, changes: Vec<Change>);
}
