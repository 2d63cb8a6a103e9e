//! What should be true of a building's locks, said as simply as possible.
//!
//! The model knows every lock, wait and request as a plain list and answers every question by walking it. It reads
//! each decision of the real thing, complains about whatever it would not have allowed, and believes the rest; after
//! each step both must show the same.

use std::collections::{BTreeMap, BTreeSet};

use arxosrt_core::building::command::{
    Actor, Command, Facts, HolderAnswer, HolderState, LockView, Place, Refusal, Reply, Target,
};
use arxosrt_core::building::event::{Event, GrantCause, LockGranted, LockReleased, ReleaseReason};
use arxosrt_core::building::notice::{Notice, Notify, RequestEnd, WaitEnd};
use arxosrt_core::building::{Building, Decision, Gap, LockSettings, Settings};
use arxosrt_core::id::{RoomId, SessionId, UserId};
use arxosrt_core::lock::{LockId, LockType, RequestId, Ticket, Token};
use arxosrt_core::time::{Mono, Wall};

use crate::overlap::{Region, overlap, region};

/// What the model has against a step.
pub type Complaint = String;

macro_rules! ensure {
    ($condition:expr, $($complaint:tt)+) => {
        if !$condition {
            return Err(format!($($complaint)+));
        }
    };
}

/// A lock that should be held.
#[derive(Clone, Debug)]
pub struct Held {
    pub token: Token,
    pub lock_type: LockType,
    pub targets: Vec<Target>,
    pub session: SessionId,
    pub user: UserId,
    granted_ttl_ms: u64,
    ttl_ms: u64,
    until: Mono,
    cap: Mono,
    active: Mono,
    held_since: Wall,
}

/// A wait that should be going on.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub ticket: Ticket,
    pub actor: Actor,
    lock_type: LockType,
    targets: Vec<Target>,
    ttl_ms: u64,
    until: Mono,
    passes: BTreeSet<Ticket>,
}

/// A request that should be open.
#[derive(Clone, Debug)]
pub struct Asked {
    pub id: RequestId,
    pub lock: Token,
    pub actor: Actor,
    asked: Mono,
    until: Mono,
}

/// The simple truth about one building.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub held: Vec<Held>,
    pub waiting: Vec<Waiting>,
    pub asked: Vec<Asked>,
    /// Locks that are no more, to be tried again.
    pub stale: Vec<Token>,
    suspended: BTreeMap<SessionId, Mono>,
    told: BTreeMap<RoomId, Vec<(Event, usize)>>,
    names: BTreeMap<(SessionId, Box<str>), (u64, Mono, u64)>,
    /// Counts the jumps of the wall clock; what was said before one may be forgotten by name.
    pub wall_jumps: u64,
}

impl Held {
    fn end(&self) -> Mono {
        self.until.min(self.cap)
    }

    fn what(&self) -> (LockType, &[Target]) {
        (self.lock_type, &self.targets)
    }

    fn belongs_to(&self, actor: &Actor) -> bool {
        self.session == actor.session || actor.legacy && self.user == actor.user
    }
}

impl Waiting {
    fn what(&self) -> (LockType, &[Target]) {
        (self.lock_type, &self.targets)
    }

    /// Ahead of `other`, and it matters.
    fn before(&self, other: &Waiting) -> bool {
        let first = match self.ticket < other.ticket {
            true => !other.passes.contains(&self.ticket),
            false => self.passes.contains(&other.ticket),
        };
        first && self.actor.session != other.actor.session && overlap(self.what(), other.what())
    }
}

fn same(a: (LockType, &[Target]), b: (LockType, &[Target])) -> bool {
    let names = |targets: &[Target]| targets.iter().map(|t| t.resource.clone()).collect::<BTreeSet<_>>();
    a.0 == b.0 && names(a.1) == names(b.1)
}

fn distinct(targets: &[Target]) -> Vec<Target> {
    let mut once: Vec<Target> = Vec::new();
    for target in targets {
        if once.iter().all(|there| there.resource != target.resource) {
            once.push(target.clone());
        }
    }
    once
}

