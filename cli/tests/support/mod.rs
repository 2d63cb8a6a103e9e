//! A daemon made of canned answers, and the real program in front of it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

/// A request as the daemon saw it: method and path, headers in lower case, body.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// What the daemon does with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers with this status and body.
    Say(u16, String),
    /// Answers with these bytes and hangs up.
    Break(String),
    /// Answers with these bytes and keeps the connection.
    Stay(String),
    /// Answers nothing and keeps the connection.
    Hang,
}

/// A canned daemon on a socket of its own.
pub struct Daemon {
    pub socket: PathBuf,
    seen: Arc<Mutex<Vec<Seen>>>,
    _dir: TempDir,
}

impl Daemon {
    /// Answers `/_hello` properly, and everything else from `answers` (`GET /v1/rooms?limit=1000` → act).
    pub fn new(answers: &[(&str, Act)]) -> Self {
        Self::with_hello(Act::Say(200, hello(1, 1)), answers)
    }

    /// Answers `/_hello` with this.
    pub fn with_hello(hello: Act, answers: &[(&str, Act)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut acts: HashMap<String, Act> =
            answers.iter().map(|(line, act)| ((*line).to_owned(), act.clone())).collect();
        acts.insert("GET /_hello".into(), hello);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (acts, log) = (acts.clone(), Arc::clone(&log));
                // A reader that goes away ends its connection only.
                thread::spawn(move || {
                    let _ = converse(connection.unwrap(), &acts, &log);
                });
            }
        });
        Daemon { socket, seen, _dir: dir }
    }

    /// The program with this daemon's socket and nothing of ours in its environment.
    pub fn arxosrt(&self, words: &[&str]) -> Command {
        let mut command = arxosrt(words);
        command.env("ARXOSRT_SOCKET", &self.socket);
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.arxosrt(words).output().unwrap())
    }

    /// Every request so far but `/_hello`.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// The program, with an empty environment and no input.
pub fn arxosrt(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_arxosrt"));
    command.args(words).env_clear().stdin(Stdio::null());
    command
}

/// How a run ended and what it printed.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Ran {
            code: output.status.code().expect("not killed"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Standard error as one line of JSON.
    pub fn error(&self) -> Value {
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Reads a little of the program's output, closes it, and waits for the end: `| head -c 16`.
pub fn head(mut child: Child) -> Ran {
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 16]).unwrap();
    drop(out);
    Ran::of(child.wait_with_output().unwrap())
}

pub fn hello(min: u32, max: u32) -> String {
    json!({
        "service": "arxosrtd", "version": env!("CARGO_PKG_VERSION"), "api": {"min": min, "max": max}, "features": [],
        "state": "ready", "started_at": "2026-11-24T04:06:09.123Z", "pid": 1,
        "peer": {"uid": 0, "gid": 0, "groups": [], "pid": 2, "user": "root", "role": "admin", "via": "uid 0"},
        "limits": {"connections": 64, "streams": 32, "head_bytes": 16384, "body_bytes": 1048576, "page": 1000},
        "from_the_future": true
    })
    .to_string()
}

pub fn list(kind: &str, items: &[Value], next_cursor: Option<&str>) -> Act {
    let list = json!({
        "api_version": "arxosrt/v1", "kind": format!("{kind}List"), "generated_at": "2026-11-24T04:06:09.123Z",
        "items": items, "next_cursor": next_cursor
    });
    Act::Say(200, list.to_string())
}

pub fn document(kind: &str, object: &Value) -> Act {
    let document = json!({
        "api_version": "arxosrt/v1", "kind": kind, "generated_at": "2026-11-24T04:06:09.123Z", "object": object
    });
    Act::Say(200, document.to_string())
}

pub fn problem(status: u16, code: &str, detail: &str) -> Act {
    let problem = json!({
        "code": code, "title": "t", "detail": detail, "hint": "try this", "retryable": false, "request_id": "r1",
        "status": status
    });
    Act::Say(status, problem.to_string())
}

