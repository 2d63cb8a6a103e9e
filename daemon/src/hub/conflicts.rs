//! Edits and conflicts as people hear of them: rooms learn what changed, the two of a conflict learn of it and nobody
//! else.
//!
//! A person who is away finds the open conflicts on returning: they are told again with each new connection, once, when
//! it is clear who it is. What operators watch are names and paths, never values.

use std::collections::{BTreeSet, HashMap, HashSet};

use arxosrt_core::building::command::{Command, Place, Reply, Resolver};
use arxosrt_core::building::conflict::{Conflict, ConflictId, Opened, Settled, SettledBy, Status};
use arxosrt_core::building::event::{EditAuthor, Edited, Event};
use arxosrt_core::building::notice::Notice;
use arxosrt_core::cache::place::Part;
use arxosrt_core::directory::{Located, Placed};
use arxosrt_core::edit::rules::{ResourceKind, Severity};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, UserId};
use arxosrt_core::wire::inbound_edit::{Resolve, Restore};
use arxosrt_core::wire::outbound_edit::{self, Viewer};
use arxosrt_core::wire::{code, outbound};
use smallvec::SmallVec;

use super::arena::{Class, text_frame};
use super::batch::Target;
use super::fail::Fail;
use super::locking::{ReplyTo, refusal_words};
use super::{HostKey, Hub, SessionKey};
use crate::cache::Touched;
use crate::metrics::SettledHow;

/// Where a thing lies that the directory does not know to be there.
pub(super) type Spot = (BuildingId, SmallVec<[RoomId; 1]>);

/// Which building a conflict is in, and which open ones a person has.
#[derive(Default)]
pub(super) struct ConflictIndex {
    entries: HashMap<ConflictId, Entry>,
    in_host: HashMap<HostKey, HashSet<ConflictId>>,
    of: HashMap<UserId, BTreeSet<(HostKey, ConflictId)>>,
    escalated: HashSet<ConflictId>,
    open: usize,
}

struct Entry {
    host: HostKey,
    /// The two who are to settle it, while it is open.
    open_for: Option<[UserId; 2]>,
}

impl ConflictIndex {
    /// The building that a conflict is in.
    pub(super) fn host(&self, id: ConflictId) -> Option<HostKey> {
        self.entries.get(&id).map(|entry| entry.host)
    }

    fn open(&mut self, host: HostKey, opened: &Opened) {
        let people = [opened.first.user.clone(), opened.second.user.clone()];
        for user in &people {
            self.of.entry(user.clone()).or_default().insert((host, opened.id));
        }
        self.open += 1;
        self.insert(opened.id, Entry { host, open_for: Some(people) });
    }

    fn insert(&mut self, id: ConflictId, entry: Entry) {
        self.in_host.entry(entry.host).or_default().insert(id);
        self.entries.insert(id, entry);
    }

    fn settle(&mut self, id: ConflictId) {
        self.escalated.remove(&id);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(people) = entry.open_for.take() else { return };
        self.open -= 1;
        for user in &people {
            if let Some(open) = self.of.get_mut(user) {
                open.remove(&(entry.host, id));
                if open.is_empty() {
                    self.of.remove(user);
                }
            }
        }
    }

    /// A building leaves memory, or is folded anew.
    pub(super) fn forget(&mut self, host: HostKey) {
        for id in self.in_host.remove(&host).unwrap_or_default() {
            self.settle(id);
            self.entries.remove(&id);
        }
    }

    /// A building has come into memory.
    fn learn(&mut self, host: HostKey, building: &arxosrt_core::building::Building) {
        for conflict in building.conflicts() {
            if conflict.is_open() {
                self.open(host, &conflict.opened);
            } else {
                self.insert(conflict.opened.id, Entry { host, open_for: None });
            }
            if matches!(conflict.status, Status::Escalated { .. }) {
                self.escalated.insert(conflict.opened.id);
            }
        }
    }

    /// How many wait for an operator.
    pub(super) fn escalated_count(&self) -> usize {
        self.escalated.len()
    }
}

