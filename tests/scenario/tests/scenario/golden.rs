//! What clients of the first generation see, message by message.
//!
//! They never say `hello`. Each transcript is the exact sequence of messages on each socket, with every field that such
//! a client knows; what else a message may carry is listed in `arxosrt_scenario::golden`.

use arxosrt_scenario::golden::{TEXT, TIME};
use arxosrt_scenario::{Client, Served, Setup, Value, json, quiet};
use tokio_tungstenite::tungstenite::Message;

/// Under the documented and under the really served prefix, with everything that a browser tab does in its life.
#[tokio::test]
async fn a_working_day_of_two_people() {
    let served = Setup::memory().start();
    for (n, prefix) in ["/v1/realtime", "/realtime"].into_iter().enumerate() {
        working_day(&served, prefix, &format!("floor_12{n}")).await;
    }
}

async fn working_day(served: &Served, prefix: &str, room: &str) {
    let nothing_yet = |user: &str| json!({"user_id": user, "username": format!("User_{user}"), "current_action": null, "cursor_position": null});

    // Both arrive.
    let mut ana = Client::connect(served.http, "ana", &format!("{prefix}/ws/ana")).await;
    ana.hears(json!({"type": "connection_established", "timestamp": TIME, "user_id": "ana"})).await;
    let mut ben = Client::connect(served.http, "ben", &format!("{prefix}/ws/ben")).await;
    ben.hears(json!({"type": "connection_established", "timestamp": TIME, "user_id": "ben"})).await;
    quiet([&mut ana, &mut ben]).await;

    // The joiner hears of its own arrival before it gets the room's state.
    ana.send(json!({"type": "join_room", "room_id": room}));
    ana.hears(json!({"type": "user_joined_room", "timestamp": TIME,
        "user_id": "ana", "username": "User_ana", "room_id": room}))
        .await;
    ana.hears(json!({"type": "room_state", "timestamp": TIME, "room_id": room,
        "users": [nothing_yet("ana")], "locks": []}))
        .await;
    quiet([&mut ana, &mut ben]).await;

    ben.send(json!({"type": "join_room", "room_id": room}));
    let arrived = json!({"type": "user_joined_room", "timestamp": TIME,
        "user_id": "ben", "username": "User_ben", "room_id": room});
    ben.hears(arrived.clone()).await;
    ben.hears(json!({"type": "room_state", "timestamp": TIME, "room_id": room,
        "users": [nothing_yet("ana"), nothing_yet("ben")], "locks": []}))
        .await;
    ana.hears(json!({"type": "user_joined", "timestamp": TIME, "user_id": "ben", "username": "User_ben"})).await;
    ana.hears(arrived).await;
    quiet([&mut ana, &mut ben]).await;

    // Presence: what is absent stays, null clears, and the sender hears itself.
    let presence = |action: Value, cursor: Value| {
        json!({"type": "presence_updated", "timestamp": TIME, "user_id": "ana", "username": "User_ana",
            "current_action": action, "cursor_position": cursor})
    };
    for (said, heard) in [
        (json!({"current_action": "editing", "metadata": {"tool": "pen"}}), presence(json!("editing"), Value::Null)),
        (json!({"cursor_position": [10, 20.5]}), presence(json!("editing"), json!([10, 20.5]))),
        (json!({"current_action": null, "floor_id": room}), presence(Value::Null, json!([10, 20.5]))),
    ] {
        let mut message = said;
        message["type"] = json!("update_presence");
        ana.send(message);
        ana.hears(heard.clone()).await;
        ben.hears(heard).await;
        quiet([&mut ana, &mut ben]).await;
    }

    // A sign of life is no subject of conversation.
    ana.send(json!({"type": "heartbeat", "timestamp": "2025-07-01T08:00:00.000Z"}));
    quiet([&mut ana, &mut ben]).await;

    // To the room that is named, or to the current one; the sender hears itself.
    for said in [
        json!({"type": "broadcast", "room_id": room, "message": {"type": "note", "text": "schön <b>"}}),
        json!({"type": "broadcast", "message": {"type": "note", "text": "schön <b>"}}),
    ] {
        ben.send(said);
        let heard = json!({"type": "broadcast", "timestamp": TIME, "user_id": "ben", "username": "User_ben",
            "message": {"type": "note", "text": "schön <b>"}});
        ben.hears(heard.clone()).await;
        ana.hears(heard).await;
        quiet([&mut ana, &mut ben]).await;
    }

    locks_of_a_day(&mut ana, &mut ben, room).await;

    // The leaver is told nothing; the others are.
    ben.send(json!({"type": "leave_room", "room_id": room}));
    ana.hears(json!({"type": "user_left_room", "timestamp": TIME, "user_id": "ben", "room_id": room})).await;
    quiet([&mut ana, &mut ben]).await;

    // Somebody who goes leaves the room too, which the original forgot to say.
    ben.send(json!({"type": "join_room", "room_id": room}));
    ben.expect("room_state").await;
    ben.forget();
    ana.expect("user_joined_room").await;
    ana.forget();
    ana.close().await;
    ben.hears(json!({"type": "user_left", "timestamp": TIME, "user_id": "ana"})).await;
    ben.hears(json!({"type": "user_left_room", "timestamp": TIME, "user_id": "ana", "room_id": room})).await;
    ben.nothing_more().await;
    ben.close().await;
}

