//! Connections and sessions: how they begin, are resumed, are lost, and end.
//!
//! A session belongs to one connection at a time and outlives it by the grace; locks belong to sessions, presence to
//! people. A client that closes cleanly ends its session at once. A client that says `hello` takes a session up again
//! with its secret; one that never does is recognised by its person, since it has nothing else to show.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use arxosrt_core::building::command::Command;
use arxosrt_core::id::{SessionId, UserId};
use arxosrt_core::preload::signal::What;
use arxosrt_core::wire::code::{self, CloseCode};
use arxosrt_core::wire::inbound::{Features, Resume};
use arxosrt_core::wire::outbound::{self, Welcome};
use smallvec::SmallVec;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use super::arena::{self, Class};
use super::fail::Fail;
use super::settings::RECLAIM_LEAST_MS;
use super::state::{Conn, Encoding, End, Membership, Phase, Session, User};
use super::{ConnKey, Hub, SessionKey, UserKey};
use crate::metrics::{ResumeResult, Transport};

/// A socket that has been upgraded.
pub struct Arrival {
    /// The person of the path.
    pub user: UserId,
    /// Shown name, if the client gave one.
    pub username: Option<String>,
    /// The peer.
    pub address: IpAddr,
    /// How frames are written.
    pub encoding: Encoding,
    /// Bytes that must go out before the greeting: the answer that opens the WebSocket.
    pub preface: Vec<u8>,
    /// Where bytes go.
    pub sink: OwnedWriteHalf,
    /// Notified when the reader must stop.
    pub stop: Rc<Notify>,
}

/// Why a connection is not admitted, as an HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The status.
    pub status: u16,
    /// The code.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

/// The wait before a silent client is taken for an old one that came back.
const ADOPT_AFTER_MS: u64 = 500;

impl Hub {
    /// May this person connect from there?
    pub fn admit(&mut self, user: &UserId, address: IpAddr) -> Result<(), Denied> {
        let deny = |status, code: code::ErrorCode, message| Err(Denied { status, code: code.name, message });
        let settings = &self.settings;
        if self.drain.is_some() {
            return deny(503, code::DRAINING, "the daemon is about to stop".to_owned());
        }
        if self.conns.len() >= settings.connections_max {
            let max = settings.connections_max;
            return deny(503, code::LIMIT, format!("limits.connections_max: {max} connections are open"));
        }
        let from_there = self.per_address.get(&address).copied().unwrap_or(0) as usize;
        if from_there >= settings.connections_per_address {
            return deny(
                429,
                code::LIMIT,
                format!("limits.connections_per_address: {from_there} connections come from {address}"),
            );
        }
        if let Some(&key) = self.user_ids.get(user) {
            let sessions = &self.users[key as usize].sessions;
            let open = sessions.iter().filter(|s| self.sessions[**s as usize].conn.is_some()).count();
            if open >= settings.connections_per_user {
                return deny(429, code::LIMIT, format!("limits.connections_per_user: {open} connections are open"));
            }
        }
        Ok(())
    }

    /// Takes in a new connection and greets it.
    pub fn connect(&mut self, arrival: Arrival) -> ConnKey {
        let Arrival { user, username, address, encoding, preface, sink, stop } = arrival;
        let user_key = self.user(&user, username.as_deref());
        self.next_serial = self.next_serial.wrapping_add(1);
        let serial = self.next_serial;
        let entry = self.conns.vacant_entry();
        let slot = entry.key() as u32;
        entry.insert(Conn {
            serial,
            sink: Some(sink),
            outbox: Default::default(),
            encoding,
            phase: Phase::Open,
            session: None,
            user: user_key,
            hello: false,
            features: Features::default(),
            conflicts_told: false,
            spoke: false,
            dirty: false,
            heard: self.now,
            pinged: None,
            overflowed: None,
            tokens_milli: self.settings.messages_burst * 1000,
            tokens_at: self.now,
            excess: 0,
            limited: false,
            address,
            close_code: 0,
            stop: Some(stop),
        });
        *self.per_address.entry(address).or_insert(0) += 1;
        let session = self.new_session(user_key, fresh_session_id());
        self.bind(slot, session);
        self.wheel.enter(ConnKey { slot, serial }, self.now.plus(ADOPT_AFTER_MS));
        let transport = transport(encoding);
        self.metrics.connects.inc();
        self.metrics.connections.of(transport).inc();
        let at = self.wall;
        if !preface.is_empty() {
            let span = self.arena.framed(Class::Control, None, &preface);
            self.push(slot, span);
        }
        self.tell_conn(slot, Class::Control, None, |out| outbound::connection_established(out, at, &user));
        if encoding == Encoding::Sse {
            self.adopt(slot);
            self.tell_open_conflicts(slot);
        }
        self.observe("session", "session.connected", None, Some(user_key), |hub| {
            (Some(hub.sessions[session as usize].id.to_string()), None)
        });
        ConnKey { slot, serial }
    }

