//! What does an edit want, all of its changes taken together?
//!
//! The changes are checked one after another against what their author had before him and against each other, and
//! become the fewest places with the value that shall be there: what is set within something that the same edit has set
//! goes into that. Nothing but what the edit names is copied.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::{
    BadChange, Change, Place, Spot, check_insert, check_list, check_move, check_set, check_unset, element, place_at,
};
use super::past::{Numbers, Past, put};
use super::path::{self, Path};
use super::value::Value;

/// What an edit wants.
#[derive(Default)]
pub(crate) struct Draft {
    /// The values, none within another.
    pub(crate) nodes: BTreeMap<Path, Option<Value>>,
    /// The elements that are placed, in turn, by list. Lists within one of the values are in order already.
    pub(crate) placed: BTreeMap<Path, Vec<(Arc<str>, Place)>>,
}

impl Draft {
    /// The draft of some changes to what their author had before him.
    pub(crate) fn new(past: &Past<'_>, changes: &[Change]) -> Result<Self, BadChange> {
        let mut draft = Draft::default();
        changes.iter().try_for_each(|change| draft.add(past, change))?;
        Ok(draft)
    }

    fn add(&mut self, past: &Past<'_>, change: &Change) -> Result<(), BadChange> {
        let look = |at: &str| self.look(past, at);
        match change {
            Change::Set { path, value } => {
                check_set(&look, path, value)?;
                let list = path.split().and_then(|(list, id)| Some((Path::known(list), id, look(list)?.as_list()?)));
                let comes = list.filter(|_| look(path.as_str()).is_none()).map(|(list, id, _)| (list, id));
                self.put(path, Some(value.clone()));
                if let Some((list, id)) = comes {
                    self.place(&list, Arc::from(&*id), Place::End);
                }
            }
            Change::Unset { path } => {
                check_unset(&look, path)?;
                self.put(path, None);
            }
            Change::Insert { path, value, place } => {
                let id = check_insert(&look, path, value, place)?;
                self.put(&element(path, &id), Some(value.clone()));
                self.place(path, id, place.clone());
            }
            Change::Remove { path, id } => {
                check_list(&look, path)?;
                self.put(&element(path, id), None);
            }
            Change::Move { path, id, place } => {
                check_move(&look, path, id, place)?;
                self.place(path, id.clone(), place.clone());
            }
        }
        Ok(())
    }

    /// The drafted value at or above a place, and what is left of the way.
    fn above<'p>(&self, at: &'p str) -> Option<(Path, &'p str)> {
        if self.nodes.is_empty() {
            return None;
        }
        let ends = at.match_indices('/').map(|(end, _)| end).chain([at.len()]);
        ends.into_iter().find_map(|end| {
            let (path, _) = self.nodes.get_key_value(&at[..end])?;
            Some((path.clone(), &at[end..]))
        })
    }

    fn look<'a>(&'a self, past: &Past<'a>, at: &str) -> Option<&'a Value> {
        match self.above(at) {
            Some((path, rest)) => self.nodes.get(&path)?.as_ref()?.at(rest),
            None => past.look(at),
        }
    }

    fn put(&mut self, path: &Path, value: Option<Value>) {
        if let Some((above, rest)) = self.above(path.as_str())
            && !rest.is_empty()
        {
            if let Some(Some(above)) = self.nodes.get_mut(&above) {
                above.put_at(rest, value);
            }
            return;
        }
        let range = path::below(path.as_str());
        let within: Vec<Path> =
            self.nodes.range::<str, _>(path::bounds(&range)).map(|(path, _)| path.clone()).collect();
        within.iter().for_each(|path| {
            self.nodes.remove(path);
        });
        self.placed.retain(|list, _| !path.covers(list));
        self.nodes.insert(path.clone(), value);
    }

    fn place(&mut self, list: &Path, id: Arc<str>, place: Place) {
        match self.above(list.as_str()) {
            Some((above, rest)) => {
                if let Some(Some(above)) = self.nodes.get_mut(&above) {
                    place_at(above, rest, &id, &place);
                }
            }
            None => self.placed.entry(list.clone()).or_default().push((id, place)),
        }
    }

    /// Whether the draft has something at or within a place.
    pub(crate) fn touches(&self, at: &str) -> bool {
        let range = path::below(at);
        self.nodes.contains_key(at)
            || self.nodes.range::<str, _>(path::bounds(&range)).next().is_some()
            || self.placed.keys().any(|list| list.rest(at).is_some())
    }

    /// Carries out what is drafted at and within a place in the value that is there.
    pub(crate) fn apply(&self, at: &str, value: &mut Option<Value>) {
        if let Some(drafted) = self.nodes.get(at) {
            *value = drafted.clone();
            return;
        }
        let Some(root) = value else { return };
        let range = path::below(at);
        let mut gone = Vec::new();
        for (path, drafted) in self.nodes.range::<str, _>(path::bounds(&range)) {
            match (path.rest(at), drafted) {
                (Some(rest), Some(drafted)) => {
                    root.put_at(rest, Some(drafted.clone()));
                }
                (Some(rest), None) => gone.push(rest),
                (None, _) => {}
            }
        }
        for (list, placed) in &self.placed {
            let Some(rest) = list.rest(at) else { continue };
            for (id, place) in placed {
                // What came and went again within the edit may have been somebody's neighbour in between.
                let elements = root.at_mut(rest).and_then(Value::keyed_mut);
                if let Some(elements) = elements.filter(|elements| elements.get(id).is_none()) {
                    elements.put(id, Value::Null);
                }
                place_at(root, rest, id, place);
            }
        }
        for rest in gone {
            root.put_at(rest, None);
        }
    }

    /// Carries out in an order what is drafted for a list.
    pub(crate) fn reorder(&self, list: &Path, order: &mut Vec<u32>, numbers: &mut Numbers<'_>) {
        for (id, place) in self.placed.get(list).map_or(&[][..], Vec::as_slice) {
            let spot = match place {
                Place::Front => Spot::First,
                Place::After(anchor) => Spot::Behind(anchor.clone()),
                Place::End => {
                    let number = numbers.of(id);
                    order.retain(|other| *other != number);
                    order.last().map_or(Spot::First, |last| Spot::Behind(Arc::from(numbers.id(*last))))
                }
            };
            put(order, numbers, id, &spot);
        }
        for id in self.taken_out(list) {
            put(order, numbers, &id, &Spot::Absent);
        }
    }

    /// The elements of a list that the edit takes out.
    pub(crate) fn taken_out(&self, list: &Path) -> Vec<Arc<str>> {
        let range = path::below(list.as_str());
        let within = self.nodes.range::<str, _>(path::bounds(&range));
        let gone = within.filter(|(_, value)| value.is_none()).filter_map(|(path, _)| path.split());
        gone.filter(|(parent, _)| *parent == list.as_str()).map(|(_, id)| Arc::from(&*id)).collect()
    }
}
