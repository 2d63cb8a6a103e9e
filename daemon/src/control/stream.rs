//! Streams of lines: newline-delimited JSON that goes on until either side ends it.
//!
//! A reader may be slow. Its lines wait in two bounded places: the hub's queue for this stream
//! ([`STREAM_QUEUE_MAX`] events, beyond which the hub drops and counts, and a `gap` line tells the count) and a few
//! blocks on their way to the socket. A reader that takes nothing for [`STREAM_STALL_MAX`] is cut. Nobody waits for a
//! reader but its own stream.
//!
//! Something is sent at least every [`HEARTBEAT_MS`], so a reader can tell a quiet daemon from a dead one. Before the
//! daemon ends a stream it says `bye` and why.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use arxosrt_core::control::code::Code;
use arxosrt_core::control::document::{HEARTBEAT_MS, Line, LineType};
use arxosrt_core::control::{OperatorEvent, TOPICS};
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use super::extract::{Params, Viewer};
use super::failure::Failure;
use super::server::Server;
use super::{STREAM_QUEUE_MAX, STREAM_STALL_MAX, STREAMS_MAX};
use crate::hub::ask::Observed;

/// Blocks of lines between a stream's task and its socket.
const BLOCKS_MAX: usize = 4;

/// Lines are gathered up to about this size before they are handed on.
const BLOCK_BYTES: usize = 16 * 1024;

const HEARTBEAT: Duration = Duration::from_millis(HEARTBEAT_MS);

/// When to come back after a `bye`.
const COME_BACK_MS: u64 = 1000;

/// The query of `/v1/events`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsParams {
    /// Topics, separated by commas; all when absent.
    topics: Option<String>,
}

/// `GET /v1/events`: what happens from now on.
pub(super) async fn events(
    State(server): State<Arc<Server>>,
    _: Viewer,
    Params(params): Params<EventsParams>,
) -> Result<Response, Failure> {
    let topics = Topics::parse(params.topics.as_deref())?;
    let (lines, response) = open(&server)?;
    let observed = server
        .context
        .hub
        .observe(STREAM_QUEUE_MAX)
        .await
        .map_err(|_gone| Failure::new(Code::HubGone, "the hub has stopped"))?;
    tokio::spawn(async move {
        // The reader is gone or was cut: there is nobody to tell.
        let _ = pump(&server, observed, topics, lines).await;
    });
    Ok(response)
}

/// Forwards events until one side ends.
pub(super) async fn pump(
    server: &Server,
    mut observed: mpsc::Receiver<Observed>,
    topics: Topics,
    mut lines: Lines,
) -> Result<(), Ended> {
    loop {
        tokio::select! {
            biased;
            () = server.shutdown.cancelled() => return lines.bye(server).await,
            () = lines.hung_up() => return Err(Ended),
            () = lines.silence() => lines.heartbeat().await?,
            next = observed.recv() => match next {
                Some(next) => {
                    put(&mut lines, &topics, next).await?;
                    // What has gathered meanwhile leaves in the same block.
                    while let Ok(next) = observed.try_recv() {
                        put(&mut lines, &topics, next).await?;
                    }
                }
                None => return lines.bye(server).await,
            },
        }
        lines.flush().await?;
    }
}

async fn put(lines: &mut Lines, topics: &Topics, next: Observed) -> Result<(), Ended> {
    match next {
        Observed::Event(event) if !topics.contains(&event.topic) => Ok(()),
        Observed::Event(event) => {
            let line = Line { kind: Some("Event".into()), object: Some(event), ..Line::bare(LineType::Event) };
            lines.push(&line).await
        }
        Observed::Gap(dropped) => {
            lines.push(&Line::<OperatorEvent> { dropped: Some(dropped), ..Line::bare(LineType::Gap) }).await
        }
    }
}

