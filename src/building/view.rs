//! How locks and waiters are shown.

use std::sync::Arc;

use super::command::{Facts, HolderState, LockView, Target};
use super::event::LockGranted;
use super::{Building, Verify, VerifyFault, WaiterView};
use crate::lock::closure::{Closure, Node, closure, conflict, floors};
use crate::lock::guard::Guard;
use crate::lock::outlook::Outlook;
use crate::lock::queue::Waiter;
use crate::lock::table::Lock;
use crate::lock::{LockId, LockType, Token};
use crate::time::Mono;

/// How many locks in the way are named, in answers and notices. More is of no use to a person and would make one
/// refusal cost what a whole building's locks cost.
pub const BLOCKERS_SHOWN_MAX: usize = 64;

impl Building {
    pub(super) fn view(&self, facts: &Facts, lock: &Lock) -> LockView {
        let left = lock.lease.end().since(facts.now);
        let idle_ms = facts.now.since(lock.lease.active);
        let holder_state = if self.suspended.contains_key(&lock.session) {
            HolderState::Suspended
        } else if idle_ms >= self.settings.locks.idle_ms {
            HolderState::Idle
        } else {
            HolderState::Active
        };
        LockView {
            id: LockId(lock.token),
            granted: lock.granted.clone(),
            holder_state,
            expires_at: facts.wall.plus(left),
            expires_in_ms: left,
            idle_ms,
            waiters: self.queue.waiters_for(lock),
        }
    }

    /// A lock that this decision grants.
    pub(super) fn view_of_grant(&self, granted: &Arc<LockGranted>, left_ms: u64) -> LockView {
        LockView {
            id: LockId(granted.token),
            granted: granted.clone(),
            holder_state: match self.suspended.contains_key(&granted.session) {
                true => HolderState::Suspended,
                false => HolderState::Active,
            },
            expires_at: granted.at.plus(left_ms),
            expires_in_ms: left_ms,
            idle_ms: 0,
            waiters: 0,
        }
    }

    pub(super) fn view_waiter(&self, facts: &Facts, waiter: &Waiter) -> WaiterView {
        let outlook = Outlook::new(&self.table, &self.queue, self.requests.len(), self.guards);
        let blockers = outlook.blockers(&waiter.closure(), &waiter.actor.session, BLOCKERS_SHOWN_MAX);
        WaiterView {
            ticket: waiter.ticket,
            session: waiter.actor.session.clone(),
            user: waiter.actor.user.clone(),
            lock_type: waiter.lock_type,
            targets: waiter.targets.clone(),
            waiting_ms: facts.now.since(waiter.since),
            blocked_by: blockers.iter().map(|lock| LockId(lock.token)).collect(),
        }
    }

    pub(super) fn why_not(&self, facts: &Facts, target: &Target) -> (Vec<LockView>, Vec<WaiterView>) {
        let targets = std::slice::from_ref(target);
        let edit = exclusive_edit(targets);
        let met = self.table.conflicting(&edit, BLOCKERS_SHOWN_MAX, |_| false);
        let locks = met.iter().map(|lock| self.view(facts, lock)).collect();
        let waiting = self.queue.iter().filter(|waiter| conflict(&waiter.closure(), &edit));
        (locks, waiting.map(|waiter| self.view_waiter(facts, waiter)).collect())
    }

    pub(super) fn check_token(&self, facts: &Facts, token: Token, target: &Target, grid: bool) -> Verify {
        let fence = self.fence(facts.now, target);
        let lock = self.table.get(token).filter(|lock| self.lives(facts.now, lock));
        let reason = match lock {
            None if self.guards.hold(Guard::VerifyLive) => Some(VerifyFault::UnknownToken),
            None => None,
            Some(lock) if !covers(lock, target) => Some(VerifyFault::NotCovered),
            Some(lock) if !permits(lock.lock_type, grid) => Some(VerifyFault::Scope),
            Some(_) => None,
        };
        Verify { valid: reason.is_none(), reason, lock: lock.map(|lock| self.view(facts, lock)), fence }
    }

    /// The youngest lock that covers the target exclusively.
    pub(super) fn covering(&self, now: Mono, target: &Target) -> Option<&Lock> {
        self.fence(now, target).and_then(|token| self.table.get(token))
    }

    fn fence(&self, now: Mono, target: &Target) -> Option<Token> {
        let above = floors(&target.place).iter().map(Node::Floor);
        let nodes = above.chain([Node::Building, Node::Item(&target.resource)]);
        let holders = nodes.flat_map(|node| self.table.exclusives(node)).filter_map(|token| self.table.get(*token));
        holders.filter(|lock| self.lives(now, lock)).map(|lock| lock.token).max()
    }

    /// A lock whose lease has ended is as good as gone, even before a tick has cleared it away.
    fn lives(&self, now: Mono, lock: &Lock) -> bool {
        now < lock.lease.end()
    }
}

/// What an exclusive edit of the targets would take.
fn exclusive_edit(targets: &[Target]) -> Closure<'_> {
    use super::command::Place;
    let of_place = targets.iter().any(|target| matches!(target.place, Place::Building(_) | Place::Floor(_)));
    closure(if of_place { LockType::FloorEdit } else { LockType::ObjectEdit }, targets)
}

/// Whether the target lies under the lock: it is what is locked, or all of it lies below that.
fn covers(lock: &Lock, target: &Target) -> bool {
    if lock.targets.iter().any(|locked| locked.resource == target.resource) {
        return true;
    }
    use crate::lock::closure::Mode::Exclusive;
    let nodes = lock.closure();
    let floors = floors(&target.place);
    let holds = |node| nodes.contains(&(node, Exclusive));
    holds(Node::Building) || (!floors.is_empty() && floors.iter().all(|floor| holds(Node::Floor(floor))))
}

/// Whether a lock of this type permits a write of the grid calibration, or any other one.
fn permits(lock_type: LockType, grid: bool) -> bool {
    match lock_type {
        LockType::FloorEdit => true,
        LockType::GridCalibration => grid,
        LockType::ObjectEdit | LockType::RouteEdit => !grid,
        LockType::AnalyticsView => false,
    }
}
