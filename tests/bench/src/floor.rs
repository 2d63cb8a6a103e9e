//! The floor: a server that does nothing but deliver. What it costs is what the kernel costs.
//!
//! A client upgrades, sends `J room` as its first text frame, and is answered `K`. Any later frame is relayed, byte for
//! byte, to the other members of that room. No JSON, no ids, no timers, no limits but one.
//!
//! Plain, every frame is a write of its own. Corked, the frames that one epoll turn brought are gathered and each socket
//! is written once: the fair floor for servers that coalesce.
//!
//! It knows one client, the generator of this package, and accepts its nonce only. Empty rooms are never removed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use memchr::memmem;

use crate::frame::{self, Found, NONCE, NONCE_ACCEPTED, Opcode};
use crate::sys::{self, Epoll, Interest};

/// The answer to `J room`.
pub const JOINED: &[u8] = b"K";

/// A member that has this much unread is cut off.
const UNREAD_BYTES_MAX: usize = 1 << 20;
const SCRATCH_BYTES: usize = 64 << 10;
const ACCEPTS_PER_TURN_MAX: usize = 64;
const LISTENER: usize = usize::MAX;

/// Serves until something is wrong with the listener or with epoll itself.
pub fn serve(listener: TcpListener, corked: bool) -> io::Result<Infallible> {
    sys::prepare_listener(&listener)?;
    let mut floor = Floor {
        epoll: Epoll::new()?,
        corked,
        clients: Vec::new(),
        free: Vec::new(),
        room_by_name: HashMap::new(),
        rooms: Vec::new(),
        dirty: Vec::new(),
        doomed: Vec::new(),
        encoded: Vec::new(),
    };
    floor.epoll.add(&listener, LISTENER, Interest::Read)?;
    let mut scratch = vec![0; SCRATCH_BYTES];
    loop {
        let ready_count = floor.epoll.wait(None)?;
        for index in 0..ready_count {
            let ready = floor.epoll.ready(index);
            if ready.token == LISTENER {
                floor.accept(&listener)?;
                continue;
            }
            if ready.writable {
                floor.flush(ready.token);
            }
            if ready.readable {
                floor.read(ready.token, &mut scratch);
            }
        }
        floor.end_turn();
    }
}

struct Floor {
    epoll: Epoll,
    corked: bool,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    room_by_name: HashMap<Vec<u8>, usize>,
    rooms: Vec<Vec<usize>>,
    /// Corked: who has something to be written at the end of the turn.
    dirty: Vec<usize>,
    /// Who is removed at the end of the turn: ids must not be reused within it.
    doomed: Vec<usize>,
    /// The frame that is being handed on.
    encoded: Vec<u8>,
}

