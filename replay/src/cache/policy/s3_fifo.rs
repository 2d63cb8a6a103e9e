//! S3-FIFO (Yang et al., 2023) as published: a small queue of a tenth, a main queue, and a ghost queue of as much as the
//! main one.

use super::Policy;
use crate::cache::list::{Links, Queue};

/// See the module.
pub struct S3Fifo {
    capacity: u64,
    small_max: u64,
    links: Links,
    small: Queue,
    main: Queue,
    ghost: Queue,
    small_bytes: u64,
    main_bytes: u64,
    ghost_bytes: u64,
    states: Vec<State>,
}

#[derive(Clone, Copy)]
struct State {
    place: Place,
    uses: u8,
    weight: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Small,
    Main,
    Ghost,
}

impl S3Fifo {
    /// Empty.
    pub fn new(capacity: u64, items: usize) -> S3Fifo {
        S3Fifo {
            capacity,
            small_max: (capacity / 10).max(1),
            links: Links::new(items),
            small: Queue::new(),
            main: Queue::new(),
            ghost: Queue::new(),
            small_bytes: 0,
            main_bytes: 0,
            ghost_bytes: 0,
            states: vec![State { place: Place::Nowhere, uses: 0, weight: 0 }; items],
        }
    }

    fn evict(&mut self) {
        if self.small_bytes >= self.small_max || self.main.len == 0 { self.evict_small() } else { self.evict_main() }
    }

    fn evict_small(&mut self) {
        while let Some(item) = self.small.pop(&mut self.links) {
            let state = &mut self.states[item as usize];
            self.small_bytes -= u64::from(state.weight);
            if state.uses > 1 {
                (state.uses, state.place) = (0, Place::Main);
                self.main_bytes += u64::from(state.weight);
                self.main.push(&mut self.links, item);
                if self.main_bytes > self.capacity - self.small_max {
                    return self.evict_main();
                }
            } else {
                return self.remember(item);
            }
        }
        self.evict_main();
    }

    fn evict_main(&mut self) {
        while let Some(item) = self.main.pop(&mut self.links) {
            let state = &mut self.states[item as usize];
            if state.uses == 0 {
                self.main_bytes -= u64::from(state.weight);
                state.place = Place::Nowhere;
                return;
            }
            state.uses -= 1;
            self.main.push(&mut self.links, item);
        }
    }

    fn remember(&mut self, item: u32) {
        let state = &mut self.states[item as usize];
        state.place = Place::Ghost;
        self.ghost_bytes += u64::from(state.weight);
        self.ghost.push(&mut self.links, item);
        while self.ghost_bytes > self.capacity - self.small_max {
            let Some(oldest) = self.ghost.pop(&mut self.links) else { return };
            let state = &mut self.states[oldest as usize];
            state.place = Place::Nowhere;
            self.ghost_bytes -= u64::from(state.weight);
        }
    }
}

impl Policy for S3Fifo {
    fn access(&mut self, item: u32, weight: u32) -> bool {
        let state = &mut self.states[item as usize];
        if matches!(state.place, Place::Small | Place::Main) {
            state.uses = (state.uses + 1).min(3);
            return true;
        }
        if u64::from(weight) > self.capacity {
            return false;
        }
        let was_ghost = state.place == Place::Ghost;
        if was_ghost {
            self.ghost_bytes -= u64::from(state.weight);
            state.place = Place::Nowhere;
            self.ghost.remove(&mut self.links, item);
        }
        while self.small_bytes + self.main_bytes + u64::from(weight) > self.capacity {
            self.evict();
        }
        let place = if was_ghost { Place::Main } else { Place::Small };
        self.states[item as usize] = State { place, uses: 0, weight };
        if was_ghost {
            self.main_bytes += u64::from(weight);
            self.main.push(&mut self.links, item);
        } else {
            self.small_bytes += u64::from(weight);
            self.small.push(&mut self.links, item);
        }
        false
    }
}
