//! What does a POST bring along? The documentation sent JSON bodies, the original server took query parameters: both are
//! read here and understood in [`Fields`]. A body is bounded in size, time and depth before it is parsed.

use std::collections::HashMap;

use arxosrt_core::wire::json::{deeper_than, whole_characters};
use axum::body::{Bytes, HttpBody};
use axum::extract::{FromRequest, Query, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::answer::Problem;
use super::fields::{self, Fields};
use super::{Context, HttpLimits};

/// A request's inputs, not yet understood.
pub struct Input {
    query: Vec<(String, String)>,
    body: Option<Box<RawValue>>,
    /// The body's fields, if it is an object.
    fields: HashMap<String, Box<RawValue>>,
    limits: HttpLimits,
}

impl FromRequest<Context> for Input {
    type Rejection = Problem;

    async fn from_request(request: Request, context: &Context) -> Result<Self, Problem> {
        let Query(query) = Query::try_from_uri(request.uri())
            .map_err(|error| Problem::new("bad_request", format!("the query is malformed: {error}")))?;
        let body = read_body(request, &context.limits).await?;
        Input::parse(query, &body, context.limits)
    }
}

impl Input {
    fn parse(query: Vec<(String, String)>, body: &[u8], limits: HttpLimits) -> Result<Self, Problem> {
        if body.trim_ascii().is_empty() {
            return Ok(Input { query, body: None, fields: HashMap::new(), limits });
        }
        let text = whole_characters(std::str::from_utf8(body).map_err(not_json)?);
        if deeper_than(&text, limits.json_depth_max) {
            let message = format!("the body nests more than {} arrays and objects", limits.json_depth_max);
            return Err(Problem::new("too_deep", message));
        }
        let whole: Box<RawValue> = serde_json::from_str(&text).map_err(not_json)?;
        let fields = match fields::is_object(&whole) {
            true => serde_json::from_str(whole.get()).map_err(not_json)?,
            false => HashMap::new(),
        };
        Ok(Input { query, body: Some(whole), fields, limits })
    }

    /// All of these are in the query: then the original read nothing but free content from the body.
    pub fn is_in_query(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.in_query(name).is_some())
    }

    /// To read the fields, from the body first.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(self, true)
    }

    /// To read the fields from the query alone: the body is content.
    pub fn query_fields(&self) -> Fields<'_> {
        Fields::new(self, false)
    }

    /// The whole body, if there is one.
    pub fn body(&self) -> Option<&RawValue> {
        self.body.as_deref()
    }

    /// A field of the body.
    pub(super) fn in_body(&self, name: &str) -> Option<&RawValue> {
        self.fields.get(name).map(|raw| &**raw)
    }

    /// A parameter of the query. The last one counts, as the original had it.
    pub(super) fn in_query(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn limits(&self) -> &HttpLimits {
        &self.limits
    }
}

fn not_json(error: impl std::fmt::Display) -> Problem {
    Problem::new("invalid_json", format!("the body is not JSON: {error}"))
}

/// The whole body, if it is small and quick enough.
pub(super) async fn read_body(request: Request, limits: &HttpLimits) -> Result<Bytes, Problem> {
    let bytes_max = limits.body_bytes_max;
    let too_large = || Problem::new("too_large", format!("the body has more than {bytes_max} bytes"));
    if request.body().size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), bytes_max);
    match timeout(limits.body_timeout, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::new("bad_request", format!("the body cannot be read: {error}"))),
        Err(_elapsed) => {
            let ms = limits.body_timeout.as_millis();
            Err(Problem::new("body_timeout", format!("the body was not complete within {ms} ms")))
        }
    }
}
