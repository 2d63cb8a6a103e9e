//! The last few files that documents were read from.
//!
//! Somebody who walks over a floor asks for one object after another, and they are all in one file. A file counts only
//! as long as it has the stamp that it was read with; the one that was not asked for the longest goes first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::elements::Elements;
use super::folder::Stamp;

/// How many files are kept.
const FILES_MAX: usize = 64;
/// How many bytes of text they have together; a larger file is read each time.
const BYTES_MAX: usize = 64 << 20;

/// Files by their paths, the one that was asked for last at the end.
#[derive(Debug, Default)]
pub struct Cache {
    files: Vec<File>,
    bytes: usize,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    stamp: Stamp,
    elements: Arc<Elements>,
}

impl Cache {
    /// A file, if it is the same as when it was read.
    pub fn get(&mut self, path: &Path, stamp: Stamp) -> Option<Arc<Elements>> {
        let file = self.take(path)?;
        if file.stamp != stamp {
            return None;
        }
        let elements = file.elements.clone();
        self.keep(file);
        Some(elements)
    }

    /// Keeps a file that was read.
    pub fn put(&mut self, path: &Path, stamp: Stamp, elements: Arc<Elements>) {
        self.take(path);
        self.keep(File { path: path.to_owned(), stamp, elements });
    }

    fn take(&mut self, path: &Path) -> Option<File> {
        let at = self.files.iter().position(|file| file.path == path)?;
        let file = self.files.remove(at);
        self.bytes -= file.elements.text().len();
        Some(file)
    }

    fn keep(&mut self, file: File) {
        let bytes = file.elements.text().len();
        if bytes > BYTES_MAX {
            return;
        }
        while self.files.len() == FILES_MAX || self.bytes + bytes > BYTES_MAX {
            let oldest = self.files.remove(0);
            self.bytes -= oldest.elements.text().len();
        }
        self.bytes += bytes;
        self.files.push(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::folder::Root;

    #[test]
    fn a_file_counts_until_it_changes_and_few_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let stamp = |name: &Path| root.stamp(name).unwrap().unwrap();
        let elements = |text: String| Arc::new(Elements::read(text).unwrap());
        let mut cache = Cache::default();
        let names: Vec<PathBuf> = (0..=FILES_MAX).map(|n| format!("{n}.json").into()).collect();
        names.iter().for_each(|name| std::fs::write(dir.path().join(name), "[]").unwrap());
        for name in &names {
            cache.put(name, stamp(name), elements("[]".to_owned()));
            assert!(cache.get(&names[1], stamp(&names[1])).is_some() || *name == names[0]);
        }
        assert_eq!((cache.files.len(), cache.bytes), (FILES_MAX, 2 * FILES_MAX));
        assert!(cache.get(&names[0], stamp(&names[0])).is_none(), "the oldest has gone");
        let before = stamp(&names[1]);
        root.replace(&names[1], b"{}").unwrap();
        assert_ne!(stamp(&names[1]), before, "replaced by one of the same length");
        assert!(cache.get(&names[1], stamp(&names[1])).is_none());
        let large = elements(format!("[{}]", " ".repeat(BYTES_MAX)));
        cache.put(&names[2], stamp(&names[2]), large);
        assert!(cache.get(&names[2], stamp(&names[2])).is_none(), "too large to keep");
        let half = elements(format!("[{}]", " ".repeat(BYTES_MAX / 2)));
        for name in &names[..3] {
            cache.put(name, stamp(name), half.clone());
        }
        assert_eq!(cache.files.len(), 1);
    }
}
