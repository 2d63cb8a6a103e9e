//! Scenes: how conflicts end, each told as a short story.

mod desk;

use arxosrt_core::building::EditSettings;
use arxosrt_core::building::command::{Command, EditBody, EditWish, Refusal, Reply, Resolution, Resolver, Share};
use arxosrt_core::building::conflict::{ConflictId, Kept, Party, SettledBy, Word};
use arxosrt_core::building::event::EditOutcome::{Applied, Conflict};
use arxosrt_core::building::event::{EditAuthor, Event};
use arxosrt_core::edit::rules::{ResourceKind, Severity};
use arxosrt_core::lock::LockType::ObjectEdit;
use arxosrt_core::lock::Token;
use desk::*;

fn operator() -> Resolver {
    Resolver::Operator { name: "uid 0 (root)".into(), reason: "they are on holiday".into() }
}

fn by_operator(desk: &mut Desk, conflict: ConflictId, resolution: Resolution) -> Reply {
    desk.run(Command::ResolveConflict { conflict, by: operator(), revision: None, resolution }).reply
}

fn restore(desk: &mut Desk, by: Resolver, conflict: ConflictId, whose: Option<&str>, path: Option<&str>) -> Reply {
    desk.run(Command::RestoreValue { conflict, by, whose: whose.map(user), path: path.map(at) }).reply
}

fn person(who: &str) -> Resolver {
    Resolver::Person(actor(who))
}

/// Anna has moved the chair to (3, 4) and called it Stool, Ben to (5, 6) and Throne.
fn two_paths(desk: &mut Desk) -> ConflictId {
    let all = |x, y, name| [("/x", x), ("/y", y), ("/name", name)];
    desk.edit(changes("anna", object("chair", "f1"), 1, &all("3", "4", "\"Stool\"")));
    let reply = desk.edit(changes("ben", object("chair", "f1"), 1, &all("5", "6", "\"Throne\"")));
    assert_eq!((reply.outcome, reply.conflicts.len()), (Conflict, 1));
    reply.conflicts[0]
}

fn place(desk: &Desk) -> [String; 3] {
    ["/x", "/y", "/name"].map(|path| desk.at("chair", path))
}

#[test]
fn in_time_nobody_decides_for_the_two_and_then_the_committed_value_stays() {
    for severity in [Severity::Medium, Severity::High] {
        let mut desk = Desk::with_chair();
        let id = match severity {
            Severity::High => {
                desk.edit(set("anna", "chair", 1, "/name", "\"Stool\""));
                desk.edit(delete("ben", "chair", 1)).conflicts[0]
            }
            _ => desk.quarrel("/name", "\"Stool\"", "\"Throne\""),
        };
        assert_eq!(desk.conflict(id).opened.severity, severity);
        assert!(desk.pass(60 * SECOND - 1).is_empty());
        let ticks = desk.pass(1);
        assert_eq!(told(&ticks[0]), ["anna", "ben"]);
        let settled = desk.conflict(id).settled().expect("settled");
        assert_eq!(
            (&settled.by, settled.word, &settled.kept[..]),
            (&SettledBy::Timeout, Word::Merge, &[Kept::First][..])
        );
        assert_eq!((desk.at("chair", "/name"), desk.version("chair")), ("\"Stool\"".into(), 2));
        // What lost is not gone.
        restore(&mut desk, person("ben"), id, None, None);
        assert_eq!(desk.at("chair", "/name"), if severity == Severity::High { "-" } else { "\"Throne\"" });
        assert_eq!(desk.building.conflict_tally().restored, 1);
        desk.restart();
    }
}

