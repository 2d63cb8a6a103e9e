//! How do changed documents get into the folder's files?
//!
//! File by file: each is read again, what concerns the documents is exchanged, every other byte stays, and the file is
//! replaced in one step. Whatever is written could be read at a start: a document that would make the next start refuse
//! its building is refused here instead.
//!
//! After a write a thing stands in exactly one place. One that moved enters its new floor's file before it leaves the
//! old one's: a daemon that dies in between leaves it in both, and the next start goes by the higher version. A floor
//! that was deleted is not destroyed: its folder gets a hidden name.
//!
//! Somebody else may have changed what is replaced. The write happens all the same, because the log is what people
//! agreed on; [`Report::diverged`] says what was found.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arxosrt_core::directory::Located;
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};

use super::directory::Trouble;
use super::document;
use super::documents::{Documents, FLOOR_FILE, GRID, GRID_FILE, Kind};
use super::elements::{Edit, Elements};
use super::text::{Style, updated, with_member, without_member};

/// How much of a folder's name stays recognizable when the floor was deleted.
const ASIDE_CHARS_MAX: usize = 100;

/// How many names are tried for a new floor's folder.
const NAMES_TRIED_MAX: usize = 100;

/// A document as people agreed on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The building that it belongs to.
    pub building: BuildingId,
    /// What it describes.
    pub resource: ResourceId,
    /// As what.
    pub kind: Kind,
    /// The floor that it lies on; a `floor_id` in the document goes before this.
    pub floor: RoomId,
    /// Its text, or nothing when it was deleted.
    pub document: Option<Arc<str>>,
    /// Its version, which becomes the document's `version`.
    pub version: u64,
}

/// What became of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Somebody else had changed it.
    pub diverged: Option<Diverged>,
}

/// How writing a document ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the folder.
    Written,
    /// Not now; another attempt may succeed.
    Failed(Trouble),
    /// Never: it does not fit into this folder.
    Refused(String),
}

/// What stood in the folder was not what was last read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diverged {
    /// The version that should have been there; nothing if it was never read.
    pub expected: Option<u64>,
    /// The version that was there; nothing if the thing was gone.
    pub found: Option<u64>,
}

/// What is to be done about an object or route.
struct Plan {
    /// The floor that it enters, with its text.
    enter: Option<(RoomId, String)>,
    /// The floors that it leaves.
    leave: Vec<RoomId>,
    /// Where it should be now.
    home: Option<RoomId>,
}

/// The changes to one file, by the place of their document in the list.
type FileEdits = BTreeMap<PathBuf, Vec<(usize, RoomId, Edit)>>;

impl Documents {
    /// Writes documents of one building; the reports are in the same order.
    pub fn store(&self, documents: &[Stored]) -> Vec<Report> {
        let written = Report { outcome: Outcome::Written, diverged: None };
        let mut reports = vec![written; documents.len()];
        // Floors first: there may be things on those that are new.
        let floors = |is_there: bool| {
            let is_such = move |stored: &Stored| stored.kind == Kind::Floor && stored.document.is_some() == is_there;
            documents.iter().enumerate().filter(move |(_, stored)| is_such(stored))
        };
        for (at, stored) in floors(true) {
            let outcome = self.store_floor(stored, &mut reports[at].diverged);
            reports[at].outcome = outcome.unwrap_or_else(Outcome::Failed);
        }
        let mut plans: Vec<Option<Plan>> = Vec::with_capacity(documents.len());
        for (stored, report) in documents.iter().zip(&mut reports) {
            plans.push(match stored.kind {
                Kind::Floor => None,
                Kind::Object | Kind::Route => {
                    let home = self.home(stored).map_err(Outcome::Failed);
                    let plan = home.and_then(|home| self.plan(stored, home).map_err(Outcome::Refused));
                    plan.map_err(|outcome| report.outcome = outcome).ok()
                }
            });
        }
        let mut first = FileEdits::new();
        for (at, (stored, plan)) in documents.iter().zip(&plans).enumerate() {
            let Some(plan) = plan else { continue };
            match &plan.enter {
                Some((floor, text)) => self.note(&mut first, stored, at, floor, Edit::Put(text.clone())),
                None => plan.leave.iter().for_each(|floor| self.note(&mut first, stored, at, floor, Edit::Take)),
            }
        }
        self.edit_files(documents, &plans, first, &mut reports);
        let mut second = FileEdits::new();
        for (at, (stored, plan)) in documents.iter().zip(&plans).enumerate() {
            if let Some(Plan { enter: Some(_), leave, .. }) = plan
                && reports[at].outcome == Outcome::Written
            {
                leave.iter().for_each(|floor| self.note(&mut second, stored, at, floor, Edit::Take));
            }
        }
        self.edit_files(documents, &plans, second, &mut reports);
        self.settle(documents, &plans, &reports);
        // At last those that go: by now nothing reaches onto them any more, unless it could not be written.
        for (at, stored) in floors(false) {
            let is_all_written = !reports.iter().any(|report| matches!(report.outcome, Outcome::Failed(_)));
            let outcome = self.delete_floor(stored, is_all_written, &mut reports[at].diverged);
            reports[at].outcome = outcome.unwrap_or_else(Outcome::Failed);
        }
        reports
    }

