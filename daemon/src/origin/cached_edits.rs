//! Whatever people edit, and whatever else happens to the cache meanwhile: a list that is read after an edit was
//! acknowledged is what a fresh load would bring. And as long as nothing else happens, nobody asks the origin.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arxosrt_core::building::Agreed;
use arxosrt_core::cache::place::Part;
use arxosrt_core::cache::{EntryId, Strategies};
use arxosrt_core::edit::change::Doc;
use arxosrt_core::id::RoomId;
use bytes::Bytes;
use serde_json::Value;

use super::directory_source::DirectorySource;
use super::directory_source_tests::{Waiting, fetch, hub};
use super::documents::Kind;
use super::fetch::{Answer, Fetch, Fetched, Health, Source};
use super::random_edits::{FLOORS, Random, World, seeds};
use crate::cache::{Cache, CacheError, CacheHandle, CacheSettings, Invalidation, Parts, Touched, Want, WriteIf};
use crate::hub::Clock;

const PATIENCE: Duration = Duration::from_secs(20);
const STRATEGIES: [&str; 2] = ["object_data", "route_data"];

/// Counts what it is asked, and lets other tasks go first.
struct Counted(DirectorySource, AtomicUsize);

impl Source for Counted {
    fn fetch(&self, fetch: Fetch) -> Answer<Fetched> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let answer = self.0.fetch(fetch);
        Box::pin(async move {
            let answer = answer.await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            answer
        })
    }

    fn store(&self, _: &str, _: &EntryId, _: Bytes) -> Answer<bool> {
        Box::pin(std::future::ready(Ok(false)))
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

/// A cache before a folder that people edit.
struct Office {
    world: World,
    waiting: Waiting,
    origin: DirectorySource,
    source: Arc<Counted>,
    cache: Cache,
    handle: CacheHandle,
}

impl Office {
    fn new() -> Office {
        let (world, waiting) = (World::new(), Waiting::default());
        let origin = DirectorySource::new(world.documents.clone(), hub(waiting.clone()));
        let source = Arc::new(Counted(origin.clone(), AtomicUsize::new(0)));
        let (cache, _) = Cache::start(Parts {
            settings: CacheSettings { bytes_max: 64 << 20, loads_max: 8, load_timeout: PATIENCE, alone_ttl_ms: 30_000 },
            strategies: Strategies::new(Strategies::known()).unwrap(),
            directory: world.documents.directory.clone(),
            source: source.clone(),
            shared: None,
            clock: Clock::start(),
            runtime: tokio::runtime::Handle::current(),
            seed: 5,
        });
        let handle = CacheHandle::new(cache.clone());
        Office { world, waiting, origin, source, cache, handle }
    }

    /// Something is edited, moved or deleted; then the cache hears of it, as with a commit.
    fn edit(&mut self, random: &mut Random) {
        self.world.edit(random);
        *self.waiting.lock().unwrap() = self.world.waiting.clone();
        let stored = self.world.waiting.values().max_by_key(|stored| stored.version).unwrap().clone();
        let doc = stored.document.as_deref().map_or_else(Doc::absent, |text| Doc::parse(text).unwrap());
        let mut floors = BTreeSet::from([stored.floor.clone()]);
        if let Some(text) = &stored.document {
            let value: Value = serde_json::from_str(text).unwrap();
            let named = value["floors"].as_array().into_iter().flatten().chain([&value["floor_id"]]);
            floors.extend(named.map(|floor| RoomId::new(floor.as_str().unwrap()).unwrap()));
        }
        self.handle.touched(Touched {
            building: stored.building,
            floors: floors.into_iter().collect(),
            part: Some(if stored.kind == Kind::Route { Part::Routes } else { Part::Objects }),
            resource: stored.resource,
            now: Some(Agreed::new(doc, stored.version, Some(stored.floor))),
        });
    }

    fn write(&mut self) {
        self.world.write();
        *self.waiting.lock().unwrap() = self.world.waiting.clone();
    }

    async fn read(&self, strategy: &str, floor: &str) -> Vec<Value> {
        let (strategy, id) = self.name(strategy, floor);
        match self.cache.get(strategy, &id, Want { user: None, patience: PATIENCE }).await {
            Ok(value) => sorted(&value.bytes),
            Err(CacheError::NotThere) => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }

    async fn fresh(&self, strategy: &str, floor: &str) -> Vec<Value> {
        match self.origin.fetch(fetch(strategy, &format!("floor:{floor}"))).await.unwrap() {
            Fetched::Value { bytes, .. } => sorted(&bytes),
            Fetched::Missing | Fetched::Unchanged => Vec::new(),
        }
    }

    fn name(&self, strategy: &str, floor: &str) -> (arxosrt_core::cache::StrategyId, EntryId) {
        (self.cache.strategies().find(strategy).unwrap(), EntryId::new(&format!("floor:{floor}")).unwrap())
    }

    fn asked(&self) -> usize {
        self.source.1.load(Ordering::Relaxed)
    }
}

/// The things of a list; a list that is not there has none.
fn sorted(list: &[u8]) -> Vec<Value> {
    let mut things: Vec<Value> = serde_json::from_slice(list).unwrap();
    things.sort_by_key(|thing| thing["id"].to_string());
    things
}

#[tokio::test]
async fn what_is_read_after_an_edit_is_what_a_fresh_load_would_bring() {
    for seed in seeds() {
        println!("ARXOSRT_SEED={seed}");
        let (mut random, mut office) = (Random(seed.max(1)), Office::new());
        // What a client has set is there until it is edited or made invalid.
        let mut set: BTreeSet<(&str, &str)> = BTreeSet::new();
        for step in 0..400 {
            let floor = FLOORS[random.below(3) as usize];
            let strategy = STRATEGIES[random.below(2) as usize];
            match random.below(16) {
                0 => office.write(),
                1 => {
                    let floor = RoomId::new(floor).unwrap();
                    office.cache.invalidate(&Invalidation::Floor(floor));
                }
                2 => drop(office.cache.invalidate(&Invalidation::All)),
                3 => {
                    let (strategy, id) = office.name(strategy, floor);
                    office.cache.delete(strategy, &id).await.unwrap();
                }
                4 => {
                    let (of, id) = office.name(strategy, floor);
                    let bytes = Bytes::from_static(br#"[{"id":"set"}]"#);
                    office.cache.put(of, &id, bytes, WriteIf::Always, PATIENCE).await.unwrap();
                    set.insert((strategy, floor));
                }
                5 => {
                    // Some are still loading when the next edit comes.
                    let (cache, (strategy, id)) = (office.cache.clone(), office.name(strategy, floor));
                    tokio::spawn(async move { cache.preload(strategy, &id, None, false).await });
                    tokio::task::yield_now().await;
                }
                _ => office.edit(&mut random),
            }
            if random.below(3) == 0 {
                continue;
            }
            for strategy in STRATEGIES {
                for floor in FLOORS {
                    let is = office.read(strategy, floor).await;
                    if set.contains(&(strategy, floor)) {
                        if is.iter().any(|thing| thing["id"] == "set") {
                            assert_eq!(is.len(), 1, "what is set is not changed");
                            continue;
                        }
                        set.remove(&(strategy, floor));
                    }
                    let fresh = office.fresh(strategy, floor).await;
                    assert_eq!(is, fresh, "{strategy} of {floor} after step {step}");
                }
            }
        }
    }
}

#[tokio::test]
async fn edits_of_floors_that_are_cached_ask_the_origin_nothing() {
    for seed in seeds() {
        println!("ARXOSRT_SEED={seed}");
        let (mut random, mut office) = (Random(seed.max(1)), Office::new());
        for floor in FLOORS {
            // A list that is not there yet would have to be made by the origin.
            for file in ["objects.json", "routes.json"] {
                let at = FLOORS.iter().position(|other| *other == floor).unwrap();
                std::fs::write(office.world.dir.path().join(format!("b/floors/{at}/{file}")), "[]").unwrap();
            }
            for strategy in STRATEGIES {
                assert_eq!(office.read(strategy, floor).await, Vec::<Value>::new());
            }
        }
        let before = office.asked();
        for step in 0..200 {
            office.edit(&mut random);
            if random.below(8) == 0 {
                office.write();
            }
            for strategy in STRATEGIES {
                for floor in FLOORS {
                    let is = office.read(strategy, floor).await;
                    assert_eq!(is, office.fresh(strategy, floor).await, "{strategy} of {floor} after step {step}");
                }
            }
        }
        assert_eq!(office.asked() - before, 0);
    }
}
