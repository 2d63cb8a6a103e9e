//! Is the sample a building? Everybody's first look at the system is at this data, and tests stand on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arxosrt_core::directory::Located;
use arxosrt_core::id::{BuildingId, ResourceId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::directory;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Building {
    id: String,
    #[serde(rename = "name")]
    _name: String,
    floors: Vec<String>,
    units: String,
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Floor {
    id: String,
    building_id: String,
    #[serde(rename = "name")]
    _name: String,
    level: i32,
    elevation_m: f64,
    bounds: [f64; 4],
    counts: BTreeMap<String, usize>,
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    id: String,
    floor_id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "name")]
    _name: String,
    version: u64,
    footprint: Vec<[f64; 2]>,
    z: [f64; 2],
    properties: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    id: String,
    floor_id: String,
    #[serde(default)]
    floors: Vec<String>,
    #[serde(rename = "kind")]
    _kind: String,
    from: String,
    to: String,
    via: Vec<String>,
    points: Vec<[f64; 2]>,
    length_m: f64,
    #[serde(default)]
    rise_m: f64,
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grid {
    floor_id: String,
    origin: [f64; 2],
    spacing_m: f64,
    #[serde(rename = "rotation_deg")]
    _rotation_deg: f64,
    units: String,
    version: u64,
}

struct Level {
    floor: Floor,
    objects: Vec<Object>,
    routes: Vec<Route>,
    grid: Grid,
}

/// A rectangle along the axes: all footprints of the sample are such.
#[derive(Clone, Copy, Debug)]
struct Rectangle {
    x: (f64, f64),
    y: (f64, f64),
}

/// A tenth of a millimetre: the data has three digits.
const NEAR: f64 = 0.0001;

impl Rectangle {
    fn of(object: &Object) -> Rectangle {
        let range = |axis: usize| {
            let values = object.footprint.iter().map(|point| point[axis]);
            (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max))
        };
        let rectangle = Rectangle { x: range(0), y: range(1) };
        assert_eq!(object.footprint.len(), 4, "{}", object.id);
        let corners: BTreeSet<String> = object.footprint.iter().map(|point| format!("{point:?}")).collect();
        assert_eq!(corners.len(), 4, "{} has four corners", object.id);
        assert!(rectangle.area() > 0.0, "{} has an area", object.id);
        rectangle
    }

    fn area(&self) -> f64 {
        (self.x.1 - self.x.0) * (self.y.1 - self.y.0)
    }

    fn holds(&self, inner: &Rectangle) -> bool {
        let within = |outer: (f64, f64), inner: (f64, f64)| outer.0 <= inner.0 + NEAR && inner.1 <= outer.1 + NEAR;
        within(self.x, inner.x) && within(self.y, inner.y)
    }

    fn has(&self, [x, y]: [f64; 2]) -> bool {
        self.holds(&Rectangle { x: (x, x), y: (y, y) })
    }

    fn shared(&self, other: &Rectangle) -> f64 {
        let side = |a: (f64, f64), b: (f64, f64)| (a.1.min(b.1) - a.0.max(b.0)).max(0.0);
        side(self.x, other.x) * side(self.y, other.y)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample")
}

fn read<T: DeserializeOwned>(path: PathBuf) -> T {
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The building and its floors, from the lowest to the highest.
fn sample() -> (Building, Vec<Level>) {
    let hq = root().join("hq");
    let building: Building = read(hq.join("building.json"));
    let mut levels: Vec<Level> = std::fs::read_dir(hq.join("floors"))
        .unwrap()
        .map(|folder| folder.unwrap().path())
        .map(|folder| Level {
            floor: read(folder.join("floor.json")),
            objects: read(folder.join("objects.json")),
            routes: read(folder.join("routes.json")),
            grid: read(folder.join("grid.json")),
        })
        .collect();
    levels.sort_by_key(|level| level.floor.level);
    (building, levels)
}

fn bounds(level: &Level) -> Rectangle {
    let [x0, y0, x1, y1] = level.floor.bounds;
    Rectangle { x: (x0, x1), y: (y0, y1) }
}

fn of_kind<'a>(level: &'a Level, kind: &'a str) -> impl Iterator<Item = &'a Object> {
    level.objects.iter().filter(move |object| object.kind == kind)
}

/// The texts in a property, whether it is one or a list.
fn texts<'a>(object: &'a Object, property: &str) -> Vec<&'a str> {
    match object.properties.get(property) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_sample_is_read_without_trouble() {
    let reading = directory::read(&root()).unwrap();
    assert_eq!(reading.troubles, []);
    let (building, levels) = sample();
    let counts = reading.directory.counts();
    assert_eq!(counts.objects, levels.iter().map(|level| level.objects.len()).sum::<usize>());
    assert_eq!(counts.routes, levels.iter().map(|level| level.routes.len()).sum::<usize>());
    let entry = reading.directory.building(&BuildingId::new(&building.id).unwrap()).unwrap();
    assert_eq!(entry.floors.iter().map(|room| room.as_str()).collect::<Vec<_>>(), building.floors);
    let spanning = levels.iter().flat_map(|level| &level.routes).filter(|route| route.floors.len() > 1);
    let mut spans = 0;
    for route in spanning {
        let Some(Located::Item { floors, .. }) = reading.directory.locate(&ResourceId::new(&route.id).unwrap()) else {
            panic!("{} is lost", route.id);
        };
        assert_eq!(floors.len(), route.floors.len(), "{}", route.id);
        spans += 1;
    }
    assert!(spans > 0, "at least one route spans floors");
}

#[test]
fn ids_are_unique_and_everything_is_where_it_says() {
    let (building, levels) = sample();
    assert_eq!((building.units.as_str(), building.version), ("m", 1));
    assert_eq!(levels.iter().map(|level| level.floor.id.as_str()).collect::<Vec<_>>(), building.floors);
    let mut ids = BTreeSet::from([building.id.as_str()]);
    for level in &levels {
        let floor = &level.floor;
        assert!(ids.insert(&floor.id), "{}", floor.id);
        assert_eq!((floor.building_id.as_str(), floor.version), (building.id.as_str(), 1));
        assert_eq!((level.grid.floor_id.as_str(), level.grid.version), (floor.id.as_str(), 1));
        assert!(level.grid.units == "m" && level.grid.spacing_m > 0.0 && bounds(level).has(level.grid.origin));
        assert!((25..=40).contains(&level.objects.len()), "{} has {} objects", floor.id, level.objects.len());
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for object in &level.objects {
            assert!(ids.insert(&object.id), "{}", object.id);
            assert_eq!((object.floor_id.as_str(), object.version), (floor.id.as_str(), 1), "{}", object.id);
            assert!(floor.elevation_m - NEAR <= object.z[0] && object.z[0] < object.z[1], "{}", object.id);
            *counts.entry(object.kind.clone()).or_default() += 1;
        }
        assert_eq!(counts, floor.counts, "{}", floor.id);
        for route in &level.routes {
            assert!(ids.insert(&route.id), "{}", route.id);
            assert_eq!((route.floor_id.as_str(), route.version), (floor.id.as_str(), 1), "{}", route.id);
            assert!(route.floors.is_empty() || route.floors.contains(&floor.id), "{}", route.id);
        }
    }
}

#[test]
fn rooms_tile_each_floor_and_nothing_sticks_out() {
    for level in &sample().1 {
        let all = bounds(level);
        let rooms: Vec<(&str, Rectangle)> = of_kind(level, "room").map(|o| (o.id.as_str(), Rectangle::of(o))).collect();
        for (at, (id, room)) in rooms.iter().enumerate() {
            for (other_id, other) in &rooms[at + 1..] {
                assert!(room.shared(other) < NEAR, "{id} and {other_id} overlap");
            }
        }
        let covered: f64 = rooms.iter().map(|(_, room)| room.area()).sum();
        assert!((covered - all.area()).abs() < NEAR, "{}: {covered} m² of {}", level.floor.id, all.area());
        for object in &level.objects {
            assert!(all.holds(&Rectangle::of(object)), "{}", object.id);
        }
    }
}

#[test]
fn doors_are_in_walls_and_join_the_rooms_they_name() {
    for level in &sample().1 {
        let at = |id: &str| {
            let object = level.objects.iter().find(|object| object.id == id);
            Rectangle::of(object.unwrap_or_else(|| panic!("{id} is not on {}", level.floor.id)))
        };
        assert!(of_kind(level, "door").count() > 0);
        for door in of_kind(level, "door") {
            let [wall] = texts(door, "wall")[..] else { panic!("{} is in one wall", door.id) };
            assert!(at(wall).holds(&Rectangle::of(door)), "{} is not in {wall}", door.id);
            let rooms = texts(door, "rooms");
            assert!(rooms.len() == 2 || door.properties.get("exit") == Some(&Value::Bool(true)), "{}", door.id);
            for room in rooms {
                assert!(at(room).shared(&Rectangle::of(door)) > 0.0, "{} does not touch {room}", door.id);
            }
        }
        for device in level.objects.iter().filter(|o| !["room", "wall", "door"].contains(&o.kind.as_str())) {
            let [room] = texts(device, "room")[..] else { panic!("{} is in one room", device.id) };
            assert!(at(room).holds(&Rectangle::of(device)), "{} sticks out of {room}", device.id);
        }
    }
}

#[test]
fn whatever_refers_to_something_refers_to_something_that_is_there() {
    let (_, levels) = sample();
    let ids: BTreeSet<&str> = levels.iter().flat_map(|level| &level.objects).map(|o| o.id.as_str()).collect();
    for level in &levels {
        for object in &level.objects {
            for property in ["panel", "fed_from", "served_by", "serves"] {
                for id in texts(object, property) {
                    assert!(ids.contains(id), "{}: {property} {id}", object.id);
                }
            }
        }
        for route in &level.routes {
            let floors = if route.floors.is_empty() { std::slice::from_ref(&route.floor_id) } else { &route.floors };
            for id in route.via.iter().chain([&route.from, &route.to]) {
                let home = levels.iter().find(|level| level.objects.iter().any(|object| object.id == *id));
                let home = home.unwrap_or_else(|| panic!("{}: {id} is not there", route.id));
                assert!(floors.contains(&home.floor.id), "{} does not span {id}", route.id);
            }
        }
    }
}

#[test]
fn routes_are_as_long_as_they_say_and_egress_goes_through_its_doors() {
    for level in &sample().1 {
        assert!(!level.routes.is_empty());
        for route in &level.routes {
            let legs = route.points.windows(2).map(|leg| (leg[1][0] - leg[0][0]).hypot(leg[1][1] - leg[0][1]));
            let length = legs.sum::<f64>() + route.rise_m;
            assert!((length - route.length_m).abs() < 0.002, "{}: {length}", route.id);
            assert!(route.points.iter().all(|point| bounds(level).has(*point)), "{}", route.id);
            for door in of_kind(level, "door").filter(|door| route.via.contains(&door.id)) {
                assert!(route.points.iter().any(|point| Rectangle::of(door).has(*point)), "{}: {}", route.id, door.id);
            }
        }
    }
}
