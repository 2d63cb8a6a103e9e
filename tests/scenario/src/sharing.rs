//! Daemons that share a Redis: how a test starts them, and what it asks of their caches.

use arxosrtd::config::Redis as Config;

use crate::http::{Answer, Request};
use crate::{Served, Setup, until};

/// What `redis.timeout_ms` is in these tests: the processors are shared, and a call may be late by as much as nobody
/// lets it run.
pub const TIMEOUT_MS: u64 = 200;

/// A daemon that keeps nothing and shares the server at `url`.
pub fn on(url: &str) -> Setup {
    with(Config { urls: vec![url.to_owned()], ..Config::default() })
}

/// The same, with any way to Redis.
pub fn with(redis: Config) -> Setup {
    Setup::memory().with(|config| config.redis = Config { timeout_ms: TIMEOUT_MS, ..redis })
}

/// What a daemon says of its connection to Redis.
pub async fn is_connected(served: &Served) -> bool {
    served.get("/v1/realtime/connection-status").await.ok()["cache_connected"] == true
}

/// Waits until Redis is used, or is not.
pub async fn until_connected(served: &Served, is_it: bool) {
    let what = format!("cache_connected is {is_it}");
    until(&what, async || (is_connected(served).await == is_it).then_some(())).await;
}

/// `GET` of a value: `what` is `STRATEGY/ID`, escaped.
pub async fn get(served: &Served, what: &str) -> Answer {
    served.get(&format!("/v1/realtime/cache/{what}")).await
}

/// `PUT` of a value.
pub async fn put(served: &Served, what: &str, value: &str) -> Answer {
    let request = Request::new("PUT", &format!("/v1/realtime/cache/{what}"));
    request.body("application/json", value.as_bytes().to_vec()).to(served.http).await
}

/// `DELETE` of a value.
pub async fn delete(served: &Served, what: &str) -> Answer {
    Request::new("DELETE", &format!("/v1/realtime/cache/{what}")).to(served.http).await
}

/// Waits until this is read.
pub async fn until_read(served: &Served, what: &str, value: &str) {
    let expected = format!("{what} is {value}");
    until(&expected, async || (get(served, what).await.body == value).then_some(())).await;
}

/// Waits until there is no such value.
pub async fn until_gone(served: &Served, what: &str) {
    until(&format!("{what} is gone"), async || (get(served, what).await.status == 404).then_some(())).await;
}

/// A figure of `/metrics`.
pub async fn figure(served: &Served, name: &str) -> u64 {
    let page = served.get("/metrics").await.body;
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("there is no {name} in {page}")).parse().expect("a figure is a number")
}
