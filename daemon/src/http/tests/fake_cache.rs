//! A cache before an origin that knows one floor, `f1`, and is down for everything named `down`.

use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::cache::{EntryId, Strategies};
use arxosrt_core::directory::Directory;
use bytes::Bytes;
use tokio::runtime::Handle;

use crate::cache::{Cache, CacheSettings, Parts};
use crate::hub::Clock;
use crate::origin::fetch::{Answer, Fetch, FetchError, Fetched, Health, Source};

struct OneFloor;

impl Source for OneFloor {
    fn fetch(&self, fetch: Fetch) -> Answer<Fetched> {
        let answer = match fetch.id.as_str() {
            "f1" => Ok(Fetched::Value { bytes: Bytes::from_static(b"{\"id\":\"f1\"}"), etag: None }),
            "down" => Err(FetchError::Unavailable("it is down".to_owned())),
            "locked" => Err(FetchError::Denied(401)),
            _ => Ok(Fetched::Missing),
        };
        Box::pin(std::future::ready(answer))
    }

    fn store(&self, _: &str, _: &EntryId, _: Bytes) -> Answer<bool> {
        Box::pin(std::future::ready(Ok(false)))
    }

    fn health(&self) -> Health {
        Health { is_up: true, ..Health::default() }
    }
}

pub fn cache() -> Cache {
    let parts = Parts {
        settings: CacheSettings {
            bytes_max: 16 << 20,
            loads_max: 8,
            load_timeout: Duration::from_secs(5),
            alone_ttl_ms: 30_000,
        },
        strategies: Strategies::new(Strategies::known()).expect("the known ones are good"),
        directory: Arc::new(Directory::default()),
        source: Arc::new(OneFloor),
        shared: None,
        clock: Clock::start(),
        runtime: Handle::current(),
        seed: 7,
    };
    Cache::start(parts).0
}
