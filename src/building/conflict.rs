//! Conflicts: two people wanted different things of one resource at once. What each wanted, and what became of it.
//!
//! A conflict has two parties: whose value is committed, and whose value waits. An edit that meets changes of several
//! people opens one conflict with each of them, so each is told what concerns it and nothing else. Nothing that was
//! submitted is ever dropped: what is not in the document is in a conflict, and can be restored from there after it is
//! settled.
//!
//! Conflicts are part of the fold of the log. Open ones stay until they are settled; of the settled ones the latest
//! `conflicts.settled_max` are kept for people to look at, the rest is in the log alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::event::Edited;
use crate::edit::conflict::PathConflict;
use crate::edit::path::Path;
use crate::edit::rules::{ResourceKind, Severity, Unit};
use crate::id::{ResourceId, RoomId, UserId};
use crate::time::{Mono, Wall};

/// A conflict's name: `cf_` and a number in lower-case base 36. Opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConflictId(pub u64);

/// A person in a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The person.
    pub user: UserId,
    /// The person's shown name.
    pub username: Arc<str>,
}

/// How a conflict came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// An edit met another one.
    Edit,
    /// An edit came under a lock that its author had lost: all of it waits as a draft.
    StaleToken,
    /// The back end found it.
    Reported,
}

impl Source {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Edit => "edit",
            Source::StaleToken => "stale_token",
            Source::Reported => "reported",
        }
    }
}

/// What two people disagree about. Also how it is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// When.
    pub at: Wall,
    /// Its name.
    pub id: ConflictId,
    /// The resource.
    pub resource: ResourceId,
    /// Where it lies.
    pub rooms: SmallVec<[RoomId; 1]>,
    /// The resource's version when the conflict was found.
    pub version: u64,
    /// What kind of disagreement: a name of the edit rules, or the reporter's word.
    pub kind: Box<str>,
    /// How grave.
    pub severity: Severity,
    /// Whose values are committed; the first of the two.
    pub first: Party,
    /// Whose values wait; the author of the edit.
    pub second: Party,
    /// What is disputed: `mine` is the second's, `theirs` the first's.
    pub paths: Vec<PathConflict>,
    /// For people: ids and paths, never values.
    pub description: Box<str>,
    /// The author's name for the edit.
    pub edit_id: Option<Box<str>>,
    /// How it came about.
    pub source: Source,
    /// What the resource is: there may be no document of it yet.
    pub resource_kind: ResourceKind,
}

impl Opened {
    /// Whose value that is; nobody's when the resolver gave one.
    pub fn user(&self, kept: Kept) -> Option<&UserId> {
        match kept {
            Kept::First => Some(&self.first.user),
            Kept::Second => Some(&self.second.user),
            Kept::Given => None,
        }
    }
}

/// The word for how a conflict was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// The resolver's own values.
    AcceptMine,
    /// The other's values.
    AcceptTheirs,
    /// Both, path by path.
    Merge,
    /// Values that the resolver gave.
    Manual,
}

impl Word {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Word::AcceptMine => "accept_mine",
            Word::AcceptTheirs => "accept_theirs",
            Word::Merge => "merge",
            Word::Manual => "manual",
        }
    }

    /// The word that `text` names.
    pub fn parse(text: &str) -> Option<Word> {
        [Word::AcceptMine, Word::AcceptTheirs, Word::Merge, Word::Manual].into_iter().find(|word| word.as_str() == text)
    }
}

/// Who settled a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettledBy {
    /// One of the two.
    Party(UserId),
    /// An operator, with the stated reason.
    Operator(Box<str>, Box<str>),
    /// Nobody in time.
    Timeout,
    /// The rules, at once: it was too small to bother people.
    Rules,
}

impl SettledBy {
    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            SettledBy::Party(user) => user.as_str(),
            SettledBy::Operator(name, _) => name,
            SettledBy::Timeout => "timeout",
            SettledBy::Rules => "rules",
        }
    }
}

/// Whose value the document was given for what was disputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// The one whose value was committed when the conflict was found.
    First,
    /// The author of the edit that met it.
    Second,
    /// A value that the resolver gave.
    Given,
}

/// How a conflict ended. Also how it is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// When.
    pub at: Wall,
    /// Which.
    pub id: ConflictId,
    /// The word for it.
    pub word: Word,
    /// Who.
    pub by: SettledBy,
    /// Whose value each path has now, in the order of the conflict's paths.
    pub kept: Vec<Kept>,
    /// The resource's version with that.
    pub version: u64,
}

/// Where a conflict stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The two can settle it.
    Open,
    /// Nobody settled it in time and it is too grave to be decided by rules: an operator is wanted.
    Escalated {
        /// Since when.
        at: Wall,
    },
    /// It is settled.
    Settled(Settled),
}

impl Status {
    /// The name on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Escalated { .. } => "escalated",
            Status::Settled(_) => "settled",
        }
    }
}

