//! Documents out of folders and back into them: what changes, and that nothing else does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arxosrt_core::directory::{Counts, Located};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use serde_json::Value;

use super::directory::read;
use super::documents::{Document, Documents, Kind};
use super::elements::Elements;
use super::write_back::{Diverged, Outcome, Report, Stored};

/// A copy of a folder of buildings, opened as at a start.
struct Copy {
    dir: tempfile::TempDir,
    documents: Documents,
    counts: Counts,
}

impl Copy {
    fn of(folder: &Path) -> Copy {
        let dir = tempfile::tempdir().unwrap();
        copy(folder, dir.path());
        Copy::open(dir)
    }

    fn sample() -> Copy {
        Copy::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample"))
    }

    fn open(dir: tempfile::TempDir) -> Copy {
        let reading = read(dir.path()).unwrap();
        let counts = reading.directory.counts();
        let documents = Documents::open(reading.folder.unwrap(), Arc::new(reading.directory)).unwrap();
        Copy { dir, documents, counts }
    }

    /// As after another start of the daemon.
    fn again(self) -> Copy {
        Copy::open(self.dir)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    /// Every file with its text.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        walk(self.dir.path(), &mut |path| {
            files
                .insert(path.strip_prefix(self.dir.path()).unwrap().to_owned(), std::fs::read_to_string(path).unwrap());
        });
        files
    }

    fn load(&self, building: &str, id: &str) -> Option<Document> {
        self.documents.load(&BuildingId::new(building).unwrap(), &thing(id)).unwrap()
    }

    fn store(&self, stored: Stored) -> Report {
        self.documents.store(&[stored]).remove(0)
    }
}

fn copy(from: &Path, to: &Path) {
    walk(from, &mut |path| {
        let to = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(path, to).unwrap();
    });
}

fn walk(folder: &Path, with: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, with),
            false => with(&path),
        }
    }
}

fn thing(id: &str) -> ResourceId {
    ResourceId::new(id).unwrap()
}

/// A document of `hq` as the log would hand it over.
fn stored(kind: Kind, id: &str, floor: &str, version: u64, document: Option<&str>) -> Stored {
    Stored {
        building: BuildingId::new("hq").unwrap(),
        resource: thing(id),
        kind,
        floor: RoomId::new(floor).unwrap(),
        document: document.map(Into::into),
        version,
    }
}

const WRITTEN: Report = Report { outcome: Outcome::Written, diverged: None };

const DOOR: &str = "hq:level-1:door-01";
const OBJECTS_1: &str = "hq/floors/level-1/objects.json";
const OBJECTS_0: &str = "hq/floors/ground/objects.json";

/// The document with one member changed, printed as programs print: without blanks, in another order.
fn changed(text: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    change(&mut value);
    value.to_string()
}

/// The folders to try: the sample, and the real buildings where they are.
fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let data = std::env::var_os("ARXOSRT_SHARED_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    let buildings = data.join("buildings");
    if !buildings.is_dir() {
        println!("only with the sample: {} is not there", buildings.display());
        return vec![root.join("sample")];
    }
    vec![root.join("sample"), buildings]
}

