//! What had an author before him when he made his edit?
//!
//! The document as of his base version, with what he has written himself since: his own edits are his base. It is never
//! built as a whole. What nobody has touched since is looked up in the document, and of the rest only what is asked for
//! is led back, write by write.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::change::{Doc, Spot, Write, put_at_spot};
use super::conflict::Author;
use super::history::{History, Mark};
use super::keyed::Keyed;
use super::path::{self, Path};
use super::rules::Unit;
use super::value::Value;
use crate::id::UserId;

/// A document as one person knows it.
pub(crate) struct Past<'a> {
    pub(crate) doc: &'a Doc,
    pub(crate) history: &'a History,
    pub(crate) base: u64,
    pub(crate) me: &'a UserId,
}

impl<'a> Past<'a> {
    /// Whether nobody else has written anything since.
    pub(crate) fn is_present(&self) -> bool {
        let mut since = self.history.versions().rev().take_while(|version| version.number > self.base);
        since.all(|version| version.author.user == *self.me)
    }

    /// The writes since at exactly this place, newest first.
    fn marks(&self, at: &str) -> impl Iterator<Item = Mark> {
        let marks = self.history.index().get(at).map_or(&[][..], |marks| marks.as_slice());
        marks.iter().rev().copied().take_while(|mark| mark.version > self.base)
    }

    fn is_mine(&self, mark: Mark) -> bool {
        self.history.version(mark.version).author.user == *self.me
    }

    /// Whether somebody else has written at exactly this place since.
    pub(crate) fn touched(&self, at: &str) -> bool {
        self.marks(at).any(|mark| !self.is_mine(mark))
    }

    /// The writes since that lie within this place.
    fn marks_below(&self, at: &str) -> impl Iterator<Item = Mark> {
        let range = path::below(at);
        let found = self.history.index().range::<str, _>(path::bounds(&range));
        found.flat_map(|(_, marks)| marks.iter().rev().copied().take_while(|mark| mark.version > self.base))
    }

    /// Whether somebody else has written here or within since.
    pub(crate) fn touched_within(&self, at: &str) -> bool {
        self.touched(at) || self.marks_below(at).any(|mark| !self.is_mine(mark))
    }

    /// Whether somebody else has changed which elements the list has or their order since.
    pub(crate) fn order_touched(&self, list: &Path) -> bool {
        self.touched(list.order().as_str())
    }

    /// Whether elements have only come into the list since, and only from others.
    pub(crate) fn order_only_grew(&self, list: &Path) -> bool {
        self.marks(list.order().as_str()).all(|mark| {
            let comes = matches!(self.history.write(mark), Write::Order { before: Spot::Absent, .. });
            comes && !self.is_mine(mark)
        })
    }

    /// The last one else who has written what belongs to a unit since.
    pub(crate) fn last_other(&self, unit: &Unit) -> Option<&'a Author> {
        let others = |marks: &mut dyn Iterator<Item = Mark>| marks.filter(|mark| !self.is_mine(*mark)).max();
        let within = |at: &str| others(&mut self.marks(at)).max(others(&mut self.marks_below(at)));
        let above = |path: &Path| path.ancestors().filter_map(|at| others(&mut self.marks(at))).max();
        let last = match unit {
            Unit::Node(path) => within(path.as_str()).max(above(path)),
            Unit::Fields { path, fields } => {
                let fields = fields.iter().filter_map(|field| within(&path::join(path.as_str(), field))).max();
                fields.max(above(path)).max(others(&mut self.marks(path.as_str())))
            }
            Unit::Order(path) => {
                let at = others(&mut self.marks(path.order().as_str())).max(others(&mut self.marks(path.as_str())));
                at.max(above(path))
            }
        };
        last.map(|mark| &self.history.version(mark.version).author)
    }

    /// The writes since at this place and above it, oldest first.
    fn marks_above(&self, at: &str) -> Vec<Mark> {
        let ancestors = at.match_indices('/').map(|(end, _)| &at[..end]);
        let mut marks: Vec<Mark> = ancestors.chain([at]).flat_map(|at| self.marks(at)).collect();
        marks.sort_unstable();
        marks
    }

    /// What was at a place, as far as its kind goes: what lies within it may be of today.
    pub(crate) fn look(&self, at: &str) -> Option<&'a Value> {
        let above = self.marks_above(at);
        let mut found = match above.first() {
            None => return self.doc.at(at),
            Some(first) => node(self.history.write(*first)).and_then(|(path, before, _)| part(before, path, at)),
        };
        for mark in above.into_iter().filter(|mark| self.is_mine(*mark)) {
            if let Some((path, _, after)) = node(self.history.write(mark)) {
                found = part(after, path, at);
            }
        }
        found
    }

    /// What was at a place.
    pub(crate) fn value(&self, at: &str) -> Option<Value> {
        let above = self.marks_above(at);
        let mut all: Vec<Mark> = self.marks_below(at).collect();
        all.sort_unstable();
        // Before the first write that replaced this place as a whole, everything is in what it replaced.
        let first = above.first().copied();
        let mut value = match first.and_then(|first| node(self.history.write(first))) {
            Some((path, before, _)) => part(before, path, at).cloned(),
            None => self.doc.at(at).cloned(),
        };
        for mark in all.iter().rev().filter(|mark| first.is_none_or(|first| **mark < first)) {
            undo(&mut value, at, self.history.write(*mark));
        }
        all.extend(above);
        all.sort_unstable();
        for mark in all.into_iter().filter(|mark| self.is_mine(*mark)) {
            redo(&mut value, at, self.history.write(mark));
        }
        value
    }

    /// The order in which the elements of a list were. Nobody has replaced the list since.
    pub(crate) fn order(&self, list: &Path, numbers: &mut Numbers<'_>) -> Vec<u32> {
        let mut order = numbers.list.handles().to_vec();
        let key = list.order();
        let marks: Vec<Mark> = self.marks(key.as_str()).collect();
        for mark in &marks {
            if let Write::Order { id, before, .. } = self.history.write(*mark) {
                put(&mut order, numbers, id, before);
            }
        }
        for mark in marks.into_iter().rev().filter(|mark| self.is_mine(*mark)) {
            if let Write::Order { id, after, .. } = self.history.write(mark) {
                put(&mut order, numbers, id, after);
            }
        }
        order
    }
}

