//! What is kept of what was learnt, so that a restart does not begin with nothing?
//!
//! Contexts, names, curves and figures; not who is where, nor what is on its way. People are in it as hashes only. A
//! snapshot comes from a file, so nothing in it is believed: whatever breaks a bound is left out.

use serde::{Deserialize, Serialize};

use super::calibration::{BINS, Bin};
use super::engine::Engine;
use super::feedback::Feedback;
use super::model::{CONTEXTS_MAX, Context, Edge};
use super::parts::Parts;
use super::{Item, Source};
use crate::id::RoomId;

/// The shape of what follows; another one is not read.
pub const VERSION: u16 = 1;

/// What was learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub(super) version: u16,
    pub(super) names: Vec<(RoomId, Item)>,
    pub(super) learnt: Learnt,
    pub(super) parts: Parts,
}

/// What came after a context: the item, how often, and how soon.
type Outcome = (Item, u16, u8);

/// What the engine learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    contexts: Vec<(u64, Vec<Outcome>)>,
    curves: Vec<[Bin; BINS]>,
    feedback: Feedback,
}

impl Engine {
    /// What it has learnt, at most [`CONTEXTS_MAX`] contexts.
    pub fn learnt(&self) -> Learnt {
        let edges = |context: &Context| context.edges.iter().map(|edge| (edge.item, edge.count, edge.gap)).collect();
        Learnt {
            contexts: self.model.iter().map(|(key, context)| (key, edges(context))).collect(),
            curves: Source::ALL.iter().map(|source| *self.calibration.bins(*source)).collect(),
            feedback: self.feedback.clone(),
        }
    }

    /// Takes over what another engine has learnt. For an engine that has seen nothing yet.
    pub fn restore(&mut self, learnt: Learnt) {
        for (key, edges) in learnt.contexts.into_iter().take(CONTEXTS_MAX) {
            let edges = edges.into_iter().map(|(item, count, gap)| Edge { item, count, gap }).collect();
            self.model.restore(key, Context { total: 0, edges });
        }
        for (source, bins) in Source::ALL.into_iter().zip(learnt.curves) {
            self.calibration.restore(source, bins);
        }
        self.feedback = learnt.feedback;
    }
}
