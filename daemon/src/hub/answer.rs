//! Questions from REST and the control socket, answered on the hub's core.
//!
//! What reads or changes agreed state is answered behind everything that its building has waiting for a commit, so
//! nobody outside sees what may still be forgotten.

use arxosrt_core::building::command::{Command, Place, Reply as Said, Target as LockTarget};
use arxosrt_core::building::event::Event;
use arxosrt_core::building::{Missed, WaiterView};
use arxosrt_core::control::{DirectoryCounts, LockHistoryRow, LockRow, Status, WaiterRow, Why};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, UserId};
use arxosrt_core::lock::LockId;
use arxosrt_core::wire::code::{self, ErrorCode};
use arxosrt_core::wire::inbound::{Patch as WirePatch, Wanted};
use arxosrt_core::wire::inbound_edit::SyncItem;
use arxosrt_core::wire::outbound;
use serde_json::value::RawValue;

use super::ask::{Acquired, Ask, Connections, Patch, Presence, PresencePatch, Refused, Reply, Verdict};
use super::editing::JobReply;
use super::fail::Fail;
use super::lists::lock_row;
use super::locking::refusal_words;
use super::{HostKey, Hub, ReadyState, SessionKey, UserKey};
use crate::http::probe::STORE_LOST;

/// How many closed buildings the status names; it tells the number of all.
const CLOSED_SHOWN_MAX: usize = 100;

impl From<Fail> for Refused {
    fn from(fail: Fail) -> Self {
        Refused { code: fail.code.name, message: fail.detail }
    }
}

fn refused(code: ErrorCode, message: impl Into<String>) -> Refused {
    Refused { code: code.name, message: message.into() }
}

pub(super) fn store_failed() -> Refused {
    refused(code::STORE_UNAVAILABLE, "the store cannot commit; nothing was changed")
}

