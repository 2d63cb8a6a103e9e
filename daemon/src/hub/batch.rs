//! What a turn has decided, and what waits with it: the pieces of a batch.
//!
//! An [`OpenBatch`] gathers events, and frames and answers that must not be let out before those events are committed.
//! At the end of the turn it becomes an [`Inflight`]. Who fills and empties them is [`super::commit`].

use arxosrt_core::building::event::Event;
use arxosrt_core::wire::inbound::Since;

use super::arena::Class;
use super::{ConnKey, HostKey, Hub, RoomKey};
use crate::store::AuditRecord;

/// Who gets a frame.
pub(super) enum Target {
    /// One connection, if it is still there.
    Conn(ConnKey),
    /// One connection that asked; it is told when the store fails it.
    Reply(ConnKey, Option<Box<str>>),
    /// The members of a room.
    Room(RoomKey),
}

/// The rest of a question from outside, for when it is known whether the commit succeeded.
pub(super) type AnswerLater = Box<dyn FnOnce(&mut Hub, bool)>;

pub(super) enum Out {
    Frames {
        target: Target,
        class: Class,
        room: Option<RoomKey>,
        start: usize,
        end: usize,
    },
    /// Tells one connection where a room stands.
    Restated {
        conn: ConnKey,
        room: RoomKey,
        what: Restated,
        start: usize,
        end: usize,
    },
    /// Carries out the rest of a question from outside; the flag says whether the commit succeeded.
    Answer(AnswerLater),
}

/// How a connection is told where a room stands. Told again from scratch when the commit before it fails.
pub(super) enum Restated {
    /// `room_state`, of which the bytes are the agreed part. Who is there is added when it goes out.
    State { since: Option<Since<'static>>, id: Option<Box<str>> },
    /// What the room has seen since then, as frames.
    Missed { since: u64 },
}

/// Events of one building within a batch.
pub(super) struct OpenPart {
    pub host: HostKey,
    pub position: u64,
    pub events: Vec<Event>,
    /// So many of the first events were told at once.
    pub told: usize,
}

impl OpenPart {
    /// What was told at once, with its place in the log.
    pub fn into_told(mut self) -> Option<(HostKey, u64, Vec<Event>)> {
        self.events.truncate(self.told);
        (self.told > 0).then_some((self.host, self.position, self.events))
    }
}

/// What the present turn has decided.
#[derive(Default)]
pub(super) struct OpenBatch {
    pub bytes: Vec<u8>,
    pub outs: Vec<Out>,
    pub parts: Vec<OpenPart>,
    pub audit: Vec<AuditRecord>,
    /// Buildings of which something in here waits to be told.
    pub unsettled: Vec<HostKey>,
}

impl OpenBatch {
    pub fn is_empty(&self) -> bool {
        self.outs.is_empty() && self.parts.is_empty() && self.audit.is_empty()
    }

    /// The room is gone: nothing in here speaks to it.
    pub fn forget_room(&mut self, room: RoomKey) {
        forget_room(&mut self.outs, room);
    }

    /// How many events wait in here to be told to the room.
    pub fn held_back(&self, room: RoomKey) -> u64 {
        held_back(&self.outs, room)
    }
}

fn held_back(outs: &[Out], room: RoomKey) -> u64 {
    let is_event = |out: &&Out| matches!(out, Out::Frames { target: Target::Room(to), class: Class::Sequenced, .. } if *to == room);
    outs.iter().filter(is_event).count() as u64
}

fn forget_room(outs: &mut Vec<Out>, gone: RoomKey) {
    outs.retain_mut(|out| match out {
        Out::Frames { target: Target::Room(room), .. } | Out::Restated { room, .. } => *room != gone,
        Out::Frames { room, .. } => {
            if *room == Some(gone) {
                *room = None;
            }
            true
        }
        Out::Answer(_) => true,
    });
}

/// A batch that is with the store.
pub(super) struct Inflight {
    pub number: u64,
    pub handed_over: std::time::Instant,
    pub bytes: Vec<u8>,
    pub outs: Vec<Out>,
    pub hosts: Vec<HostKey>,
    pub unsettled: Vec<HostKey>,
    /// What was told at once: building, position before it, events.
    pub told: Vec<(HostKey, u64, Vec<Event>)>,
    pub events: u64,
}

impl Inflight {
    /// The hub's number for it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The room is gone: nothing in here speaks to it.
    pub fn forget_room(&mut self, room: RoomKey) {
        forget_room(&mut self.outs, room);
    }

    /// How many events wait in here to be told to the room.
    pub fn held_back(&self, room: RoomKey) -> u64 {
        held_back(&self.outs, room)
    }
}