/// A conflict and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// What it is about.
    pub opened: Arc<Opened>,
    /// Where it stands.
    pub status: Status,
    /// Counts what has changed under it: whoever settles it must have seen the latest.
    pub revision: u32,
    /// When it is decided without the two; soft.
    pub(super) due: Option<Mono>,
}

impl Conflict {
    /// Whether this person is one of the two.
    pub fn concerns(&self, user: &UserId) -> bool {
        self.opened.first.user == *user || self.opened.second.user == *user
    }

    /// Whether it waits for somebody.
    pub fn is_open(&self) -> bool {
        !matches!(self.status, Status::Settled(_))
    }

    /// When it is decided without the two.
    pub fn due(&self) -> Option<Mono> {
        self.due
    }

    /// How it ended, if it has.
    pub fn settled(&self) -> Option<&Settled> {
        match &self.status {
            Status::Settled(settled) => Some(settled),
            _ => None,
        }
    }
}

/// All open conflicts of a building and the latest settled ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Conflicts {
    all: BTreeMap<ConflictId, Conflict>,
    open: usize,
    escalated: usize,
    /// Of open ones only: the fold asks at every edit.
    by_resource: HashMap<ResourceId, SmallVec<[ConflictId; 2]>, RandomState>,
    settled: VecDeque<ConflictId>,
    dues: BTreeSet<(Mono, ConflictId)>,
    pub(super) tally: Tally,
}

/// What is counted over all conflicts that ever were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Edits that changed something.
    pub edits: u64,
    /// Of those, the ones that met others' changes and merged without a dispute.
    pub merged: u64,
    /// Conflicts by severity, from low to critical.
    pub opened: [u64; 4],
    /// Settled by the two, by operators, by timeout, by rules.
    pub settled: [u64; 4],
    /// Escalated to operators.
    pub escalated: u64,
    /// Milliseconds from the opening to the end, summed over those that people settled.
    pub settle_ms: u64,
    /// Values that were brought back after a conflict.
    pub restored: u64,
}

impl Conflicts {
    pub(super) fn get(&self, id: ConflictId) -> Option<&Conflict> {
        self.all.get(&id)
    }

