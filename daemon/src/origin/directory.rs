//! How does a folder of buildings become the building directory?
//!
//! ```text
//! BUILDING/building.json
//! BUILDING/floors/NAME/floor.json      id, building_id, name, level
//! BUILDING/floors/NAME/objects.json    [{id, floor_id, …}]
//! BUILDING/floors/NAME/routes.json     [{id, floor_id, floors?: […], …}]
//! ```
//!
//! A building is taken whole or not at all: half of one would place things wrongly. One that is broken is told with
//! file and line, and the others are still read. Unknown fields and files are skipped; `objects.json` and `routes.json`
//! may be missing.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use arxosrt_core::directory::{Builder, BuildingDraft, Directory, FloorDraft, ItemDraft, Rejected};
use arxosrt_core::id::{BuildingId, RoomId};
use serde::de::DeserializeOwned;

use super::document;
use super::folder::Root;

/// How many rejected ids of one building are told by name; the others are counted.
const REJECTED_SHOWN_MAX: usize = 5;
/// How many objects and routes one directory holds: at some 80 bytes each, 160 MB.
pub const ITEMS_MAX: usize = 2_000_000;

/// There is no origin at all.
#[derive(Debug)]
pub struct NoOrigin {
    /// Where it was looked for.
    pub path: PathBuf,
    /// Why there is none.
    pub why: std::io::Error,
}

impl fmt::Display for NoOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the origin {} cannot be read: {}",
            self.path.display(),
            self.why
        )
    }
}

impl std::error::Error for NoOrigin {}

/// Something in the origin is not as it should be; the rest was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong, with the line where there is one.
    pub what: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}

/// What was read.
#[derive(Debug, Default)]
pub struct Reading {
    /// The buildings that were good.
    pub directory: Directory,
    /// What was not.
    pub troubles: Vec<Trouble>,
}

/// Reads all buildings below `path`.
pub fn read(path: &Path) -> Result<Reading, NoOrigin> {
    let no_origin = |why| NoOrigin {
        path: path.to_owned(),
        why,
    };
    let root = Root::open(path).map_err(no_origin)?;
    let names = root.folders(Path::new("")).map_err(no_origin)?;
    let mut builder = Builder::default();
    let mut troubles = Vec::new();
    let mut items_left = ITEMS_MAX;
    for name in names {
        let folder = PathBuf::from(name);
        let shown = path.join(&folder);
        match read_building(&root, &folder) {
            Ok(draft) => {
                let items = draft.objects.len() + draft.routes.len();
                if items > items_left {
                    let what = format!(
                        "skipped: with its {items} objects and routes there were more than {ITEMS_MAX}"
                    );
                    troubles.push(Trouble { path: shown, what });
                    continue;
                }
                items_left -= items;
                let rejected = builder.add(draft);
                troubles.extend(told(&rejected).map(|what| Trouble { path: shown, what }));
            }
            Err(Trouble { path: file, what }) => {
                let what = format!("{what}; building `{}` is skipped", folder.display());
                troubles.push(Trouble {
                    path: path.join(file),
                    what,
                });
            }
        }
    }
    Ok(Reading {
        directory: builder.build(),
        troubles,
    })
}

/// A floor whose `floor.json` was read.
struct OpenFloor {
    folder: PathBuf,
    room: RoomId,
}

fn read_building(root: &Root, folder: &Path) -> Result<BuildingDraft, Trouble> {
    let file = folder.join("building.json");
    let building: document::Building = required(root, &file)?;
    let mut draft = BuildingDraft {
        name: building.name.unwrap_or_else(|| building.id.as_str().into()),
        id: building.id,
        floors: Vec::new(),
        objects: Vec::new(),
        routes: Vec::new(),
    };
    let floors_folder = folder.join("floors");
    let names = match root.folders(&floors_folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        names => names.map_err(|error| trouble(&floors_folder, error.to_string()))?,
    };
    let mut open = Vec::with_capacity(names.len());
    for name in names {
        let folder = floors_folder.join(name);
        let floor = read_floor(root, &folder, &draft.id)?;
        open.push(OpenFloor {
            folder,
            room: floor.room.clone(),
        });
        draft.floors.push(floor);
    }
    // A route may span floors that are read after its own: items come when all floors are known.
    let places: HashMap<RoomId, usize> = open
        .iter()
        .enumerate()
        .map(|(at, floor)| (floor.room.clone(), at))
        .collect();
    for (at, floor) in open.iter().enumerate() {
        draft.objects.extend(read_items(
            root,
            &floor.folder.join("objects.json"),
            at,
            floor,
            &places,
        )?);
        draft.routes.extend(read_items(
            root,
            &floor.folder.join("routes.json"),
            at,
            floor,
            &places,
        )?);
    }
    Ok(draft)
}

