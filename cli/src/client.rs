//! How does a command reach the daemon, and what can go wrong on the way?
//!
//! One connection to the control socket, opened with `/_hello`, so that a program and a daemon of different ages find
//! out before anything is asked. Each wait has an end: a connect, a request and a silent stream each fail with a
//! sentence of their own, because "it hangs" is the one answer an operator cannot use.

use std::env;
use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arxosrt_core::control::API;
use arxosrt_core::control::code::{Exit, Problem};
use arxosrt_core::control::document::{Document, HEARTBEAT_MS, Line, LineType, List};
use arxosrt_core::control::hello::Hello;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, IF_MATCH};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::args::Global;
use crate::error::Failure;
use crate::output::Raw;

/// The largest answer that is taken.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The longest line of a stream.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// The daemon sends something at least every [`HEARTBEAT_MS`]; after three times that it is taken for dead.
const SILENCE_MAX: Duration = Duration::from_millis(3 * HEARTBEAT_MS);

/// Items asked for at once; the daemon's own bound.
const PAGE: usize = 1000;

/// Pages of one list. Beyond that something is wrong with the cursors.
const PAGES_MAX: usize = 1000;

/// A connection to the daemon.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    timeout: Duration,
    hello: Hello,
}

/// The path below `/v1` of a thing, with its id percent-encoded: ids may hold anything.
pub fn path(segments: &[&str]) -> String {
    let mut path = format!("/v{API}");
    for segment in segments {
        path.push('/');
        path.extend(utf8_percent_encode(segment, NON_ALPHANUMERIC));
    }
    path
}

/// A value as part of a query.
pub fn query(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

impl Client {
    /// Connects to the daemon that the flags and the environment name, and makes sure that it can be spoken with.
    pub async fn connect(global: &Global) -> Result<Self, Failure> {
        let socket = match &global.socket {
            Some(path) => path.clone(),
            None => find_socket()?,
        };
        Self::connect_to(&socket, global.timeout).await
    }

    /// Connects to a given socket.
    pub async fn connect_to(socket: &Path, timeout: Duration) -> Result<Self, Failure> {
        let stream =
            within(timeout, UnixStream::connect(socket)).await?.map_err(|error| no_connection(socket, &error))?;
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| went_away(&error.to_string()))?;
        // Its end shows in the requests.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let hello = greet(&mut sender, timeout, socket).await?;
        Ok(Client { sender, timeout, hello })
    }

    /// What the daemon said about itself and about us.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// One thing.
    pub async fn document(&mut self, path: &str) -> Result<Document<Raw>, Failure> {
        let body = self.request(Method::GET, path, None, Bytes::new()).await?;
        parse(&body)
    }

    /// A value, byte for byte.
    pub async fn bytes(&mut self, path: &str) -> Result<Bytes, Failure> {
        self.request(Method::GET, path, None, Bytes::new()).await
    }

    /// A list, all its pages together.
    pub async fn list(&mut self, path: &str) -> Result<List<Raw>, Failure> {
        self.pages(path, &[], "cursor", usize::MAX).await
    }

    /// The first `most` items of a list that a query narrows. `after` is the parameter that begins the next page.
    pub async fn pages(
        &mut self,
        path: &str,
        narrowed: &[(&str, &str)],
        after: &str,
        most: usize,
    ) -> Result<List<Raw>, Failure> {
        let mut first = format!("{path}?limit={}", most.min(PAGE));
        for (name, value) in narrowed {
            first.push_str(&format!("&{name}={}", query(value)));
        }
        let mut all: Option<List<Raw>> = None;
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut page = first.clone();
            if let Some(cursor) = &cursor {
                page.push_str(&format!("&{after}={}", query(cursor)));
            }
            let body = self.request(Method::GET, &page, None, Bytes::new()).await?;
            let page: List<Raw> = parse(&body)?;
            cursor = page.next_cursor.clone();
            let list = match &mut all {
                Some(list) => {
                    list.items.extend(page.items);
                    list
                }
                None => all.insert(page),
            };
            if cursor.is_none() || list.items.len() >= most {
                list.items.truncate(most);
                cursor = None;
                break;
            }
        }
        match (all, cursor) {
            (Some(mut list), None) => {
                list.next_cursor = None;
                Ok(list)
            }
            _ => Err(incompatible(format!("{path} has more than {PAGES_MAX} pages of {PAGE}"))),
        }
    }

    /// The latest items of a list that has only one page.
    pub async fn latest(&mut self, path: &str, limit: u32) -> Result<List<Raw>, Failure> {
        let body = self.request(Method::GET, &format!("{path}?limit={limit}"), None, Bytes::new()).await?;
        parse(&body)
    }

    /// Changes something. `if_match` is the fencing token that was seen.
    pub async fn change<T: Serialize>(
        &mut self,
        method: Method,
        path: &str,
        if_match: Option<u64>,
        body: &T,
    ) -> Result<Document<Raw>, Failure> {
        let body = serde_json::to_vec(body).expect("requests are plain data with text keys");
        let answer = self.request(method, path, if_match, body.into()).await.map_err(|failure| match failure.exit {
            Exit::Timeout | Exit::Unreachable => {
                failure.hint("the change may have happened all the same; look before you repeat it")
            }
            _ => failure,
        })?;
        parse(&answer)
    }

    /// A stream of lines. The connection serves nothing else from then on.
    pub async fn stream(mut self, path: &str) -> Result<Lines, Failure> {
        let response = self.send(Method::GET, path, None, Bytes::new()).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        Ok(Lines {
            body: response.into_body(),
            unread: BytesMut::new(),
            scanned: 0,
            is_over: false,
            _sender: self.sender,
        })
    }

    async fn request(
        &mut self,
        method: Method,
        path: &str,
        if_match: Option<u64>,
        body: Bytes,
    ) -> Result<Bytes, Failure> {
        let response = self.send(method, path, if_match, body).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        within(self.timeout, collect(response)).await?
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        if_match: Option<u64>,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        send(&mut self.sender, self.timeout, method, path, if_match, body).await
    }

    async fn refusal(&self, response: Response<Incoming>) -> Failure {
        refusal(response, self.timeout).await
    }
}

