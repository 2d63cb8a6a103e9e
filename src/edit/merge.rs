//! What do two versions that come from the same base say together?
//!
//! The full three-way merge over whole documents. An edit is decided by the same algorithm, but only where somebody else
//! has been (see [`super::detect`]); tests show that both give the same answer.
//!
//! Unit by unit: who did not change it gives way to who did, the same change by both is one change, and two different
//! changes are a conflict. Objects are merged by member and lists by element only where all three versions have one;
//! otherwise what is there is one value. A modified thing beats its deletion. `ours` is the later one.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use smallvec::SmallVec;

use super::change::Doc;
use super::conflict::{PathConflict, Side, order_value};
use super::keyed::Keyed;
use super::order::{OnConflict, merge_order};
use super::path::{self, Path};
use super::rules::{ConflictKind, ResourceKind, Rules, Severity, Together, Unit};
use super::value::Value;

/// What a merge gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The document.
    pub doc: Doc,
    /// What is contested in it.
    pub conflicts: Vec<PathConflict>,
}

/// Merges two versions of a document.
pub fn merge(rules: &Rules, kind: ResourceKind, base: &Doc, ours: &Doc, theirs: &Doc) -> Merged {
    let mut merger = Merger::new(rules, kind, &Path::root());
    let value = merger.value(base.value(), ours.value(), theirs.value());
    Merged { doc: Doc::new(value).expect("each side is an object or nothing"), conflicts: merger.conflicts }
}

/// A merge that is under way.
pub(crate) struct Merger<'r> {
    rules: &'r Rules,
    kind: ResourceKind,
    /// The place that is being merged.
    at: String,
    pub(crate) conflicts: Vec<PathConflict>,
    /// Where both sides have made the same change.
    pub(crate) same: Vec<Unit>,
}

impl<'r> Merger<'r> {
    pub(crate) fn new(rules: &'r Rules, kind: ResourceKind, at: &Path) -> Self {
        Merger { rules, kind, at: at.as_str().to_owned(), conflicts: Vec::new(), same: Vec::new() }
    }

    /// Goes to another place.
    pub(crate) fn go_to(&mut self, at: &Path) {
        self.at.clear();
        self.at.push_str(at.as_str());
    }

    fn here(&self) -> Path {
        Path::known(&self.at)
    }

    fn within<T>(&mut self, key: &str, merge: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.at.len();
        self.at = path::join(&self.at, key);
        let result = merge(self);
        self.at.truncate(before);
        result
    }

    /// Merges what is here.
    pub(crate) fn value(
        &mut self,
        base: Option<&Value>,
        ours: Option<&Value>,
        theirs: Option<&Value>,
    ) -> Option<Value> {
        if let Some(value) = self.agreed([base, ours, theirs]) {
            return value.cloned();
        }
        match (base, ours, theirs) {
            (Some(Value::Map(base)), Some(Value::Map(ours)), Some(Value::Map(theirs))) => {
                Some(Value::Map(Box::new(self.members(base, ours, theirs))))
            }
            (Some(Value::List(base)), Some(Value::List(ours)), Some(Value::List(theirs))) => {
                Some(Value::List(Box::new(self.elements(base, ours, theirs))))
            }
            _ => match self.contest(Unit::Node(self.here()), None, [base, ours, theirs].map(|value| value.cloned())) {
                Side::Mine => ours.cloned(),
                Side::Theirs => theirs.cloned(),
            },
        }
    }

