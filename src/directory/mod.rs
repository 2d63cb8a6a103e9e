//! The building directory: which building and which floors is a thing in?
//!
//! Read once from the origin, then only asked. A building, its own room and (as something to lock) the building itself
//! share one id; so do a floor, its room and the floor as something to lock. Ids are unique over the whole directory:
//! of two things with one id the first is kept and the second is reported, because a lock must never mean two things.
//!
//! A directory of several hundred thousand objects is normal, at some 120 bytes each: its id, a slot in a hash table,
//! and in it eight bytes of its own. The floors it lies on are a number into a table that all objects of a floor share.
//!
//! Rooms and resources that are not in the directory are none of its business, except in [`Directory::place`], which
//! says what they count as.

mod build;

use std::collections::HashMap;

use smallvec::smallvec;

use crate::building::command::Place;
use crate::id::{BuildingId, ResourceId, RoomId};

pub use build::{Builder, BuildingDraft, FloorDraft, ItemDraft, Rejected};

/// A building.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildingEntry {
    /// Its own room, under its own id.
    pub room: RoomId,
    /// What people call it.
    pub name: Box<str>,
    /// Its floors, from the lowest to the highest.
    pub floors: Box<[RoomId]>,
}

/// A floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloorEntry {
    /// The building that it is in.
    pub building: BuildingId,
    /// What people call it.
    pub name: Box<str>,
    /// Its place in the order of floors; 0 is usually the ground.
    pub level: i32,
}

/// What lies on floors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// Something that is in one place.
    Object,
    /// A way, which may span floors.
    Route,
}

/// Where a known resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Located<'a> {
    /// It is a building; this is its own room.
    Building(&'a RoomId),
    /// It is a floor; this is its room.
    Floor(&'a RoomId),
    /// It lies on floors, all of one building.
    Item {
        /// Which floors; never empty.
        floors: &'a [RoomId],
        /// What it is.
        kind: ItemKind,
    },
}

/// A resource with its building.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The building that decides about it.
    pub building: BuildingId,
    /// Where in that building it lies.
    pub place: Place,
}

/// What is known about a resource besides its id.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// The room that the message names.
    pub stated: Option<&'a RoomId>,
    /// The resource must be a room: its kind of lock is for floors, or there is a room of that id.
    pub is_room: bool,
    /// The sender's room, when there is exactly one.
    pub only_joined: Option<&'a RoomId>,
}

/// How much a directory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Buildings.
    pub buildings: usize,
    /// Floors of all buildings.
    pub floors: usize,
    /// Objects on all floors.
    pub objects: usize,
    /// Routes.
    pub routes: usize,
}

/// Which building and floors things are in. See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    buildings: HashMap<BuildingId, BuildingEntry>,
    floors: HashMap<RoomId, FloorEntry>,
    items: HashMap<Box<str>, Spot>,
    /// The sets of floors that items lie on; each is there once.
    spans: Vec<Box<[RoomId]>>,
    routes: usize,
}

/// Where an item is: eight bytes.
#[derive(Clone, Copy, Debug)]
struct Spot {
    span: u32,
    kind: ItemKind,
}

impl Directory {
    /// The building that a room belongs to: the room of a floor, or a building's own.
    pub fn building_of_room(&self, room: &RoomId) -> Option<&BuildingId> {
        match self.floors.get(room) {
            Some(floor) => Some(&floor.building),
            None => self.buildings.get_key_value(&BuildingId::of_lone_room(room)).map(|(id, _)| id),
        }
    }

    /// Where a resource is, if it is known.
    pub fn locate(&self, resource: &ResourceId) -> Option<Located<'_>> {
        if let Some(spot) = self.items.get(resource.as_str()) {
            return Some(Located::Item { floors: &self.spans[spot.span as usize], kind: spot.kind });
        }
        let room = RoomId::of_resource(resource);
        if let Some((room, _)) = self.floors.get_key_value(&room) {
            return Some(Located::Floor(room));
        }
        self.buildings.get(&BuildingId::of_lone_room(&room)).map(|building| Located::Building(&building.room))
    }

    /// Where a command about `resource` belongs; `None` when nothing says so (`room_required`).
    ///
    /// What the directory knows lies where the directory says, whatever room a message names: otherwise two clients
    /// that name two rooms would hold one object at once. Only what it does not know lies where it is said to.
    pub fn place(&self, resource: &ResourceId, hints: Hints<'_>) -> Option<Placed> {
        if let Some(known) = self.locate(resource) {
            return self.placed(known);
        }
        match hints.stated {
            Some(room) => Some(self.in_room(resource, room)),
            None => {
                let lone = hints.is_room.then(|| self.lone_room(resource)).flatten();
                lone.or_else(|| hints.only_joined.map(|room| self.in_room(resource, room)))
            }
        }
    }

    /// The building that decides about a room: its own, or one of its own making.
    pub fn building_or_lone(&self, room: &RoomId) -> BuildingId {
        self.building_of_room(room).cloned().unwrap_or_else(|| BuildingId::of_lone_room(room))
    }

    /// A building.
    pub fn building(&self, id: &BuildingId) -> Option<&BuildingEntry> {
        self.buildings.get(id)
    }

    /// A floor, by its room.
    pub fn floor(&self, room: &RoomId) -> Option<&FloorEntry> {
        self.floors.get(room)
    }

    /// All buildings, in no order.
    pub fn buildings(&self) -> impl Iterator<Item = (&BuildingId, &BuildingEntry)> {
        self.buildings.iter()
    }

    /// The sets of floors that items lie on, each once, in no order that means anything.
    pub fn spans(&self) -> impl Iterator<Item = &[RoomId]> {
        self.spans.iter().map(|span| &**span)
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        Counts {
            buildings: self.buildings.len(),
            floors: self.floors.len(),
            objects: self.items.len() - self.routes,
            routes: self.routes,
        }
    }

    fn placed(&self, located: Located<'_>) -> Option<Placed> {
        let (room, place) = match located {
            Located::Building(room) => (room, Place::Building(room.clone())),
            Located::Floor(room) => (room, Place::Floor(room.clone())),
            Located::Item { floors, .. } => (floors.first()?, Place::Item(floors.iter().cloned().collect())),
        };
        Some(Placed { building: self.building_of_room(room)?.clone(), place })
    }

    /// An unknown resource that is a room.
    fn lone_room(&self, resource: &ResourceId) -> Option<Placed> {
        let room = RoomId::new(resource.as_str()).ok()?;
        Some(Placed { building: BuildingId::of_lone_room(&room), place: Place::Floor(room) })
    }

    /// An unknown resource in a room that somebody names.
    fn in_room(&self, resource: &ResourceId, room: &RoomId) -> Placed {
        let place = match resource.as_str() == room.as_str() {
            true => Place::Floor(room.clone()),
            false => Place::Item(smallvec![room.clone()]),
        };
        Placed { building: self.building_or_lone(room), place }
    }
}

