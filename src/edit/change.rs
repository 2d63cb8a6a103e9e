//! What can be done to a document?
//!
//! A [`Change`] names a place and what shall be there. [`Doc::apply`] carries it out at the cost of the path and says
//! what it wrote as [`Write`]s, with the values before and after: that is what history keeps and what undoes it.
//!
//! `Set` on the id of an element that is not in its list adds it at the end; `Unset` and `Remove` of what is not there
//! do nothing. Nothing else is forgiving: a place that does not exist, or that lies within a single value, is refused.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::path::Path;
use super::value::{BadValue, ID, Value};

/// Where an element goes in its list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// To the end.
    End,
    /// To the front.
    Front,
    /// Directly behind the element with this id.
    After(Arc<str>),
}

/// One change to a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A value for a place; at the root, the whole document.
    Set {
        /// Where.
        path: Path,
        /// What.
        value: Value,
    },
    /// Nothing for a place; at the root, the document is deleted.
    Unset {
        /// Where.
        path: Path,
    },
    /// A new element for a list.
    Insert {
        /// The list.
        path: Path,
        /// The element; its `id` is its name.
        value: Value,
        /// Where in the list.
        place: Place,
    },
    /// An element out of its list.
    Remove {
        /// The list.
        path: Path,
        /// The element.
        id: Arc<str>,
    },
    /// An element to another place in its list.
    Move {
        /// The list.
        path: Path,
        /// The element.
        id: Arc<str>,
        /// Where in the list.
        place: Place,
    },
}

impl Change {
    /// About how many bytes it holds.
    pub(crate) fn weight(&self) -> usize {
        let value = match self {
            Change::Set { value, .. } | Change::Insert { value, .. } => value.weight(),
            Change::Unset { .. } | Change::Remove { .. } | Change::Move { .. } => 0,
        };
        value + self.path().as_str().len()
    }

    /// The place that it names: the list, for what is done to a list.
    pub fn path(&self) -> &Path {
        match self {
            Change::Set { path, .. }
            | Change::Unset { path }
            | Change::Insert { path, .. }
            | Change::Remove { path, .. }
            | Change::Move { path, .. } => path,
        }
    }
}

/// Why a change cannot be made.
#[derive(Clone, Debug, PartialEq)]
pub struct BadChange {
    /// Where.
    pub path: Path,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong with a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// There is no document.
    NoDocument,
    /// A document is an object.
    NotAnObject,
    /// Nothing is at this path, so nothing can be put into it.
    Missing(Path),
    /// What is at this path is one value.
    Single(Path),
    /// There is no list.
    NoList,
    /// An element is an object with an `id`: a text of 1 to 256 bytes, or an integer.
    NoId,
    /// The element's `id` says something else than its path.
    OtherId(Arc<str>),
    /// An element keeps its id.
    FixedId,
    /// The list has an element with this id already.
    Taken(Arc<str>),
    /// The list has no element with this id.
    Unknown(Arc<str>),
    /// The value cannot be there.
    Value(BadValue),
}

impl fmt::Display for BadChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' cannot be changed: ", self.path)?;
        match &self.reason {
            Reason::NoDocument => write!(f, "there is no document"),
            Reason::NotAnObject => write!(f, "a document is an object"),
            Reason::Missing(at) => write!(f, "there is nothing at '{at}'"),
            Reason::Single(at) => write!(f, "what is at '{at}' is one value and is set as a whole"),
            Reason::NoList => write!(f, "it is not a list of objects with ids"),
            Reason::NoId => write!(f, "an element is an object with an id of its own"),
            Reason::OtherId(id) => write!(f, "the element's id is '{id}'"),
            Reason::FixedId => write!(f, "an element keeps its id"),
            Reason::Taken(id) => write!(f, "the list has an element '{id}' already"),
            Reason::Unknown(id) => write!(f, "the list has no element '{id}'"),
            Reason::Value(bad) => write!(f, "{bad}"),
        }
    }
}

impl BadChange {
    /// What is wrong, without the path.
    pub fn reason_text(&self) -> String {
        let text = self.to_string();
        text.split_once("cannot be changed: ").map_or(text.clone(), |(_, reason)| reason.to_owned())
    }
}

impl std::error::Error for BadChange {}

/// Where an element is or was in its list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spot {
    /// Not in the list.
    Absent,
    /// The first.
    First,
    /// Directly behind this one.
    Behind(Arc<str>),
}

