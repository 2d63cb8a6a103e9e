//! Is ours worth it, and is it better than simpler rules that load as much?
//!
//! Ours runs first, with the settings that a daemon has by itself. Each simple rule is then given the same bytes to load
//! ahead, in proportion to what was asked for, and is tried with several limits of its own; the one with the most hits
//! counts. So a rule loses only where it chooses worse. The oracle knows what each session asks for next and has the same
//! bytes: it says how much there was to gain. The limit is the oracle with all the bytes that it wants.

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
    rows.push(("oracle", best(Rule::Oracle)));
    let unlimited = Allowance::new(0.0, f64::INFINITY);
    rows.push(("limit", run(trace, setup, &mut Simple::new(Rule::Oracle, 1, unlimited, trace))));
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

#[cfg(test)]
mod tests {
    use arxosrt_core::preload::{Item, Settings};

    use super::super::clicks::uniform;
    use super::super::office::{Office, Site, walks};
    use super::super::trace::Access;
    use super::super::web::{Web, site};
    use super::*;

    fn beats_simple_rules(name: &str, trace: &Trace, setup: &Setup) -> Comparison {
        let comparison = compare(trace, setup);
        let ours = *comparison.of("ours").unwrap();
        for (rule, figures) in comparison.rows.iter().filter(|(rule, _)| !["ours", "oracle", "limit"].contains(rule)) {
            assert!(ours.hits > figures.hits, "{name}, seed {}: {rule} {figures:?}, ours {ours:?}", setup.seed);
        }
        let gained = ours.hit_percent() - comparison.of("none").unwrap().hit_percent();
        let is_worth_it = gained >= 7.0 && ours.precision_percent() >= 45.0 && ours.extra_percent() <= 50.0;
        assert!(is_worth_it, "{name}, seed {}: {gained} points, {ours:?}", setup.seed);
        comparison
    }

    #[test]
    fn ours_gains_more_than_simple_rules_that_load_as_much_in_offices() {
        for seed in 1..3 {
            let office = Office { people: 60, sessions: 15, seed, ..Office::default() };
            let setup = Setup { cache_percent: 10.0, seed, ..Setup::default() };
            beats_simple_rules("office", &walks(Site::made_up(12, 20, seed), &office), &setup);
        }
    }

    #[test]
    fn ours_gains_more_than_simple_rules_that_load_as_much_on_the_web() {
        for seed in 1..3 {
            let trace = site(&Web { pages: 400, sessions: 2_000, seed });
            let setup = Setup { cache_percent: 2.0, seed, ..Setup::default() };
            let comparison = beats_simple_rules("web", &trace, &setup);
            for bin in comparison.reliability.iter().filter(|bin| bin.trials >= 200.0) {
                let error = bin.predicted() - bin.observed();
                assert!(error.abs() < 0.12, "seed {seed}: {bin:?}");
            }
        }
    }

    #[test]
    fn who_goes_anywhere_wastes_little() {
        for seed in 1..3 {
            let office = Office { people: 60, sessions: 15, random_percent: 100, seed };
            let setup = Setup { cache_percent: 10.0, seed, ..Setup::default() };
            let trace = walks(Site::made_up(12, 40, seed), &office);
            let figures = run(&trace, &setup, &mut Ours::new(&trace, &setup));
            assert!(figures.wasted_percent() <= 5.0, "seed {seed}: {figures:?}");
        }
    }

    #[test]
    fn who_clicks_anything_is_left_alone() {
        let trace = uniform(&Web { pages: 400, sessions: 4_000, seed: 1 });
        let setup = Setup::default();
        let none = run(&trace, &setup, &mut Nothing);
        let figures = run(&trace, &setup, &mut Ours::new(&trace, &setup));
        assert!(figures.wasted_percent() <= 5.0, "{figures:?}");
        assert!(figures.hit_percent() > none.hit_percent() - 0.2, "{figures:?}, without {none:?}");
    }

    /// Sessions that go from one page of a pair to the other after 15 s, one session each `gap_ms`.
    fn pairs(from_ms: u64, sessions: u64, gap_ms: u64) -> impl Iterator<Item = Access> {
        (0..sessions).flat_map(move |at| {
            let (session, begin, pair) = (from_ms + at, from_ms + at * gap_ms, (at % 400) as Item * 2);
            let step = move |after, item| Access { at_ms: begin + after, session, user: None, item };
            [step(0, pair), step(15_000, pair + 1)]
        })
    }

    #[test]
    fn a_source_that_does_not_pay_goes_off_and_comes_back_when_it_would() {
        // In the rush a preload is pushed out by others within 5 s, long before anybody wants it; in the calm it stays.
        let rush = 3_000;
        let accesses = pairs(0, rush, 1_000).chain(pairs(rush * 1_000 + 60_000, 3_000, 20_000)).collect();
        let trace = Trace::new(accesses, vec![1_000; 800], Vec::new());
        let setup = Setup::default();
        let settings = Settings { holdout_permille: 0, ..Settings::for_cache(setup.cache_bytes(&trace)) };
        let mut ours = Ours::with(Settings { precision_goal: 0.0, ..settings }, &trace);
        run(&trace, &setup, &mut ours);
        let tally = ours.engine.feedback().tally(Source::OneStep);
        assert!(tally.switched_off >= 1 && !tally.is_off, "{tally:?}");
        // Next to nothing of what was loaded in the rush was used.
        assert!(tally.used > 400, "and it earns again: {tally:?}");
    }

    #[test]
    fn a_seed_repeats_everything() {
        let trace = || walks(Site::made_up(3, 10, 7), &Office { people: 20, sessions: 5, ..Office::default() });
        let (one, other) = (trace(), trace());
        assert_eq!(one.accesses, other.accesses);
        let setup = Setup::default();
        let figures = |trace: &Trace| Figures { ns_per_access: 0, ..run(trace, &setup, &mut Ours::new(trace, &setup)) };
        assert_eq!(figures(&one), figures(&other));
    }
}
