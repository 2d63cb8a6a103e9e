//! Prints what a prediction costs in time and memory with a full model: `cargo run --release --example preload_cost`.

use std::hint::black_box;
use std::time::Instant;

use arxosrt_core::preload::ahead::soon;
use arxosrt_core::preload::model::{CONTEXTS_MAX, Model, Past};
use arxosrt_replay::preload::web::{Web, site};
use arxosrt_replay::preload::{Access, Setup, policies::Ours, simulate::run};

/// Steps between two looks at the clock; the quickest group counts, since the machine may have other things to do.
const GROUP: usize = 5_000;

fn main() {
    let web = Web { pages: 4_000, sessions: 40_000, seed: 1 };
    let trace = site(&web);
    let mut model = Model::default();
    let mut pasts: std::collections::HashMap<u64, (Past, u64)> = std::collections::HashMap::new();
    let mut step = |model: &mut Model, access: &Access| {
        let (past, at_ms) =
            pasts.entry(access.session).or_insert((Past { user: access.user, ..Past::default() }, access.at_ms));
        model.learn(past, access.item, access.at_ms - *at_ms);
        (*past, *at_ms) = (past.and(access.item), access.at_ms);
        black_box(soon(model, past, &[]));
    };
    let groups: Vec<u64> = trace
        .accesses
        .chunks_exact(GROUP)
        .map(|group| {
            let start = Instant::now();
            group.iter().for_each(|access| step(&mut model, access));
            start.elapsed().as_nanos() as u64 / GROUP as u64
        })
        .collect();
    let mut late: Vec<u64> = groups[groups.len() / 2..].to_vec();
    late.sort_unstable();
    println!(
        "{} steps, {} of {CONTEXTS_MAX} contexts, {:.1} MB",
        trace.accesses.len(),
        model.contexts(),
        model.bytes() as f64 / 1e6
    );
    println!("learn and predict: {} ns at best, {} ns in the middle", late[0], late[late.len() / 2]);
    let setup = Setup::default();
    let mut ours = Ours::new(&trace, &setup);
    let figures = run(&trace, &setup, &mut ours);
    println!(
        "whole decision: {} ns; the preloader holds {:.1} MB",
        figures.ns_per_access,
        ours.engine.bytes() as f64 / 1e6
    );
}
