//! The building directory: which building and which floors is a thing in?
//!
//! Read once from the origin, then only asked. A building, its own room and (as something to lock) the building itself
//! share one id; so do a floor, its room and the floor as something to lock. Ids are unique over the whole directory:
//! of two things with one id the first is kept and the second is reported, because a lock must never mean two things.
//!
//! A directory of several hundred thousand objects is normal. An object costs its id and eight bytes beside it: the
//! floors it lies on are a number into a table that all objects of a floor share.
//!
//! Rooms and resources that are not in the directory are none of its business, except in [`Directory::place`], which
//! says what they count as.

use std::collections::HashMap;

use smallvec::smallvec;

use crate::building::command::Place;
use crate::id::{BuildingId, ResourceId, RoomId};

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
            None => self
                .buildings
                .get_key_value(room.as_str())
                .map(|(id, _)| id),
        }
    }

    /// Where a resource is, if it is known.
    pub fn locate(&self, resource: &ResourceId) -> Option<Located<'_>> {
        let id = resource.as_str();
        if let Some(spot) = self.items.get(id) {
            return Some(Located::Item {
                floors: &self.spans[spot.span as usize],
                kind: spot.kind,
            });
        }
        if let Some((room, _)) = self.floors.get_key_value(id) {
            return Some(Located::Floor(room));
        }
        self.buildings
            .get(id)
            .map(|building| Located::Building(&building.room))
    }

    /// Where a command about `resource` belongs; `None` when nothing says so (`room_required`).
    ///
    /// A known building or floor is itself whatever a message says. Otherwise the room that the message names decides
    /// in which building the resource is looked for: ids are unique here, but a client may work in a building that the
    /// directory does not know. Within that building the directory knows better than the message on which floors a
    /// thing lies; if it did not have the last word, two clients that name two rooms would hold one object at once.
    pub fn place(&self, resource: &ResourceId, hints: Hints<'_>) -> Option<Placed> {
        let known = self.locate(resource);
        let known_placed = || self.placed(known?);
        if let Some(Located::Building(_) | Located::Floor(_)) = known {
            return known_placed();
        }
        let Some(room) = hints.stated else {
            // A room that nobody has put into a building beats an item only if there is no such item.
            return known_placed()
                .or_else(|| hints.is_room.then(|| self.lone_room(resource)).flatten())
                .or_else(|| hints.only_joined.map(|room| self.in_room(resource, room)));
        };
        let building = self.building_or_lone(room);
        match known_placed() {
            Some(placed) if placed.building == building => Some(placed),
            _ => Some(self.in_room(resource, room)),
        }
    }

    /// The building that decides about a room: its own, or one of its own making.
    pub fn building_or_lone(&self, room: &RoomId) -> BuildingId {
        self.building_of_room(room)
            .cloned()
            .unwrap_or_else(|| BuildingId::of_lone_room(room))
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
            Located::Item { floors, .. } => (
                floors.first()?,
                Place::Item(floors.iter().cloned().collect()),
            ),
        };
        Some(Placed {
            building: self.building_of_room(room)?.clone(),
            place,
        })
    }

    /// An unknown resource that is a room.
    fn lone_room(&self, resource: &ResourceId) -> Option<Placed> {
        let room = RoomId::new(resource.as_str()).ok()?;
        Some(Placed {
            building: BuildingId::of_lone_room(&room),
            place: Place::Floor(room),
        })
    }

    /// An unknown resource in a room that somebody names.
    fn in_room(&self, resource: &ResourceId, room: &RoomId) -> Placed {
        let place = match resource.as_str() == room.as_str() {
            true => Place::Floor(room.clone()),
            false => Place::Item(smallvec![room.clone()]),
        };
        Placed {
            building: self.building_or_lone(room),
            place,
        }
    }
}

