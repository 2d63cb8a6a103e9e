//! Which number does a floor have?
//!
//! Numbers are given once and never again, so that what was learnt of a name that had to make room is never taken for
//! another's. A number leaves room for the parts of its floor: bits below are 0 for the floor as a whole, else one more
//! than the number of a strategy.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::table::Bounded;
use super::{Item, mix};
use crate::cache::StrategyId;
use crate::cache::strategy::STRATEGIES_MAX;
use crate::id::RoomId;

/// Names that are known; the least used makes room. A flood of rooms that nobody knows passes by those in use.
pub const NAMES_MAX: usize = 65_536;

/// Bits of an item below its floor's number.
const PART_BITS: u32 = 7;

const _: () = assert!(STRATEGIES_MAX < 1 << PART_BITS, "a part has a number of its own");

/// Floors by name and by number.
#[derive(Clone, Debug)]
pub(super) struct Names {
    by_name: Bounded<(RoomId, Item)>,
    by_number: HashMap<Item, RoomId, FixedState>,
    next: u32,
}

impl Names {
    pub fn new() -> Self {
        Names { by_name: Bounded::new(NAMES_MAX), by_number: HashMap::default(), next: 1 }
    }

    /// The floor's item; a name that is new gets one.
    pub fn item(&mut self, floor: &RoomId) -> Item {
        let key = stable(floor.as_str());
        match self.by_name.get_mut(key) {
            Some((known, item)) if known == floor => *item,
            // Two names with one hash: the later one takes the place.
            Some(_) => {
                if let Some((_, item)) = self.by_name.remove(key) {
                    self.by_number.remove(&item);
                }
                self.give(key, floor)
            }
            None => self.give(key, floor),
        }
    }

    /// The floor that an item is of.
    pub fn floor(&self, item: Item) -> Option<&RoomId> {
        self.by_number.get(&whole(item))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&RoomId, Item)> {
        self.by_name.iter().map(|(_, (name, item))| (name, *item))
    }

    /// Puts a name of a snapshot under its number, unless one of them is taken.
    pub fn restore(&mut self, name: RoomId, item: Item) {
        let key = stable(name.as_str());
        let number = item >> PART_BITS;
        let is_free = self.by_name.peek(key).is_none() && !self.by_number.contains_key(&item);
        if number == 0 || whole(item) != item || !is_free || self.by_name.is_full() {
            return;
        }
        self.next = self.next.max(number.saturating_add(1));
        self.by_number.insert(item, name.clone());
        self.by_name.insert(key, (name, item));
    }

    fn give(&mut self, key: u64, floor: &RoomId) -> Item {
        // After 33 million names numbers begin again; what is known of the oldest is long gone.
        if self.next >> (Item::BITS - PART_BITS) != 0 {
            self.next = 1;
        }
        let item = self.next << PART_BITS;
        self.next += 1;
        if let Some((_, gone)) = self.by_name.insert(key, (floor.clone(), item)) {
            self.by_number.remove(&gone);
        }
        self.by_number.insert(item, floor.clone());
        item
    }
}

/// The item of a part of a floor.
pub(super) fn part(floor: Item, strategy: StrategyId) -> Item {
    whole(floor) | (u32::from(strategy.0) + 1)
}

/// The item of the floor that an item is of.
pub(super) fn whole(item: Item) -> Item {
    item >> PART_BITS << PART_BITS
}

/// Of which part an item is, unless it is a whole floor.
pub(super) fn strategy(item: Item) -> Option<StrategyId> {
    let below = item & ((1 << PART_BITS) - 1);
    (below > 0).then(|| StrategyId(below as u16 - 1))
}

/// A hash of a name that is the same in every process.
pub(super) fn stable(name: &str) -> u64 {
    let words = name.as_bytes().chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    words.fold(mix(&[name.len() as u64]), |state, word| mix(&[state, word]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_and_its_parts_are_found_by_their_numbers() {
        let mut names = Names::new();
        let (a, b) = (RoomId::new("hq:1").unwrap(), RoomId::new("hq:10").unwrap());
        let (first, second) = (names.item(&a), names.item(&b));
        assert_ne!(first, second);
        assert_eq!((names.item(&a), names.item(&b)), (first, second));
        let routes = part(first, StrategyId(2));
        assert_eq!((names.floor(routes), strategy(routes), strategy(first)), (Some(&a), Some(StrategyId(2)), None));
        let last = part(second, StrategyId(STRATEGIES_MAX as u16 - 1));
        assert_eq!(names.floor(last), Some(&b));
    }

    #[test]
    fn a_flood_of_names_keeps_the_limit_and_gives_no_number_twice() {
        let mut names = Names::new();
        let kept = RoomId::new("kept").unwrap();
        let item = names.item(&kept);
        let mut last = item;
        for at in 0..NAMES_MAX + 10_000 {
            let new = names.item(&RoomId::new(&format!("room-{at}")).unwrap());
            assert!(new > last);
            last = new;
            names.item(&kept);
        }
        assert_eq!((names.by_name.len(), names.by_number.len()), (NAMES_MAX, NAMES_MAX));
        assert_eq!(names.item(&kept), item);
    }
}
