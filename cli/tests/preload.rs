//! `arxosrt preload`, `jobs` and `cache` in front of a canned daemon.

mod support;

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Act, Daemon, Ran, changed, document, list, problem, stream};

const PRELOAD: &str = "POST /v1/preload";
const FOLLOW: &str = "GET /v1/jobs/job%5F7/follow";

fn job(state: &str, counts: [u64; 4]) -> Value {
    let [total, done, skipped, failed] = counts;
    json!({
        "job_id": "job_7", "kind": "preload", "target": "3 items", "state": state, "actor": "uid 0 (root)",
        "created_at": "2026-11-24T04:06:09.123Z", "elapsed_ms": 3000, "total": total, "done": done,
        "skipped": skipped, "failed": failed, "cancelled": 0, "bytes": 2048, "new_field": "kept"
    })
}

fn put(kind: &str, object: &Value) -> String {
    json!({"type": "put", "kind": kind, "id": "x", "object": object}).to_string()
}

fn item(at: u64, state: &str) -> Value {
    let mut row = json!({
        "item": at, "floor_id": "f", "state": state, "entries": 4, "bytes": 1024, "attempts": 1, "took_ms": 38
    });
    if state == "failed" {
        row["code"] = json!("not_there");
        row["message"] = json!("the origin has no such floor");
    }
    row
}

