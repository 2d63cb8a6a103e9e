//! How much time has passed, as far as the log tells?
//!
//! What a building forgets by age it must forget at the same place of the log wherever that is replayed. So age is
//! counted on a clock of the log's own: it advances with the events' wall times, but never backwards and never by more
//! than [`STEP_MS_MAX`] at once. A jump of the wall clock forgets nothing too early; after a quiet time something may be
//! remembered for longer.

use serde::{Deserialize, Serialize};

use crate::time::Wall;

/// The most by which one event advances the clock.
const STEP_MS_MAX: u64 = 60_000;

/// The log's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogClock {
    ms: u64,
    last_at: Wall,
}

impl LogClock {
    /// Milliseconds since the log began.
    pub(super) fn ms(&self) -> u64 {
        self.ms
    }

    /// An event has happened.
    pub(super) fn advance(&mut self, at: Wall) {
        let step = u64::try_from(at.0.saturating_sub(self.last_at.0)).unwrap_or(0);
        self.ms = self.ms.saturating_add(step.min(STEP_MS_MAX));
        self.last_at = at;
    }
}