impl Spot {
    pub(crate) fn behind(before: Option<&str>) -> Self {
        before.map_or(Spot::First, |id| Spot::Behind(Arc::from(id)))
    }
}

/// What a change wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Write {
    /// A value.
    Node {
        /// Where.
        path: Path,
        /// What was there.
        before: Option<Value>,
        /// What is there.
        after: Option<Value>,
    },
    /// The place of an element in its list. An element that comes or goes has a node write as well: behind this one
    /// when it goes, before it when it comes, so that writes can be undone one by one from the last.
    Order {
        /// The list.
        path: Path,
        /// The element.
        id: Arc<str>,
        /// Where it was.
        before: Spot,
        /// Where it is.
        after: Spot,
    },
}

impl Write {
    /// About how many bytes of the document were there before, and are there after it.
    pub(crate) fn weights(&self) -> (usize, usize) {
        match self {
            Write::Node { path, before, after } => {
                // A member weighs as much as its name and its value.
                let name = path.split().map_or(0, |(_, name)| name.len());
                let weight = |value: &Option<Value>| value.as_ref().map_or(0, |value| name + value.weight());
                (weight(before), weight(after))
            }
            Write::Order { .. } => (0, 0),
        }
    }
}

/// What a change wrote: at most a node and its place.
pub type Writes = SmallVec<[Write; 2]>;

/// A document that may be there or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Doc(Option<Value>);

impl Doc {
    /// No document.
    pub fn absent() -> Self {
        Doc(None)
    }

    /// Reads a document, which is an object.
    pub fn parse(json: &str) -> Result<Self, BadChange> {
        let value = Value::parse(json).map_err(|bad| refused(&Path::root(), Reason::Value(bad)))?;
        Doc::new(Some(value))
    }

    /// The document that is this object, or none.
    pub fn new(value: Option<Value>) -> Result<Self, BadChange> {
        match value {
            None | Some(Value::Map(_)) => Ok(Doc(value)),
            Some(_) => Err(refused(&Path::root(), Reason::NotAnObject)),
        }
    }

    /// The whole document.
    pub fn value(&self) -> Option<&Value> {
        self.0.as_ref()
    }

    /// What is at a path.
    pub fn get(&self, path: &Path) -> Option<&Value> {
        self.at(path.as_str())
    }

    pub(crate) fn value_mut(&mut self) -> Option<&mut Value> {
        self.0.as_mut()
    }

    pub(crate) fn take(self) -> Option<Value> {
        self.0
    }

    pub(crate) fn at(&self, pointer: &str) -> Option<&Value> {
        self.0.as_ref()?.at(pointer)
    }

    /// Makes a change, or says why it cannot be made and leaves everything as it is.
    pub fn apply(&mut self, change: &Change) -> Result<Writes, BadChange> {
        match change {
            Change::Set { path, value } => {
                check_set(&|at| self.at(at), path, value)?;
                Ok(self.write(path, Some(value.clone())))
            }
            Change::Unset { path } => {
                check_unset(&|at| self.at(at), path)?;
                Ok(self.write(path, None))
            }
            Change::Insert { path, value, place } => {
                let id = check_insert(&|at| self.at(at), path, value, place)?;
                let mut writes = self.write(&element(path, &id), Some(value.clone()));
                if *place != Place::End {
                    self.place(path, &id, place);
                }
                // Both at once: the element never was anywhere else.
                let spot = self.spot(path, &id);
                if let Some(Write::Order { after, .. }) = writes.last_mut() {
                    *after = spot;
                }
                Ok(writes)
            }
            Change::Remove { path, id } => {
                check_list(&|at| self.at(at), path)?;
                Ok(self.write(&element(path, id), None))
            }
            Change::Move { path, id, place } => {
                check_move(&|at| self.at(at), path, id, place)?;
                let before = self.spot(path, id);
                self.place(path, id, place);
                let after = self.spot(path, id);
                let mut writes = Writes::new();
                if before != after {
                    writes.push(Write::Order { path: path.clone(), id: id.clone(), before, after });
                }
                Ok(writes)
            }
        }
    }

    /// Makes all changes in turn, or none: those that were made are undone when one cannot be.
    pub fn apply_all(&mut self, changes: &[Change]) -> Result<Vec<Write>, BadChange> {
        let mut all = Vec::with_capacity(changes.len());
        for change in changes {
            match self.apply(change) {
                Ok(writes) => all.extend(writes),
                Err(bad) => {
                    all.iter().rev().for_each(|write| self.undo(write));
                    return Err(bad);
                }
            }
        }
        Ok(all)
    }

