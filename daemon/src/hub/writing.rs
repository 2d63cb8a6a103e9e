//! One connection's frames of a turn as bytes on its socket: the form that they take, and one attempt to write them.
//!
//! This is all that writing needs: the arena, which nobody changes meanwhile, the connection's spans, and its socket. It
//! knows nothing of the hub, so any thread may do it; the hub decides what follows from how far it got.

use std::cell::RefCell;

use arxosrt_core::time::Wall;
use arxosrt_core::wire::outbound;
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;

use super::ConnKey;
use super::arena::{Arena, Span, payloads, text_frame, text_frames};
use super::outbox::Spans;

/// A thread's buffer that has grown past this is given back to the allocator.
const KEEP_BYTES_MAX: usize = 256 * 1024;

thread_local! {
    /// Where frames that do not lie in one piece are put together.
    static GATHERED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What becomes of frames on their way to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing.
    Frames,
    /// Several messages travel as one.
    Batch,
    /// Server-sent events.
    Events,
}

/// How far a write got.
#[derive(Debug)]
pub enum Wrote {
    /// To the end.
    All,
    /// So many bytes of the spans.
    Bytes(usize),
    /// Not to the end of what the frames became: this is left, and begins within a frame.
    Rest(Box<[u8]>),
    /// The socket is dead, or nobody knows how far it got.
    Dead,
}

/// What one turn has for one connection.
pub struct Letter {
    /// The connection.
    pub key: ConnKey,
    /// Its socket.
    pub sink: OwnedWriteHalf,
    /// The form that its frames take.
    pub form: Form,
    /// Its frames.
    pub spans: Spans,
    /// How far the write got.
    pub wrote: Wrote,
}

/// What all letters of a turn are written from.
pub struct Turn {
    /// The frames.
    pub arena: Arena,
    /// What batches say about when they were made.
    pub at: Wall,
}

/// Writes each letter once.
pub fn write_all(turn: &Turn, letters: &mut Vec<Letter>) {
    for letter in letters {
        letter.wrote = write(&turn.arena, turn.at, letter.form, &letter.spans, &letter.sink);
    }
}

/// Writes once what the spans hold, in this form.
pub fn write(arena: &Arena, at: Wall, form: Form, spans: &[Span], sink: &OwnedWriteHalf) -> Wrote {
    if let ([one], Form::Frames) = (spans, form) {
        return send(sink, arena.bytes(*one), |n, _| Wrote::Bytes(n));
    }
    GATHERED.with_borrow_mut(|gathered| {
        gathered.clear();
        let wrote = match form {
            Form::Frames => {
                spans.iter().for_each(|span| gathered.extend_from_slice(arena.bytes(*span)));
                send(sink, gathered, |n, _| Wrote::Bytes(n))
            }
            Form::Batch => {
                spans.iter().for_each(|span| gathered.extend_from_slice(arena.bytes(*span)));
                let mut together = Vec::new();
                let bytes = if as_batch(gathered, at, &mut together) { &together } else { &*gathered };
                send(sink, bytes, |_, rest| Wrote::Rest(rest.into()))
            }
            Form::Events => {
                spans.iter().for_each(|span| as_events(arena.bytes(*span), gathered));
                send(sink, gathered, |_, rest| Wrote::Rest(rest.into()))
            }
        };
        if gathered.capacity() > KEEP_BYTES_MAX {
            *gathered = Vec::new();
        }
        wrote
    })
}

fn send(sink: &OwnedWriteHalf, bytes: &[u8], partly: impl FnOnce(usize, &[u8]) -> Wrote) -> Wrote {
    match try_write(sink, bytes) {
        Some(n) if n == bytes.len() => Wrote::All,
        Some(n) => partly(n, &bytes[n..]),
        None => Wrote::Dead,
    }
}

/// How many bytes the socket takes now; none if it is dead.
///
/// What Tokio remembers of a socket lies in memory that nothing else here touches: with thousands of connections, one
/// more cache miss for each write. So it is asked only when the socket does not take anything: it tries once more and
/// learns that the socket is full, on whichever thread, and waiting for it becomes reliable.
pub fn try_write(sink: &OwnedWriteHalf, bytes: &[u8]) -> Option<usize> {
    if let Ok(n) = SockRef::from(sink.as_ref()).send_with_flags(bytes, libc::MSG_NOSIGNAL) {
        return Some(n);
    }
    match sink.try_write(bytes) {
        Ok(n) => Some(n),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}

/// Text frames as server-sent events: one `data` line each. An empty message is a comment, which keeps the way open.
pub fn as_events(frames: &[u8], out: &mut Vec<u8>) {
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

#[cfg(test)]
mod tests {
    use super::super::arena::PING;
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
        frames.extend_from_slice(&PING);
        assert!(!as_batch(&frames, Wall(0), &mut Vec::new()));
    }

    #[test]
    fn events_hold_no_line_breaks() {
        let mut frames = Vec::new();
        text_frame(&mut frames, |out| out.extend_from_slice(b"{\"a\":\n 1}"));
        text_frame(&mut frames, |_| {});
        let mut out = Vec::new();
        as_events(&frames, &mut out);
        assert_eq!(out, b"data: {\"a\":  1}\n\n: ping\n\n");
    }
}
