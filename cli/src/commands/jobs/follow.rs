//! How does a command wait for a job? It reads the job's stream: each result as it comes, and how far the job is. The
//! job belongs to the daemon, so whoever stops waiting, by Ctrl-C or because the time is over, leaves it alone and is
//! told its name.

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::document::LineType;
use arxosrt_core::control::jobs::{JobItemRow, JobRow};
use tokio::time::Instant;

use crate::client::{Client, path};
use crate::commands::watch::said_bye;
use crate::error::Failure;
use crate::output::progress::Progress;
use crate::output::{Output, read};

/// The daemon's word for the end of a stream whose job is over.
const OVER: &str = "over";

/// A job as it was last heard of, and why the waiting ended.
pub(in crate::commands) struct Followed {
    pub job: Option<JobRow>,
    pub end: End,
}

/// Why waiting for a job ended.
#[derive(Debug)]
pub(in crate::commands) enum End {
    /// The job is over.
    Over,
    /// The time is.
    TimedOut,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// The daemon ends, or has gone, and the job with it.
    Gone(Failure),
}

impl End {
    /// What a command that waited says when the job was not over.
    pub fn failure(self, job: Option<&JobRow>) -> Failure {
        let (name, far) = match job {
            Some(job) => (job.job_id.as_str(), format!(" with {} of {} settled", job.settled(), job.total)),
            None => ("the job", String::new()),
        };
        let back = format!("arxosrt jobs wait {name} comes back to it, arxosrt jobs cancel {name} calls it off");
        match self {
            End::TimedOut => {
                Failure::new(Exit::Timeout, "timeout", format!("{name} goes on{far}: the time is over")).hint(back)
            }
            End::Interrupted => {
                Failure::new(Exit::Interrupted, "interrupted", format!("{name} goes on{far}")).hint(back)
            }
            End::Gone(failure) => failure.hint("jobs do not outlive the daemon: order it again, with --if-missing"),
            End::Over => Failure::new(Exit::Failed, "failed", format!("{name} is over{far}")),
        }
    }
}

/// Reads a job's stream to its end, until a time at most. `told` gets each result, read and as the daemon wrote it.
pub(in crate::commands) async fn follow(
    client: Client,
    id: &str,
    until: Option<Instant>,
    output: &mut Output,
    mut told: impl FnMut(&mut Output, &JobItemRow, &str) -> Result<(), Failure>,
) -> Result<Followed, Failure> {
    let mut lines = client.stream(&path(&["jobs", id, "follow"])).await?;
    let mut progress = Progress::new(output.is_quiet());
    let mut job: Option<JobRow> = None;
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let end = loop {
        let time_is_over = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let next = tokio::select! {
            biased;
            // Without a handler the signal ends the program by itself.
            Ok(()) = &mut interrupted => break End::Interrupted,
            // What has come is told before the time is over.
            next = lines.next() => next,
            () = time_is_over => break End::TimedOut,
        };
        let line = match next {
            Ok(Some((_, line))) => line,
            Ok(None) => break End::Over,
            Err(failure) if failure.exit == Exit::Unreachable => break End::Gone(failure),
            Err(failure) => return Err(failure),
        };
        match (line.kind_of_line, line.kind.as_deref(), &line.object) {
            (LineType::Put, Some("Job"), Some(object)) => {
                job = Some(read(object)?);
            }
            (LineType::Put, Some("JobItem"), Some(object)) => {
                progress.make_room();
                told(output, &read(object)?, object.get())?;
                output.flush()?;
            }
            (LineType::Gap, ..) => {
                progress.make_room();
                output.remark(&format!("… {} results dropped …", line.dropped.unwrap_or_default()));
            }
            (LineType::Bye, ..) if line.reason.as_deref() == Some(OVER) => break End::Over,
            (LineType::Bye, ..) => break End::Gone(said_bye(&line)),
            _ => {}
        }
        if let Some(job) = &job {
            progress.show(job);
        }
    };
    progress.make_room();
    Ok(Followed { job, end })
}
