//! Which candidates are worth it?
//!
//! One that is probable enough, and of those first the one that saves most waiting per byte: probability × load time ÷
//! bytes, less what it saves too late. **Probable enough** is a threshold on calibrated probability: .20 for a place where somebody may go, .10 for a
//! part of where they are (it is certain that they are there), .05 when the client itself says so. Below that a preload
//! is five loads for one that is used.
//!
//! The threshold alone promises nothing: cache entries may go before they are used, and many candidates just above it
//! still make a poor average. So a [`Governor`] watches what became of preloads and raises the threshold while fewer than
//! half of them are used, and lowers it again, never below where it began.

use super::Source;
use super::budget::Share;

/// Preloads for one event.
pub const PER_EVENT_MAX: usize = 5;

/// Candidates that are looked at for one event, the most probable ones.
pub const CONSIDERED_MAX: usize = 8;

/// The size that is assumed where none is known.
pub const BYTES_ASSUMED: u64 = 64 * 1024;

/// The preloader's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Off: nothing is proposed, but it goes on learning.
    pub is_on: bool,
    /// The least probability for a place.
    pub threshold: f32,
    /// The least probability for a part of where somebody is.
    pub threshold_parts: f32,
    /// The least probability for what the client hints at.
    pub threshold_hint: f32,
    /// The share of preloads that should be used.
    pub precision_goal: f32,
    /// What may be loaded.
    pub share: Share,
    /// Larger things are never preloaded.
    pub item_bytes_max: u64,
    /// Preloads of one person that are not finished.
    pub under_way_per_user: usize,
    /// Preloads of all that are not finished.
    pub under_way: usize,
    /// Sessions of a thousand that have nothing preloaded, so that the gain can be measured.
    pub holdout_permille: u32,
    /// How long a preload stays unused, until that has been learnt: whoever wants it must come within that time.
    pub horizon_ms: u64,
    /// Chooses the sessions that have nothing preloaded.
    pub seed: u64,
}

impl Settings {
    /// The defaults for a cache of so many bytes: neither a single preload nor all that is saved up may push out more
    /// than a twentieth of it.
    pub fn for_cache(cache_bytes: u64) -> Self {
        let twentieth = (cache_bytes / 20).max(1);
        Settings {
            is_on: true,
            threshold: 0.20,
            threshold_parts: 0.10,
            threshold_hint: 0.05,
            // A little more than half, since what is learnt on the way counts as well.
            precision_goal: 0.53,
            share: Share { asked_permille: 300, loaded_permille: 400, burst_bytes: twentieth.min(8 << 20) },
            item_bytes_max: twentieth,
            under_way_per_user: 8,
            under_way: 64,
            holdout_permille: 50,
            horizon_ms: 5 * 60_000,
            seed: 0,
        }
    }

    /// The least probability for candidates of a source, before the governor has its say.
    pub fn threshold_of(&self, source: Source) -> f32 {
        match source {
            Source::Parts => self.threshold_parts,
            Source::Hint => self.threshold_hint,
            _ => self.threshold,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings::for_cache(256 << 20)
    }
}

/// What it costs to load something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Its size.
    pub bytes: u64,
    /// How long people would wait for it.
    pub load_ms: u64,
}

impl Cost {
    /// What loading it ahead saves per byte, on average.
    pub fn benefit(self, p: f32) -> f32 {
        p * self.load_ms.max(1) as f32 / self.bytes.max(1) as f32
    }
}

/// Raises the threshold until as many preloads are used as should be, and until what passes it can be paid for.
///
/// A preload that is not used lifts it by the goal's part of a step, one that is used lowers it by the rest: it stays
/// where it is when the share of used ones is the goal. What bytes are lacking for lifts it as well, by
/// [`REFUSED_GOAL`] in the same way: else the first to come would spend what better ones need a moment later. The
/// larger of the two counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Governor {
    goal: f32,
    /// For want of use.
    unused: f32,
    /// For want of bytes.
    scarce: f32,
}

/// The share of what passes the threshold that bytes may be lacking for.
const REFUSED_GOAL: f32 = 0.2;

/// How far one outcome moves the threshold at most.
const STEP: f32 = 0.004;

/// What each candidate that is passed over gives back of a step.
const LEAK_UNUSED: f32 = 0.001;

/// The same where there would have been bytes for it.
const LEAK_SCARCE: f32 = 0.02;

/// The threshold is raised at most by so much: until small things must be more probable than not.
pub const RAISED_MAX: f32 = 1.3;

impl Governor {
    /// A governor that has raised nothing.
    pub fn new(goal: f32) -> Self {
        Governor { goal: goal.clamp(0.0, 1.0), unused: 0.0, scarce: 0.0 }
    }

