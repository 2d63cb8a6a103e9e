//! Where do the entries of a shard lie?
//!
//! In chunks that are never moved, under numbers of 32 bits that a queue can chain: no allocation per entry, none that
//! grows with the cache, and half the links' size. A number is given again once what had it is gone.

/// Entries of one chunk. A power of two.
const CHUNK: usize = 128;

/// No entry's number: the end of a chain.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Arena<T> {
    chunks: Vec<Vec<Slot<T>>>,
    /// The first of the chain of slots that are free.
    free: u32,
    len: u32,
}

#[derive(Debug)]
enum Slot<T> {
    Taken(T),
    Free { next: u32 },
}

impl<T> Arena<T> {
    pub(super) fn new() -> Arena<T> {
        Arena { chunks: Vec::new(), free: NONE, len: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// One more than the highest number that is or was taken.
    pub(super) fn slots(&self) -> u32 {
        self.chunks.last().map_or(0, |last| ((self.chunks.len() - 1) * CHUNK + last.len()) as u32)
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.free != NONE {
            let number = self.free;
            let slot = self.slot_mut(number);
            let Slot::Free { next } = *slot else { unreachable!("a slot in the chain of the free is free") };
            *slot = Slot::Taken(value);
            self.free = next;
            return number;
        }
        let number = self.slots();
        assert!(number < NONE, "a shard holds fewer than 2^32 entries");
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks.last_mut().expect("one was just made sure of").push(Slot::Taken(value));
        number
    }

    pub(super) fn remove(&mut self, number: u32) -> T {
        let free = self.free;
        let slot = std::mem::replace(self.slot_mut(number), Slot::Free { next: free });
        let Slot::Taken(value) = slot else { unreachable!("only what is taken is removed") };
        self.free = number;
        self.len -= 1;
        value
    }

    /// What has this number, if anything.
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        match self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)? {
            Slot::Taken(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    /// What has this number; something does.
    pub(super) fn at(&self, number: u32) -> &T {
        self.get(number).expect("a number in use is taken")
    }

    /// What has this number; something does.
    pub(super) fn at_mut(&mut self, number: u32) -> &mut T {
        match self.slot_mut(number) {
            Slot::Taken(value) => value,
            Slot::Free { .. } => unreachable!("a number in use is taken"),
        }
    }

    fn slot_mut(&mut self, number: u32) -> &mut Slot<T> {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_again_and_nothing_is_moved() {
        let mut arena = Arena::new();
        let numbers: Vec<u32> = (0..300).map(|value| arena.insert(value)).collect();
        assert_eq!((arena.len(), arena.slots()), (300, 300));
        assert_eq!(arena.remove(numbers[7]), 7);
        assert_eq!(arena.remove(numbers[200]), 200);
        assert_eq!(arena.get(numbers[7]), None);
        assert_eq!((arena.insert(-1), arena.insert(-2), arena.insert(-3)), (200, 7, 300));
        assert_eq!((*arena.at(200), *arena.at(7), *arena.at(299)), (-1, -2, 299));
        assert_eq!(arena.get(301), None);
    }

    #[test]
    fn a_free_slot_costs_nothing_besides_its_entry() {
        assert_eq!(size_of::<Slot<(std::sync::Arc<str>, u64)>>(), size_of::<(std::sync::Arc<str>, u64)>());
    }
}
