//! Values that nobody else may see: they live in Redis alone, and leave no trace where people look.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use arxosrt_scenario::child::Child;
use arxosrt_scenario::http::{Answer, Request};
use arxosrt_scenario::origin::Origin;
use arxosrt_scenario::redis::Redis;
use arxosrt_scenario::sharing::{self, delete, get, put, until_connected, until_gone, until_read};
use arxosrt_scenario::{Setup, until};
use arxosrtd::config::LogLevel;

#[tokio::test]
async fn a_session_is_for_all_daemons_and_for_nobodys_cache() {
    let mut redis = Redis::start();
    let [a, b] = [sharing::on(&redis.url()).start(), sharing::on(&redis.url()).start()];
    for served in [&a, &b] {
        until_connected(served, true).await;
    }
    let first = put(&a, "user_session/s1", r#"{"who":"ana"}"#).await;
    assert_eq!((first.status, first.field("cache-control")), (200, Some("no-store")), "{first:?}");
    for served in [&a, &b, &a, &b] {
        let found = get(served, "user_session/s1").await;
        assert_eq!((found.status, &*found.body), (200, r#"{"who":"ana"}"#), "{found:?}");
        assert_eq!(found.field("cache-control"), Some("no-store"));
        assert_eq!(found.field("x-arxosrt-cache"), Some("shared"), "it is never held here");
        let tag = found.field("etag").expect("a version").to_owned();
        let path = "/v1/realtime/cache/user_session/s1";
        let known = Request::get(path).field("If-None-Match", &tag).to(served.http).await;
        assert_eq!((known.status, known.field("cache-control")), (304, Some("no-store")));
    }
    put(&b, "user_session/s1", r#"{"who":"ben"}"#).await.ok();
    until_read(&a, "user_session/s1", r#"{"who":"ben"}"#).await;
    assert_eq!(delete(&a, "user_session/s1").await.ok()["removed"], true);
    until_gone(&b, "user_session/s1").await;

    put(&a, "user_session/s2", "1").await.ok();
    redis.kill();
    until_connected(&a, false).await;
    for answer in
        [get(&a, "user_session/s2").await, put(&a, "user_session/s2", "2").await, delete(&a, "user_session/s2").await]
    {
        assert_eq!((answer.status, &answer.json()["error_code"]), (503, &"cache_unavailable".into()), "{answer:?}");
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{answer:?}");
    }
    redis.restart();
    until_connected(&a, true).await;
    assert_eq!(put(&a, "user_session/s2", "3").await.status, 200);
    until_read(&b, "user_session/s2", "3").await;
}

#[tokio::test]
async fn who_asked_too_early_is_not_told_afterwards_that_there_is_none() {
    let redis = Redis::start();
    let [a, b] = [sharing::on(&redis.url()).start(), sharing::on(&redis.url()).start()];
    for served in [&a, &b] {
        until_connected(served, true).await;
    }
    for n in 0..10 {
        let what = format!("user_session/early-{n}");
        for served in [&a, &b] {
            assert_ne!(get(served, &what).await.status, 200);
        }
        // 503 is what a Redis that is slow on a busy machine leads to; 404 would be wrong.
        if put(&a, &what, "1").await.status == 200 {
            for served in [&a, &b] {
                assert_ne!(get(served, &what).await.status, 404, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn without_redis_there_are_no_sessions() {
    let served = Setup::memory().start();
    for answer in [get(&served, "user_session/s").await, put(&served, "user_session/s", "2").await] {
        assert_eq!((answer.status, &answer.json()["error_code"]), (503, &"cache_unavailable".into()), "{answer:?}");
    }
}

/// 32 random bytes in hexadecimal digits.
fn canary() -> String {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything that is in the files of a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => files(&path),
            // A socket cannot be opened, and holds nothing.
            path => fs::read(&path).map(|bytes| (path.display().to_string(), bytes)).into_iter().collect(),
        })
        .collect()
}

fn holds(bytes: &[u8], what: &str) -> bool {
    count(bytes, what.as_bytes()) > 0
}

fn count(bytes: &[u8], what: &[u8]) -> usize {
    let mut found = 0;
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == what[0]) {
        at += next;
        found += usize::from(bytes[at..].starts_with(what));
        at += 1;
    }
    found
}

/// How often something is in the memory that a process may read: in all, and where.
fn copies_in_memory(pid: u32, what: &str) -> (usize, Vec<String>) {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the kernel says what a process has mapped");
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).expect("whoever started it may read it");
    let (mut copies, mut places) = (0, Vec::new());
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(span), Some(rights)) = (words.next(), words.next()) else { continue };
        let Some((from, to)) = span.split_once('-') else { continue };
        let address = |text| u64::from_str_radix(text, 16).expect("an address");
        let (from, to) = (address(from), address(to));
        // What cannot be written holds what the file holds.
        if !rights.starts_with("rw") || memory.seek(SeekFrom::Start(from)).is_err() {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from).expect("it fits")];
        // Pages that were never touched are not there to be read.
        let Ok(()) = memory.read_exact(&mut bytes) else { continue };
        let found = count(&bytes, what.as_bytes());
        if found > 0 {
            copies += found;
            places.push(format!("{found} in {line}"));
        }
    }
    (copies, places)
}

#[tokio::test]
async fn a_session_is_nowhere_but_in_redis() {
    let (redis, origin) = (Redis::start(), Origin::start().await);
    let dir = tempfile::tempdir().expect("a folder");
    let setup = Setup::embedded().with(|config| {
        config.redis = sharing::on(&redis.url()).config().redis.clone();
        config.log.level = LogLevel::Trace;
        origin.serves(config, "object_data");
    });
    let child = Child::start(setup.config(), dir.path());
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.pid())).expect("the limits of a process");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit of core files");
    let core: Vec<&str> = core.split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "no core file: {core:?}");

    let (canary, id) = (canary(), "session-5e55104");
    let path = format!("/v1/realtime/cache/user_session/{id}");
    let value = format!(r#"{{"token":"{canary}"}}"#);
    let put = async |path: &str, value: &str| -> Answer {
        let request = Request::new("PUT", path).body("application/json", value.as_bytes().to_vec());
        request.to(child.http).await
    };
    until("redis is used", async || (put(&path, &value).await.status == 200).then_some(())).await;
    for _ in 0..100 {
        until("the session is read", async || (child.get(&path).await.body == value).then_some(())).await;
    }
    // Whatever is in use can be found, and so would the session be.
    assert!(copies_in_memory(child.pid(), &redis.url()).0 > 0, "the address of Redis is in the memory");
    let (at_once, _) = copies_in_memory(child.pid(), &canary);
    // Others' requests, and others' values of the same size, go through the same buffers.
    for n in 0..300 {
        let path = format!("/v1/realtime/cache/object_data/{n}");
        origin.set(&format!("/object_data/{n}"), "x".repeat(value.len() - 2).into());
        assert_eq!(child.get(&path).await.status, 200);
        put(&format!("/v1/realtime/cache/user_session/other-{n}"), &format!("\"{}\"", "y".repeat(value.len()))).await;
    }

    let operators = [
        "/v1/cache-stats".to_owned(),
        "/v1/cache/entries".to_owned(),
        "/v1/cache/entries?strategy=user_session".to_owned(),
        format!("/v1/cache/entries/user_session/{id}"),
        format!("/v1/cache/entries/user_session/{id}/value"),
    ];
    for path in operators {
        let answer = child.operate(Request::get(&path)).await;
        let is_value = path.ends_with("/value");
        assert_eq!(answer.status, if is_value { 409 } else { 200 }, "{path}: {answer:?}");
        assert!(!answer.body.contains(&canary), "{path}: {answer:?}");
    }
    for path in ["/metrics", "/v1/realtime/cache-stats"] {
        assert!(!child.get(path).await.body.contains(&canary), "{path}");
    }
    let keys: Vec<String> = redis.ask(&["KEYS", "*"]).await;
    assert!(!keys.is_empty());
    for key in &keys {
        assert!(!key.contains("5e55104") && !key.contains(&canary), "Redis has a key {key}");
    }

    let (copies, places) = copies_in_memory(child.pid(), &canary);
    println!("copies of a session in the daemon's memory: {at_once} at once, {copies} after others {places:?}");

    let log = child.logged();
    assert!(log.contains("redis is up"), "it logs: {log}");
    assert!(!log.contains(&canary) && !log.contains(id), "the log names the session");
    let said = child.stop_and_read();
    assert!(!said.contains(&canary), "{said}");
    let files = files(dir.path());
    assert!(files.iter().any(|(name, _)| name.ends_with("arxosrt.db")), "it has a database");
    for (name, bytes) in files {
        assert!(!holds(&bytes, &canary), "{name} holds the session");
        assert!(!holds(&bytes, id), "{name} names the session");
    }
}
