//! What becomes of an edit, case by case.

use super::fast::{Desk, author};
use crate::edit::change::{Change, Doc, Place};
use crate::edit::conflict::{Choice, PathConflict, Side};
use crate::edit::detect::{Edit, Outcome, Refusal};
use crate::edit::diff::diff;
use crate::edit::path::Path;
use crate::edit::resource::Resource;
use crate::edit::rules::{ConflictKind, ResourceKind, Rules, Severity};
use crate::edit::value::Value;

const DOOR: &str = r#"{"id":"door","floor_id":"f1","type":"door","x":1,"y":2,"footprint":[[0,0]],"color":"red","name":"D",
    "properties":{"fire":{"rating":1,"exit":true},"width":1},"parts":[{"id":"a","n":1},{"id":"b"},{"id":"c"}]}"#;

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn set(at: &str, json: &str) -> Change {
    Change::Set { path: path(at), value: Value::parse(json).unwrap() }
}

fn unset(at: &str) -> Change {
    Change::Unset { path: path(at) }
}

fn insert(id: &str, place: Place) -> Change {
    Change::Insert { path: path("/parts"), value: Value::parse(&format!(r#"{{"id":"{id}"}}"#)).unwrap(), place }
}

fn remove(id: &str) -> Change {
    Change::Remove { path: path("/parts"), id: id.into() }
}

fn shift(id: &str, place: Place) -> Change {
    Change::Move { path: path("/parts"), id: id.into(), place }
}

fn after(id: &str) -> Place {
    Place::After(id.into())
}

/// Bob has changed the door since version 7; what becomes of Ann's edit of that version?
fn met(kind: ResourceKind, bob: &[Change], ann: &[Change]) -> (Outcome, Desk) {
    let mut desk = Desk::new(kind, Doc::parse(DOOR).unwrap());
    bob.iter().for_each(|change| desk.write("bob", std::slice::from_ref(change)));
    let outcome = desk.decide("ann", 7, ann).unwrap();
    desk.write("ann", &outcome.changes);
    (outcome, desk)
}

fn only(outcome: &Outcome) -> &PathConflict {
    let [conflict] = &outcome.conflicts[..] else { panic!("{outcome:?}") };
    conflict
}

#[test]
fn who_contradicts_whom_and_how_badly() {
    use ConflictKind::{ConcurrentEdit, DeleteModify, MovedFloor, Order, TypeChange};
    use Severity::{High, Low, Medium};
    for (bob, ann, expected) in [
        (set("/name", "1"), set("/name", "2"), Some((ConcurrentEdit, Medium))),
        (set("/name", "1"), set("/name", "1.0"), None),
        (set("/name", "1"), set("/x", "2"), None),
        (set("/x", "3"), set("/y", "4"), Some((ConcurrentEdit, Medium))),
        (set("/x", "3"), set("/footprint", "[[1,1]]"), Some((ConcurrentEdit, Medium))),
        (set("/color", "1"), set("/color", "2"), Some((ConcurrentEdit, Low))),
        (set("/properties/fire/rating", "2"), set("/properties/fire/exit", "false"), None),
        (set("/properties/fire/rating", "2"), set("/properties/fire", "3"), Some((ConcurrentEdit, Medium))),
        (set("/properties/fire", "3"), set("/properties/fire/rating", "2"), Some((ConcurrentEdit, Medium))),
        (unset("/properties"), set("/properties/fire/rating", "2"), Some((DeleteModify, High))),
        (set("/type", "\"window\""), set("/properties/fire/rating", "2"), Some((TypeChange, High))),
        (set("/properties/width", "2"), set("/type", "\"window\""), Some((TypeChange, High))),
        (set("/type", "\"window\""), set("/name", "2"), None),
        (set("/floor_id", "\"f2\""), set("/x", "4"), Some((MovedFloor, High))),
        (unset(""), set("/name", "2"), Some((DeleteModify, High))),
        (set("/name", "2"), unset(""), Some((DeleteModify, High))),
        (unset(""), unset(""), None),
        (remove("a"), set("/parts/a/n", "2"), Some((DeleteModify, High))),
        (set("/parts/a/n", "2"), remove("a"), Some((DeleteModify, High))),
        (remove("a"), remove("a"), None),
        (insert("d", after("a")), insert("e", after("a")), None),
        (insert("d", after("a")), insert("d", Place::Front), Some((Order, Low))),
        (shift("a", Place::End), shift("a", after("b")), Some((Order, Low))),
        (shift("a", Place::End), set("/parts/a/n", "2"), None),
        (shift("a", Place::End), shift("a", Place::End), None),
    ] {
        let (outcome, _) = met(ResourceKind::Object, std::slice::from_ref(&bob), std::slice::from_ref(&ann));
        let found: Vec<_> = outcome.conflicts.iter().map(|conflict| (conflict.kind, conflict.severity)).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{bob:?} {ann:?}");
        let authors = outcome.conflicts.iter().map(|conflict| conflict.their_author.clone());
        assert!(authors.into_iter().all(|found| found == Some(author("bob"))), "{bob:?} {ann:?}");
    }
}

#[test]
fn whatever_concerns_a_floor_is_critical_and_stays_as_committed() {
    for (at, kind) in [("/name", ConflictKind::FloorStructure), ("/properties/width", ConflictKind::FloorStructure)] {
        let (outcome, desk) = met(ResourceKind::Floor, &[set(at, "5")], &[set(at, "6")]);
        assert_eq!((only(&outcome).kind, only(&outcome).severity), (kind, Severity::Critical));
        assert_eq!(desk.doc.get(&path(at)), Some(&Value::parse("5").unwrap()));
    }
    let grid = r#"{"origin":[0,0],"spacing_m":1}"#;
    let (outcome, _) =
        met(ResourceKind::Floor, &[set("/grid", grid)], &[set("/grid", r#"{"origin":[1,1],"spacing_m":1}"#)]);
    assert_eq!(only(&outcome).kind, ConflictKind::GridCalibration);
    // An order that would be settled at once elsewhere waits here.
    let (outcome, desk) = met(ResourceKind::Floor, &[shift("a", Place::End)], &[shift("a", after("b"))]);
    assert_eq!((only(&outcome).kind, only(&outcome).kept), (ConflictKind::FloorStructure, Side::Theirs));
    assert!(desk.doc.value().unwrap().to_json().contains(r#"[{"id":"b"},{"id":"c"},{"id":"a","n":1}]"#));
}

#[test]
fn what_was_modified_comes_back_whole() {
    let (outcome, desk) = met(ResourceKind::Object, &[set("/x", "9"), unset("")], &[set("/name", "\"N\"")]);
    assert_eq!(only(&outcome).kept, Side::Mine);
    let mut wanted = Doc::parse(DOOR).unwrap();
    wanted.apply(&set("/name", "\"N\"")).unwrap();
    assert_eq!(desk.doc, wanted);
    let (_, desk) = met(ResourceKind::Object, &[remove("b")], &[set("/parts/b/n", "2")]);
    assert!(desk.doc.value().unwrap().to_json().contains(r#"{"id":"b","n":2},{"id":"c"}"#), "at its old place");
}

#[test]
fn two_insertions_behind_one_element_are_both_kept_in_an_order_that_does_not_depend_on_who_came_first() {
    let order = |first: &str, second: &str| {
        let (outcome, desk) = met(ResourceKind::Object, &[insert(first, after("a"))], &[insert(second, after("a"))]);
        assert!(outcome.conflicts.is_empty());
        let parts = desk.doc.get(&path("/parts")).and_then(Value::as_list).unwrap();
        parts.keys().collect::<String>()
    };
    assert_eq!(order("x", "y"), "axybc");
    assert_eq!(order("y", "x"), "axybc");
}

#[test]
fn what_is_so_already_is_no_conflict_and_no_change() {
    let (outcome, _) = met(ResourceKind::Object, &[set("/name", "1")], &[set("/name", "1"), set("/x", "1")]);
    assert!(outcome.changes.is_empty() && outcome.conflicts.is_empty());
    let mut paths: Vec<&str> = outcome.no_op.iter().map(|unit| unit.path().as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/name", "/x"]);
}

#[test]
fn coordinates_of_an_outdated_frame_are_not_applied() {
    let desk = Desk::new(ResourceKind::Object, Doc::parse(DOOR).unwrap());
    let changes = [
        set("/x", "5"),
        set("/name", "\"N\""),
        insert("d", Place::Front),
        set("/parts/d/x", "1"),
        insert("e", after("d")),
    ];
    let edit = Edit { author: &author("ann"), base_version: 7, changes: &changes, frame_outdated: true };
    let outcome = Resource::decide(&desk, &edit, &Rules::default()).unwrap();
    assert_eq!(outcome.conflicts.len(), 2, "{outcome:?}");
    for conflict in &outcome.conflicts {
        assert_eq!(conflict.kind, ConflictKind::OutdatedFrame);
        assert_eq!((conflict.severity, conflict.kept), (Severity::Critical, Side::Theirs));
    }
    let mut doc = desk.doc.clone();
    doc.apply_all(&outcome.changes).unwrap();
    assert_eq!(doc.get(&path("/x")), desk.doc.get(&path("/x")));
    assert_eq!(doc.get(&path("/name")), Some(&Value::Text("N".into())));
    let parts = doc.get(&path("/parts")).and_then(Value::as_list).unwrap();
    assert_eq!(parts.keys().collect::<String>(), "abce");
    // Whatever was held back can be made so by a decision.
    for conflict in &outcome.conflicts {
        doc.apply_all(&conflict.resolve(&doc, &Choice::Side(Side::Mine)).unwrap()).unwrap();
    }
    assert_eq!(doc.get(&path("/x")), Some(&Value::parse("5").unwrap()));
    assert!(doc.get(&path("/parts/d/x")).is_some());
}

#[test]
fn a_base_must_be_known() {
    let mut desk = Desk::new(ResourceKind::Object, Doc::parse(DOOR).unwrap());
    let refused = |desk: &Desk, base| desk.decide("ann", base, &[set("/x", "1")]).unwrap_err();
    assert_eq!(refused(&desk, 8), Refusal::BaseAhead { base: 8, current: 7 });
    for n in 0..300 {
        desk.write("bob", &[set("/name", &n.to_string())]);
    }
    assert_eq!(refused(&desk, 50), Refusal::BaseTooOld { base: 50, oldest: 51 });
    assert!(desk.decide("ann", 51, &[set("/x", "1")]).is_ok());
    assert!(matches!(desk.decide("ann", 51, &[set("/no/where", "1")]), Err(Refusal::Bad(_))));
}

#[test]
fn documents_come_and_go_by_their_root() {
    let mut desk = Desk::new(ResourceKind::Object, Doc::absent());
    let create = |name: &str| set("", &format!(r#"{{"id":"door","name":"{name}"}}"#));
    let outcome = desk.decide("bob", 7, &[create("B")]).unwrap();
    desk.write("bob", &outcome.changes);
    let outcome = desk.decide("ann", 7, &[create("A")]).unwrap();
    assert_eq!(only(&outcome).kind, ConflictKind::ConcurrentEdit);
    assert_eq!(only(&outcome).kept, Side::Theirs);
    // A whole document is compared member by member with its base.
    let wanted = Doc::parse(r#"{"id":"door","name":"B","x":1}"#).unwrap();
    assert_eq!(diff(&desk.doc, &wanted), [set("/x", "1")]);
}

#[test]
fn what_is_logged_is_read_back() {
    let (outcome, desk) = met(
        ResourceKind::Object,
        &[set("/name", "1"), shift("a", Place::End), remove("b")],
        &[set("/name", "2"), set("/x", "[1.5,null]"), set("/parts/b/n", "2"), insert("d", Place::Front)],
    );
    assert_eq!(outcome.conflicts.len(), 2);
    let bytes = postcard::to_allocvec(&(&outcome.changes, &outcome.conflicts, &outcome.no_op, &desk.doc)).unwrap();
    let (changes, conflicts, no_op, doc) = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(Outcome { changes, conflicts, no_op }, outcome);
    let doc: Doc = doc;
    assert_eq!(doc, desk.doc);
    let bytes = postcard::to_allocvec(&*desk).unwrap();
    let back: Resource = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(back, *desk);
    assert!(postcard::from_bytes::<Path>(&postcard::to_allocvec("no pointer").unwrap()).is_err());
}
