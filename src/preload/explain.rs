//! Why was something loaded ahead, or why not?
//!
//! Each candidate that was looked at leaves a verdict, and the last ones of each person are kept for operators.

use super::{Item, Source};

/// What was decided about a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It is loaded.
    Issued,
    /// Its probability is below this threshold.
    UnderThreshold {
        /// The threshold at that moment.
        threshold: f32,
        /// What it is as configured.
        configured: f32,
        /// It is raised: too little of what was loaded ahead was used.
        is_raised: bool,
        /// It is raised: this has more bytes than most, and gains no more.
        is_large: bool,
    },
    /// It would be wanted before it had come.
    TooSoon,
    /// It is in the cache.
    Resident,
    /// It is being loaded.
    UnderWay,
    /// It has more bytes than a preload may have.
    TooLarge,
    /// Its source does not pay and is switched off.
    SourceOff,
    /// The session is one of those that show how it is without.
    Holdout,
    /// Better ones took all there may be of one event, person, or altogether.
    TooMany,
    /// What may be loaded without being asked for is used up.
    Budget,
    /// The preloader is switched off.
    Off,
}

impl Verdict {
    /// The name for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Issued => "issued",
            Verdict::UnderThreshold { .. } => "under_threshold",
            Verdict::TooSoon => "too_soon",
            Verdict::Resident => "resident",
            Verdict::UnderWay => "under_way",
            Verdict::TooLarge => "too_large",
            Verdict::SourceOff => "source_off",
            Verdict::Holdout => "holdout",
            Verdict::TooMany => "too_many",
            Verdict::Budget => "budget",
            Verdict::Off => "off",
        }
    }
}

/// A candidate that was looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Considered {
    /// What.
    pub item: Item,
    /// On whose word.
    pub source: Source,
    /// What the source said.
    pub raw: f32,
    /// What that means.
    pub p: f32,
    /// Wanted within this time, that is. Several of these can come true.
    pub within_ms: u64,
    /// What was decided.
    pub verdict: Verdict,
}

impl Considered {
    /// For people, in plain words.
    pub fn why(&self) -> String {
        let word = match self.source {
            Source::Habit => "this person went there from here before",
            Source::TwoSteps => "from here, people went there after the same two steps",
            Source::OneStep => "people went there from here",
            Source::Building => "many in this building are there",
            Source::Popular => "many want it",
            Source::Structure => "it is near, joined to here, or being edited",
            Source::Parts => "visitors of this floor mostly read it",
            Source::Hint => "the client said that it may be next",
        };
        let percent = |p: f32| format!("{:.0} %", p * 100.0);
        let verdict = match self.verdict {
            Verdict::Issued => "it is loaded".to_owned(),
            Verdict::UnderThreshold { threshold, configured, is_raised, is_large } => {
                let why = match (is_raised, is_large) {
                    (true, true) => "too little of what was loaded ahead was used, and this is large",
                    (true, false) => "too little of what was loaded ahead was used",
                    (false, true) => "this is large for what it gains",
                    (false, false) => "",
                };
                match why {
                    "" => format!("it needs {}", percent(threshold)),
                    why => {
                        format!("it needs {}, not the configured {}: {why}", percent(threshold), percent(configured))
                    }
                }
            }
            Verdict::TooSoon => "but mostly before it could be there".to_owned(),
            Verdict::Resident => "it is in the cache".to_owned(),
            Verdict::UnderWay => "it is being loaded".to_owned(),
            Verdict::TooLarge => "it is larger than a preload may be".to_owned(),
            Verdict::SourceOff => "but too few preloads for that reason were used, so they are switched off".to_owned(),
            Verdict::Holdout => "but this session has nothing preloaded, to show how it is without".to_owned(),
            Verdict::TooMany => "but there are as many preloads as there may be".to_owned(),
            Verdict::Budget => "but the bytes that may be loaded without being asked for are used up".to_owned(),
            Verdict::Off => "but the preloader is switched off".to_owned(),
        };
        let minutes = (self.within_ms / 60_000).max(1);
        format!("{word}: in {} of such cases wanted within {minutes} min; {verdict}", percent(self.p))
    }
}

/// What was last decided for a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation<Name> {
    /// Where they were.
    pub at: Name,
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
    /// The session has nothing preloaded.
    pub is_holdout: bool,
    /// The candidates, the most promising first.
    pub candidates: Vec<(Name, Considered)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_sentences_not_codes() {
        let under = |threshold, is_raised, is_large| Verdict::UnderThreshold {
            threshold,
            configured: 0.2,
            is_raised,
            is_large,
        };
        let considered = Considered {
            item: 3,
            source: Source::Structure,
            raw: 0.35,
            p: 0.12,
            within_ms: 300_000,
            verdict: under(0.2, false, false),
        };
        let near = "it is near, joined to here, or being edited: in 12 % of such cases wanted within 5 min;";
        assert_eq!(considered.why(), format!("{near} it needs 20 %"));
        for (is_raised, is_large, why) in [
            (true, false, "too little of what was loaded ahead was used"),
            (false, true, "this is large for what it gains"),
            (true, true, "too little of what was loaded ahead was used, and this is large"),
        ] {
            let raised = Considered { verdict: under(0.33, is_raised, is_large), ..considered };
            assert_eq!(raised.why(), format!("{near} it needs 33 %, not the configured 20 %: {why}"));
        }
    }
}
