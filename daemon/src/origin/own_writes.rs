//! Is a file of the folder as the daemon itself has written it?
//!
//! Then nobody needs to hear that it has changed: the cache knows of edits already. That holds only for a write over
//! content whose own change was told: what somebody else wrote a moment before is in the file as well, and the event that
//! tells of it may not have been seen yet. So a write is silent if it replaced another one of ours, or a file that had
//! been at rest for [`REST`]; any other one is told once.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::folder::{Root, Stamp};

/// How many files are remembered; at one more all are forgotten, and the next write of each is told.
pub const FILES_MAX: usize = 4096;
/// Longer than the kernel, or whoever looks the folder over instead, takes to tell of a change.
const REST: Duration = Duration::from_secs(10);

/// The files that the daemon was the last to write, as far as it knows.
#[derive(Debug, Default)]
pub struct OwnWrites {
    files: HashMap<PathBuf, Own>,
}

#[derive(Debug)]
struct Own {
    stamp: Stamp,
    /// It was written over something that may not have been told.
    is_to_be_told: bool,
}

impl OwnWrites {
    /// Replaces a file's content. Whoever notices the change must ask [`OwnWrites::is_silent`] after this has returned.
    pub fn replace(&mut self, root: &Root, file: &Path, content: &[u8]) -> io::Result<()> {
        let old = root.stamp(file)?;
        let is_to_be_told = match (self.files.remove(file), old) {
            (Some(own), Some(old)) if own.stamp == old => own.is_to_be_told,
            (_, Some(old)) => !old.is_at_rest(SystemTime::now(), REST),
            (_, None) => true,
        };
        let staged = root.stage(file, content)?;
        let stamp = staged.stamp()?;
        staged.put_in_place()?;
        if self.files.len() >= FILES_MAX {
            self.files.clear();
        }
        self.files.insert(file.to_owned(), Own { stamp, is_to_be_told });
        Ok(())
    }

    /// A file has changed: is that nobody's business? Asked by who tells of it if not.
    pub fn is_silent(&mut self, root: &Root, file: &Path) -> bool {
        let Some(own) = self.files.get_mut(file) else { return false };
        let is_own = matches!(root.stamp(file), Ok(Some(stamp)) if stamp == own.stamp);
        is_own && !std::mem::take(&mut own.is_to_be_told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_replaced_something_known_is_silent() {
        let dir = tempfile::tempdir().unwrap();
        let (root, file, path) = (Root::open(dir.path()).unwrap(), Path::new("a.json"), dir.path().join("a.json"));
        let mut own = OwnWrites::default();
        assert!(!own.is_silent(&root, file), "there is none");
        own.replace(&root, file, b"[1]").unwrap();
        own.replace(&root, file, b"[2]").unwrap();
        assert!(!own.is_silent(&root, file), "what was there at first may not have been told");
        assert!(own.is_silent(&root, file), "once is enough");
        own.replace(&root, file, b"[3]").unwrap();
        assert!(own.is_silent(&root, file) && own.is_silent(&root, file));
        std::fs::write(&path, "[44]").unwrap();
        assert!(!own.is_silent(&root, file), "somebody else's");
        own.replace(&root, file, b"[5]").unwrap();
        assert!(!own.is_silent(&root, file), "which may not have been seen before ours took its place");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "[5]");
    }
}
