//! Does the state contradict itself?
//!
//! The invariants that can be seen in one state, each with its name in the design: exclusion (L1), order of tokens
//! (L2), fairness (L6), all or nothing (L7), no circle (L8); and that every index tells what the things themselves
//! tell. Costs the whole state: for simulations and tests, after every step.

use std::collections::HashSet;

use super::Building;
use crate::id::SessionId;
use crate::lock::closure::NodeMap;
use crate::lock::guard::Guards;
use crate::lock::outlook::Outlook;
use crate::lock::timer::Timer;
use crate::time::Mono;

impl Building {
    pub(super) fn check(&self) -> Result<(), String> {
        self.table.check()?;
        self.check_queue()?;
        self.check_requests()?;
        self.check_timers()?;
        self.conflicts.check()?;
        self.check_documents()
    }

    fn check_queue(&self) -> Result<(), String> {
        let outlook = Outlook::new(&self.table, &self.queue, self.requests.len(), Guards::default());
        for waiter in self.queue.iter() {
            let (ticket, wanted) = (waiter.ticket, NodeMap::of(&waiter.closure()));
            if outlook.is_next(waiter) {
                return Err(format!("L6: {ticket} waits although nothing stands in its way"));
            }
            let ahead = self.queue.iter().filter(|other| outlook.comes_before(other, waiter, &wanted)).count();
            if ahead != waiter.ahead as usize {
                return Err(format!("L6: {ticket} was told that {} are ahead, there are {ahead}", waiter.ahead));
            }
        }
        let sessions: HashSet<&SessionId> = self.queue.iter().map(|waiter| &waiter.actor.session).collect();
        let mut done = HashSet::new();
        for session in sessions {
            self.check_no_circle(&outlook, session, &mut Vec::new(), &mut done)?;
        }
        Ok(())
    }

    /// Follows who waits for `session`, depth first.
    fn check_no_circle<'a>(
        &'a self,
        outlook: &Outlook<'a>,
        session: &'a SessionId,
        path: &mut Vec<&'a SessionId>,
        done: &mut HashSet<&'a SessionId>,
    ) -> Result<(), String> {
        if path.contains(&session) {
            return Err(format!("L8: {path:?} wait for each other"));
        }
        if done.contains(session) {
            return Ok(());
        }
        path.push(session);
        let standing = outlook.standing(session);
        for waiter in self.queue.iter().filter(|waiter| standing.blocks(waiter)) {
            self.check_no_circle(outlook, &waiter.actor.session, path, done)?;
        }
        path.pop();
        done.insert(session);
        Ok(())
    }

    fn check_requests(&self) -> Result<(), String> {
        for request in self.requests.iter() {
            let Some(lock) = self.table.get(request.lock) else {
                return Err(format!("{} is open for a lock that is gone", request.id));
            };
            if lock.session == request.actor.session {
                return Err(format!("{} asks for its own lock", request.id));
            }
            let same = self.requests.for_lock(lock.token).filter(|other| other.actor.session == request.actor.session);
            if same.count() != 1 {
                return Err(format!("{} is not the only open request of its session for the lock", request.id));
            }
        }
        Ok(())
    }

    fn check_timers(&self) -> Result<(), String> {
        let entry = |armed: Option<Mono>, latest: Mono, timer: Timer| match armed {
            Some(at) if at > latest => Err(format!("{timer:?} is armed too late: {at:?}, wanted {latest:?}")),
            Some(at) if !self.timers.contains(at, timer) => Err(format!("{timer:?} has lost its entry")),
            Some(_) => Ok(1),
            None => Ok(0),
        };
        let mut entries = 0;
        for lock in self.table.iter() {
            entries += entry(lock.lease.armed, lock.lease.next(&self.settings.locks), Timer::Lease(lock.token))?;
        }
        for waiter in self.queue.iter() {
            entries += entry(waiter.armed, waiter.until, Timer::Wait(waiter.ticket))?;
        }
        for request in self.requests.iter() {
            entries += entry(request.armed, Mono(u64::MAX), Timer::Request(request.id))?;
        }
        match entries == self.timers.len() {
            true => Ok(()),
            false => Err(format!("{entries} things are armed, there are {} timers", self.timers.len())),
        }
    }
}
