//! The cache: how much it holds, and how each kind of value is treated.
//!
//! `[cache.strategies.NAME]` changes a strategy that is there from the start, option by option, or declares another one,
//! which has the defaults of [`Strategy::default`] for what is not said.

use std::collections::BTreeMap;
use std::time::Duration;

use arxosrt_core::cache::{self as core, BadStrategy, Priority, Strategies};
use serde::{Deserialize, Deserializer, Serialize};

use crate::cache::CacheSettings;

/// The cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// What entries and loads under way may take.
    pub bytes_max: u64,
    /// How many loads of one strategy are with its origin at a time.
    pub loads_max: usize,
    /// How long a load may take.
    pub load_timeout_ms: u64,
    /// How long values are served while the shared cache cannot be reached.
    pub alone_ttl_s: u64,
    /// Load again after a start what was hot before the stop.
    pub warm: bool,
    /// How each kind of value is treated.
    pub strategies: StrategyTable,
}

impl Default for Cache {
    fn default() -> Self {
        Cache {
            bytes_max: 256 << 20,
            loads_max: 32,
            load_timeout_ms: 8000,
            alone_ttl_s: 30,
            warm: true,
            strategies: StrategyTable::default(),
        }
    }
}

impl Cache {
    /// The service's bounds and times.
    pub fn settings(&self) -> CacheSettings {
        CacheSettings {
            bytes_max: self.bytes_max,
            loads_max: self.loads_max,
            load_timeout: Duration::from_millis(self.load_timeout_ms),
            alone_ttl_ms: self.alone_ttl_s * 1000,
        }
    }

    /// The strategies: those that are there from the start in their order, then the others by name.
    pub fn strategies(&self) -> Result<Strategies, BadStrategy> {
        let known = Strategies::known();
        let own = |name: &str| known.iter().any(|strategy| &*strategy.name == name);
        let table = &self.strategies.0;
        let first = known.iter().filter_map(|strategy| table.get_key_value(&*strategy.name));
        let then = table.iter().filter(|(name, _)| !own(name));
        Strategies::new(first.chain(then).map(|(name, strategy)| strategy.named(name)).collect())
    }
}

/// How a kind of value is treated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Strategy {
    /// How long a value is served.
    pub ttl_s: u64,
    /// How it fares when there is no room.
    pub priority: Rank,
    /// How many values are held in this process.
    pub items_max: u64,
    /// How long after its time a value is served while its origin fails.
    pub stale_s: u64,
    /// How long it is remembered that there is no value.
    pub negative_s: u64,
    /// Values are never held in this process, written to disk or loaded ahead.
    pub sensitive: bool,
    /// Values may be loaded before anybody asks.
    pub preload: bool,
}

/// [`Priority`] in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// Goes first.
    Low,
    /// Stays a little longer.
    Medium,
    /// Stays longer.
    High,
    /// Stays the longest.
    Critical,
}

impl Default for Strategy {
    fn default() -> Self {
        Strategy {
            ttl_s: 1800,
            priority: Rank::Medium,
            items_max: 1000,
            stale_s: 0,
            negative_s: 0,
            sensitive: false,
            preload: false,
        }
    }
}

impl Strategy {
    fn of(strategy: &core::Strategy) -> Strategy {
        Strategy {
            ttl_s: strategy.ttl_ms / 1000,
            priority: match strategy.priority {
                Priority::Low => Rank::Low,
                Priority::Medium => Rank::Medium,
                Priority::High => Rank::High,
                Priority::Critical => Rank::Critical,
            },
            items_max: strategy.items_max,
            stale_s: strategy.stale_ms / 1000,
            negative_s: strategy.negative_ms / 1000,
            sensitive: strategy.is_sensitive,
            preload: strategy.is_preloaded,
        }
    }

    fn named(&self, name: &str) -> core::Strategy {
        core::Strategy {
            name: name.into(),
            ttl_ms: self.ttl_s * 1000,
            priority: match self.priority {
                Rank::Low => Priority::Low,
                Rank::Medium => Priority::Medium,
                Rank::High => Priority::High,
                Rank::Critical => Priority::Critical,
            },
            items_max: self.items_max,
            stale_ms: self.stale_s * 1000,
            negative_ms: self.negative_s * 1000,
            is_sensitive: self.sensitive,
            is_preloaded: self.preload,
        }
    }
}

/// All strategies by name. Reading one that says less than all leaves the rest as it is by default.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StrategyTable(pub BTreeMap<String, Strategy>);

impl Default for StrategyTable {
    fn default() -> Self {
        StrategyTable(Strategies::known().iter().map(|known| (known.name.to_string(), Strategy::of(known))).collect())
    }
}

/// What somebody says of a strategy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    ttl_s: Option<u64>,
    priority: Option<Rank>,
    items_max: Option<u64>,
    stale_s: Option<u64>,
    negative_s: Option<u64>,
    sensitive: Option<bool>,
    preload: Option<bool>,
}

impl<'de> Deserialize<'de> for StrategyTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = StrategyTable::default();
        for (name, said) in BTreeMap::<String, Said>::deserialize(deserializer)? {
            let strategy = table.0.entry(name).or_default();
            said.apply(strategy);
        }
        Ok(table)
    }
}

impl Said {
    fn apply(self, to: &mut Strategy) {
        to.ttl_s = self.ttl_s.unwrap_or(to.ttl_s);
        to.priority = self.priority.unwrap_or(to.priority);
        to.items_max = self.items_max.unwrap_or(to.items_max);
        to.stale_s = self.stale_s.unwrap_or(to.stale_s);
        to.negative_s = self.negative_s.unwrap_or(to.negative_s);
        to.sensitive = self.sensitive.unwrap_or(to.sensitive);
        to.preload = self.preload.unwrap_or(to.preload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_core_s_own() {
        let strategies = Cache::default().strategies().unwrap();
        assert_eq!(strategies, Strategies::new(Strategies::known()).unwrap());
    }

    #[test]
    fn a_strategy_is_changed_option_by_option_and_another_one_declared() {
        let said = "[strategies.floor_data]\nttl_s = 5\n[strategies.weather]\npriority = \"low\"\n";
        let strategies = toml::from_str::<Cache>(said).unwrap().strategies().unwrap();
        let floors = strategies.get(strategies.find("floor_data").unwrap());
        assert_eq!((floors.ttl_ms, floors.items_max, floors.stale_ms), (5000, 1000, 300_000));
        let weather = strategies.get(strategies.find("weather").unwrap());
        assert_eq!((weather.priority, weather.ttl_ms, weather.is_preloaded), (Priority::Low, 1_800_000, false));
        assert_eq!(strategies.len(), 8);
    }
}
