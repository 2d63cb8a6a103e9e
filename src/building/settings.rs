//! How much a building keeps and how long its locks live.
//!
//! Every bound has a name here; reaching one is an answer or a stated loss, never silence.

use crate::edit::rules::Rules;

/// The bounds of a building.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Editing locks.
    pub locks: LockSettings,
    /// How many events a room keeps for those who come back.
    pub history_events_max: usize,
    /// How many bytes of events a room keeps, by the estimate that is the same on every machine.
    pub history_bytes_max: usize,
    /// How long a `client_msg_id` is remembered at least.
    pub dedup_ms: u64,
    /// How many `client_msg_id`s a building remembers; the oldest is forgotten first.
    pub dedup_max: usize,
    /// Edits and conflicts.
    pub edits: EditSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            locks: LockSettings::default(),
            history_events_max: 1024,
            history_bytes_max: 1 << 20,
            dedup_ms: 300_000,
            dedup_max: 4096,
            edits: EditSettings::default(),
        }
    }
}

/// The policy of edits and conflicts. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditSettings {
    /// What belongs together and what is how grave.
    pub rules: Rules,
    /// How long the two have to settle a conflict, by severity from low to critical. After that the rules decide, of
    /// critical ones the operators.
    pub timeout_ms: [u64; 4],
    /// How long an edit's own name is remembered at least.
    pub edit_id_ms: u64,
    /// How many names of edits a building remembers; the oldest is forgotten first.
    pub edit_ids_max: usize,
    /// How long a version that edits may build on is kept.
    pub versions_ms: u64,
    /// How many versions of one resource edits may build on.
    pub versions_max: usize,
    /// How many settled conflicts a building keeps for people to look at.
    pub settled_max: usize,
    /// How many conflicts of a building may be open at once.
    pub open_max: usize,
    /// Resources whose documents a building holds. Beyond, those that nobody has edited lately and that the origin has
    /// are let go.
    pub resources_max: usize,
    /// Bytes of one document.
    pub document_bytes_max: usize,
}

impl Default for EditSettings {
    fn default() -> Self {
        EditSettings {
            rules: Rules::default(),
            timeout_ms: [60_000; 4],
            edit_id_ms: 7 * 86_400_000,
            edit_ids_max: 65_536,
            versions_ms: 900_000,
            versions_max: 256,
            settled_max: 1024,
            open_max: 4096,
            resources_max: 16_384,
            document_bytes_max: 4 << 20,
        }
    }
}

/// The policy of editing locks. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockSettings {
    /// The lease when the asker names none.
    pub ttl_ms: u64,
    /// The lease per lock type, in the order of [`crate::lock::LockType`], where it differs from `ttl_ms`.
    pub ttl_by_type: [Option<u64>; 5],
    /// The shortest lease; a shorter wish is lengthened.
    pub ttl_min_ms: u64,
    /// The longest lease; a longer wish is shortened.
    pub ttl_max_ms: u64,
    /// No renewal carries a lock beyond this time since it was first held.
    pub max_hold_ms: u64,
    /// A restored lock lives at least this long, so that it can be reclaimed.
    pub reclaim_ms: u64,
    /// When the holder is warned before the end, the earliest warning first.
    pub warn_ms: [u64; 2],
    /// The longest wait; a longer wish is shortened.
    pub wait_max_ms: u64,
    /// Without activity for this long a holder counts as idle.
    pub idle_ms: u64,
    /// How long a holder has to answer an editing request.
    pub request_respond_ms: u64,
    /// The longest time that a requester may give the holder.
    pub request_respond_max_ms: u64,
    /// A holder that is idle or gone for this long while a request is open is deemed to grant it.
    pub request_idle_grant_ms: u64,
    /// Locks of one session.
    pub per_session_max: usize,
    /// Things under one lock.
    pub targets_max: usize,
    /// Waiters of one building.
    pub waiters_per_building_max: usize,
    /// Waiters for one resource.
    pub waiters_per_node_max: usize,
    /// Open editing requests of one building.
    pub requests_max: usize,
    /// Units of work of one [`super::command::Command::Tick`].
    pub tick_max: usize,
}

impl Default for LockSettings {
    fn default() -> Self {
        LockSettings {
            ttl_ms: 300_000,
            ttl_by_type: [None; 5],
            ttl_min_ms: 10_000,
            ttl_max_ms: 1_800_000,
            max_hold_ms: 8 * 3_600_000,
            reclaim_ms: 15_000,
            warn_ms: [60_000, 15_000],
            wait_max_ms: 120_000,
            idle_ms: 120_000,
            request_respond_ms: 30_000,
            request_respond_max_ms: 300_000,
            request_idle_grant_ms: 10_000,
            per_session_max: 256,
            targets_max: 64,
            waiters_per_building_max: 1024,
            waiters_per_node_max: 64,
            requests_max: 1024,
            tick_max: 500,
        }
    }
}

impl LockSettings {
    /// The lease for a wish, which is kept within the bounds; without one, what the operator has configured.
    pub fn ttl(&self, lock_type: crate::lock::LockType, wish_ms: Option<u64>) -> u64 {
        let configured = self.ttl_by_type[lock_type as usize].unwrap_or(self.ttl_ms);
        // Not `clamp`: a configuration with min > max must not panic.
        wish_ms.map_or(configured, |wish| wish.min(self.ttl_max_ms).max(self.ttl_min_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::LockType;

    #[test]
    fn bounds_are_for_wishes_and_not_for_what_is_configured() {
        let mut locks = LockSettings { ttl_ms: 1_000, ..LockSettings::default() };
        assert_eq!(locks.ttl(LockType::FloorEdit, None), 1_000);
        assert_eq!(locks.ttl(LockType::FloorEdit, Some(1)), locks.ttl_min_ms);
        assert_eq!(locks.ttl(LockType::FloorEdit, Some(u64::MAX)), locks.ttl_max_ms);
        locks.ttl_by_type[LockType::RouteEdit as usize] = Some(2_000);
        assert_eq!(locks.ttl(LockType::RouteEdit, None), 2_000);
    }
}
