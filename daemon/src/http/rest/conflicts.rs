//! Conflicts over REST: a person's own, to look at and to settle; and what a back end has found itself.
//!
//! What a person has no part in does not exist for that person: unknown and forbidden are answered alike, by the same
//! code and the same words. `/resolve-conflict` answers as it always did, 200 with or without success; the newer routes
//! say no with a status.

use arxosrt_core::building::conflict::ConflictId;
use arxosrt_core::control::conflict::{ConflictRow, ResolvedRow};
use arxosrt_core::edit::path::Path;
use arxosrt_core::edit::rules::Severity;
use arxosrt_core::id::{ResourceId, RoomId, UserId};
use arxosrt_core::wire::inbound_edit::{self, Resolve};
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;

use super::super::Context;
use super::super::answer::{Problem, shortened, stamped};
use super::super::fields::Fields;
use super::super::input::Input;
use super::{Answer, PathText};
use crate::hub::ask::{Ask, By, CONFLICTS_MAX, ConflictFilter, Report};

/// How many conflicts a list holds unless it is said otherwise.
const LISTED_DEFAULT: usize = 100;

/// How many it may hold with the values in dispute, each of which may be as large as an edit.
const LISTED_WHOLE_MAX: usize = 100;

/// The reporter's word for the kind of conflict, in bytes.
const KIND_BYTES_MAX: usize = 64;

/// The reporter's sentence, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 1024;

/// The one answer to everybody who has no part in a conflict, be there one or not.
const NONE_OF_YOURS: (&str, &str) = ("conflict_not_found", "there is no such conflict, or it is not yours");

/// Refusals that are about the conflict: the request was understood and carried out, and the answer is no.
const UNSETTLED: [&str; 5] = ["conflict_not_found", "already_resolved", "revision_changed", "bad_edit", "lock_held"];

/// `POST /resolve-conflict`. Clients of old send no `user_id`: the original took whoever was logged in, and let anybody
/// resolve anything. Nobody is logged in here, and nobody has no conflicts.
pub(super) async fn resolve(State(context): State<Context>, input: Input) -> Answer {
    let mut fields = input.fields();
    let user = fields.optional_id("user_id", UserId::new);
    fields.text("conflict_id");
    fields.text("resolution");
    let json = fields.object_of(&["conflict_id", "resolution", "winner"], &["revision", "choices", "values", "value"]);
    fields.check()?;
    let settled = match (inbound_edit::parse_resolve(&json), user) {
        (Ok(resolve), Some(user)) => settle(&context, user, resolve).await,
        (Ok(_), None) => Err(none_of_yours()),
        (Err(wrong), _) => Err(Problem::from(wrong)),
    };
    match settled.map_err(alike) {
        Ok(done) => Ok(stamped(Settled { success: true, message: "Conflict resolved", done: Done::from(done) })),
        Err(problem) if UNSETTLED.contains(&problem.code()) => Ok(stamped(Unsettled {
            success: false,
            message: "Failed to resolve conflict",
            code: problem.code(),
            detail: problem.message(),
        })),
        Err(problem) => Err(problem),
    }
}

async fn settle(context: &Context, user: UserId, resolve: Resolve) -> Result<ResolvedRow, Problem> {
    let (resolve, by) = (Box::new(resolve), By::Person(user));
    context.ask(|reply| Ask::Resolve { resolve, by, dry_run: false, reply }).await
}

/// `POST /conflicts`: a back end has found that two people disagree.
pub(super) async fn report(State(context): State<Context>, input: Input) -> Answer {
    let mut fields = input.fields();
    let users = two_users(&input, &mut fields);
    let resource = fields.id("resource_id", ResourceId::new);
    let room = fields.optional_id("room_id", RoomId::new);
    let kind = fields.parsed("conflict_type", |text| line(text, KIND_BYTES_MAX));
    let severity = fields.parsed("severity", severity_named);
    let description = fields.optional_parsed("description", |text| line(text, DESCRIPTION_BYTES_MAX));
    fields.check()?;
    let (Some(users), Some(resource), Some(kind), Some(severity)) = (users, resource, kind, severity) else {
        return Err(fields.problem());
    };
    let description = description.unwrap_or_default();
    let report = Box::new(Report { resource, room, users, kind, severity, description });
    let conflict = context.ask(|reply| Ask::ReportConflict { report, reply }).await?;
    Ok(stamped(Reported { success: true, conflict_id: conflict.to_string() }))
}

/// `user_id_1` and `user_id_2`, or `users` with both.
fn two_users(input: &Input, fields: &mut Fields<'_>) -> Option<[UserId; 2]> {
    let both = match input.in_body("users").is_some() || input.is_in_query(&["users"]) {
        true => {
            let ids = fields.json("users")?;
            fields.understood("users", pair(&ids))?
        }
        false => {
            let (one, other) = (fields.id("user_id_1", UserId::new), fields.id("user_id_2", UserId::new));
            one.zip(other).map(|(one, other)| [one, other])?
        }
    };
    let are_two = if both[0] == both[1] { Err("nobody is in conflict with themselves".to_owned()) } else { Ok(both) };
    fields.understood("user_id_2", are_two)
}

