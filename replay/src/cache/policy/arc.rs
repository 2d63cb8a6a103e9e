//! ARC (Megiddo and Modha, 2003): what was asked for once and what more often, each with its ghosts; a hit among the
//! ghosts of one gives it room at the cost of the other. Entries are counted, not weighed.

use super::Policy;
use crate::cache::list::{Links, Queue};

/// See the module.
pub struct Arc {
    capacity: usize,
    /// How many of the capacity `Once` is to have.
    target: usize,
    links: Links,
    queues: [Queue; 4],
    places: Vec<Option<Place>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Once,
    Often,
    OnceGhost,
    OftenGhost,
}

use Place::{Often, OftenGhost, Once, OnceGhost};

impl Arc {
    /// Empty.
    pub fn new(capacity: u64, items: usize) -> Arc {
        Arc {
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            target: 0,
            links: Links::new(items),
            queues: [Queue::new(); 4],
            places: vec![None; items],
        }
    }

    fn len(&self, place: Place) -> usize {
        self.queues[place as usize].len
    }

    fn put(&mut self, item: u32, place: Place) {
        if let Some(old) = self.places[item as usize] {
            self.queues[old as usize].remove(&mut self.links, item);
        }
        self.queues[place as usize].push(&mut self.links, item);
        self.places[item as usize] = Some(place);
    }

    fn drop_oldest(&mut self, place: Place) {
        if let Some(oldest) = self.queues[place as usize].pop(&mut self.links) {
            self.places[oldest as usize] = None;
        }
    }

    /// The authors' REPLACE.
    fn make_room(&mut self, is_often_ghost: bool) {
        let once = self.len(Once);
        let from = if once > 0 && (once > self.target || is_often_ghost && once == self.target) { Once } else { Often };
        let ghost = if from == Once { OnceGhost } else { OftenGhost };
        if let Some(oldest) = self.queues[from as usize].oldest() {
            self.put(oldest, ghost);
        }
    }
}

impl Policy for Arc {
    fn access(&mut self, item: u32, _weight: u32) -> bool {
        match self.places[item as usize] {
            Some(Once | Often) => {
                self.put(item, Often);
                return true;
            }
            Some(OnceGhost) => {
                let step = (self.len(OftenGhost) / self.len(OnceGhost)).max(1);
                self.target = (self.target + step).min(self.capacity);
                self.make_room(false);
                self.put(item, Often);
            }
            Some(OftenGhost) => {
                let step = (self.len(OnceGhost) / self.len(OftenGhost)).max(1);
                self.target = self.target.saturating_sub(step);
                self.make_room(true);
                self.put(item, Often);
            }
            None => {
                let once = self.len(Once) + self.len(OnceGhost);
                let all = once + self.len(Often) + self.len(OftenGhost);
                if once == self.capacity {
                    if self.len(Once) < self.capacity {
                        self.drop_oldest(OnceGhost);
                        self.make_room(false);
                    } else {
                        self.drop_oldest(Once);
                    }
                } else if all >= self.capacity {
                    if all == 2 * self.capacity {
                        self.drop_oldest(OftenGhost);
                    }
                    self.make_room(false);
                }
                self.put(item, Once);
            }
        }
        false
    }
}
