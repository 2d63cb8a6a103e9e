//! Bytes in, messages out: the WebSocket protocol of one connection, without its socket.
//!
//! All of RFC 6455 is tungstenite's: masking, fragments, UTF-8, pongs, the close handshake. It is fed from the core's
//! shared scratch buffer, so a silent connection owns 256 bytes and no more. What tungstenite does not do is say why it
//! gives up: the close code that is due (1002, 1007, 1009) is named here, for the caller to send.

use std::io::{self, Read, Write};

use arxosrt_core::wire::code::{self, CloseCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

/// How much a connection buffers of a frame that has not arrived whole.
const READ_BUFFER_BYTES: usize = 256;

/// How much longer than a message its fragments may be. Fragments may be empty, so without a bound somebody could send
/// frames for ever that never come to a message, and no message would be there to be counted.
const FRAGMENTS_FACTOR: usize = 2;

/// The header of a control frame from a client.
const CONTROL_HEADER_BYTES: usize = 6;

/// What a connection says.
pub trait Receiver {
    /// A text message.
    fn text(&mut self, text: &str);
    /// A binary message.
    fn binary(&mut self, bytes: &[u8]);
    /// A ping or a pong. False if there are too many of them: then a ping is not answered.
    fn control(&mut self) -> bool;
    /// Frames that the protocol answers with, already encoded: pongs, and the echo of a close.
    fn answer(&mut self, frames: &[u8]);
}

/// What comes after the bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More.
    Read,
    /// Nothing: the client has closed and was answered.
    Closed {
        /// It meant to: with 1000, 1001 or no code at all.
        clean: bool,
    },
    /// Nothing: this code is due.
    Broken(CloseCode),
}

/// The protocol's state for one connection.
pub struct Decoder {
    context: WebSocketContext,
    answer: Vec<u8>,
    clean: bool,
    /// Bytes taken in since the last whole message, without pings and pongs.
    unfinished: usize,
    unfinished_max: usize,
}

/// The bytes that were read, then nothing; what is written is gathered.
struct Feed<'d, 'a> {
    data: &'d [u8],
    answer: &'a mut Vec<u8>,
}

impl Read for Feed<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.data.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.data.read(into)
    }
}

