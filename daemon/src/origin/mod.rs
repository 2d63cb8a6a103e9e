//! The origin: where does building data come from?
//!
//! So far it is asked once, at the start, for the building directory: which floors and things there are, and where.

pub mod directory;
mod document;
mod folder;
#[cfg(test)]
mod sample;

use arxosrt_core::directory::Directory;

use crate::config::{Config, Origin, OriginKind, SetBy};
use directory::{NoOrigin, Reading, Trouble};

/// Reads the building directory that the configuration names.
///
/// A folder that somebody asked for must be there. The default one need not: the daemon then knows no building, which
/// is a warning, and every room is a building of its own.
pub fn load(config: &Config, set_by: &SetBy, cwd: &std::path::Path) -> Result<Reading, NoOrigin> {
    match config.origin.kind {
        OriginKind::None => Ok(Reading::default()),
        OriginKind::Directory => {
            let path = cwd.join(&config.origin.path);
            match directory::read(&path) {
                Err(NoOrigin { path, why }) if !was_asked_for(config, set_by, cwd) => {
                    let what = format!("no building is known: {why}");
                    Ok(Reading {
                        directory: Directory::default(),
                        troubles: vec![Trouble { path, what }],
                    })
                }
                reading => reading,
            }
        }
    }
}

/// A configuration file that lists every option at its default asks for nothing by that.
fn was_asked_for(config: &Config, set_by: &SetBy, cwd: &std::path::Path) -> bool {
    let default = Origin::default().path;
    match set_by.get("origin.path") {
        None => false,
        Some(crate::config::Whence::File { path, .. }) => {
            config.origin.path != cwd.join(path).parent().unwrap_or(cwd).join(default)
        }
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use crate::config::Env;

    #[test]
    fn a_folder_that_somebody_asked_for_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let check = |file: &str, set: &[&str], fails: bool, troubles: usize| {
            std::fs::write(dir.path().join("etc/a.toml"), file).unwrap();
            let args = Args {
                config: Some("etc/a.toml".into()),
                set: set.iter().map(|s| (*s).to_owned()).collect(),
                ..Args::default()
            };
            let loaded = crate::config::load(&args, &Env::new(), dir.path()).unwrap();
            let reading = load(&loaded.config, &loaded.set_by, dir.path());
            assert_eq!(reading.is_err(), fails, "{file} {set:?}");
            assert_eq!(
                reading.map_or(0, |reading| reading.troubles.len()),
                troubles,
                "{file} {set:?}"
            );
        };
        check("", &[], false, 1);
        check("origin.path = \"sample\"\n", &[], false, 1);
        check("origin.path = \"models\"\n", &[], true, 0);
        check("", &["origin.path=sample"], true, 0);
        check(
            "origin.path = \"models\"\n",
            &["origin.kind=none"],
            false,
            0,
        );
        std::fs::create_dir(dir.path().join("etc/models")).unwrap();
        check("origin.path = \"models\"\n", &[], false, 0);
    }
}
