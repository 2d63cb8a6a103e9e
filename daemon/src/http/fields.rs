//! What do a POST's inputs mean? Each field is looked for in the body and then in the query, so where it is in both, the
//! body wins.
//!
//! Ids may come as numbers (`floor_id: 42`); they are text from here on. All that is wrong with a request is said at
//! once: a reader of a field that finds something wrong notes it and answers `None`, and [`Fields::check`] refuses.

use std::fmt::Display;

use arxosrt_core::id::BadId;
use arxosrt_core::wire::json::{deeper_than, whole_characters};
use serde_json::value::RawValue;

use super::answer::{Problem, shortened};
use super::input::Input;
use crate::hub::ask::Patch;

/// Reads fields and keeps count of what is wrong with them.
pub struct Fields<'a> {
    input: &'a Input,
    from_body: bool,
    wrong: Vec<String>,
}

/// A field where it was found.
#[derive(Clone, Copy)]
enum Found<'a> {
    Body(&'a RawValue),
    Query(&'a str),
}

impl Found<'_> {
    fn place(self) -> &'static str {
        match self {
            Found::Body(_) => "body",
            Found::Query(_) => "query",
        }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn new(input: &'a Input, from_body: bool) -> Self {
        let mut fields = Fields { input, from_body, wrong: Vec::new() };
        if from_body {
            fields.check_body_is_object();
        }
        fields
    }

    /// A field that must be there: an id.
    pub fn id<T>(&mut self, name: &str, make: fn(&str) -> Result<T, BadId>) -> Option<T> {
        let Some(found) = self.find(name) else {
            return self.missing(name);
        };
        self.make_id(name, found, make)
    }

    /// A field that may be there: an id.
    pub fn optional_id<T>(&mut self, name: &str, make: fn(&str) -> Result<T, BadId>) -> Option<T> {
        let found = self.find(name)?;
        self.make_id(name, found, make)
    }

    /// A field that must be there: a text that means something.
    pub fn parsed<T, E: Display>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let Some(found) = self.find(name) else {
            return self.missing(name);
        };
        self.make_parsed(name, found, parse)
    }

    /// A field that may be there: a text that means something.
    pub fn optional_parsed<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let found = self.find(name)?;
        self.make_parsed(name, found, parse)
    }

    /// What the asker made of a field; what is wrong with it is kept.
    pub fn understood<T>(&mut self, name: &str, made: Result<T, String>) -> Option<T> {
        match made {
            Ok(made) => Some(made),
            Err(what) => {
                let place = self.find_or_null(name).map_or("body", Found::place);
                self.note(place, name, what)
            }
        }
    }

    /// Whether a field is there and says `true`.
    pub fn flag(&mut self, name: &str) -> bool {
        let Some(found) = self.find(name) else { return false };
        let text = match found {
            Found::Body(raw) => raw.get(),
            Found::Query(text) => text,
        };
        match text {
            "true" => true,
            "false" => false,
            _ => self.note(found.place(), name, "Input should be true or false").unwrap_or_default(),
        }
    }

    /// A field that must be there: a text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let Some(found) = self.find(name) else {
            return self.missing(name);
        };
        self.make_text(name, found)
    }

    /// A field that may be there: a text of at most `bytes_max`.
    pub fn optional_text(&mut self, name: &str, bytes_max: usize) -> Option<String> {
        let found = self.find(name)?;
        let text = self.make_text(name, found)?;
        match text.len() {
            len if len > bytes_max => self.note(found.place(), name, too_long(len, bytes_max)),
            _ => Some(text),
        }
    }

    /// A field that must be there: a whole number from 0 to `max`.
    pub fn number(&mut self, name: &str, max: u64) -> Option<u64> {
        let Some(found) = self.find(name) else {
            return self.missing(name);
        };
        self.make_number(name, found, max)
    }

    /// A field that may be there: a whole number from 0 to `max`.
    pub fn optional_number(&mut self, name: &str, max: u64) -> Option<u64> {
        let found = self.find(name)?;
        self.make_number(name, found, max)
    }

    /// A field that must be there: any JSON value, `null` included.
    pub fn json(&mut self, name: &str) -> Option<Box<RawValue>> {
        let Some(found) = self.find_or_null(name) else {
            return self.missing(name);
        };
        self.make_json(name, found)
    }

    /// A field that may be there, under the first of `names`: a JSON object.
    pub fn optional_object(&mut self, names: &[&str]) -> Option<Box<RawValue>> {
        let (name, found) = names.iter().find_map(|name| Some((name, self.find(name)?)))?;
        self.make_object(name, found)
    }

    /// Those of the named fields that are there as one JSON object, for what is understood elsewhere. In the query
    /// `texts` are plain text and `values` are JSON.
    pub fn object_of(&mut self, texts: &[&str], values: &[&str]) -> String {
        let mut object = String::from("{");
        for (names, is_text) in [(texts, true), (values, false)] {
            for name in names {
                let json = match self.find_or_null(name) {
                    Some(Found::Query(text)) if is_text => Some(json_string(text)),
                    Some(found) => self.make_json(name, found),
                    None => None,
                };
                if let Some(json) = json {
                    let comma = if object.len() > 1 { "," } else { "" };
                    object.push_str(&format!("{comma}\"{name}\":{json}"));
                }
            }
        }
        object.push('}');
        object
    }

    /// The whole body, which must be there: any JSON value.
    pub fn whole_body(&mut self) -> Option<Box<RawValue>> {
        if self.input.body().is_none() {
            self.wrong.push("body: Field required".to_owned());
        }
        self.input.body().map(ToOwned::to_owned)
    }

    /// The whole body, which may be there: a JSON object.
    pub fn whole_body_object(&mut self) -> Option<Box<RawValue>> {
        self.check_body_is_object();
        let body = self.input.body().filter(|body| !is_null(body))?;
        let (len, max) = (body.get().len(), self.input.limits().value_bytes_max);
        if len > max {
            self.wrong.push(format!("body: {}", too_long(len, max)));
        }
        Some(body.to_owned())
    }

    /// A change of an id: absent leaves it, `null` clears it.
    pub fn id_patch<T>(&mut self, name: &str, make: fn(&str) -> Result<T, BadId>) -> Patch<T> {
        self.patch(&[name], |fields, name, found| fields.make_id(name, found, make))
    }

    /// A change of any JSON value. In the query it is JSON too.
    pub fn json_patch(&mut self, name: &str) -> Patch<Box<RawValue>> {
        self.patch(&[name], |fields, name, found| {
            let json = fields.make_json(name, found)?;
            fields.bounded(name, found, json)
        })
    }

    /// A change of any JSON value. In the query it is plain text.
    pub fn text_patch(&mut self, name: &str) -> Patch<Box<RawValue>> {
        self.patch(&[name], |fields, name, found| {
            let json = match found {
                Found::Body(raw) => raw.to_owned(),
                Found::Query(text) => json_string(text),
            };
            fields.bounded(name, found, json)
        })
    }

    /// A change of a JSON object, under the first of `names`.
    pub fn object_patch(&mut self, names: &[&str]) -> Patch<Box<RawValue>> {
        self.patch(names, Self::make_object)
    }

    /// Says all that was wrong, if anything was.
    pub fn check(&mut self) -> Result<(), Problem> {
        match self.wrong.is_empty() {
            true => Ok(()),
            false => Err(self.problem()),
        }
    }

    /// All that was wrong.
    pub fn problem(&mut self) -> Problem {
        Problem::wrong_fields(std::mem::take(&mut self.wrong))
    }

    fn check_body_is_object(&mut self) {
        if self.input.body().is_some_and(|body| !is_object(body) && !is_null(body)) {
            self.wrong.push("body: Input should be an object".to_owned());
        }
    }

    /// A field that says something: `null` says nothing.
    fn find(&self, name: &str) -> Option<Found<'a>> {
        self.find_or_null(name).filter(|found| !matches!(found, Found::Body(raw) if is_null(raw)))
    }

    fn find_or_null(&self, name: &str) -> Option<Found<'a>> {
        let in_body = self.input.in_body(name).filter(|_| self.from_body).map(Found::Body);
        in_body.or_else(|| self.input.in_query(name).map(Found::Query))
    }

    fn patch<T>(&mut self, names: &[&str], make: impl FnOnce(&mut Self, &str, Found<'a>) -> Option<T>) -> Patch<T> {
        match names.iter().find_map(|name| Some((name, self.find_or_null(name)?))) {
            None => Patch::Keep,
            Some((_, Found::Body(raw))) if is_null(raw) => Patch::Clear,
            // What is wrong has been noted, and the request will not go on.
            Some((name, found)) => make(self, name, found).map_or(Patch::Keep, Patch::Set),
        }
    }

    fn make_id<T>(&mut self, name: &str, found: Found<'_>, make: fn(&str) -> Result<T, BadId>) -> Option<T> {
        self.make_parsed(name, found, make)
    }

    fn make_parsed<T, E: Display>(
        &mut self,
        name: &str,
        found: Found<'_>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.make_text(name, found)?;
        match parse(&text) {
            Ok(made) => Some(made),
            Err(error) => self.note(found.place(), name, error),
        }
    }

    /// Whole numbers become the text that they were sent as.
    fn make_text(&mut self, name: &str, found: Found<'_>) -> Option<String> {
        let raw = match found {
            Found::Query(text) => return Some(text.to_owned()),
            Found::Body(raw) => raw.get(),
        };
        if raw.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            return Some(raw.to_owned());
        }
        match serde_json::from_str(raw) {
            Ok(text) => Some(text),
            Err(_) => self.note("body", name, "Input should be a string or an integer"),
        }
    }

    fn make_number(&mut self, name: &str, found: Found<'_>, max: u64) -> Option<u64> {
        let text = self.make_text(name, found)?;
        match text.parse() {
            Ok(n) if n <= max => Some(n),
            _ => {
                let text = shortened(&text);
                let what = format!("Input should be an integer from 0 to {max}, not {text}");
                self.note(found.place(), name, what)
            }
        }
    }

    fn make_json(&mut self, name: &str, found: Found<'_>) -> Option<Box<RawValue>> {
        let text = match found {
            // Its depth was checked with the body's.
            Found::Body(raw) => return Some(raw.to_owned()),
            Found::Query(text) => text,
        };
        let depth_max = self.input.limits().json_depth_max;
        if deeper_than(text, depth_max) {
            let what = format!("Input nests more than {depth_max} arrays and objects");
            return self.note("query", name, what);
        }
        match serde_json::from_str(&whole_characters(text)) {
            Ok(raw) => Some(raw),
            Err(error) => self.note("query", name, format!("Input should be JSON: {error}")),
        }
    }

    fn make_object(&mut self, name: &str, found: Found<'_>) -> Option<Box<RawValue>> {
        let raw = self.make_json(name, found)?;
        match is_object(&raw) {
            true => self.bounded(name, found, raw),
            false => self.note(found.place(), name, "Input should be an object"),
        }
    }

    fn bounded(&mut self, name: &str, found: Found<'_>, json: Box<RawValue>) -> Option<Box<RawValue>> {
        let (len, max) = (json.get().len(), self.input.limits().value_bytes_max);
        if len > max {
            return self.note(found.place(), name, too_long(len, max));
        }
        Some(json)
    }

    fn missing<T>(&mut self, name: &str) -> Option<T> {
        // The body is where the documentation puts every field.
        self.note("body", name, "Field required")
    }

    fn note<T>(&mut self, place: &str, name: &str, what: impl Display) -> Option<T> {
        self.wrong.push(format!("{place} -> {name}: {what}"));
        None
    }
}

pub(super) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

fn too_long(len: usize, max: usize) -> String {
    format!("Input should have at most {max} bytes, this one has {len}")
}

fn json_string(text: &str) -> Box<RawValue> {
    let json = serde_json::to_string(text).expect("any text is a JSON string");
    RawValue::from_string(json).expect("a JSON string is JSON")
}
