//! Edits: from a client's words to a building's decision, and what it is answered.
//!
//! A building that has no document of a resource yet is given the origin's first; until that has come, the edits of the
//! resource wait in order, and nobody else does. Edits of one message are carried out one after another, each with an
//! answer of its own; the answers go out together when all that was decided is committed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arxosrt_core::building::DocumentView;
use arxosrt_core::building::command::{Actor, Command, EditWish, Place, Refusal, Reply, Target as EditTarget};
use arxosrt_core::directory::{ItemKind, Located};
use arxosrt_core::edit::rules::ResourceKind;
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::LockType;
use arxosrt_core::wire::code::{self, ErrorCode};
use arxosrt_core::wire::inbound::{Since, Wanted};
use arxosrt_core::wire::inbound_edit::{Edit, SyncItem};
use arxosrt_core::wire::json::Object;
use arxosrt_core::wire::outbound;
use arxosrt_core::wire::outbound_edit::{self, EditAnswer};
use serde_json::value::RawValue;

use super::arena::{Class, text_frame};
use super::ask::Reply as AskReply;
use super::fail::Fail;
use super::locking::{ReplyTo, refusal_words};
use super::{HostKey, Hub, RoomKey, SessionKey};
use crate::metrics::EditResult;
use crate::origin::directory::Trouble;
use crate::origin::documents::{Document, Kind};
use crate::origin::service::{OriginAnswer, Taken};
use crate::origin::write_back::Stored as ToStore;

/// How many documents of one building are handed to the origin at once.
const STORED_AT_ONCE: usize = 256;

/// How many messages with edits may wait for documents of the origin.
pub const WAITING_MAX: usize = 4096;

/// What a document is answered with: its version and its JSON text.
pub(super) type Found = Option<(u64, Box<RawValue>)>;

/// Edits that wait for documents of the origin.
#[derive(Default)]
pub(super) struct Waiting {
    jobs: HashMap<(BuildingId, ResourceId), Vec<Job>>,
    readers: HashMap<(BuildingId, ResourceId), Vec<AskReply<Found>>>,
    count: usize,
}

/// The edits of one message on their way through.
pub(super) struct Job {
    actor: Actor,
    /// The asker's session, as long as it lives.
    session: SessionId,
    /// The origin was asked for this one's document already.
    loaded: Option<ResourceId>,
    items: VecDeque<Item>,
    results: Vec<Vec<u8>>,
    /// What the last one came to, for the one `ack` or `error` of a single edit.
    last: Option<Last>,
    to: JobReply,
}

/// One edit of a job.
struct Item {
    edit: Result<Edit<'static>, (ErrorCode, String)>,
    edit_id: Option<Box<str>>,
}

enum Last {
    Done { result: Box<str>, version: u64 },
    Refused(ErrorCode, String),
}

/// Who is answered, and in which form.
pub(super) enum JobReply {
    /// `edit`.
    Edit(ReplyTo),
    /// `sync`.
    Sync(ReplyTo),
    /// REST, one edit.
    RestEdit(AskReply<Box<RawValue>>),
    /// REST, several.
    RestSync(AskReply<Box<RawValue>>),
}

/// The answer to one edit, before it is written.
struct Answered {
    resource: Option<ResourceId>,
    result: Result<arxosrt_core::building::command::EditReply, Refused>,
}

struct Refused {
    code: ErrorCode,
    detail: String,
    version: Option<u64>,
}

impl Hub {
    /// `edit`.
    pub(super) fn client_edit(&mut self, session: SessionKey, edit: Edit<'_>, to: ReplyTo) -> Result<(), Fail> {
        self.edits_may_come()?;
        let item = Item { edit_id: edit.edit_id.as_deref().map(Box::from), edit: Ok(edit.into_owned()) };
        let job = self.job(session, VecDeque::from([item]), JobReply::Edit(to), false);
        self.advance(job);
        Ok(())
    }

    /// `sync`.
    pub(super) fn client_sync(
        &mut self,
        session: SessionKey,
        edits: Vec<SyncItem<'_>>,
        to: ReplyTo,
    ) -> Result<(), Fail> {
        self.edits_may_come()?;
        let job = self.job(session, owned(edits), JobReply::Sync(to), false);
        self.advance(job);
        Ok(())
    }

