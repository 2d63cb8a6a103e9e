//! What is loaded for somebody who is about to look at a floor?

use arxosrt_core::cache::{EntryId, StrategyId};
use arxosrt_core::id::RoomId;

use super::service::Cache;

/// The strategies whose values make up a floor, the most wanted first. Those that a configuration does not know, or does
/// not load ahead, are left out.
const BUNDLE: [&str; 4] = ["floor_data", "object_data", "route_data", "grid_calibration"];

impl Cache {
    /// The values that make up a floor, in the order in which they are wanted.
    pub fn bundle(&self, floor: &RoomId) -> Vec<(StrategyId, EntryId)> {
        let named = |name: &&str| {
            let strategy = self.strategies().find(name)?;
            let id = self.entry_of_floor(strategy, floor)?;
            self.strategies().get(strategy).is_preloaded.then_some((strategy, id))
        };
        BUNDLE.iter().filter_map(named).collect()
    }

    /// The entry in which a floor's value of this kind is kept.
    pub fn entry_of_floor(&self, strategy: StrategyId, floor: &RoomId) -> Option<EntryId> {
        match &*self.strategies().get(strategy).name {
            "floor_data" => EntryId::new(floor.as_str()).ok(),
            _ => Some(EntryId::of_floor(floor)),
        }
    }

    /// Loads what of a floor is not there, one value after the other, beside everything else.
    pub fn warm_floor(&self, floor: &RoomId) {
        let (cache, bundle) = (self.clone(), self.bundle(floor));
        self.0.runtime.spawn(async move {
            for (strategy, id) in bundle {
                cache.preload(strategy, &id, None, true).await;
            }
        });
    }
}
