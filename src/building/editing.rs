//! Edits: what becomes of one, decided on the documents as they are.
//!
//! An edit is checked against its author's lock first, then against what others did since the version that the author
//! knew ([`crate::edit::detect`]). What contradicts nobody is in the document with the next version; what contradicts
//! somebody waits in a conflict with that person. An edit under a lock that its author has lost writes nothing: all of
//! it waits as a draft, against whoever wrote there last.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::VerifyFault;
use super::command::{Actor, EditBody, EditReply, EditWish, Refusal, Reply, Target};
use super::conflict::{ConflictId, Kept, Opened, Party, Settled, SettledBy, Source, Word};
use super::draft::Draft;
use super::event::{Adopted, Answered, EditAuthor, EditOutcome, Edited, Event, Sighting};
use super::notice::Notice;
use super::resources::is_within_grid;
use super::soft::Soft;
use crate::edit::change::{BadChange, Change, Doc, Reason};
use crate::edit::conflict::{Author, PathConflict, Side};
use crate::edit::detect;
use crate::edit::diff;
use crate::edit::history::{History, HistorySettings};
use crate::edit::past::Past;
use crate::edit::path::Path;
use crate::edit::resource as edit;
use crate::edit::rules::{ConflictKind, ResourceKind, Severity, Unit};
use crate::edit::value::Value;
use crate::edit::whole::units;
use crate::id::{ResourceId, RoomId, UserId};
use crate::lock::guard::Guard;

/// The members of a document that an edit cannot change.
const FIXED: [&str; 2] = ["/id", "/version"];

/// The member that says on which floor a thing is.
const FLOOR: &str = "/floor_id";

/// How many paths a conflict's description names; the others are counted.
const PATHS_NAMED_MAX: usize = 3;

/// An edit to be committed.
pub(super) struct Commit<'c> {
    pub(super) target: &'c Target,
    pub(super) kind: ResourceKind,
    pub(super) base: u64,
    pub(super) version: u64,
    pub(super) author: EditAuthor,
    pub(super) changes: Vec<Change>,
    /// It has met others' changes and contradicts none.
    pub(super) merged: bool,
    pub(super) conflict: Option<ConflictId>,
}

