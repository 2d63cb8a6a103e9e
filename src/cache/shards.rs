//! What is kept in this process, for many threads at once.
//!
//! A power of two of [`Local`] shards, each behind a lock that is held for one operation and never while anything is
//! waited for. A key's shard follows from its hash. Each shard has its share of the bytes; `items_max` counts over all.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use foldhash::quality::FixedState;

use crate::time::Mono;

use super::entry::{Entry, Found, Hit, Put, Summary};
use super::generation::Generations;
use super::key::Key;
use super::local::{Filter, Local, Settings, short};
use super::stats::Stats;
use super::strategy::{Strategies, StrategyId};

/// The most shards there are.
pub const SHARDS_MAX: usize = 256;

/// The shards. See the module.
#[derive(Debug)]
pub struct Shards<V> {
    shards: Box<[Mutex<Local<V>>]>,
    strategies: Arc<Strategies>,
    generations: Generations,
    hasher: FixedState,
    /// How many entries each strategy has.
    items: Arc<[AtomicU64]>,
    /// The shard that is swept next, and that gives up an entry next where another one must not.
    next: AtomicUsize,
}

/// Where a list goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The shard.
    pub shard: u32,
    /// The slot in it.
    pub slot: u32,
}

impl<V: Clone> Shards<V> {
    /// `count` empty shards, rounded up to a power of two and at most [`SHARDS_MAX`], that have `settings.bytes_max`
    /// together. Keys come from outside, so the `seed` should be a secret.
    pub fn new(
        settings: Settings,
        count: usize,
        strategies: Arc<Strategies>,
        generations: Generations,
        seed: u64,
    ) -> Shards<V> {
        let count = count.clamp(1, SHARDS_MAX).next_power_of_two();
        let hasher = FixedState::with_seed(seed);
        let items: Arc<[AtomicU64]> = (0..strategies.len()).map(|_| AtomicU64::new(0)).collect();
        let of_each = Settings { bytes_max: settings.bytes_max / count as u64, ..settings };
        let shard = || Local::sharing(of_each, strategies.clone(), generations.clone(), hasher.clone(), items.clone());
        let shards = (0..count).map(|_| Mutex::new(shard())).collect();
        Shards { shards, strategies, generations, hasher, items, next: AtomicUsize::new(0) }
    }

    /// The generations by which entries become invalid.
    pub fn generations(&self) -> &Generations {
        &self.generations
    }

    /// What there is for a key. See [`Local::get`].
    pub fn get(&self, key: &Key, now: Mono) -> Found<V> {
        let hash = self.hasher.hash_one(key);
        self.shard(hash).get_hashed(short(hash), key, now)
    }

    /// Keeps a value, unless something stands against it. See [`Local::put`].
    pub fn put(&self, key: Key, value: Option<V>, entry: Entry, now: Mono) -> Put {
        let hash = self.hasher.hash_one(&key);
        let strategy = key.strategy;
        let put = self.shard(hash).put_hashed(short(hash), key, value, entry, now);
        if put == Put::Installed {
            self.keep_items_max(strategy, now);
        }
        put
    }

    /// Removes an entry. Says whether it was there, valid or not.
    pub fn remove(&self, key: &Key, now: Mono) -> bool {
        let hash = self.hasher.hash_one(key);
        self.shard(hash).remove_hashed(short(hash), key, now)
    }

    /// Sweeps the next shard; see [`Local::sweep`]. Called once a second, it should be given a `budget` such that all are
    /// swept within a minute or so.
    pub fn sweep(&self, now: Mono, budget: u32) -> u32 {
        locked(self.turn()).sweep(now, budget)
    }

    /// What is known of an entry. Asking this way counts for nothing.
    pub fn peek(&self, key: &Key, now: Mono) -> Option<Summary> {
        let hash = self.hasher.hash_one(key);
        self.shard(hash).peek_hashed(short(hash), key, now)
    }

    /// The value that would be served. Asking this way counts for nothing. See [`Local::current`].
    pub fn current(&self, key: &Key, now: Mono) -> Option<Hit<V>> {
        let hash = self.hasher.hash_one(key);
        self.shard(hash).current_hashed(short(hash), key, now)
    }

    /// Entries from `from` on, at most `limit`, and where to go on if there may be more: a page may be short, or empty,
    /// before the last. See [`Local::page`].
    pub fn page(&self, from: Cursor, limit: usize, filter: &Filter, now: Mono) -> (Vec<Summary>, Option<Cursor>) {
        let Some(shard) = self.shards.get(from.shard as usize) else { return (Vec::new(), None) };
        let (page, next) = locked(shard).page(from.slot, limit, filter, now);
        let next = match next {
            Some(slot) => Some(Cursor { slot, ..from }),
            None if from.shard as usize + 1 < self.shards.len() => Some(Cursor { shard: from.shard + 1, slot: 0 }),
            None => None,
        };
        (page, next)
    }

    /// What was counted, by strategy, summed over the shards one after the other.
    pub fn stats(&self) -> Vec<Stats> {
        let mut total = vec![Stats::default(); self.strategies.len()];
        for shard in &self.shards {
            total.iter_mut().zip(&locked(shard).stats()).for_each(|(sum, part)| *sum += part);
        }
        total
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).len()).sum()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the entries are charged.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| locked(shard).bytes()).sum()
    }

    /// A shard that has none of a strategy at its bound has nothing of it to give up; then another one does.
    fn keep_items_max(&self, strategy: StrategyId, now: Mono) {
        let (count, max) = (&self.items[usize::from(strategy.0)], self.strategies.get(strategy).items_max);
        for _ in 0..self.shards.len() {
            if count.load(Ordering::Relaxed) <= max {
                return;
            }
            locked(self.turn()).give_up_coldest(strategy, false, now);
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Local<V>> {
        locked(&self.shards[hash as usize & (self.shards.len() - 1)])
    }

    fn turn(&self) -> &Mutex<Local<V>> {
        &self.shards[self.next.fetch_add(1, Ordering::Relaxed) & (self.shards.len() - 1)]
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a shard panics only when it has broken a promise of its own, and must not be used then")
}
