//! What became of each item of a job, as far as it is kept?
//!
//! Results are numbered in the order in which they came. Of the latest [`RECENT_MAX`] everything is kept; of older ones
//! only the failures, because those are what somebody has to do something about. So whoever reads along misses nothing
//! unless far behind, and is told how much then.

use std::collections::VecDeque;

use super::{Item, Outcome};

/// How many of the latest results are kept, whatever they are.
pub const RECENT_MAX: usize = 10_000;

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemResult {
    /// Which item of the order.
    pub index: u64,
    /// The item.
    pub item: Item,
    /// How its last try ended.
    pub outcome: Outcome,
    /// How many tries there were.
    pub attempts: u32,
    /// How long the last one took.
    pub took_ms: u64,
}

/// A result with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its place among the results of its job, from 0.
    pub number: u64,
    /// The result.
    pub result: ItemResult,
}

/// Which results are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that are kept.
    All,
    /// Failures.
    Failed,
}

/// The results of one job.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// Failures older than all of `recent`.
    failures: Vec<Kept>,
    recent: VecDeque<Kept>,
    next: u64,
}

impl Results {
    pub fn push(&mut self, result: ItemResult) {
        if self.recent.len() == RECENT_MAX {
            let oldest = self.recent.pop_front().expect("the bound is not 0");
            if is_failure(&oldest) {
                self.failures.push(oldest);
            }
        }
        self.recent.push_back(Kept { number: self.next, result });
        self.next += 1;
    }

    pub fn len(&self) -> usize {
        self.failures.len() + self.recent.len()
    }

    /// Those from number `from` on, and how many of them have gone already.
    pub fn from(&self, from: u64, most: usize, which: Which) -> (Vec<Kept>, u64) {
        let old = &self.failures[self.failures.partition_point(|kept| kept.number < from)..];
        let first_recent = self.next - self.recent.len() as u64;
        let missed = match which {
            Which::All => first_recent.saturating_sub(from).saturating_sub(old.len() as u64),
            Which::Failed => 0,
        };
        // Numbers of `recent` follow each other, so a number is a place.
        let skipped = usize::try_from(from.saturating_sub(first_recent)).unwrap_or(usize::MAX).min(self.recent.len());
        let rest = old.iter().chain(self.recent.range(skipped..));
        let wanted = rest.filter(|kept| which == Which::All || is_failure(kept));
        (wanted.take(most).cloned().collect(), missed)
    }
}

fn is_failure(kept: &Kept) -> bool {
    matches!(kept.result.outcome, Outcome::Failed(_))
}

#[cfg(test)]
mod tests {
    use arxosrt_core::id::RoomId;

    use super::super::Trouble;
    use super::*;

    fn result(index: u64, failed: bool) -> ItemResult {
        let trouble = Trouble { code: "not_there", message: "".into(), passes: false };
        ItemResult {
            index,
            item: Item::Floor(RoomId::new("f").unwrap()),
            outcome: if failed { Outcome::Failed(trouble) } else { Outcome::Resident },
            attempts: 1,
            took_ms: 0,
        }
    }

    #[test]
    fn of_many_results_the_failures_and_the_latest_are_kept() {
        let mut results = Results::default();
        let count = 3 * RECENT_MAX as u64;
        for index in 0..count {
            results.push(result(index, index % 10_000 == 7));
        }
        assert_eq!(results.len(), RECENT_MAX + 2);
        let numbers = |(kept, missed): (Vec<Kept>, u64)| -> (Vec<u64>, u64) {
            (kept.iter().map(|kept| kept.number).collect(), missed)
        };
        assert_eq!(numbers(results.from(0, 10, Which::Failed)), (vec![7, 10_007, 20_007], 0));
        assert_eq!(numbers(results.from(0, 3, Which::All)), (vec![7, 10_007, 20_000], 19_998));
        assert_eq!(numbers(results.from(8, 2, Which::All)), (vec![10_007, 20_000], 19_991));
        assert_eq!(numbers(results.from(29_998, 9, Which::All)), (vec![29_998, 29_999], 0));
        assert_eq!(numbers(results.from(count, 9, Which::All)), (vec![], 0));
        assert_eq!(numbers(results.from(count + 5, 9, Which::All)), (vec![], 0));
    }
}
