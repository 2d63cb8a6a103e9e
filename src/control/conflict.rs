//! Conflicts as operators and back ends see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A conflict: who wanted what, and where it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConflictRow {
    /// Its name.
    pub conflict_id: String,
    /// The resource.
    pub resource_id: String,
    /// The rooms that the resource lies in.
    pub rooms: Vec<String>,
    /// `concurrent_edit`, `delete_modify`, … or the reporter's word.
    pub conflict_type: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// `open`, `escalated` or `settled`.
    pub status: String,
    /// How it came about: `edit`, `stale_token` or `reported`.
    pub source: String,
    /// Whose values were committed when it was found.
    pub user_id_1: String,
    /// The shown name.
    pub username_1: String,
    /// Whose values wait.
    pub user_id_2: String,
    /// The shown name.
    pub username_2: String,
    /// For people: ids and paths, never values.
    pub description: String,
    /// When it was found, RFC 3339.
    pub created_at: String,
    /// Counts what has changed under it.
    pub revision: u32,
    /// The resource's version when it was found.
    pub version: u64,
    /// When the rules (or, of critical ones, the operators) take it over, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_in_ms: Option<u64>,
    /// Since when operators are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalated_at: Option<String>,
    /// The word for how it was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// A person, an operator, `timeout` or `rules`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<String>,
    /// The operator's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is disputed. Lists leave it out unless they are asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<DisputedPath>,
}

/// One path of a conflict.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DisputedPath {
    /// A JSON pointer into the document.
    pub path: String,
    /// Sibling fields that are one value together; `path` is that of the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// What kind of disagreement.
    pub conflict_type: String,
    /// How grave.
    pub severity: String,
    /// What both began with; `null` when there was nothing.
    pub base: Box<RawValue>,
    /// The first one's value.
    pub value_1: Box<RawValue>,
    /// The second one's value.
    pub value_2: Box<RawValue>,
    /// What the document holds now.
    pub current: Box<RawValue>,
    /// Whose value it has since it was settled; `given` when the resolver gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// `POST /v1/conflicts/{id}/resolve`: exactly one of `winner`, `choices` and `values`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// This person's values, everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winner: Option<String>,
    /// Path by path the person whose value it gets; what is not named stays as it is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<BTreeMap<String, String>>,
    /// Path by path a value, `null` to unset it; what is not named stays as it is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<BTreeMap<String, Box<RawValue>>>,
    /// The revision that was seen; another one refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// Only say what it would do.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dry_run: bool,
    /// Told to the two and kept in the audit. Needed unless nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /v1/conflicts/{id}/restore`: bring back what lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Whose values; needed only where both have lost something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Of this path only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Told to the two and kept in the audit.
    pub reason: String,
}

/// What a resolution did, or would do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResolvedRow {
    /// Which conflict.
    pub conflict_id: String,
    /// The resource.
    pub resource_id: String,
    /// What was done to the document: objects as clients send them in `edit`.
    pub changes: Vec<Box<RawValue>>,
    /// The resource's version with it.
    pub version: u64,
    /// Nothing has happened: this is what would.
    pub dry_run: bool,
}

/// Figures over all conflicts of the daemon's buildings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ConflictStats {
    /// Waiting for their people.
    pub open: u64,
    /// Waiting for an operator.
    pub escalated: u64,
    /// Edits that changed something.
    pub edits: u64,
    /// Of those, the ones that met others' changes and merged without a dispute.
    pub merged: u64,
    /// Share of edits that met others' changes and needed nobody; `null` while there is none.
    pub auto_merge_ratio: Option<f64>,
    /// Conflicts ever found, by severity.
    pub opened: BySeverity,
    /// How they ended.
    pub settled: SettledBy,
    /// Mean time from found to settled, of those that people settled, in milliseconds.
    pub mean_settle_ms: Option<u64>,
    /// Values brought back after a conflict.
    pub restored: u64,
    /// Where people disagree most, of the conflicts that are kept.
    pub hot_paths: Vec<HotPath>,
    /// How good the forecast is.
    pub forecast: ForecastStats,
}

/// A figure for each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BySeverity {
    /// Low.
    pub low: u64,
    /// Medium.
    pub medium: u64,
    /// High.
    pub high: u64,
    /// Critical.
    pub critical: u64,
}

/// A figure for each way to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledBy {
    /// By one of the two.
    pub people: u64,
    /// By operators.
    pub operators: u64,
    /// Because nobody did in time.
    pub timeout: u64,
    /// By the rules, at once.
    pub rules: u64,
}

/// A path with its conflicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotPath {
    /// The resource.
    pub resource_id: String,
    /// A JSON pointer.
    pub path: String,
    /// How many conflicts.
    pub conflicts: u64,
}

/// The forecast of conflicts against what is always true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ForecastStats {
    /// Forecasts whose outcome is known.
    pub judged: u64,
    /// Mean squared error of the forecast probabilities (Brier 1950); 0 is perfect.
    pub brier: Option<f64>,
    /// The same for always saying the base rate.
    pub base_brier: Option<f64>,
    /// Hints are shown to people: the forecast beats the base rate.
    pub shown: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
