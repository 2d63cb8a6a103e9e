//! What was not asked for the longest goes.

use super::Policy;
use crate::cache::list::{Links, Queue};

/// See the module.
pub struct Lru {
    capacity: u64,
    bytes: u64,
    links: Links,
    queue: Queue,
    /// What each item weighs that is there; 0 for others.
    weights: Vec<u32>,
}

impl Lru {
    /// Empty.
    pub fn new(capacity: u64, items: usize) -> Lru {
        Lru { capacity, bytes: 0, links: Links::new(items), queue: Queue::new(), weights: vec![0; items] }
    }
}

impl Policy for Lru {
    fn access(&mut self, item: u32, weight: u32) -> bool {
        if self.weights[item as usize] > 0 {
            self.queue.renew(&mut self.links, item);
            return true;
        }
        if u64::from(weight) > self.capacity {
            return false;
        }
        while self.bytes + u64::from(weight) > self.capacity {
            let Some(oldest) = self.queue.pop(&mut self.links) else { break };
            self.bytes -= u64::from(std::mem::take(&mut self.weights[oldest as usize]));
        }
        self.queue.push(&mut self.links, item);
        self.weights[item as usize] = weight;
        self.bytes += u64::from(weight);
        false
    }
}
