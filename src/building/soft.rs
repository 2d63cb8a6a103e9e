//! The part of a decision that is not logged: leases, the queue, editing requests, who is there.
//!
//! It is forgotten with the process. What a restart must give back is in the events.

use super::Building;
use super::command::Facts;
use super::event::Event;
use crate::id::{RoomId, SessionId};
use crate::lock::guard::Guard;
use crate::lock::queue::Waiter;
use crate::lock::request::{Request, RequestDue, absent_since};
use crate::lock::table::Lock;
use crate::lock::timer::Timer;
use crate::lock::{RequestId, Ticket, Token};
use crate::time::{Mono, Wall};

/// One soft change.
#[derive(Clone, Debug)]
pub(super) enum Soft {
    /// The lease starts anew.
    Renew {
        token: Token,
        ttl_ms: u64,
        active: bool,
    },
    /// A lock that was just granted goes on under a former one's hard cap.
    Cap {
        token: Token,
        cap: Mono,
    },
    /// The session's locks that concern the room are renewed and not idle.
    Touch {
        session: SessionId,
        room: RoomId,
    },
    /// The holder was warned.
    Warned {
        token: Token,
        warned: u8,
    },
    /// The lease's entry among the timers was too early.
    RearmLease(Token),
    Enqueue(Box<Waiter>),
    Dequeue(Ticket),
    /// So many stand ahead of a waiter now.
    Ahead {
        ticket: Ticket,
        ahead: u32,
    },
    Open(Box<Request>),
    Close(RequestId),
    RearmRequest {
        request: RequestId,
        at: Mono,
    },
    Suspended(SessionId),
    Resumed(SessionId),
}

impl Building {
    /// A grant that has just happened: its lease runs.
    pub(super) fn start_leases(&mut self, facts: &Facts, event: &Event) {
        let Event::LockGranted(granted) = event else {
            return;
        };
        let cap = facts.now.plus(self.settings.locks.max_hold_ms);
        self.start_lease(granted.token, facts.now, cap);
    }

    pub(super) fn start_lease(&mut self, token: Token, now: Mono, cap: Mono) {
        let cap = if self.guards.hold(Guard::HardCap) { cap } else { Mono(u64::MAX) };
        if let Some(lock) = self.table.get_mut(token) {
            lock.lease.start(now, cap, &self.settings.locks);
            let at = lock.lease.next(&self.settings.locks);
            self.timers.arm(&mut lock.lease.armed, at, Timer::Lease(token));
        }
    }

    pub(super) fn change(&mut self, facts: &Facts, soft: &Soft) {
        match soft {
            Soft::Renew { token, ttl_ms, active } => self.renew_lease(facts.now, *token, *ttl_ms, *active),
            Soft::Cap { token, cap } => {
                let ttl_ms = self.table.get(*token).map_or(0, |lock| lock.lease.ttl_ms);
                self.change_lease(*token, |lock, settings| {
                    lock.lease.cap = *cap;
                    lock.lease.renew(facts.now, ttl_ms, settings);
                });
            }
            Soft::Touch { session, room } => self.touch(facts.now, session, room),
            Soft::Warned { token, warned } => {
                self.change_lease(*token, |lock, _| lock.lease.set_warned(*warned));
                self.rearm_lease(*token);
            }
            Soft::RearmLease(token) => self.rearm_lease(*token),
            Soft::Enqueue(waiter) => {
                let mut waiter = (**waiter).clone();
                self.timers.arm(&mut waiter.armed, waiter.until, Timer::Wait(waiter.ticket));
                self.queue.insert(waiter);
            }
            Soft::Dequeue(ticket) => {
                if let Some(waiter) = self.queue.remove(*ticket) {
                    self.timers.disarm(waiter.armed, Timer::Wait(*ticket));
                }
            }
            Soft::Ahead { ticket, ahead } => {
                if let Some(waiter) = self.queue.get_mut(*ticket) {
                    waiter.ahead = *ahead;
                }
            }
            Soft::Open(request) => {
                let id = request.id;
                self.requests.insert((**request).clone());
                self.rearm_request(facts.now, id);
            }
            Soft::Close(id) => {
                if let Some(request) = self.requests.remove(*id) {
                    self.timers.disarm(request.armed, Timer::Request(*id));
                }
            }
            Soft::RearmRequest { request, at } => {
                if let Some(open) = self.requests.get_mut(*request) {
                    self.timers.arm(&mut open.armed, *at, Timer::Request(*request));
                }
            }
            Soft::Suspended(session) => {
                self.suspended.entry(session.clone()).or_insert(facts.now);
                self.rearm_requests_to(facts.now, session);
            }
            Soft::Resumed(session) => {
                self.suspended.remove(session);
                self.rearm_requests_to(facts.now, session);
            }
        }
    }