    /// Takes a write back. Right for the last write that is not yet taken back.
    pub fn undo(&mut self, write: &Write) {
        match write {
            Write::Node { path, before, .. } if path.is_root() => self.0 = before.clone(),
            Write::Node { path, before, .. } => {
                if let Some(root) = &mut self.0 {
                    root.put_at(path.as_str(), before.clone());
                }
            }
            Write::Order { path, id, before, .. } => {
                if let Some(root) = &mut self.0 {
                    put_at_spot(root, path.as_str(), id, before);
                }
            }
        }
    }

    /// Sets what has been checked.
    fn write(&mut self, path: &Path, value: Option<Value>) -> Writes {
        let mut writes = Writes::new();
        let Some((parent, key)) = path.split() else {
            let before = std::mem::replace(&mut self.0, value.clone());
            if before.is_some() || value.is_some() {
                writes.push(Write::Node { path: path.clone(), before, after: value });
            }
            return writes;
        };
        let Some(container) = self.0.as_mut().and_then(|root| root.at_mut(parent)) else { return writes };
        let is_list = container.as_list().is_some();
        let Some(members) = container.keyed_mut() else { return writes };
        let order = |before, after| Write::Order { path: Path::known(parent), id: Arc::from(&*key), before, after };
        match value {
            Some(value) => {
                let before = members.put(&key, value.clone());
                let comes = before.is_none() && is_list;
                writes.push(Write::Node { path: path.clone(), before, after: Some(value) });
                if comes {
                    writes.push(order(Spot::Absent, Spot::behind(members.before(&key))));
                }
            }
            None => {
                let spot = Spot::behind(members.before(&key));
                if let Some(before) = members.remove(&key) {
                    if is_list {
                        writes.push(order(spot, Spot::Absent));
                    }
                    writes.push(Write::Node { path: path.clone(), before: Some(before), after: None });
                }
            }
        }
        writes
    }

    fn place(&mut self, list: &Path, id: &str, place: &Place) {
        if let Some(root) = &mut self.0 {
            place_at(root, list.as_str(), id, place);
        }
    }

    fn spot(&self, list: &Path, id: &str) -> Spot {
        match self.get(list).and_then(Value::as_list) {
            Some(elements) if elements.get(id).is_some() => Spot::behind(elements.before(id)),
            _ => Spot::Absent,
        }
    }
}

/// Places an element of the list at a pointer.
pub(crate) fn place_at(root: &mut Value, list: &str, id: &str, place: &Place) {
    let Some(elements) = root.at_mut(list).and_then(Value::keyed_mut) else { return };
    match place {
        Place::Front => elements.place(id, None),
        Place::After(anchor) => elements.place(id, Some(anchor)),
        Place::End => {
            let last = elements.keys().next_back().filter(|last| *last != id).map(str::to_owned);
            last.is_some_and(|last| elements.place(id, Some(&last)))
        }
    };
}

/// Puts an element of the list at a pointer where it is said to be, if it and its neighbour are there.
pub(crate) fn put_at_spot(root: &mut Value, list: &str, id: &str, spot: &Spot) {
    let Some(elements) = root.at_mut(list).and_then(Value::keyed_mut) else { return };
    match spot {
        Spot::Absent => false,
        Spot::First => elements.place(id, None),
        Spot::Behind(before) => elements.place(id, Some(before)),
    };
}

/// The path of an element. Lists are found by their paths, so this one has been checked or can name nothing.
pub(crate) fn element(list: &Path, id: &str) -> Path {
    list.child(id).unwrap_or_else(|_| Path::known(&super::path::join(list.as_str(), id)))
}

fn refused(path: &Path, reason: Reason) -> BadChange {
    BadChange { path: path.clone(), reason }
}

/// What is at a pointer, as far as checks must know it: its kind, not what lies within it.
pub(crate) type Look<'a, 'b> = &'b dyn Fn(&str) -> Option<&'a Value>;

