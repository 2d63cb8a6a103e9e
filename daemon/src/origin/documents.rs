//! How does one document come out of the folder?
//!
//! An object or a route is its element of a file; a floor is its `floor.json` with the grid, which has a file of its
//! own, as the member `grid`. Texts come as they stand in the file. Where the directory knows a thing's floors, only
//! their files are read; what was written since is known too, and goes before it.
//!
//! All of this blocks on the disk and is called from threads that may. [`Documents`] may be used by several at once:
//! loading looks at files as they are, and a file is replaced whole or not at all.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arxosrt_core::directory::{Directory, ItemKind, Located};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use serde::de::DeserializeOwned;

use super::cache::Cache;
use super::directory::{Folder, Trouble};
use super::document;
use super::elements::Elements;
use super::floors;
use super::folder::{FILE_BYTES_MAX, Root};
use super::layout::Layout;
use super::own_writes::OwnWrites;

/// How many things the daemon remembers as it last read or wrote them. What is beyond is written all the same, but it
/// is looked for where it was at the start, and nobody notices when somebody else had changed it.
const KNOWN_MAX: usize = 1 << 18;

/// What a document describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Something on a floor.
    Object,
    /// A way over one or several floors.
    Route,
    /// A floor itself, with its grid.
    Floor,
}

impl Kind {
    /// The file on each floor that holds documents of this kind.
    pub(super) fn file(self) -> &'static str {
        match self {
            Kind::Object => "objects.json",
            Kind::Route => "routes.json",
            Kind::Floor => floors::FLOOR_FILE,
        }
    }
}

/// A document as it is in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it describes.
    pub kind: Kind,
    /// Its text.
    pub text: Box<str>,
    /// Its version; 0 where it states none.
    pub version: u64,
    /// The rooms that it lies in, the one in whose folder it is first.
    pub floors: Vec<RoomId>,
}

/// The documents of a folder of buildings.
#[derive(Debug)]
pub struct Documents {
    pub(super) root: Root,
    path: PathBuf,
    pub(super) directory: Arc<Directory>,
    state: Mutex<State>,
    own_writes: Mutex<OwnWrites>,
}

/// What is remembered of the folder. Never held over a look at the disk.
#[derive(Debug)]
pub(super) struct State {
    pub layout: Layout,
    known: HashMap<ResourceId, Known>,
    cache: Cache,
}

/// A thing as it was last read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub floor: RoomId,
    pub version: u64,
}

/// Where a thing was found.
pub(super) struct Found {
    pub kind: Kind,
    pub floor: RoomId,
    pub file: PathBuf,
    pub elements: Arc<Elements>,
}

/// What is found where a file should be.
pub(super) enum FileNow {
    /// It is what was known.
    Unchanged,
    /// This.
    Is {
        /// Its bytes.
        bytes: Vec<u8>,
        /// A name for them, as long as the file has them.
        name: Option<String>,
    },
    /// Nothing.
    Missing,
    /// Something that is too large to be read.
    TooLarge,
}

impl State {
    /// Remembers a thing as it was read. A newer version was written while the older one was being read.
    pub fn remember_read(&mut self, resource: &ResourceId, floor: &RoomId, version: u64) {
        if self.known.get(resource).is_none_or(|known| known.version < version) {
            self.remember(resource, floor, version);
        }
    }

    /// Remembers a thing as it was written, unless too many are remembered.
    pub fn remember(&mut self, resource: &ResourceId, floor: &RoomId, version: u64) {
        let known = Known { floor: floor.clone(), version };
        if let Some(entry) = self.known.get_mut(resource) {
            *entry = known;
        } else if self.known.len() < KNOWN_MAX {
            self.known.insert(resource.clone(), known);
        }
    }

    pub fn known(&self, resource: &ResourceId) -> Option<&Known> {
        self.known.get(resource)
    }

