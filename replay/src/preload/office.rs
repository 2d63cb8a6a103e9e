//! People walking through buildings, made up from a seed.
//!
//! No recording of how people move through building models is public, so this stands in for one: inspectors who go
//! floor by floor, coordinators between the entrance and their floors, people with a daily round, pairs of which one
//! follows the other, and some who go anywhere. Half of the visits last less than 45 s, all of them 8 s to 10 min.

use std::path::Path;

use arxosrt_core::preload::Item;
use arxosrt_core::preload::structure::Building;
use serde_json::Value;

use super::chance::Chance;
use super::trace::{Access, Trace};

/// The walk to make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Office {
    /// How many people.
    pub people: usize,
    /// How often each of them comes.
    pub sessions: usize,
    /// Of a hundred people, those who go anywhere.
    pub random_percent: u64,
    /// Repeats it.
    pub seed: u64,
}

impl Default for Office {
    fn default() -> Self {
        Office { people: 120, sessions: 20, random_percent: 10, seed: 1 }
    }
}

/// Buildings with the sizes of their floors by item.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The buildings.
    pub buildings: Vec<Building>,
    /// The sizes.
    pub sizes: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq)]
enum Habit {
    Inspector,
    Coordinator,
    Round,
    Anywhere,
}

struct Person {
    habit: Habit,
    building: usize,
    favourites: Vec<usize>,
}

impl Site {
    /// So many buildings of so many floors, with sizes as real ones have them.
    pub fn made_up(buildings: usize, floors: usize, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut site = Site::default();
        for _ in 0..buildings {
            let mut building = Building::default();
            for level in 0..floors {
                building.floors.push((site.sizes.len() as Item, level as i32 - 1));
                site.sizes.push(chance.around(400_000.0).clamp(30_000.0, 3_000_000.0) as u32);
            }
            // A stair that joins the lower half, a shaft that goes past four floors at a time.
            let items: Vec<Item> = building.floors.iter().map(|(item, _)| *item).collect();
            building.joined.push(items[..floors.div_ceil(2)].to_vec());
            building.joined.push(items.iter().step_by(4).copied().collect());
            site.buildings.push(building);
        }
        site
    }

    /// Real buildings: `folder` is one (it holds `building.json`) or holds several.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let mut site = Site::default();
        if folder.join("building.json").is_file() {
            site.add(folder)?;
            return Ok(site);
        }
        for inner in folders(folder)?.iter().filter(|inner| inner.join("building.json").is_file()) {
            site.add(inner)?;
        }
        if site.buildings.is_empty() {
            return Err(format!("{} holds no building.json, nor does a folder in it", folder.display()));
        }
        Ok(site)
    }

    fn add(&mut self, folder: &Path) -> Result<(), String> {
        let mut building = Building::default();
        for floor in folders(&folder.join("floors"))? {
            let level = json(&floor.join("floor.json"))?.get("level").and_then(Value::as_i64).unwrap_or(0);
            let files = std::fs::read_dir(&floor).map_err(|error| problem(&floor, &error))?;
            let bytes: u64 = files.flatten().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
            building.floors.push((self.sizes.len() as Item, i32::try_from(level).unwrap_or(0)));
            self.sizes.push(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
        if building.floors.is_empty() {
            return Err(format!("{} has no floors", folder.display()));
        }
        building.floors.sort_by_key(|(item, level)| (*level, *item));
        self.buildings.push(building);
        Ok(())
    }
}

/// Walks through a site.
pub fn walks(site: Site, office: &Office) -> Trace {
    let mut chance = Chance::new(office.seed);
    let mut accesses = Vec::new();
    let mut sessions = 0;
    for person in 0..office.people {
        let user = person as u64;
        let someone = someone(&site, office, &mut chance);
        let floors = &site.buildings[someone.building].floors;
        // Each has a pace of coming back, so that people meet and miss each other.
        let mut at_ms = chance.below(4 * 3_600_000) as u64;
        for _ in 0..office.sessions {
            let followed = chance.percent(25);
            let begin = at_ms;
            let mut here = 0;
            let mut direction = 1_i64;
            for step in 0..4 + chance.below(20) {
                here = someone.next(step, here, &mut direction, floors.len(), &mut chance);
                accesses.push(Access { at_ms, session: sessions, user: Some(user), item: floors[here].0 });
                if followed && chance.percent(85) {
                    // The other one of a pair comes some seconds later, in a session of their own.
                    let at_ms = at_ms + 15_000 + chance.below(30_000) as u64;
                    let other = Some(user + office.people as u64);
                    accesses.push(Access { at_ms, session: sessions + 1, user: other, item: floors[here].0 });
                }
                at_ms += chance.around(45_000.0).clamp(8_000.0, 600_000.0) as u64;
            }
            sessions += 2;
            at_ms = at_ms.max(begin + 3_600_000) + 31 * 60_000 + chance.below(4 * 3_600_000) as u64;
        }
    }
    Trace::new(accesses, site.sizes, site.buildings)
}

fn someone(site: &Site, office: &Office, chance: &mut Chance) -> Person {
    let building = chance.below(site.buildings.len());
    let floors = site.buildings[building].floors.len();
    let habit = if chance.percent(office.random_percent) {
        Habit::Anywhere
    } else {
        [Habit::Inspector, Habit::Coordinator, Habit::Round][chance.below(3)]
    };
    let favourites = (0..3 + chance.below(4)).map(|_| chance.below(floors)).collect();
    Person { habit, building, favourites }
}

impl Person {
    fn next(&self, step: usize, here: usize, direction: &mut i64, floors: usize, chance: &mut Chance) -> usize {
        let favourite = |at: usize| self.favourites[at % self.favourites.len()];
        if step == 0 {
            // The entrance is the second lowest; inspectors begin at one of the ends.
            let is_down = self.habit == Habit::Inspector && chance.percent(50);
            *direction = if is_down { -1 } else { 1 };
            return if is_down { floors - 1 } else { 1.min(floors - 1) };
        }
        // All do the unexpected now and then.
        if self.habit == Habit::Anywhere || chance.percent(10) {
            return chance.below(floors);
        }
        match self.habit {
            Habit::Inspector => {
                let there = here as i64 + *direction;
                if there < 0 || there >= floors as i64 || chance.percent(5) {
                    *direction = -*direction;
                }
                (here as i64 + *direction).clamp(0, floors as i64 - 1) as usize
            }
            Habit::Coordinator if step.is_multiple_of(2) => 1.min(floors - 1),
            Habit::Coordinator => favourite(chance.zipf(self.favourites.len())),
            Habit::Round | Habit::Anywhere => favourite(step - 1),
        }
    }
}

fn folders(folder: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| problem(folder, &error))?;
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

fn json(file: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(file).map_err(|error| problem(file, &error))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
}

fn problem(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
