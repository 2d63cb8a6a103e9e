//! `arxosrt preload replay`: would preloading have paid on these accesses?
//!
//! Runs here, on a file or on made-up traffic, with the code that the daemon decides with. No daemon is asked.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use arxosrt_core::control::code::Exit;
use arxosrt_core::preload::Settings;
use arxosrt_replay::preload::kinds::Kind;
use arxosrt_replay::preload::office::Site;
use arxosrt_replay::preload::read::{Reading, Shape, read};
use arxosrt_replay::preload::{Comparison, Figures, Setup, Trace, compare};
use serde_json::{Value, json};

use crate::args::{FileFormat, Format, Replay, Synthetic};
use crate::error::Failure;
use crate::output::Output;

/// Replays and prints.
pub(crate) fn run(replay: &Replay, output: &mut Output) -> Result<Exit, Failure> {
    let trace = trace(replay, output)?;
    let setup = Setup { cache_percent: replay.cache_percent, fetch_ms: replay.fetch_ms, seed: replay.seed };
    let comparison = compare(&trace, &setup);
    if let Some(advice) = advice(&trace, &comparison) {
        output.remark(&advice);
    }
    match output.format() {
        Format::Json => output.json(&document(replay, &trace, &comparison))?,
        Format::Ndjson => {
            for (policy, figures) in &comparison.rows {
                output.json_line(&row(policy, figures, &comparison).to_string())?;
            }
        }
        Format::Name => comparison.rows.iter().try_for_each(|(policy, _)| output.line(policy))?,
        Format::Table => table(replay, &trace, &comparison).iter().try_for_each(|line| output.line(line))?,
    }
    Ok(Exit::Ok)
}

fn trace(replay: &Replay, output: &mut Output) -> Result<Trace, Failure> {
    if let Some(kind) = replay.synthetic.map(kind) {
        let place = match &replay.building {
            Some(_) if !kind.has_buildings() => {
                return Err(Failure::usage("--building goes with --synthetic office or wander only"));
            }
            Some(folder) => Some(Site::read(folder).map_err(unreadable)?),
            None => None,
        };
        return Ok(kind.make(place, replay.seed));
    }
    let (Some(file), Some(format)) = (&replay.file, replay.format) else {
        return Err(Failure::usage("a file needs --format: sessions, columns or weblog"));
    };
    let shape = match format {
        FileFormat::Sessions => Shape::Sessions,
        FileFormat::Columns => Shape::Columns,
        FileFormat::Weblog => Shape::WebLog,
    };
    let bad = |problem: String| unreadable(format!("cannot replay {}: {problem}", file.display()));
    let reading = if file == Path::new("-") {
        read(io::stdin().lock(), shape)
    } else {
        read(BufReader::new(File::open(file).map_err(|error| bad(error.to_string()))?), shape)
    };
    let Reading { trace, lines, skipped, first_skipped } = reading.map_err(|error| bad(error.to_string()))?;
    if let Some(first) = first_skipped {
        output.remark(&format!("warning: {skipped} of {lines} lines have another format and are left out: {first}"));
    }
    Ok(trace)
}

/// A file or folder that cannot be replayed is a bad argument, as with `arxosrt cache replay`.
fn unreadable(why: String) -> Failure {
    Failure::new(Exit::Usage, "unreadable", why)
}

/// What to try where not even the oracle could load anything ahead, because nothing is small enough: from which size of
/// the cache on half of the items are.
fn advice(trace: &Trace, comparison: &Comparison) -> Option<String> {
    let part = Settings::for_cache(comparison.cache_bytes).item_bytes_max;
    let mut sizes: Vec<u64> = trace.sizes.iter().map(|bytes| u64::from(*bytes)).collect();
    sizes.sort_unstable();
    let nothing_fits = *sizes.first()? > part;
    if !nothing_fits || comparison.of("oracle").is_none_or(|oracle| oracle.preloads > 0) {
        return None;
    }
    let parts = comparison.cache_bytes.checked_div(part).unwrap_or(0).max(1);
    let percent = (sizes[sizes.len() / 2] * parts * 100).div_ceil(sizes.iter().sum::<u64>().max(1));
    let most = "no item fits into the part of the cache that is for what is loaded ahead";
    Some(match percent {
        0..=100 => format!("{most} ({part} bytes); try --cache-percent {percent}"),
        _ => format!("{most} ({part} bytes), nor would it with more: there are too few items for their size"),
    })
}

fn kind(synthetic: Synthetic) -> Kind {
    match synthetic {
        Synthetic::Office => Kind::Office,
        Synthetic::Wander => Kind::Wander,
        Synthetic::Web => Kind::Web,
        Synthetic::Tree => Kind::Tree,
        Synthetic::Shop => Kind::Shop,
        Synthetic::Repeats => Kind::Repeats,
        Synthetic::Shift => Kind::Shift,
        Synthetic::Uniform => Kind::Uniform,
    }
}

