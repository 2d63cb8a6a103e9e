//! Jobs for operators: what is under way, how it ended, item by item, and an end to it.
//!
//! A job is followed as a stream: each result once, how far it is, and `bye` with the reason `over`. Whoever reads too
//! slowly is told how many results are not kept any more.

use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::control::Changed;
use arxosrt_core::control::code::Code;
use arxosrt_core::control::document::{Line, LineType};
use arxosrt_core::control::hello::Peer;
use arxosrt_core::control::jobs::{CancelRequest, JobId, JobItemRow, JobRow};
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::PAGE_DEFAULT;
use super::PAGE_MAX;
use super::changes::{Deed, carry_out, check_reason};
use super::extract::{InPath, Input, Named, Operating, Page, Params, Viewer};
use super::failure::Failure;
use super::routes::{document, respond};
use super::server::Server;
use super::stream::{self, Ended, Lines};
use crate::hub::ask::Ask;
use crate::hub::operate::DONE;
use crate::jobs::{Item, Job, Kept, NotTaken, Order, Outcome, Progress, Which};

type Answer = Result<Response, Failure>;
type Shared = State<Arc<Server>>;

/// Results that a stream reads at once.
const RESULTS_AT_ONCE: usize = 256;

/// A stream tells news of a job at most this often; what came meanwhile is told together.
const PAUSE: Duration = Duration::from_millis(50);

/// The reason with which the stream of a job ends that is over.
const OVER: &str = "over";

impl InPath for JobId {
    fn from_text(text: &str) -> Result<Self, Failure> {
        JobId::parse(text).ok_or_else(|| not_found(text))
    }
}

fn not_found(text: &str) -> Failure {
    Failure::new(Code::JobNotFound, format!("there is no job {text:?}"))
        .hint("`arxosrt jobs list` shows them; the oldest and those from before a restart are forgotten")
}

/// `GET /v1/jobs`: the latest first.
pub(super) async fn list(State(server): Shared, _: Viewer, Params(page): Params<Page>) -> Answer {
    let limit = page.limit()?;
    let before = match page.cursor.as_deref() {
        None => None,
        Some(text) => Some(
            JobId::parse(text)
                .ok_or_else(|| Failure::new(Code::BadRequest, format!("{text:?} is not a cursor of this list")))?,
        ),
    };
    let mut jobs = server.context.jobs.latest(before, limit + 1);
    let has_more = jobs.len() > limit;
    jobs.truncate(limit);
    let rows: Vec<JobRow> = jobs.iter().map(|job| row(job, &job.progress())).collect();
    let next_cursor = rows.last().filter(|_| has_more).map(|row| row.job_id.clone());
    respond("Job", rows, next_cursor)
}

/// `GET /v1/jobs/{id}`.
pub(super) async fn show(State(server): Shared, _: Viewer, Named(id): Named<JobId>) -> Answer {
    let job = find(&server, id)?;
    document("Job", row(&job, &job.progress()))
}

/// The query of `GET /v1/jobs/{id}/items`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Items {
    /// Only those that failed.
    #[serde(default)]
    failed: bool,
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// `GET /v1/jobs/{id}/items`: what became of them, in the order in which it did.
pub(super) async fn items(
    State(server): Shared,
    _: Viewer,
    Named(id): Named<JobId>,
    Params(wanted): Params<Items>,
) -> Answer {
    let limit = match wanted.limit.unwrap_or(PAGE_DEFAULT) {
        limit @ 1..=PAGE_MAX => limit,
        limit => return Err(Failure::new(Code::BadRequest, format!("limit is 1 to {PAGE_MAX}, not {limit}"))),
    };
    let from = match wanted.cursor.as_deref().map(str::parse) {
        None => 0,
        Some(Ok(from)) => from,
        Some(Err(_)) => return Err(Failure::new(Code::BadRequest, "the cursor is not one of this list")),
    };
    let which = if wanted.failed { Which::Failed } else { Which::All };
    let (mut kept, _) = find(&server, id)?.results(from, limit + 1, which);
    let next_cursor = (kept.len() > limit).then(|| kept[limit].number.to_string());
    kept.truncate(limit);
    respond("JobItem", kept.iter().map(item_row).collect(), next_cursor)
}

/// `DELETE /v1/jobs/{id}`: call it off.
pub(super) async fn cancel(
    State(server): Shared,
    Operating(peer): Operating,
    Named(id): Named<JobId>,
    Input(request): Input<CancelRequest>,
) -> Answer {
    let job = find(&server, id)?;
    let reason = request.reason.map(check_reason).transpose()?;
    let deed = Deed { action: "job.cancel", target: id.to_string(), reason };
    let audit_id = record(&server, &peer, &deed, None).await?;
    let count = u64::from(server.context.jobs.cancel(&job));
    // Its end is near, and whoever looks next is to see it.
    let _ = tokio::time::timeout(PAUSE, job.wait()).await;
    let Deed { action, target, .. } = deed;
    document("Changed", Changed { action: action.into(), target, count, window_ms: None, audited: true, audit_id })
}

/// `GET /v1/jobs/{id}/follow`: results and progress until the job is over.
pub(super) async fn follow(State(server): Shared, _: Viewer, Named(id): Named<JobId>) -> Answer {
    let job = find(&server, id)?;
    let (lines, response) = stream::open(&server)?;
    tokio::spawn(async move {
        // The reader is gone or was cut: there is nobody to tell.
        let _ = pump(&server, &job, lines).await;
    });
    Ok(response)
}

