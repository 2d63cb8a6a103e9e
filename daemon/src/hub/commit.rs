//! What waits for the store, and what becomes of it.
//!
//! Everything that a turn decides goes to the store as one batch. What settled events mean (replies, what rooms are
//! told) is encoded at once but let out only when the batch is committed; so is everything else of the same building
//! that comes behind it, so that a room's order is never changed and nobody sees what may still be forgotten. Passing
//! events (broadcasts) with nothing in front of them are told at once: they are noted in the tail first, which survives
//! the death of the process.
//!
//! When a commit fails, what was decided since the last one is forgotten: its buildings are folded anew from the log,
//! and who asked is told `store_unavailable`. Only what members have heard already is kept and committed again, before
//! anything else, so no number of a room's order ever means two things. Until the store can write again, agreed state is
//! read-only and everything else goes on.

use arxosrt_core::building::command::Command;
use arxosrt_core::building::event::Event;
use arxosrt_core::building::{Building, codec};
use arxosrt_core::id::{BuildingId, SessionId};
use arxosrt_core::lock::Token;
use arxosrt_core::wire::code;
use arxosrt_core::wire::inbound::Since;
use arxosrt_core::wire::outbound;

use super::arena::{Class, Span};
use super::speech::Fail;
use super::state::Host;
use super::{ConnKey, HostKey, Hub, ReadyState, RoomKey};
use crate::metrics::ResyncReason;
use crate::store::{AuditRecord, Batch, Commit, Loaded, Outcome, Part, Recovered, StoreError};

/// Who gets a frame.
pub(super) enum Target {
    /// One connection, if it is still there.
    Conn(ConnKey),
    /// One connection that asked; it is told when the store fails it.
    Reply(ConnKey, Option<Box<str>>),
    /// The members of a room.
    Room(RoomKey),
}

/// The rest of a question from outside, for when it is known whether the commit succeeded.
type AnswerLater = Box<dyn FnOnce(&mut Hub, bool)>;

enum Out {
    Frames {
        target: Target,
        class: Class,
        room: Option<RoomKey>,
        start: usize,
        end: usize,
    },
    /// Tells one connection where a room stands.
    Restated {
        conn: ConnKey,
        room: RoomKey,
        what: Restated,
        start: usize,
        end: usize,
    },
    /// Carries out the rest of a question from outside; the flag says whether the commit succeeded.
    Answer(AnswerLater),
}

/// How a connection is told where a room stands. Told again from scratch when the commit before it fails.
pub(super) enum Restated {
    /// `room_state`, of which the bytes are the agreed part. Who is there is added when it goes out.
    State { since: Option<Since<'static>>, id: Option<Box<str>> },
    /// What the room has seen since then, as frames.
    Missed { since: u64 },
}

/// Events of one building within a batch.
struct OpenPart {
    host: HostKey,
    position: u64,
    events: Vec<Event>,
    /// So many of the first events were told at once.
    told: usize,
}

impl OpenPart {
    /// What was told at once, with its place in the log.
    fn into_told(mut self) -> Option<(HostKey, u64, Vec<Event>)> {
        self.events.truncate(self.told);
        (self.told > 0).then_some((self.host, self.position, self.events))
    }
}

/// What the present turn has decided.
#[derive(Default)]
pub(super) struct OpenBatch {
    bytes: Vec<u8>,
    outs: Vec<Out>,
    parts: Vec<OpenPart>,
    audit: Vec<AuditRecord>,
    /// Buildings of which something in here waits to be told.
    unsettled: Vec<HostKey>,
}

impl OpenBatch {
    fn is_empty(&self) -> bool {
        self.outs.is_empty() && self.parts.is_empty() && self.audit.is_empty()
    }

    /// The room is gone: nothing in here speaks to it.
    pub fn forget_room(&mut self, room: RoomKey) {
        forget_room(&mut self.outs, room);
    }

