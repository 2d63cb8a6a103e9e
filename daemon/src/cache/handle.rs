//! What the hub tells the cache.

use super::edits::Touched;
use super::service::Cache;

/// The hub's side of the cache. Every call is a few look-ups and atomic stores, and never waits.
#[derive(Clone, Default)]
pub struct CacheHandle(Option<Cache>);

impl CacheHandle {
    /// Tells this cache.
    pub fn new(cache: Cache) -> CacheHandle {
        CacheHandle(Some(cache))
    }

    /// An edit of a thing is committed and about to be told: nobody who hears of it reads what was there before.
    pub fn touched(&self, touched: Touched) {
        if let Some(cache) = &self.0 {
            cache.touched(touched);
        }
    }
}
