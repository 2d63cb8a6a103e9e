//! How many bytes may loads bring at a time?
//!
//! What a load brings is known only when it is there. So it begins when there is room for twice what its like have
//! brought on average; if it brings more, that counts at once, and the next ones wait for it. A burst of loads that are
//! all larger than their like may exceed the budget once, by what they exceed the expectation.

use std::sync::atomic::{AtomicU64, Ordering};

use arxosrt_core::cache::StrategyId;
use tokio::sync::{Semaphore, SemaphorePermit};

/// One permit of the budget, in bytes.
const UNIT: u64 = 1024;

/// What a load is expected to bring as long as none of its strategy has been seen.
const EXPECTED_FIRST: u64 = 64 * 1024;

/// Room for what loads bring. See the module.
pub(super) struct Budget {
    units: Semaphore,
    units_max: u32,
    expected: Box<[AtomicU64]>,
}

/// Room that a load holds.
pub(super) struct Room<'a> {
    budget: &'a Budget,
    strategy: StrategyId,
    held: SemaphorePermit<'a>,
    /// Units that it holds beyond those.
    more: usize,
}

impl Budget {
    pub fn new(bytes_max: u64, strategies: usize) -> Budget {
        let units_max = u32::try_from(bytes_max / UNIT).unwrap_or(u32::MAX).max(1);
        Budget {
            units: Semaphore::new(units_max as usize),
            units_max,
            expected: (0..strategies).map(|_| AtomicU64::new(EXPECTED_FIRST)).collect(),
        }
    }

    pub async fn room(&self, strategy: StrategyId) -> Room<'_> {
        let expected = self.expected[usize::from(strategy.0)].load(Ordering::Relaxed);
        let units = u32::try_from(2 * expected / UNIT + 1).unwrap_or(u32::MAX).min(self.units_max);
        let held = self.units.acquire_many(units).await.expect("it is never closed");
        Room { budget: self, strategy, held, more: 0 }
    }
}

impl Room<'_> {
    /// What came is this large.
    pub fn holds(&mut self, bytes: u64) {
        let expected = &self.budget.expected[usize::from(self.strategy.0)];
        let before = expected.load(Ordering::Relaxed);
        expected.store((before * 7 + bytes) / 8, Ordering::Relaxed);
        let beyond = (bytes / UNIT + 1).saturating_sub(self.held.num_permits() as u64);
        self.more = self.budget.units.forget_permits(usize::try_from(beyond).unwrap_or(usize::MAX));
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.budget.units.add_permits(self.more);
    }
}
