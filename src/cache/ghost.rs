//! Was this key here a while ago, and where?
//!
//! What leaves the small queue for lack of room is remembered like a queue of its own, of a given number of bytes, out of
//! which one is taken when it is asked for again. What leaves the main queue is remembered while a given number of bytes
//! leave it.
//!
//! Only 32 bits of a hash and a stamp are kept, in buckets of which the most faded is overwritten: 8 bytes for each, no
//! links, and forgetting costs nothing. How far back the queue reaches is known from a sum per stamp. A false memory, about
//! one in a hundred million, costs an entry a better place.

/// Memories of one bucket: two cache lines.
const WAYS: usize = 16;

/// How many stamps the bytes of the remembered queue are divided into.
const STAMPS: u64 = 256;

/// How many stamps the remembered queue reaches back at most, when most of it is asked for again. A power of two.
const STAMPS_MAX: usize = 1024;

/// Where something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Was {
    /// Among the new ones, and left for lack of room.
    Small,
    /// Among those that have proved themselves, and left for lack of room.
    Main,
    /// Anywhere, was in use, and left because it was out of date.
    Wanted,
}

/// What is remembered of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recalled {
    pub(super) was: Was,
    /// How many bytes have left the same queue since.
    pub(super) bytes_since: u64,
}

#[derive(Debug)]
pub(super) struct Ghost {
    buckets: Vec<[Memory; WAYS]>,
    /// Bytes that have left the small queue, and the main one.
    clocks: [u64; 2],
    /// Bytes of one stamp.
    step: u64,
    /// What the remembered queue holds at most, and holds, and holds of each stamp.
    bytes_max: u64,
    bytes: u64,
    bytes_of: Box<[u64; STAMPS_MAX]>,
    /// The oldest stamp that is in it.
    oldest: u32,
    /// How many stamps what left the main queue is remembered.
    main_stamps: u32,
}

#[derive(Clone, Copy, Debug)]
struct Memory {
    /// 0 is nobody's.
    mark: u32,
    /// Two bits for where it was, the others for when it left.
    stamp: u32,
}

const NOBODY: Memory = Memory { mark: 0, stamp: 0 };

impl Ghost {
    /// Remembers so many bytes of what left the small queue, and what left the main one for as long as so many bytes take.
    pub(super) fn new(small_bytes_max: u64, main_bytes_max: u64) -> Ghost {
        let step = (small_bytes_max / STAMPS).max(1);
        Ghost {
            buckets: vec![[NOBODY; WAYS]],
            clocks: [0, 0],
            step,
            bytes_max: small_bytes_max,
            bytes: 0,
            bytes_of: Box::new([0; STAMPS_MAX]),
            oldest: 0,
            main_stamps: (main_bytes_max / step) as u32,
        }
    }

    /// An entry of this hash left, and so many bytes with it.
    pub(super) fn remember(&mut self, hash: u32, weight: u64, was: Was) {
        match was {
            Was::Small => {
                self.clocks[0] += weight;
                let now = self.now(was);
                self.let_fade(now, weight);
                self.bytes += weight;
                self.bytes_of[now as usize % STAMPS_MAX] += weight;
            }
            Was::Main => self.clocks[1] += weight,
            Was::Wanted => {}
        }
        let memory = Memory { mark: hash.max(1), stamp: self.now(was) << 2 | was as u32 };
        let at = self.bucket(memory.mark);
        let faded = self.buckets[at].iter().enumerate().max_by_key(|(_, old)| self.fading(**old));
        let (place, _) = faded.expect("a bucket has places");
        self.buckets[at][place] = memory;
    }

    /// What is remembered of a hash, and of an entry that weighs so much. It is forgotten by being asked for.
    pub(super) fn recall(&mut self, hash: u32, weight: u64) -> Option<Recalled> {
        let mark = hash.max(1);
        let at = self.bucket(mark);
        let place = self.buckets[at].iter().position(|memory| memory.mark == mark)?;
        let memory = std::mem::replace(&mut self.buckets[at][place], NOBODY);
        if self.has_faded(memory) {
            return None;
        }
        if memory.was() == Was::Small {
            let of_stamp = &mut self.bytes_of[memory.stamp() as usize % STAMPS_MAX];
            let taken = weight.min(*of_stamp);
            *of_stamp -= taken;
            self.bytes -= taken;
        }
        Some(Recalled { was: memory.was(), bytes_since: u64::from(self.stamps_since(memory)) * self.step })
    }

    /// How many bytes have left the small queue, and the main one, so far.
    pub(super) fn left(&self) -> [u64; 2] {
        self.clocks
    }

    /// Makes room for the memories of a cache of so many entries.
    pub(super) fn grow_to(&mut self, entries: u32) {
        let wanted = entries as usize * 7 / 4 / WAYS + 1;
        if wanted <= self.buckets.len() {
            return;
        }
        let grown = vec![[NOBODY; WAYS]; wanted + wanted / 8];
        for memory in std::mem::replace(&mut self.buckets, grown).into_iter().flatten() {
            if memory.mark == 0 || self.has_faded(memory) {
                continue;
            }
            let at = self.bucket(memory.mark);
            if let Some(place) = self.buckets[at].iter_mut().find(|place| place.mark == 0) {
                *place = memory;
            }
        }
    }

