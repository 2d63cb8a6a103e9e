//! How fast are commits, the tail and a restart on this machine's disk?
//!
//! `cargo run --release -p arxosrtd --example store_speed [DIRECTORY]`. The directory (the current one by default)
//! decides which disk is measured; what is written there is removed again. Each figure is the median of five runs.

use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use arxosrt_core::id::BuildingId;
use arxosrtd::store::{Batch, Commit, EngineKind, Opened, Outcome, Part, Tail, open};

type Failed = Box<dyn std::error::Error>;

/// About a lock event.
const EVENT_BYTES: usize = 200;
const BUILDINGS: usize = 1000;
const RUNS: usize = 5;
const RUN: Duration = Duration::from_secs(1);

fn main() -> Result<(), Failed> {
    let base = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let dir = tempfile::tempdir_in(base)?;
    commits(dir.path())?;
    tail(dir.path())?;
    restart(dir.path())
}

/// One batch on its way at a time, as when everybody waits for an answer; then as many as the hub makes turns.
fn commits(dir: &Path) -> Result<(), Failed> {
    println!("parts per batch  batches on their way  parts/s  batches/s  median batch  slowest batch  CPU µs per part");
    for (parts, in_flight) in [(1, 1), (16, 1), (64, 1), (256, 1), (1, 16), (1, 64), (1, 256), (16, 16)] {
        let mut runs = Vec::new();
        for run in 0..RUNS {
            let path = dir.join(format!("commits-{parts}-{in_flight}-{run}.db"));
            runs.push(commit_run(&path, parts, in_flight)?);
        }
        runs.sort_by_key(|run| run.batches);
        let median = &runs[RUNS / 2];
        let slowest = runs.iter().map(|run| run.slowest).max().unwrap_or_default();
        println!(
            "{parts:15}  {in_flight:20}  {:7}  {:9}  {:>12.1?}  {slowest:>13.1?}  {:15.1}",
            median.batches * parts as u64,
            median.batches,
            median.median,
            median.cpu_us / parts as f64
        );
    }
    Ok(())
}

struct Run {
    /// In a second.
    batches: u64,
    /// For each batch, of the whole process.
    cpu_us: f64,
    median: Duration,
    slowest: Duration,
}

fn commit_run(path: &Path, parts: usize, in_flight: usize) -> Result<Run, Failed> {
    let (tell, outcomes) = mpsc::channel();
    let Opened { store, .. } = open(EngineKind::Embedded, path, move |outcome| drop(tell.send(outcome)))?;
    let ids =
        (0..BUILDINGS).map(|i| BuildingId::new(&format!("/usa/ny/building-{i}"))).collect::<Result<Vec<_>, _>>()?;
    let mut positions = vec![0; BUILDINGS];
    let mut begun = std::collections::VecDeque::new();
    let mut took = Vec::new();
    let cpu_before = cpu()?;
    let (start, mut number) = (Instant::now(), 0_u64);
    while start.elapsed() < RUN {
        while begun.len() < in_flight {
            number += 1;
            // Buildings that follow each other in a batch are not neighbours in the file.
            let part = |i: usize| {
                let at = (number as usize * parts + i) * 7919 % BUILDINGS;
                positions[at] += 1;
                Part {
                    building: ids[at].clone(),
                    expected_position: positions[at] - 1,
                    events: vec![7; EVENT_BYTES],
                    count: 1,
                    live: 1,
                    snapshot: None,
                }
            };
            let batch = Batch { number, parts: (0..parts).map(part).collect(), last_token: number, audit: Vec::new() };
            if store.commit(batch) != Commit::Pending {
                return Err("a batch was refused".into());
            }
            begun.push_back(Instant::now());
        }
        let outcome = outcomes.recv()?;
        let (Outcome::Committed { .. }, Some(begun)) = (&outcome, begun.pop_front()) else {
            return Err(format!("{outcome:?}").into());
        };
        took.push(begun.elapsed());
    }
    let (batches, elapsed) = (took.len() as f64, start.elapsed());
    let cpu_us = (cpu()? - cpu_before).as_micros() as f64 / batches;
    store.close()?;
    took.sort_unstable();
    Ok(Run {
        cpu_us,
        batches: (batches / elapsed.as_secs_f64()) as u64,
        median: took[took.len() / 2],
        slowest: took[took.len() - 1],
    })
}

