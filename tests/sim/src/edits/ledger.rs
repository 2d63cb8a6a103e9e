//! What should be true of documents and conflicts, said as simply as possible.
//!
//! The ledger keeps every write of every member of every document as a plain list. From that it says by itself what an
//! edit meets, and where each submitted value must be after it: in the document, or in one conflict. Values are unique,
//! so each can be followed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arxosrt_core::building::command::{Command, EditBody, EditReply, EditWish, Refusal, Reply, Resolution, Resolver};
use arxosrt_core::building::conflict::{ConflictId, Opened, Settled, SettledBy, Source};
use arxosrt_core::building::event::{EditOutcome, Edited, Event};
use arxosrt_core::building::notice::{Addressee, Notice};
use arxosrt_core::building::{Building, Decision};
use arxosrt_core::edit::change::Change;
use arxosrt_core::edit::conflict::{PathConflict, Side};
use arxosrt_core::edit::path::Path;
use arxosrt_core::edit::rules::{Severity, Unit};
use arxosrt_core::edit::value::Value;
use arxosrt_core::id::{ResourceId, SessionId, UserId};
use arxosrt_core::lock::Token;
use arxosrt_core::time::Mono;

use super::{FIELDS, GEOMETRY};
use crate::model::{Complaint, ensure};

/// One write of one member.
#[derive(Clone, Debug)]
struct Write {
    version: u64,
    user: String,
    value: Option<String>,
}

/// A document and how it came to be so.
#[derive(Clone, Debug, Default)]
pub(super) struct Paper {
    pub(super) version: u64,
    pub(super) stored: u64,
    pub(super) exists: bool,
    writes: BTreeMap<String, Vec<Write>>,
    /// When it last came or went as a whole.
    whole: u64,
}

/// A conflict that should be on record.
#[derive(Clone, Debug)]
pub(super) struct Dispute {
    pub(super) opened: Arc<Opened>,
    pub(super) revision: u32,
    pub(super) settled: bool,
    escalated: bool,
    since: Mono,
}

/// The simple truth about documents and conflicts.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) papers: BTreeMap<ResourceId, Paper>,
    pub(super) disputes: BTreeMap<ConflictId, Dispute>,
    pub(super) held: BTreeMap<Token, (SessionId, Vec<ResourceId>)>,
    answers: BTreeMap<(UserId, Box<str>), EditReply>,
}

impl Paper {
    fn now(&self, field: &str) -> Option<&String> {
        self.writes.get(field)?.last()?.value.as_ref()
    }

    /// What the author had before him: his base, and what he has written himself since.
    fn before(&self, field: &str, base: u64, user: &UserId) -> Option<&String> {
        let known = |write: &&Write| write.version <= base || write.user == user.as_str();
        self.writes.get(field)?.iter().rev().find(known)?.value.as_ref()
    }

    fn write(&mut self, field: &str, user: &str, value: Option<String>) {
        let (version, user) = (self.version, user.to_owned());
        self.writes.entry(field.to_owned()).or_default().push(Write { version, user, value });
    }

    /// Whether somebody else has made the unit of a field something that the author does not know.
    fn contested(&self, field: &str, base: u64, user: &UserId) -> bool {
        unit(field).iter().any(|field| self.before(field, base, user) != self.now(field))
    }

    fn wrote_since(&self, fields: &[&str], base: u64, user: &UserId) -> bool {
        let writes = fields.iter().filter_map(|field| self.writes.get(*field)).flatten();
        let mut since = writes.filter(|write| write.version > base);
        since.any(|write| write.user == user.as_str())
    }
}

/// The fields that are one value with this one.
fn unit(field: &str) -> Vec<&str> {
    if GEOMETRY.contains(&field) { GEOMETRY.to_vec() } else { vec![field] }
}

/// What a disputed path says of a field.
fn says(path: &PathConflict, side: Side, field: &str) -> Option<String> {
    let value = if side == Side::Mine { path.mine.as_ref() } else { path.theirs.as_ref() };
    let is_map = !matches!(&path.unit, Unit::Node(at) if !at.is_root());
    match is_map {
        true => value?.as_map()?.get(field).map(Value::to_json),
        false => value.map(Value::to_json),
    }
}