impl Model {
    /// Reads a decision that was made in the state before it; afterwards the model is in the state after it.
    pub fn observe(
        &mut self,
        facts: &Facts,
        settings: &Settings,
        command: &Command,
        decision: &Decision,
        last_token: &mut Token,
    ) -> Result<(), Complaint> {
        let locks = &settings.locks;
        self.judge_reply(facts, locks, command, &decision.reply)?;
        self.waits_that_ended(facts, command, &decision.notices)?;
        let before = self.held.clone();
        let mut handed = None;
        for event in &decision.events {
            self.judge_order(event)?;
            match event {
                Event::Broadcast(_) => {}
                Event::LockReleased(released) => {
                    ensure!(handed.is_none(), "L9: a hand-over has a gap: {event:?}");
                    handed = self.judge_release(facts, locks, command, released)?;
                }
                Event::LockGranted(granted) => {
                    ensure!(granted.token > *last_token, "L2: {:?} is not above {last_token:?}", granted.token);
                    *last_token = granted.token;
                    self.judge_grant(facts, locks, command, granted, handed.take())?;
                }
            }
        }
        ensure!(handed.is_none(), "L9: a lock was taken for somebody who did not get it");
        self.judge_notices(facts, locks, command, decision, &before)?;
        self.soft_effects(facts, locks, command, &decision.reply);
        if let Command::SessionEnded { session } = command {
            let left = self.held.iter().find(|held| held.session == *session);
            ensure!(left.is_none(), "the session has ended and holds {left:?}");
        }
        Ok(())
    }

    /// What a crash leaves: soft state is gone, every lease starts anew.
    pub fn restart(&mut self, now: Mono, wall: Wall, settings: &Settings) {
        let locks = &settings.locks;
        self.waiting.clear();
        self.asked.clear();
        self.suspended.clear();
        self.wall_jumps += 1;
        for held in &mut self.held {
            let held_ms = u64::try_from(wall.0 - held.held_since.0).unwrap_or(0);
            held.cap = now.plus(locks.max_hold_ms.saturating_sub(held_ms).max(locks.reclaim_ms));
            held.ttl_ms = held.granted_ttl_ms;
            held.until = now.plus(held.ttl_ms);
            held.active = now;
            self.suspended.insert(held.session.clone(), now);
        }
    }

    /// Compares what both show.
    pub fn compare(&self, facts: &Facts, settings: &Settings, building: &Building) -> Result<(), Complaint> {
        let locks = &settings.locks;
        ensure!(
            building.locks().eq(self.held.iter().map(|held| held.token)),
            "L10: held are {:?}, should be {:?}",
            building.locks().collect::<Vec<_>>(),
            self.held.iter().map(|held| held.token).collect::<Vec<_>>()
        );
        for (view, held) in building.lock_views(facts).iter().zip(&self.held) {
            let left = held.end().since(facts.now);
            ensure!(view.expires_in_ms == left, "L5: {:?} ends in {}, should in {left}", view.id, view.expires_in_ms);
            let state = self.state_of(facts, locks, held);
            ensure!(view.holder_state == state, "{:?} is {:?}, should be {state:?}", view.id, view.holder_state);
            let waiters = self.waiting.iter().filter(|w| self.waits_for(w, held)).count();
            ensure!(view.waiters as usize == waiters, "{:?} has {} waiters, should {waiters}", view.id, view.waiters);
        }
        let tickets: Vec<Ticket> = building.waiter_views(facts).iter().map(|waiter| waiter.ticket).collect();
        let should: Vec<Ticket> = self.waiting.iter().map(|waiting| waiting.ticket).collect();
        ensure!(tickets == should, "waiting are {tickets:?}, should {should:?}");
        for waiting in &self.waiting {
            ensure!(!self.may_have(waiting), "L6: {} waits for nothing", waiting.ticket);
        }
        let sessions: BTreeSet<_> = self.waiting.iter().map(|waiting| &waiting.actor.session).collect();
        for session in sessions {
            ensure!(!self.waits_for_itself(session), "L8: {session} waits for itself");
        }
        for (room, told) in &self.told {
            ensure!(building.seq(room) == told.len() as u64, "{room} is at {}, not {}", building.seq(room), told.len());
        }
        Ok(())
    }

    /// Nothing may be left undone once every tick has run.
    pub fn judge_rest(&self, facts: &Facts, locks: &LockSettings) -> Result<(), Complaint> {
        for held in &self.held {
            ensure!(facts.now < held.end(), "L5: {:?} should have ended at {:?}", held.token, held.end());
        }
        for waiting in &self.waiting {
            ensure!(facts.now < waiting.until, "{} should have ended at {:?}", waiting.ticket, waiting.until);
        }
        for asked in &self.asked {
            let held = self.find(asked.lock).ok_or("a request outlives its lock")?;
            let absent = self.absent_since(locks, held);
            ensure!(facts.now < asked.until || facts.now >= absent, "{} should have lapsed", asked.id);
            ensure!(facts.now < self.deemed_at(locks, asked, held), "{} should have been granted", asked.id);
        }
        Ok(())
    }

