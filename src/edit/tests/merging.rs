//! The full merge: what must hold of three documents, whatever they are.

use std::collections::BTreeSet;

use super::any::{self, Rng};
use super::for_seeds;
use crate::edit::change::{Doc, element};
use crate::edit::conflict::{PathConflict, Side};
use crate::edit::merge::{Merged, merge};
use crate::edit::path::Path;
use crate::edit::rules::{ResourceKind, Rules, Unit};
use crate::edit::value::Value;

pub fn kind(seed: u64) -> ResourceKind {
    if seed.is_multiple_of(5) { ResourceKind::Floor } else { ResourceKind::Object }
}

struct Triple {
    base: Doc,
    ours: Doc,
    theirs: Doc,
}

fn triple(seed: u64) -> Triple {
    let mut rng = Rng::new(seed);
    let base = any::doc(&mut rng);
    let (_, ours) = any::changes(&mut rng, &base, 5);
    let (_, theirs) = any::changes(&mut rng, &base, 5);
    Triple { base, ours, theirs }
}

fn merged(seed: u64, base: &Doc, ours: &Doc, theirs: &Doc) -> Merged {
    merge(&Rules::default(), kind(seed), base, ours, theirs)
}

/// Fails unless everything that differs between `base` and `ours` is in `merged` or in a conflict.
pub fn nothing_is_lost(base: &Doc, ours: &Doc, merged: &Doc, conflicts: &[PathConflict]) {
    for conflict in conflicts {
        let mine = match &conflict.unit {
            Unit::Node(path) => ours.get(path).cloned(),
            Unit::Fields { path, fields } => {
                let mut some = Value::empty_map();
                for field in fields {
                    if let Some(value) = ours.get(&element(path, field)) {
                        some.keyed_mut().unwrap().put(field, value.clone());
                    }
                }
                Some(some).filter(|some| !some.keyed().unwrap().is_empty())
            }
            Unit::Order(_) => continue,
        };
        assert_eq!(conflict.mine, mine, "{conflict:?}");
    }
    walk(&Path::root(), [base.value(), ours.value(), merged.value()], conflicts);
}

fn walk(at: &Path, [base, ours, merged]: [Option<&Value>; 3], conflicts: &[PathConflict]) {
    if base == ours || ours == merged || conflicts.iter().any(|conflict| conflict.unit.covers(at)) {
        return;
    }
    let (Some(b), Some(o), Some(m)) = (base, ours, merged) else {
        // Something of ours is gone, or what we deleted is there, and nobody is told.
        panic!("lost at '{at}': {base:?} {ours:?} {merged:?}");
    };
    let (Some(b_in), Some(o_in), Some(m_in)) = (b.keyed(), o.keyed(), m.keyed()) else {
        panic!("lost at '{at}': {base:?} {ours:?} {merged:?}");
    };
    for key in b_in.keys().chain(o_in.keys()) {
        walk(&element(at, key), [b_in.get(key), o_in.get(key), m_in.get(key)], conflicts);
    }
}

#[test]
fn who_changed_nothing_gives_way() {
    for_seeds(|seed| {
        let Triple { base, ours, .. } = triple(seed);
        let unchanged = |doc: &Doc| Merged { doc: doc.clone(), conflicts: Vec::new() };
        assert_eq!(merged(seed, &base, &base, &ours), unchanged(&ours));
        assert_eq!(merged(seed, &base, &ours, &base), unchanged(&ours));
        assert_eq!(merged(seed, &base, &ours, &ours), unchanged(&ours));
    });
}

#[test]
fn both_sides_meet_the_same_conflicts_and_the_same_document_without_any() {
    let clean = std::sync::atomic::AtomicU64::new(0);
    for_seeds(|seed| {
        let Triple { base, ours, theirs } = triple(seed);
        let one = merged(seed, &base, &ours, &theirs);
        let other = merged(seed, &base, &theirs, &ours);
        let units = |merged: &Merged| -> BTreeSet<_> {
            let conflicts = merged.conflicts.iter();
            conflicts.map(|conflict| (conflict.unit.clone(), conflict.kind, conflict.severity)).collect()
        };
        assert_eq!(units(&one), units(&other), "{base:?}\n{ours:?}\n{theirs:?}");
        assert_eq!(one.conflicts.len(), units(&one).len(), "a unit is contested once");
        if one.conflicts.is_empty() {
            clean.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(one.doc, other.doc, "{base:?}\n{ours:?}\n{theirs:?}");
        }
    });
    let clean = clean.into_inner();
    println!("{clean} clean");
    assert!((super::RUNS / 10..super::RUNS * 9 / 10).contains(&clean), "the documents must meet often but not always");
}

#[test]
fn nothing_of_either_side_is_lost() {
    for_seeds(|seed| {
        let Triple { base, ours, theirs } = triple(seed);
        let one = merged(seed, &base, &ours, &theirs);
        nothing_is_lost(&base, &ours, &one.doc, &one.conflicts);
        let mirrored: Vec<PathConflict> = one.conflicts.iter().cloned().map(mirror).collect();
        nothing_is_lost(&base, &theirs, &one.doc, &mirrored);
    });
}

fn mirror(conflict: PathConflict) -> PathConflict {
    let PathConflict { mine, theirs, kept, .. } = conflict;
    let kept = if kept == Side::Mine { Side::Theirs } else { Side::Mine };
    PathConflict { mine: theirs, theirs: mine, kept, ..conflict }
}

#[test]
fn merging_the_result_again_changes_nothing() {
    for_seeds(|seed| {
        let Triple { base, ours, theirs } = triple(seed);
        let once = merged(seed, &base, &ours, &theirs).doc;
        let again = merged(seed, &base, &ours, &once).doc;
        assert_eq!(once, again, "{base:?}\n{ours:?}\n{theirs:?}");
    });
}
