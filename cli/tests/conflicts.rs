//! `arxosrt conflicts` in front of a canned daemon.

mod support;

use serde_json::{Value, json};
use support::{Act, Daemon, conflict, document, list, problem, settled, stream};

const OPEN: &str = "GET /v1/conflicts?limit=1000";
const ALL: &str = "GET /v1/conflicts?limit=1000&settled=true";
const ONE: &str = "GET /v1/conflicts/cf%5F1";
const RESOLVE: &str = "POST /v1/conflicts/cf%5F1/resolve";
const RESTORE: &str = "POST /v1/conflicts/cf%5F1/restore";

fn resolved(dry_run: bool) -> Act {
    let row = json!({
        "conflict_id": "cf_1", "resource_id": "obj_1", "version": 8, "dry_run": dry_run,
        "changes": [{"op": "set", "path": "/label", "value": "b\u{9b}c"}]
    });
    document("Resolved", &row)
}

/// A daemon with one open conflict that can be settled.
fn daemon(severity: &str) -> Daemon {
    Daemon::new(&[(ONE, document("Conflict", &conflict("cf_1", severity))), (RESOLVE, resolved(false))])
}

/// What the daemon was last asked to do.
fn last_body(daemon: &Daemon) -> Value {
    serde_json::from_str(&daemon.seen().pop().unwrap().body).unwrap()
}

#[test]
fn a_list_is_of_open_ones_unless_it_is_said_otherwise() {
    let daemon = Daemon::new(&[
        (OPEN, list("Conflict", &[conflict("cf_2", "high")], Some("cf_2"))),
        ("GET /v1/conflicts?limit=1000&before=cf%5F2", list("Conflict", &[conflict("cf_1", "low")], None)),
        (ALL, list("Conflict", &[conflict("cf_2", "high"), settled("cf_0", "t")], None)),
    ]);
    let table = daemon.run(&["conflicts", "list"]);
    assert_eq!(
        table.out,
        "CONFLICT  SEVERITY  STATUS  RESOURCE  COMMITTED  WAITS  TYPE             FOUND                     LEFT\n\
         cf_2      high      open    obj_1     Ann        Ben    concurrent_edit  2026-11-24T04:06:09.123Z   42s\n\
         cf_1      low       open    obj_1     Ann        Ben    concurrent_edit  2026-11-24T04:06:09.123Z   42s\n"
    );
    let json = daemon.run(&["conflict", "ls", "--open", "-o", "json"]).json();
    assert_eq!(json["items"][1], conflict("cf_1", "low"), "unknown fields get through");
    assert_eq!(daemon.run(&["conflicts", "list", "--all", "-q"]).out, "cf_2\ncf_0\n");
    assert_eq!(daemon.run(&["conflicts", "list", "--settled", "-q"]).out, "cf_0\n");
    for contradiction in [["--open", "--settled"], ["--settled", "--all"], ["--all", "--watch"]] {
        assert_eq!(daemon.run(&[&["conflicts", "list"], &contradiction[..]].concat()).code, 2);
    }
}