/// Whether a value may be set at a path.
pub(crate) fn check_set(look: Look<'_, '_>, path: &Path, value: &Value) -> Result<(), BadChange> {
    value.check_within(path).map_err(|bad| refused(path, Reason::Value(bad)))?;
    let Some((parent, key)) = path.split() else {
        return match value {
            Value::Map(_) => Ok(()),
            _ => Err(refused(path, Reason::NotAnObject)),
        };
    };
    match container(look, path, parent)? {
        Value::List(_) => match value.element_key() {
            None => Err(refused(path, Reason::NoId)),
            Some(id) if id != key => Err(refused(path, Reason::OtherId(Arc::from(&*id)))),
            Some(_) => Ok(()),
        },
        _ if key == ID && is_element(look, parent) && look(path.as_str()) != Some(value) => {
            Err(refused(path, Reason::FixedId))
        }
        _ => Ok(()),
    }
}

/// Whether a path may be emptied.
pub(crate) fn check_unset(look: Look<'_, '_>, path: &Path) -> Result<(), BadChange> {
    let Some((parent, key)) = path.split() else { return Ok(()) };
    container(look, path, parent)?;
    if key == ID && is_element(look, parent) {
        return Err(refused(path, Reason::FixedId));
    }
    Ok(())
}

/// Whether an element may be added to a list; its id.
pub(crate) fn check_insert(
    look: Look<'_, '_>,
    path: &Path,
    value: &Value,
    place: &Place,
) -> Result<Arc<str>, BadChange> {
    check_list(look, path)?;
    let id: Arc<str> = value.element_key().map(|id| Arc::from(&*id)).ok_or_else(|| refused(path, Reason::NoId))?;
    let at = path.child(&id).map_err(|_| refused(path, Reason::Value(BadValue::TooDeep)))?;
    value.check_within(&at).map_err(|bad| refused(&at, Reason::Value(bad)))?;
    if look(at.as_str()).is_some() {
        return Err(refused(path, Reason::Taken(id)));
    }
    check_place(look, path, place)?;
    Ok(id)
}

/// Whether an element may be moved.
pub(crate) fn check_move(look: Look<'_, '_>, path: &Path, id: &Arc<str>, place: &Place) -> Result<(), BadChange> {
    check_list(look, path)?;
    if look(element(path, id).as_str()).is_none() {
        return Err(refused(path, Reason::Unknown(id.clone())));
    }
    check_place(look, path, place)
}

fn check_place(look: Look<'_, '_>, path: &Path, place: &Place) -> Result<(), BadChange> {
    match place {
        Place::After(anchor) if look(element(path, anchor).as_str()).is_none() => {
            Err(refused(path, Reason::Unknown(anchor.clone())))
        }
        _ => Ok(()),
    }
}

pub(crate) fn check_list(look: Look<'_, '_>, path: &Path) -> Result<(), BadChange> {
    match look(path.as_str()) {
        Some(Value::List(_)) => Ok(()),
        None if look("").is_none() => Err(refused(path, Reason::NoDocument)),
        None => Err(refused(path, Reason::Missing(path.clone()))),
        Some(_) => Err(refused(path, Reason::NoList)),
    }
}

/// What a path lies directly within; the first place on the way that has no members is the one to complain of.
fn container<'a>(look: Look<'a, '_>, path: &Path, parent: &str) -> Result<&'a Value, BadChange> {
    if let Some(value) = look(parent).filter(|value| value.keyed().is_some()) {
        return Ok(value);
    }
    for at in path.ancestors() {
        match look(at) {
            None if at.is_empty() => return Err(refused(path, Reason::NoDocument)),
            None => return Err(refused(path, Reason::Missing(Path::known(at)))),
            Some(value) if value.keyed().is_none() => return Err(refused(path, Reason::Single(Path::known(at)))),
            Some(_) => {}
        }
    }
    Err(refused(path, Reason::NoDocument))
}

