//! The engine beside the daemon: one SQLite file, one thread that writes it, one connection that reads it.
//!
//! Opening takes the lock, reads what the last run left and, before anything else may happen, writes down that a new
//! run has begun: a run that does not end with [`Embedded::close`] leaves the file marked unclean. If the kernel has
//! started anew since an unclean run, the tail may be incomplete, and the store gets a new epoch in that same write.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::types::FromSql;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::queue::Queue;
use super::reader::{self, Reader};
use super::schema::{self, key, meta, set_meta};
use super::sys::{self, StoreLock};
use super::tail::{self, Tail};
use super::writer::{self, Writer};
use super::{Batch, Commit, Notices, Recovered, StoreError, new_epoch, new_key, wall_ms};

/// The engine.
pub(super) struct Embedded {
    path: PathBuf,
    queue: Arc<Queue>,
    /// Gone once stopped.
    writer: Option<JoinHandle<Connection>>,
    reader: Reader,
    /// Freed last: fields are dropped in order.
    _lock: StoreLock,
}

impl Embedded {
    pub(super) fn open(path: &Path, notices: Notices) -> Result<(Self, Tail, Recovered), StoreError> {
        let lock = StoreLock::take(path)?;
        let mut connection = schema::open_writer(path)?;
        let failed = |error| StoreError::sqlite(path, "begin a run", error);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let (tail, recovered) = begin_run(&transaction, path)?;
        transaction.commit().map_err(failed)?;

        let reader = Reader::open(path)?;
        let queue = Arc::new(Queue::default());
        let writer = Writer::new(connection, queue.clone(), notices, recovered.last_token).map_err(failed)?;
        let on_panic = RefuseOnPanic(queue.clone());
        let thread = thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            let _on_panic = on_panic;
            writer.run()
        });
        let store = Embedded {
            path: path.to_owned(),
            queue,
            writer: Some(thread.map_err(StoreError::Thread)?),
            reader,
            _lock: lock,
        };
        Ok((store, tail, recovered))
    }

    pub(super) fn commit(&self, batch: Batch) -> Commit {
        self.queue.put(batch)
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(super) fn close(mut self) -> Result<(), StoreError> {
        let Some(connection) = self.stop() else {
            return Err(StoreError::WriterDied { path: self.path.clone() });
        };
        writer::finish(connection).map_err(|error| StoreError::sqlite(&self.path, "end a run", error))
    }

    /// Lets the writer finish what waits. Nothing when it died, or has been stopped before.
    fn stop(&mut self) -> Option<Connection> {
        self.queue.end();
        self.writer.take()?.join().ok()
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Closes the queue if the writer's thread panics: otherwise batches would be taken in and wait for ever.
struct RefuseOnPanic(Arc<Queue>);

impl Drop for RefuseOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.writer_died();
        }
    }
}

/// Reads what the last run left and marks the file as in use, in one transaction.
fn begin_run(transaction: &Transaction<'_>, path: &Path) -> Result<(Tail, Recovered), StoreError> {
    let failed = |error| StoreError::sqlite(path, "begin a run", error);
    let boot_id = sys::boot_id();
    let born_ms: Option<i64> = meta(transaction, key::BORN_MS).map_err(failed)?;
    if born_ms.is_none() {
        give_birth(transaction, path)?;
    }
    let clean = need::<i64>(transaction, path, key::CLEAN)? != 0;
    let last_boot: String = need(transaction, path, key::BOOT_ID)?;
    let power_lost = !clean && (last_boot != boot_id || boot_id.is_empty());

    let buildings = reader::buildings(transaction, path)?;
    let (tail, found) = tail::open(path, &buildings)?;
    if power_lost || found.dropped > 0 {
        set_meta(transaction, key::EPOCH, new_epoch()?).map_err(failed)?;
    }
    set_meta(transaction, key::BOOT_ID, &boot_id).map_err(failed)?;
    set_meta(transaction, key::CLEAN, 0).map_err(failed)?;

    let recovered = Recovered {
        epoch: need(transaction, path, key::EPOCH)?,
        last_token: need::<i64>(transaction, path, key::LAST_TOKEN)?.cast_unsigned(),
        session_key: need(transaction, path, key::SESSION_KEY)?,
        buildings,
        clean,
        power_lost,
        tail: found.records,
        tail_dropped: found.dropped,
        born_ms: need(transaction, path, key::BORN_MS)?,
    };
    Ok((tail, recovered))
}

/// What a store has from the beginning.
fn give_birth(transaction: &Transaction<'_>, path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::sqlite(path, "begin a run", error);
    set_meta(transaction, key::BORN_MS, wall_ms()).map_err(failed)?;
    set_meta(transaction, key::EPOCH, new_epoch()?).map_err(failed)?;
    set_meta(transaction, key::SESSION_KEY, new_key()?).map_err(failed)?;
    set_meta(transaction, key::LAST_TOKEN, 0).map_err(failed)?;
    set_meta(transaction, key::BOOT_ID, "").map_err(failed)?;
    set_meta(transaction, key::CLEAN, 1).map_err(failed)
}

/// A value that every store has.
fn need<T: FromSql>(transaction: &Transaction<'_>, path: &Path, key: &str) -> Result<T, StoreError> {
    match meta(transaction, key) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(StoreError::corrupt(path, format!("it has no {key}"))),
        Err(error) => Err(StoreError::sqlite(path, "begin a run", error)),
    }
}
