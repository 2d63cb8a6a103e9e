//! `arxosrt check`: is there anything that an operator must see to? One line for each thing that was looked at.
//!
//! For monitoring and for people alike: it ends with 0 when all is well and with 9 when something is not. A daemon that
//! cannot be reached ends as for every other command.

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::conflict::ConflictStats;
use arxosrt_core::control::{API_VERSION, OriginRow, Status};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::Format;
use crate::client::{Client, path};
use crate::error::Failure;
use crate::output::rows::Row;
use crate::output::table::{Column, left};
use crate::output::{Output, read};

use super::status::standing;

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
    let mut probes = vec![
        Probe { probe: "daemon".into(), ok: status.state == "ready", detail: status.state.clone() },
        Probe { probe: "buildings".into(), ok: status.buildings_closed == 0, detail: closed },
        Probe { probe: "conflicts".into(), ok: stats.escalated == 0, detail: escalated },
    ];
    if !status.origins.is_empty() {
        probes.push(origin(&status.origins));
    }
    // What is not there, because nobody wants it, is not looked at.
    if let Some(shared) = status.shared.as_ref().filter(|shared| shared.state != "off") {
        probes.push(Probe { probe: "redis".into(), ok: shared.state == "up", detail: standing(shared) });
    }
    probes
}

/// All origins in one: which of them do not answer, and why.
fn origin(origins: &[OriginRow]) -> Probe {
    let down: Vec<String> = origins
        .iter()
        .filter(|origin| !origin.up)
        .map(|origin| match &origin.trouble {
            Some(trouble) => format!("{} does not answer: {trouble}", origin.name),
            None => format!("{} does not answer", origin.name),
        })
        .collect();
    let answer = || origins.iter().map(|origin| format!("{} answers", origin.name)).collect::<Vec<_>>();
    let detail = if down.is_empty() { answer() } else { down.clone() }.join("; ");
    Probe { probe: "origin".into(), ok: down.is_empty(), detail }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(more: serde_json::Value) -> Vec<(String, bool, String)> {
        let mut status = json!({
            "state": "ready", "version": "1", "started_at": "", "uptime_ms": 0, "engine": "memory", "connections": 0,
            "users": 0, "sessions": 0, "rooms": 0, "locks": 0, "waiters": 0, "buildings": 0, "last_token": 0
        });
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let status: Status = serde_json::from_value(status).unwrap();
        let probes = probes(&status, &ConflictStats::default());
        probes.into_iter().skip(3).map(|probe| (probe.probe, probe.ok, probe.detail)).collect()
    }

    #[test]
    fn an_origin_or_a_redis_that_does_not_answer_is_to_be_looked_at() {
        assert_eq!(checked(json!({"shared": {"state": "off"}})), [], "what nobody wants is no trouble");
        let up = checked(json!({
            "origins": [{"name": "folder", "up": true, "busy": 0}],
            "shared": {"state": "up", "address": "redis://a"}
        }));
        assert_eq!(
            up,
            [
                ("origin".to_owned(), true, "folder answers".to_owned()),
                ("redis".to_owned(), true, "up: redis://a".to_owned()),
            ]
        );
        let down = checked(json!({
            "origins": [{"name": "folder", "up": true, "busy": 0},
                        {"name": "service", "up": false, "busy": 0, "trouble": "refused"}],
            "shared": {"state": "degraded", "since_ms": 5000, "address": "redis://a"}
        }));
        assert_eq!(down[0], ("origin".to_owned(), false, "service does not answer: refused".to_owned()));
        assert!(!down[1].1 && down[1].2.starts_with("degraded: redis://a has not answered for "), "{down:?}");
    }
}