    /// A preload was used, or not.
    pub fn outcome(&mut self, was_used: bool) {
        let by = if was_used { self.goal - 1.0 } else { self.goal };
        self.unused = (self.unused + STEP * by).clamp(0.0, RAISED_MAX);
    }

    /// There were bytes for something that passed the threshold, or not.
    pub fn asked_budget(&mut self, was_refused: bool) {
        let by = if was_refused { 1.0 - REFUSED_GOAL } else { -REFUSED_GOAL };
        self.scarce = (self.scarce + STEP * by).clamp(0.0, RAISED_MAX);
    }

    /// Something did not pass the threshold that would have passed it unraised; `is_payable`: there were bytes for it.
    /// So what is raised too far sinks again, though nothing passes that could show it.
    pub fn passed_over(&mut self, is_payable: bool) {
        self.unused = (self.unused - STEP * LEAK_UNUSED).max(0.0);
        if is_payable {
            self.scarce = (self.scarce - STEP * LEAK_SCARCE).max(0.0);
        }
    }

    /// By how much thresholds are raised.
    pub fn raised(&self) -> f32 {
        self.unused.max(self.scarce)
    }
}

/// What things mostly weigh, and so what a large one has to be more probable.
///
/// A preload is paid in bytes and pays in waits that are spared, so of two that are as probable the smaller one is worth
/// more. Its threshold is lower, that of a larger one higher, by the root of what it weighs beside the usual: half the
/// way from counting preloads alone to counting bytes alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sizes {
    usual: f32,
}

/// The threshold is moved at most so far: to two fifths, and to twice as much.
const TOLL: (f32, f32) = (0.4, 2.0);

/// How fast the usual size follows.
const SIZE_RATE: f32 = 1.0 / 256.0;

impl Sizes {
    /// Somebody asked for something of this size.
    pub fn asked(&mut self, bytes: u64) {
        let bytes = bytes.max(1) as f32;
        self.usual = if self.usual > 0.0 { self.usual + (bytes - self.usual) * SIZE_RATE } else { bytes };
    }

    /// By what the threshold for something of this size is multiplied.
    pub fn toll(&self, bytes: u64) -> f32 {
        if self.usual > 0.0 { (bytes.max(1) as f32 / self.usual).sqrt().clamp(TOLL.0, TOLL.1) } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mix;
    use super::*;

    #[test]
    fn the_governor_finds_the_threshold_at_which_half_is_used() {
        for seed in 0..5 {
            let mut governor = Governor::new(0.5);
            let (mut used, mut all) = (0, 0);
            for step in 0..50_000_u64 {
                // Candidates of any probability, and what is true is half of it.
                let p = (mix(&[seed, step]) % 1000) as f32 / 1000.0;
                if p < 0.2 + governor.raised() {
                    continue;
                }
                let was_used = (mix(&[seed, step, 1]) % 1000) as f32 / 1000.0 < p * 0.65;
                governor.outcome(was_used);
                if step > 10_000 {
                    (used, all) = (used + u32::from(was_used), all + 1);
                }
            }
            let precision = f64::from(used) / f64::from(all);
            assert!((precision - 0.5).abs() < 0.03, "seed {seed}: {precision}");
        }
    }

    #[test]
    fn what_bytes_are_lacking_for_raises_the_threshold_and_it_sinks_when_there_are_some() {
        let mut governor = Governor::new(0.5);
        (0..200).for_each(|_| governor.asked_budget(true));
        let raised = governor.raised();
        assert!(raised > 0.5, "{raised}");
        (0..1_000).for_each(|_| governor.passed_over(false));
        assert_eq!(governor.raised(), raised);
        (0..20_000).for_each(|_| governor.passed_over(true));
        assert_eq!(governor.raised(), 0.0, "even when nothing passes any more");
    }

    #[test]
    fn the_smaller_the_sooner_wanted_the_slower_the_better() {
        let cost = Cost { bytes: 1000, load_ms: 100 };
        assert!(cost.benefit(0.5) > cost.benefit(0.4));
        assert!(Cost { bytes: 500, ..cost }.benefit(0.4) > cost.benefit(0.5));
        assert!(Cost { load_ms: 300, ..cost }.benefit(0.4) > cost.benefit(0.5));
        assert!(Cost { bytes: 0, load_ms: 0 }.benefit(0.4).is_finite());
    }

    #[test]
    fn what_is_smaller_than_usual_may_be_less_probable_and_what_is_larger_must_be_more() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.toll(5), 1.0, "nothing is usual yet");
        (0..1_000).for_each(|_| sizes.asked(10_000));
        assert!((sizes.toll(10_000) - 1.0).abs() < 0.01 && (sizes.toll(4_900) - 0.7).abs() < 0.01);
        assert_eq!((sizes.toll(0), sizes.toll(u64::MAX)), TOLL);
    }
}
