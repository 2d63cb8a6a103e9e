//! The head of an HTTP request: does it open a WebSocket or an event stream, or is it for somebody else?
//!
//! Heads are read here and not by the HTTP library because connecting is the expensive part of a client's life: a
//! WebSocket is opened by one parse in place and one write, on the core that will own it.

use std::borrow::Cow;

use arxosrt_core::id::UserId;
use percent_encoding::percent_decode_str;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::hosts::Hosts;

/// The longest head, in bytes. What is longer goes to the HTTP library, which knows how to refuse it.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The most header fields of a head that opens a WebSocket.
const FIELDS_MAX: usize = 64;

/// How much of a host that is not ours is told back, in characters.
const HOST_SHOWN_MAX: usize = 64;

/// Where clients connect; both have always been served.
const PREFIXES: [&str; 2] = ["/v1/realtime/", "/realtime/"];

/// What a head asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// The head is not complete yet.
    More,
    /// Nothing of ours.
    Http,
    /// A WebSocket.
    WebSocket(Opening),
    /// A stream of server-sent events.
    Events(Opening),
    /// One of ours, but wrong.
    Wrong(Refusal),
}

/// A connection of a person.
#[derive(Debug, PartialEq, Eq)]
pub struct Opening {
    /// The person of the path.
    pub user: UserId,
    /// `username` of the query.
    pub username: Option<String>,
    /// The answer to the client's key; empty for event streams.
    pub accept: String,
    /// The subprotocol that both know.
    pub subprotocol: Option<&'static str>,
    /// The head's length: what follows are frames.
    pub head_len: usize,
}

/// An HTTP answer that ends the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The code.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status, code, message: message.into() }
    }

    /// The whole answer.
    pub fn answer(&self, at: arxosrt_core::time::Wall) -> Vec<u8> {
        let reason = match self.status {
            400 => "Bad Request",
            403 => "Forbidden",
            426 => "Upgrade Required",
            429 => "Too Many Requests",
            _ => "Service Unavailable",
        };
        let mut body = Vec::new();
        let mut object = arxosrt_core::wire::json::Object::new(&mut body);
        object.bool("success", false).text("message", &self.message).text("detail", &self.message);
        object.plain("error_code", self.code).int("status_code", u64::from(self.status));
        object.ascii("timestamp", &at.rfc3339());
        object.end();
        let retry = if matches!(self.status, 429 | 503) { "Retry-After: 5\r\n" } else { "" };
        let upgrade = if self.status == 426 { "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" } else { "" };
        let mut out = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{retry}{upgrade}\
             Connection: close\r\n\r\n",
            self.status,
            body.len()
        )
        .into_bytes();
        out.extend_from_slice(&body);
        out
    }
}

/// Looks at the bytes of a new connection, which must address us as one of our `hosts`.
pub fn look(bytes: &[u8], hosts: &Hosts) -> Asked {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let head_len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Asked::More,
        _ => return Asked::Http,
    };
    let (Some("GET"), Some(target)) = (request.method, request.path) else { return Asked::Http };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Some(rest) = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix)) else { return Asked::Http };
    let (events, user) = match (rest.strip_prefix("ws/"), rest.strip_prefix("sse/")) {
        (Some(user), _) => (false, user),
        (_, Some(user)) => (true, user),
        _ => return Asked::Http,
    };
    let field = |name: &str| {
        let mut fields = request.headers.iter().filter(move |f| f.name.eq_ignore_ascii_case(name));
        fields.next().and_then(|f| std::str::from_utf8(f.value).ok())
    };
    if !events && !field("upgrade").is_some_and(|value| lists(value, "websocket")) {
        // The HTTP library says 426 with everything that belongs to it.
        return Asked::Http;
    }
    match check(hosts, &field).and_then(|()| open(events, user, query, head_len, &field)) {
        Ok(opening) if events => Asked::Events(opening),
        Ok(opening) => Asked::WebSocket(opening),
        Err(refusal) => Asked::Wrong(refusal),
    }
}

/// Whether the request is meant for us, and not made by somebody else's page.
fn check<'a>(hosts: &Hosts, field: &dyn Fn(&str) -> Option<&'a str>) -> Result<(), Refusal> {
    let host = field("host");
    if !hosts.answers_to(host) {
        return Err(Refusal::new(403, "host_forbidden", not_ours(host.unwrap_or(""))));
    }
    match field("origin") {
        Some(origin) if !hosts.welcomes(origin, host) => {
            let message = format!("pages of {origin} may not connect: nobody is authenticated here");
            Err(Refusal::new(403, "origin_forbidden", message))
        }
        _ => Ok(()),
    }
}

/// Why a request that addresses somebody else is refused.
pub fn not_ours(host: &str) -> String {
    let shown: String = host.chars().take(HOST_SHOWN_MAX).collect();
    format!("the host {shown:?} is not served here: http.allowed_hosts does not list it")
}

