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

/// `GET /v1/preload/users/{id}`: what was last decided for a person, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExplainRow {
    /// The person.
    pub user_id: String,
    /// The floor on which the person was then.
    pub floor_id: String,
    /// How long ago.
    pub ago_ms: u64,
    /// Nothing is loaded for this session, so that it can be told what loading is worth.
    pub holdout: bool,
    /// What might be wanted next, the most promising first.
    pub candidates: Vec<CandidateRow>,
}

/// Something that somebody may want next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CandidateRow {
    /// The floor.
    pub floor_id: String,
    /// A single kind of value of it; everything that belongs to the floor if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// How likely it is to be wanted within a few minutes, as it turned out in similar cases. Several can come true.
    pub probability: f64,
    /// How likely the model says it is.
    pub raw: f64,
    /// What says so: `habit`, `two_steps`, `one_step`, `building`, `popular`, `structure`, `parts`, `hint`.
    pub source: String,
    /// What was decided: `issued`, `under_threshold`, `too_soon`, `resident`, `under_way`, `too_large`, `source_off`,
    /// `holdout`, `too_many`, `budget`, `off`.
    pub verdict: String,
    /// In words.
    pub why: String,
}

/// `GET /v1/preload/model`: what the preloader has learned, and whether it pays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelRow {
    /// It may load.
    pub enabled: bool,
    /// Why it does not load now, although it may: `origin_unhealthy`, `origin_busy`.
    #[serde(default)]
    pub paused: Option<String>,
    /// Contexts that are remembered: of people and of buildings.
    pub contexts: u64,
    /// Sessions that are followed.
    pub sessions: u64,
    /// What all this takes in memory.
    pub bytes: u64,
    /// What happened and was learned from, since the start.
    pub signals: u64,
    /// What happened and could not be taken in, because too much did at once.
    pub signals_dropped: u64,
    /// Proposals that are being carried out.
    pub loading: u64,
    /// Entries that were loaded and wait for somebody.
    pub unused: u64,
    /// How much may be loaded ahead until more has been asked for.
    pub budget_left_bytes: u64,
    /// By how much the thresholds are raised, because too little of what was loaded was used.
    pub raised: f64,
    /// The share of what people would have waited for that was there ahead of them; `null` without any.
    #[serde(default)]
    pub recall: Option<f64>,
    /// Per source.
    pub sources: Vec<SourceRow>,
    /// How likely what was said turned out to be, by tenths.
    pub calibration: Vec<CalibrationRow>,
    /// Of a thousand sessions, so many have nothing loaded ahead.
    pub holdout_permille: u32,
    /// By how much larger the share of hits is in the other sessions; `null` while there is too little of either.
    #[serde(default)]
    pub uplift: Option<f64>,
    /// Half the width of its 95 % interval.
    #[serde(default)]
    pub uplift_error: Option<f64>,
    /// When what was learned was last written to the data directory.
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
    /// Loads that it proposed.
    pub proposed: u64,
    /// Of these, used.
    pub used: u64,
    /// Asked for while they were still being loaded.
    pub late: u64,
    /// Gone without having been used.
    pub wasted: u64,
    /// The share of those that ended which were asked for; `null` without any.
    #[serde(default)]
    pub precision: Option<f64>,
    /// Waiting that it spared people.
    pub saved_ms: u64,
    /// What was loaded for it.
    pub bytes: u64,
}

/// Predictions of about the same certainty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationRow {
    /// From this probability on …
    pub from: f64,
    /// … up to this one.
    pub to: f64,
    /// What was said, on average.
    pub predicted: f64,
    /// How often it was right.
    pub observed: f64,
    /// Of how many; those long past count less.
    pub trials: u64,
}
