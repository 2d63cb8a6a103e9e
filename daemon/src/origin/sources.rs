//! Which origin has the values of a strategy?
//!
//! The folder of buildings has those of five strategies, where there is a folder; everything else comes from nowhere.

use std::sync::Arc;

use arxosrt_core::cache::EntryId;
use bytes::Bytes;

use super::directory_source::DirectorySource;
use super::documents::Documents;
use super::fetch::{Answer, Fetch, FetchError, Fetched, Health, Source};
use crate::hub::ask::HubHandle;

/// All origins, as the cache sees them.
#[derive(Clone)]
pub struct Sources {
    folder: Option<DirectorySource>,
}

impl Sources {
    /// The origins of this daemon.
    pub fn new(folder: Option<Arc<Documents>>, hub: HubHandle) -> Sources {
        Sources { folder: folder.map(|documents| DirectorySource::new(documents, hub)) }
    }
}

impl Source for Sources {
    fn fetch(&self, fetch: Fetch) -> Answer<Fetched> {
        match &self.folder {
            Some(folder) => folder.fetch(fetch),
            None => Box::pin(std::future::ready(Err(FetchError::NoSource))),
        }
    }

    fn store(&self, strategy: &str, id: &EntryId, value: Bytes) -> Answer<bool> {
        match &self.folder {
            Some(folder) => folder.store(strategy, id, value),
            None => Box::pin(std::future::ready(Ok(false))),
        }
    }

    fn health(&self) -> Health {
        match &self.folder {
            Some(folder) => folder.health(),
            None => Health { is_up: true, busy: 0, trouble: None },
        }
    }
}
