//! One shard of what is kept in this process: a map with a ceiling of bytes, an order of leaving, and proof of validity.
//!
//! Owned by whoever holds it, alone; [`super::shards`] puts several behind locks. What always holds, checked beside a
//! plain model in `tests`:
//!
//! - the bytes charged never exceed the ceiling, not even while something is put;
//! - nothing is given out after `ttl_ms + stale_ms`, nor after anything that it was loaded after has been raised;
//! - whatever nobody asks for leaves, whatever its priority, once enough others have been put;
//! - no call costs more than the entries it lets go, at most [`PASSES_MAX`] passed over for each.
//!
//! A strategy's `items_max` is kept by a second chance of its own: its entries are also chained by age, those that were
//! asked for since the hand last came by are spared, and the first other one goes. So a strategy at its bound gives up
//! its own coldest and costs nobody else anything.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::FixedState;

use crate::time::Mono;

use super::arena::{Arena, NONE};
use super::chain::{BY_STRATEGY, Chain};
use super::entry::{Entry, Found, Hit, Links, Node, Phase, Place, Put, Summary, seconds};
use super::generation::Generations;
use super::index::Index;
use super::key::{Key, Tag};
use super::queues::{PASSES_MAX, PROBATION_MS, PROBATION_PERCENT, Queues};
use super::stats::{Reason, Stats};
use super::strategy::{Strategies, Strategy, StrategyId};

/// The largest part of a shard that one entry may take: a pause to make room for it stays short, and one value does not
/// empty the cache.
const ENTRY_PERCENT_MAX: u64 = 25;

/// The same for an entry that was loaded ahead: all that such entries have. A floor with all its objects may be as large as
/// that, and is what loading ahead is for.
const PRELOADED_PERCENT_MAX: u64 = PROBATION_PERCENT;

/// What an entry takes besides its value and id, as measured with two tags: what [`Settings::entry_overhead`] should be
/// where memory matters.
pub const ENTRY_OVERHEAD: u32 = 160;

/// How many slots one page looks at.
const PAGE_SLOTS_MAX: u32 = 1024;

/// How large a shard may become.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The ceiling of what all entries are charged.
    pub bytes_max: u64,
    /// What each entry is charged besides its weight.
    pub entry_overhead: u32,
}

/// Which entries a list is to have.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those of this strategy.
    pub strategy: Option<StrategyId>,
    /// Only those with this tag.
    pub tag: Option<Tag>,
}

/// One shard. See the module.
#[derive(Debug)]
pub struct Local<V> {
    settings: Settings,
    strategies: Arc<Strategies>,
    generations: Generations,
    hasher: FixedState,
    index: Index,
    arena: Arena<Node<V>>,
    queues: Queues,
    kinds: Box<[Kind]>,
    /// How many entries each strategy has, in all shards.
    items: Arc<[AtomicU64]>,
    /// Where the sweep goes on.
    swept: u32,
}

/// What a shard has of a strategy.
#[derive(Debug)]
struct Kind {
    chain: Chain<BY_STRATEGY>,
    stats: Stats,
}

/// What an entry that is put again has from its predecessor.
struct Standing {
    place: Place,
    uses: u8,
    laps: u8,
    is_asked: bool,
}

impl<V: Clone> Local<V> {
    /// An empty shard. Keys come from outside, so the `seed` should be a secret.
    pub fn new(settings: Settings, strategies: Arc<Strategies>, generations: Generations, seed: u64) -> Local<V> {
        let items = (0..strategies.len()).map(|_| AtomicU64::new(0)).collect();
        Local::sharing(settings, strategies, generations, FixedState::with_seed(seed), items)
    }

    pub(super) fn sharing(
        settings: Settings,
        strategies: Arc<Strategies>,
        generations: Generations,
        hasher: FixedState,
        items: Arc<[AtomicU64]>,
    ) -> Local<V> {
        let kind = || Kind { chain: Chain::new(), stats: Stats::default() };
        Local {
            settings,
            kinds: strategies.iter().map(|_| kind()).collect(),
            strategies,
            generations,
            hasher,
            index: Index::new(),
            arena: Arena::new(),
            queues: Queues::new(settings.bytes_max),
            items,
            swept: 0,
        }
    }

    /// What there is for a key. Asking counts: for statistics, and for what stays.
    pub fn get(&mut self, key: &Key, now: Mono) -> Found<V> {
        self.get_hashed(short(self.hasher.hash_one(key)), key, now)
    }

