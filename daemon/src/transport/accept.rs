//! One task for each connection: it reads, and calls the hub with what it has read.
//!
//! The hub is borrowed for one read at a time and never across an await. Bytes are read into one scratch buffer of the
//! thread, so a connection that waits owns none.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use arxosrt_core::wire::code::CloseCode;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::core::{Arriving, Shared, SharedHub};
use super::handshake::{self, Asked, Opening, Refusal};
use super::hosts::Hosts;
use super::ws::{Decoder, Next, Receiver};
use crate::hub::ConnKey;
use crate::hub::clients::Arrival;
use crate::hub::state::Encoding;
use crate::hub::state::End;

/// How much is read at once.
const SCRATCH_BYTES: usize = 64 * 1024;

/// How often a connection is read before the others get their turn. The kernel may hold megabytes of it.
const READS_PER_TURN: usize = 4;

/// How long a closed connection may take to hear of it.
const LINGER: Duration = Duration::from_secs(1);

/// The bytes of a plain HTTP connection that were read already, and the rest of it.
pub type HandedOver = (std::net::TcpStream, Bytes);

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Finds out what a new connection wants and sees to it. A client gets a task of its own, which is much smaller than
/// this one: most of a client's life is waiting, and what waits should own little.
pub async fn serve(shared: Rc<Shared>, mut stream: TcpStream, peer: SocketAddr, arriving: Arriving) {
    let _ = stream.set_nodelay(true);
    let head = timeout(shared.handshake_time, read_head(&mut stream, &shared.hosts)).await;
    let Ok(Ok((head, asked))) = head else { return };
    drop(arriving);
    match asked {
        Asked::More => {}
        Asked::Http => hand_over(&shared, stream, head),
        Asked::Wrong(refusal) => refuse(&shared, stream, refusal).await,
        Asked::WebSocket(opening) => enter(shared, stream, peer, opening, head, Encoding::WebSocket).await,
        Asked::Events(opening) => enter(shared, stream, peer, opening, head, Encoding::Sse).await,
    }
}

/// Reads until it is clear what the client wants.
async fn read_head(stream: &mut TcpStream, hosts: &Hosts) -> io::Result<(Vec<u8>, Asked)> {
    let mut head = Vec::new();
    loop {
        let asked = poll_fn(|cx| {
            SCRATCH.with_borrow_mut(|scratch| {
                let mut buf = ReadBuf::new(scratch);
                ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf))?;
                if buf.filled().is_empty() {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                head.extend_from_slice(buf.filled());
                Poll::Ready(Ok::<Asked, io::Error>(handshake::look(&head, hosts)))
            })
        })
        .await?;
        if asked != Asked::More {
            return Ok((head, asked));
        }
    }
}

/// Gives a plain HTTP connection to the ordinary runtime.
fn hand_over(shared: &Shared, stream: TcpStream, head: Vec<u8>) {
    if let Ok(stream) = stream.into_std() {
        // A full queue means that thousands of requests wait already: the connection is dropped, the client retries.
        let _ = shared.plain_http.try_send((stream, Bytes::from(head)));
    }
}

async fn refuse(shared: &Shared, mut stream: TcpStream, refusal: Refusal) {
    let answer = refusal.answer(shared.hub.borrow().wall_now());
    let _ = timeout(LINGER, async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    })
    .await;
    linger(&mut stream).await;
}

/// Waits for the other side to close, after ours is closed. Reading what it still says keeps the kernel from answering
/// it with a reset, which would cut off our last bytes.
pub async fn linger(read: &mut (impl AsyncRead + Unpin)) {
    let mut unheard = [0; 4096];
    let _ = timeout(LINGER, async { while read.read(&mut unheard).await.is_ok_and(|n| n > 0) {} }).await;
}

async fn enter(
    shared: Rc<Shared>,
    mut stream: TcpStream,
    peer: SocketAddr,
    opening: Opening,
    head: Vec<u8>,
    encoding: Encoding,
) {
    let admitted = shared.hub.borrow_mut().admit(&opening.user, peer.ip());
    if let Err(denied) = admitted {
        let refusal = Refusal { status: denied.status, code: denied.code, message: denied.message };
        return refuse(&shared, stream, refusal).await;
    }
    let mut preface = Vec::new();
    match encoding {
        // Goes out with the greeting, in one write.
        Encoding::WebSocket => preface = handshake::switching(&opening),
        Encoding::Sse => {
            if stream.write_all(handshake::EVENT_STREAM).await.is_err() {
                return;
            }
        }
    }
    let (read, sink) = stream.into_split();
    let stop = Rc::new(Notify::new());
    let arrival = Arrival {
        user: opening.user,
        username: opening.username,
        address: peer.ip(),
        encoding,
        preface,
        sink,
        stop: stop.clone(),
    };
    let key = {
        let mut hub = shared.hub.borrow_mut();
        hub.tick_clock();
        hub.connect(arrival)
    };
    let mut reader = Reader {
        hub: shared.hub.clone(),
        key,
        read,
        decoder: match encoding {
            Encoding::WebSocket => Some(Box::new(Decoder::new(shared.message_bytes))),
            Encoding::Sse => None,
        },
    };
    let first = match &head[opening.head_len..] {
        [] => Next::Read,
        rest => take_in(&reader.hub, key, &mut reader.decoder, rest),
    };
    tokio::task::spawn_local(reader.live(stop, first));
}

