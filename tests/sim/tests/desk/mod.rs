//! A building in which people edit, for scenes: each command is carried out, logged and checked.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::sync::Arc;

use arxosrt_core::building::codec::{decode_events, encode_events};
use arxosrt_core::building::command::{
    Actor, Command, EditBody, EditReply, EditWish, Facts, LockView, Place, Refusal, Reply, Resolution, Resolver, Target,
};
use arxosrt_core::building::conflict::{Conflict, ConflictId};
use arxosrt_core::building::event::{EditOutcome, Event};
use arxosrt_core::building::notice::{Addressee, Notice};
use arxosrt_core::building::{Building, Decision, EditSettings, Settings};
use arxosrt_core::edit::change::Change;
use arxosrt_core::edit::path::Path;
use arxosrt_core::edit::rules::ResourceKind;
use arxosrt_core::edit::value::Value;
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::{LockType, Token, TokenSource};
use arxosrt_core::time::{Mono, Wall};
use smallvec::smallvec;

pub const SECOND: u64 = 1_000;

/// One building and its clocks.
pub struct Desk {
    pub building: Building,
    pub settings: Arc<Settings>,
    pub tokens: TokenSource,
    pub now: u64,
    pub log: Vec<Event>,
}

impl Desk {
    pub fn new() -> Self {
        Self::with(EditSettings::default())
    }

    pub fn with(edits: EditSettings) -> Self {
        let settings = Arc::new(Settings { edits, ..Settings::default() });
        let building = Building::new(BuildingId::new("hq").expect("a good id"), settings.clone());
        Desk { building, settings, tokens: TokenSource::after(Token(0)), now: 1_000_000, log: Vec::new() }
    }

    /// A desk with a chair on the floor `f1`: version 1, at (1, 2), grey, named Chair.
    pub fn with_chair() -> Self {
        let mut desk = Self::new();
        desk.adopt("chair", ResourceKind::Object, 1, CHAIR);
        desk
    }

    pub fn run(&mut self, command: Command) -> Decision {
        let facts =
            Facts { now: Mono(self.now), wall: Wall(1_800_000_000_000 + self.now as i64), tokens: &self.tokens };
        let decision = self.building.decide(&facts, &command);
        self.building.apply(&facts, &decision);
        self.building.check_invariants().expect("no contradiction");
        self.log.extend(decision.events.iter().cloned());
        decision
    }

    pub fn pass(&mut self, ms: u64) -> Vec<Decision> {
        self.now += ms;
        let mut ticks = Vec::new();
        while self.building.due().is_some_and(|due| due <= Mono(self.now)) {
            ticks.push(self.run(Command::Tick));
        }
        ticks
    }

    /// The process dies and comes back, from a snapshot and from the log alone: both give the same.
    pub fn restart(&mut self) {
        let id = || self.building.id().clone();
        let from_snapshot = Building::restore(id(), &self.building.snapshot(), self.settings.clone());
        let from_snapshot = from_snapshot.expect("a good snapshot");
        let mut from_log = Building::new(id(), self.settings.clone());
        let log = decode_events(&encode_events(&self.log)).expect("a good log");
        assert_eq!(log, self.log);
        log.iter().for_each(|event| from_log.evolve(event));
        assert_eq!(from_log.digest(), self.building.digest(), "the log gives the state back");
        assert_eq!(from_snapshot.digest(), self.building.digest(), "the snapshot gives the state back");
        self.now = 7;
        self.building = if self.log.len().is_multiple_of(2) { from_log } else { from_snapshot };
        self.building.after_restart(Mono(self.now), Wall(1_800_000_000_000 + self.now as i64));
        self.building.check_invariants().expect("no contradiction");
    }

    pub fn adopt(&mut self, id: &str, kind: ResourceKind, version: u64, document: &str) {
        let resource = resource(id);
        let reply = self.run(Command::Adopt { resource, kind, version, document: document.into() }).reply;
        assert_eq!(reply, Reply::Done);
    }

    pub fn edit(&mut self, wish: EditWish) -> EditReply {
        match self.run(Command::Edit(wish)).reply {
            Reply::Edited(reply) => reply,
            other => panic!("not taken in: {other:?}"),
        }
    }