    /// Arms the leases after a replay: every owner counts as gone until it comes back, and has a full lease to do so.
    pub(super) fn start_all_leases(&mut self, now: Mono, wall: Wall) {
        let settings = self.settings.clone();
        let mut starts = Vec::with_capacity(self.table.len());
        for lock in self.table.iter() {
            // The wall clock may have jumped while nobody looked; it can shorten the cap, never below the time to reclaim.
            let held_ms = u64::try_from(wall.0.saturating_sub(lock.held_since.0)).unwrap_or(0);
            let left_ms = settings.locks.max_hold_ms.saturating_sub(held_ms).max(settings.locks.reclaim_ms);
            starts.push((lock.token, now.plus(left_ms)));
            self.suspended.entry(lock.session.clone()).or_insert(now);
        }
        for (token, cap) in starts {
            self.start_lease(token, now, cap);
        }
    }

    fn change_lease(&mut self, token: Token, change: impl FnOnce(&mut Lock, &super::LockSettings)) {
        let settings = &self.settings.locks;
        if let Some(lock) = self.table.get_mut(token) {
            change(lock, settings);
            // An entry that is too early is put right when it comes up; only one that is too late must move now.
            let next = lock.lease.next(settings);
            if lock.lease.armed.is_none_or(|armed| next < armed) {
                self.timers.arm(&mut lock.lease.armed, next, Timer::Lease(token));
            }
        }
    }

    fn rearm_lease(&mut self, token: Token) {
        if let Some(lock) = self.table.get_mut(token) {
            let next = lock.lease.next(&self.settings.locks);
            self.timers.arm(&mut lock.lease.armed, next, Timer::Lease(token));
        }
    }

    fn touch(&mut self, now: Mono, session: &SessionId, room: &RoomId) {
        let concerned = self.table.of_session(session).filter(|lock| lock.concerns(room));
        let tokens: smallvec::SmallVec<[(Token, u64); 4]> =
            concerned.map(|lock| (lock.token, lock.lease.ttl_ms)).collect();
        for (token, ttl_ms) in tokens {
            self.renew_lease(now, token, ttl_ms, true);
        }
    }

    fn renew_lease(&mut self, now: Mono, token: Token, ttl_ms: u64, active: bool) {
        self.change_lease(token, |lock, settings| {
            lock.lease.renew(now, ttl_ms, settings);
            if active {
                lock.lease.active = now;
            }
        });
        if active {
            self.rearm_requests_for(now, token);
        }
    }

    /// The holder has come back or gone: what was to be granted by its absence may lapse instead, or the other way.
    fn rearm_requests_to(&mut self, now: Mono, session: &SessionId) {
        if self.requests.len() == 0 {
            return;
        }
        let tokens: Vec<Token> = self.table.of_session(session).map(|lock| lock.token).collect();
        for token in tokens {
            self.rearm_requests_for(now, token);
        }
    }

    fn rearm_requests_for(&mut self, now: Mono, lock: Token) {
        let ids: smallvec::SmallVec<[RequestId; 4]> = self.requests.for_lock(lock).map(|request| request.id).collect();
        for id in ids {
            self.rearm_request(now, id);
        }
    }

    fn rearm_request(&mut self, now: Mono, id: RequestId) {
        let Some(request) = self.requests.get_mut(id) else {
            return;
        };
        let Some(lock) = self.table.get(request.lock) else {
            return;
        };
        let absent = absent_since(lock, self.suspended.get(&lock.session).copied(), &self.settings.locks);
        let at = match request.due(now, absent, &self.settings.locks) {
            RequestDue::At(at) => at,
            RequestDue::Deemed | RequestDue::Lapsed => now,
        };
        self.timers.arm(&mut request.armed, at, Timer::Request(id));
    }
}
