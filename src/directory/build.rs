//! How does a directory come together, so that no id ever means two things?
//!
//! Building by building, in the order in which they are given: what comes first keeps its id. A building is described
//! by a [`BuildingDraft`], which may be wrong in any way that a person can get it wrong; [`Builder::add`] takes what can
//! be taken and tells the rest.

use std::collections::HashMap;

use super::{BuildingEntry, Directory, FloorEntry, ItemKind, Spot};
use crate::id::{BuildingId, ResourceId, RoomId};

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
        let BuildingDraft { id, name, mut floors, objects, routes } = draft;
        let Ok(room) = RoomId::new(id.as_str()) else {
            return rejected;
        };
        if self.is_taken(&room) {
            return vec![Rejected::Duplicate(id.as_str().into())];
        }
        // The building is there before its floors, so that a floor of the same id is found out.
        let entry = BuildingEntry { room, name, floors: Box::default() };
        self.directory.buildings.insert(id.clone(), entry);

        let mut rooms: Vec<Option<RoomId>> = Vec::with_capacity(floors.len());
        for floor in &mut floors {
            if self.is_taken(&floor.room) {
                rejected.push(Rejected::Duplicate(floor.room.as_str().into()));
                rooms.push(None);
                continue;
            }
            let entry = FloorEntry { building: id.clone(), name: std::mem::take(&mut floor.name), level: floor.level };
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

    fn is_taken(&self, id: &RoomId) -> bool {
        let Directory { items, floors, buildings, .. } = &self.directory;
        let building = BuildingId::of_lone_room(id);
        items.contains_key(id.as_str()) || floors.contains_key(id) || buildings.contains_key(&building)
    }

    fn order_floors(&mut self, id: &BuildingId, mut rooms: Vec<RoomId>) {
        let floors = &self.directory.floors;
        rooms.sort_by_cached_key(|room| (floors.get(room).map(|floor| floor.level), room.clone()));
        if let Some(entry) = self.directory.buildings.get_mut(id) {
            entry.floors = rooms.into();
        }
    }

    fn add_item(&mut self, item: ItemDraft, kind: ItemKind, rooms: &[Option<RoomId>]) -> Result<(), Rejected> {
        let id: Box<str> = item.id.as_str().into();
        if self.is_taken(&RoomId::of_resource(&item.id)) {
            return Err(Rejected::Duplicate(id));
        }
        let mut floors: Vec<RoomId> = item.floors.iter().filter_map(|at| rooms.get(*at)?.clone()).collect();
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
        let number = u32::try_from(self.directory.spans.len()).expect("there are fewer sets of floors than items");
        self.directory.spans.push(floors.clone());
        self.span_numbers.insert(floors, number);
        number
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Located;
    use super::*;

    pub fn room(id: &str) -> RoomId {
        RoomId::new(id).unwrap()
    }

    pub fn thing(id: &str) -> ResourceId {
        ResourceId::new(id).unwrap()
    }

    pub fn building(id: &str) -> BuildingId {
        BuildingId::new(id).unwrap()
    }

    pub fn draft(id: &str, floors: &[&str], objects: &[(&str, usize)], routes: &[(&str, &[usize])]) -> BuildingDraft {
        BuildingDraft {
            id: building(id),
            name: format!("Building {id}").into(),
            floors: floors
                .iter()
                .enumerate()
                // Given from the top down, so that order has to be made.
                .map(|(at, floor)| FloorDraft { room: room(floor), name: (*floor).into(), level: -(at as i32) })
                .collect(),
            objects: objects.iter().map(|(id, at)| ItemDraft { id: thing(id), floors: vec![*at] }).collect(),
            routes: routes.iter().map(|(id, at)| ItemDraft { id: thing(id), floors: at.to_vec() }).collect(),
        }
    }

    #[test]
    fn of_two_things_with_one_id_the_first_stays() {
        let mut builder = Builder::default();
        let first = draft("b", &["f1", "f2"], &[("x", 0), ("x", 1), ("f2", 0), ("b", 0)], &[("x", &[0])]);
        let duplicate = |id: &str| Rejected::Duplicate(id.into());
        assert_eq!(builder.add(first), [duplicate("x"), duplicate("f2"), duplicate("b"), duplicate("x")]);
        assert_eq!(builder.add(draft("b", &["g"], &[], &[])), [duplicate("b")]);
        let second = draft("c", &["f1", "c", "g"], &[("x", 2), ("lost", 0)], &[("r", &[0, 2, 2])]);
        let nowhere = Rejected::Nowhere("lost".into());
        assert_eq!(builder.add(second), [duplicate("f1"), duplicate("c"), duplicate("x"), nowhere]);
        let directory = builder.build();
        assert_eq!(directory.building_of_room(&room("f1")), Some(&building("b")));
        let on_f1 = Located::Item { floors: &[room("f1")], kind: ItemKind::Object };
        assert_eq!(directory.locate(&thing("x")), Some(on_f1));
        let on_g = Located::Item { floors: &[room("g")], kind: ItemKind::Route };
        assert_eq!(directory.locate(&thing("r")), Some(on_g), "a span is a set");
    }
}
