//! Scenes: what people are promised about their edits, each told as a short story.

mod desk;

use arxosrt_core::building::command::{
    Command, EditBody, EditWish, Facts, Place, Refusal, Reply, Resolution, Resolver, Target,
};
use arxosrt_core::building::event::EditOutcome::{Applied, Conflict, Fenced, Merged};
use arxosrt_core::building::event::Event;
use arxosrt_core::building::{EditSettings, VerifyFault};
use arxosrt_core::edit::rules::{ConflictKind, ResourceKind, Severity};
use arxosrt_core::lock::LockType::{FloorEdit, GridCalibration, ObjectEdit};
use arxosrt_core::lock::Token;
use arxosrt_core::time::{Mono, Wall};
use desk::*;

fn rooms(event: &Event) -> Vec<&str> {
    event.sightings().map(|seen| seen.room.as_str()).collect()
}

#[test]
fn what_was_adopted_is_edited() {
    let mut desk = Desk::with_chair();
    let decision = desk.run(Command::Edit(set("anna", "chair", 1, "/name", "\"Stool\"")));
    let [Event::Edited(edited)] = &decision.events[..] else { panic!("{:?}", decision.events) };
    assert_eq!((edited.base, edited.version, rooms(&decision.events[0])), (1, 2, vec!["f1"]));
    let view = desk.building.document(&resource("chair")).expect("it is there");
    assert!(view.document.as_ref().is_some_and(|text| text.contains("\"version\":2") && text.contains("Stool")));
    // What came from the origin later is not listened to.
    desk.adopt("chair", ResourceKind::Object, 9, "{}");
    assert_eq!((desk.at("chair", "/name"), desk.version("chair")), ("\"Stool\"".into(), 2));
    desk.restart();
}

#[test]
fn different_paths_merge_and_nobody_is_bothered() {
    let mut desk = Desk::with_chair();
    desk.edit(set("anna", "chair", 1, "/name", "\"Stool\""));
    let decision = desk.run(Command::Edit(set("ben", "chair", 1, "/properties/seat", "\"ash\"")));
    assert!(decision.notices.is_empty(), "{:?}", decision.notices);
    let reply = desk.edit(set("carl", "chair", 1, "/properties/legs", "3"));
    assert_eq!((reply.outcome, reply.version), (Merged, 4));
    assert_eq!(desk.at("chair", ""), CHAIR.replace("Chair", "Stool").replace("oak", "ash").replace("4", "3"));
    assert_eq!((desk.building.conflict_tally().edits, desk.building.conflict_tally().merged), (3, 2));
}

#[test]
fn one_path_at_once_is_a_conflict_of_these_two() {
    let mut desk = Desk::with_chair();
    desk.edit(set("carl", "chair", 1, "/properties/legs", "3"));
    desk.edit(set("anna", "chair", 2, "/name", "\"Stool\""));
    let both = [("/name", "\"Throne\""), ("/properties/seat", "\"ash\"")];
    let decision = desk.run(Command::Edit(changes("ben", object("chair", "f1"), 1, &both)));
    assert_eq!(told(&decision), ["anna", "ben"]);
    assert_eq!(decision.notices.len(), 2, "and nobody else anything");
    assert_eq!(desk.at("chair", "/name"), "\"Stool\"", "the committed value stays");
    assert_eq!(desk.at("chair", "/properties/seat"), "\"ash\"", "what nobody disputes is in the document");
    let conflict = desk.building.conflicts().next().expect("a conflict");
    let [path] = &conflict.opened.paths[..] else { panic!("{:?}", conflict.opened) };
    let json = |value: &Option<_>| value.as_ref().map(arxosrt_core::edit::value::Value::to_json);
    let values = [&path.base, &path.mine, &path.theirs].map(json).map(Option::unwrap_or_default);
    assert_eq!(values, ["\"Chair\"", "\"Throne\"", "\"Stool\""]);
    assert!(!conflict.opened.description.contains("Throne"), "no value in what may be logged");
    assert_eq!((desk.version("chair"), conflict.opened.version), (4, 4));
    desk.restart();
}

