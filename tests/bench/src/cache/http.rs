//! `arxosrt-bench cache-http [PROGRAM]`: what does a read that the cache answers cost the daemon over HTTP, beside an
//! answer that says next to nothing?
//!
//! A closed loop on connections that stay open: each asks again when it has its answer. The server's CPU time per request
//! is the figure, as everywhere in this package; the bare answer is `GET /live` of the same process.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::peers::{Engine, Peer, Stable};
use crate::server::{GENERATOR_CPU, Meter, Server, free_address};
use crate::sys;

/// How many connections ask at the same time.
const CONNECTIONS: usize = 16;

const WARM_UP: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_secs(3);

/// How often each path is measured, the paths in turn.
const RUNS: usize = 3;

/// An answer has to come within this time.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// What is asked for: a name for the table, the path, and how many bytes of a value are put there before.
const QUESTIONS: [(&str, &str, usize); 3] = [
    ("GET /live", "/live", 0),
    ("cache hit, 1 KB", "/realtime/cache/floor_data/bench-small", 1_000),
    ("cache hit, 100 KB", "/realtime/cache/floor_data/bench-large", 100_000),
];

/// One connection and what was read from it beyond the last answer.
struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// Measures and prints. `words` may name the daemon's program; else the release build is used.
pub fn run(words: &[&str]) -> io::Result<()> {
    let stable = Stable::new(std::env::current_exe()?, words.first().map(PathBuf::from));
    stable.prepare(Peer::Arxosrtd).map_err(io::Error::other)?;
    let data = tempfile::TempDir::new()?;
    let address = free_address()?;
    let command = stable.command(Peer::Arxosrtd, Engine::Memory, address, data.path());
    let server = Server::start(command, address, &data.path().join("server.log"))?;
    sys::pin_self(GENERATOR_CPU)?;

    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
        connections.push(Connection { stream, read: Vec::new() });
    }
    for (_, path, bytes) in QUESTIONS.iter().filter(|(_, _, bytes)| *bytes > 0) {
        let value = format!("\"{}\"", "x".repeat(bytes - 2));
        let put = format!(
            "PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n{value}"
        );
        connections[0].ask(put.as_bytes())?;
        connections[0].answer()?;
    }
    let mut costs = [const { Vec::new() }; QUESTIONS.len()];
    for _ in 0..RUNS {
        for ((_, path, bytes), costs) in QUESTIONS.iter().zip(&mut costs) {
            let question = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
            rounds(&mut connections, question.as_bytes(), *bytes, WARM_UP)?;
            let meter = Meter::start(&server)?;
            let answers = rounds(&mut connections, question.as_bytes(), *bytes, WINDOW)?;
            costs.push(meter.stop(&server)?.server.as_secs_f64() * 1e6 / answers as f64);
        }
    }
    println!("| answer | server CPU µs | × GET /live |\n|---|---|---|");
    let medians = costs.map(|mut costs: Vec<f64>| {
        costs.sort_by(f64::total_cmp);
        costs[costs.len() / 2]
    });
    for ((name, ..), cost) in QUESTIONS.iter().zip(medians) {
        println!("| {name} | {cost:.1} | {:.2} |", cost / medians[0]);
    }
    Ok(())
}

/// Asks on all connections, again and again for this long. Says how many answers came; each has at least so many bytes.
fn rounds(connections: &mut [Connection], question: &[u8], bytes: usize, time: Duration) -> io::Result<u64> {
    let began = Instant::now();
    let mut answers = 0;
    while began.elapsed() < time {
        for connection in &mut *connections {
            connection.ask(question)?;
        }
        for connection in &mut *connections {
            let length = connection.answer()?;
            if length < bytes {
                return Err(io::Error::other(format!("an answer of {length} bytes instead of {bytes}")));
            }
            answers += 1;
        }
    }
    Ok(answers)
}

impl Connection {
    fn ask(&mut self, question: &[u8]) -> io::Result<()> {
        self.stream.write_all(question)
    }

    /// Reads one answer, which must be a good one, and says how long its body is.
    fn answer(&mut self) -> io::Result<usize> {
        let head = loop {
            if let Some(at) = memchr::memmem::find(&self.read, b"\r\n\r\n") {
                break at;
            }
            self.more()?;
        };
        let text = String::from_utf8_lossy(&self.read[..head]).to_ascii_lowercase();
        if !text.starts_with("http/1.1 2") {
            let first = text.lines().next().unwrap_or_default();
            return Err(io::Error::other(format!("answered with {first}")));
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let length = length.ok_or_else(|| io::Error::other("an answer without a length"))?;
        let end = head + 4 + length;
        while self.read.len() < end {
            self.more()?;
        }
        self.read.drain(..end);
        Ok(length)
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 1 << 16];
        let count = self.stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read.extend_from_slice(&buffer[..count]);
        Ok(())
    }
}
