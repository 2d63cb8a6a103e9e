//! The end of a turn: what was gathered is written, one write per connection.
//!
//! A connection that does not take all of its bytes gets a backlog and a short-lived task that waits until the socket
//! takes more. Nobody else waits for it: not the other members of its rooms, not the turn.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::{Duration, Instant};

use arxosrt_core::time::Wall;
use arxosrt_core::wire::{code, outbound};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::oneshot;

use super::arena::{Class, Span, payloads, text_frame, text_frames};
use super::outbox::{Backlog, Overflow, unwritten};
use super::state::End;
use super::state::{Encoding, Membership, Phase};
use super::{ConnKey, Hub};
use crate::metrics::{DeliveryClass, ResyncReason};

/// A turn that has written for so long lets readers and timers in before it goes on.
const SLICE: Duration = Duration::from_millis(2);

/// A flush behind which so much has gathered is finished in one go.
const ARENA_BYTES_MAX: usize = 8 << 20;

/// How many connections are written to between two looks at the clock.
const WRITES_PER_LOOK: usize = 64;

/// How much of a backlog is written before others get their turn.
const DRAIN_BYTES: usize = 256 * 1024;

/// A connection that has just got a backlog.
pub struct Drain {
    /// The connection.
    pub key: ConnKey,
    /// Where it is to be written.
    pub sink: Rc<OwnedWriteHalf>,
    /// Ends when the connection is gone: its socket may never take another byte.
    pub gone: oneshot::Receiver<Infallible>,
}

/// What a write attempt came to.
enum Wrote {
    Bytes(usize),
    Dead,
}

fn try_write(sink: &OwnedWriteHalf, bytes: &[u8]) -> Wrote {
    match sink.try_write(bytes) {
        Ok(n) => Wrote::Bytes(n),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Wrote::Bytes(0),
        Err(_) => Wrote::Dead,
    }
}

/// Text frames as server-sent events: one `data` line each. An empty message is a comment, which keeps the way open.
fn as_sse(frames: &[u8], out: &mut Vec<u8>) {
    for payload in payloads(frames) {
        if payload.is_empty() {
            out.extend_from_slice(b": ping\n\n");
            continue;
        }
        out.extend_from_slice(b"data: ");
        // Line breaks between the tokens of a relayed JSON value mean nothing there and end a field here.
        out.extend(payload.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }));
        out.extend_from_slice(b"\n\n");
    }
}

/// Several text frames as one `batch` message. False if there is only one, or something else among them.
fn as_batch(frames: &[u8], at: Wall, out: &mut Vec<u8>) -> bool {
    let several = text_frames(frames).is_some_and(|n| n > 1);
    if several {
        text_frame(out, |out| outbound::batch(out, at, payloads(frames)));
    }
    several
}

impl Hub {
    /// Closes the books of the turn: presence is encoded, what was decided goes to the store.
    pub fn end_turn(&mut self) {
        self.tick_clock();
        self.tell_presence();
        self.close_batch();
    }

    /// Writes to connections until all are done (true) or the slice is over (false).
    pub fn flush_some(&mut self, new_drains: &mut Vec<Drain>) -> bool {
        // What was told since the turn ended must be on record before anybody hears it, and who has moved since is seen.
        self.tell_presence();
        self.close_batch();
        // Whoever keeps the turn from ending with ever more frames is not let in until it has ended.
        let hurry = self.arena.waiting_bytes() > ARENA_BYTES_MAX;
        let began = Instant::now();
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut done = 0;
        while self.flushed < self.dirty.len() {
            let key = self.dirty[self.flushed];
            self.flushed += 1;
            self.flush_conn(key, &mut scratch, new_drains);
            done += 1;
            if !hurry && done % WRITES_PER_LOOK == 0 && began.elapsed() > SLICE {
                self.scratch = scratch;
                return false;
            }
        }
        scratch.clear();
        if scratch.capacity() > DRAIN_BYTES {
            scratch = Vec::new();
        }
        self.scratch = scratch;
        self.dirty.clear();
        self.flushed = 0;
        self.arena.clear();
        true
    }