    fn user(&mut self, id: &UserId, username: Option<&str>) -> UserKey {
        if let Some(&key) = self.user_ids.get(id) {
            if let Some(name) = username {
                self.users[key as usize].username = Arc::from(name);
            }
            return key;
        }
        let username = match username {
            Some(name) => Arc::from(name),
            None => Arc::from(format!("User_{id}")),
        };
        self.new_user(id, username)
    }

    pub(super) fn new_user(&mut self, id: &UserId, username: Arc<str>) -> UserKey {
        let key = self.users.insert(User {
            id: id.clone(),
            username,
            sessions: SmallVec::new(),
            floor: None,
            action: None,
            cursor: None,
            metadata: Vec::new(),
            active: self.now,
            active_at: self.wall,
            told_in: None,
        }) as UserKey;
        self.user_ids.insert(id.clone(), key);
        key
    }

    pub(super) fn new_session(&mut self, user: UserKey, id: SessionId) -> SessionKey {
        let key = self.sessions.insert(Session {
            id: id.clone(),
            user,
            conn: None,
            rooms: SmallVec::new(),
            hello: false,
            grace_ends: None,
            seen: Vec::new(),
            hosts: SmallVec::new(),
            active: self.now,
            since: self.wall,
        }) as SessionKey;
        self.session_ids.insert(id, key);
        self.users[user as usize].sessions.push(key);
        self.metrics.sessions.inc();
        key
    }

    /// Gives a session to a connection that has none.
    fn bind(&mut self, slot: u32, session: SessionKey) {
        self.conns[slot as usize].session = Some(session);
        let s = &mut self.sessions[session as usize];
        s.conn = Some(slot);
        let was_suspended = s.grace_ends.take();
        if let Some(ends) = was_suspended {
            self.graces.remove(&(ends, session));
        }
        let wants_diff = self.conns[slot as usize].features.presence_diff;
        let s = &mut self.sessions[session as usize];
        for membership in &mut s.rooms {
            let room = &mut self.rooms[membership.room as usize];
            membership.slot = room.members.len() as u32;
            room.members.push(slot);
            room.diff_members += u32::from(wants_diff);
        }
        if was_suspended.is_some() {
            for host in s.hosts.clone() {
                let session = self.sessions[session as usize].id.clone();
                self.run_quietly(host, &Command::SessionResumed { session });
            }
        }
    }

    /// Takes a connection's session from it. The session has no connection then.
    fn unbind(&mut self, slot: u32) -> Option<SessionKey> {
        let session = self.conns[slot as usize].session.take()?;
        let wants_diff = self.conns[slot as usize].features.presence_diff;
        self.sessions[session as usize].conn = None;
        for i in 0..self.sessions[session as usize].rooms.len() {
            let Membership { room, slot: at, .. } = self.sessions[session as usize].rooms[i];
            self.remove_member(room, at);
            self.rooms[room as usize].diff_members -= u32::from(wants_diff);
        }
        Some(session)
    }

    /// Takes a connection out of a room's list; the last one takes its place.
    pub(super) fn remove_member(&mut self, room: u32, at: u32) {
        let members = &mut self.rooms[room as usize].members;
        members.swap_remove(at as usize);
        let Some(&moved) = members.get(at as usize) else { return };
        let Some(session) = self.conns[moved as usize].session else { return };
        let rooms = &mut self.sessions[session as usize].rooms;
        if let Some(membership) = rooms.iter_mut().find(|m| m.room == room) {
            membership.slot = at;
        }
    }

