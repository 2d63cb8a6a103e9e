//! Conflicts between people's edits: to look at, to settle, to bring back what lost.
//!
//! Everybody who may look sees that there is a conflict, about what and between whom; the values in dispute are shown to
//! those who may operate. Settling changes a document in other people's names and is for administrators, as taking a
//! lock from its holder is. The hub writes the audit record in the same batch as what it is about, so there is no
//! resolution without its record.

use std::collections::BTreeMap;
use std::sync::Arc;

use arxosrt_core::building::command::{Resolution, Share};
use arxosrt_core::building::conflict::ConflictId;
use arxosrt_core::control::code::Code;
use arxosrt_core::control::conflict::{ConflictRow, ResolveRequest, RestoreRequest};
use arxosrt_core::control::hello::Role;
use arxosrt_core::edit::path::Path;
use arxosrt_core::edit::rules::Severity;
use arxosrt_core::edit::value::Value;
use arxosrt_core::id::{BadId, BuildingId, ResourceId, UserId};
use arxosrt_core::wire::inbound_edit::Resolve;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::changes::{Deed, carry_out, check_reason};
use super::extract::{Admin, Anyone, Input, Named, Operating, Params, Viewer, enough};
use super::failure::Failure;
use super::routes::{document, respond};
use super::server::Server;
use super::{PAGE_DEFAULT, PAGE_MAX};
use crate::hub::ask::{Ask, By, CONFLICTS_MAX, ConflictFilter};

type Answer = Result<Response, Failure>;
type Shared = State<Arc<Server>>;

/// A page of conflicts with the values in dispute, each of which may be as large as an edit.
const PAGE_WHOLE_MAX: usize = 100;

/// More open conflicts than this are not watched: the latest are.
const WATCHED_MAX: usize = 16 * CONFLICTS_MAX;

const _: () = assert!(PAGE_MAX <= CONFLICTS_MAX, "a page must fit into one answer of the hub");

/// The query of `GET /v1/conflicts`. Everything that is given must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Of this person.
    of: Option<String>,
    resource: Option<String>,
    building: Option<String>,
    /// At least this grave.
    severity: Option<String>,
    /// About this path or what lies below it.
    path: Option<String>,
    /// Also those that are settled.
    #[serde(default)]
    settled: bool,
    /// `next_cursor` of the page before.
    before: Option<String>,
    limit: Option<usize>,
    /// With the values in dispute.
    #[serde(default)]
    paths: bool,
}

/// `GET /v1/conflicts`: the latest first.
pub(super) async fn list(
    State(server): Shared,
    _: Viewer,
    Anyone(peer): Anyone,
    Params(wanted): Params<Wanted>,
) -> Answer {
    if wanted.paths {
        enough(Role::Operate, &peer, &server)?;
    }
    let filter = wanted.filter()?;
    let limit = filter.limit;
    let rows = server.ask(|reply| Ask::Conflicts { filter, reply }).await?;
    // A full page may be the last one; the next is then empty.
    let next_cursor = rows.last().filter(|_| rows.len() >= limit).map(|row| row.conflict_id.clone());
    respond("Conflict", rows, next_cursor)
}

/// `GET /v1/conflicts/{id}`: with the values in dispute.
pub(super) async fn show(State(server): Shared, _: Operating, Named(conflict): Named<ConflictId>) -> Answer {
    let row = server.ask(|reply| Ask::Conflict { conflict, of: None, reply }).await;
    document("Conflict", row.map_err(|failure| failure.or_not_found(Code::ConflictNotFound))?)
}

/// `GET /v1/conflict-stats`.
pub(super) async fn stats(State(server): Shared, _: Viewer) -> Answer {
    document("ConflictStats", server.ask(|reply| Ask::ConflictStats { reply }).await?)
}

/// `POST /v1/conflicts/{id}/resolve`.
pub(super) async fn resolve(
    State(server): Shared,
    Admin(peer): Admin,
    Named(conflict): Named<ConflictId>,
    Input(request): Input<ResolveRequest>,
) -> Answer {
    let resolution = resolution(&request)?;
    let dry_run = request.dry_run;
    let reason = match request.reason {
        // Nothing happens, so nothing has to be explained.
        None if dry_run => None,
        reason => Some(check_reason(reason.unwrap_or_default())?),
    };
    let deed = Deed { action: "conflict.resolve", target: conflict.to_string(), reason };
    let resolve = Box::new(Resolve { conflict, revision: request.revision, resolution });
    let ask = move |record, reply| Ask::Resolve { resolve, by: By::Operator(record), dry_run, reply };
    let done = match dry_run {
        true => server.ask(|reply| ask(deed.record(&peer), reply)).await,
        false => carry_out(server, peer, deed, ask).await,
    };
    document("Resolved", done.map_err(|failure| explained(failure, conflict))?)
}

