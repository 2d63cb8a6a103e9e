//! What is a document made of?
//!
//! A [`Value`] is JSON that can be walked by path. Two kinds of array are told apart when it is read: an array whose
//! elements are all objects with an `id` of their own is a [`Value::List`], and its elements are addressed by id; every
//! other array is one value, and nothing within it has a path. An empty array is a list without elements, and becomes
//! whichever kind is put into it.
//!
//! **Equality is JSON's**: the order of keys says nothing, and numbers are compared by value, so `1` and `1.0` are equal.
//! Integers are exact; all other numbers are 64-bit floats, which equal an integer only within ±2^53. Printed again, a
//! value has its keys in their old order and its numbers in their shortest form.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use foldhash::fast::FixedState;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Number;

use super::keyed::Keyed;
use super::path::{self, PATH_BYTES_MAX, PATH_DEPTH_MAX, Path};
use crate::id::ID_BYTES_MAX;

/// The member that names an element of a list.
pub const ID: &str = "id";

/// A JSON value, or a document.
#[derive(Clone)]
pub enum Value {
    /// `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Box<str>),
    /// An array that is one value.
    Array(Vec<Value>),
    /// An object.
    Map(Box<Keyed>),
    /// An array of objects that have ids.
    List(Box<Keyed>),
}

/// Why a text is not a value that a document may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadValue {
    /// It is no JSON; what the parser says.
    Json(String),
    /// It nests deeper than [`PATH_DEPTH_MAX`], counted from the document.
    TooDeep,
    /// A member's path would have this many bytes, more than [`PATH_BYTES_MAX`].
    PathTooLong(usize),
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadValue::Json(what) => write!(f, "the value is not JSON: {what}"),
            BadValue::TooDeep => write!(f, "a document nests at most {PATH_DEPTH_MAX} deep, this value goes deeper"),
            BadValue::PathTooLong(n) => {
                write!(f, "the path of a member has at most {PATH_BYTES_MAX} bytes, one within this value has {n}")
            }
        }
    }
}

impl std::error::Error for BadValue {}