#[test]
fn every_document_loads_and_changes_no_other_byte() {
    for folder in folders() {
        let copy = Copy::of(&folder);
        let before = copy.files();
        let mut items = 0;
        for (file, text) in &before {
            let kind = match file.file_name().unwrap().to_str().unwrap() {
                "objects.json" => Kind::Object,
                "routes.json" => Kind::Route,
                _ => continue,
            };
            let building = file.components().next().unwrap().as_os_str().to_str().unwrap();
            let elements = Elements::read(text.clone()).unwrap();
            let mut ids: Vec<&str> = elements.ids().collect();
            ids.sort_unstable();
            let floor = before[&file.with_file_name("floor.json")].clone();
            let floor: Value = serde_json::from_str(&floor).unwrap();
            for (at, id) in ids.into_iter().enumerate() {
                let document = copy.load(building, id).unwrap_or_else(|| panic!("{id} is lost"));
                if floor["id"] != document.floors[0].as_str() {
                    // It counts on another floor, or is another kind of thing there.
                    continue;
                }
                items += 1;
                assert_eq!((document.kind, &*document.text), (kind, elements.get(id).unwrap().0), "{id}");
                assert_eq!(serde_json::from_str::<Value>(&document.text).unwrap()["version"], document.version);
                // Writing each one of thousands costs minutes; every file has its first, last and some between.
                if at % 50 != 0 {
                    continue;
                }
                let new = changed(&document.text, |value| value["new"] = serde_json::json!({"a": [1, "x, y"]}));
                let write = |text: &str, version: u64| Stored {
                    building: BuildingId::new(building).unwrap(),
                    resource: thing(id),
                    kind,
                    floor: document.floors[0].clone(),
                    document: Some(text.into()),
                    version,
                };
                assert_eq!(copy.store(write(&new, document.version + 1)), WRITTEN);
                let then = copy.text(file.to_str().unwrap());
                let (start, end) = (text.find(&*document.text).unwrap(), text.len());
                let rest = end - start - document.text.len();
                assert!(then.starts_with(&text[..start]) && then.ends_with(&text[end - rest..]), "{id}");
                let element = &then[start..then.len() - rest];
                assert_eq!(element.contains('\n'), document.text.contains('\n'), "{id}: {element}");
                let expected = changed(&new, |value| value["version"] = (document.version + 1).into());
                assert_eq!(changed(element, |_| {}), expected, "{id}");
                let loaded = copy.load(building, id).unwrap();
                assert_eq!((&*loaded.text, loaded.version), (element, document.version + 1));
                // Back again, byte for byte.
                assert_eq!(copy.store(write(&document.text, document.version)), WRITTEN);
                assert_eq!(copy.text(file.to_str().unwrap()), *text, "{id}");
            }
        }
        assert_eq!(copy.files(), before, "no file but those has changed, and none is new");
        assert_eq!(items, copy.counts.objects + copy.counts.routes, "{}", folder.display());
    }
}

#[test]
fn a_route_lies_first_on_the_floor_of_its_folder() {
    let copy = Copy::sample();
    let mut spans = 0;
    for file in copy.files().into_iter().filter(|(file, _)| file.ends_with("routes.json")) {
        let routes: Vec<Value> = serde_json::from_str(&file.1).unwrap();
        for route in routes {
            let document = copy.load("hq", route["id"].as_str().unwrap()).unwrap();
            assert_eq!(document.floors[0].as_str(), route["floor_id"]);
            spans += usize::from(document.floors.len() > 1);
        }
    }
    assert!(spans > 0);
    assert_eq!(copy.load("hq", "hq"), None, "a building has no document");
    assert_eq!(copy.load("hq", "nothing"), None);
    assert_eq!(copy.load("elsewhere", DOOR), None);
}

#[test]
fn a_floor_is_its_file_with_its_grid_and_is_split_again() {
    let copy = Copy::sample();
    let (floor, grid) = (copy.text("hq/floors/level-1/floor.json"), copy.text("hq/floors/level-1/grid.json"));
    let document = copy.load("hq", "hq:level-1").unwrap();
    let whole: Value = serde_json::from_str(&document.text).unwrap();
    assert_eq!(whole["grid"], serde_json::from_str::<Value>(&grid).unwrap());
    assert_eq!((document.kind, document.version, document.floors[0].as_str()), (Kind::Floor, 1, "hq:level-1"));
    let new = changed(&document.text, |floor| floor["grid"]["spacing_m"] = 2.5.into());
    assert_eq!(copy.store(stored(Kind::Floor, "hq:level-1", "hq:level-1", 2, Some(&new))), WRITTEN);
    assert_eq!(copy.text("hq/floors/level-1/grid.json"), grid.replace("1.0", "2.5"));
    assert_eq!(copy.text("hq/floors/level-1/floor.json"), floor.replace("\"version\": 1", "\"version\": 2"));
    let new = changed(&new, |floor| drop(floor.as_object_mut().unwrap().remove("grid")));
    assert_eq!(copy.store(stored(Kind::Floor, "hq:level-1", "hq:level-1", 3, Some(&new))), WRITTEN);
    assert!(!copy.path("hq/floors/level-1/grid.json").exists(), "a floor without a grid has no file of it");
    let copy = copy.again();
    assert_eq!(copy.load("hq", "hq:level-1").unwrap().version, 3);
}

