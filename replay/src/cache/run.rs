//! One trace through one policy, and what share of it was answered.

use super::classes::{Class, Classes};
use super::policy::{Arc, Lru, Opt, Ours, Policy, S3Fifo, Sieve, WTinyLfu};
use super::trace::Trace;

/// Which policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The daemon's own.
    Ours,
    /// LRU.
    Lru,
    /// S3-FIFO.
    S3Fifo,
    /// SIEVE.
    Sieve,
    /// ARC.
    Arc,
    /// W-TinyLFU.
    WTinyLfu,
    /// The optimum.
    Opt,
}

impl Which {
    /// All of them.
    pub const ALL: [Which; 7] =
        [Which::Ours, Which::Lru, Which::S3Fifo, Which::Sieve, Which::Arc, Which::WTinyLfu, Which::Opt];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Which::Ours => "ours",
            Which::Lru => "lru",
            Which::S3Fifo => "s3-fifo",
            Which::Sieve => "sieve",
            Which::Arc => "arc",
            Which::WTinyLfu => "w-tinylfu",
            Which::Opt => "opt",
        }
    }

    /// It weighs entries rather than counting them.
    pub fn weighs(self) -> bool {
        matches!(self, Which::Ours | Which::Lru | Which::S3Fifo | Which::Sieve)
    }
}

/// What was asked for and what was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Accesses.
    pub asked: u64,
    /// Those that were answered.
    pub hits: u64,
}

impl Count {
    /// The share that was answered, in per cent; nothing of nothing is 0.
    pub fn percent(&self) -> f64 {
        if self.asked == 0 { 0.0 } else { self.hits as f64 * 100.0 / self.asked as f64 }
    }

    fn note(&mut self, weight: u64, is_hit: bool) {
        self.asked += weight;
        self.hits += if is_hit { weight } else { 0 };
    }
}

/// What became of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Accesses.
    pub total: Count,
    /// Bytes.
    pub bytes: Count,
    /// Accesses by [`Class`].
    pub classes: [Count; Class::ALL.len()],
}

/// Runs a trace. `capacity` is in bytes, which for an unweighted trace are entries. Without classes all are low.
///
/// The policies that count entries ([`Which::weighs`]) are for unweighted traces.
pub fn run(which: Which, trace: &Trace, capacity: u64, classes: Option<&Classes>, seed: u64) -> Outcome {
    let items = trace.items.len();
    let class_of: Vec<Class> =
        trace.items.iter().map(|item| classes.map_or(Class::Low, |classes| classes.of(item))).collect();
    let capacity = capacity.max(1);
    let mut policy: Box<dyn Policy> = match which {
        Which::Ours => Box::new(Ours::new(capacity, &trace.items, &class_of, seed)),
        Which::Lru => Box::new(Lru::new(capacity, items)),
        Which::S3Fifo => Box::new(S3Fifo::new(capacity, items)),
        Which::Sieve => Box::new(Sieve::new(capacity, items)),
        Which::Arc => Box::new(Arc::new(capacity, items)),
        Which::WTinyLfu => Box::new(WTinyLfu::new(capacity, items)),
        Which::Opt => Box::new(Opt::new(capacity, &trace.accesses, items)),
    };
    let mut outcome = Outcome::default();
    for item in &trace.accesses {
        let weight = trace.items[*item as usize].weight;
        let is_hit = policy.access(*item, weight);
        outcome.total.note(1, is_hit);
        outcome.bytes.note(u64::from(weight), is_hit);
        outcome.classes[class_of[*item as usize] as usize].note(1, is_hit);
    }
    outcome
}
