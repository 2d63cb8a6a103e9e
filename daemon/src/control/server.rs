//! Accepts control connections and takes each request through the same few steps: who is it, is it for us, route,
//! and the headers that every answer carries.
//!
//! One connection's trouble never ends the loop. Connections beyond the limit are told `busy` rather than left waiting,
//! as long as not too many of them are being told.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arxosrt_core::control::API;
use arxosrt_core::control::code::Code;
use arxosrt_core::control::hello::{API_HEADER, Peer, REQUEST_ID_HEADER, VERSION_HEADER};
use arxosrt_core::time::Wall;
use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HOST, ORIGIN, REFERER};
use axum::http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::failure::Failure;
use super::peer::{Credentials, Roles};
use super::seats::{CONNECTIONS_PER_UID_MAX, Seat, Seats};
use super::watch::Watches;
use super::{
    ASK_TIMEOUT, CONNECTIONS_MAX, ControlContext, FAREWELL_MAX, HEAD_BYTES_MAX, HEAD_TIMEOUT, STREAMS_MAX,
    TURNED_AWAY_TIMEOUT, routes,
};
use crate::hub::ask::{Ask, Reply};

/// How long the loop rests after an accept that failed: the usual cause, no free descriptors, does not pass at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Headers of one request.
const HEADERS_MAX: usize = 64;

/// The names under which clients may address us. Any other is meant for somebody else.
const HOSTS: [&str; 2] = ["localhost", "arxosrtd"];

/// What all connections share.
pub(super) struct Server {
    pub context: ControlContext,
    pub roles: Roles,
    pub shutdown: CancellationToken,
    /// A drain was ordered here: streams say so when they end.
    pub draining: AtomicBool,
    /// The last revision that a snapshot was given.
    pub revision: AtomicU64,
    pub watches: Watches,
    pub streams: Arc<Semaphore>,
    seats: Arc<Seats>,
}

/// Serves the control socket until `shutdown`, then says good-bye to streams and lets requests finish for at most
/// [`FAREWELL_MAX`].
pub async fn serve(listener: UnixListener, context: ControlContext, shutdown: CancellationToken) {
    let roles = Roles::resolve(&context.settings);
    serve_with(listener, context, roles, shutdown).await;
}

/// [`serve`] with roles that are already resolved.
pub(super) async fn serve_with(
    listener: UnixListener,
    context: ControlContext,
    roles: Roles,
    shutdown: CancellationToken,
) {
    let server = Arc::new(Server::new(context, roles, shutdown.clone()));
    let router = routes::router(Arc::clone(&server));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((socket, _)) => {
                let Some(welcome) = server.admit(&socket) else {
                    continue;
                };
                connections.spawn(converse(Arc::clone(&server), router.clone(), socket, welcome));
            }
            Err(error) => {
                tracing::warn!(%error, "a control connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all_done = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL_MAX, all_done).await.is_err() {
        tracing::debug!("control connections were cut at the end");
    }
}

/// How a new connection is received.
struct Welcome {
    peer: Arc<Peer>,
    seat: Seat,
}

impl Server {
    pub(super) fn new(context: ControlContext, roles: Roles, shutdown: CancellationToken) -> Self {
        Server {
            context,
            roles,
            shutdown,
            draining: AtomicBool::new(false),
            revision: AtomicU64::new(0),
            watches: Watches::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            seats: Arc::default(),
        }
    }

    /// Asks the hub, but not for ever.
    pub async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Failure> {
        self.ask_within(ASK_TIMEOUT, question).await
    }

    /// Asks the hub within a given time.
    pub async fn ask_within<T>(&self, limit: Duration, question: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Failure> {
        match tokio::time::timeout(limit, self.context.hub.ask(question)).await {
            Ok(Ok(answer)) => answer.map_err(Failure::from_hub),
            Ok(Err(_gone)) => Err(Failure::new(Code::HubGone, "the hub has stopped")),
            Err(_) => Err(Failure::new(Code::Timeout, format!("no answer within {} ms", limit.as_millis()))),
        }
    }

    fn admit(&self, socket: &UnixStream) -> Option<Welcome> {
        let credentials = match Credentials::of(socket) {
            Ok(credentials) => credentials,
            Err(error) => {
                tracing::warn!(%error, "the peer of a control connection is unknown: closed");
                return None;
            }
        };
        let is_owner = self.roles.is_owner(&credentials);
        let seat = self.seats.take(credentials.uid, is_owner, Instant::now())?;
        Some(Welcome { peer: Arc::new(self.roles.of(credentials)), seat })
    }
}

/// Wall-clock now.
pub(super) fn wall_now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// One connection from its first request to its last.
async fn converse(server: Arc<Server>, router: Router, socket: UnixStream, welcome: Welcome) {
    let service = service_fn(|request: Request<Incoming>| {
        let (server, router, peer) = (Arc::clone(&server), router.clone(), Arc::clone(&welcome.peer));
        let has_room = welcome.seat.has_room;
        welcome.seat.spoke();
        async move { Ok::<_, Infallible>(answer(&server, router, peer, has_room, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(if welcome.seat.has_room { HEAD_TIMEOUT } else { TURNED_AWAY_TIMEOUT })
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(welcome.seat.has_room)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // It said nothing, so there is nothing to answer.
        () = welcome.seat.stop.cancelled() => return,
        () = server.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, uid = welcome.peer.uid, "a control connection broke");
    }
}

async fn answer(
    server: &Server,
    router: Router,
    peer: Arc<Peer>,
    has_room: bool,
    request: Request<Incoming>,
) -> Response<Body> {
    let request_id = uuid::Uuid::new_v4().simple().to_string();
    let mut response = match check(&request, has_room) {
        Ok(()) => {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        Err(failure) => failure.render(&request_id),
    };
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        response = failure.render(&request_id);
    }
    let headers = response.headers_mut();
    let mut put = |name: &'static str, value: &str| {
        let value = HeaderValue::from_str(value).expect("versions and request ids are printable ASCII");
        headers.insert(HeaderName::from_static(name), value);
    };
    put(VERSION_HEADER, server.context.version);
    put(API_HEADER, &format!("{API}-{API}"));
    put(REQUEST_ID_HEADER, &request_id);
    if !has_room {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Is this request for us at all?
fn check<B>(request: &Request<B>, has_room: bool) -> Result<(), Failure> {
    if !has_room {
        let detail =
            format!("all {CONNECTIONS_MAX} control connections are in use, or {CONNECTIONS_PER_UID_MAX} by this user");
        return Err(Failure::new(Code::Busy, detail));
    }
    for name in [ORIGIN, REFERER] {
        if request.headers().contains_key(&name) {
            return Err(Failure::new(Code::OriginForbidden, format!("a request with {name} comes from a browser")));
        }
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !HOSTS.contains(&host) {
        return Err(Failure::new(Code::OriginForbidden, format!("the host {host:?} is not served here"))
            .hint("use http://localhost/ as the beginning of the URL"));
    }
    match api_version(request.uri().path()) {
        Some(version) if version != u64::from(API) => {
            Err(Failure::new(Code::UnsupportedApi, format!("v{version} was asked for, v{API} to v{API} are spoken")))
        }
        _ => Ok(()),
    }
}

/// The N of `/vN/…`.
fn api_version(path: &str) -> Option<u64> {
    let first = path.strip_prefix("/v")?.split('/').next()?;
    if first.is_empty() || !first.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(first.parse().unwrap_or(u64::MAX))
}
