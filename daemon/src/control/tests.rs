//! The control socket over a real Unix socket, in front of a hub that answers from fixtures.

mod cache;
mod conflicts;
mod jobs;

use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arxosrt_core::control::conflict::ConflictRow;
use arxosrt_core::control::document::{AuditRow, LineType};
use arxosrt_core::control::hello::{Peer, Role};
use arxosrt_core::control::{
    Holder, LockHistoryRow, LockRow, OperatorEvent, ReplayReport, RoomRow, SessionRow, Status, UserRow, Why,
};
use arxosrt_core::id::{BuildingId, ResourceId};
use arxosrt_core::lock::{LockId, Token};
use arxosrt_core::time::Wall;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::lists::Listed;
use super::peer::Roles;
use super::records::Answer;
use super::server::serve_with;
use super::{ControlContext, ControlSettings, Records, RecordsError};
use crate::hub::ask::{Ask, HubHandle, Observed, Page, Refused};
use crate::jobs::Jobs;
use crate::store::AuditRecord;

/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the hub of these tests knows.
struct Facts {
    rooms: Vec<RoomRow>,
    users: Vec<UserRow>,
    locks: Vec<LockRow>,
    /// The latest first.
    conflicts: Vec<ConflictRow>,
    observers: Vec<mpsc::Sender<Observed>>,
    /// How often a list was asked for.
    looks: usize,
    /// Changes asked for, in words.
    changes: Vec<String>,
    /// Leases run from here.
    began: tokio::time::Instant,
    /// What is on record, the oldest first.
    audit: Arc<Mutex<Vec<AuditRecord>>>,
}

impl Facts {
    /// A page of rows, as small as pages can be. The first one counts as a look.
    fn page<T: Listed>(&mut self, from: Bound<T::Key>, rows: Vec<T>) -> Page<T>
    where
        T::Key: Ord,
    {
        self.looks += usize::from(from == Bound::Unbounded);
        let mut rows =
            rows.into_iter().filter(|row| row.key().is_some_and(|key| (from.clone(), Bound::Unbounded).contains(&key)));
        let rows: Vec<T> = rows.by_ref().take(2).collect();
        let more = rows.len() == 2;
        Page { rows: rows.into_iter().take(1).collect(), more }
    }

    /// Keeps the record and answers, as the hub does when both are committed.
    fn conclude<T>(&self, mut audit: AuditRecord, answer: Result<T, Refused>, reply: crate::hub::ask::Reply<T>) {
        audit.result = answer.as_ref().map_or_else(|refused| refused.code, |_| "ok").into();
        self.audit.lock().unwrap().push(audit);
        let _ = reply.send(answer);
    }
}

/// A hub that answers from [`Facts`], until it is told to fall silent.
#[derive(Clone)]
struct FakeHub {
    facts: Arc<Mutex<Facts>>,
}

impl FakeHub {
    fn start() -> (Self, HubHandle) {
        let facts = Facts {
            rooms: ["/usa/ny%2F*🏢", "floor_1", "floor_2"].map(room).to_vec(),
            users: vec![user("alice", &["floor_1"]), user("bob", &["floor_2"])],
            locks: vec![lock(7, "floor_1"), lock(8, "obj_1")],
            conflicts: conflicts::all(),
            observers: Vec::new(),
            looks: 0,
            changes: Vec::new(),
            began: tokio::time::Instant::now(),
            audit: Arc::default(),
        };
        let hub = FakeHub { facts: Arc::new(Mutex::new(facts)) };
        let (handle, mut inbox) = HubHandle::new();
        let answering = hub.clone();
        tokio::spawn(async move {
            while let Some(question) = inbox.recv().await {
                answering.answer(question);
            }
        });
        (hub, handle)
    }