/// Which topics a stream wants.
#[derive(Debug)]
pub(super) struct Topics(Option<Vec<&'static str>>);

impl Topics {
    pub fn parse(text: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = text else {
            return Ok(Topics(None));
        };
        let known = |name: &str| {
            TOPICS.iter().copied().find(|topic| *topic == name).ok_or_else(|| {
                Failure::new(Code::BadRequest, format!("{name:?} is not a topic"))
                    .hint(format!("the topics are {}", TOPICS.join(", ")))
            })
        };
        text.split(',').map(known).collect::<Result<_, _>>().map(|topics| Topics(Some(topics)))
    }

    fn contains(&self, topic: &str) -> bool {
        self.0.as_ref().is_none_or(|topics| topics.contains(&topic))
    }
}

/// The stream has no reader any more.
#[derive(Debug)]
pub(super) struct Ended;

/// A new stream: where its lines go, and the answer that carries them.
pub(super) fn open(server: &Server) -> Result<(Lines, Response), Failure> {
    let Ok(seat) = Arc::clone(&server.streams).try_acquire_owned() else {
        return Err(Failure::new(Code::Busy, format!("all {STREAMS_MAX} streams are in use")));
    };
    let (blocks, from) = mpsc::channel(BLOCKS_MAX);
    let lines = Lines { blocks, gathered: BytesMut::new(), silent_since: Instant::now() };
    let mut response = Response::new(Body::new(LineBody { blocks: from, _seat: seat }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((lines, response))
}

/// The writing end of a stream.
pub(super) struct Lines {
    blocks: mpsc::Sender<Bytes>,
    gathered: BytesMut,
    silent_since: Instant,
}

impl Lines {
    /// Adds a line; it leaves with the next [`flush`](Self::flush), or before when the block is full.
    pub async fn push<T: Serialize>(&mut self, line: &Line<T>) -> Result<(), Ended> {
        let text = serde_json::to_vec(line).expect("rows and events are plain data with text keys");
        self.gathered.extend_from_slice(&text);
        self.gathered.extend_from_slice(b"\n");
        if self.gathered.len() >= BLOCK_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Hands on what was gathered. Waits for a slow reader, but not for ever.
    pub async fn flush(&mut self) -> Result<(), Ended> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let block = self.gathered.split().freeze();
        match self.blocks.send_timeout(block, STREAM_STALL_MAX).await {
            Ok(()) => {
                self.silent_since = Instant::now();
                Ok(())
            }
            Err(_) => Err(Ended),
        }
    }

    /// Resolves when nothing was sent for [`HEARTBEAT_MS`].
    pub async fn silence(&self) {
        tokio::time::sleep_until(self.silent_since + HEARTBEAT).await;
    }

    /// Resolves when the reader is gone.
    pub async fn hung_up(&self) {
        self.blocks.closed().await;
    }

    /// "Still here."
    pub async fn heartbeat(&mut self) -> Result<(), Ended> {
        self.push(&Line::<()>::bare(LineType::Heartbeat)).await?;
        self.flush().await
    }

    /// The last line of a stream that has an end of its own.
    pub async fn end(&mut self, reason: &str) -> Result<(), Ended> {
        self.push(&Line::<()> { reason: Some(reason.into()), ..Line::bare(LineType::Bye) }).await?;
        self.flush().await
    }

    /// The last line when the daemon ends the stream.
    pub async fn bye(&mut self, server: &Server) -> Result<(), Ended> {
        let reason = if server.draining.load(Ordering::Relaxed) { "draining" } else { "shutting_down" };
        let line =
            Line::<()> { reason: Some(reason.into()), retry_after_ms: Some(COME_BACK_MS), ..Line::bare(LineType::Bye) };
        self.push(&line).await?;
        self.flush().await
    }
}

/// The body of a stream's answer. Dropped when the reader hangs up, which frees its seat.
struct LineBody {
    blocks: mpsc::Receiver<Bytes>,
    _seat: OwnedSemaphorePermit,
}

impl hyper::body::Body for LineBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.blocks.poll_recv(cx).map(|block| block.map(|block| Ok(Frame::data(block))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_known_ones_or_all() {
        assert!(Topics::parse(None).unwrap().contains("lock"));
        let some = Topics::parse(Some("lock,audit")).unwrap();
        assert!(some.contains("lock") && some.contains("audit") && !some.contains("room"));
        for bad in ["", "lock,", "locks"] {
            let failure = Topics::parse(Some(bad)).unwrap_err();
            assert!(failure.hint.unwrap().contains("lock, room"), "{bad}");
        }
    }
}