    fn flush_conn(&mut self, key: ConnKey, scratch: &mut Vec<u8>, new_drains: &mut Vec<Drain>) {
        let Some(conn) = self.conns.get_mut(key.slot as usize).filter(|conn| conn.serial == key.serial) else { return };
        conn.dirty = false;
        let spans = conn.outbox.take();
        if conn.outbox.backlog.is_some() {
            self.put_back(key, &spans, 0);
            return;
        }
        let Some(sink) = conn.sink.clone() else { return };
        let bytes = match (conn.encoding, &spans[..]) {
            (Encoding::WebSocket, many) if conn.features.batch => {
                scratch.clear();
                many.iter().for_each(|span| scratch.extend_from_slice(self.arena.bytes(*span)));
                let mut together = Vec::new();
                if as_batch(scratch, self.wall, &mut together) {
                    std::mem::swap(scratch, &mut together);
                }
                &scratch[..]
            }
            (Encoding::WebSocket, [one]) => self.arena.bytes(*one),
            (Encoding::WebSocket, many) => {
                scratch.clear();
                many.iter().for_each(|span| scratch.extend_from_slice(self.arena.bytes(*span)));
                &scratch[..]
            }
            (Encoding::Sse, many) => {
                scratch.clear();
                many.iter().for_each(|span| as_sse(self.arena.bytes(*span), scratch));
                &scratch[..]
            }
        };
        match try_write(&sink, bytes) {
            Wrote::Bytes(n) if n == bytes.len() => {
                if conn.phase == Phase::Closing {
                    conn.sink = None;
                }
            }
            Wrote::Bytes(n) => {
                let (watch, gone) = oneshot::channel();
                new_drains.push(Drain { key, sink, gone });
                self.drains.push(key);
                conn.outbox.drain = Some(watch);
                if conn.encoding == Encoding::Sse || conn.features.batch {
                    // Frames that were written otherwise than they lie in the arena: their rest is one begun frame.
                    conn.outbox.backlog = Some(Box::new(Backlog::starting_with(&bytes[n..])));
                } else {
                    conn.outbox.backlog = Some(Box::default());
                    self.put_back(key, &spans, n);
                }
            }
            Wrote::Dead => self.socket_died(key),
        }
    }

    /// The reader of a dead socket ends it; it only has to look. From now on the client misses what happens.
    fn socket_died(&mut self, key: ConnKey) {
        if let Some(conn) = self.conn(key)
            && let Some(stop) = conn.stop.take()
        {
            conn.phase = Phase::Closing;
            stop.notify_one();
            self.detach(key.slot, End::Lost);
        }
    }

    /// Moves what could not be written into the connection's backlog.
    fn put_back(&mut self, key: ConnKey, spans: &[Span], written: usize) {
        let bounds = self.settings.outbox;
        let conn = &mut self.conns[key.slot as usize];
        let backlog = conn.outbox.backlog.as_mut().expect("the caller has made sure of it");
        let (rest, frames) = unwritten(&self.arena, spans, written);
        if !rest.is_empty() {
            **backlog = Backlog::starting_with(rest);
        }
        let mut overflowed = Vec::new();
        let mut converted = Vec::new();
        for (class, room, span) in frames {
            let mut bytes = self.arena.bytes(span);
            if conn.encoding == Encoding::Sse && !matches!(class, Class::Latest { .. }) {
                converted.clear();
                as_sse(bytes, &mut converted);
                bytes = &converted;
            }
            if matches!(class, Class::Latest { .. }) {
                self.metrics.conflated.inc();
            }
            overflowed.extend(backlog.push(class, room, bytes, &bounds));
        }
        for overflow in overflowed {
            self.overflowed(key, overflow);
        }
    }

    /// A slow client: tell it what it lost, or part from it.
    fn overflowed(&mut self, key: ConnKey, overflow: Overflow) {
        let (now, window) = (self.now, self.settings.resync_window_ms);
        let Some(conn) = self.conns.get_mut(key.slot as usize) else { return };
        if conn.phase == Phase::Closing {
            return;
        }
        let again = conn.overflowed.is_some_and(|last| now.since(last) < window);
        conn.overflowed = Some(now);
        let room = match overflow {
            Overflow::Room(room) if !again && self.rooms.contains(room as usize) => room,
            Overflow::Room(_) => return self.close_slow(key, DeliveryClass::Sequenced),
            Overflow::Control => return self.close_slow(key, DeliveryClass::Control),
        };
        self.metrics.outbox_drops.inc(DeliveryClass::Sequenced);
        self.metrics.resyncs.inc(ResyncReason::OutboxFull);
        let r = &self.rooms[room as usize];
        let seq = self.hosts[r.host as usize].building.seq(&r.id);
        let mut frame = Vec::new();
        text_frame(&mut frame, |out| {
            outbound::resync_required(out, self.wall, &r.id, "slow_consumer", &self.epoch, seq);
        });
        let conn = &mut self.conns[key.slot as usize];
        if conn.encoding == Encoding::Sse {
            let ws = std::mem::take(&mut frame);
            as_sse(&ws, &mut frame);
        }
        if let Some(backlog) = &mut conn.outbox.backlog {
            let _ = backlog.push(Class::Control, None, &frame, &self.settings.outbox);
        }
    }

