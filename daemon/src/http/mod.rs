//! What does the daemon say over plain HTTP: the REST routes of existing clients, the probes, the metrics?
//!
//! Nothing is decided here. A route reads its inputs, asks the hub one question and puts the answer into words. Every
//! request is bounded before it is looked at: its head, its body, the depth of its JSON, the time that it may take.
//! Whatever goes wrong is said in one envelope (`answer`), so that a client needs to know one shape only.
//!
//! The hub's accept loop owns the listener and the WebSocket upgrades; it hands every other connection to
//! [`serve::serve_connection`] with the [`router`]. The control socket has its own router.

mod answer;
mod fields;
mod input;
mod limits;
pub mod probe;
mod rest;
pub mod serve;

use std::sync::Arc;

use arxosrt_core::id::RoomId;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::cache::Cache;
use crate::hub::ReadyState;
use crate::hub::ask::{Ask, HubHandle, Reply};
use crate::metrics::{Metrics, StatusClass};
use crate::transport::handshake::not_ours;
use crate::transport::hosts::Hosts;

use answer::{Problem, shortened};
pub use limits::HttpLimits;

/// Existing clients use both: the first was documented, the second was served.
const PREFIXES: [&str; 2] = ["/v1/realtime", "/realtime"];

/// What the routes need to know.
#[derive(Clone)]
pub struct HttpContext {
    /// Who answers.
    pub hub: HubHandle,
    /// Who has values.
    pub cache: Cache,
    /// Has what makes up a floor loaded ahead, beside everything else.
    pub preload_floor: Arc<dyn Fn(&RoomId) + Send + Sync>,
    /// What `/ready` says. Kept by the hub; readable even while the hub is stuck.
    pub ready: watch::Receiver<ReadyState>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Whether it shows them.
    pub show_metrics: bool,
    /// The bounds of a request.
    pub limits: HttpLimits,
    /// Under which names the daemon may be addressed.
    pub hosts: Hosts,
}

impl HttpContext {
    /// Asks the hub. No answer is an answer too.
    async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Problem> {
        match self.hub.ask(question).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(refused)) => Err(Problem::from(refused)),
            Err(_gone) => Err(Problem::new("hub_gone", "the hub has stopped")),
        }
    }
}

type Context = Arc<HttpContext>;

/// Everything that is served over plain HTTP.
pub fn router(context: HttpContext) -> Router {
    let context = Arc::new(context);
    let mut router = probe::routes(context.show_metrics);
    for prefix in PREFIXES {
        router = router.nest(prefix, rest::routes()).route(&format!("{prefix}/ws/{{*user_id}}"), any(upgrade_required));
    }
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(context.clone(), bounded))
        .layer(middleware::from_fn_with_state(context.clone(), refuse_foreign_pages))
        .layer(middleware::from_fn_with_state(context.clone(), counted))
        .with_state(context)
}

/// Counts every answer.
async fn counted(State(context): State<Context>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let class = match response.status() {
        status if status.is_server_error() => StatusClass::ServerError,
        status if status.is_client_error() => StatusClass::ClientError,
        _ => StatusClass::Success,
    };
    context.metrics.http_requests.inc(class);
    response
}

/// Ends a request that takes too long, wherever it hangs.
async fn bounded(State(context): State<Context>, request: Request, next: Next) -> Response {
    let limit = context.limits.request_timeout;
    match timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => {
            let message = format!("no answer within {} ms; what was asked may still happen", limit.as_millis());
            Problem::new("timeout", message).into_response()
        }
    }
}

/// Refuses what addresses somebody else, and changes that a page of another site makes a browser send.
///
/// A site can let its name point here, so that its pages read and change as if they were ours; only the name in `Host`
/// gives it away. Whether the daemon lives and is ready anybody may ask by any name: an orchestrator does.
///
/// A page needs nobody's leave for a POST whose answer it does not want to read, so without this any web site could
/// speak through the browser of whoever can reach the daemon. Browsers say where a request comes from and do not let
/// pages touch those headers; programs do not send them. `Sec-Fetch-Site` alone is not enough: old browsers do not know
/// it, and no browser sends it to a plain HTTP address beyond the machine.
async fn refuse_foreign_pages(State(context): State<Context>, request: Request, next: Next) -> Response {
    let host = field(request.headers(), "host");
    if !context.hosts.answers_to(host) && !matches!(request.uri().path(), "/live" | "/ready") {
        return Problem::new("host_forbidden", not_ours(host.unwrap_or(""))).into_response();
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && is_of_foreign_page(request.headers(), &context.hosts) {
        return Problem::new("origin_forbidden", "pages of other sites may not change anything here").into_response();
    }
    next.run(request).await
}

/// An upgrade must be the first request of its connection: later ones have left the hub's accept loop.
async fn upgrade_required() -> Response {
    let problem = Problem::new("upgrade_required", "open a new connection and ask for the WebSocket upgrade first");
    let headers = [(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade")];
    (headers, problem).into_response()
}

/// A header field; what is not text is the empty text, which is nobody's name.
fn field<'r>(headers: &'r HeaderMap, name: &str) -> Option<&'r str> {
    headers.get(name).map(|value| value.to_str().unwrap_or(""))
}

fn is_of_foreign_page(headers: &HeaderMap, hosts: &Hosts) -> bool {
    field(headers, "sec-fetch-site") == Some("cross-site")
        || field(headers, "origin").is_some_and(|origin| !hosts.welcomes(origin, field(headers, "host")))
}

async fn unknown_route(request: Request) -> Problem {
    Problem::new("unknown_route", format!("no such route: {}", shortened(request.uri().path())))
}

async fn method_not_allowed(request: Request) -> Problem {
    let (method, path) = (request.method().as_str(), request.uri().path());
    Problem::new("method_not_allowed", format!("{} is not for {}", shortened(method), shortened(path)))
}

#[cfg(test)]
mod tests;
