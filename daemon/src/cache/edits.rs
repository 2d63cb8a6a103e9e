//! What does an edit do to what is cached?

use arxosrt_core::building::Agreed;
use arxosrt_core::cache::place::{self, Part};
use arxosrt_core::cache::{EntryId, Key, StrategyId};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use smallvec::SmallVec;

use super::service::Cache;
use super::tier::Change;

/// A committed edit, as far as it concerns what is cached.
#[derive(Debug)]
pub struct Touched {
    /// The building that the thing belongs to.
    pub building: BuildingId,
    /// Where the thing is and was.
    pub floors: SmallVec<[RoomId; 2]>,
    /// What of these floors is another thing now; none if one of them has come or gone.
    pub part: Option<Part>,
    /// The thing.
    pub resource: ResourceId,
    /// What it is with this edit, if lists of such things can keep up.
    pub now: Option<Agreed>,
}

impl Cache {
    /// People have changed a thing. Says how many entries had to do with it.
    pub(super) fn touched(&self, touched: Touched) -> u64 {
        let inner = &self.0;
        let Touched { building, mut floors, part, resource, now } = touched;
        floors.extend(now.as_ref().and_then(Agreed::floor).cloned());
        floors.sort_unstable();
        floors.dedup();
        let tags = place::touched(&building, &floors, part, &resource, &inner.directory);
        // What is about a floor that the directory does not know is kept beside the floor's own name.
        let home_of = |at: usize| match floors.get(at) {
            Some(floor) => place::home_of_floor(floor, &inner.directory),
            None => building.as_str().into(),
        };
        // The shared tier first: whoever loads after it is out of date here finds nothing old there.
        let mut changes: Vec<Change> =
            tags.iter().enumerate().map(|(at, tag)| Change::Tag { home: home_of(at), tag: tag.clone() }).collect();
        changes.extend(self.under_its_own_name(&resource));
        self.tell(changes);
        let listed_in = part.and_then(Part::listed_in).and_then(|name| inner.strategies.find(name));
        let lists = match (listed_in, now) {
            (Some(strategy), Some(now)) => self.lists(strategy, &floors, &now),
            _ => Vec::new(),
        };
        let (count, chains) = inner.patches.raise(inner, &tags, &resource, lists);
        for (key, number) in chains {
            inner.runtime.spawn(inner.clone().work_off(key, number));
        }
        count
    }

    /// The lists of these floors, each with the thing if it is there from now on.
    fn lists(&self, strategy: StrategyId, floors: &[RoomId], now: &Agreed) -> Vec<(Key, Option<Agreed>)> {
        let list = |floor: &RoomId| {
            let id = EntryId::of_floor(floor);
            // Where a thing has the name that a list would have, it is not the list that is kept under it.
            let is_thing = ResourceId::new(id.as_str()).is_ok_and(|id| self.0.directory.locate(&id).is_some());
            let is_there = now.floor() == Some(floor);
            (!is_thing).then(|| (Key { strategy, id }, is_there.then(|| now.clone())))
        };
        floors.iter().filter_map(list).collect()
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
}
