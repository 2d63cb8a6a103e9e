//! What is replayed: who asked for what, when, and how large things are.

use arxosrt_core::preload::Item;
use arxosrt_core::preload::structure::Building;

/// The size of what has none in the trace.
pub const BYTES_ASSUMED: u32 = 16 * 1024;

/// Somebody asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// When, in milliseconds from any beginning.
    pub at_ms: u64,
    /// In which session.
    pub session: u64,
    /// Who, where the trace knows people.
    pub user: Option<u64>,
    /// For what.
    pub item: Item,
}

/// Accesses in the order of their time.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The accesses.
    pub accesses: Vec<Access>,
    /// The size of each item, by its number.
    pub sizes: Vec<u32>,
    /// The buildings that the items are floors of; mostly none.
    pub buildings: Vec<Building>,
}

impl Trace {
    /// A trace of these accesses, brought in order.
    pub fn new(mut accesses: Vec<Access>, sizes: Vec<u32>, buildings: Vec<Building>) -> Self {
        accesses.sort_by_key(|access| access.at_ms);
        Trace { accesses, sizes, buildings }
    }

    /// The size of an item.
    pub fn bytes(&self, item: Item) -> u64 {
        self.sizes.get(item as usize).copied().unwrap_or(BYTES_ASSUMED).max(1).into()
    }

    /// The size of all items together.
    pub fn bytes_of_all(&self) -> u64 {
        self.sizes.iter().map(|bytes| u64::from(*bytes)).sum()
    }
}