fn is_about(path: &PathConflict, field: &str) -> bool {
    path.unit.covers(&Path::parse(&format!("/{field}")).expect("a good path"))
}

impl Ledger {
    /// Reads a decision and takes it in.
    pub(super) fn observe(&mut self, now: Mono, command: &Command, decision: &Decision) -> Result<(), Complaint> {
        match command {
            Command::Edit(wish) => self.judge_edit(wish, decision)?,
            Command::ResolveConflict { conflict, by, revision, resolution } => {
                self.judge_resolution(*conflict, by, *revision, resolution, decision)?;
            }
            _ => {}
        }
        for event in &decision.events {
            self.take_in(now, command, event)?;
        }
        match (command, &decision.reply) {
            (Command::ResolveConflict { conflict, by, resolution, .. }, Reply::Settled { .. }) => {
                self.judge_values(*conflict, by, resolution)?;
            }
            (Command::Edit(wish), Reply::Edited(reply)) => {
                if let Some(name) = &wish.edit_id {
                    self.answers.entry((wish.actor.user.clone(), name.clone())).or_insert_with(|| reply.clone());
                }
            }
            _ => {}
        }
        self.judge_notices(decision)
    }

    fn covers(&self, token: Token, resource: &ResourceId) -> Option<&SessionId> {
        let (session, what) = self.held.get(&token)?;
        what.contains(resource).then_some(session)
    }

    fn locked(&self, resource: &ResourceId, session: Option<&SessionId>) -> bool {
        self.held.values().any(|(holder, what)| what.contains(resource) && Some(holder) != session)
    }

    fn judge_edit(&self, wish: &EditWish, decision: &Decision) -> Result<(), Complaint> {
        let actor = &wish.actor;
        let resource = &wish.target.resource;
        let known = wish.edit_id.as_ref().and_then(|name| self.answers.get(&(actor.user.clone(), name.clone())));
        if let Some(known) = known {
            let same = |reply: &EditReply| {
                (reply.outcome, reply.version, &reply.conflicts) == (known.outcome, known.version, &known.conflicts)
            };
            let fits = matches!(&decision.reply, Reply::Edited(reply) if reply.duplicate && same(reply));
            ensure!(fits && decision.events.is_empty(), "E3: a repeat was done again: {:?}", decision.reply);
            return Ok(());
        }
        let paper = self.papers.get(resource).cloned().unwrap_or_default();
        let reply = match &decision.reply {
            Reply::Edited(reply) => reply,
            Reply::Refused(refusal) => {
                let may = match refusal {
                    Refusal::Locked { .. } => wish.token.is_none() && self.locked(resource, Some(&actor.session)),
                    Refusal::BaseTooOld { .. } => wish.base < paper.version,
                    Refusal::BaseAhead { .. } => wish.base > paper.version,
                    Refusal::BadEdit { .. } => !paper.exists || paper.whole > wish.base,
                    _ => false,
                };
                ensure!(may && decision.events.is_empty(), "E6: refused for no reason: {refusal:?}");
                return Ok(());
            }
            other => return Err(format!("E6: no answer to an edit: {other:?}")),
        };
        ensure!(!reply.duplicate, "E3: this was never asked before");
        let locked = wish.token.is_none() && self.locked(resource, Some(&actor.session));
        ensure!(!locked, "E2: somebody else has a lock on it");
        let stale = wish.token.is_some_and(|token| self.covers(token, resource) != Some(&actor.session));
        ensure!(stale == (reply.outcome == EditOutcome::Fenced), "E2: stale is {stale}: {reply:?}");
        let edited: Vec<&Edited> =
            decision.events.iter().filter_map(|e| if let Event::Edited(e) = e { Some(&**e) } else { None }).collect();
        ensure!(edited.len() <= usize::from(!stale), "E2: a stale token writes: {edited:?}");
        let opened: Vec<&Opened> = decision
            .events
            .iter()
            .filter_map(|e| if let Event::ConflictOpened(o) = e { Some(&**o) } else { None })
            .collect();
        for opened in &opened {
            self.judge_parties(wish, &paper, opened, stale)?;
        }
        let written: BTreeSet<String> = edited.iter().flat_map(|edited| &edited.changes).flat_map(texts).collect();
        let EditBody::Changes(changes) = &wish.body else { return Ok(()) };
        for change in changes {
            let Change::Set { path, value } = change else { continue };
            let (field, value) = (&path.as_str()[1..], value.to_json());
            let disputed: Vec<&PathConflict> = opened
                .iter()
                .flat_map(|opened| &opened.paths)
                .filter(|path| is_about(path, field) && says(path, Side::Mine, field).as_ref() == Some(&value))
                .collect();
            ensure!(disputed.len() <= 1, "E1: {value} is in {} conflicts", disputed.len());
            let waits = disputed.iter().any(|path| path.kept == Side::Theirs) || stale;
            ensure!(waits != written.contains(&value), "E1: {value} waits: {waits}, written: {}", !waits);
            ensure!(!stale || disputed.len() == 1, "E1: {value} was fenced and is nowhere");
            // Where the whole came or went, what is met is not a matter of one member.
            if !stale && paper.exists && paper.whole <= wish.base {
                let contested = paper.contested(field, wish.base, &actor.user);
                ensure!(contested != disputed.is_empty(), "E4: {value} at {field} meets others: {contested}");
            }
        }
        Ok(())
    }

