//! What has the origin not got yet?
//!
//! Whoever reads the origin sees what people agreed on only once it was written there. Until then this is what goes
//! before it. Nothing is copied but what is asked for: a floor's reader needs the texts of that floor, and of everything
//! else only that it is not there.

use std::ops::Bound;

use super::Building;
use super::resources::Resource;
use crate::edit::change::Doc;
use crate::edit::rules::ResourceKind;
use crate::edit::value::Value;
use crate::id::{ResourceId, RoomId};

/// A document that the origin has in an older version, or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Unwritten<'a> {
    /// The resource.
    pub resource: &'a ResourceId,
    held: &'a Resource,
}

/// A document as it is at one moment, to be made into text where that holds nobody up.
#[derive(Clone, Debug)]
pub struct Agreed {
    doc: Doc,
    version: u64,
    floor: Option<RoomId>,
}

impl Agreed {
    /// This document, in this version, on this floor unless it names another one.
    pub fn new(doc: Doc, version: u64, floor: Option<RoomId>) -> Agreed {
        Agreed { floor: stated_floor(&doc).or(floor), doc, version }
    }

    /// The floor in whose folder it belongs, as [`Unwritten::floor`] says it. A deleted one belongs nowhere.
    pub fn floor(&self) -> Option<&RoomId> {
        self.floor.as_ref().filter(|_| self.doc.value().is_some())
    }

    /// What it takes in memory, in bytes.
    pub fn weight(&self) -> usize {
        size_of::<Agreed>() + self.doc.value().map_or(0, Value::weight)
    }

    /// The document as JSON text, with its version; none when it is deleted.
    pub fn into_text(self) -> Option<String> {
        text(self.doc, self.version)
    }
}

impl Unwritten<'_> {
    /// What it is.
    pub fn kind(&self) -> ResourceKind {
        self.held.kind()
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.held.version()
    }

    /// Whether it was deleted.
    pub fn is_deleted(&self) -> bool {
        self.held.doc().value().is_none()
    }

    /// The floor in whose folder it belongs: the one it names, else the one where it was edited.
    pub fn floor(&self) -> Option<RoomId> {
        floor(self.resource, self.held)
    }

    /// The document as JSON text, with its version; none when it is deleted.
    pub fn document(&self) -> Option<String> {
        text(self.held.doc().clone(), self.held.version())
    }
}

impl Building {
    /// A document as it is now, if the building has it.
    pub fn agreed(&self, resource: &ResourceId) -> Option<Agreed> {
        let held = self.resources.get(resource)?;
        Some(Agreed { doc: held.doc().clone(), version: held.version(), floor: floor(resource, held) })
    }

    /// The documents that the origin has not got yet, in order of id.
    pub fn unwritten(&self, from: Bound<ResourceId>) -> impl Iterator<Item = Unwritten<'_>> {
        self.resources.behind_from(from).map(|(resource, held)| Unwritten { resource, held })
    }
}

fn floor(resource: &ResourceId, held: &Resource) -> Option<RoomId> {
    if held.kind() == ResourceKind::Floor {
        return RoomId::new(resource.as_str()).ok();
    }
    stated_floor(held.doc()).or_else(|| held.rooms.first().cloned())
}

fn stated_floor(doc: &Doc) -> Option<RoomId> {
    doc.at("/floor_id").and_then(Value::as_text).and_then(|floor| RoomId::new(floor).ok())
}

fn text(mut doc: Doc, version: u64) -> Option<String> {
    doc.put_member("version", Value::Number(version.into()));
    doc.value().map(Value::to_json)
}
