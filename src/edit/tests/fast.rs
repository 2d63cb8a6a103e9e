//! The fast path: the decision of an edit is the merge of whole documents.

use super::any::{self, Rng};
use super::for_seeds;
use super::merging::{kind, nothing_is_lost};
use crate::edit::change::{Change, Doc};
use crate::edit::conflict::{Author, Choice, PathConflict, Side};
use crate::edit::detect::{Edit, Outcome, Refusal};
use crate::edit::diff::diff;
use crate::edit::history::HistorySettings;
use crate::edit::merge::merge;
use crate::edit::past::Past;
use crate::edit::path::Path;
use crate::edit::resource::Resource;
use crate::edit::rules::{ResourceKind, Rules};
use crate::edit::value::Value;
use crate::id::UserId;
use crate::time::Wall;

pub fn author(name: &str) -> Author {
    Author { user: UserId::new(name).unwrap(), username: name.into(), session: None, edit_id: None }
}

/// A document that two or three people edit.
pub struct Desk(Resource);

impl std::ops::Deref for Desk {
    type Target = Resource;
    fn deref(&self) -> &Resource {
        &self.0
    }
}

impl Desk {
    pub fn new(kind: ResourceKind, doc: Doc) -> Self {
        Desk(Resource::new(kind, doc, 7, HistorySettings::default()))
    }

    pub fn write(&mut self, who: &str, changes: &[Change]) {
        let made = self.0.apply(author(who), 0, Wall(0), changes);
        made.unwrap_or_else(|bad| panic!("{bad}: {changes:?}"));
    }

    pub fn decide(&self, who: &str, base_version: u64, changes: &[Change]) -> Result<Outcome, Refusal> {
        let edit = Edit { author: &author(who), base_version, changes, frame_outdated: false };
        self.0.decide(&edit, &Rules::default())
    }
}

fn without_authors(conflicts: &[PathConflict]) -> Vec<PathConflict> {
    let mut plain: Vec<PathConflict> =
        conflicts.iter().map(|conflict| PathConflict { their_author: None, ..conflict.clone() }).collect();
    plain.sort_by(|a, b| a.unit.cmp(&b.unit));
    plain
}

#[test]
fn a_decision_is_the_merge_of_whole_documents() {
    for_seeds(|seed| {
        let mut rng = Rng::new(seed);
        let base = any::doc(&mut rng);
        let mut desk = Desk::new(kind(seed), base.clone());
        // What happened before the base must not matter.
        for _ in 0..rng.below(3) {
            let (changes, _) = any::changes(&mut rng, &desk.doc, 3);
            desk.write("bob", &changes);
        }
        let (base, version) = (desk.doc.clone(), desk.history.current());
        for n in 0..rng.below(4) {
            let (changes, _) = any::changes(&mut rng, &desk.doc, 3);
            desk.write(["bob", "cid"][n % 2], &changes);
        }
        let (mut changes, ours) = any::changes(&mut rng, &base, 5);
        if seed.is_multiple_of(3) {
            changes = diff(&base, &ours);
        }
        let theirs = desk.doc.clone();
        let full = merge(&Rules::default(), desk.kind, &base, &ours, &theirs);
        let fast = desk.decide("ann", version, &changes).unwrap_or_else(|refusal| panic!("{refusal}"));
        let told = || format!("base {base:?}\nchanges {changes:?}\ntheirs {theirs:?}\noutcome {fast:?}");
        assert_eq!(without_authors(&fast.conflicts), without_authors(&full.conflicts), "{}", told());
        desk.write("ann", &fast.changes);
        assert_eq!(desk.doc, full.doc, "{}", told());
        assert!(fast.conflicts.iter().all(|conflict| conflict.their_author.is_some()), "{}", told());
        nothing_is_lost(&base, &ours, &desk.doc, &fast.conflicts);
    });
}

#[test]
fn the_past_is_as_it_was() {
    for_seeds(|seed| {
        let mut rng = Rng::new(seed);
        let base = any::doc(&mut rng);
        let mut desk = Desk::new(ResourceKind::Object, base.clone());
        for _ in 0..=rng.below(4) {
            let (changes, _) = any::changes(&mut rng, &desk.doc, 4);
            desk.write("bob", &changes);
        }
        let me = author("ann").user;
        let past = Past { doc: &desk.doc, history: &desk.history, base: 7, me: &me };
        same_within(&past, &Path::root(), base.value());
    });
}

fn same_within(past: &Past<'_>, at: &Path, value: Option<&Value>) {
    assert_eq!(past.value(at.as_str()).as_ref(), value, "{at}");
    let kind = |value: Option<&Value>| value.map(std::mem::discriminant);
    assert_eq!(kind(past.look(at.as_str())), kind(value), "{at}");
    for (key, member) in value.and_then(Value::keyed).into_iter().flat_map(|members| members.iter()) {
        same_within(past, &at.child(key).unwrap(), Some(member));
    }
}

#[test]
fn who_is_alone_never_contradicts_himself() {
    for_seeds(|seed| {
        let mut rng = Rng::new(seed);
        let base = any::doc(&mut rng);
        let mut desk = Desk::new(kind(seed), base.clone());
        // Three edits that were all made on what their author had before him, but sent with the first base.
        let mut seen = base;
        for _ in 0..3 {
            let (changes, after) = any::changes(&mut rng, &seen, 3);
            let outcome = desk.decide("ann", 7, &changes).unwrap();
            assert!(outcome.conflicts.is_empty(), "{outcome:?}");
            desk.write("ann", &outcome.changes);
            assert_eq!(desk.doc, after);
            seen = after;
        }
    });
}

#[test]
fn every_decision_about_a_conflict_can_be_made_so() {
    for_seeds(|seed| {
        let mut rng = Rng::new(seed);
        let base = any::doc(&mut rng);
        let mut desk = Desk::new(kind(seed), base.clone());
        let (changes, _) = any::changes(&mut rng, &base, 3);
        desk.write("bob", &changes);
        let (changes, _) = any::changes(&mut rng, &base, 3);
        let outcome = desk.decide("ann", 7, &changes).unwrap();
        desk.write("ann", &outcome.changes);
        for conflict in &outcome.conflicts {
            for side in [Side::Mine, Side::Theirs, conflict.kept] {
                let changes = conflict.resolve(&desk.doc, &Choice::Side(side)).unwrap();
                desk.write("ann", &changes);
                let again = conflict.resolve(&desk.doc, &Choice::Side(side)).unwrap();
                assert!(again.is_empty(), "{conflict:?} {side:?}: {again:?}");
            }
        }
    });
}