    fn judge_parties(&self, wish: &EditWish, paper: &Paper, opened: &Opened, stale: bool) -> Result<(), Complaint> {
        ensure!(opened.second.user == wish.actor.user, "E5: whose edit was it? {opened:?}");
        ensure!((opened.source == Source::StaleToken) == stale, "E2: {opened:?}");
        if stale {
            return Ok(());
        }
        let first = &opened.first.user;
        ensure!(*first != wish.actor.user, "E5: a conflict with oneself: {opened:?}");
        for path in &opened.paths {
            let fields: Vec<&str> = FIELDS.into_iter().filter(|field| is_about(path, field)).collect();
            let wrote = paper.whole > wish.base || paper.wrote_since(&fields, wish.base, first);
            ensure!(wrote, "E5: {first} has nothing to do with {:?}", path.unit);
        }
        Ok(())
    }

    fn judge_resolution(
        &self,
        id: ConflictId,
        by: &Resolver,
        revision: Option<u32>,
        resolution: &Resolution,
        decision: &Decision,
    ) -> Result<(), Complaint> {
        let dispute = self.disputes.get(&id);
        let mine = |dispute: &&Dispute| match by {
            Resolver::Person(actor) => {
                [&dispute.opened.first, &dispute.opened.second].iter().any(|p| p.user == actor.user)
            }
            Resolver::Operator { .. } => true,
        };
        let refused = |fits: &dyn Fn(&Refusal) -> bool| matches!(&decision.reply, Reply::Refused(r) if fits(r));
        let fits = match dispute.filter(mine) {
            None => refused(&|refusal| *refusal == Refusal::ConflictNotFound),
            Some(dispute) if dispute.settled => refused(&|refusal| matches!(refusal, Refusal::AlreadySettled { .. })),
            Some(dispute) if revision.is_some_and(|seen| seen != dispute.revision) => {
                refused(&|refusal| *refusal == Refusal::RevisionChanged { current: dispute.revision })
            }
            Some(dispute) => {
                let resource = &dispute.opened.resource;
                let paper = self.papers.get(resource);
                let session = if let Resolver::Person(actor) = by { Some(&actor.session) } else { None };
                matches!(decision.reply, Reply::Settled { .. })
                    || refused(&|refusal| match refusal {
                        Refusal::Locked { .. } => self.locked(resource, session),
                        Refusal::BadEdit { .. } => paper.is_none_or(|paper| !paper.exists),
                        _ => false,
                    })
            }
        };
        ensure!(fits, "E7: {resolution:?} of {id} is answered {:?}", decision.reply);
        Ok(())
    }