/// A building as the origin describes it, before its ids are compared with the others'.
#[derive(Clone, Debug)]
pub struct BuildingDraft {
    /// Its id.
    pub id: BuildingId,
    /// What people call it.
    pub name: Box<str>,
    /// Its floors, in any order.
    pub floors: Vec<FloorDraft>,
    /// Its objects.
    pub objects: Vec<ItemDraft>,
    /// Its routes.
    pub routes: Vec<ItemDraft>,
}

/// A floor as the origin describes it.
#[derive(Clone, Debug)]
pub struct FloorDraft {
    /// Its room.
    pub room: RoomId,
    /// What people call it.
    pub name: Box<str>,
    /// Its place in the order of floors.
    pub level: i32,
}

/// An object or route as the origin describes it.
#[derive(Clone, Debug)]
pub struct ItemDraft {
    /// Its id.
    pub id: ResourceId,
    /// The floors that it lies on, by their place in [`BuildingDraft::floors`].
    pub floors: Vec<usize>,
}

/// Why a part of a draft is not in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The id is something else's already.
    Duplicate(Box<str>),
    /// The item lies on no floor that was accepted.
    Nowhere(Box<str>),
}

/// Makes a [`Directory`], building by building.
#[derive(Debug, Default)]
pub struct Builder {
    directory: Directory,
    span_numbers: HashMap<Box<[RoomId]>, u32>,
}

impl Builder {
    /// Adds a building with all that is in it. What is rejected is left out and told; the rest is in.
    pub fn add(&mut self, draft: BuildingDraft) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        let BuildingDraft {
            id,
            name,
            mut floors,
            objects,
            routes,
        } = draft;
        let Ok(room) = RoomId::new(id.as_str()) else {
            return rejected;
        };
        if self.is_taken(id.as_str()) {
            return vec![Rejected::Duplicate(id.as_str().into())];
        }
        // The building is there before its floors, so that a floor of the same id is found out.
        let entry = BuildingEntry {
            room,
            name,
            floors: Box::default(),
        };
        self.directory.buildings.insert(id.clone(), entry);

        let mut rooms: Vec<Option<RoomId>> = Vec::with_capacity(floors.len());
        for floor in &mut floors {
            if self.is_taken(floor.room.as_str()) {
                rejected.push(Rejected::Duplicate(floor.room.as_str().into()));
                rooms.push(None);
                continue;
            }
            let entry = FloorEntry {
                building: id.clone(),
                name: std::mem::take(&mut floor.name),
                level: floor.level,
            };
            self.directory.floors.insert(floor.room.clone(), entry);
            rooms.push(Some(floor.room.clone()));
        }
        self.order_floors(&id, rooms.iter().flatten().cloned().collect());

