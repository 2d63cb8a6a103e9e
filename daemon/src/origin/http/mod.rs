//! A service that speaks HTTP, as an origin.
//!
//! It may have values for the cache ([`HttpSource`]), and the documents that people edit ([`HttpDocuments`]); where each
//! is, templates of the configuration say (`template`). `client` asks, repeats and gives up; `pointer` finds a value in
//! an answer; `buildings` reads which buildings there are.

pub mod buildings;
pub mod client;
pub mod documents;
mod pointer;
pub mod source;
pub mod template;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{HttpOrigin, HttpPlace};
use client::{Client, ClientSettings};
use template::{Base, Template};

pub use documents::HttpDocuments;
pub use source::HttpSource;

/// A service, and where it has what.
pub struct Service {
    client: Client,
    base: Base,
    values: HashMap<Box<str>, Place>,
    documents: HashMap<Box<str>, Place>,
    directory: Template,
    directory_wait: Duration,
}

/// Where something is.
#[derive(Clone, Debug, Default)]
struct Place {
    read: Template,
    pointer: Box<str>,
    write: Template,
}

impl Service {
    /// The service of a configuration whose addresses have been checked.
    pub fn new(settings: &HttpOrigin) -> Result<Arc<Service>, String> {
        let base = Base::new(&settings.url).map_err(|why| format!("origin.http.url: {why}"))?;
        let client = ClientSettings {
            name: base.shown().into(),
            timeout: Duration::from_millis(settings.timeout_ms),
            retries: settings.retries,
            requests_max: settings.requests_max,
            answer_bytes_max: settings.answer_bytes_max,
        };
        let client = Client::new(client, &settings.token_file, &settings.ca_file)?;
        let places = |table: &std::collections::BTreeMap<String, HttpPlace>| {
            table
                .iter()
                .map(|(name, place)| Ok((name.as_str().into(), Place::new(place)?)))
                .collect::<Result<_, String>>()
        };
        Ok(Arc::new(Service {
            client,
            base,
            values: places(&settings.values)?,
            documents: places(&settings.documents)?,
            directory: Template::new(&settings.directory_url)?,
            directory_wait: Duration::from_millis(settings.directory_wait_ms),
        }))
    }
}

impl Place {
    fn new(place: &HttpPlace) -> Result<Place, String> {
        Ok(Place {
            read: Template::new(&place.url)?,
            pointer: place.pointer.as_str().into(),
            write: Template::new(&place.write_url)?,
        })
    }
}