    /// Compares what a room keeps with what was told.
    pub fn judge_missed(&self, building: &Building, room: &RoomId, since: u64, kept: usize) -> Result<(), Complaint> {
        let none = Vec::new();
        let told = self.told.get(room).unwrap_or(&none);
        match building.missed(room, since) {
            Err(Gap::Ahead) => ensure!(since > told.len() as u64, "{room}: {since} is not ahead of {}", told.len()),
            Err(Gap::Expired) => {
                ensure!(since + (kept as u64) < told.len() as u64, "{room}: {since} of {} is kept", told.len());
            }
            Ok(missed) => {
                let shown = missed.iter().map(|m| (m.seq, m.event, m.target));
                let should =
                    told.iter().zip(1u64..).skip(since as usize).map(|((event, target), seq)| (seq, event, *target));
                ensure!(shown.eq(should), "{room}: another story after {since}");
            }
        }
        Ok(())
    }

    /// Compares the check of a token.
    pub fn judge_verify(
        &self,
        facts: &Facts,
        building: &Building,
        token: Token,
        target: &Target,
        grid: bool,
    ) -> Result<(), Complaint> {
        let says = building.verify(facts, token, target, grid);
        let live = |held: &&Held| facts.now < held.end();
        let valid = self.held.iter().filter(live).any(|held| {
            let type_permits = match held.lock_type {
                LockType::FloorEdit => true,
                LockType::GridCalibration => grid,
                LockType::ObjectEdit | LockType::RouteEdit => !grid,
                LockType::AnalyticsView => false,
            };
            held.token == token && type_permits && covers(held, target)
        });
        ensure!(says.valid == valid, "L3: {token:?} for {target:?}: valid {} ({:?})", says.valid, says.reason);
        let rooms: &[RoomId] = if matches!(target.place, Place::Building(_)) { &[] } else { target.place.rooms() };
        let above = |held: &&Held| {
            held.targets.iter().filter_map(|own| region(held.lock_type, own)).any(|region| match region {
                Region::Building => true,
                Region::Floor(floor) => rooms.contains(&floor),
                Region::Thing(thing, _) => thing == target.resource,
            })
        };
        let fence = self.held.iter().filter(live).filter(above).map(|held| held.token).max();
        ensure!(says.fence == fence, "the fence of {target:?} is {:?}, should be {fence:?}", says.fence);
        Ok(())
    }

    fn find(&self, token: Token) -> Option<&Held> {
        self.held.iter().find(|held| held.token == token)
    }

    fn waits_for(&self, waiting: &Waiting, held: &Held) -> bool {
        waiting.actor.session != held.session && overlap(waiting.what(), held.what())
    }

    fn may_have(&self, waiting: &Waiting) -> bool {
        !self.held.iter().any(|held| self.waits_for(waiting, held)) && !self.waiting.iter().any(|w| w.before(waiting))
    }

    /// Whether following who waits for whom leads back.
    fn waits_for_itself(&self, session: &SessionId) -> bool {
        let mut reached: BTreeSet<&SessionId> = BTreeSet::new();
        let mut edge = vec![session];
        while let Some(at) = edge.pop() {
            for waiting in self.waiting.iter().filter(|waiting| waiting.actor.session == *at) {
                let holders = self.held.iter().filter(|held| self.waits_for(waiting, held)).map(|held| &held.session);
                let ahead = self.waiting.iter().filter(|other| other.before(waiting)).map(|other| &other.actor.session);
                for next in holders.chain(ahead) {
                    if next == session {
                        return true;
                    }
                    if reached.insert(next) {
                        edge.push(next);
                    }
                }
            }
        }
        false
    }

    /// The wait as it would begin now.
    fn wait_of(&self, facts: &Facts, actor: &Actor, lock_type: LockType, targets: &[Target]) -> Waiting {
        let mut new = Waiting {
            ticket: Ticket(u64::MAX),
            actor: actor.clone(),
            lock_type,
            targets: targets.to_vec(),
            ttl_ms: 0,
            until: facts.now,
            passes: BTreeSet::new(),
        };
        let own_wait_before =
            |other: &Waiting| self.waiting.iter().any(|own| own.actor.session == actor.session && own.before(other));
        let holds_against =
            |other: &Waiting| self.held.iter().any(|held| held.session == actor.session && self.waits_for(other, held));
        let rivals = self
            .waiting
            .iter()
            .filter(|other| other.actor.session != actor.session && overlap(other.what(), new.what()));
        let passed = rivals.filter(|other| holds_against(other) || own_wait_before(other));
        new.passes = passed.map(|other| other.ticket).collect();
        new
    }

    fn absent_since(&self, locks: &LockSettings, held: &Held) -> Mono {
        let idle = held.active.plus(locks.idle_ms);
        self.suspended.get(&held.session).map_or(idle, |since| idle.min(*since))
    }

    fn deemed_at(&self, locks: &LockSettings, asked: &Asked, held: &Held) -> Mono {
        asked.asked.max(self.absent_since(locks, held)).plus(locks.request_idle_grant_ms)
    }

    fn state_of(&self, facts: &Facts, locks: &LockSettings, held: &Held) -> HolderState {
        if self.suspended.contains_key(&held.session) {
            HolderState::Suspended
        } else if facts.now >= held.active.plus(locks.idle_ms) {
            HolderState::Idle
        } else {
            HolderState::Active
        }
    }

