//! `ws_echo ADDRESS:PORT` says every message back: the daemon's own handshake, protocol and parting, without a hub.
//!
//! It exists for conformance suites, which want a server that speaks only when spoken to: no greeting and no pings, any
//! path, and messages of any size that a suite may try. Nothing of the WebSocket protocol is written here.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use arxosrt_core::time::Wall;
use arxosrtd::hub::arena::{Payload, close_frame, data_frame};
use arxosrtd::transport::accept::linger;
use arxosrtd::transport::handshake::{self, Asked, HEAD_BYTES_MAX};
use arxosrtd::transport::hosts::Hosts;
use arxosrtd::transport::ws::{Decoder, Next, Receiver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The largest message, and the largest frame, that is said back: what the conformance suites go up to.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// The pause after an accept that failed, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: ws_echo ADDRESS:PORT");
        return ExitCode::from(2);
    };
    let listener = match TcpListener::bind(&address).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("ws_echo: cannot listen on {address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(async move {
                    // A client that goes away is no concern of the others.
                    let _ = serve(stream).await;
                });
            }
            Err(error) => {
                eprintln!("ws_echo: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What is to be written to a client.
#[derive(Default)]
struct Echo {
    out: Vec<u8>,
}

impl Receiver for Echo {
    fn text(&mut self, text: &str) {
        data_frame(&mut self.out, Payload::Text, |out| out.extend_from_slice(text.as_bytes()));
    }

    fn binary(&mut self, bytes: &[u8]) {
        data_frame(&mut self.out, Payload::Binary, |out| out.extend_from_slice(bytes));
    }

    fn control(&mut self) -> bool {
        true
    }

    fn answer(&mut self, frames: &[u8]) {
        self.out.extend_from_slice(frames);
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(first) = open(&mut stream).await? else {
        stream.shutdown().await?;
        linger(&mut stream).await;
        return Ok(());
    };
    let (mut decoder, mut echo) = (Decoder::new(MESSAGE_BYTES_MAX), Echo::default());
    let mut scratch = vec![0; READ_BYTES];
    let mut next = decoder.feed(&first, &mut echo);
    loop {
        if let Next::Broken(code) = next {
            close_frame(&mut echo.out, code.number, code.reason);
        }
        // Nothing is read while the client does not take its answers, so no more than one read's worth waits.
        stream.write_all(&echo.out).await?;
        echo.out.clear();
        if next != Next::Read {
            break;
        }
        let n = stream.read(&mut scratch).await?;
        if n == 0 {
            break;
        }
        next = decoder.feed(&scratch[..n], &mut echo);
    }
    stream.shutdown().await?;
    linger(&mut stream).await;
    Ok(())
}

/// Opens the WebSocket and gives the frames that came with the head; none if something else was asked for.
async fn open(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    loop {
        let mut part = [0; 4096];
        let n = stream.read(&mut part).await?;
        if n == 0 || head.len() > HEAD_BYTES_MAX {
            return Ok(None);
        }
        head.extend_from_slice(&part[..n]);
        if head.windows(4).any(|four| four == b"\r\n\r\n") {
            break;
        }
    }
    let head = as_for_the_daemon(&head);
    let answer = match handshake::look(&head, &Hosts::default()) {
        Asked::WebSocket(opening) => {
            stream.write_all(&handshake::switching(&opening)).await?;
            return Ok(Some(head[opening.head_len..].to_vec()));
        }
        Asked::Wrong(refusal) => refusal.answer(now()),
        Asked::More | Asked::Http | Asked::Events(_) => {
            b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                .to_vec()
        }
    };
    stream.write_all(&answer).await?;
    Ok(None)
}

/// Whatever the target of the request is, the daemon's handshake sees one of its own.
fn as_for_the_daemon(head: &[u8]) -> Vec<u8> {
    let mut words = head.splitn(3, |&byte| byte == b' ');
    let (Some(method), Some(_target), Some(rest)) = (words.next(), words.next(), words.next()) else {
        return head.to_vec();
    };
    [method, b"/v1/realtime/ws/echo", rest].join(&b' ')
}

fn now() -> Wall {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Wall(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
}
