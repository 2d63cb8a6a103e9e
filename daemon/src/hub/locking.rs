//! Commands to buildings: where they go, and what their answers mean.
//!
//! [`Hub::run`] is the one place where a building decides. It applies what was decided, takes the events into the
//! turn's batch, tells the rooms and the sessions concerned, and returns the reply for the caller to give.

use arxosrt_core::building::command::{Command, Refusal, Reply, Target as LockTarget};
use arxosrt_core::building::event::Event;
use arxosrt_core::building::notice::{Addressee, Notice, Notify};
use arxosrt_core::directory::{Hints, Placed};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::{LockId, LockType};
use arxosrt_core::wire::code::{self, ErrorCode};
use arxosrt_core::wire::inbound::Wanted;
use arxosrt_core::wire::outbound;

use super::arena::{Class, text_frame};
use super::batch::Target;
use super::fail::Fail;
use super::speech::Account;
use super::{ConnKey, HostKey, Hub, RoomKey, SessionKey};
use crate::metrics::LockOutcome;

/// The connection that asked, and the message's `id`.
pub(super) struct ReplyTo {
    conn: ConnKey,
    id: Option<Box<str>>,
}

impl ReplyTo {
    /// The message's `id`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one who is told when the store fails it.
    pub fn target(&self) -> Target {
        Target::Reply(self.conn, self.id.clone())
    }

    /// The sender of a message.
    pub fn message(conn: ConnKey, id: Option<&str>) -> Self {
        ReplyTo { conn, id: id.map(Box::from) }
    }
}

