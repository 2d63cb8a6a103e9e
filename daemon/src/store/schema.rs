//! The tables of the store's file, how an older file becomes a newer one, and the settings of its connections.
//!
//! Buildings have a number inside the file: an id may be 256 bytes long and would be repeated in each row of the log.
//! To read along, in `sqlite3`: `SELECT id, log.* FROM log JOIN building ON number = building`.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql, params};

use super::StoreError;

/// Marks a SQLite file as a store: `arxo`.
const APPLICATION_ID: i64 = 0x6172_786f;

/// Each turns a file of the version before it (its index) into one of its own. Never changed once released; appended.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (
        key        TEXT NOT NULL PRIMARY KEY,
        value      ANY NOT NULL
    ) STRICT, WITHOUT ROWID;
    -- A log's end. Written with each batch, so it is kept small and apart from the log.
    CREATE TABLE building (
        number     INTEGER PRIMARY KEY,
        id         TEXT NOT NULL UNIQUE,
        position   INTEGER NOT NULL,
        live INTEGER NOT NULL
    ) STRICT;
    -- Position is the one before the row's first event, count how many there are. Rows lie in order of arrival:
    -- a group over many buildings writes a few full pages, and only the small index is touched in many places.
    CREATE TABLE log (
        row        INTEGER PRIMARY KEY,
        building   INTEGER NOT NULL,
        position   INTEGER NOT NULL,
        count      INTEGER NOT NULL,
        events     BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX log_order ON log (building, position);
    CREATE TABLE snapshot (
        building   INTEGER PRIMARY KEY,
        position   INTEGER NOT NULL,
        state      BLOB NOT NULL
    ) STRICT;
    CREATE TABLE audit (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms      INTEGER NOT NULL,
        actor      TEXT NOT NULL,
        uid        INTEGER NOT NULL,
        pid        INTEGER NOT NULL,
        role       TEXT NOT NULL,
        action     TEXT NOT NULL,
        target     TEXT NOT NULL,
        reason     TEXT NOT NULL,
        result     TEXT NOT NULL
    ) STRICT;
"];

/// How long a statement waits for somebody with `sqlite3` who holds the file's write lock. Then the batch fails.
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// Pages in memory: 16 MiB. A group touches one page for each building in it.
const CACHE_KIB: i64 = 16 * 1024;

/// The keys of `meta`.
pub(super) mod key {
    pub(in super::super) const BORN_MS: &str = "born_ms";
    pub(in super::super) const SESSION_KEY: &str = "session_key";
    pub(in super::super) const EPOCH: &str = "epoch";
    pub(in super::super) const LAST_TOKEN: &str = "last_token";
    pub(in super::super) const BOOT_ID: &str = "boot_id";
    pub(in super::super) const CLEAN: &str = "clean";
    pub(in super::super) const PROBE: &str = "probe";
}

/// The connection that writes. Creates the file if there is none and brings it to the newest version.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    // The file holds the key of all resume tokens: nobody else may read it. SQLite gives its -wal the same mode.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::file(path, "open", error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| StoreError::sqlite(path, "open", error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_WAIT).map_err(failed)?;
    check_owner(&connection, path)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(32);
    migrate(&mut connection).map_err(failed)?;
    Ok(connection)
}

/// The connection that reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags);
    let connection = connection.map_err(|error| StoreError::sqlite(path, "open", error))?;
    connection.busy_timeout(BUSY_WAIT).map_err(|error| StoreError::sqlite(path, "open", error))?;
    Ok(connection)
}

/// A value of `meta`.
pub(super) fn meta<T: FromSql>(connection: &Connection, key: &str) -> rusqlite::Result<Option<T>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?", [key], |row| row.get(0)).optional()
}

/// Sets a value of `meta`.
pub(super) fn set_meta(connection: &Connection, key: &str, value: impl ToSql) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")?;
    statement.execute(params![key, value]).map(drop)
}

/// Refuses files that are not ours before anything is written to them.
fn check_owner(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::sqlite(path, "open", error);
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
    let (application, found) = (number("application_id")?, number("user_version")?);
    let known = MIGRATIONS.len() as i64;
    let tables = "SELECT count(*) FROM sqlite_schema";
    let empty = connection.query_row(tables, [], |row| row.get::<_, i64>(0)).map_err(failed)? == 0;
    if application != APPLICATION_ID && !empty {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// All of a file's missing migrations, or none.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found = found as usize;
    if found == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for migration in &MIGRATIONS[found..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()
}
