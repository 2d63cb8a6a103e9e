//! Where the frames of one turn are encoded, once each.
//!
//! A turn takes in whatever has arrived, decides it, and then writes to each connection once. In between, frames lie
//! here back to back, and connections hold [`Span`]s of them: a span that continues a connection's last one is merged
//! with it, so eight frames to a busy room are one span, one write and no copy. Nothing in here outlives the turn.

use super::RoomKey;

/// What may happen to a frame when its receiver cannot take it in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Replies, errors, notices to one session: never dropped; too many close the connection.
    Control,
    /// A room's state with everything that was missed, which may be long: begun only while little else waits.
    State,
    /// Events of a room's order, and joins and leaves: too many are dropped together, and the client is told.
    Sequenced,
    /// Cursors and the like, keyed by room and person: only the newest matters.
    Latest {
        /// The person's key in the hub.
        user: u32,
    },
}

/// A stretch of the arena: one frame, or several in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte after the last one.
    pub end: u32,
}

/// One frame in the arena.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Where it lies.
    pub span: Span,
    /// How dear it is.
    pub class: Class,
    /// The room that it speaks of.
    pub room: Option<RoomKey>,
}

/// The frames of the turn.
#[derive(Default)]
pub struct Arena {
    bytes: Vec<u8>,
    frames: Vec<Frame>,
}

/// An arena that has grown past this is given back to the allocator at the end of its turn.
const KEEP_BYTES_MAX: usize = 1 << 20;

impl Arena {
    /// Encodes a text frame.
    pub fn text(&mut self, class: Class, room: Option<RoomKey>, encode: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.bytes.len();
        text_frame(&mut self.bytes, encode);
        self.record(start, class, room)
    }

    /// Takes frames that are already encoded.
    pub fn framed(&mut self, class: Class, room: Option<RoomKey>, frames: &[u8]) -> Span {
        self.encoded(class, room, |out| out.extend_from_slice(frames))
    }

    /// Takes whole frames that `encode` appends.
    pub fn encoded(&mut self, class: Class, room: Option<RoomKey>, encode: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.bytes.len();
        encode(&mut self.bytes);
        self.record(start, class, room)
    }

    fn record(&mut self, start: usize, class: Class, room: Option<RoomKey>) -> Span {
        let offset = |n: usize| u32::try_from(n).expect("a turn ends long before its frames reach 4 GiB");
        let span = Span { start: offset(start), end: offset(self.bytes.len()) };
        self.frames.push(Frame { span, class, room });
        span
    }

    /// The bytes of a span.
    pub fn bytes(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }

    /// The frames within a span.
    pub fn frames(&self, span: Span) -> impl Iterator<Item = &Frame> {
        let first = self.frames.partition_point(|frame| frame.span.end <= span.start);
        self.frames[first..].iter().take_while(move |frame| frame.span.start < span.end)
    }

    /// How many bytes lie here.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets all frames. No connection may hold a span any more.
    pub fn clear(&mut self) {
        self.frames.clear();
        if self.bytes.capacity() > KEEP_BYTES_MAX {
            self.bytes = Vec::new();
            self.frames.shrink_to(1024);
        } else {
            self.bytes.clear();
        }
    }
}

/// What a data frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// Appends an unmasked text frame whose payload `encode` appends. Frames lie without gaps.
pub fn text_frame(out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    data_frame(out, Payload::Text, encode);
}

/// Appends an unmasked frame that is a whole message, and whose payload `encode` appends.
pub fn data_frame(out: &mut Vec<u8>, payload: Payload, encode: impl FnOnce(&mut Vec<u8>)) {
    const ROOM_FOR_HEADER: usize = 4;
    let first = match payload {
        Payload::Text => 0x81,
        Payload::Binary => 0x82,
    };
    let start = out.len();
    out.extend_from_slice(&[first, 126, 0, 0]);
    encode(out);
    let payload = start + ROOM_FOR_HEADER;
    let len = out.len() - payload;
    match len {
        0..126 => {
            out[start + 1] = len as u8;
            out.copy_within(payload.., start + 2);
            out.truncate(start + 2 + len);
        }
        126..=0xffff => out[start + 2..payload].copy_from_slice(&(len as u16).to_be_bytes()),
        _ => {
            out.extend_from_slice(&[0; 6]);
            out.copy_within(payload..payload + len, start + 10);
            out[start + 1] = 127;
            out[start + 2..start + 10].copy_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// Appends a close frame.
pub fn close_frame(out: &mut Vec<u8>, code: u16, reason: &str) {
    let reason = &reason.as_bytes()[..reason.len().min(123)];
    out.extend_from_slice(&[0x88, 2 + reason.len() as u8]);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason);
}

/// An empty ping frame.
pub const PING: [u8; 2] = [0x89, 0];

/// How many frames lie here, if all of them are text frames.
pub fn text_frames(frames: &[u8]) -> Option<usize> {
    let (mut rest, mut count) = (frames, 0);
    while !rest.is_empty() {
        if rest[0] != 0x81 {
            return None;
        }
        let payload = payloads(rest).next()?;
        let end = payload.as_ptr() as usize - rest.as_ptr() as usize + payload.len();
        rest = &rest[end..];
        count += 1;
    }
    Some(count)
}

/// The payloads of text frames that lie back to back.
pub fn payloads(mut frames: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (header, len) = match *frames.get(1)? {
            126 => (4, usize::from(u16::from_be_bytes([frames[2], frames[3]]))),
            127 => (10, u64::from_be_bytes(frames[2..10].try_into().expect("eight bytes")) as usize),
            short => (2, usize::from(short)),
        };
        let payload = &frames[header..header + len];
        frames = &frames[header + len..];
        Some(payload)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_lie_back_to_back_and_come_out_again() {
        let mut arena = Arena::default();
        let sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000, 3];
        let spans: Vec<Span> = sizes
            .iter()
            .map(|&n| arena.text(Class::Control, None, |out| out.extend(std::iter::repeat_n(b'x', n))))
            .collect();
        assert!(spans.windows(2).all(|w| w[0].end == w[1].start));
        let all = Span { start: 0, end: spans[spans.len() - 1].end };
        let lengths: Vec<usize> = payloads(arena.bytes(all)).map(<[u8]>::len).collect();
        assert_eq!(lengths, sizes);
        assert_eq!(arena.frames(all).count(), sizes.len());
        let within = Span { start: spans[3].start + 2, end: spans[4].end };
        assert_eq!(arena.frames(within).count(), 2);
    }
}
