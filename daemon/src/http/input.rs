//! What does a POST say? The documentation sent JSON bodies, the original server took query parameters: both are read,
//! and where a field is in both, the body wins.
//!
//! Ids may come as numbers (`floor_id: 42`); they are text from here on. All that is wrong with a request is said at
//! once.

use std::collections::HashMap;

use arxosrt_core::id::BadId;
use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, Query, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::answer::{Problem, shortened};
use super::{Context, HttpLimits, depth};
use crate::hub::ask::Patch;

/// A request's inputs, not yet understood.
#[derive(Debug)]
pub struct Input {
    query: Vec<(String, String)>,
    body: Option<Box<RawValue>>,
    fields: HashMap<String, Box<RawValue>>,
    json_depth_max: usize,
}

impl FromRequest<Context> for Input {
    type Rejection = Problem;

    async fn from_request(request: Request, context: &Context) -> Result<Self, Problem> {
        let query = Query::try_from_uri(request.uri()).map_err(|error| {
            Problem::new("bad_request", format!("the query is malformed: {error}"))
        })?;
        let body = read_body(request, &context.limits).await?;
        Input::parse(query.0, &body, context.limits.json_depth_max)
    }
}

impl Input {
    fn parse(
        query: Vec<(String, String)>,
        body: &[u8],
        json_depth_max: usize,
    ) -> Result<Self, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(Input {
                query,
                body: None,
                fields: HashMap::new(),
                json_depth_max,
            });
        }
        if !depth::is_within(body, json_depth_max) {
            return Err(Problem::new(
                "json_too_deep",
                format!("the body {}", too_deep(json_depth_max)),
            ));
        }
        let not_json =
            |error| Problem::new("invalid_json", format!("the body is not JSON: {error}"));
        let whole: Box<RawValue> = serde_json::from_slice(body).map_err(not_json)?;
        let fields = match whole.get().starts_with('{') {
            true => serde_json::from_str(whole.get()).map_err(not_json)?,
            false => HashMap::new(),
        };
        Ok(Input {
            query,
            body: Some(whole),
            fields,
            json_depth_max,
        })
    }

    /// All of these are in the query: then the original read nothing but free content from the body.
    pub fn is_in_query(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.in_query(name).is_some())
    }

    /// There is a body.
    pub fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// To read the fields, from the body first.
    pub fn fields(&self) -> Fields<'_> {
        let mut wrong = Vec::new();
        if let Some(body) = &self.body
            && !is_object(body)
            && !is_null(body)
        {
            wrong.push("body: Input should be an object".to_owned());
        }
        Fields {
            input: self,
            body_is_content: false,
            wrong,
        }
    }

    /// To read the fields from the query alone.
    pub fn query_fields(&self) -> Fields<'_> {
        Fields {
            input: self,
            body_is_content: true,
            wrong: Vec::new(),
        }
    }

    /// The last one counts, as the original had it.
    fn in_query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Reads fields and keeps count of what is wrong with them.