#[test]
fn a_new_object_and_a_new_floor_are_there_at_the_next_start() {
    let copy = Copy::sample();
    let before = copy.counts;
    let attic = r#"{"id":"hq:attic","building_id":"hq","name":"Attic","level":9,"grid":{"spacing_m":1.0}}"#;
    let fan = r#"{"id":"fan","floor_id":"hq:attic","type":"fan","properties":{"x":[1,2]}}"#;
    let lamp = r#"{"id":"lamp","type":"lamp"}"#;
    let reports = copy.documents.store(&[
        stored(Kind::Object, "fan", "hq:attic", 1, Some(fan)),
        stored(Kind::Object, "lamp", "hq:roof", 4, Some(lamp)),
        stored(Kind::Floor, "hq:attic", "hq:attic", 1, Some(attic)),
    ]);
    assert_eq!(reports, [WRITTEN, WRITTEN, WRITTEN]);
    assert_eq!(
        copy.text("hq/floors/attic/objects.json"),
        "[\n  {\"id\": \"fan\", \"floor_id\": \"hq:attic\", \"type\": \"fan\", \"properties\": {\"x\": [1, 2]}, \
         \"version\": 1}\n]\n"
    );
    assert_eq!(copy.text("hq/floors/attic/grid.json"), "{\n  \"spacing_m\": 1.0\n}\n");
    let lamp = "},\n  {\"id\": \"lamp\", \"type\": \"lamp\", \"version\": 4}\n]\n";
    assert!(copy.text("hq/floors/roof/objects.json").ends_with(lamp));
    for copy in [copy.load("hq", "fan"), copy.again().load("hq", "fan")] {
        assert_eq!(copy.unwrap().floors[0].as_str(), "hq:attic");
    }
    let copy = Copy::sample();
    std::fs::create_dir(copy.path("hq/floors/attic")).unwrap();
    assert_eq!(copy.store(stored(Kind::Floor, "hq:attic", "hq:attic", 1, Some(attic))), WRITTEN);
    assert!(copy.path("hq/floors/attic-2/floor.json").is_file(), "a folder that is there is somebody's");
    let copy = Copy::sample();
    let refuse = |stored: Stored, says: &str| match copy.store(stored).outcome {
        Outcome::Refused(why) => assert!(why.contains(says), "{why}"),
        other => panic!("{other:?}"),
    };
    refuse(stored(Kind::Object, "fan", "hq:attic", 1, Some(fan)), "`hq:attic` is no floor of this building");
    refuse(stored(Kind::Object, "fan", "hq:roof", 1, Some("{\"id\":\"fun\"}")), "its `id` is `fun`");
    refuse(stored(Kind::Object, "fan", "hq:roof", 1, Some("{\"id\":\"fan\"")), "EOF");
    refuse(stored(Kind::Route, "r", "hq:roof", 1, Some(r#"{"id":"r","floors":["x"]}"#)), "`x` is no floor");
    refuse(stored(Kind::Floor, "hq:x", "hq:x", 1, Some(r#"{"id":"hq:x","building_id":"b"}"#)), "of another place");
    let lone =
        Stored { building: BuildingId::new("lone").unwrap(), ..stored(Kind::Object, "fan", "lone", 1, Some(fan)) };
    refuse(lone, "is no floor");
    assert_eq!(copy.again().counts, before, "what is refused leaves nothing");
}

#[test]
fn what_is_deleted_is_gone_and_a_deleted_floor_is_set_aside() {
    let copy = Copy::sample();
    let counts = copy.counts;
    let before = copy.text(OBJECTS_1);
    let element = copy.load("hq", DOOR).unwrap().text;
    assert_eq!(copy.store(stored(Kind::Object, DOOR, "hq:level-1", 2, None)), WRITTEN);
    assert_eq!(copy.text(OBJECTS_1), before.replace(&format!("  {element},\n"), ""));
    assert_eq!(copy.load("hq", DOOR), None);
    assert_eq!(copy.store(stored(Kind::Object, DOOR, "hq:level-1", 2, None)), WRITTEN, "it is gone already");
    let roof = stored(Kind::Floor, "hq:roof", "hq:roof", 2, None);
    let Outcome::Refused(why) = copy.store(roof.clone()).outcome else { panic!("a start would refuse the building") };
    assert!(why.contains("still reaches onto it"), "{why}");
    // All at once, in an order in which it must not be done.
    let mut all = vec![roof];
    for file in ["hq/floors/ground/routes.json", "hq/floors/level-1/routes.json"] {
        let routes: Vec<Value> = serde_json::from_str(&copy.text(file)).unwrap();
        for mut route in routes.into_iter().filter(|route| route["floors"].to_string().contains("hq:roof")) {
            route["floors"].as_array_mut().unwrap().retain(|floor| floor != "hq:roof");
            let (id, floor) = (route["id"].as_str().unwrap(), route["floor_id"].as_str().unwrap());
            all.push(stored(Kind::Route, id, floor, 2, Some(&route.to_string())));
        }
    }
    assert!(all.len() > 1 && copy.documents.store(&all).iter().all(|report| *report == WRITTEN));
    let copy = copy.again();
    let (left, files) = (copy.counts, copy.files());
    assert_eq!(left.floors, counts.floors - 1);
    let aside: Vec<_> = files.keys().filter(|file| file.to_str().unwrap().contains("/.roof.deleted-")).collect();
    assert_eq!(aside.len(), 4, "nothing of it is destroyed: {aside:?}");
    assert_eq!(copy.load("hq", DOOR), None);
}

fn moved(copy: &Copy) -> String {
    changed(&copy.load("hq", DOOR).unwrap().text, |door| door["floor_id"] = "hq:ground".into())
}

#[test]
fn what_moves_is_in_one_file_and_in_two_only_if_the_move_is_cut_short() {
    let copy = Copy::sample();
    let before = copy.files();
    let moved = moved(&copy);
    let count = |copy: &Copy, file: &str| copy.text(file).matches(&format!("\"id\": \"{DOOR}\"")).count();
    // Leaving fails: the old floor's file is a link out of the folder for a while.
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::rename(copy.path(OBJECTS_1), copy.path("kept")).unwrap();
    std::os::unix::fs::symlink(secret.path(), copy.path(OBJECTS_1)).unwrap();
    let report = copy.store(stored(Kind::Object, DOOR, "hq:level-1", 2, Some(&moved)));
    assert!(matches!(&report.outcome, Outcome::Failed(trouble) if trouble.what.contains("leads out")), "{report:?}");
    std::fs::remove_file(copy.path(OBJECTS_1)).unwrap();
    std::fs::rename(copy.path("kept"), copy.path(OBJECTS_1)).unwrap();
    assert_eq!((count(&copy, OBJECTS_0), count(&copy, OBJECTS_1)), (1, 1));
    // As if the daemon had died here: the newer one counts.
    let copy = copy.again();
    assert_eq!(copy.counts, Copy::sample().counts);
    let Some(Located::Item { floors, .. }) = copy.documents.directory.locate(&thing(DOOR)) else { panic!("lost") };
    assert_eq!(floors, [RoomId::new("hq:ground").unwrap()]);
    let found = copy.load("hq", DOOR).unwrap();
    assert_eq!((found.version, found.floors[0].as_str()), (2, "hq:ground"));
    // The log hands it over once more, and then it is in one place.
    assert_eq!(copy.store(stored(Kind::Object, DOOR, "hq:level-1", 2, Some(&moved))), WRITTEN);
    assert_eq!((count(&copy, OBJECTS_0), count(&copy, OBJECTS_1)), (1, 0));
    // And back in one go.
    let back = changed(&moved, |door| door["floor_id"] = "hq:level-1".into());
    assert_eq!(copy.store(stored(Kind::Object, DOOR, "hq:level-1", 3, Some(&back))), WRITTEN);
    assert_eq!((count(&copy, OBJECTS_0), count(&copy, OBJECTS_1)), (0, 1));
    assert_eq!(copy.files()[Path::new(OBJECTS_0)], before[Path::new(OBJECTS_0)]);
}

#[test]
fn a_move_that_fails_halfway_and_goes_elsewhere_leaves_no_copy() {
    let copy = Copy::sample();
    let moved = moved(&copy);
    std::fs::rename(copy.path(OBJECTS_1), copy.path("kept")).unwrap();
    std::fs::create_dir(copy.path(OBJECTS_1)).unwrap();
    let report = copy.store(stored(Kind::Object, DOOR, "hq:level-1", 2, Some(&moved)));
    assert!(matches!(report.outcome, Outcome::Failed(_)), "{report:?}");
    std::fs::remove_dir(copy.path(OBJECTS_1)).unwrap();
    std::fs::rename(copy.path("kept"), copy.path(OBJECTS_1)).unwrap();
    let to_roof = changed(&moved, |door| door["floor_id"] = "hq:roof".into());
    assert_eq!(copy.store(stored(Kind::Object, DOOR, "hq:level-1", 3, Some(&to_roof))), WRITTEN);
    let places =
        |copy: &Copy| copy.files().values().filter(|text| text.contains(&format!("\"id\": \"{DOOR}\""))).count();
    assert_eq!(places(&copy), 1);
    assert_eq!(copy.store(stored(Kind::Object, DOOR, "hq:level-1", 4, None)), WRITTEN);
    assert_eq!(places(&copy), 0);
}

#[test]
fn what_somebody_else_has_changed_is_written_over_and_told() {
    let copy = Copy::sample();
    let document = copy.load("hq", DOOR).unwrap().text;
    let write = |version| copy.store(stored(Kind::Object, DOOR, "hq:level-1", version, Some(&document)));
    let change = |from: u64, to: u64| {
        let version = |version: u64| document.replace("\"version\": 1,", &format!("\"version\": {version},"));
        let text = copy.text(OBJECTS_1).replace(&version(from), &version(to));
        std::fs::write(copy.path(OBJECTS_1), text).unwrap();
    };
    change(1, 7);
    let diverged = |expected, found| Report { outcome: Outcome::Written, diverged: Some(Diverged { expected, found }) };
    assert_eq!(write(2), diverged(Some(1), Some(7)));
    assert_eq!(write(3), WRITTEN, "what was written is what is expected");
    change(3, 9);
    assert_eq!(copy.load("hq", DOOR).unwrap().version, 9);
    assert_eq!(write(4), WRITTEN, "what was loaded is known");
    std::fs::write(copy.path(OBJECTS_1), "[]").unwrap();
    assert_eq!(write(5), diverged(Some(4), None));
    assert_eq!(copy.load("hq", DOOR).unwrap().version, 5);
    // What was never read is only known to be another's when it is newer.
    let copy = copy.again();
    let write = |version| copy.store(stored(Kind::Object, DOOR, "hq:level-1", version, Some(&document)));
    assert_eq!(write(3), diverged(None, Some(5)));
    assert_eq!(write(4), WRITTEN);
}

#[test]
fn a_broken_file_is_left_alone() {
    let copy = Copy::sample();
    let document = copy.load("hq", DOOR).unwrap().text;
    std::fs::write(copy.path(OBJECTS_1), "[{\"id\": ").unwrap();
    let report = copy.store(stored(Kind::Object, DOOR, "hq:level-1", 2, Some(&document)));
    let Outcome::Failed(trouble) = report.outcome else { panic!("{report:?}") };
    assert!(trouble.to_string().contains("level-1/objects.json: EOF"), "{trouble}");
    assert_eq!(copy.text(OBJECTS_1), "[{\"id\": ");
    let building = BuildingId::new("hq").unwrap();
    assert!(copy.documents.load(&building, &thing(DOOR)).is_err());
    assert!(copy.load("hq", "hq:ground:door-01").is_some(), "the other floors are as they were");
}

#[test]
fn files_that_a_dead_daemon_left_are_removed_at_the_start() {
    let copy = Copy::sample();
    let before = copy.files();
    let left = ["hq/floors/level-1/.objects.json.0123.arxosrt-new", "hq/floors/roof/.floor.json.4567.arxosrt-new"];
    for file in left {
        std::fs::write(copy.path(file), "[{\"id\": \"half").unwrap();
    }
    std::fs::write(copy.path("hq/floors/roof/.mine.json"), "{").unwrap();
    let copy = copy.again();
    assert_eq!(copy.counts, Copy::sample().counts);
    std::fs::remove_file(copy.path("hq/floors/roof/.mine.json")).unwrap();
    assert_eq!(copy.files(), before);
}
