//! What became of what was loaded ahead, and which sources pay?
//!
//! Each preload ends once: **used** in time, **late** (somebody asked while it was on its way, and waited for the rest),
//! or **wasted**, for a reason. A source pays when at least its threshold's share of its preloads is asked for. One whose
//! share is surely lower (the upper end of the 95 % interval of a Beta(1,1) posterior, after [`JUDGED_LEAST`] outcomes)
//! is switched off. It goes on predicting in the shadow, and its predictions above the threshold are followed as trials;
//! when their share is surely high enough it is switched on again. Outcomes fade, so old merits do not shield a source.

use serde::{Deserialize, Serialize};

use super::Source;

/// So much must have been asked for by either kind of session before one is compared with the other.
pub const UPLIFT_LEAST: u64 = 100;

/// Outcomes before a source is judged.
pub const JUDGED_LEAST: f32 = 200.0;

/// At so many outcomes they are halved.
const FADE_AT: f32 = 800.0;

/// Standard errors of a one-sided 95 % interval.
const SURE: f32 = 1.645;

/// Why a preload was for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waste {
    /// There was no room for it any more.
    Evicted,
    /// Its time was over.
    Expired,
    /// What it was about had changed.
    Invalidated,
    /// Something newer took its place.
    Replaced,
    /// It could not be loaded, or was not let in.
    Failed,
}

impl Waste {
    /// All, in order.
    pub const ALL: [Waste; 5] = [Waste::Evicted, Waste::Expired, Waste::Invalidated, Waste::Replaced, Waste::Failed];

    /// The name for operators and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Waste::Evicted => "evicted",
            Waste::Expired => "expired",
            Waste::Invalidated => "invalidated",
            Waste::Replaced => "replaced",
            Waste::Failed => "failed",
        }
    }
}

/// How somebody's request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It was in the cache.
    Hit,
    /// It was on its way.
    Late,
    /// It had to be loaded.
    Loaded,
}

/// How a preload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody asked for it and it was there.
    Used {
        /// How long they would have waited.
        saved_ms: u64,
    },
    /// Somebody asked for it while it was on its way.
    Late {
        /// By how much less they waited.
        saved_ms: u64,
    },
    /// Nobody asked for it.
    Wasted(Waste),
}

/// One source's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Preloads proposed.
    pub issued: u64,
    /// Of them used in time.
    pub used: u64,
    /// Of them asked for while on their way.
    pub late: u64,
    /// Of them wasted, by reason, in the order of [`Waste::ALL`].
    pub wasted: [u64; Waste::ALL.len()],
    /// Waiting that was saved.
    pub saved_ms: u64,
    /// Bytes that were loaded for it.
    pub bytes: u64,
    /// Bytes of them that nobody asked for.
    pub wasted_bytes: u64,
    /// How often it was switched off.
    pub switched_off: u64,
    /// It is off.
    pub is_off: bool,
    recent: Beta,
    shadow: Beta,
}

/// Outcomes that fade, and what share of good ones they are evidence of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Beta {
    good: f32,
    all: f32,
}

/// Requests of the sessions that have nothing preloaded, or of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// What was asked for.
    pub asked: u64,
    /// Of it there.
    pub hits: u64,
}

/// What preloading gained, as the sessions without it show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uplift {
    /// How much larger the share of hits is in sessions with preloading.
    pub gained: f64,
    /// Half the width of its 95 % interval.
    pub error: f64,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    sources: [Tally; Source::COUNT],
    /// Sessions with preloading.
    pub treated: Arm,
    /// Sessions that have nothing preloaded.
    pub holdout: Arm,
    /// Loads that people waited for.
    pub demand_loads: u64,
}

impl Tally {
    /// The share of ended preloads that somebody asked for.
    pub fn precision(&self) -> Option<f64> {
        let useful = self.used + self.late;
        let ended = useful + self.wasted.iter().sum::<u64>();
        (ended > 0).then(|| useful as f64 / ended as f64)
    }
}

impl Feedback {
    /// A source's figures.
    pub fn tally(&self, source: Source) -> &Tally {
        &self.sources[source.index()]
    }

    /// May this source have things loaded?
    pub fn is_on(&self, source: Source) -> bool {
        !self.sources[source.index()].is_off
    }

    /// The share of what people would have waited for that was there because of a preload.
    pub fn recall(&self) -> Option<f64> {
        let used: u64 = self.sources.iter().map(|tally| tally.used).sum();
        let all = used + self.demand_loads;
        (all > 0).then(|| used as f64 / all as f64)
    }

    /// The gain, once both kinds of sessions have asked for [`UPLIFT_LEAST`].
    pub fn uplift(&self) -> Option<Uplift> {
        let share = |arm: Arm| (arm.asked >= UPLIFT_LEAST).then(|| arm.hits as f64 / arm.asked as f64);
        let (with, without) = (share(self.treated)?, share(self.holdout)?);
        let variance = |p: f64, arm: Arm| p * (1.0 - p) / arm.asked as f64;
        let error = 1.96 * (variance(with, self.treated) + variance(without, self.holdout)).sqrt();
        Some(Uplift { gained: with - without, error })
    }