#[test]
fn a_critical_conflict_is_for_operators_and_never_decided_by_itself() {
    let mut desk = Desk::new();
    desk.adopt("f1", ResourceKind::Floor, 1, r#"{"id":"f1","label":"Ground"}"#);
    desk.edit(changes("anna", floor("f1"), 1, &[("/label", "\"A\"")]));
    let id = desk.edit(changes("ben", floor("f1"), 1, &[("/label", "\"B\"")])).conflicts[0];
    desk.pass(60 * SECOND);
    assert_eq!((desk.status(id), desk.building.escalated_count()), ("escalated", 1));
    desk.restart();
    assert!(desk.pass(1_000_000 * SECOND).is_empty());
    assert_eq!((desk.status(id), desk.building.open_conflict_count()), ("escalated", 1));
    let reply = by_operator(&mut desk, id, Resolution::Winner(user("ben")));
    assert!(matches!(reply, Reply::Settled { version: 3, .. }), "{reply:?}");
    assert_eq!((desk.at("f1", "/label"), desk.building.escalated_count()), ("\"B\"".into(), 0));
    let Some(Event::Edited(edited)) = desk.log.iter().rev().find(|event| matches!(event, Event::Edited(_))) else {
        panic!("a resolution is an edit");
    };
    assert_eq!((edited.author.clone(), edited.conflict), (EditAuthor::Operator("uid 0 (root)".into()), Some(id)));
    desk.restart();
}

#[test]
fn after_a_restart_the_two_have_all_their_time_again() {
    let mut desk = Desk::with_chair();
    let id = desk.quarrel("/name", "\"Stool\"", "\"Throne\"");
    desk.pass(59 * SECOND);
    desk.restart();
    desk.pass(60 * SECOND - 1);
    assert_eq!(desk.status(id), "open");
    desk.pass(1);
    assert_eq!(desk.status(id), "settled");
}

#[test]
fn mine_and_theirs_are_the_callers() {
    for (who, resolution, ben_wins) in [
        ("anna", Resolution::AcceptMine, false),
        ("anna", Resolution::AcceptTheirs, true),
        ("ben", Resolution::AcceptMine, true),
        ("ben/2", Resolution::AcceptTheirs, false),
    ] {
        let mut desk = Desk::with_chair();
        let id = two_paths(&mut desk);
        let decision = desk.resolve(who, id, resolution.clone());
        assert_eq!(told(&decision), ["anna", "ben"], "{who} {resolution:?}");
        let (x, y, name, kept) =
            if ben_wins { ("5", "6", "\"Throne\"", Kept::Second) } else { ("3", "4", "\"Stool\"", Kept::First) };
        assert_eq!(place(&desk), [x, y, name]);
        assert_eq!(decision.events.len(), if ben_wins { 2 } else { 1 }, "the document is so already, or it is edited");
        assert_eq!(desk.conflict(id).settled().expect("settled").kept, [kept, kept]);
        desk.restart();
    }
}

#[test]
fn path_by_path_and_what_is_not_named_stays() {
    let mut desk = Desk::with_chair();
    let id = two_paths(&mut desk);
    let reply = desk.resolve("anna", id, Resolution::Merge(vec![(at("/y"), Share::Theirs)])).reply;
    assert!(matches!(reply, Reply::Settled { version: 3, .. }), "{reply:?}");
    assert_eq!(place(&desk), ["5", "6", "\"Stool\""], "a place is one value");
    let mut desk = Desk::with_chair();
    let id = two_paths(&mut desk);
    for bad in [
        vec![(at("/color"), Share::Mine)],
        vec![(at("/x"), Share::Mine), (at("/y"), Share::Theirs)],
        vec![(at("/x"), Share::Of(user("carl")))],
        vec![(at("/name/first"), Share::Mine)],
    ] {
        let reply = desk.resolve("anna", id, Resolution::Merge(bad.clone())).reply;
        assert!(matches!(reply, Reply::Refused(Refusal::BadEdit { .. })), "{bad:?} {reply:?}");
    }
    let shares = vec![(at("/name"), Share::Of(user("ben"))), (at("/x"), Share::Of(user("anna")))];
    by_operator(&mut desk, id, Resolution::Merge(shares));
    assert_eq!(place(&desk), ["3", "4", "\"Throne\""]);
}

#[test]
fn values_of_ones_own_path_by_path() {
    let mut desk = Desk::with_chair();
    let id = two_paths(&mut desk);
    let manual = vec![(at("/x"), Some(value("9"))), (at("/name"), Some(value("\"Bench\"")))];
    desk.resolve("ben", id, Resolution::Manual(manual));
    assert_eq!(place(&desk), ["9", "4", "\"Bench\""]);
    assert_eq!(desk.conflict(id).settled().expect("settled").kept, [Kept::Given; 2]);
    let whose = restore(&mut desk, person("ben"), id, None, None);
    assert!(matches!(whose, Reply::Refused(Refusal::BadEdit { .. })), "both have lost: whose? {whose:?}");
    restore(&mut desk, person("ben"), id, Some("ben"), Some("/name"));
    assert_eq!(place(&desk), ["9", "4", "\"Throne\""]);
    restore(&mut desk, operator(), id, Some("anna"), None);
    assert_eq!(place(&desk), ["3", "4", "\"Stool\""]);
    let stranger = restore(&mut desk, operator(), id, Some("carl"), None);
    assert!(matches!(stranger, Reply::Refused(Refusal::BadEdit { .. })), "{stranger:?}");
    desk.restart();
}

#[test]
fn a_value_goes_nowhere_but_where_it_was_meant_to() {
    let mut desk = Desk::with_chair();
    let id = desk.quarrel("/properties", r#"{"seat":"elm"}"#, "7");
    let deeper = Resolution::Manual(vec![(at("/properties/seat"), Some(value("\"ash\"")))]);
    let reply = desk.resolve("anna", id, deeper).reply;
    assert!(matches!(&reply, Reply::Refused(Refusal::BadEdit { .. })), "{reply:?}");
    assert_eq!(desk.at("chair", "/properties"), r#"{"seat":"elm"}"#);
    desk.resolve("anna", id, Resolution::ManualOne(Some(value("[1]"))));
    assert_eq!(desk.at("chair", "/properties"), "[1]");
    let id = desk.quarrel("/name", "\"a\"", "\"b\"");
    desk.resolve("anna", id, Resolution::ManualOne(None));
    assert_eq!(desk.at("chair", "/name"), "-");
    let id = two_paths(&mut Desk::with_chair());
    let mut desk = Desk::with_chair();
    assert_eq!(two_paths(&mut desk), id);
    let reply = desk.resolve("anna", id, Resolution::ManualOne(Some(value("1")))).reply;
    assert!(matches!(reply, Reply::Refused(Refusal::BadEdit { .. })), "of several paths which? {reply:?}");
}

#[test]
fn a_whole_document_given_by_hand_keeps_its_id_and_version() {
    let mut desk = Desk::with_chair();
    desk.edit(set("anna", "chair", 1, "/name", "\"Stool\""));
    let id = desk.edit(delete("ben", "chair", 1)).conflicts[0];
    desk.resolve("anna", id, Resolution::ManualOne(Some(value(r#"{"id":"x","version":9,"name":"Bench"}"#))));
    assert_eq!(desk.at("chair", ""), r#"{"id":"chair","version":1,"name":"Bench"}"#);
}

#[test]
fn what_is_gone_takes_no_values_and_the_conflict_can_still_be_closed() {
    let mut desk = Desk::with_chair();
    let id = desk.quarrel("/name", "\"Stool\"", "\"Throne\"");
    let version = desk.version("chair");
    assert_eq!(desk.edit(delete("carl", "chair", version)).outcome, Applied);
    let reply = desk.resolve("ben", id, Resolution::AcceptMine).reply;
    assert!(matches!(reply, Reply::Refused(Refusal::BadEdit { .. })), "{reply:?}");
    assert_eq!(desk.status(id), "open", "nothing is said to be done that is not");
    let reply = desk.resolve("ben", id, Resolution::Merge(vec![])).reply;
    assert!(matches!(reply, Reply::Settled { .. }), "{reply:?}");
    let reply = restore(&mut desk, person("ben"), id, None, None);
    assert!(matches!(reply, Reply::Refused(Refusal::BadEdit { .. })), "{reply:?}");
    desk.restart();
}

#[test]
fn nobody_settles_what_has_changed_under_his_eyes() {
    let mut desk = Desk::with_chair();
    let id = desk.quarrel("/name", "\"Stool\"", "\"Throne\"");
    let seen = desk.conflict(id).revision;
    desk.edit(set("carl", "chair", 2, "/color", "\"red\""));
    assert_eq!(desk.conflict(id).revision, seen, "an edit elsewhere");
    desk.edit(set("carl", "chair", 3, "/name", "\"Bench\""));
    let mut try_with = |revision| {
        let (by, resolution) = (person("anna"), Resolution::AcceptTheirs);
        desk.run(Command::ResolveConflict { conflict: id, by, revision: Some(revision), resolution }).reply
    };
    assert_eq!(try_with(seen), Reply::Refused(Refusal::RevisionChanged { current: seen + 1 }));
    assert!(matches!(try_with(seen + 1), Reply::Settled { .. }));
    assert_eq!(desk.at("chair", "/name"), "\"Throne\"");
}

#[test]
fn the_second_to_settle_is_told_who_was_first() {
    let mut desk = Desk::with_chair();
    let id = desk.quarrel("/name", "\"Stool\"", "\"Throne\"");
    desk.resolve("ben", id, Resolution::AcceptMine);
    let late = Reply::Refused(Refusal::AlreadySettled { word: Word::AcceptMine, by: "ben".into() });
    assert_eq!(desk.resolve("anna", id, Resolution::AcceptMine).reply, late);
    assert_eq!(by_operator(&mut desk, id, Resolution::Winner(user("anna"))), late);
    assert_eq!(desk.at("chair", "/name"), "\"Throne\"");
}

#[test]
fn strangers_and_unknown_conflicts_are_answered_alike() {
    let mut desk = Desk::with_chair();
    let id = desk.quarrel("/name", "\"Stool\"", "\"Throne\"");
    let not_found = Reply::Refused(Refusal::ConflictNotFound);
    assert_eq!(desk.resolve("carl", id, Resolution::AcceptMine).reply, not_found);
    assert_eq!(desk.resolve("carl", ConflictId(77), Resolution::AcceptMine).reply, not_found);
    assert_eq!(restore(&mut desk, person("carl"), id, None, None), not_found);
    assert_eq!(by_operator(&mut desk, ConflictId(77), Resolution::AcceptMine), not_found);
    for no_own in [Resolution::AcceptMine, Resolution::AcceptTheirs, Resolution::Winner(user("carl"))] {
        let reply = by_operator(&mut desk, id, no_own);
        assert!(matches!(reply, Reply::Refused(Refusal::BadEdit { .. })), "{reply:?}");
    }
    let early = restore(&mut desk, person("ben"), id, None, None);
    assert!(matches!(early, Reply::Refused(Refusal::BadEdit { .. })), "{early:?}");
}

#[test]
fn a_resolution_that_writes_respects_locks() {
    let mut desk = Desk::with_chair();
    let id = desk.quarrel("/name", "\"Stool\"", "\"Throne\"");
    let lock = desk.take("carl", ObjectEdit, object("chair", "f1"));
    let locked = |reply: &Reply| matches!(reply, Reply::Refused(Refusal::Locked { by }) if by.id == lock.id);
    assert!(locked(&desk.resolve("ben", id, Resolution::AcceptMine).reply));
    assert!(locked(&by_operator(&mut desk, id, Resolution::Winner(user("ben")))));
    assert_eq!(desk.status(id), "open");
    let reply = desk.resolve("ben", id, Resolution::AcceptTheirs).reply;
    assert!(matches!(reply, Reply::Settled { version: 2, .. }), "what changes nothing needs no lock: {reply:?}");
}

#[test]
fn one_resolution_is_news_for_other_conflicts_of_the_same_path() {
    let mut desk = Desk::with_chair();
    desk.edit(set("anna", "chair", 1, "/name", "\"Stool\""));
    let one = desk.edit(set("ben", "chair", 1, "/name", "\"Throne\"")).conflicts[0];
    let other = desk.edit(set("carl", "chair", 1, "/name", "\"Bench\"")).conflicts[0];
    let seen = desk.conflict(other).revision;
    desk.resolve("ben", one, Resolution::AcceptMine);
    assert_eq!((desk.at("chair", "/name"), desk.conflict(other).revision), ("\"Throne\"".into(), seen + 1));
    let opened = &desk.conflict(other).opened;
    assert_eq!((opened.first.user.as_str(), opened.second.user.as_str()), ("anna", "carl"));
}

#[test]
fn what_was_moved_away_and_is_moved_back_is_told_on_both_floors() {
    let mut desk = Desk::with_chair();
    desk.edit(set("anna", "chair", 1, "/floor_id", "\"f2\""));
    let reply = desk.edit(changes("ben", object("chair", "f2"), 1, &[("/floor_id", "\"f1\""), ("/x", "7")]));
    assert_eq!(reply.outcome, Conflict);
    let decision = desk.resolve("ben", reply.conflicts[0], Resolution::AcceptMine);
    let rooms: Vec<&str> = decision.events[0].sightings().map(|seen| seen.room.as_str()).collect();
    assert_eq!((rooms, desk.at("chair", "/floor_id")), (vec!["f2", "f1"], "\"f1\"".into()));
    desk.restart();
}

#[test]
fn the_back_end_reports_what_it_found() {
    let mut desk = Desk::with_chair();
    let parties = ["anna", "ben"].map(|who| Party { user: user(who), username: who.into() });
    let report = |severity| Command::ReportConflict {
        target: object("chair", "f1"),
        parties: parties.clone(),
        kind: "overlapping_walls".into(),
        severity,
        description: "two walls cross".into(),
    };
    let decision = desk.run(report(Severity::Low));
    assert_eq!(told(&decision), ["anna", "ben"]);
    let Reply::Reported { conflict } = decision.reply else { panic!("{:?}", decision.reply) };
    assert_eq!(desk.status(conflict), "open", "somebody found it worth a report");
    let reply = desk.resolve("anna", conflict, Resolution::AcceptMine).reply;
    assert_eq!(reply, Reply::Settled { conflict, changes: vec![], version: 1 });
    let reply = restore(&mut desk, person("anna"), conflict, None, None);
    assert!(matches!(reply, Reply::Refused(Refusal::BadEdit { .. })), "{reply:?}");
    let Reply::Reported { conflict } = desk.run(report(Severity::Critical)).reply else { panic!("reported") };
    desk.pass(60 * SECOND);
    assert_eq!(desk.status(conflict), "escalated");
    desk.restart();
}

#[test]
fn a_draft_of_what_is_not_there_yet_makes_it_what_it_was_to_be() {
    let mut desk = Desk::new();
    let begin = changes("anna", floor("f9"), 0, &[("/label", "\"Roof\"")]);
    let id = desk.edit(EditWish { token: Some(Token(999)), ..begin }).conflicts[0];
    assert_eq!((desk.version("f9"), desk.conflict(id).opened.severity), (0, Severity::Critical));
    desk.restart();
    desk.resolve("anna", id, Resolution::AcceptMine);
    let view = desk.building.document(&resource("f9")).expect("it is there");
    assert_eq!((view.kind, view.version, desk.at("f9", "/label")), (ResourceKind::Floor, 1, "\"Roof\"".into()));
}

#[test]
fn what_was_let_go_is_loaded_before_a_value_is_restored() {
    let bounds = EditSettings { resources_max: 1, versions_ms: 30 * SECOND, ..EditSettings::default() };
    let mut desk = Desk::with(bounds);
    desk.adopt("chair", ResourceKind::Object, 1, CHAIR);
    let id = desk.quarrel("/name", "\"Stool\"", "\"Throne\"");
    let stored = || Command::Stored { resources: vec![(resource("chair"), 2)] };
    desk.run(stored());
    desk.now += 50 * SECOND;
    let full = Refusal::Limit { name: "edits.documents_max", max: 1 };
    assert_eq!(desk.refused(set("anna", "lamp", 0, "/x", "1")), full, "a disputed document stays");
    desk.pass(60 * SECOND);
    desk.edit(set("anna", "lamp", 0, "/x", "1"));
    assert!(!desk.building.knows_document(&resource("chair")));
    let reply = restore(&mut desk, person("ben"), id, None, None);
    assert!(matches!(reply, Reply::Refused(Refusal::BadEdit { .. })), "{reply:?}");
    desk.restart();
}

#[test]
fn open_conflicts_and_records_are_bounded() {
    let mut desk = Desk::with(EditSettings { open_max: 2, settled_max: 3, ..EditSettings::default() });
    desk.adopt("chair", ResourceKind::Object, 1, CHAIR);
    let oldest = desk.quarrel("/name", "\"a\"", "\"b\"");
    desk.quarrel("/properties/seat", "\"a\"", "\"b\"");
    let full = Refusal::Limit { name: "conflicts.open_max", max: 2 };
    assert_eq!(desk.refused(set("carl", "chair", 1, "/name", "\"c\"")), full);
    let parties = ["anna", "ben"].map(|who| Party { user: user(who), username: who.into() });
    let (kind, description) = ("x".into(), "x".into());
    let target = object("chair", "f1");
    let report = Command::ReportConflict { target, parties, kind, severity: Severity::Low, description };
    assert_eq!(desk.run(report).reply, Reply::Refused(full));
    desk.edit(set("carl", "chair", 1, "/color", "\"red\""));
    desk.edit(set("anna", "chair", 1, "/color", "\"blue\""));
    assert_eq!(desk.building.conflicts().count(), 3, "what is settled at once needs no room among the open ones");
    desk.pass(60 * SECOND);
    for n in 0..3 {
        assert_eq!(desk.building.conflicts().count(), 3, "{n}");
        let id = desk.quarrel("/name", &n.to_string(), &(n + 10).to_string());
        desk.resolve("anna", id, Resolution::AcceptTheirs);
    }
    assert!(desk.building.conflict(oldest).is_none());
    assert_eq!(desk.building.conflict_tally().settled, [3, 0, 2, 1]);
    desk.restart();
}

#[test]
fn a_document_is_bounded_also_by_way_of_a_resolution() {
    let mut desk = Desk::with(EditSettings { document_bytes_max: 2_000, ..EditSettings::default() });
    desk.adopt("chair", ResourceKind::Object, 1, CHAIR);
    let long = format!("\"{}\"", "x".repeat(2_000));
    let full = Refusal::Limit { name: "edits.document_bytes_max", max: 2_000 };
    assert_eq!(desk.refused(set("anna", "chair", 1, "/name", &long)), full);
    let whole = EditBody::Whole(format!("{{\"name\":{long}}}").into());
    assert_eq!(desk.refused(wish("anna", object("chair", "f1"), 1, whole)), full);
    let id = desk.quarrel("/name", "\"a\"", "\"b\"");
    let reply = desk.resolve("anna", id, Resolution::ManualOne(Some(value(&long)))).reply;
    assert_eq!(reply, Reply::Refused(full));
}

#[test]
fn what_is_committed_stays_what_a_third_has_made_of_it() {
    let mut desk = Desk::with_chair();
    let id = desk.quarrel("/name", "\"Stool\"", "\"Throne\"");
    desk.edit(set("carl", "chair", 2, "/name", "\"Bench\""));
    let reply = desk.resolve("ben", id, Resolution::AcceptTheirs).reply;
    assert!(matches!(reply, Reply::Settled { .. }), "{reply:?}");
    assert_eq!(desk.at("chair", "/name"), "\"Bench\"");
}