/// What the process has used of all processors: unlike the clock, it hardly depends on what else the machine does.
fn cpu() -> Result<Duration, Failed> {
    // The main thread and every other one, each with nanoseconds on a processor as its first number.
    let mut used = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        used += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(used))
}

fn tail(dir: &Path) -> Result<(), Failed> {
    println!("\nrecords per turn  bytes  tail ns per turn  slowest turn");
    let building = BuildingId::new("/usa/ny/building-1")?;
    for (records, bytes) in [(1, 200), (16, 200), (128, 200), (1, 10_000), (1, 256 << 10)] {
        let path = dir.join(format!("tail-{records}-{bytes}.db"));
        let Opened { mut tail, .. } = open(EngineKind::Embedded, &path, |_| {})?;
        let events = vec![7; bytes];
        let mut runs = Vec::new();
        let mut slowest = Duration::ZERO;
        let mut turn = 0;
        for _ in 0..RUNS {
            let turns = (20_000_000 / (records * bytes)).clamp(100, 20_000);
            let start = Instant::now();
            for _ in 0..turns {
                turn += 1;
                let begun = Instant::now();
                tail_turn(&mut tail, &building, turn, records, &events)?;
                slowest = slowest.max(begun.elapsed());
            }
            runs.push(start.elapsed().as_nanos() / turns as u128);
        }
        runs.sort_unstable();
        println!("{records:16}  {bytes:5}  {:16}  {slowest:>12.1?}", runs[RUNS / 2]);
    }
    Ok(())
}

fn tail_turn(tail: &mut Tail, building: &BuildingId, turn: u64, records: usize, events: &[u8]) -> Result<(), Failed> {
    for _ in 0..records {
        tail.add(building, turn, 1, events);
    }
    tail.write(turn)?;
    tail.committed(turn.saturating_sub(4));
    Ok(())
}

fn restart(dir: &Path) -> Result<(), Failed> {
    println!("\nbuildings  locks each  open  load all with locks");
    for (buildings, locks) in [(1000, 100), (100_000, 1)] {
        let path = dir.join(format!("restart-{buildings}.db"));
        let (tell, outcomes) = mpsc::channel();
        let Opened { store, .. } = open(EngineKind::Embedded, &path, move |outcome| drop(tell.send(outcome)))?;
        let part = |i: usize| Part {
            building: BuildingId::new(&format!("/usa/ny/building-{i}")).expect("short and printable"),
            expected_position: 0,
            events: vec![7; EVENT_BYTES * locks as usize],
            count: locks,
            live: locks,
            snapshot: None,
        };
        let batch = Batch { number: 1, parts: (0..buildings).map(part).collect(), ..Batch::default() };
        if store.commit(batch) != Commit::Pending || outcomes.recv()? != (Outcome::Committed { batch: 1 }) {
            return Err("the buildings were not committed".into());
        }
        store.close()?;

        let mut runs = Vec::new();
        for _ in 0..RUNS {
            let start = Instant::now();
            let Opened { store, .. } = open(EngineKind::Embedded, &path, |_| {})?;
            let opened = start.elapsed();
            let start = Instant::now();
            assert_eq!(store.load_all_with_locks()?.len(), buildings);
            runs.push((opened, start.elapsed()));
            store.close()?;
        }
        runs.sort_unstable();
        let (opened, loaded) = runs[RUNS / 2];
        println!("{buildings:9}  {locks:10}  {opened:.1?}  {loaded:.1?}");
    }
    Ok(())
}
