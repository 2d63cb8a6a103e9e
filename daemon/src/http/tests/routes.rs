//! What must be true: the documented JSON form and the served query form ask the hub the same and are answered the same,
//! under either prefix.

use serde_json::{Value, json};

use super::Daemon;

/// Sends each form under each prefix and compares what the hub was asked and what the client was told.
pub(super) async fn check(forms: &[(&str, &str)], asked: &str, answer: Value) {
    let daemon = Daemon::start();
    for prefix in ["/v1/realtime", "/realtime"] {
        for (route, body) in forms {
            let (method, path) = route.split_once(' ').expect("METHOD path");
            let uri = format!("{prefix}{path}");
            let got = daemon.send(super::request(method, &uri, body)).await;
            assert_eq!(got.status, 200, "{route} {body}: {}", got.body);
            assert_eq!(daemon.hub.asked(), [asked], "{route} {body}");
            assert_eq!(got.json(), answer, "{route} {body}");
        }
    }
}

#[tokio::test]
async fn join_room() {
    check(
        &[
            ("POST /join-room", r#"{"user_id":"ann","room_id":"f1"}"#),
            ("POST /join-room", r#" {"room_id":"f1","user_id":"ann","username":"Ann"} "#),
            ("POST /join-room?user_id=ann&room_id=f1", ""),
            ("POST /join-room?user_id=ann&room_id=f1", "{}"),
            ("POST /join-room?user_id=ann&room_id=f1", "null"),
            ("POST /join-room?user_id=ann", r#"{"room_id":"f1"}"#),
            ("POST /join-room?user_id=bob&room_id=f2", r#"{"user_id":"ann","room_id":"f1"}"#),
            ("POST /join-room?user_id=bob&user_id=ann&room_id=f1", ""),
        ],
        "join ann f1",
        json!({"success": true, "message": "Joined room: f1"}),
    )
    .await;
}

#[tokio::test]
async fn leave_room() {
    check(
        &[("POST /leave-room", r#"{"user_id":"ann","room_id":"f1"}"#), ("POST /leave-room?user_id=ann&room_id=f1", "")],
        "leave ann f1",
        json!({"success": true, "message": "Left room: f1"}),
    )
    .await;
}

#[tokio::test]
async fn numbers_are_ids() {
    check(
        &[
            ("POST /join-room", r#"{"user_id":7,"room_id":42}"#),
            ("POST /join-room", r#"{"user_id":"7","room_id":"42"}"#),
            ("POST /join-room?user_id=7&room_id=42", ""),
        ],
        "join 7 42",
        json!({"success": true, "message": "Joined room: 42"}),
    )
    .await;
    check(
        &[("POST /join-room", r#"{"user_id":-1,"room_id":123456789012345678901234567890}"#)],
        "join -1 123456789012345678901234567890",
        json!({"success": true, "message": "Joined room: 123456789012345678901234567890"}),
    )
    .await;
}

#[tokio::test]
async fn a_free_lock_is_granted() {
    let granted = json!({
        "success": true,
        "lock_id": "lk_25",
        "message": "lk_25",
        "lock_type": "floor_edit",
        "resource_id": "f1",
        "acquired_at": "2026-11-24T04:00:00.000Z",
        "expires_at": "2026-11-24T04:05:00.000Z",
        "fencing_token": 77,
        "holder": {"user_id": "ann", "username": "User_ann"},
    });
    let scalars = "user_id=ann&lock_type=floor_edit&resource_id=f1";
    let in_query = format!("POST /acquire-lock?{scalars}");
    check(
        &[
            ("POST /acquire-lock", r#"{"user_id":"ann","lock_type":"floor_edit","resource_id":"f1"}"#),
            ("POST /acquire-lock", r#"{"user_id":"ann","lock_type":"floor_edit","resource_id":"f1","metadata":null}"#),
            (&in_query, ""),
            (&in_query, "null"),
        ],
        "lock ann floor_edit f1 in - for None with None",
        granted.clone(),
    )
    .await;
    // In the query form the whole body is the metadata, whatever it holds.
    let metadata_in_query = format!(r#"{in_query}&metadata=%7B%22a%22:1%7D"#);
    check(
        &[
            (
                "POST /acquire-lock",
                r#"{"user_id":"ann","lock_type":"floor_edit","resource_id":"f1","metadata":{"a":1}}"#,
            ),
            (
                "POST /acquire-lock",
                r#"{"user_id":"ann","lock_type":"floor_edit","resource_id":"f1","symbol_metadata":{"a":1}}"#,
            ),
            ("POST /acquire-lock?user_id=ann&lock_type=floor_edit", r#"{"resource_id":"f1","metadata":{"a":1}}"#),
            (&in_query, r#"{"a":1}"#),
            (&metadata_in_query, ""),
        ],
        r#"lock ann floor_edit f1 in - for None with Some("{\"a\":1}")"#,
        granted.clone(),
    )
    .await;
    check(
        &[(&in_query, r#"{"user_id":"bob","metadata":{}}"#)],
        r#"lock ann floor_edit f1 in - for None with Some("{\"user_id\":\"bob\",\"metadata\":{}}")"#,
        granted.clone(),
    )
    .await;
    let bounded_in_query = format!("{in_query}&room_id=r&ttl_ms=60000");
    check(
        &[
            (
                "POST /acquire-lock",
                r#"{"user_id":"ann","lock_type":"floor_edit","resource_id":"f1","room_id":"r","ttl_ms":60000}"#,
            ),
            (&bounded_in_query, ""),
        ],
        "lock ann floor_edit f1 in r for Some(60000) with None",
        granted,
    )
    .await;
}

#[tokio::test]
async fn every_lock_type_reaches_the_hub() {
    let daemon = Daemon::start();
    for name in ["floor_edit", "object_edit", "route_edit", "grid_calibration", "analytics_view"] {
        let uri = format!("/realtime/acquire-lock?user_id=ann&lock_type={name}&resource_id=x");
        assert_eq!(daemon.post(&uri, "").await.status, 200);
        let asked = format!("lock ann {name} x in - for None with None");
        assert_eq!(daemon.hub.asked(), [asked]);
    }
}

#[tokio::test]
async fn a_held_lock_is_an_answer_and_no_failure() {
    check(
        &[
            ("POST /acquire-lock", r#"{"user_id":"bob","lock_type":"floor_edit","resource_id":"f1"}"#),
            ("POST /acquire-lock?user_id=bob&lock_type=floor_edit&resource_id=f1", ""),
        ],
        "lock bob floor_edit f1 in - for None with None",
        json!({
            "success": false,
            "lock_id": null,
            "message": "Resource locked by User_ann",
            "expires_at": "2026-11-24T04:05:00.000Z",
            "holder": {"user_id": "ann", "username": "User_ann"},
        }),
    )
    .await;
    check(
        &[("POST /acquire-lock?user_id=late&lock_type=route_edit&resource_id=r", "")],
        "lock late route_edit r in - for None with None",
        json!({
            "success": false,
            "lock_id": null,
            "message": "Resource locked by an earlier request",
            "expires_at": null,
            "holder": null,
        }),
    )
    .await;
}

#[tokio::test]
async fn release_lock() {
    check(
        &[
            ("POST /release-lock", r#"{"user_id":"ann","lock_id":"lk_25"}"#),
            ("POST /release-lock?user_id=ann&lock_id=lk_25", ""),
        ],
        "release ann lk_25",
        json!({"success": true, "message": "Lock released"}),
    )
    .await;
    check(
        &[("POST /release-lock?user_id=bob&lock_id=lk_25", "")],
        "release bob lk_25",
        json!({"success": false, "message": "Failed to release lock"}),
    )
    .await;
    // The original's lock ids: there is no such lock, and the hub still says whether Ann is there.
    check(
        &[("POST /release-lock", r#"{"user_id":"ann","lock_id":"0b2e3f10-9a77-4a39-8f5e-2d1b7c6a5e44"}"#)],
        "release ann lk_0",
        json!({"success": false, "message": "Failed to release lock"}),
    )
    .await;
}

#[tokio::test]
async fn verify_a_token() {
    check(
        &[
            ("POST /locks/verify", r#"{"token":77,"resource_id":"f1"}"#),
            ("POST /locks/verify", r#"{"token":"77","resource_id":"f1"}"#),
            ("POST /locks/verify?token=77&resource_id=f1", ""),
        ],
        "verify 77 f1 for None",
        json!({"valid": true, "lock_id": "lk_25", "user_id": "ann", "remaining_ms": 299_000, "fence": 77}),
    )
    .await;
    check(
        &[
            ("POST /locks/verify", r#"{"token":9007199254740991,"resource_id":"f1","op":"grid"}"#),
            ("POST /locks/verify?token=9007199254740991&resource_id=f1&op=grid", ""),
        ],
        r#"verify 9007199254740991 f1 for Some("grid")"#,
        json!({"valid": false, "reason": "unknown_token", "remaining_ms": 0}),
    )
    .await;
}

#[tokio::test]
async fn a_presence_update_changes_what_it_names_and_nothing_else() {
    let done = json!({"success": true, "message": "Presence updated"});
    check(
        &[("POST /update-presence", r#"{"user_id":"ann"}"#), ("POST /update-presence?user_id=ann", "")],
        "update ann floor=keep action=keep cursor=keep metadata=keep",
        done.clone(),
    )
    .await;
    check(
        &[
            (
                "POST /update-presence",
                r#"{"user_id":"ann","floor_id":42,"current_action":"editing","cursor_position":[1.50,2],"metadata":{"a":1}}"#,
            ),
            (
                "POST /update-presence?user_id=ann&floor_id=42&current_action=editing",
                r#"{"cursor_position":[1.50,2],"symbol_metadata":{"a":1}}"#,
            ),
            (
                "POST /update-presence?user_id=ann&floor_id=42&current_action=editing\
                 &cursor_position=%5B1.50,2%5D&metadata=%7B%22a%22:1%7D",
                "",
            ),
        ],
        r#"update ann floor=42 action="editing" cursor=[1.50,2] metadata={"a":1}"#,
        done.clone(),
    )
    .await;
    check(
        &[(
            "POST /update-presence",
            r#"{"user_id":"ann","floor_id":null,"current_action":null,"cursor_position":null,"metadata":null}"#,
        )],
        "update ann floor=clear action=clear cursor=clear metadata=clear",
        done,
    )
    .await;
}

#[tokio::test]
async fn broadcast() {
    let told = json!({"success": true, "message": "Message broadcasted to room: f1", "seq": 12});
    check(
        &[
            ("POST /broadcast", r#"{"room_id":"f1","message":{"text":"hi"}}"#),
            ("POST /broadcast?room_id=f1", r#"{"text":"hi"}"#),
            ("POST /broadcast?room_id=f1&message=%7B%22text%22:%22hi%22%7D", ""),
        ],
        r#"broadcast f1 {"text":"hi"}"#,
        told.clone(),
    )
    .await;
    // The message is whatever JSON it is, untouched.
    for message in ["null", "7", "1.0e+5", r#""\u00e4 🏢""#, "[ 1,\n 2 ]", r#"{"message":1,"room_id":2}"#] {
        let in_body = format!(r#"{{"message":{message},"room_id":"f1"}}"#);
        check(
            &[("POST /broadcast?room_id=f1", message), ("POST /broadcast", &in_body)],
            &format!("broadcast f1 {message}"),
            told.clone(),
        )
        .await;
    }
}

#[tokio::test]
async fn room_users() {
    check(
        &[("GET /room-users/f1", "")],
        "users f1",
        json!({
            "room_id": "f1",
            "users": [
                {
                    "user_id": "ann", "username": "User_ann", "current_action": "editing",
                    "cursor_position": [1.5, 2], "last_seen": "2026-11-24T04:00:00.000Z", "is_active": true,
                },
                {
                    "user_id": "bob", "username": "User_bob", "current_action": null,
                    "cursor_position": null, "last_seen": "2026-11-24T03:00:00.000Z", "is_active": false,
                },
            ],
            "count": 2,
        }),
    )
    .await;
    check(&[("GET /room-users/nowhere", "")], "users nowhere", json!({"room_id": "nowhere", "users": [], "count": 0}))
        .await;
}

#[tokio::test]
async fn active_locks() {
    let lock = |metadata: Value| {
        json!({
            "lock_id": "lk_25", "lock_type": "floor_edit", "user_id": "ann", "username": "User_ann",
            "acquired_at": "2026-11-24T04:00:00.000Z", "expires_at": "2026-11-24T04:05:00.000Z",
            "metadata": metadata,
        })
    };
    check(
        &[("GET /active-locks/f1", "")],
        "locks f1",
        json!({"resource_id": "f1", "locks": [lock(json!({"reason": "walls"})), lock(json!({}))], "count": 2}),
    )
    .await;
    check(&[("GET /active-locks/f10", "")], "locks f10", json!({"resource_id": "f10", "locks": [], "count": 0})).await;
}

#[tokio::test]
async fn user_presence() {
    check(
        &[("GET /user-presence/ann", "")],
        "presence ann",
        json!({
            "user_id": "ann", "username": "User_ann", "floor_id": "f1", "building_id": "hq",
            "current_action": "editing", "cursor_position": [1.5, 2],
            "last_seen": "2026-11-24T04:00:00.000Z", "is_active": true, "metadata": {"tool": "wall"},
        }),
    )
    .await;
    check(
        &[("GET /user-presence/bob", "")],
        "presence bob",
        json!({
            "user_id": "bob", "username": "User_bob", "floor_id": null, "building_id": null,
            "current_action": null, "cursor_position": null,
            "last_seen": "2026-11-24T03:00:00.000Z", "is_active": false, "metadata": {},
        }),
    )
    .await;
}

#[tokio::test]
async fn connection_status() {
    check(
        &[("GET /connection-status", "")],
        "figures",
        json!({
            "websocket_connections": 4, "total_users": 3, "active_rooms": 2, "active_locks": 1,
            "active_conflicts": 5, "cache_connected": false,
        }),
    )
    .await;
}

#[tokio::test]
async fn an_id_in_the_path_is_decoded_once_and_means_nothing() {
    let daemon = Daemon::start();
    for (path, id) in [
        ("f1%20", "f1 "),
        ("%2Fusa%2Fny%2Fps-118%2Ffloor-02", "/usa/ny/ps-118/floor-02"),
        ("a%252Fb", "a%2Fb"),
        ("100%25", "100%"),
        ("100%", "100%"),
        ("*", "*"),
        ("%2e%2e", ".."),
        ("did:key:z6Mk", "did:key:z6Mk"),
        ("building:hq:floor:1", "building:hq:floor:1"),
        ("%F0%9F%8F%A2", "🏢"),
        ("a+b", "a+b"),
        ("%3Cb%3E", "<b>"),
    ] {
        let got = daemon.get(&format!("/realtime/room-users/{path}")).await;
        assert_eq!(got.json(), json!({"room_id": id, "users": [], "count": 0}));
        assert_eq!(daemon.hub.asked(), [format!("users {id}")]);
    }
}

#[tokio::test]
async fn an_id_in_the_query_is_decoded_once() {
    let daemon = Daemon::start();
    for (value, id) in [("a%2Fb", "a/b"), ("a+b", "a b"), ("a%2Bb", "a+b"), ("%25", "%"), ("*", "*")] {
        daemon.post(&format!("/realtime/join-room?user_id=ann&room_id={value}"), "").await;
        assert_eq!(daemon.hub.asked(), [format!("join ann {id}")]);
    }
}

#[tokio::test]
async fn what_is_true_now_is_not_kept_by_caches() {
    let got = Daemon::start().get("/realtime/room-users/f1").await;
    assert_eq!(got.headers["cache-control"], "no-store");
    assert!(!got.headers.contains_key("access-control-allow-origin"));
}
