//! The shapes around the things: one document, one list, one line of a stream, and the bodies of requests.
//!
//! The CLI prints the same shapes that the daemon answers, so what a script learns from one holds for the other.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The longest wait between two lines of a stream: when nothing happens a heartbeat is sent.
pub const HEARTBEAT_MS: u64 = 5_000;

/// A list: `{"api_version":…,"kind":"LockList","generated_at":…,"items":[…],"next_cursor":null}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct List<T> {
    /// [`API_VERSION`](super::API_VERSION).
    pub api_version: String,
    /// The kind of the items and `List`.
    pub kind: String,
    /// When the daemon looked.
    pub generated_at: String,
    /// The things.
    pub items: Vec<T>,
    /// Where the next page begins; `null` on the last one.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// One thing: `{"api_version":…,"kind":"Status","generated_at":…,"object":{…}}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document<T> {
    /// [`API_VERSION`](super::API_VERSION).
    pub api_version: String,
    /// What it is.
    pub kind: String,
    /// When the daemon looked.
    pub generated_at: String,
    /// The thing.
    pub object: T,
}

/// What a line of a stream is about. Unknown ones are to be skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineType {
    /// The thing is there, or has changed.
    Put,
    /// The thing is no longer there; `object` is how it was last seen.
    Delete,
    /// Everything that there was at the start has been told.
    SnapshotEnd,
    /// Something happened.
    Event,
    /// Nothing happened for [`HEARTBEAT_MS`].
    Heartbeat,
    /// Lines were dropped because the reader was too slow.
    Gap,
    /// The daemon ends the stream.
    Bye,
    /// From a newer daemon.
    #[serde(other)]
    Unknown,
}

/// One line of `GET /v1/watch` or `GET /v1/events`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line<T = Box<RawValue>> {
    /// What the line is about.
    #[serde(rename = "type")]
    pub kind_of_line: LineType,
    /// The kind of `object`: `Room`, `User`, `Lock`, `Conflict`, `Event`, `Job`, `JobItem`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Grows with every look of the daemon at this kind; all lines of one look share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The thing's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The thing.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub object: Option<T>,
    /// How many lines a gap stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    /// Why the daemon ends the stream: `draining`, `shutting_down`, or `over` when what it tells of is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When to come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl<T> Line<T> {
    /// A line that says only what it is about.
    pub fn bare(kind_of_line: LineType) -> Self {
        Line {
            kind_of_line,
            kind: None,
            revision: None,
            id: None,
            object: None,
            dropped: None,
            reason: None,
            retry_after_ms: None,
        }
    }
}

/// `POST /v1/rooms/{id}/notice`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeRequest {
    /// Any JSON value, told to the room as a `broadcast`.
    pub message: Box<RawValue>,
    /// For the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The body of `DELETE` on a user, a session or a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasonRequest {
    /// Told to those concerned and kept in the audit.
    pub reason: String,
}

/// `POST /v1/drain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// Over how long clients are sent away.
    pub window_ms: u64,
    /// For the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What an operator did, as the audit keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// The record's number.
    pub id: u64,
    /// When.
    pub at: String,
    /// Who: `uid 1000 (alice)`.
    pub actor: String,
    /// The peer's uid.
    pub uid: u32,
    /// The peer's process, 0 when it could not be seen.
    pub pid: i32,
    /// The role that it had.
    pub role: String,
    /// `lock.force_release`, `conflict.resolve`, `conflict.restore`, `user.kick`, `session.kick`, `room.send`, `drain`,
    /// `preload`, `job.cancel`, `cache.invalidate`, `cache.warm`.
    pub action: String,
    /// To what.
    pub target: String,
    /// The stated reason.
    pub reason: Option<String>,
    /// `ok` or the code of the refusal.
    pub result: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_carries_any_object_through_unread() {
        let text = r#"{"type":"put","kind":"Lock","revision":7,"id":"lk_1","object":{"new_field":1.50}}"#;
        let line: Line = serde_json::from_str(text).unwrap();
        assert_eq!(line.kind_of_line, LineType::Put);
        assert_eq!(serde_json::to_string(&line).unwrap(), text);
    }

    #[test]
    fn lines_from_a_newer_daemon_are_readable() {
        let line: Line = serde_json::from_str(r#"{"type":"reset","why":"x"}"#).unwrap();
        assert_eq!(line.kind_of_line, LineType::Unknown);
    }

    #[test]
    fn unknown_fields_of_requests_are_refused_by_name() {
        let error = serde_json::from_str::<ReasonRequest>(r#"{"reason":"x","forse":true}"#).unwrap_err();
        assert!(error.to_string().contains("forse"), "{error}");
    }
}
