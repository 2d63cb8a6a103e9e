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
use crate::time::{Mono, Wall};

/// A document that people edit. Stored, it keeps everything but the monotonic times of its versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    pub(crate) kind: ResourceKind,
    pub(crate) doc: Doc,
    pub(crate) history: History,
}

impl Resource {
    /// A document as it was loaded, at the version that it had.
    pub fn new(kind: ResourceKind, doc: Doc, version: u64, settings: HistorySettings) -> Self {
        Resource { kind, doc, history: History::new(version, settings) }
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

    /// Decides an edit; nothing is changed yet.
    pub fn decide(&self, edit: &Edit<'_>, rules: &Rules) -> Result<Outcome, Refusal> {
        decide(self, edit, rules)
    }

    /// Makes changes that were decided for this very version. The new version; an error leaves everything as it was.
    pub fn apply(&mut self, author: Author, at: Mono, wall: Wall, changes: &[Change]) -> Result<u64, BadChange> {
        let writes = self.doc.apply_all(changes)?;
        Ok(self.history.record(author, at, wall, writes))
    }

    /// Forgets versions that need not be kept any more.
    pub fn prune(&mut self, now: Mono) {
        self.history.prune(now);
    }

    /// When [`Resource::prune`] will have something to forget.
    pub fn due(&self) -> Option<Mono> {
        self.history.due()
    }

    /// After it was read back, or made by a replay: its versions count from `now`.
    pub fn restart(&mut self, now: Mono, settings: HistorySettings) {
        self.history.restart(now, settings);
    }
}