    fn note(&self, edits: &mut FileEdits, stored: &Stored, at: usize, floor: &RoomId, edit: Edit) {
        // A floor without a folder has nothing to leave.
        if let Some(folder) = self.floor_folder(&stored.building, floor) {
            edits.entry(folder.join(stored.kind.file())).or_default().push((at, floor.clone(), edit));
        }
    }

    /// The floor in whose folder an object or route is, if it is in any.
    fn home(&self, stored: &Stored) -> Result<Option<RoomId>, Trouble> {
        if let Some(known) = self.state().known(&stored.resource) {
            return Ok(Some(known.floor.clone()));
        }
        match self.directory.locate(&stored.resource) {
            Some(Located::Item { floors: [floor], .. }) => Ok(Some(floor.clone())),
            Some(Located::Item { floors, .. }) => {
                let found = self.find(&stored.building, &stored.resource, &[stored.kind], floors)?;
                Ok(found.map(|found| found.floor))
            }
            _ => Ok(None),
        }
    }

    /// Where an object or route comes from and goes to, or why it cannot.
    fn plan(&self, stored: &Stored, home: Option<RoomId>) -> Result<Plan, String> {
        let state = self.state();
        let mut leave: Vec<RoomId> = home.iter().chain(state.layout.copies(&stored.resource)).cloned().collect();
        let enter = match &stored.document {
            None => {
                leave.push(stored.floor.clone());
                None
            }
            Some(text) => {
                let item: document::Item = serde_json::from_str(text).map_err(|error| error.to_string())?;
                if item.id != stored.resource {
                    return Err(format!("its `id` is `{}`", item.id));
                }
                let floor = item.floor_id.unwrap_or_else(|| stored.floor.clone());
                for room in std::iter::once(&floor).chain(&item.floors) {
                    if state.layout.floor(&stored.building, room).is_none() {
                        return Err(format!("`{room}` is no floor of this building in the folder"));
                    }
                }
                leave.retain(|room| *room != floor);
                Some((floor, versioned(text, stored.version).map_err(|error| error.to_string())?))
            }
        };
        leave.sort();
        leave.dedup();
        Ok(Plan { enter, leave, home })
    }

    /// Edits files one after another. What fails concerns the documents of that file only.
    fn edit_files(&self, documents: &[Stored], plans: &[Option<Plan>], files: FileEdits, reports: &mut [Report]) {
        for (file, edits) in files {
            let found = match self.edit_file(documents, &file, &edits) {
                Ok(found) => found,
                Err(trouble) => {
                    for (at, _, _) in edits {
                        reports[at].outcome = Outcome::Failed(trouble.clone());
                    }
                    continue;
                }
            };
            for ((at, floor, edit), found) in edits.into_iter().zip(found) {
                let stored = &documents[at];
                let plan = plans[at].as_ref().expect("only what has a plan gets into a file");
                let is_home = plan.home.as_ref().is_none_or(|home| *home == floor);
                if is_home && reports[at].diverged.is_none() {
                    reports[at].diverged = self.divergence(stored, found);
                }
                let mut state = self.state();
                match edit {
                    Edit::Take => {
                        state.layout.remove_copy(&stored.resource, &floor);
                        match &plan.enter {
                            Some((entered, _)) if is_home => {
                                state.remember(&stored.resource, entered, stored.version);
                            }
                            None if is_home => state.forget(&stored.resource),
                            _ => {}
                        }
                    }
                    Edit::Put(_) => {
                        // It stands in all of these until it has left them, whatever becomes of this attempt.
                        for old in &plan.leave {
                            state.layout.add_copy(stored.resource.clone(), old.clone());
                        }
                        match is_home {
                            true => state.remember(&stored.resource, &floor, stored.version),
                            false => state.layout.add_copy(stored.resource.clone(), floor),
                        }
                    }
                }
            }
        }
    }

