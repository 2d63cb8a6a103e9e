//! What can become invalid, and what is heard of it?

use std::sync::Arc;

use arxosrt_core::cache::{EntryId, StrategyId, Tag};

/// Something that is no longer what was cached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// One value.
    Key {
        /// Where it is kept.
        home: Arc<str>,
        /// What kind of value.
        strategy: StrategyId,
        /// Which one.
        id: EntryId,
    },
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

/// What the shared tier tells the local one. Told from one task, in order, and never while a lock is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Another node says that this is invalid.
    Invalidated(Change),
    /// Something was said that was not heard: anything may be invalid.
    Gap,
    /// Redis is there, and is trusted as soon as this has been taken in. Much may have been said before.
    Up,
    /// Redis is not there: from now on nothing is heard of other nodes.
    Down,
}
