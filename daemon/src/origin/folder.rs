//! How are files of a folder read that somebody else fills?
//!
//! With bounds. Only regular files, only up to [`FILE_BYTES_MAX`], and only what really lies below the root: a link
//! that leads out of it is refused, so that an origin which others may write to cannot make the daemon read (and later
//! serve) files that only the daemon may read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The largest file that is read.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// How many entries a folder may have.
pub const ENTRIES_MAX: usize = 10_000;

/// A folder from which nothing leads out.
#[derive(Debug)]
pub struct Root {
    real: PathBuf,
}

/// A file as it was at some time. One that was replaced has another inode, one that was written another time.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    inode: u64,
    modified_s: i64,
    modified_ns: i64,
    bytes: u64,
    /// When it got its content, its name or its mode. It says nothing about the content, so stamps are equal without it.
    placed_s: i64,
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Stamp) -> bool {
        let told_by = |stamp: &Stamp| (stamp.inode, stamp.modified_s, stamp.modified_ns, stamp.bytes);
        told_by(self) == told_by(other)
    }
}

impl Eq for Stamp {}

/// A file that was changed this lately may be changed once more without getting another time.
const TIME_GRAIN: Duration = Duration::from_millis(50);

impl Stamp {
    /// A file's stamp.
    pub(super) fn of(metadata: &std::fs::Metadata) -> Stamp {
        Stamp {
            inode: metadata.ino(),
            modified_s: metadata.mtime(),
            modified_ns: metadata.mtime_nsec(),
            bytes: metadata.len(),
            placed_s: metadata.ctime(),
        }
    }

    /// Has nobody written it, or put it where it is, for so long?
    pub(super) fn is_at_rest(&self, now: SystemTime, rest: Duration) -> bool {
        let since = u64::try_from(self.modified_s.max(self.placed_s)).map(Duration::from_secs);
        since.is_ok_and(|since| now.duration_since(SystemTime::UNIX_EPOCH + since).is_ok_and(|age| age > rest))
    }

    /// How many bytes the file has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The stamp as a text that names this content for good; none as long as the content might change and keep its
    /// stamp.
    pub fn name(&self, now: SystemTime) -> Option<String> {
        let since = Duration::new(u64::try_from(self.modified_s).ok()?, u32::try_from(self.modified_ns).ok()?);
        let age = now.duration_since(SystemTime::UNIX_EPOCH + since).ok()?;
        let Stamp { inode, modified_s, modified_ns, bytes, .. } = self;
        (age > TIME_GRAIN).then(|| format!("{inode:x}-{modified_s:x}-{modified_ns:x}-{bytes:x}"))
    }
}

impl Root {
    /// The folder at `path`; the path itself may go through links.
    pub fn open(path: &Path) -> io::Result<Root> {
        let real = path.canonicalize()?;
        match real.is_dir() {
            true => Ok(Root { real }),
            false => Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a folder")),
        }
    }

    /// The names of the folders below `path` in the order of the alphabet. Hidden ones do not count.
    pub fn folders(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.inside(path)?)? {
            let entry = entry?;
            let is_folder = std::fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir());
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !is_folder || name.starts_with('.') {
                continue;
            }
            if names.len() == ENTRIES_MAX {
                return Err(io::Error::other(format!("it has more than {ENTRIES_MAX} folders")));
            }
            names.push(name);
        }
        names.sort();
        Ok(names)
    }

    /// The content of a file, or nothing when there is no such file.
    pub fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let real = match self.inside(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            real => real?,
        };
        // Looked at before it is opened: opening a pipe would wait for its other end.
        if !std::fs::metadata(&real)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(real)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > FILE_BYTES_MAX {
            true => Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes"))),
            false => Ok(Some(bytes)),
        }
    }

    /// What tells one content of a file from another without reading it; nothing when there is no such file.
    pub fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        let real = match self.inside(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            real => real?,
        };
        Ok(Some(Stamp::of(&std::fs::metadata(real)?)))
    }

    /// Where it is, without links.
    pub(super) fn real(&self) -> &Path {
        &self.real
    }

    /// The real path of something below the root.
    pub(super) fn inside(&self, path: &Path) -> io::Result<PathBuf> {
        let real = self.real.join(path).canonicalize()?;
        match real.starts_with(&self.real) {
            true => Ok(real),
            false => Err(io::Error::new(io::ErrorKind::PermissionDenied, "it leads out of the origin's folder")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_the_root_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (root, secret) = (dir.path().join("root"), dir.path().join("secret.json"));
        std::fs::create_dir_all(root.join("b/floors")).unwrap();
        std::fs::write(&secret, "{}").unwrap();
        std::fs::write(root.join("b/real.json"), "{}").unwrap();
        symlink(&secret, root.join("b/out.json")).unwrap();
        symlink("real.json", root.join("b/in.json")).unwrap();
        symlink(dir.path(), root.join("up")).unwrap();
        let root = Root::open(&root).unwrap();
        for path in ["b/out.json", "up/secret.json", "../secret.json", secret.to_str().unwrap()] {
            let error = root.read(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{path}");
        }
        assert_eq!(root.folders(Path::new("up")).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(root.read(Path::new("b/in.json")).unwrap().as_deref(), Some(&b"{}"[..]), "links inside are fine");
        assert_eq!(root.read(Path::new("b/none.json")).unwrap(), None);
        assert_eq!(root.read(Path::new("b")).unwrap_err().to_string(), "it is not a regular file");
    }

    #[test]
    fn a_file_above_the_bound_is_refused_not_cut() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("big.json")).unwrap();
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let error = root.read(Path::new("big.json")).unwrap_err().to_string();
        assert!(error.contains("67108864 bytes"), "{error}");
    }
}