impl Hub {
    /// Tells the rooms what an edit has changed.
    pub(super) fn tell_edited(&mut self, host: HostKey, event: &Event, edited: &Edited) {
        self.edited.insert(host);
        self.risk.touch(edited);
        if edited.moved_to.is_some() || self.directory.locate(&edited.resource).is_none() {
            let building = self.hosts[host as usize].id.clone();
            let rooms = match &edited.moved_to {
                Some(floor) => SmallVec::from_iter([floor.clone()]),
                None => edited.seen.iter().map(|seen| seen.room.clone()).collect(),
            };
            if edited.kind != ResourceKind::Floor {
                self.placed.insert(edited.resource.clone(), (building, rooms));
            }
        }
        self.doubt_cached(host, edited);
        self.tell_sightings(host, event);
        self.signal_edit(edited);
        self.observe_event("edit", "edit.committed", || {
            let user = match &edited.author {
                EditAuthor::Person { user, .. } => Some(user.clone()),
                EditAuthor::Operator(_) => None,
            };
            let room = edited.seen.first().map(|seen| seen.room.clone());
            let detail = format!("version {}, {} changes", edited.version, edited.changes.len());
            (room, user, Some(edited.resource.to_string()), Some(detail))
        });
    }

    /// With the commit, and before anybody hears of it, the cache learns of it. Not earlier: who reads between the decision
    /// and the commit gets what is committed, and that must not stay. What the edit leads to is taken down now: until the
    /// commit others may follow that have none yet.
    fn doubt_cached(&mut self, host: HostKey, edited: &Edited) {
        let h = &self.hosts[host as usize];
        let now = match edited.kind {
            ResourceKind::Object | ResourceKind::Route => h.building.agreed(&edited.resource),
            ResourceKind::Floor => None,
        };
        let touched = Touched {
            building: h.id.clone(),
            floors: edited.seen.iter().map(|seen| seen.room.clone()).chain(edited.moved_to.clone()).collect(),
            part: match edited.kind {
                ResourceKind::Object => Some(Part::Objects),
                ResourceKind::Route => Some(Part::Routes),
                ResourceKind::Floor if edited.base == 0 || !h.building.has_document(&edited.resource) => None,
                ResourceKind::Floor => Some(Part::Document),
            },
            resource: edited.resource.clone(),
            now,
        };
        self.answer_after(host, move |hub, committed| {
            if committed {
                hub.cache.touched(touched);
            }
        });
    }

    pub(super) fn conflict_opened(&mut self, host: HostKey, opened: &Opened) {
        self.conflicts.open(host, opened);
        self.risk_came_true(opened);
        self.metrics.conflicts.inc(severity_label(opened.severity));
        self.count_conflicts();
        let told = || {
            let detail = format!("{} {}: {}", opened.severity, opened.resource, opened.description);
            (opened.rooms.first().cloned(), Some(opened.second.user.clone()), Some(opened.id.to_string()), Some(detail))
        };
        self.observe_event("conflict", "conflict.opened", told);
    }

    pub(super) fn conflict_escalated(&mut self, host: HostKey, id: ConflictId) {
        self.conflicts.escalated.insert(id);
        self.metrics.conflicts_escalated.inc();
        self.count_conflicts();
        let Some(opened) = self.hosts[host as usize].building.conflict(id).map(|conflict| conflict.opened.clone())
        else {
            return;
        };
        tracing::warn!(conflict = %id, resource = %opened.resource, kind = %opened.kind, "a conflict needs an operator");
        self.observe_event("conflict", "conflict.escalated", || {
            let detail = format!("{} {}: {}", opened.severity, opened.resource, opened.description);
            (opened.rooms.first().cloned(), None, Some(id.to_string()), Some(detail))
        });
    }