    /// What a command must be answered.
    fn judge_reply(
        &self,
        facts: &Facts,
        locks: &LockSettings,
        command: &Command,
        reply: &Reply,
    ) -> Result<(), Complaint> {
        if matches!(reply, Reply::Refused(Refusal::Limit { .. })) {
            return Ok(());
        }
        let refused = |refusal: Refusal| *reply == Reply::Refused(refusal);
        let holder_check = |actor: &Actor, lock: &LockId| match self.find(lock.0) {
            None => Some(Refusal::LockNotFound),
            Some(held) if !held.belongs_to(actor) => Some(Refusal::NotHolder),
            Some(_) => None,
        };
        let fits = match command {
            Command::Acquire { actor, lock_type, targets, wait_ms, .. } => {
                return self.judge_acquire(facts, actor, *lock_type, &distinct(targets), *wait_ms, reply);
            }
            Command::Release { actor, lock } => match holder_check(actor, lock) {
                Some(refusal) => refused(refusal),
                None => *reply == Reply::Released { lock: *lock },
            },
            Command::Renew { actor, lock, .. } => match holder_check(actor, lock) {
                Some(refusal) => refused(refusal),
                None => matches!(reply, Reply::Renewed { lock: view } if view.id == *lock),
            },
            Command::ForceRelease { lock, expected, .. } => match self.find(lock.0) {
                None => refused(Refusal::LockNotFound),
                Some(held) if held.token != *expected => refused(Refusal::TokenChanged { current: held.token }),
                Some(_) => *reply == Reply::Released { lock: *lock },
            },
            Command::TakeOver { actor, lock } => match self.find(lock.0) {
                None => refused(Refusal::LockNotFound),
                Some(held) if held.user != actor.user => refused(Refusal::NotSameUser),
                Some(held) if held.session == actor.session => {
                    matches!(reply, Reply::Renewed { .. })
                }
                Some(held) if self.can_move(held, &actor.session) => {
                    matches!(reply, Reply::Granted { renewed: false, .. })
                }
                Some(_) => matches!(reply, Reply::Held { blocked_by } if !blocked_by.is_empty()),
            },
            Command::CancelWait { actor, ticket } => {
                let own = |w: &&Waiting| w.actor.session == actor.session || actor.legacy && w.actor.user == actor.user;
                match self.waiting.iter().filter(own).any(|waiting| waiting.ticket == *ticket) {
                    true => *reply == Reply::Done,
                    false => refused(Refusal::WaitNotFound),
                }
            }
            Command::RequestLock { actor, lock, .. } => {
                let open = self.asked.iter().find(|a| a.lock == lock.0 && a.actor.session == actor.session);
                match (self.find(lock.0), open) {
                    (None, _) => refused(Refusal::LockNotFound),
                    (Some(held), _) if held.session == actor.session => refused(Refusal::OwnLock),
                    (_, Some(open)) => refused(Refusal::AlreadyRequested { request: open.id }),
                    _ => matches!(reply, Reply::Requested { .. }),
                }
            }
            Command::RespondLockRequest { actor, request, decision, .. } => {
                let asked = self.asked.iter().find(|asked| asked.id == *request);
                let held = asked.and_then(|asked| self.find(asked.lock)).filter(|held| held.belongs_to(actor));
                match (asked, held, decision) {
                    (Some(asked), Some(held), HolderAnswer::Grant) => match self.can_move(held, &asked.actor.session) {
                        true => *reply == Reply::Released { lock: LockId(held.token) },
                        false => {
                            matches!(reply, Reply::Held { blocked_by } if !blocked_by.is_empty())
                        }
                    },
                    (Some(_), Some(_), _) => *reply == Reply::Done,
                    _ => refused(Refusal::RequestNotFound),
                }
            }
            Command::RetractLockRequest { actor, request } => {
                let own = |a: &&Asked| a.actor.session == actor.session || actor.legacy && a.actor.user == actor.user;
                match self.asked.iter().filter(own).any(|asked| asked.id == *request) {
                    true => *reply == Reply::Done,
                    false => refused(Refusal::RequestNotFound),
                }
            }
            Command::Broadcast { room, from, client_msg_id, .. } => {
                let next = self.told.get(room).map_or(0, Vec::len) as u64 + 1;
                let name = from.as_ref().zip(client_msg_id.as_ref()).map(|(a, name)| (a.session.clone(), name.clone()));
                match name.and_then(|name| self.names.get(&name)) {
                    // Told lately, and no clock has jumped since: it must be known.
                    Some((seq, at, jumps)) if facts.now.since(*at) < 60_000 && *jumps == self.wall_jumps => {
                        *reply == Reply::Sequenced { seq: *seq, duplicate: true }
                    }
                    Some((seq, ..)) => {
                        *reply == Reply::Sequenced { seq: *seq, duplicate: true }
                            || *reply == Reply::Sequenced { seq: next, duplicate: false }
                    }
                    None => *reply == Reply::Sequenced { seq: next, duplicate: false },
                }
            }
            Command::Activity { .. }
            | Command::SessionSuspended { .. }
            | Command::SessionResumed { .. }
            | Command::SessionEnded { .. }
            | Command::Tick => *reply == Reply::Done,
        };
        let _ = locks;
        ensure!(fits, "the wrong answer: {reply:?}");
        Ok(())
    }

