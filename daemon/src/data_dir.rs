//! Who may write into the data directory?
//!
//! One daemon at a time. The directory is created for its user alone and held by a lock on a file in it, which the
//! kernel drops with the process however it ends; two daemons on one log would each believe what the other undid.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::exit::Exit;

/// The lock's name inside the directory.
const LOCK_NAME: &str = "arxosrtd.lock";

/// A data directory that is ours until this value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why the directory cannot be had.
#[derive(Debug)]
pub struct NotOurs {
    /// How the process should end.
    pub exit: Exit,
    /// What is wrong.
    pub what: String,
}

impl DataDir {
    /// Creates the directory if need be and takes it.
    pub fn take(path: &Path) -> Result<Self, NotOurs> {
        let refuse = |error: &io::Error| NotOurs {
            exit: Exit::of_create(error),
            what: format!("the data directory {} cannot be used: {error}", path.display()),
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| refuse(&error))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK_NAME))
            .map_err(|error| refuse(&error))?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(NotOurs {
                exit: Exit::CannotCreate,
                what: format!("the data directory {} is in use by another arxosrtd", path.display()),
            }),
            Err(TryLockError::Error(error)) => Err(refuse(&error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_has_one_daemon_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let first = DataDir::take(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let second = DataDir::take(&path).unwrap_err();
        assert_eq!(second.exit, Exit::CannotCreate);
        assert!(second.what.contains("in use"), "{}", second.what);
        drop(first);
        assert_eq!(DataDir::take(&path).unwrap().path(), path);
    }

    #[test]
    fn a_place_that_is_no_directory_is_told_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = DataDir::take(&file).unwrap_err();
        assert_eq!(error.exit, Exit::CannotCreate);
        assert!(error.what.contains(file.to_str().unwrap()), "{}", error.what);
    }
}
