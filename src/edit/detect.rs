//! Whom does an edit contradict, and what becomes of it?
//!
//! The fast path. Where nobody else has been since the edit's base, the edit is simply right: that is found out by
//! looking at the paths that it names, at what lies above and within them, and at their siblings that may belong to one
//! unit. Where somebody has been, and only there, the three-way merge of [`super::merge`] runs over what the author had
//! before him, what he made of it and what is there now. So an edit costs what it names and what others did at the same
//! places, never the document or its history, and the answer is that of a merge of whole documents.
//!
//! **Conflicts are between users.** What somebody wrote himself since his base, in whatever tab, belongs to what he
//! starts from: his later value wins.
//!
//! **Nothing submitted is lost.** Every unit that the edit changes is made so by [`Outcome::changes`], or is so already,
//! or is in exactly one conflict.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::change::{BadChange, Change, Place, element};
use super::conflict::{Author, PathConflict, Side};
use super::diff::{diff_at, place_in_order};
use super::draft::Draft;
use super::keyed::Keyed;
use super::merge::Merger;
use super::past::{Numbers, Past};
use super::path::{self, Path};
use super::resource::Resource;
use super::rules::{ConflictKind, Rules, Severity, Unit};
use super::value::Value;

/// The most changes in one edit.
pub const EDIT_CHANGES_MAX: usize = 10_000;

/// What somebody wants.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// Who.
    pub author: &'a Author,
    /// The version that he had before him.
    pub base_version: u64,
    /// What he wants to be different.
    pub changes: &'a [Change],
    /// His coordinates are those of a grid that is no longer valid.
    pub frame_outdated: bool,
}

/// What becomes of an edit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What is to be changed in the document now, in this order.
    pub changes: Vec<Change>,
    /// What is contested. A conflict that keeps mine is settled by `changes` already.
    pub conflicts: Vec<PathConflict>,
    /// What is so already.
    pub no_op: Vec<Unit>,
}

/// Why an edit is not decided at all.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// There is no such version yet.
    BaseAhead {
        /// The base of the edit.
        base: u64,
        /// The version of the document.
        current: u64,
    },
    /// What has happened since is not known any more: the document must be loaded again.
    BaseTooOld {
        /// The base of the edit.
        base: u64,
        /// The oldest base that would do.
        oldest: u64,
    },
    /// The edit has this many changes, more than [`EDIT_CHANGES_MAX`].
    TooManyChanges(usize),
    /// A change could not have been made in what its author had before him.
    Bad(BadChange),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::BaseAhead { base, current } => {
                write!(f, "the base version {base} is ahead of the current version {current}")
            }
            Refusal::BaseTooOld { base, oldest } => {
                write!(f, "the base version {base} is too old, changes are known from version {oldest} on")
            }
            Refusal::TooManyChanges(n) => write!(f, "an edit has at most {EDIT_CHANGES_MAX} changes, this one has {n}"),
            Refusal::Bad(bad) => write!(f, "{bad}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<BadChange> for Refusal {
    fn from(bad: BadChange) -> Self {
        Refusal::Bad(bad)
    }
}

/// Decides an edit of a document; nothing is changed yet.
pub fn decide(resource: &Resource, edit: &Edit<'_>, rules: &Rules) -> Result<Outcome, Refusal> {
    let (base, current) = (edit.base_version, resource.history.current());
    if base > current {
        return Err(Refusal::BaseAhead { base, current });
    }
    let oldest = resource.history.oldest_base();
    if base < oldest {
        return Err(Refusal::BaseTooOld { base, oldest });
    }
    if edit.changes.len() > EDIT_CHANGES_MAX {
        return Err(Refusal::TooManyChanges(edit.changes.len()));
    }
    let past = Past { doc: &resource.doc, history: &resource.history, base, me: &edit.author.user };
    let mut draft = Draft::new(&past, edit.changes)?;
    let mut decision = Decision {
        past: &past,
        rules,
        merger: Merger::new(rules, resource.kind, &Path::root()),
        changes: Vec::new(),
        lists: BTreeMap::new(),
    };
    if edit.frame_outdated {
        draft = decision.without_coordinates(draft)?;
    }
    decision.decide(&draft);
    let Merger { mut conflicts, same, .. } = decision.merger;
    for conflict in &mut conflicts {
        conflict.their_author = past.last_other(&conflict.unit).cloned();
    }
    Ok(Outcome { changes: decision.changes, conflicts, no_op: same })
}

/// A decision that is being made.
struct Decision<'p, 'a> {
    past: &'p Past<'a>,
    rules: &'p Rules,
    merger: Merger<'p>,
    changes: Vec<Change>,
    /// Elements that shall come, go or be there, by list.
    lists: BTreeMap<Path, BTreeMap<Arc<str>, Option<Value>>>,
}