    /// The reader has seen the end: the session ends or is suspended. With a code that is due, the client is told it.
    pub fn closing(&mut self, key: ConnKey, end: End, due: Option<CloseCode>) {
        let Some(conn) = self.conn(key) else { return };
        match due {
            Some(code) => self.close(key.slot, code, end),
            None if conn.phase == Phase::Open => {
                conn.phase = Phase::Closing;
                conn.close_code = if end == End::Clean { 1000 } else { 1006 };
                self.detach(key.slot, end);
            }
            None => {}
        }
    }

    /// The socket is gone.
    pub fn gone(&mut self, key: ConnKey) {
        if self.conn(key).is_none() {
            return;
        }
        self.detach(key.slot, End::Lost);
        let conn = self.conns.remove(key.slot as usize);
        match self.per_address.get_mut(&conn.address) {
            Some(1) | None => {
                self.per_address.remove(&conn.address);
            }
            Some(n) => *n -= 1,
        }
        self.metrics.connections.of(transport(conn.encoding)).dec();
        self.metrics.closes.inc(conn.close_code);
    }

    /// Separates a connection from its session, which ends or is suspended.
    pub(super) fn detach(&mut self, slot: u32, end: End) {
        let Some(session) = self.unbind(slot) else { return };
        let s = &self.sessions[session as usize];
        let nothing_to_keep = s.rooms.is_empty() && s.hosts.is_empty();
        let grace_ms = match self.drain {
            // A restart costs no lock, also where a lost connection does.
            Some(_) => self.settings.grace_ms.max(RECLAIM_LEAST_MS),
            None => self.settings.grace_ms,
        };
        if end == End::Clean || grace_ms == 0 || nothing_to_keep {
            self.end_session(session);
        } else {
            let user = s.user;
            self.suspend(session, grace_ms);
            self.bound_suspended(user);
        }
    }

    /// Starts a session's grace.
    pub(super) fn suspend(&mut self, session: SessionKey, grace_ms: u64) {
        let ends = self.now.plus(grace_ms);
        let seen = self.sessions[session as usize]
            .rooms
            .iter()
            .map(|m| {
                let room = &self.rooms[m.room as usize];
                let seq = self.hosts[room.host as usize].building.seq(&room.id);
                (m.room, seq - self.held_back_in(m.room))
            })
            .collect();
        let s = &mut self.sessions[session as usize];
        s.grace_ends = Some(ends);
        s.seen = seen;
        let (id, user, hosts) = (s.id.clone(), s.user, s.hosts.clone());
        self.graces.insert((ends, session));
        for host in hosts {
            self.run_quietly(host, &Command::SessionSuspended { session: id.clone() });
        }
        self.observe("session", "session.suspended", None, Some(user), |_| (Some(id.to_string()), None));
    }

    /// A person's suspended sessions are bounded like its connections: the one that would end first makes room.
    fn bound_suspended(&mut self, user: UserKey) {
        let sessions = &self.users[user as usize].sessions;
        let graces = sessions.iter().filter_map(|s| Some((self.sessions[*s as usize].grace_ends?, *s)));
        let mut suspended: Vec<_> = graces.collect();
        if suspended.len() > self.settings.connections_per_user {
            suspended.sort_unstable();
            self.end_session(suspended[0].1);
        }
    }

    /// Ends a session for good: its locks are released, its memberships end.
    pub(super) fn end_session(&mut self, session: SessionKey) {
        if let Some(slot) = self.sessions[session as usize].conn {
            self.unbind(slot);
        }
        let s = &mut self.sessions[session as usize];
        let (id, user) = (s.id.clone(), s.user);
        if let Some(ends) = s.grace_ends.take() {
            self.graces.remove(&(ends, session));
        }
        for host in std::mem::take(&mut self.sessions[session as usize].hosts) {
            self.run_quietly(host, &Command::SessionEnded { session: id.clone() });
        }
        let last = self.users[user as usize].sessions.len() == 1;
        if last {
            self.tell_user_left(user, session);
        }
        while let Some(membership) = self.sessions[session as usize].rooms.pop() {
            self.leave_membership(user, membership.room);
        }
        self.session_ids.remove(&id);
        self.signal(session, || What::Leave);
        if self.now < self.reclaim_until {
            self.ended.insert(id.clone());
            if self.ended.len() > super::settings::ENDED_MAX {
                self.reclaim_until = self.now;
            }
        }
        self.sessions.remove(session as usize);
        self.metrics.sessions.dec();
        self.observe("session", "session.ended", None, Some(user), |_| (Some(id.to_string()), None));
        let sessions = &mut self.users[user as usize].sessions;
        sessions.retain(|s| *s != session);
        if sessions.is_empty() {
            self.forget_user(user);
        }
    }

