//! HTTP requests, to REST and to the control socket: one request, one connection, one answer.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::PATIENCE;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    path: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer that goes on: one JSON object a line.
pub struct Lines {
    stream: BufReader<UnixStream>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Status line and header fields.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Request {
    /// Any method.
    pub fn new(method: &str, path: &str) -> Self {
        Request { method: method.to_owned(), path: path.to_owned(), fields: Vec::new(), body: Vec::new() }
    }

    /// `GET`.
    pub fn get(path: &str) -> Self {
        Request::new("GET", path)
    }

    /// `POST`.
    pub fn post(path: &str) -> Self {
        Request::new("POST", path)
    }

    /// A header field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().into_bytes())
    }

    /// Any body.
    pub fn body(mut self, kind: &str, body: Vec<u8>) -> Self {
        self.body = body;
        self.field("Content-Type", kind)
    }

    /// Asks over TCP.
    pub async fn to(self, at: SocketAddr) -> Answer {
        let stream = timeout(PATIENCE, TcpStream::connect(at)).await.expect("in time").expect("a connection");
        self.over(stream).await
    }

    /// Asks over a Unix socket.
    pub async fn to_socket(self, at: &Path) -> Answer {
        let stream = timeout(PATIENCE, UnixStream::connect(at)).await.expect("in time").expect("a connection");
        self.over(stream).await
    }

    /// Asks over a Unix socket for a stream of lines, which has begun then.
    pub async fn stream(self, at: &Path) -> Lines {
        let mut stream = timeout(PATIENCE, UnixStream::connect(at)).await.expect("in time").expect("a connection");
        let request = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.method, self.path);
        timeout(PATIENCE, stream.write_all(request.as_bytes())).await.expect("in time").expect("it is read");
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = timeout(PATIENCE, stream.read_line(&mut head)).await.expect("a head").unwrap_or(0);
            assert!(read > 0, "the head ended after {head:?}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        Lines { stream }
    }

    /// Asks over an open connection, which ends with the answer.
    pub async fn over(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Answer {
        let mut request = format!("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", self.method, self.path);
        for (name, value) in &self.fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.method != "GET" {
            request.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(&self.body);
        let mut read = Vec::new();
        let asked = timeout(PATIENCE, async {
            // A daemon that refuses early may close before it has read everything; its answer counts.
            let _ = stream.write_all(&request).await;
            let _ = stream.read_to_end(&mut read).await;
        });
        asked.await.unwrap_or_else(|_| panic!("no answer to {} {}", self.method, self.path));
        Answer::parse(&read).unwrap_or_else(|| {
            panic!("{} {}: no HTTP answer in {:?}", self.method, self.path, String::from_utf8_lossy(&read))
        })
    }
}

impl Lines {
    /// The next line for which `is_it` holds.
    pub async fn expect(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        let found = timeout(PATIENCE, async {
            loop {
                let mut line = String::new();
                if self.stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return None;
                }
                // The sizes of chunks are lines too; those of the stream are objects.
                match serde_json::from_str::<Value>(&line) {
                    Ok(line) if line.is_object() && is_it(&line) => return Some(line),
                    _ => seen.push(line),
                }
            }
        });
        match found.await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("{what}, but the stream ended after {seen:#?}"),
            Err(_) => panic!("{what}, within {PATIENCE:?}, among {seen:#?}"),
        }
    }
}

impl Answer {
    /// Parses a whole answer.
    pub fn parse(bytes: &[u8]) -> Option<Answer> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let rest = &bytes[end + 4..];
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunk(rest)? } else { rest.to_vec() };
        Some(Answer { status, head, body: String::from_utf8(body).ok()? })
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {:?} of {}", self.body, self.head))
    }

    /// The body as JSON, after checking the status.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// A header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        rest = &rest[end + 2..];
        if len == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..len)?);
        rest = rest.get(len + 2..)?;
    }
}
