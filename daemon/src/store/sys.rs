//! What the store needs of the kernel beyond the standard library: the lock that keeps a second process out, and the
//! name of the current boot.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The lock on `PATH.lock`. The kernel frees it when the process ends, however it ends, so the file that stays behind
/// means nothing and is never removed: removing it would let two processes lock two files of the same name.
pub(super) struct StoreLock {
    /// Held, never read.
    _file: File,
}

impl StoreLock {
    /// Takes the lock of the store at `path`, or says who has it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let lock = beside(path, ".lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock)
            .map_err(|error| StoreError::file(&lock, "open", error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The number only makes the message better; without it the message is still true.
                let _ = file.read_to_string(&mut pid);
                return Err(StoreError::InUse { path: path.to_owned(), pid: pid.trim().parse().ok() });
            }
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(StoreError::file(&lock, "lock", error));
            }
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|error| StoreError::file(&lock, "write", error))?;
        Ok(StoreLock { _file: file })
    }
}

/// The file whose name is `path` and `suffix`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The random name that the kernel took when it started; empty where it cannot be read.
///
/// Page cache survives the death of a process but not of the kernel: two runs under one name have lost nothing that
/// was written.
pub(super) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
