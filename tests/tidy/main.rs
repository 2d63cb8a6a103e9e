//! The repository's own rules, kept by the machine.
//!
//! - [`layers`]: arrows point inward; the core touches nothing of the world;
//! - [`sources`]: how a source file is written;
//! - [`packages`]: what may be depended on;
//! - [`promises`]: what the documents say exists.
//!
//! A rule that has an exception carries it in its list, with the reason; an exception that nobody needs any more fails.

mod layers;
mod packages;
mod promises;
mod sources;
mod tree;

/// Fails with all complaints at once, so that one run names everything there is to do.
fn complain(rule: &str, complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{rule}\n  {}\n", complaints.join("\n  "));
}
