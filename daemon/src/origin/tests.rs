//! The origin as a person meets it: a folder in, a directory and a list of troubles out.

use std::path::{Path, PathBuf};

use arxosrt_core::directory::{Counts, ItemKind, Located};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};

use super::directory::{Reading, Trouble, read};
use super::{document, load};
use crate::args::Args;
use crate::config::Env;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// The troubles of reading, without the folder's own path.
fn troubles(reading: &Reading, dir: &Path) -> Vec<String> {
    assert_eq!(reading.faults, [], "nothing is broken");
    shown(&reading.troubles, dir)
}

fn shown(troubles: &[Trouble], dir: &Path) -> Vec<String> {
    let prefix = format!("{}/", dir.display());
    troubles.iter().map(|trouble| trouble.to_string().replace(&prefix, "")).collect()
}

const GOOD: &[(&str, &str)] = &[
    ("b/building.json", r#"{"id":"b","name":"B","more":[1,{"x":null}]}"#),
    ("b/floors/top/floor.json", r#"{"id":"b:2","building_id":"b","name":"Top","level":2,"bounds":[0,0,1,1]}"#),
    ("b/floors/top/objects.json", r#"[{"id":"ahu","floor_id":"b:2","properties":{"deep":[[]]}}]"#),
    ("b/floors/ground/floor.json", r#"{"id":"b:0"}"#),
    ("b/floors/ground/routes.json", r#"[{"id":"stairs","floor_id":"b:0","floors":["b:0","b:2"]},{"id":"hall"}]"#),
    ("b/floors/ground/grid.json", "not even JSON: nobody asked for it yet"),
    ("b/floors/note.txt", "a file among the floors"),
    (".git/building.json", "hidden"),
];

#[test]
fn a_folder_becomes_a_directory() {
    let dir = folder(GOOD);
    let reading = read(dir.path()).unwrap();
    assert_eq!(troubles(&reading, dir.path()), [] as [&str; 0]);
    let directory = reading.directory;
    assert_eq!(directory.counts(), Counts { buildings: 1, floors: 2, objects: 1, routes: 2 });
    let building = directory.building(&BuildingId::new("b").unwrap()).unwrap();
    assert_eq!(building.floors.iter().map(RoomId::as_str).collect::<Vec<_>>(), ["b:0", "b:2"]);
    let at = |id: &str| directory.locate(&ResourceId::new(id).unwrap());
    match at("stairs") {
        Some(Located::Item { floors, kind: ItemKind::Route }) => assert_eq!(floors, &*building.floors),
        other => panic!("{other:?}"),
    }
    assert!(matches!(at("ahu"), Some(Located::Item { floors: [top], .. }) if top.as_str() == "b:2"));
    assert_eq!(directory.floor(&building.floors[0]).unwrap().name.as_ref(), "b:0", "a name is optional");
}

#[test]
fn a_broken_building_is_a_fault_with_its_place() {
    for (path, text, says) in [
        ("x/building.json", "{\n \"name\": \"X\"\n}", "x/building.json:3:1: missing field `id`"),
        (
            "x/building.json",
            "{\"id\": 7}",
            "x/building.json:1:8: invalid type: integer `7`, expected an id of 1 to 256 bytes",
        ),
        ("x/building.json", "{\"id\":\"x\"", "x/building.json:1:9: EOF while parsing an object"),
        ("x/floors/f/floor.json", "{\"id\":\"\"}", "x/floors/f/floor.json:1:8: an id must not be empty"),
        (
            "x/floors/f/floor.json",
            "{\"id\":\"x:f\",\"building_id\":\"y\"}",
            "x/floors/f/floor.json:1:27: building_id is `y`, but the building is `x`",
        ),
        ("x/floors/f/objects.json", "[\n{\"id\":\"o\"},\n{\"id\":}]", "x/floors/f/objects.json:3:7: expected value"),
        ("x/floors/f/objects.json", "{}", "x/floors/f/objects.json:1:0: invalid type: map, expected a sequence"),
        (
            "x/floors/f/objects.json",
            "[{\"id\":\"o\",\"floor_id\":\"x:g\"}]",
            "x/floors/f/objects.json:1:2: `o` has floor_id `x:g`",
        ),
        (
            "x/floors/f/routes.json",
            "[{\"id\":\"q\"},\n {\"id\":\"r\",\"floors\":[\"b:0\"]}]",
            "x/floors/f/routes.json:2:2: `r` spans `b:0`, which is no floor of this",
        ),
        ("x/floors/g/objects.json", "[]", "x/floors/g/floor.json: is not there"),
    ] {
        let mut files = GOOD.to_vec();
        files.extend([("x/building.json", "{\"id\":\"x\"}"), ("x/floors/f/floor.json", "{\"id\":\"x:f\"}")]);
        files.push((path, text));
        let dir = folder(&files);
        let reading = read(dir.path()).unwrap();
        let told = shown(&reading.faults, dir.path());
        assert!(told.len() == 1 && told[0].starts_with(says), "{says}\n{told:?}");
        assert_eq!(reading.directory.counts().buildings, 1, "{says}");
    }
}

#[test]
fn what_has_the_id_of_something_else_is_left_out_and_told() {
    let objects: String = (0..9).map(|_| r#"{"id":"ahu"},"#).collect();
    let objects = format!("[{objects}{{\"id\":\"own\"}}]");
    let mut files = GOOD.to_vec();
    files.extend([
        ("c/building.json", r#"{"id":"c"}"#),
        ("c/floors/f/floor.json", r#"{"id":"c:f"}"#),
        ("c/floors/f/objects.json", &objects),
    ]);
    let dir = folder(&files);
    let reading = read(dir.path()).unwrap();
    let told = troubles(&reading, dir.path());
    assert!(told.len() == 1 && told[0].starts_with("c: left out: `ahu` is the id of something else"), "{told:?}");
    assert!(told[0].ends_with(", and 4 more"), "{told:?}");
    assert_eq!(reading.directory.counts(), Counts { buildings: 2, floors: 3, objects: 2, routes: 2 });
}

/// Something whose floor was left out lies nowhere; clients could then say that it lies in two places.
#[test]
fn what_is_left_without_a_floor_is_a_fault() {
    let mut files = GOOD.to_vec();
    files.extend([
        ("c/building.json", r#"{"id":"c"}"#),
        ("c/floors/f/floor.json", r#"{"id":"b:0"}"#),
        ("c/floors/f/objects.json", r#"[{"id":"lost"}]"#),
        ("docs/read.me", "no building at all"),
    ]);
    let dir = folder(&files);
    let reading = read(dir.path()).unwrap();
    let told = shown(&reading.faults, dir.path());
    assert!(told.len() == 1 && told[0].ends_with("`lost` lies on no floor"), "{told:?}");
    let told = shown(&reading.troubles, dir.path());
    assert_eq!(told, ["docs: holds neither building.json nor floors: it is no building"]);
}

#[test]
fn a_folder_that_is_not_there_is_no_origin() {
    let dir = folder(&[("file", "")]);
    for path in ["none", "file"] {
        let error = read(&dir.path().join(path)).unwrap_err();
        assert!(error.to_string().contains(path), "{error}");
    }
    assert_eq!(read(dir.path()).unwrap().directory.counts(), Counts::default());
}

#[test]
fn a_link_out_of_the_folder_is_a_fault() {
    let dir = folder(GOOD);
    let secret = folder(&[("building.json", r#"{"id":"secret"}"#)]);
    std::os::unix::fs::symlink(secret.path(), dir.path().join("s")).unwrap();
    let reading = read(dir.path()).unwrap();
    let told = shown(&reading.faults, dir.path());
    assert!(told.len() == 1 && told[0].contains("leads out of the origin's folder"), "{told:?}");
    assert_eq!(reading.directory.counts().buildings, 1);
}

/// Two real buildings, when they are there: `$ARXOSRT_SHARED_DATA`, or `shared/data` beside the repository.
#[test]
fn real_buildings_are_read_whole() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("ARXOSRT_SHARED_DATA").map_or_else(beside, PathBuf::from);
    let path = data.join("buildings");
    if !path.is_dir() {
        println!("not run: {} is not there", path.display());
        return;
    }
    let reading = read(&path).unwrap();
    // In duplex two doors are listed on two floors, each with three routes through it: the first place counts.
    let told = troubles(&reading, &path);
    assert!(told.len() == 1 && told[0].starts_with("duplex: left out: ") && told[0].ends_with("3 more"), "{told:?}");
    let mut elsewhere = 0;
    let mut objects_of = |building: &str| -> usize {
        let mut objects = 0;
        for folder in std::fs::read_dir(path.join(building).join("floors")).unwrap() {
            let text = std::fs::read(folder.unwrap().path().join("objects.json")).unwrap();
            let items: Vec<document::Item> = serde_json::from_slice(&text).unwrap();
            objects += items.len();
            for item in &items {
                let Some(Located::Item { floors: [floor], kind: ItemKind::Object }) =
                    reading.directory.locate(&item.id)
                else {
                    panic!("{} is lost", item.id);
                };
                elsewhere += usize::from(Some(floor) != item.floor_id.as_ref());
                assert_eq!(reading.directory.building_of_room(floor).unwrap().as_str(), building);
            }
        }
        objects
    };
    let (office, duplex) = (objects_of("office-a"), objects_of("duplex"));
    assert_eq!((office, elsewhere), (1085, 2));
    assert_eq!(office + duplex - elsewhere, reading.directory.counts().objects);
    assert_eq!(reading.directory.counts().buildings, 2);
}

#[test]
fn a_folder_that_somebody_asked_for_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    let check = |file: &str, set: &[&str], fails: bool, troubles: usize| {
        std::fs::write(dir.path().join("etc/a.toml"), file).unwrap();
        let args = Args {
            config: Some("etc/a.toml".into()),
            set: set.iter().map(|s| (*s).to_owned()).collect(),
            ..Args::default()
        };
        let loaded = crate::config::load(&args, &Env::new(), dir.path()).unwrap();
        let reading = load(&loaded.config, &loaded.set_by, dir.path());
        assert_eq!(reading.is_err(), fails, "{file} {set:?}");
        assert_eq!(reading.map_or(0, |reading| reading.troubles.len()), troubles, "{file} {set:?}");
    };
    check("", &[], false, 1);
    check("origin.path = \"sample\"\n", &[], false, 1);
    check("origin.path = \"models\"\n", &[], true, 0);
    check("", &["origin.path=sample"], true, 0);
    check("origin.path = \"models\"\n", &["origin.kind=none"], false, 0);
    std::fs::create_dir(dir.path().join("etc/models")).unwrap();
    check("origin.path = \"models\"\n", &[], false, 0);
}