/// The lines of a stream.
pub struct Lines {
    body: Incoming,
    unread: BytesMut,
    /// How much of `unread` is known to hold no line feed.
    scanned: usize,
    is_over: bool,
    /// The connection ends when its sender does.
    _sender: SendRequest<Full<Bytes>>,
}

impl Lines {
    /// The next line and what it says. `None` after the daemon's `bye`. Waiting for it may be broken off and begun anew.
    pub async fn next(&mut self) -> Result<Option<(Bytes, Line)>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        loop {
            if let Some(text) = self.take_line() {
                let line: Line = parse(&text)?;
                self.is_over = line.kind_of_line == LineType::Bye;
                return Ok(Some((text, line)));
            }
            if self.unread.len() > LINE_BYTES_MAX {
                return Err(incompatible(format!("a line of the stream has more than {LINE_BYTES_MAX} bytes")));
            }
            let frame = match tokio::time::timeout(SILENCE_MAX, self.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(went_away(&error.to_string())),
                Ok(None) => return Err(went_away("the stream ended without a word")),
                Err(_) => {
                    return Err(went_away(&format!("not a sign of life for {} s", SILENCE_MAX.as_secs())));
                }
            };
            if let Ok(data) = frame.into_data() {
                self.unread.extend_from_slice(&data);
            }
        }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        match self.unread[self.scanned..].iter().position(|&byte| byte == b'\n') {
            Some(at) => {
                let mut line = self.unread.split_to(self.scanned + at + 1);
                line.truncate(line.len() - 1);
                self.scanned = 0;
                Some(line.freeze())
            }
            None => {
                self.scanned = self.unread.len();
                None
            }
        }
    }
}

/// The first socket that exists of those where a daemon puts it.
fn find_socket() -> Result<PathBuf, Failure> {
    let places = places(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from));
    if let Some(found) = places.iter().find(|path| path.exists()) {
        return Ok(found.clone());
    }
    let tried: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
    Err(Failure::new(Exit::Unreachable, "unreachable", format!("no control socket: tried {}", tried.join(", ")))
        .hint("start arxosrtd, or name its socket with --socket or ARXOSRT_SOCKET"))
}

fn places(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let data = variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")));
    [Some(PathBuf::from("/run")), variable("XDG_RUNTIME_DIR"), data]
        .into_iter()
        .flatten()
        .map(|place| place.join("arxosrt/control.sock"))
        .collect()
}

