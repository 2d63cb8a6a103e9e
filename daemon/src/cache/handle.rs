//! What the hub tells the cache.

use arxosrt_core::id::{BuildingId, ResourceId, RoomId};

use super::service::Cache;

/// The hub's side of the cache. Every call is a few atomic stores and never waits.
#[derive(Clone, Default)]
pub struct CacheHandle(Option<Cache>);

impl CacheHandle {
    /// Tells this cache.
    pub fn new(cache: Cache) -> CacheHandle {
        CacheHandle(Some(cache))
    }

    /// An edit of a thing is committed and about to be told: what was loaded before is out of date, so that nobody who
    /// hears of the edit reads what was there before it.
    pub fn touched(&self, building: &BuildingId, floors: &[RoomId], resource: &ResourceId) {
        if let Some(cache) = &self.0 {
            cache.touched(building, floors, resource);
        }
    }
}
