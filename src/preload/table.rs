//! A table by number that never holds more than its limit: what was not used lately makes room.
//!
//! A clock hand goes over the slots; each use gives a slot up to [`USES_MAX`] passes of the hand. One insertion looks at
//! no more than [`STEPS_MAX`] slots, so a flood of new keys costs each of them the same, and old favourites survive it.
//!
//! The index is its own, since the table lives at its limit: a map of the standard library that loses a key for each one
//! that it gains doubles sooner or later, and this one is looked into ten times for each prediction. It probes linearly
//! and moves what follows a removed key back, so nothing is left behind.

use super::mix;

/// So many passes of the hand a slot survives at most.
const USES_MAX: u8 = 3;

/// So many slots the hand looks at for one insertion; the last of them goes whatever its uses.
const STEPS_MAX: usize = 32;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Bounded<V> {
    slots: Vec<Slot<V>>,
    index: Index,
    hand: usize,
    limit: usize,
}

/// Where keys are among the slots: half of a key's hash and the number of its slot. At most half full.
#[derive(Clone, Debug, Default)]
struct Index(Vec<Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u32,
    at: u32,
}

/// No slot.
const FREE: Entry = Entry { tag: 0, at: u32::MAX };

#[derive(Clone, Debug)]
struct Slot<V> {
    key: u64,
    value: V,
    uses: u8,
}

impl<V> Bounded<V> {
    /// An empty table for `limit` values, at least one.
    pub fn new(limit: usize) -> Self {
        Bounded { slots: Vec::new(), index: Index::default(), hand: 0, limit: limit.max(1) }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_full(&self) -> bool {
        self.slots.len() >= self.limit
    }

    /// A look that counts as no use.
    pub fn peek(&self, key: u64) -> Option<&V> {
        self.find(key).map(|at| &self.slots[at].value)
    }

    pub fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        let at = self.find(key)?;
        let slot = &mut self.slots[at];
        slot.uses = (slot.uses + 1).min(USES_MAX);
        Some(&mut slot.value)
    }

    /// Puts a value that is not there yet, and gives back the one that had to go for it.
    pub fn insert(&mut self, key: u64, value: V) -> Option<V> {
        debug_assert!(self.find(key).is_none(), "the caller has looked");
        let gone = if self.is_full() { self.evict() } else { None };
        if self.slots.len() == self.slots.capacity() {
            // By a quarter and never beyond the limit: the usual doubling would hold half of it for nothing.
            let more = (self.slots.len() / 4).clamp(16, 1 << 16).min(self.limit - self.slots.len());
            self.slots.reserve_exact(more);
        }
        if self.index.0.len() < 2 * (self.slots.len() + 1) {
            self.index = Index::of(self.slots.iter().map(|slot| slot.key), 2 * (self.slots.len() + 1));
        }
        self.index.insert(key, self.slots.len());
        self.slots.push(Slot { key, value, uses: 0 });
        gone
    }

    pub fn remove(&mut self, key: u64) -> Option<V> {
        let at = self.find(key)?;
        Some(self.take(at))
    }

    /// Takes out what was used least lately.
    pub fn evict(&mut self) -> Option<V> {
        if self.slots.is_empty() {
            return None;
        }
        for _ in 0..STEPS_MAX {
            self.hand = (self.hand + 1) % self.slots.len();
            let slot = &mut self.slots[self.hand];
            if slot.uses == 0 {
                break;
            }
            slot.uses -= 1;
        }
        Some(self.take(self.hand))
    }

    /// Keys and values, in an order that depends on the history only.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.slots.iter().map(|slot| (slot.key, &slot.value))
    }

    /// Bytes that the table itself takes, without what its values own elsewhere.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<V>>() + self.index.0.capacity() * size_of::<Entry>()
    }

    fn find(&self, key: u64) -> Option<usize> {
        self.index.find(key, |at| self.slots[at].key == key).map(|entry| self.index.0[entry].at as usize)
    }

    /// The last slot takes the place of the one that goes.
    fn take(&mut self, at: usize) -> V {
        self.index.remove(self.slots[at].key, at);
        let last = self.slots.len() - 1;
        if at != last {
            self.index.moved(self.slots[last].key, last, at);
        }
        self.slots.swap_remove(at).value
    }
}

