//! What should be true of a building's locks, said as simply as possible.
//!
//! The model knows every lock, wait and request as a plain list and answers every question by walking it. It reads
//! each decision of the real thing, complains about whatever it would not have allowed, and believes the rest; after
//! each step both must show the same.

use std::collections::{BTreeMap, BTreeSet};

use arxosrt_core::building::command::{Actor, Command, Facts, HolderState, Place, Reply, Target};
use arxosrt_core::building::event::Event;
use arxosrt_core::building::{Decision, LockSettings, Settings};
use arxosrt_core::id::{RoomId, SessionId, UserId};
use arxosrt_core::lock::{LockType, RequestId, Ticket, Token};
use arxosrt_core::time::{Mono, Wall};

use crate::overlap::overlap;

mod events;
mod notices;
mod reply;
mod show;

/// What the model has against a step.
pub type Complaint = String;

/// Complains unless something is so.
macro_rules! ensure {
    ($condition:expr, $($complaint:tt)+) => {
        if !$condition {
            return Err(format!($($complaint)+));
        }
    };
}
pub(crate) use ensure;

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
                // Those of edits do not get past the judgement of the order.
                _ => {}
            }
        }
        ensure!(handed.is_none(), "L9: a lock was taken for somebody who did not get it");
        self.judge_notices(facts, locks, command, decision, &before)?;
        self.soft_effects(facts, locks, command, &decision.reply);
        if let Command::SessionEnded { session } | Command::Kicked { session, .. } = command {
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

    /// Whether only the lock itself is in `session`'s way.
    fn can_move(&self, lock: &Held, session: &SessionId) -> bool {
        let others = self.held.iter().filter(|held| held.token != lock.token && held.session != *session);
        !others.into_iter().any(|held| overlap(held.what(), lock.what()))
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
            (
                Command::SessionResumed { session }
                | Command::SessionEnded { session }
                | Command::Kicked { session, .. },
                _,
            ) => {
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
