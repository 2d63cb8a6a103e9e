//! The caches, each behind the one thing that is measured of it.

use std::sync::Arc;

use arxosrt_core::cache::{Entry, Generations, Key, Priority, Settings, Shards, Strategies, Strategy};
use arxosrt_core::time::Mono;

/// What is cached.
pub type Value = Arc<[u8; 256]>;

/// Which cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// The daemon's.
    Ours,
    /// moka.
    Moka,
    /// quick_cache.
    QuickCache,
    /// foyer's, in memory, with S3-FIFO.
    FoyerS3Fifo,
    /// The same with its LFU.
    FoyerLfu,
}

impl Rival {
    /// All of them, ours first.
    pub const ALL: [Rival; 5] = [Rival::Ours, Rival::Moka, Rival::QuickCache, Rival::FoyerS3Fifo, Rival::FoyerLfu];

    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Rival::Ours => "arxosrt",
            Rival::Moka => "moka",
            Rival::QuickCache => "quick_cache",
            Rival::FoyerS3Fifo => "foyer-s3fifo",
            Rival::FoyerLfu => "foyer-lfu",
        }
    }

    /// An empty one with room for so many entries.
    pub fn make(self, entries: usize) -> Box<dyn ReadThrough> {
        let foyer = |config: foyer_memory::EvictionConfig| -> Foyer {
            foyer_memory::CacheBuilder::new(entries).with_eviction_config(config).build()
        };
        match self {
            Rival::Ours => Box::new(Ours::new(entries)),
            Rival::Moka => Box::new(moka::sync::Cache::<Key, Value>::new(entries as u64)),
            Rival::QuickCache => Box::new(quick_cache::sync::Cache::<Key, Value>::new(entries)),
            Rival::FoyerS3Fifo => Box::new(foyer(foyer_memory::S3FifoConfig::default().into())),
            Rival::FoyerLfu => Box::new(foyer(foyer_memory::LfuConfig::default().into())),
        }
    }
}

/// What is measured.
pub trait ReadThrough: Sync {
    /// Asks for a key and puts what is loaded if it is not there. Says whether it was.
    fn read_through(&self, key: &Key, load: &dyn Fn() -> Value) -> bool;
}

type Foyer = foyer_memory::Cache<Key, Value>;

/// As many shards as the daemon has at its defaults.
const SHARDS: usize = 4;

/// With a strategy, a life time and statistics, as in the daemon.
struct Ours(Shards<Value>);

impl Ours {
    fn new(entries: usize) -> Ours {
        let settings = Settings { bytes_max: entries as u64, entry_overhead: 0 };
        Ours(Shards::new(settings, SHARDS, strategies(), Generations::new(1), 1))
    }
}

/// One, of high priority and without a bound of its own.
pub(super) fn strategies() -> Arc<Strategies> {
    let strategy = Strategy {
        name: "floor_data".into(),
        ttl_ms: 3_600_000,
        priority: Priority::High,
        items_max: u64::MAX,
        stale_ms: 0,
        negative_ms: 0,
        is_sensitive: false,
        is_preloaded: true,
    };
    Arc::new(Strategies::new(vec![strategy]).expect("one name is no name twice"))
}

impl ReadThrough for Ours {
    fn read_through(&self, key: &Key, load: &dyn Fn() -> Value) -> bool {
        if self.0.get(key, Mono(1)).served().is_some() {
            return true;
        }
        let entry = Entry {
            weight: 1,
            captured: self.0.generations().capture(key.strategy, &[]),
            ttl_ms: 3_600_000,
            soft_ms: 360_000,
            stale_ms: 0,
            load_cost_us: 0,
            source: None,
        };
        self.0.put(key.clone(), Some(load()), entry, Mono(1));
        false
    }
}

impl ReadThrough for moka::sync::Cache<Key, Value> {
    fn read_through(&self, key: &Key, load: &dyn Fn() -> Value) -> bool {
        let found = self.get(key).is_some();
        if !found {
            self.insert(key.clone(), load());
        }
        found
    }
}

impl ReadThrough for quick_cache::sync::Cache<Key, Value> {
    fn read_through(&self, key: &Key, load: &dyn Fn() -> Value) -> bool {
        let found = self.get(key).is_some();
        if !found {
            self.insert(key.clone(), load());
        }
        found
    }
}

impl ReadThrough for Foyer {
    fn read_through(&self, key: &Key, load: &dyn Fn() -> Value) -> bool {
        let found = self.get(key).is_some();
        if !found {
            self.insert(key.clone(), load());
        }
        found
    }
}
