//! How does a file get new content so that nobody ever sees half of it?
//!
//! The content goes to a file beside it, reaches the disk, and takes the old one's name in one step; then the folder
//! reaches the disk too. Whoever dies in between leaves the old file whole, and beside it a hidden one whose name ends
//! in [`STAGED_SUFFIX`]: readers do not look at those, and the next start removes them.
//!
//! A file keeps its mode, and its owner where the daemon may set it. A link within the root stays a link; one that
//! leads out of it is refused, as for reading.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use super::folder::{ENTRIES_MAX, FILE_BYTES_MAX, Root, Stamp};

/// The end of the names of files that are not in place yet.
pub const STAGED_SUFFIX: &str = ".arxosrt-new";

/// New content on the disk, not in place yet. Dropped, it is removed.
#[derive(Debug)]
pub struct Staged {
    beside: PathBuf,
    place: PathBuf,
    is_placed: bool,
}

impl Root {
    /// Both halves at once.
    #[cfg(test)]
    pub fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.stage(path, content)?.put_in_place()
    }

    /// Writes a file's new content beside it, or that of a file that is not there yet; its folder must be.
    pub fn stage(&self, path: &Path, content: &[u8]) -> io::Result<Staged> {
        if content.len() as u64 > FILE_BYTES_MAX {
            let why = format!("it would have {} bytes, more than {FILE_BYTES_MAX}", content.len());
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        let (place, old) = self.place(path)?;
        let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else {
            return Err(no_name());
        };
        let staged = Staged { beside: folder.join(staged_name(name)), place, is_placed: false };
        let mut options = OpenOptions::new();
        // Nobody reads it before it has the mode of what it replaces.
        options.write(true).create_new(true).mode(if old.is_some() { 0o600 } else { 0o666 });
        let mut file = options.open(&staged.beside)?;
        file.write_all(content)?;
        if let Some(old) = old {
            let new = file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                // Only root may give files away: for everybody else the file becomes the daemon's.
                let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
            }
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        Ok(staged)
    }

    /// Removes a file, if it is there. Of a link, the link goes.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(no_name());
        };
        let folder = self.inside(folder)?;
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| File::open(folder)?.sync_all()),
        }
    }

    /// Makes a folder with these files, all at once: whoever looks sees the whole of it or nothing.
    pub fn make_folder(&self, path: &Path, files: &[(&str, &str)]) -> io::Result<()> {
        let (Some(outer), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(no_name());
        };
        if let Err(error) = self.inside(outer) {
            let (Some(above), Some(name), io::ErrorKind::NotFound) = (outer.parent(), outer.file_name(), error.kind())
            else {
                return Err(error);
            };
            fs::create_dir(self.inside(above)?.join(name))?;
        }
        let outer = self.inside(outer)?;
        let beside = outer.join(staged_name(name));
        let made = fs::create_dir(&beside).and_then(|()| {
            for (file, content) in files {
                let mut file = File::create_new(beside.join(file))?;
                file.write_all(content.as_bytes())?;
                file.sync_all()?;
            }
            File::open(&beside)?.sync_all()?;
            fs::rename(&beside, outer.join(name))
        });
        if made.is_err() {
            // If that fails as well, the next start removes it.
            let _ = fs::remove_dir_all(&beside);
        }
        made.and_then(|()| File::open(outer)?.sync_all())
    }

    /// Gives a folder another name beside its old one.
    pub fn rename_folder(&self, path: &Path, name: &str) -> io::Result<()> {
        let (Some(outer), Some(old)) = (path.parent(), path.file_name()) else {
            return Err(no_name());
        };
        let outer = self.inside(outer)?;
        fs::rename(outer.join(old), outer.join(name))?;
        File::open(outer)?.sync_all()
    }

    /// Removes what earlier runs left in a folder, and says how many files and folders that were.
    pub fn sweep(&self, path: &Path) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(self.inside(path)?)?.take(ENTRIES_MAX) {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_none_or(|name| !name.starts_with('.') || !name.ends_with(STAGED_SUFFIX)) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
            removed += 1;
        }
        Ok(removed)
    }

    /// Where a file really is or will be, and what is there now.
    fn place(&self, path: &Path) -> io::Result<(PathBuf, Option<fs::Metadata>)> {
        match self.inside(path) {
            Ok(real) => {
                let metadata = fs::metadata(&real)?;
                match metadata.is_file() {
                    true => Ok((real, Some(metadata))),
                    false => Err(io::Error::other("it is not a regular file")),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(error);
                };
                let place = self.inside(folder)?.join(name);
                match fs::symlink_metadata(&place) {
                    Ok(_) => Err(io::Error::other("it is a link to nothing")),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((place, None)),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

impl Staged {
    /// What the file will be told by once it is in place.
    pub fn stamp(&self) -> io::Result<Stamp> {
        fs::metadata(&self.beside).map(|metadata| Stamp::of(&metadata))
    }

    /// Replaces the file, in one step.
    pub fn put_in_place(mut self) -> io::Result<()> {
        fs::rename(&self.beside, &self.place)?;
        self.is_placed = true;
        let folder = self.place.parent().unwrap_or(Path::new("/"));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_placed {
            // If that fails as well, the next start removes it.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// A name beside `name` that nobody else takes, not even another daemon on the same folder.
fn staged_name(name: &OsStr) -> String {
    format!(".{}.{}{STAGED_SUFFIX}", name.to_string_lossy(), uuid::Uuid::new_v4().simple())
}

fn no_name() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it has no name")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn whoever_dies_before_the_end_leaves_the_old_file_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (root, file) = (Root::open(dir.path()).unwrap(), dir.path().join("a.json"));
        fs::write(&file, "old").unwrap();
        // As by kill -9: nothing is dropped.
        std::mem::forget(root.stage(Path::new("a.json"), b"new").unwrap());
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), names(dir.path()).len()), ("old", 2));
        assert_eq!(root.sweep(Path::new("")).unwrap(), 1);
        drop(root.stage(Path::new("a.json"), b"new").unwrap());
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), names(dir.path())), ("old", vec!["a.json".into()]));
        root.replace(Path::new("a.json"), b"new").unwrap();
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), names(dir.path())), ("new", vec!["a.json".into()]));
        assert_eq!(root.sweep(Path::new("")).unwrap(), 0);
    }

    #[test]
    fn a_file_keeps_its_mode_and_a_link_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/real.json"), "old").unwrap();
        fs::set_permissions(dir.path().join("sub/real.json"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("sub/real.json", dir.path().join("link.json")).unwrap();
        root.replace(Path::new("link.json"), b"new").unwrap();
        let real = dir.path().join("sub/real.json");
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(dir.path().join("link.json")).unwrap().is_symlink());
    }

    #[test]
    fn nothing_outside_the_root_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (inner, secret) = (dir.path().join("root"), dir.path().join("secret"));
        fs::create_dir(&inner).unwrap();
        fs::write(&secret, "old").unwrap();
        symlink(&secret, inner.join("out")).unwrap();
        symlink(dir.path(), inner.join("up")).unwrap();
        symlink("nowhere", inner.join("dangling")).unwrap();
        let root = Root::open(&inner).unwrap();
        for path in ["out", "up/secret", "up/new", "../new", "dangling", "up", "none/new"] {
            assert!(root.replace(Path::new(path), b"new").is_err(), "{path}");
        }
        for path in ["up/secret", "../secret"] {
            assert!(root.remove(Path::new(path)).is_err(), "{path}");
        }
        for path in ["up/new", "../new", "dangling/new", "out"] {
            assert!(root.make_folder(Path::new(path), &[("f", "new")]).is_err(), "{path}");
        }
        assert_eq!((fs::read_to_string(&secret).unwrap().as_str(), names(dir.path()).len()), ("old", 2));
        assert_eq!(names(&inner), ["dangling", "out", "up"], "nothing is left of attempts that failed");
        root.make_folder(Path::new("a/b"), &[("new", "new")]).unwrap();
        fs::create_dir(inner.join("a/.c.0123.arxosrt-new")).unwrap();
        assert_eq!(root.sweep(Path::new("a")).unwrap(), 1);
        assert!(inner.join("a/b/new").is_file());
    }
}
