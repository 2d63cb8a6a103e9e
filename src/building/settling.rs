//! How conflicts end: by one of the two, by an operator, or by nobody in time.
//!
//! A resolution is itself an edit: what it changes goes through the log like everything else and is told to the room.
//! The conflict's revision guards it, so nobody settles what has changed under his eyes, and the second to settle is
//! told who was first. Nothing is thrown away with it: the values that lost stay with the conflict and can be restored.

use std::sync::Arc;

use super::command::{Actor, Place, Refusal, Reply, Resolution, Resolver, Share, Target};
use super::conflict::{Conflict, ConflictId, Kept, Opened, Party, Settled, SettledBy, Source, Word};
use super::draft::Draft;
use super::editing::{Commit, bad_edit, check_changes, keep_fixed, now_kept};
use super::event::{EditAuthor, Escalated, Event};
use crate::edit::change::{Change, Doc};
use crate::edit::conflict::{Choice, PathConflict, Side};
use crate::edit::path::Path;
use crate::edit::rules::{ResourceKind, Severity, Unit};
use crate::edit::value::Value;
use crate::id::UserId;
use crate::lock::guard::Guard;

/// How many conflicts one tick decides.
const DECIDED_PER_TICK: usize = 64;

impl Draft<'_> {
    pub(super) fn resolve(
        &mut self,
        id: ConflictId,
        by: &Resolver,
        revision: Option<u32>,
        resolution: &Resolution,
    ) -> Reply {
        match self.try_resolve(id, by, revision, resolution) {
            Ok(reply) => reply,
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn try_resolve(
        &mut self,
        id: ConflictId,
        by: &Resolver,
        revision: Option<u32>,
        resolution: &Resolution,
    ) -> Result<Reply, Refusal> {
        let conflict = self.conflict_of(id, by)?;
        if let Some(settled) = conflict.settled() {
            return Err(Refusal::AlreadySettled { word: settled.word, by: settled.by.as_str().into() });
        }
        if let Some(seen) = revision
            && seen != conflict.revision
            && self.holds(Guard::ConflictRevision)
        {
            return Err(Refusal::RevisionChanged { current: conflict.revision });
        }
        let opened = conflict.opened.clone();
        let (word, choices) = choose(&opened, by, resolution)?;
        let (changes, version) = self.carry_out(&opened, by, &choices)?;
        let kept = opened.paths.iter().zip(&choices).map(|(path, choice)| kept(path, choice)).collect();
        let settled = Settled { at: self.facts.wall, id, word, by: settled_by(by), kept, version };
        self.settle(&opened, settled);
        Ok(Reply::Settled { conflict: id, changes, version })
    }

    pub(super) fn restore(
        &mut self,
        id: ConflictId,
        by: &Resolver,
        whose: Option<&UserId>,
        only: Option<&Path>,
    ) -> Reply {
        match self.try_restore(id, by, whose, only) {
            Ok(reply) => reply,
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn try_restore(
        &mut self,
        id: ConflictId,
        by: &Resolver,
        whose: Option<&UserId>,
        only: Option<&Path>,
    ) -> Result<Reply, Refusal> {
        let conflict = self.conflict_of(id, by)?;
        let Some(settled) = conflict.settled() else {
            return Err(Refusal::BadEdit { path: "".into(), why: "the conflict is not settled yet".into() });
        };
        let opened = conflict.opened.clone();
        let mut choices: Vec<Option<Choice>> = Vec::with_capacity(opened.paths.len());
        for (path, kept) in opened.paths.iter().zip(&settled.kept) {
            let wanted = only.is_none_or(|only| names(&path.unit, only));
            let side = match whose {
                Some(user) => Some(side_of(&opened, user)?),
                None => match kept {
                    Kept::First => Some(Side::Mine),
                    Kept::Second => Some(Side::Theirs),
                    Kept::Given => None,
                },
            };
            choices.push(side.filter(|_| wanted).map(Choice::Side));
        }
        if choices.iter().all(Option::is_none) {
            let why = "nothing is to be restored there; name a path of the conflict, and whose value";
            return Err(Refusal::BadEdit { path: only.map_or("", Path::as_str).into(), why: why.into() });
        }
        let (changes, version) = self.carry_out(&opened, by, &choices)?;
        Ok(Reply::Settled { conflict: id, changes, version })
    }

    /// The conflict, if the asker may know of it. Unknown and foreign ones are answered alike.
    fn conflict_of(&self, id: ConflictId, by: &Resolver) -> Result<&Conflict, Refusal> {
        let building = self.building;
        let conflict = building.conflicts.get(id).ok_or(Refusal::ConflictNotFound)?;
        match by {
            Resolver::Person(actor) if !conflict.concerns(&actor.user) => Err(Refusal::ConflictNotFound),
            _ => Ok(conflict),
        }
    }

    /// Makes the document so, as far as it is not so already; what changed, and the version with it.
    fn carry_out(
        &mut self,
        opened: &Opened,
        by: &Resolver,
        choices: &[Option<Choice>],
    ) -> Result<(Vec<Change>, u64), Refusal> {
        let building = self.building;
        let held = building.resources.get(&opened.resource);
        let absent = Doc::absent();
        let doc = held.map_or(&absent, |held| held.doc());
        let version = held.map_or(opened.version, |held| held.version());
        if held.is_none() && opened.version > 0 && choices.iter().any(Option::is_some) {
            // It was let go since the conflict was settled. Nothing can be said of it before it is here again.
            let why = "its document must be loaded first".into();
            return Err(Refusal::BadEdit { path: "".into(), why });
        }
        let mut changes = Vec::new();
        for (path, choice) in opened.paths.iter().zip(choices) {
            if let Some(choice) = choice {
                let mut choice = choice.clone();
                if let Choice::Value(Some(value)) = &mut choice
                    && matches!(&path.unit, Unit::Node(path) if path.is_root())
                {
                    let mut wanted = Doc::new(Some(value.clone())).map_err(|bad| bad_edit(&bad))?;
                    keep_fixed(&mut wanted, opened.resource.as_str(), doc.at("/version").cloned());
                    *value = wanted.into_value().unwrap_or_else(Value::empty_map);
                }
                changes.extend(path.resolve(doc, &choice).map_err(|bad| bad_edit(&bad))?);
            }
        }
        if changes.is_empty() {
            return Ok((changes, version));
        }
        // What the values belong into may be gone by now. The event must be one that can happen.
        doc.clone().apply_all(&changes).map_err(|bad| bad_edit(&bad))?;
        check_changes(&changes)?;
        self.check_size(held.map_or(0, |held| held.edited.bytes()), &changes)?;
        let resource_kind = held.map_or(opened.resource_kind, |held| held.kind());
        let place = match resource_kind {
            ResourceKind::Floor => Place::Floor(opened.rooms[0].clone()),
            _ => Place::Item(
                held.map(|held| held.rooms.clone()).filter(|r| !r.is_empty()).unwrap_or(opened.rooms.clone()),
            ),
        };
        let target = Target { resource: opened.resource.clone(), place };
        let author = match by {
            Resolver::Person(actor) => {
                self.check_lock(actor, &target, None, &changes)?;
                let Actor { session, user, username, .. } = actor.clone();
                EditAuthor::Person { session, user, username }
            }
            Resolver::Operator { name, .. } => {
                if let Some(lock) = building.held_by_other_than(self.facts, &target, None) {
                    return Err(Refusal::Locked { by: Box::new(lock) });
                }
                EditAuthor::Operator(name.clone())
            }
        };
        let commit = Commit {
            target: &target,
            kind: resource_kind,
            base: version,
            version: version + 1,
            author,
            changes: changes.clone(),
            merged: false,
            conflict: Some(opened.id),
        };
        self.commit_edit(commit, &[])?;
        Ok((changes, version + 1))
    }

    pub(super) fn report(
        &mut self,
        target: &Target,
        parties: &[Party; 2],
        kind: &str,
        severity: Severity,
        description: &str,
    ) -> Reply {
        let max = self.building.settings.edits.open_max;
        if self.building.conflicts.open_count() >= max {
            return Reply::Refused(Refusal::Limit { name: "conflicts.open_max", max: max as u64 });
        }
        let id = ConflictId(self.facts.tokens.mint().0);
        let [first, second] = parties.clone();
        let held = self.building.resources.get(&target.resource);
        self.open(Opened {
            at: self.facts.wall,
            id,
            resource: target.resource.clone(),
            rooms: target.place.rooms().into(),
            version: held.map_or(0, |held| held.version()),
            kind: kind.into(),
            severity,
            first,
            second,
            paths: Vec::new(),
            description: description.into(),
            edit_id: None,
            source: Source::Reported,
            resource_kind: match (held, &target.place) {
                (Some(held), _) => held.kind(),
                (None, Place::Item(_)) => ResourceKind::Object,
                (None, Place::Floor(_) | Place::Building(_)) => ResourceKind::Floor,
            },
        });
        Reply::Reported { conflict: id }
    }

    /// Decides what its people have not decided in time: the committed values stay. What is too grave goes to operators.
    pub(super) fn decide_due_conflicts(&mut self) {
        let building = self.building;
        for conflict in building.conflicts.due(self.now()).take(DECIDED_PER_TICK) {
            let opened = &conflict.opened;
            if opened.severity == Severity::Critical {
                self.push(Event::ConflictEscalated(Arc::new(Escalated { at: self.facts.wall, id: opened.id })));
                continue;
            }
            let version = building.resources.get(&opened.resource).map_or(opened.version, |held| held.version());
            let settled = Settled {
                at: self.facts.wall,
                id: opened.id,
                word: Word::Merge,
                by: SettledBy::Timeout,
                kept: opened.paths.iter().map(now_kept).collect(),
                version,
            };
            self.settle(opened, settled);
        }
    }
}

fn settled_by(by: &Resolver) -> SettledBy {
    match by {
        Resolver::Person(actor) => SettledBy::Party(actor.user.clone()),
        Resolver::Operator { name, reason } => SettledBy::Operator(name.clone(), reason.clone()),
    }
}

fn kept(path: &PathConflict, choice: &Option<Choice>) -> Kept {
    match choice {
        Some(Choice::Side(Side::Mine)) => Kept::Second,
        Some(Choice::Side(Side::Theirs)) => Kept::First,
        Some(Choice::Value(_)) => Kept::Given,
        None => now_kept(path),
    }
}

/// The side that a person is on.
fn side_of(opened: &Opened, user: &UserId) -> Result<Side, Refusal> {
    if opened.second.user == *user {
        Ok(Side::Mine)
    } else if opened.first.user == *user {
        Ok(Side::Theirs)
    } else {
        let (a, b) = (&opened.first.user, &opened.second.user);
        Err(Refusal::BadEdit { path: "".into(), why: format!("{user} is neither {a} nor {b}").into() })
    }
}

/// Whether a path means this unit: it is its name, or that of one of its fields. What lies deeper is part of a value
/// that is decided as a whole.
fn names(unit: &Unit, path: &Path) -> bool {
    let is_field = || matches!(unit, Unit::Fields { path: at, .. } if path.depth() == at.depth() + 1);
    unit.name() == path.as_str() || is_field() && unit.covers(path)
}

/// What a resolution says of each path; nothing where things stay as they are.
fn choose(opened: &Opened, by: &Resolver, resolution: &Resolution) -> Result<(Word, Vec<Option<Choice>>), Refusal> {
    let refuse = |path: &str, why: &str| Refusal::BadEdit { path: path.into(), why: why.into() };
    let own = || match by {
        Resolver::Person(actor) => side_of(opened, &actor.user),
        Resolver::Operator { .. } => Err(refuse("", "an operator has no values of its own: name the winner")),
    };
    let other = |side| match side {
        Side::Mine => Side::Theirs,
        Side::Theirs => Side::Mine,
    };
    // Whose value is committed already keeps what the document has: a third person may have changed it since.
    let chosen = |path: &PathConflict, side: Side| (path.kept != side).then_some(Choice::Side(side));
    let all = |side| opened.paths.iter().map(|path| chosen(path, side)).collect();
    let unit = |path: &Path| {
        let at = opened.paths.iter().position(|disputed| names(&disputed.unit, path));
        at.ok_or_else(|| refuse(path.as_str(), "the conflict is not about this path"))
    };
    Ok(match resolution {
        Resolution::AcceptMine => (Word::AcceptMine, all(own()?)),
        Resolution::AcceptTheirs => (Word::AcceptTheirs, all(other(own()?))),
        Resolution::Winner(user) => (Word::Merge, all(side_of(opened, user)?)),
        Resolution::Merge(shares) => {
            let mut choices = vec![None; opened.paths.len()];
            for (path, share) in shares {
                let side = match share {
                    Share::Mine => own()?,
                    Share::Theirs => other(own()?),
                    Share::Of(user) => side_of(opened, user)?,
                };
                let choice = &mut choices[unit(path)?];
                if choice.as_ref().is_some_and(|chosen| *chosen != Choice::Side(side)) {
                    return Err(refuse(path.as_str(), "it is one value with another path, which is the other's"));
                }
                *choice = Some(Choice::Side(side));
            }
            let sides = opened.paths.iter().zip(choices).map(|(path, choice)| match choice {
                Some(Choice::Side(side)) => chosen(path, side),
                other => other,
            });
            (Word::Merge, sides.collect())
        }
        Resolution::Manual(values) => {
            let mut choices = vec![None; opened.paths.len()];
            for (path, value) in values {
                let at = unit(path)?;
                choices[at] = Some(Choice::Value(as_unit(&opened.paths[at], path, value, &choices[at])?));
            }
            (Word::Manual, choices)
        }
        Resolution::ManualOne(value) => match opened.paths.len() {
            1 => (Word::Manual, vec![Some(Choice::Value(value.clone()))]),
            n => return Err(refuse("", &format!("the conflict is about {n} paths: give values, path by path"))),
        },
    })
}

/// The value of a unit when one was given for a path of it. Of fields that are one value, each may be given by its own
/// path, and the others stay as they were committed.
fn as_unit(
    disputed: &PathConflict,
    path: &Path,
    value: &Option<Value>,
    so_far: &Option<Choice>,
) -> Result<Option<Value>, Refusal> {
    let unit = &disputed.unit;
    let Unit::Fields { path: at, .. } = unit else { return Ok(value.clone()) };
    if unit.name() == path.as_str() && value.as_ref().is_some_and(|value| value.as_map().is_some()) {
        return Ok(value.clone());
    }
    let field = path.split().filter(|(parent, _)| *parent == at.as_str());
    let Some((_, field)) = field else {
        let why = "it is part of one value with others: give that field whole".into();
        return Err(Refusal::BadEdit { path: path.as_str().into(), why });
    };
    let mut members = match so_far {
        Some(Choice::Value(Some(value))) => Doc::new(Some(value.clone())).unwrap_or_default(),
        _ => Doc::new(disputed.theirs.clone()).ok().filter(|doc| doc.value().is_some()).unwrap_or_else(Doc::empty),
    };
    match value {
        Some(value) => members.put_member(&field, value.clone()),
        None => members.drop_member(&field),
    }
    Ok(members.into_value())
}
