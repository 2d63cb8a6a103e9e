//! An origin that has nothing: the cache then holds what clients set, and nothing else.

use arxosrt_core::cache::EntryId;
use bytes::Bytes;

use crate::origin::fetch::{Answer, Fetch, FetchError, Fetched, Health, Source};

/// No origin.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSource;

impl Source for NoSource {
    fn fetch(&self, _: Fetch) -> Answer<Fetched> {
        Box::pin(std::future::ready(Err(FetchError::NoSource)))
    }

    fn store(&self, _: &str, _: &EntryId, _: Bytes) -> Answer<bool> {
        Box::pin(std::future::ready(Ok(false)))
    }

    fn health(&self) -> Health {
        Health { is_up: true, ..Health::default() }
    }
}
