//! Random documents and random edits of them, from a seed.

use std::sync::Arc;

use crate::edit::change::{Change, Doc, Place, element};
use crate::edit::path::Path;
use crate::edit::value::Value;

/// Numbers that a seed gives again: SplitMix64.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.number() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Names of members: groups, entanglements, LOW ones, plain ones, and the names of elements, which mean nothing here.
const FIELDS: [&str; 14] =
    ["x", "z", "footprint", "floor_id", "type", "properties", "color", "label", "name", "n", "m", "a", "parts", "list"];
const IDS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "x", "type", "z"];

/// A value that is small enough to be met again.
pub fn value(rng: &mut Rng, depth: usize) -> Value {
    let json = match rng.below(if depth == 0 { 6 } else { 9 }) {
        0 => "1".to_owned(),
        1 => "2.0".to_owned(),
        2 => "\"t\"".to_owned(),
        3 => "null".to_owned(),
        4 => "[[1,2],[3]]".to_owned(),
        5 => "[]".to_owned(),
        6 | 7 => return map(rng, depth - 1),
        _ => return list(rng, depth - 1),
    };
    Value::parse(&json).unwrap()
}

fn map(rng: &mut Rng, depth: usize) -> Value {
    let mut map = Value::empty_map();
    for _ in 0..rng.below(4) {
        let field = rng.pick(&FIELDS);
        let member = value(rng, depth);
        map.keyed_mut().unwrap().put(field, member);
    }
    map
}

fn list(rng: &mut Rng, depth: usize) -> Value {
    let mut items: Vec<Value> = Vec::new();
    for _ in 0..rng.below(5) {
        let id = *rng.pick(&IDS);
        if items.iter().all(|item| item.element_key().as_deref() != Some(id)) {
            items.push(thing(rng, id, depth));
        }
    }
    Value::array(items)
}

fn thing(rng: &mut Rng, id: &str, depth: usize) -> Value {
    let mut thing = map(rng, depth);
    thing.keyed_mut().unwrap().put("id", Value::Text(id.into()));
    thing
}

/// A document.
pub fn doc(rng: &mut Rng) -> Doc {
    let mut root = map(rng, 1);
    for field in ["parts", "properties", "x"] {
        if !rng.one_in(4) {
            let member = if field == "parts" { list(rng, 1) } else { value(rng, 1) };
            root.keyed_mut().unwrap().put(field, member);
        }
    }
    Doc::new(Some(root)).unwrap()
}

/// A change that can be made to a document.
fn change(rng: &mut Rng, doc: &Doc) -> Change {
    let Some(root) = doc.value() else {
        return Change::Set { path: Path::root(), value: map(rng, 1) };
    };
    // A walk to some container: mostly a shallow one, where people meet.
    let (mut path, mut at) = (Path::root(), root);
    while !rng.one_in(3) {
        let keys: Vec<(&str, &Value)> = at.keyed().unwrap().iter().filter(|(_, v)| v.keyed().is_some()).collect();
        if keys.is_empty() {
            break;
        }
        let (key, next) = *rng.pick(&keys);
        (path, at) = (path.child(key).unwrap(), next);
    }
    if path.is_root() && rng.one_in(40) {
        return if rng.one_in(2) { Change::Unset { path } } else { Change::Set { path, value: map(rng, 1) } };
    }
    let keys: Vec<&str> = at.keyed().unwrap().keys().collect();
    if at.as_list().is_none() {
        let known = !keys.is_empty() && rng.one_in(2);
        let field = if known { *rng.pick(&keys) } else { *rng.pick(&FIELDS) };
        let at = path.child(field).unwrap();
        return match rng.below(4) {
            _ if field == "id" => change(rng, doc),
            0 => Change::Unset { path: at },
            _ => Change::Set { path: at, value: value(rng, 1) },
        };
    }
    let place = match rng.below(4) {
        0 => Place::Front,
        1 => Place::End,
        _ if keys.is_empty() => Place::End,
        _ => Place::After(Arc::from(*rng.pick(&keys))),
    };
    let id = *rng.pick(&IDS);
    let there = keys.contains(&id);
    match rng.below(6) {
        0 => Change::Set { path: element(&path, id), value: thing(rng, id, 0) },
        1 => Change::Remove { path, id: Arc::from(id) },
        _ if !there => Change::Insert { path, value: thing(rng, id, 0), place },
        2 => Change::Remove { path, id: Arc::from(id) },
        _ => Change::Move { path, id: Arc::from(id), place },
    }
}

/// One to `max` changes, each possible after those before it, and what they make of the document.
pub fn changes(rng: &mut Rng, doc: &Doc, max: usize) -> (Vec<Change>, Doc) {
    let (mut made, mut doc) = (Vec::new(), doc.clone());
    for _ in 0..=rng.below(max) {
        let change = change(rng, &doc);
        doc.apply(&change).unwrap_or_else(|bad| panic!("{bad}: {change:?} of {doc:?}"));
        made.push(change);
    }
    (made, doc)
}