    pub(super) fn get_hashed(&mut self, hash: u32, key: &Key, now: Mono) -> Found<V> {
        let stats = &mut self.kinds[usize::from(key.strategy.0)].stats;
        let Some(number) = self.index.find(hash, |number| self.arena.at(number).is(key)) else {
            stats.misses += 1;
            return Found::Missing;
        };
        let node = self.arena.at(number);
        let phase = node.phase(now);
        if phase == Phase::Over || !self.generations.is_current(key.strategy, &node.held) {
            stats.misses += 1;
            let reason = self.reason(number, now);
            self.let_go_to_return(number, reason, now);
            return Found::Missing;
        }
        let first_use_of = node.source;
        stats.preloaded_used += u64::from(first_use_of.is_some());
        let hit = node.value.clone().map(|value| Hit {
            value,
            age_ms: node.age_ms(now),
            left_ms: node.ends.since(now),
            load_cost_us: node.load_cost_us,
            first_use_of,
        });
        self.queues.used(&mut self.arena, number, self.strategies.get(key.strategy).priority);
        let (count, found) = match (hit, phase) {
            (None, _) => (&mut stats.negative, Found::Negative),
            (Some(hit), Phase::Fresh) => (&mut stats.hits, Found::Fresh(hit)),
            (Some(hit), Phase::Soft) => (&mut stats.soft, Found::Soft(hit)),
            (Some(hit), Phase::Stale | Phase::Over) => (&mut stats.stale, Found::Stale(hit)),
        };
        *count += 1;
        found
    }

    /// Keeps a value, or with `None` that there is none, unless something stands against it. Of the key's strategy and
    /// the captured one, which are the same, the key's counts.
    pub fn put(&mut self, key: Key, value: Option<V>, entry: Entry, now: Mono) -> Put {
        self.put_hashed(short(self.hasher.hash_one(&key)), key, value, entry, now)
    }

    pub(super) fn put_hashed(&mut self, hash: u32, key: Key, value: Option<V>, entry: Entry, now: Mono) -> Put {
        let put = self.install(hash, key.clone(), value, entry, now);
        let stats = &mut self.kinds[usize::from(key.strategy.0)].stats;
        match put {
            Put::Installed => stats.installed += 1,
            Put::Outdated => stats.outdated += 1,
            Put::TooLarge | Put::Sensitive | Put::NoRoom => stats.refused += 1,
        }
        put
    }

    fn install(&mut self, hash: u32, key: Key, value: Option<V>, entry: Entry, now: Mono) -> Put {
        let strategies = self.strategies.clone();
        let strategy = strategies.get(key.strategy);
        debug_assert_eq!(key.strategy, entry.captured.strategy(), "captured for another strategy");
        if strategy.is_sensitive {
            return Put::Sensitive;
        }
        if !entry.captured.is_current() {
            return Put::Outdated;
        }
        // That there is no value was not loaded for anybody.
        let mut source = entry.source.filter(|_| value.is_some());
        let existing = self.index.find(hash, |number| self.arena.at(number).is(&key));
        let is_wanted = existing.is_some_and(|number| self.arena.at(number).place != Place::Probation);
        source = source.filter(|_| !is_wanted);

        let weight = entry.weight.saturating_add(self.settings.entry_overhead);
        let percent = if source.is_some() { PRELOADED_PERCENT_MAX } else { ENTRY_PERCENT_MAX };
        let is_too_large = u64::from(weight) > (self.settings.bytes_max.saturating_mul(percent) / 100).max(1);
        // What was there is older than what is put, whether that can be kept or not.
        let standing = existing.map(|number| self.replace(number, now)).filter(|_| is_wanted);
        if is_too_large {
            return Put::TooLarge;
        }
        if !self.make_room(strategy, key.strategy, weight, source.is_some(), now) {
            return Put::NoRoom;
        }
        let standing_or_new = standing.as_ref().unwrap_or(&Standing::NEW);
        let number = self.arena.insert(Node {
            id: key.id,
            value,
            held: entry.captured.into_held(),
            ends: now.plus(entry.ttl_ms),
            soft_ms: entry.soft_ms,
            stale_ms: entry.stale_ms,
            put_s: seconds(now),
            weight,
            load_cost_us: entry.load_cost_us,
            hash,
            links: [Links { newer: NONE, older: NONE }; 2],
            strategy: key.strategy,
            place: standing_or_new.place,
            uses: standing_or_new.uses,
            laps: standing_or_new.laps,
            source,
            is_asked: standing_or_new.is_asked,
        });
        self.index.insert(hash, number);
        match standing {
            Some(_) => self.queues.re_enter(&mut self.arena, number),
            None => self.queues.enter(&mut self.arena, number, strategy.priority),
        }
        let kind = &mut self.kinds[usize::from(key.strategy.0)];
        kind.chain.push(&mut self.arena, number);
        kind.stats.preloaded += u64::from(source.is_some());
        self.items[usize::from(key.strategy.0)].fetch_add(1, Ordering::Relaxed);
        self.arena.at(number).held.enter();
        Put::Installed
    }

