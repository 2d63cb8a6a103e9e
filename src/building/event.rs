//! What has happened in a building: the entries of its log.
//!
//! Variants and fields are only ever appended: the log of an older release must stay readable
//! (the encoding is positional).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::conflict::{ConflictId, Opened, Settled};
use crate::edit::change::Change;
use crate::edit::rules::ResourceKind;
use crate::id::{ResourceId, RoomId, SessionId, UserId};
use crate::lock::{LockType, Token};
use crate::time::Wall;

/// A place in a room's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The room that is told.
    pub room: RoomId,
    /// The room's sequence number of the event.
    pub seq: u64,
}

/// One locked thing within a lock event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedTarget {
    /// What.
    pub resource: ResourceId,
    /// Whether it is the building, a floor or an item.
    pub scope: Scope,
    /// Where, each with its own place in the room's order. Each sighting is one message on the wire.
    pub seen: SmallVec<[Sighting; 1]>,
}

/// The level of the tree on which a resource lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// The building.
    Building,
    /// A floor.
    Floor,
    /// An object or a route.
    Item,
}

/// How a lock came to be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantCause {
    /// Asked for and free.
    Asked,
    /// Its turn in the queue came.
    Queue,
    /// The former holder handed it over (or was deemed to).
    HandOver,
    /// The same person took it from another session.
    TakeOver,
}

impl GrantCause {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            GrantCause::Asked => "asked",
            GrantCause::Queue => "queue",
            GrantCause::HandOver => "hand_over",
            GrantCause::TakeOver => "take_over",
        }
    }
}

/// How a lock came to be free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReleaseReason {
    /// By its holder.
    Released,
    /// The lease ran out.
    Expired,
    /// The hard cap on holding ran out.
    MaxHold,
    /// The session ended (clean close, or the grace ran out).
    SessionEnded,
    /// By an operator.
    Forced,
    /// To the one who asked for it.
    HandedOver,
    /// To another session of the same person.
    TakenOver,
}

impl ReleaseReason {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ReleaseReason::Released => "released",
            ReleaseReason::Expired => "expired",
            ReleaseReason::MaxHold => "max_hold",
            ReleaseReason::SessionEnded => "session_ended",
            ReleaseReason::Forced => "forced",
            ReleaseReason::HandedOver => "handed_over",
            ReleaseReason::TakenOver => "taken_over",
        }
    }
}

/// A message to a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broadcast {
    /// When.
    pub at: Wall,
    /// Where, and its place in the room's order.
    pub seen: Sighting,
    /// The sender's session, user and shown name; absent when the back end or an operator speaks.
    pub from: Option<(SessionId, UserId, Arc<str>)>,
    /// One JSON value, as text.
    pub message: Box<str>,
    /// The sender's own name for the message.
    pub client_msg_id: Option<Box<str>>,
}

/// A lock was granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockGranted {
    /// When.
    pub at: Wall,
    /// The fencing token; the lock's id is made from it.
    pub token: Token,
    /// The kind.
    pub lock_type: LockType,
    /// What it covers.
    pub targets: SmallVec<[LockedTarget; 1]>,
    /// The owner.
    pub session: SessionId,
    /// The person.
    pub user: UserId,
    /// The person's shown name.
    pub username: Arc<str>,
    /// The session never said `hello`: after a restart it is reclaimed by the person, without a resume token.
    pub legacy: bool,
    /// The lease, in milliseconds.
    pub ttl_ms: u64,
    /// When it was first held without a gap: a hand-over starts anew, a take-over does not.
    pub held_since: Wall,
    /// A JSON object, as text.
    pub metadata: Option<Box<str>>,
    /// Why now.
    pub cause: GrantCause,
}