fn is_element(look: Look<'_, '_>, at: &str) -> bool {
    let list = at.rsplit_once('/').and_then(|(list, _)| look(list));
    list.is_some_and(|value| value.as_list().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOC: &str =
        r#"{"name":"d","p":[[1,2]],"properties":{"a":1},"l":[{"id":"x","n":1},{"id":"y"},{"id":"z"}],"e":[]}"#;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    fn set(at: &str, value: &str) -> Change {
        Change::Set { path: path(at), value: Value::parse(value).unwrap() }
    }

    fn insert(at: &str, value: &str, place: Place) -> Change {
        Change::Insert { path: path(at), value: Value::parse(value).unwrap(), place }
    }

    fn shift(id: &str, place: Place) -> Change {
        Change::Move { path: path("/l"), id: id.into(), place }
    }

    #[test]
    fn changes_are_made_and_undone() {
        let after = |id: &str| Place::After(id.into());
        for (change, result) in [
            (set("/name", "1"), r#""name":1"#),
            (set("/properties/b", "2"), r#""properties":{"a":1,"b":2}"#),
            (set("/l/w", r#"{"id":"w"}"#), r#"{"id":"z"},{"id":"w"}]"#),
            (set("/l/x", r#"{"id":"x","n":2}"#), r#"[{"id":"x","n":2},{"id":"y"}"#),
            (Change::Unset { path: path("/l/y") }, r#""n":1},{"id":"z"}]"#),
            (Change::Unset { path: path("/name") }, r#"{"p":"#),
            (Change::Unset { path: path("/nothing") }, DOC),
            (Change::Remove { path: path("/l"), id: "x".into() }, r#""l":[{"id":"y"}"#),
            (insert("/l", r#"{"id":"w"}"#, after("x")), r#""n":1},{"id":"w"},{"id":"y"}"#),
            (insert("/l", r#"{"id":"w"}"#, Place::Front), r#"[{"id":"w"},{"id":"x""#),
            (insert("/e", r#"{"id":1}"#, Place::End), r#""e":[{"id":1}]"#),
            (shift("x", Place::End), r#"[{"id":"y"},{"id":"z"},{"id":"x","n":1}]"#),
            (shift("z", Place::Front), r#"[{"id":"z"},{"id":"x""#),
            (shift("x", after("y")), r#"[{"id":"y"},{"id":"x","n":1},{"id":"z"}]"#),
        ] {
            let mut doc = Doc::parse(DOC).unwrap();
            let writes = doc.apply(&change).unwrap();
            let text = doc.value().unwrap().to_json();
            assert!(text.contains(result), "{change:?} gives {text}");
            writes.iter().rev().for_each(|write| doc.undo(write));
            assert_eq!(doc, Doc::parse(DOC).unwrap(), "{change:?} undone");
        }
    }

    #[test]
    fn what_has_no_place_is_refused_by_name() {
        let unknown = || Place::After("q".into());
        for (change, reason) in [
            (set("/p/0", "1"), Reason::Single(path("/p"))),
            (set("/name/x/y", "1"), Reason::Single(path("/name"))),
            (set("/no/x", "1"), Reason::Missing(path("/no"))),
            (set("", "1"), Reason::NotAnObject),
            (set("/l/w", r#"{"id":"v"}"#), Reason::OtherId("v".into())),
            (set("/l/w", "1"), Reason::NoId),
            (set("/l/x/id", r#""y""#), Reason::FixedId),
            (Change::Unset { path: path("/l/x/id") }, Reason::FixedId),
            (insert("/l", r#"{"id":"x"}"#, Place::End), Reason::Taken("x".into())),
            (insert("/l", r#"{"id":"w"}"#, unknown()), Reason::Unknown("q".into())),
            (insert("/p", r#"{"id":"w"}"#, Place::End), Reason::NoList),
            (shift("q", Place::End), Reason::Unknown("q".into())),
        ] {
            let mut doc = Doc::parse(DOC).unwrap();
            let bad = doc.apply(&change).unwrap_err();
            assert_eq!(bad.reason, reason, "{change:?}: {bad}");
            assert_eq!(doc, Doc::parse(DOC).unwrap(), "{change:?} changed something");
        }
        assert_eq!(Doc::absent().apply(&set("/a", "1")).unwrap_err().reason, Reason::NoDocument);
    }

    #[test]
    fn all_or_none() {
        let mut doc = Doc::parse(DOC).unwrap();
        let changes =
            [set("/name", "1"), shift("z", Place::Front), Change::Unset { path: path("/l/x") }, set("/p/0", "1")];
        assert!(doc.apply_all(&changes).is_err());
        assert_eq!(doc, Doc::parse(DOC).unwrap());
    }

    #[test]
    fn the_root_comes_and_goes() {
        let mut doc = Doc::absent();
        doc.apply(&set("", r#"{"id":"a"}"#)).unwrap();
        assert_eq!(doc.get(&path("/id")), Some(&Value::Text("a".into())));
        doc.apply(&Change::Unset { path: Path::root() }).unwrap();
        assert_eq!(doc, Doc::absent());
    }
}