async fn locks_of_a_day(ana: &mut Client, ben: &mut Client, room: &str) {
    // The room learns it first, then the asker gets the lock's id.
    ana.send(json!({"type": "acquire_lock", "lock_type": "floor_edit", "resource_id": room, "metadata": {}}));
    let acquired = json!({"type": "lock_acquired", "timestamp": TIME, "lock_id": TEXT, "lock_type": "floor_edit",
        "resource_id": room, "user_id": "ana", "username": "User_ana", "acquired_at": TIME, "expires_at": TIME});
    let told = ana.hears(acquired.clone()).await;
    let lock = told["lock_id"].clone();
    ana.hears(json!({"type": "lock_response", "timestamp": TIME, "success": true, "result": lock})).await;
    assert_eq!(ben.hears(acquired).await["lock_id"], lock);
    quiet([&mut *ana, &mut *ben]).await;

    // A third person sees it on arrival.
    let shown = json!({"lock_id": lock, "lock_type": "floor_edit", "resource_id": room, "user_id": "ana",
        "username": "User_ana", "acquired_at": TIME, "expires_at": TIME});
    ben.send(json!({"type": "join_room", "room_id": room}));
    let state = ben.next().await;
    assert_eq!(state["type"], "room_state", "who joins again gets the state again, and nobody is told: {state}");
    let mut found = state["locks"].clone();
    for field in ["holder_state", "expires_in_ms"] {
        found[0].as_object_mut().expect("a lock").remove(field).expect(field);
    }
    arxosrt_scenario::golden::assert_golden(&json!([shown]), &found, &[]);
    quiet([&mut *ana, &mut *ben]).await;

    // Contention is an answer, not an error, and nobody else hears of it.
    ben.send(json!({"type": "acquire_lock", "lock_type": "floor_edit", "resource_id": room}));
    ben.hears(json!({"type": "lock_response", "timestamp": TIME,
        "success": false, "result": "Resource locked by User_ana"}))
        .await;
    ben.none_of("lock_acquired").await;

    // To ask again for what one holds is fine: the same lock comes back.
    ana.forget();
    ana.send(json!({"type": "acquire_lock", "lock_type": "floor_edit", "resource_id": room}));
    let again = ana.expect("lock_response").await;
    assert_eq!((&again["success"], &again["result"]), (&json!(true), &lock));

    // Only the holder releases.
    ben.forget();
    ben.send(json!({"type": "release_lock", "lock_id": lock}));
    ben.hears(json!({"type": "lock_release_response", "timestamp": TIME, "success": false, "lock_id": lock})).await;
    ana.none_of("lock_released").await;
    ana.forget();
    ana.send(json!({"type": "release_lock", "lock_id": lock}));
    let released = json!({"type": "lock_released", "timestamp": TIME, "lock_id": lock, "lock_type": "floor_edit",
        "resource_id": room, "user_id": "ana", "username": "User_ana"});
    ana.hears(released.clone()).await;
    ana.hears(json!({"type": "lock_release_response", "timestamp": TIME, "success": true, "lock_id": lock})).await;
    ben.hears(released).await;
    quiet([&mut *ana, &mut *ben]).await;

    // Twice is once.
    ana.send(json!({"type": "release_lock", "lock_id": lock}));
    ana.hears(json!({"type": "lock_release_response", "timestamp": TIME, "success": false, "lock_id": lock})).await;
    quiet([&mut *ana, &mut *ben]).await;
}

