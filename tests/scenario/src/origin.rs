//! A service of JSON values as the origin: it counts what it is asked, and can be told to keep everybody waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use arxosrtd::config::{Config, HttpPlace};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A service at work, until it is dropped.
#[derive(Debug)]
pub struct Origin {
    /// Where it is.
    pub url: String,
    held: Arc<Mutex<Held>>,
    answers: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Held {
    values: BTreeMap<String, Value>,
    /// How often each path was asked for.
    asked: BTreeMap<String, u64>,
}

impl Origin {
    /// A service that has nothing yet.
    pub async fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let (answers, may_answer) = watch::channel(true);
        let held = Arc::<Mutex<Held>>::default();
        let holds = held.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, holds.clone(), may_answer.clone()));
            }
        });
        Origin { url, held, answers, task }
    }

    /// Lets a daemon have the values of a strategy from here, and bring them back. Their paths are `/STRATEGY/ID`.
    pub fn serves(&self, config: &mut Config, strategy: &str) {
        let url = format!("/{strategy}/{{id}}");
        config.origin.http.url = self.url.clone();
        config.origin.http.retries = 0;
        let place = HttpPlace { url: url.clone(), pointer: String::new(), write_url: url };
        config.origin.http.values.insert(strategy.to_owned(), place);
    }

    /// What it has.
    pub fn value(&self, path: &str) -> Option<Value> {
        self.held().values.get(path).cloned()
    }

    /// What it has from now on.
    pub fn set(&self, path: &str, value: Value) {
        self.held().values.insert(path.to_owned(), value);
    }

    /// How often this was read, including by those who wait for the answer.
    pub fn asked(&self, path: &str) -> u64 {
        self.held().asked.get(path).copied().unwrap_or(0)
    }

    /// How often anything was read.
    pub fn asked_at_all(&self) -> u64 {
        self.held().asked.values().sum()
    }

    /// Nobody gets an answer from now on.
    pub fn hold(&self) {
        self.answers.send_replace(false);
    }

    /// Everybody does.
    pub fn release(&self) {
        self.answers.send_replace(true);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("nobody panics with it")
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, request by request.
async fn serve(mut socket: TcpStream, held: Arc<Mutex<Held>>, mut may_answer: watch::Receiver<bool>) {
    let mut bytes = Vec::new();
    while let Some((method, path, body)) = request(&mut socket, &mut bytes).await {
        if method == "GET" {
            *held.lock().expect("nobody panics with it").asked.entry(path.clone()).or_default() += 1;
        }
        if may_answer.wait_for(|may| *may).await.is_err() {
            return;
        }
        let (status, body) = answer(&held, &method, path, &body);
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request: method, path and body. What came of the one after it stays in `bytes`.
async fn request(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, String, Vec<u8>)> {
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap_or(0))
    });
    let whole = end + length.unwrap_or(0);
    while bytes.len() < whole {
        if socket.read_buf(bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    let body = bytes.drain(..whole).skip(end).collect();
    let mut words = head.split(' ');
    Some((words.next()?.to_owned(), words.next()?.to_owned(), body))
}

fn answer(held: &Mutex<Held>, method: &str, path: String, body: &[u8]) -> (u16, String) {
    let mut held = held.lock().expect("nobody panics with it");
    match method {
        "PUT" => match serde_json::from_slice(body) {
            Ok(value) => {
                held.values.insert(path, value);
                (204, String::new())
            }
            Err(_) => (400, String::new()),
        },
        "DELETE" => held.values.remove(&path).map_or((404, String::new()), |_| (204, String::new())),
        _ => held.values.get(&path).map_or((404, String::new()), |value| (200, value.to_string())),
    }
}
