//! Scenes: what people are promised, each told as a short story.

use std::sync::Arc;

use arxosrt_core::building::command::{Actor, Command, Facts, HolderState, LockView, Place, Refusal, Reply, Target};
use arxosrt_core::building::event::{Event, GrantCause, ReleaseReason};
use arxosrt_core::building::notice::{Addressee, Notice, Notify, WaitEnd};
use arxosrt_core::building::{Building, Decision, LockSettings, Settings, VerifyFault};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::LockType::*;
use arxosrt_core::lock::{LockId, LockType, Ticket, Token, TokenSource};
use arxosrt_core::time::{Mono, Wall};
use smallvec::smallvec;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60_000;

/// One building and its clocks.
struct Stage {
    building: Building,
    settings: Arc<Settings>,
    tokens: TokenSource,
    now: u64,
    log: Vec<Event>,
}

impl Stage {
    fn new() -> Self {
        Self::with(LockSettings::default())
    }

    fn with(locks: LockSettings) -> Self {
        let settings = Arc::new(Settings { locks, ..Settings::default() });
        let building = Building::new(BuildingId::new("hq").expect("a good id"), settings.clone());
        Stage { building, settings, tokens: TokenSource::after(Token(0)), now: 1_000_000, log: Vec::new() }
    }

    fn facts(&self) -> Facts<'_> {
        Facts { now: Mono(self.now), wall: Wall(1_800_000_000_000 + self.now as i64), tokens: &self.tokens }
    }

    fn run(&mut self, command: Command) -> Decision {
        let (now, wall) = (Mono(self.now), self.facts().wall);
        let facts = Facts { now, wall, tokens: &self.tokens };
        let decision = self.building.decide(&facts, &command);
        self.building.apply(&facts, &decision);
        self.building.check_invariants().expect("no contradiction");
        self.log.extend(decision.events.iter().cloned());
        decision
    }

    fn pass(&mut self, ms: u64) -> Vec<Decision> {
        self.now += ms;
        let mut ticks = Vec::new();
        while self.building.due().is_some_and(|due| due <= Mono(self.now)) {
            ticks.push(self.run(Command::Tick));
        }
        ticks
    }

    fn ask(&mut self, who: &str, lock_type: LockType, targets: &[Target], wait_ms: u64) -> Decision {
        let targets = targets.into();
        self.run(Command::Acquire { actor: actor(who), lock_type, targets, ttl_ms: None, wait_ms, metadata: None })
    }

    fn take(&mut self, who: &str, lock_type: LockType, target: &Target) -> LockView {
        match self.ask(who, lock_type, std::slice::from_ref(target), 0).reply {
            Reply::Granted { lock, .. } => lock,
            other => panic!("{who} does not get {target:?}: {other:?}"),
        }
    }

    fn wait(&mut self, who: &str, lock_type: LockType, target: &Target) -> Ticket {
        match self.ask(who, lock_type, std::slice::from_ref(target), 100 * SECOND).reply {
            Reply::Queued { ticket, .. } => ticket,
            other => panic!("{who} does not wait for {target:?}: {other:?}"),
        }
    }

    fn release(&mut self, who: &str, lock: &LockView) -> Decision {
        self.run(Command::Release { actor: actor(who), lock: lock.id })
    }

    fn holders(&self) -> Vec<String> {
        self.building.lock_views(&self.facts()).iter().map(|lock| lock.session.to_string()).collect()
    }
}

/// `anna` is the session and the person; `anna/2` is another session of the same person; `old:anna` one that never said `hello`.
fn actor(who: &str) -> Actor {
    let (legacy, name) = who.strip_prefix("old:").map_or((false, who), |name| (true, name));
    Actor {
        session: SessionId::new(name).expect("a good id"),
        user: UserId::new(name.split('/').next().expect("the first part")).expect("a good id"),
        username: Arc::from(name),
        legacy,
    }
}

fn told(notify: &Notify, session: &str) -> bool {
    matches!(&notify.to, Addressee::Session(to) if to.as_str() == session)
}

fn floor(id: &str) -> Target {
    Target {
        resource: ResourceId::new(id).expect("a good id"),
        place: Place::Floor(RoomId::new(id).expect("a good id")),
    }
}

fn object(id: &str, floor: &str) -> Target {
    Target {
        resource: ResourceId::new(id).expect("a good id"),
        place: Place::Item(smallvec![RoomId::new(floor).expect("a good id")]),
    }
}