    /// Removes an entry. Says whether it was there, valid or not.
    pub fn remove(&mut self, key: &Key, now: Mono) -> bool {
        self.remove_hashed(short(self.hasher.hash_one(key)), key, now)
    }

    pub(super) fn remove_hashed(&mut self, hash: u32, key: &Key, now: Mono) -> bool {
        let found = self.index.find(hash, |number| self.arena.at(number).is(key));
        if let Some(number) = found {
            self.let_go_to_return(number, Reason::Removed, now);
        }
        found.is_some()
    }

    /// Looks at the next `budget` slots and lets go of what can no longer be given out. Says how many those were.
    pub fn sweep(&mut self, now: Mono, budget: u32) -> u32 {
        let mut gone = 0;
        for _ in 0..budget.min(self.arena.slots()) {
            let number = if self.swept < self.arena.slots() { self.swept } else { 0 };
            self.swept = number + 1;
            let Some(node) = self.arena.get(number) else { continue };
            if node.phase(now) == Phase::Over || !self.generations.is_current(node.strategy, &node.held) {
                let reason = self.reason(number, now);
                self.let_go(number, reason, now);
                gone += 1;
            }
        }
        gone
    }

    /// What is known of an entry. Asking this way counts for nothing.
    pub fn peek(&self, key: &Key, now: Mono) -> Option<Summary> {
        self.peek_hashed(short(self.hasher.hash_one(key)), key, now)
    }

    pub(super) fn peek_hashed(&self, hash: u32, key: &Key, now: Mono) -> Option<Summary> {
        let number = self.index.find(hash, |number| self.arena.at(number).is(key))?;
        Some(self.summary(self.arena.at(number), now))
    }

    /// The value that [`Local::get`] would serve; asking this way counts for nothing, not as the first use either.
    pub fn current(&self, key: &Key, now: Mono) -> Option<Hit<V>> {
        self.current_hashed(short(self.hasher.hash_one(key)), key, now)
    }

    pub(super) fn current_hashed(&self, hash: u32, key: &Key, now: Mono) -> Option<Hit<V>> {
        let number = self.index.find(hash, |number| self.arena.at(number).is(key))?;
        let node = self.arena.at(number);
        let is_served = matches!(node.phase(now), Phase::Fresh | Phase::Soft);
        let is_current = is_served && self.generations.is_current(key.strategy, &node.held);
        let value = node.value.as_ref().filter(|_| is_current)?;
        Some(Hit {
            value: value.clone(),
            age_ms: node.age_ms(now),
            left_ms: node.ends.since(now),
            load_cost_us: node.load_cost_us,
            first_use_of: node.source,
        })
    }

    /// Entries from slot `from` on, at most `limit`, and where to go on if there may be more. An entry that stays is
    /// listed once; one that comes or goes meanwhile, perhaps.
    pub fn page(&self, from: u32, limit: usize, filter: &Filter, now: Mono) -> (Vec<Summary>, Option<u32>) {
        let mut page = Vec::new();
        let end = self.arena.slots().min(from.saturating_add(PAGE_SLOTS_MAX));
        for number in from..end {
            if page.len() == limit {
                return (page, Some(number));
            }
            if let Some(node) = self.arena.get(number).filter(|node| filter.takes(node)) {
                page.push(self.summary(node, now));
            }
        }
        (page, (end < self.arena.slots()).then_some(end))
    }

    /// What was counted, by strategy.
    pub fn stats(&self) -> Vec<Stats> {
        self.kinds.iter().map(Kind::stats).collect()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.arena.len() as usize
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.arena.len() == 0
    }

    /// What they are charged.
    pub fn bytes(&self) -> u64 {
        self.queues.bytes()
    }

    /// What those are charged that were loaded ahead and that nobody has asked for.
    pub fn probation_bytes(&self) -> u64 {
        self.queues.probation_bytes()
    }

    /// Makes room for a new entry. `false`: it was loaded ahead, and what would have to go is wanted more.
    fn make_room(&mut self, strategy: &Strategy, id: StrategyId, weight: u32, is_preloaded: bool, now: Mono) -> bool {
        if strategy.items_max == 0 {
            return false;
        }
        while is_preloaded && !self.queues.has_probation_room(weight) {
            let Some(overdue) = self.queues.overdue(&self.arena, now) else { return false };
            self.make_way(overdue, Reason::Space, now);
        }
        if self.items[usize::from(id.0)].load(Ordering::Relaxed) >= strategy.items_max
            && !self.give_up_coldest(id, is_preloaded, now)
            && is_preloaded
        {
            return false;
        }
        while !self.queues.has_room(weight) {
            let strategies = &self.strategies;
            let victim = self.queues.victim(&mut self.arena, now, |node| strategies.get(node.strategy).priority);
            self.make_way(victim.expect("an entry that may be put fits into an empty shard"), Reason::Space, now);
        }
        true
    }