/// A lock was released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockReleased {
    /// When.
    pub at: Wall,
    /// Which lock.
    pub token: Token,
    /// The kind.
    pub lock_type: LockType,
    /// What it covered.
    pub targets: SmallVec<[LockedTarget; 1]>,
    /// Who held it.
    pub session: SessionId,
    /// The person.
    pub user: UserId,
    /// The person's shown name.
    pub username: Arc<str>,
    /// Why.
    pub reason: ReleaseReason,
    /// The operator and the stated reason, when forced.
    pub forced: Option<(Box<str>, Box<str>)>,
}

/// A resource's document came from the origin: from now on the building's log is where it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// When.
    pub at: Wall,
    /// The resource.
    pub resource: ResourceId,
    /// What it is.
    pub kind: ResourceKind,
    /// Its version in the origin.
    pub version: u64,
    /// The document: a JSON object, as text.
    pub document: Box<str>,
}

/// An edit was committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edited {
    /// When.
    pub at: Wall,
    /// The resource.
    pub resource: ResourceId,
    /// What it is.
    pub kind: ResourceKind,
    /// Where it lies or has lain, each with its own place in the room's order. Each sighting is one message on the wire.
    pub seen: SmallVec<[Sighting; 1]>,
    /// The version that the author knew.
    pub base: u64,
    /// The resource's version with this.
    pub version: u64,
    /// Who.
    pub author: EditAuthor,
    /// What was done to the version before.
    pub changes: Vec<Change>,
    /// It has met others' changes and contradicts none.
    pub merged: bool,
    /// The floor that an item lies on from now on, when it is another one.
    pub moved_to: Option<RoomId>,
    /// The conflict that this settles or takes a value from.
    pub conflict: Option<ConflictId>,
}

/// Who is behind an edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EditAuthor {
    /// A person in a session.
    Person {
        /// The session.
        session: SessionId,
        /// The person.
        user: UserId,
        /// The person's shown name.
        username: Arc<str>,
    },
    /// An operator, by name.
    Operator(Box<str>),
}

/// How an edit with a name of its own was answered, for its repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// When.
    pub at: Wall,
    /// The person.
    pub user: UserId,
    /// The person's name for the edit.
    pub edit_id: Box<str>,
    /// The answer.
    pub outcome: EditOutcome,
    /// The resource's version then.
    pub version: u64,
    /// The conflicts that it opened.
    pub conflicts: SmallVec<[ConflictId; 1]>,
}

/// What became of an edit that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EditOutcome {
    /// All of it is in the document, and nobody else's changes were met.
    Applied,
    /// All of it is in the document beside others' changes.
    Merged,
    /// Some of it waits in conflicts; the rest is in the document.
    Conflict,
    /// It came under a lock that its author had lost: all of it waits as a draft.
    Fenced,
}

impl EditOutcome {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            EditOutcome::Applied => "applied",
            EditOutcome::Merged => "merged",
            EditOutcome::Conflict => "conflict",
            EditOutcome::Fenced => "fenced",
        }
    }
}

/// Documents were written to the origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// When.
    pub at: Wall,
    /// Which, each with the version that is there now.
    pub resources: Vec<(ResourceId, u64)>,
}

/// A conflict is for operators now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalated {
    /// When.
    pub at: Wall,
    /// Which.
    pub id: ConflictId,
}

/// One entry of a building's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A message to a room. Passing: may be told before it is committed.
    Broadcast(Broadcast),
    /// Settled: told to nobody before it is committed.
    LockGranted(LockGranted),
    /// Settled.
    LockReleased(LockReleased),
    /// Settled; nobody is told.
    Adopted(Adopted),
    /// Settled.
    Edited(Edited),
    /// Settled; nobody is told.
    Answered(Answered),
    /// Settled; nobody is told.
    Stored(Stored),
    /// Settled; the two are told, and nobody else.
    ConflictOpened(Arc<Opened>),
    /// Settled; operators are told.
    ConflictEscalated(Escalated),
    /// Settled; the two are told, and nobody else.
    ConflictSettled(Settled),
}

impl Event {
    /// Must be committed before anybody is told.
    pub fn is_settled(&self) -> bool {
        !matches!(self, Event::Broadcast(_))
    }
}
