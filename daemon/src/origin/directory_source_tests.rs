//! The folder as the cache sees it: what is answered is what people agreed on, wherever that is written by then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arxosrt_core::cache::EntryId;
use arxosrt_core::edit::rules::ResourceKind;
use arxosrt_core::id::RoomId;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::directory_source::DirectorySource;
use super::documents::Kind;
use super::fetch::{Fetch, FetchError, Fetched, Promoted, Purpose, Source};
use super::random_edits::{FLOORS, Random, World, open, seeds};
use super::watch::{Changed, Watch};
use super::write_back::Stored;
use crate::hub::ask::{Ask, HubHandle, Page, Standing, Unwritten};

/// Rows of one page: few, so that there are several.
const PAGE: usize = 2;

/// What a hub would know, by resource.
pub(super) type Waiting = Arc<Mutex<BTreeMap<String, Stored>>>;

/// A hub that knows what is not written yet, and no document else.
pub(super) fn hub(waiting: Waiting) -> HubHandle {
    let (hub, mut questions) = HubHandle::new();
    tokio::spawn(async move {
        while let Some(ask) = questions.recv().await {
            match ask {
                Ask::Unwritten { floor, from, reply, .. } => {
                    let waiting = waiting.lock().unwrap();
                    let from = from.map(|resource| resource.as_str().to_owned());
                    let mut rows =
                        waiting.range((from, std::ops::Bound::Unbounded)).map(|(_, stored)| row(stored, &floor));
                    let page = Page { rows: rows.by_ref().take(PAGE).collect(), more: rows.next().is_some() };
                    let _ = reply.send(Ok(page));
                }
                Ask::Document { reply, .. } => drop(reply.send(Ok(None))),
                _ => panic!("nothing else is asked"),
            }
        }
    });
    hub
}

fn row(stored: &Stored, floor: &RoomId) -> Unwritten {
    let kind = match stored.kind {
        Kind::Object => ResourceKind::Object,
        Kind::Route => ResourceKind::Route,
        Kind::Floor => ResourceKind::Floor,
    };
    let is = match &stored.document {
        None => Standing::Deleted,
        Some(text) => {
            let own = serde_json::from_str::<Value>(text).unwrap()["floor_id"].as_str().map(str::to_owned);
            match own.is_none_or(|own| own == floor.as_str()) {
                true => Standing::Here(text.as_ref().into()),
                false => Standing::Elsewhere,
            }
        }
    };
    Unwritten { resource: stored.resource.clone(), kind, version: stored.version, is }
}

pub(super) fn fetch(strategy: &str, id: &str) -> Fetch {
    Fetch {
        strategy: strategy.into(),
        id: EntryId::new(id).unwrap(),
        etag: None,
        purpose: Purpose::Demand,
        promoted: Promoted::default(),
        deadline: Duration::from_secs(20),
    }
}

async fn text(source: &DirectorySource, strategy: &str, id: &str) -> Option<String> {
    match source.fetch(fetch(strategy, id)).await.unwrap() {
        Fetched::Value { bytes, .. } => Some(String::from_utf8(bytes.to_vec()).unwrap()),
        Fetched::Unchanged => panic!("no version was named"),
        Fetched::Missing => None,
    }
}

