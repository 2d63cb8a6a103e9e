//! What waits to be written to one connection.
//!
//! Within a turn that is a list of spans in the arena and nothing else. Only a connection that did not take all of its
//! bytes owns a [`Backlog`]. It is bounded for each class of frame, and each bound has its own end:
//!
//! - control frames are never dropped; past their bound the connection is closed as slow;
//! - the state of a room with what was missed in it is never dropped either; it is not queued behind much else, so at
//!   most one is waiting beyond the bound;
//! - past theirs, the sequenced frames of the room that overflowed are dropped together and the client is told
//!   `resync_required`; a second time within the window closes the connection;
//! - of latest-wins frames only the key is kept, and the newest value is encoded when there is room.
//!
//! A frame that was begun is always finished: nothing is ever written into the middle of another frame.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;

use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::RoomKey;
use super::arena::{Arena, Class, Span};

/// The bounds of a backlog, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of sequenced frames.
    pub sequenced_bytes: usize,
    /// Of control frames.
    pub control_bytes: usize,
}

/// What a backlog could not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// This room's frames were dropped; the client must be told.
    Room(RoomKey),
    /// Control frames: the connection must be closed.
    Control,
}

/// Stretches of the arena, in the order in which they go to one connection.
pub type Spans = SmallVec<[Span; 2]>;

/// The frames of this turn for one connection.
#[derive(Default)]
pub struct Outbox {
    spans: Spans,
    /// What earlier turns could not write.
    pub backlog: Option<Box<Backlog>>,
    /// Held for whoever writes the backlog, and never sent anything: when it is dropped, the connection is gone.
    pub drain: Option<oneshot::Sender<Infallible>>,
}

impl Outbox {
    /// Adds a frame of this turn; true if it is the first one.
    #[inline]
    pub fn push(&mut self, span: Span) -> bool {
        match self.spans.last_mut() {
            None => {
                self.spans.push(span);
                true
            }
            Some(last) if last.end == span.start => {
                last.end = span.end;
                false
            }
            Some(_) => {
                self.spans.push(span);
                false
            }
        }
    }

    /// Bytes that wait, of this turn and of earlier ones.
    pub fn waiting(&self) -> usize {
        let turn: u32 = self.spans.iter().map(|span| span.end - span.start).sum();
        turn as usize + self.backlog.as_ref().map_or(0, |backlog| backlog.waiting_bytes())
    }

    /// Takes the spans of this turn.
    pub fn take(&mut self) -> Spans {
        std::mem::take(&mut self.spans)
    }
}

struct Queued {
    class: Class,
    room: Option<RoomKey>,
    bytes: Box<[u8]>,
}

/// What a connection could not take in time.
#[derive(Default)]
pub struct Backlog {
    /// Being written: whole frames but for the first, of which a part may be out already.
    head: Vec<u8>,
    written: usize,
    queue: VecDeque<Queued>,
    sequenced_bytes: usize,
    control_bytes: usize,
    state_bytes: usize,
    latest: BTreeSet<(RoomKey, u32)>,
}

/// How much of the queue is moved to the head at once.
const HEAD_BYTES: usize = 64 * 1024;

impl Backlog {
    /// A backlog that begins with the unwritten rest of a frame.
    pub fn starting_with(rest: &[u8]) -> Self {
        Backlog { head: rest.to_vec(), ..Backlog::default() }
    }

    /// Appends a frame of the arena as it goes to this connection. Latest-wins frames leave only their key.
    pub fn push(&mut self, class: Class, room: Option<RoomKey>, bytes: &[u8], bounds: &Bounds) -> Option<Overflow> {
        match class {
            Class::Latest { user } => {
                if let Some(room) = room {
                    self.mark_latest(room, user);
                }
                return None;
            }
            Class::Control => self.control_bytes += bytes.len(),
            Class::State => self.state_bytes += bytes.len(),
            Class::Sequenced => self.sequenced_bytes += bytes.len(),
        }
        self.queue.push_back(Queued { class, room, bytes: bytes.into() });
        if self.control_bytes > bounds.control_bytes {
            return Some(Overflow::Control);
        }
        if self.sequenced_bytes > bounds.sequenced_bytes {
            return Some(match room {
                Some(room) => {
                    self.drop_room(room);
                    Overflow::Room(room)
                }
                None => Overflow::Control,
            });
        }
        None
    }

    /// Remembers that this person's presence in this room is to be told when there is room.
    pub fn mark_latest(&mut self, room: RoomKey, user: u32) {
        self.latest.insert((room, user));
    }

    /// Forgets everything but a frame that was begun: the connection is about to be closed.
    pub fn drop_queue(&mut self) {
        self.queue.clear();
        self.latest.clear();
        self.sequenced_bytes = 0;
        self.control_bytes = 0;
        self.state_bytes = 0;
    }

    fn drop_room(&mut self, room: RoomKey) {
        self.queue.retain(|queued| queued.room != Some(room) || queued.class != Class::Sequenced);
        self.sequenced_bytes = self.queue.iter().filter(|q| q.class == Class::Sequenced).map(|q| q.bytes.len()).sum();
    }

