//! `arxosrt-bench cache`: what does one read through the cache in memory cost, and one entry, beside other caches?
//!
//! Each figure comes from a process of its own, so that no cache runs in memory that another one has used. All of them
//! have the same keys, values and order of accesses: a million keys, Zipf with an exponent of 0.99, room for a tenth of
//! them, values of 256 bytes behind an `Arc`, and what is not there is put. CPU time is measured, not time.
//!
//! Ours pays for more in this than the others do: statistics per strategy, a life time, and generations by which what was
//! loaded before an invalidation is refused.

mod http;
mod pause;
mod rival;

pub use http::run as run_http;

use std::io;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::cache::{EntryId, Key, StrategyId};
use arxosrt_replay::cache::synthetic::Chance;

use rival::{Rival, Value};

/// How many keys there are, and for how many of them there is room.
const KEYS: usize = 1_000_000;
const ROOM: usize = KEYS / 10;

/// The exponent of how unevenly they are asked for.
const SKEW: f64 = 0.99;

/// Accesses of one thread before anything is measured, and while it is.
const ACCESSES: usize = 4_000_000;
const ACCESSES_QUICK: usize = 400_000;

/// Entries of which the memory is measured.
const ENTRIES: usize = 200_000;

/// How many figures of each kind are taken, the caches in turn.
const RUNS: usize = 3;

/// What one process found.
#[derive(Clone, Copy, Default)]
struct Found {
    /// Of one access, in nanoseconds of CPU time, or of one entry, in bytes.
    cost: f64,
    /// Per cent.
    hits: f64,
}

/// Measures all and prints them as rows of ratios to ours. `words` are what was typed after `cache`.
pub fn run(words: &[&str]) -> io::Result<()> {
    let is_quick = words.contains(&"--quick");
    let runs = if is_quick { 1 } else { RUNS };
    println!(
        "| cache | 1 thread, CPU ns/op | × ours | 2 threads, CPU ns/op | × ours | hits % | bytes/entry | × ours |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut found = vec![[Vec::new(), Vec::new(), Vec::new()]; Rival::ALL.len()];
    for _ in 0..runs {
        for (rival, of_rival) in Rival::ALL.iter().zip(&mut found) {
            for (what, figures) in ["1", "2", "memory"].iter().zip(of_rival) {
                figures.push(alone(*rival, what, is_quick)?);
            }
        }
    }
    let costs = |of_rival: &[Vec<Found>; 3]| [0, 1, 2].map(|at| median(&of_rival[at], |found| found.cost));
    let ours = costs(&found[0]);
    for (rival, of_rival) in Rival::ALL.iter().zip(&found) {
        let [one, two, memory] = costs(of_rival);
        let hits = median(&of_rival[0], |found| found.hits);
        println!(
            "| {} | {one:.0} | {:.2} | {two:.0} | {:.2} | {hits:.1} | {memory:.0} | {:.2} |",
            rival.name(),
            one / ours[0],
            two / ours[1],
            memory / ours[2],
        );
    }
    pause::run(is_quick);
    Ok(())
}

/// The other face: one figure in this process. `words` are the cache's name, what is measured, and perhaps `--quick`.
pub fn measure(words: &[&str]) -> io::Result<()> {
    let [name, what, rest @ ..] = words else { return Err(io::Error::other("a cache and what to measure are wanted")) };
    let rival = Rival::ALL.into_iter().find(|rival| rival.name() == *name);
    let rival = rival.ok_or_else(|| io::Error::other(format!("there is no cache {name}")))?;
    let accesses = if rest.contains(&"--quick") { ACCESSES_QUICK } else { ACCESSES };
    let found = match what.parse() {
        Ok(threads) => speed(rival, threads, accesses)?,
        Err(_) => memory(rival)?,
    };
    println!("{} {}", found.cost, found.hits);
    Ok(())
}

/// Runs the other face.
fn alone(rival: Rival, what: &str, is_quick: bool) -> io::Result<Found> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["cache-alone", rival.name(), what]).args(is_quick.then_some("--quick")).stderr(Stdio::inherit());
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut figures = text.split_whitespace().filter_map(|figure| figure.parse::<f64>().ok());
    match (output.status.success(), figures.next(), figures.next()) {
        (true, Some(cost), Some(hits)) => Ok(Found { cost, hits }),
        _ => Err(io::Error::other(format!("{} {what}: {}", rival.name(), output.status))),
    }
}

fn speed(rival: Rival, threads: usize, accesses: usize) -> io::Result<Found> {
    let keys = keys(KEYS);
    let orders: Vec<Vec<u32>> = (0..threads).map(|thread| order(accesses, thread as u64)).collect();
    let cache = rival.make(ROOM);
    let pass = || -> u64 {
        std::thread::scope(|scope| {
            let one = |order: &[u32]| {
                order.iter().filter(|at| cache.read_through(&keys[**at as usize], &|| Arc::new([7; 256]))).count()
                    as u64
            };
            let hands: Vec<_> = orders.iter().map(|order| scope.spawn(move || one(order))).collect();
            hands.into_iter().map(|hand| hand.join().expect("a thread of the measurement ends well")).sum()
        })
    };
    pass();
    let before = own_cpu()?;
    let hits = pass();
    let spent = own_cpu()? - before;
    let all = (threads * accesses) as f64;
    Ok(Found { cost: spent.as_nanos() as f64 / all, hits: hits as f64 * 100.0 / all })
}

/// What the process grows by when entries are put whose keys and values are there already.
fn memory(rival: Rival) -> io::Result<Found> {
    let keys = keys(ENTRIES);
    let values: Vec<Value> = keys.iter().map(|_| Arc::new([7; 256])).collect();
    let cache = rival.make(ENTRIES * 2);
    let before = resident()?;
    let put = keys.iter().zip(&values).filter(|(key, value)| !cache.read_through(key, &|| Arc::clone(value))).count();
    let grown = resident()?.saturating_sub(before);
    Ok(Found { cost: grown as f64 / put as f64, hits: 0.0 })
}

fn keys(count: usize) -> Vec<Key> {
    let id = |at: usize| EntryId::new(&format!("floor:{at}")).expect("a short text is an id");
    (0..count).map(|at| Key { strategy: StrategyId(0), id: id(at) }).collect()
}

fn order(accesses: usize, seed: u64) -> Vec<u32> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            sum += (rank as f64).powf(-SKEW);
            sum
        })
        .collect();
    let mut chance = Chance::new(seed + 1);
    let mut rank = || {
        let at = chance.part() * sum;
        sums.partition_point(|sum| *sum < at).min(KEYS - 1) as u64
    };
    // Ranks are strewn over the keys, so that what is hot does not lie together.
    (0..accesses).map(|_| (rank() * 7_919 % KEYS as u64) as u32).collect()
}

fn median(found: &[Found], of: impl Fn(&Found) -> f64) -> f64 {
    let mut figures: Vec<f64> = found.iter().map(of).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn own_cpu() -> io::Result<Duration> {
    crate::sys::process_cpu(std::process::id())
}

/// How many bytes of this process are in memory.
fn resident() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("/proc/self/status has no VmRSS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cache_reads_through() {
        let keys = keys(10);
        for rival in Rival::ALL {
            let cache = rival.make(1000);
            for round in 0..2 {
                for key in &keys {
                    let is_hit = cache.read_through(key, &|| Arc::new([1; 256]));
                    assert_eq!(is_hit, round == 1, "{}", rival.name());
                }
            }
        }
    }
}