#[cfg(test)]
mod tests {
    use super::build::tests::{building, draft, room, thing};
    use super::*;

    fn house() -> Directory {
        let mut builder = Builder::default();
        let hq = draft("hq", &["hq:2", "hq:1"], &[("ahu", 0), ("door", 1)], &[("stairs", &[0, 1]), ("hall", &[1])]);
        assert_eq!(builder.add(hq), []);
        assert_eq!(builder.add(draft("annex", &["annex:1"], &[("pump", 0)], &[])), []);
        builder.build()
    }

    #[test]
    fn everything_is_found_where_it_is() {
        let house = house();
        let (one, two) = (room("hq:1"), room("hq:2"));
        assert_eq!(house.counts(), Counts { buildings: 2, floors: 3, objects: 3, routes: 2 });
        assert_eq!(house.building_of_room(&one), Some(&building("hq")));
        assert_eq!(house.building_of_room(&room("hq")), Some(&building("hq")));
        assert_eq!(house.building_of_room(&room("ahu")), None);
        assert_eq!(house.locate(&thing("hq")), Some(Located::Building(&room("hq"))));
        assert_eq!(house.locate(&thing("hq:2")), Some(Located::Floor(&two)));
        let on_two = Located::Item { floors: std::slice::from_ref(&two), kind: ItemKind::Object };
        assert_eq!(house.locate(&thing("ahu")), Some(on_two));
        let both = [one.clone(), two.clone()];
        assert_eq!(house.locate(&thing("stairs")), Some(Located::Item { floors: &both, kind: ItemKind::Route }));
        assert_eq!(house.locate(&thing("elsewhere")), None);
        let entry = house.building(&building("hq")).unwrap();
        assert_eq!((&*entry.name, &*entry.floors), ("Building hq", &[one.clone(), two][..]), "lowest first");
        assert_eq!(house.floor(&one).unwrap().level, -1);
    }

    #[test]
    fn every_resource_has_one_place_or_needs_a_room() {
        let house = house();
        let item = |rooms: &[&str]| Place::Item(rooms.iter().map(|id| room(id)).collect());
        let floor = |id: &str| Place::Floor(room(id));
        let check = |resource: &str, stated: Option<&str>, is_room: bool, joined: Option<&str>| {
            let (stated, joined) = (stated.map(room), joined.map(room));
            let hints = Hints { stated: stated.as_ref(), is_room, only_joined: joined.as_ref() };
            house.place(&thing(resource), hints).map(|p| (p.building.to_string(), p.place))
        };
        let at = |building: &str, place: Place| Some((building.to_owned(), place));

        // The directory knows it.
        assert_eq!(check("hq", None, false, None), at("hq", Place::Building(room("hq"))));
        assert_eq!(check("hq:1", Some("annex:1"), true, None), at("hq", floor("hq:1")), "a floor is where it is");
        assert_eq!(check("ahu", None, false, Some("annex:1")), at("hq", item(&["hq:2"])));
        assert_eq!(check("stairs", Some("hq:1"), false, None), at("hq", item(&["hq:1", "hq:2"])));
        assert_eq!(check("ahu", Some("hq:1"), false, None), at("hq", item(&["hq:2"])), "the directory knows better");
        assert_eq!(check("ahu", Some("annex:1"), false, None), at("hq", item(&["hq:2"])), "also in another building");
        assert_eq!(check("ahu", Some("lone"), false, None), at("hq", item(&["hq:2"])), "also in no building at all");
        // The directory does not know it.
        assert_eq!(check("new", Some("hq:1"), false, None), at("hq", item(&["hq:1"])));
        assert_eq!(check("new", Some("lone"), false, None), at("lone", item(&["lone"])));
        assert_eq!(check("floor_7", Some("floor_7"), false, None), at("floor_7", floor("floor_7")));
        assert_eq!(check("floor_7", None, true, Some("hq:1")), at("floor_7", floor("floor_7")));
        assert_eq!(check("new", None, false, Some("hq:1")), at("hq", item(&["hq:1"])));
        assert_eq!(check("new", None, false, None), None);
    }

    #[test]
    fn an_item_has_eight_bytes_beside_its_id() {
        assert_eq!(std::mem::size_of::<Spot>(), 8);
    }
}
