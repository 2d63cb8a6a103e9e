//! How long can one put take?
//!
//! Other reads of the same shard wait meanwhile. A shard is full of entries of 1 KiB; more of them are put, each of which
//! lets one go, or now and then one of a fifth of the shard, which lets thousands go at once.

use std::time::Instant;

use arxosrt_core::cache::{Entry, EntryId, Generations, Key, Local, Put, Settings, StrategyId};
use arxosrt_core::time::Mono;

use super::rival::strategies;
use crate::histogram::Histogram;

/// A shard as the daemon has them at its defaults.
const SHARD_BYTES: u64 = 56 << 20;

const LIGHT: u32 = 1 << 10;
const HEAVY: u32 = 10 << 20;

/// Light puts, and how often a heavy one is among them.
const PUTS: u32 = 2_000_000;
const PUTS_QUICK: u32 = 200_000;
const HEAVY_EVERY: u32 = 20_000;

/// Measures and prints it. What else runs on the machine is in the figures: the maximum is an upper bound.
pub fn run(is_quick: bool) {
    let (mut light, mut heavy) = (Histogram::new(), Histogram::new());
    let id = StrategyId(0);
    let generations = Generations::new(1);
    let settings = Settings { bytes_max: SHARD_BYTES, entry_overhead: 0 };
    let mut local: Local<()> = Local::new(settings, strategies(), generations.clone(), 1);
    for at in 0..if is_quick { PUTS_QUICK } else { PUTS } {
        let is_heavy = at % HEAVY_EVERY == HEAVY_EVERY - 1;
        let key = Key { strategy: id, id: EntryId::new(&format!("floor:{at}")).expect("a short text is an id") };
        let weight = if is_heavy { HEAVY } else { LIGHT };
        let captured = generations.capture(id, &[]);
        let entry =
            Entry { weight, captured, ttl_ms: 3_600_000, soft_ms: 0, stale_ms: 0, load_cost_us: 0, source: None };
        let began = Instant::now();
        let put = local.put(key.clone(), Some(()), entry, Mono(1));
        let took = began.elapsed();
        assert!(matches!(put, Put::Installed | Put::TooLarge), "{put:?}");
        if is_heavy { &mut heavy } else { &mut light }.record(took);
        // Half are asked for until they have proved themselves.
        if at % 2 == 0 {
            (0..3).for_each(|_| _ = local.get(&key, Mono(1)));
        }
    }
    let us = |histogram: &Histogram, percent| histogram.percentile(percent).as_secs_f64() * 1e6;
    println!("\n| put | p50 µs | p99 µs | p99.99 µs | maximum µs |\n|---|---|---|---|---|");
    for (name, of) in [("1 KiB, lets one go", &light), ("10 MiB, lets thousands go", &heavy)] {
        let [p50, p99, p9999] = [50.0, 99.0, 99.99].map(|percent| us(of, percent));
        println!("| {name} | {p50:.1} | {p99:.1} | {p9999:.1} | {:.1} |", of.max().as_secs_f64() * 1e6);
    }
}
