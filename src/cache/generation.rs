//! What has been said to be out of date, and is what somebody loaded older than that?
//!
//! A load captures its tags before it asks anybody, and what it brings is kept only while all that it captured still
//! holds; the same is looked at again on every read. So a fill that began before an invalidation never outlives it,
//! whichever of them comes last, and nobody needs to find the entries that a tag has: raising it is O(1).
//!
//! A generation is an object, not a number: raising a tag marks the object that everybody holds as over and takes it out
//! of the table. Whoever captures the tag next makes a new one, so a tag can leave the table with the last entry or load
//! that has it and come back without ever being taken for its former self. The table is as large as what holds it.
//!
//! Two wider groups need no tag: everything, and everything of a strategy. Both are counters that only rise, and what is
//! captured of them is their sum, which is the same again only if neither has moved.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::quality::FixedState;
use smallvec::SmallVec;

use super::key::{TAGS_MAX, Tag};
use super::strategy::{STRATEGIES_MAX, StrategyId};

/// Parts of the table of tags, each behind a lock of its own. A power of two.
const PARTS: usize = 16;

/// The generations of all tags, of all strategies, and of everything. Clones are the same table.
#[derive(Clone, Debug)]
pub struct Generations(Arc<Table>);

#[derive(Debug)]
struct Table {
    all: AtomicU64,
    strategies: [AtomicU64; STRATEGIES_MAX],
    hasher: FixedState,
    parts: [Mutex<HashMap<Tag, Arc<Generation>, FixedState>>; PARTS],
}

/// What a tag is between two times that it is raised.
#[derive(Debug)]
struct Generation {
    tag: Tag,
    table: Arc<Table>,
    /// The tag has been raised since.
    is_over: AtomicBool,
    /// Entries and loads that hold it. It leaves the table with the last.
    holders: AtomicU32,
    /// Entries among them.
    entries: AtomicU32,
}

/// What held when a load began.
#[derive(Debug)]
pub struct Captured {
    generations: Generations,
    strategy: StrategyId,
    held: Held,
}

/// The same, for an entry: without what its shard knows anyhow.
#[derive(Debug)]
pub(super) struct Held {
    epoch: u64,
    tags: Box<[Hold]>,
}

/// One of those who hold a generation.
#[derive(Debug)]
struct Hold(Arc<Generation>);

impl Generations {
    /// Nothing has been raised yet. Tags come from outside, so the `seed` should be a secret.
    pub fn new(seed: u64) -> Generations {
        let hasher = FixedState::with_seed(seed);
        Generations(Arc::new(Table {
            all: AtomicU64::new(0),
            strategies: [const { AtomicU64::new(0) }; STRATEGIES_MAX],
            parts: std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))),
            hasher,
        }))
    }

    /// What holds now. To be taken before the first question about the value is asked; at most [`TAGS_MAX`] tags.
    pub fn capture(&self, strategy: StrategyId, tags: &[Tag]) -> Captured {
        debug_assert!(tags.len() <= TAGS_MAX, "{} tags, at most {TAGS_MAX}", tags.len());
        // The wide groups first: what moves while the tags are looked up is then seen to have moved.
        let epoch = self.0.epoch(strategy);
        let mut holds: SmallVec<[Hold; TAGS_MAX]> = SmallVec::new();
        for tag in tags {
            if !holds.iter().any(|hold| hold.tag == *tag) {
                holds.push(self.0.hold(tag));
            }
        }
        Captured { generations: self.clone(), strategy, held: Held { epoch, tags: holds.into_iter().collect() } }
    }

    /// Everything with this tag is out of date. Says how many entries had it.
    pub fn bump(&self, tag: &Tag) -> u64 {
        let Some(generation) = self.0.part(tag).remove(tag) else { return 0 };
        generation.is_over.store(true, Ordering::Release);
        u64::from(generation.entries.load(Ordering::Relaxed))
    }

    /// Everything of a strategy is out of date.
    pub fn bump_strategy(&self, strategy: StrategyId) {
        self.0.strategies[usize::from(strategy.0)].fetch_add(1, Ordering::AcqRel);
    }

    /// Everything is out of date.
    pub fn bump_all(&self) {
        self.0.all.fetch_add(1, Ordering::AcqRel);
    }

    /// How many tags somebody holds.
    pub fn tags(&self) -> usize {
        self.0.parts.iter().map(|part| locked(part).len()).sum()
    }

    pub(super) fn is_current(&self, strategy: StrategyId, held: &Held) -> bool {
        held.epoch == self.0.epoch(strategy) && held.tags.iter().all(|hold| !hold.is_over.load(Ordering::Acquire))
    }
}

impl Table {
    fn epoch(&self, strategy: StrategyId) -> u64 {
        let strategy = &self.strategies[usize::from(strategy.0)];
        self.all.load(Ordering::Acquire).wrapping_add(strategy.load(Ordering::Acquire))
    }

