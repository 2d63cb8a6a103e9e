//! What of the origin's documents does the building directory need?
//!
//! Ids and places; whatever else a document holds is skipped without being kept. What is needed must be right: a
//! missing id or one of the wrong kind is an error with its line.

use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// `building.json`.
#[derive(Debug, Deserialize)]
pub struct Building {
    /// Its id.
    pub id: BuildingId,
    /// What people call it.
    pub name: Option<Box<str>>,
}

/// `floor.json`.
#[derive(Debug, Deserialize)]
pub struct Floor {
    /// Its id.
    pub id: RoomId,
    /// The building that it says it is in.
    pub building_id: Option<BuildingId>,
    /// What people call it.
    pub name: Option<Box<str>>,
    /// Its place in the order of floors.
    #[serde(default)]
    pub level: i32,
    /// How often it was changed.
    #[serde(default, deserialize_with = "version_or_zero")]
    pub version: u64,
}

/// The building that `floor.json` says it is in, as it is written there.
#[derive(Debug, Deserialize)]
pub struct Said<'a> {
    #[serde(borrow)]
    pub building_id: &'a RawValue,
}

/// One entry of `objects.json` or `routes.json`.
#[derive(Debug, Deserialize)]
pub struct Item {
    /// Its id.
    pub id: ResourceId,
    /// The floor that it says it is on.
    pub floor_id: Option<RoomId>,
    /// All floors that it spans; only routes have it.
    #[serde(default)]
    pub floors: Vec<RoomId>,
    /// How often it was changed.
    #[serde(default, deserialize_with = "version_or_zero")]
    pub version: u64,
}

/// A version, where there is one that the daemon could have written; whatever else stands there counts as none.
pub fn version_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Version {
        Number(u64),
        Other(IgnoredAny),
    }
    Ok(match Version::deserialize(deserializer)? {
        Version::Number(version) => version,
        Version::Other(IgnoredAny) => 0,
    })
}

/// What is wrong with a text, without repeating anything that it says: this goes into the log, and a parser's own words
/// quote the value that they did not expect.
pub fn misfit(error: &serde_json::Error) -> String {
    let words = error.to_string();
    match (error.classify(), words.rfind(", expected ")) {
        (Category::Data, Some(at)) => format!("a value does not fit: {}", &words[at + 2..]),
        // A member that is missing or twice there is one of ours and is named.
        (Category::Data, None) if words.starts_with("missing field") || words.starts_with("duplicate field") => words,
        (Category::Data, None) => format!("a value does not fit at line {} column {}", error.line(), error.column()),
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_quoted() {
        for (text, says) in [
            (r#"{"id": "f", "level": "secret"}"#, "a value does not fit: expected i32 at line 1 column"),
            (r#"{"id": "f", "level": ", expected secret"}"#, "a value does not fit: expected i32 at line 1 column"),
            (r#"{"id": "f", "name": 7353737}"#, "a value does not fit: expected "),
            (r#"{"id": ["secret"]}"#, "a value does not fit: expected "),
            (r#"{"name": "secret"}"#, "missing field `id` at line 1 column"),
            (r#"{"id": "f", "level": 1, "level": 2}"#, "duplicate field `level` at line 1 column"),
            (r#"{"id": "f", "level": 7353737000000}"#, "a value does not fit: expected i32 at line 1 column"),
            (r#"{"secret": 1"#, "EOF while parsing an object at line 1 column"),
        ] {
            let said = misfit(&serde_json::from_str::<Floor>(text).unwrap_err());
            assert!(said.starts_with(says), "{text}: {said}");
            assert!(!said.contains("secret") && !said.contains("7353737"), "{text}: {said}");
        }
    }
}
