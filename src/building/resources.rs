//! The documents of a building that somebody has edited, with their versions.
//!
//! A document comes from the origin with its first edit (or begins with it), changes by the log alone from then on, and
//! goes back to the origin. Beyond a bound those that nobody has edited lately and that the origin has are let go; they
//! come again when they are wanted. What is let go, and when, is part of the fold: the same wherever the log is replayed.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::event::{Adopted, EditAuthor, Edited};
use super::settings::EditSettings;
use crate::edit::change::{Change, Doc};
use crate::edit::conflict::Author;
use crate::edit::history::HistorySettings;
use crate::edit::path::Path;
use crate::edit::resource as edit;
use crate::edit::rules::ResourceKind;
use crate::edit::value::Value;
use crate::id::{ResourceId, RoomId, UserId};

/// One document.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    /// What it is, its document, and how that came to be so.
    pub(super) edited: edit::Resource,
    /// Where it lies, as the edits say.
    pub(super) rooms: SmallVec<[RoomId; 1]>,
    /// Of a floor: how its grid last changed.
    pub(super) grid: Option<Grid>,
    /// The version that the origin has.
    pub(super) stored: u64,
    /// When it was last edited, by the log's clock.
    edited_ms: u64,
}

/// The last calibration of a floor's grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Grid {
    /// The floor's version with it.
    pub(super) version: u64,
    /// The message of the floor's room that told so.
    pub(super) seq: u64,
    /// Who.
    pub(super) by: Author,
}

/// A document as it is handed out.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentView {
    /// The resource.
    pub resource: ResourceId,
    /// What it is.
    pub kind: ResourceKind,
    /// Where it lies, the floor first.
    pub rooms: SmallVec<[RoomId; 1]>,
    /// Its version.
    pub version: u64,
    /// The document as JSON text; none when it is deleted.
    pub document: Option<String>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Resources {
    by_id: HashMap<ResourceId, Resource, RandomState>,
    by_age: BTreeSet<(u64, ResourceId)>,
    /// What the origin does not have yet.
    behind: BTreeSet<ResourceId>,
    /// What of that nobody was given for it.
    unstored: BTreeSet<ResourceId>,
}

/// The stored form of one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ResourceImage {
    id: ResourceId,
    edited: edit::Resource,
    rooms: SmallVec<[RoomId; 1]>,
    grid: Option<Grid>,
    stored: u64,
    edited_ms: u64,
}

impl Resource {
    fn new(kind: ResourceKind, version: u64, doc: Doc, settings: &EditSettings) -> Self {
        let edited = edit::Resource::new(kind, doc, version, history_settings(settings));
        Resource { edited, rooms: SmallVec::new(), grid: None, stored: version, edited_ms: 0 }
    }

    pub(super) fn version(&self) -> u64 {
        self.edited.version()
    }

    pub(super) fn kind(&self) -> ResourceKind {
        self.edited.kind()
    }

    pub(super) fn doc(&self) -> &Doc {
        self.edited.doc()
    }

    pub(super) fn view(&self, resource: &ResourceId) -> DocumentView {
        let mut doc = self.doc().clone();
        doc.put_member("version", Value::Number(self.version().into()));
        DocumentView {
            resource: resource.clone(),
            kind: self.kind(),
            rooms: self.rooms.clone(),
            version: self.version(),
            document: doc.value().map(Value::to_json),
        }
    }
}

impl Resources {
    pub(super) fn get(&self, resource: &ResourceId) -> Option<&Resource> {
        self.by_id.get(resource)
    }

