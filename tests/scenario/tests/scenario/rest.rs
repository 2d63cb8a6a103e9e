//! REST, route by route: what existing back ends send, in the body or in the query, and exactly what they get.

use arxosrt_scenario::golden::{NUMBER, TEXT, TIME, assert_golden};
use arxosrt_scenario::http::{Answer, Request};
use arxosrt_scenario::{Client, Served, Setup, Value, json, quiet};

const PREFIXES: [&str; 2] = ["/v1/realtime", "/realtime"];

/// The same inputs in all places where existing clients put them.
fn in_all_places(path: &str, inputs: &Value) -> Vec<Request> {
    let fields = inputs.as_object().expect("an object");
    let query: Vec<String> = fields
        .iter()
        .map(|(key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{key}={}", arxosrt_scenario::segment(&text))
        })
        .collect();
    let query = query.join("&");
    PREFIXES
        .iter()
        .flat_map(|prefix| {
            [
                Request::post(&format!("{prefix}{path}")).json(inputs),
                Request::post(&format!("{prefix}{path}?{query}")),
                Request::post(&format!("{prefix}{path}?{query}")).json(&json!({})),
            ]
        })
        .collect()
}

async fn ok(served: &Served, request: Request) -> Value {
    request.to(served.http).await.ok()
}

/// A refusal says the same thing twice, since one generation reads `detail` and another `message`.
fn assert_refused(answer: &Answer, status: u16, code: &str, message: &str) {
    let body = answer.json();
    assert_eq!(answer.status, status, "{answer:?}");
    assert_golden(
        &json!({"success": false, "message": message, "detail": message, "error_code": code,
            "status_code": status, "timestamp": TIME}),
        &body,
        &["validation_errors"],
    );
    assert_eq!(answer.field("content-type"), Some("application/json"));
}

#[tokio::test]
async fn rooms_are_joined_and_left_for_a_person() {
    let served = Setup::memory().start();
    let mut ana = served.old("ana").await;
    let mut ben = served.old_in("ben", "floor_1").await;
    let inputs = json!({"user_id": "ana", "room_id": "floor_1"});
    let (joins, leaves) = (in_all_places("/join-room", &inputs), in_all_places("/leave-room", &inputs));
    for (join, leave) in joins.into_iter().zip(leaves) {
        let joined = json!({"success": true, "message": "Joined room: floor_1", "timestamp": TIME});
        assert_golden(&joined, &ok(&served, join).await, &[]);
        assert_eq!(ben.expect("user_joined_room").await["user_id"], "ana");
        // The person's own client learns that it is in a room now, as after its own join_room.
        assert_eq!(ana.expect("room_state").await["room_id"], "floor_1");
        let left = json!({"success": true, "message": "Left room: floor_1", "timestamp": TIME});
        assert_golden(&left, &ok(&served, leave).await, &[]);
        assert_eq!(ben.expect("user_left_room").await["user_id"], "ana");
    }
    for path in ["/join-room", "/leave-room"] {
        let nobody = json!({"user_id": "nobody", "room_id": "floor_1"});
        for request in in_all_places(path, &nobody) {
            let answer = request.to(served.http).await;
            assert_refused(&answer, 400, "not_connected", "User not connected via WebSocket");
        }
    }
}

