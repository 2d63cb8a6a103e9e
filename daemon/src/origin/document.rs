//! What of the origin's documents does the building directory need?
//!
//! Ids and places; whatever else a document holds is skipped without being kept. What is needed must be right: a
//! missing id or one of the wrong kind is an error with its line.

use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
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
