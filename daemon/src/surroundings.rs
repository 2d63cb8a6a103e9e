//! Does this machine have what the configuration names?
//!
//! Asked by `--check-config` only: a start finds out by using it. Nothing is made or changed here. What would keep a
//! start from succeeding is a problem; a group that nobody has is a warning, since the daemon starts without it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::config::{Config, EngineKind, Problem, SetBy, Whence};
use crate::control::peer::unknown_groups;

/// Why the database could not be written; `database` is where it would be.
pub fn problem(config: &Config, set_by: &SetBy, database: &Path) -> Option<Problem> {
    if config.engine.kind != EngineKind::Embedded {
        return None;
    }
    let whence = set_by.get("store.path").cloned().unwrap_or(Whence::Default);
    let refuse = |what: String| Some(Problem { whence: whence.clone(), what, hint: None });
    let folder = database.parent().unwrap_or(Path::new("/"));
    // The data directory is made at the start; a folder that somebody chose is not.
    let is_made = config.store.path.as_os_str().is_empty();
    let there = if is_made { folder.ancestors().find(|path| path.exists()).unwrap_or(folder) } else { folder };
    if !there.is_dir() {
        return refuse(format!("the database's folder {} is not there or no folder", there.display()));
    }
    if !is_writable(there) {
        return refuse(format!("the database's folder {} may not be written to", there.display()));
    }
    if database.is_dir() {
        return refuse(format!("the database {} is a folder", database.display()));
    }
    None
}

/// Files that the configuration names and that cannot be used, in what is used at all.
pub fn file_problems(config: &Config, set_by: &SetBy) -> Vec<Problem> {
    let mut wrong = Vec::new();
    if config.origin.uses_http() {
        wrong.extend(crate::origin::http::client::file_problems(
            &config.origin.http.token_file,
            &config.origin.http.ca_file,
        ));
    }
    if config.redis.is_on() {
        wrong.extend(crate::cache::shared::file_problems(&config.redis));
    }
    let placed = |(option, why): (&str, String)| {
        let whence = set_by.get(option).cloned().unwrap_or(Whence::Default);
        Problem { whence, what: format!("`{option}`: {why}"), hint: None }
    };
    wrong.into_iter().map(placed).collect()
}

/// Groups that have a role at the control socket and that this machine does not know.
pub fn warnings(config: &Config) -> Vec<String> {
    let control = &config.control;
    let lists = [("control.admin_groups", &control.admin_groups), ("control.operate_groups", &control.operate_groups)];
    let unknown = lists.into_iter().flat_map(|(path, names)| unknown_groups(names).into_iter().map(move |n| (path, n)));
    unknown.map(|(path, name)| format!("`{path}` names the group `{name}`, which this machine does not have")).collect()
}

#[allow(unsafe_code)] // the standard library cannot ask whether a folder may be written to
fn is_writable(folder: &Path) -> bool {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return false };
    // SAFETY: `path` is a terminated string that outlives the call, which keeps no pointer to it.
    unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_cannot_be_made_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let check = |path: &str| {
            let mut config = Config::default();
            config.store.path = dir.path().join(path);
            problem(&config, &SetBy::new(), &config.store.path).map(|problem| problem.what)
        };
        assert_eq!(check("arxosrt.db"), None);
        assert!(check("none/arxosrt.db").unwrap().ends_with("none is not there or no folder"));
        assert!(check("file/arxosrt.db").unwrap().ends_with("file is not there or no folder"));
        assert!(check(".").unwrap().ends_with("is a folder"));
        // The default one is made, with all that leads to it.
        assert_eq!(problem(&Config::default(), &SetBy::new(), &dir.path().join("a/b/arxosrt.db")), None);
        let in_file = problem(&Config::default(), &SetBy::new(), &dir.path().join("file/b/arxosrt.db")).unwrap();
        assert!(in_file.what.ends_with("file is not there or no folder"), "{in_file}");
    }

    #[test]
    fn a_file_that_is_not_there_or_holds_nothing_is_named_if_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let (none, empty) = (dir.path().join("none"), dir.path().join("empty"));
        std::fs::write(&empty, "").unwrap();
        let mut config = Config::default();
        (config.origin.http.token_file, config.origin.http.ca_file) = (none.clone(), empty.clone());
        (config.redis.password_file, config.redis.ca_file) = (empty, none);
        assert_eq!(file_problems(&config, &SetBy::new()), []);
        config.origin.kind = crate::config::OriginKind::Http;
        config.redis.urls = vec!["redis://127.0.0.1".into()];
        let found = file_problems(&config, &SetBy::new()).into_iter().map(|problem| problem.what);
        let options = ["origin.http.token_file", "origin.http.ca_file", "redis.password_file", "redis.ca_file"];
        assert!(found.zip(options).filter(|(what, option)| what.starts_with(&format!("`{option}`: "))).count() == 4);
    }

    #[test]
    fn a_group_that_nobody_has_is_named() {
        let mut config = Config::default();
        config.control.admin_groups = vec!["root".into(), "no-such-group-here".into(), "1000".into()];
        let named = "`control.admin_groups` names the group `no-such-group-here`, which this machine does not have";
        assert_eq!(warnings(&config), [named]);
    }
}
