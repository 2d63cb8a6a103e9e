//! `arxosrt cache replay`: which share of a trace would the cache have answered, and which would others?
//!
//! It asks no daemon: the trace is run through the code that the daemon is built with.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use arxosrt_core::control::API_VERSION;
use arxosrt_core::control::code::Exit;
use arxosrt_replay::cache::classes::Class;
use arxosrt_replay::cache::run::{self, Outcome, Which};
use arxosrt_replay::cache::synthetic;
use arxosrt_replay::cache::trace::{ACCESSES_MAX, Trace};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::{CacheReplay, Format, Layout};
use crate::error::Failure;
use crate::output::Output;
use crate::output::rows::Row;
use crate::output::table::{Column, left, right};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// What a file that xz has compressed begins with.
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z'];

/// What became of the trace with one policy at one size.
#[derive(Debug, Serialize, Deserialize)]
struct Figures {
    capacity: u64,
    policy: String,
    /// Per cent of the accesses.
    hits: f64,
    /// Per cent of the accesses to each class, if there are classes.
    high: Option<f64>,
    medium: Option<f64>,
    low: Option<f64>,
    /// Per cent of the bytes.
    bytes: f64,
    /// How many points of `hits` the optimum has more, if it was asked for.
    below_opt: Option<f64>,
}

/// Carries it out.
pub(in crate::commands) fn run(replay: &CacheReplay, output: &mut Output) -> Result<Exit, Failure> {
    let trace = trace(replay)?;
    if trace.is_cut {
        output.remark(&format!("warning: only the first {ACCESSES_MAX} accesses were read"));
    }
    let (trace, capacities) = sized(replay, trace);
    let policies = policies(replay, &trace)?;
    let mut rows = Vec::new();
    for capacity in capacities {
        let of_each = policies
            .iter()
            .map(|which| (*which, run::run(*which, &trace, capacity, replay.classes.as_ref(), replay.seed)));
        rows.extend(figures(capacity, &of_each.collect::<Vec<_>>(), replay.classes.is_some()));
    }
    match output.format() {
        Format::Json => output.json(&json!({
            "api_version": API_VERSION,
            "kind": "CacheReplay",
            "object": {
                "accesses": trace.accesses.len(),
                "items": trace.items.len(),
                "weight": trace.total_weight(),
                "is_cut": trace.is_cut,
                "figures": rows,
            },
        }))?,
        Format::Ndjson => rows.iter().try_for_each(|row| output.json(row))?,
        Format::Name => rows.iter().try_for_each(|row| output.line(&row.policy))?,
        Format::Table => {
            output.line(&format!("{} accesses to {} distinct items", trace.accesses.len(), trace.items.len()))?;
            output.line("")?;
            output.table(&rows)?;
        }
    }
    Ok(Exit::Ok)
}