fn read_floor(root: &Root, folder: &Path, building: &BuildingId) -> Result<FloorDraft, Trouble> {
    let file = folder.join("floor.json");
    let floor: document::Floor = required(root, &file)?;
    if let Some(other) = floor.building_id.filter(|id| id != building) {
        return Err(trouble(
            &file,
            format!("building_id is `{other}`, but the building is `{building}`"),
        ));
    }
    let name = floor.name.unwrap_or_else(|| floor.id.as_str().into());
    Ok(FloorDraft {
        room: floor.id,
        name,
        level: floor.level,
    })
}

fn read_items(
    root: &Root,
    file: &Path,
    at: usize,
    floor: &OpenFloor,
    places: &HashMap<RoomId, usize>,
) -> Result<Vec<ItemDraft>, Trouble> {
    let items: Vec<document::Item> = optional(root, file)?.unwrap_or_default();
    let mut drafts = Vec::with_capacity(items.len());
    for item in items {
        if let Some(other) = item.floor_id.filter(|id| *id != floor.room) {
            let what = format!(
                "`{}` has floor_id `{other}`, but lies in the folder of `{}`",
                item.id, floor.room
            );
            return Err(trouble(file, what));
        }
        let mut floors = vec![at];
        for room in item.floors {
            match places.get(&room) {
                Some(place) => floors.push(*place),
                None => {
                    return Err(trouble(
                        file,
                        format!(
                            "`{}` spans `{room}`, which is no floor of this building",
                            item.id
                        ),
                    ));
                }
            }
        }
        drafts.push(ItemDraft {
            id: item.id,
            floors,
        });
    }
    Ok(drafts)
}

fn required<T: DeserializeOwned>(root: &Root, file: &Path) -> Result<T, Trouble> {
    optional(root, file)?.ok_or_else(|| trouble(file, "is not there".to_owned()))
}

fn optional<T: DeserializeOwned>(root: &Root, file: &Path) -> Result<Option<T>, Trouble> {
    let Some(bytes) = root
        .read(file)
        .map_err(|error| trouble(file, format!("cannot be read: {error}")))?
    else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(document) => Ok(Some(document)),
        Err(error) => Err(trouble(file, error.to_string())),
    }
}

fn trouble(path: &Path, what: String) -> Trouble {
    Trouble {
        path: path.to_owned(),
        what,
    }
}