    /// How many events wait in here to be told to the room.
    pub fn held_back(&self, room: RoomKey) -> u64 {
        held_back(&self.outs, room)
    }
}

fn held_back(outs: &[Out], room: RoomKey) -> u64 {
    let is_event = |out: &&Out| matches!(out, Out::Frames { target: Target::Room(to), class: Class::Sequenced, .. } if *to == room);
    outs.iter().filter(is_event).count() as u64
}

fn forget_room(outs: &mut Vec<Out>, gone: RoomKey) {
    outs.retain_mut(|out| match out {
        Out::Frames { target: Target::Room(room), .. } | Out::Restated { room, .. } => *room != gone,
        Out::Frames { room, .. } => {
            if *room == Some(gone) {
                *room = None;
            }
            true
        }
        Out::Answer(_) => true,
    });
}

/// A batch that is with the store.
pub(super) struct Inflight {
    number: u64,
    handed_over: std::time::Instant,
    bytes: Vec<u8>,
    outs: Vec<Out>,
    hosts: Vec<HostKey>,
    unsettled: Vec<HostKey>,
    /// What was told at once: building, position before it, events.
    told: Vec<(HostKey, u64, Vec<Event>)>,
    events: u64,
}

impl Inflight {
    /// The hub's number for it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The room is gone: nothing in here speaks to it.
    pub fn forget_room(&mut self, room: RoomKey) {
        forget_room(&mut self.outs, room);
    }

    /// How many events wait in here to be told to the room.
    pub fn held_back(&self, room: RoomKey) -> u64 {
        held_back(&self.outs, room)
    }
}

impl Hub {
    /// Lets a frame out now, or behind what its building has waiting for a commit. `frames` are encoded already.
    pub(super) fn emit(&mut self, host: HostKey, target: Target, class: Class, room: Option<RoomKey>, frames: &[u8]) {
        self.emit_with(host, target, class, room, |out| out.extend_from_slice(frames));
    }

    /// The same; `encode` appends whole frames.
    pub(super) fn emit_with(
        &mut self,
        host: HostKey,
        target: Target,
        class: Class,
        room: Option<RoomKey>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.waits(host) {
            let start = self.open.bytes.len();
            encode(&mut self.open.bytes);
            let end = self.open.bytes.len();
            self.open.outs.push(Out::Frames { target, class, room, start, end });
            self.want_turn();
            return;
        }
        let span = self.arena.encoded(class, room, encode);
        self.send(target, class, span);
    }

    fn send(&mut self, target: Target, class: Class, span: Span) {
        match target {
            Target::Conn(key) | Target::Reply(key, _) => {
                if self.conn(key).is_some() {
                    self.count_deliveries(class, 1);
                    self.push(key.slot, span);
                }
            }
            Target::Room(room) if self.newcomers.is_empty() => self.fan_out(room, span, class, |_| true),
            Target::Room(room) => {
                let newcomers = std::mem::take(&mut self.newcomers);
                self.fan_out(room, span, class, |conn| !newcomers.contains(&(room, conn.serial)));
                self.newcomers = newcomers;
            }
        }
    }

    /// Tells a connection where a room stands, now or behind what its building has waiting for a commit. A `newcomer`
    /// hears nothing of the room that waits in front of this, since this says it too.
    pub(super) fn restate(&mut self, conn: ConnKey, room: RoomKey, what: Restated, newcomer: bool, bytes: &[u8]) {
        if !self.waits(self.rooms[room as usize].host) {
            return self.tell_restated(conn, room, &what, bytes);
        }
        if newcomer {
            self.newcomers.push((room, conn.serial));
        }
        let start = self.open.bytes.len();
        self.open.bytes.extend_from_slice(bytes);
        let end = self.open.bytes.len();
        self.open.outs.push(Out::Restated { conn, room, what, start, end });
        self.want_turn();
    }

