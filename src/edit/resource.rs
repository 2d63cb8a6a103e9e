//! One edited document with all that is known of how it came to be: what a building holds for each.
//!
//! [`Resource::decide`] looks, [`Resource::apply`] makes what was decided and remembers it; the document always is what
//! its versions have made of it.

use serde::{Deserialize, Serialize};

use super::change::{BadChange, Change, Doc};
use super::conflict::Author;
use super::detect::{Edit, Outcome, Refusal, decide};
use super::history::{History, HistorySettings};
use super::rules::{ResourceKind, Rules};
use crate::time::Wall;

/// A document that people edit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    pub(crate) kind: ResourceKind,
    pub(crate) doc: Doc,
    pub(crate) history: History,
    bytes: usize,
}

impl Resource {
    /// A document as it was loaded, at the version that it had.
    pub fn new(kind: ResourceKind, doc: Doc, version: u64, settings: HistorySettings) -> Self {
        let bytes = doc.weight();
        Resource { kind, doc, history: History::new(version, settings), bytes }
    }

    /// What it describes.
    pub fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// What it is now.
    pub fn doc(&self) -> &Doc {
        &self.doc
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.history.current()
    }

    /// How it came to be so.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// About how many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Decides an edit; nothing is changed yet.
    pub fn decide(&self, edit: &Edit<'_>, rules: &Rules) -> Result<Outcome, Refusal> {
        decide(self, edit, rules)
    }

    /// Makes changes that were decided for this very version. The new version; an error leaves everything as it was.
    pub fn apply(&mut self, author: Author, log_ms: u64, wall: Wall, changes: &[Change]) -> Result<u64, BadChange> {
        let writes = self.doc.apply_all(changes)?;
        for write in &writes {
            let (before, after) = write.weights();
            self.bytes = self.bytes.saturating_add(after).saturating_sub(before);
        }
        let version = self.history.record(author, log_ms, wall, writes);
        Ok(version)
    }

    /// After it was read back: how much of its past is kept from now on.
    pub fn bound(&mut self, settings: HistorySettings) {
        self.history.bound(settings);
    }
}
