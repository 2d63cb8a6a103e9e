//! What a building says about its documents and conflicts, and how the log's events change them.

use std::sync::Arc;

use super::Building;
use super::command::{Actor, Facts, LockView, Reply, Target};
use super::conflict::{Conflict, ConflictId, Tally};
use super::draft::Draft;
use super::event::{Event, Stored};
use super::resources::{DocumentView, Grid};
use crate::edit::path::Path;
use crate::edit::rules::ResourceKind;
use crate::id::{ResourceId, RoomId, UserId};
use crate::time::Mono;

impl Building {
    /// Whether the building has this resource's document, or knows that it was deleted.
    pub fn knows_document(&self, resource: &ResourceId) -> bool {
        self.resources.get(resource).is_some()
    }

    /// Whether there is such a document: not deleted, and in memory.
    pub fn has_document(&self, resource: &ResourceId) -> bool {
        self.resources.get(resource).is_some_and(|held| held.doc().value().is_some())
    }

    /// A resource's document, if the building has it.
    pub fn document(&self, resource: &ResourceId) -> Option<DocumentView> {
        self.resources.get(resource).map(|held| held.view(resource))
    }

    /// What is at a path of a document now, as JSON text.
    pub fn value_at(&self, resource: &ResourceId, unit: &crate::edit::rules::Unit) -> Option<String> {
        self.resources.get(resource)?.doc().of_unit(unit).map(|value| value.to_json())
    }

    /// Where each resource lies that an edit has put somewhere, or that began with an edit.
    pub fn placed_by_edits(&self) -> impl Iterator<Item = (&ResourceId, &[RoomId], ResourceKind)> {
        let placed = self.resources.iter().filter(|(_, held)| !held.rooms.is_empty());
        placed.map(|(id, held)| (id, &held.rooms[..], held.kind()))
    }

    /// Of a floor: the version in which its grid last changed, and the message of its room that told so.
    pub fn frame(&self, floor: &RoomId) -> Option<(u64, u64)> {
        self.grid(floor).map(|grid| (grid.version, grid.seq))
    }

    pub(super) fn grid(&self, floor: &RoomId) -> Option<&Grid> {
        self.resources.at_room(floor)?.grid.as_ref()
    }

    /// Up to `max` documents that the origin does not have, each given out once per version. Soft: after a restart all
    /// of them are given out again.
    pub fn take_unstored(&mut self, max: usize) -> Vec<DocumentView> {
        self.resources.take_unstored(max)
    }

    /// A document that was given out is to be given out once more.
    pub fn give_out_again(&mut self, resource: &ResourceId) {
        self.resources.give_out_again(resource);
    }

    /// How many documents the origin does not have yet.
    pub fn unstored_count(&self) -> usize {
        self.resources.behind()
    }

    /// A conflict, if it is kept.
    pub fn conflict(&self, id: ConflictId) -> Option<&Conflict> {
        self.conflicts.get(id)
    }

    /// All conflicts that are kept, the oldest first.
    pub fn conflicts(&self) -> impl DoubleEndedIterator<Item = &Conflict> {
        self.conflicts.iter()
    }

    /// How many conflicts wait for somebody.
    pub fn open_conflict_count(&self) -> usize {
        self.conflicts.open_count()
    }

    /// How many of them wait for an operator.
    pub fn escalated_count(&self) -> usize {
        self.conflicts.escalated_count()
    }

    /// What is counted over all conflicts that ever were.
    pub fn conflict_tally(&self) -> &Tally {
        &self.conflicts.tally
    }

    /// The exclusive lock that covers a target, if it is held by another session; of clients of the first generation
    /// and of REST, by another person.
    pub(super) fn held_by_other(&self, facts: &Facts, target: &Target, actor: &Actor) -> Option<LockView> {
        self.held_by_other_than(facts, target, Some(actor))
    }

    /// The same for somebody who has no session.
    pub(super) fn held_by_other_than(&self, facts: &Facts, target: &Target, actor: Option<&Actor>) -> Option<LockView> {
        let lock = self.covering(facts.now, target)?;
        let own = actor.is_some_and(|actor| lock.session == actor.session || (actor.legacy && lock.user == actor.user));
        (!own).then(|| self.view(facts, lock))
    }