    pub fn refused(&mut self, wish: EditWish) -> Refusal {
        let decision = self.run(Command::Edit(wish));
        assert!(decision.events.is_empty() && decision.notices.is_empty(), "{decision:?}");
        match decision.reply {
            Reply::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Anna and Ben set the same path of the chair at once; the conflict of the two.
    pub fn quarrel(&mut self, path: &str, first: &str, second: &str) -> ConflictId {
        let base = self.version("chair");
        assert_eq!(self.edit(set("anna", "chair", base, path, first)).outcome, EditOutcome::Applied);
        let reply = self.edit(set("ben", "chair", base, path, second));
        assert_eq!(reply.outcome, EditOutcome::Conflict);
        reply.conflicts[0]
    }

    pub fn resolve(&mut self, who: &str, conflict: ConflictId, resolution: Resolution) -> Decision {
        let by = Resolver::Person(actor(who));
        self.run(Command::ResolveConflict { conflict, by, revision: None, resolution })
    }

    pub fn take(&mut self, who: &str, lock_type: LockType, target: Target) -> LockView {
        let (targets, actor) = ([target].into(), actor(who));
        let wish = Command::Acquire { actor, lock_type, targets, ttl_ms: None, wait_ms: 0, metadata: None };
        match self.run(wish).reply {
            Reply::Granted { lock, .. } => lock,
            other => panic!("{who} does not get it: {other:?}"),
        }
    }

    pub fn version(&self, id: &str) -> u64 {
        self.building.document(&resource(id)).map_or(0, |document| document.version)
    }

    /// What is at a path, as JSON text; nothing is a dash.
    pub fn at(&self, id: &str, path: &str) -> String {
        let unit = arxosrt_core::edit::rules::Unit::Node(at(path));
        self.building.value_at(&resource(id), &unit).unwrap_or_else(|| "-".into())
    }

    pub fn conflict(&self, id: ConflictId) -> &Conflict {
        self.building.conflict(id).expect("it is kept")
    }

    pub fn status(&self, id: ConflictId) -> &'static str {
        self.conflict(id).status.as_str()
    }
}

pub const CHAIR: &str =
    r#"{"id":"chair","version":1,"name":"Chair","color":"grey","x":1,"y":2,"properties":{"seat":"oak","legs":4}}"#;

/// Who is told of conflicts by a decision, in order.
pub fn told(decision: &Decision) -> Vec<&str> {
    let people = decision.notices.iter().filter_map(|notify| match (&notify.to, &notify.notice) {
        (Addressee::Person(user), Notice::ConflictDetected { .. } | Notice::ConflictResolved { .. }) => {
            Some(user.as_str())
        }
        _ => None,
    });
    people.collect()
}

/// `anna` is the session and the person; `anna/2` is another session of the same person.
pub fn actor(who: &str) -> Actor {
    Actor {
        session: SessionId::new(who).expect("a good id"),
        user: UserId::new(who.split('/').next().expect("the first part")).expect("a good id"),
        username: Arc::from(who),
        legacy: false,
    }
}

pub fn user(who: &str) -> UserId {
    actor(who).user
}

pub fn resource(id: &str) -> ResourceId {
    ResourceId::new(id).expect("a good id")
}

pub fn room(id: &str) -> RoomId {
    RoomId::new(id).expect("a good id")
}

pub fn floor(id: &str) -> Target {
    Target { resource: resource(id), place: Place::Floor(room(id)) }
}

pub fn object(id: &str, floor: &str) -> Target {
    Target { resource: resource(id), place: Place::Item(smallvec![room(floor)]) }
}

pub fn at(path: &str) -> Path {
    Path::parse(path).expect("a good path")
}

pub fn value(json: &str) -> Value {
    Value::parse(json).expect("good JSON")
}

pub fn change(path: &str, json: &str) -> Change {
    Change::Set { path: at(path), value: value(json) }
}

pub fn wish(who: &str, target: Target, base: u64, body: EditBody) -> EditWish {
    let kind = match (&target.place, target.resource.as_str().starts_with("way")) {
        (Place::Item(_), true) => ResourceKind::Route,
        (Place::Item(_), false) => ResourceKind::Object,
        _ => ResourceKind::Floor,
    };
    let floors = ["f1", "f2"].map(room).into();
    EditWish { actor: actor(who), target, kind, floors, base, body, token: None, frame: None, edit_id: None }
}

pub fn changes(who: &str, target: Target, base: u64, changes: &[(&str, &str)]) -> EditWish {
    let changes = changes.iter().map(|(path, json)| change(path, json)).collect();
    wish(who, target, base, EditBody::Changes(changes))
}

/// One path of something on the floor `f1`.
pub fn set(who: &str, id: &str, base: u64, path: &str, json: &str) -> EditWish {
    changes(who, object(id, "f1"), base, &[(path, json)])
}

pub fn delete(who: &str, id: &str, base: u64) -> EditWish {
    wish(who, object(id, "f1"), base, EditBody::Changes(vec![Change::Unset { path: Path::root() }]))
}

pub fn named(edit_id: &str, wish: EditWish) -> EditWish {
    EditWish { edit_id: Some(edit_id.into()), ..wish }
}
