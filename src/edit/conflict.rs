//! What is kept of two changes that contradict each other, until somebody has decided?
//!
//! Everything: what both started from, what either wanted, who was first, and what the document holds meanwhile.
//! [`PathConflict::resolve`] turns a decision into changes, for a resolution is itself an edit.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::change::{BadChange, Change, Doc, Reason};
use super::diff::{diff_at, place_in_order};
use super::path::Path;
use super::rules::{ConflictKind, Severity, Unit};
use super::value::Value;
use crate::id::{SessionId, UserId};

/// Who wrote something. Conflicts are between users: what somebody did in another tab is his own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The person.
    pub user: UserId,
    /// The person's shown name.
    pub username: Arc<str>,
    /// The session, if it was one and not the back end.
    pub session: Option<SessionId>,
    /// The author's own name for the edit.
    pub edit_id: Option<Box<str>>,
}

/// One of two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// The edit that is being decided.
    Mine,
    /// What had been committed before.
    Theirs,
}

/// A contradiction about one unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathConflict {
    /// What is contested.
    pub unit: Unit,
    /// In which way.
    pub kind: ConflictKind,
    /// How badly.
    pub severity: Severity,
    /// The value that both started from; nothing, if there was none. That of fields is an object of those that are
    /// there, that of an order the array of ids.
    pub base: Option<Value>,
    /// The value of the edit that is being decided.
    pub mine: Option<Value>,
    /// The committed value.
    pub theirs: Option<Value>,
    /// Whose value the document holds now.
    pub kept: Side,
    /// Who committed it, if history tells.
    pub their_author: Option<Author>,
}

/// A decision about a conflict.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// One side's value.
    Side(Side),
    /// This value, or none.
    Value(Option<Value>),
}

impl PathConflict {
    /// What people call it: the path; of fields that are one value that of the first one that somebody changed.
    pub fn name(&self) -> String {
        let Unit::Fields { path, fields } = &self.unit else { return self.unit.name() };
        let of = |value: &Option<Value>, field: &str| {
            value.as_ref().and_then(Value::as_map).and_then(|members| members.get(field)).cloned()
        };
        let changed = |field: &&std::sync::Arc<str>| {
            let base = of(&self.base, field);
            base != of(&self.mine, field) || base != of(&self.theirs, field)
        };
        let first = fields.iter().find(changed).or(fields.first());
        super::path::join(path.as_str(), first.map_or("", |field| field))
    }

    /// The changes to `current` that make the decision so; none, if it is so already. Whether they can be made is for
    /// [`Doc::apply`] to say: what the unit lies within may be gone.
    pub fn resolve(&self, current: &Doc, choice: &Choice) -> Result<Vec<Change>, BadChange> {
        let wanted = match choice {
            Choice::Side(Side::Mine) => self.mine.as_ref(),
            Choice::Side(Side::Theirs) => self.theirs.as_ref(),
            Choice::Value(value) => value.as_ref(),
        };
        let mut changes = Vec::new();
        match &self.unit {
            Unit::Node(path) => diff_at(path, current.get(path), wanted, &mut changes),
            Unit::Fields { path, fields } => {
                let Some(members) = wanted.map_or(Some(None), |wanted| wanted.as_map().map(Some)) else {
                    return Err(BadChange { path: path.clone(), reason: Reason::NotAnObject });
                };
                for field in fields {
                    let at = super::change::element(path, field);
                    diff_at(&at, current.get(&at), members.and_then(|members| members.get(field)), &mut changes);
                }
            }
            Unit::Order(path) => order_as(path, current, wanted, &mut changes)?,
        }
        Ok(changes)
    }
}

/// The moves that bring the elements of a list into the order of an array of ids. What the array does not name stays
/// where it is; what it names in vain is gone.
fn order_as(path: &Path, current: &Doc, wanted: Option<&Value>, changes: &mut Vec<Change>) -> Result<(), BadChange> {
    let refused = |reason| BadChange { path: path.clone(), reason };
    let elements = current.get(path).and_then(Value::as_list).ok_or_else(|| refused(Reason::NoList))?;
    let Some(Value::Array(ids)) = wanted else { return Err(refused(Reason::NoId)) };
    let mut named = Vec::with_capacity(ids.len());
    let mut is_named = vec![false; elements.handles_end() as usize];
    for id in ids {
        let id = id.as_text().ok_or_else(|| refused(Reason::NoId))?;
        if let Some(handle) = elements.handle(id)
            && !std::mem::replace(&mut is_named[handle as usize], true)
        {
            named.push(handle);
        }
    }
    let mut next = named.into_iter();
    let from = elements.handles();
    let to =
        from.iter().map(|handle| if is_named[*handle as usize] { next.next().unwrap_or(*handle) } else { *handle });
    let to: Vec<u32> = to.collect();
    place_in_order(path, from, &to, &|handle| elements.key_of(handle).unwrap_or(""), &|_| None, changes);
    Ok(())
}

/// The value of a list's order.
pub(crate) fn order_value<'a>(ids: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(ids.map(|id| Value::Text(id.into())).collect())
}
