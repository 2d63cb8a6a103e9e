//! Rooms: joining, leaving, and who is in them.
//!
//! Presence belongs to people, not to sockets: a second tab neither joins nor leaves anything that others see. What a
//! room is told about a person is the newest state, once per turn; clients that take `presence_diff` get everything of
//! a window in one message. Above `presence_list_max` people they get counts, and pages when they ask.

use std::collections::{BTreeSet, HashMap};

use arxosrt_core::building::command::Command;
use arxosrt_core::id::{BuildingId, RoomId, UserId};
use arxosrt_core::preload::signal::What;
use arxosrt_core::wire::code;
use arxosrt_core::wire::inbound::{Patch, Since};
use arxosrt_core::wire::outbound::{self, People, Person, Recovery};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::arena::Class;
use super::batch::Restated;
use super::fail::Fail;
use super::state::{Diff, Membership, Room};
use super::{Hub, RoomKey, SessionKey, UserKey};
use crate::metrics::ResyncReason;

impl Hub {
    /// Joins a room and answers with its state. True if the client now knows all that happened in it.
    pub(super) fn join(
        &mut self,
        slot: u32,
        room_id: &RoomId,
        since: Option<&Since>,
        id: Option<&str>,
    ) -> Result<bool, Fail> {
        let Some(session) = self.conns[slot as usize].session else {
            return Err(Fail::new(code::NOT_CONNECTED, "the session is over"));
        };
        let newcomer = since.is_some() || self.joined(session, room_id).is_err();
        let room = self.enter(session, room_id)?;
        self.knows_grid_since(session, room, since);
        Ok(self.restate_room(slot, room, since, id, newcomer))
    }

    /// Makes the session a member of the room; tells the room if its person was not in it before.
    pub(super) fn enter(&mut self, session: SessionKey, room_id: &RoomId) -> Result<RoomKey, Fail> {
        let s = &self.sessions[session as usize];
        let user = s.user;
        if let Some(&room) = self.room_ids.get(room_id)
            && let Some(at) = s.rooms.iter().position(|m| m.room == room)
        {
            // The room joined last is the current one.
            let membership = self.sessions[session as usize].rooms.remove(at);
            self.sessions[session as usize].rooms.push(membership);
            self.users[user as usize].floor = Some(room);
            self.signal(session, || What::Join { room: room_id.clone() });
            return Ok(room);
        }
        let max = self.settings.rooms_per_connection;
        if s.rooms.len() >= max {
            return Err(Fail::new(
                code::LIMIT,
                format!("limits.rooms_per_connection: at most {max} rooms can be joined"),
            ));
        }
        let room = self.room(room_id)?;
        let conn = self.sessions[session as usize].conn;
        let r = &mut self.rooms[room as usize];
        let mut member_slot = 0;
        if let Some(slot) = conn {
            member_slot = r.members.len() as u32;
            r.members.push(slot);
            r.diff_members += u32::from(self.conns[slot as usize].features.presence_diff);
        }
        let sessions_here = r.users.entry(user).or_insert(0);
        *sessions_here += 1;
        let first = *sessions_here == 1;
        let frame = self.frame_of(room);
        self.sessions[session as usize].rooms.push(Membership { room, slot: member_slot, frame });
        self.users[user as usize].floor = Some(room);
        if first {
            self.person_came(room, user);
        } else if let Some(slot) = conn
            && !self.conns[slot as usize].hello
        {
            // Clients of the first generation wait for their own arrival, also in a second tab.
            let (at, u, r) = (self.wall, &self.users[user as usize], &self.rooms[room as usize]);
            let span = self.arena.text(Class::Sequenced, Some(room), |out| {
                outbound::user_joined_room(out, at, &u.id, &u.username, &r.id);
            });
            self.push(slot, span);
        }
        self.signal(session, || What::Join { room: room_id.clone() });
        Ok(room)
    }

