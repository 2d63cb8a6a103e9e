//! `arxosrt locks …`
//!
//! A lock is taken from its holder only by its id, with a reason, and only if it is still the lock that was seen: its
//! fencing token goes along, and another one refuses. Somebody who is at work right now costs a typed word.

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::document::{Document, ReasonRequest};
use arxosrt_core::control::{LockHistoryRow, LockRow, WaiterRow, Why};
use hyper::Method;

use super::{needed_reason, outcome, watch};
use crate::args::{Global, Locks};
use crate::client::{Client, path};
use crate::confirm::{Answer, confirm};
use crate::error::Failure;
use crate::output::text::span;
use crate::output::{Output, Raw, read};

pub(super) async fn run(
    mut client: Client,
    global: &Global,
    command: &Locks,
    output: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        Locks::List { watch, room, holder, lock_type } => {
            let keep = |lock: &LockRow| {
                room.as_ref().is_none_or(|room| lock.rooms.contains(room))
                    && holder.as_ref().is_none_or(|holder| lock.holder.user_id == *holder)
                    && lock_type.as_ref().is_none_or(|wanted| lock.lock_type == *wanted)
            };
            if *watch {
                return watch::watch(client, "locks", keep, output).await;
            }
            output.list(client.list(&path(&["locks"])).await?, keep)?;
        }
        Locks::Show { lock } => {
            let document = find(&mut client, lock).await?;
            output.document(&document, |lock: &LockRow| lock.lock_id.clone(), fields)?;
        }
        Locks::Why { resource } => {
            let document = client.document(&path(&["resources", resource, "why"])).await?;
            output.document(&document, |why: &Why| why.resource_id.clone(), reasons)?;
        }
        Locks::History { resource, limit } => {
            let list = client.latest(&path(&["resources", resource, "history"]), *limit).await?;
            output.list(list, |_: &LockHistoryRow| true)?;
        }
        Locks::Release { lock, force, if_token } => {
            release(&mut client, global, lock, *force, *if_token, output).await?;
        }
    }
    Ok(Exit::Ok)
}

/// The lock of this id, or the one that covers this resource.
async fn find(client: &mut Client, name: &str) -> Result<Document<Raw>, Failure> {
    let not_an_id = match client.document(&path(&["locks", name])).await {
        Err(failure) if failure.exit == Exit::NotFound => failure,
        other => return other,
    };
    let list = client.list(&path(&["locks"])).await?;
    for raw in list.items {
        let lock: LockRow = read(&raw)?;
        if lock.resource_id == name || lock.resources.iter().any(|resource| resource == name) {
            let (api_version, generated_at) = (list.api_version, list.generated_at);
            return Ok(Document { api_version, kind: "Lock".into(), generated_at, object: raw });
        }
    }
    Err(not_an_id)
}

async fn release(
    client: &mut Client,
    global: &Global,
    id: &str,
    force: bool,
    if_token: Option<u64>,
    output: &mut Output,
) -> Result<(), Failure> {
    let target = path(&["locks", id]);
    let lock: LockRow = read(&client.document(&target).await?.object)?;
    let holder = format!("{} ({}) holds it on {}", lock.holder.username, lock.state, lock.resource_id);
    if !force {
        let message = format!("{id} is not yours to release: {holder} for another {}", span(lock.expires_in_ms));
        return Err(Failure::new(Exit::Precondition, "force_needed", message)
            .hint("--force --reason TEXT takes it from its holder, who is told"));
    }
    let reason = needed_reason(global, "--force")?.to_owned();
    let what = format!("take {id} from its holder; {holder}, idle for {}", span(lock.idle_ms));
    let wanted = if lock.state == "active" { Answer::Typed(&lock.resource_id) } else { Answer::Yes };
    confirm(global, &what, wanted)?;
    let token = if_token.unwrap_or(lock.fencing_token);
    let done = client.change(Method::DELETE, &target, Some(token), &ReasonRequest { reason }).await?;
    outcome(output, &done, |changed| format!("took {} from {}", changed.target, lock.holder.username))
}

fn fields(lock: &LockRow) -> Vec<(&'static str, String)> {
    vec![
        ("lock", lock.lock_id.clone()),
        ("type", lock.lock_type.clone()),
        ("resources", lock.resources.join(" ")),
        ("rooms", lock.rooms.join(" ")),
        ("holder", format!("{} ({})", lock.holder.username, lock.holder.user_id)),
        ("session", lock.holder.session_id.clone()),
        ("state", format!("{}, idle for {}", lock.state, span(lock.idle_ms))),
        ("acquired", lock.acquired_at.clone()),
        ("expires", format!("{} (in {})", lock.expires_at, span(lock.expires_in_ms))),
        ("token", lock.fencing_token.to_string()),
        ("waiters", lock.waiters.to_string()),
        ("metadata", lock.metadata.as_ref().map_or_else(String::new, |metadata| metadata.get().to_owned())),
    ]
}

/// The locks in the way, each followed by those who wait for it.
fn reasons(why: &Why) -> Vec<(&'static str, String)> {
    let mut lines =
        vec![("resource", format!("{} in {} of {}", why.resource_id, why.rooms.join(" "), why.building_id))];
    let waiter = |waiter: &WaiterRow| {
        let WaiterRow { ticket, user_id, lock_type, waiting_ms, .. } = waiter;
        ("  waits", format!("{user_id} for {lock_type}, {} so far ({ticket})", span(*waiting_ms)))
    };
    for lock in &why.blocked_by {
        let LockRow { lock_id, lock_type, resource_id, state, .. } = lock;
        let (name, ttl) = (&lock.holder.username, span(lock.expires_in_ms));
        lines.push(("blocked by", format!("{lock_id}: {name} ({state}) has {lock_type} on {resource_id}, {ttl} left")));
        lines.extend(why.waiters.iter().filter(|waiter| waiter.blocked_by.contains(lock_id)).map(waiter));
    }
    let is_shown = |waiter: &&WaiterRow| why.blocked_by.iter().any(|lock| waiter.blocked_by.contains(&lock.lock_id));
    lines.extend(why.waiters.iter().filter(|waiter| !is_shown(waiter)).map(waiter));
    if why.blocked_by.is_empty() && why.waiters.is_empty() {
        lines.push(("free", "nobody stands in the way".into()));
    }
    lines
}
