//! Each safeguard, taken away, is noticed by the simulation within [`SEEDS_MAX`] seeds.

use arxosrt_core::lock::guard;
use arxosrt_sim::edits;
use arxosrt_sim::world::{Broken, run};

const SEEDS_MAX: u64 = 150;
const STEPS: usize = 300;

#[test]
fn the_simulation_notices_every_safeguard_that_is_missing() {
    let core = guard::ALL.into_iter().map(Broken::Core);
    let all = core.chain([Broken::CommitBeforeTell, Broken::TokenReserve]);
    let mut unnoticed = Vec::new();
    for broken in all {
        let failure = |seed| match broken {
            Broken::Core(guard) if guard::EDITS.contains(&guard) => edits::run(seed, STEPS, Some(guard)).err(),
            _ => run(seed, STEPS, Some(broken)).err(),
        };
        match (1..=SEEDS_MAX).find_map(failure) {
            Some(failure) => println!("{broken:?}: seed {}: {}", failure.seed, short(&failure.complaint)),
            None => unnoticed.push(broken),
        }
    }
    assert!(unnoticed.is_empty(), "not noticed within {SEEDS_MAX} seeds: {unnoticed:?}");
}

fn short(complaint: &str) -> String {
    complaint.chars().take(100).collect()
}