impl Draft<'_> {
    pub(super) fn adopt(&mut self, resource: &ResourceId, kind: ResourceKind, version: u64, document: &str) -> Reply {
        let resources = &self.building.resources;
        if resources.get(resource).is_some() {
            return Reply::Done;
        }
        if let Err(refusal) = self.room_for_one_more() {
            return Reply::Refused(refusal);
        }
        if let Err(bad) = Doc::parse(document) {
            return Reply::Refused(bad_edit(&bad));
        }
        self.push(Event::Adopted(Arc::new(Adopted {
            at: self.facts.wall,
            resource: resource.clone(),
            kind,
            version,
            document: document.into(),
        })));
        Reply::Done
    }

    fn room_for_one_more(&self) -> Result<(), Refusal> {
        let (building, settings) = (self.building, &self.building.settings.edits);
        let in_dispute = |id: &ResourceId| building.conflicts.open_on(id).next().is_some();
        match building.resources.has_room(building.clock.ms(), settings, &in_dispute) {
            true => Ok(()),
            false => Err(Refusal::Limit { name: "edits.documents_max", max: settings.resources_max as u64 }),
        }
    }

    pub(super) fn edit(&mut self, wish: &EditWish) -> Reply {
        match self.decide_edit(wish) {
            Ok(reply) => Reply::Edited(reply),
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn decide_edit(&mut self, wish: &EditWish) -> Result<EditReply, Refusal> {
        let building = self.building;
        if let Some(name) = &wish.edit_id
            && let Some(known) = building.answers.find(&wish.actor.user, name).filter(|_| self.holds(Guard::EditDedup))
        {
            return Ok(EditReply {
                outcome: known.outcome,
                duplicate: true,
                version: known.version,
                conflicts: known.conflicts.clone(),
                fault: None,
            });
        }
        let held = building.resources.get(&wish.target.resource);
        if held.is_none() {
            self.room_for_one_more()?;
        }
        let fresh;
        let subject = match held {
            Some(held) => &held.edited,
            None => {
                fresh = edit::Resource::new(wish.kind, Doc::absent(), 0, HistorySettings::default());
                &fresh
            }
        };
        let (doc, history, kind) = (subject.doc(), subject.history(), subject.kind());
        let author = Author {
            user: wish.actor.user.clone(),
            username: wish.actor.username.clone(),
            session: Some(wish.actor.session.clone()),
            edit_id: wish.edit_id.clone(),
        };
        let past = Past { doc, history, base: wish.base, me: &author.user };
        check_base(wish.base, history)?;
        let changes = self.changes_of(wish, &past)?;
        check_changes(&changes)?;
        let fault = self.check_lock(&wish.actor, &wish.target, wish.token, &changes)?;
        let fault = fault.filter(|_| self.holds(Guard::EditFence));
        let calibrator = self.calibrator(wish).cloned();
        let frame_outdated = calibrator.is_some();
        let edit = detect::Edit { author: &author, base_version: wish.base, changes: &changes, frame_outdated };
        let outcome = subject.decide(&edit, &building.settings.edits.rules).map_err(refusal)?;
        let mut after = Checked { changes: outcome.changes, conflicts: outcome.conflicts };
        if fault.is_some() {
            after = as_draft(doc, &past, &changes, &building.settings.edits.rules, kind)?;
        }
        // A conflict with an outdated frame is one with whoever has calibrated the grid.
        let outdated = after.conflicts.iter_mut().filter(|conflict| conflict.kind == ConflictKind::OutdatedFrame);
        outdated.for_each(|conflict| conflict.their_author = calibrator.clone());
        self.find_dangling(wish, doc, &author.user, &mut after)?;
        self.check_size(subject.bytes(), &after.changes)?;
        let version = history.current() + u64::from(!after.changes.is_empty());
        let met_others = wish.base < history.current() && !past.is_present();
        let opened = self.open_conflicts(wish, after.conflicts, version, fault.is_some())?;
        let outcome = match (fault, opened.iter().any(|opened| opened.severity > Severity::Low)) {
            (Some(_), _) => EditOutcome::Fenced,
            (None, true) => EditOutcome::Conflict,
            (None, false) if met_others => EditOutcome::Merged,
            (None, false) => EditOutcome::Applied,
        };
        if !after.changes.is_empty() {
            let Actor { session, user, username, .. } = wish.actor.clone();
            self.commit_edit(
                Commit {
                    target: &wish.target,
                    kind,
                    base: wish.base,
                    version,
                    author: EditAuthor::Person { session, user, username },
                    changes: after.changes,
                    merged: outcome == EditOutcome::Merged,
                    conflict: None,
                },
                &wish.floors,
            )?;
        }
        let conflicts: SmallVec<[ConflictId; 1]> = opened.iter().map(|opened| opened.id).collect();
        self.put_on_record(wish, opened, outcome, version, &conflicts);
        for room in wish.target.place.rooms() {
            self.soft.push(Soft::Touch { session: wish.actor.session.clone(), room: room.clone() });
        }
        Ok(EditReply { outcome, duplicate: false, version, conflicts, fault })
    }

    /// The answer under the edit's own name, and the conflicts that it opens.
    fn put_on_record(
        &mut self,
        wish: &EditWish,
        opened: Vec<Opened>,
        outcome: EditOutcome,
        version: u64,
        conflicts: &SmallVec<[ConflictId; 1]>,
    ) {
        for opened in opened {
            self.open(opened);
        }
        // Also when it changed nothing: its repeat must not meet what others do in between.
        if let Some(edit_id) = wish.edit_id.clone() {
            self.push(Event::Answered(Arc::new(Answered {
                at: self.facts.wall,
                user: wish.actor.user.clone(),
                edit_id,
                outcome,
                version,
                conflicts: conflicts.clone(),
            })));
        }
    }

    /// Puts a conflict on record and tells the two. What the rules decide at once is settled at once.
    pub(super) fn open(&mut self, opened: Opened) {
        let opened = Arc::new(opened);
        self.push(Event::ConflictOpened(opened.clone()));
        let at_once = opened.severity == Severity::Low && opened.source == Source::Edit;
        let timeout_ms = self.building.settings.edits.timeout_ms[opened.severity as usize];
        let decided_in_ms = if at_once { 0 } else { timeout_ms };
        self.tell_parties(&opened, || Notice::ConflictDetected { opened: opened.clone(), decided_in_ms });
        if at_once {
            let settled = Settled {
                at: self.facts.wall,
                id: opened.id,
                word: Word::Merge,
                by: SettledBy::Rules,
                kept: opened.paths.iter().map(now_kept).collect(),
                version: opened.version,
            };
            self.settle(&opened, settled);
        }
    }

    pub(super) fn settle(&mut self, opened: &Arc<Opened>, settled: Settled) {
        self.push(Event::ConflictSettled(Arc::new(settled.clone())));
        self.tell_parties(opened, || Notice::ConflictResolved { opened: opened.clone(), settled: settled.clone() });
    }

    fn tell_parties(&mut self, opened: &Opened, notice: impl Fn() -> Notice) {
        self.tell_person(&opened.first.user, notice());
        if opened.first.user != opened.second.user {
            self.tell_person(&opened.second.user, notice());
        }
    }

    /// The changes that an edit's body stands for, in what its author had before him.
    fn changes_of(&self, wish: &EditWish, past: &Past<'_>) -> Result<Vec<Change>, Refusal> {
        let max = self.building.settings.edits.document_bytes_max;
        let bounded = |json: &str| match json.len() > max {
            true => Err(Refusal::Limit { name: "edits.document_bytes_max", max: max as u64 }),
            false => Ok(()),
        };
        let id = wish.target.resource.as_str();
        // What is set within a document that is not there yet begins one. What the author himself has deleted since
        // does not come back by an edit of a part of it.
        let begins = past.look("").is_none() && (wish.base == 0 || wish.base == past.history.current());
        let version = || past.value(FIXED[1]);
        // Costs the whole document, as do the edits that need it.
        let base = || Doc::new(past.value("")).map_err(|bad| bad_edit(&bad));
        match &wish.body {
            EditBody::Changes(changes) => {
                let changes = changes.iter().map(|change| as_document(change, id, version));
                let mut changes = changes.collect::<Result<Vec<Change>, Refusal>>()?;
                if begins && changes.first().is_some_and(|first| !first.path().is_root()) {
                    changes.insert(0, Change::Set { path: Path::root(), value: begin(id) });
                }
                Ok(changes)
            }
            EditBody::MergePatch(json) => {
                bounded(json)?;
                let patch = Value::parse(json).map_err(|bad| bad_value(&bad))?;
                let base = base()?;
                let begun = match (begins, base.value()) {
                    (true, _) => Doc::new(Some(begin(id))).map_err(|bad| bad_edit(&bad))?,
                    (false, Some(_)) => base,
                    (false, None) => {
                        return Err(bad_edit(&BadChange { path: Path::root(), reason: Reason::NoDocument }));
                    }
                };
                let mut changes = diff::from_merge_patch(&begun, &patch).map_err(|bad| bad_edit(&bad))?;
                if begins {
                    changes.insert(0, Change::Set { path: Path::root(), value: begin(id) });
                }
                Ok(changes)
            }
            EditBody::Whole(json) => {
                bounded(json)?;
                let mut wanted = Doc::parse(json).map_err(|bad| bad_edit(&bad))?;
                keep_fixed(&mut wanted, id, version());
                Ok(diff::diff(&base()?, &wanted))
            }
        }
    }

    /// Whether the author's lock is the one under which the edit says to go on; without one, whether anybody else has
    /// one in the way.
    pub(super) fn check_lock(
        &self,
        actor: &Actor,
        target: &Target,
        token: Option<crate::lock::Token>,
        changes: &[Change],
    ) -> Result<Option<VerifyFault>, Refusal> {
        let in_grid = !changes.is_empty() && changes.iter().all(is_within_grid);
        match token {
            Some(token) => {
                let verdict = self.building.check_token(self.facts, token, target, in_grid);
                let own = verdict
                    .lock
                    .as_ref()
                    .is_none_or(|lock| lock.session == actor.session || (actor.legacy && lock.user == actor.user));
                Ok(if own { verdict.reason } else { Some(VerifyFault::UnknownToken) })
            }
            None => match self.building.held_by_other(self.facts, target, actor) {
                Some(lock) => Err(Refusal::Locked { by: Box::new(lock) }),
                None => Ok(None),
            },
        }
    }

    /// Who has calibrated the grid anew of which the author's coordinates are, if it was somebody else.
    fn calibrator(&self, wish: &EditWish) -> Option<&Author> {
        let known = wish.frame?;
        let mut grids = wish.target.place.rooms().iter().filter_map(|room| self.building.grid(room));
        grids.find(|grid| known < grid.version && grid.by.user != wish.actor.user).map(|grid| &grid.by)
    }

    /// What is deleted must not be referred to, and what is referred to must be there.
    fn find_dangling(&self, wish: &EditWish, doc: &Doc, me: &UserId, after: &mut Checked) -> Result<(), Refusal> {
        let rules = &self.building.settings.edits.rules;
        let mut dangling = Vec::new();
        let fields = &rules.settings().references;
        let is_reference = |path: &Path| {
            path.depth() == 1 && path.segments().next().is_some_and(|name| fields.iter().any(|field| **field == *name))
        };
        after.changes.retain_mut(|change| {
            let Change::Set { path, value } = change else { return true };
            if path.is_root() {
                let gone = rules.references(value).filter_map(|(path, name)| Some((path, self.deleter(name)?)));
                let gone: Vec<(Path, Option<Author>)> = gone.collect();
                for (path, by) in gone {
                    let mine = value.take_at(path.as_str());
                    dangling.push(contested(&path, doc.get(&path), mine, doc.get(&path), by));
                }
                return true;
            }
            let Some(by) = value.as_text().filter(|_| is_reference(path)).and_then(|name| self.deleter(name)) else {
                return true;
            };
            dangling.push(contested(path, doc.get(path), Some(value.clone()), doc.get(path), by));
            false
        });
        let deletes = after.changes.iter().any(|change| matches!(change, Change::Unset { path } if path.is_root()));
        if deletes && let Some((author, _)) = self.referrer(&wish.target.resource, me) {
            after.changes.clear();
            dangling.push(contested(&Path::root(), doc.value(), None, doc.value(), Some(author)));
        }
        if dangling.iter().any(|conflict| conflict.their_author.as_ref().is_none_or(|author| author.user == *me)) {
            return Err(Refusal::BadEdit {
                path: dangling[0].unit.name().into(),
                why: "it would refer to what is deleted".into(),
            });
        }
        after.conflicts.extend(dangling);
        Ok(())
    }

    /// Who has deleted the resource of this name, as far as it is known; nothing when it is not deleted.
    fn deleter(&self, name: &str) -> Option<Option<Author>> {
        let gone = self.building.resources.get(&ResourceId::new(name).ok()?)?;
        let deleted = gone.doc().value().is_none() && gone.version() > 0;
        deleted.then(|| gone.edited.history().versions().next_back().map(|version| version.author.clone()))
    }

    /// Who else has lately made something refer to this resource.
    fn referrer(&self, resource: &ResourceId, me: &UserId) -> Option<(Author, ResourceId)> {
        let rules = &self.building.settings.edits.rules;
        let mut found: Vec<(&ResourceId, Author)> = Vec::new();
        for (id, other) in self.building.resources.iter().filter(|(_, other)| other.kind() == ResourceKind::Route) {
            let Some(document) = other.doc().value() else { continue };
            for (path, name) in rules.references(document) {
                let writer = || {
                    let history = other.edited.history();
                    let past = Past { doc: other.doc(), history, base: history.oldest_base(), me };
                    past.last_other(&Unit::Node(path.clone())).cloned()
                };
                if name == resource.as_str()
                    && let Some(author) = writer()
                {
                    found.push((id, author));
                }
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(b.0));
        found.into_iter().next().map(|(id, author)| (author, id.clone()))
    }

    pub(super) fn check_size(&self, now: usize, changes: &[Change]) -> Result<(), Refusal> {
        let max = self.building.settings.edits.document_bytes_max;
        let added: usize = changes
            .iter()
            .map(|change| match change {
                Change::Set { value, .. } | Change::Insert { value, .. } => value.weight(),
                _ => 0,
            })
            .sum();
        match now.saturating_add(added) > max {
            true => Err(Refusal::Limit { name: "edits.document_bytes_max", max: max as u64 }),
            false => Ok(()),
        }
    }

    /// One conflict with each person whose changes the edit has met; one more for what is too small to bother people.
    fn open_conflicts(
        &self,
        wish: &EditWish,
        conflicts: Vec<PathConflict>,
        version: u64,
        is_draft: bool,
    ) -> Result<Vec<Opened>, Refusal> {
        let held = self.building.resources.get(&wish.target.resource);
        let mut by_person: BTreeMap<(UserId, bool), Vec<PathConflict>> = BTreeMap::new();
        for conflict in conflicts {
            let author = conflict.their_author.as_ref().map_or(&wish.actor.user, |author| &author.user);
            let small = conflict.severity == Severity::Low && !is_draft;
            by_person.entry((author.clone(), small)).or_default().push(conflict);
        }
        let max = self.building.settings.edits.open_max;
        let waiting = by_person.keys().filter(|(_, small)| !small).count();
        if waiting > 0 && self.building.conflicts.open_count() + waiting > max {
            return Err(Refusal::Limit { name: "conflicts.open_max", max: max as u64 });
        }
        let opened = |((user, _), paths): ((UserId, bool), Vec<PathConflict>)| {
            let author = paths.iter().find_map(|conflict| conflict.their_author.as_ref());
            // Without another author the edit is a draft of somebody whose lock has ended: both are that person.
            let username = author.map_or_else(|| wish.actor.username.clone(), |author| author.username.clone());
            let first = Party { username, user };
            let worst = paths.iter().max_by_key(|conflict| conflict.severity).expect("a group has a member");
            let kind = if is_draft { STALE_TOKEN } else { worst.kind.as_str() };
            Opened {
                at: self.facts.wall,
                id: ConflictId(self.facts.tokens.mint().0),
                resource: wish.target.resource.clone(),
                rooms: wish.target.place.rooms().into(),
                version,
                kind: kind.into(),
                severity: worst.severity,
                description: describe(kind, &first, &wish.actor, &wish.target.resource, &paths).into(),
                first,
                second: Party { user: wish.actor.user.clone(), username: wish.actor.username.clone() },
                paths,
                edit_id: wish.edit_id.clone(),
                source: if is_draft { Source::StaleToken } else { Source::Edit },
                resource_kind: held.map_or(wish.kind, |held| held.kind()),
            }
        };
        Ok(by_person.into_iter().map(opened).collect())
    }

    /// Writes an edit into the log, for all rooms that see it.
    pub(super) fn commit_edit(&mut self, commit: Commit<'_>, floors: &[RoomId]) -> Result<(), Refusal> {
        let Commit { target, kind, base, version, author, changes, merged, conflict } = commit;
        let moved_to = match kind {
            ResourceKind::Floor => None,
            _ => moved_to(&changes, target, floors)?,
        };
        let mut rooms: SmallVec<[RoomId; 2]> = target.place.rooms().iter().cloned().collect();
        if let Some(floor) = &moved_to
            && !rooms.contains(floor)
        {
            rooms.push(floor.clone());
        }
        let sighting = |room: RoomId| Sighting { seq: self.next_seq(&room), room };
        let seen = rooms.into_iter().map(sighting).collect();
        self.push(Event::Edited(Arc::new(Edited {
            at: self.facts.wall,
            resource: target.resource.clone(),
            kind,
            seen,
            base,
            version,
            author,
            changes,
            merged,
            moved_to,
            conflict,
        })));
        Ok(())
    }
}

/// What a conflict about a draft is called.
const STALE_TOKEN: &str = "stale_token";

/// An edit with what is not contested and what is.
struct Checked {
    changes: Vec<Change>,
    conflicts: Vec<PathConflict>,
}

/// All of an edit as one conflict per place: it writes nothing, whatever it contradicts.
fn as_draft(
    doc: &Doc,
    past: &Past<'_>,
    changes: &[Change],
    rules: &crate::edit::rules::Rules,
    kind: ResourceKind,
) -> Result<Checked, Refusal> {
    let mut wanted = Doc::new(past.value("")).map_err(|bad| bad_edit(&bad))?;
    wanted.apply_all(changes).map_err(|bad| bad_edit(&bad))?;
    let base = Doc::new(past.value("")).map_err(|bad| bad_edit(&bad))?;
    let units = units(rules, &base, &wanted);
    let conflicts = units.into_iter().map(|unit| PathConflict {
        base: base.of_unit(&unit),
        mine: wanted.of_unit(&unit),
        theirs: doc.of_unit(&unit),
        kept: Side::Theirs,
        their_author: past.history.versions().next_back().map(|version| version.author.clone()),
        kind: ConflictKind::ConcurrentEdit,
        severity: rules.severity_of_unit(kind, &unit),
        unit,
    });
    Ok(Checked { changes: Vec::new(), conflicts: conflicts.collect() })
}

/// A reference to what is gone, or the deletion of what is referred to.
fn contested(
    path: &Path,
    base: Option<&Value>,
    mine: Option<Value>,
    theirs: Option<&Value>,
    their_author: Option<Author>,
) -> PathConflict {
    PathConflict {
        unit: Unit::Node(path.clone()),
        kind: ConflictKind::DanglingReference,
        severity: Severity::High,
        base: base.cloned(),
        mine,
        theirs: theirs.cloned(),
        kept: Side::Theirs,
        their_author,
    }
}

fn check_base(base: u64, history: &History) -> Result<(), Refusal> {
    let (version, oldest) = (history.current(), history.oldest_base());
    if base > version {
        return Err(Refusal::BaseAhead { version });
    }
    if base < oldest {
        return Err(Refusal::BaseTooOld { version, oldest });
    }
    Ok(())
}

pub(super) fn check_changes(changes: &[Change]) -> Result<(), Refusal> {
    let fixed = |path: &Path| FIXED.iter().any(|fixed| path.as_str() == *fixed);
    match changes.iter().find(|change| fixed(change.path())) {
        Some(change) => Err(Refusal::BadEdit {
            path: change.path().as_str().into(),
            why: "a document keeps its id, and its version is counted here".into(),
        }),
        None => Ok(()),
    }
}

/// The floor that an item goes to by these changes, if it is another one.
fn moved_to(changes: &[Change], target: &Target, floors: &[RoomId]) -> Result<Option<RoomId>, Refusal> {
    let wanted = changes.iter().rev().find_map(|change| match change {
        Change::Set { path, value } if path.as_str() == FLOOR => Some(value.as_text()),
        Change::Set { path, value } if path.is_root() => {
            value.as_map().and_then(|members| members.get("floor_id")).map(Value::as_text)
        }
        _ => None,
    });
    let Some(wanted) = wanted else { return Ok(None) };
    let bad = |why: String| Refusal::BadEdit { path: FLOOR.into(), why: why.into() };
    let floor = wanted.ok_or_else(|| bad("must be the id of a floor".to_owned()))?;
    let floor = RoomId::new(floor).map_err(|error| bad(error.to_string()))?;
    if target.place.rooms().contains(&floor) {
        return Ok(None);
    }
    match floors.is_empty() || floors.contains(&floor) {
        true => Ok(Some(floor)),
        false => Err(bad(format!("{:?} is no floor of this building", floor.as_str()))),
    }
}

/// A document that begins.
fn begin(id: &str) -> Value {
    let mut doc = Doc::empty();
    doc.name(id);
    doc.into_value().unwrap_or_else(Value::empty_map)
}

/// A whole document goes by the id of its resource, and its version is not its author's to say.
fn as_document(change: &Change, id: &str, version: impl Fn() -> Option<Value>) -> Result<Change, Refusal> {
    match change {
        Change::Set { path, value } if path.is_root() => {
            let mut wanted = Doc::new(Some(value.clone())).map_err(|bad| bad_edit(&bad))?;
            keep_fixed(&mut wanted, id, version());
            let value = wanted.into_value().unwrap_or_else(Value::empty_map);
            Ok(Change::Set { path: path.clone(), value })
        }
        _ => Ok(change.clone()),
    }
}

/// What a whole document says of itself is what it said before.
pub(super) fn keep_fixed(wanted: &mut Doc, id: &str, version: Option<Value>) {
    wanted.name(id);
    match version {
        Some(version) => wanted.put_member("version", version),
        None => wanted.drop_member("version"),
    }
}

/// Whose value the document holds now.
pub(super) fn now_kept(conflict: &PathConflict) -> Kept {
    match conflict.kept {
        Side::Mine => Kept::Second,
        Side::Theirs => Kept::First,
    }
}

pub(super) fn bad_edit(bad: &BadChange) -> Refusal {
    Refusal::BadEdit { path: bad.path.as_str().into(), why: bad.reason_text().into() }
}

fn bad_value(bad: &crate::edit::value::BadValue) -> Refusal {
    Refusal::BadEdit { path: "".into(), why: bad.to_string().into() }
}

fn refusal(refusal: detect::Refusal) -> Refusal {
    match refusal {
        detect::Refusal::BaseAhead { current, .. } => Refusal::BaseAhead { version: current },
        detect::Refusal::BaseTooOld { oldest, .. } => Refusal::BaseTooOld { version: oldest, oldest },
        detect::Refusal::TooManyChanges(_) => {
            Refusal::Limit { name: "changes of an edit", max: detect::EDIT_CHANGES_MAX as u64 }
        }
        detect::Refusal::Bad(bad) => bad_edit(&bad),
    }
}

/// A sentence with names and paths, and never a value: it may be logged.
fn describe(kind: &str, first: &Party, second: &Actor, resource: &ResourceId, paths: &[PathConflict]) -> String {
    let names: Vec<String> = paths.iter().take(PATHS_NAMED_MAX).map(PathConflict::name).collect();
    let names: Vec<&str> = names.iter().map(|name| if name.is_empty() { "all of it" } else { name }).collect();
    let more = match paths.len().saturating_sub(PATHS_NAMED_MAX) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let (a, b) = (&first.username, &second.username);
    let at = names.join(", ");
    match kind {
        STALE_TOKEN => format!("{b} edited {resource} under a lock that had ended; as a draft: {at}{more}"),
        _ if kind == ConflictKind::OutdatedFrame.as_str() => {
            format!("{b} edited {resource} by the grid that was there before {a} calibrated it: {at}{more} ({kind})")
        }
        _ => format!("{a} and {b} changed {resource} at once: {at}{more} ({kind})"),
    }
}