struct Client {
    socket: TcpStream,
    upgraded: bool,
    room: Option<usize>,
    /// The beginning of a frame whose end has not come yet.
    tail: Vec<u8>,
    /// Not written yet.
    out: Vec<u8>,
    /// `out` waits for the socket, not for the end of the turn.
    blocked: bool,
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_TURN_MAX {
            let socket = match sys::accept(listener) {
                Ok(socket) => socket,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => continue,
            };
            let id = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            self.epoll.add(&socket, id, Interest::Read)?;
            let (tail, out) = (Vec::new(), Vec::new());
            self.clients[id] = Some(Client { socket, upgraded: false, room: None, tail, out, blocked: false });
        }
        Ok(())
    }

    fn read(&mut self, id: usize, scratch: &mut [u8]) {
        let Some(client) = self.clients[id].as_mut() else {
            return;
        };
        let count = match client.socket.read(scratch) {
            Ok(count) if count > 0 => count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            _ => return self.doomed.push(id),
        };
        if client.tail.is_empty() {
            let used = self.take(id, &mut scratch[..count]);
            if let (Some(client), true) = (self.clients[id].as_mut(), used < count) {
                client.tail.extend_from_slice(&scratch[used..count]);
            }
        } else {
            let mut tail = std::mem::take(&mut client.tail);
            tail.extend_from_slice(&scratch[..count]);
            let used = self.take(id, &mut tail);
            tail.drain(..used);
            if let Some(client) = self.clients[id].as_mut() {
                client.tail = tail;
            }
        }
    }

    /// Acts on whole frames and says how many bytes they were.
    fn take(&mut self, id: usize, bytes: &mut [u8]) -> usize {
        let Some(client) = self.clients[id].as_mut() else {
            return bytes.len();
        };
        if !client.upgraded {
            return self.upgrade(id, bytes);
        }
        let mut used = 0;
        loop {
            let rest = &mut bytes[used..];
            match frame::find(rest) {
                Found::Frame { opcode, start, end, mask } => {
                    if let Some(mask) = mask {
                        frame::apply_mask(&mut rest[start..end], mask);
                    }
                    self.act(id, opcode, &rest[start..end]);
                    used += end;
                }
                Found::Incomplete => return used,
                Found::Broken(_) => {
                    self.doomed.push(id);
                    return bytes.len();
                }
            }
        }
    }

    fn upgrade(&mut self, id: usize, bytes: &[u8]) -> usize {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            return 0;
        };
        let request = &bytes[..end];
        if memmem::find(request, NONCE.as_bytes()).is_some() {
            if let Some(client) = self.clients[id].as_mut() {
                client.upgraded = true;
            }
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {NONCE_ACCEPTED}\r\n\r\n"
            );
            self.write(id, answer.as_bytes());
            return end + 4;
        }
        // Everything else is the question whether the floor is ready, asked before the measurement.
        self.write(id, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        self.doomed.push(id);
        bytes.len()
    }

    fn act(&mut self, id: usize, opcode: Opcode, payload: &[u8]) {
        let mut plain = std::mem::take(&mut self.encoded);
        plain.clear();
        match opcode {
            Opcode::Text | Opcode::Binary => match self.clients[id].as_ref().and_then(|c| c.room) {
                Some(room) => {
                    frame::push_plain(&mut plain, opcode, payload);
                    self.relay(id, room, &plain);
                }
                None => self.join(id, payload),
            },
            Opcode::Ping => {
                frame::push_plain(&mut plain, Opcode::Pong, payload);
                self.write(id, &plain);
            }
            Opcode::Close => {
                frame::push_plain(&mut plain, Opcode::Close, payload);
                self.write(id, &plain);
                self.doomed.push(id);
            }
            Opcode::Pong => {}
        }
        self.encoded = plain;
    }

    fn join(&mut self, id: usize, payload: &[u8]) {
        let Some(name) = payload.strip_prefix(b"J ") else {
            return self.doomed.push(id);
        };
        let room = match self.room_by_name.get(name) {
            Some(room) => *room,
            None => {
                self.room_by_name.insert(name.to_vec(), self.rooms.len());
                self.rooms.push(Vec::new());
                self.rooms.len() - 1
            }
        };
        self.rooms[room].push(id);
        if let Some(client) = self.clients[id].as_mut() {
            client.room = Some(room);
        }
        let mut answer = Vec::new();
        frame::push_plain(&mut answer, Opcode::Text, JOINED);
        self.write(id, &answer);
    }

    fn relay(&mut self, from: usize, room: usize, frame: &[u8]) {
        let members = std::mem::take(&mut self.rooms[room]);
        for member in members.iter().copied().filter(|member| *member != from) {
            if self.corked { self.gather(member, frame) } else { self.write(member, frame) }
        }
        self.rooms[room] = members;
    }

    fn gather(&mut self, id: usize, frame: &[u8]) {
        let Some(client) = self.clients[id].as_mut() else {
            return;
        };
        if client.out.is_empty() {
            self.dirty.push(id);
        }
        client.out.extend_from_slice(frame);
        if client.blocked && client.out.len() > UNREAD_BYTES_MAX {
            self.doomed.push(id);
        }
    }

    fn write(&mut self, id: usize, bytes: &[u8]) {
        let Some(client) = self.clients[id].as_mut() else {
            return;
        };
        let written = if client.out.is_empty() { client.socket.write(bytes).unwrap_or(0) } else { 0 };
        if written == bytes.len() {
            return;
        }
        // A broken socket also ends here: it is reported as readable and removed there.
        client.out.extend_from_slice(&bytes[written..]);
        if client.out.len() > UNREAD_BYTES_MAX {
            self.doomed.push(id);
        }
        self.block(id);
    }

    fn flush(&mut self, id: usize) {
        let Some(client) = self.clients[id].as_mut() else {
            return;
        };
        if client.out.is_empty() {
            return;
        }
        let written = client.socket.write(&client.out).unwrap_or(0);
        if written < client.out.len() {
            client.out.drain(..written);
            return self.block(id);
        }
        client.out.clear();
        if client.blocked {
            client.blocked = false;
            let _ = self.epoll.change(&client.socket, id, Interest::Read);
        }
    }

    fn block(&mut self, id: usize) {
        let Some(client) = self.clients[id].as_mut().filter(|c| !c.blocked) else {
            return;
        };
        client.blocked = true;
        let _ = self.epoll.change(&client.socket, id, Interest::ReadAndWrite);
    }

    fn end_turn(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            self.flush(id);
        }
        self.dirty = dirty;
        while let Some(id) = self.doomed.pop() {
            let Some(client) = self.clients[id].take() else {
                continue;
            };
            if let Some(room) = client.room {
                self.rooms[room].retain(|member| *member != id);
            }
            self.free.push(id);
        }
    }
}