        for (kind, items) in [(ItemKind::Object, objects), (ItemKind::Route, routes)] {
            for item in items {
                rejected.extend(self.add_item(item, kind, &rooms).err());
            }
        }
        rejected
    }

    /// The finished directory.
    pub fn build(mut self) -> Directory {
        self.directory.items.shrink_to_fit();
        self.directory.spans.shrink_to_fit();
        self.directory
    }

    fn is_taken(&self, id: &str) -> bool {
        let directory = &self.directory;
        directory.items.contains_key(id)
            || directory.floors.contains_key(id)
            || directory.buildings.contains_key(id)
    }

    fn order_floors(&mut self, id: &BuildingId, mut rooms: Vec<RoomId>) {
        let floors = &self.directory.floors;
        rooms.sort_by_cached_key(|room| (floors.get(room).map(|floor| floor.level), room.clone()));
        if let Some(entry) = self.directory.buildings.get_mut(id) {
            entry.floors = rooms.into();
        }
    }

    fn add_item(
        &mut self,
        item: ItemDraft,
        kind: ItemKind,
        rooms: &[Option<RoomId>],
    ) -> Result<(), Rejected> {
        let id: Box<str> = item.id.as_str().into();
        if self.is_taken(&id) {
            return Err(Rejected::Duplicate(id));
        }
        let mut floors: Vec<RoomId> = item
            .floors
            .iter()
            .filter_map(|at| rooms.get(*at)?.clone())
            .collect();
        floors.sort();
        floors.dedup();
        if floors.is_empty() {
            return Err(Rejected::Nowhere(id));
        }
        let span = self.span(floors.into());
        self.directory.items.insert(id, Spot { span, kind });
        self.directory.routes += usize::from(kind == ItemKind::Route);
        Ok(())
    }

    /// The number of a set of floors, which gets one when it is new.
    fn span(&mut self, floors: Box<[RoomId]>) -> u32 {
        if let Some(number) = self.span_numbers.get(&floors) {
            return *number;
        }
        let number = u32::try_from(self.directory.spans.len())
            .expect("there are fewer sets of floors than items");
        self.directory.spans.push(floors.clone());
        self.span_numbers.insert(floors, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(id: &str) -> RoomId {
        RoomId::new(id).unwrap()
    }

    fn thing(id: &str) -> ResourceId {
        ResourceId::new(id).unwrap()
    }

    fn building(id: &str) -> BuildingId {
        BuildingId::new(id).unwrap()
    }

    fn draft(
        id: &str,
        floors: &[&str],
        objects: &[(&str, usize)],
        routes: &[(&str, &[usize])],
    ) -> BuildingDraft {
        BuildingDraft {
            id: building(id),
            name: format!("Building {id}").into(),
            floors: floors
                .iter()
                .enumerate()
                // Given from the top down, so that order has to be made.
                .map(|(at, floor)| FloorDraft {
                    room: room(floor),
                    name: (*floor).into(),
                    level: -(at as i32),
                })
                .collect(),
            objects: objects
                .iter()
                .map(|(id, at)| ItemDraft {
                    id: thing(id),
                    floors: vec![*at],
                })
                .collect(),
            routes: routes
                .iter()
                .map(|(id, at)| ItemDraft {
                    id: thing(id),
                    floors: at.to_vec(),
                })
                .collect(),
        }
    }

    fn house() -> Directory {
        let mut builder = Builder::default();
        let hq = draft(
            "hq",
            &["hq:2", "hq:1"],
            &[("ahu", 0), ("door", 1)],
            &[("stairs", &[0, 1]), ("hall", &[1])],
        );
        assert_eq!(builder.add(hq), []);
        assert_eq!(
            builder.add(draft("annex", &["annex:1"], &[("pump", 0)], &[])),
            []
        );
        builder.build()
    }

    #[test]
    fn everything_is_found_where_it_is() {
        let house = house();
        let (one, two) = (room("hq:1"), room("hq:2"));
        assert_eq!(
            house.counts(),
            Counts {
                buildings: 2,
                floors: 3,
                objects: 3,
                routes: 2
            }
        );
        assert_eq!(house.building_of_room(&one), Some(&building("hq")));
        assert_eq!(house.building_of_room(&room("hq")), Some(&building("hq")));
        assert_eq!(house.building_of_room(&room("ahu")), None);
        assert_eq!(
            house.locate(&thing("hq")),
            Some(Located::Building(&room("hq")))
        );
        assert_eq!(house.locate(&thing("hq:2")), Some(Located::Floor(&two)));
        let on_two = Located::Item {
            floors: std::slice::from_ref(&two),
            kind: ItemKind::Object,
        };
        assert_eq!(house.locate(&thing("ahu")), Some(on_two));
        let both = [one.clone(), two.clone()];
        assert_eq!(
            house.locate(&thing("stairs")),
            Some(Located::Item {
                floors: &both,
                kind: ItemKind::Route
            })
        );
        assert_eq!(house.locate(&thing("elsewhere")), None);
        let entry = house.building(&building("hq")).unwrap();
        assert_eq!(
            (&*entry.name, &*entry.floors),
            ("Building hq", &[one.clone(), two][..]),
            "lowest first"
        );
        assert_eq!(house.floor(&one).unwrap().level, -1);
    }

    #[test]
    fn of_two_things_with_one_id_the_first_stays() {
        let mut builder = Builder::default();
        let first = draft(
            "b",
            &["f1", "f2"],
            &[("x", 0), ("x", 1), ("f2", 0), ("b", 0)],
            &[("x", &[0])],
        );
        let duplicate = |id: &str| Rejected::Duplicate(id.into());
        assert_eq!(
            builder.add(first),
            [
                duplicate("x"),
                duplicate("f2"),
                duplicate("b"),
                duplicate("x")
            ]
        );
        assert_eq!(builder.add(draft("b", &["g"], &[], &[])), [duplicate("b")]);
        let second = draft(
            "c",
            &["f1", "c", "g"],
            &[("x", 2), ("lost", 0)],
            &[("r", &[0, 2, 2])],
        );
        let nowhere = Rejected::Nowhere("lost".into());
        assert_eq!(
            builder.add(second),
            [duplicate("f1"), duplicate("c"), duplicate("x"), nowhere]
        );
        let directory = builder.build();
        assert_eq!(
            directory.building_of_room(&room("f1")),
            Some(&building("b"))
        );
        let on_f1 = Located::Item {
            floors: &[room("f1")],
            kind: ItemKind::Object,
        };
        assert_eq!(directory.locate(&thing("x")), Some(on_f1));
        let on_g = Located::Item {
            floors: &[room("g")],
            kind: ItemKind::Route,
        };
        assert_eq!(directory.locate(&thing("r")), Some(on_g), "a span is a set");
    }

    #[test]
    fn every_resource_has_one_place_or_needs_a_room() {
        let house = house();
        let item = |rooms: &[&str]| Place::Item(rooms.iter().map(|id| room(id)).collect());
        let floor = |id: &str| Place::Floor(room(id));
        let check = |resource: &str, stated: Option<&str>, is_room: bool, joined: Option<&str>| {
            let (stated, joined) = (stated.map(room), joined.map(room));
            let hints = Hints {
                stated: stated.as_ref(),
                is_room,
                only_joined: joined.as_ref(),
            };
            house
                .place(&thing(resource), hints)
                .map(|p| (p.building.to_string(), p.place))
        };
        let at = |building: &str, place: Place| Some((building.to_owned(), place));

        // The directory knows it.
        assert_eq!(
            check("hq", None, false, None),
            at("hq", Place::Building(room("hq")))
        );
        assert_eq!(
            check("hq:1", Some("annex:1"), true, None),
            at("hq", floor("hq:1")),
            "a floor is where it is"
        );
        assert_eq!(
            check("ahu", None, false, Some("annex:1")),
            at("hq", item(&["hq:2"]))
        );
        assert_eq!(
            check("stairs", Some("hq:1"), false, None),
            at("hq", item(&["hq:1", "hq:2"]))
        );
        assert_eq!(
            check("ahu", Some("hq:1"), false, None),
            at("hq", item(&["hq:2"])),
            "the directory knows better"
        );
        // Another building may have something of the same id.
        assert_eq!(
            check("ahu", Some("annex:1"), false, None),
            at("annex", item(&["annex:1"]))
        );
        assert_eq!(
            check("ahu", Some("lone"), false, None),
            at("lone", item(&["lone"]))
        );
        // The directory does not know it.
        assert_eq!(
            check("new", Some("hq:1"), false, None),
            at("hq", item(&["hq:1"]))
        );
        assert_eq!(
            check("new", Some("lone"), false, None),
            at("lone", item(&["lone"]))
        );
        assert_eq!(
            check("floor_7", Some("floor_7"), false, None),
            at("floor_7", floor("floor_7"))
        );
        assert_eq!(
            check("floor_7", None, true, Some("hq:1")),
            at("floor_7", floor("floor_7"))
        );
        assert_eq!(
            check("new", None, false, Some("hq:1")),
            at("hq", item(&["hq:1"]))
        );
        assert_eq!(check("new", None, false, None), None);
    }

    #[test]
    fn an_item_costs_its_id_and_eight_bytes() {
        assert_eq!(std::mem::size_of::<Spot>(), 8);
    }
}
