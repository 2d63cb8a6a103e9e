//! Questions from REST and the control socket, answered on the hub's core.
//!
//! What reads or changes agreed state is answered behind everything that its building has waiting for a commit, so
//! nobody outside sees what may still be forgotten.

use arxosrt_core::building::command::{Command, LockView, Place, Reply as Said, Target as LockTarget};
use arxosrt_core::building::event::Event;
use arxosrt_core::building::{Missed, WaiterView};
use arxosrt_core::control::{Holder, LockHistoryRow, LockRow, RoomRow, SessionRow, Status, UserRow, WaiterRow, Why};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::LockId;
use arxosrt_core::wire::code::{self, ErrorCode};
use arxosrt_core::wire::inbound::{Patch as WirePatch, Wanted};
use arxosrt_core::wire::outbound;
use serde_json::value::RawValue;

use super::ask::{Acquired, Ask, Connections, Operator, Patch, Presence, PresencePatch, Refused, Reply, Verdict};
use super::fail::Fail;
use super::locking::refusal_words;
use super::state::End;
use super::state::{Encoding, Phase};
use super::{HostKey, Hub, SessionKey, UserKey};

impl From<Fail> for Refused {
    fn from(fail: Fail) -> Self {
        Refused { code: fail.code.name, message: fail.detail }
    }
}

fn refused(code: ErrorCode, message: impl Into<String>) -> Refused {
    Refused { code: code.name, message: message.into() }
}

fn store_failed() -> Refused {
    refused(code::STORE_UNAVAILABLE, "the store cannot commit; nothing was changed")
}

/// An asker that has gone away needs no answer.
fn send<T>(reply: Reply<T>, answer: Result<T, Refused>) {
    let _ = reply.send(answer);
}

impl Hub {
    /// Answers one question, now or when the store has committed what it depends on.
    pub fn answer(&mut self, ask: Ask) {
        self.tick_clock();
        match ask {
            Ask::JoinRoom { user, room, reply } => {
                let joined = self.active_session(&user).and_then(|session| self.join_by_rest(session, &room));
                send(reply, joined.map_err(Refused::from));
            }
            Ask::LeaveRoom { user, room, reply } => {
                send(reply, self.leave_by_rest(&user, &room).map_err(Refused::from))
            }
            Ask::AcquireLock { user, lock_type, resource, room, ttl_ms, metadata, reply } => {
                let wanted = [Wanted { resource, room }];
                let metadata = metadata.as_deref().map(RawValue::get);
                let asked = self
                    .active_session(&user)
                    .and_then(|session| self.acquire_by_rest(session, lock_type, &wanted, metadata, ttl_ms));
                match asked {
                    Err(fail) => send(reply, Err(fail.into())),
                    Ok((host, said)) => self.reply_after(host, reply, said),
                }
            }
            Ask::ReleaseLock { user, lock, reply } => match self.release_by_rest(&user, lock) {
                Err(fail) => send(reply, Err(fail.into())),
                Ok(None) => send(reply, Ok(false)),
                Ok(Some((host, released))) => self.reply_after(host, reply, released),
            },
            Ask::RoomUsers { room, reply } => send(reply, Ok(self.room_users(&room))),
            Ask::ActiveLocks { resource, reply } => self.active_locks(&resource, reply),
            Ask::UserPresence { user, reply } => {
                send(reply, Ok(self.user_ids.get(&user).map(|key| self.presence_of(*key))));
            }
            Ask::UpdatePresence { user, patch, reply } => {
                let updated =
                    self.active_session(&user).and_then(|session| self.update_presence_by_rest(session, patch));
                send(reply, updated.map_err(Refused::from));
            }
            Ask::ConnectionStatus { reply } => send(reply, Ok(self.figures())),
            Ask::Broadcast { room, message, by, reply } => self.broadcast_from_outside(&room, &message, by, reply),
            Ask::VerifyLock { token, resource, op, reply } => {
                self.verify_lock(token, &resource, op.as_deref() == Some("grid"), reply);
            }
            Ask::Status { reply } => send(reply, Ok(self.status())),
            Ask::Rooms { reply } => send(reply, Ok(self.room_rows())),
            Ask::Users { reply } => send(reply, Ok(self.user_rows())),
            Ask::Locks { reply } => {
                let facts = Self::facts(self.now, self.wall, &self.tokens);
                let mut views: Vec<LockView> =
                    self.hosts.iter().flat_map(|(_, h)| h.building.lock_views(&facts)).collect();
                views.sort_unstable_by_key(|lock| lock.token);
                let rows = views.iter().map(lock_row).collect();
                self.reply_committed(reply, Ok(rows));
            }
            Ask::Why { resource, reply } => self.why(&resource, reply),
            Ask::ForceRelease { lock, expected, reason, by, reply } => {
                self.force_release(lock, expected, &reason, &by, reply);
            }
            Ask::Kick { user, session, reason, by, reply } => {
                send(reply, self.kick(user.as_ref(), session.as_ref(), &reason, &by).map_err(Refused::from));
            }
            Ask::Digest { building, reply } => match self.known_host(&building) {
                Err(fail) => send(reply, Err(fail.into())),
                Ok(host) => {
                    let building = &self.hosts[host as usize].building;
                    let digest = (building.position(), format!("{:016x}", building.digest()));
                    self.reply_committed(reply, Ok(digest));
                }
            },
            Ask::LockHistory { resource, limit, reply } => {
                let history = self.lock_history(&resource, limit).map_err(Refused::from);
                self.reply_committed(reply, history);
            }
            Ask::Record { entry, reply } => {
                if let Err(fail) = self.writable() {
                    return send(reply, Err(fail.into()));
                }
                self.observe_event("audit", "audit", || {
                    let detail = format!("{} {} {}: {}", entry.actor, entry.action, entry.target, entry.result);
                    (None, None, None, Some(detail))
                });
                self.record_audit(entry);
                self.reply_committed(reply, Ok(()));
            }
            Ask::Events { to } => self.add_observer(to),
            Ask::Drain { window_ms, by, reply } => {
                tracing::info!(window_ms, by = by.as_ref().map(|by| by.name.as_str()), "draining");
                let clients = self.start_draining(window_ms);
                send(reply, Ok(clients));
            }
        }
    }