    /// Makes room for so many bytes in the remembered queue.
    fn let_fade(&mut self, now: u32, weight: u64) {
        loop {
            let oldest = &mut self.bytes_of[self.oldest as usize % STAMPS_MAX];
            // A stamp goes as a whole, which is right on average if that is when half of it has no room.
            let is_over = self.bytes + weight > self.bytes_max + *oldest / 2;
            if self.oldest == now || !is_over && now.wrapping_sub(self.oldest) < STAMPS_MAX as u32 {
                return;
            }
            self.bytes -= std::mem::take(oldest);
            self.oldest = self.oldest.wrapping_add(1) & STAMP_MASK;
        }
    }

    fn now(&self, was: Was) -> u32 {
        (self.clocks[usize::from(was == Was::Main)] / self.step) as u32 & STAMP_MASK
    }

    fn stamps_since(&self, memory: Memory) -> u32 {
        self.now(memory.was()).wrapping_sub(memory.stamp()) & STAMP_MASK
    }

    fn has_faded(&self, memory: Memory) -> bool {
        self.stamps_since(memory) > self.stamps_max(memory.was())
    }

    fn stamps_max(&self, was: Was) -> u32 {
        if was == Was::Main { self.main_stamps } else { self.now(was).wrapping_sub(self.oldest) & STAMP_MASK }
    }

    /// How little a memory is worth yet, in parts of the time that it has.
    fn fading(&self, memory: Memory) -> u64 {
        if memory.mark == 0 {
            return u64::MAX;
        }
        (u64::from(self.stamps_since(memory)) << 16) / u64::from(self.stamps_max(memory.was()).max(1))
    }

    /// Not the way that the index goes by the same hash: what lies together there need not lie together here.
    fn bucket(&self, mark: u32) -> usize {
        ((u64::from(mark.wrapping_mul(0x9e37_79b1)) * self.buckets.len() as u64) >> 32) as usize
    }
}

/// A stamp has two bits less than its number.
const STAMP_MASK: u32 = u32::MAX >> 2;

impl Memory {
    fn stamp(self) -> u32 {
        self.stamp >> 2
    }

    fn was(self) -> Was {
        match self.stamp & 3 {
            0 => Was::Small,
            1 => Was::Main,
            _ => Was::Wanted,
        }
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

    fn recalled(was: Was, bytes_since: u64) -> Option<Recalled> {
        Some(Recalled { was, bytes_since })
    }

    #[test]
    fn what_left_the_small_queue_is_remembered_like_a_queue() {
        let mut ghost = Ghost::new(100, 20);
        ghost.grow_to(100);
        for entry in 0..=100 {
            ghost.remember(hash(entry), 1, Was::Small);
        }
        assert_eq!(ghost.recall(hash(101), 1), None);
        assert_eq!(ghost.recall(hash(0), 1), None, "there is room for a hundred");
        assert_eq!(ghost.recall(hash(1), 1), recalled(Was::Small, 99));
        assert_eq!(ghost.recall(hash(1), 1), None, "only once");
        (101..=150).for_each(|entry| ghost.remember(hash(entry), 1, Was::Small));
        assert_eq!(ghost.recall(hash(50), 1), None);
        assert_eq!(ghost.recall(hash(51), 1), recalled(Was::Small, 99), "one was taken out: the rest reaches further");
        ghost.remember(hash(300), 50, Was::Small);
        assert_eq!(ghost.recall(hash(100), 1), None, "heavy ones count for what they weigh");
        assert_eq!(ghost.recall(hash(102), 1), recalled(Was::Small, 98));
        ghost.remember(hash(400), 7, Was::Wanted);
        assert_eq!(ghost.recall(hash(400), 7), recalled(Was::Wanted, 0));
    }

    #[test]
    fn what_left_the_main_queue_is_remembered_for_a_while() {
        let mut ghost = Ghost::new(100, 20);
        ghost.grow_to(100);
        (0..50).for_each(|entry| ghost.remember(hash(entry), 1, Was::Main));
        (100..150).for_each(|entry| ghost.remember(hash(entry), 1, Was::Small));
        assert_eq!(ghost.recall(hash(29), 1), recalled(Was::Main, 20));
        assert_eq!(ghost.recall(hash(28), 1), None);
    }

    #[test]
    fn growing_forgets_next_to_nothing() {
        let mut ghost = Ghost::new(10_000, 10_000);
        for entries in 1..10_000 {
            ghost.grow_to(entries);
            ghost.remember(hash(entries), 1, if entries % 4 == 0 { Was::Main } else { Was::Small });
        }
        let kept = (1..10_000).filter(|entry| ghost.recall(hash(*entry), 1).is_some()).count();
        assert!(kept > 9_800, "{kept} of 9999");
    }
}