    fn part(&self, tag: &Tag) -> MutexGuard<'_, HashMap<Tag, Arc<Generation>, FixedState>> {
        // The maps go by the other bits of the same hash.
        locked(&self.parts[(self.hasher.hash_one(tag) >> 32) as usize % PARTS])
    }

    fn hold(self: &Arc<Table>, tag: &Tag) -> Hold {
        let mut part = self.part(tag);
        if let Some(generation) = part.get(tag) {
            generation.holders.fetch_add(1, Ordering::AcqRel);
            return Hold(generation.clone());
        }
        let generation = Arc::new(Generation {
            tag: tag.clone(),
            table: self.clone(),
            is_over: AtomicBool::new(false),
            holders: AtomicU32::new(1),
            entries: AtomicU32::new(0),
        });
        part.insert(tag.clone(), generation.clone());
        Hold(generation)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.holders.fetch_sub(1, Ordering::AcqRel) > 1 || self.is_over.load(Ordering::Acquire) {
            return;
        }
        let mut part = self.table.part(&self.tag);
        // Somebody may have captured it again, or raised it, before the table was locked.
        let is_this = part.get(&self.tag).is_some_and(|generation| Arc::ptr_eq(generation, &self.0));
        if is_this && self.holders.load(Ordering::Acquire) == 0 {
            part.remove(&self.tag);
        }
    }
}

impl Deref for Hold {
    type Target = Generation;

    fn deref(&self) -> &Generation {
        &self.0
    }
}

impl Captured {
    /// Nothing that was captured has been raised since.
    pub fn is_current(&self) -> bool {
        self.generations.is_current(self.strategy, &self.held)
    }

    /// What strategy it was captured for.
    pub fn strategy(&self) -> StrategyId {
        self.strategy
    }

    pub(super) fn into_held(self) -> Held {
        self.held
    }
}

impl Held {
    pub(super) fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.tags.iter().map(|hold| &hold.tag)
    }

    /// The entry that holds this is in the cache from now on.
    pub(super) fn enter(&self) {
        self.tags.iter().for_each(|hold| _ = hold.entries.fetch_add(1, Ordering::Relaxed));
    }

    /// The entry that holds this is no longer in the cache.
    pub(super) fn leave(&self) {
        self.tags.iter().for_each(|hold| _ = hold.entries.fetch_sub(1, Ordering::Relaxed));
    }
}

/// Whoever panicked with the lock left a whole table: nothing is changed in two steps.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANS: StrategyId = StrategyId(0);
    const ROUTES: StrategyId = StrategyId(1);

    fn tag(text: &str) -> Tag {
        Tag::named(text).unwrap()
    }

    #[test]
    fn raising_a_tag_ends_what_was_captured_before_and_nothing_else() {
        let generations = Generations::new(1);
        let (one, ten) = (tag("floor:1"), tag("floor:10"));
        let of_one = generations.capture(PLANS, &[one.clone(), tag("building:b")]);
        let of_ten = generations.capture(PLANS, &[ten, tag("building:b")]);
        generations.bump(&one);
        assert!(!of_one.is_current());
        assert!(of_ten.is_current());
        assert!(generations.capture(PLANS, &[one]).is_current(), "what is captured later is younger");
        generations.bump(&tag("building:b"));
        assert!(!of_ten.is_current());
    }

    #[test]
    fn a_strategy_and_everything_can_be_raised() {
        let generations = Generations::new(1);
        let (plan, route) = (generations.capture(PLANS, &[]), generations.capture(ROUTES, &[]));
        generations.bump_strategy(ROUTES);
        assert!(plan.is_current() && !route.is_current());
        generations.bump_all();
        assert!(!plan.is_current());
        assert!(generations.capture(PLANS, &[]).is_current());
    }

    #[test]
    fn a_tag_is_known_only_while_somebody_holds_it_and_never_returns_as_it_was() {
        let generations = Generations::new(1);
        let (old, young) = {
            let old = generations.capture(PLANS, &[tag("a"), tag("a")]);
            assert_eq!(generations.tags(), 1, "a tag that is named twice is one");
            generations.bump(&tag("a"));
            assert_eq!(generations.tags(), 0);
            (old, generations.capture(PLANS, &[tag("a")]))
        };
        drop(generations.capture(PLANS, &[tag("a")]));
        assert!(young.is_current() && !old.is_current());
        drop(old);
        assert_eq!(generations.tags(), 1, "the end of the old one does not take the young one away");
        drop(young);
        assert_eq!(generations.tags(), 0);
    }

    #[test]
    fn many_hands_leave_an_empty_table() {
        let generations = Generations::new(7);
        std::thread::scope(|scope| {
            for hand in 0..4_u32 {
                let generations = &generations;
                scope.spawn(move || {
                    for turn in 0..2_000_u32 {
                        let tag = tag(&format!("t{}", (turn * 7 + hand) % 5));
                        let captured = generations.capture(PLANS, std::slice::from_ref(&tag));
                        if turn % 3 == 0 {
                            generations.bump(&tag);
                            assert!(!captured.is_current(), "what is raised by oneself is seen by oneself");
                        }
                    }
                });
            }
        });
        assert_eq!(generations.tags(), 0);
    }
}
