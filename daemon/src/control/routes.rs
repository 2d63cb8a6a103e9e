//! Everything that can be asked, and the answers that change nothing. Lists come in pages ([`lists`]).

use std::sync::Arc;

use arxosrt_core::control::code::Code;
use arxosrt_core::control::document::{AuditRow, Document, List};
use arxosrt_core::control::hello::{ApiRange, Hello};
use arxosrt_core::control::{API, API_VERSION, LockRow, RoomRow, Status, UserRow};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, UserId};
use arxosrt_core::lock::LockId;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Uri};
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde::Serialize;

use super::extract::{Admin, Anyone, Named, Operating, Page, Params, Viewer};
use super::failure::Failure;
use super::server::{Server, wall_now};
use super::{HELLO_ASK_TIMEOUT, LIMITS, cache, changes, conflicts, jobs, lists, preload, stream, watch};
use crate::hub::ask::Ask;

type Answer = Result<Response, Failure>;
type Shared = State<Arc<Server>>;

/// Abilities that came after the first release of API 1. None yet.
const FEATURES: [&str; 0] = [];

pub(super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/_hello", get(hello))
        .route("/v1/whoami", get(whoami))
        .route("/v1/status", get(status))
        .route("/v1/rooms", get(rooms))
        .route("/v1/rooms/{id}", get(room))
        .route("/v1/rooms/{id}/users", get(room_users))
        .route("/v1/rooms/{id}/notice", post(changes::notice))
        .route("/v1/users", get(users))
        .route("/v1/users/{id}", get(user).delete(changes::kick_user))
        .route("/v1/sessions/{id}", delete(changes::kick_session))
        .route("/v1/locks", get(locks))
        .route("/v1/locks/{id}", get(lock).delete(changes::force_release))
        .route("/v1/conflicts", get(conflicts::list))
        .route("/v1/conflicts/{id}", get(conflicts::show))
        .route("/v1/conflicts/{id}/resolve", post(conflicts::resolve))
        .route("/v1/conflicts/{id}/restore", post(conflicts::restore))
        .route("/v1/conflict-stats", get(conflicts::stats))
        .route("/v1/cache-stats", get(cache::stats))
        .route("/v1/cache/entries", get(cache::list))
        .route("/v1/cache/entries/{strategy}/{id}", get(cache::show))
        .route("/v1/cache/entries/{strategy}/{id}/value", get(cache::value))
        .route("/v1/cache/invalidate", post(cache::invalidate))
        .route("/v1/cache/warm", post(cache::warm))
        .route("/v1/preload", post(preload::order))
        .route("/v1/preload/model", get(preload::model))
        .route("/v1/preload/users/{id}", get(preload::explain))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::show).delete(jobs::cancel))
        .route("/v1/jobs/{id}/items", get(jobs::items))
        .route("/v1/jobs/{id}/follow", get(jobs::follow))
        .route("/v1/resources/{id}/why", get(why))
        .route("/v1/resources/{id}/history", get(history))
        .route("/v1/buildings/{id}/replay", get(replay))
        .route("/v1/audit", get(audit))
        .route("/v1/watch", get(watch::watch))
        .route("/v1/events", get(stream::events))
        .route("/v1/drain", post(changes::drain))
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(server)
}

/// One thing as the body of an answer.
pub(super) fn document<T: Serialize>(kind: &str, object: T) -> Answer {
    json(&Document { api_version: API_VERSION.into(), kind: kind.into(), generated_at: wall_now().to_string(), object })
}

async fn hello(State(server): Shared, Anyone(peer): Anyone) -> Answer {
    let state = match server.ask_within(HELLO_ASK_TIMEOUT, |reply| Ask::Status { reply }).await {
        Ok(status) => status.state,
        Err(_) => "unresponsive".into(),
    };
    json(&Hello {
        service: "arxosrtd".into(),
        version: server.context.version.into(),
        api: ApiRange { min: API, max: API },
        features: FEATURES.iter().map(|name: &&str| (*name).to_owned()).collect(),
        state,
        started_at: server.context.started_at.to_string(),
        pid: std::process::id(),
        peer: (*peer).clone(),
        limits: LIMITS,
    })
}

async fn whoami(Anyone(peer): Anyone) -> Answer {
    document("Peer", &*peer)
}

async fn status(State(server): Shared, _: Viewer) -> Answer {
    let status = server.ask(|reply| Ask::Status { reply }).await?;
    document("Status", Status { shared: Some(server.context.cache.shared_row()), ..status })
}