    fn judge_acquire(
        &self,
        facts: &Facts,
        actor: &Actor,
        lock_type: LockType,
        targets: &[Target],
        wait_ms: u64,
        reply: &Reply,
    ) -> Result<(), Complaint> {
        let what = (lock_type, targets);
        let mine: Vec<Token> = {
            let same = |held: &&Held| held.belongs_to(actor) && same(held.what(), what);
            self.held.iter().filter(same).map(|held| held.token).collect()
        };
        if !mine.is_empty() {
            let fits = matches!(reply, Reply::Granted { lock, renewed: true } if mine.contains(&lock.token));
            ensure!(fits, "it has {mine:?} already: {reply:?}");
            return Ok(());
        }
        let new = self.wait_of(facts, actor, lock_type, targets);
        let holders: Vec<Token> =
            self.held.iter().filter(|held| self.waits_for(&new, held)).map(|held| held.token).collect();
        let ahead = self.waiting.iter().filter(|other| other.before(&new)).count();
        if holders.is_empty() && ahead == 0 {
            ensure!(matches!(reply, Reply::Granted { renewed: false, .. }), "nothing is in the way: {reply:?}");
            return Ok(());
        }
        let names_them = |blocked_by: &[LockView]| blocked_by.iter().map(|lock| lock.token).eq(holders.iter().copied());
        match reply {
            Reply::Held { blocked_by } => {
                ensure!(wait_ms == 0, "it would have waited: {reply:?}");
                ensure!(names_them(blocked_by), "L1: in the way are {holders:?}: {reply:?}");
            }
            Reply::Queued { ticket, position, blocked_by } => {
                ensure!(wait_ms > 0, "it would not have waited: {reply:?}");
                ensure!(names_them(blocked_by), "L1: in the way are {holders:?}: {reply:?}");
                let twin = self.waiting.iter().find(|w| w.actor.session == actor.session && same(w.what(), what));
                if let Some(twin) = twin {
                    ensure!(*ticket == twin.ticket, "it waits already as {}: {reply:?}", twin.ticket);
                    let ahead = self.waiting.iter().filter(|other| other.before(twin)).count();
                    ensure!(*position as usize == ahead + 1, "{ahead} are ahead: {reply:?}");
                    return Ok(());
                }
                ensure!(*position as usize == ahead + 1, "{ahead} are ahead: {reply:?}");
                ensure!(!self.closes_a_circle(new), "L8: this wait closes a circle: {reply:?}");
            }
            Reply::Refused(Refusal::Deadlock { cycle }) => {
                ensure!(wait_ms > 0 && self.closes_a_circle(new), "there is no circle: {reply:?}");
                ensure!(cycle.len() >= 2 && cycle[0] == actor.user, "not a circle of the asker's: {reply:?}");
            }
            _ => {
                return Err(format!("L1/L6: held by {holders:?}, {ahead} ahead: {reply:?}"));
            }
        }
        Ok(())
    }

    fn closes_a_circle(&self, new: Waiting) -> bool {
        let mut then = self.clone();
        let session = new.actor.session.clone();
        then.waiting.push(new);
        then.waits_for_itself(&session)
    }

    /// Whether only the lock itself is in `session`'s way.
    fn can_move(&self, lock: &Held, session: &SessionId) -> bool {
        let others = self.held.iter().filter(|held| held.token != lock.token && held.session != *session);
        !others.into_iter().any(|held| overlap(held.what(), lock.what()))
    }

    /// Waits that ended without a lock, before anything else is judged by who waits.
    fn waits_that_ended(&mut self, facts: &Facts, command: &Command, notices: &[Notify]) -> Result<(), Complaint> {
        for Notify { to, notice } in notices {
            let Notice::WaitEnded { ticket, why, .. } = notice else {
                continue;
            };
            let at = self.waiting.iter().position(|waiting| waiting.ticket == *ticket);
            let waiting = self.waiting.remove(at.ok_or_else(|| format!("{ticket} ended and did not wait"))?);
            ensure!(waiting.actor.session == *to, "{ticket} ended and another one was told");
            let may = match why {
                WaitEnd::TimedOut => matches!(command, Command::Tick) && facts.now >= waiting.until,
                WaitEnd::Cancelled => match command {
                    Command::CancelWait { ticket: asked, .. } => asked == ticket,
                    // A lock that changes hands can make a wait hopeless.
                    Command::RespondLockRequest { .. } | Command::TakeOver { .. } | Command::Tick => true,
                    _ => false,
                },
            };
            ensure!(may, "{ticket} should not have ended: {why:?}");
        }
        if let Command::SessionEnded { session } = command {
            self.waiting.retain(|waiting| waiting.actor.session != *session);
        }
        Ok(())
    }

