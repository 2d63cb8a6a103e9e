//! Editing requests: asking the holder instead of waiting for it.

use super::Soft;
use super::command::{Actor, HolderAnswer, Refusal, Reply};
use super::draft::Draft;
use super::event::{GrantCause, ReleaseReason};
use super::notice::{Notice, RequestEnd};
use crate::lock::request::{Request, RequestDue, absent_since};
use crate::lock::table::Lock;
use crate::lock::{LockId, RequestId};
use crate::time::Mono;

impl<'a> Draft<'a> {
    pub(super) fn request_lock(
        &mut self,
        actor: &Actor,
        id: LockId,
        message: &Option<Box<str>>,
        respond_ms: Option<u64>,
    ) -> Reply {
        let (settings, requests) = (&self.building.settings.locks, &self.building.requests);
        let Some(lock) = self.outlook.lock(id.0) else {
            return Reply::Refused(Refusal::LockNotFound);
        };
        if lock.session == actor.session {
            return Reply::Refused(Refusal::OwnLock);
        }
        if let Some(open) = requests.for_lock(lock.token).find(|request| request.actor.session == actor.session) {
            return Reply::Refused(Refusal::AlreadyRequested { request: open.id });
        }
        if requests.len() >= settings.requests_max {
            return Reply::Refused(Refusal::Limit { name: "locks.requests_max", max: settings.requests_max as u64 });
        }
        if let Err(refusal) = self.check_session_limit(&actor.session) {
            return Reply::Refused(refusal);
        }
        let respond_ms = respond_ms.unwrap_or(settings.request_respond_ms).min(settings.request_respond_max_ms).max(1);
        let request = Request {
            id: RequestId(self.facts.tokens.mint().0),
            lock: lock.token,
            actor: actor.clone(),
            asked: self.now(),
            until: self.now().plus(respond_ms),
            armed: None,
        };
        // A holder who is not there has the notice time, whatever the asker would give.
        let absent = self.now() >= self.absent_since(lock);
        let respond_in_ms = if absent { settings.request_idle_grant_ms } else { respond_ms };
        let notice = Notice::Requested {
            request: request.id,
            lock: id,
            resource: lock.resource().clone(),
            user: actor.user.clone(),
            username: actor.username.clone(),
            message: message.clone(),
            respond_in_ms,
        };
        self.tell(&lock.session, notice);
        let reply = Reply::Requested { request: request.id, respond_in_ms };
        self.soft.push(Soft::Open(Box::new(request)));
        reply
    }

    pub(super) fn respond(
        &mut self,
        actor: &Actor,
        id: RequestId,
        decision: HolderAnswer,
        message: &Option<Box<str>>,
    ) -> Reply {
        let Some(request) = self.building.requests.get(id) else {
            return Reply::Refused(Refusal::RequestNotFound);
        };
        let Some(lock) = self.outlook.lock(request.lock).filter(|lock| lock.belongs_to(actor)) else {
            return Reply::Refused(Refusal::RequestNotFound);
        };
        if decision == HolderAnswer::Grant {
            let reply = self.grant_request(request, lock, false, message);
            self.wake();
            return reply;
        }
        self.close(request);
        let notice = Notice::RequestAnswered {
            request: id,
            lock: LockId(lock.token),
            decision,
            deemed: false,
            message: message.clone(),
            granted: None,
        };
        self.tell(&request.actor.session, notice);
        Reply::Done
    }

    pub(super) fn retract(&mut self, actor: &Actor, id: RequestId) -> Reply {
        let by = |request: &&Request| {
            request.actor.session == actor.session || (actor.legacy && request.actor.user == actor.user)
        };
        let Some(request) = self.building.requests.get(id).filter(by) else {
            return Reply::Refused(Refusal::RequestNotFound);
        };
        self.close(request);
        if let Some(lock) = self.outlook.lock(request.lock) {
            let (lock_id, why) = (LockId(lock.token), RequestEnd::Retracted);
            self.tell(&lock.session, Notice::RequestClosed { request: id, lock: lock_id, why });
        }
        Reply::Done
    }

    /// A request's time has come to be looked at.
    pub(super) fn request_due(&mut self, request: &'a Request) {
        let settings = &self.building.settings.locks;
        let Some(lock) = self.outlook.lock(request.lock) else {
            return;
        };
        match request.due(self.now(), self.absent_since(lock), settings) {
            RequestDue::At(at) => self.soft.push(Soft::RearmRequest { request: request.id, at }),
            RequestDue::Lapsed => self.lapse(request, lock),
            RequestDue::Deemed => {
                // The first who asked is served first, even if another one's entry came up before.
                let building = self.building;
                let mut open = building.requests.for_lock(lock.token).filter(|other| self.is_open(other.id));
                let first = open.next().unwrap_or(request);
                if !matches!(self.grant_request(first, lock, true, &None), Reply::Released { .. }) {
                    self.lapse(first, lock);
                }
            }
        }
    }

    fn grant_request(&mut self, request: &Request, lock: &'a Lock, deemed: bool, message: &Option<Box<str>>) -> Reply {
        if let Err(refusal) = self.check_session_limit(&request.actor.session) {
            return Reply::Refused(refusal);
        }
        let granted = match self.hand_over(lock, &request.actor, GrantCause::HandOver, Some(request)) {
            Ok(granted) => granted,
            Err(blocked_by) => return Reply::Held { blocked_by },
        };
        let notice = Notice::RequestAnswered {
            request: request.id,
            lock: LockId(lock.token),
            decision: HolderAnswer::Grant,
            deemed,
            message: message.clone(),
            granted: Some(granted),
        };
        self.tell(&request.actor.session, notice);
        if deemed {
            self.tell_lost(lock, ReleaseReason::HandedOver, None, Some(request.actor.user.clone()));
        }
        Reply::Released { lock: LockId(lock.token) }
    }

    fn lapse(&mut self, request: &Request, lock: &Lock) {
        self.close(request);
        let (request_id, id, why) = (request.id, LockId(lock.token), RequestEnd::Expired);
        self.tell(&request.actor.session, Notice::RequestLapsed { request: request_id, lock: id, why });
        self.tell(&lock.session, Notice::RequestClosed { request: request_id, lock: id, why });
    }

    fn absent_since(&self, lock: &Lock) -> Mono {
        let suspended = self.building.suspended.get(&lock.session).copied();
        absent_since(lock, suspended, &self.building.settings.locks)
    }
}
