//! Conflicts over the control socket: what the hub is asked, and what an operator is told.

use arxosrt_core::building::command::{Resolution, Share};
use arxosrt_core::building::conflict::ConflictId;
use arxosrt_core::control::conflict::{ConflictRow, ConflictStats, DisputedPath, ResolvedRow};
use arxosrt_core::control::hello::Role;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Facts, Served, pair, refused, until};
use crate::hub::ask::{Ask, By, ConflictFilter};
use crate::store::AuditRecord;

/// As many as it takes to see the ends of pages.
pub(super) fn all() -> Vec<ConflictRow> {
    vec![conflict(3, "open"), conflict(2, "settled"), conflict(1, "open")]
}

pub(super) fn conflict(number: u64, status: &str) -> ConflictRow {
    let raw = |json: &str| RawValue::from_string(json.into()).unwrap();
    ConflictRow {
        conflict_id: ConflictId(number).to_string(),
        resource_id: "obj_1".into(),
        rooms: vec!["floor_1".into()],
        conflict_type: "concurrent_edit".into(),
        severity: "medium".into(),
        status: status.into(),
        source: "edit".into(),
        user_id_1: "ann".into(),
        username_1: "Ann".into(),
        user_id_2: "ben".into(),
        username_2: "Ben".into(),
        description: "ann and ben changed /label of obj_1".into(),
        created_at: "2026-11-24T04:06:09.123Z".into(),
        revision: 3,
        version: 7,
        decided_in_ms: Some(42_000),
        escalated_at: None,
        resolution: None,
        resolved_by: None,
        resolved_at: None,
        reason: None,
        paths: vec![DisputedPath {
            path: "/label".into(),
            fields: Vec::new(),
            conflict_type: "concurrent_edit".into(),
            severity: "medium".into(),
            base: raw("null"),
            value_1: raw("1.50"),
            value_2: raw("\"b\""),
            current: raw("1.50"),
            kept: None,
        }],
    }
}

/// The hub's part of conflicts.
pub(super) fn answer(question: Ask, facts: &mut Facts) {
    // An asker that has gone is none of the hub's business.
    match question {
        Ask::Conflicts { filter, reply } => {
            facts.looks += 1;
            let _ = reply.send(Ok(filtered(facts, &filter)));
            facts.changes.push(format!("look {filter:?}"));
        }
        Ask::Conflict { conflict, of, reply } => {
            assert_eq!(of, None, "operators see all");
            let id = conflict.to_string();
            let row = facts.conflicts.iter().find(|row| row.conflict_id == id).cloned();
            let _ = reply.send(row.ok_or_else(|| refused("not_found")));
        }
        Ask::Resolve { resolve, by, dry_run, reply } => {
            let record = record(by);
            facts.changes.push(format!(
                "resolve {} at {:?} {} by {} dry {dry_run}: {}",
                resolve.conflict,
                resolve.revision,
                in_words(&resolve.resolution),
                record.role,
                record.reason
            ));
            let answer = match (resolve.conflict, resolve.revision) {
                (ConflictId(2), _) => Err(refused("already_resolved")),
                (_, Some(2)) => Err(refused("revision_changed")),
                (conflict, _) => Ok(done(conflict, dry_run)),
            };
            match dry_run {
                true => drop(reply.send(answer)),
                false => facts.conclude(record, answer, reply),
            }
        }
        Ask::Restore { conflict, whose, path, by, reply } => {
            let record = record(by);
            let path = path.map(|path| path.as_str().to_owned());
            facts.changes.push(format!("restore {conflict} {whose:?} {path:?} by {}: {}", record.role, record.reason));
            facts.conclude(record, Ok(done(conflict, false)), reply);
        }
        Ask::ConflictStats { reply } => drop(reply.send(Ok(ConflictStats { open: 2, ..ConflictStats::default() }))),
        _ => panic!("the control socket asks nothing else"),
    }
}

fn filtered(facts: &Facts, filter: &ConflictFilter) -> Vec<ConflictRow> {
    let rows = facts.conflicts.iter().filter(|row| filter.settled || row.status != "settled");
    let rows = rows.filter(|row| {
        filter.before.is_none_or(|before| ConflictId::parse(&row.conflict_id).is_some_and(|id| id < before))
    });
    let bare = |row: &ConflictRow| match filter.paths {
        true => row.clone(),
        false => ConflictRow { paths: Vec::new(), ..row.clone() },
    };
    rows.map(bare).take(filter.limit).collect()
}

fn record(by: By) -> AuditRecord {
    match by {
        By::Operator(record) => record,
        By::Person(_) => panic!("operators are no party"),
    }
}