    /// `POST /edit` and `POST /sync`: in the name of the person's most recently active session.
    pub(super) fn rest_edits(&mut self, user: &UserId, edits: Vec<SyncItem<'static>>, to: JobReply) {
        let begun = self.edits_may_come().and_then(|()| self.active_session(user));
        match begun {
            Ok(session) => {
                let job = self.job(session, owned(edits), to, true);
                self.advance(job);
            }
            Err(fail) => match to {
                JobReply::RestEdit(reply) | JobReply::RestSync(reply) => {
                    let _ = reply.send(Err(fail.into()));
                }
                JobReply::Edit(_) | JobReply::Sync(_) => unreachable!("REST answers over REST"),
            },
        }
    }

    fn edits_may_come(&self) -> Result<(), Fail> {
        self.writable()?;
        if self.waiting.count >= WAITING_MAX {
            let detail = format!("{WAITING_MAX} messages with edits wait for documents of the origin");
            return Err(Fail::new(code::LIMIT, detail));
        }
        Ok(())
    }

    fn job(&self, session: SessionKey, items: VecDeque<Item>, to: JobReply, by_rest: bool) -> Job {
        let mut actor = self.actor(session);
        actor.legacy |= by_rest;
        let session = self.sessions[session as usize].id.clone();
        Job { actor, session, loaded: None, results: Vec::with_capacity(items.len()), items, last: None, to }
    }

    /// Carries out the edits of a job until it is done or must wait for a document.
    fn advance(&mut self, mut job: Job) {
        while let Some(item) = job.items.front() {
            if let Ok(edit) = &item.edit
                && job.loaded.as_ref() != Some(&edit.resource)
                && let Ok((building, _)) = self.place_of_edit(&job.session, edit)
                && let Ok(host) = self.host(&building)
                && !self.hosts[host as usize].building.knows_document(&edit.resource)
            {
                let resource = edit.resource.clone();
                match self.wait_for_document(building, resource, job) {
                    None => return,
                    Some(back) => job = back,
                }
                continue;
            }
            let item = job.items.pop_front().expect("there is a front");
            let answered = self.carry_out_edit(&job, &item);
            self.count_edit(&answered);
            job.note(&item, answered);
        }
        self.answer_job(job);
    }

    fn place_of_edit(&self, session: &SessionId, edit: &Edit) -> Result<(BuildingId, EditTarget), Fail> {
        let session = self.session_ids.get(session).copied();
        let wanted = Wanted { resource: edit.resource.clone(), room: edit.room.clone() };
        let placed = self.place(session, LockType::ObjectEdit, &wanted)?;
        Ok((placed.building, EditTarget { resource: wanted.resource, place: placed.place }))
    }

    fn carry_out_edit(&mut self, job: &Job, item: &Item) -> Answered {
        let refused =
            |resource, code, detail| Answered { resource, result: Err(Refused { code, detail, version: None }) };
        let edit = match &item.edit {
            Ok(edit) => edit,
            Err((code, detail)) => return refused(None, *code, detail.clone()),
        };
        let resource = Some(edit.resource.clone());
        let placed = self.writable().and_then(|()| self.place_of_edit(&job.session, edit));
        let placed = placed.and_then(|(building, target)| Ok((self.host(&building)?, target)));
        let (host, target) = match placed {
            Ok(placed) => placed,
            Err(fail) => return refused(resource, fail.code, fail.detail),
        };
        let began = std::time::Instant::now();
        let session = self.session_ids.get(&job.session).copied();
        let frame = edit.frame.or_else(|| self.frame_seen(session?, target.place.rooms()));
        let building = self.hosts[host as usize].id.clone();
        let wish = EditWish {
            actor: job.actor.clone(),
            kind: self.kind_of(&target),
            floors: self
                .directory
                .building(&building)
                .map_or_else(Default::default, |entry| entry.floors.to_vec().into()),
            target,
            base: edit.base,
            body: edit.body.clone(),
            token: edit.token,
            frame,
            edit_id: item.edit_id.clone(),
        };
        let rooms: Vec<RoomId> = wish.target.place.rooms().to_vec();
        self.risk.begin_edit();
        let reply = self.run(host, &Command::Edit(wish));
        self.metrics.edit_time.observe_span(began.elapsed());
        self.risk_of_edit(host, &job.actor.user, &edit.resource, &rooms);
        if let Some(session) = session {
            self.knows_frame(session, host, &rooms, &edit.resource);
        }
        let result = match reply {
            Reply::Edited(reply) => Ok(reply),
            Reply::Refused(refusal) => {
                let version = match &refusal {
                    Refusal::BaseTooOld { version, .. } | Refusal::BaseAhead { version } => Some(*version),
                    _ => None,
                };
                let (code, detail) = refusal_words(&refusal);
                Err(Refused { code, detail, version })
            }
            _ => Err(Refused { code: code::BAD_EDIT, detail: "the edit led to nothing".to_owned(), version: None }),
        };
        Answered { resource, result }
    }

