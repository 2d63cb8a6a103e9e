//! Prints how the preloader does on made-up traces, beside simpler rules: `cargo run --release --example preload`.

use arxosrt_replay::preload::kinds::Kind;
use arxosrt_replay::preload::office::Site;
use arxosrt_replay::preload::{Comparison, Setup, Trace, compare};

fn main() {
    let seed = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
    let setup = |cache_percent| Setup { cache_percent, seed, ..Setup::default() };
    println!("seed {seed}");
    for kind in Kind::ALL {
        let trace = kind.make(None, seed);
        let sizes: &[f64] = if kind.has_buildings() { &[10.0, 20.0] } else { &[5.0, 20.0] };
        for percent in sizes {
            show(&format!("{} {percent} %", kind.as_str()), &trace, &setup(*percent));
        }
    }
    show("office 3x8, 40 %", &Kind::Office.make(Some(Site::made_up(3, 8, seed)), seed), &setup(40.0));
}

fn show(name: &str, trace: &Trace, setup: &Setup) {
    let comparison = compare(trace, setup);
    let Comparison { contexts, model_bytes, raised, .. } = comparison;
    println!(
        "\n{name}: {} accesses, {} items, {contexts} contexts, {model_bytes} bytes, raised {raised:.2}",
        trace.accesses.len(),
        trace.sizes.len()
    );
    println!("  policy      hit %   gain   late  prec %  recall  extra %  waste %     ns");
    let none = comparison.rows[0].1.hit_percent();
    for (name, f) in &comparison.rows {
        println!(
            "  {name:<10} {:6.1} {:6.1} {:6.1} {:7.1} {:7.1} {:8.1} {:8.1} {:6}",
            f.hit_percent(),
            f.hit_percent() - none,
            f.late_percent(),
            f.precision_percent(),
            f.recall_percent(),
            f.extra_percent(),
            f.wasted_percent(),
            f.ns_per_access
        );
    }
    for (source, tally) in comparison.sources.iter().filter(|(_, tally)| tally.issued > 0) {
        println!(
            "    {:<10} issued {:6} used {:6} late {:5} off {} {}",
            source.as_str(),
            tally.issued,
            tally.used,
            tally.late,
            tally.switched_off,
            tally.is_off
        );
    }
    if std::env::var("BINS").is_ok() {
        for bin in &comparison.reliability {
            println!("    said {:.2} was {:.2} of {:.0}", bin.predicted(), bin.observed(), bin.trials);
        }
    }
    println!("    uplift {:?}", comparison.uplift);
}