    pub(super) fn conflict_settled(&mut self, host: HostKey, settled: &Settled) {
        let conflict = self.hosts[host as usize].building.conflict(settled.id);
        let Some(opened) = conflict.map(|conflict| conflict.opened.clone()) else { return };
        self.conflicts.settle(settled.id);
        self.metrics.conflicts_settled.inc(match settled.by {
            SettledBy::Party(_) => SettledHow::People,
            SettledBy::Operator(..) => SettledHow::Operators,
            SettledBy::Timeout => SettledHow::Timeout,
            SettledBy::Rules => SettledHow::Rules,
        });
        self.count_conflicts();
        self.observe_event("conflict", "conflict.settled", || {
            let detail = format!("{}: {} by {}", opened.resource, settled.word.as_str(), settled.by.as_str());
            (opened.rooms.first().cloned(), None, Some(settled.id.to_string()), Some(detail))
        });
    }

    pub(super) fn count_conflicts(&self) {
        self.metrics.conflicts_open.set(self.conflicts.open as u64);
        self.metrics.conflicts_waiting_for_operators.set(self.conflicts.escalated_count() as u64);
    }

    /// Tells a person something, everywhere it is connected.
    pub(super) fn tell_person(&mut self, host: HostKey, person: &UserId, notice: &Notice) {
        let Some(&user) = self.user_ids.get(person) else { return };
        let sessions = self.users[user as usize].sessions.clone();
        let slots: SmallVec<[u32; 4]> = sessions.iter().filter_map(|s| self.sessions[*s as usize].conn).collect();
        for slot in slots {
            let (at, conn) = (self.wall, self.conn_key(slot));
            self.emit_with(host, Target::Conn(conn), Class::Control, None, |out| {
                text_frame(out, |out| outbound::notice(out, at, notice, person));
            });
        }
    }

    /// It is clear who has connected: the person's open conflicts are told, once.
    pub(super) fn tell_open_conflicts(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        if std::mem::replace(&mut conn.conflicts_told, true) {
            return;
        }
        let user = self.users[conn.user as usize].id.clone();
        let Some(open) = self.conflicts.of.get(&user).cloned() else { return };
        for (host, id) in open {
            let Some(conflict) = self.hosts[host as usize].building.conflict(id) else { continue };
            let (opened, revision, due_ms) = (conflict.opened.clone(), conflict.revision, self.decided_in_ms(conflict));
            let (at, key) = (self.wall, self.conn_key(slot));
            self.emit_with(host, Target::Conn(key), Class::Control, None, |out| {
                text_frame(out, |out| outbound_edit::conflict_detected(out, at, &opened, revision, due_ms, &user));
            });
        }
    }

    /// In how long a conflict is decided without its people.
    pub(super) fn decided_in_ms(&self, conflict: &Conflict) -> Option<u64> {
        conflict.due().map(|due| due.since(self.now))
    }

    /// `list_conflicts`.
    pub(super) fn list_conflicts(&mut self, slot: u32, id: Option<&str>) {
        let user = self.users[self.conns[slot as usize].user as usize].id.clone();
        let open = self.conflicts.of.get(&user).cloned().unwrap_or_default();
        let mut items = Vec::with_capacity(open.len());
        for (host, conflict) in open {
            let Some(conflict) = self.hosts[host as usize].building.conflict(conflict) else { continue };
            let mut item = Vec::new();
            outbound_edit::conflict(&mut item, conflict, self.decided_in_ms(conflict), Viewer::Party(&user));
            items.push(item);
        }
        let (at, key) = (self.wall, self.conn_key(slot));
        let mut frame = Vec::new();
        text_frame(&mut frame, |out| outbound_edit::conflicts(out, at, id, &items));
        if let Some(id) = id {
            text_frame(&mut frame, |out| outbound::ack(out, at, id, |_| {}));
        }
        self.emit_committed(Target::Reply(key, id.map(Box::from)), Class::Control, &frame);
    }

