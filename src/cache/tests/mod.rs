//! What the cache promises, seen from outside of a shard.

mod model;
mod policy;
mod race;

use std::sync::Arc;

use crate::time::Mono;

use super::*;

/// What a test puts and asks for, with a shard of its own and a clock that it moves.
struct Bench {
    local: Local<u64>,
    generations: Generations,
    now: Mono,
}

/// Strategy 0 has no priority, 1 a high and 2 a critical one; 3 is sensitive.
fn strategies() -> Arc<Strategies> {
    let named = |name: &str, priority| Strategy {
        name: name.into(),
        ttl_ms: 1000,
        priority,
        items_max: 1_000_000,
        stale_ms: 0,
        negative_ms: 0,
        is_sensitive: name == "secret",
        is_preloaded: true,
    };
    let all = [("plain", Priority::Low), ("high", Priority::High), ("critical", Priority::Critical)];
    let mut all: Vec<Strategy> = all.map(|(name, priority)| named(name, priority)).into();
    all.push(named("secret", Priority::Low));
    Arc::new(Strategies::new(all).unwrap())
}

fn key(strategy: u16, id: u64) -> Key {
    Key { strategy: StrategyId(strategy), id: EntryId::new(&id.to_string()).unwrap() }
}

impl Bench {
    fn new(bytes_max: u64) -> Bench {
        Bench::with(bytes_max, strategies())
    }

    fn with(bytes_max: u64, strategies: Arc<Strategies>) -> Bench {
        let generations = Generations::new(1);
        let settings = Settings { bytes_max, entry_overhead: 0 };
        Bench { local: Local::new(settings, strategies, generations.clone(), 1), generations, now: Mono(1_000_000) }
    }

    /// An entry that weighs 1 and stays valid for ever.
    fn entry(&self, key: &Key) -> Entry {
        Entry {
            weight: 1,
            captured: self.generations.capture(key.strategy, &[]),
            ttl_ms: u64::MAX / 2,
            soft_ms: 0,
            stale_ms: 0,
            load_cost_us: 0,
            source: None,
        }
    }

    fn put(&mut self, key: &Key) -> Put {
        let entry = self.entry(key);
        self.local.put(key.clone(), Some(7), entry, self.now)
    }

    fn preload(&mut self, key: &Key) -> Put {
        let entry = Entry { source: Some(3), ..self.entry(key) };
        self.local.put(key.clone(), Some(7), entry, self.now)
    }

    /// Asks, and puts what is not there. Says whether it was.
    fn read_through(&mut self, key: &Key) -> bool {
        let found = self.local.get(key, self.now).served().is_some();
        if !found {
            assert_eq!(self.put(key), Put::Installed);
        }
        found
    }

    fn has(&self, key: &Key) -> bool {
        self.local.peek(key, self.now).is_some()
    }
}

/// A plain source of chance that a seed repeats.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}