    fn person_came(&mut self, room: RoomKey, user: UserKey) {
        let max = self.settings.presence_list_max;
        let (at, u) = (self.wall, &self.users[user as usize]);
        let r = &mut self.rooms[room as usize];
        match &mut r.order {
            Some(order) => {
                order.insert(u.id.clone());
            }
            None if r.users.len() > max => {
                r.order = Some(r.users.keys().map(|key| self.users[*key as usize].id.clone()).collect());
            }
            None => {}
        }
        let (large, room_id) = (r.users.len() > max, r.id.clone());
        match r.diff.left.iter().position(|left| *left == u.id) {
            Some(at) => {
                r.diff.left.remove(at);
                r.diff.returned.push(user);
            }
            None => r.diff.joined.push(user),
        }
        if u.sessions.iter().map(|s| self.sessions[*s as usize].rooms.len()).sum::<usize>() == 1 {
            // The person was nowhere before: those who meet it first learn that it is online.
            let span = self.arena.text(Class::Sequenced, Some(room), |out| {
                outbound::user_joined(out, at, &u.id, &u.username);
            });
            self.fan_out(room, span, Class::Sequenced, |conn| !conn.hello && conn.user != user);
        }
        let u = &self.users[user as usize];
        let span = self.arena.text(Class::Sequenced, Some(room), |out| {
            outbound::user_joined_room(out, at, &u.id, &u.username, &room_id);
        });
        self.fan_out(room, span, Class::Sequenced, |conn| {
            !conn.hello || (conn.user != user && !conn.features.presence_diff && !large)
        });
        self.diff_wanted(room);
        self.observe("room", "room.joined", Some(room), Some(user), |_| (None, None));
    }

    /// The room's key; the room and its building are brought into memory.
    pub(super) fn room(&mut self, id: &RoomId) -> Result<RoomKey, Fail> {
        if let Some(&room) = self.room_ids.get(id) {
            return Ok(room);
        }
        let building = self.building_of(id);
        let host = self.host(&building)?;
        self.hosts[host as usize].rooms += 1;
        let key = self.rooms.insert(Room {
            id: id.clone(),
            host,
            members: Vec::new(),
            users: HashMap::new(),
            order: None,
            diff_members: 0,
            diff: Diff::default(),
        }) as RoomKey;
        self.room_ids.insert(id.clone(), key);
        self.show_room(id, host);
        self.metrics.rooms.inc();
        Ok(key)
    }

    /// The building of a room: the directory's, or one of its own.
    pub(super) fn building_of(&self, room: &RoomId) -> BuildingId {
        self.directory.building_or_lone(room)
    }

    fn leave_if_empty(&mut self, room: RoomKey) {
        if !self.rooms[room as usize].users.is_empty() {
            return;
        }
        let gone = self.rooms.remove(room as usize);
        self.room_ids.remove(&gone.id);
        self.unshow_room(&gone.id);
        if let Some(due) = gone.diff.due {
            self.diffs.remove(&(due, room));
        }
        self.metrics.rooms.dec();
        self.hosts[gone.host as usize].rooms -= 1;
        self.hosts[gone.host as usize].used = self.now;
        self.presence.retain(|(r, _)| *r != room);
        for key in &self.drains {
            if let Some(conn) = self.conns.get_mut(key.slot as usize)
                && let Some(backlog) = &mut conn.outbox.backlog
            {
                backlog.forget_room(room);
            }
        }
        self.newcomers.retain(|(r, _)| *r != room);
        self.open.forget_room(room);
        for batch in &mut self.inflight {
            batch.forget_room(room);
        }
    }

    /// `leave_room`.
    pub(super) fn leave(&mut self, session: SessionKey, room_id: &RoomId) -> Result<(), Fail> {
        let not_there = || Fail::new(code::NOT_A_MEMBER, format!("not in the room {:?}", room_id.as_str()));
        let &room = self.room_ids.get(room_id).ok_or_else(not_there)?;
        let s = &mut self.sessions[session as usize];
        let at = s.rooms.iter().position(|m| m.room == room).ok_or_else(not_there)?;
        let Membership { slot, .. } = s.rooms.remove(at);
        let (user, conn) = (s.user, s.conn);
        if let Some(conn) = conn {
            self.remove_member(room, slot);
            let wants_diff = self.conns[conn as usize].features.presence_diff;
            self.rooms[room as usize].diff_members -= u32::from(wants_diff);
            if let Some(backlog) = &mut self.conns[conn as usize].outbox.backlog {
                backlog.forget_room(room);
            }
        }
        self.leave_membership(user, room);
        Ok(())
    }