async fn json_of(source: &DirectorySource, strategy: &str, id: &str) -> Option<Value> {
    text(source, strategy, id).await.map(|text| serde_json::from_str(&text).unwrap())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[tokio::test]
async fn a_floor_that_nobody_edited_is_handed_on_as_it_stands() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let data = std::env::var_os("ARXOSRT_SHARED_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    for buildings in [root.join("sample"), data.join("buildings")] {
        if !buildings.is_dir() {
            println!("not run: {} is not there", buildings.display());
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        copy(&buildings, dir.path());
        let documents = open(dir.path());
        let source = DirectorySource::new(documents.clone(), hub(Waiting::default()));
        let (mut floors, mut told) = (0, 0);
        for building in std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
            let whole = std::fs::read_to_string(building.join("building.json")).unwrap();
            let id: Value = serde_json::from_str(&whole).unwrap();
            let id = id["id"].as_str().unwrap();
            assert_eq!(text(&source, "floor_data", id).await, Some(whole));
            for folder in std::fs::read_dir(building.join("floors")).unwrap().map(|entry| entry.unwrap().path()) {
                let mut floor: Value =
                    serde_json::from_str(&std::fs::read_to_string(folder.join("floor.json")).unwrap()).unwrap();
                let id = floor["id"].as_str().unwrap().to_owned();
                if let Ok(grid) = std::fs::read_to_string(folder.join("grid.json")) {
                    floor["grid"] = serde_json::from_str(&grid).unwrap();
                }
                assert_eq!(json_of(&source, "floor_data", &id).await, Some(floor.clone()));
                assert_eq!(json_of(&source, "floor_data", &format!("floor:{id}")).await, Some(floor));
                for (strategy, file) in [
                    ("object_data", "objects.json"),
                    ("route_data", "routes.json"),
                    ("grid_calibration", "grid.json"),
                    ("analytics_data", "analytics.json"),
                ] {
                    let is = std::fs::read_to_string(folder.join(file)).ok();
                    told += usize::from(is.is_some());
                    assert_eq!(text(&source, strategy, &format!("floor:{id}")).await, is, "{strategy} {id}");
                }
                floors += 1;
            }
        }
        assert!(floors >= 3 && told >= 2 * floors, "{floors} {told}");
        assert_eq!(text(&source, "object_data", "floor:nowhere").await, None);
        assert_eq!(source.fetch(fetch("user_session", "s")).await, Err(FetchError::NoSource));
        assert!(source.health().is_up);
    }
}

