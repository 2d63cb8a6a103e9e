//! What do people do that tells where they go?

use crate::cache::StrategyId;
use crate::id::{RoomId, SessionId, UserId};

/// Somebody did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Who.
    pub user: UserId,
    /// In which session.
    pub session: SessionId,
    /// What.
    pub what: What,
}

/// What somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Came into a room.
    Join {
        /// The room of a floor or a building.
        room: RoomId,
    },
    /// Read something of a floor through the cache.
    Read {
        /// What kind of value.
        strategy: StrategyId,
        /// Of which floor.
        floor: RoomId,
    },
    /// Took or asked for a lock on a floor or something on it.
    Lock {
        /// The floor.
        floor: RoomId,
    },
    /// Edits something on a floor.
    Edit {
        /// The floor.
        floor: RoomId,
    },
    /// Looks at a floor's analytics.
    Analytics {
        /// The floor.
        floor: RoomId,
    },
    /// Calibrates a floor's grid.
    Calibrate {
        /// The floor.
        floor: RoomId,
    },
    /// May go to a floor next: the client shows its name under the pointer, or the like.
    Hint {
        /// The floor.
        floor: RoomId,
    },
    /// The session is over.
    Leave,
}