pub fn room(id: &str) -> Value {
    json!({
        "room_id": id, "building_id": "hq", "users": 2, "sessions": 3, "locks": 1, "seq": 5, "epoch": "e1",
        "new_field": "kept"
    })
}

pub fn lock(token: u64, state: &str) -> Value {
    json!({
        "lock_id": format!("lk_{token}"), "lock_type": "object_edit", "resource_id": "obj_1", "resources": ["obj_1"],
        "rooms": ["floor_1"], "holder": {"user_id": "u_bob", "username": "bob", "session_id": "s_1"}, "state": state,
        "acquired_at": "2026-11-24T04:06:09.123Z", "expires_at": "2026-11-24T04:11:09.123Z", "expires_in_ms": 298_000,
        "idle_ms": 5000, "fencing_token": token, "waiters": 0, "metadata": null
    })
}

/// A conflict of Ann, whose values are committed, and Ben.
pub fn conflict(id: &str, severity: &str) -> Value {
    let path = |path: &str, fields: &[&str]| {
        json!({
            "path": path, "fields": fields, "conflict_type": "concurrent_edit", "severity": severity,
            "base": {"x": 0}, "value_1": {"x": 1}, "value_2": {"x": 2.50}, "current": {"x": 1}
        })
    };
    json!({
        "conflict_id": id, "resource_id": "obj_1", "rooms": ["floor_1"], "conflict_type": "concurrent_edit",
        "severity": severity, "status": "open", "source": "edit", "user_id_1": "ann", "username_1": "Ann",
        "user_id_2": "ben", "username_2": "Ben", "description": "ann and ben changed /position of obj_1",
        "created_at": "2026-11-24T04:06:09.123Z", "revision": 3, "version": 7, "decided_in_ms": 42_000,
        "new_field": "kept", "paths": [path("/position", &["x", "y"]), path("/label", &[])]
    })
}

/// The same, settled at a time.
pub fn settled(id: &str, at: &str) -> Value {
    let mut row = conflict(id, "low");
    for (name, value) in [
        ("status", json!("settled")),
        ("decided_in_ms", json!(null)),
        ("resolution", json!("merge")),
        ("resolved_by", json!("timeout")),
        ("resolved_at", json!(at)),
    ] {
        row[name] = value;
    }
    row
}

pub fn changed(action: &str, target: &str) -> Act {
    document("Changed", &json!({"action": action, "target": target, "count": 1, "audited": true, "audit_id": 1}))
}

/// An answer that goes on as a stream of these lines and then breaks off.
pub fn stream(lines: &[&str]) -> Act {
    let mut text = String::from("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    for line in lines {
        text.push_str(&format!("{:x}\r\n{line}\n\r\n", line.len() + 1));
    }
    Act::Break(text)
}

fn converse(socket: UnixStream, acts: &HashMap<String, Act>, log: &Mutex<Vec<Seen>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut writer = socket;
    while let Some(seen) = request(&mut reader)? {
        if seen.line != "GET /_hello" {
            log.lock().unwrap().push(seen.clone());
        }
        let act = acts.get(&seen.line).cloned().unwrap_or_else(|| problem(404, "unknown_route", &seen.line));
        match act {
            Act::Say(status, body) => {
                write!(writer, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
            }
            Act::Break(bytes) => {
                writer.write_all(bytes.as_bytes())?;
                return Ok(());
            }
            Act::Stay(bytes) => {
                writer.write_all(bytes.as_bytes())?;
                // Until the other side gives up.
                return reader.read_to_end(&mut Vec::new()).map(|_| ());
            }
            Act::Hang => {
                // Until the other side gives up.
                return reader.read_to_end(&mut Vec::new()).map(|_| ());
            }
        }
    }
    Ok(())
}

fn request(reader: &mut BufReader<UnixStream>) -> std::io::Result<Option<Seen>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Seen { line, headers, body: String::from_utf8(body).unwrap() }))
}
