//! The words of the control socket: what `arxosrt` and `arxosrtd` tell each other.
//!
//! Additive within [`API`]: fields and variants are added, never changed or removed. Times are RFC 3339 in UTC with
//! milliseconds; `_ms` are integer milliseconds; ids are strings; tokens are integers below 2^53.

pub mod cache;
pub mod code;
pub mod conflict;
pub mod document;
pub mod hello;
pub mod jobs;
pub mod preload;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of the control API that this build speaks.
pub const API: u32 = 1;

/// The envelope's `api_version`.
pub const API_VERSION: &str = "arxosrt/v1";

/// `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `ready`, `read_only` (the store cannot commit), `store_lost` (its file was removed or replaced), `draining`.
    pub state: String,
    /// The daemon's version.
    pub version: String,
    /// When it started.
    pub started_at: String,
    /// How long it runs.
    pub uptime_ms: u64,
    /// `memory` or `embedded`.
    pub engine: String,
    /// Open client connections.
    pub connections: u64,
    /// People with at least one session.
    pub users: u64,
    /// Sessions, suspended ones included.
    pub sessions: u64,
    /// Rooms with members.
    pub rooms: u64,
    /// Locks held.
    pub locks: u64,
    /// Sessions waiting for a lock.
    pub waiters: u64,
    /// Buildings in memory.
    pub buildings: u64,
    /// Buildings that stay closed because their log is damaged.
    #[serde(default)]
    pub buildings_closed: u64,
    /// Some of them, in order of id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<String>,
    /// What the building directory knows.
    #[serde(default)]
    pub directory: DirectoryCounts,
    /// Where building data comes from, and how that fares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<OriginRow>,
    /// How the tier of the cache fares that daemons share; absent in a daemon that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedRow>,
    /// The largest fencing token given out.
    pub last_token: u64,
}

/// The tier of the cache that daemons share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedRow {
    /// `off` (there is none), `up`, `degraded` (there should be one, and the cache goes on without).
    pub state: String,
    /// For how long it has been degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Where it is. There is never a password in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// An origin of building data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginRow {
    /// `folder` or `service`.
    pub name: String,
    /// It answers, as far as is known.
    pub up: bool,
    /// Requests under way.
    pub busy: u64,
    /// What went wrong last, while it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How much the building directory knows. All 0: every room is a building of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryCounts {
    /// Buildings.
    pub buildings: u64,
    /// Their floors.
    pub floors: u64,
    /// Things on the floors.
    pub objects: u64,
    /// Routes over the floors.
    pub routes: u64,
}

/// A room with members or locks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomRow {
    /// The room.
    pub room_id: String,
    /// Its building.
    pub building_id: String,
    /// People in it.
    pub users: u64,
    /// Sessions in it.
    pub sessions: u64,
    /// Locks that are seen in it.
    pub locks: u64,
    /// Its sequence number.
    pub seq: u64,
    /// The log's epoch.
    pub epoch: String,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// The person.
    pub user_id: String,
    /// Shown name.
    pub username: String,
    /// `active`, `inactive` (no message for 5 minutes), `suspended` (no socket, the grace runs).
    pub state: String,
    /// Open sessions, each with its id, kind and rooms.
    pub sessions: Vec<SessionRow>,
    /// Locks held.
    pub locks: u64,
    /// Since the last message.
    pub idle_ms: u64,
    /// What the person does, as the client says.
    pub current_action: Option<String>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The session.
    pub session_id: String,
    /// `websocket`, `sse` or `none` while suspended.
    pub transport: String,
    /// The peer's address.
    pub address: Option<String>,
    /// Rooms joined.
    pub rooms: Vec<String>,
    /// When it began.
    pub connected_at: String,
    /// The client said `hello`.
    pub hello: bool,
}

