//! The whole table: what one session holds against what another one asks for, every type on every kind of place.

use std::sync::Arc;

use arxosrt_core::building::command::{Actor, Command, Facts, Place, Reply, Target};
use arxosrt_core::building::{Building, Settings};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::LockType::*;
use arxosrt_core::lock::{LockType, Token, TokenSource};
use arxosrt_core::time::{Mono, Wall};
use arxosrt_sim::overlap::overlap;

const TYPES: [LockType; 5] = [FloorEdit, ObjectEdit, RouteEdit, GridCalibration, AnalyticsView];

fn room(id: &str) -> RoomId {
    RoomId::new(id).expect("a good id")
}

fn target(id: &str, place: Place) -> Target {
    Target { resource: ResourceId::new(id).expect("a good id"), place }
}

fn on(id: &str, floors: &[&str]) -> Target {
    target(id, Place::Item(floors.iter().map(|floor| room(floor)).collect()))
}

fn floor(id: &str) -> Target {
    target(id, Place::Floor(room(id)))
}

fn building() -> Target {
    target("hq", Place::Building(room("hq")))
}

fn places() -> Vec<Target> {
    vec![
        building(),
        floor("f1"),
        floor("f2"),
        on("o1", &["f1"]),
        on("o2", &["f1"]),
        on("o3", &["f2"]),
        on("r12", &["f1", "f2"]),
        on("r13", &["f1", "f3"]),
    ]
}

fn actor(n: usize) -> Actor {
    Actor {
        session: SessionId::new(&format!("s{n}")).expect("a good id"),
        user: UserId::new(&format!("u{n}")).expect("a good id"),
        username: Arc::from("someone"),
        legacy: false,
    }
}

fn acquire(
    building: &mut Building,
    tokens: &TokenSource,
    who: usize,
    lock_type: LockType,
    targets: &[Target],
) -> Reply {
    let facts = Facts { now: Mono(1), wall: Wall(1), tokens };
    let targets = targets.into();
    let command = Command::Acquire { actor: actor(who), lock_type, targets, ttl_ms: None, wait_ms: 0, metadata: None };
    let decision = building.decide(&facts, &command);
    building.apply(&facts, &decision);
    building.check_invariants().expect("no contradiction");
    decision.reply
}

fn granted(held: (LockType, &[Target]), asked: (LockType, &[Target]), by: usize) -> bool {
    let tokens = TokenSource::after(Token(0));
    let mut building = Building::new(BuildingId::new("hq").expect("a good id"), Arc::new(Settings::default()));
    let first = acquire(&mut building, &tokens, 1, held.0, held.1);
    assert!(matches!(first, Reply::Granted { .. }), "an empty building grants anything: {first:?}");
    match acquire(&mut building, &tokens, by, asked.0, asked.1) {
        Reply::Granted { .. } => true,
        Reply::Held { blocked_by } => {
            assert_eq!(blocked_by.len(), 1);
            false
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_sessions_exclude_each_other_exactly_when_their_regions_overlap() {
    let places = places();
    for held in TYPES.iter().flat_map(|t| places.iter().map(move |p| (*t, std::slice::from_ref(p)))) {
        for asked in TYPES.iter().flat_map(|t| places.iter().map(move |p| (*t, std::slice::from_ref(p)))) {
            assert_eq!(granted(held, asked, 2), !overlap(held, asked), "held {held:?}, asked {asked:?}");
            assert!(granted(held, asked, 1), "nobody is in their own way: held {held:?}, asked {asked:?}");
        }
    }
}

#[test]
fn several_things_are_excluded_when_one_of_them_is() {
    let places = places();
    for held in TYPES.iter().flat_map(|t| places.iter().map(move |p| (*t, std::slice::from_ref(p)))) {
        for asked_type in TYPES {
            for pair in places.iter().flat_map(|a| places.iter().map(move |b| [a.clone(), b.clone()])) {
                let asked = (asked_type, &pair[..]);
                assert_eq!(granted(held, asked, 2), !overlap(held, asked), "held {held:?}, asked {asked:?}");
            }
        }
    }
}

/// The rows of the design's table, spelled out: not derived from anything.
#[test]
fn the_table_of_the_design() {
    let (f1, f2, o1, o2, r1) =
        (floor("f1"), floor("f2"), on("o1", &["f1"]), on("o2", &["f1"]), on("r1", &["f1", "f2"]));
    let rows: [(LockType, &Target, LockType, &Target, bool); 22] = [
        (FloorEdit, &f1, FloorEdit, &f1, false),
        (FloorEdit, &f1, FloorEdit, &f2, true),
        (FloorEdit, &f1, ObjectEdit, &o1, false),
        (FloorEdit, &f1, RouteEdit, &r1, false),
        (FloorEdit, &f2, RouteEdit, &r1, false),
        (FloorEdit, &f2, ObjectEdit, &o1, true),
        (FloorEdit, &f1, GridCalibration, &f1, false),
        (FloorEdit, &f1, AnalyticsView, &f1, true),
        (ObjectEdit, &o1, ObjectEdit, &o1, false),
        (ObjectEdit, &o1, ObjectEdit, &o2, true),
        (ObjectEdit, &o1, RouteEdit, &r1, true),
        (ObjectEdit, &o1, GridCalibration, &f1, false),
        (ObjectEdit, &o1, AnalyticsView, &o1, true),
        (RouteEdit, &r1, RouteEdit, &r1, false),
        (RouteEdit, &r1, GridCalibration, &f2, false),
        (RouteEdit, &r1, FloorEdit, &f1, false),
        (GridCalibration, &f1, GridCalibration, &f1, false),
        (GridCalibration, &f1, GridCalibration, &f2, true),
        (GridCalibration, &f1, ObjectEdit, &o1, false),
        (AnalyticsView, &f1, FloorEdit, &f1, true),
        (AnalyticsView, &f1, GridCalibration, &f1, true),
        (AnalyticsView, &f1, AnalyticsView, &f1, true),
    ];
    for (held, held_on, asked, asked_on, free) in rows {
        let (held, asked) = ((held, std::slice::from_ref(held_on)), (asked, std::slice::from_ref(asked_on)));
        assert_eq!(granted(held, asked, 2), free, "held {held:?}, asked {asked:?}");
    }
    let whole = building();
    for place in [&f1, &f2, &o1, &r1] {
        let held = (FloorEdit, std::slice::from_ref(&whole));
        assert!(!granted(held, (ObjectEdit, std::slice::from_ref(place)), 2), "the building covers {place:?}");
    }
}
