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
//! may be missing. Of a thing that stands on two floors the newer version counts, as `newest` says.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use arxosrt_core::directory::{Builder, BuildingDraft, Directory, FloorDraft, ItemDraft, Rejected};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use serde::de::DeserializeOwned;

use super::document;
use super::folder::Root;
use super::layout::Layout;
use super::newest::{Found, newest};

/// How many rejected ids of one building are told by name; the others are counted.
const REJECTED_SHOWN_MAX: usize = 5;
/// How many objects and routes one directory holds: at some 120 bytes each, 240 MB.
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
        write!(f, "the origin {} cannot be read: {}", self.path.display(), self.why)
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
    /// The folder that was read, if one was.
    pub folder: Option<Folder>,
}

/// The folder that a directory was read from.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// What was found where in it.
    pub layout: Layout,
}

/// Reads all buildings below `path`.
pub fn read(path: &Path) -> Result<Reading, NoOrigin> {
    let no_origin = |why| NoOrigin { path: path.to_owned(), why };
    let root = Root::open(path).map_err(no_origin)?;
    let names = root.folders(Path::new("")).map_err(no_origin)?;
    let mut builder = Builder::default();
    let mut troubles = Vec::new();
    let mut layout = Layout::default();
    let mut items_left = ITEMS_MAX;
    for name in names {
        let folder = PathBuf::from(name);
        let shown = path.join(&folder);
        match read_building(&root, &folder) {
            Ok(Contents { draft, floors, copies }) => {
                let items = draft.objects.len() + draft.routes.len();
                if items > items_left {
                    let what = format!("skipped: with its {items} objects and routes there were more than {ITEMS_MAX}");
                    troubles.push(Trouble { path: shown, what });
                    continue;
                }
                items_left -= items;
                layout.add_building(draft.id.clone(), &folder);
                for floor in floors {
                    layout.add_floor(&draft.id, floor.room, floor.folder);
                }
                for (resource, floor) in copies {
                    layout.add_copy(resource, floor);
                }
                let rejected = builder.add(draft);
                troubles.extend(told(&rejected).map(|what| Trouble { path: shown, what }));
            }
            Err(Trouble { path: file, what }) => {
                let what = format!("{what}; building `{}` is skipped", folder.display());
                troubles.push(Trouble { path: path.join(file), what });
            }
        }
    }
    Ok(Reading { directory: builder.build(), troubles, folder: Some(Folder { path: path.to_owned(), layout }) })
}

/// A floor whose `floor.json` was read.
struct OpenFloor {
    folder: PathBuf,
    room: RoomId,
}

/// A building that was read.
struct Contents {
    draft: BuildingDraft,
    floors: Vec<OpenFloor>,
    /// What stands on a second floor too, where it does not count.
    copies: Vec<(ResourceId, RoomId)>,
}

fn read_building(root: &Root, folder: &Path) -> Result<Contents, Trouble> {
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
        open.push(OpenFloor { folder, room: floor.room.clone() });
        draft.floors.push(floor);
    }
    // A route may span floors that are read after its own: items come when all floors are known.
    let places: HashMap<RoomId, usize> = open.iter().enumerate().map(|(at, floor)| (floor.room.clone(), at)).collect();
    let (mut objects, mut routes) = (Vec::new(), Vec::new());
    for (at, floor) in open.iter().enumerate() {
        objects.extend(read_items(root, &floor.folder.join("objects.json"), at, floor, &places)?);
        routes.extend(read_items(root, &floor.folder.join("routes.json"), at, floor, &places)?);
    }
    let mut copies = Vec::new();
    let mut keep = |found| newest(found, |id, at| copies.push((id.clone(), open[at].room.clone())));
    draft.objects = keep(objects);
    draft.routes = keep(routes);
    Ok(Contents { draft, floors: open, copies })
}

fn read_floor(root: &Root, folder: &Path, building: &BuildingId) -> Result<FloorDraft, Trouble> {
    let file = folder.join("floor.json");
    let floor: document::Floor = required(root, &file)?;
    if let Some(other) = floor.building_id.filter(|id| id != building) {
        return Err(trouble(&file, format!("building_id is `{other}`, but the building is `{building}`")));
    }
    let name = floor.name.unwrap_or_else(|| floor.id.as_str().into());
    Ok(FloorDraft { room: floor.id, name, level: floor.level })
}

fn read_items(
    root: &Root,
    file: &Path,
    at: usize,
    floor: &OpenFloor,
    places: &HashMap<RoomId, usize>,
) -> Result<Vec<Found>, Trouble> {
    let items: Vec<document::Item> = optional(root, file)?.unwrap_or_default();
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        if let Some(other) = item.floor_id.filter(|id| *id != floor.room) {
            let what = format!("`{}` has floor_id `{other}`, but lies in the folder of `{}`", item.id, floor.room);
            return Err(trouble(file, what));
        }
        let mut floors = vec![at];
        for room in item.floors {
            match places.get(&room) {
                Some(place) => floors.push(*place),
                None => {
                    return Err(trouble(
                        file,
                        format!("`{}` spans `{room}`, which is no floor of this building", item.id),
                    ));
                }
            }
        }
        found.push(Found { item: ItemDraft { id: item.id, floors }, floor: at, version: item.version });
    }
    Ok(found)
}

fn required<T: DeserializeOwned>(root: &Root, file: &Path) -> Result<T, Trouble> {
    optional(root, file)?.ok_or_else(|| trouble(file, "is not there".to_owned()))
}

fn optional<T: DeserializeOwned>(root: &Root, file: &Path) -> Result<Option<T>, Trouble> {
    let Some(bytes) = root.read(file).map_err(|error| trouble(file, format!("cannot be read: {error}")))? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(document) => Ok(Some(document)),
        Err(error) => Err(trouble(file, error.to_string())),
    }
}

fn trouble(path: &Path, what: String) -> Trouble {
    Trouble { path: path.to_owned(), what }
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
