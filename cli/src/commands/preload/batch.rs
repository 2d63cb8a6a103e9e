//! `arxosrt preload batch`: lines in, one result per line out, and those that failed into a file that can be fed again.
//!
//! The whole batch is one job. Results come in the order in which they are had, each with its line's number; standard
//! output is flushed with each, so a pipe sees them at once.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, IsTerminal, Write};
use std::path::Path;

use arxosrt_core::control::API_VERSION;
use arxosrt_core::control::code::Exit;
use arxosrt_core::control::jobs::{JobItemRow, JobRow};
use arxosrt_core::control::preload::PreloadRequest;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::lines::{BadBatch, ITEMS_MAX, Wish, read};
use super::{ended, order};
use crate::args::{Format, Global, Preload};
use crate::client::Client;
use crate::commands::jobs::follow::{End, Followed, follow};
use crate::error::Failure;
use crate::output::progress::sentence;
use crate::output::text::{bytes, clean};
use crate::output::{Output, read as read_raw};

/// What a script learns about a line.
#[derive(Clone, Debug, Serialize)]
struct Answer<'a> {
    line: u64,
    input: &'a str,
    /// `done`, `skipped` (it was there), `failed`.
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    entries: u64,
    bytes: u64,
    attempts: u64,
    took_ms: u64,
}

/// The lines, and which of them were not loaded so far.
struct Batch {
    wishes: Vec<Wish>,
    /// Of each item of the job, its place in `wishes`.
    sent: Vec<usize>,
    /// By place in `wishes`.
    is_loaded: Vec<bool>,
    /// Answers that go into one document.
    gathered: Vec<serde_json::Value>,
}

pub(super) async fn run(
    mut client: Client,
    global: &Global,
    command: &Preload,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let Preload::Batch { file, if_missing, wait, no_wait, failed_out } = command else {
        return Err(Failure::usage("this is no batch"));
    };
    let mut batch = Batch::of(take_in(file)?);
    let failed_out = failed_out.as_deref().map(FailedOut::open).transpose()?;
    let followed = if batch.sent.is_empty() {
        batch.answer_unread(output)?;
        None
    } else {
        let request = PreloadRequest {
            items: batch.items(),
            split: false,
            if_missing: *if_missing,
            reason: global.reason.clone(),
        };
        let ordered = order(&mut client, "preload", &request).await?;
        if *no_wait {
            return ended(client, ordered, None, output).await;
        }
        batch.answer_unread(output)?;
        let row: JobRow = read_raw(&ordered.object)?;
        let until = wait.flatten().map(|wait| Instant::now() + wait);
        let told = |output: &mut Output, item: &JobItemRow, _: &str| batch.answer(item, output);
        let Followed { job, end } = follow(client, &row.job_id, until, output, told).await?;
        Some((job.unwrap_or(row), end))
    };
    if let Some(mut to) = failed_out {
        to.write(&batch)?;
    }
    match followed {
        Some((job, End::Over)) => batch.sum_up(Some(&job), output),
        Some((job, end)) => Err(end.failure(Some(&job))),
        None => batch.sum_up(None, output),
    }
}

/// Reads the lines. A terminal is not waited for: whoever sits there meant something else.
fn take_in(file: &Path) -> Result<Vec<Wish>, Failure> {
    let is_stdin = file == Path::new("-");
    let wishes = match is_stdin {
        true if io::stdin().is_terminal() => {
            return Err(Failure::usage("preload batch reads ids from a file or a pipe, and this is a terminal")
                .hint("printf '%s\\n' FLOOR… | arxosrt preload batch -, or arxosrt preload floor FLOOR…"));
        }
        true => read(io::stdin().lock()),
        false => match File::open(file) {
            Ok(file) => read(BufReader::new(file)),
            Err(error) => Err(BadBatch::Unreadable(error)),
        },
    };
    wishes.map_err(|bad| match bad {
        BadBatch::Unreadable(error) => Failure::usage(format!("{} cannot be read: {error}", file.display())),
        BadBatch::TooLong => Failure::usage(format!("a batch asks for at most {ITEMS_MAX} things"))
            .hint(format!("split -l {ITEMS_MAX} makes several files of one")),
    })
}

impl Batch {
    fn of(wishes: Vec<Wish>) -> Batch {
        let sent: Vec<usize> =
            wishes.iter().enumerate().filter(|(_, wish)| wish.item.is_ok()).map(|(at, _)| at).collect();
        Batch { is_loaded: vec![false; wishes.len()], sent, wishes, gathered: Vec::new() }
    }

    fn items(&self) -> Vec<arxosrt_core::control::preload::PreloadItem> {
        self.wishes.iter().filter_map(|wish| wish.item.clone().ok()).collect()
    }

