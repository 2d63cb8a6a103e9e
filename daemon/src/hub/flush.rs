//! The end of a turn: what was gathered is written, one write per connection.
//!
//! A write costs fifteen times what everything before it costs, and nearly all of it in the kernel. So when many
//! connections are to be written to, [`super::writers`] take part: the hub lends them the sockets and the turn's arena,
//! and does nothing else until all have come back. What follows from a write is the hub's business alone.
//!
//! A connection that does not take all of its bytes gets a backlog and a short-lived task that waits until the socket
//! takes more. Nobody else waits for it: not the other members of its rooms, not the turn.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arxosrt_core::wire::{code, outbound};
use tokio::sync::oneshot;

use super::arena::{Class, Span, text_frame};
use super::outbox::{Backlog, Overflow, Spans, unwritten};
use super::state::End;
use super::state::{Encoding, Membership, Phase};
use super::writers::Writers;
use super::writing::{Letter, Turn, Wrote, as_events, try_write, write};
use super::{ConnKey, Hub};
use crate::metrics::{DeliveryClass, ResyncReason, WrittenBy};

/// A turn that has written for so long lets readers and timers in before it goes on.
const SLICE: Duration = Duration::from_millis(2);

/// A flush behind which so much has gathered is finished in one go.
const ARENA_BYTES_MAX: usize = 8 << 20;

/// How many connections are written to between two looks at the clock.
const WRITES_PER_LOOK: usize = 64;

/// One more thread takes part for each so many connections. Waking it costs the hub as much as six writes, and it is
/// there as late as twenty.
const CONNECTIONS_PER_WRITER: usize = 64;

/// How many connections a share has. Whoever is done last is waited for by all, so a share is short.
const LETTERS_PER_SHARE: usize = 16;

/// How much of a backlog is written before others get their turn.
const DRAIN_BYTES: usize = 256 * 1024;

/// The hub's writers.
pub type FlushWriters = Writers<Turn, Vec<Letter>>;

/// A connection that has just got a backlog.
pub struct Drain {
    /// The connection.
    pub key: ConnKey,
    /// Ends when the connection is gone: its socket may never take another byte.
    pub gone: oneshot::Receiver<Infallible>,
}

impl Hub {
    /// Closes the books of the turn: presence is encoded, what was decided goes to the store.
    pub fn end_turn(&mut self) {
        if !std::mem::take(&mut self.clock_read) {
            self.tick_clock();
        }
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
        // Most turns write to a few connections and never look at the clock.
        let began = OnceCell::new();
        let over = || {
            let now = Instant::now();
            !hurry && now - *began.get_or_init(|| now) > SLICE
        };
        let mut written = 0;
        while self.flushed < self.dirty.len() {
            let left = self.dirty.len() - self.flushed;
            if left >= CONNECTIONS_PER_WRITER
                && let Some(mut writers) = self.writers.take()
            {
                self.flush_together(&mut writers, left / CONNECTIONS_PER_WRITER, over, new_drains);
                self.writers = Some(writers);
            } else {
                written += u64::from(self.flush_next(new_drains));
                if !self.flushed.is_multiple_of(WRITES_PER_LOOK) {
                    continue;
                }
            }
            if over() {
                break;
            }
        }
        self.metrics.writes.add(WrittenBy::Hub, written);
        if self.flushed < self.dirty.len() {
            return false;
        }
        self.dirty.clear();
        self.flushed = 0;
        self.arena.clear();
        true
    }

    /// Writes to the next connection, unless it is gone or has a backlog.
    fn flush_next(&mut self, new_drains: &mut Vec<Drain>) -> bool {
        let Some((key, spans)) = self.next_dirty() else { return false };
        let conn = &mut self.conns[key.slot as usize];
        if conn.outbox.backlog.is_some() {
            self.put_back(key, &spans, 0);
            return false;
        }
        let Some(sink) = &conn.sink else { return false };
        let wrote = write(&self.arena, self.wall, conn.form(), &spans, sink);
        self.written(key, &spans, wrote, new_drains);
        true
    }