    fn forget_user(&mut self, user: UserKey) {
        let gone = self.users.remove(user as usize);
        self.user_ids.remove(&gone.id);
        self.presence.retain(|(_, u)| *u != user);
        for slot in self.drains.iter().map(|key| key.slot) {
            if let Some(conn) = self.conns.get_mut(slot as usize)
                && let Some(backlog) = &mut conn.outbox.backlog
            {
                backlog.forget_user(user);
            }
        }
    }

    /// Closes a connection with one of the registered codes. What was queued before goes out before.
    pub(super) fn close(&mut self, slot: u32, why: CloseCode, end: End) {
        if self.conns[slot as usize].phase == Phase::Closing {
            return;
        }
        if self.conns[slot as usize].encoding == Encoding::WebSocket {
            let mut frame = Vec::with_capacity(32);
            arena::close_frame(&mut frame, why.number, why.reason);
            let span = self.arena.framed(Class::Control, None, &frame);
            self.push(slot, span);
        } else {
            // What ends an event stream is its end.
            self.make_dirty(slot);
        }
        let conn = &mut self.conns[slot as usize];
        conn.phase = Phase::Closing;
        conn.close_code = why.number;
        if let Some(stop) = conn.stop.take() {
            stop.notify_one();
        }
        self.detach(slot, end);
    }

    /// `hello`: the client speaks the present protocol and may want a session back.
    pub(super) fn hello(
        &mut self,
        slot: u32,
        id: Option<&str>,
        features: Features,
        resume: Option<Resume>,
        username: Option<&str>,
    ) -> Result<(), Fail> {
        let conn = &mut self.conns[slot as usize];
        if conn.spoke || conn.hello {
            return Err(Fail::new(code::HELLO_LATE, "hello must be the first message and can be said once"));
        }
        conn.hello = true;
        conn.features = features;
        let takes_diffs = features.presence_diff;
        let (user, Some(fresh)) = (conn.user, conn.session) else {
            return Err(Fail::new(code::NOT_CONNECTED, "the session is over"));
        };
        if let Some(name) = username.filter(|name| !name.is_empty() && !name.chars().any(char::is_control)) {
            self.users[user as usize].username = Arc::from(name);
        }
        self.sessions[fresh as usize].hello = true;
        if takes_diffs {
            // REST may have brought the session into rooms already, and so may its being taken for an old client's.
            for membership in &self.sessions[fresh as usize].rooms {
                self.rooms[membership.room as usize].diff_members += 1;
            }
        }
        let (resumed, refused, rooms) = match resume {
            None => (false, None, Vec::new()),
            Some(wish) => match self.take_up(slot, &wish) {
                Ok(()) => (true, None, wish.rooms),
                Err(why) => {
                    let result = if why == "bad_token" { ResumeResult::Refused } else { ResumeResult::Expired };
                    self.metrics.resumes.inc(result);
                    (false, Some(why), Vec::new())
                }
            },
        };
        let session = self.conns[slot as usize].session.expect("a connection that says hello has a session");
        let (session_id, user_id) = (self.sessions[session as usize].id.clone(), self.users[user as usize].id.clone());
        let resume_token = self.signer.sign(self.wall.0, &session_id, &user_id);
        let (at, limits, settings) = (self.wall, self.limits_json.clone(), self.settings.clone());
        self.tell_conn(slot, Class::Control, None, |out| {
            let welcome = Welcome {
                id,
                session: session_id.as_str(),
                resume_token: &resume_token,
                resumed,
                refused,
                limits: &limits,
                ping_ms: settings.ping_ms,
                reconnect_min_ms: settings.reconnect_min_ms,
                reconnect_max_ms: settings.reconnect_max_ms,
            };
            outbound::welcome(out, at, &welcome);
        });
        self.tell_open_conflicts(slot);
        let mut whole = true;
        for (room, since) in rooms {
            match self.join(slot, &room, since.as_ref(), None) {
                Ok(recovered) => whole &= recovered,
                Err(fail) => self.tell_error(slot, None, fail.code, &fail.detail),
            }
        }
        if resumed {
            self.metrics.resumes.inc(if whole { ResumeResult::Recovered } else { ResumeResult::Partial });
        }
        Ok(())
    }

