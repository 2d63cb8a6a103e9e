//! How does a folder of buildings become the building directory?
//!
//! ```text
//! BUILDING/building.json
//! BUILDING/floors/NAME/floor.json      id, building_id, name, level
//! BUILDING/floors/NAME/objects.json    [{id, floor_id, …}]
//! BUILDING/floors/NAME/routes.json     [{id, floor_id, floors?: […], …}]
//! ```
//!
//! A building is taken whole or not at all: half of one would place things wrongly. One that is broken is a fault, told
//! with file, line and column, with which no daemon starts. Unknown fields and files are skipped; `objects.json` and
//! `routes.json` may be missing. Of a thing that stands on two floors the newer version counts, as `newest` says.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use arxosrt_core::directory::{Builder, BuildingDraft, Directory, FloorDraft, ItemDraft, Rejected};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

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

/// Something in the origin is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The file or folder.
    pub path: PathBuf,
    /// Where in the file, if it is a matter of one place.
    pub place: Option<Place>,
    /// What is wrong.
    pub what: String,
}

/// A place in a file; both count from 1, columns in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// Where `part` begins in `whole`, of which it is a slice.
    fn of(part: &str, whole: &[u8]) -> Option<Place> {
        let at = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
        let before = whole.get(..at)?;
        let line_begins = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Some(Place { line, column: at - line_begins + 1 })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(Place { line, column }) => write!(f, "{}:{line}:{column}: {}", self.path.display(), self.what),
            None => write!(f, "{}: {}", self.path.display(), self.what),
        }
    }
}

/// What was read.
#[derive(Debug, Default)]
pub struct Reading {
    /// The buildings that were good.
    pub directory: Directory,
    /// What was left out or passed over, without which everything else has its place.
    pub troubles: Vec<Trouble>,
    /// Buildings that could not be read, each with what stood in the way. Where their things lie is not known, so two
    /// people could hold one of them at once by naming two rooms: nobody may work with this directory.
    pub faults: Vec<Trouble>,
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
    let (mut troubles, mut faults) = (Vec::new(), Vec::new());
    let mut layout = Layout::default();
    let mut items_left = ITEMS_MAX;
    for name in names {
        let folder = PathBuf::from(name);
        let shown = path.join(&folder);
        match read_building(&root, &folder) {
            Ok(Contents { draft, floors, copies }) => {
                let items = draft.objects.len() + draft.routes.len();
                if items > items_left {
                    let what = format!("with its {items} objects and routes there are more than {ITEMS_MAX}");
                    faults.push(trouble(&shown, what));
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
                let is_lost = rejected.iter().any(|rejected| matches!(rejected, Rejected::Nowhere(_)));
                let told = told(&rejected).map(|what| trouble(&shown, what));
                if is_lost { faults.extend(told) } else { troubles.extend(told) }
            }
            Err(NotRead::NoBuilding) => {
                let what = "holds neither building.json nor floors: it is no building".to_owned();
                troubles.push(trouble(&shown, what));
            }
            Err(NotRead::Fault(fault)) => faults.push(Trouble { path: path.join(&fault.path), ..fault }),
        }
    }
    let folder = Some(Folder { path: path.to_owned(), layout });
    Ok(Reading { directory: builder.build(), troubles, faults, folder })
}

/// A floor whose `floor.json` was read.
struct OpenFloor {
    folder: PathBuf,
    room: RoomId,
}

/// Why a folder gave no building.
enum NotRead {
    /// It is none.
    NoBuilding,
    /// It is one, and something in it is wrong.
    Fault(Trouble),
}

impl From<Trouble> for NotRead {
    fn from(fault: Trouble) -> Self {
        NotRead::Fault(fault)
    }
}

/// A building that was read.
struct Contents {
    draft: BuildingDraft,
    floors: Vec<OpenFloor>,
    /// What stands on a second floor too, where it does not count.
    copies: Vec<(ResourceId, RoomId)>,
}

fn read_building(root: &Root, folder: &Path) -> Result<Contents, NotRead> {
    let file = folder.join("building.json");
    let Some((building, _)) = optional::<document::Building>(root, &file)? else {
        return Err(match root.folders(&folder.join("floors")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => NotRead::NoBuilding,
            _ => trouble(&file, "is not there".to_owned()).into(),
        });
    };
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
    let found = optional::<document::Floor>(root, &file)?;
    let (floor, bytes) = found.ok_or_else(|| trouble(&file, "is not there".to_owned()))?;
    if let Some(other) = floor.building_id.filter(|id| id != building) {
        let what = format!("building_id is `{other}`, but the building is `{building}`");
        let said: Option<document::Said<'_>> = serde_json::from_slice(&bytes).ok();
        let place = said.and_then(|said| Place::of(said.building_id.get(), &bytes));
        return Err(Trouble { place, ..trouble(&file, what) });
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
    let (items, bytes) = optional::<Vec<document::Item>>(root, file)?.unwrap_or_default();
    // Only needed when something is wrong, and then once.
    let wrong = |number: usize, what: String| {
        let items: Option<Vec<&RawValue>> = serde_json::from_slice(&bytes).ok();
        let place = items.and_then(|items| Place::of(items.get(number)?.get(), &bytes));
        Err(Trouble { place, ..trouble(file, what) })
    };
    let mut found = Vec::with_capacity(items.len());
    for (number, item) in items.into_iter().enumerate() {
        if let Some(other) = item.floor_id.filter(|id| *id != floor.room) {
            let what = format!("`{}` has floor_id `{other}`, but lies in the folder of `{}`", item.id, floor.room);
            return wrong(number, what);
        }
        let mut floors = vec![at];
        for room in item.floors {
            match places.get(&room) {
                Some(place) => floors.push(*place),
                None => {
                    return wrong(number, format!("`{}` spans `{room}`, which is no floor of this building", item.id));
                }
            }
        }
        found.push(Found { item: ItemDraft { id: item.id, floors }, floor: at, version: item.version });
    }
    Ok(found)
}

/// What a file says, with its bytes, if it is there.
fn optional<T: DeserializeOwned>(root: &Root, file: &Path) -> Result<Option<(T, Vec<u8>)>, Trouble> {
    let Some(bytes) = root.read(file).map_err(|error| trouble(file, format!("cannot be read: {error}")))? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(document) => Ok(Some((document, bytes))),
        Err(error) => {
            let place = (error.line() > 0).then(|| Place { line: error.line(), column: error.column() });
            let mut what = error.to_string();
            // The place is told before the words.
            if let (Some(_), Some(at)) = (place, what.rfind(" at line ")) {
                what.truncate(at);
            }
            Err(Trouble { place, ..trouble(file, what) })
        }
    }
}

/// A trouble with a file or folder as a whole.
fn trouble(path: &Path, what: String) -> Trouble {
    Trouble { path: path.to_owned(), place: None, what }
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
