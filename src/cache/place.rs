//! Where does a cached value belong: to which floor, which building, which groups?
//!
//! An id says it by how it begins, and the directory by what it knows:
//!
//! - what the directory knows by the whole id (a floor, an object, a route, a building) belongs where that lies;
//! - a value of `floor_data` belongs to the floor that its id names;
//! - `floor:F` and `floor:F:REST` belong to floor `F`, `building:B` and `building:B:REST` to building `B`.
//!
//! Ids may themselves hold colons, so where `F` ends is for the directory to say: the longest floor that it knows and
//! that ends at a colon or at the end. Of a floor that it does not know every part up to a colon might be the floor, and
//! the value is tagged with each: whoever invalidates floor `1` reaches `floor:1:page:2`, and never `floor:10`.
//!
//! A floor has **parts**: its own document with the grid, its objects, and its routes. `floor_data` and
//! `grid_calibration` are made of the first, lists of `object_data` and `route_data` of one of the others, and of any
//! other strategy only its origin knows what its values are made of: of all three. An edit makes invalid what is made of
//! the part that it touches, on each of its floors, the thing by itself, and everything about the building as a whole
//! ([`about_all_floors`]). Of a floor that the directory does not know all parts are one.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::directory::{Directory, Located};
use crate::id::{BuildingId, ResourceId, RoomId};

use super::key::{EntryId, TAGS_MAX, Tag};

/// The strategy whose ids are floors as they are.
const BY_FLOOR: &str = "floor_data";

/// A part of a floor, which changes without the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The floor's own document, and the grid in it.
    Document,
    /// The objects on it.
    Objects,
    /// The routes on it.
    Routes,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 3] = [Part::Document, Part::Objects, Part::Routes];

    /// The strategy that keeps a floor's list of these, and each of them under its own id.
    pub fn listed_in(self) -> Option<&'static str> {
        match self {
            Part::Document => None,
            Part::Objects => Some("object_data"),
            Part::Routes => Some("route_data"),
        }
    }

    fn tag(self, floor: &RoomId) -> Tag {
        let prefix = match self {
            Part::Document => "document:",
            Part::Objects => "objects:",
            Part::Routes => "routes:",
        };
        Tag::prefixed(prefix, floor.as_str())
    }

    /// What a strategy's values about a floor are made of.
    fn of(strategy: &str) -> &'static [Part] {
        match strategy {
            BY_FLOOR | "grid_calibration" => &[Part::Document],
            "object_data" => &[Part::Objects],
            "route_data" => &[Part::Routes],
            _ => &Part::ALL,
        }
    }
}

/// How many parts of an id may be the floor that the directory does not know.
const GUESSES_MAX: usize = 6;

/// Of a thing that lies on many floors, so many are tags; what happens on the others reaches it by its building.
const FLOORS_MAX: usize = 4;

/// Where a value belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The groups that it becomes invalid with; at most [`TAGS_MAX`].
    pub tags: SmallVec<[Tag; 4]>,
    /// What it is kept beside where values are spread over several servers: all that one edit makes invalid is there.
    pub home: Arc<str>,
    /// The floor, if it is about one.
    pub floor: Option<RoomId>,
    /// The building, if it is known.
    pub building: Option<BuildingId>,
}

/// The tag of what is about a building as a whole: any edit in it makes that invalid.
pub fn about_all_floors(building: &BuildingId) -> Tag {
    Tag::prefixed("floors-of:", building.as_str())
}

/// What an edit makes invalid: a part of each floor that the thing is or was on, the thing itself, and all about the
/// building as a whole. Without a part it is all about the floors: one has come or gone.
pub fn touched(
    building: &BuildingId,
    floors: &[RoomId],
    part: Option<Part>,
    resource: &ResourceId,
    directory: &Directory,
) -> SmallVec<[Tag; 4]> {
    let of_floor = |floor: &RoomId| match part.filter(|_| directory.floor(floor).is_some()) {
        Some(part) => part.tag(floor),
        None => Tag::floor(floor),
    };
    let mut tags: SmallVec<[Tag; 4]> = floors.iter().map(of_floor).collect();
    tags.push(Tag::resource(resource));
    tags.push(about_all_floors(building));
    tags
}

