//! What the rest of the daemon asks the hub, and how: one question, one answer, in batches over a bounded queue.
//!
//! REST and the control socket run on the ordinary runtime; the hub runs on its core. They meet only here.

use std::ops::Bound;

use arxosrt_core::building::conflict::ConflictId;
use arxosrt_core::control::conflict::{ConflictRow, ConflictStats, ResolvedRow};
use arxosrt_core::control::{LockHistoryRow, LockRow, OperatorEvent, RoomRow, Status, UserRow, Why};
use arxosrt_core::edit::path::Path;
use arxosrt_core::edit::rules::{ResourceKind, Severity};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::{LockId, LockType, Token};
use arxosrt_core::wire::inbound_edit::{Edit, Resolve, SyncItem};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::store::AuditRecord;

/// A refusal on its way to a client: a stable code and a sentence that names the value and the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// A code of `arxosrt_core::wire::code`.
    pub code: &'static str,
    /// For people: lowercase, no full stop.
    pub message: String,
}

/// The answer's way back.
pub type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// A person in a room, as REST shows it.
#[derive(Clone, Debug)]
pub struct Presence {
    /// The person.
    pub user_id: UserId,
    /// Shown name.
    pub username: String,
    /// The floor that the person is on.
    pub floor_id: Option<RoomId>,
    /// Its building, if the directory knows it.
    pub building_id: Option<BuildingId>,
    /// What the person does: any JSON value.
    pub current_action: Option<Box<RawValue>>,
    /// Plan coordinates: any JSON value.
    pub cursor_position: Option<Box<RawValue>>,
    /// Last message, RFC 3339.
    pub last_seen: String,
    /// A message within the last 5 minutes.
    pub is_active: bool,
    /// What the client attached: a JSON object.
    pub metadata: Box<RawValue>,
}

/// A field of a presence update: absent leaves it, `null` clears it.
#[derive(Clone, Debug, Default)]
pub enum Patch<T> {
    /// As it was.
    #[default]
    Keep,
    /// None from now on.
    Clear,
    /// This from now on.
    Set(T),
}

/// A presence update over REST.
#[derive(Clone, Debug, Default)]
pub struct PresencePatch {
    /// The floor.
    pub floor_id: Patch<RoomId>,
    /// The action.
    pub current_action: Patch<Box<RawValue>>,
    /// The cursor.
    pub cursor_position: Patch<Box<RawValue>>,
    /// Merged key by key into what is there; a key's `null` removes it.
    pub metadata: Patch<Box<RawValue>>,
}

/// `POST /locks/verify`: may the bearer of this token write this resource?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The token is of a lock that is held now and covers the resource for this purpose.
    pub valid: bool,
    /// Why not: `unknown_token`, `not_covered`, `scope`.
    pub reason: Option<&'static str>,
    /// The lock of the token, if it is held.
    pub lock_id: Option<LockId>,
    /// The person who holds it.
    pub user_id: Option<UserId>,
    /// How long the lease runs, in milliseconds.
    pub remaining_ms: u64,
    /// The token of whatever exclusive lock covers the resource now.
    pub fence: Option<Token>,
}

/// The outcome of `POST /acquire-lock`.
#[derive(Clone, Debug)]
pub enum Acquired {
    /// Held by the asker now.
    Granted(Box<LockRow>),
    /// Held by somebody else.
    Held(Vec<LockRow>),
}

/// The figures of `GET /connection-status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open client connections.
    pub connections: u64,
    /// People with a session.
    pub users: u64,
    /// Rooms with members.
    pub rooms: u64,
    /// Locks held.
    pub locks: u64,
    /// Conflicts that wait to be settled.
    pub conflicts: u64,
}

/// Who settles a conflict from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A person over REST: must be one of the two.
    Person(UserId),
    /// An operator; the record says why.
    Operator(AuditRecord),
}

/// A conflict that the back end has found.
#[derive(Clone, Debug)]
pub struct Report {
    /// About what.
    pub resource: ResourceId,
    /// In which room it lies, as far as the back end says.
    pub room: Option<RoomId>,
    /// Who: two people.
    pub users: [UserId; 2],
    /// The word for it.
    pub kind: String,
    /// How grave.
    pub severity: Severity,
    /// For people.
    pub description: String,
}

