//! Is ours worth it, and is it better than simpler rules that load as much?
//!
//! Ours runs first, with the settings that a daemon has by itself. Each simple rule is then given the same bytes to load
//! ahead, in proportion to what was asked for, and is tried with several limits of its own; the one with the most hits
//! counts. So a rule loses only where it chooses worse. The oracle knows what each session asks for next.

use arxosrt_core::preload::Source;
use arxosrt_core::preload::calibration::{BINS, Bin};
use arxosrt_core::preload::feedback::{Tally, Uplift};

use super::policies::{Allowance, Nothing, Ours, Rule, Simple};
use super::simulate::{Figures, Setup, run};
use super::trace::Trace;

/// Everything about one trace.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Each policy's figures: nothing first, ours second.
    pub rows: Vec<(&'static str, Figures)>,
    /// What ours said, by tenths, and how often that came true.
    pub reliability: [Bin; BINS],
    /// What each source of ours did.
    pub sources: Vec<(Source, Tally)>,
    /// The gain, as ours measures it with the sessions that have nothing preloaded.
    pub uplift: Option<Uplift>,
    /// Contexts of our model at the end.
    pub contexts: usize,
    /// Bytes of our model at the end.
    pub model_bytes: usize,
    /// By how much thresholds were raised at the end.
    pub raised: f32,
    /// The size of the cache.
    pub cache_bytes: u64,
}

impl Comparison {
    /// The figures of a policy.
    pub fn of(&self, name: &str) -> Option<&Figures> {
        self.rows.iter().find(|(known, _)| *known == name).map(|(_, figures)| figures)
    }
}

/// Limits that simple rules are tried with: how many at once.
const MOST: [usize; 3] = [1, 2, 5];

/// And how sure the chain must be.
const LEAST: [f64; 6] = [0.0, 0.1, 0.2, 0.3, 0.5, 0.7];

/// Runs all policies over a trace.
pub fn compare(trace: &Trace, setup: &Setup) -> Comparison {
    let mut ours = Ours::new(trace, setup);
    let nothing = run(trace, setup, &mut Nothing);
    let figures = run(trace, setup, &mut ours);
    let mut rows = vec![("none", nothing), ("ours", figures)];
    let start = ours.engine.settings().share.burst_bytes as f64;
    let share = (figures.preload_bytes as f64 - start).max(0.0) / figures.asked_bytes.max(1) as f64;
    let start = start.min(figures.preload_bytes as f64);
    let best = |rule: Rule| {
        let tried =
            MOST.map(|most| run(trace, setup, &mut Simple::new(rule, most, Allowance::new(share, start), trace)));
        better(tried)
    };
    if !trace.buildings.is_empty() {
        rows.push(("adjacent", best(Rule::Adjacent)));
    }
    rows.push(("popular", best(Rule::Popular)));
    rows.push(("markov", better(LEAST.map(|least| best(Rule::Markov { least })))));
    let unlimited = Allowance::new(0.0, f64::INFINITY);
    rows.push(("oracle", run(trace, setup, &mut Simple::new(Rule::Oracle, 1, unlimited, trace))));
    let engine = &ours.engine;
    Comparison {
        rows,
        reliability: *engine.calibration().reliability(),
        sources: Source::ALL.iter().map(|source| (*source, engine.feedback().tally(*source).clone())).collect(),
        uplift: engine.feedback().uplift(),
        contexts: engine.model().contexts(),
        model_bytes: engine.model().bytes(),
        raised: engine.raised(),
        cache_bytes: setup.cache_bytes(trace),
    }
}

fn better<const N: usize>(tried: [Figures; N]) -> Figures {
    tried.into_iter().max_by_key(|figures| figures.hits).unwrap_or_default()
}
