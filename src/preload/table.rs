//! A table by number that never holds more than its limit: what was not used lately makes room.
//!
//! A clock hand goes over the slots; each use gives a slot up to [`USES_MAX`] passes of the hand. One insertion looks at
//! no more than [`STEPS_MAX`] slots, so a flood of new keys costs each of them the same, and old favourites survive it.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// So many passes of the hand a slot survives at most.
const USES_MAX: u8 = 3;

/// So many slots the hand looks at for one insertion; the last of them goes whatever its uses.
const STEPS_MAX: usize = 32;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Bounded<V> {
    slots: Vec<Slot<V>>,
    index: HashMap<u64, u32, FixedState>,
    hand: usize,
    limit: usize,
}

#[derive(Clone, Debug)]
struct Slot<V> {
    key: u64,
    value: V,
    uses: u8,
}

impl<V> Bounded<V> {
    /// An empty table for `limit` values, at least one.
    pub fn new(limit: usize) -> Self {
        Bounded { slots: Vec::new(), index: HashMap::default(), hand: 0, limit: limit.max(1) }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_full(&self) -> bool {
        self.slots.len() >= self.limit
    }

    /// A look that counts as no use.
    pub fn peek(&self, key: u64) -> Option<&V> {
        self.index.get(&key).map(|at| &self.slots[*at as usize].value)
    }

    pub fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        let slot = &mut self.slots[*self.index.get(&key)? as usize];
        slot.uses = (slot.uses + 1).min(USES_MAX);
        Some(&mut slot.value)
    }

    /// Puts a value that is not there yet, and gives back the one that had to go for it.
    pub fn insert(&mut self, key: u64, value: V) -> Option<V> {
        debug_assert!(!self.index.contains_key(&key), "the caller has looked");
        let gone = if self.is_full() { self.evict() } else { None };
        if self.slots.len() == self.slots.capacity() {
            // By a quarter and never beyond the limit: the usual doubling would hold half of it for nothing.
            let more = (self.slots.len() / 4).clamp(16, 1 << 16).min(self.limit - self.slots.len());
            self.slots.reserve_exact(more);
        }
        self.index.insert(key, self.slots.len() as u32);
        self.slots.push(Slot { key, value, uses: 0 });
        gone
    }

    pub fn remove(&mut self, key: u64) -> Option<V> {
        let at = self.index.remove(&key)?;
        Some(self.take(at as usize))
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
        self.index.remove(&self.slots[self.hand].key);
        Some(self.take(self.hand))
    }

    /// Keys and values, in an order that depends on the history only.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.slots.iter().map(|slot| (slot.key, &slot.value))
    }

    /// Bytes that the table itself takes, without what its values own elsewhere.
    pub fn bytes(&self) -> usize {
        // A slot of the index is its pair and a byte of control; the map fills seven eighths of a power of two.
        let buckets = (self.index.capacity() * 8 / 7).next_power_of_two();
        self.slots.capacity() * size_of::<Slot<V>>() + buckets * (size_of::<(u64, u32)>() + 1)
    }

    /// The last slot takes the place of the one that goes.
    fn take(&mut self, at: usize) -> V {
        let slot = self.slots.swap_remove(at);
        if let Some(moved) = self.slots.get(at) {
            self.index.insert(moved.key, at as u32);
        }
        slot.value
    }
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
}
