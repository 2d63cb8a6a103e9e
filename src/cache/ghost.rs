//! Was this key here a while ago?
//!
//! What leaves for lack of room is remembered for about as long as it would have stayed in the main queue: until as many
//! bytes have left after it as that queue holds. What is asked for again within that time had been let go too early.
//!
//! Only 32 bits of a hash and a stamp are kept, in buckets of which the oldest is overwritten: 8 bytes for each, no
//! links, and forgetting costs nothing. A false memory, about one in a hundred million, costs an entry a better place.

/// Memories of one bucket: two cache lines.
const WAYS: usize = 16;

/// Two bytes of a queue apart are told apart down to this part of the window.
const STAMPS_PER_WINDOW: u64 = 1 << 16;

#[derive(Debug)]
pub(super) struct Ghost {
    buckets: Vec<[Memory; WAYS]>,
    /// Bytes that have left so far.
    clock: u64,
    /// Bytes after which what left is forgotten.
    window: u64,
    /// Bytes of one step of a stamp.
    step: u64,
}

#[derive(Clone, Copy, Debug)]
struct Memory {
    /// 0 is nobody's.
    mark: u32,
    stamp: u32,
}

const NOBODY: Memory = Memory { mark: 0, stamp: 0 };

impl Ghost {
    /// Remembers for as long as `window` bytes take to leave.
    pub(super) fn new(window: u64) -> Ghost {
        Ghost { buckets: vec![[NOBODY; WAYS]], clock: 0, window, step: (window / STAMPS_PER_WINDOW).max(1) }
    }

    /// An entry of this hash left, and so many bytes with it.
    pub(super) fn remember(&mut self, hash: u32, weight: u64) {
        self.clock += weight;
        let now = self.now();
        let memory = Memory { mark: hash.max(1), stamp: now };
        let bucket = self.bucket(memory.mark);
        let place =
            bucket.iter_mut().max_by_key(|old| if old.mark == 0 { u32::MAX } else { now.wrapping_sub(old.stamp) });
        *place.expect("a bucket has places") = memory;
    }

    /// Has an entry of this hash left lately? It is forgotten by being asked for.
    pub(super) fn recall(&mut self, hash: u32) -> bool {
        let (now, reach) = (self.now(), self.reach());
        let mark = hash.max(1);
        match self.bucket(mark).iter_mut().find(|memory| memory.mark == mark) {
            Some(memory) => now.wrapping_sub(std::mem::replace(memory, NOBODY).stamp) <= reach,
            None => false,
        }
    }

    /// Makes room for as many memories as there are entries, with half as many to spare.
    pub(super) fn grow_to(&mut self, entries: u32) {
        let wanted = entries as usize * 3 / 2 / WAYS + 1;
        if wanted <= self.buckets.len() {
            return;
        }
        let grown = vec![[NOBODY; WAYS]; wanted + wanted / 4];
        let (now, reach) = (self.now(), self.reach());
        for memory in std::mem::replace(&mut self.buckets, grown).into_iter().flatten() {
            if memory.mark == 0 || now.wrapping_sub(memory.stamp) > reach {
                continue;
            }
            if let Some(place) = self.bucket(memory.mark).iter_mut().find(|place| place.mark == 0) {
                *place = memory;
            }
        }
    }

    fn now(&self) -> u32 {
        (self.clock / self.step) as u32
    }

    fn reach(&self) -> u32 {
        (self.window / self.step) as u32
    }

    fn bucket(&mut self, mark: u32) -> &mut [Memory; WAYS] {
        // Not the way that the index goes by the same hash: both are wanted at once, and near each other they need not be.
        let at = (u64::from(mark.wrapping_mul(0x9e37_79b1)) * self.buckets.len() as u64) >> 32;
        &mut self.buckets[at as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(of: u32) -> u32 {
        let mixed = (of ^ 0x5bd1_e995).wrapping_mul(0x85eb_ca6b);
        let mixed = (mixed ^ mixed >> 13).wrapping_mul(0xc2b2_ae35);
        mixed ^ mixed >> 16
    }

    #[test]
    fn what_left_is_remembered_for_as_many_bytes_as_the_window_has() {
        let mut ghost = Ghost::new(100);
        ghost.grow_to(100);
        ghost.remember(hash(0), 1);
        for other in 1..=100 {
            ghost.remember(hash(other), 1);
        }
        assert!(!ghost.recall(hash(101)));
        assert!(ghost.recall(hash(0)), "exactly the window");
        assert!(!ghost.recall(hash(0)), "only once");
        ghost.remember(hash(200), 2);
        assert!(!ghost.recall(hash(1)), "one more than the window");
        assert!(ghost.recall(hash(200)));
        ghost.remember(hash(300), 50);
        assert!(!ghost.recall(hash(40)), "heavy ones count for what they weigh");
    }

    #[test]
    fn growing_forgets_next_to_nothing() {
        let mut ghost = Ghost::new(10_000);
        for entries in 1..10_000 {
            ghost.grow_to(entries);
            ghost.remember(hash(entries), 1);
        }
        let kept = (1..10_000).filter(|entry| ghost.recall(hash(*entry))).count();
        assert!(kept > 9_700, "{kept} of 9999");
    }
}
