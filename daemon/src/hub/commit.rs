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

use arxosrt_core::building::codec;
use arxosrt_core::building::event::Event;
use arxosrt_core::wire::code;
use arxosrt_core::wire::outbound;

use super::arena::{Class, Span};
use super::batch::{Inflight, OpenBatch, OpenPart, Out, Restated, Target};
use super::fail::Fail;
use super::{ConnKey, HostKey, Hub, ReadyState, RoomKey};
use crate::metrics::ResyncReason;
use crate::store::{AuditRecord, Batch, Commit, Outcome, Part};

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

    pub(super) fn send(&mut self, target: Target, class: Class, span: Span) {
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

    pub(super) fn tell_restated(&mut self, conn: ConnKey, room: RoomKey, what: &Restated, bytes: &[u8]) {
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
    pub(super) fn restate_again(&mut self, conn: ConnKey, room: RoomKey, what: Restated) {
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
    pub(super) fn waits(&mut self, host: HostKey) -> bool {
        if self.hosts[host as usize].unsettled == 0 {
            return false;
        }
        self.hold(host);
        true
    }

    pub(super) fn hold(&mut self, host: HostKey) {
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
    pub(super) fn note_told(&mut self, parts: &[OpenPart]) {
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

    pub(super) fn part(&mut self, part: &OpenPart) -> Part {
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
            live: (host.building.lock_count() + host.building.open_conflict_count() + host.building.unstored_count())
                as u32,
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

    pub(super) fn let_out(&mut self, batch: &mut Inflight) {
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
}

impl Hub {
    /// Sets the gauge of held locks from scratch.
    pub(super) fn count_locks(&self) {
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
