//! What has the cache been good for? Counted per strategy, read by REST, operators and the metrics page.

use std::sync::atomic::{AtomicU64, Ordering};

use arxosrt_core::cache::{Reason, Stats, Strategy, StrategyId};

/// A count that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub fn inc(&self) {
        self.add(1);
    }

    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the local tier does not count itself.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub shared_hits: Count,
    pub shared_misses: Count,
    pub loads: Count,
    pub load_failures: Count,
    pub load_us: Count,
    pub joined: Count,
    pub refreshes: Count,
    pub patched: Count,
    pub stale: Count,
    pub writes: Count,
    pub refused: Count,
}

/// What was counted of a strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrategyFigures {
    /// Which.
    pub strategy: StrategyId,
    /// Its name.
    pub name: Box<str>,
    /// What the local tier has counted.
    pub local: Stats,
    /// Not there locally, found in the shared tier.
    pub shared_hits: u64,
    /// Not there either.
    pub shared_misses: u64,
    /// Loads from the origin.
    pub loads: u64,
    /// Of these, failed.
    pub load_failures: u64,
    /// The time that all of them took.
    pub load_us: u64,
    /// Requests that waited for a load that was under way already.
    pub joined: u64,
    /// Values that were loaded anew before their time was over.
    pub refreshes: u64,
    /// Values that were brought up to date with edits.
    pub patched: u64,
    /// Values served after their time, because the origin failed.
    pub stale: u64,
    /// Values that clients have set.
    pub writes: u64,
    /// Requests refused because the tier that the values live in cannot be reached.
    pub refused: u64,
}

/// What was counted in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheFigures {
    /// Per strategy, in their order.
    pub strategies: Vec<StrategyFigures>,
    /// What the local entries take.
    pub bytes: u64,
    /// How many there are.
    pub entries: u64,
    /// What entries and loads may take.
    pub bytes_max: u64,
    /// Loads under way.
    pub loading: u64,
    /// Signals that the preloader did not take in time.
    pub signals_dropped: u64,
    /// Whether the shared tier answers, if there is one.
    pub shared_is_up: Option<bool>,
}

impl StrategyFigures {
    pub(super) fn new(id: StrategyId, strategy: &Strategy, local: Stats, counts: &Counts) -> StrategyFigures {
        StrategyFigures {
            strategy: id,
            name: strategy.name.clone(),
            local,
            shared_hits: counts.shared_hits.get(),
            shared_misses: counts.shared_misses.get(),
            loads: counts.loads.get(),
            load_failures: counts.load_failures.get(),
            load_us: counts.load_us.get(),
            joined: counts.joined.get(),
            refreshes: counts.refreshes.get(),
            patched: counts.patched.get(),
            stale: counts.stale.get(),
            writes: counts.writes.get(),
            refused: counts.refused.get(),
        }
    }

    /// Answered without the origin.
    pub fn hits(&self) -> u64 {
        self.local.hits + self.local.soft + self.local.negative + self.shared_hits
    }

    /// Answered by the origin, or not at all.
    pub fn misses(&self) -> u64 {
        (self.local.misses + self.local.stale).saturating_sub(self.shared_hits)
    }

    /// Entries that had to go for others.
    pub fn evictions(&self) -> u64 {
        self.local.left.of(Reason::Space) + self.local.left.of(Reason::Items)
    }
}

impl CacheFigures {
    /// The sum of a figure over all strategies.
    pub fn sum(&self, of: impl Fn(&StrategyFigures) -> u64) -> u64 {
        self.strategies.iter().map(of).sum()
    }

    /// The part of requests that were answered without the origin, from 0 to 1.
    pub fn hit_rate(&self) -> f64 {
        let (hits, misses) = (self.sum(StrategyFigures::hits), self.sum(StrategyFigures::misses));
        if hits + misses == 0 { 0.0 } else { hits as f64 / (hits + misses) as f64 }
    }
}