/// `/_hello`: is this the right program, and do we share a version of the API?
async fn greet(sender: &mut SendRequest<Full<Bytes>>, timeout: Duration, socket: &Path) -> Result<Hello, Failure> {
    let response = send(sender, timeout, Method::GET, "/_hello", None, Bytes::new()).await?;
    if response.status().is_server_error() || response.status() == 403 {
        return Err(refusal(response, timeout).await);
    }
    let body = within(timeout, collect(response)).await??;
    let hello: Hello = serde_json::from_slice(&body)
        .map_err(|_| incompatible(format!("whatever listens on {} is not an arxosrtd", socket.display())))?;
    if hello.service != "arxosrtd" {
        return Err(incompatible(format!("{:?} listens on {}, not arxosrtd", hello.service, socket.display())));
    }
    if !(hello.api.min..=hello.api.max).contains(&API) {
        let detail = format!(
            "arxosrtd {} speaks the control API v{} to v{}, this arxosrt {} speaks v{API}",
            hello.version,
            hello.api.min,
            hello.api.max,
            env!("CARGO_PKG_VERSION")
        );
        return Err(incompatible(detail).hint("use the arxosrt that came with the daemon"));
    }
    Ok(hello)
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    timeout: Duration,
    method: Method,
    path: &str,
    if_match: Option<u64>,
    body: Bytes,
) -> Result<Response<Incoming>, Failure> {
    let mut request = Request::builder().method(method).uri(path).header(HOST, "localhost");
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    if let Some(token) = if_match {
        request = request.header(IF_MATCH, format!("\"{token}\""));
    }
    let request = request.body(Full::new(body)).expect("paths are percent-encoded and headers are ASCII");
    let answer = async {
        sender.ready().await?;
        sender.send_request(request).await
    };
    within(timeout, answer).await?.map_err(|error| went_away(&error.to_string()))
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, Failure> {
    match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(went_away(&error.to_string())),
    }
}

/// What the daemon says about a request that it does not carry out.
async fn refusal(response: Response<Incoming>, timeout: Duration) -> Failure {
    let status = response.status();
    let body = match within(timeout, collect(response)).await {
        Ok(Ok(body)) => body,
        Ok(Err(failure)) | Err(failure) => return failure,
    };
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => Failure::from_problem(problem),
        Err(_) => Failure::new(Exit::Failed, "failed", format!("the daemon answered {status} without saying why")),
    }
}

async fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(timeout, work).await.map_err(|_| {
        Failure::new(Exit::Timeout, "timeout", format!("the daemon did not answer within {timeout:?}"))
            .hint("--timeout sets how long to wait")
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| incompatible(format!("the daemon's answer is not understood: {error}")))
}

fn incompatible(message: String) -> Failure {
    Failure::new(Exit::Incompatible, "incompatible", message)
}

fn went_away(why: &str) -> Failure {
    Failure::new(Exit::Unreachable, "went_away", format!("the daemon went away: {why}"))
}

fn no_connection(socket: &Path, error: &io::Error) -> Failure {
    let shown = socket.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::new(Exit::Unreachable, "unreachable", format!("there is no socket at {shown}"))
                .hint("is arxosrtd running? `systemctl status arxosrtd` knows")
        }
        io::ErrorKind::ConnectionRefused => {
            Failure::new(Exit::Unreachable, "unreachable", format!("nobody listens on {shown}"))
                .hint("the socket was left behind; the next start of arxosrtd takes it over")
        }
        io::ErrorKind::PermissionDenied => {
            let failure = Failure::new(Exit::Denied, "denied", format!("{shown} may not be opened"));
            match std::fs::metadata(socket) {
                Ok(meta) => failure.hint(format!(
                    "the socket belongs to gid {}: become a member and log in again, or use sudo",
                    meta.gid()
                )),
                // Not even its directory may be entered.
                Err(_) => failure.hint("its directory may not be entered; ask whoever runs arxosrtd, or use sudo"),
            }
        }
        _ => Failure::new(Exit::Unreachable, "unreachable", format!("cannot connect to {shown}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_id_is_one_segment_of_a_path() {
        assert_eq!(path(&["rooms", "/usa/ny%2F*🏢", "users"]), "/v1/rooms/%2Fusa%2Fny%252F%2A%F0%9F%8F%A2/users");
        assert_eq!(path(&["rooms", ".."]), "/v1/rooms/%2E%2E");
    }

    #[test]
    fn sockets_are_looked_for_in_order() {
        let all = places(|name| match name {
            "XDG_RUNTIME_DIR" => Some("/run/user/7".into()),
            "XDG_DATA_HOME" => Some("/data".into()),
            _ => None,
        });
        let shown: Vec<String> = all.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(
            shown,
            ["/run/arxosrt/control.sock", "/run/user/7/arxosrt/control.sock", "/data/arxosrt/control.sock"]
        );
        let home = places(|name| (name == "HOME").then(|| "/home/a".into()));
        assert_eq!(home[1], Path::new("/home/a/.local/share/arxosrt/control.sock"));
    }
}
