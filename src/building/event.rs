//! What has happened in a building: the entries of its log.
//!
//! Variants and fields are only ever appended: the log of an older release must stay readable
//! (the encoding is positional).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

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
    /// The operator and the stated reason, when forced or kicked.
    pub forced: Option<(Box<str>, Box<str>)>,
}

/// One entry of a building's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A message to a room. Passing: may be told before it is committed.
    Broadcast(Broadcast),
    /// Settled: told to nobody before it is committed.
    LockGranted(LockGranted),
    /// Settled.
    LockReleased(LockReleased),
}

impl Event {
    /// Must be committed before anybody is told.
    pub fn is_settled(&self) -> bool {
        !matches!(self, Event::Broadcast(_))
    }
}
