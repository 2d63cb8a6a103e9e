//! What the control socket needs of the durable store: the audit, the history of locks, and replay. A change's own audit
//! record is not among it: that goes with the change, through the hub.
//!
//! A trait, so that the control socket does not know which engine keeps the records.

use std::future::Future;
use std::pin::Pin;

use arxosrt_core::control::document::AuditRow;
use arxosrt_core::control::{LockHistoryRow, ReplayReport};
use arxosrt_core::id::{BuildingId, ResourceId};

use crate::store::AuditRecord;

/// An answer that takes a while.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, RecordsError>> + Send + 'a>>;

/// The store, as far as operators are concerned.
pub trait Records: Send + Sync {
    /// The number of a record that was just kept.
    fn number(&self, record: AuditRecord) -> Answer<'_, Option<u64>>;

    /// The latest records, the latest first.
    fn audit(&self, limit: usize) -> Answer<'_, Vec<AuditRow>>;

    /// The latest grants and releases of locks that covered the resource, the latest first.
    fn history(&self, resource: ResourceId, limit: usize) -> Answer<'_, Vec<LockHistoryRow>>;

    /// Folds a building's log anew and compares it with the running state.
    fn replay(&self, building: BuildingId) -> Answer<'_, ReplayReport>;
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