#[tokio::test]
async fn what_people_agreed_on_goes_before_the_files_whatever_is_written_of_it() {
    for seed in seeds() {
        println!("ARXOSRT_SEED={seed}");
        let (mut random, mut world) = (Random(seed.max(1)), World::new());
        let waiting = Waiting::default();
        let hub = hub(waiting.clone());
        for _ in 0..120 {
            match random.below(8) {
                0 => world.write(),
                1 => world.write_but(&format!("b/floors/{}/objects.json", random.below(3))),
                _ => world.edit(&mut random),
            }
            *waiting.lock().unwrap() = world.waiting.clone();
            let source = DirectorySource::new(world.documents.clone(), hub.clone());
            for (at, floor) in FLOORS.iter().enumerate() {
                for (strategy, first) in [("object_data", 'o'), ("route_data", 'r')] {
                    let shown = json_of(&source, strategy, &format!("floor:{floor}")).await.unwrap_or(json!([]));
                    let mut shown: Vec<Value> = shown.as_array().unwrap().clone();
                    shown.sort_by_key(|value| value["id"].to_string());
                    let agreed = world.table.iter().filter(|(id, (on, _))| id.starts_with(first) && *on == at);
                    assert_eq!(
                        shown,
                        agreed.map(|(_, (_, value))| value.clone()).collect::<Vec<_>>(),
                        "{strategy} {floor}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_written_later_reads_as_it_did_before() {
    let (mut random, mut world) = (Random(7), World::new());
    let waiting = Waiting::default();
    let hub = hub(waiting.clone());
    (0..40).for_each(|_| world.edit(&mut random));
    *waiting.lock().unwrap() = world.waiting.clone();
    let source = DirectorySource::new(world.documents.clone(), hub);
    let mut before = Vec::new();
    for floor in FLOORS {
        before.push(text(&source, "object_data", &format!("floor:{floor}")).await);
    }
    world.write();
    waiting.lock().unwrap().clear();
    for (floor, before) in FLOORS.iter().zip(before) {
        // A file that is not there and one that has become empty are the same list.
        let after = text(&source, "object_data", &format!("floor:{floor}")).await;
        let [before, after] = [before, after].map(|text| text.unwrap_or_else(|| "[]\n".to_owned()));
        assert_eq!(after, before, "byte by byte");
    }
}

#[tokio::test]
async fn a_floor_s_document_and_its_grid_are_those_that_people_see() {
    let world = World::new();
    std::fs::write(world.dir.path().join("b/floors/0/grid.json"), "{\"x\": 1}\n").unwrap();
    let waiting = Waiting::default();
    let source = DirectorySource::new(world.documents.clone(), hub(waiting.clone()));
    assert_eq!(json_of(&source, "grid_calibration", "floor:b:0").await, Some(json!({"x": 1})));
    let stored = |document: Option<&str>| Stored {
        building: arxosrt_core::id::BuildingId::new("b").unwrap(),
        resource: arxosrt_core::id::ResourceId::new("b:0").unwrap(),
        kind: Kind::Floor,
        floor: RoomId::new("b:0").unwrap(),
        document: document.map(Arc::from),
        version: 2,
    };
    for (document, grid) in [
        (r#"{"id":"b:0","version":2,"grid":{"x":2}}"#, Some(json!({"x": 2}))),
        (r#"{"id":"b:0","version":2}"#, None),
        (r#"{"id":"b:0","version":2,"grid":null}"#, None),
    ] {
        waiting.lock().unwrap().insert("b:0".to_owned(), stored(Some(document)));
        assert_eq!(text(&source, "floor_data", "b:0").await.as_deref(), Some(document));
        assert_eq!(json_of(&source, "grid_calibration", "floor:b:0").await, grid);
    }
    waiting.lock().unwrap().insert("b:0".to_owned(), stored(None));
    for strategy in ["floor_data", "grid_calibration", "object_data"] {
        assert_eq!(text(&source, strategy, "floor:b:0").await, None, "{strategy} of a floor that was deleted");
    }
}

#[tokio::test]
async fn a_file_that_is_known_is_not_sent_again() {
    let world = World::new();
    let file = world.dir.path().join("b/floors/0/objects.json");
    std::fs::write(&file, "[]").unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(60);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
    let source = DirectorySource::new(world.documents.clone(), hub(Waiting::default()));
    let mut ask = fetch("object_data", "floor:b:0");
    let Fetched::Value { etag: Some(etag), .. } = source.fetch(ask.clone()).await.unwrap() else { panic!("no etag") };
    ask.etag = Some(etag);
    assert_eq!(source.fetch(ask.clone()).await, Ok(Fetched::Unchanged));
    std::fs::write(&file, "[ ]").unwrap();
    let Fetched::Value { bytes, etag } = source.fetch(ask).await.unwrap() else { panic!("it has changed") };
    assert_eq!((&bytes[..], etag), (&b"[ ]"[..], None), "it may change once more without getting another time");
    std::fs::write(&file, "[{\"id\":").unwrap();
    assert!(matches!(source.fetch(fetch("object_data", "floor:b:0")).await, Err(FetchError::Malformed(_))));
}

#[tokio::test]
async fn what_others_change_is_told() {
    for by_looking in [false, true] {
        let world = World::new();
        let (told, mut changes) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Handle::current();
        let tell = move |changed: Changed| drop(told.send(changed));
        let every = Duration::from_millis(50);
        let _watch = Watch::start_with(&runtime, world.documents.clone(), by_looking, every, tell).unwrap();
        let mut change = async |file: &str, floor: Option<&str>| {
            let path = world.dir.path().join("b").join(file);
            std::fs::write(path, format!(r#"{{"id":"b","said":"{file}"}}"#)).unwrap();
            let wanted = floor.map(|floor| RoomId::new(floor).unwrap());
            let told = async {
                loop {
                    let changed = changes.recv().await.expect("the watch lives");
                    if changed.floor == wanted {
                        return changed.building.to_string();
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(20), told).await.expect("it is told in time")
        };
        assert_eq!(change("floors/1/objects.json", Some("b:1")).await, "b");
        assert_eq!(change("building.json", None).await, "b");
        assert_eq!(change("floors/2/analytics.json", Some("b:2")).await, "b");
    }
}
