//! Reading the store back: one read-only connection, each read one consistent view of what is committed.
//!
//! A log is given out only whole: a gap between its rows, or an end that is not the building's position, is damage
//! and reported as such. Folding over a gap would make a state that never was.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arxosrt_core::id::BuildingId;
use rusqlite::{Connection, Params, Transaction, params};

use super::{AuditRecord, AuditRow, BuildingMeta, Loaded, LoadedOrNot, StoreError, schema};

/// The connection that reads.
pub(super) struct Reader {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = Mutex::new(schema::open_reader(path)?);
        Ok(Reader { path: path.to_owned(), connection })
    }

    pub(super) fn load(&self, building: &BuildingId) -> Result<Loaded, StoreError> {
        let logs = self.read("load a building", |view| Logs::of(view, "building.id = ?", [building.as_str()]))?;
        logs.0.into_iter().next().map_or_else(|| Ok(Loaded::default()), |log| log.whole(&self.path))
    }

    pub(super) fn load_all_with_locks(&self) -> Result<Vec<(BuildingId, LoadedOrNot)>, StoreError> {
        let doing = "load the buildings with locks";
        let logs = self.read(doing, |view| Logs::of(view, "building.live > 0", []))?;
        let each = logs.0.into_iter().map(|log| Ok((building_id(&log.id, &self.path)?, log.whole(&self.path))));
        each.collect()
    }

    pub(super) fn audit_list(&self, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.read("list the audit", |view| {
            let mut statement = view.prepare_cached(
                "SELECT id, at_ms, actor, uid, pid, role, action, target, reason, result
                 FROM audit ORDER BY id DESC LIMIT ?",
            )?;
            let rows = statement.query_map(params![i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                let record = AuditRecord {
                    at_ms: row.get(1)?,
                    actor: row.get(2)?,
                    uid: row.get(3)?,
                    pid: row.get(4)?,
                    role: row.get(5)?,
                    action: row.get(6)?,
                    target: row.get(7)?,
                    reason: row.get(8)?,
                    result: row.get(9)?,
                };
                Ok(AuditRow { id: row.get::<_, i64>(0)?.cast_unsigned(), record })
            })?;
            rows.collect()
        })
    }

    /// Runs `read` on one view of the store.
    fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        // A reader that panicked has left nothing behind: its transaction was rolled back.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let view = connection.transaction().map_err(|error| StoreError::sqlite(&self.path, doing, error))?;
        read(&view).map_err(|error| StoreError::sqlite(&self.path, doing, error))
    }
}

/// Every building that has a log, in no particular order.
pub(super) fn buildings(connection: &Connection, path: &Path) -> Result<Vec<BuildingMeta>, StoreError> {
    let failed = |error| StoreError::sqlite(path, "list the buildings", error);
    let mut statement = connection.prepare("SELECT id, position, live FROM building").map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let (id, position, live): (String, i64, u32) = row.try_into().map_err(failed)?;
        all.push(BuildingMeta { id: building_id(&id, path)?, position: position.cast_unsigned(), live });
    }
    Ok(all)
}

fn building_id(text: &str, path: &Path) -> Result<BuildingId, StoreError> {
    BuildingId::new(text).map_err(|bad| StoreError::corrupt(path, format!("a building's id is {text:?}: {bad}")))
}

/// Rows of the file, before they are found to be whole logs.
struct Logs(Vec<Log>);

struct Log {
    number: i64,
    id: String,
    /// The building's position.
    end: i64,
    /// Where the rows that were read so far end.
    reached: i64,
    /// The position of the first row that does not begin where the one before it ended.
    torn_at: Option<i64>,
    loaded: Loaded,
}

impl Logs {
    /// The logs of the buildings for which `condition` holds. Snapshots and batches are read apart: joined, a snapshot
    /// would be read again with each batch.
    fn of(view: &Transaction<'_>, condition: &str, given: impl Params + Clone) -> rusqlite::Result<Self> {
        let mut statement = view.prepare_cached(&format!(
            "SELECT building.number, building.id, building.position, snapshot.position, snapshot.state
             FROM building LEFT JOIN snapshot ON snapshot.building = building.number
             WHERE {condition} ORDER BY building.number"
        ))?;
        let mut logs = statement.query_map(given.clone(), Log::begin)?.collect::<rusqlite::Result<Vec<_>>>()?;

        let mut statement = view.prepare_cached(&format!(
            "SELECT log.building, log.position, log.count, log.events
             FROM building CROSS JOIN log ON log.building = building.number
             WHERE {condition} ORDER BY building.number, log.position"
        ))?;
        let mut rows = statement.query(given)?;
        let mut at = 0;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            // Both lists are in the same order, and the second holds no building that the first does not.
            while logs[at].number != number {
                at += 1;
            }
            logs[at].add(row.get(1)?, row.get(2)?, row.get(3)?);
        }
        Ok(Logs(logs))
    }
}

impl Log {
    fn begin(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let end: i64 = row.get(2)?;
        let snapshot_position: Option<i64> = row.get(3)?;
        let mut loaded = Loaded { position: end.cast_unsigned(), ..Loaded::default() };
        if let Some(position) = snapshot_position {
            loaded.snapshot = Some((position.cast_unsigned(), row.get(4)?));
        }
        let reached = snapshot_position.unwrap_or(0);
        Ok(Log { number: row.get(0)?, id: row.get(1)?, end, reached, torn_at: None, loaded })
    }

    fn add(&mut self, position: i64, count: i64, events: Vec<u8>) {
        if position != self.reached {
            self.torn_at.get_or_insert(position);
        }
        self.reached = position + count;
        self.loaded.batches.push((position.cast_unsigned(), events));
    }

    /// The log, if nothing is missing in it.
    fn whole(self, path: &Path) -> Result<Loaded, StoreError> {
        let id = &self.id;
        if let Some(position) = self.torn_at {
            return Err(StoreError::corrupt(path, format!("the log of building {id} has a gap before {position}")));
        }
        if self.reached != self.end {
            let (reached, end) = (self.reached, self.end);
            return Err(StoreError::corrupt(path, format!("the log of building {id} ends at {reached}, not at {end}")));
        }
        Ok(self.loaded)
    }
}