    /// All that are kept, the oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Conflict> {
        self.all.values()
    }

    /// The open ones of a resource.
    pub(super) fn open_on(&self, resource: &ResourceId) -> impl Iterator<Item = &Conflict> {
        self.by_resource.get(resource).into_iter().flatten().filter_map(|id| self.all.get(id))
    }

    pub(super) fn open_count(&self) -> usize {
        self.open
    }

    pub(super) fn escalated_count(&self) -> usize {
        self.escalated
    }

    pub(super) fn insert(&mut self, opened: Arc<Opened>) {
        let id = opened.id;
        let conflict = Conflict { opened: opened.clone(), status: Status::Open, revision: 1, due: None };
        if self.all.insert(id, conflict).is_none() {
            self.open += 1;
            self.by_resource.entry(opened.resource.clone()).or_default().push(id);
            self.tally.opened[opened.severity as usize] += 1;
        }
    }

    pub(super) fn escalate(&mut self, id: ConflictId, at: Wall) {
        self.set_due(id, None);
        if let Some(conflict) = self.all.get_mut(&id)
            && conflict.status == Status::Open
        {
            conflict.status = Status::Escalated { at };
            conflict.revision += 1;
            self.escalated += 1;
            self.tally.escalated += 1;
        }
    }

    /// Ends a conflict; the oldest settled ones are forgotten beyond `keep_max`.
    pub(super) fn settle(&mut self, settled: &Settled, keep_max: usize) {
        self.set_due(settled.id, None);
        let Some(conflict) = self.all.get_mut(&settled.id).filter(|conflict| conflict.is_open()) else {
            return;
        };
        self.escalated -= usize::from(matches!(conflict.status, Status::Escalated { .. }));
        conflict.status = Status::Settled(settled.clone());
        conflict.revision += 1;
        self.open -= 1;
        let slot = match settled.by {
            SettledBy::Party(_) => 0,
            SettledBy::Operator(..) => 1,
            SettledBy::Timeout => 2,
            SettledBy::Rules => 3,
        };
        self.tally.settled[slot] += 1;
        if slot < 2 {
            let took = settled.at.0.saturating_sub(conflict.opened.at.0);
            self.tally.settle_ms = self.tally.settle_ms.saturating_add(u64::try_from(took).unwrap_or(0));
        }
        let resource = conflict.opened.resource.clone();
        if let Some(ids) = self.by_resource.get_mut(&resource) {
            ids.retain(|id| *id != settled.id);
            if ids.is_empty() {
                self.by_resource.remove(&resource);
            }
        }
        self.settled.push_back(settled.id);
        while self.settled.len() > keep_max {
            if let Some(oldest) = self.settled.pop_front() {
                self.all.remove(&oldest);
            }
        }
    }

    /// An edit was committed.
    pub(super) fn count_edit(&mut self, edited: &Edited) {
        self.tally.edits += 1;
        self.tally.merged += u64::from(edited.merged);
        let settled = edited.conflict.and_then(|id| self.all.get(&id)).is_some_and(|conflict| !conflict.is_open());
        self.tally.restored += u64::from(settled);
    }

    /// Something was committed to a resource: whoever looked at its conflicts before has not seen that.
    pub(super) fn touched(&mut self, resource: &ResourceId, paths: &[&Path], by: Option<ConflictId>) {
        let Some(ids) = self.by_resource.get(resource) else { return };
        for id in ids.iter().filter(|id| Some(**id) != by) {
            if let Some(conflict) = self.all.get_mut(id)
                && conflict.opened.paths.iter().any(|disputed| paths.iter().any(|path| meet(&disputed.unit, path)))
            {
                conflict.revision += 1;
            }
        }
    }

    /// When the next one is decided without its people.
    pub(super) fn next_due(&self) -> Option<Mono> {
        self.dues.first().map(|(at, _)| *at)
    }

    /// Which are to be decided by now, in order of time.
    pub(super) fn due(&self, now: Mono) -> impl Iterator<Item = &Conflict> {
        self.dues.iter().take_while(move |(at, _)| *at <= now).filter_map(|(_, id)| self.all.get(id))
    }

    pub(super) fn set_due(&mut self, id: ConflictId, due: Option<Mono>) {
        let Some(conflict) = self.all.get_mut(&id) else { return };
        if let Some(at) = conflict.due.take() {
            self.dues.remove(&(at, id));
        }
        if let Some(at) = due {
            conflict.due = Some(at);
            self.dues.insert((at, id));
        }
    }

    pub(super) fn image(&self) -> ConflictsImage {
        ConflictsImage {
            conflicts: self.all.values().map(ConflictImage::of).collect(),
            settled: self.settled.iter().copied().collect(),
            tally: self.tally.clone(),
        }
    }

    pub(super) fn from_image(image: ConflictsImage) -> Self {
        let mut conflicts = Conflicts::default();
        for ConflictImage { opened, escalated, settled, revision } in image.conflicts {
            let id = opened.id;
            conflicts.insert(Arc::new(opened));
            if let Some(at) = escalated {
                conflicts.escalate(id, at);
            }
            if let Some(settled) = settled {
                conflicts.settle(&settled, usize::MAX);
            }
            if let Some(conflict) = conflicts.all.get_mut(&id) {
                conflict.revision = revision;
            }
        }
        // The order in which they were settled is not the order of their names.
        let known = |id: &ConflictId| conflicts.all.get(id).is_some_and(|conflict| !conflict.is_open());
        conflicts.settled = image.settled.into_iter().filter(known).collect();
        conflicts.tally = image.tally;
        conflicts
    }

    /// Whether the indexes say what the conflicts say.
    pub(super) fn check(&self) -> Result<(), String> {
        let open = self.all.values().filter(|conflict| conflict.is_open()).count();
        let indexed: usize = self.by_resource.values().map(SmallVec::len).sum();
        let armed = self.all.values().filter(|conflict| conflict.due.is_some()).count();
        if open != self.open || open != indexed {
            return Err(format!("{open} conflicts are open, {} counted, {indexed} indexed", self.open));
        }
        if armed != self.dues.len() || self.all.len() - open != self.settled.len() {
            return Err(format!("{armed} conflicts are armed, {} entries", self.dues.len()));
        }
        let with_itself = |conflict: &&Conflict| {
            conflict.opened.source != Source::StaleToken && conflict.opened.first.user == conflict.opened.second.user
        };
        match self.all.values().find(with_itself) {
            Some(conflict) => {
                Err(format!("{} is a conflict of {} with itself", conflict.opened.id, conflict.opened.first.user))
            }
            None => Ok(()),
        }
    }
}

/// Whether a write at a path concerns what is disputed.
pub(super) fn meet(unit: &Unit, path: &Path) -> bool {
    unit.covers(path) || path.covers(unit.path())
}

/// The stored form of all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ConflictsImage {
    conflicts: Vec<ConflictImage>,
    settled: Vec<ConflictId>,
    tally: Tally,
}

/// The stored form of one.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ConflictImage {
    opened: Opened,
    escalated: Option<Wall>,
    settled: Option<Settled>,
    revision: u32,
}

impl ConflictImage {
    fn of(conflict: &Conflict) -> Self {
        let (escalated, settled) = match &conflict.status {
            Status::Open => (None, None),
            Status::Escalated { at } => (Some(*at), None),
            Status::Settled(settled) => (None, Some(settled.clone())),
        };
        ConflictImage { opened: (*conflict.opened).clone(), escalated, settled, revision: conflict.revision }
    }
}

impl ConflictId {
    /// The conflict that `text` names, if it could ever have been given out.
    pub fn parse(text: &str) -> Option<Self> {
        crate::lock::parse_base36(text, "cf_").map(ConflictId)
    }
}

impl fmt::Display for ConflictId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::lock::write_base36(f, "cf_", self.0)
    }
}