    /// What was written for good is what is known from now on.
    fn settle(&self, documents: &[Stored], plans: &[Option<Plan>], reports: &[Report]) {
        let mut state = self.state();
        for ((stored, plan), report) in documents.iter().zip(plans).zip(reports) {
            let (Some(plan), Outcome::Written) = (plan, &report.outcome) else { continue };
            match &plan.enter {
                Some((floor, _)) => {
                    state.layout.remove_copy(&stored.resource, floor);
                    state.remember(&stored.resource, floor, stored.version);
                }
                None => state.forget(&stored.resource),
            }
        }
    }

    /// Edits one file and says which version of each thing was in it.
    fn edit_file(
        &self,
        documents: &[Stored],
        file: &Path,
        edits: &[(usize, RoomId, Edit)],
    ) -> Result<Vec<Option<u64>>, Trouble> {
        let (elements, is_there) = match self.elements_now(file)? {
            Some(elements) => (elements, true),
            None => (Elements::none(), false),
        };
        let id = |at: usize| documents[at].resource.as_str();
        let by_id: HashMap<&str, Edit> = edits.iter().map(|(at, _, edit)| (id(*at), edit.clone())).collect();
        let new = elements.edited(&by_id).map_err(|error| self.trouble(file, error))?;
        let is_new = !is_there && edits.iter().any(|(_, _, edit)| matches!(edit, Edit::Put(_)));
        if is_new || new != elements.text() {
            self.root.replace(file, new.as_bytes()).map_err(self.io_trouble(file))?;
        }
        Ok(edits.iter().map(|(at, _, _)| elements.get(id(*at)).map(|(_, version)| version)).collect())
    }

    /// Had somebody else changed a thing of which `found` stood where it should be?
    fn divergence(&self, stored: &Stored, found: Option<u64>) -> Option<Diverged> {
        let expected = self.state().known(&stored.resource).map(|known| known.version);
        let is_as_it_was = match (expected, found) {
            // The same write once more, after an attempt that had got this far.
            (_, Some(found)) if found == stored.version => true,
            (Some(expected), Some(found)) => expected == found,
            (Some(_), None) => stored.document.is_none(),
            (None, Some(found)) => found < stored.version,
            (None, None) => true,
        };
        (!is_as_it_was).then_some(Diverged { expected, found })
    }

    fn store_floor(&self, stored: &Stored, diverged: &mut Option<Diverged>) -> Result<Outcome, Trouble> {
        let refused = |why: String| Ok(Outcome::Refused(why));
        let room = match RoomId::new(stored.resource.as_str()) {
            Ok(room) => room,
            Err(error) => return refused(error.to_string()),
        };
        let Some(text) = &stored.document else { return refused("it has no text".to_owned()) };
        let floor: document::Floor = match serde_json::from_str(text) {
            Ok(floor) => floor,
            Err(error) => return refused(error.to_string()),
        };
        if floor.id != room || floor.building_id.as_ref().is_some_and(|id| *id != stored.building) {
            return refused(format!("it says that it is `{}` of another place", floor.id));
        }
        let (folder, is_new) = match self.floor_folder(&stored.building, &room) {
            Some(folder) => (folder, false),
            None => match self.new_floor(&stored.building, &room)? {
                Some(folder) => (folder, true),
                None => return refused(format!("`{}` has no folder for it", stored.building)),
            },
        };
        let parts = versioned(text, stored.version).and_then(|text| {
            let (text, grid) = without_member(&text, GRID)?;
            let grid = grid.map(str::to_owned);
            Ok((text, grid))
        });
        let (text, grid) = match parts {
            Ok(parts) => parts,
            Err(error) => return refused(error.to_string()),
        };
        let grid = grid.as_deref().filter(|grid| *grid != "null");
        if is_new {
            let floor = object_file(&text);
            let grid = grid.map(object_file);
            let files =
                std::iter::once((FLOOR_FILE, floor.as_str())).chain(grid.as_deref().map(|grid| (GRID_FILE, grid)));
            let files: Vec<(&str, &str)> = files.collect();
            self.root.make_folder(&folder, &files).map_err(self.io_trouble(&folder))?;
            self.state().layout.add_floor(&stored.building, room.clone(), folder);
        } else {
            let file = folder.join(FLOOR_FILE);
            *diverged = self.divergence(stored, self.floor_version(&file)?);
            // The version is in the second file: an attempt that ends between the two is seen to be unfinished.
            self.put_object(&folder.join(GRID_FILE), grid)?;
            self.put_object(&file, Some(&text))?;
        }
        self.state().remember(&stored.resource, &room, stored.version);
        Ok(Outcome::Written)
    }

