//! The real program in front of a canned daemon: what scripts rely on.

mod support;

use std::process::Stdio;

use serde_json::json;
use support::{Act, Daemon, Ran, arxosrt, changed, document, head, hello, list, lock, problem, room, stream};

const ROOMS: &str = "GET /v1/rooms?limit=1000";
const LOCKS: &str = "GET /v1/locks?limit=1000";

#[test]
fn without_a_daemon_it_ends_with_3_and_says_where_it_looked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.sock");
    let ran = Ran::of(arxosrt(&["status", "--socket", path.to_str().unwrap()]).output().unwrap());
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert!(ran.err.starts_with("error: there is no socket at ") && ran.err.contains("\nhint: "), "{ran:?}");

    let socket = dir.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let ran = Ran::of(arxosrt(&["status", "-o", "json", "--socket", socket.to_str().unwrap()]).output().unwrap());
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    let error = ran.error();
    assert_eq!((&error["kind"], &error["exit_code"], &error["retryable"]), (&json!("Error"), &json!(3), &json!(true)));

    let ran = Ran::of(arxosrt(&["status"]).env("XDG_RUNTIME_DIR", dir.path()).output().unwrap());
    if ran.code == 3 {
        assert!(ran.err.contains("/run/arxosrt/control.sock, ") && ran.err.contains("ARXOSRT_SOCKET"), "{ran:?}");
    }
}

#[test]
fn a_daemon_that_hangs_costs_the_timeout_and_no_more() {
    let daemon = Daemon::with_hello(Act::Hang, &[]);
    assert_eq!(daemon.run(&["status", "--timeout", "100ms"]).code, 7);
    let daemon = Daemon::new(&[(ROOMS, Act::Hang)]);
    let ran = daemon.run(&["rooms", "list", "--timeout", "100ms"]);
    assert_eq!((ran.code, ran.out.as_str()), (7, ""));
    assert!(ran.err.contains("within 100ms"), "{ran:?}");
}

#[test]
fn a_daemon_of_another_age_is_found_out_before_anything_is_asked() {
    for (min, max) in [(0, 0), (2, 3)] {
        let daemon = Daemon::with_hello(Act::Say(200, hello(min, max)), &[]);
        let ran = daemon.run(&["rooms", "list"]);
        assert_eq!(ran.code, 10, "{ran:?}");
        assert!(ran.err.contains(&format!("v{min} to v{max}")), "{ran:?}");
        assert!(daemon.seen().is_empty());
    }
    for stranger in [Act::Say(200, "hello".into()), Act::Say(404, "<html>".into())] {
        assert_eq!(Daemon::with_hello(stranger, &[]).run(&["status"]).code, 10);
    }
    // A daemon of the same API that lacks a newer operation.
    assert_eq!(Daemon::new(&[]).run(&["audit", "list"]).code, 10);
}

#[test]
fn a_daemon_that_dies_in_the_middle_leaves_no_half_document() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{\"api_version\":\"arx";
    for act in [Act::Break(half.into()), Act::Break(String::new()), Act::Break("HTTP/1.1 2".into())] {
        let daemon = Daemon::new(&[(ROOMS, act)]);
        let ran = daemon.run(&["rooms", "list", "-o", "json"]);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{ran:?}");
        assert_eq!(ran.error()["code"], "went_away");
    }
}

#[test]
fn pages_are_one_list_in_every_format() {
    let daemon = Daemon::new(&[
        (ROOMS, list("Room", &[room("a/b%🏢")], Some("a/b%🏢"))),
        ("GET /v1/rooms?limit=1000&cursor=a%2Fb%25%F0%9F%8F%A2", list("Room", &[room("floor_1")], None)),
    ]);
    let json = daemon.run(&["rooms", "list", "-o", "json"]);
    assert_eq!(json.code, 0, "{json:?}");
    let document = json.json();
    assert_eq!((&document["kind"], &document["next_cursor"]), (&json!("RoomList"), &json!(null)));
    assert_eq!(document["items"], json!([room("a/b%🏢"), room("floor_1")]), "unknown fields get through");

    let ndjson = daemon.run(&["rooms", "list", "-o", "ndjson"]);
    let lines: Vec<&str> = ndjson.out.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line.starts_with('{') && !line.contains("api_version")));

    assert_eq!(daemon.run(&["rooms", "list", "-o", "name"]).out, "a/b%🏢\nfloor_1\n");
    assert_eq!(daemon.run(&["room", "ls", "-q"]).out, "a/b%🏢\nfloor_1\n");
    assert_eq!(
        daemon.run(&["rooms", "list"]).out,
        "ROOM     USERS  SESSIONS  LOCKS  SEQ  BUILDING\n\
         a/b%🏢       2         3      1    5  hq\n\
         floor_1      2         3      1    5  hq\n"
    );
    assert_eq!(daemon.run(&["rooms", "list", "--no-headers"]).out.lines().count(), 2);
}