    fn answer(&self, question: Ask) {
        let mut facts = self.facts.lock().unwrap();
        // An asker that has gone is none of the hub's business.
        match question {
            Ask::Status { reply } => drop(reply.send(Ok(status(&facts)))),
            Ask::Rooms { from, reply } => {
                let rooms = facts.rooms.clone();
                let _ = reply.send(Ok(facts.page(from, rooms)));
            }
            Ask::Users { from, reply } => {
                let users = facts.users.clone();
                let _ = reply.send(Ok(facts.page(from, users)));
            }
            Ask::Locks { from, reply } => {
                let mut locks = facts.locks.clone();
                for lock in &mut locks {
                    lock.expires_in_ms -= facts.began.elapsed().as_millis() as u64;
                }
                let _ = reply.send(Ok(facts.page(from, locks)));
            }
            Ask::Why { resource, reply } => {
                let why = Why {
                    resource_id: resource.to_string(),
                    building_id: "hq".into(),
                    rooms: vec!["floor_1".into()],
                    blocked_by: facts
                        .locks
                        .iter()
                        .filter(|lock| lock.resource_id == resource.as_str())
                        .cloned()
                        .collect(),
                    waiters: Vec::new(),
                };
                let _ = reply.send(Ok(why));
            }
            Ask::ForceRelease { lock, expected, audit, reply } => {
                facts.changes.push(format!("release {lock} {} {} {}", expected.0, audit.reason, audit.role));
                let answer = match facts.locks.iter().position(|row| row.fencing_token == lock.0.0) {
                    None => Err(refused("lock_not_found")),
                    Some(_) if expected != lock.0 => Err(refused("token_changed")),
                    Some(at) => {
                        facts.locks.remove(at);
                        Ok(1)
                    }
                };
                facts.conclude(audit, answer, reply);
            }
            Ask::Kick { user, session, audit, reply } => {
                facts.changes.push(format!("kick {user:?} {session:?} {}", audit.reason));
                let answer = match user.filter(|user| facts.users.iter().any(|row| row.user_id == user.as_str())) {
                    Some(_) => Ok(1),
                    None => Err(refused("session_not_found")),
                };
                facts.conclude(audit, answer, reply);
            }
            Ask::Notice { room, message, audit, reply } => {
                facts.changes.push(format!("tell {room} {message} {}", audit.actor));
                let is_there = facts.rooms.iter().any(|row| row.room_id == room.as_str());
                facts.conclude(audit, if is_there { Ok(42) } else { Err(refused("room_not_found")) }, reply);
            }
            Ask::Drain { window_ms, audit, reply } => {
                facts.changes.push(format!("drain {window_ms}"));
                let audit = audit.expect("an operator drains");
                facts.conclude(audit, Err(refused("some_code_of_the_hub")), reply);
            }
            Ask::Record { audit, result, reply } => {
                facts.changes.push(format!("record {} {} {}", audit.action, audit.target, audit.reason));
                facts.conclude(audit, if result == "ok" { Ok(()) } else { Err(refused(result)) }, reply);
            }
            Ask::Events { to, reply } => {
                facts.observers.push(to);
                let _ = reply.send(Ok(()));
            }
            other => conflicts::answer(other, &mut facts),
        }
    }

    /// Something happens: every observer is told, as the hub does it.
    fn tell(&self, topic: &str, kind: &str) {
        let event = OperatorEvent {
            at: "2026-11-24T04:06:09.123Z".into(),
            topic: topic.into(),
            kind: kind.into(),
            room_id: None,
            user_id: None,
            subject: None,
            detail: None,
        };
        for observer in &self.facts.lock().unwrap().observers {
            let _ = observer.try_send(Observed::Event(event.clone()));
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        change(&mut self.facts.lock().unwrap())
    }
}

/// The records of [`FakeHub`].
struct FakeRecords {
    entries: Arc<Mutex<Vec<AuditRecord>>>,
}

impl Records for FakeRecords {
    fn number(&self, record: AuditRecord) -> Answer<'_, Option<u64>> {
        Box::pin(async move {
            let entries = self.entries.lock().unwrap();
            Ok(entries.iter().rposition(|entry| *entry == record).map(|at| at as u64 + 1))
        })
    }

    fn audit(&self, limit: usize) -> Answer<'_, Vec<AuditRow>> {
        Box::pin(async move {
            let entries = self.entries.lock().unwrap();
            let rows = entries.iter().enumerate().rev().take(limit).map(|(at, entry)| AuditRow {
                id: at as u64 + 1,
                at: Wall(entry.at_ms).to_string(),
                actor: entry.actor.clone().into(),
                uid: entry.uid,
                pid: entry.pid,
                role: entry.role.clone().into(),
                action: entry.action.clone().into(),
                target: entry.target.clone().into(),
                reason: Some(entry.reason.clone().into()).filter(|reason: &String| !reason.is_empty()),
                result: entry.result.clone().into(),
            });
            Ok(rows.collect())
        })
    }

    fn history(&self, _: ResourceId, _: usize) -> Answer<'_, Vec<LockHistoryRow>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn replay(&self, building: BuildingId) -> Answer<'_, ReplayReport> {
        Box::pin(async move {
            match building.as_str() {
                "hq" => Ok(ReplayReport {
                    building_id: "hq".into(),
                    events: 3,
                    snapshot_position: 0,
                    position: 3,
                    replayed: "d1".into(),
                    running: "d1".into(),
                    equal: true,
                }),
                _ => Err(RecordsError::UnknownBuilding),
            }
        })
    }
}

