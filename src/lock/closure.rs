//! Which nodes of the tree building > floor > item does a lock take, and in which mode?
//!
//! Gray's multi-granularity locking, reduced to what the lock types need: an exclusive mode on what is locked and an
//! intention on everything above it. Two locks conflict exactly when they meet on a node and one of the two is
//! exclusive there. A view takes no node: it never blocks and is never blocked.

use smallvec::SmallVec;

use super::LockType;
use crate::building::command::{Place, Target};
use crate::id::{IdMap, ResourceId, RoomId};

/// A mode on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    /// Something below is locked.
    Intent,
    /// The node and everything below it are locked.
    Exclusive,
}

/// A node of the tree, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node<'a> {
    Building,
    Floor(&'a RoomId),
    Item(&'a ResourceId),
}

/// What one lock takes: every node once, in its strongest mode.
pub(crate) type Closure<'a> = SmallVec<[(Node<'a>, Mode); 3]>;

/// The closure of a lock of this type on these targets.
pub(crate) fn closure(lock_type: LockType, targets: &[Target]) -> Closure<'_> {
    let mut nodes = Closure::new();
    any_node(lock_type, targets, |node, mode| {
        join(&mut nodes, node, mode);
        false
    });
    nodes
}

/// Whether `test` holds for any node that a lock of this type on these targets takes. Asks in the order of the targets
/// and may ask about a node more than once; that is cheaper than gathering the closure of a lock with many targets.
fn any_node<'t>(lock_type: LockType, targets: &'t [Target], mut test: impl FnMut(Node<'t>, Mode) -> bool) -> bool {
    let whole_place = match lock_type {
        LockType::FloorEdit | LockType::GridCalibration => true,
        LockType::ObjectEdit | LockType::RouteEdit => false,
        LockType::AnalyticsView => return false,
    };
    targets.iter().any(|target| match &target.place {
        Place::Building(_) if whole_place => test(Node::Building, Mode::Exclusive),
        Place::Floor(floor) if whole_place => {
            test(Node::Building, Mode::Intent) || test(Node::Floor(floor), Mode::Exclusive)
        }
        place => {
            test(Node::Building, Mode::Intent)
                || floors(place).iter().any(|floor| test(Node::Floor(floor), Mode::Intent))
                || test(Node::Item(&target.resource), Mode::Exclusive)
        }
    })
}

/// The floors that a thing lies on.
pub(crate) fn floors(place: &Place) -> &[RoomId] {
    match place {
        Place::Building(_) => &[],
        place => place.rooms(),
    }
}

fn join<'a>(nodes: &mut Closure<'a>, node: Node<'a>, mode: Mode) {
    match nodes.iter_mut().find(|(n, _)| *n == node) {
        Some((_, there)) => *there = mode.max(*there),
        None => nodes.push((node, mode)),
    }
}

/// Whether two locks of different sessions exclude each other.
pub(crate) fn conflict(a: &Closure<'_>, b: &Closure<'_>) -> bool {
    a.iter().any(|(node, mode)| {
        b.iter().any(|(other, theirs)| node == other && (*mode == Mode::Exclusive || *theirs == Mode::Exclusive))
    })
}

/// How many hold or want a node, by mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) intents: u32,
    pub(crate) exclusives: u32,
}

impl Counts {
    pub(crate) const NONE: Counts = Counts { intents: 0, exclusives: 0 };

    pub(crate) fn add(&mut self, mode: Mode) {
        match mode {
            Mode::Intent => self.intents += 1,
            Mode::Exclusive => self.exclusives += 1,
        }
    }

    pub(crate) fn remove(&mut self, mode: Mode) {
        match mode {
            Mode::Intent => self.intents -= 1,
            Mode::Exclusive => self.exclusives -= 1,
        }
    }

    pub(crate) fn plus(self, other: Counts) -> Counts {
        Counts { intents: self.intents + other.intents, exclusives: self.exclusives + other.exclusives }
    }

    pub(crate) fn minus(self, other: Counts) -> Counts {
        Counts {
            intents: self.intents.saturating_sub(other.intents),
            exclusives: self.exclusives.saturating_sub(other.exclusives),
        }
    }

    /// Whether somebody who is counted here excludes `mode`.
    pub(crate) fn exclude(self, mode: Mode) -> bool {
        self.exclusives > 0 || (mode == Mode::Exclusive && self.intents > 0)
    }
}

/// Something about nodes. Nodes about which there is nothing take no memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeMap<T> {
    building: T,
    floors: IdMap<RoomId, T>,
    items: IdMap<ResourceId, T>,
}

impl<T: Default> NodeMap<T> {
    pub(crate) fn get(&self, node: Node<'_>) -> Option<&T> {
        match node {
            Node::Building => Some(&self.building),
            Node::Floor(floor) => self.floors.get(floor),
            Node::Item(item) => self.items.get(item),
        }
    }

    pub(crate) fn entry(&mut self, node: Node<'_>) -> &mut T {
        match node {
            Node::Building => &mut self.building,
            Node::Floor(floor) => self.floors.entry(floor.clone()).or_default(),
            Node::Item(item) => self.items.entry(item.clone()).or_default(),
        }
    }

    /// Changes what is there and forgets the node when `change` says that nothing is left.
    pub(crate) fn change(&mut self, node: Node<'_>, change: impl FnOnce(&mut T) -> bool) {
        let empty = match node {
            Node::Building => {
                change(&mut self.building);
                return;
            }
            Node::Floor(floor) => self.floors.get_mut(floor).is_some_and(change),
            Node::Item(item) => self.items.get_mut(item).is_some_and(change),
        };
        match node {
            Node::Floor(floor) if empty => drop(self.floors.remove(floor)),
            Node::Item(item) if empty => drop(self.items.remove(item)),
            _ => {}
        }
    }
}

impl NodeMap<Counts> {
    pub(crate) fn counts(&self, node: Node<'_>) -> Counts {
        self.get(node).copied().unwrap_or(Counts::NONE)
    }

    pub(crate) fn add(&mut self, closure: &Closure<'_>) {
        for &(node, mode) in closure {
            self.entry(node).add(mode);
        }
    }

    pub(crate) fn remove(&mut self, closure: &Closure<'_>) {
        for &(node, mode) in closure {
            self.change(node, |counts| {
                counts.remove(mode);
                *counts == Counts::NONE
            });
        }
    }

    /// One closure, to be held against many.
    pub(crate) fn of(closure: &Closure<'_>) -> Self {
        let mut map = Self::default();
        map.add(closure);
        map
    }

    /// Whether somebody who is counted here would exclude a lock of this type on these targets.
    pub(crate) fn exclude_targets(&self, lock_type: LockType, targets: &[Target]) -> bool {
        any_node(lock_type, targets, |node, mode| self.counts(node).exclude(mode))
    }

    /// Whether somebody who is counted here would exclude a lock with this closure.
    pub(crate) fn exclude(&self, closure: &Closure<'_>) -> bool {
        closure.iter().any(|&(node, mode)| self.counts(node).exclude(mode))
    }
}