impl Decision<'_, '_> {
    fn decide(&mut self, draft: &Draft) {
        let present = self.past.is_present();
        let mut anchors: Vec<Unit> = Vec::new();
        if !present {
            anchors.extend(draft.nodes.keys().filter_map(|path| self.anchor(draft, path, false)));
            anchors.extend(draft.placed.keys().filter_map(|list| self.anchor(draft, list, true)));
            anchors.sort_unstable();
            anchors.dedup();
            let all = anchors.clone();
            anchors.retain(|anchor| !all.iter().any(|other| other != anchor && other.covers(anchor.path())));
        }
        for anchor in &anchors {
            self.merge_at(draft, anchor);
        }
        for (path, value) in &draft.nodes {
            if !anchors.iter().any(|anchor| anchor.covers(path)) {
                self.make(path, value.as_ref());
            }
        }
        let placed = draft.placed.keys().filter(|list| !anchors.iter().any(|anchor| anchor.covers(list)));
        placed.for_each(|list| {
            self.lists.entry(list.clone()).or_default();
        });
        for (list, elements) in std::mem::take(&mut self.lists) {
            self.order(draft, &list, elements);
        }
    }

    /// The place where an edit of `path` must be merged with what others did; none, if nobody has been there. Where the
    /// edit only places elements in a list, nobody is in its way who was at the elements.
    fn anchor(&self, draft: &Draft, path: &Path, is_order: bool) -> Option<Unit> {
        let past = self.past;
        let mut names = path.segments();
        for at in path.ancestors() {
            if past.touched(at) {
                return Some(Unit::Node(Path::known(at)));
            }
            let name = names.next()?;
            let Some(family) =
                self.rules.family(&name).filter(|_| past.doc.at(at).is_some_and(|v| v.as_map().is_some()))
            else {
                continue;
            };
            let siblings = || family.fields.iter().filter(|field| ***field != *name);
            let other_touched = siblings().any(|field| past.touched_within(&path::join(at, field)));
            let drafted = || family.is_grouped(&name) || siblings().any(|field| draft.touches(&path::join(at, field)));
            if other_touched || (past.touched_within(&path::join(at, &name)) && drafted()) {
                return Some(Unit::Fields { path: Path::known(at), fields: family.fields.iter().cloned().collect() });
            }
        }
        let touched = if is_order { past.touched(path.as_str()) } else { past.touched_within(path.as_str()) };
        touched.then(|| Unit::Node(path.clone()))
    }

    /// Merges the edit with what others did at one place.
    fn merge_at(&mut self, draft: &Draft, anchor: &Unit) {
        self.merger.go_to(anchor.path());
        match anchor {
            Unit::Node(path) => {
                let base = self.past.value(path.as_str());
                let mut ours = base.clone();
                draft.apply(path.as_str(), &mut ours);
                let merged = self.merger.value(base.as_ref(), ours.as_ref(), self.past.doc.get(path));
                self.turn_into(path, merged.as_ref());
            }
            Unit::Fields { path, fields } => {
                let mut sides = [Keyed::default(), Keyed::default(), Keyed::default()];
                for field in fields {
                    let at = element(path, field);
                    let base = self.past.value(at.as_str());
                    let mut ours = base.clone();
                    draft.apply(at.as_str(), &mut ours);
                    for (side, value) in sides.iter_mut().zip([base, ours, self.past.doc.get(&at).cloned()]) {
                        value.and_then(|value| side.put(field, value));
                    }
                }
                let [base, ours, theirs] = &sides;
                let merged = self.merger.members(base, ours, theirs);
                for field in fields {
                    let at = element(path, field);
                    diff_at(&at, self.past.doc.get(&at), merged.get(field), &mut self.changes);
                }
            }
            Unit::Order(_) => {}
        }
    }

    /// Has a value where nobody else has been, or notes that it is there already.
    fn make(&mut self, path: &Path, value: Option<&Value>) {
        if self.past.doc.get(path) == value {
            self.merger.same.push(Unit::Node(path.clone()));
        } else {
            self.turn_into(path, value);
        }
    }

    /// Has a value at a path. An element that comes or goes waits until the order of its list is decided.
    fn turn_into(&mut self, path: &Path, value: Option<&Value>) {
        let now = self.past.doc.get(path);
        let list =
            path.split().filter(|(list, _)| self.past.doc.at(list).is_some_and(|value| value.as_list().is_some()));
        match list {
            Some((list, id)) if now.is_none() || value.is_none() => {
                self.lists.entry(Path::known(list)).or_default().insert(Arc::from(&*id), value.cloned());
            }
            _ => diff_at(path, now, value, &mut self.changes),
        }
    }

