//! Which origin has the values of a strategy?
//!
//! A strategy that the configuration names an address for comes from the service. Of the others the folder of buildings
//! has five, where there is a folder; what is left comes from nowhere.

use std::sync::Arc;

use arxosrt_core::cache::EntryId;
use bytes::Bytes;

use super::directory_source::DirectorySource;
use super::fetch::{Answer, Fetch, FetchError, Fetched, Health, Source};
use super::http::HttpSource;

/// All origins, as the cache sees them.
#[derive(Clone)]
pub struct Sources(Arc<Inner>);

struct Inner {
    folder: Option<DirectorySource>,
    service: Option<HttpSource>,
}

/// An origin, and how it fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faring {
    /// What it is called: `folder` or `service`.
    pub name: &'static str,
    /// How it fares.
    pub health: Health,
}

impl Sources {
    /// These origins.
    pub fn new(folder: Option<DirectorySource>, service: Option<HttpSource>) -> Sources {
        Sources(Arc::new(Inner { folder, service }))
    }

    /// How each of them fares.
    pub fn faring(&self) -> Vec<Faring> {
        let folder = self.0.folder.as_ref().map(|folder| Faring { name: "folder", health: folder.health() });
        let service = self.0.service.as_ref().map(|service| Faring { name: "service", health: service.health() });
        folder.into_iter().chain(service).collect()
    }

    fn of(&self, strategy: &str) -> Option<&dyn Source> {
        match (&self.0.service, &self.0.folder) {
            (Some(service), _) if service.has(strategy) => Some(service),
            (_, Some(folder)) => Some(folder),
            _ => None,
        }
    }
}

impl Source for Sources {
    fn fetch(&self, fetch: Fetch) -> Answer<Fetched> {
        match self.of(&fetch.strategy) {
            Some(source) => source.fetch(fetch),
            None => Box::pin(std::future::ready(Err(FetchError::NoSource))),
        }
    }

    fn store(&self, strategy: &str, id: &EntryId, value: Bytes) -> Answer<bool> {
        match self.of(strategy) {
            Some(source) => source.store(strategy, id, value),
            None => Box::pin(std::future::ready(Ok(false))),
        }
    }

    /// All of them together: up when each is, and in the words of one that is not.
    fn health(&self) -> Health {
        let all = self.faring();
        Health {
            is_up: all.iter().all(|one| one.health.is_up),
            busy: all.iter().map(|one| one.health.busy).sum(),
            trouble: all.into_iter().find_map(|one| one.health.trouble),
        }
    }
}