/// A lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LockRow {
    /// The lock.
    pub lock_id: String,
    /// Its kind.
    pub lock_type: String,
    /// What it covers; the first of several.
    pub resource_id: String,
    /// All that it covers.
    pub resources: Vec<String>,
    /// The rooms that see it.
    pub rooms: Vec<String>,
    /// Who holds it.
    pub holder: Holder,
    /// `active`, `idle` or `suspended`.
    pub state: String,
    /// When it was granted.
    pub acquired_at: String,
    /// When the lease ends unless renewed.
    pub expires_at: String,
    /// The same as a span.
    pub expires_in_ms: u64,
    /// Since the holder did something on that floor.
    pub idle_ms: u64,
    /// The fencing token; also the revision that guards a forced release.
    pub fencing_token: u64,
    /// How many wait for it.
    pub waiters: u32,
    /// What the client attached.
    pub metadata: Option<Box<RawValue>>,
}

/// A lock's holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The person.
    pub user_id: String,
    /// Shown name.
    pub username: String,
    /// The session.
    pub session_id: String,
}

/// A session in the queue, and what is in its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiterRow {
    /// The place in the queue.
    pub ticket: String,
    /// The person.
    pub user_id: String,
    /// The session.
    pub session_id: String,
    /// The kind.
    pub lock_type: String,
    /// What it waits for.
    pub resources: Vec<String>,
    /// Since when.
    pub waiting_ms: u64,
    /// The locks in the way.
    pub blocked_by: Vec<String>,
}

/// `GET /v1/resources/{id}/why`: who stands in the way of a resource.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Why {
    /// The resource.
    pub resource_id: String,
    /// The building and rooms in which it was looked for.
    pub building_id: String,
    /// The rooms in which it lies.
    pub rooms: Vec<String>,
    /// Every lock that an exclusive edit of the resource would meet.
    pub blocked_by: Vec<LockRow>,
    /// Everybody who waits for something that overlaps.
    pub waiters: Vec<WaiterRow>,
}

/// A past change of a lock on a resource, from the log's kept history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHistoryRow {
    /// When.
    pub at: String,
    /// `granted` or `released`.
    pub change: String,
    /// The lock.
    pub lock_id: String,
    /// Its kind.
    pub lock_type: String,
    /// What it covered.
    pub resource_id: String,
    /// The person.
    pub user_id: String,
    /// Why: the cause of the grant or the reason of the release.
    pub cause: String,
    /// The operator, when forced or kicked.
    pub by: Option<String>,
    /// The operator's reason, when forced or kicked.
    pub reason: Option<String>,
}

/// The groups of [`OperatorEvent`]s.
pub const TOPICS: [&str; 8] = ["lock", "room", "session", "edit", "conflict", "broadcast", "audit", "daemon"];

/// Something that happened, for `arxosrt events`. `topic` is one of [`TOPICS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorEvent {
    /// When.
    pub at: String,
    /// Its group.
    pub topic: String,
    /// `lock.granted`, `room.joined`, `session.suspended`, …
    pub kind: String,
    /// The room, if any.
    pub room_id: Option<String>,
    /// The person, if any.
    pub user_id: Option<String>,
    /// What it is about: a lock, a session, a resource. Ids only, never values.
    pub subject: Option<String>,
    /// A few words.
    pub detail: Option<String>,
}

/// The outcome of a change by an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// What was done: `lock.force_release`, `user.kick`, `room.send`, `drain`.
    pub action: String,
    /// To what.
    pub target: String,
    /// How many things it touched.
    pub count: u64,
    /// Of a drain: over how long; 0 closes at once, as a second drain does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
    /// There is an audit record of it.
    pub audited: bool,
    /// The audit record's number, if the store tells it.
    pub audit_id: Option<u64>,
}

/// `GET /v1/buildings/{id}/replay`: the log folded anew, beside the running state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// The building.
    pub building_id: String,
    /// Log entries folded after the snapshot.
    pub events: u64,
    /// The log's position of the snapshot that the fold began with.
    pub snapshot_position: u64,
    /// The log's position at its end.
    pub position: u64,
    /// Digest of the folded state.
    pub replayed: String,
    /// Digest of the running state at the same position.
    pub running: String,
    /// They agree.
    pub equal: bool,
}
