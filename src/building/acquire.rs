//! Acquiring: at once, by waiting, or not at all.

use super::Soft;
use super::command::{Actor, Refusal, Reply, Target, Targets};
use super::draft::{Draft, Grant};
use super::event::GrantCause;
use super::notice::Notice;
use super::view::BLOCKERS_SHOWN_MAX;
use crate::lock::closure::{Closure, NodeMap, closure};
use crate::lock::guard::Guard;
use crate::lock::queue::Waiter;
use crate::lock::table::Lock;
use crate::lock::waits_for::circle_of_wait;
use crate::lock::{LockId, LockType, Ticket};

/// What is asked for.
pub(super) struct Wish<'w> {
    pub(super) actor: &'w Actor,
    pub(super) lock_type: LockType,
    pub(super) targets: &'w Targets,
    pub(super) ttl_ms: Option<u64>,
    pub(super) wait_ms: u64,
    pub(super) metadata: &'w Option<Box<str>>,
}

impl<'a> Draft<'a> {
    pub(super) fn acquire(&mut self, wish: Wish<'_>) -> Reply {
        let once = without_repeats(wish.targets);
        let wish = Wish { targets: once.as_ref().unwrap_or(wish.targets), ..wish };
        let max = self.building.settings.locks.targets_max;
        if wish.targets.is_empty() || wish.targets.len() > max {
            return Reply::Refused(Refusal::Limit { name: "locks.targets_max", max: max as u64 });
        }
        if let Some(lock) = self.held_already(&wish) {
            return Reply::Granted { lock: self.renewed(lock, wish.ttl_ms, true), renewed: true };
        }
        if let Err(refusal) = self.check_session_limit(&wish.actor.session) {
            return Reply::Refused(refusal);
        }
        let wanted = closure(wish.lock_type, wish.targets);
        let session = &wish.actor.session;
        if !self.outlook.held_by_others(&wanted, session) && !self.outlook.stands_behind(&wanted, session) {
            let lock = self.grant(Grant {
                actor: wish.actor,
                lock_type: wish.lock_type,
                targets: wish.targets,
                ttl_ms: self.building.settings.locks.ttl(wish.lock_type, wish.ttl_ms),
                metadata: wish.metadata.clone(),
                cause: GrantCause::Asked,
                continues: None,
            });
            return Reply::Granted { lock, renewed: false };
        }
        if wish.wait_ms == 0 {
            return Reply::Held { blocked_by: self.blocked_by(&wanted, session) };
        }
        match self.enqueue(&wish, &wanted) {
            Ok((ticket, position)) => Reply::Queued { ticket, position, blocked_by: self.blocked_by(&wanted, session) },
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    pub(super) fn renew(&mut self, actor: &Actor, lock: LockId, ttl_ms: Option<u64>) -> Reply {
        match self.outlook.lock(lock.0) {
            None => Reply::Refused(Refusal::LockNotFound),
            Some(lock) if !lock.belongs_to(actor) => Reply::Refused(Refusal::NotHolder),
            Some(lock) => Reply::Renewed { lock: self.renewed(lock, ttl_ms, false) },
        }
    }

    /// The lock with a new lease. `active` when the holder showed life by it: a renewal alone does not, clients send it by themselves.
    fn renewed(&mut self, lock: &Lock, ttl_ms: Option<u64>, active: bool) -> crate::building::command::LockView {
        let settings = &self.building.settings.locks;
        let ttl_ms = ttl_ms.map_or(lock.lease.ttl_ms, |wish| settings.ttl(lock.lock_type, Some(wish)));
        self.soft.push(Soft::Renew { token: lock.token, ttl_ms, active });
        let left = ttl_ms.min(lock.lease.cap.since(self.now()));
        let mut view = self.view(lock);
        view.expires_in_ms = left;
        view.expires_at = self.facts.wall.plus(left);
        view
    }

    /// The lock that the asker has already: its session's or, for those who are known by their person only, the person's.
    fn held_already(&self, wish: &Wish<'_>) -> Option<&'a Lock> {
        let there = self.outlook.table.on_resource(&wish.targets[0].resource);
        let mut same = there.filter(|lock| lock.belongs_to(wish.actor) && lock.is(wish.lock_type, wish.targets));
        let first = same.next()?;
        // Its own one before another session's.
        if first.session == wish.actor.session {
            return Some(first);
        }
        same.find(|lock| lock.session == wish.actor.session).or(Some(first))
    }

    fn enqueue(&mut self, wish: &Wish<'_>, wanted: &Closure<'_>) -> Result<(Ticket, u32), Refusal> {
        let (settings, queue) = (&self.building.settings.locks, &self.building.queue);
        let session = &wish.actor.session;
        if let Some(there) = queue.of_session(session).find(|wait| wait.is(wish.lock_type, wish.targets)) {
            return Ok((there.ticket, there.ahead + 1));
        }
        let limit = |name, max: usize| Err(Refusal::Limit { name, max: max as u64 });
        if queue.len() >= settings.waiters_per_building_max {
            return limit("locks.waiters_per_building_max", settings.waiters_per_building_max);
        }
        if queue.longest(wanted) as usize >= settings.waiters_per_node_max {
            return limit("locks.waiters_per_node_max", settings.waiters_per_node_max);
        }
        // After the bounds: whoever asks a full queue again and again must not have it walked each time.
        let passes = self.outlook.passes(wanted, session);
        if self.holds(Guard::Deadlock)
            && let Some(cycle) = circle_of_wait(&self.outlook, wish.actor, wanted, &passes)
        {
            return Err(Refusal::Deadlock { cycle });
        }
        let ticket = Ticket(self.facts.tokens.mint().0);
        let mut waiter = Waiter {
            ticket,
            actor: wish.actor.clone(),
            lock_type: wish.lock_type,
            targets: wish.targets.clone(),
            ttl_ms: settings.ttl(wish.lock_type, wish.ttl_ms),
            metadata: wish.metadata.clone(),
            since: self.now(),
            until: self.now().plus(wish.wait_ms.min(settings.wait_max_ms)),
            passes,
            ahead: 0,
            armed: None,
        };
        let nodes = NodeMap::of(wanted);
        let before = |other: &&Waiter| self.outlook.comes_before(other, &waiter, &nodes);
        waiter.ahead = queue.iter().filter(before).count() as u32;
        for passed in waiter.passes.iter().filter_map(|ticket| queue.get(*ticket)) {
            let ahead = passed.ahead + 1;
            self.soft.push(Soft::Ahead { ticket: passed.ticket, ahead });
            self.tell(&passed.actor.session, Notice::WaitMoved { ticket: passed.ticket, position: ahead + 1 });
        }
        for lock in self.outlook.blockers(wanted, session, BLOCKERS_SHOWN_MAX) {
            let waiters = queue.waiters_for(lock) + 1;
            let resource = lock.resource().clone();
            self.tell(&lock.session, Notice::Contended { lock: LockId(lock.token), resource, waiters });
        }
        let position = waiter.ahead + 1;
        self.soft.push(Soft::Enqueue(Box::new(waiter)));
        Ok((ticket, position))
    }
}

/// The targets with each resource once, when one is named twice.
fn without_repeats(targets: &[Target]) -> Option<Targets> {
    let repeated =
        |(i, target): (usize, &Target)| targets[..i].iter().any(|earlier| earlier.resource == target.resource);
    if !targets.iter().enumerate().any(repeated) {
        return None;
    }
    let mut once: Vec<Target> = Vec::new();
    for target in targets {
        if !once.iter().any(|earlier| earlier.resource == target.resource) {
            once.push(target.clone());
        }
    }
    Some(once.into())
}
