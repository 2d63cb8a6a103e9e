//! Which locks are held, by whom, and on what?
//!
//! The table is the fold of the log's lock events; leases ride along as soft state. Every lock is found by token, by
//! session, by resource and by room; and every node of the tree knows how many hold it in which mode, so that the
//! question whether a lock can be granted costs the depth of the tree and not the number of holders.
//! The table grants nothing and refuses nothing: that is decided before ([`super::outlook`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::closure::{Closure, Counts, Mode, Node, NodeMap, closure, conflict};
use super::lease::Lease;
use super::token_set::TokenSet;
use super::{LockType, Token};
use crate::building::command::{Actor, Place, Target};
use crate::building::event::{LockGranted, LockedTarget, Scope};
use crate::id::{ResourceId, RoomId, SessionId, UserId};
use crate::time::Wall;

/// A lock that is held.
#[derive(Clone, Debug)]
pub(crate) struct Lock {
    pub(crate) token: Token,
    pub(crate) lock_type: LockType,
    pub(crate) targets: SmallVec<[Target; 1]>,
    pub(crate) session: SessionId,
    pub(crate) user: UserId,
    pub(crate) username: Arc<str>,
    pub(crate) legacy: bool,
    /// As granted; the lease has the one that runs.
    pub(crate) ttl_ms: u64,
    pub(crate) at: Wall,
    pub(crate) held_since: Wall,
    pub(crate) metadata: Option<Box<str>>,
    pub(crate) lease: Lease,
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
pub(crate) struct Holders {
    intents: u32,
    exclusives: SmallVec<[Token; 1]>,
}

impl Holders {
    fn counts(&self) -> Counts {
        Counts { intents: self.intents, exclusives: self.exclusives.len() as u32 }
    }
}

/// The locks of a building.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    locks: BTreeMap<Token, Box<Lock>>,
    nodes: NodeMap<Holders>,
    by_session: HashMap<SessionId, TokenSet, RandomState>,
    by_resource: HashMap<ResourceId, TokenSet, RandomState>,
    by_room: HashMap<RoomId, TokenSet, RandomState>,
    views: usize,
    last: Option<Token>,
}

impl Table {
    /// Takes in what the log says. A token that is held already changes nothing.
    pub(crate) fn insert(&mut self, granted: &LockGranted) {
        if granted.targets.is_empty() || self.locks.contains_key(&granted.token) {
            return;
        }
        let token = granted.token;
        let lock = Box::new(Lock {
            token,
            lock_type: granted.lock_type,
            targets: granted.targets.iter().map(target).collect(),
            session: granted.session.clone(),
            user: granted.user.clone(),
            username: granted.username.clone(),
            legacy: granted.legacy,
            ttl_ms: granted.ttl_ms,
            at: granted.at,
            held_since: granted.held_since,
            metadata: granted.metadata.clone(),
            lease: Lease::unarmed(granted.ttl_ms),
        });
        for &(node, mode) in &lock.closure() {
            let holders = self.nodes.entry(node);
            match mode {
                Mode::Intent => holders.intents += 1,
                Mode::Exclusive => holders.exclusives.push(token),
            }
        }
        index(&mut self.by_session, &lock.session, token);
        for target in &lock.targets {
            index(&mut self.by_resource, &target.resource, token);
            for room in target.place.rooms() {
                index(&mut self.by_room, room, token);
            }
        }
        self.views += usize::from(lock.is_view());
        self.locks.insert(token, lock);
        self.last = self.last.max(Some(token));
    }

    pub(crate) fn remove(&mut self, token: Token) -> Option<Box<Lock>> {
        let lock = self.locks.remove(&token)?;
        self.views -= usize::from(lock.is_view());
        for &(node, mode) in &lock.closure() {
            self.nodes.change(node, |holders| {
                match mode {
                    Mode::Intent => holders.intents -= 1,
                    Mode::Exclusive => holders.exclusives.retain(|t| *t != token),
                }
                holders.counts() == Counts::NONE
            });
        }
        unindex(&mut self.by_session, &lock.session, token);
        for target in &lock.targets {
            unindex(&mut self.by_resource, &target.resource, token);
            for room in target.place.rooms() {
                unindex(&mut self.by_room, room, token);
            }
        }
        Some(lock)
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Lock> {
        self.locks.get(&token).map(|lock| &**lock)
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut Lock> {
        self.locks.get_mut(&token).map(|lock| &mut **lock)
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
        self.locks.values().map(|lock| &**lock)
    }

    pub(crate) fn of_session<'a>(&'a self, session: &SessionId) -> impl Iterator<Item = &'a Lock> + use<'a> {
        self.resolve(self.by_session.get(session))
    }

    pub(crate) fn count_of_session(&self, session: &SessionId) -> usize {
        self.by_session.get(session).map_or(0, TokenSet::len)
    }

    pub(crate) fn on_resource<'a>(&'a self, resource: &ResourceId) -> impl Iterator<Item = &'a Lock> + use<'a> {
        self.resolve(self.by_resource.get(resource))
    }

