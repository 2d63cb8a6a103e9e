//! `arxosrt-sim --seeds N --start S --steps K --edits 0|1`: runs many seeds of locks and then of edits (with `--edits 1`
//! only those, with `--edits 0` only the others), and shows the first one that fails.

use std::fmt::Debug;
use std::ops::AddAssign;
use std::process::ExitCode;

use arxosrt_sim::edits;
use arxosrt_sim::world::{self, Failure};

/// Steps of one run unless asked otherwise.
const STEPS: usize = 300;

fn main() -> ExitCode {
    let mut options = [("--seeds", 10_000u64), ("--start", 1), ("--steps", STEPS as u64), ("--edits", 2)];
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let known = options.iter_mut().find(|(name, _)| *name == pair[0]);
        match (known, pair.get(1).and_then(|value| value.parse().ok())) {
            (Some((_, option)), Some(value)) => *option = value,
            _ => {
                let usage = "arxosrt-sim [--seeds N] [--start SEED] [--steps K] [--edits 0|1]";
                eprintln!("{usage}: not understood: {}", pair.join(" "));
                return ExitCode::from(2);
            }
        }
    }
    let [(_, seeds), (_, start), (_, steps), (_, which)] = options;
    let batch = Batch { seeds, start, steps: steps as usize };
    let locks = which == 1 || batch.run("locks", 0, |seed, steps| world::run(seed, steps, None));
    let well = locks && (which == 0 || batch.run("edits", 1, |seed, steps| edits::run(seed, steps, None)));
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Which seeds are run, and how far.
struct Batch {
    seeds: u64,
    start: u64,
    steps: usize,
}

impl Batch {
    /// Whether all went well.
    fn run<T: AddAssign + Debug + Default>(
        &self,
        what: &str,
        option: u64,
        run: impl Fn(u64, usize) -> Result<T, Failure>,
    ) -> bool {
        let Batch { seeds, start, steps } = *self;
        let mut tally = T::default();
        for seed in start..start + seeds {
            match run(seed, steps) {
                Ok(one) => tally += one,
                Err(failure) => {
                    failure.trace.iter().for_each(|line| println!("{line}"));
                    println!("{what}: seed {seed} fails at step {}: {}", failure.step, failure.complaint);
                    println!("again: arxosrt-sim --start {seed} --seeds 1 --steps {steps} --edits {option}");
                    return false;
                }
            }
        }
        println!("{what}: {seeds} seeds from {start}, {steps} steps each: all well\n{tally:#?}");
        true
    }
}