    /// The version of the grid that the session has seen, of the floors that these rooms are.
    fn frame_seen(&self, session: SessionKey, rooms: &[RoomId]) -> Option<u64> {
        let memberships = &self.sessions[session as usize].rooms;
        let seen = memberships.iter().filter(|m| rooms.contains(&self.rooms[m.room as usize].id)).map(|m| m.frame);
        seen.min()
    }

    /// The version of the grid of the floor that this room is.
    pub(super) fn frame_of(&self, room: RoomKey) -> u64 {
        let r = &self.rooms[room as usize];
        self.hosts[r.host as usize].building.frame(&r.id).map_or(0, |(version, _)| version)
    }

    /// Who joins anew has loaded the floor; who comes back has seen its grid as it was then.
    pub(super) fn knows_grid_since(&mut self, session: SessionKey, room: RoomKey, since: Option<&Since>) {
        let r = &self.rooms[room as usize];
        let frame = match (self.hosts[r.host as usize].building.frame(&r.id), since) {
            (Some((_, seq)), Some(since)) if since.seq < seq => 0,
            (Some((version, _)), _) => version,
            (None, _) => 0,
        };
        let mut rooms = self.sessions[session as usize].rooms.iter_mut();
        if let Some(membership) = rooms.find(|membership| membership.room == room) {
            membership.frame = frame;
        }
    }

    /// Who has calibrated a grid knows it.
    fn knows_frame(&mut self, session: SessionKey, host: HostKey, rooms: &[RoomId], resource: &ResourceId) {
        if !rooms.iter().any(|room| room.as_str() == resource.as_str()) {
            return;
        }
        for i in 0..self.sessions[session as usize].rooms.len() {
            let room = self.sessions[session as usize].rooms[i].room;
            let id = &self.rooms[room as usize].id;
            if rooms.contains(id) {
                let frame = self.hosts[host as usize].building.frame(id).map_or(0, |(version, _)| version);
                self.sessions[session as usize].rooms[i].frame = frame;
            }
        }
    }

    /// What a resource is, as far as the directory knows.
    fn kind_of(&self, target: &EditTarget) -> ResourceKind {
        match (&target.place, self.directory.locate(&target.resource)) {
            (Place::Floor(_) | Place::Building(_), _) => ResourceKind::Floor,
            (_, Some(Located::Item { kind: ItemKind::Route, .. })) => ResourceKind::Route,
            _ => ResourceKind::Object,
        }
    }

    /// Lets a job wait for a document. Gives it back, with its first edit answered, if too many wait already.
    fn wait_for_document(&mut self, building: BuildingId, resource: ResourceId, mut job: Job) -> Option<Job> {
        let key = (building, resource);
        let first = !self.waiting.jobs.contains_key(&key) && !self.waiting.readers.contains_key(&key);
        if first && let Err(error) = self.origin.load(key.0.clone(), key.1.clone()) {
            if let Some(item) = job.items.pop_front() {
                let result = Err(Refused { code: code::LIMIT, detail: error.to_string(), version: None });
                job.note(&item, Answered { resource: Some(key.1), result });
            }
            return Some(job);
        }
        self.waiting.count += 1;
        self.waiting.jobs.entry(key).or_default().push(job);
        None
    }

    /// The origin reports.
    pub fn origin_answer(&mut self, answer: OriginAnswer) {
        match answer {
            OriginAnswer::Loaded { building, resource, result } => self.document_came(building, resource, result),
            OriginAnswer::Written { building, resources } => {
                if let Ok(host) = self.host(&building) {
                    self.run_quietly(host, &Command::Stored { resources });
                }
            }
            OriginAnswer::Refused { building, resource, version, why } => {
                tracing::warn!(%building, %resource, version, why, "a document does not fit into the origin; the log has it");
                if let Ok(host) = self.host(&building) {
                    self.run_quietly(host, &Command::Stored { resources: vec![(resource, version)] });
                }
            }
        }
    }