fn trace(replay: &CacheReplay) -> Result<Trace, Failure> {
    if let Some(made) = replay.synthetic {
        return Ok(synthetic::make(made.kind(), replay.accesses as usize, replay.items as usize, replay.seed));
    }
    let path = replay.file.as_deref().unwrap_or(Path::new("-"));
    let bad = |problem: String| Failure::usage(format!("cannot replay {}: {problem}", path.display()));
    let bytes = read(path).map_err(|error| bad(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(bad(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    if bytes.starts_with(XZ) {
        return Err(bad("xz has compressed it".into()).hint("xz -dc FILE | arxosrt cache replay - …"));
    }
    if replay.format != Layout::Be32
        && let Some(at) = first_that_is_no_text(&bytes)
    {
        return Err(bad(format!("the byte {:#04x} at {at} is no text", bytes[at]))
            .hint("--format be32 reads keys of 32 bits; text must be UTF-8 without zero bytes"));
    }
    Trace::read(&bytes, replay.format.written()).map_err(|problem| bad(problem.to_string()))
}

/// Where bytes stop being UTF-8, or hold a zero byte: keys made of such would all look alike and be counted as one.
fn first_that_is_no_text(bytes: &[u8]) -> Option<usize> {
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let zero = bytes[..valid].iter().position(|byte| *byte == 0);
    zero.or((valid < bytes.len()).then_some(valid))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more shows that there is more.
    if path == Path::new("-") {
        io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The trace as it is weighed, and the sizes in that measure.
fn sized(replay: &CacheReplay, trace: Trace) -> (Trace, Vec<u64>) {
    if !replay.entries.is_empty() {
        return (trace.unweighted(), replay.entries.clone());
    }
    let total = trace.total_weight();
    let parts = replay.percent.iter().map(|percent| ((total as f64 * percent / 100.0) as u64).max(1));
    let capacities = replay.bytes.iter().copied().chain(parts).collect();
    (trace, capacities)
}

fn policies(replay: &CacheReplay, trace: &Trace) -> Result<Vec<Which>, Failure> {
    let can = |which: &Which| which.weighs() || trace.is_unweighted();
    if replay.policy.is_empty() {
        return Ok(Which::ALL.into_iter().filter(can).collect());
    }
    let wanted: Vec<Which> = replay.policy.iter().map(|policy| policy.which()).collect();
    match wanted.iter().find(|which| !can(which)) {
        Some(which) => {
            Err(Failure::usage(format!("{} counts entries, and these items differ in weight", which.as_str()))
                .hint("give the size with --entries, or leave it out"))
        }
        None => Ok(wanted),
    }
}

fn figures(capacity: u64, outcomes: &[(Which, Outcome)], has_classes: bool) -> Vec<Figures> {
    let optimum = outcomes.iter().find(|(which, _)| *which == Which::Opt).map(|(_, outcome)| outcome.total.percent());
    let row = |(which, outcome): &(Which, Outcome)| {
        let of_class = |class: Class| has_classes.then(|| outcome.classes[class as usize].percent());
        Figures {
            capacity,
            policy: which.as_str().to_owned(),
            hits: outcome.total.percent(),
            high: of_class(Class::High),
            medium: of_class(Class::Medium),
            low: of_class(Class::Low),
            bytes: outcome.bytes.percent(),
            below_opt: optimum.map(|optimum| optimum - outcome.total.percent()),
        }
    };
    outcomes.iter().map(row).collect()
}

impl Row for Figures {
    const COLUMNS: &'static [Column] = &[
        right("CAPACITY"),
        left("POLICY"),
        right("HITS %"),
        right("HIGH %"),
        right("MEDIUM %"),
        right("LOW %"),
        right("BYTES %"),
        right("BELOW OPT"),
    ];

    fn id(&self) -> &str {
        &self.policy
    }

    fn cells(&self) -> Vec<String> {
        let shown = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.2}"));
        vec![
            self.capacity.to_string(),
            self.policy.clone(),
            shown(Some(self.hits)),
            shown(self.high),
            shown(self.medium),
            shown(self.low),
            shown(Some(self.bytes)),
            shown(self.below_opt),
        ]
    }
}

#[cfg(test)]
mod tests {
    use clap::{FromArgMatches, Parser};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        replay: CacheReplay,
    }

    fn typed(words: &[&str]) -> Result<CacheReplay, clap::Error> {
        let command = <Line as clap::CommandFactory>::command();
        let matches = command.try_get_matches_from(["replay"].iter().chain(words))?;
        Line::from_arg_matches(&matches).map(|line| line.replay)
    }

    #[test]
    fn a_trace_and_a_size_are_wanted_once_each() {
        assert!(typed(&["log"]).is_err());
        assert!(typed(&["--entries", "5"]).is_err());
        assert!(typed(&["log", "--synthetic", "zipf", "--entries", "5"]).is_err());
        assert!(typed(&["log", "--entries", "5", "--percent", "1"]).is_err());
        assert!(typed(&["log", "--percent", "0"]).is_err());
        assert!(typed(&["log", "--entries", "5", "--classes", "what"]).is_err());
        assert_eq!(typed(&["log", "--percent", "0.5,20"]).unwrap().percent, [0.5, 20.0]);
    }

    #[test]
    fn what_counts_entries_is_not_shown_for_what_differs_in_weight() {
        let replay = typed(&["--synthetic", "zipf", "--items", "100", "--percent", "10"]).unwrap();
        let mut trace = trace(&replay).unwrap();
        assert_eq!(policies(&replay, &trace).unwrap(), Which::ALL);
        trace.items[3].weight = 7;
        let (trace, capacities) = sized(&replay, trace);
        assert_eq!(capacities, [10]);
        let which = policies(&replay, &trace).unwrap();
        assert_eq!(which, [Which::Ours, Which::Lru, Which::S3Fifo, Which::Sieve]);
        let asked = typed(&["--synthetic", "zipf", "--percent", "10", "--policy", "ours,arc"]).unwrap();
        assert_eq!(policies(&asked, &trace).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn figures_are_told_beside_the_optimum() {
        let replay =
            typed(&["--synthetic", "loop", "--items", "100", "--accesses", "1000", "--entries", "60"]).unwrap();
        let (trace, capacities) = sized(&replay, trace(&replay).unwrap());
        let run = |which| (which, run::run(which, &trace, capacities[0], None, 1));
        let rows = figures(60, &[run(Which::Lru), run(Which::Opt)], false);
        assert_eq!(rows[0].hits, 0.0);
        assert_eq!(rows[0].below_opt, Some(rows[1].hits));
        assert_eq!(rows[1].cells()[7], "0.00");
    }
}