    fn tell_restated(&mut self, conn: ConnKey, room: RoomKey, what: &Restated, bytes: &[u8]) {
        let enough_bytes = self.settings.outbox.control_bytes / 2;
        let Some(c) = self.conn(conn) else { return };
        match what {
            Restated::State { since: Some(_), .. } if c.hello && c.outbox.waiting() > enough_bytes => {
                // What was missed in several rooms may be too much at once. The client reads this behind the other
                // states and asks again then.
                let seq =
                    self.hosts[self.rooms[room as usize].host as usize].building.seq(&self.rooms[room as usize].id);
                let (at, id, epoch) = (self.wall, self.rooms[room as usize].id.clone(), self.epoch.clone());
                self.metrics.resyncs.inc(ResyncReason::OutboxFull);
                self.tell_conn(conn.slot, Class::Control, Some(room), |out| {
                    outbound::resync_required(out, at, &id, "slow_consumer", &epoch, seq);
                });
            }
            Restated::State { since, id } => {
                let class = if since.is_some() && c.hello { Class::State } else { Class::Control };
                self.tell_room_state(conn.slot, room, id.as_deref(), class, bytes);
            }
            Restated::Missed { .. } => {
                let span = self.arena.framed(Class::Control, Some(room), bytes);
                self.send(Target::Conn(conn), Class::Control, span);
            }
        }
    }

    /// The commit failed behind which this would have been told: it is told as things are now.
    fn restate_again(&mut self, conn: ConnKey, room: RoomKey, what: Restated) {
        let session = self.conn(conn).and_then(|conn| conn.session);
        let Some(session) = session.filter(|s| self.sessions[*s as usize].rooms.iter().any(|m| m.room == room)) else {
            return;
        };
        debug_assert_eq!(self.sessions[session as usize].conn, Some(conn.slot));
        match what {
            Restated::State { since, id } => {
                self.restate_room(conn.slot, room, since.as_ref(), id.as_deref(), false);
            }
            Restated::Missed { since } => self.replay(conn.slot, room, since),
        }
    }

    /// Whether what this building says must wait for a commit. If so, all that it says later waits behind that: a
    /// building whose last settled event is committed may still have something waiting in a later batch.
    fn waits(&mut self, host: HostKey) -> bool {
        if self.hosts[host as usize].unsettled == 0 {
            return false;
        }
        self.hold(host);
        true
    }

    fn hold(&mut self, host: HostKey) {
        if !self.open.unsettled.contains(&host) {
            self.open.unsettled.push(host);
            self.hosts[host as usize].unsettled += 1;
        }
    }

    /// How many events of a room its members have not been told yet.
    pub(super) fn held_back_in(&self, room: RoomKey) -> u64 {
        if self.hosts[self.rooms[room as usize].host as usize].unsettled == 0 {
            return 0;
        }
        self.open.held_back(room) + self.inflight.iter().map(|batch| batch.held_back(room)).sum::<u64>()
    }

    /// Answers a question from outside behind everything that its building has waiting for a commit.
    pub(super) fn answer_after(&mut self, host: HostKey, answer: impl FnOnce(&mut Hub, bool) + 'static) {
        if self.hosts[host as usize].unsettled > 0 {
            self.open.outs.push(Out::Answer(Box::new(answer)));
            self.want_turn();
        } else {
            answer(self, true);
        }
    }

    /// Answers a question from outside when everything that was decided so far is committed.
    pub(super) fn answer_committed(&mut self, answer: impl FnOnce(&mut Hub, bool) + 'static) {
        if self.inflight.is_empty() && self.open.is_empty() {
            return answer(self, true);
        }
        self.open.outs.push(Out::Answer(Box::new(answer)));
        self.want_turn();
    }

    /// Puts an operator's change on record, in the same transaction as the change itself.
    pub(super) fn record_audit(&mut self, record: AuditRecord) {
        self.open.audit.push(record);
        self.want_turn();
    }