/// Numbers for the elements that a list has and for others that it had or will have.
pub(crate) struct Numbers<'l> {
    pub(crate) list: &'l Keyed,
    others: Vec<Arc<str>>,
    by_id: HashMap<Arc<str>, u32, FixedState>,
}

impl<'l> Numbers<'l> {
    pub(crate) fn new(list: &'l Keyed) -> Self {
        Numbers { list, others: Vec::new(), by_id: HashMap::default() }
    }

    pub(crate) fn of(&mut self, id: &str) -> u32 {
        if let Some(number) = self.list.handle(id).or_else(|| self.by_id.get(id).copied()) {
            return number;
        }
        let (id, number): (Arc<str>, _) = (Arc::from(id), self.end());
        self.others.push(id.clone());
        self.by_id.insert(id, number);
        number
    }

    pub(crate) fn id(&self, number: u32) -> &str {
        match number.checked_sub(self.list.handles_end()) {
            None => self.list.key_of(number).expect("numbers are given to elements that are there"),
            Some(other) => &self.others[other as usize],
        }
    }

    pub(crate) fn end(&self) -> u32 {
        self.list.handles_end() + self.others.len() as u32
    }
}

/// Puts an element where it is said to be. Without the neighbour that it should follow it stays, or comes last.
pub(crate) fn put(order: &mut Vec<u32>, numbers: &mut Numbers<'_>, id: &str, spot: &Spot) {
    let number = numbers.of(id);
    let at = order.iter().position(|other| *other == number);
    let neighbour = match spot {
        Spot::Absent => {
            at.map(|at| order.remove(at));
            return;
        }
        Spot::First => None,
        Spot::Behind(neighbour) => {
            let neighbour = numbers.of(neighbour);
            if neighbour == number || !order.contains(&neighbour) {
                if at.is_none() {
                    order.push(number);
                }
                return;
            }
            Some(neighbour)
        }
    };
    at.map(|at| order.remove(at));
    let to = neighbour.and_then(|neighbour| order.iter().position(|other| *other == neighbour)).map_or(0, |at| at + 1);
    order.insert(to, number);
}

type Node<'w> = (&'w Path, Option<&'w Value>, Option<&'w Value>);

fn node(write: &Write) -> Option<Node<'_>> {
    match write {
        Write::Node { path, before, after } => Some((path, before.as_ref(), after.as_ref())),
        Write::Order { .. } => None,
    }
}

/// What is at `at` within the value at `path`, which lies above.
fn part<'v>(value: Option<&'v Value>, path: &Path, at: &str) -> Option<&'v Value> {
    value?.at(path::rest(at, path.as_str())?)
}

fn undo(value: &mut Option<Value>, at: &str, write: &Write) {
    match write {
        Write::Node { path, before, .. } => set(value, at, path, before.as_ref()),
        Write::Order { path, id, before, .. } => set_order(value, at, path, id, before),
    }
}

fn redo(value: &mut Option<Value>, at: &str, write: &Write) {
    match write {
        Write::Node { path, after, .. } => set(value, at, path, after.as_ref()),
        Write::Order { path, id, after, .. } => set_order(value, at, path, id, after),
    }
}

fn set(value: &mut Option<Value>, at: &str, path: &Path, to: Option<&Value>) {
    match path.rest(at) {
        Some("") => *value = to.cloned(),
        Some(rest) => {
            if let Some(value) = value {
                value.put_at(rest, to.cloned());
            }
        }
        None => *value = part(to, path, at).cloned(),
    }
}

fn set_order(value: &mut Option<Value>, at: &str, list: &Path, id: &str, spot: &Spot) {
    if let (Some(value), Some(rest)) = (value, list.rest(at)) {
        put_at_spot(value, rest, id, spot);
    }
}
