//! What has happened in a building: the entries of its log.
//!
//! Variants and fields are only ever appended: the log of an older release must stay readable
//! (the encoding is positional).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::command::{Target, Targets};
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

/// The places of a lock event in the orders of its rooms: a number for each target in each of its rooms, in the order
/// in which the targets name them.
pub type Seqs = SmallVec<[u64; 2]>;

/// What a room sees of an event: one message on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Which of a lock event's targets the message is about; 0 for everything else.
    pub target: usize,
    /// The room that is told.
    pub room: &'a RoomId,
    /// The room's sequence number of the message.
    pub seq: u64,
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
    /// An operator ended the session.
    Kicked,
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
            ReleaseReason::Kicked => "kicked",
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
    pub targets: Targets,
    /// Its messages' places.
    pub seqs: Seqs,
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
    pub targets: Targets,
    /// Its messages' places.
    pub seqs: Seqs,
    /// Who held it.
    pub session: SessionId,
    /// The person.
    pub user: UserId,
    /// The person's shown name.
    pub username: Arc<str>,
    /// Why.
    pub reason: ReleaseReason,
    /// The operator and the stated reason, when forced or kicked.
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

/// One entry of a building's log. It is shared by all that keep or tell it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A message to a room. Passing: may be told before it is committed.
    Broadcast(Arc<Broadcast>),
    /// Settled: told to nobody before it is committed.
    LockGranted(Arc<LockGranted>),
    /// Settled.
    LockReleased(Arc<LockReleased>),
    /// Settled; nobody is told.
    Adopted(Arc<Adopted>),
    /// Settled.
    Edited(Arc<Edited>),
    /// Settled; nobody is told.
    Answered(Arc<Answered>),
    /// Settled; nobody is told.
    Stored(Arc<Stored>),
    /// Settled; the two are told, and nobody else.
    ConflictOpened(Arc<Opened>),
    /// Settled; operators are told.
    ConflictEscalated(Arc<Escalated>),
    /// Settled; the two are told, and nobody else.
    ConflictSettled(Arc<Settled>),
}

impl Event {
    /// Must be committed before anybody is told.
    pub fn is_settled(&self) -> bool {
        !matches!(self, Event::Broadcast(_))
    }

    /// Tells whether two values are one shared event.
    pub(crate) fn address(&self) -> usize {
        match self {
            Event::Broadcast(b) => Arc::as_ptr(b).addr(),
            Event::LockGranted(g) => Arc::as_ptr(g).addr(),
            Event::LockReleased(r) => Arc::as_ptr(r).addr(),
            Event::Adopted(a) => Arc::as_ptr(a).addr(),
            Event::Edited(e) => Arc::as_ptr(e).addr(),
            Event::Answered(a) => Arc::as_ptr(a).addr(),
            Event::Stored(s) => Arc::as_ptr(s).addr(),
            Event::ConflictOpened(o) => Arc::as_ptr(o).addr(),
            Event::ConflictEscalated(e) => Arc::as_ptr(e).addr(),
            Event::ConflictSettled(s) => Arc::as_ptr(s).addr(),
        }
    }

    /// What rooms see of it, in order.
    pub fn sightings(&self) -> impl Iterator<Item = Seen<'_>> {
        let (seen, targets, seqs): (&[Sighting], &[Target], &[u64]) = match self {
            Event::Broadcast(b) => (std::slice::from_ref(&b.seen), &[], &[]),
            Event::LockGranted(g) => (&[], &g.targets, &g.seqs),
            Event::LockReleased(r) => (&[], &r.targets, &r.seqs),
            Event::Edited(e) => (&e.seen, &[], &[]),
            Event::Adopted(_)
            | Event::Answered(_)
            | Event::Stored(_)
            | Event::ConflictOpened(_)
            | Event::ConflictEscalated(_)
            | Event::ConflictSettled(_) => (&[], &[], &[]),
        };
        let rooms = targets.iter().enumerate().flat_map(|(i, t)| t.place.rooms().iter().map(move |room| (i, room)));
        let seen = seen.iter().map(|seen| Seen { target: 0, room: &seen.room, seq: seen.seq });
        seen.chain(rooms.zip(seqs).map(|((target, room), &seq)| Seen { target, room, seq }))
    }
}
