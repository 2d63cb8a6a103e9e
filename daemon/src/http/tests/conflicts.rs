//! Conflicts over REST: the old words for old clients, a person's own and nobody else's, and what a back end reports.

use serde_json::{Value, json};

use super::Daemon;
use super::fake_edits::conflict;
use super::routes::check;

fn resolved() -> Value {
    json!({
        "success": true, "message": "Conflict resolved", "conflict_id": "cf_1", "resource_id": "f1", "version": 8,
        "changes": [{"op": "set", "path": "/label", "value": 1.5}]
    })
}

fn unresolved(code: &str, detail: &str) -> Value {
    json!({"success": false, "message": "Failed to resolve conflict", "code": code, "detail": detail})
}

#[tokio::test]
async fn a_conflict_is_resolved_in_each_form_and_with_each_word() {
    check(
        &[
            ("POST /resolve-conflict", r#"{"user_id":"ann","conflict_id":"cf_1","resolution":"accept_mine"}"#),
            ("POST /resolve-conflict?user_id=ann&conflict_id=cf_1&resolution=accept_mine", ""),
            ("POST /resolve-conflict?user_id=ann&conflict_id=cf_1", r#"{"resolution":"accept_mine","revision":null}"#),
        ],
        "resolve ann cf_1 at None mine",
        resolved(),
    )
    .await;
    for (more, words) in [
        (r#""resolution":"accept_theirs","revision":3"#, "at Some(3) theirs"),
        (r#""resolution":"merge","choices":{"/b":"theirs","/a":"mine"}"#, "at None merge /a=mine /b=theirs"),
        (r#""resolution":"merge""#, "at None merge "),
        (r#""resolution":"merge","winner":"bob""#, "at None for bob"),
        (r#""resolution":"manual","values":{"/a":1.50,"/b":null}"#, "at None manual /a=1.5 /b=nothing"),
        (r#""resolution":"manual","value":null"#, "at None manual nothing"),
        (r#""resolution":"manual","value":[]"#, "at None manual []"),
    ] {
        let body = format!(r#"{{"user_id":"ann","conflict_id":"cf_1",{more}}}"#);
        let daemon = Daemon::start();
        assert_eq!(daemon.post("/realtime/resolve-conflict", &body).await.json(), resolved(), "{body}");
        assert_eq!(daemon.hub.asked(), [format!("resolve ann cf_1 {words}")]);
    }
}

#[tokio::test]
async fn unknown_forbidden_and_nobody_are_answered_alike() {
    let alike = unresolved("conflict_not_found", "there is no such conflict, or it is not yours");
    let daemon = Daemon::start();
    for body in [
        r#"{"user_id":"ann","conflict_id":"cf_9","resolution":"accept_mine"}"#,
        r#"{"user_id":"ann","conflict_id":"no id at all","resolution":"accept_mine"}"#,
        r#"{"user_id":"carl","conflict_id":"cf_1","resolution":"accept_mine"}"#,
        r#"{"conflict_id":"cf_1","resolution":"accept_mine"}"#,
        r#"{"conflict_id":"cf_9","resolution":"accept_mine"}"#,
        r#"{"user_id":null,"conflict_id":"cf_1","resolution":"accept_mine"}"#,
    ] {
        let answer = daemon.post("/realtime/resolve-conflict", body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, alike.clone()), "{body}");
    }
    for path in ["cf_9?user_id=ann", "cf_1?user_id=carl", "%20?user_id=ann", "lk_1?user_id=ann"] {
        let (uri, restore) = path.split_once('?').unwrap();
        let shown = daemon.get(&format!("/realtime/conflicts/{path}")).await;
        let restored = daemon.post(&format!("/realtime/conflicts/{uri}/restore?{restore}"), "").await;
        for answer in [shown, restored] {
            assert_eq!(answer.status, 404, "{path}");
            let json = answer.json();
            assert_eq!((&json["error_code"], &json["detail"]), (&alike["code"], &alike["detail"]), "{path}");
        }
    }
}

#[tokio::test]
async fn a_no_about_the_conflict_is_told_in_the_old_words_and_trouble_with_a_status() {
    let daemon = Daemon::start();
    let resolve = async |user: &str, word: &str| {
        let body = json!({"user_id": user, "conflict_id": "cf_1", "resolution": word});
        daemon.post("/realtime/resolve-conflict", &body.to_string()).await
    };
    for code in ["already_resolved", "revision_changed", "bad_edit", "lock_held"] {
        let answer = resolve(&format!("refuse:{code}"), "merge").await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, unresolved(code, &format!("the hub says {code}"))));
    }
    for (code, status) in [("store_unavailable", 503), ("rate_limited", 429)] {
        let answer = resolve(&format!("refuse:{code}"), "merge").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error_code"]), (status, &json!(code)));
    }
    assert_eq!(resolve("ann", "toss_a_coin").await.status, 400);
    assert_eq!(daemon.post("/realtime/resolve-conflict", "{}").await.status, 422);
}

#[tokio::test]
async fn a_back_end_reports_what_it_found() {
    let scalars = r#""resource_id":"f1","conflict_type":"clash","severity":"high""#;
    let answer = json!({"success": true, "conflict_id": "cf_2"});
    let two = format!(r#"{{"user_id_1":"ann","user_id_2":"bob",{scalars},"description":"a duct in a wall"}}"#);
    let users = format!(r#"{{"users":["ann","bob"],{scalars},"description":"a duct in a wall","room_id":null}}"#);
    check(
        &[
            ("POST /conflicts", &two),
            ("POST /conflicts", &users),
            (
                "POST /conflicts?user_id_1=ann&user_id_2=bob&resource_id=f1&conflict_type=clash&severity=high",
                r#"{"description":"a duct in a wall"}"#,
            ),
        ],
        r#"report f1 in - ann bob clash high "a duct in a wall""#,
        answer.clone(),
    )
    .await;
    let bare = format!(r#"{{"users":["ann","bob"],{scalars},"room_id":"f0"}}"#);
    check(&[("POST /conflicts", &bare)], r#"report f1 in f0 ann bob clash high """#, answer).await;

    let daemon = Daemon::start();
    let long = "x".repeat(1025);
    for (name, value, told) in [
        ("users", json!(["ann", "ann"]), "with themselves"),
        ("users", json!(["ann"]), "two ids"),
        ("users", json!(["ann", ""]), "body -> users"),
        ("users", json!("ann"), "two ids"),
        ("severity", json!("grave"), "low, medium, high or critical"),
        ("conflict_type", json!("a\nb"), "control characters"),
        ("conflict_type", json!(""), "not be empty"),
        ("description", json!(long), "1024 bytes"),
        ("resource_id", json!(null), "Field required"),
    ] {
        let mut body: Value = serde_json::from_str(&users).unwrap();
        body[name] = value;
        let answer = daemon.post("/realtime/conflicts", &body.to_string()).await;
        assert_eq!(answer.status, 422, "{body}");
        assert!(answer.json()["message"].as_str().unwrap().contains(told), "{told} in {}", answer.body);
    }
    assert!(daemon.hub.asked().is_empty());
}

#[tokio::test]
async fn a_list_holds_a_persons_own() {
    let mut row = serde_json::to_value(conflict()).unwrap();
    row.as_object_mut().unwrap().remove("paths");
    check(
        &[("GET /conflicts?user_id=ann", "")],
        r#"conflicts of Some("ann") on None settled false before None limit 100 paths false"#,
        json!({"conflicts": [row], "count": 1}),
    )
    .await;
    check(
        &[("GET /conflicts?user_id=carl&resource_id=f1&settled=true&before=cf_7&limit=5&paths=true", "")],
        r#"conflicts of Some("carl") on Some("f1") settled true before Some("cf_7") limit 5 paths true"#,
        json!({"conflicts": [], "count": 0}),
    )
    .await;
    let daemon = Daemon::start();
    for bad in [
        "",
        "user_id=ann&settled=yes",
        "user_id=ann&limit=0",
        "user_id=ann&limit=1001",
        "user_id=ann&limit=101&paths=true",
        "user_id=ann&before=7",
    ] {
        assert_eq!(daemon.get(&format!("/realtime/conflicts?{bad}")).await.status, 422, "{bad}");
    }
}

#[tokio::test]
async fn one_of_a_persons_own_is_shown_and_brought_back() {
    let row = serde_json::to_value(conflict()).unwrap();
    check(&[("GET /conflicts/cf_1?user_id=bob", "")], "conflict cf_1 of bob", row).await;
    let mut restored = resolved();
    restored["message"] = json!("Value restored");
    check(
        &[
            ("POST /conflicts/cf_1/restore", r#"{"user_id":"ann","whose":"bob","path":"/label"}"#),
            ("POST /conflicts/cf_1/restore?user_id=ann&whose=bob&path=/label", ""),
        ],
        r#"restore ann cf_1 of Some("bob") at Some("/label")"#,
        restored.clone(),
    )
    .await;
    check(&[("POST /conflicts/cf_1/restore", r#"{"user_id":"ann"}"#)], "restore ann cf_1 of None at None", restored)
        .await;
    let daemon = Daemon::start();
    assert_eq!(daemon.get("/realtime/conflicts/cf_1").await.status, 422);
    let late = daemon.post("/realtime/conflicts/cf_1/restore", r#"{"user_id":"refuse:revision_changed"}"#).await;
    assert_eq!(late.status, 412);
    let bad = daemon.post("/realtime/conflicts/cf_1/restore", r#"{"user_id":"ann","path":"label"}"#).await;
    assert_eq!(bad.status, 422);
}
