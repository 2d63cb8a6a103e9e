//! Where would somebody go next who knows nothing but the building?
//!
//! To the floors next to theirs, less often two away, now and then to the entrance; twice as often where a stair, a
//! riser or a route joins the two; and to where others edit right now. Floors are in the order of their level, never of
//! their names. Nothing wraps around and nothing leaves the building. The weights sum up to 1 for each floor that has a
//! neighbour, so on the top floor the way down counts for more.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::Item;
use crate::time::Mono;

/// The weights of floors so many places away.
const BESIDE: [f32; 2] = [0.35, 0.10];

/// What the entrance has besides.
const ENTRANCE: f32 = 0.05;

/// Floors that something joins count so many times.
const JOINED: f32 = 2.0;

/// What a floor has on which somebody edits, besides.
const EDITED: f32 = 0.10;

/// Somebody edits who did so within this time.
const EDITED_MS: u64 = 10 * 60_000;

/// Floors of one building that are known to be edited; the one edited last the longest ago makes room.
const EDITED_MAX: usize = 8;

/// What one floor's neighbours weigh, summing up to at most 1.
pub type Weights = SmallVec<[(Item, f32); 16]>;

/// What the neighbours of a floor weigh by the building's shape alone: two above, two below, the entrance.
type Beside = SmallVec<[(Item, f32); 5]>;

/// A building as the structure needs it.
#[derive(Clone, Debug, Default)]
pub struct Building {
    /// Its floors with their levels, from the lowest.
    pub floors: Vec<(Item, i32)>,
    /// Sets of floors that something lies on.
    pub joined: Vec<Vec<Item>>,
}

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Structure {
    floors: HashMap<Item, Floor, FixedState>,
    edited: HashMap<u32, SmallVec<[(Item, Mono); EDITED_MAX]>, FixedState>,
}

#[derive(Clone, Debug)]
struct Floor {
    group: u32,
    beside: Beside,
}

impl Structure {
    /// The structure of these buildings. The first has group 1; group 0 is what is in none.
    pub fn new(buildings: &[Building]) -> Self {
        let mut floors = HashMap::default();
        for (building, group) in buildings.iter().zip(1..) {
            for (item, beside) in building.weights() {
                floors.insert(item, Floor { group, beside });
            }
        }
        Structure { floors, edited: HashMap::default() }
    }

    /// The building that an item is in, by number.
    pub fn group(&self, item: Item) -> u32 {
        self.floors.get(&item).map_or(0, |floor| floor.group)
    }

    /// Somebody edits here.
    pub fn edited(&mut self, item: Item, now: Mono) {
        let Some(floor) = self.floors.get(&item) else { return };
        let marks = self.edited.entry(floor.group).or_default();
        marks.retain(|(marked, at)| *marked != item && now.since(*at) <= EDITED_MS);
        if marks.len() == EDITED_MAX {
            marks.remove(0);
        }
        marks.push((item, now));
    }

    /// Where one goes from `here`.
    pub fn weights(&self, here: Item, now: Mono) -> Weights {
        let Some(floor) = self.floors.get(&here) else { return Weights::new() };
        let mut weights = Weights::from_slice(&floor.beside);
        let marks = self.edited.get(&floor.group).into_iter().flatten();
        for (item, _) in marks.filter(|(item, at)| *item != here && now.since(*at) <= EDITED_MS) {
            match weights.iter_mut().find(|(known, _)| known == item) {
                Some((_, weight)) => *weight += EDITED,
                None => weights.push((*item, EDITED)),
            }
        }
        let sum: f32 = weights.iter().map(|(_, weight)| weight).sum();
        weights.iter_mut().for_each(|(_, weight)| *weight /= sum);
        weights
    }
}

impl Building {
    fn weights(&self) -> Vec<(Item, Beside)> {
        let entrance = self.floors.iter().filter(|(_, level)| *level >= 0).min_by_key(|(_, level)| *level);
        let of = |at: usize| {
            let here = self.floors[at].0;
            let mut beside = Beside::new();
            for (away, weight) in (1..).zip(BESIDE) {
                let below = at.checked_sub(away).and_then(|at| self.floors.get(at));
                for (there, _) in below.into_iter().chain(self.floors.get(at + away)) {
                    beside.push((*there, weight));
                }
            }
            if let Some((entrance, _)) = entrance.filter(|(entrance, _)| *entrance != here) {
                match beside.iter_mut().find(|(there, _)| there == entrance) {
                    Some((_, weight)) => *weight += ENTRANCE,
                    None => beside.push((*entrance, ENTRANCE)),
                }
            }
            for (there, weight) in &mut beside {
                if self.joined.iter().any(|joined| joined.contains(&here) && joined.contains(there)) {
                    *weight *= JOINED;
                }
            }
            (here, beside)
        };
        (0..self.floors.len()).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tower(joined: &[&[Item]]) -> Structure {
        // Named against their order, and the entrance is not the lowest floor.
        let floors = (0..8).map(|at| (100 - at, at as i32 - 2)).collect();
        Structure::new(&[Building { floors, joined: joined.iter().map(|set| set.to_vec()).collect() }])
    }

    fn of(weights: &Weights, item: Item) -> f32 {
        weights.iter().find(|(known, _)| *known == item).map_or(0.0, |(_, weight)| *weight)
    }

    #[test]
    fn neighbours_by_level_come_first_and_all_of_it_is_one() {
        let structure = tower(&[]);
        for item in 93..=100 {
            let weights = structure.weights(item, Mono(0));
            let sum: f32 = weights.iter().map(|(_, weight)| weight).sum();
            assert!((sum - 1.0).abs() < 1e-5 && of(&weights, item) == 0.0, "{weights:?}");
        }
        let middle = structure.weights(95, Mono(0));
        assert!((of(&middle, 94) - 0.35 / 0.95).abs() < 1e-5, "{middle:?}");
        assert!((of(&middle, 98) - 0.05 / 0.95).abs() < 1e-5, "the entrance is the floor of level 0, {middle:?}");
        let top = structure.weights(93, Mono(0));
        assert!(of(&top, 94) > 0.6 && of(&top, 100) == 0.0, "nothing wraps around, {top:?}");
        assert_eq!((structure.group(95), structure.group(7)), (1, 0));
        assert!(structure.weights(7, Mono(0)).is_empty());
    }

    #[test]
    fn what_joins_two_floors_and_who_edits_there_draws_people() {
        let mut structure = tower(&[&[95, 93]]);
        let calm = structure.weights(95, Mono(0));
        assert!(of(&calm, 93) > 1.9 * of(&calm, 97), "{calm:?}");
        for item in [99, 93, 94, 95, 96, 97, 98, 99, 100] {
            structure.edited(item, Mono(1_000));
        }
        assert!(of(&structure.weights(93, Mono(2_000)), 99) > 0.05);
        assert_eq!(of(&structure.weights(93, Mono(2_000 + EDITED_MS)), 99), 0.0, "nobody edits there any more");
        assert!(structure.edited.values().all(|marks| marks.len() <= EDITED_MAX));
    }
}
