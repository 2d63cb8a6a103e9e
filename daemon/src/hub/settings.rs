//! The hub's bounds and times, as the configuration gives them.

use arxosrt_core::wire::inbound;

use super::outbox;

/// After a restart, owners have at least this long to reclaim their locks, whatever the grace is.
pub const RECLAIM_LEAST_MS: u64 = 5_000;

/// After a restart, sessions of the run before can be taken up for at least this long: clients come back with delays of
/// up to `hub.reconnect_max_ms`, several times if need be.
pub const TAKE_UP_LEAST_MS: u64 = 120_000;

/// How many sessions may have ended within that time before no unknown one is taken up any more.
pub const ENDED_MAX: usize = 65_536;

/// Everything about the hub that can be configured. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a silent connection is left alone before it is pinged.
    pub ping_ms: u64,
    /// How long a ping may stay unanswered.
    pub pong_ms: u64,
    /// The window of `presence_diff`.
    pub presence_diff_ms: u64,
    /// People in a room above which only counts and pages are told.
    pub presence_list_max: usize,
    /// A person without a message for so long is inactive.
    pub inactive_ms: u64,
    /// A lost session's time to come back.
    pub grace_ms: u64,
    /// A second overflow of a connection's backlog within this time closes it.
    pub resync_window_ms: u64,
    /// How long a turn goes on taking in what arrives before it writes, in microseconds.
    pub turn_budget_us: u64,
    /// Told to clients: the least delay before a reconnect.
    pub reconnect_min_ms: u64,
    /// Told to clients: the largest delay before a reconnect.
    pub reconnect_max_ms: u64,
    /// Events between two snapshots of a building.
    pub snapshot_events: u64,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// What one message may hold.
    pub message: inbound::Bounds,
    /// What may wait for one connection.
    pub outbox: outbox::Bounds,
    /// Rooms of one session.
    pub rooms_per_connection: usize,
    /// Sessions of one person.
    pub connections_per_user: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Connections in all.
    pub connections_max: usize,
    /// Messages per second of one connection, in the long run.
    pub messages_per_s: u64,
    /// Messages of one connection at once.
    pub messages_burst: u64,
    /// Buildings in memory that nobody needs are dropped after this time.
    pub building_idle_ms: u64,
}

impl Settings {
    /// What `welcome` says about limits, as a JSON object.
    pub fn limits_json(&self) -> String {
        format!(
            concat!(
                r#"{{"message_bytes":{},"json_depth":{},"metadata_bytes":{},"rooms":{},"#,
                r#""messages_per_s":{},"messages_burst":{}}}"#
            ),
            self.message_bytes,
            self.message.json_depth,
            self.message.metadata_bytes,
            self.rooms_per_connection,
            self.messages_per_s,
            self.messages_burst,
        )
    }
}