    /// One of the person's sessions is no longer in the room.
    pub(super) fn leave_membership(&mut self, user: UserKey, room: RoomKey) {
        let r = &mut self.rooms[room as usize];
        let left = match r.users.get_mut(&user) {
            Some(1) | None => true,
            Some(n) => {
                *n -= 1;
                false
            }
        };
        if !left {
            return;
        }
        r.users.remove(&user);
        let max = self.settings.presence_list_max;
        let (large, room_id) = (r.users.len() > max, r.id.clone());
        let u = &mut self.users[user as usize];
        if let Some(order) = &mut r.order {
            order.remove(&u.id);
            if r.users.len() <= max / 2 {
                r.order = None;
            }
        }
        r.diff.updated.retain(|key| *key != user);
        r.diff.returned.retain(|key| *key != user);
        // Who came within the window was never here, as far as anybody was told.
        let came = r.diff.joined.len();
        r.diff.joined.retain(|key| *key != user);
        if r.diff.joined.len() == came {
            r.diff.left.push(u.id.clone());
        }
        let rooms_left = u.sessions.iter().flat_map(|s| &self.sessions[*s as usize].rooms);
        if u.floor == Some(room) {
            u.floor = rooms_left.last().map(|m| m.room);
        }
        self.presence.retain(|entry| *entry != (room, user));
        let u = &mut self.users[user as usize];
        u.told_in = u.told_in.filter(|told| *told != room);
        let (at, u) = (self.wall, &self.users[user as usize]);
        let span = self.arena.text(Class::Sequenced, Some(room), |out| {
            outbound::user_left_room(out, at, &u.id, &room_id);
        });
        self.fan_out(room, span, Class::Sequenced, |conn| !conn.hello || (!conn.features.presence_diff && !large));
        self.diff_wanted(room);
        self.observe("room", "room.left", Some(room), Some(user), |_| (None, None));
        self.leave_if_empty(room);
    }

    /// The person's last session ends: everybody who shares a room with it learns, once.
    pub(super) fn tell_user_left(&mut self, user: UserKey, session: SessionKey) {
        let rooms = self.sessions[session as usize].rooms.iter().map(|m| m.room);
        let sharers: BTreeSet<u32> = rooms
            .flat_map(|room| self.rooms[room as usize].members.iter().copied())
            .filter(|slot| !self.conns[*slot as usize].hello && self.conns[*slot as usize].user != user)
            .collect();
        if sharers.is_empty() {
            return;
        }
        let (at, u) = (self.wall, &self.users[user as usize]);
        let span = self.arena.text(Class::Sequenced, None, |out| outbound::user_left(out, at, &u.id));
        self.count_deliveries(Class::Sequenced, sharers.len() as u64);
        for slot in sharers {
            self.push(slot, span);
        }
    }

    /// `update_presence`.
    pub(super) fn update_presence(
        &mut self,
        session: SessionKey,
        floor: Patch<RoomId>,
        action: Patch<&str>,
        cursor: Patch<&str>,
        metadata: Patch<&str>,
    ) -> Result<(), Fail> {
        let s = &self.sessions[session as usize];
        let user = s.user;
        let floor = match floor {
            Patch::Keep => self.users[user as usize].floor.or_else(|| s.rooms.last().map(|m| m.room)),
            Patch::Clear => {
                self.users[user as usize].floor = None;
                None
            }
            Patch::Set(id) => {
                let joined = self.room_ids.get(&id).filter(|room| s.rooms.iter().any(|m| m.room == **room));
                let Some(&room) = joined else {
                    return Err(Fail::new(code::NOT_A_MEMBER, format!("floor_id: not in the room {:?}", id.as_str())));
                };
                self.users[user as usize].floor = Some(room);
                Some(room)
            }
        };
        let u = &mut self.users[user as usize];
        if let Patch::Set(json) = metadata {
            merge_metadata(&mut u.metadata, json, self.settings.message.metadata_bytes)?;
        } else if metadata == Patch::Clear {
            u.metadata = Vec::new();
        }
        put(&mut u.action, action);
        put(&mut u.cursor, cursor);
        if let Some(room) = floor {
            self.presence_changed(room, user);
            self.activity(session, room);
            if matches!(metadata, Patch::Set(_)) {
                self.risk_of_look(user, room);
            }
        }
        Ok(())
    }

    /// The room will be told about the person at the end of the turn.
    fn presence_changed(&mut self, room: RoomKey, user: UserKey) {
        let max = self.settings.presence_list_max;
        let r = &mut self.rooms[room as usize];
        if r.diff_members > 0
            && r.users.len() <= max
            && !r.diff.updated.contains(&user)
            && !r.diff.joined.contains(&user)
            && !r.diff.returned.contains(&user)
        {
            r.diff.updated.push(user);
            self.diff_wanted(room);
        }
        let u = &mut self.users[user as usize];
        if u.told_in == Some(room) {
            return;
        }
        u.told_in = Some(room);
        self.presence.push((room, user));
        if self.presence.len() == 1 {
            self.want_turn();
        }
    }

