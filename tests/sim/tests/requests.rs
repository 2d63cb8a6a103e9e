//! Editing requests between three sessions: every order of what can happen, four steps deep.
//!
//! Whatever the order: each request has exactly one outcome, nobody gets the lock twice, and a hand-over has no gap.

use std::sync::Arc;

use arxosrt_core::building::command::{Actor, Command, Facts, HolderAnswer, Place, Target};
use arxosrt_core::building::{Building, Settings};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::{LockId, LockType, Token, TokenSource};
use arxosrt_core::time::{Mono, Wall};
use arxosrt_sim::model::Model;

const DEPTH: usize = 4;

#[derive(Clone)]
struct State {
    building: Building,
    model: Model,
    now: Mono,
    last: Token,
}

/// What can happen next.
#[derive(Clone, Copy, Debug)]
enum Act {
    AskB,
    AskC,
    GrantFirst,
    GrantLast,
    Deny,
    Retract,
    Release,
    Force,
    Suspend,
    Resume,
    HolderEnds,
    AskerEnds,
    WaitB,
    Pass(u64),
}

const ACTS: [Act; 15] = [
    Act::AskB,
    Act::AskC,
    Act::GrantFirst,
    Act::GrantLast,
    Act::Deny,
    Act::Retract,
    Act::Release,
    Act::Force,
    Act::Suspend,
    Act::Resume,
    Act::HolderEnds,
    Act::AskerEnds,
    Act::WaitB,
    Act::Pass(10_000),
    Act::Pass(30_000),
];

fn actor(name: &str) -> Actor {
    Actor {
        session: SessionId::new(name).expect("a good id"),
        user: UserId::new(&format!("user {name}")).expect("a good id"),
        username: Arc::from(name),
        legacy: false,
    }
}

fn acquire(name: &str, wait_ms: u64) -> Command {
    let floor = RoomId::new("f1").expect("a good id");
    let target = Target { resource: ResourceId::new("f1").expect("a good id"), place: Place::Floor(floor) };
    Command::Acquire {
        actor: actor(name),
        lock_type: LockType::FloorEdit,
        targets: [target].into(),
        ttl_ms: None,
        wait_ms,
        metadata: None,
    }
}

impl State {
    fn new(settings: &Arc<Settings>) -> Self {
        let building = Building::new(BuildingId::new("hq").expect("a good id"), settings.clone());
        State { building, model: Model::default(), now: Mono(1), last: Token(0) }
    }

    fn run(&mut self, settings: &Settings, command: &Command) -> Result<(), String> {
        // Tickets and requests take numbers from the same source, so the next free one is not the last token.
        let tokens = TokenSource::after(Token(self.last.0 + self.now.0 * 1000));
        let facts = Facts { now: self.now, wall: Wall(self.now.0 as i64), tokens: &tokens };
        let decision = self.building.decide(&facts, command);
        self.building.apply(&facts, &decision);
        self.model.observe(&facts, settings, command, &decision, &mut self.last)?;
        self.last = self.last.max(tokens.last());
        self.building.check_invariants()?;
        self.model.compare(&facts, settings, &self.building)?;
        match self.model.held.len() {
            0 | 1 => Ok(()),
            n => Err(format!("{n} hold one floor")),
        }
    }

    fn pass(&mut self, settings: &Settings, ms: u64) -> Result<(), String> {
        self.now = self.now.plus(ms);
        while self.building.due().is_some_and(|due| due <= self.now) {
            self.run(settings, &Command::Tick)?;
        }
        let tokens = TokenSource::after(self.last);
        let facts = Facts { now: self.now, wall: Wall(self.now.0 as i64), tokens: &tokens };
        self.model.judge_rest(&facts, &settings.locks)
    }

    /// The command of an act, if there is anything that it could be about.
    fn command(&self, act: Act) -> Option<Command> {
        let held = self.model.held.first();
        let lock = held.map(|held| LockId(held.token));
        let holder = held.map(|held| actor(held.session.as_str()));
        let (first, last) = (self.model.asked.first(), self.model.asked.last());
        let ask =
            |name| Some(Command::RequestLock { actor: actor(name), lock: lock?, message: None, respond_ms: None });
        let answer = |asked: Option<&arxosrt_sim::model::Asked>, decision| {
            let actor = holder.clone()?;
            Some(Command::RespondLockRequest { actor, request: asked?.id, decision, message: None })
        };
        match act {
            Act::AskB => ask("B"),
            Act::AskC => ask("C"),
            Act::GrantFirst => answer(first, HolderAnswer::Grant),
            Act::GrantLast => answer(last, HolderAnswer::Grant),
            Act::Deny => answer(first, HolderAnswer::Deny),
            Act::Retract => Some(Command::RetractLockRequest { actor: first?.actor.clone(), request: first?.id }),
            Act::Release => Some(Command::Release { actor: holder?, lock: lock? }),
            Act::Force => {
                Some(Command::ForceRelease { lock: lock?, expected: lock?.0, reason: "why".into(), by: "me".into() })
            }
            Act::Suspend => Some(Command::SessionSuspended { session: holder?.session }),
            Act::Resume => Some(Command::SessionResumed { session: holder?.session }),
            Act::HolderEnds => Some(Command::SessionEnded { session: holder?.session }),
            Act::AskerEnds => Some(Command::SessionEnded { session: first?.actor.session.clone() }),
            Act::WaitB => Some(acquire("B", 60_000)),
            Act::Pass(_) => None,
        }
    }

    fn explore(&self, settings: &Settings, path: &mut Vec<Act>, count: &mut u64) {
        if path.len() == DEPTH {
            return;
        }
        for act in ACTS {
            let mut next = self.clone();
            path.push(act);
            let done = match (act, self.command(act)) {
                (Act::Pass(ms), _) => next.pass(settings, ms),
                (_, Some(command)) => next.run(settings, &command),
                // Nothing to do it to: the same state again.
                (_, None) => {
                    path.pop();
                    continue;
                }
            };
            *count += 1;
            if let Err(complaint) = done {
                panic!("{path:?}: {complaint}");
            }
            next.explore(settings, path, count);
            path.pop();
        }
    }
}

#[test]
fn every_order_of_events_ends_each_request_once() {
    let settings = Arc::new(Settings::default());
    let mut start = State::new(&settings);
    start.run(&settings, &acquire("A", 0)).expect("nothing is in the way");
    let mut count = 0;
    start.explore(&settings, &mut Vec::new(), &mut count);
    println!("{count} steps");
    assert!(count > 5_000);
}