    /// `resolve_conflict`. Whatever is wrong with it is a plain no, as it always was, with a code.
    pub(super) fn resolve_conflict(&mut self, session: SessionKey, resolve: &Resolve, to: ReplyTo) {
        let by = Resolver::Person(self.actor(session));
        let command = Command::ResolveConflict {
            conflict: resolve.conflict,
            by,
            revision: resolve.revision,
            resolution: resolve.resolution.clone(),
        };
        let reply = self.about_conflict(resolve.conflict, &command);
        self.answer_resolution(resolve.conflict, reply, to);
    }

    /// `restore_value`.
    pub(super) fn restore_value(&mut self, session: SessionKey, restore: &Restore, to: ReplyTo) {
        let by = Resolver::Person(self.actor(session));
        let command = Command::RestoreValue {
            conflict: restore.conflict,
            by,
            whose: restore.whose.clone(),
            path: restore.path.clone(),
        };
        let reply = self.about_conflict(restore.conflict, &command);
        self.answer_resolution(restore.conflict, reply, to);
    }

    /// Has the building of a conflict decide about it.
    pub(super) fn about_conflict(&mut self, conflict: ConflictId, command: &Command) -> Result<Reply, Fail> {
        self.writable()?;
        let unknown = || Fail::new(code::CONFLICT_NOT_FOUND, "there is no such conflict, or it is not yours");
        let host = self.conflicts.host(conflict).ok_or_else(unknown)?;
        match self.run(host, command) {
            Reply::Refused(refusal) => {
                let (code, detail) = refusal_words(&refusal);
                Err(Fail::new(code, detail))
            }
            reply => Ok(reply),
        }
    }

    fn answer_resolution(&mut self, conflict: ConflictId, reply: Result<Reply, Fail>, to: ReplyTo) {
        let (at, mut frames) = (self.wall, Vec::new());
        let success = match reply {
            Ok(Reply::Settled { changes, version, .. }) => {
                text_frame(&mut frames, |out| {
                    outbound_edit::resolution_done(out, at, to.id(), conflict, version, &changes);
                });
                true
            }
            Ok(_) => return,
            Err(Fail { code, detail }) => {
                self.metrics.refused.inc(code.name);
                text_frame(&mut frames, |out| {
                    outbound_edit::resolution_refused(out, at, to.id(), &conflict.to_string(), code, &detail);
                });
                false
            }
        };
        if let Some(id) = to.id() {
            text_frame(&mut frames, |out| {
                outbound::ack(out, at, id, |o| {
                    o.bool("success", success);
                });
            });
        }
        self.emit_committed(to.target(), Class::Control, &frames);
    }

    /// Where a resource lies that an edit has moved, or that began with an edit.
    pub(super) fn placed_by_edit(&self, resource: &ResourceId) -> Option<Placed> {
        let (building, rooms) = self.placed.get(resource)?;
        Some(Placed { building: building.clone(), place: Place::Item(rooms.clone()) })
    }

    /// A building has come into memory, or was folded anew: what it says of documents and conflicts is indexed.
    pub(super) fn learn_documents(&mut self, host: HostKey) {
        self.conflicts.forget(host);
        let h = &self.hosts[host as usize];
        self.conflicts.learn(host, &h.building);
        let placed: Vec<(ResourceId, Spot)> = h
            .building
            .placed_by_edits()
            .filter(|(resource, rooms, kind)| {
                let as_known = match self.directory.locate(resource) {
                    Some(Located::Item { floors, .. }) => floors == *rooms,
                    _ => false,
                };
                *kind != ResourceKind::Floor && !as_known
            })
            .map(|(resource, rooms, _)| (resource.clone(), (h.id.clone(), rooms.into())))
            .collect();
        self.placed.extend(placed);
        if h.building.unstored_count() > 0 {
            self.edited.insert(host);
        }
        self.count_conflicts();
    }
}

pub(super) fn severity_label(severity: Severity) -> crate::metrics::SeverityLabel {
    use crate::metrics::SeverityLabel;
    match severity {
        Severity::Low => SeverityLabel::Low,
        Severity::Medium => SeverityLabel::Medium,
        Severity::High => SeverityLabel::High,
        Severity::Critical => SeverityLabel::Critical,
    }
}
