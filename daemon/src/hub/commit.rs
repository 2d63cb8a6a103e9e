//! What waits for the store, and what becomes of it.
//!
//! Everything that a turn decides goes to the store as one batch. What settled events mean (replies, what rooms are
//! told) is encoded at once but let out only when the batch is committed; so is everything else of the same building
//! that comes behind it, so that a room's order is never changed and nobody sees what may still be forgotten. Passing
//! events (broadcasts) with nothing in front of them are told at once: they are noted in the tail first, which survives
//! the death of the process.
//!
//! When a commit fails, what was decided since the last one is forgotten: its buildings are folded anew from the log,
//! who asked is told `store_unavailable`, and who was told a broadcast that is gone is told to reload. Until the store
//! can write again, agreed state is read-only and everything else goes on.

use arxosrt_core::building::command::Command;
use arxosrt_core::building::event::Event;
use arxosrt_core::building::{Building, codec};
use arxosrt_core::id::BuildingId;
use arxosrt_core::lock::Token;
use arxosrt_core::wire::code;
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

enum Out {
    Frames {
        target: Target,
        class: Class,
        room: Option<RoomKey>,
        start: usize,
        end: usize,
    },
    /// Carries out the rest of a question from outside; the flag says whether the commit succeeded.
    Answer(Box<dyn FnOnce(&mut Hub, bool)>),
}

/// Events of one building within a batch.
struct OpenPart {
    host: HostKey,
    position: u64,
    events: Vec<Event>,
    /// So many of the first events were told at once.
    told: usize,
}

/// What the present turn has decided.
#[derive(Default)]
pub(super) struct OpenBatch {
    bytes: Vec<u8>,
    outs: Vec<Out>,
    parts: Vec<OpenPart>,
    audit: Vec<AuditRecord>,
    /// Buildings that have settled events in here.
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
}

fn forget_room(outs: &mut Vec<Out>, gone: RoomKey) {
    outs.retain_mut(|out| match out {
        Out::Frames { target: Target::Room(room), .. } => *room != gone,
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
        if self.hosts[host as usize].unsettled > 0 {
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
            Target::Room(room) => self.fan_out(room, span, class, |_| true),
        }
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
        if events.iter().any(Event::is_settled) && !self.open.unsettled.contains(&host) {
            self.open.unsettled.push(host);
            self.hosts[host as usize].unsettled += 1;
        }
        self.hosts[host as usize].unsettled > 0
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
        let mut inflight =
            Inflight { number, handed_over: std::time::Instant::now(), bytes, outs, hosts, unsettled, events };
        if !something_to_commit {
            // Only what stands behind earlier batches: it is let out with the last of them.
            match self.inflight.back_mut() {
                Some(_) => self.inflight.push_back(inflight),
                None => self.let_out(&mut inflight),
            }
            return;
        }
        let mut told = false;
        for part in parts.iter().filter(|part| part.told > 0) {
            let encoded = codec::encode_events(&part.events[..part.told]);
            self.tail.add(&self.hosts[part.host as usize].id, part.position, part.told as u32, &encoded);
            told = true;
        }
        if told && let Err(error) = self.tail.write(number) {
            tracing::warn!(%error, "the tail cannot be written: a crash before the next commit would lose broadcasts");
        }
        let parts = parts.into_iter().map(|part| self.part(part)).collect();
        let batch = Batch { number, parts, last_token: self.tokens.last().0, audit };
        self.metrics.fencing_token.set(self.tokens.last().0);
        match self.store.commit(batch) {
            Commit::Done => {
                self.metrics.commit_batch.observe(events);
                self.let_out(&mut inflight);
            }
            Commit::Pending => self.inflight.push_back(inflight),
            Commit::Refused(error) => {
                self.inflight.push_back(inflight);
                self.commit_failed(&error);
            }
        }
    }

    fn part(&mut self, part: OpenPart) -> Part {
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
            }
            Outcome::Failed { batch, error } => {
                if self.inflight.front().is_some_and(|front| front.number <= batch) {
                    self.commit_failed(&error);
                }
            }
            Outcome::Writable => self.store_is_back(),
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
                Out::Answer(answer) => answer(self, true),
            }
        }
    }

    fn commit_failed(&mut self, error: &str) {
        tracing::error!(error, "the store cannot commit; what people agree on is read-only");
        self.metrics.commit_failures.inc();
        self.metrics.store_writable.set(0);
        self.writable = false;
        self.set_ready();
        let mut lost: Vec<Inflight> = self.inflight.drain(..).collect();
        let OpenBatch { bytes, outs, parts, audit, unsettled } = std::mem::take(&mut self.open);
        drop(audit);
        lost.push(Inflight {
            number: self.batch_number,
            handed_over: std::time::Instant::now(),
            bytes,
            outs,
            hosts: parts.iter().map(|part| part.host).collect(),
            unsettled,
            events: 0,
        });
        for batch in &mut lost {
            for host in batch.unsettled.drain(..) {
                self.hosts[host as usize].unsettled -= 1;
            }
            for host in batch.hosts.drain(..) {
                if !self.broken_hosts.contains(&host) {
                    self.broken_hosts.push(host);
                }
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
                    Out::Answer(answer) => answer(self, false),
                }
            }
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
        self.observe("daemon", "store.back", None, None, |_| (None, None));
    }

    /// Forgets what was decided but not committed: folds the buildings anew from the log.
    fn fold_broken_hosts(&mut self) {
        for host in std::mem::take(&mut self.broken_hosts) {
            let id = self.hosts[host as usize].id.clone();
            let folded = self
                .store
                .load(&id)
                .map_err(|e| e.to_string())
                .and_then(|loaded| fold(&id, loaded, &self.building_settings).map_err(|e| e.to_string()));
            match folded {
                Ok(building) => self.replace_building(host, building),
                Err(error) => {
                    tracing::error!(building = %id, error, "the log cannot be read");
                    self.broken_hosts.push(host);
                }
            }
        }
    }

    fn replace_building(&mut self, host: HostKey, mut building: Building) {
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
        let building = if self.asleep.contains(id) {
            let unreadable = |error: String| {
                tracing::error!(building = %id, error, "the log cannot be read");
                Fail::new(code::STORE_UNAVAILABLE, "the building's log cannot be read")
            };
            let loaded = self.store.load(id).map_err(|e| unreadable(e.to_string()))?;
            let mut building = fold(id, loaded, &self.building_settings).map_err(|e| unreadable(e.to_string()))?;
            building.after_restart(self.now, self.wall);
            building
        } else {
            Building::new(id.clone(), self.building_settings.clone())
        };
        self.asleep.remove(id);
        Ok(self.insert_host(id.clone(), building))
    }

    fn insert_host(&mut self, id: BuildingId, building: Building) -> HostKey {
        let host = self.hosts.insert(Host {
            id: id.clone(),
            building,
            unsettled: 0,
            due: None,
            since_snapshot: 0,
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
            let building = match fold(&id, loaded, &self.building_settings) {
                Ok(building) => building,
                Err(error) => {
                    tracing::error!(building = %id, %error, "the log cannot be read; the building stays closed");
                    continue;
                }
            };
            self.asleep.remove(&id);
            lock_owners.push(self.insert_host(id, building));
        }
        for record in &recovered.tail {
            let Ok(host) = self.host(&record.building) else { continue };
            match codec::decode_events(&record.events) {
                Ok(events) if record.position == self.hosts[host as usize].building.position() => {
                    for event in &events {
                        self.hosts[host as usize].building.evolve(event);
                    }
                    self.record_events(host, record.position, events, true);
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
