//! A queue through the entries themselves: the newest at one end, the oldest at the other.

use super::arena::{Arena, NONE};
use super::entry::{Links, Node};

/// The chain of an entry's place.
pub(super) const BY_PLACE: usize = 0;
/// The chain of an entry's strategy.
pub(super) const BY_STRATEGY: usize = 1;

/// A chain by the links of this number.
#[derive(Debug)]
pub(super) struct Chain<const BY: usize> {
    newest: u32,
    oldest: u32,
    pub(super) len: u32,
    /// What its entries are charged together.
    pub(super) bytes: u64,
}

impl<const BY: usize> Chain<BY> {
    pub(super) fn new() -> Chain<BY> {
        Chain { newest: NONE, oldest: NONE, len: 0, bytes: 0 }
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Puts an entry of no such chain at the young end.
    pub(super) fn push<V>(&mut self, arena: &mut Arena<Node<V>>, number: u32) {
        let node = arena.at_mut(number);
        node.links[BY] = Links { newer: NONE, older: self.newest };
        self.len += 1;
        self.bytes += u64::from(node.weight);
        match self.newest {
            NONE => self.oldest = number,
            newest => arena.at_mut(newest).links[BY].newer = number,
        }
        self.newest = number;
    }

    /// Takes out an entry of this chain.
    pub(super) fn remove<V>(&mut self, arena: &mut Arena<Node<V>>, number: u32) {
        let node = arena.at(number);
        let Links { newer, older } = node.links[BY];
        self.len -= 1;
        self.bytes -= u64::from(node.weight);
        match newer {
            NONE => self.newest = older,
            newer => arena.at_mut(newer).links[BY].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => arena.at_mut(older).links[BY].newer = newer,
        }
    }

    /// The oldest becomes the newest.
    pub(super) fn spare_oldest<V>(&mut self, arena: &mut Arena<Node<V>>) {
        let number = self.oldest;
        self.remove(arena, number);
        self.push(arena, number);
    }
}
