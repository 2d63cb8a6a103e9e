//! Edits over REST: both forms ask the hub the same, and only what is in the document is called a success.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::routes::check;
use super::{Daemon, request};

#[tokio::test]
async fn an_edit_in_each_form() {
    let applied = json!({"success": true, "resource_id": "f1", "result": "applied", "version": 8});
    let changes = "%5B%7B%22op%22:%22unset%22,%22path%22:%22/a%22%7D%5D";
    check(
        &[
            (
                "POST /edit",
                r#"{"user_id":"ann","resource_id":"f1","base_version":7,"changes":[{"op":"unset","path":"/a"}]}"#,
            ),
            (
                "POST /edit?user_id=ann&base_version=7",
                r#"{"resource_id":"f1","changes":[{"op":"unset","path":"/a"}],"patch":null,"new_field":1}"#,
            ),
            (&format!("POST /edit?user_id=ann&resource_id=f1&base_version=7&changes={changes}"), ""),
        ],
        "edit ann f1 in - from 7: 1 changes token None frame None as None",
        applied.clone(),
    )
    .await;
    check(
        &[(
            "POST /edit",
            r#"{"user_id":"ann","resource_id":"f1","room_id":"f0","base_version":7,"patch":{"a":1.50,"b":null},
                "fencing_token":77,"frame_version":3,"edit_id":"e1"}"#,
        )],
        r#"edit ann f1 in f0 from 7: patch {"a":1.50,"b":null} token Some(77) frame Some(3) as Some("e1")"#,
        applied.clone(),
    )
    .await;
    check(
        &[("POST /edit", r#"{"user_id":"ann","resource_id":"f1","base_version":0,"document":{}}"#)],
        "edit ann f1 in - from 0: whole {} token None frame None as None",
        applied,
    )
    .await;
}

#[tokio::test]
async fn what_is_not_in_the_document_is_no_success_and_a_repeat_is_what_it_was() {
    let daemon = Daemon::start();
    for (user, success, result) in [
        ("ann", true, "applied"),
        ("again", true, "duplicate"),
        ("conflict", false, "conflict"),
        ("fenced", false, "fenced"),
        ("locked", false, "locked"),
        ("rejected", false, "rejected"),
    ] {
        let edit = json!({"user_id": user, "resource_id": "f1", "base_version": 7, "patch": {}});
        let answer = daemon.post("/realtime/edit", &edit.to_string()).await;
        assert_eq!(answer.status, 200, "{user}");
        let answer = answer.json();
        assert_eq!((&answer["success"], &answer["result"]), (&json!(success), &json!(result)), "{user}");
    }
}

#[tokio::test]
async fn what_is_no_edit_is_refused() {
    let daemon = Daemon::start();
    for (body, status, code) in [
        ("{}", 422, "validation_error"),
        (r#"{"user_id":"ann","resource_id":"f1","patch":{}}"#, 422, "validation_error"),
        (r#"{"user_id":"ann","resource_id":"f1","base_version":-1,"patch":{}}"#, 422, "validation_error"),
        (r#"{"user_id":"ann","resource_id":"f1","base_version":1}"#, 400, "bad_message"),
        (r#"{"user_id":"ann","resource_id":"f1","base_version":1,"patch":{},"document":{}}"#, 400, "bad_message"),
        (r#"{"user_id":"ann","resource_id":"f1","base_version":1,"changes":[{"op":"x"}]}"#, 400, "bad_message"),
    ] {
        let answer = daemon.post("/realtime/edit", body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert_eq!(answer.json()["error_code"], code, "{body}");
    }
    let changes = vec![json!({"op": "unset", "path": "/a"}); 1025];
    let many = json!({"user_id": "ann", "resource_id": "f1", "base_version": 1, "changes": changes});
    let answer = daemon.post("/realtime/edit", &many.to_string()).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error_code"]), (413, &json!("too_large")));
    assert!(daemon.hub.asked().is_empty());
    for (code, status) in [("base_too_old", 409), ("not_connected", 400), ("store_unavailable", 503)] {
        let edit = json!({"user_id": format!("refuse:{code}"), "resource_id": "f1", "base_version": 1, "patch": {}});
        let answer = daemon.post("/realtime/edit", &edit.to_string()).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error_code"]), (status, &json!(code)));
    }
}

#[tokio::test]
async fn a_sync_answers_each_edit() {
    let edit = r#"{"resource_id":"f1","base_version":7,"patch":{}}"#;
    let daemon = Daemon::start();
    let sync = |user: &str, edits: &str| format!(r#"{{"user_id":"{user}","edits":{edits}}}"#);
    let answer = daemon.post("/realtime/sync", &sync("ann", &format!("[{edit},{edit}]"))).await;
    let applied = json!({"result": "applied", "version": 8});
    assert_eq!(answer.json(), json!({"success": true, "results": [applied, applied]}));
    daemon.hub.asked();

    let mixed = sync("ann", &format!(r#"[{edit},{{"edit_id":"e2"}},7]"#));
    let answer = daemon.post("/realtime/sync", &mixed).await.json();
    assert_eq!(answer["success"], false);
    assert_eq!((&answer["results"][0], &answer["results"][2]["result"]), (&applied, &json!("rejected")));
    let asked = daemon.hub.asked().pop().unwrap();
    assert!(asked.ends_with(r#"; bad_message as Some("e2"); bad_message as None"#), "{asked}");

    assert_eq!(daemon.post("/realtime/sync", &sync("fenced", &format!("[{edit}]"))).await.json()["success"], false);
    let many = format!("[{}]", vec!["7"; 257].join(","));
    for (edits, status, code) in
        [("[]", 413, "too_large"), (many.as_str(), 413, "too_large"), ("{}", 400, "bad_message")]
    {
        let answer = daemon.post("/realtime/sync", &sync("ann", edits)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error_code"]), (status, &json!(code)));
    }
    assert_eq!(daemon.post("/realtime/sync", r#"{"user_id":"ann"}"#).await.status, 422);
}

#[tokio::test]
async fn a_document_is_sent_to_those_who_do_not_have_it() {
    let whole = json!({"resource_id": "f1", "version": 7, "document": {"walls": [{"id": "w1", "x": 1.5}]}});
    check(&[("GET /documents/f1", "")], "document f1", whole.clone()).await;
    let daemon = Daemon::start();
    let answer = daemon.get("/realtime/documents/f1").await;
    assert_eq!(answer.headers["etag"], "\"7\"");
    assert_eq!(answer.headers["cache-control"], "no-cache");
    assert!(answer.body.contains("1.50"), "as it is kept: {}", answer.body);
    for (tags, is_known) in [
        ("\"7\"", true),
        ("W/\"7\"", true),
        ("\"1\", \"7\"", true),
        ("*", true),
        ("\"6\"", false),
        ("7", false),
        ("\"77\"", false),
    ] {
        let mut asked = request("GET", "/realtime/documents/f1", "");
        asked.headers_mut().insert("if-none-match", tags.parse().unwrap());
        let answer = daemon.send(asked).await;
        assert_eq!(answer.status == StatusCode::NOT_MODIFIED, is_known, "{tags}");
        assert_eq!(answer.headers["etag"], "\"7\"", "{tags}");
        match is_known {
            true => assert_eq!(answer.body, ""),
            false => assert_eq!(answer.json(), whole),
        }
    }
    let answer = daemon.get("/realtime/documents/a%2Fb").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error_code"]), (404, &Value::from("not_found")));
    assert_eq!(daemon.hub.asked().pop().unwrap(), "document a/b");
}