    /// Lets an event about documents or conflicts happen.
    pub(super) fn evolve_documents(&mut self, event: &Event) {
        let Building { clock, resources, answers, conflicts, settings, .. } = self;
        let settings = &settings.edits;
        match event {
            Event::Broadcast(_) | Event::LockGranted(_) | Event::LockReleased(_) => {}
            Event::Adopted(adopted) => {
                clock.advance(adopted.at);
                resources.adopt(clock.ms(), adopted, settings, &|id| conflicts.open_on(id).next().is_some());
            }
            Event::Edited(edited) => {
                clock.advance(edited.at);
                resources.edit(clock.ms(), edited, settings, &|id| conflicts.open_on(id).next().is_some());
                let paths: Vec<&Path> = edited.changes.iter().map(|change| change.path()).collect();
                conflicts.touched(&edited.resource, &paths, edited.conflict);
                conflicts.count_edit(edited);
            }
            Event::Answered(answered) => {
                clock.advance(answered.at);
                answers.forget(clock.ms(), settings.edit_id_ms);
                answers.remember(clock.ms(), answered, settings.edit_ids_max);
            }
            Event::Stored(stored) => {
                clock.advance(stored.at);
                stored.resources.iter().for_each(|(resource, version)| resources.stored(resource, *version));
            }
            Event::ConflictOpened(opened) => {
                clock.advance(opened.at);
                conflicts.insert(opened.clone());
            }
            Event::ConflictEscalated(escalated) => {
                clock.advance(escalated.at);
                conflicts.escalate(escalated.id, escalated.at);
            }
            Event::ConflictSettled(settled) => {
                clock.advance(settled.at);
                conflicts.settle(settled, settings.settled_max);
            }
        }
    }

    /// A conflict that has just been found: its people have so much time.
    pub(super) fn start_timeouts(&mut self, facts: &Facts, event: &Event) {
        if let Event::ConflictOpened(opened) = event {
            let timeout_ms = self.settings.edits.timeout_ms[opened.severity as usize];
            self.conflicts.set_due(opened.id, Some(facts.now.plus(timeout_ms)));
        }
    }

    pub(super) fn start_all_timeouts(&mut self, now: Mono) {
        let open: Vec<(ConflictId, u64)> = self
            .conflicts
            .iter()
            .filter(|conflict| conflict.status == super::conflict::Status::Open)
            .map(|conflict| (conflict.opened.id, self.settings.edits.timeout_ms[conflict.opened.severity as usize]))
            .collect();
        for (id, timeout_ms) in open {
            self.conflicts.set_due(id, Some(now.plus(timeout_ms)));
        }
    }

    /// Whether each document is at the version that its history counts.
    pub(super) fn check_documents(&self) -> Result<(), String> {
        for (id, held) in self.resources.iter() {
            if held.stored > held.version() {
                return Err(format!("the origin has {id} at {}, which is at {}", held.stored, held.version()));
            }
            let (weight, counted) = (held.doc().weight(), held.edited.bytes());
            if weight != counted {
                return Err(format!("{id} holds {weight} bytes, {counted} are counted"));
            }
        }
        Ok(())
    }

    /// Whether a person is one of the two of any conflict that waits.
    pub fn has_open_conflict_of(&self, user: &UserId) -> bool {
        self.conflicts.iter().any(|conflict| conflict.is_open() && conflict.concerns(user))
    }
}

impl Draft<'_> {
    pub(super) fn stored(&mut self, resources: &[(ResourceId, u64)]) -> Reply {
        let news = |(id, version): &&(ResourceId, u64)| {
            self.building.resources.get(id).is_some_and(|held| *version > held.stored && *version <= held.version())
        };
        let resources: Vec<(ResourceId, u64)> = resources.iter().filter(news).cloned().collect();
        if !resources.is_empty() {
            self.push(Event::Stored(Arc::new(Stored { at: self.facts.wall, resources })));
        }
        Reply::Done
    }
}