fn refused(code: &'static str) -> Refused {
    Refused { code, message: format!("the hub says {code}") }
}

fn status(facts: &Facts) -> Status {
    Status {
        state: "ready".into(),
        version: "0.1.0".into(),
        started_at: Wall(0).to_string(),
        uptime_ms: 1000,
        engine: "memory".into(),
        connections: 2,
        users: facts.users.len() as u64,
        sessions: 2,
        rooms: facts.rooms.len() as u64,
        locks: facts.locks.len() as u64,
        waiters: 0,
        buildings: 1,
        buildings_closed: 0,
        closed: Vec::new(),
        directory: Default::default(),
        origins: Vec::new(),
        shared: None,
        last_token: 8,
    }
}

fn room(id: &str) -> RoomRow {
    RoomRow {
        room_id: id.into(),
        building_id: "hq".into(),
        users: 1,
        sessions: 1,
        locks: 1,
        seq: 5,
        epoch: "e1".into(),
    }
}

fn user(id: &str, rooms: &[&str]) -> UserRow {
    let session = SessionRow {
        session_id: format!("s_{id}"),
        transport: "websocket".into(),
        address: None,
        rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
        connected_at: Wall(0).to_string(),
        hello: true,
    };
    UserRow {
        user_id: id.into(),
        username: id.into(),
        state: "active".into(),
        sessions: vec![session],
        locks: 1,
        idle_ms: 0,
        current_action: None,
    }
}

fn lock(token: u64, resource: &str) -> LockRow {
    LockRow {
        lock_id: LockId(Token(token)).to_string(),
        lock_type: "object_edit".into(),
        resource_id: resource.into(),
        resources: vec![resource.into()],
        rooms: vec!["floor_1".into()],
        holder: Holder { user_id: "alice".into(), username: "alice".into(), session_id: "s_alice".into() },
        state: "active".into(),
        acquired_at: Wall(0).to_string(),
        expires_at: Wall(300_000).to_string(),
        expires_in_ms: 300_000,
        idle_ms: 0,
        fencing_token: token,
        waiters: 0,
        metadata: None,
    }
}

/// A served control socket.
struct Served {
    hub: FakeHub,
    records: Arc<FakeRecords>,
    path: PathBuf,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    _dir: TempDir,
}

impl Served {
    /// With this process as an `admin`, or with another role.
    fn start(role: Role) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (hub, handle) = FakeHub::start();
        let records = Arc::new(FakeRecords { entries: hub.change(|facts| facts.audit.clone()) });
        let (cache, preload) = cache::start(jobs::directory());
        let context = ControlContext {
            hub: handle,
            records: Arc::clone(&records) as Arc<dyn Records>,
            jobs: Jobs::new(Arc::new(jobs::Scripted), 2),
            cache,
            hot: None,
            preload,
            directory: Arc::new(jobs::directory()),
            settings: ControlSettings::default(),
            started_at: Wall(0),
            version: "0.1.0",
        };
        let shutdown = CancellationToken::new();
        let roles = Roles::always(role);
        let task = tokio::spawn(serve_with(listener, context, roles, shutdown.clone()));
        Served { hub, records, path, shutdown, task, _dir: dir }
    }

    async fn request(&self, request: &str) -> Reply {
        patiently(async {
            let mut socket = UnixStream::connect(&self.path).await.unwrap();
            socket.write_all(request.as_bytes()).await.unwrap();
            // A request that was not read to its end resets the connection, behind the answer.
            let mut answer = Vec::new();
            let ended = socket.read_to_end(&mut answer).await;
            assert!(ended.is_ok() || !answer.is_empty(), "{ended:?}");
            let text = String::from_utf8(answer).unwrap();
            Reply::parse(&text)
        })
        .await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", "").await
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        self.request(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    async fn stream(&self, path: &str) -> Stream {
        let mut socket = UnixStream::connect(&self.path).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut reader = BufReader::new(socket);
        let mut line = String::new();
        patiently(async {
            reader.read_line(&mut line).await.unwrap();
            assert!(line.starts_with("HTTP/1.1 200"), "{line}");
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).await.unwrap();
            }
        })
        .await;
        Stream { reader, lines: VecDeque::new() }
    }
}