#[tokio::test]
async fn locks_are_acquired_contended_listed_and_released() {
    let served = Setup::memory().start();
    let mut ana = served.old_in("ana", "floor_1").await;
    let mut ben = served.old_in("ben", "floor_1").await;
    let inputs = |user: &str| json!({"user_id": user, "lock_type": "object_edit", "resource_id": "outlet_7"});
    let more = ["lock_type", "resource_id", "acquired_at", "expires_at", "fencing_token", "holder"];
    let holder = |who: &str| json!({"user_id": who, "username": format!("User_{who}")});
    for n in 0..in_all_places("/acquire-lock", &inputs("ana")).len() {
        let request = in_all_places("/acquire-lock", &inputs("ana")).swap_remove(n);
        let granted = ok(&served, request).await;
        assert_golden(
            &json!({"success": true, "lock_id": TEXT, "message": TEXT, "timestamp": TIME}),
            &granted,
            &[&more[..], &["holder.user_id", "holder.username"]].concat(),
        );
        let lock = granted["lock_id"].as_str().expect("an id").to_owned();
        assert_eq!(granted["message"], lock.as_str());
        // The holder and the room learn it over their sockets.
        assert_eq!(ana.expect("lock_acquired").await["lock_id"], lock.as_str());
        assert_eq!(ben.expect("lock_acquired").await["lock_id"], lock.as_str());

        // Asking again gives the same lock back, from whatever place.
        let again = in_all_places("/acquire-lock", &inputs("ana")).swap_remove(0);
        assert_eq!(ok(&served, again).await["lock_id"], lock.as_str());

        // Contention is no failure of the request.
        let contended = in_all_places("/acquire-lock", &inputs("ben")).swap_remove(n);
        assert_golden(
            &json!({"success": false, "lock_id": null, "message": "Resource locked by User_ana", "timestamp": TIME,
                "holder": holder("ana"), "expires_at": TIME}),
            &ok(&served, contended).await,
            &[],
        );

        for prefix in PREFIXES {
            let row = json!({"lock_id": lock, "lock_type": "object_edit", "user_id": "ana", "username": "User_ana",
                "acquired_at": TIME, "expires_at": TIME, "metadata": {}});
            assert_golden(
                &json!({"resource_id": "outlet_7", "locks": [row], "count": 1, "timestamp": TIME}),
                &served.get(&format!("{prefix}/active-locks/outlet_7")).await.ok(),
                &[],
            );
        }

        // Only the holder's user releases.
        let not_his = json!({"user_id": "ben", "lock_id": lock});
        let failed = json!({"success": false, "message": "Failed to release lock", "timestamp": TIME});
        let released = json!({"success": true, "message": "Lock released", "timestamp": TIME});
        assert_golden(&failed, &ok(&served, in_all_places("/release-lock", &not_his).swap_remove(n)).await, &[]);
        let hers = json!({"user_id": "ana", "lock_id": lock});
        assert_golden(&released, &ok(&served, in_all_places("/release-lock", &hers).swap_remove(n)).await, &[]);
        assert_golden(&failed, &ok(&served, in_all_places("/release-lock", &hers).swap_remove(n)).await, &[]);
        assert_eq!(ben.expect("lock_released").await["lock_id"], lock.as_str());
        let empty = json!({"resource_id": "outlet_7", "locks": [], "count": 0, "timestamp": TIME});
        assert_golden(&empty, &served.get("/realtime/active-locks/outlet_7").await.ok(), &[]);
    }
}