fn open<'a>(
    events: bool,
    user: &str,
    query: &str,
    head_len: usize,
    field: &dyn Fn(&str) -> Option<&'a str>,
) -> Result<Opening, Refusal> {
    let user = decode(user).ok_or_else(|| Refusal::new(400, "bad_id", "the user id in the path is not UTF-8"))?;
    let user = UserId::new(&user).map_err(|e| Refusal::new(400, "bad_id", format!("the user id in the path: {e}")))?;
    let username = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("username="))
        .and_then(|value| decode(&value.replace('+', " ")).map(Cow::into_owned))
        .filter(|name| !name.is_empty() && name.len() <= 256 && !name.chars().any(char::is_control));
    if events {
        return Ok(Opening { user, username, accept: String::new(), subprotocol: None, head_len });
    }
    if !field("connection").is_some_and(|value| lists(value, "upgrade")) {
        return Err(Refusal::new(400, "bad_handshake", "Connection: Upgrade is required"));
    }
    if field("sec-websocket-version") != Some("13") {
        return Err(Refusal::new(426, "bad_handshake", "Sec-WebSocket-Version: 13 is required"));
    }
    let key = field("sec-websocket-key").unwrap_or("");
    if key.len() != 24 || !key.ends_with("==") {
        return Err(Refusal::new(400, "bad_handshake", "Sec-WebSocket-Key must be 16 bytes in base 64"));
    }
    let subprotocol = field("sec-websocket-protocol").filter(|list| lists(list, "arxosrt")).map(|_| "arxosrt");
    Ok(Opening { user, username, accept: derive_accept_key(key.as_bytes()), subprotocol, head_len })
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().ok()
}

/// Whether a comma-separated list holds `word`, in any case.
fn lists(list: &str, word: &str) -> bool {
    list.split(',').any(|item| item.trim().eq_ignore_ascii_case(word))
}

/// The answer that opens a WebSocket.
pub fn switching(opening: &Opening) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(opening.accept.as_bytes());
    if let Some(name) = opening.subprotocol {
        out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.extend_from_slice(name.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
    out
}

/// The answer that opens a stream of events.
pub const EVENT_STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
    X-Accel-Buffering: no\r\nConnection: close\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, more: &str) -> String {
        format!(
            "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:1\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
        )
    }

    #[test]
    fn a_websocket_is_opened_under_both_prefixes() {
        for (path, user) in [
            ("/v1/realtime/ws/ana", "ana"),
            ("/realtime/ws/a%2Fb%20%F0%9F%8F%A2?username=Ana+B", "a/b 🏢"),
            ("/realtime/ws/a%25b", "a%b"),
        ] {
            match look(head(path, "").as_bytes(), &Hosts::default()) {
                Asked::WebSocket(opening) => {
                    assert_eq!(opening.user.as_str(), user);
                    // The sample of RFC 6455, section 1.3.
                    assert_eq!(opening.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
                }
                other => panic!("{path}: {other:?}"),
            }
        }
    }

    #[test]
    fn every_prefix_of_a_head_wants_more() {
        let head = head("/v1/realtime/ws/ana", "");
        for n in 0..head.len() {
            assert_eq!(look(&head.as_bytes()[..n], &Hosts::default()), Asked::More, "{n}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (head, status) in [
            (head("/v1/realtime/ws/", ""), 400),
            (head("/v1/realtime/ws/a%00b", ""), 400),
            (head("/v1/realtime/ws/%ff", ""), 400),
            (head("/v1/realtime/ws/a", "Origin: https://evil.example\r\n"), 403),
            (head("/v1/realtime/ws/a", "").replace("127.0.0.1:1", "evil.example"), 403),
            (head("/v1/realtime/sse/a", "").replace("127.0.0.1:1", "evil.example"), 403),
            (head("/v1/realtime/ws/a", "").replace("13", "8"), 426),
            (head("/v1/realtime/ws/a", "").replace("dGhl", ""), 400),
        ] {
            match look(head.as_bytes(), &Hosts::default()) {
                Asked::Wrong(refusal) => assert_eq!(refusal.status, status, "{head}"),
                other => panic!("{head}: {other:?}"),
            }
        }
        for own in ["http://127.0.0.1:1", "http://localhost:3000", "http://127.0.0.1", "http://[::1]:5"] {
            let head = head("/v1/realtime/ws/a", &format!("Origin: {own}\r\n"));
            assert!(matches!(look(head.as_bytes(), &Hosts::default()), Asked::WebSocket(_)), "{own}");
        }
    }

    #[test]
    fn everything_else_goes_to_the_http_library() {
        for head in ["POST /v1/realtime/join-room HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n"] {
            assert_eq!(look(head.as_bytes(), &Hosts::default()), Asked::Http, "{head}");
        }
    }
}
