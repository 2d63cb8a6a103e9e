//! The origin: where does building data come from?
//!
//! It is a folder of JSON files, a service, or nothing. At the start it is read for the building directory: which floors
//! and things there are, and where. Later it is asked for single documents and for values, and committed edits are
//! written back to it:
//!
//! - `directory`, `layout` and `newest` read the folder at the start and remember what was found where;
//! - `documents` loads one document, `write_back` puts changed ones into their files, `floors` does both for floors;
//! - `elements`, `text`, `style` and `cache` find and change parts of a file's text;
//! - `folder` and `replace` are all that touches the disk, and never outside the folder;
//! - `fetch` is what the cache wants of any origin, `sources` says which one it asks, `slots` who asks now and `fitness`
//!   whether it answers;
//! - `directory_source` gives the cache the folder's files, with what `overlay` knows of edits that are not written yet;
//! - `watch` notices what others change in the folder, and `own_writes` tells it what they did not;
//! - `http` is a service; `store` is whichever of the two has the documents;
//! - `service` does this beside the hub, which never waits; `pending` is what is still to be written.

mod cache;
#[cfg(test)]
mod cached_edits;
pub mod directory;
pub mod directory_source;
#[cfg(test)]
mod directory_source_tests;
mod document;
pub mod documents;
pub(crate) mod elements;
pub mod fetch;
mod fitness;
mod floors;
mod folder;
pub mod http;
mod layout;
mod newest;
mod overlay;
mod own_writes;
pub mod pending;
#[cfg(test)]
mod random_edits;
mod replace;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod sample;
pub mod service;
#[cfg(test)]
mod service_tests;
mod slots;
pub mod sources;
pub mod store;
mod style;
#[cfg(test)]
mod tests;
mod text;
mod wanted;
pub mod watch;
pub mod write_back;

use arxosrt_core::directory::Directory;

use crate::config::{Config, Origin, OriginKind, SetBy};
use directory::{NoOrigin, Reading, Trouble};

/// Reads the building directory that the configuration names.
///
/// A folder that somebody asked for must be there. The default one need not: the daemon then knows no building, which
/// is a warning, and every room is a building of its own.
pub fn load(config: &Config, set_by: &SetBy, cwd: &std::path::Path) -> Result<Reading, NoOrigin> {
    match config.origin.kind {
        // A service is asked when the daemon's tasks run.
        OriginKind::None | OriginKind::Http => Ok(Reading::default()),
        OriginKind::Directory => {
            let path = cwd.join(&config.origin.path);
            match directory::read(&path) {
                Err(NoOrigin { path, why }) if !was_asked_for(config, set_by, cwd) => {
                    let what = format!("no building is known: {why}");
                    let troubles = vec![Trouble { path, place: None, what }];
                    Ok(Reading { directory: Directory::default(), troubles, faults: Vec::new(), folder: None })
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