    /// Asks the origin for a document that no building has yet.
    pub(super) fn ask_origin(&mut self, building: BuildingId, resource: ResourceId, reply: AskReply<Found>) {
        let key = (building, resource);
        let first = !self.waiting.jobs.contains_key(&key) && !self.waiting.readers.contains_key(&key);
        if self.waiting.count >= WAITING_MAX {
            let detail = format!("{WAITING_MAX} others wait for documents of the origin");
            let _ = reply.send(Err(Fail::new(code::LIMIT, detail).into()));
            return;
        }
        if first && let Err(error) = self.origin.load(key.0.clone(), key.1.clone()) {
            let _ = reply.send(Err(Fail::new(code::LIMIT, error.to_string()).into()));
            return;
        }
        self.waiting.count += 1;
        self.waiting.readers.entry(key).or_default().push(reply);
    }

    /// Answers those who only wanted to read.
    fn readers_served(&mut self, key: &(BuildingId, ResourceId), result: &Result<Option<Document>, Trouble>) {
        for reader in self.waiting.readers.remove(key).unwrap_or_default() {
            self.waiting.count -= 1;
            let _ = reader.send(match result {
                Ok(found) => Ok(found.as_ref().map(|found| (found.version, raw(found.text.as_bytes().to_vec())))),
                Err(_) => Err(Fail::new(code::ORIGIN_UNAVAILABLE, "the document cannot be read now").into()),
            });
        }
    }

    fn document_came(&mut self, building: BuildingId, resource: ResourceId, result: Result<Option<Document>, Trouble>) {
        self.readers_served(&(building.clone(), resource.clone()), &result);
        let jobs = self.waiting.jobs.remove(&(building.clone(), resource.clone())).unwrap_or_default();
        self.waiting.count -= jobs.len();
        let adopted = match result {
            Ok(None) => Ok(()),
            Ok(Some(Document { kind, text, version, .. })) => {
                let command =
                    Command::Adopt { resource: resource.clone(), kind: kind_in(kind), version, document: text };
                let host = self.writable().and_then(|()| self.host(&building));
                host.and_then(|host| match self.run(host, &command) {
                    Reply::Refused(refusal) => {
                        let (code, detail) = refusal_words(&refusal);
                        Err(Fail::new(code, detail))
                    }
                    _ => Ok(()),
                })
            }
            Err(error) => {
                tracing::warn!(%building, %resource, %error, "a document cannot be read from the origin");
                Err(Fail::new(code::ORIGIN_UNAVAILABLE, format!("the document of {resource} cannot be read now")))
            }
        };
        for mut job in jobs {
            job.loaded = Some(resource.clone());
            if let Err(Fail { code, detail }) = &adopted
                && let Some(item) = job.items.pop_front()
            {
                let result = Err(Refused { code: *code, detail: detail.clone(), version: None });
                job.note(&item, Answered { resource: Some(resource.clone()), result });
            }
            self.advance(job);
        }
    }

    fn count_edit(&self, answered: &Answered) {
        self.metrics.edits.inc(match &answered.result {
            Ok(reply) if reply.duplicate => EditResult::Duplicate,
            Ok(reply) => EditResult::of(reply.outcome),
            Err(refused) if refused.code == code::LOCK_HELD => EditResult::Locked,
            Err(_) => EditResult::Rejected,
        });
    }

