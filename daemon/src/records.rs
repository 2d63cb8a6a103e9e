//! What operators ask of the durable store: the audit, the history of locks, replay.

use std::sync::Arc;

use arxosrt_core::building::codec;
use arxosrt_core::control::document::AuditRow;
use arxosrt_core::control::{LockHistoryRow, ReplayReport};
use arxosrt_core::id::{BuildingId, ResourceId};
use arxosrt_core::time::Wall;

use crate::control::records::{Answer, Records, RecordsError};
use crate::hub::ask::{Ask, HubHandle, Refused};
use crate::store::{AuditRecord, Store};

/// The store and the hub, as the control socket sees them.
pub struct StoreRecords {
    /// The store.
    pub store: Arc<Store>,
    /// The hub.
    pub hub: HubHandle,
    /// Bounds and times of buildings.
    pub building: Arc<arxosrt_core::building::Settings>,
    /// The engine keeps a log.
    pub keeps_log: bool,
}

/// How many of the newest audit records are searched for the one that was just made.
const AUDIT_LOOKBACK: usize = 64;

/// How often a replay is tried again when the log was compacted past the running state's position meanwhile.
const REPLAY_TRIES: usize = 5;

fn unavailable(error: impl std::fmt::Display) -> RecordsError {
    RecordsError::Unavailable(error.to_string())
}

fn refused(refused: Refused) -> RecordsError {
    match refused.code {
        "not_found" => RecordsError::UnknownBuilding,
        _ => RecordsError::Unavailable(refused.message),
    }
}

impl StoreRecords {
    async fn ask<T>(&self, question: impl FnOnce(crate::hub::ask::Reply<T>) -> Ask) -> Result<T, RecordsError> {
        match self.hub.ask(question).await {
            Ok(answer) => answer.map_err(refused),
            Err(_) => Err(unavailable("the hub has stopped")),
        }
    }

    /// Reads the store away from the threads that serve requests.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, crate::store::StoreError> + Send + 'static,
    ) -> Result<T, RecordsError> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || read(&store));
        read.await.map_err(unavailable)?.map_err(unavailable)
    }

    async fn fold_and_compare(&self, building: BuildingId) -> Result<ReplayReport, RecordsError> {
        if !self.keeps_log {
            return Err(RecordsError::NotKept("the memory engine keeps no log"));
        }
        for _ in 0..REPLAY_TRIES {
            let id = building.clone();
            let (position, running) = self.ask(|reply| Ask::Digest { building: id, reply }).await?;
            let id = building.clone();
            let loaded = self.read(move |store| store.load(&id)).await?;
            let snapshot_position = loaded.snapshot.as_ref().map_or(0, |(position, _)| *position);
            if snapshot_position > position {
                continue;
            }
            let (id, settings) = (building.clone(), self.building.clone());
            let folded = tokio::task::spawn_blocking(move || {
                let mut state = match loaded.snapshot {
                    Some((_, bytes)) => arxosrt_core::building::Building::restore(id, &bytes, settings)?,
                    None => arxosrt_core::building::Building::new(id, settings),
                };
                let mut events = 0;
                for (_, batch) in loaded.batches {
                    for event in codec::decode_events(&batch)? {
                        if state.position() == position {
                            break;
                        }
                        state.evolve(&event);
                        events += 1;
                    }
                }
                Ok::<_, codec::Corrupt>((events, state.position(), format!("{:016x}", state.digest())))
            });
            let (events, end, replayed) = folded.await.map_err(unavailable)?.map_err(unavailable)?;
            return Ok(ReplayReport {
                building_id: building.to_string(),
                events,
                snapshot_position,
                position: end,
                equal: replayed == running && end == position,
                replayed,
                running,
            });
        }
        Err(unavailable("the log is compacted faster than it can be folded; try again"))
    }
}

impl Records for StoreRecords {
    fn number(&self, record: AuditRecord) -> Answer<'_, Option<u64>> {
        Box::pin(async move {
            let rows = self.read(move |store| store.audit_list(AUDIT_LOOKBACK)).await?;
            Ok(rows.iter().find(|row| row.record == record).map(|row| row.id))
        })
    }

    fn audit(&self, limit: usize) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(async move {
            let rows = self.read(move |store| store.audit_list(limit)).await?;
            Ok(rows.into_iter().map(audit_row).collect())
        })
    }

    fn history(&self, resource: ResourceId, limit: usize) -> Answer<'_, Vec<LockHistoryRow>> {
        Box::pin(self.ask(move |reply| Ask::LockHistory { resource, limit, reply }))
    }

    fn replay(&self, building: BuildingId) -> Answer<'_, ReplayReport> {
        Box::pin(self.fold_and_compare(building))
    }
}

fn audit_row(row: crate::store::AuditRow) -> AuditRow {
    let record = row.record;
    AuditRow {
        id: row.id,
        at: Wall(record.at_ms).to_string(),
        actor: record.actor.into(),
        uid: record.uid,
        pid: record.pid,
        role: record.role.into(),
        action: record.action.into(),
        target: record.target.into(),
        reason: Some(String::from(record.reason)).filter(|reason| !reason.is_empty()),
        result: record.result.into(),
    }
}