    /// Refuses while the store cannot commit.
    pub(super) fn writable(&self) -> Result<(), Fail> {
        if self.writable {
            return Ok(());
        }
        Err(Fail::new(code::STORE_UNAVAILABLE, "the store cannot commit; what people agree on is read-only for now"))
    }

    /// Whether these events must be committed before anybody is told. If so, everything of the building waits.
    pub(super) fn hold_back(&mut self, host: HostKey, events: &[Event]) -> bool {
        if events.iter().any(Event::is_settled) {
            self.hold(host);
        }
        self.waits(host)
    }

    /// Takes events that a building has decided into the batch. `position` is the log's before them.
    pub(super) fn record_events(
        &mut self,
        host: HostKey,
        position: u64,
        events: impl IntoIterator<Item = Event>,
        held_back: bool,
    ) {
        // A turn's commands mostly go to few buildings, and the last one is the likeliest.
        let at = match self.open.parts.iter().rposition(|part| part.host == host) {
            Some(at) => at,
            None => {
                self.open.parts.push(OpenPart { host, position, events: Vec::new(), told: 0 });
                self.open.parts.len() - 1
            }
        };
        let part = &mut self.open.parts[at];
        part.events.extend(events);
        if !held_back {
            part.told = part.events.len();
        }
        self.want_turn();
    }

    /// Ends the turn's batch: notes in the tail what was told, and hands everything to the store.
    pub(super) fn close_batch(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let OpenBatch { bytes, outs, parts, audit, unsettled } = std::mem::take(&mut self.open);
        let something_to_commit = !parts.is_empty() || !audit.is_empty();
        if something_to_commit {
            self.batch_number += 1;
        }
        let number = self.batch_number;
        let hosts = parts.iter().map(|part| part.host).collect();
        let events = parts.iter().map(|part| part.events.len() as u64).sum();
        let handed_over = std::time::Instant::now();
        let mut inflight = Inflight { number, handed_over, bytes, outs, hosts, unsettled, told: Vec::new(), events };
        if !something_to_commit {
            // Only what stands behind earlier batches: it is let out with the last of them.
            match self.inflight.back_mut() {
                Some(_) => self.inflight.push_back(inflight),
                None => self.let_out(&mut inflight),
            }
            return;
        }
        self.note_told(&parts);
        let encoded = parts.iter().map(|part| self.part(part)).collect();
        inflight.told = parts.into_iter().filter_map(OpenPart::into_told).collect();
        let batch = Batch { number, parts: encoded, last_token: self.tokens.last().0, audit };
        self.metrics.fencing_token.set(self.tokens.last().0);
        match self.store.commit(batch) {
            Commit::Done => {
                self.metrics.commit_batch.observe(events);
                self.let_out(&mut inflight);
            }
            Commit::Pending => self.inflight.push_back(inflight),
            Commit::Refused(error) => {
                let first = self.inflight.is_empty();
                self.inflight.push_back(inflight);
                if first {
                    self.commit_failed(&error);
                } else {
                    // What the store took in before is sound. It will be reported, and this was decided on top of it.
                    self.refused = Some((number, error));
                    self.close_the_door();
                }
            }
        }
    }

    /// Notes in the tail what was told at once, before anybody hears it.
    fn note_told(&mut self, parts: &[OpenPart]) {
        let mut told = false;
        for part in parts.iter().filter(|part| part.told > 0) {
            let encoded = codec::encode_events(&part.events[..part.told]);
            self.tail.add(&self.hosts[part.host as usize].id, part.position, part.told as u32, &encoded);
            told = true;
        }
        if told && let Err(error) = self.tail.write(self.batch_number) {
            tracing::warn!(%error, "the tail cannot be written: a crash before the next commit would lose broadcasts");
        }
    }