/// Old clients compare `message` with three sentences, so exactly those come; the connection lives on.
#[tokio::test]
async fn the_three_sentences_of_errors() {
    let served = Setup::memory().start();
    let mut ana = served.old_in("ana", "r").await;
    for (frame, sentence) in [
        (Message::text("nonsense"), "Invalid JSON format"),
        (Message::text(""), "Invalid JSON format"),
        (Message::text(r#"{"type": "join_room""#), "Invalid JSON format"),
        (Message::text(r#"{"type": "join_room"}"#), "Failed to process message"),
        (Message::text(r#"{"type": "leave_room"}"#), "Failed to process message"),
        (Message::text(r#"{"type": "acquire_lock", "resource_id": "r"}"#), "Failed to process message"),
        (
            Message::text(r#"{"type": "acquire_lock", "lock_type": "roof_edit", "resource_id": "r"}"#),
            "Failed to process message",
        ),
        (Message::text(r#"{"type": "release_lock"}"#), "Failed to process message"),
        (Message::text("[1, 2]"), "Internal server error"),
        (Message::text(r#""text""#), "Internal server error"),
        (Message::text("null"), "Internal server error"),
        (Message::binary(vec![1, 2, 3]), "Internal server error"),
    ] {
        let sent = frame.clone();
        ana.send_frame(frame);
        let error = ana.next().await;
        assert_eq!((&error["type"], &error["message"]), (&json!("error"), &json!(sentence)), "{sent:?}: {error}");
        assert!(error["code"].is_string() && error["detail"].is_string(), "{error}");
    }
    ana.nothing_more().await;
    ana.send(json!({"type": "broadcast", "room_id": "r", "message": 1}));
    ana.expect("broadcast").await;
}

/// The browser client names itself with whatever the platform calls the user, and so for rooms and things.
#[tokio::test]
async fn ids_of_all_shapes_arrive_as_they_were_sent() {
    let served = Setup::memory().start();
    for id in [
        "floor_123",
        "TCHS_L2_E_Receptacle_015",
        "ahu1.zc2.tu03.dv04",
        "building:hq:floor:1:room:101",
        "/usa/ny/brooklyn/ps-118/floor-02",
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
        "27TOPmxCrDgPimmYCM5dZj",
        "Büro 7 🏢 100% *",
    ] {
        let mut client =
            Client::connect(served.http, id, &format!("/realtime/ws/{}", arxosrt_scenario::segment(id))).await;
        client.hears(json!({"type": "connection_established", "timestamp": TIME, "user_id": id})).await;
        let state = client.join(id).await;
        assert_eq!((&state["room_id"], &state["users"][0]["user_id"]), (&json!(id), &json!(id)));
        let lock = client.lock("floor_edit", id).await;
        assert_eq!(client.expect("lock_acquired").await["resource_id"], id);
        let row = &served.get(&format!("/realtime/active-locks/{}", arxosrt_scenario::segment(id))).await.ok();
        assert_eq!((&row["resource_id"], &row["locks"][0]["lock_id"]), (&json!(id), &json!(lock)));
        client.close().await;
    }
    // A number is what some clients send for an id.
    let mut client = served.old("42").await;
    client.send(json!({"type": "join_room", "room_id": 42}));
    assert_eq!(client.expect("room_state").await["room_id"], "42");
}

/// What the browser of an object lock's holder did not get from the original: everybody on the floor learns it.
#[tokio::test]
async fn an_object_lock_is_told_to_the_floor() {
    let served = Setup::memory().start();
    let mut ana = served.old_in("ana", "floor_1").await;
    let mut ben = served.old_in("ben", "floor_1").await;
    let mut far = served.old_in("far", "floor_2").await;
    ana.forget();
    ana.send(json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": "outlet_7"}));
    for client in [&mut ana, &mut ben] {
        let told = client.expect("lock_acquired").await;
        assert_eq!((&told["resource_id"], &told["room_id"]), (&json!("outlet_7"), &json!("floor_1")));
    }
    assert_eq!(ana.expect("lock_response").await["success"], true);
    far.none_of("lock_acquired").await;
}