impl Index {
    /// An index of these keys, which are in the slots from 0 on, with room for as many again.
    fn of(keys: impl Iterator<Item = u64>, size: usize) -> Index {
        let mut index = Index(vec![FREE; size.next_power_of_two()]);
        keys.enumerate().for_each(|(at, key)| index.insert(key, at));
        index
    }

    /// The entry of a key, of whose slot `is_it` says whether it has the key.
    fn find(&self, key: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.0.len().checked_sub(1)?;
        let (mut entry, tag) = home(key, mask);
        loop {
            let there = self.0[entry];
            if there.at == FREE.at {
                return None;
            }
            if there.tag == tag && is_it(there.at as usize) {
                return Some(entry);
            }
            entry = (entry + 1) & mask;
        }
    }

    fn insert(&mut self, key: u64, at: usize) {
        let mask = self.0.len() - 1;
        let (mut entry, tag) = home(key, mask);
        while self.0[entry].at != FREE.at {
            entry = (entry + 1) & mask;
        }
        self.0[entry] = Entry { tag, at: at as u32 };
    }

    /// The key is in another slot now.
    fn moved(&mut self, key: u64, from: usize, to: usize) {
        if let Some(entry) = self.find(key, |at| at == from) {
            self.0[entry].at = to as u32;
        }
    }

    fn remove(&mut self, key: u64, at: usize) {
        let mask = self.0.len() - 1;
        let Some(mut hole) = self.find(key, |there| there == at) else { return };
        let mut entry = hole;
        loop {
            self.0[hole] = FREE;
            // The next entry that may stand in the hole: its home does not lie behind the hole.
            loop {
                entry = (entry + 1) & mask;
                if self.0[entry].at == FREE.at {
                    return;
                }
                let from_home = entry.wrapping_sub(self.0[entry].tag as usize) & mask;
                let from_hole = entry.wrapping_sub(hole) & mask;
                if from_home >= from_hole {
                    break;
                }
            }
            self.0[hole] = self.0[entry];
            hole = entry;
        }
    }
}

/// Where a key belongs, and the mark of its entry, whose lower bits say where it belongs.
fn home(key: u64, mask: usize) -> (usize, u32) {
    let tag = mix(&[key]) as u32;
    (tag as usize & mask, tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_new_keys_leaves_the_favourites_and_keeps_the_limit() {
        let mut table = Bounded::new(100);
        for key in 0..10 {
            table.insert(key, key);
        }
        for key in 1000..50_000 {
            table.insert(key, key);
            table.get_mut(key % 10).expect("it is used all the time");
            assert!(table.len() <= 100);
        }
        assert_eq!((0..10).filter(|key| table.peek(*key) == Some(key)).count(), 10);
        assert_eq!(table.iter().count(), 100);
        assert_eq!(table.remove(3), Some(3));
        assert_eq!((table.peek(3), table.len()), (None, 99));
        assert!(table.iter().all(|(key, value)| table.peek(key) == Some(value)), "the index says where things are");
    }

    #[test]
    fn it_does_as_a_map_does() {
        for seed in 0..20 {
            let mut table = Bounded::new(1_000);
            let mut map = std::collections::HashMap::new();
            for step in 0..20_000 {
                let roll = mix(&[seed, step]);
                let key = roll % 600;
                if roll >> 40 & 1 == 0 {
                    assert_eq!(table.remove(key), map.remove(&key), "seed {seed}, step {step}");
                } else if table.peek(key).is_none() {
                    assert!(table.insert(key, step).is_none());
                    map.insert(key, step);
                }
                assert_eq!(table.peek(key), map.get(&key), "seed {seed}, step {step}");
            }
            assert_eq!(table.len(), map.len());
            assert!(map.iter().all(|(key, value)| table.peek(*key) == Some(value)), "seed {seed}");
        }
    }
}
