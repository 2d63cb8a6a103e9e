//! The files of the repository, and what of a source file is program rather than comment or test.

use std::fs;
use std::path::{Path, PathBuf};

/// What was built or fetched.
const NOT_OURS: [&str; 7] = ["target", "node_modules", ".git", ".cache", ".venv", "__pycache__", "corpus"];

/// A text file.
pub struct File {
    /// Relative to the root of the repository, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file below a folder of the repository; `""` is all of it.
pub fn files(folder: &str) -> Vec<File> {
    let mut found = Vec::new();
    gather(&root().join(folder), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "there is no {folder}");
    found
}

/// Every file of Rust below a folder of the repository.
pub fn rust(folder: &str) -> Vec<File> {
    files(folder).into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// The sources of the three packages that are the product, without the files that are tests.
pub fn product() -> Vec<File> {
    ["src", "daemon/src", "cli/src"].into_iter().flat_map(program_files).collect()
}

/// Every file of Rust below a folder, but for those that are compiled for tests only.
pub fn program_files(folder: &str) -> Vec<File> {
    let files = rust(folder);
    let tests: Vec<String> = files.iter().flat_map(File::test_files).collect();
    let is_test =
        |path: &str| tests.iter().any(|test| path == format!("{test}.rs") || path.starts_with(&format!("{test}/")));
    files.into_iter().filter(|file| !is_test(&file.path)).collect()
}

fn gather(folder: &Path, found: &mut Vec<File>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries.map(|entry| entry.unwrap()) {
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type().unwrap();
        if NOT_OURS.contains(&name.to_str().unwrap_or("")) {
            continue;
        }
        if kind.is_dir() {
            gather(&path, found);
        }
        // What is not UTF-8 is no text.
        if kind.is_file()
            && let Ok(text) = fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push(File { path, text });
        }
    }
}

impl File {
    /// The modules in files of their own that are declared for tests only, as paths without `.rs`.
    fn test_files(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder,
            _ => self.path.trim_end_matches(".rs"),
        };
        let lines: Vec<&str> = self.text.lines().collect();
        let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
        let names =
            declared.filter_map(|pair| pair[1].trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
        names.map(|name| format!("{folder}/{name}")).collect()
    }

    /// The lines of the program with their numbers: no comments, and nothing after the tests have begun. Tests come
    /// last in a file, which [`crate::sources`] checks.
    pub fn program(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.tests_begin().unwrap_or(usize::MAX);
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        let lines = lines.take_while(move |(number, _)| *number < end);
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The line where the tests within the file begin.
    pub fn tests_begin(&self) -> Option<usize> {
        let lines: Vec<&str> = self.text.lines().collect();
        let at = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with("mod tests {"));
        at.map(|at| at + 1)
    }
}
