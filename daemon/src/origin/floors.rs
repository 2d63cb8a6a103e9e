//! How does a floor's document become files, and files a floor's document?
//!
//! People see one document; on the disk the grid is a file of its own, because surveyors replace it whole. A new floor's
//! folder appears with both files in it or not at all: one without a `floor.json` would make the next start refuse its
//! building. A floor that was deleted is not destroyed, since its folder holds other things' documents too: it gets a
//! hidden name, under which nobody looks.

use std::path::{Path, PathBuf};

use arxosrt_core::id::{BuildingId, ResourceId, RoomId};

use super::directory::Trouble;
use super::document;
use super::documents::{Document, Documents, Kind};
use super::style::Style;
use super::text::{updated, with_member, without_member};
use super::write_back::{Diverged, Outcome, Stored, versioned};

/// The file that a floor must have.
pub(super) const FLOOR_FILE: &str = "floor.json";
/// The file that a floor's grid is in.
const GRID_FILE: &str = "grid.json";
/// The member of a floor's document that is a file of its own.
const GRID: &str = "grid";

/// How much of a folder's name stays recognizable when the floor was deleted.
const ASIDE_CHARS_MAX: usize = 100;
/// How many names are tried for a new floor's folder.
const NAMES_TRIED_MAX: usize = 100;

impl Documents {
    /// A floor's document: its file, with its grid as a member.
    pub(super) fn load_floor(
        &self,
        resource: &ResourceId,
        room: RoomId,
        folder: &Path,
    ) -> Result<Option<Document>, Trouble> {
        let file = folder.join(FLOOR_FILE);
        let Some(text) = self.text(&file)? else { return Ok(None) };
        let floor: document::Floor = self.parsed(&file, &text)?;
        let grid_file = folder.join(GRID_FILE);
        let text = match self.text(&grid_file)? {
            None => text,
            Some(grid) => {
                let grid: Box<serde_json::value::RawValue> = self.parsed(&grid_file, &grid)?;
                with_member(&text, GRID, grid.get()).map_err(|error| self.trouble(&file, error))?
            }
        };
        self.state().remember_read(resource, &room, floor.version);
        let text = text.trim().into();
        Ok(Some(Document { kind: Kind::Floor, text, version: floor.version, floors: vec![room] }))
    }

    /// Writes a floor's document into its two files, or makes a folder for a new floor.
    pub(super) fn store_floor(&self, stored: &Stored, diverged: &mut Option<Diverged>) -> Result<Outcome, Trouble> {
        let refused = |why: String| Ok(Outcome::Refused(why));
        let room = match RoomId::new(stored.resource.as_str()) {
            Ok(room) => room,
            Err(error) => return refused(error.to_string()),
        };
        let Some(text) = &stored.document else { return refused("it has no text".to_owned()) };
        let floor: document::Floor = match serde_json::from_str(text) {
            Ok(floor) => floor,
            Err(error) => return refused(document::misfit(&error)),
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
            Err(error) => return refused(document::misfit(&error)),
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
    pub(super) fn delete_floor(
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
            false => self.replace(file, &text),
        }
    }
}

/// The text of a new file that holds one object.
fn object_file(text: &str) -> String {
    format!("{}\n", Style::lines().apply(text))
}
