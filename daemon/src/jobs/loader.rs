//! Jobs load through the cache: at the back of the origin's queue, and never what is sensitive.

use std::sync::Arc;

use arxosrt_core::cache::{EntryId, StrategyId};
use arxosrt_core::directory::Directory;
use arxosrt_core::id::{BuildingId, RoomId};

use super::{Item, Loader, Loading, Outcome, Trouble};
use crate::cache::{Cache, CacheError, Preloaded, Refusal};
use crate::origin::fetch::FetchError;

/// The cache as those who order jobs see it.
pub struct CacheLoader {
    /// Where values are loaded into.
    pub cache: Cache,
    /// Which floors a building has.
    pub directory: Arc<Directory>,
}

impl Loader for CacheLoader {
    fn load(&self, item: &Item, if_missing: bool) -> Loading {
        let cache = self.cache.clone();
        match item {
            Item::Floor(floor) => {
                let floor = floor.clone();
                Box::pin(async move { load_floor(&cache, &floor, if_missing).await })
            }
            Item::Building(building) => match self.directory.building(building) {
                Some(known) => {
                    let floors = known.floors.clone();
                    Box::pin(async move { load_floors(&cache, &floors, if_missing).await })
                }
                None => Box::pin(std::future::ready(unknown_building(building))),
            },
            Item::Entry { strategy, id } => match cache.strategies().find(strategy) {
                Some(strategy) => {
                    let id = id.clone();
                    Box::pin(async move { of_entry(cache.preload(strategy, &id, None, if_missing).await) })
                }
                None => {
                    let message = format!("there is no strategy {strategy:?}");
                    Box::pin(std::future::ready(failed("strategy_not_found", message, false)))
                }
            },
        }
    }
}

/// What makes up a floor. It is there when its own document is; that it has no routes, say, is no failure.
async fn load_floor(cache: &Cache, floor: &RoomId, if_missing: bool) -> Outcome {
    let parts: Vec<(StrategyId, EntryId)> = cache.bundle(floor);
    let (mut entries, mut all_bytes) = (0, 0);
    for (at, (strategy, id)) in parts.iter().enumerate() {
        match of_entry(cache.preload(*strategy, id, None, if_missing).await) {
            Outcome::Loaded { bytes, .. } => (entries, all_bytes) = (entries + 1, all_bytes + bytes),
            Outcome::Resident => {}
            Outcome::Failed(Trouble { code: NOT_THERE, .. }) if at > 0 => {}
            Outcome::Failed(Trouble { code: NOT_THERE, .. }) => {
                return failed(NOT_THERE, format!("the origin has no floor {:?}", floor.as_str()), false);
            }
            failure => return failure,
        }
    }
    if entries > 0 { Outcome::Loaded { entries, bytes: all_bytes } } else { Outcome::Resident }
}

/// All of these, whatever becomes of one; the first failure is the failure of all.
async fn load_floors(cache: &Cache, floors: &[RoomId], if_missing: bool) -> Outcome {
    let (mut all_entries, mut all_bytes, mut failure) = (0, 0, None);
    for floor in floors {
        match load_floor(cache, floor, if_missing).await {
            Outcome::Loaded { entries, bytes } => (all_entries, all_bytes) = (all_entries + entries, all_bytes + bytes),
            Outcome::Resident => {}
            Outcome::Failed(trouble) => {
                let message = format!("floor {:?}: {}", floor.as_str(), trouble.message).into();
                failure.get_or_insert(Trouble { message, ..trouble });
            }
        }
    }
    match failure {
        Some(trouble) => Outcome::Failed(trouble),
        None if all_entries > 0 => Outcome::Loaded { entries: all_entries, bytes: all_bytes },
        None => Outcome::Resident,
    }
}

const NOT_THERE: &str = "not_there";

fn of_entry(preloaded: Preloaded) -> Outcome {
    match preloaded {
        Preloaded::Loaded { bytes, .. } => Outcome::Loaded { entries: 1, bytes },
        // Whoever has it loaded sees it through.
        Preloaded::Resident | Preloaded::InFlight => Outcome::Resident,
        Preloaded::NotThere => failed(NOT_THERE, "the origin has no such value", false),
        Preloaded::Failed(error) => of_error(&error),
        Preloaded::Refused(Refusal::Strategy) => {
            failed("not_preloaded", "values of this strategy are not loaded ahead", false)
        }
        Preloaded::Refused(Refusal::NoRoom) => {
            failed("no_room", "the cache has no room that is not taken by what people want", false)
        }
        Preloaded::Refused(Refusal::TooLarge) => failed("too_large", "the value is too large to be cached", false),
        Preloaded::Refused(Refusal::Overtaken) => {
            failed("overtaken", "the value was made invalid while it was loaded", true)
        }
    }
}

fn of_error(error: &CacheError) -> Outcome {
    let message = error.to_string();
    match error {
        CacheError::NotThere => failed(NOT_THERE, message, false),
        CacheError::Busy(_) => failed("busy", message, true),
        CacheError::Timeout(_) | CacheError::BrokeOff => failed("timeout", message, true),
        CacheError::Origin(FetchError::NoSource) => failed("no_origin", message, false),
        CacheError::Origin(FetchError::Denied(_)) => failed("origin_denied", message, false),
        CacheError::Origin(FetchError::TooLarge(_)) => failed("too_large", message, false),
        CacheError::Origin(_) => failed("origin_failed", message, true),
        CacheError::NoSharedTier(_) | CacheError::Changed(_) | CacheError::TooLarge(..) => {
            failed("not_cached", message, false)
        }
    }
}

fn unknown_building(building: &BuildingId) -> Outcome {
    failed("building_not_found", format!("the building {:?} is not in the directory", building.as_str()), false)
}

fn failed(code: &'static str, message: impl Into<Box<str>>, passes: bool) -> Outcome {
    Outcome::Failed(Trouble { code, message: message.into(), passes })
}
