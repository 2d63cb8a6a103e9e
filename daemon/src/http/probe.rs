//! What the surroundings ask: does it live, may it be sent traffic, what are its figures, what is it at all?
//!
//! None of these asks the hub, so they answer while the hub is stuck: that is when they matter.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::Context;
use super::answer::stamped;
use crate::hub::ReadyState;
use crate::metrics;

/// The routes without a prefix.
pub fn routes(show_metrics: bool) -> Router<Context> {
    let routes = Router::new().route("/", get(welcome)).route("/live", get(live)).route("/ready", get(ready));
    if show_metrics { routes.route("/metrics", get(figures)) } else { routes }
}

/// The state of a daemon whose database's file was removed or replaced.
pub const STORE_LOST: &str = "store_lost";

#[derive(Serialize)]
struct Condition {
    state: &'static str,
}

async fn live() -> Response {
    stamped(Condition { state: "live" })
}

async fn ready(State(context): State<Context>) -> Response {
    // Whoever kept the state is gone: the hub has stopped.
    let stopped = context.ready.has_changed().is_err();
    let now = *context.ready.borrow();
    let (status, state) = match now {
        _ if stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
        // It works on, but what it commits is gone with the process.
        ReadyState::Ready if context.metrics.store_lost.get() > 0 => (StatusCode::SERVICE_UNAVAILABLE, STORE_LOST),
        ReadyState::Ready => (StatusCode::OK, now.as_str()),
        ReadyState::Starting | ReadyState::ReadOnly | ReadyState::Draining => {
            (StatusCode::SERVICE_UNAVAILABLE, now.as_str())
        }
    };
    (status, stamped(Condition { state })).into_response()
}

async fn figures(State(context): State<Context>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], context.metrics.text()).into_response()
}

async fn welcome(headers: HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_plain(host));
    let host = host.unwrap_or("127.0.0.1:8790");
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "arxosrtd {version}: realtime collaboration on building models\n\
         \n\
         WebSocket   ws://{host}/v1/realtime/ws/USER\n\
         \x20           then send {{\"type\":\"join_room\",\"room_id\":\"hq:level-1\"}}\n\
         REST        curl http://{host}/v1/realtime/connection-status\n\
         \x20           curl http://{host}/v1/realtime/room-users/hq:level-1\n\
         Health      curl http://{host}/live\n\
         \x20           curl http://{host}/ready\n\
         Metrics     curl http://{host}/metrics\n\
         Operators   arxosrt status\n"
    )
}

/// Nothing but what a host and a port are made of.
fn is_plain(host: &str) -> bool {
    host.len() <= 255 && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-[]".contains(&b))
}