impl Write for Feed<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.answer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// A fresh connection whose messages have at most `message_bytes`.
    pub fn new(message_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(64 * 1024)
            .max_message_size(Some(message_bytes))
            .max_frame_size(Some(message_bytes));
        Decoder {
            context: WebSocketContext::new(Role::Server, Some(config)),
            answer: Vec::new(),
            clean: false,
            unfinished: 0,
            unfinished_max: FRAGMENTS_FACTOR * message_bytes + READ_BUFFER_BYTES,
        }
    }

    /// Takes in what was read from the socket.
    pub fn feed(&mut self, mut data: &[u8], receiver: &mut impl Receiver) -> Next {
        loop {
            let mut feed = Feed { data, answer: &mut self.answer };
            let read = self.context.read(&mut feed);
            self.unfinished += data.len() - feed.data.len();
            data = feed.data;
            let heard = match &read {
                Ok(Message::Ping(payload) | Message::Pong(payload)) => {
                    self.unfinished = self.unfinished.saturating_sub(CONTROL_HEADER_BYTES + payload.len());
                    receiver.control()
                }
                _ => true,
            };
            if !self.answer.is_empty() {
                let answer = std::mem::take(&mut self.answer);
                if heard {
                    receiver.answer(&answer);
                }
            }
            if matches!(read, Ok(Message::Text(_) | Message::Binary(_))) {
                self.unfinished = 0;
            } else if self.unfinished > self.unfinished_max {
                return Next::Broken(code::TOO_BIG);
            }
            match read {
                Ok(Message::Text(text)) => receiver.text(text.as_str()),
                Ok(Message::Binary(bytes)) => receiver.binary(&bytes),
                Ok(Message::Close(frame)) => {
                    self.clean = frame.is_none_or(|frame| matches!(u16::from(frame.code), 1000 | 1001 | 1005));
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Next::Read,
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Next::Closed { clean: self.clean },
                Err(Error::Capacity(_)) => return Next::Broken(code::TOO_BIG),
                Err(Error::Utf8(_)) => return Next::Broken(code::NOT_UTF8),
                Err(_) => return Next::Broken(code::PROTOCOL),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard {
        texts: Vec<String>,
        answers: Vec<u8>,
        controls: usize,
    }

    impl Receiver for Heard {
        fn text(&mut self, text: &str) {
            self.texts.push(text.to_owned());
        }
        fn binary(&mut self, _: &[u8]) {}
        fn control(&mut self) -> bool {
            self.controls += 1;
            self.controls <= 10_000
        }
        fn answer(&mut self, frames: &[u8]) {
            self.answers.extend_from_slice(frames);
        }
    }

    /// A masked frame of a client; the mask is zero, which leaves the payload as it is.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            n @ 0..126 => out.push(0x80 | n as u8),
            n => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(n as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn messages_come_out_whole_however_the_bytes_arrive() {
        let mut bytes = frame(0x81, b"one");
        bytes.extend(frame(0x01, b"tw"));
        bytes.extend(frame(0x89, b"?"));
        bytes.extend(frame(0x80, b"o"));
        for step in 1..bytes.len() {
            let (mut decoder, mut heard) = (Decoder::new(100), Heard::default());
            for part in bytes.chunks(step) {
                assert_eq!(decoder.feed(part, &mut heard), Next::Read);
            }
            assert_eq!(heard.texts, ["one", "two"], "{step}");
            assert_eq!(heard.answers, [0x8a, 1, b'?'], "{step}");
        }
    }

    #[test]
    fn the_close_code_that_is_due_is_named() {
        for (bytes, next) in [
            (frame(0x81, &[0xff]), Next::Broken(code::NOT_UTF8)),
            (frame(0x81, &[b'x'; 101]), Next::Broken(code::TOO_BIG)),
            (frame(0x83, b""), Next::Broken(code::PROTOCOL)),
            (vec![0x81, 0], Next::Broken(code::PROTOCOL)),
            (frame(0x88, &1000u16.to_be_bytes()), Next::Closed { clean: true }),
            (frame(0x88, b""), Next::Closed { clean: true }),
            (frame(0x88, &4000u16.to_be_bytes()), Next::Closed { clean: false }),
        ] {
            let mut heard = Heard::default();
            assert_eq!(Decoder::new(100).feed(&bytes, &mut heard), next, "{bytes:?}");
            if let Next::Closed { .. } = next {
                assert_eq!(heard.answers[0], 0x88, "the close is answered");
            }
        }
    }

    /// Frames that never come to a message end the connection; pings and pongs between messages never do.
    #[test]
    fn a_message_without_end_is_not_waited_for() {
        let (mut decoder, mut heard) = (Decoder::new(1000), Heard::default());
        assert_eq!(decoder.feed(&frame(0x01, b""), &mut heard), Next::Read);
        let fragments = frame(0x00, b"").repeat(100);
        let end = (0..10).map(|_| decoder.feed(&fragments, &mut heard)).find(|next| *next != Next::Read);
        assert_eq!(end, Some(Next::Broken(code::TOO_BIG)));

        let (mut decoder, mut heard) = (Decoder::new(1000), Heard::default());
        let signs = [frame(0x89, b"are you there?"), frame(0x8a, b"")].concat();
        for _ in 0..5_000 {
            assert_eq!(decoder.feed(&signs, &mut heard), Next::Read);
        }
        let all = signs.repeat(5_000);
        assert_eq!(decoder.feed(&all, &mut heard), Next::Read);
        assert_eq!(heard.controls, 20_000);
        assert_eq!(heard.answers.len(), 5_000 * 16, "too many are not answered");
    }
}
