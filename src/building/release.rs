//! How a lock leaves its holder: by itself, by another session of the same person, by an operator, or with the session.

use super::Soft;
use super::command::{Actor, Refusal, Reply};
use super::draft::Draft;
use super::event::{GrantCause, ReleaseReason};
use super::notice::{Notice, RequestEnd, WaitEnd};
use crate::id::SessionId;
use crate::lock::guard::Guard;
use crate::lock::{LockId, Ticket, Token};

impl Draft<'_> {
    pub(super) fn release_own(&mut self, actor: &Actor, id: LockId) -> Reply {
        let Some(lock) = self.outlook.lock(id.0) else {
            return Reply::Refused(Refusal::LockNotFound);
        };
        if !lock.belongs_to(actor) && self.holds(Guard::ReleaseByHolder) {
            return Reply::Refused(Refusal::NotHolder);
        }
        self.release(lock, ReleaseReason::Released, None);
        if lock.session != actor.session {
            self.tell_lost(lock, ReleaseReason::Released, None, None);
        }
        self.wake();
        Reply::Released { lock: id }
    }

    pub(super) fn force_release(&mut self, id: LockId, expected: Token, reason: &str, by: &str) -> Reply {
        let Some(lock) = self.outlook.lock(id.0) else {
            return Reply::Refused(Refusal::LockNotFound);
        };
        if lock.token != expected && self.holds(Guard::ExpectedToken) {
            return Reply::Refused(Refusal::TokenChanged { current: lock.token });
        }
        let forced: Option<(Box<str>, Box<str>)> = Some((by.into(), reason.into()));
        self.release(lock, ReleaseReason::Forced, forced.clone());
        self.tell_lost(lock, ReleaseReason::Forced, forced, None);
        self.wake();
        Reply::Released { lock: id }
    }

    pub(super) fn take_over(&mut self, actor: &Actor, id: LockId) -> Reply {
        let Some(lock) = self.outlook.lock(id.0) else {
            return Reply::Refused(Refusal::LockNotFound);
        };
        if lock.user != actor.user {
            return Reply::Refused(Refusal::NotSameUser);
        }
        if lock.session == actor.session {
            return self.renew(actor, id, None);
        }
        if let Err(refusal) = self.check_session_limit(&actor.session) {
            return Reply::Refused(refusal);
        }
        match self.hand_over(lock, actor, GrantCause::TakeOver, None) {
            Ok(view) => {
                self.tell_lost(lock, ReleaseReason::TakenOver, None, Some(actor.user.clone()));
                self.wake();
                Reply::Granted { lock: view, renewed: false }
            }
            Err(blocked_by) => Reply::Held { blocked_by },
        }
    }

    pub(super) fn cancel_wait(&mut self, actor: &Actor, ticket: Ticket) -> Reply {
        let Some(waiter) = self.building.queue.get(ticket) else {
            return Reply::Refused(Refusal::WaitNotFound);
        };
        if waiter.actor.session != actor.session && !(actor.legacy && waiter.actor.user == actor.user) {
            return Reply::Refused(Refusal::WaitNotFound);
        }
        self.end_wait(waiter, WaitEnd::Cancelled);
        self.wake();
        Reply::Done
    }

    /// Ends everything of a session in one step. `kicked` says by which operator and why, if it did not end by itself.
    pub(super) fn end_session(&mut self, session: &SessionId, kicked: Option<(&str, &str)>) -> Reply {
        let building = self.building;
        for request in building.requests.of_session(session) {
            self.close(request);
            if let Some(lock) = self.outlook.lock(request.lock) {
                let (id, why) = (LockId(lock.token), RequestEnd::Retracted);
                self.tell(&lock.session, Notice::RequestClosed { request: request.id, lock: id, why });
            }
        }
        if self.holds(Guard::EndedWaits) {
            for waiter in building.queue.of_session(session) {
                self.dequeue(waiter.ticket);
            }
        }
        let all = if self.holds(Guard::EndedLocks) { usize::MAX } else { 1 };
        for lock in building.table.of_session(session).take(all) {
            let (why, by) = match kicked {
                None => (ReleaseReason::SessionEnded, None),
                Some((by, reason)) => (ReleaseReason::Kicked, Some((by.into(), reason.into()))),
            };
            self.release(lock, why, by);
        }
        self.soft.push(Soft::Resumed(session.clone()));
        self.wake();
        Reply::Done
    }
}
