//! The cache: what is kept, for how long, and what goes when there is no room?
//!
//! The platform's data API is slow. What it said is kept per **strategy** (a kind of value with its lifetime, priority
//! and limits) under an id, as bytes. This module decides and holds; it fetches nothing, knows no clock and no thread:
//!
//! - `strategy` says what kinds of values there are;
//! - `key` names values, and the tags by which whole groups of them are made invalid.

pub mod key;
pub mod strategy;

pub use key::{BadKey, ENTRY_ID_BYTES_MAX, EntryId, Key, TAGS_MAX, Tag};
pub use strategy::{BadStrategy, Priority, Strategies, Strategy, StrategyId};
