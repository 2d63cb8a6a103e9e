//! Has anything been missed on the bus?
//!
//! The bus forgets: what is said while a connection is broken, or while a slow reader's buffer overflows, is gone. So
//! every node numbers what it says, and says every second what its latest number is. A number that was passed over means
//! that something is missing. A node that falls silent may be gone, or we may be cut off from it: nobody can tell, and
//! so it counts as a gap once, unless it said good-bye.
//!
//! Pure: time comes in. Bounded by [`PEERS_MAX`]; beyond it the one that was heard of longest ago is forgotten, and is a
//! stranger when it comes back.

use std::collections::HashMap;

/// How many nodes are remembered.
pub const PEERS_MAX: usize = 1024;

/// How many heartbeats may be missing before a node counts as silent.
pub const BEATS_MISSED_MAX: u64 = 3;

/// A message's place in what its node has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It has this number.
    Number(u64),
    /// It has none; the latest that had one has this.
    After(u64),
    /// The same, and nothing follows.
    Last(u64),
}

/// What a message says about the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// All were heard.
    InOrder,
    /// This one was heard before.
    Again,
    /// Some were not.
    Gap,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    number: u64,
    heard_ms: u64,
    is_silent: bool,
}

/// The other nodes, as far as they are heard.
#[derive(Debug)]
pub struct Peers {
    known: HashMap<u64, Peer>,
    beat_ms: u64,
    since_ms: u64,
}

impl Peers {
    /// Nobody, listening since `now_ms` for heartbeats that come every `beat_ms`.
    pub fn new(beat_ms: u64, now_ms: u64) -> Peers {
        Peers { known: HashMap::new(), beat_ms, since_ms: now_ms }
    }

    /// A message of `node`.
    pub fn hear(&mut self, node: u64, place: Place, now_ms: u64) -> Heard {
        let (number, expected) = match place {
            Place::Number(number) => (number, number.saturating_sub(1)),
            Place::After(number) | Place::Last(number) => (number, number),
        };
        let heard = match self.known.get(&node) {
            // What was said before we listened is not missing: whoever starts to listen takes nothing for valid.
            None if now_ms.saturating_sub(self.since_ms) <= BEATS_MISSED_MAX * self.beat_ms => Heard::InOrder,
            None if expected == 0 => Heard::InOrder,
            None => Heard::Gap,
            Some(peer) if expected == peer.number => Heard::InOrder,
            Some(peer) if number <= peer.number => Heard::Again,
            Some(_) => Heard::Gap,
        };
        if let Place::Last(_) = place {
            self.known.remove(&node);
            return heard;
        }
        let number = self.known.get(&node).map_or(number, |peer| peer.number.max(number));
        self.known.insert(node, Peer { number, heard_ms: now_ms, is_silent: false });
        if self.known.len() > PEERS_MAX {
            self.forget_one();
        }
        heard
    }

    /// Has somebody fallen silent since this was last asked?
    pub fn has_anyone_fallen_silent(&mut self, now_ms: u64) -> bool {
        let bound = BEATS_MISSED_MAX * self.beat_ms;
        let mut found = false;
        for peer in self.known.values_mut().filter(|peer| !peer.is_silent) {
            if now_ms.saturating_sub(peer.heard_ms) > bound {
                peer.is_silent = true;
                found = true;
            }
        }
        found
    }

    fn forget_one(&mut self) {
        if let Some(node) = self.known.iter().min_by_key(|(_, peer)| peer.heard_ms).map(|(node, _)| *node) {
            self.known.remove(&node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Place::{After, Last, Number};

    #[test]
    fn a_number_that_is_passed_over_is_a_gap() {
        let mut peers = Peers::new(1000, 0);
        for (place, expected) in [
            (After(7), Heard::InOrder),
            (Number(8), Heard::InOrder),
            (After(8), Heard::InOrder),
            (Number(8), Heard::Again),
            (Number(10), Heard::Gap),
            (Number(11), Heard::InOrder),
            (After(12), Heard::Gap),
            (After(12), Heard::InOrder),
            (After(11), Heard::Again),
            (Number(13), Heard::InOrder),
        ] {
            assert_eq!(peers.hear(1, place, 10), expected, "{place:?}");
        }
    }

    #[test]
    fn a_stranger_was_missed_unless_we_have_only_begun_to_listen_or_it_has() {
        let mut peers = Peers::new(1000, 0);
        assert_eq!(peers.hear(1, Number(50), 3000), Heard::InOrder);
        assert_eq!(peers.hear(2, Number(50), 3001), Heard::Gap);
        assert_eq!(peers.hear(3, Number(1), 3001), Heard::InOrder);
        assert_eq!(peers.hear(4, After(0), 3001), Heard::InOrder);
        assert_eq!(peers.known.len(), 4);
    }

    #[test]
    fn silence_is_a_gap_once_and_a_good_bye_is_none() {
        let mut peers = Peers::new(1000, 0);
        peers.hear(1, After(0), 0);
        peers.hear(2, After(0), 0);
        assert!(!peers.has_anyone_fallen_silent(3000));
        assert_eq!(peers.hear(2, Last(0), 3000), Heard::InOrder);
        assert!(peers.has_anyone_fallen_silent(3001));
        assert!(!peers.has_anyone_fallen_silent(9000), "told already");
        assert_eq!(peers.hear(1, Number(1), 9000), Heard::InOrder, "it has said nothing meanwhile");
        assert_eq!(peers.known.len(), 1);
    }

    #[test]
    fn no_number_of_nodes_takes_more_than_its_memory() {
        let mut peers = Peers::new(1000, 0);
        for node in 0..10_000 {
            peers.hear(node, After(0), node);
        }
        assert_eq!(peers.known.len(), PEERS_MAX);
    }
}