/// What values about a floor are kept beside: the floor's building, or what is told of the floor by its id alone.
pub fn home_of_floor(floor: &RoomId, directory: &Directory) -> Arc<str> {
    match directory.building_of_room(floor) {
        Some(building) => building.as_str().into(),
        None => first_part(floor.as_str()).into(),
    }
}

/// What values about a building are kept beside.
pub fn home_of_building(building: &BuildingId, directory: &Directory) -> Arc<str> {
    match directory.building(building) {
        Some(_) => building.as_str().into(),
        None => first_part(building.as_str()).into(),
    }
}

/// Where a value belongs.
pub fn place(strategy: &str, id: &EntryId, directory: &Directory) -> Placed {
    let text = id.as_str();
    if let Some(placed) = known(strategy, text, directory) {
        return placed;
    }
    if strategy == BY_FLOOR {
        let floor = text.strip_prefix("floor:").filter(|floor| !floor.is_empty()).unwrap_or(text);
        return on_floor(strategy, floor, directory);
    }
    match text.split_once(':') {
        Some(("floor", floor)) if !floor.is_empty() => on_floor(strategy, floor, directory),
        Some(("building", building)) if !building.is_empty() => in_building(building, directory),
        _ => alone(strategy, id),
    }
}

/// A thing that the directory knows.
fn known(strategy: &str, text: &str, directory: &Directory) -> Option<Placed> {
    let resource = ResourceId::new(text).ok()?;
    match directory.locate(&resource)? {
        Located::Floor(floor) => Some(on_known_floor(strategy, floor, directory)),
        Located::Building(room) => Some(whole(&BuildingId::of_lone_room(room))),
        Located::Item { floors, .. } => {
            let building = directory.building_of_room(floors.first()?)?;
            let mut tags: SmallVec<[Tag; 4]> = smallvec![Tag::resource(&resource), Tag::building(building)];
            tags.extend(floors.iter().take(FLOORS_MAX).map(Tag::floor));
            // What else than itself something about a thing is made of only its origin knows.
            let is_itself = matches!(Part::of(strategy), [Part::Objects | Part::Routes]);
            if floors.len() > FLOORS_MAX || !is_itself {
                tags.push(about_all_floors(building));
            }
            Some(Placed {
                tags,
                home: building.as_str().into(),
                floor: floors.first().cloned(),
                building: Some(building.clone()),
            })
        }
    }
}

fn on_known_floor(strategy: &str, floor: &RoomId, directory: &Directory) -> Placed {
    let building = directory.building_of_room(floor).cloned();
    let parts = Part::of(strategy).iter().map(|part| part.tag(floor));
    Placed {
        tags: std::iter::once(Tag::floor(floor)).chain(building.as_ref().map(Tag::building)).chain(parts).collect(),
        home: home_of_floor(floor, directory),
        floor: Some(floor.clone()),
        building,
    }
}

/// `rest` begins with a floor.
fn on_floor(strategy: &str, rest: &str, directory: &Directory) -> Placed {
    let candidates = parts(rest).rev().filter_map(|part| RoomId::new(part).ok());
    for floor in candidates {
        if directory.floor(&floor).is_some() {
            return on_known_floor(strategy, &floor, directory);
        }
    }
    // The whole, and as many of the shortest as may be.
    let shorter = parts(rest).filter(|part| part.len() < rest.len()).take(GUESSES_MAX);
    let guesses = shorter.chain(std::iter::once(rest)).filter_map(|part| RoomId::new(part).ok());
    Placed {
        tags: guesses.map(|floor| Tag::floor(&floor)).collect(),
        home: first_part(rest).into(),
        floor: RoomId::new(first_part(rest)).ok(),
        building: None,
    }
}

