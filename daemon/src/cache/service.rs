//! The cache as a whole: what it is made of, and what it tells about itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arxosrt_core::cache::place::{self, Placed};
use arxosrt_core::cache::{
    Cursor, ENTRY_OVERHEAD, EntryId, Filter, Generations, Key, Settings, Shards, Strategies, StrategyId, Summary,
};
use arxosrt_core::control::SharedRow;
use arxosrt_core::directory::Directory;
use arxosrt_core::id::{RoomId, UserId};
use arxosrt_core::time::Mono;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore, mpsc};

use super::budget::Budget;
use super::figures::{CacheFigures, Count, Counts, StrategyFigures};
use super::flights::Flights;
use super::hidden::hidden;
use super::jitter::Jitter;
use super::patches::Patches;
use super::tier::{At, SharedTier, Tags};
use super::value::Held;
use crate::hub::Clock;
use crate::origin::fetch::Source;

/// How many signals wait for the preloader; one more is dropped and counted.
pub const SIGNALS_MAX: usize = 4096;

/// The part of `bytes_max` that is for loads under way: one of so many parts.
const LOADS_SHARE: u64 = 8;

/// A shard is not made smaller than this by having more of them. It bounds the largest entry: floors of 5 MB are real, and
/// one that is loaded ahead may have a tenth of a shard.
const SHARD_BYTES_LEAST: u64 = 48 << 20;

/// One of so many loads at a time may be for what nobody waits for.
const AHEAD_SHARE: usize = 4;

/// Writers of one key wait for each other; so many groups of keys do so.
const WRITERS: usize = 64;

/// How often a part of the entries is looked through for what can no longer be served, and how many at a time.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const SWEPT_AT_ONCE: u32 = 2048;

/// Bounds and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// What entries and loads under way may take.
    pub bytes_max: u64,
    /// How many loads of one strategy are with its origin at a time.
    pub loads_max: usize,
    /// How long a load may take.
    pub load_timeout: Duration,
    /// For how long values are served while the shared tier, by which others say what is invalid, is out of reach.
    pub alone_ttl_ms: u64,
}

/// What a cache is made of.
pub struct Parts {
    /// Bounds and times.
    pub settings: CacheSettings,
    /// What kinds of values there are.
    pub strategies: Strategies,
    /// Where things are.
    pub directory: Arc<Directory>,
    /// Where values come from.
    pub source: Arc<dyn Source>,
    /// What nodes share, if they do.
    pub shared: Option<Arc<dyn SharedTier>>,
    /// What time it is.
    pub clock: Clock,
    /// Where loads run.
    pub runtime: Handle,
    /// What random choices follow from, and what protects the tables against chosen keys.
    pub seed: u64,
}

/// Somebody used a value: what the preloader learns from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The person, as far as that is known.
    pub user: Option<UserId>,
    /// What kind of value.
    pub strategy: StrategyId,
    /// Which one.
    pub id: EntryId,
    /// The floor that it is about.
    pub floor: Option<RoomId>,
    /// How large it is.
    pub bytes: u64,
    /// It was there.
    pub is_hit: bool,
    /// What loading it took, when it was loaded.
    pub load_ms: u64,
    /// It had been loaded ahead, and this is the first use: by whom. With a miss it came too late: the load was still
    /// under way.
    pub first_use_of: Option<u8>,
    /// When.
    pub at: Mono,
}

/// The cache. Clones are the same one.
#[derive(Clone)]
pub struct Cache(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub settings: CacheSettings,
    pub strategies: Arc<Strategies>,
    pub directory: Arc<Directory>,
    pub source: Arc<dyn Source>,
    pub shared: Option<Arc<dyn SharedTier>>,
    pub clock: Clock,
    pub runtime: Handle,
    pub local: Shards<Held>,
    pub generations: Generations,
    pub flights: Arc<Flights>,
    pub patches: Patches,
    /// Loads that are with the origin, of each strategy: one whose origin hangs holds up no other.
    pub loads: Box<[Semaphore]>,
    /// Loads that nobody waits for.
    pub ahead: Arc<Semaphore>,
    pub budget: Budget,
    pub seed: u64,
    pub writers: [Mutex<()>; WRITERS],
    pub counts: Box<[Counts]>,
    pub jitter: Jitter,
    signals: mpsc::Sender<Signal>,
    /// Since when nobody is heard who says that values changed; 0 while all are.
    alone_since: AtomicU64,
    signals_dropped: Count,
    /// Somebody listens to the signals.
    is_heard: AtomicBool,
}

/// A cache that may be gone.
#[derive(Clone)]
pub struct WeakCache(Weak<Inner>);

