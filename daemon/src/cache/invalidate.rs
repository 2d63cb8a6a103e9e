//! What can be said to be out of date, and how does everybody learn of it?

use arxosrt_core::cache::place;
use arxosrt_core::cache::{EntryId, Key, StrategyId, Tag};
use arxosrt_core::id::{BuildingId, RoomId};

use super::service::Cache;
use super::tier::{At, Change};

/// What is out of date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// One value.
    Key(StrategyId, EntryId),
    /// Everything about a floor.
    Floor(RoomId),
    /// Everything about a building.
    Building(BuildingId),
    /// Everything of a strategy.
    Strategy(StrategyId),
    /// Everything.
    All,
}

/// What became invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidated {
    /// So many entries of this process.
    pub count: u64,
}

impl Cache {
    /// Makes values invalid here and on all nodes. Never waits; whoever asks after this gets nothing older.
    pub fn invalidate(&self, what: &Invalidation) -> Invalidated {
        // The shared tier first: whoever loads after it is out of date here finds nothing old there.
        self.tell(vec![self.change(what)]);
        let count = self.invalidate_here(what);
        self.0.flights.forgive();
        Invalidated { count }
    }

    /// The same for this process only: another node has said so.
    pub fn invalidate_here(&self, what: &Invalidation) -> u64 {
        let inner = &self.0;
        let stats_of = |strategy: StrategyId| inner.local.stats()[usize::from(strategy.0)].entries;
        match what {
            Invalidation::Key(strategy, id) => {
                let key = Key { strategy: *strategy, id: id.clone() };
                u64::from(inner.overtake(&key, || inner.local.remove(&key, inner.now())))
            }
            Invalidation::Floor(floor) => inner.generations.bump(&Tag::floor(floor)),
            Invalidation::Building(building) => inner.generations.bump(&Tag::building(building)),
            Invalidation::Strategy(strategy) => {
                let count = stats_of(*strategy);
                inner.generations.bump_strategy(*strategy);
                count
            }
            Invalidation::All => {
                let count = inner.local.len() as u64;
                inner.generations.bump_all();
                count
            }
        }
    }

    /// An invalidation as other nodes hear it.
    fn change(&self, what: &Invalidation) -> Change {
        let directory = &self.0.directory;
        match what {
            Invalidation::Key(strategy, id) => {
                let key = Key { strategy: *strategy, id: id.clone() };
                let At { home, strategy, id, .. } = self.0.at(&key, &self.place(*strategy, id));
                Change::Key { home, strategy, id }
            }
            Invalidation::Floor(floor) => {
                Change::Tag { home: place::home_of_floor(floor, directory), tag: Tag::floor(floor) }
            }
            Invalidation::Building(building) => {
                Change::Tag { home: place::home_of_building(building, directory), tag: Tag::building(building) }
            }
            Invalidation::Strategy(strategy) => Change::Strategy(*strategy),
            Invalidation::All => Change::All,
        }
    }

    /// Another node says that one value is out of date. What is sensitive it calls by a name that says nothing: no load
    /// of that strategy that is under way is joined any more, and of values nothing is held.
    pub(super) fn invalidate_key_here(&self, strategy: StrategyId, id: EntryId) {
        if self.0.strategies.get(strategy).is_sensitive {
            self.0.generations.bump_strategy(strategy);
        } else {
            self.invalidate_here(&Invalidation::Key(strategy, id));
        }
    }

    /// Another node says that everything with a tag is out of date.
    pub fn invalidate_tag_here(&self, tag: &Tag) -> u64 {
        self.0.generations.bump(tag)
    }

    /// Nobody knows what is out of date: everything is.
    pub fn doubt_everything(&self) {
        self.0.generations.bump_all();
    }

    pub(super) fn tell(&self, changes: Vec<Change>) {
        if let Some(shared) = &self.0.shared {
            shared.invalidate(changes);
        }
    }
}