    /// The lines that mean nothing, which the daemon never hears of.
    fn answer_unread(&mut self, output: &mut Output) -> Result<(), Failure> {
        let unread = self.wishes.iter().filter_map(|wish| Some((wish.clone(), wish.item.clone().err()?)));
        for (wish, message) in unread.collect::<Vec<_>>() {
            let answer = Answer {
                line: wish.line,
                input: &wish.text,
                state: "failed",
                code: Some("bad_line"),
                message: Some(&message),
                entries: 0,
                bytes: 0,
                attempts: 0,
                took_ms: 0,
            };
            self.tell(output, &answer)?;
        }
        Ok(())
    }

    fn answer(&mut self, item: &JobItemRow, output: &mut Output) -> Result<(), Failure> {
        let place = usize::try_from(item.item).ok().and_then(|at| self.sent.get(at)).copied();
        let Some(at) = place else {
            let message = format!("the daemon speaks of item {}, and there are {}", item.item, self.sent.len());
            return Err(Failure::new(Exit::Incompatible, "incompatible", message));
        };
        self.is_loaded[at] = item.state != "failed";
        let (line, input) = (self.wishes[at].line, self.wishes[at].text.clone());
        self.tell(
            output,
            &Answer {
                line,
                input: &input,
                state: &item.state,
                code: item.code.as_deref(),
                message: item.message.as_deref(),
                entries: item.entries,
                bytes: item.bytes,
                attempts: item.attempts,
                took_ms: item.took_ms,
            },
        )
    }

    fn tell(&mut self, output: &mut Output, answer: &Answer<'_>) -> Result<(), Failure> {
        match output.format() {
            Format::Json => self.gathered.push(json!(answer)),
            Format::Ndjson => output.json(answer)?,
            _ if output.is_quiet() => {}
            Format::Name => output.line(&clean(answer.input))?,
            Format::Table => {
                let Answer { line, input, state, entries, took_ms, .. } = answer;
                let why = answer.message.map_or_else(String::new, |message| format!("  {message}"));
                let size = bytes(answer.bytes);
                output.line(&clean(&format!(
                    "{line:>6}  {state:<7}  {entries:>2}  {size:>10}  {took_ms:>6} ms  {input}{why}"
                )))?;
            }
        }
        Ok(())
    }

    /// The last line, and how the command ends.
    fn sum_up(&mut self, job: Option<&JobRow>, output: &mut Output) -> Result<Exit, Failure> {
        let (done, skipped) = job.map_or((0, 0), |job| (job.done, job.skipped));
        let failed = self.wishes.len() as u64 - done - skipped;
        let job_id = job.map(|job| &job.job_id);
        let summary = json!({
            "kind": "BatchSummary", "job_id": job_id, "done": done, "skipped": skipped, "failed": failed,
            "bytes": job.map_or(0, |job| job.bytes)
        });
        match output.format() {
            Format::Json => {
                let object = json!({"summary": summary, "items": self.gathered});
                output.json(&json!({"api_version": API_VERSION, "kind": "Batch", "object": object}))?;
            }
            Format::Ndjson => output.json(&summary)?,
            // Beside the answers, which are all that standard output holds.
            Format::Table | Format::Name => {
                let unread = (self.wishes.len() - self.sent.len()) as u64;
                if let Some(job) = job {
                    let all = JobRow { total: job.total + unread, failed: job.failed + unread, ..job.clone() };
                    output.remark(&sentence(&all));
                }
            }
        }
        let was_called_off = job.is_some_and(|job| job.state == "cancelled");
        Ok(match failed {
            0 => Exit::Ok,
            _ if was_called_off || done + skipped == 0 => Exit::Failed,
            _ => Exit::Partial,
        })
    }
}

/// Where lines go that were not loaded. It is opened before anything is ordered, so that it is known to be writable, and
/// written at the end, so that it may be the very file that was read.
struct FailedOut<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> FailedOut<'a> {
    fn open(path: &'a Path) -> Result<Self, Failure> {
        let opened = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        opened.map(|file| FailedOut { path, file }).map_err(|error| cannot_write(path, &error))
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        let failed = batch.wishes.iter().zip(&batch.is_loaded).filter(|(_, is_loaded)| !**is_loaded);
        let text: String = failed.map(|(wish, _)| format!("{}\n", wish.text)).collect();
        // A pipe or a device has no length to be set.
        let is_file = self.file.metadata().is_ok_and(|meta| meta.is_file());
        let cleared = if is_file { self.file.set_len(0) } else { Ok(()) };
        cleared
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .and_then(|()| if is_file { self.file.sync_all() } else { Ok(()) })
            .map_err(|error| cannot_write(self.path, &error))
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, "failed_out", format!("--failed-out: {} cannot be written: {error}", path.display()))
}