    /// The activity of a session on a floor keeps its locks there.
    fn activity(&mut self, session: SessionKey, room: RoomKey) {
        let s = &self.sessions[session as usize];
        if s.hosts.is_empty() {
            return;
        }
        let r = &self.rooms[room as usize];
        if s.hosts.contains(&r.host) {
            let command = Command::Activity { session: s.id.clone(), room: r.id.clone() };
            self.run_quietly(r.host, &command);
        }
    }

    /// Tells every room what changed about its people in this turn.
    pub(super) fn tell_presence(&mut self) {
        let mut changed = std::mem::take(&mut self.presence);
        for (room, user) in changed.drain(..) {
            let u = &mut self.users[user as usize];
            u.told_in = None;
            let (at, r) = (self.wall, &self.rooms[room as usize]);
            if r.members.len() < 2 && !r.members.iter().any(|slot| !self.conns[*slot as usize].hello) {
                continue;
            }
            let person = self.users[user as usize].person();
            let class = Class::Latest { user };
            let span = self.arena.text(class, Some(room), |out| {
                outbound::presence_updated(out, at, &r.id, &person);
            });
            // Clients of the first generation get their own changes back, as they always did.
            self.fan_out(room, span, class, |conn| !conn.features.presence_diff && (conn.user != user || !conn.hello));
        }
        self.presence = changed;
    }

    fn diff_wanted(&mut self, room: RoomKey) {
        let r = &mut self.rooms[room as usize];
        if r.diff_members == 0 {
            r.diff.joined.clear();
            r.diff.returned.clear();
            r.diff.updated.clear();
            r.diff.left.clear();
        } else if r.diff.due.is_none() {
            let due = self.now.plus(self.settings.presence_diff_ms);
            r.diff.due = Some(due);
            self.diffs.insert((due, room));
        }
    }

    /// Tells the members that take `presence_diff` what changed within the window.
    pub(super) fn tell_diff(&mut self, room: RoomKey) {
        let at = self.wall;
        let r = &mut self.rooms[room as usize];
        let mut diff = std::mem::take(&mut r.diff);
        // Somebody who missed the leaving knows them still; for everybody else they have come.
        diff.joined.append(&mut diff.returned);
        let r = &self.rooms[room as usize];
        let count = r.users.len();
        let people = |keys: &[UserKey]| -> Vec<UserKey> {
            if count > self.settings.presence_list_max { Vec::new() } else { keys.to_vec() }
        };
        let (joined, mut updated) = (people(&diff.joined), people(&diff.updated));
        updated.retain(|key| !joined.contains(key));
        let left: &[UserId] = if count > self.settings.presence_list_max { &[] } else { &diff.left };
        let only_updates = diff.joined.is_empty() && diff.left.is_empty();
        if only_updates && updated.is_empty() {
            return;
        }
        // A diff that only updates may be overtaken; one that says who came or left may not.
        let class = if only_updates { Class::Latest { user: updated[0] } } else { Class::Sequenced };
        let person = |key: &UserKey| self.users[*key as usize].person();
        let span = self.arena.text(class, Some(room), |out| {
            let (joined, updated) = (joined.iter().map(person), updated.iter().map(person));
            outbound::presence_diff(out, at, &r.id, joined, updated, left.iter(), count);
        });
        if only_updates {
            for slot in self.rooms[room as usize].members.clone() {
                if let Some(backlog) = &mut self.conns[slot as usize].outbox.backlog {
                    updated.iter().for_each(|user| backlog.mark_latest(room, *user));
                }
            }
        }
        // Nobody needs to be told of nobody but itself.
        let sole = match (&joined[..], &updated[..], left) {
            ([one], [], []) | ([], [one], []) => Some(*one),
            _ => None,
        };
        self.fan_out(room, span, class, |conn| {
            conn.features.presence_diff && sole != Some(conn.user) && (!only_updates || conn.outbox.backlog.is_none())
        });
    }

    /// The newest presence of one person, for a connection that could not take the earlier ones.
    pub(super) fn encode_latest(&self, room: RoomKey, user: UserKey, diff: bool, out: &mut Vec<u8>) {
        let (Some(r), Some(u)) = (self.rooms.get(room as usize), self.users.get(user as usize)) else { return };
        if !r.users.contains_key(&user) {
            return;
        }
        super::arena::text_frame(out, |out| {
            if diff {
                let none = std::iter::empty::<Person>;
                let left = std::iter::empty::<&UserId>();
                outbound::presence_diff(
                    out,
                    self.wall,
                    &r.id,
                    none(),
                    std::iter::once(u.person()),
                    left,
                    r.users.len(),
                );
            } else {
                outbound::presence_updated(out, self.wall, &r.id, &u.person());
            }
        });
    }

