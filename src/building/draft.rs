//! A decision in the making.
//!
//! Everything that a decision can consist of goes through here: the number of a message in its room, a release with
//! all that hangs on the lock, a grant with all that it ends. The files beside this one say what a command leads to;
//! this one keeps the parts together that must never come apart.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::command::{Actor, Facts, LockView, Refusal, Reply, Target, Targets};
use super::event::{Event, GrantCause, LockGranted, LockReleased, ReleaseReason, Seqs};
use super::notice::{Addressee, Notice, Notify, RequestEnd, WaitEnd};
use super::rooms::RoomIx;
use super::view::BLOCKERS_SHOWN_MAX;
use super::{Building, Decision, Soft};
use crate::id::{RoomId, SessionId, UserId};
use crate::lock::closure::{Closure, Counts, Mode, Node, NodeMap, closure, conflict};
use crate::lock::guard::Guard;
use crate::lock::outlook::Outlook;
use crate::lock::queue::Waiter;
use crate::lock::request::Request;
use crate::lock::table::{Lock, same_resources};
use crate::lock::waits_for::circle_through;
use crate::lock::{LockId, LockType, RequestId, Ticket, Token};
use crate::time::{Mono, Wall};

/// So many rooms are kept without a map.
const FEW_ROOMS: usize = 8;

/// A decision so far, and what the building will be after it.
pub(super) struct Draft<'a> {
    pub(super) building: &'a Building,
    pub(super) facts: &'a Facts<'a>,
    pub(super) outlook: Outlook<'a>,
    pub(super) notices: Vec<Notify>,
    pub(super) soft: Vec<Soft>,
    events: SmallVec<[Event; 1]>,
    heads: Heads,
    closed: SmallVec<[RequestId; 2]>,
}

/// How far each room has got in this decision.
#[derive(Default)]
struct Heads {
    few: SmallVec<[(RoomKey, u64); 2]>,
    many: HashMap<RoomKey, u64, RandomState>,
}

/// A room by its index, or by its name when it has not seen anything yet.
#[derive(Clone, PartialEq, Eq, Hash)]
enum RoomKey {
    Known(RoomIx),
    New(RoomId),
}

