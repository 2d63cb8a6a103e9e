//! What will the table be once the decision so far has happened?
//!
//! Deciding only looks, but a decision may do several things, and the later ones must see the earlier ones: what is
//! released may be granted to a waiter, a hand-over is a release and a grant. An outlook is the table and the queue
//! with the changes so far laid over them. Whether a lock can be granted is answered here and nowhere else.

use std::cell::OnceCell;

use smallvec::SmallVec;

use super::closure::{Closure, Counts, Node, NodeMap, closure};
use super::guard::{Guard, Guards};
use super::queue::{Queue, Waiter};
use super::small_set::SmallSet;
use super::table::{Lock, Table};
use super::{LockType, Ticket, Token};
use crate::building::command::Targets;
use crate::id::SessionId;

/// A lock that this decision grants.
#[derive(Debug)]
struct Grant {
    session: SessionId,
    lock_type: LockType,
    targets: Targets,
}

/// Table and queue as they will be.
#[derive(Debug)]
pub(crate) struct Outlook<'a> {
    pub(crate) table: &'a Table,
    pub(crate) queue: &'a Queue,
    guards: Guards,
    released: SmallSet<Token>,
    grants: Vec<Grant>,
    gone: SmallSet<Ticket>,
    stirs: bool,
    /// Nobody waits and nobody asks, so nothing later in the decision depends on what is granted.
    quiet: bool,
    /// What `released` and `grants` change, gathered when it is first asked for: mostly nobody asks.
    change: OnceCell<Box<Change>>,
}

#[derive(Debug, Default)]
struct Change {
    less: NodeMap<Counts>,
    more: NodeMap<Counts>,
}

impl<'a> Outlook<'a> {
    pub(crate) fn new(table: &'a Table, queue: &'a Queue, requests: usize, guards: Guards) -> Self {
        let quiet = queue.is_empty() && requests == 0;
        let (released, grants, gone) = (SmallSet::default(), Vec::new(), SmallSet::default());
        Outlook { table, queue, guards, released, grants, gone, stirs: false, quiet, change: OnceCell::new() }
    }

