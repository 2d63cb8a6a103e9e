//! Which locks are held, by whom, and on what?
//!
//! The table is the fold of the log's lock events; leases ride along as soft state. Every lock is found by token, by
//! session, by resource and by room; and every node of the tree knows how many hold it in which mode, so that the
//! question whether a lock can be granted costs the depth of the tree and not the number of holders.
//! The table grants nothing and refuses nothing: that is decided before ([`super::outlook`]).

mod check;

use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;

use smallvec::SmallVec;

use super::ascending::Ascending;
use super::closure::{Closure, Counts, Mode, Node, closure, conflict};
use super::lease::Lease;
use super::small_set::SmallSet;
use super::{LockType, Token};
use crate::building::command::{Actor, Place, Target};
use crate::building::event::LockGranted;
use crate::id::{IdMap, ResourceId, RoomId, SessionId};

/// A lock that is held: everything that its grant says, and a lease.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    pub(crate) granted: Arc<LockGranted>,
    pub(crate) lease: Lease,
}

impl Deref for Lock {
    type Target = LockGranted;

    fn deref(&self) -> &LockGranted {
        &self.granted
    }
}

impl Lock {
    pub(crate) fn closure(&self) -> Closure<'_> {
        closure(self.lock_type, &self.targets)
    }

    pub(crate) fn is_view(&self) -> bool {
        self.lock_type == LockType::AnalyticsView
    }

    /// What the lock covers, as the name of it: the first of several.
    pub(crate) fn resource(&self) -> &ResourceId {
        &self.targets[0].resource
    }

    /// Whether the actor may release and renew the lock.
    pub(crate) fn belongs_to(&self, actor: &Actor) -> bool {
        self.session == actor.session || (actor.legacy && self.user == actor.user)
    }

    /// Whether this is the lock that somebody asks for who asks for `lock_type` on `targets`.
    pub(crate) fn is(&self, lock_type: LockType, targets: &[Target]) -> bool {
        self.lock_type == lock_type && same_resources(&self.targets, targets)
    }

    /// Whether the lock is seen in `room`, or covers it with the whole building.
    pub(crate) fn concerns(&self, room: &RoomId) -> bool {
        self.targets.iter().any(|t| matches!(t.place, Place::Building(_)) || t.place.rooms().contains(room))
    }
}

/// Whether both name the same things, in whatever order. Neither names one twice.
pub(crate) fn same_resources(a: &[Target], b: &[Target]) -> bool {
    a.len() == b.len() && a.iter().all(|t| b.iter().any(|other| other.resource == t.resource))
}

/// Who holds a node. All exclusive holders of a node are one session.
#[derive(Clone, Debug, Default)]
struct Holders {
    intents: u32,
    exclusives: SmallVec<[Token; 1]>,
}

impl Holders {
    fn counts(&self) -> Counts {
        Counts { intents: self.intents, exclusives: self.exclusives.len() as u32 }
    }

    fn add(&mut self, mode: Mode, token: Token) {
        match mode {
            Mode::Intent => self.intents += 1,
            Mode::Exclusive => self.exclusives.push(token),
        }
    }

    fn remove(&mut self, mode: Mode, token: Token) {
        match mode {
            Mode::Intent => self.intents -= 1,
            Mode::Exclusive => self.exclusives.retain(|other| *other != token),
        }
    }
}

/// What is known at a room or a resource: the locks that are seen there, and who holds the node of that name.
#[derive(Clone, Debug, Default)]
struct Spot {
    locks: SmallSet<Token>,
    holders: Holders,
}

/// The locks of a building.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    locks: Ascending<Token, Lock>,
    by_session: IdMap<SessionId, SmallSet<Token>>,
    building: Holders,
    rooms: IdMap<RoomId, Spot>,
    resources: IdMap<ResourceId, Spot>,
    views: usize,
    last: Option<Token>,
}

impl Table {
    /// Takes in what the log says. A token that is held already changes nothing.
    pub(crate) fn insert(&mut self, granted: &Arc<LockGranted>) {
        let token = granted.token;
        if granted.targets.is_empty() || self.locks.get(token).is_some() {
            return;
        }
        let lock = Lock { granted: granted.clone(), lease: Lease::unarmed(granted.ttl_ms) };
        self.enter(&lock);
        self.locks.insert(token, lock);
        self.last = self.last.max(Some(token));
    }

    pub(crate) fn remove(&mut self, token: Token) -> Option<Lock> {
        let lock = self.locks.remove(token)?;
        self.leave(&lock);
        Some(lock)
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Lock> {
        self.locks.get(token)
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut Lock> {
        self.locks.get_mut(token)
    }

    pub(crate) fn len(&self) -> usize {
        self.locks.len()
    }

    /// How many of the locks are views.
    pub(crate) fn views(&self) -> usize {
        self.views
    }

    /// The largest token that was ever granted here.
    pub(crate) fn last(&self) -> Option<Token> {
        self.last
    }

    /// Used when a state is restored: tokens of locks that are gone count too.
    pub(crate) fn set_last(&mut self, last: Option<Token>) {
        self.last = self.last.max(last);
    }

    /// All locks, in order of token.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Lock> {
        self.locks.iter().map(|(_, lock)| lock)
    }

    pub(crate) fn of_session<'a>(&'a self, session: &SessionId) -> impl Iterator<Item = &'a Lock> + use<'a> {
        self.resolve(self.by_session.get(session))
    }

    pub(crate) fn count_of_session(&self, session: &SessionId) -> usize {
        self.by_session.get(session).map_or(0, SmallSet::len)
    }

    pub(crate) fn count_in_room(&self, room: &RoomId) -> usize {
        self.rooms.get(room).map_or(0, |spot| spot.locks.len())
    }

