//! `arxosrt jobs …`

pub(super) mod follow;

use std::time::Duration;

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::jobs::{CancelRequest, JobItemRow, JobRow};
use hyper::Method;
use tokio::time::Instant;

use crate::args::{Format, Global, Jobs};
use crate::client::{Client, path};
use crate::error::Failure;
use crate::output::progress::sentence;
use crate::output::rows::Row;
use crate::output::table::{Column, left, right};
use crate::output::text::{bytes, span};
use crate::output::{Output, read};
use follow::{End, Followed, follow};

pub(super) async fn run(
    mut client: Client,
    global: &Global,
    command: &Jobs,
    output: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        Jobs::List { open, limit } => {
            let most = limit.map_or(usize::MAX, |limit| limit as usize);
            // Which are open is found here, so the daemon's pages cannot be cut by it.
            let asked = if *open { usize::MAX } else { most };
            let mut list = client.pages(&path(&["jobs"]), &[], "cursor", asked).await?;
            if *open {
                let mut kept = Vec::new();
                for raw in list.items {
                    if !read::<JobRow>(&raw)?.is_over() {
                        kept.push(raw);
                    }
                }
                kept.truncate(most);
                list.items = kept;
            }
            output.list(list, |_: &JobRow| true)?;
        }
        Jobs::Show { job, items: false, .. } => {
            let document = client.document(&path(&["jobs", job])).await?;
            output.document(&document, |job: &JobRow| job.job_id.clone(), fields)?;
        }
        Jobs::Show { job, failed, .. } => {
            let narrowed: &[_] = if *failed { &[("failed", "true")] } else { &[] };
            let list = client.pages(&path(&["jobs", job, "items"]), narrowed, "cursor", usize::MAX).await?;
            output.list(list, |_: &JobItemRow| true)?;
        }
        Jobs::Cancel { jobs } => return cancel(client, global, jobs, output).await,
        Jobs::Wait { jobs, within } => return wait(client, global, jobs, *within, output).await,
    }
    Ok(Exit::Ok)
}

async fn cancel(mut client: Client, global: &Global, jobs: &[String], output: &mut Output) -> Result<Exit, Failure> {
    let request = CancelRequest { reason: global.reason.clone() };
    for job in jobs {
        let done = client.change(Method::DELETE, &path(&["jobs", job]), None, &request).await?;
        super::outcome(output, &done, |changed| match changed.count {
            0 => format!("{job} was over already"),
            _ => format!("called off {job}"),
        })?;
    }
    Ok(Exit::Ok)
}

async fn wait(
    client: Client,
    global: &Global,
    jobs: &[String],
    within: Option<Duration>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let until = within.map(|within| Instant::now() + within);
    let mut exit = Exit::Ok;
    let mut client = Some(client);
    for job in jobs {
        // A stream uses up its connection.
        let client = match client.take() {
            Some(client) => client,
            None => Client::connect(global).await?,
        };
        let Followed { job, end } = follow(client, job, until, output, |_, _, _| Ok(())).await?;
        match end {
            End::Over => {}
            other => return Err(other.failure(job.as_ref())),
        }
        if let Some(row) = job {
            tell(output, &row)?;
            exit = worst(exit, exit_of(&row));
        }
    }
    Ok(exit)
}

/// A job that is over, in the wanted format.
pub(super) fn tell(output: &mut Output, row: &JobRow) -> Result<(), Failure> {
    match output.format() {
        Format::Json | Format::Ndjson => output.json(row),
        _ if output.is_quiet() => Ok(()),
        Format::Name => output.line(&row.job_id),
        Format::Table => output.line(&crate::output::text::clean(&sentence(row))),
    }
}

/// How a command ends that waited for this job.
pub(super) fn exit_of(row: &JobRow) -> Exit {
    match row.state.as_str() {
        "failed" | "cancelled" => Exit::Failed,
        _ if row.failed > 0 => Exit::Partial,
        _ => Exit::Ok,
    }
}

/// Of several jobs: all well, all failed, or some of each.
fn worst(so_far: Exit, next: Exit) -> Exit {
    if so_far == Exit::Ok { next } else { so_far }
}

fn fields(job: &JobRow) -> Vec<(&'static str, String)> {
    let ended = job.ended_at.clone().unwrap_or_else(|| "-".into());
    vec![
        ("job", job.job_id.clone()),
        ("kind", job.kind.clone()),
        ("target", job.target.clone()),
        ("state", job.state.clone()),
        ("items", format!("{} of {} settled", job.settled(), job.total)),
        ("loaded", format!("{}, {}", job.done, bytes(job.bytes))),
        ("were there", job.skipped.to_string()),
        ("failed", format!("{}, {} to be tried again", job.failed, job.retrying)),
        ("given up", job.cancelled.to_string()),
        ("ordered", format!("{} by {}", job.created_at, job.actor)),
        ("reason", job.reason.clone().unwrap_or_default()),
        ("began", job.started_at.clone().unwrap_or_else(|| "-".into())),
        ("ended", ended),
        ("took", span(job.elapsed_ms)),
    ]
}

impl Row for JobRow {
    const COLUMNS: &'static [Column] = &[
        left("JOB"),
        left("KIND"),
        left("STATE"),
        left("TARGET"),
        right("SETTLED"),
        right("FAILED"),
        right("BYTES"),
        right("TOOK"),
        left("ACTOR"),
    ];

    fn id(&self) -> &str {
        &self.job_id
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.job_id.clone(),
            self.kind.clone(),
            self.state.clone(),
            self.target.clone(),
            format!("{}/{}", self.settled(), self.total),
            self.failed.to_string(),
            bytes(self.bytes),
            span(self.elapsed_ms),
            self.actor.clone(),
        ]
    }
}

impl Row for JobItemRow {
    const COLUMNS: &'static [Column] = &[
        right("ITEM"),
        left("STATE"),
        right("ENTRIES"),
        right("BYTES"),
        right("TRIES"),
        right("MS"),
        left("WHAT"),
        left("WHY"),
    ];

    fn id(&self) -> &str {
        named(self)
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.item.to_string(),
            self.state.clone(),
            self.entries.to_string(),
            bytes(self.bytes),
            self.attempts.to_string(),
            self.took_ms.to_string(),
            what(self),
            self.message.clone().unwrap_or_default(),
        ]
    }
}

/// The id that an item has.
fn named(row: &JobItemRow) -> &str {
    let ids = [&row.floor_id, &row.building_id, &row.id];
    ids.into_iter().flatten().next().map_or("", String::as_str)
}

/// An item in words.
pub(super) fn what(row: &JobItemRow) -> String {
    match (&row.strategy, &row.building_id) {
        (Some(strategy), _) => format!("{strategy} {}", named(row)),
        (None, Some(building)) => format!("building {building}"),
        (None, None) => named(row).to_owned(),
    }
}
