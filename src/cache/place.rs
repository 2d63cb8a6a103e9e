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
//! An edit makes everything invalid that is about the floors it touches, and everything about the building as a whole
//! ([`about_all_floors`]): what else a value was made of only its origin knows.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::directory::{Directory, Located};
use crate::id::{BuildingId, ResourceId, RoomId};

use super::key::{EntryId, TAGS_MAX, Tag};

/// The strategy whose ids are floors as they are.
const BY_FLOOR: &str = "floor_data";

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

/// What an edit of a thing makes invalid: the thing itself, all about its floors and about the building as a whole.
pub fn touched(building: &BuildingId, floors: &[RoomId], resource: &ResourceId) -> SmallVec<[Tag; 4]> {
    let mut tags: SmallVec<[Tag; 4]> = floors.iter().map(Tag::floor).collect();
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
    if let Some(placed) = known(text, directory) {
        return placed;
    }
    if strategy == BY_FLOOR {
        let floor = text.strip_prefix("floor:").filter(|floor| !floor.is_empty()).unwrap_or(text);
        return on_floor(floor, directory);
    }
    match text.split_once(':') {
        Some(("floor", floor)) if !floor.is_empty() => on_floor(floor, directory),
        Some(("building", building)) if !building.is_empty() => in_building(building, directory),
        _ => alone(strategy, id),
    }
}

/// A thing that the directory knows.
fn known(text: &str, directory: &Directory) -> Option<Placed> {
    let resource = ResourceId::new(text).ok()?;
    match directory.locate(&resource)? {
        Located::Floor(floor) => Some(on_known_floor(floor, directory)),
        Located::Building(room) => Some(whole(&BuildingId::of_lone_room(room))),
        Located::Item { floors, .. } => {
            let building = directory.building_of_room(floors.first()?)?;
            let mut tags: SmallVec<[Tag; 4]> = smallvec![Tag::resource(&resource), Tag::building(building)];
            tags.extend(floors.iter().take(FLOORS_MAX).map(Tag::floor));
            if floors.len() > FLOORS_MAX {
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

fn on_known_floor(floor: &RoomId, directory: &Directory) -> Placed {
    let building = directory.building_of_room(floor).cloned();
    Placed {
        tags: std::iter::once(Tag::floor(floor)).chain(building.as_ref().map(Tag::building)).collect(),
        home: home_of_floor(floor, directory),
        floor: Some(floor.clone()),
        building,
    }
}

/// `rest` begins with a floor.
fn on_floor(rest: &str, directory: &Directory) -> Placed {
    let candidates = parts(rest).rev().filter_map(|part| RoomId::new(part).ok());
    for floor in candidates {
        if directory.floor(&floor).is_some() {
            return on_known_floor(&floor, directory);
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
        check("floor_data", "hq:1", &["floor:hq:1", "building:hq"], "hq", Some("hq:1"));
        check("object_data", "floor:hq:1", &["floor:hq:1", "building:hq"], "hq", Some("hq:1"));
        check("object_data", "floor:hq:1:page:2", &["floor:hq:1", "building:hq"], "hq", Some("hq:1"));
        check("object_data", "floor:hq:10", &["floor:hq:10", "building:hq"], "hq", Some("hq:10"));
        check("object_data", "door:7", &["resource:door:7", "building:hq", "floor:hq:1"], "hq", Some("hq:1"));
        let both = ["resource:stairs", "building:hq", "floor:hq:1", "floor:hq:10"];
        check("route_data", "stairs", &both, "hq", Some("hq:1"));
        check("analytics_data", "building:hq:energy", &["building:hq", "floors-of:hq"], "hq", None);
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
    fn an_edit_reaches_all_that_is_about_its_floors_and_what_is_about_the_whole_building() {
        let house = house();
        let (hq, floor) = (BuildingId::of_lone_room(&RoomId::new("hq").unwrap()), RoomId::new("hq:1").unwrap());
        let tags = touched(&hq, &[floor], &ResourceId::new("door:7").unwrap());
        let is_hit = |strategy: &str, id: &str| {
            let placed = place(strategy, &EntryId::new(id).unwrap(), &house);
            placed.tags.iter().any(|tag| tags.contains(tag))
        };
        for (strategy, id) in [
            ("floor_data", "hq:1"),
            ("object_data", "floor:hq:1:page:3"),
            ("object_data", "door:7"),
            ("route_data", "stairs"),
            ("analytics_data", "building:hq:energy"),
        ] {
            assert!(is_hit(strategy, id), "{strategy}:{id}");
        }
        assert!(!is_hit("floor_data", "hq:10") && !is_hit("object_data", "floor:hq:10"));
    }
}