/// What a reply is called on the wire.
enum Spoken<'a> {
    Lock(&'a str),
    Release(&'a str),
    Plain,
}

impl Hub {
    /// Lets a building decide, and carries out everything but the reply.
    pub(super) fn run(&mut self, host: HostKey, command: &Command) -> Reply {
        let h = &mut self.hosts[host as usize];
        h.used = self.now;
        let position = h.building.position();
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        let decision = h.building.decide(&facts, command);
        h.building.apply(&facts, &decision);
        let (events, reply, notices) = (decision.events, decision.reply, decision.notices);
        if !events.is_empty() {
            let held_back = self.hold_back(host, &events);
            for event in &events {
                self.tell_event(host, event);
            }
            self.record_events(host, position, events, held_back);
        }
        for notice in notices {
            self.tell_notice(host, notice);
        }
        self.reschedule(host);
        reply
    }

    /// Runs a command whose reply nobody waits for.
    pub(super) fn run_quietly(&mut self, host: HostKey, command: &Command) {
        // A building that cannot commit decides nothing; what is due then is decided when the store is back.
        if self.writable
            || matches!(
                command,
                Command::Activity { .. } | Command::SessionSuspended { .. } | Command::SessionResumed { .. }
            )
        {
            let _ = self.run(host, command);
        }
    }

    /// Enters in the calendar when the building next has something to do.
    pub(super) fn reschedule(&mut self, host: HostKey) {
        let h = &mut self.hosts[host as usize];
        let due = h.building.due();
        if h.due == due {
            return;
        }
        if let Some(old) = h.due {
            self.calendar.remove(&(old, host));
        }
        h.due = due;
        if let Some(due) = due {
            self.calendar.insert((due, host));
        }
    }

    /// Tells the rooms that see an event.
    fn tell_event(&mut self, host: HostKey, event: &Event) {
        match event {
            Event::Broadcast(b) => {
                if let Some(room) = self.room_with_members(&b.seen.room) {
                    let epoch = std::mem::take(&mut self.epoch);
                    self.emit_with(host, Target::Room(room), Class::Sequenced, Some(room), |out| {
                        text_frame(out, |out| outbound::broadcast(out, &epoch, b));
                    });
                    self.epoch = epoch;
                }
                self.observe_event("broadcast", "broadcast", || {
                    let user = b.from.as_ref().map(|(_, user, _)| user.clone());
                    (Some(b.seen.room.clone()), user, None, None)
                });
            }
            Event::LockGranted(g) => {
                self.lock_hosts.insert(g.token, host);
                g.targets.iter().flat_map(|t| t.place.rooms()).for_each(|room| self.show_room(room, host));
                self.metrics.locks_held.of(g.lock_type).inc();
                if let Some(&session) = self.session_ids.get(&g.session) {
                    self.concerns(session, host);
                }
                self.tell_sightings(host, event);
                self.risk_of_lock(host, g);
                self.signal_lock(g);
                self.observe_event("lock", "lock.granted", || {
                    let room = g.targets[0].place.rooms()[0].clone();
                    let detail = format!("{} {}", g.lock_type.as_str(), g.targets[0].resource);
                    (Some(room), Some(g.user.clone()), Some(LockId(g.token).to_string()), Some(detail))
                });
            }
            Event::LockReleased(r) => {
                self.lock_hosts.remove(&r.token);
                r.targets.iter().flat_map(|t| t.place.rooms()).for_each(|room| self.unshow_room(room));
                self.metrics.locks_held.of(r.lock_type).dec();
                self.tell_sightings(host, event);
                self.observe_event("lock", "lock.released", || {
                    let room = r.targets[0].place.rooms()[0].clone();
                    let (what, why) = (&r.targets[0].resource, r.reason.as_str());
                    let detail = format!("{} {what}: {why}", r.lock_type.as_str());
                    (Some(room), Some(r.user.clone()), Some(LockId(r.token).to_string()), Some(detail))
                });
            }
            Event::Edited(edited) => self.tell_edited(host, event, edited),
            Event::ConflictOpened(opened) => self.conflict_opened(host, opened),
            Event::ConflictEscalated(escalated) => self.conflict_escalated(host, escalated.id),
            Event::ConflictSettled(settled) => self.conflict_settled(host, settled),
            Event::Adopted(_) | Event::Answered(_) | Event::Stored(_) => {}
        }
    }

    fn room_with_members(&self, id: &RoomId) -> Option<RoomKey> {
        self.room_ids.get(id).copied().filter(|room| !self.rooms[*room as usize].members.is_empty())
    }

    /// Tells each room that sees the event.
    pub(super) fn tell_sightings(&mut self, host: HostKey, event: &Event) {
        let epoch = std::mem::take(&mut self.epoch);
        for seen in event.sightings() {
            if let Some(room) = self.room_with_members(seen.room) {
                self.emit_with(host, Target::Room(room), Class::Sequenced, Some(room), |out| {
                    text_frame(out, |out| outbound::event(out, &epoch, event, seen));
                });
            }
        }
        self.epoch = epoch;
    }

    /// Tells a session something about its locks, if it has a connection.
    fn tell_notice(&mut self, host: HostKey, Notify { to, notice }: Notify) {
        let to = match to {
            Addressee::Session(session) => session,
            Addressee::Person(person) => return self.tell_person(host, &person, &notice),
        };
        let Some(&session) = self.session_ids.get(&to) else { return };
        if let Notice::RequestAnswered { granted: Some(_), .. } | Notice::WaitGranted { .. } = &notice {
            self.concerns(session, host);
        }
        let s = &self.sessions[session as usize];
        let Some(slot) = s.conn else { return };
        let (at, user) = (self.wall, self.users[s.user as usize].id.clone());
        let conn = self.conn_key(slot);
        self.emit_with(host, Target::Conn(conn), Class::Control, None, |out| {
            text_frame(out, |out| outbound::notice(out, at, &notice, &user));
        });
    }

    /// The session may hold or want locks of this building: it is told when the session ends.
    fn concerns(&mut self, session: SessionKey, host: HostKey) {
        let hosts = &mut self.sessions[session as usize].hosts;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }

    /// `broadcast`.
    pub(super) fn client_broadcast(
        &mut self,
        session: SessionKey,
        room: Option<RoomId>,
        message: &str,
        client_msg_id: Option<&str>,
        to: ReplyTo,
    ) -> Result<Account, Fail> {
        let key = match &room {
            Some(id) => self.joined(session, id)?,
            None => {
                let rooms = &self.sessions[session as usize].rooms;
                let current = self.users[self.sessions[session as usize].user as usize].floor;
                let here = rooms.iter().find(|m| Some(m.room) == current).or(rooms.last());
                here.map(|m| m.room).ok_or_else(|| Fail::new(code::NOT_A_MEMBER, "room_id: no room is joined"))?
            }
        };
        self.writable()?;
        let r = &self.rooms[key as usize];
        let (host, room) = (r.host, r.id.clone());
        let command = Command::Broadcast {
            room,
            from: Some(self.actor(session)),
            message: message.into(),
            client_msg_id: client_msg_id.map(Box::from),
        };
        let s = &self.sessions[session as usize];
        if s.hosts.contains(&host) {
            let life = Command::Activity { session: s.id.clone(), room: self.rooms[key as usize].id.clone() };
            self.run_quietly(host, &life);
        }
        let reply = self.run(host, &command);
        let Some(id) = to.id else { return Ok(Account::Later) };
        // Acknowledged when it is committed, told or not.
        let (at, epoch) = (self.wall, self.epoch.clone());
        let mut frame = Vec::new();
        match reply {
            Reply::Sequenced { seq, duplicate } => text_frame(&mut frame, |out| {
                outbound::ack(out, at, &id, |o| {
                    o.int("seq", seq).text("epoch", &epoch).bool("duplicate", duplicate);
                });
            }),
            Reply::Refused(refusal) => {
                let (code, detail) = refusal_words(&refusal);
                return Err(Fail::new(code, detail));
            }
            _ => return Ok(Account::Ack),
        }
        self.emit_committed(Target::Reply(to.conn, Some(id)), Class::Control, &frame);
        Ok(Account::Later)
    }

    /// Where a resource lies, for a session that names it.
    pub(super) fn place(
        &self,
        session: Option<SessionKey>,
        lock_type: LockType,
        wanted: &Wanted,
    ) -> Result<Placed, Fail> {
        let only_joined = session.and_then(|session| match &self.sessions[session as usize].rooms[..] {
            [only] => Some(&self.rooms[only.room as usize].id),
            _ => None,
        });
        let of_floors = matches!(lock_type, LockType::FloorEdit | LockType::GridCalibration | LockType::AnalyticsView);
        let is_room = of_floors || self.room_ids.contains_key(&RoomId::of_resource(&wanted.resource));
        let hints = Hints { stated: wanted.room.as_ref(), is_room, only_joined };
        if let Some(placed) = self.placed_by_edit(&wanted.resource) {
            return Ok(placed);
        }
        self.directory.place(&wanted.resource, hints).ok_or_else(|| {
            let detail =
                format!("it is not known in which room {:?} lies; name it in room_id", wanted.resource.as_str());
            Fail::new(code::ROOM_REQUIRED, detail)
        })
    }

    /// The building and the place of a resource that is only named, as operators and REST do.
    pub(super) fn place_named(&self, resource: &ResourceId) -> Option<Placed> {
        if let Some(placed) = self.placed_by_edit(resource) {
            return Some(placed);
        }
        let known_room = self.room_ids.contains_key(&RoomId::of_resource(resource));
        self.directory.place(resource, Hints { stated: None, is_room: known_room, only_joined: None })
    }

    /// `acquire_lock`.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn acquire(
        &mut self,
        session: SessionKey,
        lock_type: LockType,
        wanted: &[Wanted],
        metadata: Option<&str>,
        ttl_ms: Option<u64>,
        wait_ms: u64,
        to: ReplyTo,
    ) -> Result<(), Fail> {
        let (host, reply) = self.acquire_for(session, lock_type, wanted, metadata, ttl_ms, wait_ms, false)?;
        self.speak(host, to, &self.user_of(session), reply, &Spoken::Lock("asked"));
        Ok(())
    }

    /// Asks the building for a lock; the reply is for the caller to give.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn acquire_for(
        &mut self,
        session: SessionKey,
        lock_type: LockType,
        wanted: &[Wanted],
        metadata: Option<&str>,
        ttl_ms: Option<u64>,
        wait_ms: u64,
        by_rest: bool,
    ) -> Result<(HostKey, Reply), Fail> {
        let began = std::time::Instant::now();
        self.writable()?;
        let mut building: Option<BuildingId> = None;
        let mut targets: Vec<LockTarget> = Vec::new();
        for wanted in wanted {
            let placed = self.place(Some(session), lock_type, wanted)?;
            if let Some(first) = &building
                && *first != placed.building
            {
                let detail = format!("{first} and {} are two buildings; one request is about one", placed.building);
                return Err(Fail::new(code::CROSS_BUILDING, detail));
            }
            building = Some(placed.building);
            targets.push(LockTarget { resource: wanted.resource.clone(), place: placed.place });
        }
        let building = building.ok_or_else(|| Fail::new(code::BAD_MESSAGE, "resources: is empty"))?;
        let host = self.host(&building)?;
        let mut actor = self.actor(session);
        actor.legacy |= by_rest;
        let command = Command::Acquire {
            actor,
            lock_type,
            targets: targets.into(),
            ttl_ms,
            wait_ms,
            metadata: metadata.map(Box::from),
        };
        let reply = self.run(host, &command);
        let outcome = match &reply {
            Reply::Granted { renewed: false, .. } => LockOutcome::Granted,
            Reply::Granted { .. } => LockOutcome::Renewed,
            Reply::Held { .. } => LockOutcome::Held,
            Reply::Queued { .. } => LockOutcome::Queued,
            _ => LockOutcome::Refused,
        };
        if matches!(outcome, LockOutcome::Granted | LockOutcome::Queued) {
            self.concerns(session, host);
        }
        self.metrics.lock_requests.inc(lock_type, outcome);
        self.metrics.lock_acquire.observe_span(began.elapsed());
        Ok((host, reply))
    }

    /// `release_lock`. Whatever is wrong with it is a plain no, as it always was.
    pub(super) fn release(&mut self, session: SessionKey, lock: Option<LockId>, text: &str, to: ReplyTo) {
        let host = lock.and_then(|lock| self.lock_hosts.get(&lock.0).copied());
        let (Some(lock), Some(host)) = (lock, host) else {
            return self.release_failed(to, text, code::LOCK_NOT_FOUND);
        };
        if self.writable().is_err() {
            return self.release_failed(to, text, code::STORE_UNAVAILABLE);
        }
        let reply = self.run(host, &Command::Release { actor: self.actor(session), lock });
        self.speak(host, to, &self.user_of(session), reply, &Spoken::Release(text));
    }

    fn release_failed(&mut self, to: ReplyTo, text: &str, code: ErrorCode) {
        if self.conn(to.conn).is_none() {
            return;
        }
        self.metrics.refused.inc(code.name);
        let (at, slot) = (self.wall, to.conn.slot);
        let id = to.id.as_deref();
        self.tell_conn(slot, Class::Control, None, |out| {
            outbound::lock_release_response(out, at, id, false, text, Some(code));
        });
        if let Some(id) = id {
            self.tell_conn(slot, Class::Control, None, |out| {
                outbound::ack(out, at, id, |o| {
                    o.bool("success", false);
                })
            });
        }
    }

    /// A command about one lock.
    pub(super) fn lock_command(&mut self, lock: LockId, command: Command, to: ReplyTo) -> Result<(), Fail> {
        self.writable()?;
        let Some(&host) = self.lock_hosts.get(&lock.0) else {
            return Err(Fail::new(code::LOCK_NOT_FOUND, format!("there is no lock {lock} now")));
        };
        let (session, user) = match &command {
            Command::Renew { actor, .. } | Command::TakeOver { actor, .. } | Command::RequestLock { actor, .. } => {
                (actor.session.clone(), actor.user.clone())
            }
            _ => return Err(Fail::new(code::BAD_MESSAGE, "not a command about one lock")),
        };
        let how = if matches!(command, Command::TakeOver { .. }) { "take_over" } else { "asked" };
        let places_request = matches!(command, Command::RequestLock { .. });
        let reply = self.run(host, &command);
        if places_request && !matches!(reply, Reply::Refused(_)) {
            self.concerns_id(&session, host);
        }
        self.speak(host, to, &user, reply, &Spoken::Lock(how));
        Ok(())
    }

    fn concerns_id(&mut self, session: &SessionId, host: HostKey) {
        if let Some(&session) = self.session_ids.get(session) {
            self.concerns(session, host);
        }
    }

    /// A command about a wait or an editing request: it is in one of the buildings that concern the session.
    pub(super) fn session_command(
        &mut self,
        session: SessionKey,
        command: Command,
        unknown: ErrorCode,
        to: ReplyTo,
    ) -> Result<(), Fail> {
        self.writable()?;
        for host in self.sessions[session as usize].hosts.clone() {
            let reply = self.run(host, &command);
            if matches!(reply, Reply::Refused(Refusal::WaitNotFound | Refusal::RequestNotFound)) {
                continue;
            }
            self.speak(host, to, &self.user_of(session), reply, &Spoken::Plain);
            return Ok(());
        }
        Err(Fail::new(unknown, "there is none of that name, or it is not yours"))
    }

    fn user_of(&self, session: SessionKey) -> UserId {
        self.users[self.sessions[session as usize].user as usize].id.clone()
    }

    /// Gives a building's reply, and accounts for the message's `id`.
    fn speak(&mut self, host: HostKey, to: ReplyTo, asker: &UserId, reply: Reply, spoken: &Spoken) {
        let at = self.wall;
        let id = to.id.as_deref();
        let mut frames = Vec::new();
        let mut success = true;
        let mut refused: Option<(ErrorCode, String)> = None;
        text_frame_if(&mut frames, |out| match (&reply, spoken) {
            (Reply::Granted { lock, renewed }, Spoken::Lock(how)) => {
                outbound::lock_granted(out, at, id, lock, if *renewed { "renewed" } else { how });
                true
            }
            (Reply::Renewed { lock }, _) => {
                outbound::lock_renewed(out, at, id, lock);
                true
            }
            (Reply::Held { blocked_by }, _) => {
                success = false;
                outbound::lock_held(out, at, id, blocked_by, asker, code::LOCK_HELD, None);
                true
            }
            (Reply::Queued { ticket, position, blocked_by }, _) => {
                outbound::lock_queued(out, at, id, ticket, *position, blocked_by, asker);
                true
            }
            (Reply::Released { lock }, _) => {
                outbound::lock_release_response(out, at, id, true, &lock.to_string(), None);
                true
            }
            (Reply::Requested { request, respond_in_ms }, _) => {
                outbound::lock_requested(out, at, id, request, *respond_in_ms);
                true
            }
            (Reply::Refused(refusal), _) => {
                let (code, detail) = refusal_words(refusal);
                success = false;
                match spoken {
                    Spoken::Release(text) => {
                        outbound::lock_release_response(out, at, id, false, text, Some(code));
                        true
                    }
                    Spoken::Lock("asked") if !is_about_lock(refusal) => {
                        outbound::lock_refused(out, at, id, code, &detail, |o| {
                            if let Refusal::Deadlock { cycle } = refusal {
                                o.list("cycle", cycle, |out, user| {
                                    arxosrt_core::wire::json::string(out, user.as_str());
                                });
                            }
                        });
                        true
                    }
                    _ => {
                        refused = Some((code, detail));
                        false
                    }
                }
            }
            (
                Reply::Done
                | Reply::Sequenced { .. }
                | Reply::Granted { .. }
                | Reply::Edited(_)
                | Reply::Reported { .. }
                | Reply::Settled { .. },
                _,
            ) => false,
        });
        if let Some((code, detail)) = refused {
            self.metrics.refused.inc(code.name);
            text_frame(&mut frames, |out| outbound::error(out, at, id, code, &detail));
        } else if let Some(id) = id {
            text_frame(&mut frames, |out| {
                outbound::ack(out, at, id, |o| {
                    o.bool("success", success);
                });
            });
        }
        if !frames.is_empty() {
            let target = Target::Reply(to.conn, to.id);
            self.emit(host, target, Class::Control, None, &frames);
        }
    }
}

