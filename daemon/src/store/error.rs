//! Why a store cannot be opened or read. Each names the file and the reason; a batch that fails is no such error, it
//! is an [`super::Outcome`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a store cannot be opened or read.
#[derive(Debug)]
pub enum StoreError {
    /// Another process has it open.
    InUse {
        /// The store.
        path: PathBuf,
        /// The other process, if it could be read.
        pid: Option<u32>,
    },
    /// A file beside the store, or the store itself, cannot be used.
    File {
        /// Which file.
        path: PathBuf,
        /// What was tried: `open`, `lock`, …
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The store was written by a newer release.
    Newer {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this release knows.
        known: i64,
    },
    /// A SQLite file, but not one of ours.
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    Corrupt {
        /// The store.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// SQLite refused.
    Sqlite {
        /// The store.
        path: PathBuf,
        /// What was tried: `open`, `load a building`, …
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The writer's thread died before the store was closed: a defect.
    WriterDied {
        /// The store.
        path: PathBuf,
    },
    /// The writer's thread cannot be started.
    Thread(io::Error),
    /// The system has no randomness.
    Random(getrandom::Error),
}

impl StoreError {
    /// An error of the file at `path`.
    pub(super) fn file(path: &Path, doing: &'static str, source: io::Error) -> Self {
        StoreError::File { path: path.to_owned(), doing, source }
    }

    /// An error of SQLite; damage gets its own name.
    pub(super) fn sqlite(path: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => StoreError::Corrupt { path, reason: source.to_string() },
            _ => StoreError::Sqlite { path, doing, source },
        }
    }

    /// What was kept is damaged: another try would find the same.
    pub fn is_damage(&self) -> bool {
        matches!(self, StoreError::Corrupt { .. })
    }

    /// Damage that SQLite cannot see.
    pub(super) fn corrupt(path: &Path, reason: String) -> Self {
        StoreError::Corrupt { path: path.to_owned(), reason }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::InUse { path, pid: Some(pid) } => {
                write!(f, "the store {} is in use by process {pid}", path.display())
            }
            StoreError::InUse { path, pid: None } => {
                write!(f, "the store {} is in use by another process", path.display())
            }
            StoreError::File { path, doing, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
            StoreError::Newer { path, found, known } => write!(
                f,
                "the store {} has version {found}, this release knows versions up to {known}: start a newer release",
                path.display()
            ),
            StoreError::Foreign { path } => {
                write!(f, "{} is a SQLite file of another program, not a store", path.display())
            }
            StoreError::Corrupt { path, reason } => {
                write!(f, "the store {} is damaged: {reason}", path.display())
            }
            StoreError::Sqlite { path, doing, source } => {
                write!(f, "cannot {doing} in the store {}: {source}", path.display())
            }
            StoreError::WriterDied { path } => {
                write!(f, "the writer of the store {} died", path.display())
            }
            StoreError::Thread(source) => write!(f, "cannot start the store's writer: {source}"),
            StoreError::Random(source) => write!(f, "the system gives no random bytes: {source}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::File { source, .. } | StoreError::Thread(source) => Some(source),
            StoreError::Sqlite { source, .. } => Some(source),
            StoreError::InUse { .. }
            | StoreError::Newer { .. }
            | StoreError::Foreign { .. }
            | StoreError::Corrupt { .. }
            | StoreError::WriterDied { .. }
            | StoreError::Random(_) => None,
        }
    }
}