impl WeakCache {
    /// The cache, if it is there.
    pub fn upgrade(&self) -> Option<Cache> {
        self.0.upgrade().map(Cache)
    }
}

impl Cache {
    /// A cache at work, and what its users' requests tell the preloader.
    pub fn start(parts: Parts) -> (Cache, mpsc::Receiver<Signal>) {
        let Parts { settings, strategies, directory, source, shared, clock, runtime, seed } = parts;
        let strategies = Arc::new(strategies);
        let generations = Generations::new(seed);
        let for_loads = settings.bytes_max / LOADS_SHARE;
        let held = held(settings.bytes_max);
        let (signals, heard) = mpsc::channel(SIGNALS_MAX);
        let inner = Inner {
            local: Shards::new(held, shards(held.bytes_max), strategies.clone(), generations.clone(), seed),
            loads: strategies.iter().map(|_| Semaphore::new(settings.loads_max)).collect(),
            ahead: Arc::new(Semaphore::new(ahead_max(&settings))),
            budget: Budget::new(for_loads, strategies.len()),
            writers: std::array::from_fn(|_| Mutex::new(())),
            counts: strategies.iter().map(|_| Counts::default()).collect(),
            jitter: Jitter::new(seed),
            flights: Arc::default(),
            patches: Patches::default(),
            alone_since: AtomicU64::new(0),
            signals_dropped: Count::default(),
            is_heard: AtomicBool::new(true),
            seed,
            settings,
            strategies,
            directory,
            source,
            shared,
            clock,
            runtime,
            generations,
            signals,
        };
        let cache = Cache(Arc::new(inner));
        let swept = Arc::downgrade(&cache.0);
        cache.0.runtime.spawn(async move {
            let mut ticks = tokio::time::interval(SWEEP_EVERY);
            loop {
                ticks.tick().await;
                let Some(inner) = swept.upgrade() else { return };
                inner.local.sweep(inner.clock.mono(), SWEPT_AT_ONCE);
            }
        });
        (cache, heard)
    }

    /// How many loads that nobody waits for are under way at once; more than that wait for each other.
    pub fn ahead_max(&self) -> usize {
        ahead_max(&self.0.settings)
    }

    /// For those who must not keep it alive.
    pub fn downgrade(&self) -> WeakCache {
        WeakCache(Arc::downgrade(&self.0))
    }

    /// What kinds of values there are.
    pub fn strategies(&self) -> &Strategies {
        &self.0.strategies
    }

    /// Where values come from.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.0.source
    }

    /// Where a value belongs.
    pub fn place(&self, strategy: StrategyId, id: &EntryId) -> Placed {
        place::place(&self.0.strategies.get(strategy).name, id, &self.0.directory)
    }

    /// What this process holds of a value. Asking counts for nothing.
    pub fn peek(&self, strategy: StrategyId, id: &EntryId) -> Option<Summary> {
        self.0.local.peek(&Key { strategy, id: id.clone() }, self.0.clock.mono())
    }

    /// What this process holds, page by page; see [`Shards::page`].
    pub fn list(&self, from: Cursor, limit: usize, filter: &Filter) -> (Vec<Summary>, Option<Cursor>) {
        self.0.local.page(from, limit, filter, self.0.clock.mono())
    }

    /// What was counted.
    pub fn stats(&self) -> CacheFigures {
        let inner = &self.0;
        let local = inner.local.stats();
        let strategies = inner.strategies.iter().zip(&local).zip(&inner.counts);
        CacheFigures {
            strategies: strategies
                .map(|(((id, strategy), local), counts)| StrategyFigures::new(id, strategy, *local, counts))
                .collect(),
            bytes: local.iter().map(|stats| stats.bytes).sum(),
            entries: local.iter().map(|stats| stats.entries).sum(),
            bytes_max: inner.settings.bytes_max,
            loading: inner.flights.under_way() as u64,
            signals_dropped: inner.signals_dropped.get(),
            shared_is_up: self.shared_is_up(),
        }
    }

    /// Whether the shared tier answers, if there is one.
    pub fn shared_is_up(&self) -> Option<bool> {
        self.0.shared.as_ref().map(|shared| shared.is_up())
    }

    /// How the shared tier fares, for operators.
    pub fn shared_row(&self) -> SharedRow {
        let Some(shared) = &self.0.shared else {
            return SharedRow { state: "off".into(), since_ms: None, address: None };
        };
        let since = shared.down_since();
        let now = self.0.clock.wall();
        SharedRow {
            state: if since.is_some() { "degraded" } else { "up" }.into(),
            since_ms: since.map(|since| u64::try_from(now.0.saturating_sub(since.0)).unwrap_or(0)),
            address: Some(shared.address().to_owned()),
        }
    }

    /// The other nodes are not heard any more, or again.
    pub fn set_alone(&self, is_alone: bool) {
        let since = if is_alone { self.0.now().0.max(1) } else { 0 };
        self.0.alone_since.store(since, Ordering::Relaxed);
    }

    /// Nobody listens to the signals: none are sent from now on.
    pub fn stop_signals(&self) {
        self.0.is_heard.store(false, Ordering::Relaxed);
    }
}