    /// The bytes to write next; empty when there are none but latest-wins keys.
    pub fn next_bytes(&mut self) -> &[u8] {
        if self.written == self.head.len() {
            self.head.clear();
            self.written = 0;
            while self.head.len() < HEAD_BYTES
                && let Some(queued) = self.queue.pop_front()
            {
                match queued.class {
                    Class::Control => self.control_bytes -= queued.bytes.len(),
                    Class::State => self.state_bytes -= queued.bytes.len(),
                    Class::Sequenced | Class::Latest { .. } => self.sequenced_bytes -= queued.bytes.len(),
                }
                self.head.extend_from_slice(&queued.bytes);
            }
        }
        &self.head[self.written..]
    }

    /// So many of the next bytes are out.
    pub fn advance(&mut self, bytes: usize) {
        self.written += bytes;
    }

    /// The latest-wins keys, to be encoded now.
    pub fn take_latest(&mut self) -> BTreeSet<(RoomKey, u32)> {
        std::mem::take(&mut self.latest)
    }

    /// A room is gone, or was left: nothing more about it.
    pub fn forget_room(&mut self, room: RoomKey) {
        self.drop_room(room);
        self.latest.retain(|(r, _)| *r != room);
    }

    /// A person is gone: no key may outlive it.
    pub fn forget_user(&mut self, user: u32) {
        self.latest.retain(|(_, u)| *u != user);
    }

    /// Bytes that wait, the head included.
    pub fn waiting_bytes(&self) -> usize {
        self.head.len() - self.written + self.sequenced_bytes + self.control_bytes + self.state_bytes
    }
}

/// Splits what is left of a turn's spans after `written` bytes into the rest of a begun frame and whole frames.
pub fn unwritten<'a>(
    arena: &'a Arena,
    spans: &'a [Span],
    mut written: usize,
) -> (&'a [u8], impl Iterator<Item = (Class, Option<RoomKey>, Span)> + 'a) {
    let mut rest: &[u8] = &[];
    let mut from = Vec::new();
    for &span in spans {
        let len = (span.end - span.start) as usize;
        if written >= len {
            written -= len;
            continue;
        }
        let at = span.start + written as u32;
        written = 0;
        from.push(Span { start: at, end: span.end });
    }
    let mut frames: Vec<(Class, Option<RoomKey>, Span)> = Vec::new();
    for span in from {
        for frame in arena.frames(span) {
            if frame.span.start < span.start {
                rest = arena.bytes(Span { start: span.start, end: frame.span.end.min(span.end) });
            } else {
                frames.push((frame.class, frame.room, frame.span));
            }
        }
    }
    (rest, frames.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { sequenced_bytes: 100, control_bytes: 50 };

    #[test]
    fn an_overflowing_room_loses_its_frames_and_no_other_does() {
        let mut backlog = Backlog::starting_with(b"rest");
        assert_eq!(backlog.push(Class::Sequenced, Some(1), &[b'a'; 40], &BOUNDS), None);
        assert_eq!(backlog.push(Class::Sequenced, Some(2), &[b'b'; 40], &BOUNDS), None);
        assert_eq!(backlog.push(Class::Control, Some(1), b"c", &BOUNDS), None);
        assert_eq!(backlog.push(Class::Sequenced, Some(1), &[b'a'; 40], &BOUNDS), Some(Overflow::Room(1)));
        assert_eq!(backlog.next_bytes(), b"rest");
        backlog.advance(4);
        let mut left = [b'b'; 41];
        left[40] = b'c';
        assert_eq!(backlog.next_bytes(), left);
        backlog.advance(41);
        assert_eq!(backlog.waiting_bytes(), 0);
    }

    #[test]
    fn control_frames_are_never_dropped() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.push(Class::Control, None, &[0; 50], &BOUNDS), None);
        assert_eq!(backlog.push(Class::Control, None, &[0; 1], &BOUNDS), Some(Overflow::Control));
        assert_eq!(backlog.next_bytes().len(), 51);
    }

    #[test]
    fn of_latest_wins_only_the_key_is_kept() {
        let mut backlog = Backlog::default();
        for _ in 0..10_000 {
            assert_eq!(backlog.push(Class::Latest { user: 7 }, Some(1), &[0; 200], &BOUNDS), None);
        }
        assert_eq!(backlog.waiting_bytes(), 0);
        assert_eq!(backlog.take_latest(), BTreeSet::from([(1, 7)]));
    }

    #[test]
    fn a_begun_frame_is_finished() {
        let mut arena = Arena::default();
        let a = arena.framed(Class::Sequenced, Some(1), b"aaaa");
        let _other = arena.framed(Class::Sequenced, Some(2), b"----");
        let b = arena.framed(Class::Control, None, b"bbbb");
        for written in 0..8 {
            let spans = [a, b];
            let (rest, frames) = unwritten(&arena, &spans, written);
            let mut all = rest.to_vec();
            for (_, _, span) in frames {
                all.extend_from_slice(arena.bytes(span));
            }
            assert_eq!(all, &b"aaaabbbb"[written..], "{written}");
        }
    }
}