    pub fn forget(&mut self, resource: &ResourceId) {
        self.known.remove(resource);
    }
}

impl Documents {
    /// The documents of a folder that was read for `directory`. What earlier runs left half done is removed.
    pub fn open(folder: Folder, directory: Arc<Directory>) -> Result<Documents, Trouble> {
        let Folder { path, layout } = folder;
        let root =
            Root::open(&path).map_err(|error| Trouble { path: path.clone(), place: None, what: error.to_string() })?;
        for folder in layout.outer_folders().chain(layout.floor_folders().map(Path::to_owned)) {
            match root.sweep(&folder) {
                Ok(0) => {}
                Ok(files) => tracing::info!(folder = %folder.display(), files, "files of an unfinished write removed"),
                // They are in nobody's way.
                Err(error) => tracing::debug!(folder = %folder.display(), %error, "no look for unfinished writes"),
            }
        }
        let state = State { layout, known: HashMap::new(), cache: Cache::default() };
        Ok(Documents { root, path, directory, state: Mutex::new(state), own_writes: Mutex::default() })
    }

    /// The document of `resource`, or nothing when the folder has none.
    pub fn load(&self, building: &BuildingId, resource: &ResourceId) -> Result<Option<Document>, Trouble> {
        if let Ok(room) = RoomId::new(resource.as_str())
            && let Some(folder) = self.floor_folder(building, &room)
        {
            return self.load_floor(resource, room, &folder);
        }
        let (kinds, floors) = self.whereabouts(building, resource);
        let Some(Found { kind, floor, file, elements }) = self.find(building, resource, kinds, &floors)? else {
            return Ok(None);
        };
        let Some((text, version)) = elements.get(resource.as_str()) else { return Ok(None) };
        let item: document::Item = self.parsed(&file, text)?;
        let others = item.floors.into_iter().filter(|other| *other != floor);
        let floors = std::iter::once(floor.clone()).chain(others).collect();
        self.state().remember_read(resource, &floor, version);
        Ok(Some(Document { kind, text: text.into(), version, floors }))
    }

    /// The first of `floors` in whose folder `resource` is.
    pub(super) fn find(
        &self,
        building: &BuildingId,
        resource: &ResourceId,
        kinds: &[Kind],
        floors: &[RoomId],
    ) -> Result<Option<Found>, Trouble> {
        for kind in kinds {
            for floor in floors {
                let Some(folder) = self.floor_folder(building, floor) else { continue };
                let file = folder.join(kind.file());
                let Some(elements) = self.elements(&file)? else { continue };
                if elements.get(resource.as_str()).is_some() {
                    return Ok(Some(Found { kind: *kind, floor: floor.clone(), file, elements }));
                }
            }
        }
        Ok(None)
    }

    /// As what, and on which floors, a thing may be found.
    fn whereabouts(&self, building: &BuildingId, resource: &ResourceId) -> (&'static [Kind], Vec<RoomId>) {
        let located = self.directory.locate(resource);
        let kinds: &[Kind] = match located {
            Some(Located::Item { kind: ItemKind::Object, .. }) => &[Kind::Object],
            Some(Located::Item { kind: ItemKind::Route, .. }) => &[Kind::Route],
            Some(Located::Building(_)) => &[],
            _ => &[Kind::Object, Kind::Route],
        };
        let state = self.state();
        let floors = match (state.known(resource), located) {
            (Some(known), _) => vec![known.floor.clone()],
            (None, Some(Located::Item { floors, .. })) => floors.to_vec(),
            (None, _) => state.layout.floors_of(building),
        };
        (kinds, floors)
    }