impl Value {
    /// Reads a value as it would stand alone.
    pub fn parse(json: &str) -> Result<Self, BadValue> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let value = Depth(0).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        let value = value.map_err(|error| match error.to_string() {
            text if text.starts_with(TOO_DEEP) => BadValue::TooDeep,
            text => BadValue::Json(text),
        })?;
        value.check_within(&Path::root())?;
        Ok(value)
    }

    /// An empty object.
    pub fn empty_map() -> Self {
        Value::Map(Box::default())
    }

    /// Whether everything in it would have a path if it stood at `at`.
    pub(crate) fn check_within(&self, at: &Path) -> Result<(), BadValue> {
        self.check(at.as_str().len(), at.depth())
    }

    fn check(&self, bytes: usize, depth: usize) -> Result<(), BadValue> {
        if depth > PATH_DEPTH_MAX {
            return Err(BadValue::TooDeep);
        }
        match self {
            Value::Map(members) | Value::List(members) => members.iter().try_for_each(|(key, member)| {
                let bytes = bytes + 1 + path::escaped_len(key);
                if bytes > PATH_BYTES_MAX {
                    return Err(BadValue::PathTooLong(bytes));
                }
                member.check(bytes, depth + 1)
            }),
            // Nothing in there has a path, but its depth counts.
            Value::Array(items) => items.iter().try_for_each(|item| item.check(0, depth + 1)),
            _ => Ok(()),
        }
    }

    /// Members or elements, if it has any that are named.
    pub fn keyed(&self) -> Option<&Keyed> {
        match self {
            Value::Map(members) | Value::List(members) => Some(members),
            _ => None,
        }
    }

    pub(crate) fn keyed_mut(&mut self) -> Option<&mut Keyed> {
        match self {
            Value::Map(members) | Value::List(members) => Some(members),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub fn as_map(&self) -> Option<&Keyed> {
        if let Value::Map(members) = self { Some(members) } else { None }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&Keyed> {
        if let Value::List(elements) = self { Some(elements) } else { None }
    }

    /// The text, if it is a string.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }

    /// The value at a pointer from here.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Value> {
        path::segments(pointer).try_fold(self, |value, segment| value.keyed()?.get(&segment))
    }

    pub(crate) fn at_mut(&mut self, pointer: &str) -> Option<&mut Value> {
        path::segments(pointer).try_fold(self, |value, segment| value.keyed_mut()?.get_mut(&segment))
    }

    /// Sets or takes out what is at a pointer from here, without regard to what it means. False when there is no place.
    pub(crate) fn put_at(&mut self, pointer: &str, value: Option<Value>) -> bool {
        let Some((parent, raw)) = pointer.rsplit_once('/') else {
            return match value {
                Some(value) => {
                    *self = value;
                    true
                }
                None => false,
            };
        };
        let Some(members) = self.at_mut(parent).and_then(Value::keyed_mut) else { return false };
        let key = path::segments(&pointer[pointer.len() - raw.len() - 1..]).next().unwrap_or(Cow::Borrowed(""));
        match value {
            Some(value) => members.put(&key, value),
            None => members.remove(&key),
        };
        true
    }

    /// Takes out what is at a place.
    pub(crate) fn take_at(&mut self, pointer: &str) -> Option<Value> {
        let taken = self.at(pointer).cloned();
        self.put_at(pointer, None);
        taken
    }

    /// The name that this value would have in a list.
    pub(crate) fn element_key(&self) -> Option<Cow<'_, str>> {
        match self.as_map()?.get(ID)? {
            Value::Text(id) if !id.is_empty() && id.len() <= ID_BYTES_MAX => Some(Cow::Borrowed(id)),
            Value::Number(id) => match exact(id) {
                Exact::Integer(id) => Some(Cow::Owned(id.to_string())),
                Exact::Float(_) => None,
            },
            _ => None,
        }
    }

    /// The array of these: a list if they all have ids of their own.
    pub(crate) fn array(items: Vec<Value>) -> Self {
        let mut seen: HashSet<Cow<'_, str>, FixedState> = HashSet::default();
        if !items.iter().all(|item| item.element_key().is_some_and(|key| seen.insert(key))) {
            return Value::Array(items);
        }
        drop(seen);
        let mut elements = Keyed::default();
        for item in items {
            if let Some(key) = item.element_key().map(Cow::into_owned) {
                elements.put(&key, item);
            }
        }
        Value::List(Box::new(elements))
    }

    /// About how many bytes it holds.
    pub(crate) fn weight(&self) -> usize {
        let within = match self {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::Text(text) => text.len(),
            Value::Array(items) => items.iter().map(Value::weight).sum(),
            Value::Map(members) | Value::List(members) => {
                members.iter().map(|(key, member)| key.len() + member.weight()).sum()
            }
        };
        size_of::<Value>() + within
    }

    /// The JSON text.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// Appends the JSON text.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Number(number) => out.push_str(&number.to_string()),
            Value::Text(text) => write_string(text, out),
            Value::Array(items) => separated(out, ['[', ']'], items, |out, item| item.write_json(out)),
            Value::List(items) => separated(out, ['[', ']'], items.iter(), |out, (_, item)| item.write_json(out)),
            Value::Map(members) => separated(out, ['{', '}'], members.iter(), |out, (key, member)| {
                write_string(key, out);
                out.push(':');
                member.write_json(out);
            }),
        }
    }
}

