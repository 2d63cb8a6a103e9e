//! The service with a real cache and a scripted origin.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arxosrt_core::cache::{EntryId, Strategies, StrategyId};
use arxosrt_core::directory::{Builder, BuildingDraft, Directory, FloorDraft};
use arxosrt_core::id::{BuildingId, RoomId, SessionId, UserId};
use arxosrt_core::preload::planner::Settings;
use arxosrt_core::preload::signal::What;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Parts, PreloadHandle, ServiceSettings, Signals, start};
use crate::cache::{self, Cache, CacheSettings, Want};
use crate::hub::Clock;
use crate::origin::fetch::{Answer, Fetch, Fetched, Health, Source};

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has everything, and is up unless it is told otherwise.
#[derive(Default)]
struct Origin {
    is_down: AtomicBool,
}

impl Source for Origin {
    fn fetch(&self, fetch: Fetch) -> Answer<Fetched> {
        let bytes = Bytes::from(format!("{{\"id\":{:?}}}", fetch.id.as_str()));
        Box::pin(async move { Ok(Fetched::Value { bytes, etag: None }) })
    }

    fn store(&self, _: &str, _: &EntryId, _: Bytes) -> Answer<bool> {
        Box::pin(async { Ok(false) })
    }

    fn health(&self) -> Health {
        Health { is_up: !self.is_down.load(Ordering::Relaxed), busy: 0, trouble: None }
    }
}

struct Served {
    origin: Arc<Origin>,
    cache: Cache,
    clock: Clock,
    signals: Signals,
    handle: PreloadHandle,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn directory() -> Directory {
    let floor = |level: i32| FloorDraft { room: room(level), name: level.to_string().into(), level };
    let mut builder = Builder::default();
    let draft = BuildingDraft {
        id: BuildingId::new("hq").unwrap(),
        name: "Head office".into(),
        floors: (1..=6).map(floor).collect(),
        objects: Vec::new(),
        routes: Vec::new(),
    };
    assert!(builder.add(draft).is_empty());
    builder.build()
}

fn room(level: i32) -> RoomId {
    RoomId::new(&format!("hq:{level}")).unwrap()
}

impl Served {
    fn start(settings: Settings, file: Option<PathBuf>) -> Served {
        let (origin, directory, clock) = (Arc::new(Origin::default()), Arc::new(directory()), Clock::start());
        let (cache, from_cache) = Cache::start(cache::Parts {
            settings: CacheSettings { bytes_max: 64 << 20, loads_max: 8, load_timeout: PATIENCE, alone_ttl_ms: 30_000 },
            strategies: Strategies::new(Strategies::known()).unwrap(),
            directory: directory.clone(),
            source: origin.clone(),
            shared: None,
            clock: clock.clone(),
            runtime: Handle::current(),
            seed: 7,
        });
        let (signals, from_hub) = Signals::new();
        let stop = CancellationToken::new();
        let preloading = start(
            &Handle::current(),
            Parts {
                settings: ServiceSettings { planner: settings, loads_max: 4, origin_busy: 8, file },
                cache: cache.clone(),
                directory,
                clock: clock.clone(),
                from_hub,
                from_cache,
                signals: signals.clone(),
                stop: stop.clone(),
            },
        );
        Served { origin, cache, clock, signals, handle: preloading.handle, stop, task: preloading.task }
    }

    fn tell(&self, user: &str, what: What) {
        let session = SessionId::new(&format!("s-{user}")).unwrap();
        self.signals.tell(&UserId::new(user).unwrap(), &session, || what);
    }

    /// Comes to a floor, reads it, and stays for a minute.
    async fn visit(&self, user: &str, level: i32) {
        self.tell(user, What::Join { room: room(level) });
        let want = Want { user: Some(UserId::new(user).unwrap()), patience: PATIENCE };
        for (strategy, id) in self.cache.bundle(&room(level)) {
            self.cache.get(strategy, &id, want.clone()).await.unwrap();
        }
        self.settled().await;
        self.clock.advance(60_000);
    }