fn granted_tickets(decision: &Decision) -> Vec<Ticket> {
    let granted = decision.notices.iter().filter_map(|notify| match &notify.notice {
        Notice::WaitGranted { ticket, .. } => Some(*ticket),
        _ => None,
    });
    granted.collect()
}

#[test]
fn the_first_acquire_after_an_expiry_succeeds() {
    let mut stage = Stage::new();
    let chair = object("chair", "f1");
    stage.take("anna", ObjectEdit, &chair);
    let ticks = stage.pass(5 * MINUTE);
    let lost = ticks.iter().flat_map(|tick| &tick.notices).any(|notify| {
        told(notify, "anna") && matches!(notify.notice, Notice::Lost { reason: ReleaseReason::Expired, .. })
    });
    assert!(lost, "the holder is told");
    stage.take("ben", ObjectEdit, &chair);
}

#[test]
fn a_lease_slides_with_activity_but_never_beyond_the_hard_cap() {
    let mut stage = Stage::new();
    let lock = stage.take("anna", FloorEdit, &floor("f1"));
    let room = RoomId::new("f1").expect("a good id");
    for _ in 0..8 * 60 / 4 - 1 {
        stage.pass(4 * MINUTE);
        stage.run(Command::Activity { session: actor("anna").session, room: room.clone() });
        assert_eq!(stage.holders(), ["anna"]);
    }
    let left = stage.building.lock_view(&stage.facts(), lock.id).expect("still held").expires_in_ms;
    assert_eq!(left, 4 * MINUTE, "the lease ends with the cap");
    let last = stage.pass(4 * MINUTE).pop().expect("a tick");
    assert!(matches!(&last.events[..], [Event::LockReleased(r)] if r.reason == ReleaseReason::MaxHold));
}

#[test]
fn activity_elsewhere_renews_nothing() {
    let mut stage = Stage::new();
    stage.take("anna", FloorEdit, &floor("f1"));
    stage.pass(4 * MINUTE);
    stage.run(Command::Activity { session: actor("anna").session, room: RoomId::new("f2").expect("a good id") });
    stage.pass(MINUTE);
    assert!(stage.holders().is_empty());
}

#[test]
fn a_stale_token_never_verifies() {
    let mut stage = Stage::new();
    let (chair, desk, f1) = (object("chair", "f1"), object("desk", "f1"), floor("f1"));
    let old = stage.take("anna", ObjectEdit, &chair);
    let check = |stage: &Stage, token, target: &Target, grid| {
        let verify = stage.building.verify(&stage.facts(), token, target, grid);
        (verify.reason, verify.fence)
    };
    assert_eq!(check(&stage, old.token, &chair, false), (None, Some(old.token)));
    assert_eq!(check(&stage, old.token, &desk, false), (Some(VerifyFault::NotCovered), None));
    assert_eq!(check(&stage, old.token, &chair, true), (Some(VerifyFault::Scope), Some(old.token)));
    stage.release("anna", &old);
    let new = stage.take("ben", FloorEdit, &f1);
    assert_eq!(check(&stage, old.token, &chair, false), (Some(VerifyFault::UnknownToken), Some(new.token)));
    assert_eq!(check(&stage, new.token, &chair, false), (None, Some(new.token)), "a floor covers what lies on it");
    // Ended, but no tick has run yet: it does not count any more.
    stage.now += 5 * MINUTE;
    assert_eq!(check(&stage, new.token, &f1, false), (Some(VerifyFault::UnknownToken), None));
}

#[test]
fn a_calibrator_may_write_the_grid_and_nothing_else() {
    let mut stage = Stage::new();
    let lock = stage.take("anna", GridCalibration, &floor("f1"));
    let verify = |target: &Target, grid| stage.building.verify(&stage.facts(), lock.token, target, grid).reason;
    assert_eq!(verify(&floor("f1"), true), None);
    assert_eq!(verify(&floor("f1"), false), Some(VerifyFault::Scope));
    assert_eq!(verify(&object("chair", "f1"), false), Some(VerifyFault::Scope));
}