    /// After a resolution the document holds the values of whoever has won. Who had won before it keeps what has become
    /// of them: a third person may have changed them since.
    fn judge_values(&self, id: ConflictId, by: &Resolver, resolution: &Resolution) -> Result<(), Complaint> {
        let opened = &self.disputes[&id].opened;
        let own = match by {
            Resolver::Person(actor) if actor.user == opened.second.user => Side::Mine,
            _ => Side::Theirs,
        };
        let other = if own == Side::Mine { Side::Theirs } else { Side::Mine };
        let side = match resolution {
            Resolution::AcceptMine => own,
            Resolution::AcceptTheirs => other,
            Resolution::Winner(user) if *user == opened.second.user => Side::Mine,
            Resolution::Winner(_) => Side::Theirs,
            _ => return Ok(()),
        };
        // Of a draft of something that is not there, nothing may be left.
        let Some(paper) = self.papers.get(&opened.resource) else { return Ok(()) };
        for path in opened.paths.iter().filter(|path| path.kept != side) {
            for field in FIELDS.into_iter().filter(|field| is_about(path, field)) {
                let (wanted, now) = (says(path, side, field), paper.now(field));
                ensure!(wanted.as_ref() == now, "E7: {field} should be {wanted:?} and is {now:?}");
            }
        }
        Ok(())
    }

    fn take_in(&mut self, now: Mono, command: &Command, event: &Event) -> Result<(), Complaint> {
        match event {
            Event::Adopted(_) | Event::Broadcast(_) | Event::Answered(_) => {}
            Event::LockGranted(granted) => {
                let what = granted.targets.iter().map(|target| target.resource.clone()).collect();
                self.held.insert(granted.token, (granted.session.clone(), what));
            }
            Event::LockReleased(released) => {
                self.held.remove(&released.token);
            }
            Event::Edited(edited) => self.write(edited)?,
            Event::Stored(stored) => {
                for (resource, version) in &stored.resources {
                    let paper = self.papers.entry(resource.clone()).or_default();
                    ensure!(*version > paper.stored && *version <= paper.version, "E9: {event:?}");
                    paper.stored = *version;
                }
            }
            Event::ConflictOpened(opened) => {
                let dispute =
                    Dispute { opened: opened.clone(), revision: 1, settled: false, escalated: false, since: now };
                ensure!(self.disputes.insert(opened.id, dispute).is_none(), "E8: {} twice", opened.id);
            }
            Event::ConflictEscalated(escalated) => {
                let dispute = self.disputes.get_mut(&escalated.id).ok_or("E8: escalated and unknown")?;
                let grave = dispute.opened.severity == Severity::Critical;
                ensure!(grave && now >= dispute.since.plus(60_000), "E8: escalated for no reason: {dispute:?}");
                dispute.escalated = true;
                dispute.revision += 1;
            }
            Event::ConflictSettled(settled) => self.settle(now, command, settled)?,
        }
        Ok(())
    }

    fn settle(&mut self, now: Mono, command: &Command, settled: &Settled) -> Result<(), Complaint> {
        let dispute = self.disputes.get_mut(&settled.id).ok_or("E8: settled and unknown")?;
        ensure!(!dispute.settled, "E8: {} is settled twice", settled.id);
        let severity = dispute.opened.severity;
        let may = match &settled.by {
            SettledBy::Rules => severity == Severity::Low && dispute.opened.source == Source::Edit,
            SettledBy::Timeout => severity != Severity::Critical && now >= dispute.since.plus(60_000),
            _ => matches!(command, Command::ResolveConflict { conflict, .. } if *conflict == settled.id),
        };
        ensure!(may, "E8: settled for no reason: {settled:?}");
        dispute.settled = true;
        dispute.revision += 1;
        Ok(())
    }

    fn write(&mut self, edited: &Edited) -> Result<(), Complaint> {
        use arxosrt_core::building::event::EditAuthor;
        let user = match &edited.author {
            EditAuthor::Person { user, .. } => user.as_str(),
            EditAuthor::Operator(_) => "operator",
        };
        let paper = self.papers.entry(edited.resource.clone()).or_default();
        ensure!(edited.version == paper.version + 1, "E10: {} after {}", edited.version, paper.version);
        paper.version = edited.version;
        let mut touched: BTreeSet<&str> = BTreeSet::new();
        for change in &edited.changes {
            let path = change.path();
            let value = if let Change::Set { value, .. } = change { Some(value) } else { None };
            if path.is_root() {
                paper.exists = value.is_some();
                paper.whole = paper.version;
                for field in FIELDS {
                    let member = value.and_then(|value| value.as_map()?.get(field));
                    paper.write(field, user, member.map(Value::to_json));
                    touched.insert(field);
                }
            } else {
                let field = FIELDS.into_iter().find(|field| *field == &path.as_str()[1..]);
                let field = field.ok_or_else(|| format!("E1: nobody wrote {path}"))?;
                paper.write(field, user, value.map(Value::to_json));
                touched.insert(field);
            }
        }
        let open = self.disputes.iter_mut().filter(|(id, dispute)| !dispute.settled && Some(**id) != edited.conflict);
        for (_, dispute) in open.filter(|(_, dispute)| dispute.opened.resource == edited.resource) {
            let meets = |path: &PathConflict| touched.iter().any(|field| is_about(path, field));
            dispute.revision += u32::from(dispute.opened.paths.iter().any(meets));
        }
        Ok(())
    }

