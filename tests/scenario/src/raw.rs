//! A socket whose every byte is the test's: half a request, a broken frame, or nothing at all.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::PATIENCE;

/// A frame from the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// 1 text, 2 binary, 8 close, 9 ping, 10 pong.
    pub opcode: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of a close frame.
    pub fn close_code(&self) -> Option<u16> {
        match (self.opcode, self.payload.get(..2)) {
            (8, Some(code)) => Some(u16::from_be_bytes([code[0], code[1]])),
            _ => None,
        }
    }
}

/// The socket.
pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    /// Connects and says nothing.
    pub async fn connect(at: SocketAddr) -> Raw {
        let stream = timeout(PATIENCE, TcpStream::connect(at)).await.expect("in time").expect("a connection");
        stream.set_nodelay(true).expect("an open socket");
        Raw { stream, read: Vec::new() }
    }

    /// Connects with a receive buffer of a few kilobytes: the daemon finds out soon that nobody reads.
    pub async fn narrow(at: SocketAddr) -> Raw {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("an open socket");
        let stream = timeout(PATIENCE, socket.connect(at)).await.expect("in time").expect("a connection");
        stream.set_nodelay(true).expect("an open socket");
        Raw { stream, read: Vec::new() }
    }

    /// The request that opens a WebSocket.
    pub fn opening(path: &str) -> String {
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
    }

    /// Opens a WebSocket and reads the answer's head.
    pub async fn upgrade(&mut self, path: &str) {
        self.write(Raw::opening(path).as_bytes()).await;
        let head = self.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    /// Writes bytes. A daemon that has closed already is found out by reading.
    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the daemon reads");
    }

    /// Writes a frame as a client must: masked. `first` is the first byte: 0x81 is a whole text.
    pub async fn frame(&mut self, first: u8, payload: &[u8]) {
        self.write(&masked(first, payload)).await;
    }

    /// Writes a text message.
    pub async fn text(&mut self, text: &str) {
        self.frame(0x81, text.as_bytes()).await;
    }

    /// The head of an HTTP answer.
    pub async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                return String::from_utf8(head).expect("a head is ASCII");
            }
            assert!(self.more().await, "the head ended after {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// The next frame; `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, len)) = parse(&self.read) {
                self.read.drain(..len);
                return Some(frame);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next server-sent event or comment, without the empty line behind it; `None` at the end of the connection.
    pub async fn event(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|w| w == b"\n\n") {
                let event: Vec<u8> = self.read.drain(..end + 2).collect();
                return Some(String::from_utf8(event[..end].to_vec()).expect("events are UTF-8"));
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Reads to the close frame and answers its code; `None` when the connection ended without one.
    pub async fn close_code(&mut self) -> Option<u16> {
        while let Some(frame) = self.next().await {
            if frame.opcode == 8 {
                return frame.close_code();
            }
        }
        None
    }

    /// Reads everything to the end of the connection.
    pub async fn to_end(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Whether the daemon has ended the connection by now. What it has sent is kept for reading.
    pub async fn ended(&mut self) -> bool {
        match self.stream.try_read_buf(&mut self.read) {
            Ok(n) => n == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    /// Shuts our direction: the daemon reads an end and may still write.
    pub async fn half_close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Lets the kernel reset the connection when it is dropped.
    pub fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }

    /// Reads once more; false at the end.
    async fn more(&mut self) -> bool {
        match timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await {
            Ok(Ok(n)) => n > 0,
            Ok(Err(_)) => false,
            Err(_) => panic!("nothing to read within {PATIENCE:?}"),
        }
    }
}

/// A client's frame. The mask is the RFC's sample, so the payload really changes.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        n @ 0..126 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (len, head) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize, 10),
        n => (usize::from(n), 2),
    };
    let payload = bytes.get(head..head + len)?.to_vec();
    Some((Frame { opcode: first & 0x0f, payload }, head + len))
}
