//! What has been made invalid here and Redis does not know yet?
//!
//! A change stays here until Redis has it *and* the other nodes were told. While it is here, what Redis holds of it is
//! not a value (see [`Outbox::concerns`]), so a change is in force on this node as soon as it is added, whatever state
//! the connection is in. The same change twice is one; beyond [`CHANGES_MAX`] all become [`Change::All`].
//!
//! A Redis that fails over may lose what it had confirmed. So what was settled within [`REPEAT_MS`] is kept, and is told
//! again after every reconnect: to invalidate twice does no harm.
//!
//! Pure: time comes in.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::change::Change;
use super::names::At;

/// How many changes may wait, and how many that were settled are kept.
pub const CHANGES_MAX: usize = 10_000;

/// For how long a settled change is told again after a reconnect. A failover takes seconds.
pub const REPEAT_MS: u64 = 60_000;

/// The changes that Redis does not know.
#[derive(Debug, Default)]
pub struct Outbox {
    by_number: BTreeMap<u64, Change>,
    numbers: HashMap<Change, u64>,
    added: u64,
    settled: VecDeque<(u64, Change)>,
    /// A settled change was let go of before its time, at this time.
    forgot_ms: Option<u64>,
}

impl Outbox {
    /// A change that is in force from now on. Answers its number; all up to [`Outbox::settled_up_to`] are settled.
    pub fn add(&mut self, change: Change) -> u64 {
        self.added += 1;
        // Whatever of it is under way may have been told before now, so it is told again.
        if let Some(earlier) = self.numbers.insert(change.clone(), self.added) {
            self.by_number.remove(&earlier);
        }
        self.by_number.insert(self.added, change);
        if self.by_number.len() > CHANGES_MAX {
            self.by_number.clear();
            self.numbers.clear();
            self.by_number.insert(self.added, Change::All);
            self.numbers.insert(Change::All, self.added);
        }
        self.added
    }

    /// Is a value at this place made invalid by what waits here?
    pub fn concerns(&self, at: &At) -> bool {
        if self.numbers.is_empty() {
            return false;
        }
        let waits = |change: &Change| self.numbers.contains_key(change);
        waits(&Change::All)
            || waits(&Change::Strategy(at.strategy))
            || waits(&Change::Key { home: at.home.clone(), strategy: at.strategy, id: at.id.clone() })
            || at.tags.iter().any(|tag| waits(&Change::Tag { home: at.home.clone(), tag: tag.clone() }))
    }

    /// The `count` changes that wait longest, with their numbers. They stay here until they are settled.
    pub fn first(&self, count: usize) -> Vec<(u64, Change)> {
        self.by_number.iter().take(count).map(|(number, change)| (*number, change.clone())).collect()
    }

    /// These have been told, each as it was when it had this number.
    pub fn settle(&mut self, told: Vec<(u64, Change)>, now_ms: u64) {
        for (number, change) in told {
            if self.by_number.remove(&number).is_some() {
                self.numbers.remove(&change);
            }
            self.settled.push_back((now_ms, change));
        }
        while self.settled.front().is_some_and(|(at, _)| now_ms.saturating_sub(*at) > REPEAT_MS) {
            self.settled.pop_front();
        }
        while self.settled.len() > CHANGES_MAX {
            self.settled.pop_front();
            self.forgot_ms = Some(now_ms);
        }
    }

    /// Puts back what was settled lately: Redis may have forgotten it.
    pub fn repeat(&mut self, now_ms: u64) {
        if self.forgot_ms.take().is_some_and(|at| now_ms.saturating_sub(at) <= REPEAT_MS) {
            self.settled.clear();
            self.add(Change::All);
            return;
        }
        for (at, change) in std::mem::take(&mut self.settled) {
            if now_ms.saturating_sub(at) <= REPEAT_MS && !self.numbers.contains_key(&change) {
                self.add(change);
            }
        }
    }

    /// All changes with this number or a smaller one are settled.
    pub fn settled_up_to(&self) -> u64 {
        self.by_number.first_key_value().map_or(self.added, |(number, _)| number - 1)
    }

