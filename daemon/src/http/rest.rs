//! The REST routes: what existing clients and back ends ask, in the words that they know.
//!
//! REST speaks for a person, not for a connection: the hub lets it act as the person's most recently active session, and
//! says `not_connected` if there is none. A lock that somebody else holds is no failure: it is 200 with
//! `success: false`, as it always was.

mod cache;
mod conflicts;
mod edits;
mod view;

use arxosrt_core::id::{BadId, ResourceId, RoomId, UserId};
use arxosrt_core::lock::{LockId, LockType, TOKEN_MAX, Token};
use arxosrt_core::wire::inbound;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::value::RawValue;

use super::Context;
use super::answer::{Problem, shortened, stamped};
use super::input::Input;
use crate::hub::ask::{Acquired, Ask, PresencePatch};

/// Fencing tokens begin at 1, so no lock ever has this id. It stands for every text that cannot be a lock's id: the hub
/// then answers as it does for a lock that is gone.
const NO_LOCK: LockId = LockId(Token(0));

/// The longest lease that may be asked for; the hub's own bound is lower.
const TTL_MS_MAX: u64 = 7 * 24 * 3600 * 1000;

/// The longest `op` of a token check, in bytes.
const OP_BYTES_MAX: usize = 64;

type Answer = Result<Response, Problem>;
type PathText = Result<Path<String>, PathRejection>;

/// The routes below each prefix.
pub fn routes() -> Router<Context> {
    Router::new()
        .route("/join-room", post(join_room))
        .route("/leave-room", post(leave_room))
        .route("/acquire-lock", post(acquire_lock))
        .route("/release-lock", post(release_lock))
        .route("/locks/verify", post(verify_lock))
        .route("/update-presence", post(update_presence))
        .route("/broadcast", post(broadcast))
        .route("/room-users/{room_id}", get(room_users))
        .route("/active-locks/{resource_id}", get(active_locks))
        .route("/user-presence/{user_id}", get(user_presence))
        .route("/connection-status", get(connection_status))
        .route("/cache/{strategy}/{*id}", get(cache::get).put(cache::put).delete(cache::delete))
        .route("/cache-stats", get(cache::stats))
        .route("/preload-floor", post(cache::preload_floor))
        .route("/invalidate-floor-cache", post(cache::invalidate_floor))
        .route("/edit", post(edits::edit))
        .route("/sync", post(edits::sync))
        .route("/documents/{resource_id}", get(edits::document))
        .route("/resolve-conflict", post(conflicts::resolve))
        .route("/conflicts", get(conflicts::list).post(conflicts::report))
        .route("/conflicts/{conflict_id}", get(conflicts::show))
        .route("/conflicts/{conflict_id}/restore", post(conflicts::restore))
}

async fn join_room(State(context): State<Context>, input: Input) -> Answer {
    let (user, room) = user_and_room(&input)?;
    let message = format!("Joined room: {room}");
    context.ask(|reply| Ask::JoinRoom { user, room, reply }).await?;
    Ok(stamped(view::Done::yes(message)))
}

async fn leave_room(State(context): State<Context>, input: Input) -> Answer {
    let (user, room) = user_and_room(&input)?;
    let message = format!("Left room: {room}");
    context.ask(|reply| Ask::LeaveRoom { user, room, reply }).await?;
    Ok(stamped(view::Done::yes(message)))
}

fn user_and_room(input: &Input) -> Result<(UserId, RoomId), Problem> {
    let mut fields = input.fields();
    let (user, room) = (fields.id("user_id", UserId::new), fields.id("room_id", RoomId::new));
    fields.check()?;
    user.zip(room).ok_or_else(|| fields.problem())
}

async fn acquire_lock(State(context): State<Context>, input: Input) -> Answer {
    let LockRequest { user, lock_type, resource, room, ttl_ms, metadata } = LockRequest::read(&input)?;
    let answer =
        context.ask(|reply| Ask::AcquireLock { user, lock_type, resource, room, ttl_ms, metadata, reply }).await?;
    Ok(match answer {
        Acquired::Granted(lock) => stamped(view::Granted::from(&*lock)),
        Acquired::Held(locks) => stamped(view::Held::by(&locks)),
    })
}

struct LockRequest {
    user: UserId,
    lock_type: LockType,
    resource: ResourceId,
    room: Option<RoomId>,
    ttl_ms: Option<u64>,
    metadata: Option<Box<RawValue>>,
}

impl LockRequest {
    /// With everything that must be said in the query, the whole body is the metadata, as the original had it.
    fn read(input: &Input) -> Result<Self, Problem> {
        let body_is_metadata = input.is_in_query(&["user_id", "lock_type", "resource_id"]);
        let mut fields = if body_is_metadata { input.query_fields() } else { input.fields() };
        let user = fields.id("user_id", UserId::new);
        let lock_type = fields.text("lock_type");
        let resource = fields.id("resource_id", ResourceId::new);
        let room = fields.optional_id("room_id", RoomId::new);
        let ttl_ms = fields.optional_number("ttl_ms", TTL_MS_MAX);
        let metadata = match body_is_metadata && input.body().is_some() {
            true => fields.whole_body_object(),
            false => fields.optional_object(&["metadata", "symbol_metadata"]),
        };
        fields.check()?;
        let (Some(user), Some(lock_type), Some(resource)) = (user, lock_type, resource) else {
            return Err(fields.problem());
        };
        Ok(LockRequest { user, lock_type: lock_type_named(&lock_type)?, resource, room, ttl_ms, metadata })
    }
}

