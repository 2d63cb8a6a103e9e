//! The cache before an origin that does what a test says. Tokio's time is paused: a load takes as long as it is told to
//! and no test waits; the cache's own clock is moved by hand.

mod fakes;
mod loading;
mod patching;
mod sharing;
mod warming;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::building::Agreed;
use arxosrt_core::cache::place::Part;
use arxosrt_core::cache::{EntryId, Strategies, StrategyId};
use arxosrt_core::directory::Directory;
use arxosrt_core::edit::change::Doc;
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::tier::SharedTier;
use super::*;
use crate::hub::Clock;
use fakes::FakeOrigin;

/// A cache with what is around it.
struct Bench {
    cache: Cache,
    origin: Arc<FakeOrigin>,
    clock: Clock,
    signals: mpsc::Receiver<Signal>,
}

impl Bench {
    fn start() -> Bench {
        Bench::with(CacheSettings {
            bytes_max: 64 << 20,
            loads_max: 8,
            load_timeout: Duration::from_secs(8),
            alone_ttl_ms: 30_000,
        })
    }

    fn with(settings: CacheSettings) -> Bench {
        Bench::sharing(settings, None)
    }

    fn sharing(settings: CacheSettings, shared: Option<Arc<dyn SharedTier>>) -> Bench {
        let (origin, clock) = (Arc::new(FakeOrigin::default()), Clock::start());
        let (cache, signals) = Cache::start(Parts {
            settings,
            strategies: Strategies::new(Strategies::known()).unwrap(),
            directory: Arc::new(Directory::default()),
            source: origin.clone(),
            shared,
            clock: clock.clone(),
            runtime: Handle::current(),
            seed: 11,
        });
        Bench { cache, origin, clock, signals }
    }

    async fn get(&self, what: &str) -> Result<Value, CacheError> {
        self.get_within(what, Duration::from_secs(9)).await
    }

    async fn get_within(&self, what: &str, patience: Duration) -> Result<Value, CacheError> {
        let (strategy, id) = self.name(what);
        self.cache.get(strategy, &id, Want { user: None, patience }).await
    }

    /// What is served, and by whom.
    async fn text(&self, what: &str) -> (String, ServedFrom) {
        let value = self.get(what).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        (String::from_utf8(value.bytes.to_vec()).unwrap(), value.from)
    }

    async fn put(&self, what: &str, text: &str) -> Result<Written, CacheError> {
        let (strategy, id) = self.name(what);
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.cache.put(strategy, &id, bytes, WriteIf::Always, Duration::from_secs(9)).await
    }

    async fn preload(&self, what: &str) -> Preloaded {
        let (strategy, id) = self.name(what);
        self.cache.preload(strategy, &id, Some(3), true).await
    }

    /// An object of a floor is edited, or deleted.
    fn edits(&self, floor: &str, id: &str, document: Option<&str>) {
        let floor = RoomId::new(floor).unwrap();
        let doc = document.map_or_else(Doc::absent, |text| Doc::parse(text).unwrap());
        CacheHandle::new(self.cache.clone()).touched(Touched {
            building: BuildingId::of_lone_room(&floor),
            floors: [floor.clone()].into_iter().collect(),
            part: Some(Part::Objects),
            resource: ResourceId::new(id).unwrap(),
            now: Some(Agreed::new(doc, 2, Some(floor))),
        });
    }

    fn figures(&self, strategy: &str) -> StrategyFigures {
        self.cache.stats().strategies.into_iter().find(|figures| &*figures.name == strategy).unwrap()
    }

    /// `STRATEGY/ID`.
    fn name(&self, what: &str) -> (StrategyId, EntryId) {
        let (strategy, id) = what.split_once('/').unwrap();
        (self.cache.strategies().find(strategy).unwrap(), EntryId::new(id).unwrap())
    }
}

fn local(text: &str) -> (String, ServedFrom) {
    (text.to_owned(), ServedFrom::Local)
}

fn from_origin(text: &str) -> (String, ServedFrom) {
    (text.to_owned(), ServedFrom::Origin)
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