    /// Has the elements of a list come, go and stand where they shall.
    fn order(&mut self, draft: &Draft, list: &Path, mut elements: BTreeMap<Arc<str>, Option<Value>>) {
        let Some(theirs) = self.past.doc.get(list).and_then(Value::as_list) else { return };
        let placed = draft.placed.get(list).map_or(&[][..], Vec::as_slice);
        let comes = |value: &Option<Value>| value.is_some();
        let goes = elements.iter().filter(|(_, value)| value.is_none()).map(|(id, _)| id.clone());
        let goes: Vec<Arc<str>> = goes.filter(|id| theirs.get(id).is_some()).collect();
        self.changes.extend(goes.iter().map(|id| Change::Remove { path: list.clone(), id: id.clone() }));
        if placed.is_empty() && !elements.values().any(comes) {
            return;
        }
        let taken_out = draft.taken_out(list);
        let stays = taken_out.iter().any(|id| theirs.get(id).is_some() && !goes.contains(id));
        let is_passing = |id: &Arc<str>| taken_out.contains(id);
        let passing = placed
            .iter()
            .any(|(id, place)| is_passing(id) || matches!(place, Place::After(neighbour) if is_passing(neighbour)));
        if !self.past.order_touched(list) && !stays && !passing {
            for (id, place) in placed {
                let (path, id, place) = (list.clone(), id.clone(), place.clone());
                self.changes.push(match elements.remove(&id).flatten() {
                    Some(value) => Change::Insert { path, value, place },
                    None => Change::Move { path, id, place },
                });
            }
            return;
        }
        if taken_out.is_empty()
            && let Some(insertions) = self.insertions(list, theirs, placed, &elements)
        {
            self.changes.extend(insertions);
            return;
        }
        let mut numbers = Numbers::new(theirs);
        let base = self.past.order(list, &mut numbers);
        let mut ours = base.clone();
        draft.reorder(list, &mut ours, &mut numbers);
        let coming: Vec<u32> = elements.iter().filter(|(_, v)| comes(v)).map(|(id, _)| numbers.of(id)).collect();
        let mut kept = vec![false; numbers.end() as usize];
        theirs.handles().iter().chain(&coming).for_each(|n| kept[*n as usize] = true);
        goes.iter().filter_map(|id| theirs.handle(id)).for_each(|n| kept[n as usize] = false);
        let from: Vec<u32> = theirs.handles().iter().copied().filter(|n| kept[*n as usize]).collect();
        self.merger.go_to(list);
        let sides = [&base[..], &ours, theirs.handles()];
        let id = |n| numbers.id(n);
        let to = self.merger.order(sides, numbers.end(), &|n| kept[n as usize], &id);
        let value = |n| elements.get(numbers.id(n)).cloned().flatten();
        place_in_order(list, &from, &to, &id, &value, &mut self.changes);
    }

    /// The edit's insertions into a list that others have changed, if it does nothing else to its order. Each run of new
    /// elements goes behind the element that it follows, beside what others have put there: what the merge of the orders
    /// would do, without looking at the rest of the list.
    fn insertions(
        &self,
        list: &Path,
        theirs: &Keyed,
        placed: &[(Arc<str>, Place)],
        elements: &BTreeMap<Arc<str>, Option<Value>>,
    ) -> Option<Vec<Change>> {
        let was_there = |id: &str| self.past.look(&path::join(list.as_str(), id)).is_some();
        let mut runs: BTreeMap<Option<Arc<str>>, Vec<Arc<str>>> = BTreeMap::new();
        let mut run_of: BTreeMap<Arc<str>, Option<Arc<str>>> = BTreeMap::new();
        for (id, place) in placed {
            if theirs.get(id).is_some() || run_of.contains_key(id) || was_there(id) {
                return None;
            }
            let (anchor, neighbour) = match place {
                Place::Front => (None, None),
                Place::After(neighbour) => match run_of.get(neighbour) {
                    Some(anchor) => (anchor.clone(), Some(neighbour)),
                    None if theirs.get(neighbour).is_some() && was_there(neighbour) => (Some(neighbour.clone()), None),
                    None => return None,
                },
                Place::End if self.past.order_only_grew(list) => {
                    let last = theirs.keys().rev().find(|id| was_there(id)).map(Arc::<str>::from);
                    runs.entry(last.clone()).or_default().push(id.clone());
                    run_of.insert(id.clone(), last);
                    continue;
                }
                Place::End => return None,
            };
            let run = runs.entry(anchor.clone()).or_default();
            let at = neighbour.and_then(|neighbour| run.iter().position(|other| other == neighbour));
            run.insert(at.map_or(0, |at| at + 1), id.clone());
            run_of.insert(id.clone(), anchor);
        }
        if elements.keys().any(|id| !run_of.contains_key(id)) {
            return None;
        }
        let mut insertions = Vec::with_capacity(placed.len());
        for (anchor, run) in runs {
            let mut strangers = theirs.keys_behind(anchor.as_deref()).take_while(|id| !was_there(id)).peekable();
            let ours_first = strangers.peek().is_none_or(|stranger| run.first().is_some_and(|id| **id < **stranger));
            let behind = if ours_first { anchor.clone() } else { strangers.last().map(Arc::from) };
            let mut place = behind.map_or(Place::Front, Place::After);
            for id in run {
                let value = elements.get(&id).cloned().flatten()?;
                insertions.push(Change::Insert { path: list.clone(), value, place });
                place = Place::After(id);
            }
        }
        Some(insertions)
    }