/// `rest` begins with a building.
fn in_building(rest: &str, directory: &Directory) -> Placed {
    let ids = |part: &str| RoomId::new(part).ok().map(|room| BuildingId::of_lone_room(&room));
    if let Some(building) = parts(rest).rev().filter_map(ids).find(|id| directory.building(id).is_some()) {
        return whole(&building);
    }
    let shorter = parts(rest).filter(|part| part.len() < rest.len()).take(GUESSES_MAX);
    let guesses = shorter.chain(std::iter::once(rest)).filter_map(ids);
    Placed {
        tags: guesses.map(|building| Tag::building(&building)).collect(),
        home: first_part(rest).into(),
        floor: None,
        building: None,
    }
}

/// Something about a known building as a whole.
fn whole(building: &BuildingId) -> Placed {
    Placed {
        tags: smallvec![Tag::building(building), about_all_floors(building)],
        home: building.as_str().into(),
        floor: None,
        building: Some(building.clone()),
    }
}

/// Something of which nothing is known but its name.
fn alone(strategy: &str, id: &EntryId) -> Placed {
    // Whoever edits a thing that the directory does not know yet names it all the same.
    let tag = ResourceId::new(id.as_str()).ok().map(|resource| Tag::resource(&resource));
    Placed { tags: tag.into_iter().collect(), home: format!("{strategy}:{id}").into(), floor: None, building: None }
}

/// What comes before each colon, and at last the whole.
fn parts(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    let ends: SmallVec<[usize; 8]> = text.match_indices(':').map(|(at, _)| at).filter(|at| *at > 0).collect();
    ends.into_iter().chain(std::iter::once(text.len())).map(|end| &text[..end])
}

fn first_part(text: &str) -> &str {
    parts(text).next().unwrap_or(text)
}