#[test]
fn an_empty_list_is_a_list() {
    let daemon = Daemon::new(&[(LOCKS, list("Lock", &[], None))]);
    let json = daemon.run(&["locks", "list", "-o", "json"]);
    assert_eq!((json.code, &json.json()["items"]), (0, &json!([])));
    for (format, out) in [("ndjson", ""), ("name", "")] {
        let ran = daemon.run(&["locks", "list", "-o", format]);
        assert_eq!((ran.code, ran.out.as_str()), (0, out), "{format}");
    }
}

#[test]
fn lists_are_narrowed_by_flags() {
    let daemon = Daemon::new(&[(LOCKS, list("Lock", &[lock(7, "active"), lock(8, "idle")], None))]);
    assert_eq!(daemon.run(&["locks", "list", "-q", "--holder", "u_bob"]).out, "lk_7\nlk_8\n");
    assert_eq!(daemon.run(&["locks", "list", "-q", "--room", "floor_1", "--type", "floor_edit"]).out, "");
}

#[test]
fn names_cannot_steer_the_terminal() {
    let evil = "bob\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}";
    let mut row = lock(7, "active");
    row["holder"]["username"] = json!(evil);
    row["resource_id"] = json!(evil);
    let daemon = Daemon::new(&[
        (LOCKS, list("Lock", std::slice::from_ref(&row), None)),
        ("GET /v1/locks/lk%5F7", document("Lock", &row)),
        ("GET /v1/rooms/x", problem(404, "room_not_found", evil)),
    ]);
    for words in [
        &["locks", "list"][..],
        &["locks", "list", "-o", "json"],
        &["locks", "list", "-o", "ndjson"],
        &["locks", "show", "lk_7"],
        &["locks", "release", "lk_7"],
        &["rooms", "show", "x"],
        &["rooms", "show", "x", "-o", "json"],
    ] {
        let ran = daemon.run(words);
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!ran.out.chars().chain(ran.err.chars()).any(steers), "{words:?}: {ran:?}");
        assert!((ran.out + &ran.err).contains("owned"), "{words:?}");
    }
}

#[test]
fn each_refusal_ends_with_its_code() {
    for (status, code, exit) in [
        (404, "room_not_found", 4),
        (403, "role_too_low", 5),
        (412, "token_changed", 6),
        (503, "busy", 1),
        (504, "timeout", 7),
        (400, "unsupported_api", 10),
        (404, "a_code_from_the_future", 4),
    ] {
        let daemon = Daemon::new(&[("GET /v1/rooms/x", problem(status, code, "no"))]);
        let table = daemon.run(&["rooms", "show", "x"]);
        assert_eq!((table.code, table.err.as_str()), (exit, "error: no\nhint: try this\n"), "{code}");
        let json = daemon.run(&["rooms", "show", "x", "-o", "json"]);
        let error = json.error();
        assert_eq!(
            (&error["code"], &error["exit_code"], &error["request_id"]),
            (&json!(code), &json!(exit), &json!("r1"))
        );
    }
}

