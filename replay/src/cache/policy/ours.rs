//! The daemon's own: one shard of `arxosrt_core::cache`, as it is built into it. Time stands still, nothing is
//! invalidated, and an entry is charged its weight alone.

use std::sync::Arc;

use arxosrt_core::cache::{
    Entry, EntryId, Generations, Key, Local, Priority, Settings, Strategies, Strategy, StrategyId,
};
use arxosrt_core::time::Mono;

use super::Policy;
use crate::cache::classes::Class;
use crate::cache::trace::Item;

/// See the module.
pub struct Ours {
    local: Local<()>,
    generations: Generations,
    keys: Vec<Key>,
}

impl Ours {
    /// Empty. Each class is a strategy of its priority.
    pub fn new(capacity: u64, items: &[Item], classes: &[Class], seed: u64) -> Ours {
        let priorities = [("low", Priority::Low), ("medium", Priority::Medium), ("high", Priority::High)];
        let strategies = priorities.map(|(name, priority)| Strategy {
            name: name.into(),
            ttl_ms: u64::MAX,
            priority,
            items_max: u64::MAX,
            stale_ms: 0,
            negative_ms: 0,
            is_sensitive: false,
            is_preloaded: false,
        });
        let strategies = Strategies::new(strategies.into()).expect("three names that differ");
        let generations = Generations::new(seed);
        let settings = Settings { bytes_max: capacity, entry_overhead: 0 };
        let id = |at: usize| EntryId::new(&at.to_string()).expect("digits are an id");
        let keys = (0..items.len()).map(|at| Key { strategy: StrategyId(classes[at] as u16), id: id(at) }).collect();
        Ours { local: Local::new(settings, Arc::new(strategies), generations.clone(), seed), generations, keys }
    }
}

impl Policy for Ours {
    fn access(&mut self, item: u32, weight: u32) -> bool {
        let key = &self.keys[item as usize];
        if self.local.get(key, Mono(0)).served().is_some() {
            return true;
        }
        let captured = self.generations.capture(key.strategy, &[]);
        let entry =
            Entry { weight, captured, ttl_ms: u64::MAX, soft_ms: 0, stale_ms: 0, load_cost_us: 0, source: None };
        self.local.put(key.clone(), Some(()), entry, Mono(0));
        false
    }
}
