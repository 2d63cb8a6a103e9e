//! Comparison with what was recorded: exact where existing clients look, open where the protocol may grow.
//!
//! An expectation names every field that clients of the first generation know, with its exact value or one of the
//! placeholders below. A field that is not in it may be there only if it is listed in [`ADDITIONAL`] for messages of
//! that type: so a field cannot appear on the wire without somebody having written it down here.

use crate::{Client, Value};

/// A time: RFC 3339 in UTC with a `Z`.
pub const TIME: &str = "<time>";
/// A text that is not empty.
pub const TEXT: &str = "<text>";
/// A whole number from 0.
pub const NUMBER: &str = "<number>";

/// The fields that messages have beyond what the first generation knew, by type; a dot goes into a list's items.
const ADDITIONAL: &[(&str, &[&str])] = &[
    ("presence_updated", &["room_id", "metadata"]),
    ("room_state", &["user_count", "epoch", "seq", "users.metadata", "locks.holder_state", "locks.expires_in_ms"]),
    ("lock_acquired", &["room_id", "seq", "epoch"]),
    ("lock_released", &["room_id", "seq", "epoch", "reason"]),
    (
        "lock_response",
        &[
            "lock_id",
            "lock_type",
            "resource_id",
            "fencing_token",
            "acquired_at",
            "expires_at",
            "expires_in_ms",
            "how",
            "holder",
            "blocked_by",
            "code",
            "detail",
            "retryable",
        ],
    ),
    ("lock_release_response", &["code"]),
    (
        "conflict_detected",
        &["username_1", "username_2", "source", "version", "rooms", "edit_id", "paths", "revision", "decided_in_ms"],
    ),
    ("conflict_resolved", &["resolved_at", "version", "reason", "kept"]),
    ("conflict_resolution_response", &["version", "changes", "code", "detail", "retryable"]),
    ("broadcast", &["room_id", "seq", "epoch"]),
    ("error", &["code", "detail", "retryable"]),
];

impl Client {
    /// Asserts that the very next message is this one.
    pub async fn hears(&mut self, expected: Value) -> Value {
        let message = self.next().await;
        let kind = message["type"].as_str().unwrap_or_default().to_owned();
        let additional = ADDITIONAL.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, fields)| fields);
        if let Err(difference) = compare(&expected, &message, additional) {
            panic!("{} expected {expected}\nand received {message}\n{difference}", self.user);
        }
        message
    }
}

/// Asserts that `found` is what was `expected`, apart from `additional` fields.
pub fn assert_golden(expected: &Value, found: &Value, additional: &[&str]) {
    if let Err(difference) = compare(expected, found, additional) {
        panic!("expected {expected}\nfound {found}\n{difference}");
    }
}

fn compare(expected: &Value, found: &Value, additional: &[&str]) -> Result<(), String> {
    at("", expected, found, additional)
}

fn at(path: &str, expected: &Value, found: &Value, additional: &[&str]) -> Result<(), String> {
    match (expected, found) {
        (Value::String(text), _) if text == TIME => match found.as_str() {
            Some(time) if is_time(time) => Ok(()),
            _ => Err(format!("{path}: {found} is no time")),
        },
        (Value::String(text), _) if text == TEXT => match found.as_str() {
            Some(text) if !text.is_empty() => Ok(()),
            _ => Err(format!("{path}: {found} is no text")),
        },
        (Value::String(text), _) if text == NUMBER => match found.as_u64() {
            Some(_) => Ok(()),
            None => Err(format!("{path}: {found} is no number")),
        },
        (Value::Object(wanted), Value::Object(there)) => {
            let inside = |key: &str| {
                if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
            };
            for (key, value) in wanted {
                let field = there.get(key).ok_or_else(|| format!("{} is missing", inside(key)))?;
                at(&inside(key), value, field, additional)?;
            }
            for key in there.keys().filter(|key| !wanted.contains_key(*key)) {
                if !additional.contains(&&*inside(key)) {
                    return Err(format!("{} is additional", inside(key)));
                }
            }
            Ok(())
        }
        (Value::Array(wanted), Value::Array(there)) if wanted.len() == there.len() => {
            wanted.iter().zip(there).try_for_each(|(wanted, there)| at(path, wanted, there, additional))
        }
        _ if expected == found => Ok(()),
        _ => Err(format!("{path}: {found} instead of {expected}")),
    }
}

/// `2025-07-01T08:09:10.123Z`: what every generation of clients parses.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    matches!(&*shape, "0000-00-00T00:00:00.000Z" | "0000-00-00T00:00:00Z")
}