/// An asker that has gone away needs no answer.
pub(super) fn send<T>(reply: Reply<T>, answer: Result<T, Refused>) {
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
            Ask::Broadcast { room, message, reply } => self.broadcast_from_outside(&room, &message, reply),
            Ask::VerifyLock { token, resource, op, reply } => {
                self.verify_lock(token, &resource, op.as_deref() == Some("grid"), reply);
            }
            Ask::Edit { user, edit, reply } => {
                let edit_id = edit.edit_id.clone();
                self.rest_edits(&user, vec![SyncItem { edit: Ok(*edit), edit_id }], JobReply::RestEdit(reply));
            }
            Ask::Sync { user, edits, reply } => self.rest_edits(&user, edits, JobReply::RestSync(reply)),
            Ask::Document { resource, reply } => self.document(&resource, reply),
            Ask::Unwritten { building, floor, from, reply } => self.unwritten(&building, &floor, from, reply),
            Ask::ReportConflict { report, reply } => self.report_conflict(*report, reply),
            Ask::Conflicts { filter, reply } => {
                let rows = self.conflict_rows(&filter).map_err(Refused::from);
                self.reply_committed(reply, rows);
            }
            Ask::Conflict { conflict, of, reply } => {
                let row = self.conflict_whole(conflict, of.as_ref()).map_err(Refused::from);
                self.reply_committed(reply, row);
            }
            Ask::Resolve { resolve, by, dry_run, reply } => self.resolve_from_outside(&resolve, by, dry_run, reply),
            Ask::Restore { conflict, whose, path, by, reply } => {
                self.restore_from_outside(conflict, whose, path, by, reply);
            }
            Ask::ConflictStats { reply } => {
                let stats = self.conflict_stats();
                self.reply_committed(reply, Ok(stats));
            }
            Ask::Status { reply } => send(reply, Ok(self.status())),
            Ask::Rooms { from, reply } => {
                let page = self.room_page(from);
                self.reply_committed(reply, Ok(page));
            }
            Ask::Users { from, reply } => {
                let page = self.user_page(from);
                self.reply_committed(reply, Ok(page));
            }
            Ask::Locks { from, reply } => {
                let page = self.lock_page(from);
                self.reply_committed(reply, Ok(page));
            }
            Ask::Why { resource, reply } => self.why(&resource, reply),
            Ask::Notice { room, message, audit, reply } => self.notice(&room, &message, audit, reply),
            Ask::ForceRelease { lock, expected, audit, reply } => self.force_release(lock, expected, audit, reply),
            Ask::Kick { user, session, audit, reply } => self.kick(user.as_ref(), session.as_ref(), audit, reply),
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
            Ask::Events { to, reply } => {
                self.add_observer(to);
                send(reply, Ok(()));
            }
            Ask::Record { audit, result, reply } => self.record_deed(audit, result, reply),
            Ask::Drain { window_ms, audit: Some(audit), reply } => self.drain_by_operator(window_ms, audit, reply),
            Ask::Drain { window_ms, audit: None, reply } => {
                let drained = self.start_draining(window_ms);
                send(reply, Ok(drained));
            }
        }
    }

    /// Answers behind what the building has waiting for a commit.
    pub(super) fn reply_after<T: 'static>(&mut self, host: HostKey, reply: Reply<T>, answer: T) {
        self.answer_after(host, move |_, committed| {
            send(reply, if committed { Ok(answer) } else { Err(store_failed()) })
        });
    }

    /// Answers behind everything that waits for a commit.
    pub(super) fn reply_committed<T: 'static>(&mut self, reply: Reply<T>, answer: Result<T, Refused>) {
        self.answer_committed(move |_, committed| send(reply, if committed { answer } else { Err(store_failed()) }));
    }

    /// The session that REST acts for: the person's most recently active one that has a connection, else one that may
    /// come back.
    pub(super) fn active_session(&self, user: &UserId) -> Result<SessionKey, Fail> {
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

    pub(super) fn is_active(&self, key: UserKey) -> bool {
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
            conflicts: self.metrics.conflicts_open.get(),
        }
    }

    fn broadcast_from_outside(&mut self, room: &RoomId, message: &RawValue, reply: Reply<u64>) {
        let host = match self.writable().and_then(|()| self.place_broadcast(room, message)) {
            Ok(host) => host,
            Err(fail) => return send(reply, Err(fail.into())),
        };
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

    /// The building that a message from outside is decided in, if the message is not too large.
    pub(super) fn place_broadcast(&mut self, room: &RoomId, message: &RawValue) -> Result<HostKey, Fail> {
        let (max, bytes) = (self.settings.message_bytes, message.get().len());
        if bytes > max {
            let detail = format!("limits.message_bytes: the message has {bytes} bytes, at most {max}");
            return Err(Fail::new(code::TOO_LARGE, detail));
        }
        self.host(&self.building_of(room))
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
        let known = self.directory.counts();
        Status {
            state: match *self.ready.borrow() {
                ReadyState::Ready if self.metrics.store_lost.get() > 0 => STORE_LOST.to_owned(),
                state => state.as_str().to_owned(),
            },
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
            buildings_closed: self.closed.len() as u64,
            closed: self.closed.iter().take(CLOSED_SHOWN_MAX).map(BuildingId::to_string).collect(),
            directory: DirectoryCounts {
                buildings: known.buildings as u64,
                floors: known.floors as u64,
                objects: known.objects as u64,
                routes: known.routes as u64,
            },
            origins: self.metrics.origins.rows(),
            // The control socket knows; the hub does not.
            shared: None,
            last_token: self.tokens.last().0,
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
}

fn borrowed(patch: &Patch<Box<RawValue>>) -> WirePatch<&str> {
    match patch {
        Patch::Keep => WirePatch::Keep,
        Patch::Clear => WirePatch::Clear,
        Patch::Set(json) => WirePatch::Set(json.get()),
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