/// Which conflicts are asked for. Everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictFilter {
    /// Only those of this person.
    pub of: Option<UserId>,
    /// Only on this resource.
    pub resource: Option<ResourceId>,
    /// Only in this building, which is brought into memory for it.
    pub building: Option<BuildingId>,
    /// Only of at least this severity.
    pub severity: Option<Severity>,
    /// Only about this path or what lies below it.
    pub path: Option<Path>,
    /// Also those that are settled.
    pub settled: bool,
    /// Only those found before this one.
    pub before: Option<ConflictId>,
    /// With what is disputed.
    pub paths: bool,
    /// At most so many, up to [`CONFLICTS_MAX`].
    pub limit: usize,
}

/// The most conflicts in one answer.
pub const CONFLICTS_MAX: usize = 1000;

/// A question to the hub.
pub enum Ask {
    /// REST: the user's most recently active session joins a room.
    JoinRoom { user: UserId, room: RoomId, reply: Reply<()> },
    /// REST: the user's sessions leave a room.
    LeaveRoom { user: UserId, room: RoomId, reply: Reply<()> },
    /// REST: lock for the user's most recently active session.
    AcquireLock {
        user: UserId,
        lock_type: LockType,
        resource: ResourceId,
        room: Option<RoomId>,
        ttl_ms: Option<u64>,
        metadata: Option<Box<RawValue>>,
        reply: Reply<Acquired>,
    },
    /// REST: release one of the user's locks; answers whether it was held by the user.
    ReleaseLock { user: UserId, lock: LockId, reply: Reply<bool> },
    /// REST: who is in a room. Unknown rooms are empty.
    RoomUsers { room: RoomId, reply: Reply<Vec<Presence>> },
    /// REST: the live locks of exactly this resource.
    ActiveLocks { resource: ResourceId, reply: Reply<Vec<LockRow>> },
    /// REST: one person's presence, if there is a session.
    UserPresence { user: UserId, reply: Reply<Option<Presence>> },
    /// REST: change one's presence.
    UpdatePresence { user: UserId, patch: PresencePatch, reply: Reply<()> },
    /// REST: figures.
    ConnectionStatus { reply: Reply<Connections> },
    /// REST: a message to a room. Answers its sequence number.
    Broadcast { room: RoomId, message: Box<RawValue>, reply: Reply<u64> },
    /// REST: check a fencing token. `op` is `grid` for writes of the grid calibration.
    VerifyLock { token: Token, resource: ResourceId, op: Option<String>, reply: Reply<Verdict> },

