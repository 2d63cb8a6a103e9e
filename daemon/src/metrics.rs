//! What does the daemon count about itself, and how is it read?
//!
//! Every figure is an atomic that is raised with a relaxed add, so that counting costs the hub a few nanoseconds and
//! never waits for a scrape. Labels are closed enums (`labels`) that index arrays; only refusal codes, which are rare
//! and named elsewhere, are looked up. There is never a label that names a room, a person or a resource: their number
//! has no bound that a monitoring system could bear.
//!
//! The hub and the stores write, `GET /metrics` reads (`exposition`). A scrape is not a snapshot: figures that belong
//! together may differ by what happened while it ran.

pub mod cache;
pub mod instruments;
pub mod labels;
pub mod origins;

mod exposition;

pub use exposition::CONTENT_TYPE;
use instruments::{CloseCodes, Codes, Counter, Counters, Gauge, Gauges, Grid, Histogram, MICROSECOND as US};
use labels::LOCK_TYPES;
pub use labels::{
    DeliveryClass, EditResult, LockOutcome, MessageType, ResumeResult, ResyncReason, SettledHow, SeverityLabel,
    StatusClass, Transport, WrittenBy,
};

use arxosrt_core::lock::LockType;

/// Spans of handling: from what nobody notices to what everybody does. In nanoseconds.
static HANDLING_NS: [u64; 14] = [
    10 * US,
    25 * US,
    50 * US,
    100 * US,
    250 * US,
    500 * US,
    1_000 * US,
    2_500 * US,
    5_000 * US,
    10_000 * US,
    25_000 * US,
    100_000 * US,
    500_000 * US,
    2_500_000 * US,
];

/// Spans of commits: a good disk is at the start, a dying one at the end. In nanoseconds.
static COMMIT_NS: [u64; 12] = [
    50 * US,
    100 * US,
    250 * US,
    500 * US,
    1_000 * US,
    2_000 * US,
    5_000 * US,
    10_000 * US,
    50_000 * US,
    250_000 * US,
    1_000_000 * US,
    5_000_000 * US,
];

/// Sizes of batches.
static SIZES: [u64; 12] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096];

/// All figures of one daemon.
#[derive(Debug)]
pub struct Metrics {
    /// Open client connections.
    pub connections: Gauges<Transport, { Transport::COUNT }>,
    /// Client connections ever accepted.
    pub connects: Counter,
    /// Client connections ended, by close code.
    pub closes: CloseCodes,
    /// Rooms with members.
    pub rooms: Gauge,
    /// Sessions, suspended ones included.
    pub sessions: Gauge,
    /// Messages from clients.
    pub messages_received: Counters<MessageType, { MessageType::COUNT }>,
    /// Frames written to clients.
    pub deliveries: Counters<DeliveryClass, { DeliveryClass::COUNT }>,
    /// Writes at the ends of turns, each with all frames that a client had in the turn.
    pub writes: Counters<WrittenBy, { WrittenBy::COUNT }>,
    /// Threads that help the hub to write.
    pub writers: Gauge,
    /// Latest-wins frames that were replaced before they were written.
    pub conflated: Counter,
    /// Frames dropped because an outbox was full. The client is told.
    pub outbox_drops: Counters<DeliveryClass, { DeliveryClass::COUNT }>,
    /// Clients told to reload a room.
    pub resyncs: Counters<ResyncReason, { ResyncReason::COUNT }>,
    /// Attempts to resume a session.
    pub resumes: Counters<ResumeResult, { ResumeResult::COUNT }>,
    /// Connections closed because they did not read.
    pub slow_closes: Counter,
    /// Messages refused by a token bucket.
    pub rate_limited: Counter,
    /// Requests refused, by code.
    pub refused: Codes,
    /// Locks held.
    pub locks_held: Gauges<LockType, { LOCK_TYPES.len() }>,
    /// Lock requests and how they ended.
    pub lock_requests: Grid<LockType, { LOCK_TYPES.len() }, LockOutcome, { LockOutcome::COUNT }>,
    /// From a lock request's arrival to its answer, waits in a queue apart.
    pub lock_acquire: Histogram<{ HANDLING_NS.len() }>,
    /// Edits and what became of them.
    pub edits: Counters<EditResult, { EditResult::COUNT }>,
    /// The decision of one edit.
    pub edit_time: Histogram<{ HANDLING_NS.len() }>,
    /// Conflicts found, by severity.
    pub conflicts: Counters<SeverityLabel, { SeverityLabel::COUNT }>,
    /// Conflicts that ended.
    pub conflicts_settled: Counters<SettledHow, { SettledHow::COUNT }>,
    /// Conflicts that became the operators'.
    pub conflicts_escalated: Counter,
    /// Conflicts that wait for somebody.
    pub conflicts_open: Gauge,
    /// Of those, the ones that wait for an operator.
    pub conflicts_waiting_for_operators: Gauge,
    /// Forecasts of conflicts.
    pub forecasts_made: Counter,
    /// Of those, the ones whose outcome is known.
    pub forecasts_judged: Counter,
    /// 1 while they are good enough to be shown.
    pub forecasts_shown: Gauge,
    /// Warnings that connections were sent.
    pub conflict_warnings: Counter,
    /// HTTP requests answered, the control socket's apart.
    pub http_requests: Counters<StatusClass, { StatusClass::COUNT }>,
    /// One commit of the store.
    pub commit: Histogram<{ COMMIT_NS.len() }>,
    /// Events per commit.
    pub commit_batch: Histogram<{ SIZES.len() }>,
    /// Commits that failed.
    pub commit_failures: Counter,
    /// One turn of the hub: decide, encode, flush.
    pub turn: Histogram<{ HANDLING_NS.len() }>,
    /// Messages handled per turn.
    pub turn_messages: Histogram<{ SIZES.len() }>,
    /// Documents that are not in the folder of buildings yet.
    pub origin_pending: Gauge,
    /// Documents written to the folder of buildings.
    pub origin_written: Counter,
    /// Attempts to write to the folder of buildings that failed.
    pub origin_write_failures: Counter,
    /// Documents that somebody else had changed in the folder before they were written.
    pub origin_diverged: Counter,
    /// One document out of the folder of buildings.
    pub origin_load: Histogram<{ HANDLING_NS.len() }>,
    /// Documents that could not be loaded.
    pub origin_load_failures: Counter,
    /// 1 while Redis is used.
    pub redis_up: Gauge,
    /// Connections to Redis that came into use.
    pub redis_connects: Counter,
    /// Times that Redis was not asked any more since it did not answer.
    pub redis_breaker_opens: Counter,
    /// One question to Redis.
    pub redis_call: Histogram<{ HANDLING_NS.len() }>,
    /// Questions to Redis without a useful answer in time.
    pub redis_call_failures: Counter,
    /// Questions that were not asked, since Redis is known not to answer.
    pub redis_turned_away: Counter,
    /// Values found in Redis.
    pub redis_hits: Counter,
    /// Values not found in Redis, or no longer valid.
    pub redis_misses: Counter,
    /// Invalidations that Redis and the other nodes do not know yet.
    pub redis_outbox: Gauge,
    /// Times that messages of other nodes were or may have been missed.
    pub redis_bus_gaps: Counter,
    /// Messages of other nodes that could not be read.
    pub redis_bus_unread: Counter,
    /// Times that the daemon stood still for a second or more.
    pub stalls: Counter,
    /// The largest fencing token given out.
    pub fencing_token: Gauge,
    /// 1 while the store can commit.
    pub store_writable: Gauge,
    /// 1 when the database's file is no longer where it was opened.
    pub store_lost: Gauge,
    /// Buildings that stay closed because their log is damaged.
    pub buildings_closed: Gauge,
    /// 1 while clients are sent away before a stop.
    pub draining: Gauge,
    /// How the origins fare.
    pub origins: origins::OriginsSource,
    /// What the cache counts itself.
    pub cache: cache::CacheSource,
}