/// Appends a text frame unless `encode` has nothing to say.
fn text_frame_if(out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>) -> bool) {
    let start = out.len();
    let mut said = false;
    text_frame(out, |out| said = encode(out));
    if !said {
        out.truncate(start);
    }
}

/// Refusals of commands that name a lock are errors; refusals of the wish for one are responses to it.
fn is_about_lock(refusal: &Refusal) -> bool {
    !matches!(refusal, Refusal::Deadlock { .. } | Refusal::Limit { .. })
}

/// A refusal's code and sentence.
pub(super) fn refusal_words(refusal: &Refusal) -> (ErrorCode, String) {
    match refusal {
        Refusal::LockNotFound => (code::LOCK_NOT_FOUND, "there is no such lock now".to_owned()),
        Refusal::NotHolder => (code::NOT_HOLDER, "the lock is held by somebody else".to_owned()),
        Refusal::NotSameUser => (code::NOT_SAME_USER, "only one's own lock can be taken over".to_owned()),
        Refusal::TokenChanged { current } => {
            (code::TOKEN_CHANGED, format!("the lock has changed; its token is {} now", current.0))
        }
        Refusal::WaitNotFound => (code::WAIT_NOT_FOUND, "there is no such wait, or it is not yours".to_owned()),
        Refusal::RequestNotFound => {
            (code::REQUEST_NOT_FOUND, "there is no such editing request, or it is not yours".to_owned())
        }
        Refusal::AlreadyRequested { request } => {
            (code::ALREADY_REQUESTED, format!("the editing request {request} for this lock is open"))
        }
        Refusal::OwnLock => (code::OWN_LOCK, "the lock is your own".to_owned()),
        Refusal::Deadlock { cycle } => {
            let people: Vec<&str> = cycle.iter().map(UserId::as_str).collect();
            (code::DEADLOCK, format!("waiting would close a circle: {}", people.join(" waits for ")))
        }
        Refusal::Locked { by } => {
            let (lock, who) = (by.id, &by.username);
            (code::LOCK_HELD, format!("{who} holds a lock on it ({lock}, {})", by.lock_type.as_str()))
        }
        Refusal::BaseTooOld { version, oldest } => (
            code::BASE_TOO_OLD,
            format!("base_version: only versions from {oldest} on are kept; load version {version} again"),
        ),
        Refusal::BaseAhead { version } => {
            (code::BASE_AHEAD, format!("base_version: the resource is at version {version}"))
        }
        Refusal::BadEdit { path, why } if path.is_empty() => (code::BAD_EDIT, why.to_string()),
        Refusal::BadEdit { path, why } => (code::BAD_EDIT, format!("{path}: {why}")),
        Refusal::ConflictNotFound => {
            (code::CONFLICT_NOT_FOUND, "there is no such conflict, or it is not yours".to_owned())
        }
        Refusal::AlreadySettled { word, by } => {
            (code::ALREADY_RESOLVED, format!("the conflict was settled by {by} ({})", word.as_str()))
        }
        Refusal::RevisionChanged { current } => {
            (code::REVISION_CHANGED, format!("the conflict has changed; its revision is {current} now"))
        }
        Refusal::Limit { name, max } => (code::LIMIT, format!("{name}: at most {max} are allowed")),
    }
}
