//! Going back to what is committed: when a commit fails, when the store is back, and at the start.
//!
//! What was decided but not committed is forgotten by folding the buildings anew from the log. What members have heard
//! already is kept and committed again first, so that no sequence number ever means two things.

use arxosrt_core::building::command::Command;
use arxosrt_core::building::{Building, codec};
use arxosrt_core::id::{BuildingId, SessionId};
use arxosrt_core::wire::code;
use arxosrt_core::wire::outbound;

use super::arena::Class;
use super::batch::{Inflight, OpenBatch, OpenPart, Out, Target};
use super::fail::Fail;
use super::state::Host;
use super::{HostKey, Hub, RoomKey};
use crate::metrics::ResyncReason;
use crate::store::{Loaded, Recovered, StoreError};

impl Hub {
    pub(super) fn commit_failed(&mut self, error: &str) {
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
    pub(super) fn close_the_door(&mut self) {
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

    pub(super) fn store_is_back(&mut self) {
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
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        for old in self.hosts[host as usize].building.lock_views(&facts) {
            self.lock_hosts.remove(&old.token);
            old.targets.iter().flat_map(|t| t.place.rooms()).for_each(|room| self.unshow_room(room));
        }
        let waiting = self.hosts[host as usize].building.waiter_views(&Self::facts(self.now, self.wall, &self.tokens));
        building.after_restart(self.now, self.wall);
        self.hosts[host as usize].building = building;
        self.learn_documents(host);
        self.index_locks(host);
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

    fn index_locks(&mut self, host: HostKey) {
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        for lock in self.hosts[host as usize].building.lock_views(&facts) {
            self.lock_hosts.insert(lock.token, host);
            lock.targets.iter().flat_map(|t| t.place.rooms()).for_each(|room| self.show_room(room, host));
        }
    }

    /// The building's key; brings it into memory.
    pub(super) fn host(&mut self, id: &BuildingId) -> Result<HostKey, Fail> {
        if let Some(&host) = self.host_ids.get(id) {
            return Ok(host);
        }
        if self.closed.contains(id) {
            return Err(closed(id));
        }
        let (building, since_snapshot) = if self.asleep.contains(id) {
            let loaded = match self.store.load(id) {
                Ok(loaded) => loaded,
                Err(error) if error.is_damage() => return Err(self.close_building(id, &error)),
                Err(error) => {
                    tracing::error!(building = %id, %error, "the log cannot be read");
                    return Err(Fail::new(code::STORE_UNAVAILABLE, "the building's log cannot be read now"));
                }
            };
            let since_snapshot = loaded.since_snapshot();
            let folded = fold(id, loaded, &self.building_settings);
            let mut building = folded.map_err(|error| self.close_building(id, &error))?;
            building.after_restart(self.now, self.wall);
            (building, since_snapshot)
        } else {
            (Building::new(id.clone(), self.building_settings.clone()), 0)
        };
        self.asleep.remove(id);
        Ok(self.insert_host(id.clone(), building, since_snapshot))
    }

    /// What was kept of this building is damaged. It stays closed as long as the daemon runs: who holds which of its
    /// things is not known, so nobody gets any.
    fn close_building(&mut self, id: &BuildingId, error: &dyn std::error::Error) -> Fail {
        tracing::error!(building = %id, %error, "the log is damaged: the building stays closed, the others are open");
        self.closed.insert(id.clone());
        self.metrics.buildings_closed.set(self.closed.len() as u64);
        closed(id)
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
        self.learn_documents(host);
        host
    }

    /// Folds what an earlier run left behind: buildings with locks, whose owners may come back, and what was told but
    /// not committed.
    pub(super) fn recover(&mut self, recovered: &Recovered) -> Result<(), StoreError> {
        let with_locks = self.store.load_all_with_locks()?;
        let mut lock_owners = Vec::new();
        for (id, loaded) in with_locks {
            let loaded = match loaded {
                Ok(loaded) => loaded,
                Err(error) => {
                    self.close_building(&id, &error);
                    continue;
                }
            };
            let since_snapshot = loaded.since_snapshot();
            let building = match fold(&id, loaded, &self.building_settings) {
                Ok(building) => building,
                Err(error) => {
                    self.close_building(&id, &error);
                    continue;
                }
            };
            self.asleep.remove(&id);
            lock_owners.push(self.insert_host(id, building, since_snapshot));
        }
        for record in &recovered.tail {
            let Ok(host) = self.host(&record.building) else {
                tracing::error!(building = %record.building, "a told broadcast of a closed building is lost");
                continue;
            };
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
        let grace_ms = self.settings.grace_ms.max(super::settings::RECLAIM_LEAST_MS);
        for host in lock_owners {
            self.hosts[host as usize].building.after_restart(self.now, self.wall);
            self.index_locks(host);
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

pub(super) fn closed(id: &BuildingId) -> Fail {
    let detail = format!("the building {id} is closed: its log is damaged and must be repaired by an operator");
    Fail::new(code::STORE_UNAVAILABLE, detail)
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
    let mut reader = codec::Reader::default();
    for (_, bytes) in loaded.batches {
        for event in reader.events(&bytes)? {
            building.evolve(&event);
        }
    }
    Ok(building)
}
