//! How the origins fare, for the metrics page and the operators' status.
//!
//! They know it themselves; they are asked when somebody looks.

use std::fmt;
use std::sync::OnceLock;

use arxosrt_core::control::OriginRow;

use super::exposition::Page;
use crate::origin::sources::Sources;

/// The origins, once they are there.
#[derive(Default)]
pub struct OriginsSource(OnceLock<Sources>);

impl fmt::Debug for OriginsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OriginsSource").field(&self.rows()).finish()
    }
}

impl OriginsSource {
    /// These are the daemon's; the first that are set stay.
    pub fn set(&self, sources: Sources) {
        let _ = self.0.set(sources);
    }

    /// How each fares.
    pub fn rows(&self) -> Vec<OriginRow> {
        let all = self.0.get().map(Sources::faring).unwrap_or_default();
        let row = |one: crate::origin::sources::Faring| OriginRow {
            name: one.name.to_owned(),
            up: one.health.is_up,
            busy: one.health.busy as u64,
            trouble: one.health.trouble,
        };
        all.into_iter().map(row).collect()
    }

    pub(super) fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let rows = self.rows();
        if rows.is_empty() {
            return Ok(());
        }
        let up = rows.iter().map(|row| (row.name.as_str(), u64::from(row.up)));
        page.named_gauge("origin_up", "1 while the origin answers", "origin", up)?;
        let busy = rows.iter().map(|row| (row.name.as_str(), row.busy));
        page.named_gauge("origin_busy", "Requests to the origin that are under way", "origin", busy)
    }
}
