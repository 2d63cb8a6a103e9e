//! In which folder is a floor, and where else does a thing stand?
//!
//! A folder's name says nothing: what a floor is, its `floor.json` says. So the reading at the start notes where it
//! found what, and writing goes there again. It also notes copies: the same object or route on a second floor, as a
//! move that was cut short leaves it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use arxosrt_core::id::{BuildingId, ResourceId, RoomId};

/// The folder in a building's folder that holds its floors.
const FLOORS: &str = "floors";
/// The longest name of a folder that is made for a new floor.
const NAME_CHARS_MAX: usize = 64;

/// Where the origin keeps what, below its root.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    buildings: HashMap<BuildingId, PathBuf>,
    floors: HashMap<RoomId, FloorFolder>,
    copies: HashMap<ResourceId, Vec<RoomId>>,
}

#[derive(Clone, Debug)]
struct FloorFolder {
    building: BuildingId,
    folder: PathBuf,
}

/// What a path in the origin is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A floor of a building.
    Floor(BuildingId, RoomId),
    /// A building.
    Building(BuildingId),
    /// Nothing that was there when the origin was read.
    Unknown,
}

impl Layout {
    /// Notes a building's folder. The first of two with one id counts, as in the directory.
    pub fn add_building(&mut self, building: BuildingId, folder: &Path) {
        self.buildings.entry(building).or_insert_with(|| folder.to_owned());
    }

    /// Notes a floor's folder.
    pub fn add_floor(&mut self, building: &BuildingId, floor: RoomId, folder: PathBuf) {
        self.floors.entry(floor).or_insert_with(|| FloorFolder { building: building.clone(), folder });
    }

    /// Forgets a floor.
    pub fn remove_floor(&mut self, floor: &RoomId) {
        self.floors.remove(floor);
    }

    /// Notes that a thing stands on `floor` too, where it does not count.
    pub fn add_copy(&mut self, resource: ResourceId, floor: RoomId) {
        let floors = self.copies.entry(resource).or_default();
        if !floors.contains(&floor) {
            floors.push(floor);
        }
    }

    /// The copy on `floor` is gone.
    pub fn remove_copy(&mut self, resource: &ResourceId, floor: &RoomId) {
        if let Some(floors) = self.copies.get_mut(resource) {
            floors.retain(|copy| copy != floor);
            if floors.is_empty() {
                self.copies.remove(resource);
            }
        }
    }

    /// The floors where a thing stands and does not count.
    pub fn copies(&self, resource: &ResourceId) -> &[RoomId] {
        self.copies.get(resource).map_or(&[], Vec::as_slice)
    }

    /// A floor's folder, if the floor is one of this building.
    pub fn floor(&self, building: &BuildingId, floor: &RoomId) -> Option<&Path> {
        self.floors.get(floor).filter(|entry| entry.building == *building).map(|entry| entry.folder.as_path())
    }

    /// The building that a floor with a folder is in.
    pub fn building_of(&self, floor: &RoomId) -> Option<&BuildingId> {
        self.floors.get(floor).map(|entry| &entry.building)
    }

    /// A building's folder.
    pub fn building(&self, building: &BuildingId) -> Option<&Path> {
        self.buildings.get(building).map(PathBuf::as_path)
    }

    /// The buildings that have a folder, in no order.
    pub fn buildings(&self) -> impl Iterator<Item = &BuildingId> {
        self.buildings.keys()
    }

    /// What a path below the root is about.
    pub fn about(&self, path: &Path) -> About {
        if let Some((room, entry)) = self.floors.iter().find(|(_, entry)| path.starts_with(&entry.folder)) {
            return About::Floor(entry.building.clone(), room.clone());
        }
        match self.buildings.iter().find(|(_, folder)| path.starts_with(folder)) {
            None => About::Unknown,
            Some((building, folder)) if path == folder.join(FLOORS) => About::Building(building.clone()),
            Some((_, folder)) if path.starts_with(folder.join(FLOORS)) => About::Unknown,
            Some((building, _)) => About::Building(building.clone()),
        }
    }

    /// The floors of a building that have a folder, in the order of their ids.
    pub fn floors_of(&self, building: &BuildingId) -> Vec<RoomId> {
        let mut floors: Vec<RoomId> =
            self.floors.iter().filter(|(_, entry)| entry.building == *building).map(|(room, _)| room.clone()).collect();
        floors.sort();
        floors
    }

    /// Every folder of a floor.
    pub fn floor_folders(&self) -> impl Iterator<Item = &Path> {
        self.floors.values().map(|entry| entry.folder.as_path())
    }

    /// The folders that hold buildings' floors.
    pub fn outer_folders(&self) -> impl Iterator<Item = PathBuf> {
        self.buildings.values().map(|folder| folder.join(FLOORS))
    }

    /// Does a floor have this folder?
    pub fn has_folder(&self, folder: &Path) -> bool {
        self.floors.values().any(|entry| entry.folder == folder)
    }

    /// A folder for a new floor, named after its id, should the name be free.
    ///
    /// An id is opaque and may hold anything; only letters, digits, `-` and `_` of it get into a file's name.
    pub fn name_floor(&self, building: &BuildingId, floor: &RoomId) -> Option<PathBuf> {
        let folder = self.buildings.get(building)?.join(FLOORS);
        let own = floor.as_str().strip_prefix(building.as_str()).unwrap_or(floor.as_str());
        let name: String = own
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
            .take(NAME_CHARS_MAX)
            .collect();
        Some(folder.join(match name.trim_matches('-') {
            "" => "floor",
            name => name,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_floor_gets_a_harmless_name() {
        let building = BuildingId::new("hq").unwrap();
        let mut layout = Layout::default();
        layout.add_building(building.clone(), Path::new("b"));
        for (id, folder) in
            [("hq:attic", "attic"), ("level-3", "level-3"), ("../../etc", "etc"), ("..", "floor"), ("/a/b.c", "a-b-c")]
        {
            let named = layout.name_floor(&building, &RoomId::new(id).unwrap());
            assert_eq!(named, Some(Path::new("b/floors").join(folder)), "{id}");
        }
        assert_eq!(layout.name_floor(&BuildingId::new("none").unwrap(), &RoomId::new("f").unwrap()), None);
    }
}