fn document(replay: &Replay, trace: &Trace, comparison: &Comparison) -> Value {
    let bins = comparison.reliability.iter().filter(|bin| bin.trials > 0.0);
    let sources = comparison.sources.iter().filter(|(_, tally)| tally.issued > 0);
    json!({
        "api_version": arxosrt_core::control::API_VERSION,
        "kind": "PreloadReplay",
        "seed": replay.seed,
        "accesses": trace.accesses.len(),
        "items": trace.sizes.len(),
        "cache_bytes": comparison.cache_bytes,
        "fetch_ms": replay.fetch_ms,
        "contexts": comparison.contexts,
        "model_bytes": comparison.model_bytes,
        "policies": comparison.rows.iter().map(|(policy, figures)| row(policy, figures, comparison)).collect::<Vec<_>>(),
        "calibration": bins.map(|bin| json!({
            "predicted": round(bin.predicted().into()),
            "observed": round(bin.observed().into()),
            "trials": bin.trials.round(),
        })).collect::<Vec<_>>(),
        "sources": sources.map(|(source, tally)| json!({
            "source": source.as_str(),
            "issued": tally.issued,
            "used": tally.used,
            "late": tally.late,
            "wasted": tally.wasted.iter().sum::<u64>(),
            "saved_ms": tally.saved_ms,
            "is_off": tally.is_off,
        })).collect::<Vec<_>>(),
    })
}

fn row(policy: &str, figures: &Figures, comparison: &Comparison) -> Value {
    json!({
        "policy": policy,
        "hit_percent": round(figures.hit_percent()),
        "gained_points": round(gained(figures, comparison)),
        "late_percent": round(figures.late_percent()),
        "precision_percent": round(figures.precision_percent()),
        "recall_percent": round(figures.recall_percent()),
        "preloads": figures.preloads,
        "preload_bytes": figures.preload_bytes,
        "demand_bytes": figures.demand_bytes,
        "extra_percent": round(figures.extra_percent()),
        "wasted_bytes": figures.wasted_bytes,
        "wasted_percent": round(figures.wasted_percent()),
        "us_per_access": figures.ns_per_access as f64 / 1000.0,
    })
}

fn table(replay: &Replay, trace: &Trace, comparison: &Comparison) -> Vec<String> {
    let (accesses, items) = (trace.accesses.len(), trace.sizes.len());
    let (percent, cache) = (replay.cache_percent, comparison.cache_bytes);
    let (contexts, bytes) = (comparison.contexts, comparison.model_bytes);
    let mut lines = vec![
        format!(
            "{accesses} accesses to {items} items; cache {percent} % = {cache} bytes; a load takes {} ms",
            replay.fetch_ms
        ),
        String::new(),
        "POLICY      HIT %  GAINED  LATE %  PRECISION %  RECALL %  EXTRA BYTES %  WASTED %  US".to_owned(),
    ];
    for (policy, figures) in &comparison.rows {
        lines.push(format!(
            "{policy:<10} {:6.1} {:+7.1} {:7.1} {:12.1} {:9.1} {:14.1} {:9.1} {:3.1}",
            figures.hit_percent(),
            gained(figures, comparison),
            figures.late_percent(),
            figures.precision_percent(),
            figures.recall_percent(),
            figures.extra_percent(),
            figures.wasted_percent(),
            figures.ns_per_access as f64 / 1000.0,
        ));
    }
    lines.push(String::new());
    lines.push(
        "Each policy may load as many bytes ahead as ours, limit all it wants; extra and wasted bytes are of those"
            .to_owned(),
    );
    lines.push("that were loaded because somebody asked.".to_owned());
    lines.push(String::new());
    lines.push("PREDICTED  OBSERVED  TRIALS".to_owned());
    for bin in comparison.reliability.iter().filter(|bin| bin.trials > 0.0) {
        lines.push(format!("{:9.2} {:9.2} {:7.0}", bin.predicted(), bin.observed(), bin.trials));
    }
    lines.push(String::new());
    lines.push("SOURCE     LOADED   USED   LATE".to_owned());
    for (source, tally) in comparison.sources.iter().filter(|(_, tally)| tally.issued > 0) {
        let off = if tally.is_off { "  switched off" } else { "" };
        lines.push(format!("{:<9} {:7} {:6} {:6}{off}", source.as_str(), tally.issued, tally.used, tally.late));
    }
    lines.push(String::new());
    lines.push(format!("The model holds {contexts} contexts in {bytes} bytes. Seed {}.", replay.seed));
    lines
}

fn gained(figures: &Figures, comparison: &Comparison) -> f64 {
    figures.hit_percent() - comparison.of("none").map_or(0.0, Figures::hit_percent)
}

fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
