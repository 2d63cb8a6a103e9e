//! What must be true of one connection: it serves what was read before it, it ends when it must, and nobody holds it
//! open by doing nothing.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Daemon, HttpLimits};
use crate::http::serve::{Rewind, serve_connection};

/// More than any of these tests should ever need.
const DEADLINE: Duration = Duration::from_secs(20);

const LIVE: &str = "GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n";

struct Connection {
    client: DuplexStream,
    served: JoinHandle<Result<(), hyper::Error>>,
    shutdown: CancellationToken,
}

impl Connection {
    /// A connection of which `first` has been read already. The pipe holds `pipe` bytes each way.
    fn open(limits: HttpLimits, first: &str, pipe: usize) -> Self {
        let (client, server) = duplex(pipe);
        let stream = Rewind::new(Bytes::copy_from_slice(first.as_bytes()), server);
        let shutdown = CancellationToken::new();
        let app = Daemon::with_limits(limits).app;
        let served = tokio::spawn(serve_connection(stream, app, limits, shutdown.clone()));
        Connection { client, served, shutdown }
    }

    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.expect("the connection is open");
    }

    /// Reads until `end` has come.
    async fn read_until(&mut self, end: &str) -> String {
        let mut got = Vec::new();
        timeout(DEADLINE, async {
            while !got.ends_with(end.as_bytes()) {
                got.push(self.client.read_u8().await.expect("more"));
            }
        })
        .await
        .expect("an answer in time");
        String::from_utf8(got).expect("text")
    }

    /// Reads all that comes until the connection ends.
    async fn read_to_end(&mut self) -> String {
        let mut got = String::new();
        timeout(DEADLINE, self.client.read_to_string(&mut got)).await.expect("an end in time").expect("text");
        got
    }

    async fn ended(self) -> Result<(), hyper::Error> {
        timeout(DEADLINE, self.served).await.expect("an end in time").expect("no panic")
    }
}

#[tokio::test]
async fn what_was_read_before_is_served_first() {
    for cut in [0, 1, 20, LIVE.len()] {
        let (first, rest) = LIVE.split_at(cut);
        let mut connection = Connection::open(HttpLimits::default(), first, 4096);
        connection.send(rest).await;
        let answer = connection.read_until("}").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        // And the connection goes on.
        connection.send(LIVE).await;
        let answer = connection.read_until("}").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        drop(connection.client.shutdown().await);
        assert!(connection.ended().await.is_ok());
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let limits = HttpLimits { head_timeout: Duration::from_millis(20), ..HttpLimits::default() };
    for first in ["", "GET /live HTTP/1.1\r\nhos"] {
        let mut connection = Connection::open(limits, first, 4096);
        connection.read_to_end().await;
        assert!(connection.ended().await.is_err_and(|error| error.is_timeout()), "{first:?}");
    }
    // An idle connection waits for a head, too.
    let mut connection = Connection::open(limits, LIVE, 4096);
    let answer = connection.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_head_has_bounds() {
    let limits = HttpLimits { headers_max: 4, ..HttpLimits::default() };
    let many = "a: b\r\n".repeat(5);
    let mut connection = Connection::open(limits, "", 1 << 20);
    connection.send(&format!("GET /live HTTP/1.1\r\n{many}\r\n")).await;
    let answer = connection.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

    let limits = HttpLimits::default();
    let long = format!("GET /live HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(3 * limits.head_bytes_max));
    let mut connection = Connection::open(limits, "", 1 << 20);
    connection.send(&long).await;
    let answer = connection.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_the_connection() {
    let limits = HttpLimits { write_timeout: Duration::from_millis(20), ..HttpLimits::default() };
    // The metrics are larger than the pipe.
    let connection = Connection::open(limits, "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n", 256);
    let Connection { client, served, .. } = connection;
    let ended = timeout(DEADLINE, served).await.expect("an end in time").expect("no panic");
    assert!(ended.is_err());
    drop(client);
}

#[tokio::test]
async fn at_shutdown_an_idle_connection_ends() {
    let mut connection = Connection::open(HttpLimits::default(), LIVE, 4096);
    connection.read_until("}").await;
    connection.shutdown.cancel();
    assert_eq!(connection.read_to_end().await, "");
    assert!(connection.ended().await.is_ok());
}

#[tokio::test]
async fn at_shutdown_the_request_in_hand_is_answered() {
    let head = "POST /realtime/join-room HTTP/1.1\r\nhost: localhost\r\ncontent-length: 32\r\n\r\n";
    let body = r#"{"user_id":"ann","room_id":"f1"}"#;
    let mut connection = Connection::open(HttpLimits::default(), head, 4096);
    // Half of the request is there, so it is in hand.
    connection.send(&body[..16]).await;
    connection.shutdown.cancel();
    tokio::task::yield_now().await;
    connection.send(&body[16..]).await;
    let answer = connection.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(r#""message":"Joined room: f1""#), "{answer}");
    assert!(connection.ended().await.is_ok());
}