    /// Something was proposed.
    pub fn issued(&mut self, source: Source) {
        self.sources[source.index()].issued += 1;
    }

    /// Somebody asked for something.
    pub fn demanded(&mut self, is_holdout: bool, served: Served) {
        let arm = if is_holdout { &mut self.holdout } else { &mut self.treated };
        arm.asked += 1;
        arm.hits += u64::from(served == Served::Hit);
        self.demand_loads += u64::from(served != Served::Hit);
    }

    /// A preload of `bytes` ended; `threshold` is the share from which its source pays.
    pub fn ended(&mut self, source: Source, outcome: Outcome, bytes: u64, threshold: f32) {
        let tally = &mut self.sources[source.index()];
        tally.bytes += bytes;
        match outcome {
            Outcome::Used { saved_ms } => {
                tally.used += 1;
                tally.saved_ms += saved_ms;
            }
            Outcome::Late { saved_ms } => {
                tally.late += 1;
                tally.saved_ms += saved_ms;
            }
            Outcome::Wasted(why) => {
                tally.wasted[why as usize] += 1;
                tally.wasted_bytes += bytes;
            }
        }
        tally.recent.count(!matches!(outcome, Outcome::Wasted(_)));
        if !tally.is_off && tally.recent.all >= JUDGED_LEAST && tally.recent.bound(SURE) < threshold {
            tally.is_off = true;
            tally.switched_off += 1;
            tally.shadow = Beta::default();
        }
    }

    /// What a source that is off would have had loaded was wanted, or not.
    pub fn shadowed(&mut self, source: Source, was_wanted: bool, threshold: f32) {
        let tally = &mut self.sources[source.index()];
        if !tally.is_off {
            return;
        }
        tally.shadow.count(was_wanted);
        if tally.shadow.all >= JUDGED_LEAST && tally.shadow.bound(-SURE) > threshold {
            tally.is_off = false;
            tally.recent = Beta::default();
        }
    }
}

impl Beta {
    fn count(&mut self, is_good: bool) {
        self.good += if is_good { 1.0 } else { 0.0 };
        self.all += 1.0;
        if self.all >= FADE_AT {
            (self.good, self.all) = (self.good / 2.0, self.all / 2.0);
        }
    }

    /// The posterior mean and so many of its standard deviations.
    fn bound(self, deviations: f32) -> f32 {
        let (a, b) = (self.good + 1.0, self.all - self.good + 1.0);
        let n = a + b;
        let mean = a / n;
        mean + deviations * (mean * (1.0 - mean) / (n + 1.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WASTED: Outcome = Outcome::Wasted(Waste::Evicted);

    #[test]
    fn a_source_that_does_not_pay_is_off_until_its_shadow_does() {
        let mut feedback = Feedback::default();
        let mut outcomes = 0;
        while feedback.is_on(Source::OneStep) {
            // One of ten is used.
            let outcome = if outcomes % 10 == 0 { Outcome::Used { saved_ms: 100 } } else { WASTED };
            feedback.ended(Source::OneStep, outcome, 10, 0.2);
            outcomes += 1;
            assert!(outcomes < 500, "it must go off");
        }
        assert!(outcomes >= 200 && feedback.is_on(Source::TwoSteps));
        for _ in 0..1_000 {
            feedback.shadowed(Source::OneStep, false, 0.2);
        }
        assert!(!feedback.is_on(Source::OneStep));
        let trials = (1..).find(|_| {
            feedback.shadowed(Source::OneStep, true, 0.2);
            feedback.is_on(Source::OneStep)
        });
        assert!(trials.unwrap() < 400, "{trials:?}");
        assert_eq!(feedback.tally(Source::OneStep).switched_off, 1);
    }

    #[test]
    fn a_source_that_pays_stays_on_through_a_bad_hour() {
        let mut feedback = Feedback::default();
        for at in 0..10_000 {
            let outcome = if at % 4 == 0 { Outcome::Used { saved_ms: 1 } } else { WASTED };
            feedback.ended(Source::Structure, outcome, 10, 0.2);
            assert!(feedback.is_on(Source::Structure), "after {at}");
        }
        let tally = feedback.tally(Source::Structure);
        assert_eq!((tally.precision(), tally.wasted_bytes, tally.saved_ms), (Some(0.25), 75_000, 2_500));
    }

    #[test]
    fn the_gain_is_what_sessions_without_preloading_lack() {
        let mut feedback = Feedback::default();
        assert_eq!(feedback.uplift(), None);
        for at in 0..10_000 {
            let is_hit = at % 20 != 0 && at % 4 != 0;
            feedback.demanded(at % 20 == 0, if is_hit { Served::Hit } else { Served::Loaded });
        }
        let uplift = feedback.uplift().unwrap();
        assert!(uplift.gained > 0.7 && uplift.error < 0.05, "{uplift:?}");
    }
}