#[test]
fn who_came_first_is_served_first_and_others_are_not_held_up() {
    let mut stage = Stage::new();
    let (f1, chair, desk) = (floor("f1"), object("chair", "f1"), object("desk", "f2"));
    let holder = stage.take("anna", ObjectEdit, &chair);
    let first = stage.wait("ben", FloorEdit, &f1);
    let second = stage.wait("carl", ObjectEdit, &object("lamp", "f1"));
    stage.take("dora", ObjectEdit, &desk);
    let released = stage.release("anna", &holder);
    assert_eq!(granted_tickets(&released), [first], "the lamp is free, but the floor was asked for before");
    let floor_lock = stage.building.locks_on(&stage.facts(), &f1.resource).remove(0);
    assert_eq!(granted_tickets(&stage.release("ben", &floor_lock)), [second]);
}

#[test]
fn an_upgrade_passes_a_waiter_that_waits_for_it() {
    let mut stage = Stage::new();
    let chair = object("chair", "f1");
    let held = stage.take("anna", ObjectEdit, &chair);
    stage.take("ben", ObjectEdit, &object("desk", "f1"));
    let behind = stage.wait("carl", FloorEdit, &floor("f1"));
    let upgrade = stage.wait("anna", FloorEdit, &floor("f1"));
    stage.run(Command::SessionEnded { session: actor("ben").session });
    assert_eq!(stage.holders(), ["anna", "anna"], "the floor goes to the one who is in it");
    assert!(upgrade > behind);
    stage.run(Command::SessionEnded { session: actor("anna").session });
    assert_eq!(stage.holders(), ["carl"]);
    assert_eq!(stage.release("anna", &held).reply, Reply::Refused(Refusal::LockNotFound));
}

#[test]
fn a_circle_of_waits_is_refused_and_named() {
    let mut stage = Stage::new();
    let (chair, desk) = (object("chair", "f1"), object("desk", "f1"));
    stage.take("anna", ObjectEdit, &chair);
    stage.take("ben", ObjectEdit, &desk);
    stage.wait("anna", ObjectEdit, &desk);
    let refused = stage.ask("ben", ObjectEdit, std::slice::from_ref(&chair), SECOND).reply;
    let Reply::Refused(Refusal::Deadlock { cycle }) = refused else { panic!("{refused:?}") };
    assert_eq!(cycle.iter().map(UserId::as_str).collect::<Vec<_>>(), ["ben", "anna"]);
    assert_eq!(stage.holders(), ["anna", "ben"], "both keep what they have");
}

#[test]
fn a_hand_over_that_closes_a_circle_ends_the_new_holders_wait() {
    let mut stage = Stage::new();
    let (chair, desk) = (object("chair", "f1"), object("desk", "f1"));
    let asked = stage.take("anna", ObjectEdit, &chair);
    stage.take("ben", ObjectEdit, &desk);
    stage.wait("ben", ObjectEdit, &chair);
    let hopeless = stage.wait("carl", ObjectEdit, &desk);
    let placed =
        stage.run(Command::RequestLock { actor: actor("carl"), lock: asked.id, message: None, respond_ms: None });
    let Reply::Requested { request, .. } = placed.reply else { panic!("{:?}", placed.reply) };
    let granted = stage.run(Command::RespondLockRequest {
        actor: actor("anna"),
        request,
        decision: arxosrt_core::building::command::HolderAnswer::Grant,
        message: None,
    });
    let ended = granted.notices.iter().any(|notify| {
        matches!(notify.notice, Notice::WaitEnded { ticket, why: WaitEnd::Cancelled, .. } if ticket == hopeless)
    });
    assert!(ended, "{:?}", granted.notices);
}

#[test]
fn all_or_nothing() {
    let mut stage = Stage::new();
    let both = [object("chair", "f1"), object("desk", "f2")];
    let one = stage.take("anna", ObjectEdit, &both[1]);
    assert!(
        matches!(stage.ask("ben", ObjectEdit, &both, 0).reply, Reply::Held { blocked_by } if blocked_by.len() == 1)
    );
    assert_eq!(stage.holders(), ["anna"]);
    stage.release("anna", &one);
    let Reply::Granted { lock, .. } = stage.ask("ben", ObjectEdit, &both, 0).reply else { panic!("it is free") };
    assert_eq!(lock.targets.len(), 2);
    let rooms = ["f1", "f2"].map(|room| RoomId::new(room).expect("a good id"));
    assert!(rooms.iter().all(|room| stage.building.locks_in_room(&stage.facts(), room).len() == 1));
}