/// An answer taken apart.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: String,
    body: Value,
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).unwrap_or("0").parse().unwrap();
        Reply { status, headers: head.to_ascii_lowercase(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
    }

    fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or(""))
    }

    fn ids(&self, field: &str) -> Vec<&str> {
        self.body["items"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
    }
}

/// A stream of lines in chunks.
struct Stream {
    reader: BufReader<UnixStream>,
    lines: VecDeque<Value>,
}

impl Stream {
    /// The next line; `None` at the proper end of the stream.
    async fn next(&mut self) -> Option<Value> {
        patiently(async {
            while self.lines.is_empty() {
                let mut size = String::new();
                self.reader.read_line(&mut size).await.unwrap();
                let size = usize::from_str_radix(size.trim(), 16).expect("a chunk begins with its size");
                if size == 0 {
                    return None;
                }
                let mut chunk = vec![0; size + 2];
                self.reader.read_exact(&mut chunk).await.unwrap();
                let text = std::str::from_utf8(&chunk[..size]).unwrap();
                self.lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            }
            self.lines.pop_front()
        })
        .await
    }

    /// The next line that is not a heartbeat, as type and id.
    async fn told(&mut self) -> (String, String) {
        loop {
            let line = self.next().await.expect("the stream goes on");
            if line["type"] != "heartbeat" {
                let text = |name: &str| line[name].as_str().unwrap_or("").to_owned();
                return (text("type"), text("id"));
            }
        }
    }
}

async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("done in time")
}

/// Waits for a condition.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn pair(line: &str, id: &str) -> (String, String) {
    (line.into(), id.into())
}

#[tokio::test]
async fn hello_says_who_is_who_and_every_answer_says_which_version() {
    let served = Served::start(Role::Admin);
    let hello = served.get("/_hello").await;
    assert_eq!(hello.status, 200);
    assert_eq!(hello.body["service"], "arxosrtd");
    assert_eq!(hello.body["api"], json!({"min": 1, "max": 1}));
    assert_eq!(hello.body["state"], "ready");
    assert_eq!(hello.body["limits"]["body_bytes"], 1_048_576);
    let peer: Peer = serde_json::from_value(hello.body["peer"].clone()).unwrap();
    assert_eq!(peer.pid, std::process::id() as i32);
    for reply in [hello, served.get("/v1/nothing").await] {
        for header in ["arxosrt-version: 0.1.0", "arxosrt-api: 1-1", "x-request-id: "] {
            assert!(reply.headers.contains(header), "{header} in {}", reply.headers);
        }
    }
}

