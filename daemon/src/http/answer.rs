//! How does the daemon answer over HTTP, and with which status does it say no?
//!
//! Every JSON body carries `timestamp`. Every refusal has one shape, with its text twice: one generation of clients reads
//! `message`, another `detail`.

use std::time::{SystemTime, UNIX_EPOCH};

use arxosrt_core::time::Wall;
use arxosrt_core::wire::code::ErrorCode;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::hub::ask::Refused;

/// What may be tried again is worth trying after this many seconds.
const RETRY_AFTER_S: u16 = 1;

/// The text of clients that have known no other for `not_connected`.
const NOT_CONNECTED: &str = "User not connected via WebSocket";

/// The most of a client's text that is repeated to it, in characters.
const ECHO_CHARS_MAX: usize = 80;

/// The status of each code, and whether `Retry-After` is said: the hub's codes of `wire::code`, and our own.
///
/// A code that is not here is the asker's fault until somebody says otherwise: 400.
const CODES: &[(&str, u16, bool)] = &[
    // The request cannot be understood.
    ("bad_request", 400, false),
    ("bad_message", 400, false),
    ("unknown_type", 400, false),
    ("hello_late", 400, false),
    ("invalid_json", 400, false),
    ("not_an_object", 400, false),
    ("too_deep", 400, false),
    ("invalid_lock_type", 400, false),
    ("unknown_route", 404, false),
    ("method_not_allowed", 405, false),
    ("body_timeout", 408, false),
    ("too_large", 413, false),
    ("unsupported_media_type", 415, false),
    ("validation_error", 422, false),
    ("bad_id", 422, false),
    ("room_required", 422, false),
    ("cross_building", 422, false),
    ("bad_edit", 422, false),
    ("upgrade_required", 426, false),
    // It is understood, and not allowed or not possible as things are.
    ("not_connected", 400, false),
    ("host_forbidden", 403, false),
    ("origin_forbidden", 403, false),
    ("not_a_member", 403, false),
    ("not_holder", 403, false),
    ("not_same_user", 403, false),
    ("not_found", 404, false),
    ("unknown_strategy", 404, false),
    ("user_not_found", 404, false),
    ("lock_not_found", 404, false),
    ("wait_not_found", 404, false),
    ("request_not_found", 404, false),
    ("conflict_not_found", 404, false),
    ("already_requested", 409, false),
    ("own_lock", 409, false),
    ("lock_held", 409, false),
    ("deadlock", 409, false),
    ("wait_timed_out", 409, false),
    ("wait_cancelled", 409, false),
    ("limit", 409, false),
    ("base_too_old", 409, false),
    ("base_ahead", 409, false),
    ("already_resolved", 409, false),
    ("value_changed", 412, false),
    ("revision_changed", 412, false),
    ("token_changed", 412, false),
    // Something is broken here.
    ("internal", 500, false),
    ("bad_origin", 502, false),
    // Later it may be.
    ("rate_limited", 429, true),
    ("store_unavailable", 503, true),
    ("origin_unavailable", 503, true),
    ("cache_unavailable", 503, true),
    ("cache_busy", 503, true),
    ("draining", 503, true),
    ("hub_gone", 503, true),
    ("timeout", 503, true),
];

/// A refusal on its way to the client.
#[derive(Debug)]
pub struct Problem {
    code: &'static str,
    message: String,
    wrong_fields: Vec<String>,
}

impl Problem {
    /// A refusal with a code of the table above and a sentence for people.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Problem { code, message: message.into(), wrong_fields: Vec::new() }
    }

    /// What the sentence is about.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Inputs that are absent or not what they should be, each as `where -> name: what`.
    pub fn wrong_fields(wrong_fields: Vec<String>) -> Self {
        Problem { code: "validation_error", message: wrong_fields.join("; "), wrong_fields }
    }
}

impl From<(ErrorCode, String)> for Problem {
    fn from((code, detail): (ErrorCode, String)) -> Self {
        Problem::new(code.name, detail)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let message = if refused.code == "not_connected" { NOT_CONNECTED.to_owned() } else { refused.message };
        Problem::new(refused.code, message)
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    success: bool,
    message: &'a str,
    detail: &'a str,
    error_code: &'a str,
    status_code: u16,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    validation_errors: &'a [String],
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status_code, retry) = status_of(self.code);
        let body = Envelope {
            success: false,
            message: &self.message,
            detail: &self.message,
            error_code: self.code,
            status_code,
            validation_errors: &self.wrong_fields,
        };
        let mut response = stamped(body);
        *response.status_mut() = StatusCode::from_u16(status_code).expect("the table holds statuses");
        if retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
    }
}

fn status_of(code: &str) -> (u16, bool) {
    let row = CODES.iter().find(|(name, ..)| *name == code);
    row.map_or((400, false), |(_, status, retry)| (*status, *retry))
}

#[derive(Serialize)]
struct Stamped<T> {
    #[serde(flatten)]
    body: T,
    timestamp: String,
}

/// `body`, a JSON object, with the time of the answer.
pub fn stamped(body: impl Serialize) -> Response {
    let stamped = Stamped { body, timestamp: now().to_string() };
    // What is true of a room now is no answer to the next question.
    ([(header::CACHE_CONTROL, "no-store")], Json(stamped)).into_response()
}

/// A client's text as it may be repeated to it.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(ECHO_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn now() -> Wall {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_stands_once_in_the_table_with_a_status_that_says_no() {
        let names: HashSet<_> = CODES.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), CODES.len());
        for (name, status, retry) in CODES {
            assert!((400..600).contains(status), "{name}");
            assert_eq!(*retry, matches!(status, 429 | 503), "{name}");
        }
        assert_eq!(status_of("from_the_future"), (400, false));
    }

    #[test]
    fn every_code_that_the_hub_may_send_stands_in_the_table() {
        for code in arxosrt_core::wire::code::ERRORS {
            assert!(CODES.iter().any(|(name, ..)| *name == code.name), "{code:?}");
        }
    }

    #[test]
    fn a_text_is_repeated_up_to_a_bound_and_never_cut_inside_a_character() {
        assert_eq!(shortened("floor"), "floor");
        assert_eq!(shortened(&"🏢".repeat(81)), format!("{}…", "🏢".repeat(80)));
    }
}
