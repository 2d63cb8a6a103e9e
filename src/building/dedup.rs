//! Has this session sent this message before?
//!
//! Part of the durable state, so that a repeat is recognised after a restart too. Age is counted on the log's own
//! clock ([`LogClock`]).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::SessionId;
use crate::time::Wall;

use super::log_clock::LogClock;

/// The names of broadcasts that were told lately.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dedup {
    clock: LogClock,
    seqs: HashMap<SessionId, HashMap<Arc<str>, u64>>,
    by_age: VecDeque<Remembered>,
}

/// One name; also how it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Remembered {
    at_ms: u64,
    session: SessionId,
    name: Arc<str>,
    seq: u64,
}

/// The stored form, oldest name first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DedupImage {
    clock: LogClock,
    names: Vec<Remembered>,
}

impl Dedup {
    /// The sequence number under which the message was told.
    pub(crate) fn find(&self, session: &SessionId, name: &str) -> Option<u64> {
        self.seqs.get(session)?.get(name).copied()
    }

    /// An event has happened at `at`: time passes.
    pub(crate) fn advance(&mut self, at: Wall, keep_ms: u64) {
        self.clock.advance(at);
        while self.by_age.front().is_some_and(|oldest| self.clock.ms() - oldest.at_ms > keep_ms) {
            self.forget_oldest();
        }
    }

    /// A named message was told.
    pub(crate) fn remember(&mut self, session: &SessionId, name: &str, seq: u64, max: usize) {
        let name: Arc<str> = Arc::from(name);
        let before = self.seqs.entry(session.clone()).or_default().insert(name.clone(), seq);
        if before.is_none() {
            self.by_age.push_back(Remembered { at_ms: self.clock.ms(), session: session.clone(), name, seq });
        }
        while self.by_age.len() > max {
            self.forget_oldest();
        }
    }

    pub(crate) fn image(&self) -> DedupImage {
        DedupImage { clock: self.clock, names: self.by_age.iter().cloned().collect() }
    }

    pub(crate) fn from_image(image: DedupImage) -> Self {
        let mut dedup = Dedup { clock: image.clock, ..Dedup::default() };
        for one in image.names {
            // A name of the future would never be forgotten; only tampering makes one.
            let at_ms = one.at_ms.min(image.clock.ms());
            let before = dedup.seqs.entry(one.session.clone()).or_default().insert(one.name.clone(), one.seq);
            if before.is_none() {
                dedup.by_age.push_back(Remembered { at_ms, ..one });
            }
        }
        dedup
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.by_age.pop_front() else {
            return;
        };
        if let Some(names) = self.seqs.get_mut(&oldest.session) {
            names.remove(&oldest.name);
            if names.is_empty() {
                self.seqs.remove(&oldest.session);
            }
        }
    }
}
