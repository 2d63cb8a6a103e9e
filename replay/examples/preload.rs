//! Prints how the preloader does on made-up traces, beside simpler rules: `cargo run --release --example preload`.

use arxosrt_replay::preload::office::{Office, Site, walks};
use arxosrt_replay::preload::web::{Web, shop, site};
use arxosrt_replay::preload::{Comparison, Setup, Trace, compare};

fn main() {
    let seed = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
    let web = Web { seed, ..Web::default() };
    let office = Office { seed, ..Office::default() };
    let percent = |cache_percent| Setup { cache_percent, seed, ..Setup::default() };
    println!("seed {seed}");
    show("web 5 %", &site(&web), &percent(5.0));
    show("web 1 %", &site(&web), &percent(1.0));
    show("shop 5 %", &shop(&web), &percent(5.0));
    show("shop 20 %", &shop(&web), &percent(20.0));
    show("office 12x20, 10 %", &walks(Site::made_up(12, 20, seed), &office), &percent(10.0));
    show("office 12x20, 20 %", &walks(Site::made_up(12, 20, seed), &office), &percent(20.0));
    show("office 3x8, 40 %", &walks(Site::made_up(3, 8, seed), &office), &percent(40.0));
    let chaos = Office { random_percent: 100, ..office };
    show("random walkers, 10 %", &walks(Site::made_up(12, 20, seed), &chaos), &percent(10.0));
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
