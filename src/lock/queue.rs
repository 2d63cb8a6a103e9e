//! Who waits for a lock, and who is next?
//!
//! First come, first served among those who want the same. Waiters who want different things do not stand in each
//! other's way. One exception, without which an upgrade would wait for itself: who waits while holding a lock passes
//! an earlier waiter that is blocked by just that session. Who passes whom is settled when the wait begins, and the
//! one who was passed stands behind from then on; so every two waiters that exclude each other have an order, and
//! granting one of them never makes a new circle.
//!
//! The queue is soft state: it is not logged, and who waits asks again after a restart.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::closure::{Closure, Counts, Mode, NodeMap, closure, conflict};
use super::table::{Lock, same_resources};
use super::{LockType, Ticket};
use crate::building::command::{Actor, Target, Targets};
use crate::id::SessionId;
use crate::time::Mono;

/// Somebody who waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    pub(crate) ticket: Ticket,
    pub(crate) actor: Actor,
    pub(crate) lock_type: LockType,
    pub(crate) targets: Targets,
    pub(crate) ttl_ms: u64,
    pub(crate) metadata: Option<Box<str>>,
    pub(crate) since: Mono,
    pub(crate) until: Mono,
    /// Earlier waiters that stand behind this one.
    pub(crate) passes: SmallVec<[Ticket; 2]>,
    /// How many others stand ahead and want the same.
    pub(crate) ahead: u32,
    pub(crate) armed: Option<Mono>,
}

impl Waiter {
    pub(crate) fn closure(&self) -> Closure<'_> {
        closure(self.lock_type, &self.targets)
    }

    /// Whether somebody who is counted there excludes what is waited for.
    pub(crate) fn meets(&self, there: &NodeMap<Counts>) -> bool {
        there.exclude_targets(self.lock_type, &self.targets)
    }

    pub(crate) fn is(&self, lock_type: LockType, targets: &[Target]) -> bool {
        self.lock_type == lock_type && same_resources(&self.targets, targets)
    }

    /// Whether this waiter, which wants the same as `other`, comes before it.
    pub(crate) fn precedes(&self, other: &Waiter) -> bool {
        if self.ticket < other.ticket {
            !other.passes.contains(&self.ticket)
        } else {
            self.passes.contains(&other.ticket)
        }
    }

    /// Whether this waiter and a lock of another session exclude each other.
    pub(crate) fn waits_for(&self, lock: &Lock) -> bool {
        self.actor.session != lock.session && conflict(&self.closure(), &lock.closure())
    }
}

/// All who wait in a building.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    waiters: BTreeMap<Ticket, Waiter>,
    wanted: NodeMap<Counts>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(crate) fn get(&self, ticket: Ticket) -> Option<&Waiter> {
        self.waiters.get(&ticket)
    }

    pub(crate) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Waiter> {
        self.waiters.get_mut(&ticket)
    }

    /// All who wait, the first who came first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.values()
    }

    pub(crate) fn of_session<'a>(&'a self, session: &'a SessionId) -> impl Iterator<Item = &'a Waiter> {
        self.iter().filter(move |waiter| waiter.actor.session == *session)
    }

    /// Whether anybody who waits might be excluded by a lock with this closure. Cheap; counts the owner's waits too.
    pub(crate) fn may_conflict(&self, closure: &Closure<'_>) -> bool {
        !self.is_empty() && self.wanted.exclude(closure)
    }

    /// Whether anybody who waits might stand in the way of one of the waiters, whose closure this is. Cheap, as above.
    pub(crate) fn has_rival(&self, of_waiter: &Closure<'_>) -> bool {
        of_waiter.iter().any(|&(node, mode)| {
            let mut itself = Counts::NONE;
            itself.add(mode);
            self.wanted.counts(node).minus(itself).exclude(mode)
        })
    }

    /// How many wait for the most wanted thing of this closure.
    pub(crate) fn longest(&self, closure: &Closure<'_>) -> u32 {
        let wanted = closure.iter().filter(|(_, mode)| *mode == Mode::Exclusive);
        wanted.map(|(node, _)| self.wanted.counts(*node).exclusives).max().unwrap_or(0)
    }

    /// How many wait for a lock.
    pub(crate) fn waiters_for(&self, lock: &Lock) -> u32 {
        if lock.is_view() || !self.may_conflict(&lock.closure()) {
            return 0;
        }
        self.iter().filter(|waiter| waiter.waits_for(lock)).count() as u32
    }

    pub(crate) fn insert(&mut self, waiter: Waiter) {
        self.wanted.add(&waiter.closure());
        self.waiters.insert(waiter.ticket, waiter);
    }

    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        self.wanted.remove(&waiter.closure());
        Some(waiter)
    }
}
