//! How is everything, or everything of a strategy, made invalid at once?
//!
//! Each strategy has an epoch, and so has the whole. A value carries both, and is a value only while both are what they
//! were. The numbers live in Redis and in every node, and all of them agree on the largest: whoever meets a smaller one
//! raises it. So no loss of either brings an earlier epoch back, and a new one costs one message, however much there is.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use arxosrt_core::cache::{Strategies, StrategyId};

/// The field of the epoch of everything. No strategy has such a name.
const ALL: &str = "*";

/// The epochs that a value was made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// That of everything.
    pub all: u64,
    /// That of its strategy.
    pub strategy: u64,
}

/// The epochs of this node.
#[derive(Debug)]
pub struct Epochs {
    /// Field names: everything's first, then the strategies' in order.
    names: Vec<Box<str>>,
    numbers: Vec<AtomicU64>,
}

impl Epochs {
    /// Nothing is known yet.
    pub fn new(strategies: &Strategies) -> Epochs {
        let names: Vec<Box<str>> =
            std::iter::once(ALL.into()).chain(strategies.iter().map(|(_, strategy)| strategy.name.clone())).collect();
        let numbers = names.iter().map(|_| AtomicU64::new(0)).collect();
        Epochs { names, numbers }
    }

    /// The epochs now. A strategy that is not in the table has the one of everything alone.
    pub fn of(&self, strategy: StrategyId) -> Epoch {
        Epoch { all: self.number(None), strategy: self.number(Some(strategy)) }
    }

    /// All fields with their numbers.
    pub fn fields(&self) -> impl Iterator<Item = (&str, u64)> {
        self.names.iter().zip(&self.numbers).map(|(name, number)| (&**name, number.load(SeqCst)))
    }

    /// The field of a strategy, or of everything.
    pub fn field(&self, strategy: Option<StrategyId>) -> Option<&str> {
        self.names.get(strategy.map_or(0, |id| usize::from(id.0) + 1)).map(|name| &**name)
    }

    /// The number of a strategy, or of everything.
    pub fn number(&self, strategy: Option<StrategyId>) -> u64 {
        let at = strategy.map_or(0, |id| usize::from(id.0) + 1);
        self.numbers.get(at).map_or(0, |number| number.load(SeqCst))
    }

    /// Somebody has met these numbers, in the order of [`Epochs::fields`]. Was any of them news?
    pub fn meet_all(&self, numbers: &[u64]) -> bool {
        let mut was_news = false;
        for (own, met) in self.numbers.iter().zip(numbers) {
            was_news |= own.fetch_max(*met, SeqCst) < *met;
        }
        was_news
    }

    /// Somebody has met this number.
    pub fn meet(&self, strategy: Option<StrategyId>, met: u64) {
        if let Some(own) = self.numbers.get(strategy.map_or(0, |id| usize::from(id.0) + 1)) {
            own.fetch_max(met, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_never_falls() {
        let epochs = Epochs::new(&Strategies::new(Strategies::known()).unwrap());
        assert_eq!(epochs.of(StrategyId(0)), Epoch { all: 0, strategy: 0 });
        epochs.meet(Some(StrategyId(0)), 5);
        epochs.meet(None, 9);
        epochs.meet(Some(StrategyId(0)), 3);
        assert_eq!(epochs.of(StrategyId(0)), Epoch { all: 9, strategy: 5 });
        assert!(!epochs.meet_all(&[9, 4]));
        assert!(epochs.meet_all(&[1, 6, 1]));
        assert_eq!(epochs.of(StrategyId(0)), Epoch { all: 9, strategy: 6 });
        epochs.meet(Some(StrategyId(999)), 7);
        assert_eq!(epochs.of(StrategyId(999)), Epoch { all: 9, strategy: 0 });
        assert_eq!(epochs.field(None), Some("*"));
    }
}
