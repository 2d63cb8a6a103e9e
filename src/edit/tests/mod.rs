//! What must hold of every merge and every decision, tried on random documents.
//!
//! Each run tries [`RUNS`] seeds from `EDIT_SEED` on (0 unless set); a failure names the seed.

mod any;
mod decisions;
mod fast;
mod forecasting;
mod merging;

/// How many seeds a test tries.
const RUNS: u64 = 20_000;

/// Tries seeds, and names the one that fails.
fn for_seeds(test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let first: u64 = std::env::var("EDIT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    println!("seeds from {first}");
    for seed in first..first + RUNS {
        if let Err(panic) = std::panic::catch_unwind(|| test(seed)) {
            println!("seed {seed}: EDIT_SEED={seed} tries it first");
            std::panic::resume_unwind(panic);
        }
    }
}