    /// The number of the change that was added last.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.by_number.len()
    }
}

#[cfg(test)]
mod tests {
    use arxosrt_core::cache::{EntryId, StrategyId, Tag};

    use super::*;

    fn tag(text: &str) -> Change {
        Change::Tag { home: "b".into(), tag: Tag::named(text).unwrap() }
    }

    fn at(id: &str, tags: &[&str]) -> At {
        At {
            home: "b".into(),
            strategy: StrategyId(1),
            id: EntryId::new(id).unwrap(),
            tags: tags.iter().map(|text| Tag::named(text).unwrap()).collect(),
        }
    }

    #[test]
    fn a_change_concerns_exactly_what_it_names_until_it_is_settled() {
        let floors = [at("x", &["floor:1"]), at("x", &["floor:10"]), at("y", &[])];
        let key = Change::Key { home: "b".into(), strategy: StrategyId(1), id: EntryId::new("x").unwrap() };
        let elsewhere = Change::Tag { home: "c".into(), tag: Tag::named("floor:1").unwrap() };
        for (change, expected) in [
            (tag("floor:1"), [true, false, false]),
            (elsewhere, [false, false, false]),
            (key, [true, true, false]),
            (Change::Strategy(StrategyId(1)), [true, true, true]),
            (Change::Strategy(StrategyId(2)), [false, false, false]),
            (Change::All, [true, true, true]),
        ] {
            let mut outbox = Outbox::default();
            outbox.add(change.clone());
            assert_eq!(floors.each_ref().map(|at| outbox.concerns(at)), expected, "{change:?}");
            outbox.settle(outbox.first(9), 0);
            assert_eq!(floors.each_ref().map(|at| outbox.concerns(at)), [false; 3], "{change:?}");
        }
    }

    #[test]
    fn a_change_that_comes_again_while_it_is_told_is_told_again() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.add(tag("a")), 1);
        let under_way = outbox.first(9);
        assert_eq!(outbox.add(tag("a")), 2);
        assert_eq!(outbox.waiting(), 1, "the same is one");
        outbox.settle(under_way, 0);
        assert_eq!((outbox.waiting(), outbox.settled_up_to()), (1, 1));
        outbox.settle(outbox.first(9), 0);
        assert_eq!((outbox.waiting(), outbox.settled_up_to()), (0, 2));
    }

    #[test]
    fn more_than_fit_become_everything() {
        let mut outbox = Outbox::default();
        for n in 0..CHANGES_MAX {
            outbox.add(tag(&format!("t{n}")));
        }
        assert!(!outbox.concerns(&at("z", &["other"])));
        let last = outbox.add(tag("one more"));
        assert_eq!(outbox.first(2), [(last, Change::All)]);
        assert!(outbox.concerns(&at("z", &["other"])));
        outbox.settle(outbox.first(2), 0);
        assert_eq!(outbox.settled_up_to(), last);
    }

    #[test]
    fn what_was_settled_lately_is_told_again() {
        let mut outbox = Outbox::default();
        for (text, at) in [("old", 0), ("new", 50_000)] {
            outbox.add(tag(text));
            outbox.settle(outbox.first(9), at);
        }
        outbox.add(tag("waits"));
        outbox.repeat(REPEAT_MS + 1);
        let waiting: Vec<Change> = outbox.first(9).into_iter().map(|(_, change)| change).collect();
        assert_eq!(waiting, [tag("waits"), tag("new")]);
        outbox.repeat(REPEAT_MS + 1);
        assert_eq!(outbox.waiting(), 2);
    }

    #[test]
    fn if_more_was_settled_than_is_kept_everything_is_told_again() {
        let mut outbox = Outbox::default();
        for n in 0..=CHANGES_MAX {
            outbox.add(tag(&format!("t{n}")));
            outbox.settle(outbox.first(1), 5);
        }
        outbox.repeat(6);
        assert_eq!(outbox.first(9).into_iter().map(|(_, change)| change).collect::<Vec<_>>(), [Change::All]);
    }
}
