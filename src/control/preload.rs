//! What is to be loaded before anybody asks, in the words of the control socket.

use serde::{Deserialize, Serialize};

/// `POST /v1/preload`. Answers with the job ([`JobRow`](super::jobs::JobRow)).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreloadRequest {
    /// What to load. Each is one item of the job.
    pub items: Vec<PreloadItem>,
    /// Each floor of a building becomes an item of its own, instead of the building being one item.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub split: bool,
    /// Leave alone what is there and not out of date.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub if_missing: bool,
    /// For the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A floor, a building, or one entry of the cache: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreloadItem {
    /// Everything that belongs to this floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<String>,
    /// Everything that belongs to the floors of this building.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub building: Option<String>,
    /// An entry of this strategy …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// … with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl PreloadItem {
    /// A floor.
    pub fn floor(id: &str) -> Self {
        PreloadItem { floor: Some(id.to_owned()), ..PreloadItem::default() }
    }

    /// A building.
    pub fn building(id: &str) -> Self {
        PreloadItem { building: Some(id.to_owned()), ..PreloadItem::default() }
    }
}

/// `GET /v1/preload/users/{id}`: where a person is expected to go next, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExplainRow {
    /// The person.
    pub user_id: String,
    /// The floor on which the person was last seen.
    #[serde(default)]
    pub floor_id: Option<String>,
    /// Nothing is loaded for this person now, so that it can be told what loading is worth.
    pub holdout: bool,
    /// Where to, the likeliest first.
    pub candidates: Vec<CandidateRow>,
}

/// A floor where somebody may go next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CandidateRow {
    /// The floor.
    pub floor_id: String,
    /// How likely, as it turned out in similar cases.
    pub probability: f64,
    /// How likely the model says it is.
    pub raw: f64,
    /// What says so: `ppm2`, `ppm1`, `building`, `prior`, `hint`.
    pub source: String,
    /// What became of it, or would: `proposed`, `under_threshold`, `source_off`, `budget`, `holdout`, `resident`, …
    pub verdict: String,
    /// In words.
    pub why: String,
}

/// `GET /v1/preload/model`: what the preloader has learned, and whether it pays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelRow {
    /// It may load.
    pub enabled: bool,
    /// Why it does not load now, although it may: `origin_unhealthy`, `queue`.
    #[serde(default)]
    pub paused: Option<String>,
    /// Contexts that are remembered: of people and of buildings.
    pub contexts: u64,
    /// At most so many.
    pub contexts_max: u64,
    /// People who are followed.
    pub users: u64,
    /// What happened and was learned from, since the start.
    pub signals: u64,
    /// What happened and could not be taken in, because too much did at once.
    pub signals_dropped: u64,
    /// Per source.
    pub sources: Vec<SourceRow>,
    /// How likely what was said turned out to be.
    pub calibration: Vec<CalibrationRow>,
    /// What loading ahead is worth.
    pub holdout: HoldoutRow,
    /// When the model was last written to the data directory.
    #[serde(default)]
    pub saved_at: Option<String>,
}

/// How a source of predictions fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceRow {
    /// Its name.
    pub source: String,
    /// Its predictions are acted on. One that does not pay is only watched.
    pub on: bool,
    /// Entries that it had loaded.
    pub loaded: u64,
    /// Of these, used.
    pub used: u64,
    /// Asked for while they were still being loaded.
    pub late: u64,
    /// Gone without having been used.
    pub wasted: u64,
    /// The share of used ones; `null` without any.
    #[serde(default)]
    pub precision: Option<f64>,
    /// The share of first reads that it had foreseen; `null` without any.
    #[serde(default)]
    pub recall: Option<f64>,
    /// Waiting that it spared people.
    pub saved_ms: u64,
}

/// Predictions of about the same certainty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationRow {
    /// From this probability on, as the model says it.
    pub from: f64,
    /// Up to this one.
    pub to: f64,
    /// How often it was right.
    pub observed: f64,
    /// Of how many.
    pub count: u64,
}

/// Reads with and without the preloader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HoldoutRow {
    /// The share of people for whom nothing is loaded.
    pub share: f64,
    /// First reads of people for whom it is.
    pub reads: u64,
    /// Of these, answered without the origin.
    pub hits: u64,
    /// First reads of the others.
    pub held_out_reads: u64,
    /// Of these, answered without the origin.
    pub held_out_hits: u64,
    /// The difference of the two shares; `null` while there is too little of either.
    #[serde(default)]
    pub uplift: Option<f64>,
}
