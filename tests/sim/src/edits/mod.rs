//! People who edit the same few things at once, run from a seed.
//!
//! Everybody works on an older version than there is, in two tabs, under locks that are held or lost; replies are lost
//! and edits repeated under the same name; conflicts are settled by the two, by operators, by nobody; the origin
//! writes late; and between any two steps the process may die. The [`ledger`] says what must have become of each value.

use std::collections::VecDeque;
use std::sync::Arc;

use arxosrt_core::building::codec::{decode_events, encode_events};
use arxosrt_core::building::command::{
    Actor, Command, EditBody, EditWish, Facts, Place, Reply, Resolution, Resolver, Target,
};
use arxosrt_core::building::conflict::ConflictId;
use arxosrt_core::building::event::{EditOutcome, Event};
use arxosrt_core::building::{Building, EditSettings, LockSettings, Settings};
use arxosrt_core::edit::change::Change;
use arxosrt_core::edit::path::Path;
use arxosrt_core::edit::rules::ResourceKind;
use arxosrt_core::edit::value::Value;
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::guard::{Guard, Guards};
use arxosrt_core::lock::{LockId, LockType, Token, TokenSource};
use arxosrt_core::time::{Mono, Wall};
use smallvec::smallvec;

mod ledger;

use self::ledger::Ledger;
use crate::rng::Rng;
use crate::world::Failure;

/// The members that people edit; of a thing all but the last are MEDIUM, of a floor everything is CRITICAL.
const FIELDS: [&str; 5] = ["name", "note", "x", "y", "color"];
/// Of those, the ones that are one value.
const GEOMETRY: [&str; 2] = ["x", "y"];
const USERS: usize = 4;
const TABS: usize = 6;
/// How many edits may still be repeated.
const OUTBOX_MAX: usize = 12;
const TRACE_MAX: usize = 60;

/// What runs consisted of: for whoever doubts that they did anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub edits: u64,
    pub merged: u64,
    pub conflicts: u64,
    pub fenced: u64,
    pub repeats: u64,
    pub locked: u64,
    pub settled: u64,
    pub restored: u64,
    pub crashes: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.edits += other.edits;
        self.merged += other.merged;
        self.conflicts += other.conflicts;
        self.fenced += other.fenced;
        self.repeats += other.repeats;
        self.locked += other.locked;
        self.settled += other.settled;
        self.restored += other.restored;
        self.crashes += other.crashes;
    }
}

/// Runs one seed.
pub fn run(seed: u64, steps: usize, broken: Option<Guard>) -> Result<Tally, Failure> {
    let mut world = World::new(seed, broken);
    for step in 0..steps {
        if let Err(complaint) = world.step() {
            return Err(Failure { seed, step, complaint, trace: world.trace.into() });
        }
    }
    Ok(world.tally)
}

struct Disk {
    snapshot: Option<Vec<u8>>,
    log: Vec<Vec<u8>>,
    ledger: Ledger,
    digest: u64,
}

struct World {
    rng: Rng,
    settings: Arc<Settings>,
    guards: Guards,
    now: Mono,
    wall: Wall,
    tokens: TokenSource,
    people: Vec<Actor>,
    targets: Vec<Target>,
    building: Building,
    ledger: Ledger,
    disk: Disk,
    tail: Vec<Event>,
    /// Tokens that were given out, held or not.
    given: Vec<(Token, Target, Actor)>,
    outbox: VecDeque<EditWish>,
    storing: Vec<(ResourceId, u64)>,
    values: u64,
    trace: VecDeque<String>,
    tally: Tally,
}