    /// Answers behind what the building has waiting for a commit.
    fn reply_after<T: 'static>(&mut self, host: HostKey, reply: Reply<T>, answer: T) {
        self.answer_after(host, move |_, committed| {
            send(reply, if committed { Ok(answer) } else { Err(store_failed()) })
        });
    }

    /// Answers behind everything that waits for a commit.
    fn reply_committed<T: 'static>(&mut self, reply: Reply<T>, answer: Result<T, Refused>) {
        self.answer_committed(move |_, committed| send(reply, if committed { answer } else { Err(store_failed()) }));
    }

    /// The session that REST acts for: the person's most recently active one that has a connection, else one that may
    /// come back.
    fn active_session(&self, user: &UserId) -> Result<SessionKey, Fail> {
        let not_connected = || Fail::new(code::NOT_CONNECTED, format!("{user} is not connected"));
        let key = self.user_ids.get(user).ok_or_else(not_connected)?;
        let sessions = self.users[*key as usize].sessions.iter().copied();
        sessions
            .max_by_key(|s| {
                let s = &self.sessions[*s as usize];
                (s.conn.is_some(), s.active)
            })
            .ok_or_else(not_connected)
    }

    fn join_by_rest(&mut self, session: SessionKey, room: &RoomId) -> Result<(), Fail> {
        match self.sessions[session as usize].conn {
            Some(slot) => self.join(slot, room, None, None).map(|_| ()),
            None => self.enter(session, room).map(|_| ()),
        }
    }

    fn leave_by_rest(&mut self, user: &UserId, room: &RoomId) -> Result<(), Fail> {
        self.active_session(user)?;
        let key = self.user_ids[user];
        for session in self.users[key as usize].sessions.clone() {
            // Leaving a room that one is not in has always been fine over REST.
            let _ = self.leave(session, room);
        }
        Ok(())
    }

    fn acquire_by_rest(
        &mut self,
        session: SessionKey,
        lock_type: arxosrt_core::lock::LockType,
        wanted: &[Wanted],
        metadata: Option<&str>,
        ttl_ms: Option<u64>,
    ) -> Result<(HostKey, Acquired), Fail> {
        let (host, said) = self.acquire_for(session, lock_type, wanted, metadata, ttl_ms, 0, true)?;
        match said {
            Said::Granted { lock, .. } => Ok((host, Acquired::Granted(Box::new(lock_row(&lock))))),
            Said::Held { blocked_by } => Ok((host, Acquired::Held(blocked_by.iter().map(lock_row).collect()))),
            Said::Refused(refusal) => {
                let (code, detail) = refusal_words(&refusal);
                Err(Fail::new(code, detail))
            }
            other => Err(Fail::new(code::BAD_MESSAGE, format!("unexpected answer {other:?}"))),
        }
    }

    fn release_by_rest(&mut self, user: &UserId, lock: LockId) -> Result<Option<(HostKey, bool)>, Fail> {
        let session = self.active_session(user)?;
        self.writable()?;
        let Some(&host) = self.lock_hosts.get(&lock.0) else { return Ok(None) };
        let mut actor = self.actor(session);
        actor.legacy = true;
        let said = self.run(host, &Command::Release { actor, lock });
        Ok(Some((host, matches!(said, Said::Released { .. }))))
    }

    fn update_presence_by_rest(&mut self, session: SessionKey, patch: PresencePatch) -> Result<(), Fail> {
        let floor = match patch.floor_id {
            Patch::Keep => WirePatch::Keep,
            Patch::Clear => WirePatch::Clear,
            Patch::Set(room) => WirePatch::Set(room),
        };
        let max = self.settings.message.metadata_bytes;
        let raw = |patch: &Patch<Box<RawValue>>| -> Result<(), Fail> {
            match patch {
                Patch::Set(json) if json.get().len() > max => Err(Fail::new(
                    code::TOO_LARGE,
                    format!("a value has {} bytes, at most {max} are allowed", json.get().len()),
                )),
                _ => Ok(()),
            }
        };
        raw(&patch.current_action)?;
        raw(&patch.cursor_position)?;
        let (action, cursor) = (borrowed(&patch.current_action), borrowed(&patch.cursor_position));
        self.update_presence(session, floor, action, cursor, borrowed(&patch.metadata))?;
        let user = self.sessions[session as usize].user;
        self.sessions[session as usize].active = self.now;
        self.users[user as usize].active = self.now;
        self.users[user as usize].active_at = self.wall;
        Ok(())
    }

    fn room_users(&self, room: &RoomId) -> Vec<Presence> {
        let Some(room) = self.room_ids.get(room) else { return Vec::new() };
        let mut users: Vec<Presence> =
            self.rooms[*room as usize].users.keys().map(|key| self.presence_of(*key)).collect();
        users.sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
        users
    }

    fn presence_of(&self, key: UserKey) -> Presence {
        let u = &self.users[key as usize];
        let raw = |json: &Option<String>| json.clone().and_then(|json| RawValue::from_string(json).ok());
        let floor = u.floor.map(|room| &self.rooms[room as usize]);
        let mut metadata = Vec::new();
        outbound::metadata(&mut metadata, &u.metadata);
        let metadata = String::from_utf8(metadata).ok().and_then(|json| RawValue::from_string(json).ok());
        Presence {
            user_id: u.id.clone(),
            username: u.username.to_string(),
            floor_id: floor.map(|r| r.id.clone()),
            building_id: floor.and_then(|r| self.directory.building_of_room(&r.id).cloned()),
            current_action: raw(&u.action),
            cursor_position: raw(&u.cursor),
            last_seen: u.active_at.to_string(),
            is_active: self.is_active(key),
            metadata: metadata.unwrap_or_else(|| RawValue::from_string("{}".to_owned()).expect("JSON")),
        }
    }

    fn is_active(&self, key: UserKey) -> bool {
        let u = &self.users[key as usize];
        let connected = u.sessions.iter().any(|s| self.sessions[*s as usize].conn.is_some());
        connected && self.now.since(u.active) < self.settings.inactive_ms
    }

    fn active_locks(&mut self, resource: &ResourceId, reply: Reply<Vec<LockRow>>) {
        // The directory knows where most things lie; what it does not know may be in any building.
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        let mut rows: Vec<LockRow> = Vec::new();
        for (_, host) in &self.hosts {
            rows.extend(host.building.locks_on(&facts, resource).iter().map(lock_row));
        }
        self.reply_committed(reply, Ok(rows));
    }

    fn figures(&self) -> Connections {
        Connections {
            connections: self.conns.len() as u64,
            users: self.users.len() as u64,
            rooms: self.rooms.len() as u64,
            locks: self.lock_hosts.len() as u64,
        }
    }

    fn broadcast_from_outside(&mut self, room: &RoomId, message: &RawValue, by: Option<Operator>, reply: Reply<u64>) {
        let asked = self.writable().and_then(|()| {
            let max = self.settings.message_bytes;
            if message.get().len() > max {
                let detail =
                    format!("limits.message_bytes: the message has {} bytes, at most {max}", message.get().len());
                return Err(Fail::new(code::TOO_LARGE, detail));
            }
            let host = self.host(&self.building_of(room))?;
            Ok(host)
        });
        let host = match asked {
            Ok(host) => host,
            Err(fail) => return send(reply, Err(fail.into())),
        };
        if let Some(by) = by {
            tracing::info!(room = %room, by = by.name, "an operator tells a room");
        }
        let command =
            Command::Broadcast { room: room.clone(), from: None, message: message.get().into(), client_msg_id: None };
        match self.run(host, &command) {
            Said::Sequenced { seq, .. } => self.reply_committed(reply, Ok(seq)),
            Said::Refused(refusal) => {
                let (code, detail) = refusal_words(&refusal);
                send(reply, Err(refused(code, detail)));
            }
            _ => self.reply_committed(reply, Ok(0)),
        }
    }

    fn verify_lock(
        &mut self,
        token: arxosrt_core::lock::Token,
        resource: &ResourceId,
        grid: bool,
        reply: Reply<Verdict>,
    ) {
        // A token names its building and where the things lie that it was given for. A token that is gone says nothing:
        // then it is enough to look where the resource lies, to tell which token counts now.
        let held = self.lock_hosts.get(&token).copied();
        let placed = self.place_named(resource).or_else(|| self.placed_by_its_lock(resource));
        let host = held.or_else(|| placed.as_ref().and_then(|p| self.host_ids.get(&p.building)).copied());
        let Some(host) = host else {
            let unknown = Verdict {
                valid: false,
                reason: Some("unknown_token"),
                lock_id: None,
                user_id: None,
                remaining_ms: 0,
                fence: None,
            };
            return send(reply, Ok(unknown));
        };
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        let building = &self.hosts[host as usize].building;
        let lock = building.lock_view(&facts, LockId(token));
        let named = lock.as_ref().and_then(|lock| lock.targets.iter().find(|t| t.resource == *resource));
        let place = match (named, placed, &lock) {
            (Some(target), _, _) => target.place.clone(),
            (None, Some(placed), _) => placed.place,
            // Nobody knows where it lies; whoever writes it under this token says that it is there.
            (None, None, Some(lock)) => Place::Item(lock.targets[0].place.rooms().into()),
            (None, None, None) => Place::Item(Default::default()),
        };
        let target = LockTarget { resource: resource.clone(), place };
        let verified = building.verify(&facts, token, &target, grid);
        let verdict = Verdict {
            valid: verified.valid,
            reason: verified.reason.map(|fault| fault.as_str()),
            lock_id: verified.lock.as_ref().map(|lock| lock.id),
            user_id: verified.lock.as_ref().map(|lock| lock.user.clone()),
            remaining_ms: verified.lock.as_ref().map_or(0, |lock| lock.expires_in_ms),
            fence: verified.fence,
        };
        self.reply_after(host, reply, verdict);
    }

    fn status(&self) -> Status {
        Status {
            state: self.ready.borrow().as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started.to_string(),
            uptime_ms: self.now.0,
            engine: self.engine.to_owned(),
            connections: self.conns.len() as u64,
            users: self.users.len() as u64,
            sessions: self.sessions.len() as u64,
            rooms: self.rooms.len() as u64,
            locks: self.lock_hosts.len() as u64,
            waiters: self.hosts.iter().map(|(_, h)| h.building.waiter_count() as u64).sum(),
            buildings: self.hosts.len() as u64,
            last_token: self.tokens.last().0,
        }
    }

    fn room_rows(&self) -> Vec<RoomRow> {
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        let mut rows: std::collections::BTreeMap<RoomId, RoomRow> = std::collections::BTreeMap::new();
        let row = |room: &RoomId, host: &super::state::Host| RoomRow {
            room_id: room.to_string(),
            building_id: host.id.to_string(),
            users: 0,
            sessions: 0,
            locks: 0,
            seq: host.building.seq(room),
            epoch: self.epoch.to_string(),
        };
        for (_, room) in &self.rooms {
            let host = &self.hosts[room.host as usize];
            let mut row = row(&room.id, host);
            row.users = room.users.len() as u64;
            row.sessions = room.users.values().map(|n| u64::from(*n)).sum();
            rows.insert(room.id.clone(), row);
        }
        for (_, host) in &self.hosts {
            for lock in host.building.lock_views(&facts) {
                for room in lock.targets.iter().flat_map(|t| t.place.rooms()) {
                    rows.entry(room.clone()).or_insert_with(|| row(room, host)).locks += 1;
                }
            }
        }
        rows.into_values().collect()
    }

    fn user_rows(&self) -> Vec<UserRow> {
        let mut locks: std::collections::HashMap<SessionId, u64> = std::collections::HashMap::new();
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        for (_, host) in &self.hosts {
            for lock in host.building.lock_views(&facts) {
                *locks.entry(lock.session.clone()).or_insert(0) += 1;
            }
        }
        let mut rows: Vec<UserRow> = Vec::with_capacity(self.users.len());
        for (key, u) in &self.users {
            let connected = u.sessions.iter().any(|s| self.sessions[*s as usize].conn.is_some());
            let state = match (connected, self.is_active(key as UserKey)) {
                (false, _) => "suspended",
                (true, true) => "active",
                (true, false) => "inactive",
            };
            rows.push(UserRow {
                user_id: u.id.to_string(),
                username: u.username.to_string(),
                state: state.to_owned(),
                sessions: u.sessions.iter().map(|s| self.session_row(*s)).collect(),
                locks: u.sessions.iter().filter_map(|s| locks.get(&self.sessions[*s as usize].id)).sum(),
                idle_ms: self.now.since(u.active),
                current_action: u.action.clone(),
            });
        }
        rows.sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
        rows
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

    fn known_host(&mut self, building: &BuildingId) -> Result<HostKey, Fail> {
        let known = self.host_ids.contains_key(building)
            || self.asleep.contains(building)
            || self.directory.building(building).is_some();
        if !known {
            return Err(Fail::new(code::NOT_FOUND, format!("there is no building {building}")));
        }
        self.host(building)
    }

    fn why(&mut self, resource: &ResourceId, reply: Reply<Why>) {
        let placed = self.place_named(resource).or_else(|| self.placed_by_its_lock(resource));
        let Some(placed) = placed else {
            let detail = format!("nothing is known of {:?} and nobody has locked it", resource.as_str());
            return send(reply, Err(refused(code::NOT_FOUND, detail)));
        };
        let host = match self.host(&placed.building) {
            Ok(host) => host,
            Err(fail) => return send(reply, Err(fail.into())),
        };
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        let target = LockTarget { resource: resource.clone(), place: placed.place };
        let (blocked_by, waiters) = self.hosts[host as usize].building.why(&facts, &target);
        let why = Why {
            resource_id: resource.to_string(),
            building_id: placed.building.to_string(),
            rooms: target.place.rooms().iter().map(RoomId::to_string).collect(),
            blocked_by: blocked_by.iter().map(lock_row).collect(),
            waiters: waiters.iter().map(waiter_row).collect(),
        };
        self.reply_after(host, reply, why);
    }

    /// Where a resource lies that only its lock knows.
    fn placed_by_its_lock(&self, resource: &ResourceId) -> Option<arxosrt_core::directory::Placed> {
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        self.hosts.iter().find_map(|(_, host)| {
            let lock = host.building.locks_on(&facts, resource).into_iter().next()?;
            let target = lock.targets.iter().find(|t| t.resource == *resource)?;
            Some(arxosrt_core::directory::Placed { building: host.id.clone(), place: target.place.clone() })
        })
    }

    fn lock_history(&mut self, resource: &ResourceId, limit: usize) -> Result<Vec<LockHistoryRow>, Fail> {
        let placed = self.place_named(resource).or_else(|| self.placed_by_its_lock(resource));
        let places = match placed {
            Some(placed) => vec![(self.host(&placed.building)?, placed.place.rooms().to_vec())],
            // Nobody knows where it lies: any room in memory may have seen it.
            None => self.rooms.iter().map(|(_, r)| (r.host, vec![r.id.clone()])).collect(),
        };
        let mut rows: Vec<LockHistoryRow> = Vec::new();
        for (host, rooms) in places {
            for room in rooms {
                let building = &self.hosts[host as usize].building;
                rows.extend(
                    building
                        .missed(&room, building.oldest(&room))
                        .into_iter()
                        .flatten()
                        .filter_map(|missed| history_row(&missed, resource)),
                );
            }
        }
        // The rooms are in order of time each; of what happened within one millisecond the latest comes first too.
        rows.reverse();
        rows.sort_by(|a, b| b.at.cmp(&a.at));
        rows.dedup();
        rows.truncate(limit);
        Ok(rows)
    }

    fn force_release(
        &mut self,
        lock: LockId,
        expected: arxosrt_core::lock::Token,
        reason: &str,
        by: &Operator,
        reply: Reply<u64>,
    ) {
        if let Err(fail) = self.writable() {
            return send(reply, Err(fail.into()));
        }
        let Some(&host) = self.lock_hosts.get(&lock.0) else {
            return send(reply, Err(refused(code::LOCK_NOT_FOUND, format!("there is no lock {lock} now"))));
        };
        let command = Command::ForceRelease { lock, expected, reason: reason.into(), by: by.name.as_str().into() };
        match self.run(host, &command) {
            Said::Refused(refusal) => {
                let (code, detail) = refusal_words(&refusal);
                send(reply, Err(refused(code, detail)));
            }
            _ => {
                tracing::info!(lock = %lock, by = by.name, reason, "an operator has released a lock");
                self.reply_after(host, reply, 1);
            }
        }
    }

    fn kick(
        &mut self,
        user: Option<&UserId>,
        session: Option<&SessionId>,
        reason: &str,
        by: &Operator,
    ) -> Result<u64, Fail> {
        let not_found = |what: &str| Fail::new(code::NOT_FOUND, format!("{what} has no session"));
        let sessions: Vec<SessionKey> = match (user, session) {
            (Some(user), _) => {
                let key = self.user_ids.get(user).ok_or_else(|| not_found(user.as_str()))?;
                self.users[*key as usize].sessions.to_vec()
            }
            (None, Some(session)) => {
                vec![*self.session_ids.get(session).ok_or_else(|| not_found(session.as_str()))?]
            }
            (None, None) => return Err(Fail::new(code::BAD_MESSAGE, "a user or a session is required")),
        };
        self.writable()?;
        tracing::info!(sessions = sessions.len(), by = by.name, reason, "an operator parts from clients");
        let count = sessions.len() as u64;
        for session in sessions {
            match self.sessions[session as usize].conn {
                Some(slot) if self.conns[slot as usize].phase == Phase::Open => {
                    let at = self.wall;
                    self.tell_conn(slot, super::arena::Class::Control, None, |out| {
                        outbound::closing(out, at, code::KICKED, reason);
                    });
                    self.close(slot, code::KICKED, End::Clean);
                }
                _ => self.end_session(session),
            }
        }
        Ok(count)
    }
}

