//! Where do state and the control socket live when nobody says?
//!
//! Under systemd both come from the unit (`StateDirectory=`, `RuntimeDirectory=`); by hand they follow the XDG base
//! directory rules, so that a daemon started at a terminal needs no privileges and leaves nothing in odd places.

use std::path::{Path, PathBuf};

use crate::config::{Config, Env, Problem, Whence};

/// The socket's name inside its directory.
pub const SOCKET_NAME: &str = "control.sock";
/// The database's name inside the data directory.
pub const DATABASE_NAME: &str = "arxosrt.db";
/// The longest path of a Unix socket: `sun_path` has 108 bytes and ends with a zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The data directory: `--data-dir`, the unit's state directory, or the user's.
pub fn data_dir(stated: Option<&Path>, env: &Env, cwd: &Path) -> Result<PathBuf, Problem> {
    if let Some(stated) = stated.filter(|path| !path.as_os_str().is_empty()) {
        return Ok(cwd.join(stated));
    }
    first_of(env, "STATE_DIRECTORY")
        .or_else(|| absolute(env, "XDG_DATA_HOME").map(|base| base.join("arxosrt")))
        .or_else(|| absolute(env, "HOME").map(|home| home.join(".local/share/arxosrt")))
        .ok_or_else(|| Problem {
            whence: Whence::Flag("--data-dir".to_owned()),
            what: "there is no place for data: neither $STATE_DIRECTORY, $XDG_DATA_HOME nor $HOME is an absolute path"
                .to_owned(),
            hint: Some("pass --data-dir DIR".to_owned()),
        })
}

/// The database file: `store.path`, or [`DATABASE_NAME`] in the data directory.
pub fn database(config: &Config, data_dir: &Path) -> PathBuf {
    match config.store.path.as_os_str().is_empty() {
        true => data_dir.join(DATABASE_NAME),
        false => config.store.path.clone(),
    }
}

/// The control socket: `control.socket`; the unit's runtime directory (`/run/arxosrt`); the user's; the data directory.
///
/// A shell below a unit inherits `INVOCATION_ID`, and one that a unit's script opened inherits `RUNTIME_DIRECTORY`:
/// only both together say that this process is the unit's own.
pub fn control_socket(config: &Config, data_dir: &Path, env: &Env) -> Result<PathBuf, Problem> {
    let under_unit = env.contains_key("INVOCATION_ID".as_ref() as &std::ffi::OsStr);
    let path = if !config.control.socket.as_os_str().is_empty() {
        config.control.socket.clone()
    } else if let Some(runtime) = first_of(env, "RUNTIME_DIRECTORY").filter(|_| under_unit) {
        runtime.join(SOCKET_NAME)
    } else if let Some(runtime) = absolute(env, "XDG_RUNTIME_DIR") {
        runtime.join("arxosrt").join(SOCKET_NAME)
    } else {
        data_dir.join(SOCKET_NAME)
    };
    let bytes = path.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES_MAX {
        return Err(Problem {
            whence: Whence::Flag("control.socket".to_owned()),
            what: format!(
                "the control socket's path has {bytes} bytes, the most allowed are {SOCKET_PATH_BYTES_MAX}: {}",
                path.display()
            ),
            hint: Some("set control.socket to a shorter path".to_owned()),
        });
    }
    Ok(path)
}

/// An absolute path in the environment; a relative or empty one does not count, as the XDG rules have it.
fn absolute(env: &Env, name: &str) -> Option<PathBuf> {
    env.get(name.as_ref() as &std::ffi::OsStr).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The first path of a list that systemd gives.
fn first_of(env: &Env, name: &str) -> Option<PathBuf> {
    let list = env.get(name.as_ref() as &std::ffi::OsStr)?;
    std::env::split_paths(list).next().filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn data_lives_where_it_was_said_then_in_the_unit_then_with_the_user() {
        let all = [("STATE_DIRECTORY", "/var/lib/arxosrt:/var/lib/b"), ("XDG_DATA_HOME", "/x"), ("HOME", "/home/a")];
        let cwd = Path::new("/cwd");
        let at = |stated: Option<&str>, pairs: &[(&str, &str)]| {
            data_dir(stated.map(Path::new), &env(pairs), cwd).map(|path| path.display().to_string())
        };
        assert_eq!(at(Some("d"), &all).unwrap(), "/cwd/d");
        assert_eq!(at(Some("/d"), &all).unwrap(), "/d");
        assert_eq!(at(None, &all).unwrap(), "/var/lib/arxosrt");
        assert_eq!(at(None, &all[1..]).unwrap(), "/x/arxosrt");
        assert_eq!(at(None, &all[2..]).unwrap(), "/home/a/.local/share/arxosrt");
        assert_eq!(at(None, &[("XDG_DATA_HOME", "relative"), ("HOME", "/h")]).unwrap(), "/h/.local/share/arxosrt");
        assert!(at(None, &[]).unwrap_err().to_string().contains("pass --data-dir"));
    }

    #[test]
    fn the_socket_is_the_units_only_inside_the_unit() {
        let at = |socket: &str, pairs: &[(&str, &str)]| {
            let mut config = Config::default();
            config.control.socket = socket.into();
            control_socket(&config, Path::new("/data"), &env(pairs)).map(|path| path.display().to_string())
        };
        let unit = [("RUNTIME_DIRECTORY", "/run/arxosrt"), ("INVOCATION_ID", "f0"), ("XDG_RUNTIME_DIR", "/run/user/1")];
        assert_eq!(at("/s", &unit).unwrap(), "/s");
        assert_eq!(at("", &unit).unwrap(), "/run/arxosrt/control.sock");
        assert_eq!(at("", &unit[1..]).unwrap(), "/run/user/1/arxosrt/control.sock");
        assert_eq!(at("", &[unit[0]]).unwrap(), "/data/control.sock");
        assert_eq!(at("", &[]).unwrap(), "/data/control.sock");
        let long = format!("/{}", "x".repeat(107));
        assert!(at(&long, &[]).unwrap_err().to_string().contains("108 bytes, the most allowed are 107"));
    }
}
