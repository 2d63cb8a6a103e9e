//! The engine without a disk: a batch is committed when `commit` returns, and all is gone with the process.
//!
//! It keeps what the embedded engine keeps, so a building that was dropped from the hub comes back with its positions
//! and sequence numbers: within one run nobody can tell the engines apart. For tests and demonstrations.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arxosrt_core::id::BuildingId;

use super::{
    AUDIT_RECORDS_MAX, AuditRecord, AuditRow, Batch, Commit, Loaded, LoadedOrNot, MEMORY_BYTES_MAX, Notices, Outcome,
    Part, Recovered, StoreError, new_epoch, new_key, wall_ms,
};

/// The engine.
pub(super) struct Memory {
    kept: Mutex<Kept>,
}

struct Kept {
    notices: Notices,
    buildings: HashMap<BuildingId, Log>,
    audit: VecDeque<AuditRecord>,
    /// Audit records that were forgotten.
    audit_forgotten: u64,
    bytes: usize,
}

#[derive(Default)]
struct Log {
    live: u32,
    loaded: Loaded,
    bytes: usize,
}

impl Memory {
    pub(super) fn open(notices: Notices) -> Result<(Self, Recovered), StoreError> {
        let recovered = Recovered {
            epoch: new_epoch()?,
            last_token: 0,
            session_key: new_key()?,
            buildings: Vec::new(),
            clean: true,
            power_lost: false,
            tail: Vec::new(),
            tail_dropped: 0,
            born_ms: wall_ms(),
        };
        let kept = Kept { notices, buildings: HashMap::new(), audit: VecDeque::new(), audit_forgotten: 0, bytes: 0 };
        Ok((Memory { kept: Mutex::new(kept) }, recovered))
    }

    pub(super) fn commit(&self, batch: Batch) -> Commit {
        let mut kept = self.kept();
        if let Err(reason) = kept.check(&batch) {
            // Nothing has to recover here: the next batch is as welcome as ever.
            (kept.notices)(Outcome::Writable);
            return Commit::Refused(reason);
        }
        for part in batch.parts {
            kept.append(part);
        }
        kept.audit(batch.audit);
        Commit::Done
    }

    pub(super) fn load(&self, building: &BuildingId) -> Loaded {
        self.kept().buildings.get(building).map(|log| log.loaded.clone()).unwrap_or_default()
    }

    pub(super) fn load_all_with_locks(&self) -> Vec<(BuildingId, LoadedOrNot)> {
        let kept = self.kept();
        let locked = kept.buildings.iter().filter(|(_, log)| log.live > 0);
        let mut all: Vec<_> = locked.map(|(id, log)| (id.clone(), Ok(log.loaded.clone()))).collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }

    pub(super) fn audit_list(&self, limit: usize) -> Vec<AuditRow> {
        let kept = self.kept();
        let newest = kept.audit_forgotten + kept.audit.len() as u64;
        let numbered = (1..=newest).rev().zip(kept.audit.iter().rev());
        numbered.take(limit).map(|(id, record)| AuditRow { id, record: record.clone() }).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked did so between two whole changes or in `notices`; the maps are as good as before.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn check(&self, batch: &Batch) -> Result<(), String> {
        let bytes = batch.bytes();
        if self.bytes + bytes > MEMORY_BYTES_MAX {
            let held = self.bytes;
            return Err(format!("a batch of {bytes} bytes beside the {held} kept is more than {MEMORY_BYTES_MAX}"));
        }
        for part in &batch.parts {
            let position = self.buildings.get(&part.building).map_or(0, |log| log.loaded.position);
            if position != part.expected_position {
                return Err(mismatch(part, position));
            }
        }
        Ok(())
    }

    fn append(&mut self, part: Part) {
        let log = self.buildings.entry(part.building).or_default();
        self.bytes -= log.bytes;
        log.live = part.live;
        log.loaded.position = part.expected_position + u64::from(part.count);
        match part.snapshot {
            Some(state) => {
                log.bytes = state.len();
                log.loaded.snapshot = Some((log.loaded.position, state));
                log.loaded.batches.clear();
            }
            None if part.count > 0 => {
                log.bytes += size_of::<Part>() + part.events.len();
                log.loaded.batches.push((part.expected_position, part.events));
            }
            None => {}
        }
        self.bytes += log.bytes;
    }

    fn audit(&mut self, records: Vec<AuditRecord>) {
        for record in records {
            self.bytes += record.bytes();
            self.audit.push_back(record);
            if self.audit.len() as u64 > AUDIT_RECORDS_MAX
                && let Some(oldest) = self.audit.pop_front()
            {
                self.bytes -= oldest.bytes();
                self.audit_forgotten += 1;
            }
        }
    }
}

/// The sentence for a part that was decided at another position than the log's.
pub(super) fn mismatch(part: &Part, position: u64) -> String {
    let (building, expected) = (&part.building, part.expected_position);
    format!("building {building} is at position {position}, not at {expected}: somebody else writes its log")
}