fn pair(ids: &RawValue) -> Result<[UserId; 2], String> {
    let ids: [String; 2] =
        serde_json::from_str(ids.get()).map_err(|_| "Input should be an array of two ids".to_owned())?;
    let [one, other] = ids.map(|id| UserId::new(&id).map_err(|error| error.to_string()));
    Ok([one?, other?])
}

fn severity_named(name: &str) -> Result<Severity, String> {
    Severity::parse(name)
        .ok_or_else(|| format!("Input should be low, medium, high or critical, not {}", shortened(name)))
}

/// One line of text: it is shown to people and in terminals.
fn line(text: &str, bytes_max: usize) -> Result<String, String> {
    match text.len() {
        0 => Err("Input should not be empty".to_owned()),
        len if len > bytes_max => Err(format!("Input should have at most {bytes_max} bytes, this one has {len}")),
        _ if text.chars().any(char::is_control) => Err("Input should hold no control characters".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// `GET /conflicts`: a person's own, the latest first.
pub(super) async fn list(State(context): State<Context>, input: Input) -> Answer {
    let mut fields = input.fields();
    let user = fields.id("user_id", UserId::new);
    let paths = fields.flag("paths");
    let most = if paths { LISTED_WHOLE_MAX } else { CONFLICTS_MAX };
    let limit = fields.optional_parsed("limit", |text| match text.parse() {
        Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
        _ => Err(format!("Input should be an integer from 1 to {most}, not {}", shortened(text))),
    });
    let filter = ConflictFilter {
        of: user.clone(),
        resource: fields.optional_id("resource_id", ResourceId::new),
        settled: fields.flag("settled"),
        before: fields.optional_parsed("before", |text| {
            ConflictId::parse(text).ok_or_else(|| format!("{} is not a conflict's id", shortened(text)))
        }),
        limit: limit.unwrap_or(LISTED_DEFAULT.min(most)),
        paths,
        ..ConflictFilter::default()
    };
    fields.check()?;
    if user.is_none() {
        return Err(fields.problem());
    }
    let conflicts = context.ask(|reply| Ask::Conflicts { filter, reply }).await?;
    Ok(stamped(Listed { count: conflicts.len(), conflicts }))
}

/// `GET /conflicts/{conflict_id}`: one of a person's own.
pub(super) async fn show(State(context): State<Context>, conflict: PathText, input: Input) -> Answer {
    let mut fields = input.fields();
    let user = fields.id("user_id", UserId::new);
    fields.check()?;
    let Some(user) = user else {
        return Err(fields.problem());
    };
    let conflict = named(conflict)?;
    let row = context.ask(|reply| Ask::Conflict { conflict, of: Some(user), reply }).await.map_err(alike)?;
    Ok(stamped(row))
}

/// `POST /conflicts/{conflict_id}/restore`: bring back what lost in one of a person's own.
pub(super) async fn restore(State(context): State<Context>, conflict: PathText, input: Input) -> Answer {
    let mut fields = input.fields();
    let user = fields.id("user_id", UserId::new);
    let whose = fields.optional_id("whose", UserId::new);
    let path = fields.optional_parsed("path", Path::parse);
    fields.check()?;
    let Some(user) = user else {
        return Err(fields.problem());
    };
    let conflict = named(conflict)?;
    let by = By::Person(user);
    let done = context.ask(|reply| Ask::Restore { conflict, whose, path, by, reply }).await.map_err(alike)?;
    Ok(stamped(Settled { success: true, message: "Value restored", done: Done::from(done) }))
}

/// The conflict in the path. What cannot be one's id is as unknown as any other.
fn named(conflict: PathText) -> Result<ConflictId, Problem> {
    conflict.ok().and_then(|path| ConflictId::parse(&path.0)).ok_or_else(none_of_yours)
}

fn none_of_yours() -> Problem {
    let (code, words) = NONE_OF_YOURS;
    Problem::new(code, words)
}

/// The same words for what is unknown and for what is somebody else's, whoever found out.
fn alike(problem: Problem) -> Problem {
    if problem.code() == NONE_OF_YOURS.0 { none_of_yours() } else { problem }
}

#[derive(Serialize)]
struct Settled {
    success: bool,
    message: &'static str,
    #[serde(flatten)]
    done: Done,
}

#[derive(Serialize)]
struct Done {
    conflict_id: String,
    resource_id: String,
    version: u64,
    changes: Vec<Box<RawValue>>,
}

impl From<ResolvedRow> for Done {
    fn from(row: ResolvedRow) -> Self {
        let ResolvedRow { conflict_id, resource_id, changes, version, .. } = row;
        Done { conflict_id, resource_id, version, changes }
    }
}

#[derive(Serialize)]
struct Unsettled<'a> {
    success: bool,
    message: &'static str,
    code: &'static str,
    detail: &'a str,
}

#[derive(Serialize)]
struct Reported {
    success: bool,
    conflict_id: String,
}

#[derive(Serialize)]
struct Listed {
    conflicts: Vec<ConflictRow>,
    count: usize,
}