fn borrowed(patch: &Patch<Box<RawValue>>) -> WirePatch<&str> {
    match patch {
        Patch::Keep => WirePatch::Keep,
        Patch::Clear => WirePatch::Clear,
        Patch::Set(json) => WirePatch::Set(json.get()),
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

fn waiter_row(waiter: &WaiterView) -> WaiterRow {
    WaiterRow {
        ticket: waiter.ticket.to_string(),
        user_id: waiter.user.to_string(),
        session_id: waiter.session.to_string(),
        lock_type: waiter.lock_type.as_str().to_owned(),
        resources: waiter.targets.iter().map(|t| t.resource.to_string()).collect(),
        waiting_ms: waiter.waiting_ms,
        blocked_by: waiter.blocked_by.iter().map(LockId::to_string).collect(),
    }
}

fn history_row(missed: &Missed, resource: &ResourceId) -> Option<LockHistoryRow> {
    let row =
        |at: arxosrt_core::time::Wall, change: &str, token, lock_type: arxosrt_core::lock::LockType, user: &UserId| {
            LockHistoryRow {
                at: at.to_string(),
                change: change.to_owned(),
                lock_id: LockId(token).to_string(),
                lock_type: lock_type.as_str().to_owned(),
                resource_id: resource.to_string(),
                user_id: user.to_string(),
                cause: String::new(),
                by: None,
                reason: None,
            }
        };
    let (event, target) = (missed.event, missed.seen.target);
    match event {
        Event::LockGranted(g) if g.targets.get(target).is_some_and(|t| t.resource == *resource) => {
            let mut row = row(g.at, "granted", g.token, g.lock_type, &g.user);
            row.cause = g.cause.as_str().to_owned();
            Some(row)
        }
        Event::LockReleased(r) if r.targets.get(target).is_some_and(|t| t.resource == *resource) => {
            let mut row = row(r.at, "released", r.token, r.lock_type, &r.user);
            row.cause = r.reason.as_str().to_owned();
            if let Some((by, why)) = &r.forced {
                row.by = Some(by.to_string());
                row.reason = Some(why.to_string());
            }
            Some(row)
        }
        _ => None,
    }
}