    /// Takes out of a draft whatever says where something is: the coordinates are those of another frame.
    fn without_coordinates(&mut self, draft: Draft) -> Result<Draft, BadChange> {
        let mut finest = Vec::new();
        for (path, value) in &draft.nodes {
            diff_at(path, self.past.value(path.as_str()).as_ref(), value.as_ref(), &mut finest);
        }
        for (path, placed) in &draft.placed {
            for (id, place) in placed {
                let (path, id, place) = (path.clone(), id.clone(), place.clone());
                if draft.nodes.get(&element(&path, &id)).is_none_or(|value| value.is_some()) {
                    finest.push(Change::Move { path, id, place });
                }
            }
        }
        let mut clean = Vec::new();
        let mut units: Vec<Unit> = Vec::new();
        let mut held: Vec<(Path, Arc<str>)> = Vec::new();
        for mut change in finest {
            if let Change::Insert { path, place, .. } | Change::Move { path, place, .. } = &mut change
                && matches!(place, Place::After(anchor) if held.contains(&(path.clone(), anchor.clone())))
            {
                *place = Place::End;
            }
            let unit = match &change {
                Change::Set { path, value } => self.frame_unit(path, Some(value)),
                Change::Unset { path } => self.frame_unit(path, None),
                Change::Insert { path, value, .. } => {
                    value.element_key().and_then(|id| self.frame_unit(&element(path, &id), Some(value)))
                }
                Change::Move { path, id, .. } if held.contains(&(path.clone(), id.clone())) => continue,
                Change::Remove { .. } | Change::Move { .. } => None,
            };
            match unit {
                Some(unit) => {
                    if let (Unit::Node(_), Some((list, id))) = (&unit, unit.path().split()) {
                        held.push((Path::known(list), Arc::from(&*id)));
                    }
                    if !units.contains(&unit) {
                        units.push(unit);
                    }
                }
                None => clean.push(change),
            }
        }
        for unit in units {
            let sides = self.sides_of(&draft, &unit);
            let [base, mine, theirs] = sides;
            self.merger.conflicts.push(PathConflict {
                unit,
                kind: ConflictKind::OutdatedFrame,
                severity: Severity::Critical,
                base,
                mine,
                theirs,
                kept: Side::Theirs,
                their_author: None,
            });
        }
        Draft::new(self.past, &clean)
    }

    /// The unit of what says where something is, if a change at `path` concerns that.
    fn frame_unit(&self, path: &Path, value: Option<&Value>) -> Option<Unit> {
        let geometry = self.rules.geometry();
        let is_geometry = |name: &str| geometry.iter().any(|field| **field == *name);
        for (at, name) in path.ancestors().zip(path.segments()) {
            let in_list = self.past.look(at).is_some_and(|value| value.as_list().is_some());
            if is_geometry(&name) && !in_list {
                return Some(Unit::Fields { path: Path::known(at), fields: geometry.iter().cloned().collect() });
            }
        }
        value.is_some_and(|value| has_member(value, &is_geometry)).then(|| Unit::Node(path.clone()))
    }

    fn sides_of(&self, draft: &Draft, unit: &Unit) -> [Option<Value>; 3] {
        let at = |path: &Path| {
            let base = self.past.value(path.as_str());
            let mut ours = base.clone();
            draft.apply(path.as_str(), &mut ours);
            [base, ours, self.past.doc.get(path).cloned()]
        };
        match unit {
            Unit::Node(path) | Unit::Order(path) => at(path),
            Unit::Fields { path, fields } => {
                let mut sides = [Keyed::default(), Keyed::default(), Keyed::default()];
                for field in fields {
                    for (side, value) in sides.iter_mut().zip(at(&element(path, field))) {
                        value.and_then(|value| side.put(field, value));
                    }
                }
                sides.map(|side| (!side.is_empty()).then(|| Value::Map(Box::new(side))))
            }
        }
    }
}

fn has_member(value: &Value, named: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::Map(members) => members.iter().any(|(key, member)| named(key) || has_member(member, named)),
        Value::List(elements) => elements.iter().any(|(_, element)| has_member(element, named)),
        _ => false,
    }
}
