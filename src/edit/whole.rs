//! A document as a whole: its name, its version, how much it holds, and what a unit's value in it is.

use super::change::{Change, Doc, element};
use super::conflict::order_value;
use super::diff::diff;
use super::keyed::Keyed;
use super::path::Path;
use super::rules::{Rules, Unit};
use super::value::Value;

impl Doc {
    /// A document with nothing in it.
    pub fn empty() -> Self {
        Doc::new(Some(Value::empty_map())).expect("a map is a document")
    }

    /// The document's value.
    pub fn into_value(self) -> Option<Value> {
        self.take()
    }

    /// Says by its `id` which resource it describes. A document that says it already keeps its form.
    pub fn name(&mut self, id: &str) {
        let known = self.at("/id").and_then(Value::as_text) == Some(id);
        if !known {
            self.put_member("id", Value::Text(id.into()));
        }
    }

    /// Sets a member of the document, if it is there.
    pub fn put_member(&mut self, name: &str, value: Value) {
        if let Some(root) = self.value_mut().and_then(Value::keyed_mut) {
            root.put(name, value);
        }
    }

    /// Takes a member out of the document.
    pub fn drop_member(&mut self, name: &str) {
        if let Some(root) = self.value_mut().and_then(Value::keyed_mut) {
            root.remove(name);
        }
    }

    /// About how many bytes it holds. Costs the whole document.
    pub fn weight(&self) -> usize {
        self.value().map_or(0, Value::weight)
    }

    /// The value of a unit: of fields an object of those that are there, of an order the array of the ids.
    pub fn of_unit(&self, unit: &Unit) -> Option<Value> {
        match unit {
            Unit::Node(path) => self.get(path).cloned(),
            Unit::Fields { path, fields } => {
                let mut members = Keyed::default();
                for field in fields {
                    if let Some(value) = self.get(&element(path, field)) {
                        members.put(field, value.clone());
                    }
                }
                (!members.is_empty()).then(|| Value::Map(Box::new(members)))
            }
            Unit::Order(path) => self.get(path)?.as_list().map(|list| order_value(list.keys())),
        }
    }
}

/// The units in which a wanted document differs from its base.
pub fn units(rules: &Rules, base: &Doc, wanted: &Doc) -> Vec<Unit> {
    let mut units: Vec<Unit> = diff(base, wanted).iter().map(|change| unit_of(rules, change)).collect();
    units.sort_unstable();
    units.dedup();
    units
}

fn unit_of(rules: &Rules, change: &Change) -> Unit {
    match change {
        Change::Move { path, .. } => Unit::Order(path.clone()),
        Change::Insert { path, value, .. } => {
            Unit::Node(value.element_key().map_or_else(|| path.clone(), |id| element(path, &id)))
        }
        Change::Remove { path, id } => Unit::Node(element(path, id)),
        Change::Set { path, .. } | Change::Unset { path } => {
            let mut group = None;
            for (at, name) in path.ancestors().zip(path.segments()) {
                if let Some(fields) = rules.group(&name) {
                    group = Some(Unit::Fields { path: Path::known(at), fields: fields.iter().cloned().collect() });
                    break;
                }
            }
            group.unwrap_or_else(|| Unit::Node(path.clone()))
        }
    }
}