#[test]
fn the_daemon_narrows_a_list_and_a_limit_ends_it() {
    let narrowed = "GET /v1/conflicts?limit=2&of=ann&resource=a%26b&building=hq&severity=medium&path=%2Fposition";
    let daemon = Daemon::new(&[
        (narrowed, list("Conflict", &[conflict("cf_2", "high"), conflict("cf_1", "low")], Some("cf_1"))),
        ("GET /v1/conflicts?limit=1&severity=critical", list("Conflict", &[], None)),
    ]);
    let flags = ["--user", "ann", "--resource", "a&b", "--building", "hq", "--severity", "medium"];
    let ran =
        daemon.run(&[&["conflicts", "list", "-o", "name", "--path", "/position", "--limit", "2"], &flags[..]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (0, "cf_2\ncf_1\n"), "{ran:?}");
    assert_eq!(daemon.seen().len(), 1, "no page beyond the limit");
    let ran = daemon.run(&["conflicts", "list", "-q", "--severity", "critical", "--limit", "1"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert_eq!(daemon.run(&["conflicts", "list", "--severity", "grave"]).code, 2);
}

#[test]
fn a_conflict_is_shown_path_by_path_with_both_sides_by_name() {
    let shown = daemon("medium").run(&["conflicts", "show", "cf_1"]).out;
    for line in [
        "conflict   cf_1 (revision 3)\n",
        "status     open, the two have 42s left\n",
        "committed  Ann (ann)\n",
        "waits      Ben (ben)\n",
        "path       /position (x y), medium, concurrent_edit\n",
        "  base     {\"x\":0}\n",
        "  first    Ann: {\"x\":1}\n",
        "  second   Ben: {\"x\":2.5}\n",
        "path       /label, medium, concurrent_edit\n",
    ] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
    let daemon = Daemon::new(&[(ONE, problem(404, "conflict_not_found", "no such conflict"))]);
    assert_eq!(daemon.run(&["conflicts", "show", "cf_1"]).code, 4);
}

#[test]
fn values_cannot_steer_the_terminal() {
    let evil = "bob\u{9b}2J\u{202e}";
    let mut row = conflict("cf_1", "high");
    for field in ["resource_id", "username_1", "description", "conflict_type"] {
        row[field] = json!(evil);
    }
    row["paths"][0]["value_1"] = json!({"text": evil});
    row["paths"][0]["path"] = json!(evil);
    let daemon = Daemon::new(&[
        (OPEN, list("Conflict", std::slice::from_ref(&row), None)),
        (ONE, document("Conflict", &row)),
        (RESOLVE, resolved(true)),
    ]);
    for words in [
        &["conflicts", "list"][..],
        &["conflicts", "show", "cf_1"],
        &["conflicts", "show", "cf_1", "-o", "json"],
        &["conflicts", "resolve", "cf_1", "--winner", "ann", "--reason", "r"],
        &["conflicts", "resolve", "cf_1", "--winner", "nobody", "--reason", "r"],
        &["conflicts", "resolve", "cf_1", "--merge", "--choose", "x=ann", "--reason", "r"],
        &["conflicts", "resolve", "cf_1", "--winner", "ann", "--dry-run"],
    ] {
        let ran = daemon.run(words);
        let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!ran.out.chars().chain(ran.err.chars()).any(steers), "{words:?}: {ran:?}");
    }
}

#[test]
fn a_conflict_is_settled_with_a_reason_a_yes_and_the_revision_that_was_seen() {
    let daemon = daemon("medium");
    let resolve = |flags: &[&str]| daemon.run(&[&["conflicts", "resolve", "cf_1", "--winner", "ben"], flags].concat());
    let no_reason = resolve(&[]);
    assert!(no_reason.code == 2 && no_reason.err.contains("--reason"), "{no_reason:?}");
    let nobody_to_ask = resolve(&["--reason", "r", "-o", "json"]);
    assert!(nobody_to_ask.code == 2 && nobody_to_ask.error()["hint"] == "--yes confirms it", "{nobody_to_ask:?}");
    assert!(daemon.seen().iter().all(|seen| seen.line.starts_with("GET")), "nothing was changed");

    let done = resolve(&["--reason", "ben measured it", "--yes"]);
    assert_eq!((done.code, done.out.as_str()), (0, "settled cf_1: 1 change, obj_1 is at version 8\n"), "{done:?}");
    assert_eq!(last_body(&daemon), json!({"winner": "ben", "revision": 3, "reason": "ben measured it"}));
    assert_eq!(resolve(&["--reason", "r", "-yq"]).out, "");
    assert_eq!(resolve(&["--reason", "r", "-y", "-o", "json"]).json()["object"]["version"], 8);

    resolve(&["--reason", "r", "-y", "--revision", "2"]);
    assert_eq!(last_body(&daemon)["revision"], 2);
}

#[test]
fn a_merge_chooses_by_path_and_a_value_is_any_json() {
    let daemon = daemon("medium");
    let resolve = |how: &[&str]| daemon.run(&[&["conflicts", "resolve", "cf_1", "--reason", "r", "-y"], how].concat());
    assert_eq!(resolve(&["--merge", "--choose", "/position=ben", "--choose", "/label=ann"]).code, 0);
    assert_eq!(last_body(&daemon)["choices"], json!({"/position": "ben", "/label": "ann"}));
    assert_eq!(resolve(&["--merge"]).code, 0);
    assert_eq!(last_body(&daemon)["choices"], json!({}));
    assert_eq!(resolve(&["--value", "/label=\"a=b\"", "--value", "/position=null"]).code, 0);
    assert_eq!(last_body(&daemon)["values"], json!({"/label": "a=b", "/position": null}));
    let changes = daemon.seen().iter().filter(|seen| seen.line.starts_with("POST")).count();
    for bad in [
        &[][..],
        &["--winner", "ann", "--merge"],
        &["--merge", "--value", "/label=1"],
        &["--choose", "/label=ann"],
        &["--winner", "carl"],
        &["--merge", "--choose", "/label=carl"],
        &["--merge", "--choose", "/lable=ann"],
        &["--value", "/label=door"],
    ] {
        assert_eq!(resolve(bad).code, 2, "{bad:?}");
    }
    assert_eq!(daemon.seen().iter().filter(|seen| seen.line.starts_with("POST")).count(), changes);
}

#[test]
fn a_dry_run_needs_no_leave_and_says_what_would_change() {
    let daemon = Daemon::new(&[(ONE, document("Conflict", &conflict("cf_1", "critical"))), (RESOLVE, resolved(true))]);
    let ran = daemon.run(&["conflicts", "resolve", "cf_1", "--winner", "ann", "--dry-run"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (
            0,
            "conflict  cf_1\nresource  obj_1\nwould     {\"op\":\"set\",\"path\":\"/label\",\"value\":\"b\\u{9b}c\"}\n\
             version   would be 8\n"
        )
    );
    assert_eq!(last_body(&daemon), json!({"winner": "ann", "revision": 3, "dry_run": true}));
}

#[test]
fn whoever_comes_too_late_ends_with_6() {
    let daemon = Daemon::new(&[(ONE, document("Conflict", &settled("cf_1", "t")))]);
    let late = daemon.run(&["conflicts", "resolve", "cf_1", "--winner", "ann", "--reason", "r", "-y"]);
    assert_eq!(late.code, 6);
    assert!(late.err.contains("merge by timeout") && late.err.contains("conflicts restore cf_1"), "{late:?}");
    assert_eq!(daemon.seen().len(), 1, "it only looked");
    for (status, code) in [(409, "already_resolved"), (412, "revision_changed")] {
        let daemon = Daemon::new(&[
            (ONE, document("Conflict", &conflict("cf_1", "low"))),
            (RESOLVE, problem(status, code, "somebody was faster")),
        ]);
        let ran = daemon.run(&["conflicts", "resolve", "cf_1", "--winner", "ann", "--reason", "r", "-y", "-o", "json"]);
        assert_eq!((ran.code, &ran.error()["code"]), (6, &json!(code)));
    }
}

#[test]
fn what_lost_is_brought_back_with_a_reason_and_a_yes() {
    let daemon = Daemon::new(&[(RESTORE, resolved(false))]);
    let restore = |flags: &[&str]| daemon.run(&[&["conflicts", "restore", "cf_1"], flags].concat());
    assert!(restore(&["-y"]).err.contains("--reason"));
    assert!(restore(&["--reason", "r"]).err.contains("bring back what lost in cf_1"));
    assert!(daemon.seen().is_empty());
    let done = restore(&["--user", "ben", "--path", "/label", "--reason", "r", "-y"]);
    assert_eq!((done.code, done.out.as_str()), (0, "restored from cf_1: 1 change, obj_1 is at version 8\n"));
    assert_eq!(last_body(&daemon), json!({"user_id": "ben", "path": "/label", "reason": "r"}));
    restore(&["--reason", "r", "-y"]);
    assert_eq!(last_body(&daemon), json!({"reason": "r"}));
}

#[test]
fn the_history_is_in_the_order_of_settling() {
    let rows = [
        conflict("cf_4", "high"),
        settled("cf_3", "2001-01-01T00:00:00.000Z"),
        settled("cf_2", "2099-01-01T00:00:00.000Z"),
        settled("cf_1", "2026-11-24T04:06:09.123Z"),
    ];
    let daemon = Daemon::new(&[(ALL, list("Conflict", &rows, None))]);
    assert_eq!(
        daemon.run(&["conflicts", "history", "--limit", "2", "--no-headers"]).out,
        "2099-01-01T00:00:00.000Z  cf_2  low  obj_1  Ann  Ben  merge  timeout\n\
         2026-11-24T04:06:09.123Z  cf_1  low  obj_1  Ann  Ben  merge  timeout\n"
    );
    assert_eq!(daemon.run(&["conflicts", "history", "-q"]).out, "cf_2\ncf_1\ncf_3\n");
    assert_eq!(daemon.run(&["conflicts", "history", "-q", "--since", "1h"]).out, "cf_2\n");
}

#[test]
fn figures_without_a_past_are_figures_too() {
    let mut stats = json!({
        "open": 2, "escalated": 1, "edits": 0, "merged": 0, "auto_merge_ratio": null,
        "opened": {"low": 0, "medium": 2, "high": 0, "critical": 1},
        "settled": {"people": 0, "operators": 0, "timeout": 0, "rules": 0}, "mean_settle_ms": null, "restored": 0,
        "hot_paths": [{"resource_id": "obj_1", "path": "/position", "conflicts": 3}],
        "forecast": {"judged": 0, "brier": null, "base_brier": null, "shown": false}
    });
    let shown =
        Daemon::new(&[("GET /v1/conflict-stats", document("ConflictStats", &stats))]).run(&["conflicts", "stats"]).out;
    for line in ["auto-merge  -\n", "mean time   -\n", "hot path    3 obj_1 /position\n", "0 low, 2 medium"] {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
    stats["auto_merge_ratio"] = json!(0.875);
    stats["mean_settle_ms"] = json!(61_000);
    stats["forecast"] = json!({"judged": 40, "brier": 0.125, "base_brier": 0.25, "shown": true});
    let daemon = Daemon::new(&[("GET /v1/conflict-stats", document("ConflictStats", &stats))]);
    let shown = daemon.run(&["conflicts", "stats"]).out;
    for text in ["87.5 %", "1m01s", "40 judged, Brier 0.1250 against 0.2500 of the base rate, shown"] {
        assert!(shown.contains(text), "{text:?} in {shown}");
    }
    assert_eq!(daemon.run(&["conflicts", "stats", "-o", "json"]).json()["object"], stats);
}

#[test]
fn a_watched_list_and_the_events_go_on() {
    let put = |id: &str, severity| {
        let object = conflict(id, severity);
        json!({"type": "put", "kind": "Conflict", "revision": 1, "id": id, "object": object}).to_string()
    };
    let (low, high) = (put("cf_1", "low"), put("cf_2", "high"));
    let bye = r#"{"type":"bye","reason":"draining"}"#;
    let event = json!({"type": "event", "kind": "Event", "object": {
        "at": "t", "topic": "conflict", "kind": "conflict.opened", "room_id": "floor_1", "user_id": "ben",
        "subject": "cf_1", "detail": "medium"
    }});
    let daemon = Daemon::new(&[
        ("GET /v1/watch?kind=conflicts", stream(&[&low, &high, bye])),
        ("GET /v1/events?topics=conflict", stream(&[&event.to_string(), bye])),
    ]);
    let ran = daemon.run(&["conflicts", "list", "--watch", "--severity", "medium"]);
    assert_eq!((ran.code, ran.out), (3, format!("{high}\n{bye}\n")));
    let ran = daemon.run(&["conflicts", "watch"]);
    assert_eq!(ran.out, "t  conflict.opened     floor_1  ben  cf_1  medium\n");
    assert_eq!(daemon.run(&["conflicts", "watch", "--room", "floor_2"]).out, "");
    assert_eq!(daemon.run(&["conflicts", "watch", "-o", "json"]).code, 2);
}

#[test]
fn check_ends_with_9_when_an_operator_is_wanted() {
    let with = |state: &str, closed: u64, escalated: u64| {
        let status = json!({
            "state": state, "version": "0", "started_at": "t", "uptime_ms": 1, "engine": "memory", "connections": 0,
            "users": 0, "sessions": 0, "rooms": 0, "locks": 0, "waiters": 0, "buildings": 0, "last_token": 0,
            "buildings_closed": closed
        });
        let stats = json!({
            "open": escalated, "escalated": escalated, "edits": 0, "merged": 0, "auto_merge_ratio": null,
            "opened": {"low": 0, "medium": 0, "high": 0, "critical": escalated},
            "settled": {"people": 0, "operators": 0, "timeout": 0, "rules": 0},
            "mean_settle_ms": null, "restored": 0, "hot_paths": [],
            "forecast": {"judged": 0, "brier": null, "base_brier": null, "shown": false}
        });
        Daemon::new(&[
            ("GET /v1/status", document("Status", &status)),
            ("GET /v1/conflict-stats", document("ConflictStats", &stats)),
        ])
    };
    let well = with("ready", 0, 0).run(&["check"]);
    assert_eq!(well.code, 0, "{}", well.out);
    for (daemon, names) in [(with("read_only", 0, 0), "daemon"), (with("ready", 1, 0), "buildings")] {
        let run = daemon.run(&["check", "-o", "name"]);
        assert_eq!((run.code, run.out.trim()), (9, names));
    }
    let run = with("ready", 0, 2).run(&["check", "-o", "json"]);
    assert_eq!(run.code, 9);
    let check = run.json();
    assert_eq!(check["object"]["healthy"], false);
    assert_eq!(check["object"]["probes"][2]["ok"], false);
}