    fn part(&mut self, part: &OpenPart) -> Part {
        let host = &mut self.hosts[part.host as usize];
        host.since_snapshot += part.events.len() as u64;
        let large_enough = self.settings.snapshot_events.max(host.building.lock_count() as u64);
        let snapshot = (host.since_snapshot >= large_enough).then(|| {
            host.since_snapshot = 0;
            host.building.snapshot()
        });
        Part {
            building: host.id.clone(),
            expected_position: part.position,
            count: part.events.len() as u32,
            events: codec::encode_events(&part.events),
            live_locks: host.building.lock_count() as u32,
            snapshot,
        }
    }

    /// The store reports.
    pub fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Committed { batch } => {
                while let Some(front) = self.inflight.front()
                    && front.number <= batch
                {
                    let mut done = self.inflight.pop_front().expect("there is a front");
                    if done.events > 0 {
                        self.metrics.commit.observe_span(done.handed_over.elapsed());
                        self.metrics.commit_batch.observe(done.events);
                    }
                    self.let_out(&mut done);
                }
                self.tail.committed(batch);
                let next = self.inflight.front().map(|front| front.number);
                if let Some((_, error)) = self.refused.take_if(|(number, _)| next.is_none_or(|next| next >= *number)) {
                    self.commit_failed(&error);
                }
            }
            Outcome::Failed { batch, error } => {
                if self.inflight.front().is_some_and(|front| front.number <= batch) {
                    self.commit_failed(&error);
                }
            }
            Outcome::Writable => {
                self.store_open = true;
                self.store_is_back();
            }
        }
    }

    fn let_out(&mut self, batch: &mut Inflight) {
        for host in batch.unsettled.drain(..) {
            self.hosts[host as usize].unsettled -= 1;
        }
        for out in batch.outs.drain(..) {
            match out {
                Out::Frames { target, class, room, start, end } => {
                    let span = self.arena.framed(class, room, &batch.bytes[start..end]);
                    self.send(target, class, span);
                }
                Out::Restated { conn, room, what, start, end } => {
                    let told = self.newcomers.iter().position(|entry| *entry == (room, conn.serial));
                    told.map(|at| self.newcomers.swap_remove(at));
                    self.tell_restated(conn, room, &what, &batch.bytes[start..end]);
                }
                Out::Answer(answer) => answer(self, true),
            }
        }
    }

    fn commit_failed(&mut self, error: &str) {
        tracing::error!(error, "the store cannot commit; what people agree on is read-only");
        self.metrics.commit_failures.inc();
        self.refused = None;
        self.close_the_door();
        let mut lost: Vec<Inflight> = self.inflight.drain(..).collect();
        let OpenBatch { bytes, outs, parts, audit, unsettled } = std::mem::take(&mut self.open);
        drop(audit);
        self.note_told(&parts);
        lost.push(Inflight {
            number: self.batch_number,
            handed_over: std::time::Instant::now(),
            bytes,
            outs,
            hosts: parts.iter().map(|part| part.host).collect(),
            unsettled,
            told: parts.into_iter().filter_map(OpenPart::into_told).collect(),
            events: 0,
        });
        self.newcomers.clear();
        for batch in &mut lost {
            for host in batch.unsettled.drain(..) {
                self.hosts[host as usize].unsettled -= 1;
            }
            for host in batch.hosts.drain(..) {
                if !self.broken_hosts.contains(&host) {
                    self.broken_hosts.push(host);
                }
            }
            for (host, position, events) in batch.told.drain(..) {
                let (from, told) = self.told.entry(host).or_insert_with(|| (position, Vec::new()));
                debug_assert_eq!(*from + told.len() as u64, position, "nothing is told at once behind what waits");
                told.extend(events);
            }
        }
        self.observe("daemon", "store.failed", None, None, |_| (None, Some(error.to_owned())));
        self.fold_broken_hosts();
        for batch in lost {
            for out in batch.outs {
                match out {
                    Out::Frames { target: Target::Reply(key, id), .. } => {
                        if self.conn(key).is_some() {
                            let detail = "the store cannot commit; nothing was changed";
                            self.tell_error(key.slot, id.as_deref(), code::STORE_UNAVAILABLE, detail);
                        }
                    }
                    Out::Frames { .. } => {}
                    Out::Restated { conn, room, what, .. } => self.restate_again(conn, room, what),
                    Out::Answer(answer) => answer(self, false),
                }
            }
        }
    }

    /// What people agree on is read-only from now on.
    fn close_the_door(&mut self) {
        self.metrics.store_writable.set(0);
        self.writable = false;
        self.store_open = false;
        self.set_ready();
    }

    /// The store takes batches, but some log could not be read when it said so.
    pub(super) fn try_again(&mut self) {
        if self.store_open && !self.writable {
            self.store_is_back();
        }
    }

    fn store_is_back(&mut self) {
        self.fold_broken_hosts();
        if !self.broken_hosts.is_empty() {
            tracing::error!("the store can write again but some logs cannot be read");
            return;
        }
        tracing::info!("the store can commit again");
        self.metrics.store_writable.set(1);
        self.writable = true;
        self.set_ready();
        for (host, (position, events)) in std::mem::take(&mut self.told) {
            self.record_events(host, position, events, false);
        }
        self.end_absent();
        self.observe("daemon", "store.back", None, None, |_| (None, None));
    }

    /// Sessions that ended while nothing could be decided: their locks and waits end now.
    fn end_absent(&mut self) {
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        let mut absent: Vec<(HostKey, SessionId)> = Vec::new();
        for (key, host) in &self.hosts {
            let holders = host.building.sessions_with_locks().into_iter().map(|(session, ..)| session);
            let waiters = host.building.waiter_views(&facts).into_iter().map(|waiter| waiter.session);
            let gone = holders.chain(waiters).filter(|session| !self.session_ids.contains_key(session));
            absent.extend(gone.map(|session| (key as HostKey, session)));
        }
        for (host, session) in absent {
            self.run_quietly(host, &Command::SessionEnded { session });
        }
    }

    /// Forgets what was decided but neither committed nor told: folds the buildings anew from the log, and lets happen
    /// again what members have heard.
    fn fold_broken_hosts(&mut self) {
        for host in std::mem::take(&mut self.broken_hosts) {
            let id = self.hosts[host as usize].id.clone();
            let folded = self
                .store
                .load(&id)
                .map_err(|e| e.to_string())
                .and_then(|loaded| fold(&id, loaded, &self.building_settings).map_err(|e| e.to_string()));
            match folded {
                Ok(building) => {
                    let (building, whole) = self.with_told(host, building);
                    self.replace_building(host, building, whole);
                }
                Err(error) => {
                    tracing::error!(building = %id, error, "the log cannot be read");
                    self.broken_hosts.push(host);
                }
            }
        }
    }

    /// The building with what its members have heard; false if some of that has no place in the log.
    fn with_told(&mut self, host: HostKey, mut building: Building) -> (Building, bool) {
        let Some((position, mut events)) = self.told.remove(&host) else { return (building, true) };
        let at = building.position();
        // A commit that failed in its last step may be found in the log all the same.
        let known = at.checked_sub(position).and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= events.len());
        let Some(known) = known else { return (building, false) };
        events.drain(..known);
        events.iter().for_each(|event| building.evolve(event));
        if !events.is_empty() {
            self.told.insert(host, (at, events));
        }
        (building, true)
    }

    fn replace_building(&mut self, host: HostKey, mut building: Building, whole: bool) {
        let old: Vec<Token> = self.hosts[host as usize].building.locks().collect();
        for token in old {
            self.lock_hosts.remove(&token);
        }
        let waiting = self.hosts[host as usize].building.waiter_views(&Self::facts(self.now, self.wall, &self.tokens));
        building.after_restart(self.now, self.wall);
        self.index_locks(host, &building);
        self.hosts[host as usize].building = building;
        // Who is connected is known here and not in the log.
        let owners = self.hosts[host as usize].building.sessions_with_locks();
        for (session, ..) in owners {
            match self.session_ids.get(&session).map(|key| &self.sessions[*key as usize]) {
                Some(s) if s.conn.is_some() => self.run_quietly(host, &Command::SessionResumed { session }),
                Some(_) => {}
                None => self.run_quietly(host, &Command::SessionEnded { session }),
            }
        }
        for waiter in waiting {
            let key = self.session_ids.get(&waiter.session).and_then(|s| self.sessions[*s as usize].conn);
            if let Some(slot) = key {
                let at = self.wall;
                let detail = format!("the store cannot commit; the wait {} is over", waiter.ticket);
                self.tell_conn(slot, Class::Control, None, |out| {
                    outbound::error_with(out, at, None, code::STORE_UNAVAILABLE, &detail, |o| {
                        o.plain("ticket", waiter.ticket);
                    });
                });
            }
        }
        self.reschedule(host);
        self.count_locks();
        if whole {
            return;
        }
        let rooms: Vec<RoomKey> =
            self.rooms.iter().filter(|(_, r)| r.host == host).map(|(k, _)| k as RoomKey).collect();
        for room in rooms {
            let seq = self.hosts[host as usize].building.seq(&self.rooms[room as usize].id);
            self.tell_resync(room, "store_unavailable", seq);
        }
    }

    fn tell_resync(&mut self, room: RoomKey, reason: &'static str, seq: u64) {
        let (at, r, epoch) = (self.wall, &self.rooms[room as usize], &self.epoch);
        let span = self.arena.text(Class::Control, Some(room), |out| {
            outbound::resync_required(out, at, &r.id, reason, epoch, seq);
        });
        self.metrics.resyncs.inc(ResyncReason::TailLost);
        self.fan_out(room, span, Class::Control, |_| true);
    }

    pub(super) fn index_locks(&mut self, host: HostKey, building: &Building) {
        for token in building.locks() {
            self.lock_hosts.insert(token, host);
        }
    }

    /// The building's key; brings it into memory.
    pub(super) fn host(&mut self, id: &BuildingId) -> Result<HostKey, Fail> {
        if let Some(&host) = self.host_ids.get(id) {
            return Ok(host);
        }
        let (building, since_snapshot) = if self.asleep.contains(id) {
            let unreadable = |error: String| {
                tracing::error!(building = %id, error, "the log cannot be read");
                Fail::new(code::STORE_UNAVAILABLE, "the building's log cannot be read")
            };
            let loaded = self.store.load(id).map_err(|e| unreadable(e.to_string()))?;
            let since_snapshot = loaded.since_snapshot();
            let mut building = fold(id, loaded, &self.building_settings).map_err(|e| unreadable(e.to_string()))?;
            building.after_restart(self.now, self.wall);
            (building, since_snapshot)
        } else {
            (Building::new(id.clone(), self.building_settings.clone()), 0)
        };
        self.asleep.remove(id);
        Ok(self.insert_host(id.clone(), building, since_snapshot))
    }

    fn insert_host(&mut self, id: BuildingId, building: Building, since_snapshot: u64) -> HostKey {
        let host = self.hosts.insert(Host {
            id: id.clone(),
            building,
            unsettled: 0,
            due: None,
            since_snapshot,
            rooms: 0,
            used: self.now,
        }) as HostKey;
        self.host_ids.insert(id, host);
        host
    }

    /// Folds what an earlier run left behind: buildings with locks, whose owners may come back, and what was told but
    /// not committed.
    pub(super) fn recover(&mut self, recovered: &Recovered) -> Result<(), StoreError> {
        let with_locks = self.store.load_all_with_locks()?;
        let mut lock_owners = Vec::new();
        for (id, loaded) in with_locks {
            let since_snapshot = loaded.since_snapshot();
            let building = match fold(&id, loaded, &self.building_settings) {
                Ok(building) => building,
                Err(error) => {
                    tracing::error!(building = %id, %error, "the log cannot be read; the building stays closed");
                    continue;
                }
            };
            self.asleep.remove(&id);
            lock_owners.push(self.insert_host(id, building, since_snapshot));
        }
        for record in &recovered.tail {
            let Ok(host) = self.host(&record.building) else { continue };
            match codec::decode_events(&record.events) {
                Ok(events) if record.position == self.hosts[host as usize].building.position() => {
                    for event in &events {
                        self.hosts[host as usize].building.evolve(event);
                    }
                    self.record_events(host, record.position, events, false);
                }
                Ok(_) => tracing::warn!(building = %record.building, "a told broadcast has no place in the log"),
                Err(error) => tracing::warn!(building = %record.building, %error, "a told broadcast is unreadable"),
            }
        }
        let grace_ms = self.settings.grace_ms.max(super::ticks::RECLAIM_LEAST_MS);
        for host in lock_owners {
            self.hosts[host as usize].building.after_restart(self.now, self.wall);
            let tokens: Vec<Token> = self.hosts[host as usize].building.locks().collect();
            for token in tokens {
                self.lock_hosts.insert(token, host);
            }
            for (session, user, username, legacy) in self.hosts[host as usize].building.sessions_with_locks() {
                self.await_owner(host, session, &user, &username, legacy, grace_ms);
            }
            self.reschedule(host);
        }
        self.count_locks();
        // Their only copy is the tail's until this is committed.
        self.close_batch();
        Ok(())
    }
}

