//! W-TinyLFU (Einziger et al., 2017): a window of one per cent, and a segmented LRU behind it into which only what is
//! asked for more often than its victim is let. How often is counted exactly, up to 15, and halved every ten capacities:
//! the best that the authors' sketch could do. Entries are counted, not weighed.

use super::Policy;
use crate::cache::list::{Links, Queue};

/// See the module.
pub struct WTinyLfu {
    window_max: usize,
    protected_max: usize,
    main_max: usize,
    links: Links,
    queues: [Queue; 3],
    places: Vec<Option<Place>>,
    counts: Vec<u8>,
    counted: u64,
    sample: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Window,
    Probation,
    Protected,
}

use Place::{Probation, Protected, Window};

impl WTinyLfu {
    /// Empty.
    pub fn new(capacity: u64, items: usize) -> WTinyLfu {
        let whole = usize::try_from(capacity).unwrap_or(usize::MAX);
        let window_max = (whole / 100).max(1);
        WTinyLfu {
            window_max,
            protected_max: (whole - window_max) * 8 / 10,
            main_max: whole - window_max,
            links: Links::new(items),
            queues: [Queue::new(); 3],
            places: vec![None; items],
            counts: vec![0; items],
            counted: 0,
            sample: capacity.saturating_mul(10),
        }
    }

    fn count(&mut self, item: u32) {
        let count = &mut self.counts[item as usize];
        *count = (*count + 1).min(15);
        self.counted += 1;
        if self.counted >= self.sample {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.counted /= 2;
        }
    }

    fn put(&mut self, item: u32, place: Option<Place>) {
        if let Some(old) = self.places[item as usize] {
            self.queues[old as usize].remove(&mut self.links, item);
        }
        if let Some(place) = place {
            self.queues[place as usize].push(&mut self.links, item);
        }
        self.places[item as usize] = place;
    }

    fn oldest(&self, place: Place) -> Option<u32> {
        self.queues[place as usize].oldest()
    }

    fn len(&self, place: Place) -> usize {
        self.queues[place as usize].len
    }

    /// What leaves the window is let in, or not.
    fn admit(&mut self, candidate: u32) {
        if self.len(Probation) + self.len(Protected) < self.main_max {
            return self.put(candidate, Some(Probation));
        }
        let victim = self.oldest(Probation).or(self.oldest(Protected));
        match victim {
            Some(victim) if self.counts[candidate as usize] > self.counts[victim as usize] => {
                self.put(victim, None);
                self.put(candidate, Some(Probation));
            }
            _ => self.put(candidate, None),
        }
    }
}

impl Policy for WTinyLfu {
    fn access(&mut self, item: u32, _weight: u32) -> bool {
        self.count(item);
        match self.places[item as usize] {
            Some(Window) => self.put(item, Some(Window)),
            Some(Probation | Protected) => {
                self.put(item, Some(Protected));
                if self.len(Protected) > self.protected_max
                    && let Some(demoted) = self.oldest(Protected)
                {
                    self.put(demoted, Some(Probation));
                }
            }
            None => {
                self.put(item, Some(Window));
                if self.len(Window) > self.window_max
                    && let Some(candidate) = self.oldest(Window)
                {
                    self.admit(candidate);
                }
                return false;
            }
        }
        true
    }
}