#[test]
fn a_lock_is_taken_only_with_force_a_reason_a_yes_and_the_token_that_was_seen() {
    let daemon = Daemon::new(&[
        ("GET /v1/locks/lk%5F7", document("Lock", &lock(7, "active"))),
        ("DELETE /v1/locks/lk%5F7", changed("lock.force_release", "lk_7")),
    ]);
    let explained = daemon.run(&["locks", "release", "lk_7"]);
    assert_eq!(explained.code, 6);
    assert!(
        explained.err.contains("bob (active) holds it on obj_1") && explained.err.contains("--force"),
        "{explained:?}"
    );
    let no_reason = daemon.run(&["locks", "release", "lk_7", "--force"]);
    assert!(no_reason.code == 2 && no_reason.err.contains("--reason"), "{no_reason:?}");
    let nobody_to_ask = daemon.run(&["locks", "release", "lk_7", "--force", "--reason", "r"]);
    assert!(nobody_to_ask.code == 2 && nobody_to_ask.err.contains("--yes"), "{nobody_to_ask:?}");
    assert!(daemon.seen().iter().all(|seen| seen.line.starts_with("GET")), "nothing was changed");

    let done = daemon.run(&["locks", "release", "lk_7", "--force", "--reason", "left", "--yes"]);
    assert_eq!((done.code, done.out.as_str()), (0, "took lk_7 from bob\n"), "{done:?}");
    let asked = daemon.seen().pop().unwrap();
    assert_eq!((asked.headers["if-match"].as_str(), asked.body.as_str()), ("\"7\"", r#"{"reason":"left"}"#));

    daemon.run(&["locks", "release", "lk_7", "--force", "--reason", "r", "-y", "--if-token", "6"]);
    assert_eq!(daemon.seen().pop().unwrap().headers["if-match"], "\"6\"");
    assert_eq!(daemon.run(&["locks", "release", "lk_7", "--force", "--reason", "r", "-yq"]).out, "");
}

#[test]
fn a_lock_is_shown_by_what_it_covers_too() {
    let daemon = Daemon::new(&[
        ("GET /v1/locks/obj%5F1", problem(404, "lock_not_found", "no lock \"obj_1\"")),
        ("GET /v1/locks/obj%5F2", problem(404, "lock_not_found", "no lock \"obj_2\"")),
        (LOCKS, list("Lock", &[lock(7, "active")], None)),
    ]);
    assert_eq!(daemon.run(&["locks", "show", "obj_1", "-o", "json"]).json()["object"]["lock_id"], "lk_7");
    assert_eq!(daemon.run(&["locks", "show", "obj_2"]).code, 4);
}

#[test]
fn of_several_kicks_some_may_fail() {
    let daemon = Daemon::new(&[
        ("DELETE /v1/users/alice", changed("user.kick", "alice")),
        ("DELETE /v1/users/bob", problem(404, "user_not_found", "no such user: \"bob\"")),
    ]);
    let kick = |who: &[&str]| daemon.run(&[&["users", "kick", "--reason", "r", "--yes"], who].concat());
    assert_eq!(kick(&["alice"]).code, 0);
    assert_eq!(kick(&["bob"]).code, 4);
    let some = kick(&["bob", "alice"]);
    assert_eq!((some.code, some.out.as_str()), (8, "ended 1 session of alice\n"), "{some:?}");
}

#[test]
fn a_notice_is_a_text_or_json_from_a_pipe() {
    let daemon = Daemon::new(&[("POST /v1/rooms/floor%5F1/notice", changed("room.send", "floor_1"))]);
    let ran = daemon.run(&["rooms", "send", "floor_1", "--text", "lunch"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "told everybody in floor_1\n"));
    assert_eq!(daemon.seen().pop().unwrap().body, r#"{"message":{"notice":"lunch"}}"#);
    let mut child = daemon.arxosrt(&["rooms", "send", "floor_1", "--json", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"[1.50]\n").unwrap();
    assert_eq!(Ran::of(child.wait_with_output().unwrap()).code, 0);
    assert_eq!(daemon.seen().pop().unwrap().body, r#"{"message":[1.50]}"#);
    assert_eq!(daemon.run(&["rooms", "send", "floor_1"]).code, 2);
    assert_eq!(daemon.run(&["rooms", "send", "floor_1", "--json", "{"]).code, 2);
}

#[test]
fn a_drain_asks_too() {
    let status = json!({
        "state": "ready", "version": "0.1.0", "started_at": "x", "uptime_ms": 1, "engine": "memory", "connections": 3,
        "users": 1, "sessions": 1, "rooms": 1, "locks": 0, "waiters": 0, "buildings": 1, "last_token": 0
    });
    let daemon =
        Daemon::new(&[("GET /v1/status", document("Status", &status)), ("POST /v1/drain", changed("drain", "daemon"))]);
    let asked = daemon.run(&["drain"]);
    assert!(asked.code == 2 && asked.err.contains("send 3 connections away over 30s"), "{asked:?}");
    assert_eq!(daemon.run(&["drain", "--yes", "--window", "1m"]).code, 0);
    assert_eq!(daemon.seen().pop().unwrap().body, r#"{"window_ms":60000}"#);
}

#[test]
fn status_can_be_a_health_check() {
    let mut status = json!({
        "state": "read_only", "version": "0.1.0", "started_at": "x", "uptime_ms": 1, "engine": "memory",
        "connections": 3, "users": 1, "sessions": 1, "rooms": 1, "locks": 0, "waiters": 0, "buildings": 1,
        "last_token": 0
    });
    let daemon = Daemon::new(&[("GET /v1/status", document("Status", &status))]);
    assert_eq!(daemon.run(&["status"]).code, 0);
    let ran = daemon.run(&["status", "--check", "-o", "name"]);
    assert_eq!((ran.code, ran.out.as_str()), (9, "read_only\n"));
    status["state"] = json!("ready");
    let daemon = Daemon::new(&[("GET /v1/status", document("Status", &status))]);
    assert_eq!(daemon.run(&["status", "--check"]).code, 0);
}

#[test]
fn a_replay_that_differs_is_a_failure() {
    let report = |equal: bool| {
        json!({
            "building_id": "hq", "events": 3, "snapshot_position": 0, "position": 3, "replayed": "a", "running": "b",
            "equal": equal
        })
    };
    for (equal, exit) in [(true, 0), (false, 1)] {
        let daemon = Daemon::new(&[("GET /v1/buildings/hq/replay", document("Replay", &report(equal)))]);
        assert_eq!(daemon.run(&["debug", "replay", "hq"]).code, exit);
    }
}

#[test]
fn a_watch_is_lines_without_heartbeats_until_the_bye() {
    let put = format!(r#"{{"type":"put","kind":"Lock","revision":1,"id":"lk_7","object":{}}}"#, lock(7, "active"));
    let end = r#"{"type":"snapshot_end","kind":"Lock","revision":1}"#;
    let bye = r#"{"type":"bye","reason":"draining","retry_after_ms":1000}"#;
    let daemon = Daemon::new(&[("GET /v1/watch?kind=locks", stream(&[&put, end, r#"{"type":"heartbeat"}"#, bye]))]);
    let ran = daemon.run(&["locks", "list", "--watch"]);
    assert_eq!((ran.code, ran.out), (3, format!("{put}\n{end}\n{bye}\n")));
    assert!(ran.err.contains("draining"), "{}", ran.err);

    let daemon = Daemon::new(&[("GET /v1/watch?kind=locks", stream(&[&put]))]);
    assert_eq!(daemon.run(&["locks", "list", "--watch", "-o", "ndjson"]).code, 3, "it died without a word");
    for format in ["json", "name"] {
        let ran = daemon.run(&["locks", "list", "--watch", "-o", format]);
        assert!(ran.code == 2 && ran.err.contains("ndjson"), "{ran:?}");
    }
}

#[test]
fn events_are_sentences_and_gaps_are_told() {
    let event = json!({"type": "event", "kind": "Event", "object": {
        "at": "2026-11-24T04:06:09.123Z", "topic": "lock", "kind": "lock.granted", "room_id": "floor_1",
        "user_id": "alice", "subject": "lk_7", "detail": null
    }})
    .to_string();
    let lines = [event.as_str(), r#"{"type":"gap","dropped":17}"#, r#"{"type":"new"}"#, r#"{"type":"bye"}"#];
    let daemon =
        Daemon::new(&[("GET /v1/events", stream(&lines)), ("GET /v1/events?topics=lock%2Caudit", stream(&lines))]);
    let ran = daemon.run(&["events"]);
    assert_eq!(ran.out, "2026-11-24T04:06:09.123Z  lock.granted        floor_1  alice  lk_7\n… 17 events dropped …\n");
    assert_eq!(daemon.run(&["events", "lock", "audit", "--room", "floor_2"]).out, "… 17 events dropped …\n");
    assert_eq!(daemon.run(&["events", "locks"]).code, 2);
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let rooms: Vec<_> = (0..20_000).map(|n| room(&format!("floor_{n}"))).collect();
    let put = format!(r#"{{"type":"put","kind":"Room","revision":1,"id":"x","object":{}}}"#, room("x"));
    let daemon = Daemon::new(&[
        (ROOMS, list("Room", &rooms, None)),
        ("GET /v1/watch?kind=rooms", stream(&vec![put.as_str(); 20_000])),
    ]);
    for (words, code) in [
        (&["rooms", "list"][..], 141),
        (&["rooms", "list", "-o", "json"], 141),
        (&["rooms", "list", "-o", "name"], 141),
        (&["rooms", "list", "--watch"], 0),
    ] {
        let child = daemon.arxosrt(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let ran = head(child);
        assert_eq!((ran.code, ran.err.as_str()), (code, ""), "{words:?}");
    }
}

#[test]
fn what_needs_no_daemon_works_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("none.sock");
    let run = |words: &[&str]| Ran::of(arxosrt(words).env("ARXOSRT_SOCKET", &socket).output().unwrap());
    let codes = run(&["help", "exit-codes"]);
    assert!(codes.code == 0 && codes.out.contains("  141  broken_pipe"), "{codes:?}");
    assert!(run(&["help", "locks", "release"]).out.contains("--if-token"));
    assert_eq!(run(&["help", "nonsense"]).code, 2);
    let version = run(&["version", "-o", "json"]);
    assert_eq!((version.code, &version.json()["object"]["arxosrtd"]), (0, &json!(null)));
    assert!(run(&["version"]).out.contains("there is no socket"));
    assert_eq!(run(&["--version"]).code, 0);
    assert_eq!(run(&["rooms", "lits"]).code, 2);
}
