//! Which number has the entry with this hash?
//!
//! Open addressing with linear probing. A bucket holds the entry's number and 32 bits of its hash, so a probe looks at an
//! entry only when it is almost surely the one, and the table grows without looking at any. The home of a hash is its
//! share of the table rather than its remainder: growing by half is then possible, and what was sorted stays so.

use super::arena::NONE;

/// Buckets of an index that holds little.
const BUCKETS_MIN: usize = 16;

/// The table grows when more than this many of [`LOAD_OF`] buckets would be in use. A look-up that finds nothing then
/// reads a cache line.
const LOAD: usize = 3;
const LOAD_OF: usize = 4;

#[derive(Debug)]
pub(super) struct Index {
    buckets: Box<[Bucket]>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    hash: u32,
    number: u32,
}

const EMPTY: Bucket = Bucket { hash: 0, number: NONE };

impl Index {
    pub(super) fn new() -> Index {
        Index { buckets: vec![EMPTY; BUCKETS_MIN].into(), len: 0 }
    }

    /// The number of which `is_it` says so, among those with this hash.
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let bucket = self.buckets[at];
            if bucket.number == NONE {
                return None;
            }
            if bucket.hash == hash && is_it(bucket.number) {
                return Some(bucket.number);
            }
            at = self.after(at);
        }
    }

    /// Notes a number that is not in the index.
    pub(super) fn insert(&mut self, hash: u32, number: u32) {
        if (self.len + 1) * LOAD_OF > self.buckets.len() * LOAD {
            let grown = vec![EMPTY; self.buckets.len() + self.buckets.len() / 2].into();
            let old = std::mem::replace(&mut self.buckets, grown);
            old.iter().filter(|bucket| bucket.number != NONE).for_each(|bucket| self.place(*bucket));
        }
        self.place(Bucket { hash, number });
        self.len += 1;
    }

    /// Forgets a number that is in the index.
    pub(super) fn remove(&mut self, hash: u32, number: u32) {
        let mut hole = self.home(hash);
        while self.buckets[hole].number != number {
            assert!(self.buckets[hole].number != NONE, "what is removed is in the index");
            hole = self.after(hole);
        }
        // Those behind it move up where they may, so that a probe may stop at the first empty bucket.
        let mut at = hole;
        loop {
            at = self.after(at);
            let bucket = self.buckets[at];
            if bucket.number == NONE {
                break;
            }
            if self.distance(self.home(bucket.hash), at) >= self.distance(hole, at) {
                self.buckets[hole] = bucket;
                hole = at;
            }
        }
        self.buckets[hole] = EMPTY;
        self.len -= 1;
    }

    fn place(&mut self, bucket: Bucket) {
        let mut at = self.home(bucket.hash);
        while self.buckets[at].number != NONE {
            at = self.after(at);
        }
        self.buckets[at] = bucket;
    }

    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.buckets.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }

    /// How far one walks from one bucket to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.buckets.len() - from }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Few homes and many of a hash, so that runs are long and go around the end.
    #[test]
    fn it_finds_what_a_plain_map_has() {
        let mut index = Index::new();
        let mut plain: HashMap<u32, u32> = HashMap::new();
        let mut state = 1_u64;
        for step in 0..100_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = (state >> 40) as u32 % 600;
            let hash = (number % 90).wrapping_mul(48_000_000).wrapping_sub(7);
            let wanted = step % 7 < 3 + step / 20_000 % 2;
            match (plain.contains_key(&number), wanted) {
                (false, true) => {
                    index.insert(hash, number);
                    plain.insert(number, hash);
                }
                (true, false) => {
                    index.remove(hash, number);
                    plain.remove(&number);
                }
                (is_there, _) => assert_eq!(index.find(hash, |found| found == number).is_some(), is_there),
            }
        }
        assert_eq!(index.len, plain.len());
        for (number, hash) in plain {
            assert_eq!(index.find(hash, |found| found == number), Some(number));
        }
    }
}