    pub(crate) fn on_resource<'a>(&'a self, resource: &ResourceId) -> impl Iterator<Item = &'a Lock> + use<'a> {
        self.resolve(self.resources.get(resource).map(|spot| &spot.locks))
    }

    pub(crate) fn in_room<'a>(&'a self, room: &RoomId) -> impl Iterator<Item = &'a Lock> + use<'a> {
        self.resolve(self.rooms.get(room).map(|spot| &spot.locks))
    }

    /// How many hold a node, by mode.
    pub(crate) fn counts(&self, node: Node<'_>) -> Counts {
        self.holders(node).map_or(Counts::NONE, Holders::counts)
    }

    /// The exclusive holders of a node.
    pub(crate) fn exclusives(&self, node: Node<'_>) -> &[Token] {
        self.holders(node).map_or(&[], |holders| &holders.exclusives)
    }

    fn holders(&self, node: Node<'_>) -> Option<&Holders> {
        match node {
            Node::Building => Some(&self.building),
            Node::Floor(floor) => self.rooms.get(floor).map(|spot| &spot.holders),
            Node::Item(item) => self.resources.get(item).map(|spot| &spot.holders),
        }
    }

    /// Locks that exclude `wanted` and are not left out by `skip`: at most `max`, the smallest tokens of each node.
    pub(crate) fn conflicting<'a>(
        &'a self,
        wanted: &Closure<'_>,
        max: usize,
        skip: impl Fn(&Lock) -> bool,
    ) -> Vec<&'a Lock> {
        let mut found: Vec<&Lock> = Vec::new();
        for &(node, mode) in wanted {
            // Counted first: a node without obstacles must not cost a walk over everything that is seen in the room.
            if !self.counts(node).exclude(mode) {
                continue;
            }
            let mut take = |there: &mut dyn Iterator<Item = &'a Lock>| {
                found.extend(there.filter(|lock| !skip(lock) && conflict(&lock.closure(), wanted)).take(max));
            };
            match (node, mode) {
                (Node::Building, Mode::Exclusive) => take(&mut self.iter()),
                (Node::Floor(floor), Mode::Exclusive) => take(&mut self.in_room(floor)),
                _ => take(&mut self.exclusives(node).iter().filter_map(|token| self.get(*token))),
            }
        }
        found.sort_unstable_by_key(|lock| lock.token);
        found.dedup_by_key(|lock| lock.token);
        found.truncate(max);
        found
    }

    /// Finds a lock by everything that it is found by, from now on.
    fn enter(&mut self, lock: &Lock) {
        let token = lock.token;
        let closure = lock.closure();
        if let Some(mode) = mode_at(&closure, Node::Building) {
            self.building.add(mode, token);
        }
        for target in &lock.targets[..] {
            for room in target.place.rooms() {
                at(&mut self.rooms, room, |spot| {
                    // A lock that names a room twice is there once.
                    if spot.locks.insert(token)
                        && let Some(mode) = mode_at(&closure, Node::Floor(room))
                    {
                        spot.holders.add(mode, token);
                    }
                });
            }
            // A resource is mostly free before.
            let spot = self.resources.entry(target.resource.clone()).or_default();
            if spot.locks.insert(token)
                && let Some(mode) = mode_at(&closure, Node::Item(&target.resource))
            {
                spot.holders.add(mode, token);
            }
        }
        at(&mut self.by_session, &lock.session, |tokens| {
            tokens.insert(token);
        });
        self.views += usize::from(lock.is_view());
    }

    fn leave(&mut self, lock: &Lock) {
        let token = lock.token;
        let closure = lock.closure();
        if let Some(mode) = mode_at(&closure, Node::Building) {
            self.building.remove(mode, token);
        }
        let leave = |spot: &mut Spot, node: Node<'_>| {
            if spot.locks.remove(token)
                && let Some(mode) = mode_at(&closure, node)
            {
                spot.holders.remove(mode, token);
            }
            spot.locks.is_empty()
        };
        for target in &lock.targets[..] {
            for room in target.place.rooms() {
                tidy(&mut self.rooms, room, |spot| leave(spot, Node::Floor(room)));
            }
            let resource = &target.resource;
            tidy(&mut self.resources, resource, |spot| leave(spot, Node::Item(resource)));
        }
        tidy(&mut self.by_session, &lock.session, |tokens| {
            tokens.remove(token);
            tokens.is_empty()
        });
        self.views -= usize::from(lock.is_view());
    }

    fn resolve<'a>(&'a self, tokens: Option<&'a SmallSet<Token>>) -> impl Iterator<Item = &'a Lock> {
        tokens.into_iter().flat_map(SmallSet::iter).filter_map(|token| self.get(token))
    }
}

/// The mode that a closure has on a node.
fn mode_at(closure: &Closure<'_>, node: Node<'_>) -> Option<Mode> {
    let there = closure.iter().find(|(other, _)| *other == node);
    there.map(|(_, mode)| *mode)
}

/// Changes what is kept under a key, made when there is nothing yet. Mostly there is something.
fn at<K: Clone + Eq + Hash, V: Default>(map: &mut IdMap<K, V>, key: &K, change: impl FnOnce(&mut V)) {
    match map.get_mut(key) {
        Some(there) => change(there),
        None => change(map.entry(key.clone()).or_default()),
    }
}

/// Changes what is kept under a key, and forgets it when `change` says that nothing is left.
fn tidy<K: Eq + Hash, V>(map: &mut IdMap<K, V>, key: &K, change: impl FnOnce(&mut V) -> bool) {
    if map.get_mut(key).is_some_and(change) {
        map.remove(key);
    }
}