fn separated<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    write: impl Fn(&mut String, T),
) {
    out.push(open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

fn write_string(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("any text is a JSON string"));
}

/// A number by which it is compared.
#[derive(PartialEq)]
enum Exact {
    Integer(i128),
    Float(f64),
}

fn exact(number: &Number) -> Exact {
    /// Up to here every integer is a float of its own.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if let Some(n) = number.as_i64() {
        return Exact::Integer(n.into());
    }
    if let Some(n) = number.as_u64() {
        return Exact::Integer(n.into());
    }
    match number.as_f64() {
        Some(x) if x.fract() == 0.0 && x.abs() < EXACT_MAX => Exact::Integer(x as i128),
        x => Exact::Float(x.unwrap_or(f64::INFINITY)),
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => a == b || exact(a) == exact(b),
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => a == b,
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().eq(b.iter()),
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len() && a.iter().all(|(key, member)| b.get(key) == Some(member))
            }
            _ => false,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

/// In logs and snapshots a value is its JSON text, whatever the format around it.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.to_json())
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let json = Box::<str>::deserialize(d)?;
        Value::parse(&json).map_err(D::Error::custom)
    }
}

/// How the reader's refusal begins, by which it is told from what the parser says.
const TOO_DEEP: &str = "too deep";

/// Reads a value at some depth.
#[derive(Clone, Copy)]
struct Depth(usize);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // JSON has no other floats than finite ones.
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut members = Keyed::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            members.put(&key, map.next_value_seed(inner)?);
        }
        Ok(Value::Map(Box::new(members)))
    }
}

impl Depth {
    fn inner<E: serde::de::Error>(self) -> Result<Depth, E> {
        if self.0 >= PATH_DEPTH_MAX { Err(E::custom(TOO_DEEP)) } else { Ok(Depth(self.0 + 1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        Value::parse(json).unwrap()
    }

    #[test]
    fn a_document_is_printed_as_it_was_read() {
        for json in [
            r#"{"z":1,"a":[[7.291,-12.729],[5.758,-17.591]],"m":{"b":null,"a":true},"t":"é\n\"","l":[{"id":"x"},{"id":7}]}"#,
            "[]",
            "1.0",
            r#"[{"id":"x"},{"id":"x"}]"#,
            r#"[{"id":"x"},{"name":"y"}]"#,
        ] {
            assert_eq!(value(json).to_json(), json);
        }
    }

    #[test]
    fn equality_is_that_of_json() {
        for (a, b, equal) in [
            ("1", "1.0", true),
            ("-0.0", "0", true),
            ("9007199254740993", "9007199254740992.0", false),
            (r#"{"a":1,"b":2}"#, r#"{"b":2.0,"a":1}"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#, false),
            (r#"[{"id":1},{"id":2}]"#, r#"[{"id":2},{"id":1}]"#, false),
            (r#"[{"id":1}]"#, r#"[{"id":1.0}]"#, true),
            ("[1,[2]]", "[1,[2.0]]", true),
            (r#""1""#, "1", false),
        ] {
            assert_eq!(value(a) == value(b), equal, "{a} {b}");
        }
    }

    #[test]
    fn elements_are_addressed_by_id_and_other_arrays_not_at_all() {
        let doc = value(r#"{"l":[{"id":"x","c":1},{"id":7,"c":2}],"twice":[{"id":"x"},{"id":"x"}],"p":[[1,2]]}"#);
        assert_eq!(doc.at("/l/x/c"), Some(&value("1")));
        assert_eq!(doc.at("/l/7/c"), Some(&value("2")));
        for nowhere in ["/l/0", "/twice/x", "/p/0", "/l/x/c/d"] {
            assert_eq!(doc.at(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn depth_and_paths_are_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Value::parse(&nested(64)).is_ok());
        assert_eq!(Value::parse(&nested(65)), Err(BadValue::TooDeep));
        let long = format!(r#"{{"{}":1}}"#, "k".repeat(PATH_BYTES_MAX));
        assert_eq!(Value::parse(&long), Err(BadValue::PathTooLong(PATH_BYTES_MAX + 1)));
        assert!(matches!(Value::parse("{"), Err(BadValue::Json(_))));
        assert!(matches!(Value::parse("1 2"), Err(BadValue::Json(_))));
    }
}
