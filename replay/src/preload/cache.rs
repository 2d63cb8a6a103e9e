//! The cache that is simulated: least recently used goes first, and what was preloaded has a tenth to prove itself in.

use std::collections::{HashMap, VecDeque};

use arxosrt_core::preload::{Item, Source};
use foldhash::fast::FixedState;

/// What is there because it was loaded ahead, and not used yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// On whose word.
    pub source: Source,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: u64,
    stamp: u64,
    ahead: Option<Ahead>,
}

/// A cache of limited bytes.
#[derive(Clone, Debug)]
pub struct Cache {
    entries: HashMap<Item, Entry, FixedState>,
    main: Queue,
    probation: Queue,
    stamp: u64,
}

/// Entries by their last use; those used since then are passed over.
#[derive(Clone, Debug)]
struct Queue {
    order: VecDeque<(Item, u64)>,
    bytes: u64,
    limit: u64,
}

impl Cache {
    /// A cache of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let queue = |limit| Queue { order: VecDeque::new(), bytes: 0, limit };
        Cache { entries: HashMap::default(), main: queue(bytes), probation: queue(bytes / 10), stamp: 0 }
    }

    /// It is there.
    pub fn has(&self, item: Item) -> bool {
        self.entries.contains_key(&item)
    }

    /// Somebody asks for it: nothing when it is not there, else whether and why it had been loaded ahead.
    pub fn ask(&mut self, item: Item) -> Option<Option<Ahead>> {
        self.stamp += 1;
        let entry = self.entries.get_mut(&item)?;
        let ahead = entry.ahead.take();
        entry.stamp = self.stamp;
        if ahead.is_some() {
            self.probation.bytes -= entry.bytes;
            self.main.bytes += entry.bytes;
        }
        self.main.order.push_back((item, self.stamp));
        Some(ahead)
    }

    /// Puts something that is not there; gives back what of the preloads had to go unused.
    pub fn put(&mut self, item: Item, bytes: u64, ahead: Option<Ahead>) -> Vec<(Item, u64, Ahead)> {
        self.stamp += 1;
        let mut gone = Vec::new();
        let limit = if ahead.is_some() { self.probation.limit } else { self.main.limit };
        if bytes > limit {
            gone.extend(ahead.map(|ahead| (item, bytes, ahead)));
            return gone;
        }
        self.entries.insert(item, Entry { bytes, stamp: self.stamp, ahead });
        let queue = if ahead.is_some() { &mut self.probation } else { &mut self.main };
        queue.order.push_back((item, self.stamp));
        queue.bytes += bytes;
        while self.probation.bytes > self.probation.limit && self.pop(true, &mut gone) {}
        // Both together keep the limit. Preloads keep their tenth, so what was asked for makes room first.
        while self.main.bytes + self.probation.bytes > self.main.limit {
            if !self.pop(false, &mut gone) && !self.pop(true, &mut gone) {
                break;
            }
        }
        gone
    }

    /// What was loaded ahead and never used.
    pub fn unused(&self) -> impl Iterator<Item = (Ahead, u64)> {
        self.entries.values().filter_map(|entry| Some((entry.ahead?, entry.bytes)))
    }

    fn pop(&mut self, of_probation: bool, gone: &mut Vec<(Item, u64, Ahead)>) -> bool {
        let queue = if of_probation { &mut self.probation } else { &mut self.main };
        while let Some((item, stamp)) = queue.order.pop_front() {
            let Some(entry) = self.entries.get(&item).copied().filter(|entry| entry.stamp == stamp) else { continue };
            queue.bytes -= entry.bytes;
            self.entries.remove(&item);
            gone.extend(entry.ahead.map(|ahead| (item, entry.bytes, ahead)));
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: Option<Ahead> = Some(Ahead { source: Source::OneStep });

    #[test]
    fn the_limit_holds_and_preloads_push_out_only_a_tenth() {
        let mut cache = Cache::new(100);
        for item in 0..10 {
            cache.put(item, 10, None);
        }
        for item in 10..20 {
            cache.put(item, 10, AHEAD);
        }
        assert_eq!((0..10).filter(|item| cache.has(*item)).count(), 9);
        assert_eq!((10..20).filter(|item| cache.has(*item)).count(), 1);
        assert_eq!(cache.ask(19), Some(AHEAD));
        assert_eq!(cache.ask(19), Some(None), "only the first use is a preload's");
        assert_eq!(cache.put(30, 11, AHEAD).len(), 1, "too large for the tenth");
        assert!(cache.main.bytes + cache.probation.bytes <= 100);
    }
}
