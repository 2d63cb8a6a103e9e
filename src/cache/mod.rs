//! The cache: what is kept, for how long, and what goes when there is no room?
//!
//! The platform's data API is slow. What it said is kept per **strategy** (a kind of value with its lifetime, priority
//! and limits) under an id, as bytes. This module decides and holds; it fetches nothing, knows no clock and no thread:
//!
//! - `strategy` says what kinds of values there are;
//! - `key` names values, and the tags by which whole groups of them are made invalid;
//! - `place` says where a value belongs: its tags, its floor, its building;
//! - `generation` knows what has been made invalid since;
//! - `local` is one shard, `shards` are all of them behind locks: what is found, kept and let go;
//! - `queues` decides what goes when there is no room, with `ghost`, its memory of what went;
//! - `arena`, `chain` and `index` are where entries lie, in what order, and how they are found;
//! - `entry` has the words for what is put and found, `stats` what is counted.

mod arena;
mod chain;
pub mod entry;
pub mod generation;
mod ghost;
mod index;
pub mod key;
pub mod local;
pub mod place;
mod queues;
pub mod shards;
pub mod stats;
pub mod strategy;

pub use entry::{Entry, Found, Hit, Place, Put, Summary, USES_MAX};
pub use generation::{Captured, Generations, Raised};
pub use key::{BadKey, ENTRY_ID_BYTES_MAX, EntryId, Key, TAGS_MAX, Tag};
pub use local::{ENTRY_OVERHEAD, Filter, Local, Settings};
pub use queues::{LAPS_MAX, PASSES_MAX, PROBATION_MS, PROBATION_PERCENT};
pub use shards::{Cursor, Shards};
pub use stats::{Ages, Left, Reason, Stats};
pub use strategy::{BadStrategy, Priority, Strategies, Strategy, StrategyId};

#[cfg(test)]
mod tests;