    fn judge_order(&mut self, event: &Event) -> Result<(), Complaint> {
        let mut see = |room: &RoomId, seq: u64, target: usize| {
            let told = self.told.entry(room.clone()).or_default();
            told.push((event.clone(), target));
            ensure!(seq == told.len() as u64, "{room}: number {seq} is told as message {}", told.len());
            Ok(())
        };
        match event {
            Event::Broadcast(broadcast) => see(&broadcast.seen.room, broadcast.seen.seq, 0),
            Event::LockGranted(LockGranted { targets, .. }) | Event::LockReleased(LockReleased { targets, .. }) => {
                for (i, target) in targets.iter().enumerate() {
                    for seen in &target.seen {
                        see(&seen.room, seen.seq, i)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Judges why a lock is released; gives it when it must go to somebody at once.
    fn judge_release(
        &mut self,
        facts: &Facts,
        locks: &LockSettings,
        command: &Command,
        released: &LockReleased,
    ) -> Result<Option<Held>, Complaint> {
        let at = self.held.iter().position(|held| held.token == released.token);
        let at = at.ok_or_else(|| format!("L10: {:?} is released and was not held", released.token))?;
        let held = self.held[at].clone();
        ensure!(held.session == released.session, "{released:?} names another holder");
        let may = match (released.reason, command) {
            (ReleaseReason::Released, Command::Release { actor, lock }) => {
                lock.0 == held.token && held.belongs_to(actor)
            }
            (ReleaseReason::Forced, Command::ForceRelease { lock, expected, .. }) => {
                lock.0 == held.token && *expected == held.token && released.forced.is_some()
            }
            (ReleaseReason::SessionEnded, Command::SessionEnded { session }) => *session == held.session,
            (ReleaseReason::Expired, Command::Tick) => facts.now >= held.until && held.until < held.cap,
            (ReleaseReason::MaxHold, Command::Tick) => facts.now >= held.cap && held.cap <= held.until,
            (ReleaseReason::TakenOver, Command::TakeOver { lock, .. }) => lock.0 == held.token,
            (ReleaseReason::HandedOver, Command::RespondLockRequest { request, .. }) => {
                self.asked.iter().any(|asked| asked.id == *request && asked.lock == held.token)
            }
            (ReleaseReason::HandedOver, Command::Tick) => {
                let first = self.asked.iter().find(|asked| asked.lock == held.token);
                first.is_some_and(|asked| facts.now >= self.deemed_at(locks, asked, &held))
            }
            _ => false,
        };
        ensure!(may, "L5/L10: {:?} should not be released: {released:?}, {held:?}", held.token);
        self.held.remove(at);
        self.stale.push(held.token);
        let moves = matches!(released.reason, ReleaseReason::HandedOver | ReleaseReason::TakenOver);
        Ok(moves.then_some(held))
    }

    fn judge_grant(
        &mut self,
        facts: &Facts,
        locks: &LockSettings,
        command: &Command,
        granted: &LockGranted,
        from: Option<Held>,
    ) -> Result<(), Complaint> {
        let (mut cap, mut held_since, mut ttl_ms) = (facts.now.plus(locks.max_hold_ms), facts.wall, None);
        let targets: Vec<Target> = match (granted.cause, command, from) {
            (GrantCause::Asked, Command::Acquire { actor, lock_type, targets, ttl_ms: wish, .. }, None) => {
                ensure!(actor.session == granted.session && *lock_type == granted.lock_type, "not asked: {granted:?}");
                ttl_ms = Some(locks.ttl(*lock_type, *wish));
                distinct(targets)
            }
            (GrantCause::Queue, _, None) => {
                let mut own = self.waiting.iter().filter(|w| {
                    let names = |mut t: std::slice::Iter<'_, Target>| {
                        t.all(|target| granted.targets.iter().any(|locked| locked.resource == target.resource))
                    };
                    w.actor.session == granted.session
                        && w.lock_type == granted.lock_type
                        && names(w.targets.iter())
                        && w.targets.len() == granted.targets.len()
                });
                let waiting = own.next().ok_or_else(|| format!("nobody waited for {granted:?}"))?;
                ensure!(self.may_have(waiting), "L1/L6: it was not the turn of {}", waiting.ticket);
                ttl_ms = Some(waiting.ttl_ms);
                waiting.targets.clone()
            }
            (GrantCause::HandOver, _, Some(from)) => from.targets,
            (GrantCause::TakeOver, _, Some(from)) => {
                (cap, held_since) = (from.cap, from.held_since);
                ensure!(from.user == granted.user, "taken over from somebody else: {granted:?}");
                from.targets
            }
            _ => return Err(format!("L9: no reason for {granted:?}")),
        };
        let resources = granted.targets.iter().map(|locked| &locked.resource);
        ensure!(resources.eq(targets.iter().map(|target| &target.resource)), "L7: not all, or more: {granted:?}");
        let new = Held {
            token: granted.token,
            lock_type: granted.lock_type,
            targets,
            session: granted.session.clone(),
            user: granted.user.clone(),
            granted_ttl_ms: granted.ttl_ms,
            ttl_ms: granted.ttl_ms,
            until: facts.now.plus(granted.ttl_ms),
            cap,
            active: facts.now,
            held_since,
        };
        ensure!(ttl_ms.is_none_or(|ttl_ms| ttl_ms == granted.ttl_ms), "another lease than asked for: {granted:?}");
        ensure!(granted.held_since == held_since, "held since {held_since:?}: {granted:?}");
        let rival = self.held.iter().find(|h| h.session != new.session && overlap(h.what(), new.what()));
        ensure!(rival.is_none(), "L1: {granted:?} is held by {rival:?}");
        self.waiting.retain(|w| !(w.actor.session == new.session && same(w.what(), new.what())));
        self.held.push(new);
        self.held.sort_by_key(|held| held.token);
        Ok(())
    }

    fn judge_notices(
        &mut self,
        facts: &Facts,
        locks: &LockSettings,
        command: &Command,
        decision: &Decision,
        before: &[Held],
    ) -> Result<(), Complaint> {
        if let Command::SessionEnded { session } = command {
            self.asked.retain(|asked| asked.actor.session != *session);
        }
        if let Command::RetractLockRequest { request, .. } = command
            && decision.reply == Reply::Done
        {
            self.asked.retain(|asked| asked.id != *request);
        }
        for Notify { to, notice } in &decision.notices {
            match notice {
                Notice::RequestAnswered { request, lock, decision: answer, deemed, granted, .. } => {
                    let asked = self.close_request(*request, to)?;
                    ensure!(asked.lock == lock.0, "{request} was about another lock");
                    ensure!(
                        granted.is_some() == (*answer == HolderAnswer::Grant),
                        "granted without a lock: {notice:?}"
                    );
                    ensure!(*deemed == matches!(command, Command::Tick), "who answered? {notice:?}");
                    if let Some(view) = granted {
                        ensure!(self.find(view.token).is_some_and(|h| h.session == *to), "L9: {notice:?}");
                    }
                }
                Notice::RequestLapsed { request, why, .. } => {
                    let asked = self.close_request(*request, to)?;
                    let held = self.find(asked.lock);
                    let may = match why {
                        RequestEnd::LockGone => held.is_none(),
                        // The lock may have ended too, later in the same tick.
                        RequestEnd::Expired => {
                            before.iter().find(|held| held.token == asked.lock).is_some_and(|held| {
                                let deemed = facts.now >= self.deemed_at(locks, &asked, held);
                                // Deemed and lapsed all the same: what the holder has besides was in the way.
                                facts.now >= asked.until && facts.now < self.absent_since(locks, held) || deemed
                            })
                        }
                        RequestEnd::Retracted => false,
                    };
                    ensure!(may, "{request} should not have lapsed: {why:?}");
                }
                Notice::Expiring { lock, expires_in_ms, .. } => {
                    let held = before.iter().find(|held| held.token == lock.0);
                    let held = held.ok_or_else(|| format!("{lock} is gone and warned about"))?;
                    ensure!(held.end().since(facts.now) == *expires_in_ms, "the wrong time: {notice:?}");
                    ensure!(*expires_in_ms <= locks.warn_ms[0], "too early: {notice:?}");
                }
                Notice::WaitMoved { ticket, position } => {
                    // A newcomer that passes is not in the model yet.
                    let newcomer = u32::from(matches!(decision.reply, Reply::Queued { .. }));
                    let waiting = self.waiting.iter().find(|w| w.ticket == *ticket);
                    let waiting = waiting.ok_or_else(|| format!("{ticket} moved and does not wait"))?;
                    let ahead = self.waiting.iter().filter(|other| other.before(waiting)).count() as u32;
                    ensure!(*position == ahead + 1 + newcomer, "{ahead} are ahead: {notice:?}");
                }
                Notice::WaitGranted { lock, .. } => {
                    ensure!(self.find(lock.token).is_some_and(|held| held.session == *to), "L4: {notice:?}");
                }
                Notice::Lost { token, .. } => {
                    ensure!(self.find(*token).is_none(), "not lost at all: {notice:?}");
                }
                Notice::ViewBroken { lock, by, .. } => {
                    // The view may have ended later in the same tick.
                    let mut seen = before.iter().chain(&self.held).filter(|held| held.token == lock.0);
                    let view = seen.any(|held| held.lock_type == LockType::AnalyticsView);
                    ensure!(view && self.find(by.token).is_some(), "no such view, or no such lock: {notice:?}");
                }
                Notice::WaitEnded { .. }
                | Notice::Contended { .. }
                | Notice::Requested { .. }
                | Notice::RequestClosed { .. } => {}
            }
        }
        Ok(())
    }

    fn close_request(&mut self, id: RequestId, to: &SessionId) -> Result<Asked, Complaint> {
        let at = self.asked.iter().position(|asked| asked.id == id);
        let asked = self.asked.remove(at.ok_or_else(|| format!("{id} ends twice"))?);
        ensure!(asked.actor.session == *to, "{id} is told to somebody else");
        Ok(asked)
    }

    fn soft_effects(&mut self, facts: &Facts, locks: &LockSettings, command: &Command, reply: &Reply) {
        let now = facts.now;
        match (command, reply) {
            (Command::Acquire { ttl_ms, .. }, Reply::Granted { lock, renewed: true }) => {
                self.renew(now, lock.token, ttl_ms.map(|wish| locks.ttl(lock.lock_type, Some(wish))), true);
            }
            (Command::Renew { ttl_ms, .. }, Reply::Renewed { lock }) => {
                self.renew(now, lock.token, ttl_ms.map(|wish| locks.ttl(lock.lock_type, Some(wish))), false);
            }
            (Command::TakeOver { .. }, Reply::Renewed { lock }) => self.renew(now, lock.token, None, false),
            (Command::Acquire { actor, lock_type, targets, ttl_ms, wait_ms, .. }, Reply::Queued { ticket, .. })
                if self.waiting.iter().all(|waiting| waiting.ticket != *ticket) =>
            {
                let mut new = self.wait_of(facts, actor, *lock_type, &distinct(targets));
                new.ticket = *ticket;
                new.ttl_ms = locks.ttl(*lock_type, *ttl_ms);
                new.until = now.plus((*wait_ms).min(locks.wait_max_ms));
                self.waiting.push(new);
            }
            (Command::RequestLock { actor, lock, respond_ms, .. }, Reply::Requested { request, .. }) => {
                let respond_ms =
                    respond_ms.unwrap_or(locks.request_respond_ms).min(locks.request_respond_max_ms).max(1);
                let (actor, until) = (actor.clone(), now.plus(respond_ms));
                self.asked.push(Asked { id: *request, lock: lock.0, actor, asked: now, until });
            }
            (Command::Activity { session, room }, _) => {
                let in_room = |t: &Target| matches!(t.place, Place::Building(_)) || t.place.rooms().contains(room);
                let there = self.held.iter().filter(|h| h.session == *session && h.targets.iter().any(in_room));
                for token in there.map(|held| held.token).collect::<Vec<_>>() {
                    self.renew(now, token, None, true);
                }
            }
            (Command::SessionSuspended { session }, _) => {
                self.suspended.entry(session.clone()).or_insert(now);
            }
            (Command::SessionResumed { session } | Command::SessionEnded { session }, _) => {
                self.suspended.remove(session);
            }
            (Command::Broadcast { from: Some(actor), client_msg_id: Some(name), .. }, Reply::Sequenced { seq, .. }) => {
                let entry = (*seq, now, self.wall_jumps);
                let known = self.names.entry((actor.session.clone(), name.clone())).or_insert(entry);
                if known.0 != *seq {
                    *known = entry;
                }
            }
            _ => {}
        }
    }

    fn renew(&mut self, now: Mono, token: Token, ttl_ms: Option<u64>, active: bool) {
        if let Some(held) = self.held.iter_mut().find(|held| held.token == token) {
            held.ttl_ms = ttl_ms.unwrap_or(held.ttl_ms);
            held.until = now.plus(held.ttl_ms);
            if active {
                held.active = now;
            }
        }
    }
}

/// Whether a lock's regions contain the target.
fn covers(held: &Held, target: &Target) -> bool {
    let regions: Vec<Region> = held.targets.iter().filter_map(|own| region(held.lock_type, own)).collect();
    let floors: &[RoomId] = if matches!(target.place, Place::Building(_)) { &[] } else { target.place.rooms() };
    held.targets.iter().any(|own| own.resource == target.resource)
        || regions.contains(&Region::Building)
        || !floors.is_empty() && floors.iter().all(|floor| regions.contains(&Region::Floor(floor.clone())))
}
