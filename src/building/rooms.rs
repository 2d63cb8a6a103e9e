//! What has each room seen, and what can somebody who was away still be given?
//!
//! A room counts what its members may see (`seq`, without holes) and keeps the youngest part of it, bounded by count
//! and by bytes. A room that has seen something is never forgotten, for its next number must be right.

use std::collections::VecDeque;

use super::event::{Event, Seen};
use super::settings::Settings;
use crate::edit::change::Change;
use crate::id::{IdMap, RoomId};

/// A room's place in [`Rooms`].
pub(crate) type RoomIx = u32;

/// One message that a room's member has missed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Missed<'a> {
    /// The event.
    pub event: &'a Event,
    /// What the room sees of it.
    pub seen: Seen<'a>,
}

/// Why what was missed cannot be given in full: the client must reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Some of it is no longer kept.
    Expired,
    /// The client has seen more than there is: of another log, or of a tail that was lost.
    Ahead,
}

/// The rooms of a building.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rooms {
    by_id: IdMap<RoomId, RoomIx>,
    list: Vec<Room>,
}

/// A room's count and what it keeps: the messages `seq - kept.len() + 1 ..= seq`.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) seq: u64,
    pub(crate) kept: VecDeque<Kept>,
    kept_bytes: usize,
}

/// One message of a room.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) event: Event,
    pub(crate) target: u32,
    bytes: u32,
}

impl Rooms {
    /// The room's index, if it has ever seen anything.
    pub(crate) fn find(&self, room: &RoomId) -> Option<RoomIx> {
        self.by_id.get(room).copied()
    }

    /// The room at an index that [`Rooms::find`] or [`Rooms::record`] gave.
    pub(crate) fn at(&self, ix: RoomIx) -> &Room {
        &self.list[ix as usize]
    }

    pub(crate) fn seq(&self, room: &RoomId) -> u64 {
        self.find(room).map_or(0, |ix| self.at(ix).seq)
    }

    /// The smallest sequence number after which everything is still kept.
    pub(crate) fn oldest(&self, room: &RoomId) -> u64 {
        let room = self.find(room).map(|ix| self.at(ix));
        room.map_or(0, |room| room.seq - room.kept.len() as u64)
    }

    /// All rooms, in order of id.
    pub(crate) fn sorted(&self) -> Vec<&Room> {
        let mut rooms: Vec<&Room> = self.list.iter().collect();
        rooms.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        rooms
    }

    /// Everything in `room` after `since`.
    pub(crate) fn missed(&self, room: &RoomId, since: u64) -> Result<Vec<Missed<'_>>, Gap> {
        let Some(room) = self.find(room).map(|ix| self.at(ix)) else {
            return if since == 0 { Ok(Vec::new()) } else { Err(Gap::Ahead) };
        };
        let missing = room.seq.checked_sub(since).ok_or(Gap::Ahead)?;
        let skip = (room.kept.len() as u64).checked_sub(missing).ok_or(Gap::Expired)?;
        let first = since.saturating_add(1);
        let kept = room.kept.iter().skip(skip as usize);
        let seen = |kept: &Kept, seq| Seen { target: kept.target as usize, room: &room.id, seq };
        Ok(kept.zip(first..).map(|(kept, seq)| Missed { event: &kept.event, seen: seen(kept, seq) }).collect())
    }

    /// The room's index; a room that was never seen begins at 0.
    pub(crate) fn intern(&mut self, room: &RoomId) -> RoomIx {
        if let Some(ix) = self.find(room) {
            return ix;
        }
        let ix = RoomIx::try_from(self.list.len()).expect("a building has fewer than 2^32 rooms");
        self.list.push(Room { id: room.clone(), seq: 0, kept: VecDeque::new(), kept_bytes: 0 });
        self.by_id.insert(room.clone(), ix);
        ix
    }

    /// Says that a room has seen `seq` messages of which none is kept: what a snapshot begins with.
    pub(crate) fn start_at(&mut self, ix: RoomIx, seq: u64) {
        self.list[ix as usize].seq = seq;
    }

    /// Records one message.
    pub(crate) fn record(&mut self, ix: RoomIx, seq: u64, event: &Event, target: usize, bounds: &Settings) {
        let kept = Kept { event: event.clone(), target: target as u32, bytes: event_bytes(event) };
        self.list[ix as usize].push(seq, kept, bounds);
    }
}

impl Room {
    pub(crate) fn push(&mut self, seq: u64, kept: Kept, bounds: &Settings) {
        // Only a log that was tampered with has a hole; what came before it cannot be given as a whole then.
        if Some(seq) != self.seq.checked_add(1) {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        self.seq = seq;
        self.kept_bytes += kept.bytes as usize;
        self.kept.push_back(kept);
        while self.kept.len() > bounds.history_events_max || self.kept_bytes > bounds.history_bytes_max {
            match self.kept.pop_front() {
                Some(oldest) => self.kept_bytes -= oldest.bytes as usize,
                None => break,
            }
        }
    }
}

/// What an event weighs: its texts and a flat sum for the rest. The same on every machine, for it decides what is kept.
fn event_bytes(event: &Event) -> u32 {
    const FLAT: usize = 256;
    let bytes = match event {
        Event::Broadcast(b) => b.message.len() + b.client_msg_id.as_ref().map_or(0, |id| id.len()),
        Event::LockGranted(g) => g.metadata.as_ref().map_or(0, |m| m.len()) + 128 * g.targets.len(),
        Event::LockReleased(r) => r.forced.as_ref().map_or(0, |(by, why)| by.len() + why.len()) + 128 * r.targets.len(),
        Event::Edited(e) => e.changes.iter().map(Change::weight).sum(),
        _ => 0,
    };
    u32::try_from(FLAT + bytes).unwrap_or(u32::MAX)
}