    /// A file as it stands, with its stamp, unless its stamp has the name that is known already.
    pub(super) fn file(&self, file: &Path, known: Option<&str>) -> Result<FileNow, Trouble> {
        let stamp = self.root.stamp(file).map_err(|error| self.trouble(file, error))?;
        let Some(stamp) = stamp else { return Ok(FileNow::Missing) };
        if stamp.bytes() > FILE_BYTES_MAX {
            return Ok(FileNow::TooLarge);
        }
        let name = stamp.name(SystemTime::now());
        if name.is_some() && name.as_deref() == known {
            return Ok(FileNow::Unchanged);
        }
        let bytes = self.root.read(file).map_err(|error| self.trouble(file, format!("cannot be read: {error}")))?;
        Ok(bytes.map_or(FileNow::Missing, |bytes| FileNow::Is { bytes, name }))
    }

    /// The building in whose folder a floor is, else the one that the directory knows.
    pub(super) fn building_of(&self, floor: &RoomId) -> Option<BuildingId> {
        let found = self.state().layout.building_of(floor).cloned();
        found.or_else(|| self.directory.floor(floor).map(|entry| entry.building.clone()))
    }

    /// The elements of a file, out of the cache if the file is the same as before.
    pub(super) fn elements(&self, file: &Path) -> Result<Option<Arc<Elements>>, Trouble> {
        // Taken before the file is read: should it be replaced in between, the stamp is of the older one and does not
        // fit the next time.
        let stamp = self.root.stamp(file).map_err(|error| self.trouble(file, error))?;
        let Some(stamp) = stamp else { return Ok(None) };
        if let Some(elements) = self.state().cache.get(file, stamp) {
            return Ok(Some(elements));
        }
        let Some(elements) = self.elements_now(file)? else { return Ok(None) };
        let elements = Arc::new(elements);
        self.state().cache.put(file, stamp, elements.clone());
        Ok(Some(elements))
    }

    /// The elements of a file as it is on the disk now.
    pub(super) fn elements_now(&self, file: &Path) -> Result<Option<Elements>, Trouble> {
        let Some(text) = self.text(file)? else { return Ok(None) };
        Elements::read(text).map(Some).map_err(|error| self.trouble(file, document::misfit(&error)))
    }

    /// Replaces a file's content.
    pub(super) fn replace(&self, file: &Path, content: &str) -> Result<(), Trouble> {
        let replaced = self.own_writes().replace(&self.root, file, content.as_bytes());
        replaced.map_err(self.io_trouble(file))
    }

    /// A file has changed, but only as it was written here. See [`OwnWrites::is_silent`].
    pub(super) fn is_own_write(&self, file: &Path) -> bool {
        self.own_writes().is_silent(&self.root, file)
    }

    /// Held while a file is replaced: whoever notices that waits until it is known whose doing it was.
    fn own_writes(&self) -> MutexGuard<'_, OwnWrites> {
        self.own_writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file's text.
    pub(super) fn text(&self, file: &Path) -> Result<Option<String>, Trouble> {
        let bytes = self.root.read(file).map_err(|error| self.trouble(file, format!("cannot be read: {error}")))?;
        let text = bytes.map(String::from_utf8).transpose();
        text.map_err(|error| self.trouble(file, error))
    }

    pub(super) fn parsed<T: DeserializeOwned>(&self, file: &Path, text: &str) -> Result<T, Trouble> {
        serde_json::from_str(text).map_err(|error| self.trouble(file, document::misfit(&error)))
    }

    /// The folder of a floor that is in `building`.
    pub(super) fn floor_folder(&self, building: &BuildingId, floor: &RoomId) -> Option<PathBuf> {
        self.state().layout.floor(building, floor).map(Path::to_owned)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Each change is a single insertion or removal: a panic in between leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn trouble(&self, file: &Path, what: impl std::fmt::Display) -> Trouble {
        Trouble { path: self.path.join(file), place: None, what: what.to_string() }
    }

    pub(super) fn io_trouble(&self, file: &Path) -> impl Fn(io::Error) -> Trouble + '_ {
        let file = file.to_owned();
        move |error| self.trouble(&file, format!("cannot be written: {error}"))
    }
}