    pub(crate) fn in_room<'a>(&'a self, room: &RoomId) -> impl Iterator<Item = &'a Lock> + use<'a> {
        self.resolve(self.by_room.get(room))
    }

    /// How many hold a node, by mode.
    pub(crate) fn counts(&self, node: Node<'_>) -> Counts {
        self.nodes.get(node).map_or(Counts::NONE, Holders::counts)
    }

    /// The exclusive holders of a node.
    pub(crate) fn exclusives(&self, node: Node<'_>) -> &[Token] {
        self.nodes.get(node).map_or(&[], |holders| &holders.exclusives)
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

    /// Whether indexes and locks tell the same, and no two sessions exclude each other (L1, L7).
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut again = NodeMap::<Counts>::default();
        let (mut sessions, mut resources, mut rooms) = (0, 0, 0);
        for lock in self.iter() {
            again.add(&lock.closure());
            sessions += 1;
            resources += lock.targets.len();
            rooms += lock.targets.iter().map(|t| t.place.rooms().len()).sum::<usize>();
        }
        for (node, holders) in self.nodes.iter() {
            if holders.counts() != again.counts(node) {
                return Err(format!("L7: {node:?} counts {holders:?}, its locks give {:?}", again.counts(node)));
            }
            let mut owners = holders.exclusives.iter().map(|t| self.get(*t).map(|lock| &lock.session));
            let Some(owner) = owners.next() else { continue };
            let Some(owner) = owner else {
                return Err(format!("L7: {node:?} is held by a token without a lock"));
            };
            if owners.any(|other| other != Some(owner)) {
                return Err(format!("L1: {node:?} is held exclusively by two sessions: {holders:?}"));
            }
            let below = |lock: &&Lock| lock.closure().contains(&(node, Mode::Intent));
            let own = self.of_session(owner).filter(below).count();
            if own != holders.intents as usize {
                return Err(format!("L1: {node:?} is held exclusively by {owner} and wanted below by another session"));
            }
        }
        let indexed = |sets: &mut dyn Iterator<Item = &TokenSet>| sets.map(TokenSet::len).sum::<usize>();
        let counted = (
            indexed(&mut self.by_session.values()),
            indexed(&mut self.by_resource.values()),
            indexed(&mut self.by_room.values()),
        );
        // A thing that names a room twice is indexed there once.
        if counted.0 != sessions || counted.1 > resources || counted.2 > rooms {
            return Err(format!("indexes hold {counted:?}, the locks {:?}", (sessions, resources, rooms)));
        }
        if self.locks.keys().next_back().copied() > self.last {
            return Err(format!("L2: a lock is younger than the last token {:?}", self.last));
        }
        Ok(())
    }

    fn resolve<'a>(&'a self, tokens: Option<&'a TokenSet>) -> impl Iterator<Item = &'a Lock> {
        tokens.into_iter().flat_map(TokenSet::iter).filter_map(|token| self.get(token))
    }
}

fn index<K: Clone + Eq + std::hash::Hash>(map: &mut HashMap<K, TokenSet, RandomState>, key: &K, token: Token) {
    match map.get_mut(key) {
        Some(set) => set.insert(token),
        None => map.entry(key.clone()).or_default().insert(token),
    }
}

fn unindex<K: Eq + std::hash::Hash>(map: &mut HashMap<K, TokenSet, RandomState>, key: &K, token: Token) {
    if let Some(set) = map.get_mut(key) {
        set.remove(token);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

/// A locked thing as it was asked for. A log that names no room for it puts it nowhere.
fn target(locked: &LockedTarget) -> Target {
    let rooms = || locked.seen.iter().map(|seen| seen.room.clone());
    let place = match (locked.scope, locked.seen.first()) {
        (Scope::Building, Some(seen)) => Place::Building(seen.room.clone()),
        (Scope::Floor, Some(seen)) => Place::Floor(seen.room.clone()),
        _ => Place::Item(rooms().collect()),
    };
    Target { resource: locked.resource.clone(), place }
}
