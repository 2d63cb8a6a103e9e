//! How much earlier than promised does a value's time end?
//!
//! Values that were loaded together must not all end together. A value's time is shortened by up to a tenth, never
//! lengthened: what was promised is an upper bound.

use std::sync::atomic::{AtomicU64, Ordering};

/// A source of numbers that need not be secret.
#[derive(Debug)]
pub struct Jitter(AtomicU64);

impl Jitter {
    /// The numbers follow from the seed.
    pub fn new(seed: u64) -> Jitter {
        Jitter(AtomicU64::new(seed))
    }

    /// `ms`, shortened by up to a tenth.
    pub fn shorten(&self, ms: u64) -> u64 {
        ms - self.below(ms / 10 + 1)
    }

    /// A number below `bound`, which is not 0.
    fn below(&self, bound: u64) -> u64 {
        // SplitMix64: one addition per number, so that threads share it without waiting.
        let mut x = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shortened_by_at_most_a_tenth_and_never_lengthened() {
        let jitter = Jitter::new(3);
        let times: Vec<u64> = (0..1000).map(|_| jitter.shorten(1000)).collect();
        assert!(times.iter().all(|ms| (900..=1000).contains(ms)));
        assert!(times.iter().max().unwrap() - times.iter().min().unwrap() > 90);
        assert_eq!(jitter.shorten(0), 0);
    }
}
