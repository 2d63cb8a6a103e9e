//! `arxosrt conflicts …`
//!
//! A conflict is settled only as it was seen: the revision that was looked at goes along, and another one refuses. What
//! is to be settled is shown to whoever is asked for a yes; a grave one costs a typed word. The daemon decides what a
//! resolution does to the document, so `--dry-run` asks it and nothing is worked out here.

mod named;
mod view;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::conflict::{ConflictRow, ConflictStats, ResolveRequest, ResolvedRow, RestoreRequest};
use arxosrt_core::control::document::{Document, List};
use arxosrt_core::time::Wall;
use hyper::Method;

use super::{events, needed_reason, watch};
use crate::args::{About, Conflicts, Format, Global, Severity};
use crate::client::{Client, path};
use crate::confirm::{Answer, confirm, confirm_seeing};
use crate::error::Failure;
use crate::output::rows::SettledLine;
use crate::output::{Output, Raw, field_lines, read};

pub(super) async fn run(
    mut client: Client,
    global: &Global,
    command: &Conflicts,
    output: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        Conflicts::List { watch: true, about, .. } => {
            return watch::watch(client, "conflicts", |row: &ConflictRow| is_about(row, about), output).await;
        }
        Conflicts::List { settled, all, about, limit, .. } => {
            list(&mut client, *settled, *all, about, *limit, output).await?;
        }
        Conflicts::Show { conflict } => {
            let document = client.document(&path(&["conflicts", conflict])).await?;
            output.document(&document, |row: &ConflictRow| row.conflict_id.clone(), view::conflict)?;
        }
        Conflicts::Resolve { conflict, winner, merge, choose, value, revision, dry_run } => {
            let row: ConflictRow = read(&client.document(&path(&["conflicts", conflict])).await?.object)?;
            let request = ResolveRequest {
                winner: winner.as_deref().map(|user| named::party(&row, user)).transpose()?,
                choices: merge.then(|| named::choices(&row, choose)).transpose()?,
                values: (!value.is_empty()).then(|| named::values(&row, value)).transpose()?,
                revision: Some(revision.unwrap_or(row.revision)),
                dry_run: *dry_run,
                reason: global.reason.clone(),
            };
            resolve(&mut client, global, &row, request, output).await?;
        }
        Conflicts::Restore { conflict, user, path: at } => {
            restore(&mut client, global, conflict, user.as_ref(), at.as_ref(), output).await?;
        }
        Conflicts::History { about, since, limit } => {
            history(&mut client, about, *since, *limit, output).await?;
        }
        Conflicts::Stats => {
            let document = client.document(&format!("{}/conflict-stats", path(&[]))).await?;
            output.document(&document, |_: &ConflictStats| "conflicts".to_owned(), view::stats)?;
        }
        Conflicts::Watch { room } => {
            return events::run(client, &["conflict".to_owned()], room.as_deref(), output).await;
        }
    }
    Ok(Exit::Ok)
}

async fn list(
    client: &mut Client,
    settled: bool,
    all: bool,
    about: &About,
    limit: Option<u32>,
    output: &mut Output,
) -> Result<(), Failure> {
    let limit = limit.map_or(usize::MAX, |limit| limit as usize);
    // The daemon gives the settled ones only together with the open ones.
    let most = if settled { usize::MAX } else { limit };
    let mut list = gather(client, about, settled || all, most).await?;
    if settled {
        list.items = settled_of(list.items)?.into_iter().map(|(raw, _)| raw).take(limit).collect();
    }
    output.list(list, |_: &ConflictRow| true)
}

async fn history(
    client: &mut Client,
    about: &About,
    since: Option<Duration>,
    limit: u32,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut list = gather(client, about, true, usize::MAX).await?;
    let mut settled = settled_of(list.items)?;
    if let Some(since) = since {
        let begin = ago(since).to_string();
        settled.retain(|(_, row)| row.resolved_at.as_deref().is_some_and(|at| at >= begin.as_str()));
    }
    // The daemon's order is that in which they were found. Times of one form sort as text.
    settled.sort_by(|(_, a), (_, b)| b.resolved_at.cmp(&a.resolved_at));
    list.items = settled.into_iter().map(|(raw, _)| raw).take(limit as usize).collect();
    output.list(list, |_: &SettledLine| true)
}

