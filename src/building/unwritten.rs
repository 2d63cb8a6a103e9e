//! What has the origin not got yet?
//!
//! Whoever reads the origin sees what people agreed on only once it was written there. Until then this is what goes
//! before it. Nothing is copied but what is asked for: a floor's reader needs the texts of that floor, and of everything
//! else only that it is not there.

use std::ops::Bound;

use super::Building;
use super::resources::Resource;
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
        if self.kind() == ResourceKind::Floor {
            return RoomId::new(self.resource.as_str()).ok();
        }
        let stated = self.held.doc().at("/floor_id").and_then(Value::as_text);
        stated.and_then(|floor| RoomId::new(floor).ok()).or_else(|| self.held.rooms.first().cloned())
    }

    /// The document as JSON text, with its version; none when it is deleted.
    pub fn document(&self) -> Option<String> {
        self.held.view(self.resource).document
    }
}

impl Building {
    /// The documents that the origin has not got yet, in order of id.
    pub fn unwritten(&self, from: Bound<ResourceId>) -> impl Iterator<Item = Unwritten<'_>> {
        self.resources.behind_from(from).map(|(resource, held)| Unwritten { resource, held })
    }
}