#[tokio::test]
async fn every_route_needs_its_role_and_not_less() {
    let reason = r#"{"reason":"x"}"#;
    let table = [
        ("GET", "/_hello", Role::None, ""),
        ("GET", "/v1/whoami", Role::None, ""),
        ("GET", "/v1/status", Role::View, ""),
        ("GET", "/v1/rooms", Role::View, ""),
        ("GET", "/v1/rooms/floor_1", Role::View, ""),
        ("GET", "/v1/rooms/floor_1/users", Role::View, ""),
        ("POST", "/v1/rooms/floor_1/notice", Role::Operate, r#"{"message":1}"#),
        ("GET", "/v1/users", Role::View, ""),
        ("GET", "/v1/users/alice", Role::View, ""),
        ("DELETE", "/v1/users/alice", Role::Admin, reason),
        ("DELETE", "/v1/sessions/s_alice", Role::Admin, reason),
        ("GET", "/v1/locks", Role::View, ""),
        ("GET", "/v1/locks/lk_7", Role::View, ""),
        ("DELETE", "/v1/locks/lk_7", Role::Admin, reason),
        ("GET", "/v1/conflicts", Role::View, ""),
        ("GET", "/v1/conflicts?paths=true", Role::Operate, ""),
        ("GET", "/v1/conflicts/cf_1", Role::Operate, ""),
        ("POST", "/v1/conflicts/cf_1/resolve", Role::Admin, r#"{"winner":"ann","reason":"x"}"#),
        ("POST", "/v1/conflicts/cf_1/restore", Role::Admin, reason),
        ("GET", "/v1/conflict-stats", Role::View, ""),
        ("GET", "/v1/resources/floor_1/why", Role::View, ""),
        ("GET", "/v1/resources/floor_1/history", Role::View, ""),
        ("GET", "/v1/buildings/hq/replay", Role::Operate, ""),
        ("GET", "/v1/audit", Role::Admin, ""),
        ("POST", "/v1/preload", Role::Operate, r#"{"items":[{"floor":"a"}]}"#),
        ("GET", "/v1/preload/model", Role::View, ""),
        ("GET", "/v1/preload/users/ana", Role::View, ""),
        ("GET", "/v1/cache-stats", Role::View, ""),
        ("GET", "/v1/cache/entries", Role::View, ""),
        ("GET", "/v1/cache/entries/floor_data/1", Role::View, ""),
        ("GET", "/v1/cache/entries/floor_data/1/value", Role::Operate, ""),
        ("POST", "/v1/cache/invalidate", Role::Operate, r#"{"floor":"1"}"#),
        ("POST", "/v1/cache/warm", Role::Operate, "{}"),
        ("GET", "/v1/jobs", Role::View, ""),
        ("GET", "/v1/jobs/job_1", Role::View, ""),
        ("GET", "/v1/jobs/job_1/items", Role::View, ""),
        ("GET", "/v1/jobs/job_1/follow", Role::View, ""),
        ("DELETE", "/v1/jobs/job_1", Role::Operate, "{}"),
        ("POST", "/v1/drain", Role::Admin, r#"{"window_ms":1}"#),
    ];
    for role in [Role::None, Role::View, Role::Operate, Role::Admin] {
        let served = Served::start(role);
        for (method, path, needed, body) in table {
            let reply = served.send(method, path, "", body).await;
            let is_refused = reply.code() == (403, "role_too_low");
            assert_eq!(is_refused, role < needed, "{role} {method} {path}: {reply:?}");
            assert!(!is_refused || reply.body["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{reply:?}");
        }
    }
}

#[tokio::test]
async fn ids_in_paths_may_hold_anything() {
    let served = Served::start(Role::View);
    let reply = served.get("/v1/rooms/%2Fusa%2Fny%252F%2A%F0%9F%8F%A2").await;
    assert_eq!((reply.status, reply.body["object"]["room_id"].as_str()), (200, Some("/usa/ny%2F*🏢")), "{reply:?}");
    for (path, code) in [
        ("/v1/rooms/%FF", (400, "bad_request")),
        ("/v1/rooms/a%00b", (400, "bad_request")),
        ("/v1/rooms/floor", (404, "room_not_found")),
        ("/v1/rooms/*", (404, "room_not_found")),
        ("/v1/rooms/..", (404, "room_not_found")),
        ("/v1/users/nobody", (404, "user_not_found")),
        ("/v1/locks/lk_9", (404, "lock_not_found")),
        ("/v1/locks/floor_1", (404, "lock_not_found")),
        ("/v1/rooms/a/b", (404, "unknown_route")),
    ] {
        assert_eq!(served.get(path).await.code(), code, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_for_us_is_refused_with_a_code() {
    let served = Served::start(Role::Admin);
    for (request, code) in [
        ("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil\r\n", (403, "origin_forbidden")),
        ("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nReferer: http://evil\r\n", (403, "origin_forbidden")),
        ("GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n", (403, "origin_forbidden")),
        ("GET /v9/status HTTP/1.1\r\nHost: localhost\r\n", (400, "unsupported_api")),
        ("GET /v99999999999999999999/x HTTP/1.1\r\nHost: localhost\r\n", (400, "unsupported_api")),
        ("GET /status HTTP/1.1\r\nHost: localhost\r\n", (404, "unknown_route")),
        ("POST /v1/rooms HTTP/1.1\r\nHost: localhost\r\n", (405, "method_not_allowed")),
        ("GET /v1/rooms?limit=0 HTTP/1.1\r\nHost: localhost\r\n", (400, "bad_request")),
        ("GET /v1/rooms?limit=1001 HTTP/1.1\r\nHost: localhost\r\n", (400, "bad_request")),
        ("GET /v1/rooms?lmit=1 HTTP/1.1\r\nHost: localhost\r\n", (400, "bad_request")),
        ("GET /v1/locks?cursor=x HTTP/1.1\r\nHost: localhost\r\n", (400, "bad_request")),
        ("GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n", (400, "bad_request")),
        ("GET /v1/watch?kind=things HTTP/1.1\r\nHost: localhost\r\n", (400, "bad_request")),
        ("GET /v1/events?topics=locks HTTP/1.1\r\nHost: localhost\r\n", (400, "bad_request")),
    ] {
        let reply = served.request(&format!("{request}Connection: close\r\n\r\n")).await;
        assert_eq!(reply.code(), code, "{request}");
        assert!(reply.headers.contains("application/problem+json"), "{}", reply.headers);
        assert!(reply.headers.contains(&format!("x-request-id: {}", reply.body["request_id"].as_str().unwrap())));
    }
}

#[tokio::test]
async fn heads_and_bodies_have_limits() {
    let served = Served::start(Role::Admin);
    let long = "x".repeat(20 * 1024);
    let reply = served.request(&format!("GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n")).await;
    assert_eq!(reply.status, 431);
    let body = format!("{{\"message\":\"{}\"}}", "x".repeat(1024 * 1024));
    let reply = served.send("POST", "/v1/rooms/floor_1/notice", "", &body).await;
    assert_eq!(reply.code(), (413, "too_large"));
    let reply = served.send("POST", "/v1/rooms/floor_1/notice", "", r#"{"message":1,"massage":2}"#).await;
    assert_eq!(reply.code(), (400, "bad_request"));
    assert!(reply.body["detail"].as_str().unwrap().contains("massage"), "{reply:?}");
}

#[tokio::test]
async fn pages_together_are_the_list() {
    let served = Served::start(Role::View);
    let mut seen = Vec::new();
    let mut path = "/v1/rooms?limit=1".to_owned();
    loop {
        let page = served.get(&path).await;
        assert_eq!(page.body["kind"], "RoomList");
        seen.extend(page.ids("room_id").into_iter().map(str::to_owned));
        match page.body["next_cursor"].as_str() {
            Some("/usa/ny%2F*🏢") => path = "/v1/rooms?limit=1&cursor=%2Fusa%2Fny%252F%2A%F0%9F%8F%A2".into(),
            Some(cursor) => path = format!("/v1/rooms?limit=1&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ["/usa/ny%2F*🏢", "floor_1", "floor_2"]);
    assert_eq!(served.get("/v1/locks?cursor=7").await.ids("lock_id"), ["lk_8"]);
    assert_eq!(served.get("/v1/rooms/floor_2/users").await.ids("user_id"), ["bob"]);
    served.hub.change(|facts| facts.locks.clear());
    assert_eq!(served.get("/v1/locks").await.body["items"], json!([]));
}

#[tokio::test]
async fn a_forced_release_needs_the_token_that_was_seen_and_a_reason() {
    let served = Served::start(Role::Admin);
    let release = |headers: &'static str, body: &'static str| served.send("DELETE", "/v1/locks/lk_7", headers, body);
    let reason = r#"{"reason":"left for the day"}"#;
    assert_eq!(release("", reason).await.code(), (428, "token_required"));
    assert_eq!(release("If-Match: *\r\n", reason).await.code(), (400, "bad_request"));
    assert_eq!(release("If-Match: 7\r\n", r#"{"reason":" "}"#).await.code(), (400, "bad_request"));
    assert_eq!(release("If-Match: 7\r\n", "{}").await.code(), (400, "bad_request"));
    assert_eq!(served.hub.change(|facts| facts.changes.len()), 0, "the hub was not asked");
    assert_eq!(release("If-Match: \"6\"\r\n", reason).await.code(), (412, "token_changed"));
    let done = release("If-Match: \"7\"\r\n", reason).await;
    assert_eq!((done.status, &done.body["object"]["count"]), (200, &json!(1)), "{done:?}");
    assert_eq!(
        served.hub.change(|facts| facts.changes.last().cloned()),
        Some("release lk_7 7 left for the day admin".into())
    );
    assert_eq!(release("If-Match: \"7\"\r\n", reason).await.code(), (404, "lock_not_found"));
}

#[tokio::test]
async fn whatever_an_operator_changes_is_in_the_audit() {
    let served = Served::start(Role::Admin);
    let reason = r#"{"reason":"r"}"#;
    served.send("POST", "/v1/rooms/floor_1/notice", "", r#"{"message":{"notice":"lunch"}}"#).await;
    served.send("DELETE", "/v1/users/alice", "", reason).await;
    let gone = served.send("DELETE", "/v1/sessions/s_none", "", reason).await;
    assert_eq!(gone.code(), (404, "session_not_found"));
    served.send("DELETE", "/v1/locks/lk_7", "If-Match: 7\r\n", reason).await;
    let drain = served.send("POST", "/v1/drain", "", r#"{"window_ms":30000}"#).await;
    assert_eq!(drain.code(), (409, "refused"));
    assert_eq!(drain.body["details"]["code"], "some_code_of_the_hub");

    let audit = served.get("/v1/audit").await;
    assert_eq!(audit.ids("action"), ["drain", "lock.force_release", "session.kick", "user.kick", "room.send"]);
    assert_eq!(audit.ids("result"), ["some_code_of_the_hub", "ok", "session_not_found", "ok", "ok"]);
    assert_eq!(audit.ids("target"), ["daemon", "lk_7", "s_none", "alice", "floor_1"]);
    assert_eq!(audit.body["items"][1]["reason"], "r");
    assert_eq!(served.get("/v1/audit?limit=2").await.ids("action").len(), 2);
}

#[tokio::test]
async fn replay_and_why_are_answered() {
    let served = Served::start(Role::Operate);
    assert_eq!(served.get("/v1/buildings/hq/replay").await.body["object"]["equal"], true);
    assert_eq!(served.get("/v1/buildings/x/replay").await.code(), (404, "building_not_found"));
    let why = served.get("/v1/resources/obj_1/why").await;
    assert_eq!(why.body["object"]["blocked_by"][0]["lock_id"], "lk_8");
}

#[tokio::test]
async fn a_watch_tells_the_list_and_then_what_differs() {
    let served = Served::start(Role::View);
    let mut watch = served.stream("/v1/watch?kind=locks").await;
    for expected in [pair("put", "lk_7"), pair("put", "lk_8"), pair("snapshot_end", "")] {
        assert_eq!(watch.told().await, expected);
    }
    until("the watch observes the hub", || served.hub.change(|facts| !facts.observers.is_empty())).await;
    served.hub.change(|facts| {
        facts.locks.remove(0);
        facts.locks[0].waiters = 1;
        facts.locks.push(lock(9, "obj_2"));
    });
    served.hub.tell("lock", "lock.released");
    for expected in [pair("delete", "lk_7"), pair("put", "lk_8"), pair("put", "lk_9")] {
        assert_eq!(watch.told().await, expected);
    }
    // Clocks alone are no change: of the two rows only the one that differs is told again.
    served.hub.change(|facts| {
        facts.locks[0].idle_ms = 77;
        facts.locks[0].expires_in_ms += 500;
        facts.locks[0].expires_at = Wall(300_500).to_string();
        facts.locks[1].state = "suspended".into();
    });
    served.hub.tell("session", "session.suspended");
    assert_eq!(watch.told().await, pair("put", "lk_9"));
    // A lease that was renewed in small steps is told once the steps add up.
    served.hub.change(|facts| facts.locks[0].expires_in_ms += 1_000_000);
    served.hub.tell("lock", "lock.renewed");
    assert_eq!(watch.told().await, pair("put", "lk_8"));
}

#[tokio::test]
async fn watchers_of_one_kind_share_their_looks_and_none_means_none() {
    let served = Served::start(Role::View);
    served.hub.tell("lock", "lock.granted");
    assert_eq!(served.hub.change(|facts| (facts.looks, facts.observers.len())), (0, 0), "nobody watches");
    let mut watches = Vec::new();
    for _ in 0..5 {
        watches.push(served.stream("/v1/watch?kind=rooms").await);
    }
    for watch in &mut watches {
        while watch.told().await.0 != "snapshot_end" {}
    }
    assert_eq!(served.hub.change(|facts| facts.observers.len()), 1);
    // Well below one look per watcher, however slow the machine that runs this.
    let looks = served.hub.change(|facts| facts.looks);
    assert!((1..=3).contains(&looks), "{looks}");
    drop(watches);
    until("the observer goes with the last watcher", || {
        served.hub.tell("room", "room.left");
        served.hub.change(|facts| facts.observers.iter().all(mpsc::Sender::is_closed))
    })
    .await;
    let mut again = served.stream("/v1/watch?kind=rooms").await;
    while again.told().await.0 != "snapshot_end" {}
}

#[tokio::test]
async fn events_are_told_by_topic_with_gaps_and_a_good_bye() {
    let served = Served::start(Role::Admin);
    let mut locks = served.stream("/v1/events?topics=lock,audit").await;
    until("the stream observes the hub", || served.hub.change(|facts| facts.observers.len() == 1)).await;
    served.hub.tell("room", "room.joined");
    served.hub.tell("lock", "lock.granted");
    let line = locks.next().await.unwrap();
    assert_eq!((&line["type"], &line["object"]["kind"]), (&json!("event"), &json!("lock.granted")));

    served.hub.change(|facts| facts.observers[0].try_send(Observed::Gap(17)).unwrap());
    let line = locks.next().await.unwrap();
    assert_eq!((&line["type"], &line["dropped"]), (&json!("gap"), &json!(17)));

    served.shutdown.cancel();
    let line = locks.next().await.unwrap();
    assert_eq!((&line["type"], &line["reason"]), (&json!("bye"), &json!("shutting_down")));
    assert_eq!(locks.next().await, None);
    patiently(served.task).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_shows_that_it_lives_whatever_is_filtered_out() {
    let (hub, handle) = FakeHub::start();
    let records = Arc::new(FakeRecords { entries: hub.change(|facts| facts.audit.clone()) });
    let (cache, preload) = cache::start(jobs::directory());
    let context = ControlContext {
        hub: handle,
        records,
        jobs: Jobs::new(Arc::new(jobs::Scripted), 2),
        cache,
        hot: None,
        preload,
        directory: Arc::new(jobs::directory()),
        settings: ControlSettings::default(),
        started_at: Wall(0),
        version: "0.1.0",
    };
    let shutdown = CancellationToken::new();
    let server = Arc::new(super::server::Server::new(context, Roles::always(Role::View), shutdown));
    let (lines, response) = super::stream::open(&server).unwrap();
    let (to, observed) = mpsc::channel(8);
    hub.change(|facts| facts.observers.push(to));
    tokio::spawn(async move {
        let topics = super::stream::Topics::parse(Some("lock")).unwrap();
        let _ = super::stream::pump(&server, observed, topics, lines).await;
    });
    let noise = tokio::spawn(async move {
        loop {
            hub.tell("broadcast", "broadcast.sent");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let began = tokio::time::Instant::now();
    let mut body = response.into_body();
    let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&frame[..], b"{\"type\":\"heartbeat\"}\n");
    assert_eq!(serde_json::to_value(LineType::Heartbeat).unwrap(), "heartbeat");
    assert!((5..6).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    noise.abort();
}

#[tokio::test]
async fn streams_and_connections_beyond_the_limit_are_told_busy() {
    let served = Served::start(Role::View);
    let mut streams = Vec::new();
    for _ in 0..super::STREAMS_MAX {
        streams.push(served.stream("/v1/events").await);
    }
    let reply = served.get("/v1/events").await;
    assert_eq!(reply.code(), (503, "busy"));
    assert!(reply.headers.contains("retry-after: 1"), "{}", reply.headers);
    assert_eq!(served.get("/v1/status").await.status, 200, "plain requests still find room");

    let mut idle = Vec::new();
    for _ in 0..super::seats::CONNECTIONS_PER_UID_MAX - super::STREAMS_MAX {
        idle.push(UnixStream::connect(&served.path).await.unwrap());
    }
    patiently(async {
        while served.get("/v1/status").await.code() != (503, "busy") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(idle);
    patiently(async {
        while served.get("/v1/status").await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(streams);
    patiently(async {
        loop {
            let mut socket = UnixStream::connect(&served.path).await.unwrap();
            socket.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut line = String::new();
            BufReader::new(socket).read_line(&mut line).await.unwrap();
            if line.contains(" 200 ") {
                break;
            }
        }
    })
    .await;
}

/// Who begins to watch while others do is not shown what they were shown last, but what is there now.
#[tokio::test]
async fn a_watch_that_joins_others_begins_with_a_fresh_list() {
    let served = Served::start(Role::View);
    let mut first = served.stream("/v1/watch?kind=locks").await;
    for expected in [pair("put", "lk_7"), pair("put", "lk_8"), pair("snapshot_end", "")] {
        assert_eq!(first.told().await, expected);
    }
    // Nobody tells of this one.
    served.hub.change(|facts| facts.locks.remove(0));
    let mut second = served.stream("/v1/watch?kind=locks").await;
    for expected in [pair("put", "lk_8"), pair("snapshot_end", "")] {
        assert_eq!(second.told().await, expected);
    }
    assert_eq!(first.told().await, pair("delete", "lk_7"));
}

#[tokio::test]
async fn an_operator_who_hangs_up_does_not_escape_the_audit() {
    let served = Served::start(Role::Admin);
    let body = r#"{"reason":"r"}"#;
    let request =
        format!("DELETE /v1/users/alice HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut socket = UnixStream::connect(&served.path).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    until("the hub was asked", || served.hub.change(|facts| !facts.changes.is_empty())).await;
    drop(socket);
    until("it is on record", || !served.records.entries.lock().unwrap().is_empty()).await;
}