pub struct Fields<'a> {
    input: &'a Input,
    body_is_content: bool,
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

    /// A field that must be there: a text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let Some(found) = self.find(name) else {
            return self.missing(name);
        };
        self.make_text(name, found)
    }

    /// A field that may be there: a text.
    pub fn optional_text(&mut self, name: &str) -> Option<String> {
        let found = self.find(name)?;
        self.make_text(name, found)
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
        let (name, found) = names
            .iter()
            .find_map(|name| Some((name, self.find(name)?)))?;
        self.make_object(name, found)
    }

    /// The whole body, which must be there: any JSON value.
    pub fn whole_body(&mut self) -> Option<Box<RawValue>> {
        if self.input.body.is_none() {
            self.wrong.push("body: Field required".to_owned());
        }
        self.input.body.clone()
    }

    /// The whole body, which may be there: a JSON object.
    pub fn whole_body_object(&mut self) -> Option<Box<RawValue>> {
        let body = self.input.body.as_ref().filter(|body| !is_null(body))?;
        if !is_object(body) {
            self.wrong
                .push("body: Input should be an object".to_owned());
        }
        Some(body.clone())
    }

    /// A change of an id: absent leaves it, `null` clears it.
    pub fn id_patch<T>(&mut self, name: &str, make: fn(&str) -> Result<T, BadId>) -> Patch<T> {
        self.patch(&[name], |fields, found| fields.make_id(name, found, make))
    }

    /// A change of any JSON value. In the query it is JSON too.
    pub fn json_patch(&mut self, name: &str) -> Patch<Box<RawValue>> {
        self.patch(&[name], |fields, found| fields.make_json(name, found))
    }

    /// A change of any JSON value. In the query it is plain text.
    pub fn text_patch(&mut self, name: &str) -> Patch<Box<RawValue>> {
        self.patch(&[name], |fields, found| match found {
            Found::Body(_) => fields.make_json(name, found),
            Found::Query(text) => Some(json_string(text)),
        })
    }

    /// A change of a JSON object, under the first of `names`.
    pub fn object_patch(&mut self, names: &[&str]) -> Patch<Box<RawValue>> {
        self.patch(names, |fields, found| fields.make_object(names[0], found))
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

    fn find(&self, name: &str) -> Option<Found<'a>> {
        self.find_or_null(name)
            .filter(|found| !matches!(found, Found::Body(raw) if is_null(raw)))
    }

    fn find_or_null(&self, name: &str) -> Option<Found<'a>> {
        if !self.body_is_content
            && let Some(raw) = self.input.fields.get(name)
        {
            return Some(Found::Body(raw));
        }
        self.input.in_query(name).map(Found::Query)
    }

    fn patch<T>(
        &mut self,
        names: &[&str],
        make: impl FnOnce(&mut Self, Found<'a>) -> Option<T>,
    ) -> Patch<T> {
        match names.iter().find_map(|name| self.find_or_null(name)) {
            None => Patch::Keep,
            Some(Found::Body(raw)) if is_null(raw) => Patch::Clear,
            // What is wrong has been noted, and the request will not go on.
            Some(found) => make(self, found).map_or(Patch::Keep, Patch::Set),
        }
    }

    fn make_id<T>(
        &mut self,
        name: &str,
        found: Found<'_>,
        make: fn(&str) -> Result<T, BadId>,
    ) -> Option<T> {
        let text = self.make_text(name, found)?;
        match make(&text) {
            Ok(id) => Some(id),
            Err(error) => self.note(found.place(), name, error),
        }
    }

    /// Numbers become the text that they were sent as.
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
                let what = format!(
                    "Input should be an integer from 0 to {max}, not {}",
                    shortened(&text)
                );
                self.note(found.place(), name, what)
            }
        }
    }

    fn make_json(&mut self, name: &str, found: Found<'_>) -> Option<Box<RawValue>> {
        match found {
            Found::Body(raw) => Some(raw.to_owned()),
            Found::Query(text) if !depth::is_within(text.as_bytes(), self.input.json_depth_max) => {
                self.note(
                    "query",
                    name,
                    format!("Input {}", too_deep(self.input.json_depth_max)),
                )
            }
            Found::Query(text) => match serde_json::from_str(text) {
                Ok(raw) => Some(raw),
                Err(error) => self.note("query", name, format!("Input should be JSON: {error}")),
            },
        }
    }

    fn make_object(&mut self, name: &str, found: Found<'_>) -> Option<Box<RawValue>> {
        let raw = self.make_json(name, found)?;
        if !is_object(&raw) {
            return self.note(found.place(), name, "Input should be an object");
        }
        Some(raw)
    }

    fn missing<T>(&mut self, name: &str) -> Option<T> {
        // The body is where the documentation puts every field.
        self.note("body", name, "Field required")
    }

    fn note<T>(&mut self, place: &str, name: &str, what: impl std::fmt::Display) -> Option<T> {
        self.wrong.push(format!("{place} -> {name}: {what}"));
        None
    }
}

/// The whole body, if it is small and quick enough.
async fn read_body(request: Request, limits: &HttpLimits) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            "too_large",
            format!("the body has more than {} bytes", limits.body_bytes_max),
        )
    };
    if request.body().size_hint().lower() > limits.body_bytes_max as u64 {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), limits.body_bytes_max);
    match timeout(limits.body_timeout, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::new(
            "bad_request",
            format!("the body is broken: {error}"),
        )),
        Err(_elapsed) => {
            let message = format!(
                "the body was not complete within {} ms",
                limits.body_timeout.as_millis()
            );
            Err(Problem::new("body_timeout", message))
        }
    }
}

fn too_deep(max: usize) -> String {
    format!("nests more than {max} arrays and objects")
}

fn json_string(text: &str) -> Box<RawValue> {
    let json = serde_json::to_string(text).expect("any text is a JSON string");
    RawValue::from_string(json).expect("a JSON string is JSON")
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}
