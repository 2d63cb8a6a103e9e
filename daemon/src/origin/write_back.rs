//! How do changed documents get into the folder's files?
//!
//! File by file: each is read again, what concerns the documents is exchanged, every other byte stays, and the file is
//! replaced in one step. Whatever is written could be read at a start: a document that would make the next start refuse
//! its building is refused here instead.
//!
//! After a write a thing stands in exactly one place. One that moved enters its new floor's file before it leaves the
//! old one's: a daemon that dies in between leaves it in both, and the next start goes by the higher version. Floors
//! are `floors`' business; here they only have their turn.
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
use super::documents::{Documents, Kind};
use super::elements::{Edit, Elements};
use super::text::with_member;

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
                let item: document::Item = serde_json::from_str(text).map_err(|error| document::misfit(&error))?;
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
                Some((floor, versioned(text, stored.version).map_err(|error| document::misfit(&error))?))
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
            self.replace(file, &new)?;
        }
        Ok(edits.iter().map(|(at, _, _)| elements.get(id(*at)).map(|(_, version)| version)).collect())
    }

    /// Had somebody else changed a thing of which `found` stood where it should be?
    pub(super) fn divergence(&self, stored: &Stored, found: Option<u64>) -> Option<Diverged> {
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
}

/// The document with its version in it.
pub(super) fn versioned(text: &str, version: u64) -> serde_json::Result<String> {
    with_member(text, "version", &version.to_string())
}
