//! The one thread that writes the store.
//!
//! It takes everything that waits and commits it in one transaction: while one `fsync` runs the next group gathers, so
//! the disk is asked as rarely as it is slow, and a lone batch waits for nobody.
//!
//! **Checkpoints.** Committed pages first lie in the `-wal` file and must some time be copied into the store. SQLite
//! would do that inside whichever commit passes its threshold; here the writer does it when nothing has come for
//! [`CHECKPOINT_IDLE`], and under a load that never pauses after [`WAL_PAGES_MAX`], so that the file stays bounded. No
//! reader stays in it for long, so each checkpoint reaches the end and the file is written from its start again.
//!
//! **Failure.** A full disk or an I/O error fails the whole group and everything behind it. The writer then tries,
//! every [`PROBE_EVERY`], a write as large as the one that failed; when it succeeds, batches are taken again. The hub
//! learns of a failure within a turn and stops sending, so nothing that it decided before is still on its way when the
//! door opens; if something were, its position would be wrong and it would fail.
//!
//! A commit that fails in its very last step may still be found on the disk after a crash. That is why a failed batch
//! was "not confirmed" rather than "not done": whoever asked gets `store_unavailable`.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arxosrt_core::id::BuildingId;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::memory::mismatch;
use super::queue::{Queue, Work};
use super::schema::{key, set_meta};
use super::{AUDIT_RECORDS_MAX, AuditRecord, Batch, Notices, Outcome, Part};

/// How long after a failure, and after a failed probe, the store is tried again.
pub(super) const PROBE_EVERY: Duration = Duration::from_millis(500);

/// The largest write of a probe.
const PROBE_BYTES_MAX: usize = 1 << 20;

/// How long nothing must come before a checkpoint.
const CHECKPOINT_IDLE: Duration = Duration::from_millis(200);

/// Fewer pages than this (4 MiB) are not worth the two `fsync`s of a checkpoint.
const WAL_PAGES_WORTH: u32 = 1024;

/// A checkpoint is made after this many pages more (64 MiB) even when batches wait.
const WAL_PAGES_MAX: u32 = 16 * 1024;

/// The thread's own state.
pub(super) struct Writer {
    connection: Connection,
    queue: Arc<Queue>,
    notices: Notices,
    /// The largest token in the file.
    last_token: u64,
    /// Pages in the `-wal` file; told by SQLite after each commit.
    wal_pages: Arc<AtomicU32>,
    /// At how many pages the next checkpoint is worth it. More than [`WAL_PAGES_WORTH`] after one that somebody's
    /// long read kept from reaching the end: repeating it at once would copy nothing.
    checkpoint_at: u32,
    probe_at: Instant,
    /// The size of the largest group that failed since the store was last written.
    failed_bytes: usize,
}

/// Why a group was not committed.
enum Failure {
    /// The batch of this index was decided at another position; the ones before it are sound.
    Mismatch(usize, String),
    /// The disk, in one way or the other.
    Store(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Store(error.to_string())
    }
}

impl Writer {
    pub(super) fn new(
        mut connection: Connection,
        queue: Arc<Queue>,
        notices: Notices,
        last_token: u64,
    ) -> rusqlite::Result<Self> {
        let wal_pages = Arc::new(AtomicU32::new(0));
        let told = wal_pages.clone();
        let watch = move |_: &mut Wal, pages: c_int| {
            told.store(pages.cast_unsigned(), Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(watch))?;
        Ok(Writer {
            connection,
            queue,
            notices,
            last_token,
            wal_pages,
            checkpoint_at: WAL_PAGES_WORTH,
            probe_at: Instant::now(),
            failed_bytes: 0,
        })
    }

    /// Works until the queue ends, then gives the connection back.
    pub(super) fn run(mut self) -> Connection {
        loop {
            let worth_it = self.wal_pages.load(Ordering::Relaxed) >= self.checkpoint_at;
            let idle = worth_it.then_some(CHECKPOINT_IDLE);
            match self.queue.take(idle, self.probe_at) {
                Work::Group(group) => self.commit(group),
                Work::Probe => self.probe(),
                Work::Idle => self.checkpoint(),
                Work::End => return self.connection,
            }
            if self.wal_pages.load(Ordering::Relaxed) >= self.checkpoint_at + WAL_PAGES_MAX {
                self.checkpoint();
            }
        }
    }

    fn commit(&mut self, mut group: Vec<Batch>) {
        match self.write(&group) {
            Ok(()) => self.committed(&group),
            Err(Failure::Store(error)) => self.fail(group, &error),
            Err(Failure::Mismatch(at, error)) => {
                let unsound = group.split_off(at);
                if !group.is_empty() {
                    match self.write(&group) {
                        Ok(()) => self.committed(&group),
                        Err(Failure::Store(error) | Failure::Mismatch(_, error)) => self.fail(group, &error),
                    }
                }
                self.fail(unsound, &error);
            }
        }
    }

    /// One transaction over the whole group.
    fn write(&mut self, group: &[Batch]) -> Result<(), Failure> {
        let last_token = group.iter().map(|batch| batch.last_token).fold(self.last_token, u64::max);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (at, batch) in group.iter().enumerate() {
            for part in &batch.parts {
                append(&transaction, part)?.map_err(|error| Failure::Mismatch(at, error))?;
            }
            audit(&transaction, &batch.audit)?;
        }
        if last_token > self.last_token {
            set_meta(&transaction, key::LAST_TOKEN, last_token.cast_signed())?;
        }
        transaction.commit()?;
        self.last_token = last_token;
        Ok(())
    }

    fn committed(&self, group: &[Batch]) {
        for batch in group {
            (self.notices)(Outcome::Committed { batch: batch.number });
        }
    }

    /// Refuses `group` and everything behind it.
    fn fail(&mut self, group: Vec<Batch>, error: &str) {
        let behind = self.queue.refuse(error);
        self.failed_bytes = self.failed_bytes.max(group.iter().map(Batch::bytes).sum());
        self.probe_at = Instant::now() + PROBE_EVERY;
        for batch in group.iter().chain(&behind) {
            (self.notices)(Outcome::Failed { batch: batch.number, error: error.to_owned() });
        }
    }

    /// Tries a write as large as the one that failed.
    fn probe(&mut self) {
        // A checkpoint that reaches the end gives the space of the -wal file back, to us first of all.
        self.checkpoint();
        let bytes = self.failed_bytes.min(PROBE_BYTES_MAX);
        let fill = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, zeroblob(?))";
        let filled = self.connection.execute(fill, params![key::PROBE, bytes as i64]);
        match filled.and_then(|_| set_meta(&self.connection, key::PROBE, 0)) {
            Ok(()) => {
                self.failed_bytes = 0;
                self.queue.reopen();
                (self.notices)(Outcome::Writable);
            }
            Err(error) => {
                self.queue.refuse(&error.to_string());
                self.probe_at = Instant::now() + PROBE_EVERY;
            }
        }
    }