/// `POST /v1/conflicts/{id}/restore`.
pub(super) async fn restore(
    State(server): Shared,
    Admin(peer): Admin,
    Named(conflict): Named<ConflictId>,
    Input(request): Input<RestoreRequest>,
) -> Answer {
    let reason = Some(check_reason(request.reason)?);
    let whose = request.user_id.map(|user| id("user_id", &user, UserId::new)).transpose()?;
    let path = request.path.map(|path| pointer("path", &path)).transpose()?;
    let deed = Deed { action: "conflict.restore", target: conflict.to_string(), reason };
    let ask = move |record, reply| Ask::Restore { conflict, whose, path, by: By::Operator(record), reply };
    let done = carry_out(server, peer, deed, ask).await;
    document("Resolved", done.map_err(|failure| explained(failure, conflict))?)
}

/// Everything that waits for somebody, for watchers.
pub(super) async fn all_open(server: &Server) -> Result<Vec<ConflictRow>, Failure> {
    let mut all: Vec<ConflictRow> = Vec::new();
    while all.len() < WATCHED_MAX {
        let before = all.last().and_then(|row| ConflictId::parse(&row.conflict_id));
        let filter = ConflictFilter { before, limit: CONFLICTS_MAX, ..ConflictFilter::default() };
        let rows = server.ask(|reply| Ask::Conflicts { filter, reply }).await?;
        let is_last = rows.len() < CONFLICTS_MAX;
        all.extend(rows);
        if is_last {
            break;
        }
    }
    Ok(all)
}

impl Wanted {
    fn filter(self) -> Result<ConflictFilter, Failure> {
        let most = if self.paths { PAGE_WHOLE_MAX } else { PAGE_MAX };
        let limit = self.limit.unwrap_or(PAGE_DEFAULT.min(most));
        if !(1..=most).contains(&limit) {
            return Err(Failure::new(Code::BadRequest, format!("limit is 1 to {most} here, not {limit}")));
        }
        let severity = |name: String| {
            Severity::parse(&name).ok_or_else(|| {
                let detail = format!("severity is low, medium, high or critical, not {name:?}");
                Failure::new(Code::BadRequest, detail)
            })
        };
        let before = |text: String| {
            ConflictId::parse(&text)
                .ok_or_else(|| Failure::new(Code::BadRequest, format!("before: {text:?} is not a conflict's id")))
        };
        Ok(ConflictFilter {
            of: self.of.map(|text| id("of", &text, UserId::new)).transpose()?,
            resource: self.resource.map(|text| id("resource", &text, ResourceId::new)).transpose()?,
            building: self.building.map(|text| id("building", &text, BuildingId::new)).transpose()?,
            severity: self.severity.map(severity).transpose()?,
            path: self.path.map(|text| pointer("path", &text)).transpose()?,
            settled: self.settled,
            before: self.before.map(before).transpose()?,
            paths: self.paths,
            limit,
        })
    }
}

fn resolution(request: &ResolveRequest) -> Result<Resolution, Failure> {
    match (&request.winner, &request.choices, &request.values) {
        (Some(winner), None, None) => Ok(Resolution::Winner(id("winner", winner, UserId::new)?)),
        (None, Some(choices), None) => choices
            .iter()
            .map(|(at, user)| Ok((pointer("choices", at)?, Share::Of(id("choices", user, UserId::new)?))))
            .collect::<Result<_, _>>()
            .map(Resolution::Merge),
        (None, None, Some(given)) => values(given).map(Resolution::Manual),
        _ => Err(Failure::new(Code::BadRequest, "exactly one of winner, choices and values is needed")),
    }
}

fn values(given: &BTreeMap<String, Box<RawValue>>) -> Result<Vec<(Path, Option<Value>)>, Failure> {
    let value = |json: &str| match json {
        "null" => Ok(None),
        json => {
            Value::parse(json).map(Some).map_err(|error| Failure::new(Code::BadRequest, format!("values: {error}")))
        }
    };
    given.iter().map(|(at, raw)| Ok((pointer("values", at)?, value(raw.get())?))).collect()
}

fn id<T>(name: &str, text: &str, make: fn(&str) -> Result<T, BadId>) -> Result<T, Failure> {
    make(text).map_err(|error| Failure::new(Code::BadRequest, format!("{name}: {error}")))
}

fn pointer(name: &str, text: &str) -> Result<Path, Failure> {
    Path::parse(text).map_err(|error| Failure::new(Code::BadRequest, format!("{name}: {error}")))
}

/// The refusal with what to do about it.
fn explained(failure: Failure, conflict: ConflictId) -> Failure {
    let failure = failure.or_not_found(Code::ConflictNotFound);
    match failure.code {
        Code::RevisionChanged => failure.hint(format!("look again: arxosrt conflicts show {conflict}")),
        Code::AlreadyResolved => {
            failure.hint(format!("what lost can be brought back: arxosrt conflicts restore {conflict}"))
        }
        _ => failure,
    }
}
