//! The cache in the words of the control socket: figures, entries without their values, and what is made invalid.

use serde::{Deserialize, Serialize};

/// `GET /v1/cache-stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheStats {
    /// Entries held locally.
    pub entries: u64,
    /// Their bytes, with what keeping them costs.
    pub bytes: u64,
    /// The ceiling of these.
    pub bytes_max: u64,
    /// Loads that are under way.
    pub loading: u64,
    /// The shared tier: `off`, `up`, or `degraded` while it cannot be reached.
    pub shared: String,
    /// Per kind of value.
    pub strategies: Vec<CacheStrategyRow>,
}

/// The figures of one strategy, since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheStrategyRow {
    /// Its name.
    pub strategy: String,
    /// `low`, `medium`, `high`, `critical`.
    pub priority: String,
    /// How long a value is served.
    pub ttl_ms: u64,
    /// Its values are never held locally nor shown.
    pub sensitive: bool,
    /// Entries held locally.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Reads that were answered from memory.
    pub hits_local: u64,
    /// Reads that were answered from the shared tier.
    pub hits_shared: u64,
    /// Reads that nobody had an answer for, so that the origin was asked.
    pub misses: u64,
    /// The share of reads that the origin was not asked for; `null` without reads.
    #[serde(default)]
    pub hit_ratio: Option<f64>,
    /// Reads that were answered with "there is none" from memory.
    pub negative: u64,
    /// Reads that were answered with a value past its time, because the origin failed.
    pub stale: u64,
    /// Loads from the origin.
    pub loads: u64,
    /// Loads that failed.
    pub loads_failed: u64,
    /// How long a load took, on average; `null` without loads.
    #[serde(default)]
    pub load_ms: Option<f64>,
    /// Entries that went, by reason.
    pub evicted: Evicted,
    /// Entries that were loaded ahead of demand.
    pub preloaded: u64,
    /// Of these, used.
    pub preloaded_used: u64,
    /// Of these, gone without having been used.
    pub preloaded_wasted: u64,
}

/// Entries that went, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evicted {
    /// Something else needed the room.
    pub space: u64,
    /// The strategy had as many as it may.
    pub items: u64,
    /// Their time was over.
    pub expired: u64,
    /// They were made invalid.
    pub invalidated: u64,
    /// A newer value took their place.
    pub replaced: u64,
}

/// An entry, or the place of one: everything but its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntryRow {
    /// Its strategy.
    pub strategy: String,
    /// Its id.
    pub id: String,
    /// `local`, `shared`, or `none`.
    pub held: String,
    /// `fresh`, `soft` (served, and loaded again beside), `stale` (served only while the origin fails), `negative` (it is
    /// known that there is no value), `outdated` (made invalid), `none`.
    pub state: String,
    /// Why it is not there, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Bytes of the value.
    #[serde(default)]
    pub bytes: u64,
    /// Since it was loaded.
    #[serde(default)]
    pub age_ms: u64,
    /// How long it will still be served.
    #[serde(default)]
    pub ttl_left_ms: u64,
    /// The groups with which it becomes invalid.
    #[serde(default)]
    pub tags: Vec<String>,
    /// None of its groups was made invalid since it was loaded.
    #[serde(default)]
    pub current: bool,
    /// How often it was read, as far as that is counted: 3 means 3 or more.
    #[serde(default)]
    pub hits: u64,
    /// It was loaded ahead of demand, and by which source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preloaded_by: Option<String>,
}

/// `POST /v1/cache/invalidate`: exactly one of `strategy` with `id`, `strategy` alone, `floor`, `building`, `all`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvalidateRequest {
    /// Everything of this strategy, or with `id` one entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Everything about this floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<String>,
    /// Everything about this building.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub building: Option<String>,
    /// Everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Only say how many entries it would be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// For the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What was made invalid, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidatedRow {
    /// What: `floor hq:level-1`, `strategy floor_data`, `all`.
    pub target: String,
    /// How many entries that are held here it touched. The shared tier may hold more of them.
    pub count: u64,
    /// Nothing was done.
    pub dry_run: bool,
    /// There is an audit record of it.
    pub audited: bool,
    /// The audit record's number, if the store tells it.
    #[serde(default)]
    pub audit_id: Option<u64>,
}

/// `POST /v1/cache/warm`: load again what was in use before the last restart. Answers with the job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmRequest {
    /// For the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
