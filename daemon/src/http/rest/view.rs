//! The bodies of the REST answers. Names and order are the contract with existing clients; `timestamp` is added to each.

use arxosrt_core::control::LockRow;
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, UserId};
use arxosrt_core::lock::Token;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::hub::ask;

/// Done, or not, in a sentence that existing clients know.
#[derive(Serialize)]
pub struct Done {
    success: bool,
    message: String,
}

impl Done {
    pub fn yes(message: impl Into<String>) -> Self {
        Done { success: true, message: message.into() }
    }

    pub fn no(message: impl Into<String>) -> Self {
        Done { success: false, message: message.into() }
    }
}

/// The message has its place in the room's order.
#[derive(Serialize)]
pub struct Told {
    pub success: bool,
    pub message: String,
    pub seq: u64,
}

/// The lock is the asker's. `message` repeats its id, as it always did.
#[derive(Serialize)]
pub struct Granted<'a> {
    success: bool,
    lock_id: &'a str,
    message: &'a str,
    lock_type: &'a str,
    resource_id: &'a str,
    acquired_at: &'a str,
    expires_at: &'a str,
    fencing_token: u64,
    holder: Holder<'a>,
}

impl<'a> From<&'a LockRow> for Granted<'a> {
    fn from(lock: &'a LockRow) -> Self {
        Granted {
            success: true,
            lock_id: &lock.lock_id,
            message: &lock.lock_id,
            lock_type: &lock.lock_type,
            resource_id: &lock.resource_id,
            acquired_at: &lock.acquired_at,
            expires_at: &lock.expires_at,
            fencing_token: lock.fencing_token,
            holder: Holder::of(lock),
        }
    }
}

/// The lock is somebody else's; `holder` and `expires_at` are those of the first lock in the way.
#[derive(Serialize)]
pub struct Held<'a> {
    success: bool,
    lock_id: Option<&'a str>,
    message: String,
    expires_at: Option<&'a str>,
    holder: Option<Holder<'a>>,
}

impl<'a> Held<'a> {
    pub fn by(locks: &'a [LockRow]) -> Self {
        let first = locks.first();
        Held {
            success: false,
            lock_id: None,
            message: match first {
                Some(lock) => format!("Resource locked by {}", lock.holder.username),
                // Nobody holds it, but others have asked before.
                None => "Resource locked by an earlier request".to_owned(),
            },
            expires_at: first.map(|lock| &*lock.expires_at),
            holder: first.map(Holder::of),
        }
    }
}

#[derive(Serialize)]
struct Holder<'a> {
    user_id: &'a str,
    username: &'a str,
}

impl<'a> Holder<'a> {
    fn of(lock: &'a LockRow) -> Self {
        Holder { user_id: &lock.holder.user_id, username: &lock.holder.username }
    }
}

/// Whether a token may write.
#[derive(Serialize)]
pub struct Verdict<'a> {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a UserId>,
    remaining_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fence: Option<Token>,
}

impl<'a> From<&'a ask::Verdict> for Verdict<'a> {
    fn from(verdict: &'a ask::Verdict) -> Self {
        Verdict {
            valid: verdict.valid,
            reason: verdict.reason,
            lock_id: verdict.lock_id.map(|id| id.to_string()),
            user_id: verdict.user_id.as_ref(),
            remaining_ms: verdict.remaining_ms,
            fence: verdict.fence,
        }
    }
}

#[derive(Serialize)]
pub struct RoomUsers<'a> {
    room_id: &'a RoomId,
    users: Vec<RoomUser<'a>>,
    count: usize,
}

#[derive(Serialize)]
struct RoomUser<'a> {
    user_id: &'a UserId,
    username: &'a str,
    current_action: Option<&'a RawValue>,
    cursor_position: Option<&'a RawValue>,
    last_seen: &'a str,
    is_active: bool,
}

impl<'a> RoomUsers<'a> {
    pub fn new(room_id: &'a RoomId, users: &'a [ask::Presence]) -> Self {
        let users: Vec<_> = users
            .iter()
            .map(|user| RoomUser {
                user_id: &user.user_id,
                username: &user.username,
                current_action: user.current_action.as_deref(),
                cursor_position: user.cursor_position.as_deref(),
                last_seen: &user.last_seen,
                is_active: user.is_active,
            })
            .collect();
        RoomUsers { room_id, count: users.len(), users }
    }
}

#[derive(Serialize)]
pub struct ActiveLocks<'a> {
    resource_id: &'a ResourceId,
    locks: Vec<ActiveLock<'a>>,
    count: usize,
}

#[derive(Serialize)]
struct ActiveLock<'a> {
    lock_id: &'a str,
    lock_type: &'a str,
    user_id: &'a str,
    username: &'a str,
    acquired_at: &'a str,
    expires_at: &'a str,
    #[serde(serialize_with = "object_or_empty")]
    metadata: Option<&'a RawValue>,
}

impl<'a> ActiveLocks<'a> {
    pub fn new(resource_id: &'a ResourceId, locks: &'a [LockRow]) -> Self {
        let locks: Vec<_> = locks
            .iter()
            .map(|lock| ActiveLock {
                lock_id: &lock.lock_id,
                lock_type: &lock.lock_type,
                user_id: &lock.holder.user_id,
                username: &lock.holder.username,
                acquired_at: &lock.acquired_at,
                expires_at: &lock.expires_at,
                metadata: lock.metadata.as_deref(),
            })
            .collect();
        ActiveLocks { resource_id, count: locks.len(), locks }
    }
}

#[derive(Serialize)]
pub struct Presence<'a> {
    user_id: &'a UserId,
    username: &'a str,
    floor_id: Option<&'a RoomId>,
    building_id: Option<&'a BuildingId>,
    current_action: Option<&'a RawValue>,
    cursor_position: Option<&'a RawValue>,
    last_seen: &'a str,
    is_active: bool,
    metadata: &'a RawValue,
}

impl<'a> From<&'a ask::Presence> for Presence<'a> {
    fn from(presence: &'a ask::Presence) -> Self {
        Presence {
            user_id: &presence.user_id,
            username: &presence.username,
            floor_id: presence.floor_id.as_ref(),
            building_id: presence.building_id.as_ref(),
            current_action: presence.current_action.as_deref(),
            cursor_position: presence.cursor_position.as_deref(),
            last_seen: &presence.last_seen,
            is_active: presence.is_active,
            metadata: &presence.metadata,
        }
    }
}

#[derive(Serialize)]
pub struct ConnectionStatus {
    websocket_connections: u64,
    total_users: u64,
    active_rooms: u64,
    active_locks: u64,
    active_conflicts: u64,
    cache_connected: bool,
}

impl ConnectionStatus {
    /// `cache_connected`: the shared cache answers.
    pub fn new(figures: ask::Connections, cache_connected: bool) -> Self {
        ConnectionStatus {
            websocket_connections: figures.connections,
            total_users: figures.users,
            active_rooms: figures.rooms,
            active_locks: figures.locks,
            active_conflicts: figures.conflicts,
            cache_connected,
        }
    }
}

/// Clients read keys of the metadata without looking whether there is any.
fn object_or_empty<S: Serializer>(metadata: &Option<&RawValue>, to: S) -> Result<S::Ok, S::Error> {
    match metadata {
        Some(raw) => raw.serialize(to),
        None => to.collect_map(std::iter::empty::<((), ())>()),
    }
}