    /// Until everything that was told has been taken in and nothing is being loaded.
    async fn settled(&self) {
        let mut before = u64::MAX;
        self.until("the service comes to rest", async || {
            let model = self.handle.model().await.unwrap();
            let is_quiet = model.loading == 0 && model.signals == before;
            before = model.signals;
            is_quiet
        })
        .await;
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !holds().await {
            assert!(tokio::time::Instant::now() < deadline, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn has(&self, level: i32) -> bool {
        let floors: StrategyId = self.cache.strategies().find("floor_data").unwrap();
        let found = self.cache.peek(floors, &EntryId::new(room(level).as_str()).unwrap());
        found.is_some_and(|entry| entry.is_current && entry.left_ms > 0)
    }

    fn forget(&self) {
        self.cache.invalidate(&cache::Invalidation::All);
    }

    /// Somebody who goes 1, 4, 2 and again, until that is known; then stands on 1 with an empty cache.
    async fn learn(&self, user: &str) {
        for _ in 0..12 {
            for level in [1, 4, 2] {
                self.visit(user, level).await;
            }
        }
        self.forget();
        self.tell(user, What::Join { room: room(1) });
        self.settled().await;
    }
}

/// Nobody is held out, and nothing is too expensive.
fn generous() -> Settings {
    Settings { holdout_permille: 0, ..Settings::for_cache(64 << 20) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_somebody_goes_next_is_there_before_it_is_asked_for() {
    let served = Served::start(generous(), None);
    served.learn("ana").await;
    served.until("floor 4 follows floor 1", async || served.has(4)).await;
    assert!(!served.has(6), "nobody ever goes there");
    let row = served.handle.explain(UserId::new("ana").unwrap()).await.unwrap();
    assert_eq!((row.floor_id.as_str(), row.holdout), ("hq:1", false));
    let issued = row.candidates.iter().find(|c| c.floor_id == "hq:4").unwrap();
    assert!(issued.probability >= 0.2 && !issued.why.is_empty(), "{issued:?}");
    assert!(served.handle.explain(UserId::new("nobody").unwrap()).await.is_none());

    // The first use is credited to whoever proposed it.
    let want = Want { user: Some(UserId::new("ana").unwrap()), patience: PATIENCE };
    let (strategy, id) = served.cache.bundle(&room(4)).remove(0);
    served.cache.get(strategy, &id, want).await.unwrap();
    served
        .until("a use is counted", async || {
            served.handle.model().await.unwrap().sources.iter().any(|source| source.used > 0)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_out_sessions_and_a_preloader_that_is_off_load_nothing_and_learn() {
    for settings in [Settings { holdout_permille: 1000, ..generous() }, Settings { is_on: false, ..generous() }] {
        let held_out = settings.is_on;
        let served = Served::start(settings, None);
        served.learn("ana").await;
        assert!(!served.has(4));
        let row = served.handle.explain(UserId::new("ana").unwrap()).await.unwrap();
        assert_eq!(row.holdout, held_out);
        assert!(row.candidates.iter().all(|c| c.verdict != "issued"), "{row:?}");
        assert!(served.handle.model().await.unwrap().contexts > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_loaded_ahead_from_an_origin_in_trouble() {
    let served = Served::start(generous(), None);
    served.origin.is_down.store(true, Ordering::Relaxed);
    served.learn("ana").await;
    assert!(!served.has(4));
    assert_eq!(served.handle.model().await.unwrap().paused.as_deref(), Some("origin_unhealthy"));
    served.origin.is_down.store(false, Ordering::Relaxed);
    served.tell("ana", What::Join { room: room(2) });
    served.tell("ana", What::Join { room: room(1) });
    served.until("it is proposed again", async || served.has(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_is_enough() {
    let served = Served::start(generous(), None);
    served.visit("ana", 1).await;
    served.tell("ana", What::Hint { floor: room(6) });
    served.until("what was hinted at is there", async || served.has(6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_learned_outlives_a_restart_without_anybodys_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(super::saved::FILE);
    let served = Served::start(generous(), Some(file.clone()));
    served.learn("ana-with-a-name").await;
    let contexts = served.handle.model().await.unwrap().contexts;
    served.stop.cancel();
    served.task.await.unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("hq:4") && !holds("ana-with-a-name"));

    let served = Served::start(generous(), Some(file.clone()));
    served.until("it is read", async || served.handle.model().await.unwrap().contexts == contexts).await;
    served.tell("ana-with-a-name", What::Join { room: room(1) });
    served.until("it is known", async || served.has(4)).await;
    served.stop.cancel();
    served.task.await.unwrap();

    // A file that is not what was written costs what was learned and nothing else.
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert!(super::saved::load(&file).is_err());
    let served = Served::start(generous(), Some(file));
    assert_eq!(served.handle.model().await.unwrap().contexts, 0);
}
