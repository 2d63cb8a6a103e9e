//! The routes against a hub that is told what to answer: every route, in each form that clients use, under both
//! prefixes; everything that can be wrong with a request; and one connection's life.

mod cache;
mod conflicts;
mod connection;
mod edits;
mod errors;
mod fake_cache;
mod fake_edits;
mod fake_hub;
mod probes;
mod routes;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

use super::{HttpContext, HttpLimits, router};
use crate::hub::ReadyState;
use crate::hub::ask::HubHandle;
use crate::metrics::Metrics;
use crate::transport::hosts::Hosts;
use fake_hub::FakeHub;

/// The routes with a hub behind them.
struct Daemon {
    app: Router,
    hub: FakeHub,
    ready: watch::Sender<ReadyState>,
    metrics: Arc<Metrics>,
}

impl Daemon {
    fn start() -> Self {
        Self::with_limits(HttpLimits::default())
    }

    fn with_limits(limits: HttpLimits) -> Self {
        let (hub, handle) = FakeHub::start();
        Self::with_hub(limits, hub, handle)
    }

    fn with_hub(limits: HttpLimits, hub: FakeHub, handle: HubHandle) -> Self {
        let (ready, watched) = watch::channel(ReadyState::Ready);
        let metrics = Arc::new(Metrics::new());
        let cache = fake_cache::cache();
        let context = HttpContext {
            hub: handle,
            preload_floor: {
                let cache = cache.clone();
                Arc::new(move |floor| cache.warm_floor(floor))
            },
            cache,
            ready: watched,
            show_metrics: true,
            metrics: metrics.clone(),
            limits,
            hosts: Hosts::new(&["hub.example".to_owned()], false),
        };
        Daemon { app: router(context), hub, ready, metrics }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(request("GET", uri, "")).await
    }

    async fn post(&self, uri: &str, body: &str) -> Answer {
        self.send(request("POST", uri, body)).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.expect("a router always answers");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("text");
        Answer { status: head.status, headers: head.headers, body }
    }
}

fn request(method: &str, uri: &str, body: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri);
    request.body(Body::from(body.to_owned())).expect("a request")
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    /// The body without its time, which must be there and must be a time.
    fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{}", self.body);
        let mut json: Value = serde_json::from_str(&self.body).expect(&self.body);
        let timestamp = json.as_object_mut().and_then(|object| object.remove("timestamp"));
        let timestamp = timestamp.expect("every answer has a timestamp");
        assert!(is_rfc3339(timestamp.as_str().expect("a text")), "{timestamp}");
        json
    }
}

/// `2026-11-24T04:36:09.123Z`.
fn is_rfc3339(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}