impl Metrics {
    /// All figures at zero.
    pub fn new() -> Self {
        Metrics {
            connections: Gauges::new(),
            connects: Counter::new(),
            closes: CloseCodes::new(),
            rooms: Gauge::new(),
            sessions: Gauge::new(),
            messages_received: Counters::new(),
            deliveries: Counters::new(),
            writes: Counters::new(),
            writers: Gauge::new(),
            conflated: Counter::new(),
            outbox_drops: Counters::new(),
            resyncs: Counters::new(),
            resumes: Counters::new(),
            slow_closes: Counter::new(),
            rate_limited: Counter::new(),
            refused: Codes::new(),
            locks_held: Gauges::new(),
            lock_requests: Grid::new(),
            lock_acquire: Histogram::new(&HANDLING_NS),
            edits: Counters::new(),
            edit_time: Histogram::new(&HANDLING_NS),
            conflicts: Counters::new(),
            conflicts_settled: Counters::new(),
            conflicts_escalated: Counter::new(),
            conflicts_open: Gauge::new(),
            conflicts_waiting_for_operators: Gauge::new(),
            forecasts_made: Counter::new(),
            forecasts_judged: Counter::new(),
            forecasts_shown: Gauge::new(),
            conflict_warnings: Counter::new(),
            http_requests: Counters::new(),
            commit: Histogram::new(&COMMIT_NS),
            commit_batch: Histogram::new(&SIZES),
            commit_failures: Counter::new(),
            turn: Histogram::new(&HANDLING_NS),
            turn_messages: Histogram::new(&SIZES),
            origin_pending: Gauge::new(),
            origin_written: Counter::new(),
            origin_write_failures: Counter::new(),
            origin_diverged: Counter::new(),
            origin_load: Histogram::new(&HANDLING_NS),
            origin_load_failures: Counter::new(),
            redis_up: Gauge::new(),
            redis_connects: Counter::new(),
            redis_breaker_opens: Counter::new(),
            redis_call: Histogram::new(&HANDLING_NS),
            redis_call_failures: Counter::new(),
            redis_turned_away: Counter::new(),
            redis_hits: Counter::new(),
            redis_misses: Counter::new(),
            redis_outbox: Gauge::new(),
            redis_bus_gaps: Counter::new(),
            redis_bus_unread: Counter::new(),
            stalls: Counter::new(),
            fencing_token: Gauge::new(),
            store_writable: Gauge::new(),
            store_lost: Gauge::new(),
            buildings_closed: Gauge::new(),
            draining: Gauge::new(),
            origins: origins::OriginsSource::default(),
            cache: cache::CacheSource::default(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

#[cfg(test)]
mod tests;