    /// Answers with the room's state as of now, behind everything of its building that waits for a commit. True if the
    /// client knows all that happened in the room then.
    pub(super) fn restate_room(
        &mut self,
        slot: u32,
        room: RoomKey,
        since: Option<&Since>,
        id: Option<&str>,
        newcomer: bool,
    ) -> bool {
        let (room_id, host) = (self.rooms[room as usize].id.clone(), self.rooms[room as usize].host);
        let epoch = self.epoch.clone();
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        let building = &self.hosts[host as usize].building;
        let recovery = match since {
            None => Recovery::NotAsked,
            Some(since) if *since.epoch != *epoch => Recovery::Lost("epoch_changed"),
            Some(since) => match building.missed(&room_id, since.seq) {
                Ok(missed) => Recovery::Missed(missed),
                Err(arxosrt_core::building::Gap::Expired) => Recovery::Lost("history_expired"),
                Err(arxosrt_core::building::Gap::Ahead) => Recovery::Lost("ahead_of_log"),
            },
        };
        let whole = match &recovery {
            Recovery::Lost(reason) => {
                self.metrics.resyncs.inc(match *reason {
                    "epoch_changed" => ResyncReason::EpochChanged,
                    "history_expired" => ResyncReason::HistoryGone,
                    _ => ResyncReason::TailLost,
                });
                false
            }
            _ => true,
        };
        let locks = building.locks_in_room(&facts, &room_id);
        let mut agreed = Vec::new();
        outbound::room_agreed(&mut agreed, &room_id, &locks, &epoch, building.seq(&room_id), &recovery);
        if since.is_some() {
            self.charge_history(slot, agreed.len());
        }
        let since = since.map(|since| Since { epoch: since.epoch.to_string().into(), seq: since.seq });
        let what = Restated::State { since, id: id.map(Box::from) };
        self.restate(self.conn_key(slot), room, what, newcomer, &agreed);
        whole
    }

    /// Tells a room's state: what is agreed on as it was worked out before, and who is there now.
    pub(super) fn tell_room_state(&mut self, slot: u32, room: RoomKey, id: Option<&str>, class: Class, agreed: &[u8]) {
        let (at, r) = (self.wall, &self.rooms[room as usize]);
        let mut frame = Vec::new();
        super::arena::text_frame(&mut frame, |out| {
            self.with_page(room, None, |people| outbound::room_state(out, at, id, &r.id, people, agreed));
        });
        let span = self.arena.framed(class, Some(room), &frame);
        self.count_deliveries(class, 1);
        self.push(slot, span);
    }

    /// Sends a member what happened in a room after `seq` as if it had been there.
    pub(super) fn replay(&mut self, slot: u32, room: RoomKey, seq: u64) {
        let Some(r) = self.rooms.get(room as usize) else { return };
        let (host, room_id, epoch, at) = (r.host, r.id.clone(), self.epoch.clone(), self.wall);
        let building = &self.hosts[host as usize].building;
        let mut frames = Vec::new();
        match building.missed(&room_id, seq) {
            Ok(missed) => {
                for m in missed {
                    super::arena::text_frame(&mut frames, |out| {
                        outbound::event(out, &epoch, m.event, m.seen);
                    });
                }
            }
            Err(_) => {
                let now = building.seq(&room_id);
                super::arena::text_frame(&mut frames, |out| {
                    outbound::resync_required(out, at, &room_id, "history_expired", &epoch, now);
                });
                self.metrics.resyncs.inc(ResyncReason::HistoryGone);
            }
        }
        if !frames.is_empty() {
            self.restate(self.conn_key(slot), room, Restated::Missed { since: seq }, true, &frames);
        }
    }

