//! What of a floor do its visitors read, and how large is it?
//!
//! A floor is not one value: there are the floor itself, its objects, routes, grid. Of each kind it is counted how many
//! of those who came to a floor read it, and what it weighed and how long it took. Those who come are about to read what
//! others read; those who may come are about to do so with the product of both.

use serde::{Deserialize, Serialize};

use super::planner::{BYTES_ASSUMED, Cost};
use crate::cache::{Strategies, StrategyId};

/// So many visits the share that was assumed is worth.
const BELIEF: f32 = 8.0;

/// At so many visits counts are halved.
const FADE_AT: f32 = 512.0;

/// How fast sizes and times follow.
const RATE: f32 = 1.0 / 16.0;

/// The time that is assumed for a load that was never seen.
const LOAD_MS_ASSUMED: f32 = 200.0;

/// One kind of value that visitors of a floor may read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    strategy: u16,
    assumed: f32,
    visits: f32,
    reads: f32,
    bytes: f32,
    load_ms: f32,
}

/// What is known of each kind. See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts(Vec<Part>);

impl Parts {
    /// Those of the table that may be loaded before anybody asks: never anything sensitive.
    pub fn of(strategies: &Strategies) -> Parts {
        let may = strategies.iter().filter(|(_, strategy)| strategy.is_preloaded && !strategy.is_sensitive);
        let part = |(id, name): (StrategyId, &str)| Part {
            strategy: id.0,
            // Everybody sees the floor; few look at figures. It is soon replaced by what they really do.
            assumed: match name {
                "floor_data" => 0.95,
                "object_data" => 0.8,
                "analytics_data" => 0.1,
                _ => 0.4,
            },
            visits: 0.0,
            reads: 0.0,
            bytes: BYTES_ASSUMED as f32,
            load_ms: LOAD_MS_ASSUMED,
        };
        Parts(may.map(|(id, strategy)| part((id, &strategy.name))).collect())
    }

    /// The kinds, with how many of a floor's visitors read them.
    pub fn shares(&self) -> impl Iterator<Item = (StrategyId, f32)> {
        self.0.iter().map(|part| (StrategyId(part.strategy), part.share()))
    }

    /// What it costs to load this kind.
    pub fn cost(&self, strategy: StrategyId) -> Option<Cost> {
        let part = self.0.iter().find(|part| part.strategy == strategy.0)?;
        Some(Cost { bytes: part.bytes as u64, load_ms: part.load_ms as u64 })
    }

    /// Somebody came to a floor.
    pub fn visited(&mut self) {
        for part in &mut self.0 {
            part.visits += 1.0;
            if part.visits >= FADE_AT {
                (part.visits, part.reads) = (part.visits / 2.0, part.reads / 2.0);
            }
        }
    }

    /// They read something there, for the first time in this visit.
    pub fn read(&mut self, strategy: StrategyId) {
        if let Some(part) = self.find(strategy) {
            part.reads = (part.reads + 1.0).min(part.visits);
        }
    }

    /// A value had this size, and this time if it had to be loaded.
    pub fn measured(&mut self, strategy: StrategyId, bytes: u64, load_ms: Option<u64>) {
        if let Some(part) = self.find(strategy) {
            part.bytes += (bytes as f32 - part.bytes) * RATE;
            if let Some(ms) = load_ms {
                part.load_ms += (ms as f32 - part.load_ms) * RATE;
            }
        }
    }

    /// Takes over what a snapshot knows of the same kinds.
    pub(super) fn restore(&mut self, from: &Parts) {
        for part in &mut self.0 {
            let sane = |old: &&Part| {
                let figures = [old.visits, old.reads, old.bytes, old.load_ms];
                old.strategy == part.strategy && figures.iter().all(|figure| figure.is_finite() && *figure >= 0.0)
            };
            if let Some(old) = from.0.iter().find(sane) {
                let visits = old.visits.min(FADE_AT);
                *part = Part { visits, reads: old.reads.min(visits), assumed: part.assumed, ..old.clone() };
            }
        }
    }

    fn find(&mut self, strategy: StrategyId) -> Option<&mut Part> {
        self.0.iter_mut().find(|part| part.strategy == strategy.0)
    }
}

impl Part {
    fn share(&self) -> f32 {
        (self.reads + BELIEF * self.assumed) / (self.visits + BELIEF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensitive_values_are_no_part_and_shares_become_what_people_do() {
        let strategies = Strategies::new(Strategies::known()).unwrap();
        let mut parts = Parts::of(&strategies);
        let sensitive = strategies.find("user_session").unwrap();
        let (routes, floors) = (strategies.find("route_data").unwrap(), strategies.find("floor_data").unwrap());
        assert!(parts.shares().all(|(strategy, _)| strategy != sensitive) && parts.cost(sensitive).is_none());
        for visit in 0..1_000 {
            parts.visited();
            parts.read(floors);
            parts.measured(floors, 1_000, Some(50));
            if visit % 10 == 0 {
                parts.read(routes);
            }
        }
        let share = |wanted| parts.shares().find(|(strategy, _)| *strategy == wanted).unwrap().1;
        assert!(share(floors) > 0.97 && (share(routes) - 0.1).abs() < 0.03);
        assert_eq!(parts.cost(floors), Some(Cost { bytes: 1_000, load_ms: 50 }));
    }
}
