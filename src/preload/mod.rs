//! The preloader: where will people go next, and what of it is worth loading before they ask?
//!
//! This module predicts and decides; it loads nothing, knows no clock, and draws no lots but with a seed. The way of one
//! signal, from what somebody did to what is loaded ahead:
//!
//! 1. `signal` says what people do; [`Preloader`] gives floors, people and sessions numbers (`names`);
//! 2. `model` is a table of what followed what, read from the longest known context to the shortest, and then from the
//!    building's shape (`structure`); `ahead` looks through steps that are too quick to load in between, and `popular` says
//!    what anybody may want;
//! 3. `calibration` turns what the model says into how often that came true;
//! 4. `planner` compares it with thresholds and `budget` with what people asked for, and each word of it is kept for
//!    `explain`;
//! 5. `feedback` counts what became of each preload. A source of predictions that does not pay switches itself off.
//!
//! `engine` ties 2 to 5 together over bare numbers, so that recorded traces of anything can be run through the same
//! code. Everything is bounded, and the same inputs with the same seed give the same proposals.

pub mod ahead;
pub mod budget;
pub mod calibration;
pub mod engine;
pub mod explain;
pub mod feedback;
pub mod model;
mod names;
pub mod parts;
pub mod planner;
pub mod popular;
mod preloader;
pub mod signal;
pub mod snapshot;
pub mod structure;
mod table;

pub use explain::{Considered, Explanation, Verdict};
pub use feedback::{Outcome, Served, Waste};
pub use planner::Settings;
pub use preloader::{Cached, Demand, Ended, Preloader, Proposal, Summary};
pub use signal::{Signal, What};
pub use snapshot::Snapshot;

/// What is visited: the number of a floor, or of anything else in a recorded trace.
pub type Item = u32;

/// On whose word something is predicted. The names are part of the operators' interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Source {
    /// What this person did here before.
    Habit,
    /// What others did after the same two steps.
    TwoSteps,
    /// What others did after the same step.
    OneStep,
    /// Where people of this building mostly are.
    Building,
    /// Many want it, whoever they are.
    Popular,
    /// The building's shape: floors above and below, shared stairs, where others edit.
    Structure,
    /// What visitors of a floor read of it.
    Parts,
    /// The client said so.
    Hint,
}

impl Source {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// All, in order.
    pub const ALL: [Source; Source::COUNT] = [
        Source::Habit,
        Source::TwoSteps,
        Source::OneStep,
        Source::Building,
        Source::Popular,
        Source::Structure,
        Source::Parts,
        Source::Hint,
    ];

    /// Its place in [`Source::ALL`]: what a cache entry remembers of who had it loaded.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The source with this number.
    pub fn of_number(number: u8) -> Option<Source> {
        Source::ALL.get(usize::from(number)).copied()
    }

    /// The name for operators and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Habit => "habit",
            Source::TwoSteps => "two_steps",
            Source::OneStep => "one_step",
            Source::Building => "building",
            Source::Popular => "popular",
            Source::Structure => "structure",
            Source::Parts => "parts",
            Source::Hint => "hint",
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// Mixes words into one that is the same in every process: what a snapshot and a seed can rely on.
pub(crate) fn mix(words: &[u64]) -> u64 {
    words.iter().fold(0x9e37_79b9_7f4a_7c15, |state, word| {
        // SplitMix64's finaliser (Steele, Lea and Flood 2014).
        let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_found_by_its_number_and_has_a_name_of_its_own() {
        for (at, source) in Source::ALL.into_iter().enumerate() {
            assert_eq!((usize::from(source.number()), Source::of_number(at as u8)), (at, Some(source)));
            assert_eq!(Source::ALL.iter().filter(|other| other.as_str() == source.as_str()).count(), 1);
        }
        assert_eq!(Source::of_number(Source::COUNT as u8), None);
    }
}