    /// REST: an edit in a person's name.
    Edit { user: UserId, edit: Box<Edit<'static>>, reply: Reply<Box<RawValue>> },
    /// REST: edits in order, each with its own answer.
    Sync { user: UserId, edits: Vec<SyncItem<'static>>, reply: Reply<Box<RawValue>> },
    /// REST: a document and its version, if there is one.
    Document { resource: ResourceId, reply: Reply<Option<(u64, Box<RawValue>)>> },
    /// REST: the back end has found that two people disagree. Answers the conflict's name.
    ReportConflict { report: Box<Report>, reply: Reply<ConflictId> },
    /// REST (`of` is who asks: only the person's own) and control: conflicts, the latest first.
    Conflicts { filter: ConflictFilter, reply: Reply<Vec<ConflictRow>> },
    /// REST (`of` is who asks) and control: one conflict, whole.
    Conflict { conflict: ConflictId, of: Option<UserId>, reply: Reply<ConflictRow> },
    /// REST and control: settle a conflict. `dry_run` only says what it would do.
    Resolve { resolve: Box<Resolve>, by: By, dry_run: bool, reply: Reply<ResolvedRow> },
    /// REST and control: bring back what lost in a settled conflict.
    Restore { conflict: ConflictId, whose: Option<UserId>, path: Option<Path>, by: By, reply: Reply<ResolvedRow> },
    /// Control: figures over all conflicts.
    ConflictStats { reply: Reply<ConflictStats> },

    /// Origin: what people agreed on in a building and the origin has not got yet, as far as it concerns a floor; a page
    /// in order of id.
    Unwritten { building: BuildingId, floor: RoomId, from: Bound<ResourceId>, reply: Reply<Page<Unwritten>> },

    /// Control: the daemon at a glance.
    Status { reply: Reply<Status> },
    /// Control: a page of the rooms with members or locks, in order of id.
    Rooms { from: Bound<RoomId>, reply: Reply<Page<RoomRow>> },
    /// Control: a page of the people, in order of id.
    Users { from: Bound<UserId>, reply: Reply<Page<UserRow>> },
    /// Control: a page of the locks held, in order of token.
    Locks { from: Bound<Token>, reply: Reply<Page<LockRow>> },
    /// Control: who stands in the way of a resource.
    Why { resource: ResourceId, reply: Reply<Why> },
    /// Control: a message to a room with members or locks. Answers its sequence number. This and the following changes
    /// bring their audit record, of which the hub fills in the result; both are committed together.
    Notice { room: RoomId, message: Box<RawValue>, audit: AuditRecord, reply: Reply<u64> },
    /// Control: take a lock from its holder. `expected` is the token that the operator saw.
    ForceRelease { lock: LockId, expected: Token, audit: AuditRecord, reply: Reply<u64> },
    /// Control: close a user's connections (or one session's) with code 3507 and end the sessions. Answers how many.
    Kick { user: Option<UserId>, session: Option<SessionId>, audit: AuditRecord, reply: Reply<u64> },
    /// Control: put on record what an operator does elsewhere, with its result: `ok`, or the code of a refusal.
    Record { audit: AuditRecord, result: &'static str, reply: Reply<()> },
    /// Control: the digest of a building's running state and its log position, once all that was decided is committed.
    Digest { building: BuildingId, reply: Reply<(u64, String)> },
    /// Control: the latest grants and releases of locks on a resource that are kept, the latest first.
    LockHistory { resource: ResourceId, limit: usize, reply: Reply<Vec<LockHistoryRow>> },
    /// Control: every event from now on. A full queue drops and counts; the count is told with the next one.
    Events { to: mpsc::Sender<Observed>, reply: Reply<()> },
    /// Control or signal (no `audit`): stop accepting, tell every client when to come back, close over the window.
    Drain { window_ms: u64, audit: Option<AuditRecord>, reply: Reply<Drained> },
}

/// A part of a list, in the list's order.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The first rows from where it was asked for: at least one if there is any.
    pub rows: Vec<T>,
    /// There are more behind them.
    pub more: bool,
}

/// A document that the origin has in an older version, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritten {
    /// What it describes.
    pub resource: ResourceId,
    /// As what.
    pub kind: ResourceKind,
    /// Its version.
    pub version: u64,
    /// What the floor that was asked about has of it.
    pub is: Standing,
}

/// What a floor has of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is there, with this text.
    Here(Box<str>),
    /// It is on another floor.
    Elsewhere,
    /// It was deleted.
    Deleted,
}

/// The outcome of [`Ask::Drain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Clients that are sent away.
    pub clients: u64,
    /// Over so long; 0 when a drain was under way already, which is hurried by a second one.
    pub window_ms: u64,
}

/// What a subscriber of [`Ask::Events`] gets.
#[derive(Clone, Debug)]
pub enum Observed {
    /// Something happened.
    Event(OperatorEvent),
    /// So many events were dropped before the next one.
    Gap(u64),
}

/// The hub's address for everybody outside its core.
#[derive(Clone)]
pub struct HubHandle {
    questions: mpsc::Sender<Ask>,
}

/// The hub has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// How many questions may wait for the hub.
pub const QUESTIONS_MAX: usize = 1024;

impl HubHandle {
    /// A handle and the hub's end of it.
    pub fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (questions, inbox) = mpsc::channel(QUESTIONS_MAX);
        (HubHandle { questions }, inbox)
    }

    /// Asks and waits for the answer. Waits too while [`QUESTIONS_MAX`] others wait.
    pub async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Ask) -> Result<Result<T, Refused>, Gone> {
        let (reply, answer) = oneshot::channel();
        self.questions.send(question(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// Subscribes to what happens; at most `queue` events wait.
    pub async fn observe(&self, queue: usize) -> Result<mpsc::Receiver<Observed>, Gone> {
        let (to, from) = mpsc::channel(queue);
        // Nothing that happens after this returns is missed. The hub refuses nobody; beyond its bound the queue is closed.
        let _ = self.ask(|reply| Ask::Events { to, reply }).await?;
        Ok(from)
    }
}