#[test]
fn with_each_person_a_conflict_of_its_own() {
    let mut desk = Desk::with_chair();
    desk.edit(set("anna", "chair", 1, "/name", "\"Stool\""));
    desk.edit(set("carl", "chair", 2, "/properties/seat", "\"elm\""));
    let both = [("/name", "\"Throne\""), ("/properties/seat", "\"ash\"")];
    let decision = desk.run(Command::Edit(changes("ben", object("chair", "f1"), 1, &both)));
    assert_eq!(told(&decision), ["anna", "ben", "carl", "ben"]);
    assert_eq!(desk.building.open_conflict_count(), 2);
}

#[test]
fn the_same_value_is_no_conflict() {
    let mut desk = Desk::with_chair();
    desk.edit(set("anna", "chair", 1, "/name", "\"Stool\""));
    let reply = desk.edit(set("ben", "chair", 1, "/name", "\"Stool\""));
    assert_eq!((reply.outcome, reply.version, desk.building.open_conflict_count()), (Merged, 2, 0));
}

#[test]
fn nobody_conflicts_with_himself_in_another_tab() {
    let mut desk = Desk::with_chair();
    desk.edit(set("anna", "chair", 1, "/name", "\"Stool\""));
    let reply = desk.edit(set("anna/2", "chair", 1, "/name", "\"Throne\""));
    assert_eq!((reply.outcome, desk.at("chair", "/name")), (Applied, "\"Throne\"".into()));
}

#[test]
fn of_small_things_the_later_wins_at_once_and_the_other_is_kept() {
    let mut desk = Desk::with_chair();
    desk.edit(set("anna", "chair", 1, "/color", "\"red\""));
    let decision = desk.run(Command::Edit(set("ben", "chair", 1, "/color", "\"blue\"")));
    assert_eq!((desk.at("chair", "/color"), desk.building.open_conflict_count()), ("\"blue\"".into(), 0));
    assert_eq!(told(&decision), ["anna", "ben", "anna", "ben"], "found and settled");
    let conflict = desk.building.conflicts().next().expect("a record");
    assert_eq!(conflict.opened.severity, Severity::Low);
    let id = conflict.opened.id;
    let by = Resolver::Person(actor("anna"));
    desk.run(Command::RestoreValue { conflict: id, by, whose: None, path: None });
    assert_eq!(desk.at("chair", "/color"), "\"red\"");
    desk.restart();
}

#[test]
fn a_modified_thing_beats_its_deletion_whoever_was_first() {
    let mut desk = Desk::with_chair();
    desk.edit(set("anna", "chair", 1, "/name", "\"Stool\""));
    let reply = desk.edit(delete("ben", "chair", 1));
    assert_eq!((reply.outcome, desk.at("chair", "/name")), (Conflict, "\"Stool\"".into()));
    assert_eq!(desk.conflict(reply.conflicts[0]).opened.kind.as_ref(), ConflictKind::DeleteModify.as_str());

    let mut desk = Desk::with_chair();
    desk.edit(delete("anna", "chair", 1));
    assert_eq!(desk.at("chair", ""), "-");
    let reply = desk.edit(set("ben", "chair", 1, "/name", "\"Stool\""));
    assert_eq!((reply.outcome, desk.at("chair", "/name")), (Conflict, "\"Stool\"".into()));
    assert_eq!(desk.conflict(reply.conflicts[0]).opened.severity, Severity::High);
    desk.restart();
}

