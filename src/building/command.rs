//! What a building can be asked, and what it answers.
//!
//! A [`Command`] is parsed and placed before it gets here: ids are checked, resources are resolved to the rooms they
//! lie in. A refused command is an answer ([`Reply::Refused`]), never an error.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::VerifyFault;
use super::conflict::{ConflictId, Party, Word};
use super::event::{EditOutcome, LockGranted};
use crate::edit::change::Change;
use crate::edit::path::Path;
use crate::edit::rules::{ResourceKind, Severity};
use crate::edit::value::Value;
use crate::id::{ResourceId, RoomId, SessionId, UserId};
use crate::lock::{LockId, LockType, RequestId, Ticket, Token};
use crate::time::{Mono, Wall};

/// What the shell knows and the core must be told with each command.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Monotonic now. Never goes back between two commands of one building.
    pub now: Mono,
    /// Wall-clock now, for what is shown and logged.
    pub wall: Wall,
    /// Where fencing tokens come from: one source for all buildings of the store.
    pub tokens: &'a crate::lock::TokenSource,
}

/// Who asks: a session and the person behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The session that will own what is granted.
    pub session: SessionId,
    /// The person.
    pub user: UserId,
    /// The person's shown name.
    pub username: Arc<str>,
    /// The session never said `hello`, or the command came over REST: the person's own lock in another session is
    /// returned instead of refused, and may be released from here.
    pub legacy: bool,
}

/// Where a resource lies in its building.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// The building itself; the room is the building's own.
    Building(RoomId),
    /// A floor; floor and room have the same id.
    Floor(RoomId),
    /// An object or a route in one or more floors; never empty.
    Item(SmallVec<[RoomId; 1]>),
}

impl Place {
    /// The rooms that are told about the resource.
    pub fn rooms(&self) -> &[RoomId] {
        match self {
            Place::Building(room) | Place::Floor(room) => std::slice::from_ref(room),
            Place::Item(rooms) => rooms,
        }
    }
}

/// One thing to lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What.
    pub resource: ResourceId,
    /// Where it lies.
    pub place: Place,
}

/// What one lock covers: made once, then shared by the wish, the lock, its events and everything that shows it.
pub type Targets = Arc<[Target]>;

/// The answer of a lock's holder to an editing request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderAnswer {
    /// Hand the lock over now.
    Grant,
    /// Keep it.
    Deny,
    /// Ask again in this many milliseconds.
    Defer(u64),
}

/// An edit, as it is asked for.
#[derive(Clone, Debug)]
pub struct EditWish {
    /// Who.
    pub actor: Actor,
    /// What, and where it lies.
    pub target: Target,
    /// What it is, if the building has no document of it yet.
    pub kind: ResourceKind,
    /// The floors of the building, as far as they are known: an item can go to these.
    pub floors: Arc<[RoomId]>,
    /// The version that the author knew; 0 creates.
    pub base: u64,
    /// What is to be different.
    pub body: EditBody,
    /// The fencing token of the author's lock, if the edit goes on under one.
    pub token: Option<Token>,
    /// The version of the floor's grid in which the author's coordinates are, if it is known.
    pub frame: Option<u64>,
    /// The author's own name for it: a repeat within 7 days is answered, not done again.
    pub edit_id: Option<Box<str>>,
}

/// What an edit makes different.
#[derive(Clone, Debug)]
pub enum EditBody {
    /// These changes, in order.
    Changes(Vec<Change>),
    /// A JSON merge patch (RFC 7396), as text.
    MergePatch(Box<str>),
    /// The whole document as it should be, as text.
    Whole(Box<str>),
}

/// Who settles a conflict or takes a value back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// A person, who must be one of the two.
    Person(Actor),
    /// An operator, with the stated reason.
    Operator {
        /// Who: `uid 1000 (alice)` and the like.
        name: Box<str>,
        /// Why.
        reason: Box<str>,
    },
}

/// How a conflict is to be settled.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// The resolver's own values. An operator has none.
    AcceptMine,
    /// The other's values. An operator has no other.
    AcceptTheirs,
    /// This person's values.
    Winner(UserId),
    /// Path by path; what is not named stays as it is committed.
    Merge(Vec<(Path, Share)>),
    /// These values, path by path; no value unsets. What is not named stays as it is committed.
    Manual(Vec<(Path, Option<Value>)>),
    /// This value for the one path of the conflict; refused when it has more.
    ManualOne(Option<Value>),
}

/// Whose value a path is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Share {
    /// The resolver's.
    Mine,
    /// The other's.
    Theirs,
    /// This person's.
    Of(UserId),
}

/// The answer to an edit that was taken in, or to a repeat of one.
#[derive(Clone, Debug, PartialEq)]
pub struct EditReply {
    /// What became of it.
    pub outcome: EditOutcome,
    /// It had been answered before; this is what was said then.
    pub duplicate: bool,
    /// The resource's version now, or then.
    pub version: u64,
    /// The conflicts that it opened.
    pub conflicts: SmallVec<[ConflictId; 1]>,
    /// Why the token was stale.
    pub fault: Option<VerifyFault>,
}

