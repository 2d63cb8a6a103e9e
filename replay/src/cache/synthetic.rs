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
    /// A third are new items; the others are asked for again soon after they were new, and then never more.
    Burst,
    /// Half are items that are asked for once, half Zipf.
    Once,
    /// A third are for a few items, Zipf; the others run through stretches of many.
    Desk,
    /// Half of what a database is asked for was asked for lately, most of the rest is Zipf, some runs on.
    Oltp,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 8] =
        [Kind::Zipf, Kind::Scan, Kind::Loop, Kind::Shift, Kind::Burst, Kind::Once, Kind::Desk, Kind::Oltp];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Zipf => "zipf",
            Kind::Scan => "scan",
            Kind::Loop => "loop",
            Kind::Shift => "shift",
            Kind::Burst => "burst",
            Kind::Once => "once",
            Kind::Desk => "desk",
            Kind::Oltp => "oltp",
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

/// How far back, in items that were new since, one is asked for again in a burst.
const BURST_LEN: f64 = 600.0;

/// The items of a desk that are in use, one of so many; and how long a stretch is that it runs through.
const DESK_SHARE: usize = 50;
const DESK_RUN: u64 = 1_000;

/// How far back "lately" is for a database, in accesses.
const LATELY: f64 = 8_000.0;

/// A trace of `accesses` to `items` items, and what comes once besides.
pub fn make(kind: Kind, accesses: usize, items: usize, seed: u64) -> Trace {
    let mut chance = Chance::new(seed);
    let items = items.max(1);
    let zipf = Zipf::new(match kind {
        Kind::Loop | Kind::Burst => 1,
        Kind::Desk => items / DESK_SHARE + 1,
        Kind::Zipf | Kind::Scan | Kind::Shift | Kind::Once | Kind::Oltp => items,
    });
    // Numbers from here on are not those of ranks.
    let mut fresh = items as u64;
    let mut run = Run::default();
    let mut asked: Vec<u64> = Vec::new();
    let numbers = (0..accesses).map(|at| match kind {
        Kind::Zipf => zipf.rank(&mut chance),
        Kind::Loop => (at % items) as u64,
        Kind::Shift => {
            let shift = at * SHIFTS / accesses * (items / SHIFTS + 1);
            (zipf.rank(&mut chance) + shift as u64) % items as u64
        }
        Kind::Scan => {
            if run.left == 0 && chance.below(SCAN_EVERY) == 0 {
                run = Run { next: fresh, left: SCAN_LEN };
                fresh += SCAN_LEN;
            }
            run.next().unwrap_or_else(|| zipf.rank(&mut chance))
        }
        Kind::Burst => {
            let is_new = chance.below(3) == 0;
            fresh += u64::from(is_new);
            let back = if is_new { 0 } else { (chance.part().powi(2) * BURST_LEN) as u64 };
            fresh.saturating_sub(back)
        }
        Kind::Once => {
            if chance.below(2) == 0 {
                return zipf.rank(&mut chance);
            }
            fresh += 1;
            fresh
        }
        Kind::Desk => {
            if chance.below(3) == 0 {
                return zipf.rank(&mut chance);
            }
            run.next().unwrap_or_else(|| {
                run = Run { next: fresh + chance.below(items as u64), left: DESK_RUN };
                run.next
            })
        }
        Kind::Oltp => {
            let number = match chance.below(20) {
                0..10 if !asked.is_empty() => {
                    let back = (chance.part().powi(4) * LATELY) as usize;
                    asked[asked.len().saturating_sub(1 + back)]
                }
                0..17 => zipf.rank(&mut chance),
                _ => run.next().unwrap_or_else(|| {
                    run = Run { next: fresh + chance.below(items as u64), left: DESK_RUN };
                    run.next
                }),
            };
            asked.push(number);
            number
        }
    });
    Trace::of_numbers(numbers)
}

/// Numbers one after the other.
#[derive(Default)]
struct Run {
    next: u64,
    left: u64,
}

impl Iterator for Run {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        self.next += 1;
        Some(self.next - 1)
    }
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
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Less than `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// From 0 to below 1.
    pub fn part(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
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