#[test]
fn a_tab_that_does_not_know_of_the_deletion_does_not_bring_a_stub_back() {
    let mut desk = Desk::with_chair();
    desk.edit(delete("anna", "chair", 1));
    let refusal = desk.refused(set("anna/2", "chair", 1, "/name", "\"Stool\""));
    assert!(matches!(refusal, Refusal::BadEdit { .. }), "{refusal:?}");
    let patch = EditBody::MergePatch(r#"{"name":"Stool"}"#.into());
    assert!(matches!(desk.refused(wish("anna/2", object("chair", "f1"), 1, patch)), Refusal::BadEdit { .. }));
    assert_eq!(desk.edit(set("anna/2", "chair", 2, "/name", "\"Stool\"")).outcome, Applied);
    assert_eq!(desk.at("chair", ""), r#"{"id":"chair","name":"Stool"}"#);
}

#[test]
fn what_goes_to_another_floor_is_told_on_both() {
    let mut desk = Desk::with_chair();
    let decision = desk.run(Command::Edit(set("anna", "chair", 1, "/floor_id", "\"f2\"")));
    assert_eq!(rooms(&decision.events[0]), ["f1", "f2"]);
    let placed: Vec<_> =
        desk.building.placed_by_edits().map(|(id, rooms, _)| (id.as_str(), rooms[0].as_str())).collect();
    assert_eq!(placed, [("chair", "f2")]);
    for nowhere in ["\"f3\"", "7", "\"\""] {
        let refusal = desk.refused(changes("anna", object("chair", "f2"), 2, &[("/floor_id", nowhere)]));
        assert!(matches!(&refusal, Refusal::BadEdit { path, .. } if &**path == "/floor_id"), "{refusal:?}");
    }
    // Who moved it on the old floor meanwhile has another place in mind.
    let reply = desk.edit(changes("ben", object("chair", "f2"), 1, &[("/x", "5")]));
    assert_eq!(desk.conflict(reply.conflicts[0]).opened.kind.as_ref(), ConflictKind::MovedFloor.as_str());
    desk.restart();
}

#[test]
fn a_route_to_what_is_deleted_waits() {
    let mut desk = Desk::with_chair();
    desk.edit(set("carl", "way", 0, "/name", "\"Exit\""));
    desk.edit(delete("anna", "chair", 1));
    let reply = desk.edit(set("ben", "way", 1, "/to", "\"chair\""));
    let conflict = desk.conflict(reply.conflicts[0]);
    assert_eq!((reply.outcome, conflict.opened.kind.as_ref()), (Conflict, ConflictKind::DanglingReference.as_str()));
    assert_eq!((conflict.opened.first.user.as_str(), desk.at("way", "/to")), ("anna", "-".into()));
    let whole = EditBody::Whole(r#"{"name":"Long way","to":"chair"}"#.into());
    let reply = desk.edit(wish("ben", object("way2", "f1"), 0, whole));
    assert_eq!((reply.outcome, desk.at("way2", "")), (Conflict, r#"{"name":"Long way","id":"way2"}"#.into()));
    let refusal = desk.refused(set("anna", "way", 1, "/to", "\"chair\""));
    assert!(matches!(refusal, Refusal::BadEdit { .. }), "there is nobody to disagree with: {refusal:?}");
}

#[test]
fn what_somebody_lately_referred_to_is_not_deleted_under_him() {
    let mut desk = Desk::with_chair();
    desk.edit(set("ben", "way", 0, "/to", "\"chair\""));
    let reply = desk.edit(delete("anna", "chair", 1));
    assert_eq!((reply.outcome, desk.at("chair", "/name")), (Conflict, "\"Chair\"".into()));
    assert_eq!(desk.conflict(reply.conflicts[0]).opened.first.user.as_str(), "ben");
    assert_eq!(desk.edit(delete("ben", "chair", 1)).outcome, Applied, "his own route does not hold him up");
}

#[test]
fn coordinates_of_a_grid_that_was_calibrated_anew_wait() {
    let mut desk = Desk::with_chair();
    desk.adopt("f1", ResourceKind::Floor, 4, r#"{"id":"f1","grid":{"origin":[0,0]}}"#);
    let calibrate = changes("anna", floor("f1"), 4, &[("/grid/origin", "[1,1]")]);
    let version = desk.edit(calibrate).version;
    assert_eq!(desk.building.frame(&room("f1")), Some((version, 1)));
    let moves = |who, x| {
        let wish = changes(who, object("chair", "f1"), 1, &[("/x", x), ("/name", "\"Stool\"")]);
        EditWish { frame: Some(version - 1), ..wish }
    };
    let reply = desk.edit(moves("ben", "8"));
    let opened = &desk.conflict(reply.conflicts[0]).opened;
    assert_eq!((reply.outcome, opened.severity, opened.first.user.as_str()), (Conflict, Severity::Critical, "anna"));
    assert_eq!(opened.kind.as_ref(), ConflictKind::OutdatedFrame.as_str());
    assert_eq!((desk.at("chair", "/x"), desk.at("chair", "/name")), ("1".into(), "\"Stool\"".into()));
    let anew = changes("ben", object("chair", "f1"), 2, &[("/x", "9")]);
    assert_eq!(desk.edit(EditWish { frame: Some(version), ..anew }).outcome, Applied);
    assert_eq!(desk.edit(moves("anna", "7")).conflicts.len(), 1, "hers is a plain conflict with his newer place");
    desk.restart();
    assert_eq!(desk.building.frame(&room("f1")), Some((version, 1)));
}

#[test]
fn the_calibrator_knows_his_own_grid_and_of_several_the_outdated_one_counts() {
    let mut desk = Desk::with_chair();
    for (who, at) in [("anna", "f1"), ("ben", "f2")] {
        desk.adopt(at, ResourceKind::Floor, 4, "{\"grid\":{}}");
        desk.edit(changes(who, floor(at), 4, &[("/grid/tilt", "1")]));
    }
    let own = set("anna", "chair", 1, "/x", "3");
    assert_eq!(desk.edit(EditWish { frame: Some(1), ..own }).outcome, Applied);
    let both = Place::Item(["f1", "f2"].map(room).into_iter().collect());
    let target = Target { resource: resource("way"), place: both };
    let reply = desk.edit(EditWish { frame: Some(1), ..changes("anna", target, 0, &[("/points", "[1]")]) });
    assert_eq!(desk.conflict(reply.conflicts[0]).opened.first.user.as_str(), "ben");
}

#[test]
fn the_structure_of_a_floor_is_critical() {
    let mut desk = Desk::new();
    desk.adopt("f1", ResourceKind::Floor, 1, r#"{"id":"f1","label":"Ground","grid":{"tilt":0}}"#);
    desk.edit(changes("anna", floor("f1"), 1, &[("/label", "\"A\""), ("/grid/tilt", "1")]));
    let reply = desk.edit(changes("ben", floor("f1"), 1, &[("/label", "\"B\""), ("/grid/tilt", "2")]));
    let opened = &desk.conflict(reply.conflicts[0]).opened;
    assert_eq!((reply.outcome, opened.severity, opened.paths.len()), (Conflict, Severity::Critical, 2));
    let kinds: Vec<_> = opened.paths.iter().map(|path| path.kind).collect();
    assert!(kinds.contains(&ConflictKind::GridCalibration) && kinds.contains(&ConflictKind::FloorStructure));
}

#[test]
fn an_edit_under_a_lost_lock_is_a_draft() {
    let mut desk = Desk::with_chair();
    let lock = desk.take("anna", ObjectEdit, object("chair", "f1"));
    let under = |token, base, x| EditWish { token: Some(token), ..set("anna", "chair", base, "/x", x) };
    assert_eq!(desk.edit(under(lock.token, 1, "3")).outcome, Applied);
    desk.run(Command::Release { actor: actor("anna"), lock: lock.id });
    desk.edit(set("ben", "chair", 2, "/name", "\"Stool\""));
    let both = changes("anna", object("chair", "f1"), 2, &[("/x", "4"), ("/color", "\"red\"")]);
    let reply = desk.edit(named("e1", EditWish { token: Some(lock.token), ..both }));
    assert_eq!((reply.outcome, reply.fault, reply.version), (Fenced, Some(VerifyFault::UnknownToken), 3));
    assert_eq!((desk.at("chair", "/x"), desk.at("chair", "/color")), ("3".into(), "\"grey\"".into()));
    let opened = &desk.conflict(reply.conflicts[0]).opened;
    assert_eq!((opened.paths.len(), opened.first.user.as_str(), opened.second.user.as_str()), (2, "ben", "anna"));
    desk.restart();
    let resolution = Resolution::AcceptMine;
    desk.resolve("anna", reply.conflicts[0], resolution);
    assert_eq!((desk.at("chair", "/x"), desk.at("chair", "/color")), ("4".into(), "\"red\"".into()));
}

#[test]
fn a_draft_of_the_only_author_is_his_own_and_somebody_elses_token_is_nobodys() {
    let mut desk = Desk::with_chair();
    let lock = desk.take("ben", ObjectEdit, object("chair", "f1"));
    for token in [Token(999), lock.token] {
        let decision = desk.run(Command::Edit(EditWish { token: Some(token), ..set("anna", "chair", 1, "/x", "4") }));
        assert_eq!(told(&decision), ["anna"]);
    }
    assert_eq!((desk.version("chair"), desk.building.open_conflict_count()), (1, 2));
    desk.pass(60 * SECOND);
    assert_eq!((desk.version("chair"), desk.building.open_conflict_count()), (1, 0));
    let stale = desk.building.conflicts().next().expect("kept").opened.id;
    desk.run(Command::Release { actor: actor("ben"), lock: lock.id });
    let by = Resolver::Person(actor("anna"));
    desk.run(Command::RestoreValue { conflict: stale, by, whose: None, path: None });
    assert_eq!(desk.at("chair", "/x"), "4");
}

#[test]
fn a_lock_keeps_others_out() {
    let mut desk = Desk::with_chair();
    let lock = desk.take("anna", FloorEdit, floor("f1"));
    for who in ["ben", "anna/2"] {
        let refusal = desk.refused(set(who, "chair", 1, "/x", "4"));
        assert!(matches!(refusal, Refusal::Locked { by } if by.id == lock.id), "{who}");
    }
    assert_eq!(desk.edit(set("anna", "chair", 1, "/x", "4")).outcome, Applied, "the holder needs no token");
    let desk_elsewhere = changes("ben", object("desk", "f2"), 0, &[("/x", "1")]);
    assert_eq!(desk.edit(desk_elsewhere).outcome, Applied);
}

#[test]
fn a_lock_for_the_grid_is_for_the_grid_alone() {
    let mut desk = Desk::new();
    desk.adopt("f1", ResourceKind::Floor, 1, r#"{"id":"f1","label":"Ground","grid":{"tilt":0}}"#);
    let token = Some(desk.take("anna", GridCalibration, floor("f1")).token);
    let grid = changes("anna", floor("f1"), 1, &[("/grid/tilt", "1")]);
    assert_eq!(desk.edit(EditWish { token, ..grid }).outcome, Applied);
    let more = changes("anna", floor("f1"), 2, &[("/grid/tilt", "2"), ("/label", "\"A\"")]);
    let reply = desk.edit(EditWish { token, ..more });
    assert_eq!((reply.outcome, reply.fault), (Fenced, Some(VerifyFault::Scope)));
    assert_eq!(desk.at("f1", "/grid/tilt"), "1");
}

#[test]
fn a_base_that_is_too_old_or_does_not_exist_is_refused() {
    let mut desk = Desk::with(EditSettings { versions_max: 4, ..EditSettings::default() });
    desk.adopt("chair", ResourceKind::Object, 1, CHAIR);
    for n in 1..=6 {
        desk.edit(set("anna", "chair", n, "/x", &format!("{}", n + 10)));
    }
    assert_eq!(desk.refused(set("ben", "chair", 2, "/y", "1")), Refusal::BaseTooOld { version: 7, oldest: 3 });
    assert_eq!(desk.refused(set("ben", "chair", 8, "/y", "1")), Refusal::BaseAhead { version: 7 });
    assert_eq!(desk.refused(set("ben", "lamp", 1, "/y", "1")), Refusal::BaseAhead { version: 0 });
    assert_eq!(desk.edit(set("ben", "chair", 3, "/name", "\"b\"")).outcome, Merged);
}

#[test]
fn a_repeat_is_answered_and_not_done_again() {
    let mut desk = Desk::with_chair();
    desk.edit(set("ben", "chair", 1, "/name", "\"Stool\""));
    let first = desk.edit(named("e1", set("anna", "chair", 1, "/name", "\"Throne\"")));
    let noop = desk.edit(named("e2", set("anna", "chair", 2, "/color", "\"grey\"")));
    let other = desk.edit(named("e1", set("carl", "chair", 2, "/properties/seat", "\"elm\"")));
    assert!(!first.duplicate && !noop.duplicate && !other.duplicate, "names are each person's own");
    desk.edit(set("ben", "chair", 3, "/color", "\"red\""));
    desk.restart();
    for who in ["anna", "anna/2"] {
        let decision = desk.run(Command::Edit(named("e1", set(who, "chair", 1, "/name", "\"Throne\""))));
        assert!(decision.events.is_empty() && decision.notices.is_empty());
        let again = desk.edit(named("e1", set(who, "chair", 1, "/name", "\"Throne\"")));
        assert_eq!(
            (again.duplicate, again.outcome, again.version, &again.conflicts),
            (true, first.outcome, first.version, &first.conflicts)
        );
        let again = desk.edit(named("e2", set(who, "chair", 1, "/color", "\"grey\"")));
        assert_eq!((again.duplicate, again.outcome), (true, Applied), "also of what changed nothing");
    }
}

#[test]
fn a_repeat_is_known_for_a_week_of_the_logs_clock() {
    const STEP: u64 = 60 * SECOND;
    let mut desk = Desk::with_chair();
    let first = || named("e1", set("anna", "chair", 1, "/x", "5"));
    desk.edit(first());
    let mut days = |until: u64| {
        while desk.now < 1_000_000 + until * 86_400 * SECOND {
            desk.now += STEP;
            let (version, name) = (desk.version("chair"), desk.now.to_string());
            desk.edit(named(&name, set("ben", "chair", version, "/y", &name)));
        }
        let (now, wall) = (Mono(desk.now), Wall(0));
        let facts = Facts { now, wall, tokens: &desk.tokens };
        desk.building.decide(&facts, &Command::Edit(first())).reply
    };
    let reply = days(6);
    assert!(matches!(reply, Reply::Edited(reply) if reply.duplicate));
    let reply = days(8);
    assert!(matches!(reply, Reply::Refused(Refusal::BaseTooOld { .. })), "{reply:?}");
}

#[test]
fn whole_documents_and_merge_patches_change_what_differs() {
    let mut desk = Desk::with_chair();
    let whole = CHAIR.replace("Chair", "Stool").replace("\"version\":1", "\"version\":77");
    let decision = desk.run(Command::Edit(wish("anna", object("chair", "f1"), 1, EditBody::Whole(whole.into()))));
    let [Event::Edited(edited)] = &decision.events[..] else { panic!("{:?}", decision.events) };
    assert_eq!(edited.changes, [change("/name", "\"Stool\"")]);
    let patch = EditBody::MergePatch(r#"{"color":null,"properties":{"legs":3}}"#.into());
    let reply = desk.edit(wish("ben", object("chair", "f1"), 1, patch));
    assert_eq!(
        (reply.outcome, desk.at("chair", "/color"), desk.at("chair", "/properties/legs")),
        (Merged, "-".into(), "3".into())
    );
    let patch = EditBody::MergePatch(r#"{"properties":{"legs":5}}"#.into());
    assert_eq!(desk.edit(wish("anna", object("chair", "f1"), 2, patch)).outcome, Conflict);
    for bad in ["[]", "{", "7"] {
        let refusal = desk.refused(wish("anna", object("chair", "f1"), 2, EditBody::Whole(bad.into())));
        assert!(matches!(refusal, Refusal::BadEdit { .. }), "{bad}");
    }
}

#[test]
fn nobody_changes_an_id_or_a_version() {
    let mut desk = Desk::with_chair();
    for (path, json) in [("/id", "\"stool\""), ("/version", "9")] {
        let refusal = desk.refused(set("anna", "chair", 1, path, json));
        assert!(matches!(&refusal, Refusal::BadEdit { path: at, .. } if &**at == path), "{refusal:?}");
    }
    let patch = EditBody::MergePatch(r#"{"version":9}"#.into());
    assert!(matches!(desk.refused(wish("anna", object("chair", "f1"), 1, patch)), Refusal::BadEdit { .. }));
    // A whole document may carry them along.
    desk.edit(set("anna", "chair", 1, "", r#"{"id":"stool","version":9,"name":"Stool"}"#));
    assert_eq!(desk.at("chair", ""), r#"{"id":"chair","version":1,"name":"Stool"}"#);
}

#[test]
fn a_resource_begins_with_its_first_edit() {
    let mut desk = Desk::new();
    assert_eq!(desk.edit(set("anna", "lamp", 0, "/name", "\"Lamp\"")).version, 1);
    let reply = desk.edit(changes("ben", object("lamp", "f1"), 0, &[("/watts", "60"), ("/name", "\"Light\"")]));
    assert_eq!(reply.outcome, Conflict, "two begin it at once, and neither document is half of the other");
    assert_eq!(desk.at("lamp", ""), r#"{"id":"lamp","name":"Lamp"}"#);
    let Some(mine) = &desk.conflict(reply.conflicts[0]).opened.paths[0].mine else { panic!("his own") };
    assert_eq!(mine.to_json(), r#"{"id":"lamp","watts":60,"name":"Light"}"#);
    let patch = EditBody::MergePatch(r#"{"name":"Desk","drawers":null}"#.into());
    desk.edit(wish("anna", object("desk", "f1"), 0, patch));
    let whole = EditBody::Whole(r#"{"id":"other","name":"Shelf"}"#.into());
    desk.edit(wish("anna", object("shelf", "f2"), 0, whole));
    assert_eq!(desk.at("desk", ""), r#"{"id":"desk","name":"Desk"}"#);
    assert_eq!(desk.at("shelf", ""), r#"{"id":"shelf","name":"Shelf"}"#);
    desk.restart();
    assert_eq!(desk.building.unstored_count(), 3);
}

#[test]
fn documents_that_nobody_edits_make_room_when_the_origin_has_them() {
    let mut desk = Desk::with(EditSettings { resources_max: 2, versions_ms: 30 * SECOND, ..EditSettings::default() });
    desk.edit(set("anna", "a", 0, "/x", "1"));
    desk.edit(set("anna", "b", 0, "/x", "1"));
    let full = Refusal::Limit { name: "edits.documents_max", max: 2 };
    assert_eq!(desk.refused(set("anna", "c", 0, "/x", "1")), full);
    desk.now += 60 * SECOND;
    desk.edit(set("anna", "b", 1, "/x", "2"));
    assert_eq!(desk.refused(set("anna", "c", 0, "/x", "1")), full, "the origin does not have a yet");
    let given: Vec<_> = desk.building.take_unstored(9).into_iter().map(|view| (view.resource, view.version)).collect();
    assert_eq!((given.len(), desk.building.take_unstored(9).len()), (2, 0));
    desk.run(Command::Stored { resources: vec![(resource("a"), 1), (resource("b"), 1), (resource("c"), 5)] });
    assert_eq!(desk.building.unstored_count(), 1, "b has gone on since");
    desk.edit(set("anna", "c", 0, "/x", "1"));
    assert!(!desk.building.knows_document(&resource("a")));
    desk.restart();
    desk.adopt("b", ResourceKind::Object, 9, "{}");
    assert_eq!(desk.version("b"), 2);
}