impl World {
    fn new(seed: u64, broken: Option<Guard>) -> Self {
        let mut rng = Rng::new(seed);
        let edits = EditSettings { versions_max: *rng.pick(&[6, 256]), ..EditSettings::default() };
        let locks = LockSettings { ttl_ms: 120_000, ..LockSettings::default() };
        let settings = Arc::new(Settings { edits, locks, history_events_max: 16, ..Settings::default() });
        let guards = broken.map_or(Guards::default(), Guards::all_but);
        let room = |name: &str| RoomId::new(name).expect("a good id");
        let resource = |name: &str| ResourceId::new(name).expect("a good id");
        let mut targets = vec![Target { resource: resource("f1"), place: Place::Floor(room("f1")) }];
        for thing in ["o1", "o2"] {
            targets.push(Target { resource: resource(thing), place: Place::Item(smallvec![room("f2")]) });
        }
        let people = (0..TABS).map(|tab| Actor {
            session: SessionId::new(&format!("s{tab}")).expect("a good id"),
            user: UserId::new(&format!("u{}", tab % USERS)).expect("a good id"),
            username: Arc::from(format!("User {}", tab % USERS)),
            legacy: false,
        });
        let mut building = Building::new(BuildingId::new("hq").expect("a good id"), settings.clone());
        building.set_guards(guards);
        let digest = building.digest();
        let disk = Disk { snapshot: None, log: Vec::new(), ledger: Ledger::default(), digest };
        World {
            people: people.collect(),
            rng,
            settings,
            guards,
            now: Mono(1_000),
            wall: Wall(1_800_000_000_000),
            tokens: TokenSource::after(Token(0)),
            targets,
            building,
            ledger: Ledger::default(),
            disk,
            tail: Vec::new(),
            given: Vec::new(),
            outbox: VecDeque::new(),
            storing: Vec::new(),
            values: 0,
            trace: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    fn note(&mut self, line: String) {
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    fn step(&mut self) -> Result<(), String> {
        match self.rng.below(40) {
            0..20 => {
                let wish = self.edit();
                self.carry_out(Command::Edit(wish))?;
            }
            20..23 => {
                if let Some(mut wish) = self.repeat() {
                    // In whatever tab of the same person.
                    let person = self.rng.pick(&self.people).clone();
                    if person.user == wish.actor.user && wish.token.is_none() {
                        wish.actor = person;
                    }
                    self.carry_out(Command::Edit(wish))?;
                }
            }
            23..25 => self.lock()?,
            25 => self.unlock()?,
            26..30 => self.settle()?,
            30 => self.restore()?,
            31 => self.store()?,
            32..34 => self.pass_time()?,
            34..38 => self.commit(),
            38 => self.take_snapshot(),
            _ => self.crash()?,
        }
        Ok(())
    }

    fn edit(&mut self) -> EditWish {
        let (actor, target) = (self.rng.pick(&self.people).clone(), self.rng.pick(&self.targets).clone());
        let version = self.ledger.papers.get(&target.resource).map_or(0, |paper| paper.version);
        let exists = self.ledger.papers.get(&target.resource).is_some_and(|paper| paper.exists);
        let base = match self.rng.one_in(25) {
            true => version + 1,
            false => version.saturating_sub(*self.rng.pick(&[0, 0, 1, 2, 3, 7])),
        };
        let mut changes: Vec<Change> = Vec::new();
        if exists && self.rng.one_in(20) {
            changes.push(Change::Unset { path: Path::root() });
        } else {
            for field in FIELDS {
                if self.rng.one_in(3) || (field == "color" && changes.is_empty()) {
                    self.values += 1;
                    let path = Path::parse(&format!("/{field}")).expect("a good path");
                    changes.push(Change::Set { path, value: Value::Text(format!("v{}", self.values).into()) });
                }
            }
        }
        let mut wish = EditWish {
            kind: if matches!(target.place, Place::Floor(_)) { ResourceKind::Floor } else { ResourceKind::Object },
            edit_id: (!self.rng.one_in(4)).then(|| format!("e{}", self.values).into()),
            body: EditBody::Changes(changes),
            floors: Arc::new([]),
            token: None,
            frame: None,
            actor,
            target,
            base,
        };
        if !self.given.is_empty() && self.rng.one_in(4) {
            let (token, target, actor) = self.rng.pick(&self.given).clone();
            wish.token = Some(token);
            if target.resource == wish.target.resource || !self.rng.one_in(4) {
                wish.actor = actor;
                wish.kind =
                    if matches!(target.place, Place::Floor(_)) { ResourceKind::Floor } else { ResourceKind::Object };
                let version = self.ledger.papers.get(&target.resource).map_or(0, |paper| paper.version);
                wish.base = wish.base.min(version);
                wish.target = target;
            }
        }
        if wish.edit_id.is_some() {
            if self.outbox.len() == OUTBOX_MAX {
                self.outbox.pop_front();
            }
            self.outbox.push_back(wish.clone());
        }
        wish
    }

    fn repeat(&mut self) -> Option<EditWish> {
        let at = self.rng.below(self.outbox.len().max(1));
        self.outbox.get(at).cloned()
    }

    fn lock(&mut self) -> Result<(), String> {
        let (actor, target) = (self.rng.pick(&self.people).clone(), self.rng.pick(&self.targets).clone());
        let floor = matches!(target.place, Place::Floor(_));
        let lock_type = if floor { LockType::FloorEdit } else { LockType::ObjectEdit };
        let targets = [target.clone()].into();
        let acquire =
            Command::Acquire { actor: actor.clone(), lock_type, targets, ttl_ms: None, wait_ms: 0, metadata: None };
        if let Reply::Granted { lock, .. } = self.carry_out(acquire)? {
            self.given.push((lock.token, target, actor));
        }
        Ok(())
    }

    fn unlock(&mut self) -> Result<(), String> {
        if !self.given.is_empty() {
            let (token, _, actor) = self.rng.pick(&self.given).clone();
            self.carry_out(Command::Release { actor, lock: LockId(token) })?;
        }
        Ok(())
    }

    /// A conflict that is on record, mostly one that waits.
    fn conflict(&mut self) -> ConflictId {
        let settled = self.rng.one_in(6);
        let of = self.ledger.disputes.iter().filter(|(_, dispute)| dispute.settled == settled);
        let ids: Vec<ConflictId> = of.map(|(id, _)| *id).collect();
        if ids.is_empty() { ConflictId(7) } else { *self.rng.pick(&ids) }
    }

    fn resolver(&mut self, conflict: ConflictId) -> Resolver {
        if self.rng.one_in(5) {
            return Resolver::Operator { name: "operator".into(), reason: "why not".into() };
        }
        let parties = self
            .ledger
            .disputes
            .get(&conflict)
            .map(|dispute| [dispute.opened.first.user.clone(), dispute.opened.second.user.clone()]);
        let one_of = |person: &&Actor| parties.as_ref().is_some_and(|parties| parties.contains(&person.user));
        let people: Vec<&Actor> = self.people.iter().filter(one_of).collect();
        if people.is_empty() || self.rng.one_in(8) {
            return Resolver::Person(self.rng.pick(&self.people).clone());
        }
        Resolver::Person((*self.rng.pick(&people)).clone())
    }

    fn settle(&mut self) -> Result<(), String> {
        let conflict = self.conflict();
        let by = self.resolver(conflict);
        let dispute = self.ledger.disputes.get(&conflict);
        let revision = dispute.map_or(1, |dispute| dispute.revision);
        let winner = dispute.map_or_else(|| self.people[0].user.clone(), |dispute| dispute.opened.second.user.clone());
        let revision = match self.rng.below(4) {
            0 => None,
            1 => Some(revision.saturating_sub(1)),
            _ => Some(revision),
        };
        let resolution = match (&by, self.rng.below(4)) {
            (_, 0) => Resolution::Merge(Vec::new()),
            (Resolver::Operator { .. }, _) => Resolution::Winner(winner),
            (_, 1) => Resolution::AcceptTheirs,
            _ => Resolution::AcceptMine,
        };
        let reply = self.carry_out(Command::ResolveConflict { conflict, by, revision, resolution })?;
        self.tally.settled += u64::from(matches!(reply, Reply::Settled { .. }));
        Ok(())
    }

    fn restore(&mut self) -> Result<(), String> {
        let conflict = self.conflict();
        let by = self.resolver(conflict);
        let reply = self.carry_out(Command::RestoreValue { conflict, by, whose: None, path: None })?;
        self.tally.restored += u64::from(matches!(reply, Reply::Settled { .. }));
        Ok(())
    }

    /// The origin has written what it was given some time ago, and is given more.
    fn store(&mut self) -> Result<(), String> {
        let resources = std::mem::take(&mut self.storing);
        self.carry_out(Command::Stored { resources })?;
        self.storing = self.building.take_unstored(2).into_iter().map(|view| (view.resource, view.version)).collect();
        Ok(())
    }

    fn pass_time(&mut self) -> Result<(), String> {
        let step = *self.rng.pick(&[1, 1_000, 20_000, 59_999, 60_000, 150_000]);
        (self.now, self.wall) = (self.now.plus(step), self.wall.plus(step));
        let mut ticks = 0;
        while self.building.due().is_some_and(|due| due <= self.now) {
            self.carry_out(Command::Tick)?;
            ticks += 1;
            if ticks > 1000 {
                return Err("a tick changes nothing and is due again".into());
            }
        }
        self.building.check_invariants()?;
        self.ledger.compare(self.now, &self.building)
    }

    fn carry_out(&mut self, command: Command) -> Result<Reply, String> {
        let facts = Facts { now: self.now, wall: self.wall, tokens: &self.tokens };
        let decision = self.building.decide(&facts, &command);
        self.building.apply(&facts, &decision);
        self.note(format!("{command:?} -> {:?} {:?}", decision.reply, decision.events));
        self.ledger.observe(self.now, &command, &decision)?;
        // What happened in a tick is compared after all of them, and where nothing happened there is nothing to see.
        if !decision.events.is_empty() && !matches!(command, Command::Tick) {
            self.building.check_invariants()?;
            self.ledger.compare(self.now, &self.building)?;
        }
        match &decision.reply {
            Reply::Edited(reply) if reply.duplicate => self.tally.repeats += 1,
            Reply::Edited(reply) => {
                self.tally.edits += 1;
                match reply.outcome {
                    EditOutcome::Applied => {}
                    EditOutcome::Merged => self.tally.merged += 1,
                    EditOutcome::Conflict => self.tally.conflicts += 1,
                    EditOutcome::Fenced => self.tally.fenced += 1,
                }
            }
            Reply::Refused(arxosrt_core::building::command::Refusal::Locked { .. }) => self.tally.locked += 1,
            _ => {}
        }
        self.tail.extend(decision.events);
        Ok(decision.reply)
    }

    fn commit(&mut self) {
        if !self.tail.is_empty() {
            self.disk.log.push(encode_events(&self.tail));
            self.tail.clear();
        }
        self.disk.ledger = self.ledger.clone();
        self.disk.digest = self.building.digest();
        self.note("commit".into());
    }

    fn take_snapshot(&mut self) {
        if self.tail.is_empty() {
            self.disk.snapshot = Some(self.building.snapshot());
            self.disk.log.clear();
            self.note("snapshot".into());
        }
    }

    /// The process dies and comes back: what was not committed is gone, and nobody was told of it.
    fn crash(&mut self) -> Result<(), String> {
        self.tally.crashes += 1;
        self.note("the process dies".into());
        let id = self.building.id().clone();
        let mut back = match &self.disk.snapshot {
            Some(bytes) => Building::restore(id, bytes, self.settings.clone()).map_err(|why| format!("E11: {why}"))?,
            None => Building::new(id, self.settings.clone()),
        };
        for bytes in &self.disk.log {
            let events = decode_events(bytes).map_err(|why| format!("E11: {why}"))?;
            events.iter().for_each(|event| back.evolve(event));
        }
        if back.digest() != self.disk.digest {
            return Err("E11: the log gives another state back".into());
        }
        self.now = Mono(self.rng.below(100_000) as u64);
        back.set_guards(self.guards);
        back.after_restart(self.now, self.wall);
        self.building = back;
        self.ledger = self.disk.ledger.clone();
        self.ledger.restart(self.now);
        self.tail.clear();
        self.storing.clear();
        for person in self.people.clone() {
            self.carry_out(Command::SessionResumed { session: person.session })?;
        }
        self.ledger.compare(self.now, &self.building)
    }
}