    /// Lets go of the strategy's coldest entry. `false`: it has none here, or none that what was loaded ahead may displace.
    pub(super) fn give_up_coldest(&mut self, strategy: StrategyId, is_for_preloaded: bool, now: Mono) -> bool {
        let chain = &mut self.kinds[usize::from(strategy.0)].chain;
        for passed in 0.. {
            let Some(oldest) = chain.oldest() else { return false };
            let is_last = passed >= PASSES_MAX.min(chain.len);
            if is_last && is_for_preloaded {
                return false;
            }
            let node = self.arena.at_mut(oldest);
            let has_its_time = node.place == Place::Probation && node.age_ms(now) <= PROBATION_MS;
            if is_last || !node.is_asked && !has_its_time {
                break;
            }
            // A guess passes over what was asked for, and does not make it any colder.
            node.is_asked &= is_for_preloaded;
            chain.spare_oldest(&mut self.arena);
        }
        let oldest = chain.oldest().expect("it was just looked at");
        self.make_way(oldest, Reason::Items, now);
        true
    }

    /// Takes the old entry of a key that is put again. What was learned of the key stays.
    fn replace(&mut self, number: u32, now: Mono) -> Standing {
        let reason = match self.reason(number, now) {
            Reason::Removed => Reason::Replaced,
            its_end => its_end,
        };
        let node = self.let_go(number, reason, now);
        Standing { place: node.place, uses: node.uses, laps: node.laps, is_asked: node.is_asked }
    }

    /// Why an entry leaves that would be let go of now.
    fn reason(&self, number: u32, now: Mono) -> Reason {
        let node = self.arena.at(number);
        if !self.generations.is_current(node.strategy, &node.held) {
            Reason::Invalidated
        } else if node.phase(now) == Phase::Over {
            Reason::Expired
        } else {
            Reason::Removed
        }
    }

    /// Lets go of an entry for another one. What could not be served any more is no loss of room, and does not count as one.
    fn make_way(&mut self, number: u32, wanted: Reason, now: Mono) {
        let reason = match self.reason(number, now) {
            Reason::Removed => wanted,
            its_end => its_end,
        };
        self.let_go(number, reason, now);
    }

    /// Lets go of an entry that is expected back soon. If people wanted it, it will find its place again.
    fn let_go_to_return(&mut self, number: u32, reason: Reason, now: Mono) {
        let node = self.let_go(number, reason, now);
        if node.place == Place::Main || node.uses > 0 {
            self.queues.remember(&node);
        }
    }

    fn let_go(&mut self, number: u32, reason: Reason, now: Mono) -> Node<V> {
        self.queues.leave(&mut self.arena, number);
        let strategy = usize::from(self.arena.at(number).strategy.0);
        self.kinds[strategy].chain.remove(&mut self.arena, number);
        self.items[strategy].fetch_sub(1, Ordering::Relaxed);
        let node = self.arena.remove(number);
        self.index.remove(node.hash, number);
        node.held.leave();
        let stats = &mut self.kinds[strategy].stats;
        stats.left.note(reason);
        if matches!(reason, Reason::Space | Reason::Items) {
            stats.ages.note(node.age_ms(now) / 1000);
        }
        if node.source.is_some() {
            stats.preloaded_wasted.note(reason);
        }
        node
    }

    fn summary(&self, node: &Node<V>, now: Mono) -> Summary {
        Summary {
            key: Key { strategy: node.strategy, id: node.id.clone() },
            weight: u64::from(node.weight),
            age_ms: node.age_ms(now),
            left_ms: node.ends.since(now),
            is_negative: node.value.is_none(),
            is_current: self.generations.is_current(node.strategy, &node.held),
            place: node.place,
            uses: node.uses,
            laps: node.laps,
            priority: self.strategies.get(node.strategy).priority,
            unused_source: node.source,
            load_cost_us: node.load_cost_us,
            tags: node.held.tags().cloned().collect(),
        }
    }
}

impl Kind {
    fn stats(&self) -> Stats {
        Stats { entries: u64::from(self.chain.len), bytes: self.chain.bytes, ..self.stats }
    }
}

impl Standing {
    const NEW: Standing = Standing { place: Place::Small, uses: 0, laps: 0, is_asked: false };
}

impl Filter {
    fn takes<V>(&self, node: &Node<V>) -> bool {
        self.strategy.is_none_or(|strategy| strategy == node.strategy)
            && self.tag.as_ref().is_none_or(|tag| node.held.tags().any(|its| its == tag))
    }
}

/// The part of a hash that a shard goes by; shards are chosen by another.
pub(super) fn short(hash: u64) -> u32 {
    (hash >> 32) as u32
}
