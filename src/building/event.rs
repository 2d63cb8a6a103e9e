//! What has happened in a building: the entries of its log.
//!
//! Variants and fields are only ever appended: the log of an older release must stay readable
//! (the encoding is positional).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::command::Targets;
use crate::id::{RoomId, SessionId, UserId};
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
    /// Which of a lock event's targets the message is about; 0 for a broadcast.
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
    /// The operator and the stated reason, when forced.
    pub forced: Option<(Box<str>, Box<str>)>,
}

/// One entry of a building's log. It is shared by all that keep or tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A message to a room. Passing: may be told before it is committed.
    Broadcast(Arc<Broadcast>),
    /// Settled: told to nobody before it is committed.
    LockGranted(Arc<LockGranted>),
    /// Settled.
    LockReleased(Arc<LockReleased>),
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
        }
    }

    /// What rooms see of it, in order.
    pub fn sightings(&self) -> impl Iterator<Item = Seen<'_>> {
        let (broadcast, targets, seqs) = match self {
            Event::Broadcast(b) => (Some(Seen { target: 0, room: &b.seen.room, seq: b.seen.seq }), &[][..], &[][..]),
            Event::LockGranted(g) => (None, &g.targets[..], &g.seqs[..]),
            Event::LockReleased(r) => (None, &r.targets[..], &r.seqs[..]),
        };
        let rooms = targets.iter().enumerate().flat_map(|(i, t)| t.place.rooms().iter().map(move |room| (i, room)));
        broadcast.into_iter().chain(rooms.zip(seqs).map(|((target, room), &seq)| Seen { target, room, seq }))
    }
}
