//! Something that somebody might ask for, sensible or not.

use arxosrt_core::building::command::{Actor, Command, HolderAnswer, Place, Target};
use arxosrt_core::lock::{LockId, LockType, RequestId, Ticket, Token};

use super::{Person, World};

impl World {
    /// Something that somebody might ask for.
    pub(super) fn command(&mut self, at: usize) -> Command {
        let actor = self.rng.pick(&self.people).actor.clone();
        match self.rng.below(20) {
            0..7 => self.acquire(at, actor),
            7..9 => Command::Release { actor: self.holder(at, actor), lock: self.lock(at) },
            9 => {
                let ttl_ms = *self.rng.pick(&[None, Some(0), Some(20_000), Some(u64::MAX)]);
                Command::Renew { actor: self.holder(at, actor), lock: self.lock(at), ttl_ms }
            }
            10 => Command::TakeOver { actor: self.same_person(at, actor), lock: self.lock(at) },
            11 => self.cancel(at, actor),
            12..14 => {
                let respond_ms = *self.rng.pick(&[None, Some(0), Some(5_000), Some(60_000), Some(u64::MAX)]);
                Command::RequestLock { actor, lock: self.lock(at), message: None, respond_ms }
            }
            14 | 15 => self.respond(at, actor),
            16 => Command::Activity { session: actor.session, room: self.rng.pick(&self.sites[at].rooms).clone() },
            17 => {
                let lock = self.lock(at);
                let expected = if self.rng.one_in(3) { Token(lock.0.0.saturating_sub(1)) } else { lock.0 };
                Command::ForceRelease { lock, expected, reason: "fire drill".into(), by: "uid 0 (root)".into() }
            }
            _ => {
                let named = !self.rng.one_in(3);
                let name = self.rng.below(6);
                Command::Broadcast {
                    room: self.rng.pick(&self.sites[at].rooms).clone(),
                    from: (!self.rng.one_in(8)).then_some(actor),
                    message: "{\"say\":1}".into(),
                    client_msg_id: named.then(|| format!("m{name}").into()),
                }
            }
        }
    }

    fn acquire(&mut self, at: usize, actor: Actor) -> Command {
        let targets = &self.sites[at].targets;
        let count = *self.rng.pick(&[1, 1, 1, 1, 2, 3]);
        let targets: Vec<Target> = (0..count).map(|_| self.rng.pick(targets).clone()).collect();
        use LockType::*;
        let fitting: &[LockType] = match targets[0].place {
            Place::Item(_) => &[ObjectEdit, ObjectEdit, RouteEdit, AnalyticsView],
            _ => &[FloorEdit, FloorEdit, GridCalibration, AnalyticsView],
        };
        let any = [FloorEdit, ObjectEdit, RouteEdit, GridCalibration, AnalyticsView];
        let lock_type = *if self.rng.one_in(10) { self.rng.pick(&any) } else { self.rng.pick(fitting) };
        Command::Acquire {
            actor,
            lock_type,
            targets: targets.into(),
            ttl_ms: *self.rng.pick(&[None, None, Some(0), Some(45_000), Some(1_000_000)]),
            wait_ms: *self.rng.pick(&[0, 20_000, 120_000, u64::MAX]),
            metadata: self.rng.one_in(4).then(|| "{\"tool\":\"wall\"}".into()),
        }
    }

    /// A lock that is held, mostly; or one that was.
    fn lock(&mut self, at: usize) -> LockId {
        let model = &self.sites[at].model;
        if model.held.is_empty() || self.rng.one_in(10) {
            let stale = if model.stale.is_empty() { Token(1) } else { *self.rng.pick(&model.stale) };
            return LockId(stale);
        }
        LockId(self.rng.pick(&model.held).token)
    }

    /// Somebody who holds something, mostly; `other` else. The lock asked about may still be another one.
    fn holder(&mut self, at: usize, other: Actor) -> Actor {
        let held = &self.sites[at].model.held;
        if held.is_empty() || self.rng.one_in(6) {
            return other;
        }
        let session = self.rng.pick(held).session.clone();
        self.people.iter().find(|person| person.actor.session == session).map_or(other, |p| p.actor.clone())
    }

    /// Another session of somebody who holds something, if there is one.
    fn same_person(&mut self, at: usize, other: Actor) -> Actor {
        let held = &self.sites[at].model.held;
        if held.is_empty() {
            return other;
        }
        let one = self.rng.pick(held);
        let twin = |person: &&Person| person.actor.user == one.user && person.actor.session != one.session;
        self.people.iter().find(twin).map_or(other, |person| person.actor.clone())
    }

    fn cancel(&mut self, at: usize, actor: Actor) -> Command {
        let waiting = &self.sites[at].model.waiting;
        if waiting.is_empty() {
            return Command::CancelWait { actor, ticket: Ticket(7) };
        }
        let one = self.rng.pick(waiting);
        let (own, ticket) = (one.actor.clone(), one.ticket);
        Command::CancelWait { actor: if self.rng.one_in(5) { actor } else { own }, ticket }
    }

    fn respond(&mut self, at: usize, actor: Actor) -> Command {
        let model = &self.sites[at].model;
        let asked = model.asked.clone();
        if asked.is_empty() {
            return Command::RetractLockRequest { actor, request: RequestId(7) };
        }
        let one = self.rng.pick(&asked);
        if self.rng.one_in(6) {
            let actor = if self.rng.one_in(4) { actor } else { one.actor.clone() };
            return Command::RetractLockRequest { actor, request: one.id };
        }
        let session = model.held.iter().find(|held| held.token == one.lock).map(|held| held.session.clone());
        let holder = self.people.iter().find(|person| Some(&person.actor.session) == session.as_ref());
        let holder = holder.map_or_else(|| actor.clone(), |person| person.actor.clone());
        let decision = *self.rng.pick(&[
            HolderAnswer::Grant,
            HolderAnswer::Grant,
            HolderAnswer::Deny,
            HolderAnswer::Defer(60_000),
        ]);
        let actor = if self.rng.one_in(8) { actor } else { holder };
        Command::RespondLockRequest { actor, request: one.id, decision, message: None }
    }
}