/// A stream of a job that ends with these items.
fn followed(items: &[Value], end: &Value) -> Act {
    let mut lines = vec![put("Job", &job("running", [items.len() as u64, 0, 0, 0]))];
    lines.extend(items.iter().map(|item| put("JobItem", item)));
    lines.push(put("Job", end));
    lines.push(r#"{"type":"bye","reason":"over"}"#.to_owned());
    stream(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A daemon that takes an order and carries it out like this.
fn daemon(items: &[Value], end: &Value) -> Daemon {
    Daemon::new(&[
        (PRELOAD, document("Job", &job("queued", [items.len() as u64, 0, 0, 0]))),
        (FOLLOW, followed(items, end)),
    ])
}

fn feed(daemon: &Daemon, words: &[&str], input: &str) -> Ran {
    let mut command = daemon.arxosrt(words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses early does not read all of it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Ran::of(child.wait_with_output().unwrap())
}

fn body(daemon: &Daemon, at: usize) -> Value {
    serde_json::from_str(&daemon.seen()[at].body).unwrap()
}

#[test]
fn a_batch_answers_line_by_line_and_ends_with_8_when_some_failed() {
    let items = [item(1, "failed"), item(0, "done"), item(2, "skipped")];
    let daemon = daemon(&items, &job("done", [3, 1, 1, 1]));
    let input =
        "# tomorrow\nfloor_1\r\n{\"building\":\"hq\"}\n\n{\"strategy\":\"object_data\",\"id\":\"floor:1\"}\n{oops\n";
    let ran = feed(&daemon, &["preload", "batch", "-", "--if-missing", "-o", "ndjson"], input);
    assert_eq!(ran.code, 8, "{ran:?}");
    let lines: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<(u64, &str, &str)> = lines[..4]
        .iter()
        .map(|line| (line["line"].as_u64().unwrap(), line["input"].as_str().unwrap(), line["state"].as_str().unwrap()))
        .collect();
    let entry = "{\"strategy\":\"object_data\",\"id\":\"floor:1\"}";
    let building = "{\"building\":\"hq\"}";
    assert_eq!(told, [(6, "{oops", "failed"), (3, building, "failed"), (2, "floor_1", "done"), (5, entry, "skipped")]);
    assert_eq!((&lines[0]["code"], &lines[1]["code"]), (&json!("bad_line"), &json!("not_there")));
    assert_eq!((&lines[2]["entries"], &lines[2]["took_ms"]), (&json!(4), &json!(38)));
    assert_eq!(
        lines[4],
        json!({"kind": "BatchSummary", "job_id": "job_7", "done": 1, "skipped": 1, "failed": 2, "bytes": 2048})
    );
    assert_eq!(ran.err, "", "the summary says it");
    assert_eq!(
        body(&daemon, 0),
        json!({"items": [
            {"floor": "floor_1"}, {"building": "hq"}, {"strategy": "object_data", "id": "floor:1"}
        ], "if_missing": true})
    );
}

#[test]
fn what_failed_is_written_down_ready_to_be_fed_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("failed.txt");
    let path = file.to_str().unwrap();
    let daemon = daemon(&[item(0, "done"), item(1, "failed")], &job("done", [2, 1, 0, 1]));
    // The very file that is read may be the one that is written.
    std::fs::write(&file, "floor_1\nfloor_2\n{\"flor\":1}\n# a comment that is longer than what stays\n").unwrap();
    let ran = daemon.run(&["preload", "batch", path, "--failed-out", path]);
    assert_eq!(ran.code, 8, "{ran:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "floor_2\n{\"flor\":1}\n");
    assert!(
        ran.out.contains("floor_2  the origin has no such floor\n") && ran.out.contains("4     1.0 KiB"),
        "{ran:?}"
    );

    let all_well = self::daemon(&[item(0, "done")], &job("done", [1, 1, 0, 0]));
    let ran = feed(&all_well, &["preload", "batch", "--failed-out", path, "-q"], "floor_1\n");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "");

    let nowhere = dir.path().join("no/such/folder");
    let ran = feed(&all_well, &["preload", "batch", "--failed-out", nowhere.to_str().unwrap()], "floor_1\n");
    assert_eq!(ran.code, 1);
    assert_eq!(all_well.seen().len(), 2, "nothing is ordered whose failures could not be written");
}

#[test]
fn a_batch_of_which_nothing_could_be_had_ends_with_1() {
    let daemon = daemon(&[item(0, "failed")], &job("failed", [1, 0, 0, 1]));
    assert_eq!(feed(&daemon, &["preload", "batch"], "floor_1").code, 1);
    let nothing = feed(&daemon, &["preload", "batch", "-o", "json"], "{bad\n");
    assert_eq!(nothing.code, 1);
    assert_eq!(nothing.json()["object"]["summary"]["failed"], 1);
    let empty = feed(&daemon, &["preload", "batch", "-o", "ndjson"], "# nothing\n");
    assert_eq!(empty.code, 0);
    assert_eq!(daemon.seen().len(), 2, "there was nothing to order");
}

#[test]
fn json_is_one_document_and_name_is_what_was_asked_for() {
    let daemon = daemon(&[item(0, "done"), item(1, "skipped")], &job("done", [2, 1, 1, 0]));
    let json = feed(&daemon, &["preload", "batch", "-o", "json"], "floor_1\nfloor_2\n").json();
    assert_eq!((&json["kind"], &json["object"]["items"][1]["input"]), (&json!("Batch"), &json!("floor_2")));
    assert_eq!(feed(&daemon, &["preload", "batch", "-o", "name"], "floor_1\nfloor_2\n").out, "floor_1\nfloor_2\n");
}

#[test]
fn a_batch_without_a_terminal_ends_with_a_line_that_sums_it_up() {
    let daemon = daemon(&[item(0, "done")], &job("done", [1, 1, 0, 0]));
    let ran = feed(&daemon, &["preload", "batch"], "floor_1\n");
    assert_eq!(ran.err, "job_7 is done: 1 of 1, 2.0 KiB in 3s\n");
    assert!(!ran.err.contains('\r') && !ran.out.contains("job_7"));
}

#[test]
fn a_wait_that_runs_out_leaves_the_job_and_says_its_name() {
    let running = put("Job", &job("running", [2, 1, 0, 0]));
    let heartbeats = vec![r#"{"type":"heartbeat"}"#; 2];
    let mut endless = String::from("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    for line in [running.as_str()].iter().chain(&heartbeats) {
        endless.push_str(&format!("{:x}\r\n{line}\n\r\n", line.len() + 1));
    }
    let daemon = Daemon::new(&[(PRELOAD, document("Job", &job("queued", [2, 0, 0, 0]))), (FOLLOW, Act::Stay(endless))]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("failed");
    let words = ["preload", "batch", "--wait=200ms", "--failed-out", file.to_str().unwrap()];
    let ran = feed(&daemon, &words, "floor_1\nfloor_2\n");
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(ran.err.contains("arxosrt jobs wait job_7") && ran.err.contains("1 of 2"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "floor_1\nfloor_2\n", "what is not known is to be fed again");
    let ran = daemon.run(&["jobs", "wait", "job_7", "--within", "200ms", "-o", "json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (7, &json!("timeout")));
    let ran = daemon.run(&["preload", "floor", "floor_1", "--wait=200ms"]);
    assert_eq!(ran.code, 7);
}

#[test]
fn a_daemon_that_goes_away_takes_its_jobs_along_and_that_is_said() {
    let daemon = Daemon::new(&[
        (PRELOAD, document("Job", &job("queued", [1, 0, 0, 0]))),
        (FOLLOW, stream(&[&put("Job", &job("running", [1, 0, 0, 0])), r#"{"type":"bye","reason":"shutting_down"}"#])),
    ]);
    let ran = feed(&daemon, &["preload", "batch"], "floor_1\n");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("--if-missing"), "{ran:?}");
}

#[test]
fn floors_and_buildings_are_ordered_and_waited_for_if_wanted() {
    let daemon = daemon(&[item(0, "done"), item(1, "failed")], &job("done", [2, 1, 0, 1]));
    let ran = daemon.run(&["preload", "floor", "floor_1", "a/b", "--if-missing", "--reason", "early shift"]);
    assert_eq!(ran.out, "job_7 is ordered: 3 items; arxosrt jobs wait job_7\n");
    assert_eq!(
        body(&daemon, 0),
        json!({"items": [{"floor": "floor_1"}, {"floor": "a/b"}], "split": true, "if_missing": true, "reason": "early shift"})
    );
    assert_eq!(daemon.run(&["preload", "building", "hq", "-q"]).out, "");
    assert_eq!(body(&daemon, 1), json!({"items": [{"building": "hq"}], "split": true}));
    let ran = daemon.run(&["preload", "building", "hq", "--wait"]);
    assert_eq!((ran.code, ran.out.as_str()), (8, "job_7 is done: 2 of 2, 1 failed, 2.0 KiB in 3s\n"));
    assert!(ran.err.contains("f: the origin has no such floor"), "{ran:?}");
    let json = daemon.run(&["preload", "floor", "floor_1", "--wait=5s", "-o", "json"]).json();
    assert_eq!((&json["job_id"], &json["failed"]), (&json!("job_7"), &json!(1)));
    assert_eq!(daemon.run(&["preload", "floor"]).code, 2);
    let off = Daemon::new(&[(PRELOAD, problem(403, "role_too_low", "no"))]);
    assert_eq!(off.run(&["preload", "floor", "floor_1"]).code, 5);
}

#[test]
fn a_batch_needs_a_file_or_a_pipe() {
    let daemon = daemon(&[], &job("done", [0, 0, 0, 0]));
    let ran = daemon.run(&["preload", "batch", "/no/such/file"]);
    assert!(ran.code == 2 && ran.err.contains("/no/such/file cannot be read"), "{ran:?}");
    let long = "f\n".repeat(100_001);
    let ran = feed(&daemon, &["preload", "batch"], &long);
    assert!(ran.code == 2 && ran.err.contains("100000") && ran.err.contains("split"), "{ran:?}");
    assert!(daemon.seen().is_empty());
    for contradiction in [&["--wait=1s", "--no-wait"][..], &["--no-wait", "--failed-out", "x"]] {
        assert_eq!(daemon.run(&[&["preload", "batch"], contradiction].concat()).code, 2);
    }
}

#[test]
fn the_result_is_told_once_and_counts_the_lines_that_could_not_be_read() {
    let daemon = daemon(&[item(0, "done"), item(1, "failed")], &job("done", [2, 1, 0, 1]));
    let ran = daemon.run(&["preload", "floor", "floor_1", "floor_2", "--wait"]);
    assert!(ran.out.contains("job_7 is done") && !ran.err.contains("job_7 is done"), "{ran:?}");
    let ran = daemon.run(&["jobs", "wait", "job_7"]);
    assert!(ran.out.contains("job_7 is done") && ran.err.is_empty(), "{ran:?}");
    let ran = feed(&daemon, &["preload", "batch", "--wait"], "floor_1\n{bad\nfloor_2\n");
    assert_eq!(ran.code, 8, "{ran:?}");
    assert_eq!(ran.err, "job_7 is done: 3 of 3, 2 failed, 2.0 KiB in 3s\n");
}

#[test]
fn what_would_be_taken_for_something_else_is_refused_with_the_right_words() {
    let daemon = daemon(&[item(0, "done")], &job("done", [1, 1, 0, 0]));
    for line in
        ["preload floor a --wait 5m", "preload batch --wait 90", "cache warm --wait 5m", "preload building --wait 1h b"]
    {
        let ran = daemon.run(&line.split(' ').collect::<Vec<_>>());
        assert!(ran.code == 2 && ran.err.contains("write --wait="), "{line}: {ran:?}");
    }
    let ran = daemon.run(&["preload", "floor", "hq:level-1", "floor:duplex:roof"]);
    assert!(ran.code == 2 && ran.err.contains("hint: the floor is duplex:roof"), "{ran:?}");
    assert!(daemon.seen().is_empty(), "nothing was ordered");
    let ran = feed(&daemon, &["preload", "batch"], "floor:duplex:roof\nduplex:roof\n");
    assert!(ran.code == 8 && ran.out.contains("the floor is duplex:roof"), "{ran:?}");
}

#[test]
fn a_batch_may_be_left_to_the_daemon() {
    let daemon = daemon(&[item(0, "done")], &job("done", [1, 1, 0, 0]));
    assert_eq!(feed(&daemon, &["preload", "batch", "--no-wait", "-o", "name"], "floor_1\n").out, "job_7\n");
    assert_eq!(daemon.seen().len(), 1);
}

#[test]
fn jobs_are_listed_shown_waited_for_and_called_off() {
    let (done, running) = (job("done", [3, 1, 1, 1]), job("running", [3, 0, 0, 0]));
    let daemon = Daemon::new(&[
        ("GET /v1/jobs?limit=1000", list("Job", &[running, done.clone()], None)),
        ("GET /v1/jobs/job%5F7", document("Job", &done)),
        ("GET /v1/jobs/job%5F7/items?limit=1000&failed=true", list("JobItem", &[item(1, "failed")], None)),
        ("GET /v1/jobs/job%5F9", problem(404, "job_not_found", "there is no job")),
        ("DELETE /v1/jobs/job%5F7", changed("job.cancel", "job_7")),
        (FOLLOW, followed(&[item(0, "done")], &done)),
    ]);
    assert_eq!(
        daemon.run(&["jobs", "list"]).out,
        "JOB    KIND     STATE    TARGET   SETTLED  FAILED    BYTES  TOOK  ACTOR\n\
         job_7  preload  running  3 items      0/3       0  2.0 KiB    3s  uid 0 (root)\n\
         job_7  preload  done     3 items      3/3       1  2.0 KiB    3s  uid 0 (root)\n"
    );
    assert_eq!(daemon.run(&["job", "ls", "--open", "-o", "ndjson"]).out.lines().count(), 1);
    let shown = daemon.run(&["jobs", "show", "job_7"]).out;
    for line in
        ["state       done\n", "items       3 of 3 settled\n", "ordered     2026-11-24T04:06:09.123Z by uid 0 (root)\n"]
    {
        assert!(shown.contains(line), "{line:?} in {shown}");
    }
    let failed = daemon.run(&["jobs", "show", "job_7", "--items", "--failed"]).out;
    assert!(failed.contains("f     the origin has no such floor"), "{failed}");
    assert_eq!(daemon.run(&["jobs", "show", "job_9"]).code, 4);
    let waited = daemon.run(&["jobs", "wait", "job_7", "job_7"]);
    assert_eq!((waited.code, waited.out.lines().count()), (8, 2), "{waited:?}");
    assert_eq!(daemon.run(&["jobs", "cancel", "job_7", "--reason", "enough"]).out, "called off job_7\n");
    assert_eq!(serde_json::from_str::<Value>(&daemon.seen().pop().unwrap().body).unwrap(), json!({"reason": "enough"}));
}

fn entry(id: &str) -> Value {
    json!({
        "strategy": "object_data", "id": id, "held": "local", "state": "fresh", "bytes": 1536, "age_ms": 5000,
        "ttl_left_ms": 1_700_000, "tags": ["floor:1", "building:hq"], "current": true, "hits": 3, "preloaded_by": "habit"
    })
}

#[test]
fn the_cache_is_looked_at_without_its_values() {
    let strategy = json!({
        "strategy": "floor_data", "priority": "high", "ttl_ms": 3_600_000, "sensitive": false, "entries": 2,
        "bytes": 4096, "hits_local": 9, "hits_shared": 1, "misses": 10, "hit_ratio": 0.5, "negative": 0, "stale": 0,
        "loads": 10, "loads_failed": 1, "load_ms": 12.34, "preloaded": 4, "preloaded_used": 2, "preloaded_wasted": 1,
        "evicted": {"space": 1, "items": 2, "expired": 3, "invalidated": 4, "replaced": 5}
    });
    let stats = json!({
        "entries": 2, "bytes": 4096, "bytes_max": 268_435_456, "loading": 0, "shared": "off", "strategies": [strategy]
    });
    let evil = "a\u{1b}[2J";
    let daemon = Daemon::new(&[
        ("GET /v1/cache-stats", document("CacheStats", &stats)),
        (
            "GET /v1/cache/entries?limit=1000&strategy=object%5Fdata&floor=1",
            list("CacheEntry", &[entry("floor:1")], Some("0.7")),
        ),
        (
            "GET /v1/cache/entries?limit=1000&strategy=object%5Fdata&floor=1&cursor=0%2E7",
            list("CacheEntry", &[entry(evil)], None),
        ),
        ("GET /v1/cache/entries/object%5Fdata/floor%3A1", document("CacheEntry", &entry("floor:1"))),
        ("GET /v1/cache/entries/object%5Fdata/floor%3A1/value", Act::Say(200, "{\"a\": 1.50}\n".into())),
        ("GET /v1/cache/entries/user%5Fsession/u/value", problem(409, "refused", "values are sensitive")),
    ]);
    let shown = daemon.run(&["cache", "stats"]).out;
    assert!(shown.contains("bytes    4.0 KiB of at most 256.0 MiB\n"), "{shown}");
    assert!(shown.contains("floor_data  1h00m        2  4.0 KiB  50.0      9       1      10"), "{shown}");
    let listed = daemon.run(&["cache", "list", "--strategy", "object_data", "--floor", "1"]);
    assert!(listed.out.contains("object_data  floor:1") && listed.out.contains("a\\u{1b}[2J"), "{listed:?}");
    let named = daemon.run(&["cache", "list", "--strategy", "object_data", "--floor", "1", "-o", "name"]).out;
    assert_eq!(named, "object_data floor:1\nobject_data a\\u{1b}[2J\n", "what cache show takes");
    let one = daemon.run(&["cache", "show", "object_data", "floor:1"]).out;
    assert!(one.contains("ttl left   28m20s\n") && one.contains("tag        building:hq\n"), "{one}");
    assert_eq!(daemon.run(&["cache", "get", "object_data", "floor:1"]).out, "{\"a\": 1.50}\n", "byte for byte");
    assert_eq!(daemon.run(&["cache", "get", "user_session", "u"]).code, 1);
}

fn invalidated(target: &str, count: u64, dry_run: bool) -> Act {
    document(
        "Invalidated",
        &json!({"target": target, "count": count, "dry_run": dry_run, "audited": !dry_run, "audit_id": null}),
    )
}

#[test]
fn little_is_forgotten_at_once_and_much_only_after_a_yes() {
    const INVALIDATE: &str = "POST /v1/cache/invalidate";
    let daemon = Daemon::new(&[(INVALIDATE, invalidated("floor 1", 3, false))]);
    let bodies = || daemon.seen().iter().map(|seen| serde_json::from_str(&seen.body).unwrap()).collect::<Vec<Value>>();
    let ran = daemon.run(&["cache", "invalidate", "--floor", "1"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "forgot floor 1: 3 entries\n"));
    let one = Daemon::new(&[(INVALIDATE, invalidated("floor 1", 1, false))]);
    assert_eq!(one.run(&["cache", "invalidate", "--floor", "1"]).out, "forgot floor 1: 1 entry\n");
    assert_eq!(daemon.run(&["cache", "invalidate", "object_data", "floor:1", "--reason", "r"]).code, 0);
    assert_eq!(bodies(), [json!({"floor": "1"}), json!({"strategy": "object_data", "id": "floor:1", "reason": "r"})]);

    let daemon = Daemon::new(&[(INVALIDATE, invalidated("all", 5000, true))]);
    let bodies = || daemon.seen().iter().map(|seen| serde_json::from_str(&seen.body).unwrap()).collect::<Vec<Value>>();
    for wide in [&["--all"][..], &["--building", "hq"], &["object_data"]] {
        let ran = daemon.run(&[&["cache", "invalidate"], wide].concat());
        assert!(ran.code == 2 && ran.err.contains("5000 entries") && ran.err.contains("--yes"), "{ran:?}");
    }
    assert!(bodies().iter().all(|body| body["dry_run"] == true), "nobody said yes");
    assert_eq!(daemon.run(&["cache", "invalidate", "--all", "--yes"]).code, 0);
    assert_eq!(bodies().pop().unwrap(), json!({"all": true}));
    let ran = daemon.run(&["cache", "invalidate", "--all", "--dry-run"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "would forget all: 5000 entries\n"));
    for bad in [&[][..], &["--all", "--floor", "1"], &["object_data", "--all"]] {
        assert_eq!(daemon.run(&[&["cache", "invalidate"], bad].concat()).code, 2, "{bad:?}");
    }
}

#[test]
fn what_was_hot_is_loaded_as_a_job() {
    let daemon = Daemon::new(&[
        ("POST /v1/cache/warm", document("Job", &job("queued", [3, 0, 0, 0]))),
        (FOLLOW, followed(&[], &job("done", [3, 3, 0, 0]))),
    ]);
    assert_eq!(daemon.run(&["cache", "warm"]).code, 0);
    assert_eq!(daemon.run(&["cache", "warm", "--wait"]).out, "job_7 is done: 3 of 3, 2.0 KiB in 3s\n");
}