#[test]
fn acquiring_again_renews_and_gives_the_same_lock() {
    let mut stage = Stage::new();
    let chair = object("chair", "f1");
    let first = stage.take("anna", ObjectEdit, &chair);
    stage.pass(2 * MINUTE);
    let again = stage.ask("anna", ObjectEdit, std::slice::from_ref(&chair), 0);
    let Reply::Granted { lock, renewed: true } = again.reply else { panic!("{:?}", again.reply) };
    assert_eq!((lock.token, lock.expires_in_ms, again.events.len()), (first.token, 5 * MINUTE, 0));
    // Another tab of the same person is somebody else; a client that knows only persons is not.
    assert!(matches!(stage.ask("anna/2", ObjectEdit, std::slice::from_ref(&chair), 0).reply, Reply::Held { .. }));
    let old = stage.ask("old:anna/3", ObjectEdit, std::slice::from_ref(&chair), 0).reply;
    assert!(matches!(old, Reply::Granted { renewed: true, lock } if lock.token == first.token));
}

#[test]
fn a_take_over_keeps_the_cap_and_stales_the_old_token() {
    let mut stage = Stage::new();
    let first = stage.take("anna", FloorEdit, &floor("f1"));
    stage.pass(MINUTE);
    assert_eq!(
        stage.run(Command::TakeOver { actor: actor("ben"), lock: first.id }).reply,
        Reply::Refused(Refusal::NotSameUser)
    );
    let taken = stage.run(Command::TakeOver { actor: actor("anna/2"), lock: first.id });
    let Reply::Granted { lock, renewed: false } = taken.reply else { panic!("{:?}", taken.reply) };
    let [Event::LockReleased(released), Event::LockGranted(granted)] = &taken.events[..] else { panic!("two events") };
    assert_eq!((released.reason, granted.cause), (ReleaseReason::TakenOver, GrantCause::TakeOver));
    assert_eq!(granted.held_since, first.at);
    assert!(lock.token > first.token);
    assert!(!stage.building.verify(&stage.facts(), first.token, &floor("f1"), false).valid);
}

#[test]
fn an_operator_releases_only_what_it_saw() {
    let mut stage = Stage::new();
    let lock = stage.take("anna", FloorEdit, &floor("f1"));
    let force =
        |expected| Command::ForceRelease { lock: lock.id, expected, reason: "fire drill".into(), by: "uid 0".into() };
    let changed = stage.run(force(Token(lock.token.0 + 1))).reply;
    assert_eq!(changed, Reply::Refused(Refusal::TokenChanged { current: lock.token }));
    let waiter = stage.wait("ben", FloorEdit, &floor("f1"));
    let forced = stage.run(force(lock.token));
    assert_eq!(granted_tickets(&forced), [waiter]);
    let told = forced.notices.iter().any(|notify| {
        told(notify, "anna")
            && matches!(&notify.notice, Notice::Lost { forced: Some((by, why)), .. } if &**by == "uid 0" && &**why == "fire drill")
    });
    assert!(told, "{:?}", forced.notices);
}

#[test]
fn an_idle_holder_is_deemed_to_grant_and_a_present_one_is_not() {
    for (quiet_ms, granted) in [(10 * SECOND, false), (125 * SECOND, true)] {
        let mut stage = Stage::new();
        let lock = stage.take("anna", FloorEdit, &floor("f1"));
        stage.pass(quiet_ms);
        stage.run(Command::RequestLock { actor: actor("ben"), lock: lock.id, message: None, respond_ms: None });
        stage.pass(10 * SECOND - 1);
        assert_eq!(stage.holders(), ["anna"], "the notice time runs");
        stage.pass(1);
        assert_eq!(stage.holders(), [if granted { "ben" } else { "anna" }]);
        stage.pass(20 * SECOND);
        assert_eq!(stage.holders(), [if granted { "ben" } else { "anna" }]);
    }
}

#[test]
fn a_viewer_is_told_when_somebody_edits_what_is_viewed() {
    let mut stage = Stage::new();
    let f1 = floor("f1");
    stage.take("anna", FloorEdit, &floor("f2"));
    let view = stage.take("vera", AnalyticsView, &f1);
    let begun = stage.ask("ben", FloorEdit, std::slice::from_ref(&f1), 0);
    assert!(matches!(begun.reply, Reply::Granted { .. }), "a view blocks nobody");
    let [notify] = &begun.notices[..] else { panic!("{:?}", begun.notices) };
    assert!(told(notify, "vera"), "{notify:?}");
    assert!(matches!(notify.notice, Notice::ViewBroken { lock, .. } if lock == view.id), "{notify:?}");
}