/// One sentence about everything that was rejected of a building.
fn told(rejected: &[Rejected]) -> Option<String> {
    if rejected.is_empty() {
        return None;
    }
    let shown: Vec<String> = rejected
        .iter()
        .take(REJECTED_SHOWN_MAX)
        .map(|rejected| match rejected {
            Rejected::Duplicate(id) => format!("`{id}` is the id of something else already"),
            Rejected::Nowhere(id) => format!("`{id}` lies on no floor"),
        })
        .collect();
    let more = match rejected.len() - shown.len() {
        0 => String::new(),
        n => format!(", and {n} more"),
    };
    Some(format!("left out: {}{more}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use arxosrt_core::directory::{Counts, ItemKind, Located};
    use arxosrt_core::id::ResourceId;

    use super::*;

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
        let prefix = format!("{}/", dir.display());
        reading
            .troubles
            .iter()
            .map(|trouble| trouble.to_string().replace(&prefix, ""))
            .collect()
    }

    const GOOD: &[(&str, &str)] = &[
        (
            "b/building.json",
            r#"{"id":"b","name":"B","more":[1,{"x":null}]}"#,
        ),
        (
            "b/floors/top/floor.json",
            r#"{"id":"b:2","building_id":"b","name":"Top","level":2,"bounds":[0,0,1,1]}"#,
        ),
        (
            "b/floors/top/objects.json",
            r#"[{"id":"ahu","floor_id":"b:2","properties":{"deep":[[]]}}]"#,
        ),
        ("b/floors/ground/floor.json", r#"{"id":"b:0"}"#),
        (
            "b/floors/ground/routes.json",
            r#"[{"id":"stairs","floor_id":"b:0","floors":["b:0","b:2"]},{"id":"hall"}]"#,
        ),
        (
            "b/floors/ground/grid.json",
            "not even JSON: nobody asked for it yet",
        ),
        ("b/floors/note.txt", "a file among the floors"),
        (".git/building.json", "hidden"),
    ];

    #[test]
    fn a_folder_becomes_a_directory() {
        let dir = folder(GOOD);
        let reading = read(dir.path()).unwrap();
        assert_eq!(troubles(&reading, dir.path()), [] as [&str; 0]);
        let directory = reading.directory;
        assert_eq!(
            directory.counts(),
            Counts {
                buildings: 1,
                floors: 2,
                objects: 1,
                routes: 2
            }
        );
        let building = directory.building(&BuildingId::new("b").unwrap()).unwrap();
        assert_eq!(
            building
                .floors
                .iter()
                .map(RoomId::as_str)
                .collect::<Vec<_>>(),
            ["b:0", "b:2"]
        );
        let at = |id: &str| directory.locate(&ResourceId::new(id).unwrap());
        match at("stairs") {
            Some(Located::Item {
                floors,
                kind: ItemKind::Route,
            }) => assert_eq!(floors, &*building.floors),
            other => panic!("{other:?}"),
        }
        assert!(
            matches!(at("ahu"), Some(Located::Item { floors: [top], .. }) if top.as_str() == "b:2")
        );
        assert_eq!(
            directory.floor(&building.floors[0]).unwrap().name.as_ref(),
            "b:0",
            "a name is optional"
        );
    }

    #[test]
    fn a_broken_building_is_told_with_its_line_and_the_others_are_read() {
        for (path, text, says) in [
            (
                "x/building.json",
                "{\n \"name\": \"X\"\n}",
                "x/building.json: missing field `id` at line 3 column 1",
            ),
            (
                "x/building.json",
                "{\"id\": 7}",
                "an id of 1 to 256 bytes at line 1",
            ),
            (
                "x/building.json",
                "{\"id\":\"x\"",
                "x/building.json: EOF while parsing an object at line 1",
            ),
            (
                "x/floors/f/floor.json",
                "{\"id\":\"\"}",
                "x/floors/f/floor.json: an id must not be empty at line 1",
            ),
            (
                "x/floors/f/floor.json",
                "{\"id\":\"x:f\",\"building_id\":\"y\"}",
                "building_id is `y`, but the building is `x`",
            ),
            (
                "x/floors/f/objects.json",
                "[\n{\"id\":\"o\"},\n{\"id\":}]",
                "x/floors/f/objects.json: expected value at line 3",
            ),
            (
                "x/floors/f/objects.json",
                "{}",
                "expected a sequence at line 1",
            ),
            (
                "x/floors/f/objects.json",
                "[{\"id\":\"o\",\"floor_id\":\"x:g\"}]",
                "`o` has floor_id `x:g`",
            ),
            (
                "x/floors/f/routes.json",
                "[{\"id\":\"r\",\"floors\":[\"b:0\"]}]",
                "`r` spans `b:0`, which is no floor of this",
            ),
            (
                "x/floors/g/objects.json",
                "[]",
                "x/floors/g/floor.json: is not there",
            ),
        ] {
            let mut files = GOOD.to_vec();
            files.extend([
                ("x/building.json", "{\"id\":\"x\"}"),
                ("x/floors/f/floor.json", "{\"id\":\"x:f\"}"),
            ]);
            files.push((path, text));
            let dir = folder(&files);
            let reading = read(dir.path()).unwrap();
            let told = troubles(&reading, dir.path());
            assert!(
                told.len() == 1 && told[0].contains(says),
                "{says}\n{told:?}"
            );
            assert!(told[0].ends_with("building `x` is skipped"), "{told:?}");
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
        assert!(
            told.len() == 1
                && told[0].starts_with("c: left out: `ahu` is the id of something else"),
            "{told:?}"
        );
        assert!(told[0].ends_with(", and 4 more"), "{told:?}");
        assert_eq!(
            reading.directory.counts(),
            Counts {
                buildings: 2,
                floors: 3,
                objects: 2,
                routes: 2
            }
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_origin() {
        let dir = folder(&[("file", "")]);
        for path in ["none", "file"] {
            let error = read(&dir.path().join(path)).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
        assert_eq!(
            read(dir.path()).unwrap().directory.counts(),
            Counts::default()
        );
    }

    #[test]
    fn a_link_out_of_the_folder_breaks_only_its_building() {
        let dir = folder(GOOD);
        let secret = folder(&[("building.json", r#"{"id":"secret"}"#)]);
        std::os::unix::fs::symlink(secret.path(), dir.path().join("s")).unwrap();
        let reading = read(dir.path()).unwrap();
        let told = troubles(&reading, dir.path());
        assert!(
            told.len() == 1 && told[0].contains("leads out of the origin's folder"),
            "{told:?}"
        );
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
        assert!(
            told.len() == 1
                && told[0].starts_with("duplex: left out: ")
                && told[0].ends_with("3 more"),
            "{told:?}"
        );
        let mut elsewhere = 0;
        let mut objects_of = |building: &str| -> usize {
            let mut objects = 0;
            for folder in std::fs::read_dir(path.join(building).join("floors")).unwrap() {
                let text = std::fs::read(folder.unwrap().path().join("objects.json")).unwrap();
                let items: Vec<document::Item> = serde_json::from_slice(&text).unwrap();
                objects += items.len();
                for item in &items {
                    let Some(Located::Item {
                        floors: [floor],
                        kind: ItemKind::Object,
                    }) = reading.directory.locate(&item.id)
                    else {
                        panic!("{} is lost", item.id);
                    };
                    elsewhere += usize::from(Some(floor) != item.floor_id.as_ref());
                    assert_eq!(
                        reading.directory.building_of_room(floor).unwrap().as_str(),
                        building
                    );
                }
            }
            objects
        };
        let (office, duplex) = (objects_of("office-a"), objects_of("duplex"));
        assert_eq!((office, elsewhere), (1085, 2));
        assert_eq!(
            office + duplex - elsewhere,
            reading.directory.counts().objects
        );
        assert_eq!(reading.directory.counts().buildings, 2);
    }
}
