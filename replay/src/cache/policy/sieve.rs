//! SIEVE (Zhang et al., 2024): one queue and a hand that goes from the old end to the young, spares what was asked for
//! since it last came by, and takes the first other.

use super::Policy;
use crate::cache::list::{Links, Queue};

/// See the module.
pub struct Sieve {
    capacity: u64,
    bytes: u64,
    links: Links,
    queue: Queue,
    hand: Option<u32>,
    is_visited: Vec<bool>,
    weights: Vec<u32>,
}

impl Sieve {
    /// Empty.
    pub fn new(capacity: u64, items: usize) -> Sieve {
        Sieve {
            capacity,
            bytes: 0,
            links: Links::new(items),
            queue: Queue::new(),
            hand: None,
            is_visited: vec![false; items],
            weights: vec![0; items],
        }
    }

    fn evict(&mut self) {
        let Some(mut at) = self.hand.or(self.queue.oldest()) else { return };
        while std::mem::take(&mut self.is_visited[at as usize]) {
            let next = self.links.younger(at).or(self.queue.oldest());
            at = next.expect("the queue has at least the entry that was just spared");
        }
        self.hand = self.links.younger(at);
        self.queue.remove(&mut self.links, at);
        self.bytes -= u64::from(std::mem::take(&mut self.weights[at as usize]));
    }
}

impl Policy for Sieve {
    fn access(&mut self, item: u32, weight: u32) -> bool {
        if self.weights[item as usize] > 0 {
            self.is_visited[item as usize] = true;
            return true;
        }
        if u64::from(weight) > self.capacity {
            return false;
        }
        while self.bytes + u64::from(weight) > self.capacity {
            self.evict();
        }
        self.queue.push(&mut self.links, item);
        self.is_visited[item as usize] = false;
        self.weights[item as usize] = weight;
        self.bytes += u64::from(weight);
        false
    }
}