#[test]
fn a_restart_gives_locks_back_and_time_to_reclaim_them() {
    let mut stage = Stage::new();
    let chair = object("chair", "f1");
    let lock = stage.take("old:anna", ObjectEdit, &chair);
    let snapshot = stage.building.snapshot();
    stage.now = 7;
    let mut back = Building::restore(stage.building.id().clone(), &snapshot, stage.settings.clone()).expect("good");
    // The wall clock says that a week has passed: the cap is over, but not before there was time to come back.
    back.after_restart(Mono(7), Wall(1_800_000_000_000 + 7 * 86_400_000));
    stage.building = back;
    let owners = stage.building.sessions_with_locks();
    assert!(matches!(&owners[..], [(session, user, _, true)] if session.as_str() == "anna" && user.as_str() == "anna"));
    let view = stage.building.lock_view(&stage.facts(), lock.id).expect("given back");
    assert_eq!((view.holder_state, view.expires_in_ms), (HolderState::Suspended, 15 * SECOND));
    assert!(matches!(stage.ask("ben", ObjectEdit, std::slice::from_ref(&chair), 0).reply, Reply::Held { .. }));
    stage.take("ben", ObjectEdit, &object("desk", "f1"));
    stage.pass(15 * SECOND);
    assert_eq!(stage.holders(), ["ben"]);
}

#[test]
fn bounds_are_answers_that_name_themselves() {
    let mut stage =
        Stage::with(LockSettings { per_session_max: 2, waiters_per_node_max: 1, ..LockSettings::default() });
    stage.take("anna", ObjectEdit, &object("o1", "f1"));
    stage.take("anna", ObjectEdit, &object("o2", "f1"));
    let refused = stage.ask("anna", ObjectEdit, &[object("o3", "f1")], 0).reply;
    assert_eq!(refused, Reply::Refused(Refusal::Limit { name: "locks.per_session_max", max: 2 }));
    stage.wait("ben", ObjectEdit, &object("o1", "f1"));
    let refused = stage.ask("carl", ObjectEdit, &[object("o1", "f1")], SECOND).reply;
    assert_eq!(refused, Reply::Refused(Refusal::Limit { name: "locks.waiters_per_node_max", max: 1 }));
}

#[test]
fn a_crowd_on_one_floor_is_served_in_order_and_nobody_starves() {
    let mut stage = Stage::with(LockSettings { waiters_per_node_max: 80, ..LockSettings::default() });
    let f1 = floor("f1");
    let names: Vec<String> = (0..80).map(|n| format!("p{n}")).collect();
    stage.take("anna", FloorEdit, &f1);
    let mut tickets = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let thing = object(&format!("o{}", n % 7), "f1");
        // Every tenth wants the whole floor.
        tickets.push(if n % 10 == 9 { stage.wait(name, FloorEdit, &f1) } else { stage.wait(name, ObjectEdit, &thing) });
    }
    let mut served: Vec<Ticket> = Vec::new();
    let mut rounds = 0;
    while stage.building.lock_count() > 0 {
        let oldest = stage.building.lock_views(&stage.facts()).remove(0);
        let released = stage.run(Command::SessionEnded { session: oldest.session.clone() });
        served.extend(granted_tickets(&released));
        rounds += 1;
        // Between two who want the whole floor, nobody who came later is served earlier.
        for (at, ticket) in served.iter().enumerate() {
            let place = tickets.iter().position(|other| other == ticket).expect("a ticket of ours");
            assert_eq!(place / 10, at / 10, "{ticket} came as {place} and was served as {at}");
        }
    }
    assert_eq!((served.len(), rounds), (80, 81));
}

#[test]
fn the_log_alone_gives_the_table_back() {
    let mut stage = Stage::new();
    let lock = stage.take("anna", ObjectEdit, &object("chair", "f1"));
    stage.wait("ben", ObjectEdit, &object("chair", "f1"));
    stage.release("anna", &lock);
    stage.take("carl", AnalyticsView, &floor("f2"));
    let mut again = Building::new(stage.building.id().clone(), stage.settings.clone());
    stage.log.iter().for_each(|event| again.evolve(event));
    assert_eq!((again.digest(), again.position()), (stage.building.digest(), stage.log.len() as u64));
    assert!(again.locks().eq(stage.building.locks()));
    assert_eq!(again.lock_view(&stage.facts(), LockId(lock.token)), None);
}