/// The latest `most` conflicts that the flags describe.
async fn gather(client: &mut Client, about: &About, settled: bool, most: usize) -> Result<List<Raw>, Failure> {
    let mut narrowed = Vec::new();
    if settled {
        narrowed.push(("settled", "true"));
    }
    let given = [
        ("of", about.user.as_deref()),
        ("resource", about.resource.as_deref()),
        ("building", about.building.as_deref()),
        ("severity", about.severity.map(Severity::as_str)),
        ("path", about.path.as_deref()),
    ];
    narrowed.extend(given.into_iter().filter_map(|(name, value)| Some((name, value?))));
    client.pages(&path(&["conflicts"]), &narrowed, "before", most).await
}

/// Those that are settled, each with what is read of it.
fn settled_of(items: Vec<Raw>) -> Result<Vec<(Raw, ConflictRow)>, Failure> {
    let mut settled = Vec::with_capacity(items.len());
    for raw in items {
        let row: ConflictRow = read(&raw)?;
        if is_settled(&row) {
            settled.push((raw, row));
        }
    }
    Ok(settled)
}

fn is_settled(row: &ConflictRow) -> bool {
    row.status == "settled"
}

/// What the daemon's filter says of a row, for streams, which have no filter.
fn is_about(row: &ConflictRow, about: &About) -> bool {
    about.user.as_ref().is_none_or(|user| row.user_id_1 == *user || row.user_id_2 == *user)
        && about.resource.as_ref().is_none_or(|resource| row.resource_id == *resource)
        // A severity from a newer daemon is shown rather than missed.
        && about.severity.is_none_or(|least| Severity::parse(&row.severity).is_none_or(|severity| severity >= least))
}

/// The daemon is on this machine: its clock is ours.
fn ago(span: Duration) -> Wall {
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(span);
    Wall(i64::try_from(then.as_millis()).unwrap_or(i64::MAX))
}

async fn resolve(
    client: &mut Client,
    global: &Global,
    row: &ConflictRow,
    request: ResolveRequest,
    output: &mut Output,
) -> Result<(), Failure> {
    let id = &row.conflict_id;
    if is_settled(row) {
        let (word, by) = (row.resolution.as_deref().unwrap_or("?"), row.resolved_by.as_deref().unwrap_or("?"));
        let message = format!("{id} is settled already: {word} by {by}");
        return Err(Failure::new(Exit::Precondition, "already_resolved", message)
            .hint(format!("what lost can be brought back: arxosrt conflicts restore {id}")));
    }
    if !request.dry_run {
        needed_reason(global, "resolve")?;
        let what = format!("settle {id} on {} for {} and {}", row.resource_id, row.username_1, row.username_2);
        let is_grave = Severity::parse(&row.severity).is_none_or(|severity| severity >= Severity::High);
        let wanted = if is_grave { Answer::Typed(&row.resource_id) } else { Answer::Yes };
        confirm_seeing(global, &field_lines(&view::conflict(row)), &what, wanted)?;
    }
    let done = client.change(Method::POST, &path(&["conflicts", id, "resolve"]), None, &request).await?;
    tell(output, &done, "settled")
}

async fn restore(
    client: &mut Client,
    global: &Global,
    id: &str,
    user: Option<&String>,
    at: Option<&String>,
    output: &mut Output,
) -> Result<(), Failure> {
    let reason = needed_reason(global, "restore")?.to_owned();
    let whose = user.map_or_else(String::new, |user| format!(" of {user}"));
    let values = at.map_or_else(|| "what lost".to_owned(), |at| format!("what lost at {at}"));
    confirm(global, &format!("bring back {values}{whose} in {id}"), Answer::Yes)?;
    let request = RestoreRequest { user_id: user.cloned(), path: at.cloned(), reason };
    let done = client.change(Method::POST, &path(&["conflicts", id, "restore"]), None, &request).await?;
    tell(output, &done, "restored from")
}

/// What was done, in a sentence; what would be done, change by change.
fn tell(output: &mut Output, document: &Document<Raw>, verb: &str) -> Result<(), Failure> {
    let done: ResolvedRow = read(&document.object)?;
    if done.dry_run && output.format() == Format::Table {
        return output.fields(&view::outlook(&done));
    }
    let changes = match done.changes.len() {
        0 => "the document stays as it is".to_owned(),
        1 => "1 change".to_owned(),
        several => format!("{several} changes"),
    };
    let (id, resource, version) = (&done.conflict_id, &done.resource_id, done.version);
    output.outcome(document, id, &format!("{verb} {id}: {changes}, {resource} is at version {version}"))
}
