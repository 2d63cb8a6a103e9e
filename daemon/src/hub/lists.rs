//! Lists for operators, a page at a time.
//!
//! The hub keeps rooms, people and locks in order, so a page costs what it shows and not what there is: at most
//! [`PAGE_ROWS_MAX`] rows, and fewer if [`PAGE_TIME`] is over. Whoever wants the whole list asks for page after page,
//! and everybody else is served between them. Such a list is not of one moment: each page is as things are when it is
//! made, and nothing is shown twice.

use std::ops::Bound;
use std::time::{Duration, Instant};

use arxosrt_core::building::command::LockView;
use arxosrt_core::control::{Holder, LockRow, RoomRow, SessionRow, UserRow};
use arxosrt_core::id::{RoomId, UserId};
use arxosrt_core::lock::{LockId, Token};
use serde_json::value::RawValue;

use super::ask::Page;
use super::state::Encoding;
use super::{HostKey, Hub, SessionKey, UserKey};

/// How many rows one page holds.
pub const PAGE_ROWS_MAX: usize = 256;

/// How long the hub works on one page; rows with long queues or many sessions cost more than others.
pub const PAGE_TIME: Duration = Duration::from_millis(1);

/// How many bytes of text the rows of one page have together before another one is begun.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// A room that is shown: it has members or is seen by locks.
pub(super) struct Shown {
    host: HostKey,
    /// One for its members, and one for each thing that a lock covers in it.
    reasons: u32,
}

/// Takes rows until the page is full, its time is over, or there are no more.
fn page<T>(rows: impl Iterator<Item = T>) -> Page<T> {
    page_of(rows, |_| 0)
}

/// The same for rows that may be large: a page is full too when its rows have more than [`PAGE_BYTES_MAX`] together.
pub(super) fn page_of<T>(rows: impl Iterator<Item = T>, bytes_of: impl Fn(&T) -> usize) -> Page<T> {
    let began = Instant::now();
    let mut rows = rows.peekable();
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while taken.len() < PAGE_ROWS_MAX
        && bytes <= PAGE_BYTES_MAX
        && (taken.is_empty() || began.elapsed() < PAGE_TIME)
        && let Some(row) = rows.next()
    {
        bytes += bytes_of(&row);
        taken.push(row);
    }
    let more = rows.peek().is_some();
    Page { rows: taken, more }
}

impl Hub {
    /// Rooms with members or locks, in order of id.
    pub(super) fn room_page(&self, from: Bound<RoomId>) -> Page<RoomRow> {
        page(self.shown_rooms.range((from, Bound::Unbounded)).map(|(id, shown)| {
            let host = &self.hosts[shown.host as usize];
            let users = self.room_ids.get(id).map(|room| &self.rooms[*room as usize].users);
            RoomRow {
                room_id: id.to_string(),
                building_id: host.id.to_string(),
                users: users.map_or(0, |users| users.len() as u64),
                sessions: users.map_or(0, |users| users.values().map(|n| u64::from(*n)).sum()),
                locks: host.building.lock_count_in(id) as u64,
                seq: host.building.seq(id),
                epoch: self.epoch.to_string(),
            }
        }))
    }

    /// People, in order of id.
    pub(super) fn user_page(&self, from: Bound<UserId>) -> Page<UserRow> {
        page(self.user_ids.range((from, Bound::Unbounded)).map(|(_, key)| self.user_row(*key)))
    }

    /// Locks, in order of token.
    pub(super) fn lock_page(&self, from: Bound<Token>) -> Page<LockRow> {
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        page(self.lock_hosts.range((from, Bound::Unbounded)).filter_map(|(token, host)| {
            let lock = self.hosts[*host as usize].building.lock_view(&facts, LockId(*token))?;
            Some(lock_row(&lock))
        }))
    }

    /// The room has members, or one more thing in it is locked.
    pub(super) fn show_room(&mut self, room: &RoomId, host: HostKey) {
        match self.shown_rooms.get_mut(room) {
            Some(shown) => shown.reasons += 1,
            None => {
                self.shown_rooms.insert(room.clone(), Shown { host, reasons: 1 });
            }
        }
    }

    /// One of the reasons is gone to show the room.
    pub(super) fn unshow_room(&mut self, room: &RoomId) {
        let Some(shown) = self.shown_rooms.get_mut(room) else { return };
        shown.reasons -= 1;
        if shown.reasons == 0 {
            self.shown_rooms.remove(room);
        }
    }

    fn user_row(&self, key: UserKey) -> UserRow {
        let u = &self.users[key as usize];
        let connected = u.sessions.iter().any(|s| self.sessions[*s as usize].conn.is_some());
        let state = match (connected, self.is_active(key)) {
            (false, _) => "suspended",
            (true, true) => "active",
            (true, false) => "inactive",
        };
        let locks_of = |s: &SessionKey| {
            let s = &self.sessions[*s as usize];
            s.hosts.iter().map(|host| self.hosts[*host as usize].building.lock_count_of(&s.id) as u64).sum::<u64>()
        };
        UserRow {
            user_id: u.id.to_string(),
            username: u.username.to_string(),
            state: state.to_owned(),
            sessions: u.sessions.iter().map(|s| self.session_row(*s)).collect(),
            locks: u.sessions.iter().map(locks_of).sum(),
            idle_ms: self.now.since(u.active),
            current_action: u.action.clone(),
        }
    }

    fn session_row(&self, key: SessionKey) -> SessionRow {
        let s = &self.sessions[key as usize];
        let conn = s.conn.map(|slot| &self.conns[slot as usize]);
        let transport = match conn.map(|conn| conn.encoding) {
            Some(Encoding::WebSocket) => "websocket",
            Some(Encoding::Sse) => "sse",
            None => "none",
        };
        SessionRow {
            session_id: s.id.to_string(),
            transport: transport.to_owned(),
            address: conn.map(|conn| conn.address.to_string()),
            rooms: s.rooms.iter().map(|m| self.rooms[m.room as usize].id.to_string()).collect(),
            connected_at: s.since.to_string(),
            hello: s.hello,
        }
    }
}

/// A lock as operators and REST see it.
pub fn lock_row(lock: &LockView) -> LockRow {
    let mut rooms: Vec<String> = Vec::new();
    for room in lock.targets.iter().flat_map(|t| t.place.rooms()) {
        if !rooms.iter().any(|r| r == room.as_str()) {
            rooms.push(room.to_string());
        }
    }
    LockRow {
        lock_id: lock.id.to_string(),
        lock_type: lock.lock_type.as_str().to_owned(),
        resource_id: lock.targets[0].resource.to_string(),
        resources: lock.targets.iter().map(|t| t.resource.to_string()).collect(),
        rooms,
        holder: Holder {
            user_id: lock.user.to_string(),
            username: lock.username.to_string(),
            session_id: lock.session.to_string(),
        },
        state: lock.holder_state.as_str().to_owned(),
        acquired_at: lock.at.to_string(),
        expires_at: lock.expires_at.to_string(),
        expires_in_ms: lock.expires_in_ms,
        idle_ms: lock.idle_ms,
        fencing_token: lock.token.0,
        waiters: lock.waiters,
        metadata: lock.metadata.as_ref().and_then(|json| RawValue::from_string(json.to_string()).ok()),
    }
}