    /// Copies what is committed into the store. When it fails the pages stay where they are, which loses nothing; the
    /// next commit will tell if the disk is at fault.
    fn checkpoint(&mut self) {
        let counts = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get::<_, u32>(1)?, row.get::<_, u32>(2)?)));
        self.checkpoint_at = match counts {
            Ok((in_wal, copied)) if in_wal == copied => {
                self.wal_pages.store(0, Ordering::Relaxed);
                WAL_PAGES_WORTH
            }
            Ok(_) | Err(_) => self.wal_pages.load(Ordering::Relaxed) + WAL_PAGES_WORTH,
        };
    }
}

/// The last write of a clean end. The file is then whole without its `-wal`, so it can be copied as it lies there.
pub(super) fn finish(connection: Connection) -> rusqlite::Result<()> {
    set_meta(&connection, key::CLEAN, 1)?;
    // If this fails the next run does it: the end is clean already.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.close().map_err(|(_, error)| error)
}

/// Appends to one building's log: `Err` with a sentence when the log is at another position.
fn append(transaction: &Transaction<'_>, part: &Part) -> rusqlite::Result<Result<(), String>> {
    let position = part.expected_position.cast_signed();
    let after = position + i64::from(part.count);
    let Some(number) = advance(transaction, part, position, after)? else {
        let found = position_of(transaction, &part.building)?;
        return Ok(Err(mismatch(part, found)));
    };
    if let Some(state) = &part.snapshot {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO snapshot (building, position, state) VALUES (?, ?, ?)")?
            .execute(params![number, after, state])?;
        transaction.prepare_cached("DELETE FROM log WHERE building = ?")?.execute([number])?;
    } else if part.count > 0 {
        transaction
            .prepare_cached("INSERT INTO log (building, position, count, events) VALUES (?, ?, ?, ?)")?
            .execute(params![number, position, part.count, part.events])?;
    }
    Ok(Ok(()))
}

/// Moves a building's position if it is the expected one, and answers the building's number.
fn advance(transaction: &Transaction<'_>, part: &Part, from: i64, to: i64) -> rusqlite::Result<Option<i64>> {
    let id = part.building.as_str();
    let moved = transaction
        .prepare_cached("UPDATE building SET position = ?, live = ? WHERE id = ? AND position = ? RETURNING number")?
        .query_row(params![to, part.live, id, from], |row| row.get(0))
        .optional()?;
    if moved.is_some() || from != 0 {
        return Ok(moved);
    }
    transaction
        .prepare_cached(
            "INSERT INTO building (id, position, live) VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING number",
        )?
        .query_row(params![id, to, part.live], |row| row.get(0))
        .optional()
}

fn position_of(transaction: &Transaction<'_>, building: &BuildingId) -> rusqlite::Result<u64> {
    let mut statement = transaction.prepare_cached("SELECT position FROM building WHERE id = ?")?;
    let position: Option<i64> = statement.query_row([building.as_str()], |row| row.get(0)).optional()?;
    Ok(position.unwrap_or(0).cast_unsigned())
}

/// Keeps the records, and forgets the oldest beyond [`AUDIT_RECORDS_MAX`].
fn audit(transaction: &Transaction<'_>, records: &[AuditRecord]) -> rusqlite::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO audit (at_ms, actor, uid, pid, role, action, target, reason, result)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for it in records {
        insert.execute(params![
            it.at_ms, it.actor, it.uid, it.pid, it.role, it.action, it.target, it.reason, it.result
        ])?;
    }
    let oldest_kept = transaction.last_insert_rowid() - AUDIT_RECORDS_MAX as i64;
    transaction.prepare_cached("DELETE FROM audit WHERE id <= ?")?.execute([oldest_kept]).map(drop)
}
