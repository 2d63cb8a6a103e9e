//! Belady's optimum: what will be asked for last, or never, goes; and what is asked for later than all that is there is not
//! kept at all. It knows the whole trace. Entries are counted, not weighed.

use std::collections::BTreeSet;

use super::Policy;

/// See the module.
pub struct Opt {
    capacity: usize,
    /// For each access, when the same item is asked for next.
    next: Vec<usize>,
    at: usize,
    /// What is there, by when it is asked for next.
    there: BTreeSet<(usize, u32)>,
}

/// Never again.
const NEVER: usize = usize::MAX;

impl Opt {
    /// Empty. The accesses are those that it will be asked for.
    pub fn new(capacity: u64, accesses: &[u32], items: usize) -> Opt {
        let mut seen = vec![NEVER; items];
        let mut next = vec![NEVER; accesses.len()];
        for (at, item) in accesses.iter().enumerate().rev() {
            next[at] = std::mem::replace(&mut seen[*item as usize], at);
        }
        Opt { capacity: usize::try_from(capacity).unwrap_or(usize::MAX), next, at: 0, there: BTreeSet::new() }
    }
}

impl Policy for Opt {
    fn access(&mut self, item: u32, _weight: u32) -> bool {
        let (now, next) = (self.at, self.next[self.at]);
        self.at += 1;
        let is_hit = self.there.remove(&(now, item));
        if next != NEVER {
            self.there.insert((next, item));
        }
        if self.there.len() > self.capacity {
            self.there.pop_last();
        }
        is_hit
    }
}
