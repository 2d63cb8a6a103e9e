//! Traces that are made, not recorded: each the pure form of something that real ones mix. A seed repeats one.

use super::trace::Trace;

/// What kind of trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The item of rank `n` is asked for `1/n^0.9` as often as the first.
    Zipf,
    /// The same, with runs of items in between that are asked for once.
    Scan,
    /// One item after the other, from the beginning again at the end: more than a cache holds.
    Loop,
    /// The same as Zipf, with other items at the top after each twentieth of the trace.
    Shift,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Zipf, Kind::Scan, Kind::Loop, Kind::Shift];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Zipf => "zipf",
            Kind::Scan => "scan",
            Kind::Loop => "loop",
            Kind::Shift => "shift",
        }
    }
}

/// The skew of what is Zipf here.
const SKEW: f64 = 0.9;

/// Once in so many accesses a scan begins, of so many items.
const SCAN_EVERY: u64 = 5_000;
const SCAN_LEN: u64 = 2_000;

/// How often what is at the top changes.
const SHIFTS: usize = 20;

/// A trace of `accesses` to `items` items, and what is scanned besides.
pub fn make(kind: Kind, accesses: usize, items: usize, seed: u64) -> Trace {
    let mut chance = Chance::new(seed);
    let items = items.max(1);
    let zipf = Zipf::new(if kind == Kind::Loop { 1 } else { items });
    let mut scanned = items as u64;
    let mut scan_left = 0;
    let numbers = (0..accesses).map(|at| match kind {
        Kind::Zipf => zipf.rank(&mut chance),
        Kind::Loop => (at % items) as u64,
        Kind::Shift => {
            let shift = at * SHIFTS / accesses * (items / SHIFTS + 1);
            (zipf.rank(&mut chance) + shift as u64) % items as u64
        }
        Kind::Scan => {
            if scan_left == 0 && chance.below(SCAN_EVERY) == 0 {
                scan_left = SCAN_LEN;
            }
            if scan_left == 0 {
                return zipf.rank(&mut chance);
            }
            scan_left -= 1;
            scanned += 1;
            scanned
        }
    });
    Trace::of_numbers(numbers)
}

/// Ranks by their share, found by bisection.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(items: usize) -> Zipf {
        let mut sum = 0.0;
        let sums = (1..=items).map(|rank| {
            sum += (rank as f64).powf(-SKEW);
            sum
        });
        Zipf(sums.collect())
    }

    fn rank(&self, chance: &mut Chance) -> u64 {
        let total = self.0.last().copied().unwrap_or(0.0);
        let at = chance.part() * total;
        self.0.partition_point(|sum| *sum < at).min(self.0.len() - 1) as u64
    }
}

/// Numbers that a seed repeats: splitmix64.
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Less than `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// From 0 to below 1.
    pub fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_a_trace_and_each_kind_is_what_it_says() {
        for kind in Kind::ALL {
            let (first, again) = (make(kind, 20_000, 1000, 7), make(kind, 20_000, 1000, 7));
            assert_eq!(first.accesses, again.accesses);
            assert_eq!(first.accesses.len(), 20_000);
        }
        let looped = make(Kind::Loop, 2500, 1000, 7);
        assert_eq!(looped.accesses[..1000], looped.accesses[1000..2000]);
        let zipf = make(Kind::Zipf, 20_000, 1000, 7);
        let top =
            zipf.accesses.iter().filter(|item| zipf.items[**item as usize].key == super::super::trace::Name::Number(0));
        assert!((1800..2600).contains(&top.count()), "the first has about a tenth");
        assert!(make(Kind::Scan, 20_000, 1000, 7).items.len() > 3000);
    }
}