/// A building's state from its log.
pub fn fold(
    id: &BuildingId,
    loaded: Loaded,
    settings: &std::sync::Arc<arxosrt_core::building::Settings>,
) -> Result<Building, codec::Corrupt> {
    let mut building = match loaded.snapshot {
        Some((_, bytes)) => Building::restore(id.clone(), &bytes, settings.clone())?,
        None => Building::new(id.clone(), settings.clone()),
    };
    for (_, bytes) in loaded.batches {
        for event in codec::decode_events(&bytes)? {
            building.evolve(&event);
        }
    }
    Ok(building)
}

impl Hub {
    /// Sets the gauge of held locks from scratch.
    fn count_locks(&self) {
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        for kind in crate::metrics::labels::LOCK_TYPES {
            self.metrics.locks_held.of(*kind).set(0);
        }
        for (_, host) in &self.hosts {
            for lock in host.building.lock_views(&facts) {
                self.metrics.locks_held.of(lock.lock_type).inc();
            }
        }
    }

    /// Events of this building are on their way to the store.
    pub(super) fn open_or_inflight(&self, host: HostKey) -> bool {
        self.open.parts.iter().any(|part| part.host == host)
            || self.inflight.iter().any(|batch| batch.hosts.contains(&host))
            || self.told.contains_key(&host)
    }

    /// The present turn has decided nothing yet.
    pub(super) fn nothing_open(&self) -> bool {
        self.open.is_empty()
    }

    /// Lets a frame out when everything that was decided so far is committed.
    pub(super) fn emit_committed(&mut self, target: Target, class: Class, frames: &[u8]) {
        let start = self.open.bytes.len();
        self.open.bytes.extend_from_slice(frames);
        let end = self.open.bytes.len();
        self.open.outs.push(Out::Frames { target, class, room: None, start, end });
        self.want_turn();
    }

    pub(super) fn set_ready(&self) {
        let state = match (self.drain.is_some(), self.writable) {
            (true, _) => ReadyState::Draining,
            (false, true) => ReadyState::Ready,
            (false, false) => ReadyState::ReadOnly,
        };
        self.ready.send_replace(state);
    }
}