fn in_words(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Winner(user) => format!("for {user}"),
        Resolution::Merge(shares) => shares
            .iter()
            .map(|(path, share)| match share {
                Share::Of(user) => format!("{}={user}", path.as_str()),
                Share::Mine | Share::Theirs => panic!("an operator has no side"),
            })
            .collect::<Vec<_>>()
            .join(" "),
        Resolution::Manual(values) => values
            .iter()
            .map(|(path, value)| format!("{}={:?}", path.as_str(), value.as_ref().map(|value| value.to_json())))
            .collect::<Vec<_>>()
            .join(" "),
        other => panic!("an operator has no such resolution: {other:?}"),
    }
}

fn done(conflict: ConflictId, dry_run: bool) -> ResolvedRow {
    let change = RawValue::from_string(r#"{"op":"set","path":"/label","value":1.50}"#.into()).unwrap();
    let (conflict_id, resource_id) = (conflict.to_string(), "obj_1".into());
    ResolvedRow { conflict_id, resource_id, changes: vec![change], version: 8, dry_run }
}

fn asked(served: &Served) -> Vec<String> {
    served.hub.change(|facts| std::mem::take(&mut facts.changes))
}

#[tokio::test]
async fn lists_hold_no_values_unless_asked_and_pages_together_are_the_list() {
    let served = Served::start(Role::Operate);
    let open = served.get("/v1/conflicts").await;
    assert_eq!((open.status, &open.body["kind"]), (200, &json!("ConflictList")), "{open:?}");
    assert_eq!(open.ids("conflict_id"), ["cf_3", "cf_1"]);
    assert_eq!(open.body["items"][0].get("paths"), None);
    let whole = served.get("/v1/conflicts?paths=true&limit=100").await;
    assert_eq!(whole.body["items"][0]["paths"][0]["value_1"].to_string(), "1.5");

    assert_eq!(served.get("/v1/conflicts?paths=true&limit=101").await.code(), (400, "bad_request"));

    let mut seen = Vec::new();
    let mut path = "/v1/conflicts?settled=true&limit=1".to_owned();
    for _ in 0..4 {
        let page = served.get(&path).await;
        seen.extend(page.ids("conflict_id").into_iter().map(str::to_owned));
        match page.body["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/conflicts?settled=true&limit=1&before={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ["cf_3", "cf_2", "cf_1"]);
}

#[tokio::test]
async fn every_filter_reaches_the_hub_and_what_is_none_is_refused() {
    let served = Served::start(Role::View);
    served
        .get("/v1/conflicts?of=ann&resource=a%2Fb&building=hq&severity=high&path=%2Fx~1y&before=cf_9&limit=5&settled=true")
        .await;
    let looked = asked(&served).pop().unwrap();
    for part in ["ann", "a/b", "hq", "High", "/x~1y", "ConflictId(9)", "limit: 5", "settled: true", "paths: false"] {
        assert!(looked.contains(part), "{part} in {looked}");
    }
    for bad in
        ["of=", "severity=grave", "path=x", "path=%2F~2", "before=9", "limit=0", "limit=1001", "seventy=1", "settled=1"]
    {
        assert_eq!(served.get(&format!("/v1/conflicts?{bad}")).await.code(), (400, "bad_request"), "{bad}");
    }
    assert_eq!(asked(&served), [""; 0], "the hub was not asked");
}

#[tokio::test]
async fn one_conflict_is_shown_whole_and_none_is_not_found() {
    let served = Served::start(Role::Operate);
    let shown = served.get("/v1/conflicts/cf_1").await;
    assert_eq!((shown.status, &shown.body["object"]["paths"][0]["value_2"]), (200, &json!("b")), "{shown:?}");
    for unknown in ["cf_9", "lk_1", "cf_", "x"] {
        let reply = served.get(&format!("/v1/conflicts/{unknown}")).await;
        assert_eq!(reply.code(), (404, "conflict_not_found"), "{unknown}");
    }
    assert_eq!(served.get("/v1/conflict-stats").await.body["object"]["open"], 2);
}

#[tokio::test]
async fn a_resolution_says_one_how_and_why() {
    let served = Served::start(Role::Admin);
    let resolve = |body: &'static str| served.send("POST", "/v1/conflicts/cf_1/resolve", "", body);
    for bad in [
        r#"{"reason":"r"}"#,
        r#"{"winner":"ann","choices":{},"reason":"r"}"#,
        r#"{"winner":"ann"}"#,
        r#"{"winner":"ann","reason":" "}"#,
        r#"{"winner":"","reason":"r"}"#,
        r#"{"choices":{"label":"ann"},"reason":"r"}"#,
        r#"{"values":{"/label":1},"resaon":"r"}"#,
        r#"{"winner":"ann","reason":"r","revision":-1}"#,
    ] {
        assert_eq!(resolve(bad).await.code(), (400, "bad_request"), "{bad}");
    }
    assert_eq!(asked(&served), [""; 0], "the hub was not asked");

    for (body, words) in [
        (r#"{"winner":"ann","revision":3,"reason":" measured "}"#, "at Some(3) for ann by admin dry false: measured"),
        (r#"{"choices":{"/b":"ben","/a":"ann"},"reason":"r"}"#, "at None /a=ann /b=ben by admin dry false: r"),
        (r#"{"choices":{},"reason":"r"}"#, "at None  by admin dry false: r"),
        (
            r#"{"values":{"/a":null,"/b":{"x":1}},"reason":"r"}"#,
            r#"at None /a=None /b=Some("{\"x\":1}") by admin dry false: r"#,
        ),
        (r#"{"winner":"ann","dry_run":true}"#, "at None for ann by admin dry true: "),
    ] {
        let reply = resolve(body).await;
        assert_eq!(reply.status, 200, "{body}: {reply:?}");
        assert_eq!(asked(&served), [format!("resolve cf_1 {words}")]);
        assert_eq!(reply.body["object"]["dry_run"], words.contains("dry true"));
        assert_eq!(reply.body["object"]["changes"][0]["path"], "/label");
    }
    let audit = served.get("/v1/audit").await;
    assert_eq!(audit.ids("action"), ["conflict.resolve"; 4], "a dry run is no change");
    assert_eq!(audit.ids("target"), ["cf_1"; 4]);
}

#[tokio::test]
async fn who_comes_too_late_is_told_what_to_do() {
    let served = Served::start(Role::Admin);
    let late = served.send("POST", "/v1/conflicts/cf_2/resolve", "", r#"{"winner":"ann","reason":"r"}"#).await;
    assert_eq!(late.code(), (409, "already_resolved"));
    assert!(late.body["hint"].as_str().unwrap().contains("restore cf_2"), "{late:?}");
    let stale = r#"{"winner":"ann","reason":"r","revision":2}"#;
    let stale = served.send("POST", "/v1/conflicts/cf_1/resolve", "", stale).await;
    assert_eq!(stale.code(), (412, "revision_changed"));
    assert!(stale.body["hint"].as_str().unwrap().contains("show cf_1"), "{stale:?}");
}

#[tokio::test]
async fn what_lost_is_brought_back() {
    let served = Served::start(Role::Admin);
    let restore = |body: &'static str| served.send("POST", "/v1/conflicts/cf_2/restore", "", body);
    assert_eq!(restore("{}").await.code(), (400, "bad_request"));
    assert_eq!(restore(r#"{"path":"x","reason":"r"}"#).await.code(), (400, "bad_request"));
    let done = restore(r#"{"user_id":"ben","path":"/label","reason":"r"}"#).await;
    assert_eq!((done.status, &done.body["object"]["version"]), (200, &json!(8)), "{done:?}");
    assert_eq!(restore(r#"{"reason":"r"}"#).await.status, 200);
    let asked = asked(&served);
    assert!(asked[0].starts_with("restore cf_2 Some(") && asked[0].ends_with(r#"Some("/label") by admin: r"#));
    assert_eq!(asked[1], "restore cf_2 None None by admin: r");
    assert_eq!(served.get("/v1/audit").await.ids("action"), ["conflict.restore"; 2]);
}

#[tokio::test]
async fn a_watch_of_conflicts_tells_what_opens_and_what_is_settled() {
    let served = Served::start(Role::View);
    let mut watch = served.stream("/v1/watch?kind=conflicts").await;
    for expected in [pair("put", "cf_3"), pair("put", "cf_1"), pair("snapshot_end", "")] {
        assert_eq!(watch.told().await, expected);
    }
    until("the watch observes the hub", || served.hub.change(|facts| !facts.observers.is_empty())).await;
    served.hub.change(|facts| {
        facts.conflicts.insert(0, conflict(4, "open"));
        facts.conflicts[1].status = "settled".into();
        // Time passes for all of them, and that alone is no change.
        facts.conflicts[3].decided_in_ms = Some(1);
    });
    served.hub.tell("conflict", "conflict.settled");
    for expected in [pair("delete", "cf_3"), pair("put", "cf_4")] {
        assert_eq!(watch.told().await, expected);
    }
}

#[tokio::test]
async fn a_watch_sees_beyond_one_answer_of_the_hub() {
    let served = Served::start(Role::View);
    let many = crate::hub::ask::CONFLICTS_MAX as u64 + 7;
    served.hub.change(|facts| facts.conflicts = (1..=many).rev().map(|number| conflict(number, "open")).collect());
    let mut watch = served.stream("/v1/watch?kind=conflicts").await;
    let mut puts = 0;
    while watch.told().await.0 == "put" {
        puts += 1;
    }
    assert_eq!(puts, many);
}