impl Inner {
    pub fn now(&self) -> Mono {
        self.clock.mono()
    }

    /// Where a value is kept in the shared tier.
    ///
    /// A sensitive value is kept under another name, which says nothing, and beside nothing else: it becomes invalid
    /// alone, or with all of its strategy.
    pub fn at(&self, key: &Key, placed: &Placed) -> At {
        let strategy = self.strategies.get(key.strategy);
        if strategy.is_sensitive {
            let (id, home) = hidden(&strategy.name, &key.id);
            return At { home: home.into(), strategy: key.strategy, id, tags: Tags::new() };
        }
        At { home: placed.home.clone(), strategy: key.strategy, id: key.id.clone(), tags: placed.tags.clone() }
    }

    /// For how long a value may be served here that was promised for `ttl_ms`.
    pub fn local_ttl_ms(&self, ttl_ms: u64) -> u64 {
        let most = if self.is_alone() { self.settings.alone_ttl_ms } else { u64::MAX };
        self.jitter.shorten(ttl_ms).min(most)
    }

    /// There are other nodes, and they are not heard.
    pub fn is_alone(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| !shared.is_up())
    }

    /// Writes or removes a value before anything that is under way: that installs nothing any more.
    pub fn overtake<T>(&self, key: &Key, write: impl FnOnce() -> T) -> T {
        self.flights.overtake(key, || self.patches.overtake(key, write))
    }

    /// Whether a value of this age is too old to be served while the other nodes are not heard: they may have changed it
    /// since.
    pub fn is_doubtful(&self, age_ms: u64) -> bool {
        let since = Mono(self.alone_since.load(Ordering::Relaxed));
        let most = self.settings.alone_ttl_ms;
        since != Mono(0) && age_ms > most && self.now().since(since) > most
    }

    pub fn signal(&self, signal: impl FnOnce() -> Signal) {
        if self.is_heard.load(Ordering::Relaxed) && self.signals.try_send(signal()).is_err() {
            self.signals_dropped.inc();
        }
    }
}

fn ahead_max(settings: &CacheSettings) -> usize {
    (settings.loads_max / AHEAD_SHARE).max(1)
}

/// What is left for entries.
fn held(bytes_max: u64) -> Settings {
    Settings { bytes_max: bytes_max - bytes_max / LOADS_SHARE, entry_overhead: ENTRY_OVERHEAD }
}

/// As many shards as give no entry less room than it should have, one below the next power of two.
fn shards(bytes_max: u64) -> usize {
    let most = std::thread::available_parallelism().map_or(1, usize::from) * 4;
    let count = usize::try_from(bytes_max / SHARD_BYTES_LEAST).unwrap_or(usize::MAX).clamp(1, most);
    1 << count.ilog2()
}

#[cfg(test)]
mod tests {
    use arxosrt_core::cache::{Entry, Put};

    use super::*;

    #[test]
    fn large_floors_are_kept_and_loaded_ahead() {
        let default = crate::config::cache::Cache::default().bytes_max;
        for (bytes_max, weight) in [(default, 5_000_000), (default + (44 << 20), 5_000_000), (16 << 20, 1_100_000)] {
            let strategies = Arc::new(Strategies::new(Strategies::known()).expect("known ones are well-formed"));
            let id = strategies.find("floor_data").expect("it is there from the start");
            let held = held(bytes_max);
            let local: Shards<()> = Shards::new(held, shards(held.bytes_max), strategies, Generations::new(1), 1);
            for source in [None, Some(1)] {
                let captured = local.generations().capture(id, &[]);
                let times = Entry { weight, captured, ttl_ms: 1000, soft_ms: 0, stale_ms: 0, load_cost_us: 0, source };
                let key = Key { strategy: id, id: EntryId::new(&format!("floor:{source:?}")).expect("a short text") };
                assert_eq!(local.put(key, Some(()), times, Mono(1)), Put::Installed, "{weight} of {bytes_max}");
            }
        }
    }
}