    /// The two are told, each once, and nobody else.
    fn judge_notices(&self, decision: &Decision) -> Result<(), Complaint> {
        let mut told: BTreeMap<(ConflictId, bool), Vec<&UserId>> = BTreeMap::new();
        for notify in &decision.notices {
            let (opened, ends) = match &notify.notice {
                Notice::ConflictDetected { opened, .. } => (opened, false),
                Notice::ConflictResolved { opened, .. } => (opened, true),
                _ => continue,
            };
            let Addressee::Person(user) = &notify.to else { return Err(format!("E5: {notify:?}")) };
            told.entry((opened.id, ends)).or_default().push(user);
        }
        for event in &decision.events {
            let what = match event {
                Event::ConflictOpened(opened) => (opened.id, false),
                Event::ConflictSettled(settled) => (settled.id, true),
                _ => continue,
            };
            let opened = &self.disputes[&what.0].opened;
            let mut people = vec![&opened.first.user, &opened.second.user];
            people.dedup();
            let told = told.remove(&what);
            ensure!(told.as_ref() == Some(&people), "E5: {people:?} should be told of {}: {told:?}", what.0);
        }
        ensure!(told.is_empty(), "E5: told of what did not happen: {told:?}");
        Ok(())
    }

    /// After a restart everybody has all his time again.
    pub(super) fn restart(&mut self, now: Mono) {
        self.disputes.values_mut().for_each(|dispute| dispute.since = now);
    }

    /// Whether the building shows what the ledger says.
    pub(super) fn compare(&self, now: Mono, building: &Building) -> Result<(), Complaint> {
        for (resource, paper) in &self.papers {
            let version = building.document(resource).map_or(0, |document| document.version);
            ensure!(version == paper.version, "E10: {resource} is at {version}, should be at {}", paper.version);
            for field in FIELDS {
                let at = Unit::Node(Path::parse(&format!("/{field}")).expect("a good path"));
                let (now, should) = (building.value_at(resource, &at), paper.now(field));
                ensure!(now.as_ref() == should, "E1: {resource}/{field} is {now:?}, should be {should:?}");
            }
        }
        let behind = self.papers.values().filter(|paper| paper.stored < paper.version).count();
        ensure!(building.unstored_count() == behind, "E9: {behind} documents are behind");
        for (id, dispute) in &self.disputes {
            let conflict = building.conflict(*id).ok_or_else(|| format!("E8: {id} is lost"))?;
            let same = Arc::ptr_eq(&conflict.opened, &dispute.opened) || conflict.opened == dispute.opened;
            let same = same && conflict.is_open() != dispute.settled;
            ensure!(same && conflict.revision == dispute.revision, "E8: {conflict:?} should be {dispute:?}");
            let overdue = !dispute.settled && !dispute.escalated && now > dispute.since.plus(60_000);
            ensure!(!overdue, "E8: {id} should have been decided");
        }
        let open = self.disputes.values().filter(|dispute| !dispute.settled).count();
        ensure!(building.open_conflict_count() == open, "E8: {open} conflicts should be open");
        Ok(())
    }
}

/// All values of members that a change writes.
fn texts(change: &Change) -> Vec<String> {
    match change {
        Change::Set { path, value } if path.is_root() => {
            value.as_map().map_or(Vec::new(), |members| members.iter().map(|(_, value)| value.to_json()).collect())
        }
        Change::Set { value, .. } => vec![value.to_json()],
        _ => Vec::new(),
    }
}