    /// The lock, if it is still held and was not granted by this decision itself.
    pub(crate) fn lock(&self, token: Token) -> Option<&'a Lock> {
        if self.released.contains(token) { None } else { self.table.get(token) }
    }

    /// Whether the waiter still waits.
    pub(crate) fn waits(&self, ticket: Ticket) -> bool {
        !self.gone.contains(ticket) && self.queue.get(ticket).is_some()
    }

    /// Those who still wait, the first who came first.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = &'a Waiter> {
        self.queue.iter().filter(|waiter| !self.gone.contains(waiter.ticket))
    }

    /// Those who waited before this decision and do not any more.
    pub(crate) fn gone(&self) -> &SmallSet<Ticket> {
        &self.gone
    }

    pub(crate) fn release(&mut self, lock: &Lock) {
        self.released.insert(lock.token);
        self.stirs |= !self.queue.is_empty() && self.queue.may_conflict(&lock.closure());
        if let Some(change) = self.change.get_mut() {
            change.less.add(&lock.closure());
        }
    }

    pub(crate) fn grant(&mut self, session: &SessionId, lock_type: LockType, targets: &Targets) {
        if self.quiet {
            return;
        }
        if let Some(change) = self.change.get_mut() {
            change.more.add(&closure(lock_type, targets));
        }
        self.grants.push(Grant { session: session.clone(), lock_type, targets: targets.clone() });
    }

    pub(crate) fn dequeue(&mut self, ticket: Ticket) {
        self.gone.insert(ticket);
        self.stirs = true;
    }

    /// Whether anything has changed so far by which somebody's turn may have come.
    pub(crate) fn stirs(&self) -> bool {
        self.stirs
    }

    /// Locks held and about to be held by a session.
    pub(crate) fn count_of_session(&self, session: &SessionId) -> usize {
        let released = match self.released.len() {
            0 => 0,
            _ => self.table.of_session(session).filter(|lock| self.released.contains(lock.token)).count(),
        };
        let granted = self.grants.iter().filter(|grant| grant.session == *session).count();
        self.table.count_of_session(session) - released + granted
    }

    /// Whether a lock with this closure is excluded by what other sessions hold: one look at each node's counts.
    /// Only where somebody does exclude it, the session's own part is subtracted.
    pub(crate) fn held_by_others(&self, wanted: &Closure<'_>, session: &SessionId) -> bool {
        if !self.guards.hold(Guard::Exclusion) {
            return false;
        }
        let looked_at =
            if self.guards.hold(Guard::AllOrNothing) { &wanted[..] } else { &wanted[..wanted.len().min(3)] };
        looked_at.iter().any(|&(node, mode)| {
            let all = self.counts(node);
            if !all.exclude(mode) {
                return false;
            }
            !self.guards.hold(Guard::OwnLocks) || all.minus(self.own_counts(node, session)).exclude(mode)
        })
    }

    /// Whether nothing but the lock itself keeps `session` from having it.
    pub(crate) fn can_move(&self, lock: &Lock, session: &SessionId) -> bool {
        if !self.guards.hold(Guard::HandOver) {
            return true;
        }
        lock.closure().iter().all(|&(node, mode)| {
            let mut itself = Counts::NONE;
            itself.add(mode);
            !self.counts(node).minus(itself).minus(self.own_counts(node, session)).exclude(mode)
        })
    }

    /// Other sessions' locks that exclude this closure, the smallest tokens first, at most `max`.
    pub(crate) fn blockers(&self, wanted: &Closure<'_>, session: &SessionId, max: usize) -> Vec<&'a Lock> {
        self.table.conflicting(wanted, max, |lock| lock.session == *session || self.released.contains(lock.token))
    }

    /// Whether anybody who came earlier keeps a newcomer from having this closure. Looks no further than the first.
    pub(crate) fn stands_behind(&self, wanted: &Closure<'_>, session: &SessionId) -> bool {
        if !self.guards.hold(Guard::Fifo) || !self.queue.may_conflict(wanted) {
            return false;
        }
        let asker = self.standing(session);
        self.rivals(wanted, session).any(|other| !asker.blocks(other))
    }

    /// Which earlier waiters a newcomer passes: those who wait for what its session holds. Looks at everybody who waits.
    pub(crate) fn passes(&self, wanted: &Closure<'_>, session: &SessionId) -> SmallVec<[Ticket; 2]> {
        if !self.guards.hold(Guard::Fifo) || !self.queue.may_conflict(wanted) {
            return SmallVec::new();
        }
        let asker = self.standing(session);
        self.rivals(wanted, session).filter(|other| asker.blocks(other)).map(|other| other.ticket).collect()
    }

    /// Waiters of other sessions who want something of this closure.
    fn rivals(&self, wanted: &Closure<'_>, session: &SessionId) -> impl Iterator<Item = &'a Waiter> {
        let wanted = NodeMap::of(wanted);
        self.waiters().filter(move |other| other.actor.session != *session && other.meets(&wanted))
    }

    /// Whether a waiter's turn has come.
    pub(crate) fn is_next(&self, waiter: &Waiter) -> bool {
        let wanted = waiter.closure();
        if self.held_by_others(&wanted, &waiter.actor.session) {
            return false;
        }
        // Most waiters have no rival at all, which the queue knows without looking at anybody.
        !self.guards.hold(Guard::Fifo) || !self.queue.has_rival(&wanted) || {
            let wanted = NodeMap::of(&wanted);
            !self.waiters().any(|other| self.comes_before(other, waiter, &wanted))
        }
    }

    /// What a session holds and waits for.
    pub(crate) fn standing<'s>(&self, session: &'s SessionId) -> Standing<'s, 'a> {
        let mut holds = NodeMap::default();
        self.for_each_of_session(session, |closure| holds.add(&closure));
        let waits = self.waiters().filter(|waiter| waiter.actor.session == *session).collect();
        Standing { session, holds, waits }
    }

    /// Whether `other` stands ahead of `waiter` and wants the same.
    pub(crate) fn comes_before(&self, other: &Waiter, waiter: &Waiter, wanted: &NodeMap<Counts>) -> bool {
        other.actor.session != waiter.actor.session && other.precedes(waiter) && other.meets(wanted)
    }

    fn counts(&self, node: Node<'_>) -> Counts {
        let counts = self.table.counts(node);
        if self.released.is_empty() && self.grants.is_empty() {
            return counts;
        }
        let change = self.change.get_or_init(|| Box::new(self.gather()));
        let more = counts.plus(change.more.counts(node));
        more.minus(change.less.counts(node))
    }

    fn gather(&self) -> Change {
        let mut change = Change::default();
        for lock in self.released.iter().filter_map(|token| self.table.get(token)) {
            change.less.add(&lock.closure());
        }
        for grant in &self.grants {
            change.more.add(&closure(grant.lock_type, &grant.targets));
        }
        change
    }

    fn own_counts(&self, node: Node<'_>, session: &SessionId) -> Counts {
        let mut own = Counts::NONE;
        self.for_each_of_session(session, |closure| {
            for (_, mode) in closure.into_iter().filter(|(n, _)| *n == node) {
                own.add(mode);
            }
        });
        own
    }

    fn for_each_of_session(&self, session: &SessionId, mut each: impl FnMut(Closure<'_>)) {
        let held = self.table.of_session(session).filter(|lock| !self.released.contains(lock.token));
        held.for_each(|lock| each(lock.closure()));
        let granted = self.grants.iter().filter(|grant| grant.session == *session);
        granted.for_each(|grant| each(closure(grant.lock_type, &grant.targets)));
    }
}

/// What one session holds and waits for, gathered once to be asked about often.
pub(crate) struct Standing<'s, 'a> {
    session: &'s SessionId,
    holds: NodeMap<Counts>,
    waits: SmallVec<[&'a Waiter; 1]>,
}

impl<'a> Standing<'_, 'a> {
    /// Whether what the session holds excludes this closure.
    pub(crate) fn holds_against(&self, wanted: &Closure<'_>) -> bool {
        self.holds.exclude(wanted)
    }

    pub(crate) fn session(&self) -> &SessionId {
        self.session
    }

    /// Its places in the queue.
    pub(crate) fn waits(&self) -> &[&'a Waiter] {
        &self.waits
    }

    /// Whether `waiter` waits for the session: for what it holds, or for an earlier wait of it.
    pub(crate) fn blocks(&self, waiter: &Waiter) -> bool {
        if waiter.actor.session == *self.session {
            return false;
        }
        if waiter.meets(&self.holds) {
            return true;
        }
        if self.waits.is_empty() {
            return false;
        }
        let wanted = NodeMap::of(&waiter.closure());
        self.waits.iter().any(|own| own.precedes(waiter) && own.meets(&wanted))
    }
}
