//! `arxosrt preload …`: what will be needed is loaded before anybody asks, and what the preloader expects by itself.

mod batch;
mod explain;
mod lines;
pub(super) mod replay;

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::document::Document;
use arxosrt_core::control::jobs::JobRow;
use arxosrt_core::control::preload::{PreloadItem, PreloadRequest};
use hyper::Method;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

use super::jobs::follow::{End, Followed, follow};
use super::jobs::{exit_of, tell, what};
use crate::args::{Global, How, Preload};
use crate::client::{Client, path};
use crate::error::Failure;
use crate::output::{Output, Raw, read};

pub(super) async fn run(
    client: Client,
    global: &Global,
    command: &Preload,
    output: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        Preload::Floor { ids, how } => named(client, global, ids, PreloadItem::floor, how, output).await,
        Preload::Building { ids, how } => named(client, global, ids, PreloadItem::building, how, output).await,
        Preload::Batch { .. } => batch::run(client, global, command, output).await,
        Preload::Explain { user } => explain::user(client, user, output).await,
        Preload::Model => explain::model(client, output).await,
        Preload::Replay(replay) => replay::run(replay, output),
    }
}

/// Refuses what is no floor's id before a daemon is asked: the daemon could not know that something else was meant.
pub(super) fn refuse_entries(command: &Preload) -> Result<(), Failure> {
    let Preload::Floor { ids, .. } = command else { return Ok(()) };
    match ids.iter().find_map(|id| Some((id, lines::entry_of_floor(id)?))) {
        Some((id, floor)) => {
            Err(Failure::usage(format!("{id:?} is the id of an entry of the cache"))
                .hint(format!("the floor is {floor}")))
        }
        None => Ok(()),
    }
}

async fn named(
    mut client: Client,
    global: &Global,
    ids: &[String],
    item: fn(&str) -> PreloadItem,
    how: &How,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let request = PreloadRequest {
        items: ids.iter().map(|id| item(id)).collect(),
        split: true,
        if_missing: how.if_missing,
        reason: global.reason.clone(),
    };
    let ordered = order(&mut client, "preload", &request).await?;
    ended(client, ordered, how.wait, output).await
}

/// Orders a job of whatever kind.
pub(super) async fn order<T: Serialize>(
    client: &mut Client,
    what: &str,
    request: &T,
) -> Result<Document<Raw>, Failure> {
    let segments: Vec<&str> = what.split('/').collect();
    client.change(Method::POST, &path(&segments), None, request).await
}

/// After a job was ordered: waits for it as `wait` says, or tells how to come back to it.
pub(super) async fn ended(
    client: Client,
    ordered: Document<Raw>,
    wait: Option<Option<Duration>>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let row: JobRow = read(&ordered.object)?;
    let Some(limit) = wait else {
        let sentence = format!("{} is ordered: {}; arxosrt jobs wait {}", row.job_id, row.target, row.job_id);
        output.outcome(&ordered, &row.job_id, &sentence)?;
        return Ok(Exit::Ok);
    };
    let until = limit.map(|limit| Instant::now() + limit);
    let followed = follow(client, &row.job_id, until, output, |output, item, _| {
        if let Some(message) = &item.message {
            output.remark(&format!("{}: {message}", what(item)));
        }
        Ok(())
    });
    let Followed { job, end } = followed.await?;
    let row = job.unwrap_or(row);
    match end {
        End::Over => tell(output, &row).map(|()| exit_of(&row)),
        other => Err(other.failure(Some(&row))),
    }
}
