//! The generator's connections: up to ten thousand WebSocket clients on one thread.
//!
//! A [`Swarm::turn`] never sleeps. A generator that sleeps makes the server pay for waking it, inside its own `write`:
//! that nearly doubles the cost per delivery of a light server, and it is not the server's cost.
//!
//! What always holds: a whole frame is handed out exactly once and in order; no memory is allocated per frame; each
//! ready socket is read once per turn. The callback only observes. Whatever follows from it (the next message, a close)
//! is sent by the scenario after the turn.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use memchr::memmem;

use crate::frame::{self, Found, NONCE, NONCE_ACCEPTED, Opcode};
use crate::sys::{self, Epoll, Interest, Receiver};

const SCRATCH_BYTES: usize = 256 << 10;

/// A connection's number, reused after it was closed.
pub type Id = usize;

pub enum Happening<'a> {
    /// The upgrade was accepted: messages may be sent.
    Opened,
    /// A text or binary message.
    Message(&'a [u8]),
    /// The server ended it, or broke the protocol. The id is free again.
    Closed(&'static str),
}

pub struct Swarm {
    epoll: Epoll,
    members: Vec<Option<Member>>,
    free: Vec<Id>,
    scratch: Vec<u8>,
    /// Ended in this turn; freed when it is over.
    ended: Vec<Id>,
    /// Reads that brought data, since the last [`Swarm::start_counting`].
    pub reads: u64,
    /// Time since then, but for turns that found nothing and followed on nothing.
    pub busy: Duration,
    /// Something was sent, opened or closed since the last turn.
    acted: bool,
    turn_ended: Instant,
}

struct Member {
    socket: TcpStream,
    phase: Phase,
    /// The beginning of a frame, or of the upgrade's answer, whose end has not come yet.
    tail: Vec<u8>,
    /// Not taken by the kernel yet.
    out: Vec<u8>,
    interest: Interest,
    paused: bool,
}

#[derive(PartialEq, Eq)]
enum Phase {
    Upgrading,
    Open,
}

impl Swarm {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new()?,
            members: Vec::new(),
            free: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
            ended: Vec::new(),
            reads: 0,
            busy: Duration::ZERO,
            acted: false,
            turn_ended: Instant::now(),
        })
    }

    /// Starts a connection; [`Happening::Opened`] says when it is upgraded.
    pub fn connect(&mut self, to: SocketAddrV4, path: &str, receiver: Receiver) -> io::Result<Id> {
        self.acted = true;
        let socket = sys::connect(to, receiver)?;
        sys::reset_on_close(&socket)?;
        let id = self.free.pop().unwrap_or_else(|| {
            self.members.push(None);
            self.members.len() - 1
        });
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {NONCE}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        // On loopback the connection usually exists by now; if not, the request waits for the socket.
        let written = (&socket).write(request.as_bytes()).unwrap_or(0);
        let out = request.as_bytes()[written..].to_vec();
        let interest = if out.is_empty() { Interest::Read } else { Interest::ReadAndWrite };
        self.epoll.add(&socket, id, interest)?;
        let phase = Phase::Upgrading;
        self.members[id] = Some(Member { socket, phase, tail: Vec::new(), out, interest, paused: false });
        Ok(id)
    }

    /// Sends finished frames; what the kernel does not take follows by itself.
    pub fn send(&mut self, id: Id, frames: &[u8]) -> io::Result<()> {
        let Some(member) = self.members.get_mut(id).and_then(Option::as_mut) else {
            return Ok(());
        };
        self.acted = true;
        if !member.out.is_empty() {
            member.out.extend_from_slice(frames);
            return Ok(());
        }
        let written = match member.socket.write(frames) {
            Ok(written) => written,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            // A connection that the server has ended is reported by the turn that reads it.
            Err(e) if matches!(e.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        if written < frames.len() {
            member.out.extend_from_slice(&frames[written..]);
            member.watch(&self.epoll, id, Interest::ReadAndWrite)?;
        }
        Ok(())
    }

    /// Stops reading this connection, as a client does that hangs.
    pub fn pause(&mut self, id: Id) -> io::Result<()> {
        if let Some(member) = self.members[id].as_mut().filter(|m| !m.paused) {
            self.epoll.remove(&member.socket)?;
            member.paused = true;
        }
        Ok(())
    }

    /// Reads a paused connection again.
    pub fn resume(&mut self, id: Id) -> io::Result<()> {
        if let Some(member) = self.members[id].as_mut().filter(|m| m.paused) {
            self.epoll.add(&member.socket, id, member.interest)?;
            member.paused = false;
        }
        Ok(())
    }

    /// Closes at once, with a reset.
    pub fn close(&mut self, id: Id) {
        if self.members[id].take().is_some() {
            self.acted = true;
            self.free.push(id);
        }
    }

    pub fn start_counting(&mut self) {
        self.reads = 0;
        self.busy = Duration::ZERO;
        self.turn_ended = Instant::now();
    }

    /// Reads each ready connection once and tells what came, with the time at which it was read.
    pub fn turn(&mut self, mut tell: impl FnMut(Id, Happening<'_>, Instant)) -> io::Result<()> {
        let count = self.epoll.wait(Some(Duration::ZERO))?;
        for index in 0..count {
            let ready = self.epoll.ready(index);
            let Some(member) = self.members[ready.token].as_mut() else {
                continue;
            };
            if ready.writable {
                member.flush(&self.epoll, ready.token)?;
            }
            if !ready.readable {
                continue;
            }
            match member.socket.read(&mut self.scratch) {
                Ok(0) => {
                    self.ended.push(ready.token);
                    tell(ready.token, Happening::Closed("end of stream"), Instant::now());
                }
                Ok(read) => {
                    self.reads += 1;
                    let now = Instant::now();
                    let mut report = |happening: Happening<'_>| tell(ready.token, happening, now);
                    if let Err(reason) = member.take(&self.scratch[..read], &mut report) {
                        self.ended.push(ready.token);
                        report(Happening::Closed(reason));
                    } else if !member.out.is_empty() {
                        member.flush(&self.epoll, ready.token)?;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.ended.push(ready.token);
                    tell(ready.token, Happening::Closed("connection reset"), Instant::now());
                }
            }
        }
        while let Some(id) = self.ended.pop() {
            self.close(id);
        }
        let now = Instant::now();
        if std::mem::take(&mut self.acted) || count > 0 {
            self.busy += now - self.turn_ended;
        }
        self.turn_ended = now;
        Ok(())
    }
}

impl Member {
    fn watch(&mut self, epoll: &Epoll, id: Id, interest: Interest) -> io::Result<()> {
        if self.interest != interest {
            self.interest = interest;
            if !self.paused {
                epoll.change(&self.socket, id, interest)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, epoll: &Epoll, id: Id) -> io::Result<()> {
        // A failed write is also readable, where it is reported.
        let written = self.socket.write(&self.out).unwrap_or(0);
        self.out.drain(..written);
        let interest = if self.out.is_empty() { Interest::Read } else { Interest::ReadAndWrite };
        self.watch(epoll, id, interest)
    }

    fn take(&mut self, bytes: &[u8], report: &mut impl FnMut(Happening<'_>)) -> Result<(), &'static str> {
        if self.tail.is_empty() {
            let used = self.take_whole(bytes, report)?;
            self.tail.extend_from_slice(&bytes[used..]);
        } else {
            let mut tail = std::mem::take(&mut self.tail);
            tail.extend_from_slice(bytes);
            let used = self.take_whole(&tail, report)?;
            tail.drain(..used);
            self.tail = tail;
        }
        Ok(())
    }

    /// Reports what is complete and says how many bytes that was.
    fn take_whole(&mut self, bytes: &[u8], report: &mut impl FnMut(Happening<'_>)) -> Result<usize, &'static str> {
        let mut used = 0;
        if self.phase == Phase::Upgrading {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
                return Ok(0);
            };
            let answer = &bytes[..end];
            if !answer.starts_with(b"HTTP/1.1 101") || memmem::find(answer, NONCE_ACCEPTED.as_bytes()).is_none() {
                return Err("upgrade refused");
            }
            self.phase = Phase::Open;
            report(Happening::Opened);
            used = end + 4;
        }
        loop {
            let rest = &bytes[used..];
            match frame::find(rest) {
                Found::Frame { opcode, start, end, mask: None } => {
                    match opcode {
                        Opcode::Text | Opcode::Binary => report(Happening::Message(&rest[start..end])),
                        Opcode::Ping => frame::push_masked(&mut self.out, Opcode::Pong, |out| {
                            out.extend_from_slice(&rest[start..end]);
                        }),
                        Opcode::Close => return Err("closed by the server"),
                        Opcode::Pong => {}
                    }
                    used += end;
                }
                Found::Frame { mask: Some(_), .. } => return Err("masked frame from a server"),
                Found::Incomplete => return Ok(used),
                Found::Broken(reason) => return Err(reason),
            }
        }
    }
}
