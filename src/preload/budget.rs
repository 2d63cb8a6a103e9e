//! How many bytes may be loaded that nobody has asked for?
//!
//! Two buckets, and a preload must fit in both. One is filled with a share of all bytes that people asked for; the other
//! with a share of those that had to be loaded for them, since only these cost the origin something: with a good cache
//! people read ten times of what is loaded, and three tenths of that would be three times the load. So preloading never
//! adds more than its share to what the origin does anyway, nor after a quiet hour more than one `burst`.

/// Thousandths of a whole.
const WHOLE: u64 = 1000;

/// How large the buckets are and what fills them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Thousandths of the bytes that people asked for.
    pub asked_permille: u32,
    /// Thousandths of the bytes that were loaded for them.
    pub loaded_permille: u32,
    /// The most that is saved up, and what there is at the start, in bytes.
    pub burst_bytes: u64,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Budget {
    share: Share,
    /// In thousandths of bytes, so that nothing is lost to rounding.
    asked: u64,
    loaded: u64,
}

impl Budget {
    /// Full buckets.
    pub fn new(share: Share) -> Self {
        let full = share.burst_bytes.saturating_mul(WHOLE);
        Budget { share, asked: full, loaded: full }
    }

    /// Somebody asked for something of this size; it had to be loaded, or was there.
    pub fn demanded(&mut self, bytes: u64, was_loaded: bool) {
        let full = self.share.burst_bytes.saturating_mul(WHOLE);
        let fill = |bucket: &mut u64, permille: u32| {
            *bucket = bucket.saturating_add(bytes.saturating_mul(u64::from(permille))).min(full);
        };
        fill(&mut self.asked, self.share.asked_permille);
        if was_loaded {
            fill(&mut self.loaded, self.share.loaded_permille);
        }
    }

    /// Takes `bytes` if both buckets have them.
    pub fn take(&mut self, bytes: u64) -> bool {
        let needed = bytes.saturating_mul(WHOLE);
        if needed > self.asked || needed > self.loaded {
            return false;
        }
        self.asked -= needed;
        self.loaded -= needed;
        true
    }

    /// Gives back what was taken for something that was smaller than thought, or takes what it was larger.
    pub fn correct(&mut self, taken: u64, real: u64) {
        let full = self.share.burst_bytes.saturating_mul(WHOLE);
        for bucket in [&mut self.asked, &mut self.loaded] {
            let back = bucket.saturating_add(taken.saturating_mul(WHOLE)).saturating_sub(real.saturating_mul(WHOLE));
            *bucket = back.min(full);
        }
    }

    /// Bytes that may be loaded now.
    pub fn left(&self) -> u64 {
        self.asked.min(self.loaded) / WHOLE
    }
}

#[cfg(test)]
mod tests {
    use super::super::mix;
    use super::*;

    #[test]
    fn never_more_than_the_burst_and_the_share_of_both() {
        for seed in 0..20 {
            let share = Share { asked_permille: 300, loaded_permille: 400, burst_bytes: 10_000 };
            let mut budget = Budget::new(share);
            let (mut asked, mut loaded, mut taken) = (0, 0, 0);
            for step in 0..5_000 {
                let roll = mix(&[seed, step]);
                let bytes = roll % 3_000;
                if roll & (1 << 40) == 0 {
                    let was_loaded = roll & (1 << 41) == 0;
                    budget.demanded(bytes, was_loaded);
                    asked += bytes;
                    loaded += if was_loaded { bytes } else { 0 };
                } else if budget.take(bytes) {
                    taken += bytes;
                }
                assert!(
                    taken <= 10_000 + asked * 3 / 10 && taken <= 10_000 + loaded * 4 / 10,
                    "seed {seed}, step {step}"
                );
                assert!(budget.left() <= 10_000);
            }
            assert!(taken > asked / 10, "seed {seed}: it gives what there is");
        }
    }
}
