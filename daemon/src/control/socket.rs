//! Where the control socket lies: made so that it never appears half ready, taken over only from the dead, and removed
//! only by its owner.
//!
//! Two daemons must not share a path. A lock on `PATH.lock` decides between two of ours, whatever the order in which
//! they start; a connect decides whether somebody else listens. The socket is made under another name, given its mode,
//! and renamed into place, which replaces a stale one in the same step. The lock file stays behind: to remove it would
//! bring the race back.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Everybody in the socket's group may connect; what they may do is decided per peer.
const SOCKET_MODE: u32 = 0o660;

/// A directory that we make is ours alone until an administrator says otherwise.
const DIRECTORY_MODE: u32 = 0o700;

/// The longest path of a Unix socket on Linux, without its terminating zero.
const PATH_BYTES_MAX: usize = 107;

/// What the socket is called until it is ready.
const UNREADY: &str = ".new";

/// Why there is no control socket.
#[derive(Debug)]
pub enum BindError {
    /// Somebody serves this path.
    InUse(PathBuf),
    /// There is something else than a socket, which we will not replace.
    NotASocket(PathBuf),
    /// The path cannot be a socket's.
    TooLong(PathBuf),
    /// The system refused.
    System {
        /// What was tried.
        step: &'static str,
        /// Where.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::InUse(path) => write!(f, "another daemon listens on {}", path.display()),
            BindError::NotASocket(path) => {
                write!(f, "{} exists and is not a socket", path.display())
            }
            BindError::TooLong(path) => write!(
                f,
                "a socket path has at most {} bytes, {} has {}",
                PATH_BYTES_MAX - UNREADY.len(),
                path.display(),
                path.as_os_str().len()
            ),
            BindError::System { step, path, error } => {
                write!(f, "cannot {step} {}: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BindError::System { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// The socket in the file system. Dropped, it is removed if it is still ours.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    _lock: File,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            // Best effort: the next start takes a stale socket over.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`.
pub async fn bind(path: &Path) -> Result<(UnixListener, SocketFile), BindError> {
    let unready = with_suffix(path, UNREADY);
    if unready.as_os_str().len() > PATH_BYTES_MAX {
        return Err(BindError::TooLong(path.to_owned()));
    }
    make_parent(path)?;
    let lock = take_lock(path)?;
    refuse_living(path).await?;

    let system = |step, path: &Path| {
        let path = path.to_owned();
        move |error| BindError::System { step, path, error }
    };
    match fs::remove_file(&unready) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(system("remove", &unready)(error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&unready).map_err(system("listen on", &unready))?;
    fs::set_permissions(&unready, Permissions::from_mode(SOCKET_MODE)).map_err(system("set the mode of", &unready))?;
    let identity = identity(&unready).map_err(system("look at", &unready))?;
    fs::rename(&unready, path).map_err(system("put the socket at", path))?;
    Ok((listener, SocketFile { path: path.to_owned(), identity, _lock: lock }))
}

fn make_parent(path: &Path) -> Result<(), BindError> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(parent).map_err(|error| BindError::System {
        step: "make the directory",
        path: parent.to_owned(),
        error,
    })
}

fn take_lock(path: &Path) -> Result<File, BindError> {
    let lock_path = with_suffix(path, ".lock");
    let system = |step, error| BindError::System { step, path: lock_path.clone(), error };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|error| system("open", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BindError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(system("lock", error)),
    }
}

/// A path that somebody else serves, or that is no socket, is left alone.
async fn refuse_living(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(BindError::System { step: "look at", path: path.to_owned(), error });
        }
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(()),
        // Connected, or its queue of connections is full: somebody is there.
        Ok(_) => Err(BindError::InUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(BindError::InUse(path.to_owned())),
        Err(error) => Err(BindError::System { step: "probe", path: path.to_owned(), error }),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_ready_for_its_group_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/control.sock");
        let (_listener, file) = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, SOCKET_MODE);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, DIRECTORY_MODE);
        UnixStream::connect(&path).await.unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_taken_over_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (_listener, _file) = bind(&path).await.expect("nobody listens: stale");
        let error = bind(&path).await.unwrap_err();
        assert!(matches!(error, BindError::InUse(_)), "{error}");
        assert_eq!(error.to_string(), format!("another daemon listens on {}", path.display()));
    }

    #[tokio::test]
    async fn a_strangers_socket_and_a_file_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let _stranger = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(bind(&path).await.unwrap_err(), BindError::InUse(_)));
        let path = dir.path().join("notes.txt");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(bind(&path).await.unwrap_err(), BindError::NotASocket(_)));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn a_socket_that_replaced_ours_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let (_listener, file) = bind(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _successor = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_path_that_cannot_be_a_socket_is_named_with_the_limit() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
        let text = bind(&path).await.unwrap_err().to_string();
        assert!(text.contains("at most 103 bytes") && text.contains("125"), "{text}");
    }
}