fn lock_type_named(name: &str) -> Result<LockType, Problem> {
    inbound::lock_type(name)
        .ok_or_else(|| Problem::new("invalid_lock_type", format!("Invalid lock type: {}", shortened(name))))
}

async fn release_lock(State(context): State<Context>, input: Input) -> Answer {
    let mut fields = input.fields();
    let (user, lock) = (fields.id("user_id", UserId::new), fields.text("lock_id"));
    fields.check()?;
    let Some((user, lock)) = user.zip(lock) else {
        return Err(fields.problem());
    };
    let lock = LockId::parse(&lock).unwrap_or(NO_LOCK);
    let released = context.ask(|reply| Ask::ReleaseLock { user, lock, reply }).await?;
    Ok(stamped(match released {
        true => view::Done::yes("Lock released"),
        false => view::Done::no("Failed to release lock"),
    }))
}

async fn verify_lock(State(context): State<Context>, input: Input) -> Answer {
    let mut fields = input.fields();
    let token = fields.number("token", TOKEN_MAX);
    let resource = fields.id("resource_id", ResourceId::new);
    let op = fields.optional_text("op", OP_BYTES_MAX);
    fields.check()?;
    let Some((token, resource)) = token.map(Token).zip(resource) else {
        return Err(fields.problem());
    };
    let verdict = context.ask(|reply| Ask::VerifyLock { token, resource, op, reply }).await?;
    Ok(stamped(view::Verdict::from(&verdict)))
}

async fn update_presence(State(context): State<Context>, input: Input) -> Answer {
    let mut fields = input.fields();
    let user = fields.id("user_id", UserId::new);
    let patch = PresencePatch {
        floor_id: fields.id_patch("floor_id", RoomId::new),
        current_action: fields.text_patch("current_action"),
        cursor_position: fields.json_patch("cursor_position"),
        metadata: fields.object_patch(&["metadata", "symbol_metadata"]),
    };
    fields.check()?;
    let Some(user) = user else {
        return Err(fields.problem());
    };
    context.ask(|reply| Ask::UpdatePresence { user, patch, reply }).await?;
    Ok(stamped(view::Done::yes("Presence updated")))
}

/// With the room in the query, the whole body is the message, as the original had it.
async fn broadcast(State(context): State<Context>, input: Input) -> Answer {
    let body_is_message = input.is_in_query(&["room_id"]);
    let mut fields = if body_is_message { input.query_fields() } else { input.fields() };
    let room = fields.id("room_id", RoomId::new);
    let message = match body_is_message && (input.body().is_some() || !input.is_in_query(&["message"])) {
        true => fields.whole_body(),
        false => fields.json("message"),
    };
    fields.check()?;
    let Some((room, message)) = room.zip(message) else {
        return Err(fields.problem());
    };
    let text = format!("Message broadcasted to room: {room}");
    let seq = context.ask(|reply| Ask::Broadcast { room, message, reply }).await?;
    Ok(stamped(view::Told { success: true, message: text, seq }))
}

async fn room_users(State(context): State<Context>, room: PathText) -> Answer {
    let room = path_id("room_id", room, RoomId::new)?;
    let asked = room.clone();
    let users = context.ask(|reply| Ask::RoomUsers { room, reply }).await?;
    Ok(stamped(view::RoomUsers::new(&asked, &users)))
}

async fn active_locks(State(context): State<Context>, resource: PathText) -> Answer {
    let resource = path_id("resource_id", resource, ResourceId::new)?;
    let asked = resource.clone();
    let locks = context.ask(|reply| Ask::ActiveLocks { resource, reply }).await?;
    Ok(stamped(view::ActiveLocks::new(&asked, &locks)))
}

async fn user_presence(State(context): State<Context>, user: PathText) -> Answer {
    let user = path_id("user_id", user, UserId::new)?;
    let presence = context.ask(|reply| Ask::UserPresence { user, reply }).await?;
    let presence = presence.ok_or_else(|| Problem::new("user_not_found", "User not found"))?;
    Ok(stamped(view::Presence::from(&presence)))
}

async fn connection_status(State(context): State<Context>) -> Answer {
    let figures = context.ask(|reply| Ask::ConnectionStatus { reply }).await?;
    let cache_connected = context.cache.shared_is_up() == Some(true);
    Ok(stamped(view::ConnectionStatus::new(figures, cache_connected)))
}

/// An id in the path, percent-decoded once.
fn path_id<T>(name: &str, text: PathText, make: fn(&str) -> Result<T, BadId>) -> Result<T, Problem> {
    let wrong = |what: String| Problem::wrong_fields(vec![format!("path -> {name}: {what}")]);
    let Path(text) = text.map_err(|error| wrong(error.body_text()))?;
    make(&text).map_err(|error| wrong(error.to_string()))
}