#[tokio::test]
async fn a_lock_carries_the_metadata_that_it_was_asked_for_with() {
    let served = Setup::memory().start();
    let _ana = served.old_in("ana", "floor_1").await;
    let query = "/realtime/acquire-lock?user_id=ana&lock_type=floor_edit&resource_id=floor_1";
    for (request, metadata) in [
        // With everything in the query, the original took the whole body.
        (Request::post(query).json(&json!({"tool": "pen"})), json!({"tool": "pen"})),
        (
            Request::post("/v1/realtime/acquire-lock").json(&json!({"user_id": "ana", "lock_type": "floor_edit",
                "resource_id": "floor_1", "metadata": {"tool": ["a", {"b": null}]}})),
            json!({"tool": ["a", {"b": null}]}),
        ),
    ] {
        let lock = ok(&served, request).await["lock_id"].clone();
        let locks = served.get("/realtime/active-locks/floor_1").await.ok();
        assert_eq!(locks["locks"][0]["metadata"], metadata);
        let release = Request::post("/realtime/release-lock").json(&json!({"user_id": "ana", "lock_id": lock}));
        assert_eq!(ok(&served, release).await["success"], true);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_lock_request_is_said_with_the_status_of_old() {
    let served = Setup::memory().start();
    let _ana = served.old_in("ana", "floor_1").await;
    let unknown_type = json!({"user_id": "ana", "lock_type": "roof_edit", "resource_id": "floor_1"});
    for request in in_all_places("/acquire-lock", &unknown_type) {
        let answer = request.to(served.http).await;
        assert_refused(&answer, 400, "invalid_lock_type", "Invalid lock type: roof_edit");
    }
    let nobody = json!({"user_id": "nobody", "lock_type": "floor_edit", "resource_id": "floor_1"});
    for request in in_all_places("/acquire-lock", &nobody) {
        let answer = request.to(served.http).await;
        assert_refused(&answer, 400, "not_connected", "User not connected via WebSocket");
    }
    let answer = served.post("/realtime/acquire-lock", &json!({"user_id": "ana", "lock_type": "floor_edit"})).await;
    assert_refused(&answer, 422, "validation_error", "body -> resource_id: Field required");
    assert_eq!(answer.json()["validation_errors"], json!(["body -> resource_id: Field required"]));
}

#[tokio::test]
async fn people_in_a_room_are_listed() {
    let served = Setup::memory().start();
    let mut ana = served.old_in("ana", "/usa/ny/floor 1").await;
    let mut ben = served.old_in("ben", "/usa/ny/floor 1").await;
    ana.send(json!({"type": "update_presence", "current_action": "editing", "cursor_position": [1, 2.5]}));
    quiet_after_presence(&mut ana, &mut ben).await;
    for prefix in PREFIXES {
        let person = |id: &str, action: Value, cursor: Value| {
            json!({"user_id": id, "username": format!("User_{id}"), "current_action": action,
                "cursor_position": cursor, "last_seen": TIME, "is_active": true})
        };
        assert_golden(
            &json!({"room_id": "/usa/ny/floor 1", "count": 2, "timestamp": TIME, "users": [
                person("ana", json!("editing"), json!([1, 2.5])), person("ben", Value::Null, Value::Null)]}),
            &served.get(&format!("{prefix}/room-users/%2Fusa%2Fny%2Ffloor%201")).await.ok(),
            &[],
        );
        assert_golden(
            &json!({"room_id": "unknown", "users": [], "count": 0, "timestamp": TIME}),
            &served.get(&format!("{prefix}/room-users/unknown")).await.ok(),
            &[],
        );
    }
}

async fn quiet_after_presence(ana: &mut Client, ben: &mut Client) {
    ana.expect("presence_updated").await;
    ben.expect("presence_updated").await;
    ana.forget();
    ben.forget();
    quiet([ana, ben]).await;
}

#[tokio::test]
async fn presence_is_shown_and_changed_field_by_field() {
    let served = Setup::memory().start();
    let mut ana = served.old_in("ana", "floor_1").await;
    let mut ben = served.old_in("ben", "floor_1").await;
    ana.forget();
    let shown = |action: Value, cursor: Value, metadata: Value| {
        json!({"user_id": "ana", "username": "User_ana", "floor_id": "floor_1", "building_id": null,
            "current_action": action, "cursor_position": cursor, "last_seen": TIME, "is_active": true,
            "metadata": metadata, "timestamp": TIME})
    };
    let steps = [
        (
            json!({"user_id": "ana", "current_action": "editing", "metadata": {"a": 1}}),
            shown(json!("editing"), Value::Null, json!({"a": 1})),
        ),
        (
            json!({"user_id": "ana", "cursor_position": [3, 4], "metadata": {"b": 2}}),
            shown(json!("editing"), json!([3, 4]), json!({"a": 1, "b": 2})),
        ),
        (
            json!({"user_id": "ana", "current_action": null, "metadata": {"a": null}, "floor_id": "floor_1"}),
            shown(Value::Null, json!([3, 4]), json!({"b": 2})),
        ),
    ];
    for (prefix, (inputs, expected)) in PREFIXES.iter().cycle().zip(steps) {
        let updated = json!({"success": true, "message": "Presence updated", "timestamp": TIME});
        assert_golden(&updated, &served.post(&format!("{prefix}/update-presence"), &inputs).await.ok(), &[]);
        let told = ben.expect("presence_updated").await;
        assert_eq!(told["current_action"], expected["current_action"], "{told}");
        assert_golden(&expected, &served.get(&format!("{prefix}/user-presence/ana")).await.ok(), &[]);
    }
    // As the original took it: plain fields in the query, the rest in the body.
    let request = Request::post("/realtime/update-presence?user_id=ana&current_action=looking")
        .json(&json!({"cursor_position": [5, 6]}));
    ok(&served, request).await;
    let seen = served.get("/realtime/user-presence/ana").await.ok();
    assert_eq!((&seen["current_action"], &seen["cursor_position"]), (&json!("looking"), &json!([5, 6])));

    for prefix in PREFIXES {
        let unknown = served.get(&format!("{prefix}/user-presence/nobody")).await;
        assert_refused(&unknown, 404, "user_not_found", "User not found");
    }
    let nobody = served.post("/realtime/update-presence", &json!({"user_id": "nobody"})).await;
    assert_refused(&nobody, 400, "not_connected", "User not connected via WebSocket");
}

#[tokio::test]
async fn somebody_silent_for_five_minutes_is_shown_as_inactive() {
    let served = Setup::memory().start();
    let mut ana = served.old_in("ana", "floor_1").await;
    served.advance(299_000);
    assert_eq!(served.get("/realtime/user-presence/ana").await.ok()["is_active"], true);
    served.advance(2_000);
    assert_eq!(served.get("/realtime/user-presence/ana").await.ok()["is_active"], false);
    assert_eq!(served.get("/realtime/room-users/floor_1").await.ok()["users"][0]["is_active"], false);
    ana.send(json!({"type": "heartbeat"}));
    ana.settle().await;
    assert_eq!(served.get("/realtime/user-presence/ana").await.ok()["is_active"], true);
}

#[tokio::test]
async fn a_broadcast_reaches_the_room_whatever_place_the_message_is_in() {
    let served = Setup::memory().start();
    let mut ana = served.old_in("ana", "floor_1").await;
    let note = json!({"type": "note", "room_id": "not a field here", "n": [1, null]});
    for prefix in PREFIXES {
        for request in [
            Request::post(&format!("{prefix}/broadcast?room_id=floor_1")).json(&note),
            Request::post(&format!("{prefix}/broadcast")).json(&json!({"room_id": "floor_1", "message": note})),
        ] {
            let said = json!({"success": true, "message": "Message broadcasted to room: floor_1", "timestamp": TIME});
            assert_golden(&said, &ok(&served, request).await, &["seq"]);
            ana.hears(json!({"type": "broadcast", "timestamp": TIME, "message": note})).await;
        }
    }
    let said = served.post("/realtime/broadcast", &json!({"room_id": "empty", "message": 1})).await.ok();
    assert_eq!(said["success"], true, "nobody there is no failure");
    ana.nothing_more().await;
}

#[tokio::test]
async fn the_figures_count_what_is_there_now() {
    let served = Setup::memory().start();
    let status = |connections: u64, users: u64, rooms: u64, locks: u64| {
        json!({"websocket_connections": connections, "total_users": users, "active_rooms": rooms,
            "active_locks": locks, "active_conflicts": 0, "cache_connected": false, "timestamp": TIME})
    };
    assert_golden(&status(0, 0, 0, 0), &served.get("/realtime/connection-status").await.ok(), &[]);
    let mut ana = served.old_in("ana", "floor_1").await;
    let tab = served.old_in("ana", "floor_2").await;
    ana.lock("floor_edit", "floor_1").await;
    assert_golden(&status(2, 1, 2, 1), &served.get("/v1/realtime/connection-status").await.ok(), &[]);
    ana.close().await;
    tab.close().await;
    arxosrt_scenario::until("all is gone", async || {
        let found = served.get("/realtime/connection-status").await.ok();
        (found["websocket_connections"] == 0 && found["active_locks"] == 0 && found["total_users"] == 0).then_some(())
    })
    .await;
    assert_golden(&status(0, 0, 0, 0), &served.get("/realtime/connection-status").await.ok(), &[]);
}

#[tokio::test]
async fn a_fencing_token_is_checked_for_whoever_writes() {
    let served = Setup::memory().start();
    let mut ana = served.old_in("ana", "floor_1").await;
    let granted = ana.acquire("object_edit", "outlet_7").await;
    let token = granted["fencing_token"].as_u64().expect("a token");
    let verify = async |token: u64, resource: &str| {
        served.post("/v1/realtime/locks/verify", &json!({"token": token, "resource_id": resource})).await.ok()
    };
    let good = verify(token, "outlet_7").await;
    assert_golden(
        &json!({"valid": true, "lock_id": granted["lock_id"], "user_id": "ana", "remaining_ms": NUMBER,
            "fence": token, "timestamp": TIME}),
        &good,
        &[],
    );
    let elsewhere = verify(token, "outlet_8").await;
    assert_eq!((&elsewhere["valid"], &elsewhere["reason"]), (&json!(false), &json!("not_covered")));
    for unknown in [token + 1, 0, 1 << 52] {
        let verdict = verify(unknown, "outlet_7").await;
        assert_eq!((&verdict["valid"], &verdict["reason"]), (&json!(false), &json!("unknown_token")), "{unknown}");
    }
    ana.send(json!({"type": "release_lock", "lock_id": granted["lock_id"]}));
    ana.expect("lock_release_response").await;
    assert_eq!(verify(token, "outlet_7").await["valid"], false, "a token dies with its lock");
    let second = ana.acquire("object_edit", "outlet_7").await["fencing_token"].as_u64().expect("a token");
    assert!(second > token, "tokens only rise");
    assert_eq!(verify(token, "outlet_7").await["fence"], second, "the old one learns which one counts now");
}

#[tokio::test]
async fn routes_and_methods_that_are_not_there_are_named() {
    let served = Setup::memory().start();
    for (request, status) in [
        (Request::get("/realtime/join-room"), 405),
        (Request::post("/realtime/connection-status"), 405),
        (Request::get("/realtime/nothing"), 404),
        (Request::get("/realtime"), 404),
        (Request::get("/realtime/ws/ana"), 426),
        (Request::new("DELETE", "/v1/realtime/ws/ana"), 426),
    ] {
        let shown = format!("{request:?}");
        let answer = request.to(served.http).await;
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        let body = answer.json();
        assert_eq!((&body["success"], &body["status_code"]), (&json!(false), &json!(status)), "{shown}");
    }
}
