//! `arxosrt-sim --seeds N --start S --steps K`: runs many seeds, and shows the first one that fails.

use std::process::ExitCode;

use arxosrt_sim::world::{Tally, run};

/// Steps of one run unless asked otherwise.
const STEPS: usize = 300;

fn main() -> ExitCode {
    let mut options = [("--seeds", 10_000u64), ("--start", 1), ("--steps", STEPS as u64)];
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let known = options.iter_mut().find(|(name, _)| *name == pair[0]);
        match (known, pair.get(1).and_then(|value| value.parse().ok())) {
            (Some((_, option)), Some(value)) => *option = value,
            _ => {
                eprintln!("arxosrt-sim [--seeds N] [--start SEED] [--steps K]: not understood: {}", pair.join(" "));
                return ExitCode::from(2);
            }
        }
    }
    let [(_, seeds), (_, start), (_, steps)] = options;
    let mut tally = Tally::default();
    for seed in start..start + seeds {
        match run(seed, steps as usize, None) {
            Ok(one) => tally += one,
            Err(failure) => {
                failure.trace.iter().for_each(|line| println!("{line}"));
                println!("seed {} fails at step {}: {}", failure.seed, failure.step, failure.complaint);
                println!("again: arxosrt-sim --start {} --seeds 1 --steps {steps}", failure.seed);
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{seeds} seeds from {start}, {steps} steps each: all well\n{tally:#?}");
    ExitCode::SUCCESS
}
