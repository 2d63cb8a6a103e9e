//! A refusal on its way out: a code of the shared table and a sentence about this occurrence.
//!
//! Handlers return a [`Failure`]; the server adds the request's id and writes the body, in one place, so that every
//! refusal looks alike whoever noticed it.

use arxosrt_core::control::code::{Code, Problem};
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::records::RecordsError;
use crate::hub::ask::Refused;

/// When a busy daemon is worth another try, in seconds.
const RETRY_AFTER_S: &str = "1";

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The row of the table.
    pub code: Code,
    /// This occurrence: lowercase, no full stop, naming the value and the limit.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Figures for programs.
    pub details: Option<Value>,
}

impl Failure {
    /// A refusal without a hint.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Failure { code, detail: detail.into(), hint: None, details: None }
    }

    /// The same with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The hub's refusal. A code of the hub that has no row of its own is shown as `refused` with the code in `details`.
    pub fn from_hub(refused: Refused) -> Self {
        match Code::parse(refused.code) {
            Some(code) => Failure::new(code, refused.message),
            None => Failure {
                details: Some(serde_json::json!({ "code": refused.code })),
                ..Failure::new(Code::Refused, refused.message)
            },
        }
    }

    /// The hub's plain `not_found` by the name of what was looked for.
    pub fn or_not_found(self, code: Code) -> Self {
        let is_plain = self.details.as_ref().is_some_and(|details| details["code"] == "not_found");
        if is_plain { Failure::new(code, self.detail) } else { self }
    }

    /// The store's refusal.
    pub fn from_records(error: RecordsError) -> Self {
        match error {
            RecordsError::UnknownBuilding => Failure::new(Code::BuildingNotFound, "no log of this building is kept"),
            RecordsError::Unavailable(why) => Failure::new(Code::StoreUnavailable, why),
            RecordsError::NotKept(what) => Failure::new(Code::Refused, format!("the engine in use keeps no {what}")),
        }
    }

    /// The whole answer.
    pub fn render(self, request_id: &str) -> Response {
        let code = self.code;
        let problem = Problem {
            code: code.name().into(),
            title: code.title().into(),
            detail: self.detail,
            hint: self.hint,
            retryable: code.retryable(),
            request_id: request_id.into(),
            status: code.status(),
            details: self.details,
        };
        let body = serde_json::to_vec(&problem).expect("a problem is plain data with text keys");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(code.status()).expect("the table holds statuses from 400 to 599, its test says");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if code.retryable() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        response
    }
}

impl IntoResponse for Failure {
    /// An empty answer that carries the failure to the server, which renders it.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}
