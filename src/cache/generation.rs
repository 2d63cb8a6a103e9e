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

/// Tags that were raised together, each with what it was and what it is since, with nothing in between.
#[derive(Debug)]
pub struct Raised {
    renewed: SmallVec<[(Arc<Generation>, Hold); 4]>,
    count: u64,
}

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

    /// The same for several tags, for one who knows what has changed and brings up to date what was captured before: see
    /// [`Captured::carried`].
    pub fn raise(&self, tags: &[Tag]) -> Raised {
        let mut raised = Raised { renewed: SmallVec::new(), count: 0 };
        for tag in tags {
            let mut part = self.0.part(tag);
            // What nobody holds, nobody can bring up to date.
            let Some(old) = part.get_mut(tag) else { continue };
            let new = self.0.generation(tag);
            let old = std::mem::replace(old, new.clone());
            old.is_over.store(true, Ordering::Release);
            raised.count += u64::from(old.entries.load(Ordering::Relaxed));
            raised.renewed.push((old, Hold(new)));
        }
        raised
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
        let generation = self.generation(tag);
        part.insert(tag.clone(), generation.clone());
        Hold(generation)
    }

    /// A new one, with a holder.
    fn generation(self: &Arc<Table>, tag: &Tag) -> Arc<Generation> {
        Arc::new(Generation {
            tag: tag.clone(),
            table: self.clone(),
            is_over: AtomicBool::new(false),
            holders: AtomicU32::new(1),
            entries: AtomicU32::new(0),
        })
    }
}

impl Clone for Hold {
    fn clone(&self) -> Hold {
        self.holders.fetch_add(1, Ordering::AcqRel);
        Hold(self.0.clone())
    }
}

impl Raised {
    /// How many entries had any of the tags; one that had several counts for each.
    pub fn count(&self) -> u64 {
        self.count
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

    /// As if it had been captured right after tags were raised: for a value that has, or will have, what they were raised
    /// for. None if anything else of it was raised since it was captured, or any of those tags before.
    pub fn carried(self, raised: &Raised) -> Option<Captured> {
        let Captured { generations, strategy, held: Held { epoch, tags } } = self;
        let carry = |hold: Hold| {
            let renewed = raised.renewed.iter().find(|(old, _)| Arc::ptr_eq(old, &hold.0));
            renewed.map_or(hold, |(_, new)| new.clone())
        };
        let tags = tags.into_vec().into_iter().map(carry).collect();
        let carried = Captured { generations, strategy, held: Held { epoch, tags } };
        carried.is_current().then_some(carried)
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
    fn what_is_brought_up_to_date_goes_on_unless_something_else_was_raised() {
        let generations = Generations::new(1);
        let tags = [tag("objects:1"), tag("floor:1")];
        let capture = || generations.capture(PLANS, &tags);
        let raise = || generations.raise(&[tag("objects:1"), tag("nobody's")]);

        let carried = capture().carried(&raise()).expect("nothing else was raised");
        assert!(carried.is_current());
        let carried = carried.carried(&raise()).expect("and once more");
        generations.bump(&tag("objects:1"));
        assert!(!carried.is_current(), "what is raised later counts");

        let (before, between) = (capture(), capture());
        generations.bump(&tag("objects:1"));
        assert!(before.carried(&raise()).is_none(), "raised by somebody else before");
        generations.bump(&tag("floor:1"));
        assert!(between.carried(&raise()).is_none(), "another tag of it");
        let (before, raised) = (capture(), raise());
        generations.bump(&tag("objects:1"));
        assert!(before.carried(&raised).is_none(), "raised by somebody else since");
        let (before, raised) = (capture(), raise());
        generations.bump_all();
        assert!(before.carried(&raised).is_none(), "everything was");
        drop(raised);
        assert_eq!(generations.tags(), 0, "nobody holds anything");
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