/// Everything a building can be asked to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Tell the room. `from` is absent when the platform's back end or an operator speaks.
    Broadcast {
        /// The room.
        room: RoomId,
        /// The sender.
        from: Option<Actor>,
        /// The message: one JSON value, as text.
        message: Box<str>,
        /// The sender's own name for it: a repeat within 5 minutes is answered, not told again.
        client_msg_id: Option<Box<str>>,
    },
    /// Lock all `targets` under one token, or none of them.
    Acquire {
        /// The owner to be.
        actor: Actor,
        /// The kind of lock, the same for all targets.
        lock_type: LockType,
        /// What to lock; never empty.
        targets: Targets,
        /// The lease, in milliseconds; the configured one when absent.
        ttl_ms: Option<u64>,
        /// How long to wait in the queue; 0 refuses at once.
        wait_ms: u64,
        /// A JSON object, as text, shown with the lock.
        metadata: Option<Box<str>>,
    },
    /// Release one's own lock.
    Release {
        /// Who asks.
        actor: Actor,
        /// Which lock.
        lock: LockId,
    },
    /// Extend the lease of one's own lock.
    Renew {
        /// Who asks.
        actor: Actor,
        /// Which lock.
        lock: LockId,
        /// The new lease, in milliseconds; the lock's own when absent.
        ttl_ms: Option<u64>,
    },
    /// Move a lock of the same person from another session to this one.
    TakeOver {
        /// Who asks.
        actor: Actor,
        /// Which lock.
        lock: LockId,
    },
    /// Leave the queue.
    CancelWait {
        /// Who asks.
        actor: Actor,
        /// Which place in the queue.
        ticket: Ticket,
    },
    /// Ask the holder of a lock to hand it over.
    RequestLock {
        /// Who asks.
        actor: Actor,
        /// Which lock.
        lock: LockId,
        /// A word to the holder.
        message: Option<Box<str>>,
        /// How long the holder has, in milliseconds; the configured time when absent.
        respond_ms: Option<u64>,
    },
    /// Answer an editing request.
    RespondLockRequest {
        /// Who answers; must hold the lock.
        actor: Actor,
        /// Which request.
        request: RequestId,
        /// The answer.
        decision: HolderAnswer,
        /// A word to the requester.
        message: Option<Box<str>>,
    },
    /// Withdraw an editing request.
    RetractLockRequest {
        /// Who asks; must have made the request.
        actor: Actor,
        /// Which request.
        request: RequestId,
    },
    /// Take a lock from its holder.
    ForceRelease {
        /// Which lock.
        lock: LockId,
        /// The token that the operator saw; another one refuses.
        expected: Token,
        /// Why; told to the holder and kept in the audit.
        reason: Box<str>,
        /// Who: `uid 1000 (alice)` and the like.
        by: Box<str>,
    },
    /// The origin's document of a resource that this building has none of yet. Ignored when it has one by now.
    Adopt {
        /// The resource.
        resource: ResourceId,
        /// What it is.
        kind: ResourceKind,
        /// Its version in the origin.
        version: u64,
        /// The document: a JSON object, as text.
        document: Box<str>,
    },
    /// Change a resource's document.
    Edit(EditWish),
    /// The back end has found that two people disagree.
    ReportConflict {
        /// About what.
        target: Target,
        /// Who; never the same person twice.
        parties: [Party; 2],
        /// The reporter's word for the kind of disagreement.
        kind: Box<str>,
        /// How grave.
        severity: Severity,
        /// For people.
        description: Box<str>,
    },
    /// Settle a conflict.
    ResolveConflict {
        /// Which.
        conflict: ConflictId,
        /// Who settles it.
        by: Resolver,
        /// The revision that the resolver saw; another one refuses.
        revision: Option<u32>,
        /// How.
        resolution: Resolution,
    },
    /// Bring back what lost in a settled conflict.
    RestoreValue {
        /// Which conflict.
        conflict: ConflictId,
        /// Who asks; must be one of the two, or an operator.
        by: Resolver,
        /// Whose values; those that lost when absent.
        whose: Option<UserId>,
        /// Of which path only.
        path: Option<Path>,
    },
    /// The origin has written these documents.
    Stored {
        /// Which, each with its version there.
        resources: Vec<(ResourceId, u64)>,
    },
    /// The session showed life in this room: its locks there are renewed and no longer idle.
    Activity {
        /// Whose.
        session: SessionId,
        /// Where.
        room: RoomId,
    },
    /// The session's socket is gone; its locks stay, its grace runs outside.
    SessionSuspended {
        /// Whose.
        session: SessionId,
    },
    /// The session has a socket again.
    SessionResumed {
        /// Whose.
        session: SessionId,
    },
    /// The session is over: its locks are released, its waits and requests end.
    SessionEnded {
        /// Whose.
        session: SessionId,
    },
    /// An operator ends the session: the same, with who and why kept beside each lock.
    Kicked {
        /// Whose.
        session: SessionId,
        /// Why; kept in the log.
        reason: Box<str>,
        /// Who: `uid 1000 (alice)` and the like.
        by: Box<str>,
    },
    /// Do what is due: expiries, warnings, timeouts of waits and requests. Bounded work; see [`super::Building::due`].
    Tick,
}