    /// The version of the floor that a file describes, if it is there.
    fn floor_version(&self, file: &Path) -> Result<Option<u64>, Trouble> {
        let text = self.text(file)?;
        let floor: Option<document::Floor> = text.map(|text| self.parsed(file, &text)).transpose()?;
        Ok(floor.map(|floor| floor.version))
    }

    /// A folder for a floor that nobody has.
    fn new_floor(&self, building: &BuildingId, room: &RoomId) -> Result<Option<PathBuf>, Trouble> {
        if self.directory.building_of_room(room).is_some_and(|owner| owner != building) {
            return Ok(None);
        }
        let Some(named) = self.state().layout.name_floor(building, room) else { return Ok(None) };
        for n in 1..=NAMES_TRIED_MAX {
            let folder = match n {
                1 => named.clone(),
                n => PathBuf::from(format!("{}-{n}", named.display())),
            };
            let is_there = self.root.stamp(&folder).map_err(|error| self.trouble(&folder, error))?.is_some();
            if !is_there && !self.state().layout.has_folder(&folder) {
                return Ok(Some(folder));
            }
        }
        Err(self.trouble(&named, format!("there are {NAMES_TRIED_MAX} folders of this name")))
    }

    /// Sets a floor's folder aside, unless a route still reaches onto that floor: the next start would refuse its
    /// building.
    fn delete_floor(
        &self,
        stored: &Stored,
        is_all_written: bool,
        diverged: &mut Option<Diverged>,
    ) -> Result<Outcome, Trouble> {
        let Ok(room) = RoomId::new(stored.resource.as_str()) else { return Ok(Outcome::Written) };
        let Some(folder) = self.floor_folder(&stored.building, &room) else { return Ok(Outcome::Written) };
        if let Some(route) = self.reaching_onto(&stored.building, &room)? {
            let why = format!("the route `{route}` still reaches onto it");
            return Ok(match is_all_written {
                true => Outcome::Refused(why),
                false => Outcome::Failed(self.trouble(&folder, why)),
            });
        }
        let file = folder.join(FLOOR_FILE);
        *diverged = self.divergence(stored, self.floor_version(&file)?);
        let name: String =
            folder.file_name().unwrap_or_default().to_string_lossy().chars().take(ASIDE_CHARS_MAX).collect();
        let name = format!(".{name}.deleted-{}", uuid::Uuid::new_v4().simple());
        self.root.rename_folder(&folder, &name).map_err(self.io_trouble(&folder))?;
        let mut state = self.state();
        state.layout.remove_floor(&room);
        state.forget(&stored.resource);
        Ok(Outcome::Written)
    }

    /// A route in another floor's folder that reaches onto `room`.
    fn reaching_onto(&self, building: &BuildingId, room: &RoomId) -> Result<Option<ResourceId>, Trouble> {
        let others = self.state().layout.floors_of(building).into_iter().filter(|other| other != room);
        for other in others {
            let Some(folder) = self.floor_folder(building, &other) else { continue };
            let file = folder.join(Kind::Route.file());
            let Some(text) = self.text(&file)? else { continue };
            let routes: Vec<document::Item> = self.parsed(&file, &text)?;
            if let Some(route) = routes.into_iter().find(|route| route.floors.contains(room)) {
                return Ok(Some(route.id));
            }
        }
        Ok(None)
    }

    /// Gives a file that holds one object new content, or removes it.
    fn put_object(&self, file: &Path, new: Option<&str>) -> Result<(), Trouble> {
        let old = self.text(file)?;
        let Some(new) = new else {
            return match old {
                Some(_) => self.root.remove(file).map_err(self.io_trouble(file)),
                None => Ok(()),
            };
        };
        let text = match &old {
            None => Ok(object_file(new)),
            Some(old) => {
                let start = old.len() - old.trim_start().len();
                let part = start..old.trim_end().len();
                updated(old, &part, new).map(|then| format!("{}{then}{}", &old[..part.start], &old[part.end..]))
            }
        };
        let text = text.map_err(|error| self.trouble(file, error))?;
        match old.as_deref() == Some(&text) {
            true => Ok(()),
            false => self.root.replace(file, text.as_bytes()).map_err(self.io_trouble(file)),
        }
    }
}

/// The text of a new file that holds one object.
fn object_file(text: &str) -> String {
    format!("{}\n", Style::lines().apply(text))
}

/// The document with its version in it.
fn versioned(text: &str, version: u64) -> serde_json::Result<String> {
    with_member(text, "version", &version.to_string())
}
