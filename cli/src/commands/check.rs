//! `arxosrt check`: is there anything that an operator must see to? One line for each thing that was looked at.
//!
//! For monitoring and for people alike: it ends with 0 when all is well and with 9 when something is not. A daemon that
//! cannot be reached ends as for every other command.

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::conflict::ConflictStats;
use arxosrt_core::control::{API_VERSION, Status};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::Format;
use crate::client::{Client, path};
use crate::error::Failure;
use crate::output::rows::Row;
use crate::output::table::{Column, left};
use crate::output::{Output, read};

/// Something that was looked at.
#[derive(Debug, Serialize, Deserialize)]
struct Probe {
    /// A stable name.
    probe: String,
    /// Nobody needs to do anything.
    ok: bool,
    /// For people.
    detail: String,
}

pub(super) async fn run(mut client: Client, output: &mut Output) -> Result<Exit, Failure> {
    let status: Status = read(&client.document(&path(&["status"])).await?.object)?;
    let stats: ConflictStats = read(&client.document(&format!("{}/conflict-stats", path(&[]))).await?.object)?;
    let probes = probes(&status, &stats);
    let healthy = probes.iter().all(|probe| probe.ok);
    match output.format() {
        Format::Json => output.json(&json!({
            "api_version": API_VERSION, "kind": "Check", "object": {"healthy": healthy, "probes": probes}
        }))?,
        Format::Ndjson => probes.iter().try_for_each(|probe| output.json(probe))?,
        Format::Name => {
            probes.iter().filter(|probe| !probe.ok).try_for_each(|probe| output.line(&probe.probe))?;
        }
        Format::Table => output.table(&probes)?,
    }
    Ok(if healthy { Exit::Ok } else { Exit::Unhealthy })
}

fn probes(status: &Status, stats: &ConflictStats) -> Vec<Probe> {
    let closed = match status.buildings_closed {
        0 => "every log can be read".to_owned(),
        n => format!("{n} closed because their log is damaged: {}", status.closed.join(", ")),
    };
    let escalated = match stats.escalated {
        0 => format!("none waits for an operator, {} for their people", stats.open),
        n => format!("{n} wait for an operator: arxosrt conflicts list --severity critical"),
    };
    vec![
        Probe { probe: "daemon".into(), ok: status.state == "ready", detail: status.state.clone() },
        Probe { probe: "buildings".into(), ok: status.buildings_closed == 0, detail: closed },
        Probe { probe: "conflicts".into(), ok: stats.escalated == 0, detail: escalated },
    ]
}

impl Row for Probe {
    const COLUMNS: &'static [Column] = &[left("PROBE"), left("STATE"), left("DETAIL")];

    fn cells(&self) -> Vec<String> {
        let state = if self.ok { "ok" } else { "look" };
        vec![self.probe.clone(), state.to_owned(), self.detail.clone()]
    }

    fn id(&self) -> &str {
        &self.probe
    }
}