    /// The floor of which this is the room.
    pub(super) fn at_room(&self, floor: &RoomId) -> Option<&Resource> {
        self.by_id.get(&ResourceId::new(floor.as_str()).ok()?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ResourceId, &Resource)> {
        self.by_id.iter()
    }

    /// Whether one more fits, if need be in the place of one that can be let go.
    pub(super) fn has_room(
        &self,
        now_ms: u64,
        settings: &EditSettings,
        in_dispute: &dyn Fn(&ResourceId) -> bool,
    ) -> bool {
        self.by_id.len() < settings.resources_max || self.idle(now_ms, settings, in_dispute).is_some()
    }

    /// The one that nobody has edited for the longest time, if it can be let go.
    fn idle(
        &self,
        now_ms: u64,
        settings: &EditSettings,
        in_dispute: &dyn Fn(&ResourceId) -> bool,
    ) -> Option<(u64, ResourceId)> {
        let old = self.by_age.iter().take_while(|(at, _)| now_ms.saturating_sub(*at) > settings.versions_ms);
        let can_go = |id: &ResourceId| {
            self.by_id.get(id).is_some_and(|resource| resource.stored >= resource.version()) && !in_dispute(id)
        };
        old.take(LOOKS_MAX).find(|(_, id)| can_go(id)).cloned()
    }

    pub(super) fn adopt(
        &mut self,
        now_ms: u64,
        adopted: &Adopted,
        settings: &EditSettings,
        in_dispute: &dyn Fn(&ResourceId) -> bool,
    ) {
        let doc = Doc::parse(&adopted.document).unwrap_or_default();
        let resource = Resource::new(adopted.kind, adopted.version, doc, settings);
        self.make_room(now_ms, settings, in_dispute);
        self.insert(adopted.resource.clone(), Resource { edited_ms: now_ms, ..resource });
    }

    /// Lets an edit happen.
    pub(super) fn edit(
        &mut self,
        now_ms: u64,
        edited: &Edited,
        settings: &EditSettings,
        in_dispute: &dyn Fn(&ResourceId) -> bool,
    ) {
        if !self.by_id.contains_key(&edited.resource) {
            let before = edited.version.saturating_sub(1);
            self.make_room(now_ms, settings, in_dispute);
            let fresh = Resource::new(edited.kind, before, Doc::absent(), settings);
            self.insert(edited.resource.clone(), Resource { stored: before, edited_ms: now_ms, ..fresh });
        }
        let Some(resource) = self.by_id.get_mut(&edited.resource) else { return };
        self.by_age.remove(&(resource.edited_ms, edited.resource.clone()));
        resource.edited_ms = now_ms;
        self.by_age.insert((now_ms, edited.resource.clone()));
        // A log that was tampered with may hold what cannot be done; the version counts all the same.
        let done = resource.edited.apply(author(edited), now_ms, edited.at, &edited.changes);
        if done.is_err() {
            let _ = resource.edited.apply(author(edited), now_ms, edited.at, &[]);
        }
        if resource.kind() == ResourceKind::Floor && edited.changes.iter().any(|change| is_of_grid(change.path())) {
            let seq = edited.seen.iter().find(|seen| seen.room.as_str() == edited.resource.as_str());
            let seq = seq.map_or(0, |seen| seen.seq);
            resource.grid = Some(Grid { version: edited.version, seq, by: author(edited) });
        }
        match &edited.moved_to {
            Some(floor) => resource.rooms = SmallVec::from_iter([floor.clone()]),
            None if resource.rooms.is_empty() => {
                resource.rooms = edited.seen.iter().map(|seen| seen.room.clone()).collect();
            }
            None => {}
        }
        self.behind.insert(edited.resource.clone());
        self.unstored.insert(edited.resource.clone());
    }

    /// The origin has this version.
    pub(super) fn stored(&mut self, resource: &ResourceId, version: u64) {
        if let Some(held) = self.by_id.get_mut(resource) {
            held.stored = held.stored.max(version).min(held.version());
            if held.stored == held.version() {
                self.behind.remove(resource);
                self.unstored.remove(resource);
            }
        }
    }

    /// Up to `max` documents that the origin does not have, each given out once per version.
    pub(super) fn take_unstored(&mut self, max: usize) -> Vec<DocumentView> {
        let taken: Vec<ResourceId> = self.unstored.iter().take(max).cloned().collect();
        taken.iter().for_each(|resource| {
            self.unstored.remove(resource);
        });
        taken.iter().filter_map(|id| Some(self.by_id.get(id)?.view(id))).collect()
    }

    pub(super) fn give_out_again(&mut self, resource: &ResourceId) {
        if self.behind.contains(resource) {
            self.unstored.insert(resource.clone());
        }
    }

    /// How many documents the origin does not have.
    pub(super) fn behind(&self) -> usize {
        self.behind.len()
    }

    /// These documents, in order of id.
    pub(super) fn behind_from(&self, from: Bound<ResourceId>) -> impl Iterator<Item = (&ResourceId, &Resource)> {
        self.behind.range((from, Bound::Unbounded)).filter_map(|id| Some((id, self.by_id.get(id)?)))
    }

    fn insert(&mut self, id: ResourceId, resource: Resource) {
        self.by_age.insert((resource.edited_ms, id.clone()));
        let edited_ms = resource.edited_ms;
        if let Some(before) = self.by_id.insert(id.clone(), resource).filter(|before| before.edited_ms != edited_ms) {
            self.by_age.remove(&(before.edited_ms, id));
        }
    }

    fn make_room(&mut self, now_ms: u64, settings: &EditSettings, in_dispute: &dyn Fn(&ResourceId) -> bool) {
        while self.by_id.len() >= settings.resources_max {
            let Some(idle) = self.idle(now_ms, settings, in_dispute) else { return };
            self.by_age.remove(&idle);
            self.by_id.remove(&idle.1);
        }
    }

    pub(super) fn image(&self) -> Vec<ResourceImage> {
        let mut images: Vec<ResourceImage> = self
            .by_id
            .iter()
            .map(|(id, held)| ResourceImage {
                id: id.clone(),
                edited: held.edited.clone(),
                rooms: held.rooms.clone(),
                grid: held.grid.clone(),
                stored: held.stored,
                edited_ms: held.edited_ms,
            })
            .collect();
        images.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        images
    }

    pub(super) fn from_image(images: Vec<ResourceImage>, settings: &EditSettings) -> Self {
        let mut resources = Resources::default();
        for ResourceImage { id, mut edited, rooms, grid, stored, edited_ms } in images {
            edited.bound(history_settings(settings));
            if stored < edited.version() {
                resources.behind.insert(id.clone());
                resources.unstored.insert(id.clone());
            }
            resources.insert(id, Resource { edited, rooms, grid, stored, edited_ms });
        }
        resources
    }
}

/// How many old documents are looked at for one that can be let go.
const LOOKS_MAX: usize = 64;

fn history_settings(settings: &EditSettings) -> HistorySettings {
    HistorySettings {
        versions_max: settings.versions_max,
        keep_ms: settings.versions_ms,
        bytes_max: settings.document_bytes_max,
    }
}

/// Whether a path lies in a floor's grid, or holds it.
pub(super) fn is_of_grid(path: &Path) -> bool {
    path.is_root() || path.segments().next().is_some_and(|first| first == "grid")
}

/// Whether a change goes to the grid and nowhere else.
pub(super) fn is_within_grid(change: &Change) -> bool {
    change.path().segments().next().is_some_and(|first| first == "grid")
}

fn author(edited: &Edited) -> Author {
    match &edited.author {
        EditAuthor::Person { session, user, username } => {
            Author { user: user.clone(), username: username.clone(), session: Some(session.clone()), edit_id: None }
        }
        EditAuthor::Operator(name) => Author {
            // An operator's name is checked where it comes from; what could not be an id is nobody in particular.
            user: UserId::new(name).unwrap_or_else(|_| UserId::new("operator").expect("eight letters are an id")),
            username: name.as_ref().into(),
            session: None,
            edit_id: None,
        },
    }
}