async fn rooms(State(server): Shared, _: Viewer, Params(page): Params<Page>) -> Answer {
    lists::list(&server, &page, |_: &RoomRow| true).await
}

async fn room(State(server): Shared, _: Viewer, Named(id): Named<RoomId>) -> Answer {
    document("Room", find_room(&server, &id).await?)
}

async fn room_users(State(server): Shared, _: Viewer, Named(id): Named<RoomId>, Params(page): Params<Page>) -> Answer {
    find_room(&server, &id).await?;
    let is_there = |user: &UserRow| user.sessions.iter().any(|s| s.rooms.iter().any(|room| room == id.as_str()));
    lists::list(&server, &page, is_there).await
}

async fn users(State(server): Shared, _: Viewer, Params(page): Params<Page>) -> Answer {
    lists::list(&server, &page, |_: &UserRow| true).await
}

async fn user(State(server): Shared, _: Viewer, Named(id): Named<UserId>) -> Answer {
    match lists::one::<UserRow>(&server, id.clone()).await? {
        Some(user) => document("User", user),
        None => Err(Failure::new(Code::UserNotFound, format!("the user {id:?} has no session"))),
    }
}

async fn locks(State(server): Shared, _: Viewer, Params(page): Params<Page>) -> Answer {
    lists::list(&server, &page, |_: &LockRow| true).await
}

async fn lock(State(server): Shared, _: Viewer, Named(id): Named<LockId>) -> Answer {
    match lists::one::<LockRow>(&server, id.0).await? {
        Some(lock) => document("Lock", lock),
        None => Err(Failure::new(Code::LockNotFound, format!("the lock {id} is not held"))),
    }
}

async fn why(State(server): Shared, _: Viewer, Named(resource): Named<ResourceId>) -> Answer {
    let why = server.ask(|reply| Ask::Why { resource, reply }).await;
    document("Why", why.map_err(|failure| failure.or_not_found(Code::ResourceNotFound))?)
}

async fn history(
    State(server): Shared,
    _: Viewer,
    Named(resource): Named<ResourceId>,
    Params(page): Params<Page>,
) -> Answer {
    let rows = server.context.records.history(resource, newest(&page)?).await.map_err(Failure::from_records)?;
    whole("LockHistory", rows)
}

async fn audit(State(server): Shared, _: Admin, Params(page): Params<Page>) -> Answer {
    let rows: Vec<AuditRow> = server.context.records.audit(newest(&page)?).await.map_err(Failure::from_records)?;
    whole("Audit", rows)
}

async fn replay(State(server): Shared, _: Operating, Named(building): Named<BuildingId>) -> Answer {
    document("Replay", server.context.records.replay(building).await.map_err(Failure::from_records)?)
}

async fn unknown_route(uri: Uri) -> Failure {
    Failure::new(Code::UnknownRoute, format!("there is nothing at {}", uri.path()))
}

async fn method_not_allowed(uri: Uri) -> Failure {
    Failure::new(Code::MethodNotAllowed, format!("this method does not apply to {}", uri.path()))
}

/// The room, if it has members or locks.
async fn find_room(server: &Server, id: &RoomId) -> Result<RoomRow, Failure> {
    let room = lists::one::<RoomRow>(server, id.clone()).await?;
    room.ok_or_else(|| Failure::new(Code::RoomNotFound, format!("the room {id:?} has no members and no locks")))
}

/// A list of one page.
fn whole<T: Serialize>(kind: &str, rows: Vec<T>) -> Answer {
    respond(kind, rows, None)
}

/// A list of which the next page, if there is one, begins behind a cursor.
pub(super) fn respond<T: Serialize>(kind: &str, items: Vec<T>, next_cursor: Option<String>) -> Answer {
    json(&List {
        api_version: API_VERSION.into(),
        kind: format!("{kind}List"),
        generated_at: wall_now().to_string(),
        items,
        next_cursor,
    })
}

/// How many of the newest; such lists have no further pages.
fn newest(page: &Page) -> Result<usize, Failure> {
    match &page.cursor {
        Some(_) => Err(Failure::new(Code::BadRequest, "this list has one page: the newest, up to limit")),
        None => page.limit(),
    }
}

fn json<T: Serialize>(value: &T) -> Answer {
    let body = serde_json::to_vec(value)
        .map_err(|error| Failure::new(Code::Internal, format!("the answer cannot be written: {error}")))?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