    /// One page of a room's people, in order of id where the room is large.
    fn with_page<R>(
        &self,
        room: RoomKey,
        after: Option<&str>,
        then: impl for<'a> FnOnce(People<'a, std::vec::IntoIter<Person<'a>>>) -> R,
    ) -> R {
        let r = &self.rooms[room as usize];
        let max = self.settings.presence_list_max;
        let count = r.users.len();
        let Some(order) = &r.order else {
            let people = r.users.keys().map(|key| self.users[*key as usize].person());
            let mut page: Vec<Person> =
                people.filter(|person| after.is_none_or(|after| person.user.as_str() > after)).collect();
            page.sort_unstable_by(|a, b| a.user.cmp(b.user));
            return then(People { page: page.into_iter(), count, more_after: None });
        };
        use std::ops::Bound::{Excluded, Unbounded};
        // What could be nobody's id stands before everybody's.
        let ids: Vec<&UserId> = match after.and_then(|after| UserId::new(after).ok()) {
            Some(after) => order.range((Excluded(after), Unbounded)).take(max + 1).collect(),
            None => order.iter().take(max + 1).collect(),
        };
        let more_after = (ids.len() > max).then(|| ids[max - 1].as_str());
        let keys = ids.iter().take(max).filter_map(|id| self.user_ids.get(*id));
        let page: Vec<Person> = keys.map(|key| self.users[*key as usize].person()).collect();
        then(People { page: page.into_iter(), count, more_after })
    }

    /// `list_users`: the next page of a large room's people.
    pub(super) fn list_users(
        &mut self,
        slot: u32,
        session: SessionKey,
        room_id: &RoomId,
        after: Option<&str>,
        id: Option<&str>,
    ) -> Result<(), Fail> {
        let room = self.joined(session, room_id)?;
        let at = self.wall;
        let mut frame = Vec::new();
        super::arena::text_frame(&mut frame, |out| {
            self.with_page(room, after, |people| outbound::room_users(out, at, id, room_id, people));
        });
        let span = self.arena.framed(Class::Control, Some(room), &frame);
        self.push(slot, span);
        Ok(())
    }

    /// The room, if the session is in it.
    pub(super) fn joined(&self, session: SessionKey, room_id: &RoomId) -> Result<RoomKey, Fail> {
        let rooms = &self.sessions[session as usize].rooms;
        match self.room_ids.get(room_id) {
            Some(&room) if rooms.iter().any(|m| m.room == room) => Ok(room),
            _ => Err(Fail::new(code::NOT_A_MEMBER, format!("not in the room {:?}", room_id.as_str()))),
        }
    }
}

fn put(field: &mut Option<String>, patch: Patch<&str>) {
    match patch {
        Patch::Keep => {}
        Patch::Clear => *field = None,
        Patch::Set(json) => {
            let text = field.get_or_insert_default();
            text.clear();
            text.push_str(json);
        }
    }
}

/// The members of a JSON object, in order, unparsed.
struct Members<'a>(Vec<(std::borrow::Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(entry) = map.next_entry::<std::borrow::Cow<'de, str>, &'de RawValue>()? {
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        d.deserialize_map(Visit)
    }
}

/// Merges a metadata object key by key; a `null` removes its key. Nothing changes if the result would be too large.
fn merge_metadata(members: &mut Vec<(Box<str>, Box<str>)>, json: &str, max: usize) -> Result<(), Fail> {
    let Ok(Members(changes)) = serde_json::from_str(json) else {
        return Err(Fail::new(code::BAD_MESSAGE, "metadata: must be an object"));
    };
    let mut merged = members.clone();
    for (key, value) in changes {
        let at = merged.iter().position(|(k, _)| **k == *key);
        match (at, value.get()) {
            (Some(at), "null") => {
                merged.remove(at);
            }
            (None, "null") => {}
            (Some(at), value) => merged[at].1 = value.into(),
            (None, value) => merged.push((key.into(), value.into())),
        }
    }
    let bytes: usize = merged.iter().map(|(k, v)| k.len() + v.len() + 4).sum();
    if bytes > max {
        return Err(Fail::new(
            code::TOO_LARGE,
            format!("metadata: would have {bytes} bytes, at most {max} are allowed"),
        ));
    }
    *members = merged;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_merges_key_by_key_within_its_bound() {
        let mut members = Vec::new();
        merge_metadata(&mut members, r#"{"a":1,"b":[2]}"#, 100).expect("fits");
        merge_metadata(&mut members, r#"{"b":null,"a":"x","c":{}}"#, 100).expect("fits");
        let mut out = Vec::new();
        outbound::metadata(&mut out, &members);
        assert_eq!(out, br#"{"a":"x","c":{}}"#);
        let before = members.clone();
        let large = format!(r#"{{"d":"{}"}}"#, "x".repeat(100));
        assert_eq!(merge_metadata(&mut members, &large, 100).expect_err("too large").code, code::TOO_LARGE);
        assert_eq!(members, before);
    }
}
