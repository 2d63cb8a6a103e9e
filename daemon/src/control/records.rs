//! What the control socket needs of the durable store: the audit, the history of locks, and replay.
//!
//! A trait, so that the control socket does not know which engine keeps the records.

use std::future::Future;
use std::pin::Pin;

use arxosrt_core::control::document::AuditRow;
use arxosrt_core::control::hello::Role;
use arxosrt_core::control::{LockHistoryRow, ReplayReport};
use arxosrt_core::id::{BuildingId, ResourceId};

/// An answer that takes a while.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, RecordsError>> + Send + 'a>>;

/// The store, as far as operators are concerned.
pub trait Records: Send + Sync {
    /// Keeps what an operator did; answers once it is durable, with the record's number if the store tells it.
    fn record(&self, entry: AuditEntry) -> Answer<'_, Option<u64>>;

    /// The latest records, the latest first.
    fn audit(&self, limit: usize) -> Answer<'_, Vec<AuditRow>>;

    /// The latest grants and releases of locks that covered the resource, the latest first.
    fn history(&self, resource: ResourceId, limit: usize) -> Answer<'_, Vec<LockHistoryRow>>;

    /// Folds a building's log anew and compares it with the running state.
    fn replay(&self, building: BuildingId) -> Answer<'_, ReplayReport>;
}

/// What an operator did, before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When, by the wall clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who: `uid 1000 (alice)`.
    pub actor: String,
    /// The peer's uid.
    pub uid: u32,
    /// The peer's process, 0 when it cannot be seen.
    pub pid: i32,
    /// The role that it had.
    pub role: Role,
    /// `lock.force_release`, `user.kick`, `session.kick`, `room.send`, `drain`.
    pub action: &'static str,
    /// To what.
    pub target: String,
    /// The stated reason.
    pub reason: Option<String>,
    /// `ok` or the code of the refusal.
    pub result: &'static str,
}

/// Why the store has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordsError {
    /// There is no log of this building.
    UnknownBuilding,
    /// The store cannot be read or written now.
    Unavailable(String),
    /// The engine keeps nothing of the kind (the `memory` engine has no past).
    NotKept(&'static str),
}