const _: () = assert!(GUESSES_MAX < TAGS_MAX && FLOORS_MAX + 3 <= TAGS_MAX);
const _: () = assert!(2 + Part::ALL.len() <= TAGS_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Builder, BuildingDraft, FloorDraft, ItemDraft};

    fn house() -> Directory {
        let room = |text: &str| RoomId::new(text).unwrap();
        let floor = |id: &str, level| FloorDraft { room: room(id), name: id.into(), level };
        let item = |id: &str, floors: &[usize]| ItemDraft { id: ResourceId::new(id).unwrap(), floors: floors.to_vec() };
        let mut builder = Builder::default();
        let draft = BuildingDraft {
            id: BuildingId::of_lone_room(&room("hq")),
            name: "HQ".into(),
            floors: vec![floor("hq:1", 1), floor("hq:10", 10)],
            objects: vec![item("door:7", &[0])],
            routes: vec![item("stairs", &[0, 1])],
        };
        assert!(builder.add(draft).is_empty());
        builder.build()
    }

    fn check(strategy: &str, id: &str, tags: &[&str], home: &str, floor: Option<&str>) {
        let placed = place(strategy, &EntryId::new(id).unwrap(), &house());
        assert_eq!(placed.tags.iter().map(Tag::as_str).collect::<Vec<_>>(), tags, "{id}");
        assert_eq!((&*placed.home, placed.floor.as_ref().map(RoomId::as_str)), (home, floor), "{id}");
    }

    #[test]
    fn what_the_directory_knows_belongs_where_it_lies() {
        check("floor_data", "hq:1", &["floor:hq:1", "building:hq", "document:hq:1"], "hq", Some("hq:1"));
        let objects = ["floor:hq:1", "building:hq", "objects:hq:1"];
        check("object_data", "floor:hq:1", &objects, "hq", Some("hq:1"));
        check("object_data", "floor:hq:1:page:2", &objects, "hq", Some("hq:1"));
        check("route_data", "floor:hq:10", &["floor:hq:10", "building:hq", "routes:hq:10"], "hq", Some("hq:10"));
        let all = ["floor:hq:1", "building:hq", "document:hq:1", "objects:hq:1", "routes:hq:1"];
        check("search_results", "floor:hq:1:doors", &all, "hq", Some("hq:1"));
        check("object_data", "door:7", &["resource:door:7", "building:hq", "floor:hq:1"], "hq", Some("hq:1"));
        let both = ["resource:stairs", "building:hq", "floor:hq:1", "floor:hq:10"];
        check("route_data", "stairs", &both, "hq", Some("hq:1"));
        check("analytics_data", "building:hq:energy", &["building:hq", "floors-of:hq"], "hq", None);
        let of_door = ["resource:door:7", "building:hq", "floor:hq:1", "floors-of:hq"];
        check("analytics_data", "door:7", &of_door, "hq", Some("hq:1"));
        check("analytics_data", "hq", &["building:hq", "floors-of:hq"], "hq", None);
    }

    #[test]
    fn of_an_unknown_floor_every_part_may_be_the_floor() {
        check("object_data", "floor:1", &["floor:1"], "1", Some("1"));
        check("object_data", "floor:1:page:2", &["floor:1", "floor:1:page", "floor:1:page:2"], "1", Some("1"));
        check("object_data", "floor:10", &["floor:10"], "10", Some("10"));
        check("object_data", "floor:*", &["floor:*"], "*", Some("*"));
        check("floor_data", "12", &["floor:12"], "12", Some("12"));
        check("floor_data", "floor:12", &["floor:12"], "12", Some("12"));
        check("search_results", "building:b:x", &["building:b", "building:b:x"], "b", None);
        let many = place("x", &EntryId::new("floor:a:b:c:d:e:f:g:h:i").unwrap(), &house());
        assert_eq!(many.tags.len(), GUESSES_MAX + 1);
        assert!(many.tags.contains(&Tag::named("floor:a:b:c:d:e:f:g:h:i").unwrap()));
    }

    #[test]
    fn an_id_that_says_nothing_is_on_its_own() {
        check("user_session", "s1", &["resource:s1"], "user_session:s1", None);
        check("search_results", "floor:", &["resource:floor:"], "search_results:floor:", None);
        check("search_results", "a:b", &["resource:a:b"], "search_results:a:b", None);
    }

    #[test]
    fn an_edit_reaches_what_is_made_of_the_part_that_it_touches_and_nothing_else() {
        let house = house();
        let (hq, floor) = (BuildingId::of_lone_room(&RoomId::new("hq").unwrap()), RoomId::new("hq:1").unwrap());
        let all = [
            ("floor_data", "hq:1"),
            ("grid_calibration", "floor:hq:1"),
            ("object_data", "floor:hq:1:page:3"),
            ("object_data", "door:7"),
            ("route_data", "floor:hq:1"),
            ("route_data", "stairs"),
            ("analytics_data", "floor:hq:1"),
            ("analytics_data", "building:hq:energy"),
            ("floor_data", "hq:10"),
            ("object_data", "floor:hq:10"),
        ];
        let reached = |part, resource: &str| {
            let tags = touched(&hq, std::slice::from_ref(&floor), part, &ResourceId::new(resource).unwrap(), &house);
            let is_hit = |(strategy, id): &(&str, &str)| {
                let placed = place(strategy, &EntryId::new(id).unwrap(), &house);
                placed.tags.iter().any(|tag| tags.contains(tag))
            };
            all.iter().enumerate().filter(|(_, what)| is_hit(what)).map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(reached(Some(Part::Document), "hq:1"), [0, 1, 6, 7]);
        assert_eq!(reached(Some(Part::Objects), "door:7"), [2, 3, 6, 7]);
        assert_eq!(reached(Some(Part::Objects), "door:8"), [2, 6, 7], "another one");
        assert_eq!(reached(Some(Part::Routes), "stairs"), [4, 5, 6, 7]);
        assert_eq!(reached(None, "hq:1"), [0, 1, 2, 3, 4, 5, 6, 7], "the floor is gone");
    }

    #[test]
    fn of_an_unknown_floor_all_parts_are_one() {
        let (nowhere, house) = (RoomId::new("x").unwrap(), house());
        let building = BuildingId::of_lone_room(&nowhere);
        let tags = touched(&building, &[nowhere], Some(Part::Objects), &ResourceId::new("o").unwrap(), &house);
        assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["floor:x", "resource:o", "floors-of:x"]);
    }
}
