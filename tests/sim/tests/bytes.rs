//! Whatever bytes a disk gives back, reading them gives a state or an error, never a panic.

use std::sync::Arc;

use arxosrt_core::building::codec::{decode_events, encode_events};
use arxosrt_core::building::command::{Actor, Command, EditBody, EditWish, Facts, Place, Target};
use arxosrt_core::building::{Building, Settings};
use arxosrt_core::edit::rules::ResourceKind;
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::{LockType, Token, TokenSource};
use arxosrt_core::time::{Mono, Wall};
use arxosrt_sim::rng::Rng;

/// A building with some of everything, and the log that gives it.
fn lived_in() -> (Building, Vec<u8>) {
    let tokens = TokenSource::after(Token(0));
    let facts = Facts { now: Mono(5), wall: Wall(1_800_000_000_000), tokens: &tokens };
    let actor = Actor {
        session: SessionId::new("s1").expect("a good id"),
        user: UserId::new("u1").expect("a good id"),
        username: Arc::from("Ünal"),
        legacy: true,
    };
    let floors = ["f1", "f2"].map(|floor| RoomId::new(floor).expect("a good id"));
    let route = Target {
        resource: ResourceId::new("r1").expect("a good id"),
        place: Place::Item(floors.iter().cloned().collect()),
    };
    let mut building = Building::new(BuildingId::new("hq").expect("a good id"), Arc::default());
    let mut log = Vec::new();
    let commands = [
        Command::Acquire {
            actor: actor.clone(),
            lock_type: LockType::RouteEdit,
            targets: [route].into(),
            ttl_ms: None,
            wait_ms: 0,
            metadata: Some("{\"a\":1}".into()),
        },
        Command::Broadcast {
            room: floors[1].clone(),
            from: Some(actor.clone()),
            message: "[1]".into(),
            client_msg_id: Some("m1".into()),
        },
        Command::SessionEnded { session: actor.session },
    ];
    let quarrel = quarrel(&floors[0]);
    for command in commands[..2].iter().chain(&quarrel) {
        let decision = building.decide(&facts, command);
        building.apply(&facts, &decision);
        log.extend(decision.events);
    }
    let released = building.decide(&facts, &commands[2]).events;
    let bytes = encode_events(&[&log[..], &released[..]].concat());
    assert_eq!(decode_events(&bytes).expect("what was just encoded").len(), 13);
    (building, bytes)
}

/// Two people edit one thing at once; a conflict of each sort, one of them settled.
fn quarrel(floor: &RoomId) -> Vec<Command> {
    let resource = ResourceId::new("o1").expect("a good id");
    let edit = |who: &str, base, token, json: &str| {
        let user = UserId::new(who).expect("a good id");
        let session = SessionId::new(who).expect("a good id");
        Command::Edit(EditWish {
            actor: Actor { session, user, username: Arc::from(who), legacy: false },
            target: Target { resource: resource.clone(), place: Place::Item([floor.clone()].into_iter().collect()) },
            kind: ResourceKind::Object,
            floors: Arc::new([]),
            base,
            body: EditBody::MergePatch(json.into()),
            token,
            frame: None,
            edit_id: (base == 1).then(|| format!("{who}{json}").into()),
        })
    };
    let document = r#"{"id":"o1","x":1,"l":[{"id":"a"},{"id":"b"}],"n":1.5}"#.into();
    let kind = ResourceKind::Object;
    vec![
        Command::Adopt { resource: resource.clone(), kind, version: 1, document },
        edit("u2", 1, None, r#"{"x":2,"color":"red","l":[{"id":"b"},{"id":"a"}]}"#),
        edit("u3", 1, None, r#"{"x":3,"color":"blue"}"#),
        edit("u3", 3, Some(Token(999)), r#"{"x":4}"#),
        Command::Stored { resources: vec![(resource, 2)] },
    ]
}

fn read(snapshot: &[u8], log: &[u8]) {
    let id = || BuildingId::new("hq").expect("a good id");
    let building = Building::restore(id(), snapshot, Arc::new(Settings::default()));
    let mut building = building.unwrap_or_else(|_| Building::new(id(), Arc::default()));
    for event in decode_events(log).unwrap_or_default() {
        building.evolve(&event);
    }
    building.after_restart(Mono(7), Wall(9));
    let _ = (building.digest(), building.check_invariants(), building.sessions_with_locks());
}

#[test]
fn a_snapshot_gives_the_same_state_back() {
    let (building, _) = lived_in();
    let again =
        Building::restore(building.id().clone(), &building.snapshot(), Arc::default()).expect("a good snapshot");
    assert_eq!((again.digest(), again.position()), (building.digest(), building.position()));
    assert_eq!(again.snapshot(), building.snapshot());
}

#[test]
fn damaged_bytes_never_panic() {
    let (building, log) = lived_in();
    let snapshot = building.snapshot();
    for whole in [&snapshot, &log] {
        for cut in 0..whole.len() {
            read(&whole[..cut], &whole[..cut]);
        }
        for at in 0..whole.len() {
            for value in (0..=255).step_by(17) {
                let mut damaged = whole.clone();
                damaged[at] = value;
                read(&damaged, &damaged);
            }
        }
    }
    let seed = 7;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    for _ in 0..20_000 {
        let mut damaged = [snapshot.clone(), log.clone()];
        for bytes in &mut damaged {
            for _ in 0..1 + rng.below(6) {
                let at = rng.below(bytes.len());
                bytes[at] = rng.number() as u8;
            }
        }
        read(&damaged[0], &damaged[1]);
    }
}