    /// Writes to the connections that are left until the slice is over, with the help of others.
    fn flush_together(
        &mut self,
        writers: &mut FlushWriters,
        helpers: usize,
        over: impl Fn() -> bool,
        new_drains: &mut Vec<Drain>,
    ) {
        let turn = Turn { arena: std::mem::take(&mut self.arena), at: self.wall };
        let mut behind = Vec::new();
        let (turn, done) = writers.round(turn, helpers, || {
            if over() {
                return None;
            }
            let mut letters = Vec::with_capacity(LETTERS_PER_SHARE);
            while letters.len() < LETTERS_PER_SHARE && self.flushed < self.dirty.len() {
                let Some((key, spans)) = self.next_dirty() else { continue };
                let conn = &mut self.conns[key.slot as usize];
                if conn.outbox.backlog.is_some() {
                    behind.push((key, spans));
                } else if let Some(sink) = conn.sink.take() {
                    letters.push(Letter { key, sink, form: conn.form(), spans, wrote: Wrote::Dead });
                }
            }
            (!letters.is_empty()).then_some(letters)
        });
        self.arena = turn.arena;
        let count = |shares: &[Vec<Letter>]| shares.iter().map(|letters| letters.len() as u64).sum();
        self.metrics.writes.add(WrittenBy::Hub, count(&done.own));
        self.metrics.writes.add(WrittenBy::Writer, count(&done.others));
        // First every connection is whole again; what follows for one of them may concern all.
        let mut unfinished = Vec::new();
        for Letter { key, sink, spans, wrote, .. } in done.own.into_iter().chain(done.others).flatten() {
            let conn = &mut self.conns[key.slot as usize];
            conn.sink = Some(sink);
            match wrote {
                Wrote::All if conn.phase == Phase::Open => {}
                _ => unfinished.push((key, spans, wrote)),
            }
        }
        for (key, spans, wrote) in unfinished {
            self.written(key, &spans, wrote, new_drains);
        }
        for (key, spans) in behind {
            self.put_back(key, &spans, 0);
        }
    }

    /// The next connection that is to be written to, if it is still there, and what it is to be sent.
    fn next_dirty(&mut self) -> Option<(ConnKey, Spans)> {
        let key = self.dirty[self.flushed];
        self.flushed += 1;
        let conn = self.conn(key)?;
        conn.dirty = false;
        Some((key, conn.outbox.take()))
    }

    /// What follows from a write.
    fn written(&mut self, key: ConnKey, spans: &[Span], wrote: Wrote, new_drains: &mut Vec<Drain>) {
        let Some(conn) = self.conn(key) else { return };
        if let Wrote::All = wrote {
            if conn.phase == Phase::Closing {
                conn.sink = None;
            }
            return;
        }
        let backlog = match wrote {
            Wrote::All => return,
            Wrote::Dead => return self.socket_died(key),
            Wrote::Bytes(_) => Backlog::default(),
            // Frames that were written otherwise than they lie in the arena: their rest is one begun frame.
            Wrote::Rest(ref rest) => Backlog::starting_with(rest),
        };
        conn.outbox.backlog = Some(Box::new(backlog));
        let (watch, gone) = oneshot::channel();
        conn.outbox.drain = Some(watch);
        new_drains.push(Drain { key, gone });
        self.drains.push(key);
        if let Wrote::Bytes(n) = wrote {
            self.put_back(key, spans, n);
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
                as_events(bytes, &mut converted);
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
            as_events(&ws, &mut frame);
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

    /// Waits until the connection's socket takes bytes again; false if there is none any more.
    pub fn poll_writable(&self, key: ConnKey, cx: &mut Context<'_>) -> Poll<bool> {
        let conn = self.conns.get(key.slot as usize).filter(|conn| conn.serial == key.serial);
        match conn.and_then(|conn| conn.sink.as_ref()) {
            Some(sink) => sink.as_ref().poll_write_ready(cx).map(|ready| ready.is_ok()),
            None => Poll::Ready(false),
        }
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
                    as_events(&ws, &mut frames);
                }
                let conn = &mut self.conns[key.slot as usize];
                conn.outbox.backlog = Some(Box::new(Backlog::starting_with(&frames)));
                continue;
            }
            let Some(sink) = &conn.sink else { return true };
            match try_write(sink, bytes) {
                Some(0) => return false,
                Some(n) => {
                    backlog.advance(n);
                    written += n;
                    if written > DRAIN_BYTES {
                        return false;
                    }
                }
                None => {
                    conn.outbox.backlog = None;
                    self.drains.retain(|k| *k != key);
                    self.socket_died(key);
                    return true;
                }
            }
        }
    }
}
