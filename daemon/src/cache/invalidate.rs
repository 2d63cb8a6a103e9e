//! What can be said to be out of date, and how does everybody learn of it?

use arxosrt_core::cache::place;
use arxosrt_core::cache::{EntryId, Key, StrategyId, Tag};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};

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
        let (count, change) = self.invalidate_here(what);
        self.tell(change);
        self.0.flights.forgive();
        Invalidated { count }
    }

    /// The same for this process only: another node has said so.
    pub fn invalidate_here(&self, what: &Invalidation) -> (u64, Vec<Change>) {
        let inner = &self.0;
        let stats_of = |strategy: StrategyId| inner.local.stats()[usize::from(strategy.0)].entries;
        match what {
            Invalidation::Key(strategy, id) => {
                let key = Key { strategy: *strategy, id: id.clone() };
                let was_here = inner.flights.overtake(&key, || inner.local.remove(&key, inner.now()));
                let At { home, strategy, id, .. } = inner.at(&key, &self.place(*strategy, id));
                (u64::from(was_here), vec![Change::Key { home, strategy, id }])
            }
            Invalidation::Floor(floor) => {
                let home = place::home_of_floor(floor, &inner.directory);
                let tag = Tag::floor(floor);
                (inner.generations.bump(&tag), vec![Change::Tag { home, tag }])
            }
            Invalidation::Building(building) => {
                let tag = Tag::building(building);
                let home = place::home_of_building(building, &inner.directory);
                (inner.generations.bump(&tag), vec![Change::Tag { home, tag }])
            }
            Invalidation::Strategy(strategy) => {
                let count = stats_of(*strategy);
                inner.generations.bump_strategy(*strategy);
                (count, vec![Change::Strategy(*strategy)])
            }
            Invalidation::All => {
                let count = inner.local.len() as u64;
                inner.generations.bump_all();
                (count, vec![Change::All])
            }
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

    /// People have changed a thing.
    pub(super) fn touched(&self, building: &BuildingId, floors: &[RoomId], resource: &ResourceId) -> u64 {
        let inner = &self.0;
        let tags = place::touched(building, floors, resource);
        let count = tags.iter().map(|tag| inner.generations.bump(tag)).sum();
        // What is about a floor that the directory does not know is kept beside the floor's own name.
        let home_of = |at: usize| match floors.get(at) {
            Some(floor) => place::home_of_floor(floor, &inner.directory),
            None => building.as_str().into(),
        };
        let mut changes: Vec<Change> =
            tags.into_iter().enumerate().map(|(at, tag)| Change::Tag { home: home_of(at), tag }).collect();
        changes.extend(self.under_its_own_name(resource));
        self.tell(changes);
        count
    }

    /// What is kept of a thing that the directory does not know is beside nothing else: it is named one by one.
    fn under_its_own_name(&self, resource: &ResourceId) -> Vec<Change> {
        let Ok(id) = EntryId::new(resource.as_str()) else { return Vec::new() };
        if self.0.shared.is_none() || self.0.directory.locate(resource).is_some() {
            return Vec::new();
        }
        let held_here = self.0.strategies.iter().filter(|(_, strategy)| !strategy.is_sensitive);
        held_here
            .map(|(strategy, _)| Change::Key { home: self.place(strategy, &id).home, strategy, id: id.clone() })
            .collect()
    }

    fn tell(&self, changes: Vec<Change>) {
        if let Some(shared) = &self.0.shared {
            shared.invalidate(changes);
        }
    }
}