    /// The value that the sides agree on, if they do.
    fn agreed<'a>(&mut self, [base, ours, theirs]: [Option<&'a Value>; 3]) -> Option<Option<&'a Value>> {
        if ours == theirs {
            if base != ours {
                self.same.push(Unit::Node(self.here()));
            }
            return Some(theirs);
        }
        if base == ours {
            return Some(theirs);
        }
        (base == theirs).then_some(ours)
    }

    /// Merges the members of an object, or some of them.
    pub(crate) fn members(&mut self, base: &Keyed, ours: &Keyed, theirs: &Keyed) -> Keyed {
        let sides = [base, ours, theirs];
        let mut decided: Vec<(&str, Option<Value>)> = Vec::new();
        let rules = self.rules;
        for family in rules.families() {
            let is_there = |field: &&Arc<str>| sides.iter().any(|side| side.get(field).is_some());
            if family.fields.iter().filter(is_there).count() == 0 {
                continue;
            }
            let changed = |field: &str| base.get(field) != ours.get(field) || base.get(field) != theirs.get(field);
            for mut together in family.units(&changed) {
                together.fields.retain(|field| is_there(field));
                if together.grouped && !together.fields.is_empty() {
                    self.fields(sides, &together, &mut decided);
                }
            }
        }
        let mut merged = Keyed::default();
        let new = ours.keys().filter(|key| theirs.get(key).is_none());
        for key in theirs.keys().chain(new) {
            let value = match decided.iter_mut().find(|(field, _)| *field == key) {
                Some((_, value)) => value.take(),
                None => self.within(key, |merger| merger.value(base.get(key), ours.get(key), theirs.get(key))),
            };
            if let Some(value) = value {
                merged.put(key, value);
            }
        }
        merged
    }

    /// Merges fields that are one value.
    fn fields<'f>(&mut self, sides: [&Keyed; 3], together: &Together<'f>, decided: &mut Vec<(&'f str, Option<Value>)>) {
        let fields = &together.fields;
        let equal = |a: &Keyed, b: &Keyed| fields.iter().all(|field| a.get(field) == b.get(field));
        let [base, ours, theirs] = sides;
        let unit = || Unit::Fields { path: self.here(), fields: fields.iter().map(|field| (*field).clone()).collect() };
        let side = if equal(ours, theirs) {
            if !equal(base, ours) {
                let unit = unit();
                self.same.push(unit);
            }
            theirs
        } else if equal(base, ours) {
            theirs
        } else if equal(base, theirs) {
            ours
        } else {
            let unit = unit();
            match self.contest(unit, together.kind, sides.map(|side| some_fields(side, fields))) {
                Side::Mine => ours,
                Side::Theirs => theirs,
            }
        };
        decided.extend(fields.iter().map(|field| (&***field, side.get(field).cloned())));
    }

    /// Merges the elements of a list.
    fn elements(&mut self, base: &Keyed, ours: &Keyed, theirs: &Keyed) -> Keyed {
        let mut ids: Vec<&str> = Vec::new();
        let mut numbers: HashMap<&str, u32, FixedState> = HashMap::default();
        let [b, o, t] = [base, ours, theirs].map(|side| -> Vec<u32> {
            let number = |id| {
                *numbers.entry(id).or_insert_with(|| {
                    ids.push(id);
                    ids.len() as u32 - 1
                })
            };
            side.keys().map(number).collect()
        });
        let mut merged: Vec<Option<Value>> = Vec::with_capacity(ids.len());
        for id in &ids {
            merged.push(self.within(id, |merger| merger.value(base.get(id), ours.get(id), theirs.get(id))));
        }
        let kept = |n: u32| merged[n as usize].is_some();
        let order = self.order([&b, &o, &t], ids.len() as u32, &kept, &|n| ids[n as usize]);
        let mut elements = Keyed::default();
        for n in order {
            if let Some(value) = merged[n as usize].take() {
                elements.put(ids[n as usize], value);
            }
        }
        elements
    }

    /// Merges the order of the list that is here.
    pub(crate) fn order<'a>(
        &mut self,
        sides: [&[u32]; 3],
        end: u32,
        kept: &dyn Fn(u32) -> bool,
        id: &dyn Fn(u32) -> &'a str,
    ) -> Vec<u32> {
        let unit = Unit::Order(self.here());
        let on_conflict = match keep(self.rules.judge(self.kind, &unit, None, false).1) {
            Side::Mine => OnConflict::ReplayOurs,
            Side::Theirs => OnConflict::KeepTheirs,
        };
        let merged = merge_order(sides, end, kept, id, on_conflict);
        if merged.conflict {
            self.contest(unit, None, sides.map(|side| Some(order_value(side.iter().map(|n| id(*n))))));
        }
        merged.order
    }

    /// Notes a conflict, and says whose value stays for now.
    pub(crate) fn contest(&mut self, unit: Unit, dragged: Option<ConflictKind>, sides: [Option<Value>; 3]) -> Side {
        let [base, mine, theirs] = sides;
        let deletion = base.is_some() && (mine.is_none() || theirs.is_none());
        let (kind, severity) = self.rules.judge(self.kind, &unit, dragged, deletion);
        let kept = match (&mine, &theirs) {
            (None, _) => Side::Theirs,
            (_, None) => Side::Mine,
            _ => keep(severity),
        };
        self.conflicts.push(PathConflict { unit, kind, severity, base, mine, theirs, kept, their_author: None });
        kept
    }
}

/// Whose value stays until somebody has decided.
fn keep(severity: Severity) -> Side {
    match severity {
        Severity::Low => Side::Mine,
        Severity::Medium | Severity::High | Severity::Critical => Side::Theirs,
    }
}

/// Those of the fields that are there, as an object; nothing if none is.
pub(crate) fn some_fields(of: &Keyed, fields: &SmallVec<[&Arc<str>; 8]>) -> Option<Value> {
    let mut some = Keyed::default();
    for field in fields {
        if let Some(value) = of.get(field) {
            some.put(field, value.clone());
        }
    }
    (!some.is_empty()).then(|| Value::Map(Box::new(some)))
}
