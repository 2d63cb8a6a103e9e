//! Edits over REST: for people whose events come over server-sent events, and for programs in a person's name.
//!
//! An edit that is not simply in the document is no failure of the request: it is 200 with `success: false` and the word
//! for what became of it, as a lock that somebody else holds is.

use std::collections::BTreeMap;

use arxosrt_core::id::{ResourceId, UserId};
use arxosrt_core::wire::inbound::Bounds;
use arxosrt_core::wire::inbound_edit::{self, SyncItem};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::Context;
use super::super::answer::{Problem, stamped};
use super::super::input::Input;
use super::{Answer, PathText, path_id};
use crate::http::HttpLimits;
use crate::hub::ask::Ask;

/// The largest version that JavaScript can say.
const VERSION_MAX: u64 = (1 << 53) - 1;

/// An edit's fields that are text, and those that are other JSON.
const EDIT_TEXTS: [&str; 3] = ["resource_id", "room_id", "edit_id"];
const EDIT_VALUES: [&str; 6] = ["base_version", "changes", "patch", "document", "fencing_token", "frame_version"];

/// `POST /edit`.
pub(super) async fn edit(State(context): State<Context>, input: Input) -> Answer {
    let mut fields = input.fields();
    let user = fields.id("user_id", UserId::new);
    fields.id("resource_id", ResourceId::new);
    fields.number("base_version", VERSION_MAX);
    let json = fields.object_of(&EDIT_TEXTS, &EDIT_VALUES);
    fields.check()?;
    let Some(user) = user else {
        return Err(fields.problem());
    };
    let edit = inbound_edit::parse_edit(&json, &bounds(&context.limits))?;
    let edit = Box::new(edit.into_owned());
    let answer = context.ask(|reply| Ask::Edit { user, edit, reply }).await?;
    Ok(stamped(Edited::read(&answer)?))
}

/// `POST /sync`.
pub(super) async fn sync(State(context): State<Context>, input: Input) -> Answer {
    let mut fields = input.fields();
    let user = fields.id("user_id", UserId::new);
    fields.json("edits");
    let json = fields.object_of(&[], &["edits"]);
    fields.check()?;
    let Some(user) = user else {
        return Err(fields.problem());
    };
    let edits = inbound_edit::parse_sync(&json, &bounds(&context.limits))?;
    let edits = edits.into_iter().map(SyncItem::into_owned).collect();
    let answer = context.ask(|reply| Ask::Sync { user, edits, reply }).await?;
    let results: Vec<Box<RawValue>> = serde_json::from_str(answer.get()).map_err(unexpected)?;
    let mut success = true;
    for result in &results {
        success &= Edited::read(result)?.success;
    }
    Ok(stamped(Synced { success, results }))
}

/// `GET /documents/{resource_id}`: whoever has this version already is told so without it.
pub(super) async fn document(State(context): State<Context>, resource: PathText, headers: HeaderMap) -> Answer {
    let resource_id = path_id("resource_id", resource, ResourceId::new)?;
    let resource = resource_id.clone();
    let found = context.ask(|reply| Ask::Document { resource, reply }).await?;
    let Some((version, document)) = found else {
        return Err(Problem::new("not_found", "no document of this resource is known"));
    };
    let tag = format!("\"{version}\"");
    let mut response = match is_known(&headers, &tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => stamped(Document { resource_id, version, document }),
    };
    let tag = HeaderValue::try_from(tag).expect("a number in quotes is a header");
    response.headers_mut().insert(header::ETAG, tag);
    // It may be kept, and must be asked for again before it is used.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Whether `If-None-Match` names this version. Tags are compared weakly, as RFC 9110 has it for reading.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).map(str::trim).any(|one| one.trim_start_matches("W/") == tag || one == "*")
}

/// What an edit may be. It asks for no locks, so their bound says nothing.
fn bounds(limits: &HttpLimits) -> Bounds {
    Bounds {
        json_depth: limits.json_depth_max,
        metadata_bytes: limits.value_bytes_max,
        resources_max: 0,
        changes_max: limits.changes_max,
    }
}

/// What became of an edit, as the hub says it, and whether it is in the document.
#[derive(Serialize)]
struct Edited {
    success: bool,
    #[serde(flatten)]
    answer: BTreeMap<String, Box<RawValue>>,
}

impl Edited {
    fn read(answer: &RawValue) -> Result<Self, Problem> {
        let answer: BTreeMap<String, Box<RawValue>> = serde_json::from_str(answer.get()).map_err(unexpected)?;
        let word = |name: &str| answer.get(name).map_or("", |raw| raw.get());
        // A repeat is as good as what was answered at first.
        let result = if word("result") == r#""duplicate""# { word("original") } else { word("result") };
        Ok(Edited { success: matches!(result, r#""applied""# | r#""merged""#), answer })
    }
}

#[derive(Serialize)]
struct Synced {
    /// All of them are in the documents.
    success: bool,
    results: Vec<Box<RawValue>>,
}

#[derive(Serialize)]
struct Document {
    resource_id: ResourceId,
    version: u64,
    document: Box<RawValue>,
}

fn unexpected(error: serde_json::Error) -> Problem {
    Problem::new("internal", format!("the hub's answer is not understood: {error}"))
}