    fn close_slow(&mut self, key: ConnKey, class: DeliveryClass) {
        self.metrics.slow_closes.inc();
        self.metrics.outbox_drops.inc(class);
        if let Some(backlog) = self.conn(key).and_then(|conn| conn.outbox.backlog.as_mut()) {
            backlog.drop_queue();
        }
        self.close(key.slot, code::SLOW, End::Lost);
    }

    /// Nobody writes this connection's backlog any more.
    pub fn forget_drain(&mut self, key: ConnKey) {
        self.drains.retain(|k| *k != key);
    }

    /// The socket takes bytes again. True when nothing is left, or nobody is there.
    pub fn drain_backlog(&mut self, key: ConnKey) -> bool {
        self.tick_clock();
        let mut written = 0;
        loop {
            let Some(conn) = self.conns.get_mut(key.slot as usize).filter(|conn| conn.serial == key.serial) else {
                self.drains.retain(|k| *k != key);
                return true;
            };
            let Some(backlog) = conn.outbox.backlog.as_mut() else { return true };
            let bytes = backlog.next_bytes();
            if bytes.is_empty() {
                let latest = backlog.take_latest();
                let (diff, encoding) = (conn.features.presence_diff, conn.encoding);
                if latest.is_empty() || conn.phase == Phase::Closing {
                    conn.outbox.backlog = None;
                    if conn.phase == Phase::Closing {
                        conn.sink = None;
                    }
                    self.drains.retain(|k| *k != key);
                    return true;
                }
                let mut frames = Vec::new();
                let rooms: &[Membership] = match conn.session {
                    Some(session) => &self.sessions[session as usize].rooms,
                    None => &[],
                };
                for (room, user) in latest.into_iter().filter(|(room, _)| rooms.iter().any(|m| m.room == *room)) {
                    self.encode_latest(room, user, diff, &mut frames);
                }
                if encoding == Encoding::Sse {
                    let ws = std::mem::take(&mut frames);
                    as_sse(&ws, &mut frames);
                }
                let conn = &mut self.conns[key.slot as usize];
                conn.outbox.backlog = Some(Box::new(Backlog::starting_with(&frames)));
                continue;
            }
            let Some(sink) = &conn.sink else { return true };
            match try_write(sink, bytes) {
                Wrote::Bytes(0) => return false,
                Wrote::Bytes(n) => {
                    backlog.advance(n);
                    written += n;
                    if written > DRAIN_BYTES {
                        return false;
                    }
                }
                Wrote::Dead => {
                    conn.outbox.backlog = None;
                    self.drains.retain(|k| *k != key);
                    self.socket_died(key);
                    return true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_messages_travel_as_one_batch_and_control_frames_as_they_are() {
        let (mut frames, mut out) = (Vec::new(), Vec::new());
        text_frame(&mut frames, |out| out.extend_from_slice(b"{\"a\":1}"));
        assert!(!as_batch(&frames, Wall(0), &mut out));
        text_frame(&mut frames, |out| out.extend_from_slice(b"{\"b\":2}"));
        assert!(as_batch(&frames, Wall(0), &mut out));
        let payload = payloads(&out).next().expect("a frame");
        let value: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
        assert_eq!(value["messages"], serde_json::json!([{"a": 1}, {"b": 2}]));
        frames.extend_from_slice(&super::super::arena::PING);
        assert!(!as_batch(&frames, Wall(0), &mut Vec::new()));
    }

    #[test]
    fn events_hold_no_line_breaks() {
        let mut frames = Vec::new();
        text_frame(&mut frames, |out| out.extend_from_slice(b"{\"a\":\n 1}"));
        text_frame(&mut frames, |_| {});
        let mut out = Vec::new();
        as_sse(&frames, &mut out);
        assert_eq!(out, b"data: {\"a\":  1}\n\n: ping\n\n");
    }
}
