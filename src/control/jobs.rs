//! Jobs in the words of the control socket: long work that an operator orders, looks at, waits for and calls off.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lock::{parse_base36, write_base36};

/// A job's name, `job_m9x2k1ab`. Later jobs have larger numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl JobId {
    /// The job that `text` names, if it could ever have been given out.
    pub fn parse(text: &str) -> Option<JobId> {
        parse_base36(text, "job_").map(JobId)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base36(f, "job_", self.0)
    }
}

/// A job. `total` is at any time the sum of `done`, `skipped`, `failed`, `cancelled` and what is still to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// The job.
    pub job_id: String,
    /// `preload`, or `warm` for what the cache held before a restart.
    pub kind: String,
    /// What it is about, for people: `floor hq:level-1`, `building hq`, `120 items`.
    pub target: String,
    /// `queued`, `running`, `done`, `failed` (nothing of it could be done) or `cancelled`.
    pub state: String,
    /// Who ordered it: `uid 1000 (alice)`, `user alice`, `preloader`.
    pub actor: String,
    /// Why, if that was said.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was ordered.
    pub created_at: String,
    /// When it began; `null` while it is queued.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When it ended; `null` before.
    #[serde(default)]
    pub ended_at: Option<String>,
    /// How long it has been running, or ran.
    pub elapsed_ms: u64,
    /// Items of it.
    pub total: u64,
    /// Items that were loaded.
    pub done: u64,
    /// Items that were there already.
    pub skipped: u64,
    /// Items that could not be loaded.
    pub failed: u64,
    /// Items that nobody tried to load any more when it was called off.
    pub cancelled: u64,
    /// Items that failed and will be tried again.
    #[serde(default)]
    pub retrying: u64,
    /// What was loaded, in bytes.
    pub bytes: u64,
}

impl JobRow {
    /// Nothing of it will be done any more.
    pub fn is_over(&self) -> bool {
        !matches!(self.state.as_str(), "queued" | "running")
    }

    /// Items that are settled, one way or another.
    pub fn settled(&self) -> u64 {
        self.done + self.skipped + self.failed + self.cancelled
    }
}

/// What became of one item of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobItemRow {
    /// Which item, counted from 0 in the order in which they were given.
    pub item: u64,
    /// The floor, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor_id: Option<String>,
    /// The building, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub building_id: Option<String>,
    /// The strategy, if it is a single entry of the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Its id within the strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `done`, `skipped` or `failed`.
    pub state: String,
    /// Why it failed, for programs: `not_there`, `origin_failed`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it failed, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Entries of the cache that were loaded for it.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How often it was tried.
    pub attempts: u64,
    /// How long the last try took.
    pub took_ms: u64,
}

/// `DELETE /v1/jobs/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// For the audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_found_by_the_name_that_is_shown() {
        for number in [0, 35, 36, 1_795_000_000_000] {
            assert_eq!(JobId::parse(&JobId(number).to_string()), Some(JobId(number)));
        }
        for stranger in ["", "job_", "lk_1", "job_A", "job_01", "job_ 1"] {
            assert_eq!(JobId::parse(stranger), None, "{stranger}");
        }
    }
}
