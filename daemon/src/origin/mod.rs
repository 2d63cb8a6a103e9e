//! The origin: where does building data come from?
//!
//! So far it is asked once, at the start, for the building directory: which floors and things there are, and where.

pub mod directory;
mod document;
mod folder;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

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
                    let troubles = vec![Trouble { path, place: None, what }];
                    Ok(Reading { directory: Directory::default(), troubles, faults: Vec::new() })
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