/// The reading side of one client.
struct Reader {
    hub: SharedHub,
    key: ConnKey,
    read: OwnedReadHalf,
    /// On the heap, so that the task does not hold it twice on its way from one state to the next.
    decoder: Option<Box<Decoder>>,
}

/// The hub as the receiver of one connection's messages.
struct ToHub<'a> {
    hub: &'a mut crate::hub::Hub,
    key: ConnKey,
}

impl Receiver for ToHub<'_> {
    fn text(&mut self, text: &str) {
        self.hub.on_text(self.key, text);
    }

    fn binary(&mut self, _: &[u8]) {
        self.hub.on_binary(self.key);
    }

    fn control(&mut self) -> bool {
        self.hub.on_control(self.key)
    }

    fn answer(&mut self, frames: &[u8]) {
        self.hub.protocol_frames(self.key, frames);
    }
}

/// Carries out what the bytes say.
fn take_in(hub: &SharedHub, key: ConnKey, decoder: &mut Option<Box<Decoder>>, bytes: &[u8]) -> Next {
    let mut hub = hub.borrow_mut();
    hub.tick_clock_in_turn();
    hub.heard(key);
    let next = match decoder {
        Some(decoder) => decoder.feed(bytes, &mut ToHub { hub: &mut hub, key }),
        // The client of an event stream has nothing more to say.
        None => Next::Read,
    };
    match next {
        Next::Read if !hub.is_open(key) => Next::Closed { clean: false },
        next => next,
    }
}

impl Reader {
    /// The client's life.
    async fn live(mut self, stop: Rc<Notify>, first: Next) {
        let end = match first {
            Next::Read => self.run(&stop).await,
            end => end,
        };
        Box::pin(self.part(end)).await;
    }

    /// Reads until the client or the hub ends it.
    async fn run(&mut self, stop: &Notify) -> Next {
        let mut stopped = std::pin::pin!(stop.notified());
        let mut listening = false;
        poll_fn(|cx| {
            for reads in 0..READS_PER_TURN {
                let next = SCRATCH.with_borrow_mut(|scratch| {
                    let mut buf = ReadBuf::new(scratch);
                    match Pin::new(&mut self.read).poll_read(cx, &mut buf) {
                        Poll::Pending => None,
                        Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                            Some(take_in(&self.hub, self.key, &mut self.decoder, buf.filled()))
                        }
                        Poll::Ready(_) => Some(Next::Closed { clean: false }),
                    }
                });
                match next {
                    // Whoever has read something has heard from the hub whether it goes on, and need not look here too.
                    None if reads > 0 && listening => return Poll::Pending,
                    None => {
                        listening = true;
                        return stopped.as_mut().poll(cx).map(|()| Next::Closed { clean: false });
                    }
                    Some(Next::Read) => {}
                    Some(end) => return Poll::Ready(end),
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    /// Parts from the client in order: what is queued goes out, then our end is closed, then we wait for theirs.
    async fn part(mut self, end: Next) {
        {
            let mut hub = self.hub.borrow_mut();
            hub.tick_clock();
            let how = match end {
                Next::Closed { clean: true } => End::Clean,
                _ => End::Lost,
            };
            let due: Option<CloseCode> = match end {
                Next::Broken(code) => Some(code),
                _ => None,
            };
            hub.closing(self.key, how, due);
        }
        linger(&mut self.read).await;
        self.hub.borrow_mut().gone(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, F: Future>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// What a silent client owns in structures of ours; its read buffer, its socket and the tables come on top.
    #[test]
    fn a_client_owns_little() {
        use crate::hub::state::{Conn, Session, User};
        let task = size_of_future(Reader::live) + size_of::<Decoder>();
        assert!(task <= 640, "the task and its decoder have {task} bytes");
        let records = size_of::<Conn>() + size_of::<Session>() + size_of::<User>();
        assert!(records <= 512, "the records have {records} bytes");
    }
}