    fn answer_job(&mut self, job: Job) {
        let (at, results, last) = (self.wall, job.results, job.last);
        match job.to {
            JobReply::Edit(to) => {
                let mut frames = Vec::new();
                let id = to.id();
                if let Some(result) = results.first() {
                    text_frame(&mut frames, |out| outbound_edit::edit_result(out, at, id, result));
                }
                match (id, &last) {
                    (Some(id), Some(Last::Done { result, version })) => text_frame(&mut frames, |out| {
                        outbound::ack(out, at, id, |o| {
                            o.text("result", result).int("version", *version);
                        });
                    }),
                    (Some(_), Some(Last::Refused(code, detail))) => {
                        self.metrics.refused.inc(code.name);
                        text_frame(&mut frames, |out| outbound::error(out, at, id, *code, detail));
                    }
                    _ => {}
                }
                self.emit_committed(to.target(), Class::Control, &frames);
            }
            JobReply::Sync(to) => {
                let mut frames = Vec::new();
                text_frame(&mut frames, |out| outbound_edit::sync_result(out, at, to.id(), &results));
                if let Some(id) = to.id() {
                    text_frame(&mut frames, |out| outbound::ack(out, at, id, |_| {}));
                }
                self.emit_committed(to.target(), Class::Control, &frames);
            }
            JobReply::RestEdit(reply) => {
                let result = results.into_iter().next().unwrap_or_else(|| b"{}".to_vec());
                self.reply_committed(reply, Ok(raw(result)));
            }
            JobReply::RestSync(reply) => {
                let mut all = vec![b'['];
                all.extend(results.join(&b','));
                all.push(b']');
                self.reply_committed(reply, Ok(raw(all)));
            }
        }
    }

    /// Whether the origin has been handed all that documents have become.
    pub fn has_handed_over(&self) -> bool {
        self.edited.is_empty()
    }

    /// Hands what documents have become to the origin, as soon as that is committed.
    pub fn store_documents(&mut self) {
        for host in std::mem::take(&mut self.edited) {
            let Some(h) = self.hosts.get_mut(host as usize) else { continue };
            let id = h.id.clone();
            let documents: Vec<ToStore> =
                h.building.take_unstored(STORED_AT_ONCE).into_iter().map(|view| to_store(&id, view)).collect();
            if documents.len() == STORED_AT_ONCE {
                self.edited.insert(host);
            }
            if documents.is_empty() {
                continue;
            }
            self.answer_committed(move |hub, committed| {
                if !committed {
                    // The building is folded anew and gives out again what the origin does not have.
                    return;
                }
                if let Taken::Full(left) = hub.origin.store(documents) {
                    let Some(&host) = hub.host_ids.get(&id) else { return };
                    left.iter().for_each(|left| hub.hosts[host as usize].building.give_out_again(&left.resource));
                    hub.edited.insert(host);
                }
            });
        }
    }
}

impl Job {
    fn note(&mut self, item: &Item, answered: Answered) {
        let mut object = Vec::new();
        let mut o = Object::new(&mut object);
        let answer = match &answered.result {
            Ok(reply) => EditAnswer::Taken(reply),
            Err(Refused { code, detail, version }) => {
                let result = outbound_edit::refused_as(*code);
                EditAnswer::Refused { result, code: *code, detail, version: *version }
            }
        };
        outbound_edit::edit_answer(&mut o, answered.resource.as_ref(), item.edit_id.as_deref(), &answer);
        o.end();
        self.results.push(object);
        self.last = Some(match answered.result {
            Ok(reply) => {
                let result = if reply.duplicate { "duplicate" } else { reply.outcome.as_str() };
                Last::Done { result: result.into(), version: reply.version }
            }
            Err(Refused { code, detail, .. }) => Last::Refused(code, detail),
        });
    }
}

fn kind_in(kind: Kind) -> ResourceKind {
    match kind {
        Kind::Object => ResourceKind::Object,
        Kind::Route => ResourceKind::Route,
        Kind::Floor => ResourceKind::Floor,
    }
}

fn to_store(building: &BuildingId, view: DocumentView) -> ToStore {
    let own = || RoomId::new(view.resource.as_str()).expect("what is an id of a resource is one of a room");
    ToStore {
        building: building.clone(),
        floor: view.rooms.first().cloned().unwrap_or_else(own),
        kind: match view.kind {
            ResourceKind::Object => Kind::Object,
            ResourceKind::Route => Kind::Route,
            ResourceKind::Floor => Kind::Floor,
        },
        resource: view.resource,
        document: view.document.map(Arc::from),
        version: view.version,
    }
}

fn owned(edits: Vec<SyncItem<'_>>) -> VecDeque<Item> {
    let item = |item: SyncItem<'_>| Item {
        edit: item.edit.map(Edit::into_owned),
        edit_id: item.edit_id.as_deref().map(Box::from),
    };
    edits.into_iter().map(item).collect()
}

fn raw(json: Vec<u8>) -> Box<RawValue> {
    let text = String::from_utf8(json).expect("what the wire writes is UTF-8");
    RawValue::from_string(text).expect("what the wire writes is JSON")
}