/// What is to be granted, and why.
pub(super) struct Grant<'g> {
    pub(super) actor: &'g Actor,
    pub(super) lock_type: LockType,
    pub(super) targets: &'g Targets,
    pub(super) ttl_ms: u64,
    pub(super) metadata: Option<Box<str>>,
    pub(super) cause: GrantCause,
    /// The lock whose holding goes on with this one: the hard cap does not start anew.
    pub(super) continues: Option<(Wall, Mono)>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(building: &'a Building, facts: &'a Facts<'a>) -> Self {
        Draft {
            building,
            facts,
            outlook: Outlook::new(&building.table, &building.queue, building.requests.len(), building.guards),
            notices: Vec::new(),
            soft: Vec::new(),
            events: SmallVec::new(),
            heads: Heads::default(),
            closed: SmallVec::new(),
        }
    }

    /// The decision. Whoever moved up in the queue is told.
    pub(super) fn finish(mut self, reply: Reply) -> Decision {
        if !self.outlook.gone().is_empty() {
            self.move_up();
        }
        Decision { events: self.events, reply, notices: self.notices, soft: self.soft }
    }

    pub(super) fn now(&self) -> Mono {
        self.facts.now
    }

    pub(super) fn holds(&self, guard: Guard) -> bool {
        self.building.guards.hold(guard)
    }

    pub(super) fn tell(&mut self, to: &SessionId, notice: Notice) {
        self.notices.push(Notify { to: Addressee::Session(to.clone()), notice });
    }

    pub(super) fn tell_person(&mut self, to: &UserId, notice: Notice) {
        self.notices.push(Notify { to: Addressee::Person(to.clone()), notice });
    }

    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(super) fn view(&self, lock: &Lock) -> LockView {
        self.building.view(self.facts, lock)
    }

    pub(super) fn blocked_by(&self, wanted: &Closure<'_>, session: &SessionId) -> Vec<LockView> {
        let blockers = self.outlook.blockers(wanted, session, BLOCKERS_SHOWN_MAX);
        blockers.into_iter().map(|lock| self.view(lock)).collect()
    }

    /// The next message's place in a room's order.
    pub(super) fn next_seq(&mut self, room: &RoomId) -> u64 {
        let rooms = &self.building.rooms;
        let (key, so_far) = match rooms.find(room) {
            Some(ix) => (RoomKey::Known(ix), rooms.at(ix).seq),
            None => (RoomKey::New(room.clone()), 0),
        };
        self.heads.next(key, so_far, self.building.guards.hold(Guard::Seq))
    }

    fn next_seqs(&mut self, targets: &[Target]) -> Seqs {
        let mut seqs = Seqs::new();
        for room in targets.iter().flat_map(|target| target.place.rooms()) {
            seqs.push(self.next_seq(room));
        }
        seqs
    }

    /// Refuses when the session may not have one more lock.
    pub(super) fn check_session_limit(&self, session: &SessionId) -> Result<(), Refusal> {
        let max = self.building.settings.locks.per_session_max;
        let waits = self.outlook.waiters().filter(|waiter| waiter.actor.session == *session).count();
        if self.outlook.count_of_session(session) + waits >= max {
            return Err(Refusal::Limit { name: "locks.per_session_max", max: max as u64 });
        }
        Ok(())
    }

    /// Grants a lock. A wait of the same session for the same thing ends with it; who views what is locked is told.
    pub(super) fn grant(&mut self, grant: Grant<'_>) -> LockView {
        let token = match self.holds(Guard::TokenOrder) {
            true => self.facts.tokens.mint(),
            false => Token(self.building.position % 1000 + self.events.len() as u64 + 1),
        };
        let Grant { actor, lock_type, targets, ttl_ms, metadata, cause, continues } = grant;
        let (held_since, cap) = match continues.filter(|_| self.holds(Guard::CapSurvivesTakeOver)) {
            Some((since, cap)) => (since, Some(cap)),
            None => (self.facts.wall, None),
        };
        let event = Arc::new(LockGranted {
            at: self.facts.wall,
            token,
            lock_type,
            targets: targets.clone(),
            seqs: self.next_seqs(targets),
            session: actor.session.clone(),
            user: actor.user.clone(),
            username: actor.username.clone(),
            legacy: actor.legacy,
            ttl_ms,
            held_since,
            metadata,
            cause,
        });
        if let Some(cap) = cap {
            self.soft.push(Soft::Cap { token, cap });
        }
        let left_ms = cap.map_or(ttl_ms, |cap| ttl_ms.min(cap.since(self.now())));
        let view = self.building.view_of_grant(&event, left_ms);
        self.push(Event::LockGranted(event));
        self.outlook.grant(&actor.session, lock_type, targets);
        self.end_twin_wait(actor, lock_type, targets, &view);
        self.tell_viewers(lock_type, targets, &view);
        view
    }

    /// Releases a lock; the requests for it lapse. Whether the holder is told is the caller's to say.
    pub(super) fn release(&mut self, lock: &'a Lock, reason: ReleaseReason, forced: Option<(Box<str>, Box<str>)>) {
        let event = LockReleased {
            at: self.facts.wall,
            token: lock.token,
            lock_type: lock.lock_type,
            targets: lock.targets.clone(),
            seqs: self.next_seqs(&lock.targets),
            session: lock.session.clone(),
            user: lock.user.clone(),
            username: lock.username.clone(),
            reason,
            forced,
        };
        self.push(Event::LockReleased(Arc::new(event)));
        self.outlook.release(lock);
        let building = self.building;
        for request in building.requests.for_lock(lock.token) {
            if self.is_open(request.id) {
                self.close(request);
                let (request, why) = (request, RequestEnd::LockGone);
                self.tell(
                    &request.actor.session,
                    Notice::RequestLapsed { request: request.id, lock: LockId(lock.token), why },
                );
            }
        }
    }

    /// Tells the holder that a lock is gone.
    pub(super) fn tell_lost(
        &mut self,
        lock: &Lock,
        reason: ReleaseReason,
        forced: Option<(Box<str>, Box<str>)>,
        to: Option<UserId>,
    ) {
        let notice = Notice::Lost {
            lock: LockId(lock.token),
            token: lock.token,
            lock_type: lock.lock_type,
            resource: lock.resource().clone(),
            reason,
            forced,
            to,
        };
        self.tell(&lock.session, notice);
    }

    /// Moves a lock to somebody else in one step: nobody can come in between. `answered` is the request that is
    /// granted by it. Does nothing when something else that others hold (the former holder, mostly) excludes the new
    /// holder; those locks are the error.
    pub(super) fn hand_over(
        &mut self,
        lock: &'a Lock,
        to: &Actor,
        cause: GrantCause,
        answered: Option<&Request>,
    ) -> Result<LockView, Vec<LockView>> {
        if !self.outlook.can_move(lock, &to.session) {
            let mut in_the_way = self.blocked_by(&lock.closure(), &to.session);
            in_the_way.retain(|other| other.token != lock.token);
            return Err(in_the_way);
        }
        // Closed before the release, which tells all who still ask that the lock is gone.
        if let Some(request) = answered {
            self.close(request);
        }
        let taken = cause == GrantCause::TakeOver;
        self.release(lock, if taken { ReleaseReason::TakenOver } else { ReleaseReason::HandedOver }, None);
        if !self.holds(Guard::HandOver) {
            self.wake();
        }
        let view = self.grant(Grant {
            actor: to,
            lock_type: lock.lock_type,
            targets: &lock.targets,
            ttl_ms: lock.lease.ttl_ms,
            metadata: lock.metadata.clone(),
            cause,
            continues: taken.then_some((lock.held_since, lock.lease.cap)),
        });
        self.break_circles(&to.session);
        Ok(view)
    }

    /// Grants what has become free to those whose turn it is.
    pub(super) fn wake(&mut self) {
        if !self.outlook.stirs() || !self.holds(Guard::Wake) {
            return;
        }
        // One pass in order of arrival is enough: what is granted to one only takes from the others.
        let waiters: Vec<&Waiter> = self.outlook.waiters().collect();
        for waiter in waiters {
            if self.outlook.waits(waiter.ticket) && self.outlook.is_next(waiter) {
                // Ends the wait too, as the one for the same thing.
                self.grant(Grant {
                    actor: &waiter.actor,
                    lock_type: waiter.lock_type,
                    targets: &waiter.targets,
                    ttl_ms: waiter.ttl_ms,
                    metadata: waiter.metadata.clone(),
                    cause: GrantCause::Queue,
                    continues: None,
                });
            }
        }
    }

    /// Takes somebody out of the queue. Nobody is told of it here.
    pub(super) fn dequeue(&mut self, ticket: Ticket) {
        self.outlook.dequeue(ticket);
        self.soft.push(Soft::Dequeue(ticket));
    }

    pub(super) fn end_wait(&mut self, waiter: &Waiter, why: WaitEnd) {
        self.dequeue(waiter.ticket);
        let blocked_by = self.blocked_by(&waiter.closure(), &waiter.actor.session);
        self.tell(&waiter.actor.session, Notice::WaitEnded { ticket: waiter.ticket, why, blocked_by });
    }

    pub(super) fn is_open(&self, request: RequestId) -> bool {
        !self.closed.contains(&request)
    }

    pub(super) fn close(&mut self, request: &Request) {
        self.closed.push(request.id);
        self.soft.push(Soft::Close(request.id));
    }

    /// A session got a lock outside the queue, so others may wait for it now. Those of its own waits that have become
    /// hopeless by that are ended.
    fn break_circles(&mut self, session: &SessionId) {
        let building = self.building;
        for wait in building.queue.of_session(session) {
            if self.outlook.waits(wait.ticket)
                && self.holds(Guard::Deadlock)
                && circle_through(&self.outlook, wait).is_some()
            {
                self.end_wait(wait, WaitEnd::Cancelled);
            }
        }
    }

    fn end_twin_wait(&mut self, actor: &Actor, lock_type: LockType, targets: &[Target], view: &LockView) {
        let building = self.building;
        let waits = building.queue.of_session(&actor.session);
        for wait in waits.filter(|wait| wait.lock_type == lock_type && same_resources(&wait.targets, targets)) {
            if self.outlook.waits(wait.ticket) {
                self.dequeue(wait.ticket);
                self.tell(&actor.session, Notice::WaitGranted { ticket: wait.ticket, lock: view.clone() });
            }
        }
    }

    /// Tells those who view what lies under a lock that begins.
    fn tell_viewers(&mut self, lock_type: LockType, targets: &[Target], by: &LockView) {
        let table = self.outlook.table;
        if table.views() == 0 {
            return;
        }
        let mut told: SmallVec<[Token; 8]> = SmallVec::new();
        for (node, _) in closure(lock_type, targets).into_iter().filter(|(_, mode)| *mode == Mode::Exclusive) {
            let mut tell = |locks: &mut dyn Iterator<Item = &'a Lock>| {
                for view in locks.filter(|lock| lock.is_view() && lock.session != by.session) {
                    if self.outlook.lock(view.token).is_some() && !told.contains(&view.token) {
                        told.push(view.token);
                        let resource = view.resource().clone();
                        let notice = Notice::ViewBroken { lock: LockId(view.token), resource, by: by.clone() };
                        self.notices.push(Notify { to: Addressee::Session(view.session.clone()), notice });
                    }
                }
            };
            match node {
                Node::Building => tell(&mut table.iter()),
                Node::Floor(floor) => tell(&mut table.in_room(floor)),
                Node::Item(item) => tell(&mut table.on_resource(item)),
            }
        }
    }

    /// Tells those who stood behind somebody who is gone their new place.
    fn move_up(&mut self) {
        let building = self.building;
        let gone: Vec<&Waiter> = self.outlook.gone().iter().filter_map(|ticket| building.queue.get(ticket)).collect();
        let gone: Vec<(&Waiter, Closure<'_>)> = gone.into_iter().map(|waiter| (waiter, waiter.closure())).collect();
        let mut wanted_by_gone = NodeMap::<Counts>::default();
        gone.iter().for_each(|(_, closure)| wanted_by_gone.add(closure));
        let left: Vec<&Waiter> = self.outlook.waiters().collect();
        for waiter in left {
            let wanted = waiter.closure();
            if !wanted_by_gone.exclude(&wanted) {
                continue;
            }
            let was_ahead = |(other, theirs): &&(&Waiter, Closure<'_>)| {
                other.actor.session != waiter.actor.session && other.precedes(waiter) && conflict(theirs, &wanted)
            };
            let moved = gone.iter().filter(was_ahead).count() as u32;
            if moved > 0 {
                let ahead = waiter.ahead.saturating_sub(moved);
                self.soft.push(Soft::Ahead { ticket: waiter.ticket, ahead });
                self.tell(&waiter.actor.session, Notice::WaitMoved { ticket: waiter.ticket, position: ahead + 1 });
            }
        }
    }
}

impl Heads {
    fn next(&mut self, room: RoomKey, so_far: u64, advance: bool) -> u64 {
        let step = u64::from(advance);
        if let Some((_, seq)) = self.few.iter_mut().find(|(key, _)| *key == room) {
            *seq += step;
            return *seq;
        }
        let first = so_far.saturating_add(1);
        if self.few.len() < FEW_ROOMS {
            self.few.push((room, first));
            return first;
        }
        *self.many.entry(room).and_modify(|seq| *seq += step).or_insert(first)
    }
}
