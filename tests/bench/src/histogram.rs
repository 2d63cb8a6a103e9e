//! Latencies, counted as they come: a fixed table, no allocation, at most 1/64 too large.
//!
//! Values below 64 have a slot each; above, every power of two is divided into 64 slots. A percentile answers with the
//! largest value of its slot, so it never flatters.

use std::time::Duration;

const SLOTS_PER_DOUBLING: u64 = 64;
const SLOT_BITS: u32 = SLOTS_PER_DOUBLING.trailing_zeros();
/// Up to 2^40 ns, about 18 minutes; longer ones count as that.
const VALUE_BITS_MAX: u32 = 40;
const SLOTS: usize = ((VALUE_BITS_MAX - SLOT_BITS + 1) as usize) * SLOTS_PER_DOUBLING as usize;

pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest_ns: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { counts: vec![0; SLOTS], total: 0, largest_ns: 0 }
    }

    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX).min((1 << VALUE_BITS_MAX) - 1);
        self.counts[slot_of(ns)] += 1;
        self.total += 1;
        self.largest_ns = self.largest_ns.max(ns);
    }

    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
        self.largest_ns = 0;
    }

    pub fn count(&self) -> u64 {
        self.total
    }

    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.largest_ns)
    }

    /// The smallest recorded latency that at least `percent` of all do not exceed; zero when nothing was recorded.
    pub fn percentile(&self, percent: f64) -> Duration {
        let wanted = ((percent / 100.0 * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (slot, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(largest_in(slot).min(self.largest_ns));
            }
        }
        Duration::ZERO
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

fn slot_of(ns: u64) -> usize {
    if ns < SLOTS_PER_DOUBLING {
        return ns as usize;
    }
    let doubling = ns.ilog2() - SLOT_BITS;
    // The leading bit is implied by the doubling; the next six choose the slot.
    let within = (ns >> doubling) - SLOTS_PER_DOUBLING;
    ((u64::from(doubling) + 1) * SLOTS_PER_DOUBLING + within) as usize
}

fn largest_in(slot: usize) -> u64 {
    let slot = slot as u64;
    if slot < SLOTS_PER_DOUBLING {
        return slot;
    }
    let doubling = slot / SLOTS_PER_DOUBLING - 1;
    let within = slot % SLOTS_PER_DOUBLING;
    ((SLOTS_PER_DOUBLING + within + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_in_its_slot_and_slots_follow_each_other() {
        for ns in (0..5_000).chain((13..39).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1])) {
            let slot = slot_of(ns);
            assert!(ns <= largest_in(slot), "{ns}");
            assert!(slot == 0 || ns > largest_in(slot - 1), "{ns}");
        }
        assert_eq!(slot_of((1 << VALUE_BITS_MAX) - 1), SLOTS - 1);
    }

    #[test]
    fn percentiles_agree_with_sorting_to_one_part_in_64() {
        let mut state = 88_172_645_463_325_252_u64;
        let mut values: Vec<u64> = (0..10_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % 50_000_000
            })
            .collect();
        let mut histogram = Histogram::new();
        for ns in &values {
            histogram.record(Duration::from_nanos(*ns));
        }
        values.sort_unstable();
        for percent in [1.0, 50.0, 90.0, 99.0, 99.9, 100.0] {
            let exact = values[((percent / 100.0 * 10_000.0_f64).ceil() as usize).max(1) - 1];
            let found = histogram.percentile(percent).as_nanos() as u64;
            assert!(found >= exact && found <= exact + exact / 64 + 1, "p{percent}: {found} for {exact}");
        }
        assert_eq!(histogram.max().as_nanos() as u64, values[9_999]);
    }

    #[test]
    fn an_empty_histogram_and_an_endless_latency_are_no_accident() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile(99.0), Duration::ZERO);
        histogram.record(Duration::MAX);
        assert_eq!(histogram.count(), 1);
        assert!(histogram.percentile(50.0) > Duration::from_secs(1000));
        histogram.clear();
        assert_eq!((histogram.count(), histogram.max()), (0, Duration::ZERO));
    }
}
