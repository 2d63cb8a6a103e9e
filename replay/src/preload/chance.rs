//! Chance that a seed repeats: SplitMix64 (Steele, Lea and Flood 2014).

/// A sequence of numbers that look random.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.any() % end as u64) as usize }
    }

    /// A number from 0 to less than 1.
    pub fn part(&mut self) -> f64 {
        (self.any() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.any() % 100 < percent
    }

    /// A number below `end`, small ones more often: the share of `n` falls as 1 / (n + 1).
    pub fn zipf(&mut self, end: usize) -> usize {
        // The inverse of the integral of 1 / x, close enough to the sum.
        let top = (end.max(1) as f64 + 1.0).ln();
        ((self.part() * top).exp() as usize).saturating_sub(1).min(end.saturating_sub(1))
    }

    /// Numbers around `median`, mostly between a third and three times of it.
    pub fn around(&mut self, median: f64) -> f64 {
        // The sum of twelve is nearly normal with a deviation of one.
        let normal: f64 = (0..12).map(|_| self.part()).sum::<f64>() - 6.0;
        median * (normal * 0.9).exp()
    }
}