/// The answer to one command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Nothing to say.
    Done,
    /// The broadcast has this place in the room's order.
    Sequenced {
        /// The room's sequence number of the message.
        seq: u64,
        /// It had been told before; `seq` is the first one's.
        duplicate: bool,
    },
    /// The lock is held now.
    Granted {
        /// The lock.
        lock: LockView,
        /// It was held before: by this session, or (legacy) by this person in another session.
        renewed: bool,
    },
    /// Somebody else holds what was asked for.
    Held {
        /// Every lock in the way, the first one first. Empty when only earlier waiters are in the way.
        blocked_by: Vec<LockView>,
    },
    /// The request waits.
    Queued {
        /// The place in the queue.
        ticket: Ticket,
        /// 1 for the next one.
        position: u32,
        /// Every lock in the way.
        blocked_by: Vec<LockView>,
    },
    /// The lock is free.
    Released {
        /// Which lock.
        lock: LockId,
    },
    /// The lease runs for this long.
    Renewed {
        /// The lock.
        lock: LockView,
    },
    /// The editing request is placed (or was granted at once when the holder was gone).
    Requested {
        /// The request.
        request: RequestId,
        /// How long the holder has, in milliseconds.
        respond_in_ms: u64,
    },
    /// The edit was taken in.
    Edited(EditReply),
    /// The back end's conflict is on record.
    Reported {
        /// Its name.
        conflict: ConflictId,
    },
    /// The conflict is settled, or the value is back.
    Settled {
        /// Which.
        conflict: ConflictId,
        /// What that did to the document, none if it stays as it was.
        changes: Vec<Change>,
        /// The resource's version with it.
        version: u64,
    },
    /// No.
    Refused(Refusal),
}

/// Why a command was refused. Each has a stable code on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// No such lock now: unknown, released, expired.
    LockNotFound,
    /// The lock is somebody else's.
    NotHolder,
    /// The lock is not the same person's: only one's own locks can be taken over.
    NotSameUser,
    /// The operator saw another token.
    TokenChanged {
        /// The token of the lock now.
        current: Token,
    },
    /// No such place in the queue, or not the asker's.
    WaitNotFound,
    /// No such editing request, or not the asker's to answer or withdraw.
    RequestNotFound,
    /// There is an open editing request of this session for this lock.
    AlreadyRequested {
        /// The open one.
        request: RequestId,
    },
    /// The holder asks for its own lock.
    OwnLock,
    /// Waiting would close a circle of sessions that wait for each other.
    Deadlock {
        /// The sessions' people, in order, starting with the asker's.
        cycle: Vec<UserId>,
    },
    /// Somebody else holds a lock on what was to be written.
    Locked {
        /// The lock.
        by: Box<LockView>,
    },
    /// The version that the author knew is older than what is kept: the author reloads.
    BaseTooOld {
        /// The version now.
        version: u64,
        /// The oldest version that an edit may build on.
        oldest: u64,
    },
    /// The version that the author names does not exist yet.
    BaseAhead {
        /// The version now.
        version: u64,
    },
    /// The edit cannot be carried out on this document.
    BadEdit {
        /// The path, as far as there is one.
        path: Box<str>,
        /// Why.
        why: Box<str>,
    },
    /// No such conflict, or not the asker's.
    ConflictNotFound,
    /// Somebody was faster.
    AlreadySettled {
        /// The word for how.
        word: Word,
        /// Who.
        by: Box<str>,
    },
    /// The conflict has changed since the resolver looked at it.
    RevisionChanged {
        /// The revision now.
        current: u32,
    },
    /// A named bound is reached.
    Limit {
        /// The option's name, such as `locks.per_session_max`.
        name: &'static str,
        /// Its value.
        max: u64,
    },
}

/// Is the holder there?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderState {
    /// Connected and active.
    Active,
    /// Connected, but without an edit or cursor movement on that floor for a while.
    Idle,
    /// The socket is gone and the grace runs.
    Suspended,
}

/// A lock as it is shown to people: what its grant says, and how things stand.
#[derive(Clone, Debug, PartialEq)]
pub struct LockView {
    /// The lock.
    pub id: LockId,
    /// The grant.
    pub granted: Arc<LockGranted>,
    /// Is the person there?
    pub holder_state: HolderState,
    /// When the lease ends if nothing renews it, by the wall clock of this moment.
    pub expires_at: Wall,
    /// The same as a span, in milliseconds.
    pub expires_in_ms: u64,
    /// Milliseconds since the holder last did something on that floor.
    pub idle_ms: u64,
    /// How many wait for it.
    pub waiters: u32,
}

impl Deref for LockView {
    type Target = LockGranted;

    fn deref(&self) -> &LockGranted {
        &self.granted
    }
}