async fn pump(server: &Server, job: &Job, mut lines: Lines) -> Result<(), Ended> {
    let mut news = job.watch();
    let mut next = 0;
    loop {
        // Seen before the results are read: what comes in between wakes this again.
        let progress = *news.borrow_and_update();
        loop {
            let (kept, missed) = job.results(next, RESULTS_AT_ONCE, Which::All);
            if missed > 0 {
                lines.push(&Line::<()> { dropped: Some(missed), ..Line::bare(LineType::Gap) }).await?;
            }
            let Some(last) = kept.last() else { break };
            next = last.number + 1;
            for kept in &kept {
                put(&mut lines, "JobItem", kept.number.to_string(), item_row(kept)).await?;
            }
        }
        put(&mut lines, "Job", job.id.to_string(), row(job, &progress)).await?;
        if progress.state.is_over() {
            return lines.end(OVER).await;
        }
        lines.flush().await?;
        let rested = async {
            tokio::time::sleep(PAUSE).await;
            // The job is borrowed, so its sender is there.
            let _ = news.changed().await;
        };
        tokio::select! {
            biased;
            () = server.shutdown.cancelled() => return lines.bye(server).await,
            () = lines.hung_up() => return Err(Ended),
            () = rested => {}
            () = lines.silence() => lines.heartbeat().await?,
        }
    }
}

async fn put<T: serde::Serialize>(lines: &mut Lines, kind: &str, id: String, object: T) -> Result<(), Ended> {
    let line = Line { kind: Some(kind.into()), id: Some(id), object: Some(object), ..Line::bare(LineType::Put) };
    lines.push(&line).await
}

/// Orders a job in an operator's name, on record, and answers with it.
pub(super) async fn order(server: &Arc<Server>, peer: &Arc<Peer>, action: &'static str, order: Order) -> Answer {
    let reason = order.reason.as_deref().map(str::to_owned);
    let deed = Deed { action, target: order.target.to_string(), reason };
    let room = server.context.jobs.has_room(order.items.len()).map_err(refused);
    record(server, peer, &deed, room.err()).await?;
    let job = server.context.jobs.start(order).map_err(refused)?;
    document("Job", row(&job, &job.progress()))
}

/// Puts a deed on record that the hub has no part in, and says under which number. A refusal is recorded too.
pub(super) async fn record(
    server: &Arc<Server>,
    peer: &Arc<Peer>,
    deed: &Deed,
    refusal: Option<Failure>,
) -> Result<Option<u64>, Failure> {
    let result = refusal.as_ref().map_or(DONE, |failure| failure.code.name());
    let mut record = deed.record(peer);
    let audit = record.clone();
    let ask = move |_, reply| Ask::Record { audit, result, reply };
    let recorded = carry_out(Arc::clone(server), Arc::clone(peer), deed.clone(), ask).await;
    if let Some(failure) = refusal {
        return Err(failure);
    }
    recorded?;
    record.result = DONE.into();
    Ok(server.context.records.number(record).await.unwrap_or_default())
}

fn find(server: &Server, id: JobId) -> Result<Arc<Job>, Failure> {
    server.context.jobs.find(id).ok_or_else(|| not_found(&id.to_string()))
}

fn refused(why: NotTaken) -> Failure {
    let code = match why {
        NotTaken::Empty => Code::BadRequest,
        NotTaken::TooLarge(_) => Code::TooLarge,
        NotTaken::TooManyJobs | NotTaken::TooManyItems(_) => Code::TooManyJobs,
        NotTaken::Ending => Code::Draining,
    };
    Failure::new(code, why.to_string())
}

/// A job as operators see it.
pub(super) fn row(job: &Job, progress: &Progress) -> JobRow {
    let Progress { state, total, done, skipped, failed, cancelled, retrying, bytes, started_at, ended_at, .. } =
        *progress;
    JobRow {
        job_id: job.id.to_string(),
        kind: job.kind.as_str().into(),
        target: job.target.to_string(),
        state: state.as_str().into(),
        actor: job.by.to_string(),
        reason: job.reason.as_deref().map(str::to_owned),
        created_at: job.created_at.to_string(),
        started_at: started_at.map(|at| at.to_string()),
        ended_at: ended_at.map(|at| at.to_string()),
        elapsed_ms: u64::try_from(progress.elapsed().as_millis()).unwrap_or(u64::MAX),
        total,
        done,
        skipped,
        failed,
        cancelled,
        retrying,
        bytes,
    }
}

fn item_row(kept: &Kept) -> JobItemRow {
    let result = &kept.result;
    let mut row = JobItemRow {
        item: result.index,
        floor_id: None,
        building_id: None,
        strategy: None,
        id: None,
        state: "skipped".into(),
        code: None,
        message: None,
        entries: 0,
        bytes: 0,
        attempts: result.attempts.into(),
        took_ms: result.took_ms,
    };
    match &result.item {
        Item::Floor(floor) => row.floor_id = Some(floor.to_string()),
        Item::Building(building) => row.building_id = Some(building.to_string()),
        Item::Entry { strategy, id } => (row.strategy, row.id) = (Some(strategy.to_string()), Some(id.to_string())),
    }
    match &result.outcome {
        Outcome::Loaded { entries, bytes } => (row.state, row.entries, row.bytes) = ("done".into(), *entries, *bytes),
        Outcome::Resident => {}
        Outcome::Failed(trouble) => {
            row.state = "failed".into();
            row.code = Some(trouble.code.into());
            row.message = Some(trouble.message.to_string());
        }
    }
    row
}
