//! The origin as the hub meets it: asked without waiting, answered later.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use tokio::sync::mpsc;

use super::directory::read;
use super::documents::{Documents, Kind};
use super::service::{LOADS_MAX, Origin, OriginAnswer, OriginHandle, OriginSettings, Taken, TooManyLoads, start};
use super::store::DocumentStore;
use super::write_back::Stored;
use crate::metrics::Metrics;

const SETTINGS: OriginSettings = OriginSettings { write_back: true, window: Duration::from_millis(500) };

struct Served {
    dir: tempfile::TempDir,
    origin: Origin,
    handle: OriginHandle,
    answers: mpsc::Receiver<OriginAnswer>,
    metrics: Arc<Metrics>,
}

const FILES: &[(&str, &str)] = &[
    ("b/building.json", r#"{"id":"b"}"#),
    ("b/floors/f/floor.json", r#"{"id":"b:f"}"#),
    ("b/floors/f/objects.json", r#"[{"id":"x","version":1}]"#),
    ("c/building.json", r#"{"id":"c"}"#),
    ("c/floors/f/floor.json", r#"{"id":"c:f"}"#),
];

impl Served {
    fn start(settings: OriginSettings) -> Served {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in FILES {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let reading = read(dir.path()).unwrap();
        let metrics = Arc::new(Metrics::new());
        let runtime = tokio::runtime::Handle::current();
        let directory = Arc::new(reading.directory);
        let documents = reading.folder.map(|folder| Arc::new(Documents::open(folder, directory).unwrap()));
        let documents = documents.map(DocumentStore::Folder);
        let (origin, handle, answers) = start(&runtime, settings, documents, metrics.clone());
        Served { dir, origin, handle, answers, metrics }
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(file)).unwrap()
    }

    async fn loaded(&mut self, id: &str) -> Option<u64> {
        self.handle.load(building("b"), ResourceId::new(id).unwrap()).unwrap();
        loop {
            if let OriginAnswer::Loaded { resource, result, .. } = self.answers.recv().await.unwrap() {
                assert_eq!(resource.as_str(), id);
                return result.unwrap().map(|document| document.version);
            }
        }
    }

    /// The next answer about something written.
    async fn written(&mut self) -> (String, Vec<(String, u64)>) {
        match self.answers.recv().await.unwrap() {
            OriginAnswer::Written { building, resources } => {
                (building.to_string(), resources.into_iter().map(|(id, version)| (id.to_string(), version)).collect())
            }
            other => panic!("{other:?}"),
        }
    }
}

fn building(id: &str) -> BuildingId {
    BuildingId::new(id).unwrap()
}

fn stored(building_id: &str, id: &str, version: u64) -> Stored {
    Stored {
        building: building(building_id),
        resource: ResourceId::new(id).unwrap(),
        kind: Kind::Object,
        floor: RoomId::new(&format!("{building_id}:f")).unwrap(),
        document: Some(format!(r#"{{"id":"{id}"}}"#).into()),
        version,
    }
}

fn written(building: &str, id: &str, version: u64) -> (String, Vec<(String, u64)>) {
    (building.to_owned(), vec![(id.to_owned(), version)])
}

#[tokio::test(start_paused = true)]
async fn a_thousand_versions_of_one_thing_are_few_writes() {
    let mut served = Served::start(SETTINGS);
    for version in 1..=1000 {
        assert_eq!(served.handle.store(vec![stored("b", "x", version + 1)]), Taken::Pending);
        // Ten windows pass meanwhile.
        if version % 100 == 0 {
            tokio::time::advance(SETTINGS.window).await;
        }
    }
    let mut writes = 0;
    let mut newest = 0;
    while newest < 1001 {
        let (building, resources) = served.written().await;
        assert_eq!((building.as_str(), resources.len()), ("b", 1));
        assert!(resources[0].1 > newest, "versions only rise");
        newest = resources[0].1;
        writes += 1;
    }
    assert!(writes <= 11, "{writes}");
    assert_eq!(served.text("b/floors/f/objects.json"), r#"[{"id":"x","version":1001}]"#);
    assert_eq!((served.metrics.origin_pending.get(), served.metrics.origin_written.get()), (0, writes));
    served.origin.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_load_sees_what_is_not_written_yet() {
    let mut served = Served::start(SETTINGS);
    assert_eq!((served.loaded("x").await, served.loaded("y").await), (Some(1), None));
    let gone = Stored { document: None, ..stored("b", "x", 3) };
    assert_eq!(served.handle.store(vec![stored("b", "y", 2), gone]), Taken::Pending);
    assert_eq!((served.loaded("x").await, served.loaded("y").await), (None, Some(2)));
    served.written().await;
    assert_eq!((served.loaded("x").await, served.loaded("y").await), (None, Some(2)));
    assert_eq!(served.metrics.origin_load.read().under.iter().map(|(_, n)| n).sum::<u64>(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_building_that_cannot_be_written_is_tried_until_it_can_and_holds_up_no_other() {
    let mut served = Served::start(SETTINGS);
    let (file, kept) = (served.dir.path().join("b/floors/f/objects.json"), served.dir.path().join("kept"));
    // What nobody may write to, also not root: something that is no file.
    std::fs::rename(&file, &kept).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(served.handle.store(vec![stored("b", "x", 2)]), Taken::Pending);
    while served.metrics.origin_write_failures.get() < 4 {
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(served.handle.store(vec![stored("c", "z", 1)]), Taken::Pending);
    assert_eq!(served.written().await, written("c", "z", 1));
    assert_eq!((served.metrics.origin_pending.get(), served.loaded("x").await), (1, Some(2)));
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&kept, &file).unwrap();
    assert_eq!(served.written().await, written("b", "x", 2));
    assert_eq!(served.text("b/floors/f/objects.json"), r#"[{"id":"x","version":2}]"#);
    assert_eq!(served.metrics.origin_pending.get(), 0);
}

/// Only a user whom modes bind can see this.
#[tokio::test(start_paused = true)]
async fn a_read_only_folder_is_written_when_it_is_writable_again() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut served = Served::start(SETTINGS);
    let folder = served.dir.path().join("b/floors/f");
    let mode = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    if std::fs::write(folder.join("probe"), "").is_ok() {
        println!("not run: modes do not bind this user");
        return;
    }
    assert_eq!(served.handle.store(vec![stored("b", "x", 2)]), Taken::Pending);
    while served.metrics.origin_write_failures.get() < 2 {
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    mode(0o755);
    assert_eq!(served.written().await, written("b", "x", 2));
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_what_is_pending_but_not_for_ever() {
    let served = Served::start(OriginSettings { window: Duration::from_secs(3600), ..SETTINGS });
    let _ = served.handle.store(vec![stored("b", "x", 2), stored("c", "z", 1)]);
    let Served { dir, origin, .. } = served;
    origin.finish().await.unwrap();
    for (file, text) in [("b/floors/f/objects.json", r#"{"id":"x","version":2}"#), ("c/floors/f/objects.json", "\"z\"")]
    {
        assert!(std::fs::read_to_string(dir.path().join(file)).unwrap().contains(text), "{file}");
    }

    let served = Served::start(SETTINGS);
    let file = served.dir.path().join("b/floors/f/objects.json");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let _ = served.handle.store(vec![stored("b", "x", 2), stored("c", "z", 1)]);
    let unwritten = served.origin.finish().await.unwrap_err();
    assert_eq!(unwritten.documents, 1);
    assert!(served.metrics.origin_write_failures.get() > 3);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_the_folder_is_refused_once_and_forgotten() {
    let mut served = Served::start(SETTINGS);
    let lost = Stored { floor: RoomId::new("b:none").unwrap(), ..stored("b", "y", 7) };
    assert_eq!(served.handle.store(vec![lost, stored("b", "x", 2)]), Taken::Pending);
    match served.answers.recv().await.unwrap() {
        OriginAnswer::Refused { resource, version: 7, why, .. } => {
            assert!(resource.as_str() == "y" && why.contains("b:none"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(served.written().await, written("b", "x", 2));
    assert_eq!(served.metrics.origin_pending.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_when_nothing_is_to_be() {
    let mut served = Served::start(OriginSettings { write_back: false, ..SETTINGS });
    assert_eq!(served.handle.store(vec![stored("b", "x", 2)]), Taken::InLogOnly);
    assert_eq!(served.loaded("x").await, Some(1));
    served.origin.finish().await.unwrap();

    let runtime = tokio::runtime::Handle::current();
    let (_origin, handle, mut answers) = start(&runtime, SETTINGS, None, Arc::new(Metrics::new()));
    assert_eq!(handle.store(vec![stored("b", "x", 2)]), Taken::InLogOnly);
    handle.load(building("b"), ResourceId::new("x").unwrap()).unwrap();
    assert!(matches!(answers.recv().await, Some(OriginAnswer::Loaded { result: Ok(None), .. })));
}

#[tokio::test(start_paused = true)]
async fn too_many_loads_are_refused_at_once() {
    let mut served = Served::start(SETTINGS);
    let load = |handle: &OriginHandle| handle.load(building("b"), ResourceId::new("x").unwrap());
    for _ in 0..LOADS_MAX {
        load(&served.handle).unwrap();
    }
    assert_eq!(load(&served.handle), Err(TooManyLoads));
    for _ in 0..LOADS_MAX {
        assert!(matches!(served.answers.recv().await, Some(OriginAnswer::Loaded { result: Ok(Some(_)), .. })));
    }
    load(&served.handle).unwrap();
}

#[test]
fn a_folder_that_has_gone_meanwhile_is_no_origin() {
    let reading = read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample").as_path()).unwrap();
    let mut folder = reading.folder.unwrap();
    folder.path = "/nowhere/at/all".into();
    let trouble = Documents::open(folder, Arc::new(reading.directory)).unwrap_err();
    assert!(trouble.to_string().starts_with("/nowhere/at/all: "), "{trouble}");
}