    /// Puts the session that the client wants back in the place of its fresh one.
    fn take_up(&mut self, slot: u32, wish: &Resume) -> Result<(), &'static str> {
        let user = self.conns[slot as usize].user;
        let wanted = SessionId::new(&wish.session).map_err(|_| "bad_token")?;
        if !self.signer.verify(&wish.token, &wanted, &self.users[user as usize].id) {
            return Err("bad_token");
        }
        let session = match self.session_ids.get(&wanted) {
            Some(&session) if self.sessions[session as usize].user == user => session,
            Some(_) => return Err("bad_token"),
            // After a restart nothing is known of a session that held no lock; its token is proof enough.
            None if self.now < self.reclaim_until && !self.ended.contains(&wanted) => self.new_session(user, wanted),
            None => return Err("expired"),
        };
        if self.conns[slot as usize].session == Some(session) {
            return Ok(());
        }
        if let Some(old) = self.sessions[session as usize].conn {
            self.unbind(old);
            self.close(old, code::SESSION_TAKEN, End::Lost);
        }
        self.swap_session(slot, session);
        self.sessions[session as usize].hello = true;
        self.observe("session", "session.resumed", None, Some(user), |hub| {
            (Some(hub.sessions[session as usize].id.to_string()), None)
        });
        Ok(())
    }

    fn swap_session(&mut self, slot: u32, session: SessionKey) {
        // The person keeps at least the session that is taken up, so this ends a session and no person. If the fresh one
        // has got something to keep by now, it is suspended instead.
        self.detach(slot, End::Lost);
        self.bind(slot, session);
        self.sessions[session as usize].active = self.now;
    }

    /// A client that says no `hello` takes up the suspended session of its person, if there is one, and is sent what
    /// it missed as if it had never been away.
    pub(super) fn adopt(&mut self, slot: u32) {
        let conn = &self.conns[slot as usize];
        let (user, Some(fresh)) = (conn.user, conn.session) else { return };
        let s = &self.sessions[fresh as usize];
        if conn.hello || !s.rooms.is_empty() || !s.hosts.is_empty() {
            return;
        }
        let sessions = self.users[user as usize].sessions.iter().copied();
        let Some(old) = sessions
            .filter(|s| self.sessions[*s as usize].grace_ends.is_some() && !self.sessions[*s as usize].hello)
            .min_by_key(|s| self.sessions[*s as usize].grace_ends)
        else {
            return;
        };
        let seen = std::mem::take(&mut self.sessions[old as usize].seen);
        self.swap_session(slot, old);
        self.metrics.resumes.inc(ResumeResult::TakenOver);
        for (room, seq) in seen {
            self.replay(slot, room, seq);
        }
        self.observe("session", "session.taken_over", None, Some(user), |hub| {
            (Some(hub.sessions[old as usize].id.to_string()), None)
        });
    }
}

fn transport(encoding: Encoding) -> Transport {
    match encoding {
        Encoding::WebSocket => Transport::WebSocket,
        Encoding::Sse => Transport::Sse,
    }
}

/// A session id that nobody can guess, although knowing one is not enough to take it.
fn fresh_session_id() -> SessionId {
    let mut id = [0u8; 34];
    id[..2].copy_from_slice(b"s_");
    uuid::Uuid::new_v4().as_simple().encode_lower(&mut id[2..]);
    let text = std::str::from_utf8(&id).expect("hexadecimal digits are ASCII");
    SessionId::new(text).expect("34 letters and digits are an id")
}
