//! Who is connected, who is in which room: the hub's soft state.
//!
//! Nothing here is ever logged. It is restated in full on join and resume, then told as differences. Things refer to
//! each other by keys into slabs; a key is only kept where the thing that it names is told to forget it.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use arxosrt_core::building::Building;
use arxosrt_core::id::{BuildingId, RoomId, SessionId, UserId};
use arxosrt_core::time::{Mono, Wall};
use arxosrt_core::wire::inbound::Features;
use arxosrt_core::wire::outbound::Person;
use smallvec::SmallVec;
use tokio::net::tcp::OwnedWriteHalf;

use super::outbox::Outbox;
use super::writing::Form;

/// A room's key in the hub.
pub type RoomKey = u32;
/// A person's key in the hub.
pub type UserKey = u32;
/// A session's key in the hub.
pub type SessionKey = u32;
/// A building's key in the hub.
pub type HostKey = u32;

/// A connection's key in the hub. The serial makes it good for this connection only, not for the slot's next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnKey {
    /// The slot.
    pub slot: u32,
    /// Counts all connections.
    pub serial: u32,
}

/// How frames reach the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// WebSocket text frames.
    WebSocket,
    /// Server-sent events; the client speaks over REST.
    Sse,
}

/// How a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a close handshake begun by the client: nobody will come back.
    Clean,
    /// In any other way.
    Lost,
}

/// What a connection is on its way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Frames go out, messages come in.
    Open,
    /// A close frame was queued; nothing else goes out.
    Closing,
}

/// A socket with a client behind it.
pub struct Conn {
    /// Counts all connections.
    pub serial: u32,
    /// Where bytes go; dropped, which ends our side, when a closing connection has got its last ones.
    pub sink: Option<OwnedWriteHalf>,
    /// Frames that wait for the end of the turn, or longer.
    pub outbox: Outbox,
    /// How frames are written.
    pub encoding: Encoding,
    /// Open or closing.
    pub phase: Phase,
    /// The session that it carries; none once it is closing.
    pub session: Option<SessionKey>,
    /// The person, to be at hand in every delivery.
    pub user: UserKey,
    /// The client said `hello`.
    pub hello: bool,
    /// What it takes.
    pub features: Features,
    /// Its person's open conflicts were told.
    pub conflicts_told: bool,
    /// It has said something besides `hello`.
    pub spoke: bool,
    /// Is in the list of connections to be written to.
    pub dirty: bool,
    /// Last sign of life on the socket.
    pub heard: Mono,
    /// A ping is out since then.
    pub pinged: Option<Mono>,
    /// Last time its backlog overflowed.
    pub overflowed: Option<Mono>,
    /// Messages that may still come at once, in thousandths.
    pub tokens_milli: u64,
    /// When the tokens were last counted.
    pub tokens_at: Mono,
    /// Messages that were not looked at, less those that were or could have been since: how far the client is beyond what
    /// it may send.
    pub excess: u64,
    /// The last message was not looked at.
    pub limited: bool,
    /// The peer.
    pub address: std::net::IpAddr,
    /// Which close code ended it; 1006 when the socket was lost, 0 while it is open.
    pub close_code: u16,
    /// Woken when the reader must stop.
    pub stop: Option<Rc<tokio::sync::Notify>>,
}

impl Conn {
    /// The form that frames take on their way to it.
    pub fn form(&self) -> Form {
        match self.encoding {
            Encoding::Sse => Form::Events,
            Encoding::WebSocket if self.features.batch => Form::Batch,
            Encoding::WebSocket => Form::Frames,
        }
    }
}

/// A room that a session is in.
pub struct Membership {
    /// The room.
    pub room: RoomKey,
    /// Where the session's connection stands in the room's list; meaningless while suspended.
    pub slot: u32,
    /// If the room is a floor: the version of its grid that the session knows, 0 while nobody has changed it.
    pub frame: u64,
}

/// One connection's identity, which may outlive its socket.
pub struct Session {
    /// The session.
    pub id: SessionId,
    /// The person.
    pub user: UserKey,
    /// The socket, unless suspended.
    pub conn: Option<u32>,
    /// Rooms joined, the latest last.
    pub rooms: SmallVec<[Membership; 1]>,
    /// The client said `hello`.
    pub hello: bool,
    /// When the grace ends, while suspended.
    pub grace_ends: Option<Mono>,
    /// While suspended: each room's sequence number when the socket was lost.
    pub seen: Vec<(RoomKey, u64)>,
    /// Buildings in which it may hold or want locks.
    pub hosts: SmallVec<[HostKey; 1]>,
    /// Last message.
    pub active: Mono,
    /// When it began.
    pub since: Wall,
}

/// A person with at least one session.
pub struct User {
    /// The person.
    pub id: UserId,
    /// Shown name.
    pub username: Arc<str>,
    /// Sessions, suspended ones included.
    pub sessions: SmallVec<[SessionKey; 1]>,
    /// The floor that the person is on.
    pub floor: Option<RoomKey>,
    /// Any JSON value.
    pub action: Option<String>,
    /// Any JSON value.
    pub cursor: Option<String>,
    /// The members of the metadata object.
    pub metadata: Vec<(Box<str>, Box<str>)>,
    /// Last message.
    pub active: Mono,
    /// The same by the wall clock.
    pub active_at: Wall,
    /// The room that will be told about the person at the end of the turn.
    pub told_in: Option<RoomKey>,
}

impl User {
    /// As rooms see the person.
    pub fn person(&self) -> Person<'_> {
        Person {
            user: &self.id,
            username: &self.username,
            action: self.action.as_deref(),
            cursor: self.cursor.as_deref(),
            metadata: &self.metadata,
        }
    }
}

/// What `presence_diff` will say about a room.
#[derive(Default)]
pub struct Diff {
    /// When it is due.
    pub due: Option<Mono>,
    /// People who came and were not here when the window began.
    pub joined: Vec<UserKey>,
    /// People who were here when the window began, left, and came back.
    pub returned: Vec<UserKey>,
    /// People whose presence changed.
    pub updated: Vec<UserKey>,
    /// People who left; they may be gone by now.
    pub left: Vec<UserId>,
}

/// A room with members, suspended ones included.
pub struct Room {
    /// The room.
    pub id: RoomId,
    /// Its building.
    pub host: HostKey,
    /// Connections that get its frames.
    pub members: Vec<u32>,
    /// People in it, each with the number of their sessions.
    pub users: HashMap<UserKey, u32>,
    /// The people in order of id, for pages. Kept only while the room is large.
    pub order: Option<BTreeSet<UserId>>,
    /// How many of the members take `presence_diff`.
    pub diff_members: u32,
    /// What they will be told.
    pub diff: Diff,
}

/// A building in memory.
pub struct Host {
    /// The building.
    pub id: BuildingId,
    /// Its state, which may be ahead of the log's committed end.
    pub building: Building,
    /// Batches in which something of this building waits to be told.
    pub unsettled: u32,
    /// When it next has something to do by itself, as entered in the hub's calendar.
    pub due: Option<Mono>,
    /// Events since the last snapshot.
    pub since_snapshot: u64,
    /// Rooms in memory.
    pub rooms: u32,
    /// Last time that anybody needed it.
    pub used: Mono,
}
