//! Whatever people do, and whatever goes wrong while it is written: the folder can be read at any time, nothing is in
//! two places for good, and in the end it shows what people agreed on.
//!
//! Things are changed, moved and deleted at random, beside a table of what should be. What was not written yet waits as
//! it would in the log. Attempts to write fail for one file or another, and the daemon starts anew in between.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use serde_json::{Value, json};

use super::directory::read;
use super::documents::{Documents, Kind};
use super::write_back::{Outcome, Stored};

pub(super) const FLOORS: [&str; 3] = ["b:0", "b:1", "b:2"];
/// Few, so that one thing meets with many adventures.
const THINGS: u64 = 2;
const STEPS: u64 = 250;

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What should be: the floor and the value of each thing that is there.
pub(super) type Table = BTreeMap<String, (usize, Value)>;

pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) documents: Arc<Documents>,
    pub(super) table: Table,
    /// What was decided and is not written yet.
    pub(super) waiting: BTreeMap<String, Stored>,
    version: u64,
}

impl World {
    pub(super) fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("b/floors")).unwrap();
        std::fs::write(dir.path().join("b/building.json"), r#"{"id":"b"}"#).unwrap();
        for (at, floor) in FLOORS.iter().enumerate() {
            let folder = dir.path().join(format!("b/floors/{at}"));
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("floor.json"), format!(r#"{{"id":"{floor}"}}"#)).unwrap();
        }
        let documents = open(dir.path());
        World { dir, documents, table: Table::new(), waiting: BTreeMap::new(), version: 0 }
    }

    pub(super) fn edit(&mut self, random: &mut Random) {
        let is_route = random.below(3) == 0;
        let id = format!("{}{}", if is_route { 'r' } else { 'o' }, random.below(THINGS));
        let floor = random.below(3) as usize;
        self.version += 1;
        let value = (random.below(4) > 0).then(|| {
            let mut value =
                json!({"id": id, "floor_id": FLOORS[floor], "version": self.version, "n": random.below(99)});
            if is_route && random.below(2) == 0 {
                value["floors"] = json!([FLOORS[floor], FLOORS[(floor + 1) % 3]]);
            }
            value
        });
        let was = self.table.get(&id).map_or(floor, |(floor, _)| *floor);
        self.waiting.insert(
            id.clone(),
            Stored {
                building: BuildingId::new("b").unwrap(),
                resource: ResourceId::new(&id).unwrap(),
                kind: if is_route { Kind::Route } else { Kind::Object },
                floor: RoomId::new(FLOORS[was]).unwrap(),
                document: value.as_ref().map(|value| value.to_string().into()),
                version: self.version,
            },
        );
        match value {
            Some(value) => drop(self.table.insert(id, (floor, value))),
            None => drop(self.table.remove(&id)),
        }
    }

    /// One attempt; what was written does not wait any more.
    pub(super) fn write(&mut self) {
        let documents: Vec<Stored> = self.waiting.values().cloned().collect();
        for (stored, report) in documents.iter().zip(self.documents.store(&documents)) {
            match report.outcome {
                Outcome::Written => drop(self.waiting.remove(stored.resource.as_str())),
                Outcome::Failed(_) => {}
                Outcome::Refused(why) => panic!("{}: {why}", stored.resource),
            }
            assert_eq!(report.diverged, None, "{}: nobody else is there", stored.resource);
        }
    }

    /// The same while one file cannot be written.
    pub(super) fn write_but(&mut self, file: &str) {
        let (path, kept) = (self.dir.path().join(file), self.dir.path().join("kept"));
        let is_there = std::fs::rename(&path, &kept).is_ok();
        std::fs::create_dir(&path).unwrap();
        self.write();
        std::fs::remove_dir(&path).unwrap();
        if is_there {
            std::fs::rename(&kept, &path).unwrap();
        }
    }

    fn check_readable(&self) {
        let reading = read(self.dir.path()).unwrap();
        assert_eq!(reading.troubles, []);
    }

    fn check_shown(&self) {
        let mut shown = Table::new();
        for (at, floor) in FLOORS.iter().enumerate() {
            for file in ["objects.json", "routes.json"] {
                let Ok(text) = std::fs::read_to_string(self.dir.path().join(format!("b/floors/{at}/{file}"))) else {
                    continue;
                };
                for value in serde_json::from_str::<Vec<Value>>(&text).unwrap() {
                    assert_eq!(value["floor_id"], **floor);
                    let earlier = shown.insert(value["id"].as_str().unwrap().to_owned(), (at, value));
                    assert_eq!(earlier, None, "it stands in one place");
                }
            }
        }
        assert_eq!(shown, self.table);
        let building = BuildingId::new("b").unwrap();
        for (id, (floor, value)) in &self.table {
            let document = self.documents.load(&building, &ResourceId::new(id).unwrap()).unwrap().unwrap();
            assert_eq!(
                (document.floors[0].as_str(), document.version),
                (FLOORS[*floor], value["version"].as_u64().unwrap())
            );
        }
    }
}

pub(super) fn open(dir: &Path) -> Arc<Documents> {
    let reading = read(dir).unwrap();
    Arc::new(Documents::open(reading.folder.unwrap(), Arc::new(reading.directory)).unwrap())
}

/// Seeds to begin with, each printed: the one that somebody asks for, or a few.
pub(super) fn seeds() -> Vec<u64> {
    match std::env::var("ARXOSRT_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..=4).map(|n| 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(n)).collect(),
    }
}

#[test]
fn the_folder_can_always_be_read_and_shows_in_the_end_what_was_agreed_on() {
    for seed in seeds() {
        println!("ARXOSRT_SEED={seed}");
        let mut random = Random(seed.max(1));
        let mut world = World::new();
        for _ in 0..STEPS {
            match random.below(10) {
                0 => {
                    world.write();
                    world.check_shown();
                }
                1 | 2 => {
                    let file = ["objects.json", "routes.json"][random.below(2) as usize];
                    world.write_but(&format!("b/floors/{}/{file}", random.below(3)));
                }
                3 => world.documents = open(world.dir.path()),
                _ => world.edit(&mut random),
            }
            world.check_readable();
        }
        world.write();
        world.check_shown();
    }
}
