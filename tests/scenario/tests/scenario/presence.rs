//! Who is where and does what, as different generations of clients see it; and that every message is accounted for.

use arxosrt_scenario::{Client, Served, Setup, Value, house, json, quiet, until};

/// A client that takes differences, in `room`.
async fn differing(served: &Served, user: &str, room: &str) -> Client {
    let mut client = served.old(user).await;
    client.hello(&["presence_diff"]).await;
    client.join(room).await;
    client.catch_up().await;
    client
}

fn ids(people: &Value) -> Vec<&str> {
    people.as_array().expect("people").iter().map(|p| p["user_id"].as_str().or(p.as_str()).expect("an id")).collect()
}

/// A window's changes come in one message: who came, who changed (the newest state only), who left.
#[tokio::test]
async fn differences_are_gathered() {
    // A window that only the test's clock closes.
    let served = Setup::memory().with(|config| config.hub.presence_diff_ms = 600_000).start();
    let mut ana = differing(&served, "ana", "r").await;
    let mut ben = served.client_in("ben", "r").await;
    let mut gone = served.client_in("gone", "r").await;
    served.advance(600_001);
    let first = ana.expect("presence_diff").await;
    assert_eq!((ids(&first["joined"]), &first["count"]), (vec!["ana", "ben", "gone"], &json!(3)));
    ana.nothing_more().await;

    let cem = served.client_in("cem", "r").await;
    for n in 0..20 {
        ben.send(json!({"type": "update_presence", "cursor_position": [n, n], "current_action": "moving"}));
    }
    ben.settle().await;
    gone.send(json!({"type": "leave_room", "room_id": "r"}));
    gone.settle().await;
    // Somebody who comes and goes within the window was never there.
    let passing = served.client_in("passing", "r").await;
    passing.close().await;
    ben.expect_where("passing left", |m| m["type"] == "user_left_room" && m["user_id"] == "passing").await;
    ana.nothing_more().await;
    served.advance(600_001);
    let diff = ana.expect("presence_diff").await;
    assert_eq!(ids(&diff["joined"]), ["cem"], "{diff}");
    assert_eq!(ids(&diff["updated"]), ["ben"], "{diff}");
    assert_eq!(diff["left"].as_array().expect("people")[0], "gone", "{diff}");
    assert_eq!(diff["updated"][0]["cursor_position"], json!([19, 19]), "the newest of twenty");
    assert_eq!((&diff["count"], &diff["room_id"]), (&json!(3), &json!("r")));
    served.advance(600_001);
    ana.nothing_more().await;
    drop(cem);
}

/// Whoever was there when the window began and is not at its end has left, whatever happened in between.
#[tokio::test]
async fn nobody_stays_behind_as_a_ghost() {
    let served = Setup::memory().with(|config| config.hub.presence_diff_ms = 600_000).start();
    let mut ana = differing(&served, "ana", "r").await;
    let mut ben = served.client_in("ben", "r").await;
    let mut cem = served.client_in("cem", "r").await;
    served.advance(600_001);
    ana.expect("presence_diff").await;

    let (leave, join) = (json!({"type": "leave_room", "room_id": "r"}), json!({"type": "join_room", "room_id": "r"}));
    for message in [&leave, &join, &leave] {
        ben.send(message.clone());
    }
    for message in [&leave, &join, &leave, &join] {
        cem.send(message.clone());
    }
    ben.settle().await;
    cem.settle().await;
    served.advance(600_001);
    let diff = ana.expect("presence_diff").await;
    assert_eq!(diff["left"], json!(["ben"]), "{diff}");
    assert_eq!(ids(&diff["joined"]), ["cem"], "{diff}");
    assert_eq!(diff["count"], 2, "{diff}");
}

/// Differences are of one person per room: what an old member sees as twenty messages or fewer is the same truth.
#[tokio::test]
async fn generations_see_the_same() {
    let served = Setup::memory().start();
    let mut old = served.old_in("old", "r").await;
    let mut present = served.client_in("present", "r").await;
    let mut diff = differing(&served, "diff", "r").await;
    old.catch_up().await;
    present.catch_up().await;
    let mut mover = served.client_in("mover", "r").await;
    for n in 0..50 {
        mover.send(json!({"type": "update_presence", "cursor_position": [n, 0], "metadata": {"n": n}}));
    }
    for client in [&mut old, &mut present] {
        let last = client
            .expect_where("the last position", |m| {
                m["type"] == "presence_updated" && m["cursor_position"] == json!([49, 0])
            })
            .await;
        assert_eq!(last["metadata"], json!({"n": 49}));
        client.catch_up().await;
    }
    until("the last difference", async || {
        let diff = diff.expect("presence_diff").await;
        let of_mover = |list: &Value| list.as_array().into_iter().flatten().find(|p| p["user_id"] == "mover").cloned();
        let person = of_mover(&diff["updated"]).or_else(|| of_mover(&diff["joined"]))?;
        (person["cursor_position"] == json!([49, 0]) && person["metadata"] == json!({"n": 49})).then_some(())
    })
    .await;
    diff.none_of("presence_updated").await;
    diff.none_of("user_joined_room").await;
    mover.none_of("presence_updated").await;
}

/// Above the bound a room is a count and pages, and nobody is told of each arrival; old clients still are.
#[tokio::test]
async fn large_rooms_are_counted_and_paged() {
    let served = Setup::memory().with(|config| config.hub.presence_list_max = 5).start();
    let mut crowd = Vec::new();
    let mut first = differing(&served, "a00", "hall").await;
    let mut present = served.client_in("a01", "hall").await;
    for n in 2..12 {
        crowd.push(served.client_in(&format!("a{n:02}"), "hall").await);
    }
    let mut last = served.client("z").await;
    let state = last.join("hall").await;
    assert_eq!((&state["user_count"], ids(&state["users"]).len()), (&json!(13), 5));
    assert_eq!(state["more_after"], "a04");

    let mut all: Vec<String> = ids(&state["users"]).into_iter().map(str::to_owned).collect();
    let mut after = state["more_after"].clone();
    while after.is_string() {
        last.send(json!({"type": "list_users", "room_id": "hall", "after": after}));
        let page = last.expect("room_users").await;
        assert_eq!(page["user_count"], 13);
        all.extend(ids(&page["users"]).into_iter().map(str::to_owned));
        after = page["more_after"].clone();
    }
    let mut expected: Vec<String> = (0..12).map(|n| format!("a{n:02}")).collect();
    expected.push("z".to_owned());
    assert_eq!(all, expected, "every person once, in order");

    // Differences say how many, not who.
    first.catch_up().await;
    present.catch_up().await;
    let late = served.client_in("late", "hall").await;
    let diff = first.expect_where("the count", |m| m["type"] == "presence_diff" && m["count"] == 14).await;
    assert_eq!((&diff["joined"], &diff["left"]), (&json!([]), &json!([])));
    present.none_of("user_joined_room").await;
    late.close().await;
    let diff = first.expect_where("the count", |m| m["type"] == "presence_diff" && m["count"] == 13).await;
    assert_eq!(diff["left"], json!([]));
    present.none_of("user_left_room").await;
}

/// Presence belongs to people: a second tab neither arrives nor leaves, and what one tab says counts for both.
#[tokio::test]
async fn two_tabs_are_one_person() {
    let served = Setup::memory().start();
    let mut ben = served.client_in("ben", "r").await;
    let mut first = served.client_in("ana", "r").await;
    assert_eq!(ben.expect("user_joined_room").await["user_id"], "ana");
    let mut second = served.client("ana").await;
    let state = second.join("r").await;
    assert_eq!((ids(&state["users"]), &state["user_count"]), (vec!["ana", "ben"], &json!(2)));
    quiet([&mut ben, &mut first, &mut second]).await;
    second.send(json!({"type": "update_presence", "current_action": "editing"}));
    assert_eq!(ben.expect("presence_updated").await["current_action"], "editing");
    first.send(json!({"type": "leave_room", "room_id": "r"}));
    first.settle().await;
    ben.none_of("user_left_room").await;
    assert_eq!(served.get("/realtime/room-users/r").await.ok()["count"], 2);
    second.close().await;
    assert_eq!(ben.expect("user_left_room").await["user_id"], "ana");
    // The person is still connected, in no room.
    assert_eq!(served.get("/realtime/user-presence/ana").await.ok()["floor_id"], Value::Null);
}

/// Coming online and going offline concerns only those who share a room: the original told everybody.
#[tokio::test]
async fn strangers_learn_nothing() {
    let served = Setup::memory().start();
    let mut neighbour = served.old_in("neighbour", "floor_1").await;
    let mut stranger = served.old_in("stranger", "floor_2").await;
    let mut nowhere = served.old("nowhere").await;
    let mut ana = served.old("ana").await;
    quiet([&mut neighbour, &mut stranger, &mut nowhere, &mut ana]).await;
    ana.join("floor_1").await;
    assert_eq!(neighbour.expect("user_joined").await["user_id"], "ana");
    neighbour.expect("user_joined_room").await;
    ana.catch_up().await;
    ana.send(json!({"type": "update_presence", "current_action": "secret"}));
    neighbour.expect("presence_updated").await;
    ana.close().await;
    assert_eq!(neighbour.expect("user_left").await["user_id"], "ana");
    neighbour.expect("user_left_room").await;
    quiet([&mut neighbour, &mut stranger, &mut nowhere]).await;
}

/// Whoever shares several rooms with somebody learns once that the person is gone, and for each room that it left.
#[tokio::test]
async fn going_offline_is_told_once() {
    let served = Setup::memory().start();
    let mut ben = served.old_in("ben", "floor_1").await;
    ben.join("floor_2").await;
    let mut ana = served.old_in("ana", "floor_1").await;
    ana.join("floor_2").await;
    ana.settle().await;
    ben.settle().await;
    let heard = ben.rest().await;
    assert_eq!(heard.iter().filter(|m| m["type"] == "user_joined").count(), 1, "{heard:?}");
    ana.close().await;
    ben.expect_where("left the first", |m| m["type"] == "user_left_room" && m["room_id"] == "floor_1").await;
    ben.expect_where("left the second", |m| m["type"] == "user_left_room" && m["room_id"] == "floor_2").await;
    ben.expect("user_left").await;
    ben.nothing_more().await;
}

/// Presence goes to the room that one is in, and to no other: the original let anybody appear anywhere.
#[tokio::test]
async fn nobody_appears_where_it_has_not_joined() {
    let served = Setup::memory().building(house()).start();
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:2").await;
    ana.send(json!({"type": "update_presence", "id": 1, "floor_id": "hq:2", "current_action": "haunting"}));
    assert_eq!(ana.expect("error").await["code"], "not_a_member");
    quiet([&mut ana, &mut ben]).await;
    let seen = served.get("/realtime/user-presence/ana").await.ok();
    assert_eq!((&seen["floor_id"], &seen["building_id"]), (&json!("hq:1"), &json!("hq")));
    assert_eq!(seen["current_action"], Value::Null, "a refused message changes nothing");
    // In two rooms, it is shown on the one that it names.
    ana.join("hq:2").await;
    ben.catch_up().await;
    let mut cem = served.client_in("cem", "hq:1").await;
    ana.send(json!({"type": "update_presence", "floor_id": "hq:1", "current_action": "here"}));
    assert_eq!(cem.expect("presence_updated").await["current_action"], "here");
    ben.none_of("presence_updated").await;
}

/// The whole snapshot comes with the join: nothing that happened before is missing, nothing is told twice.
#[tokio::test]
async fn a_join_begins_with_the_whole_truth() {
    let served = Setup::memory().building(house()).start();
    let mut ana = served.client_in("ana", "hq:1").await;
    ana.send(json!({"type": "update_presence", "current_action": "editing", "cursor_position": {"x": 1}, "metadata": {"c": "red"}}));
    ana.lock("object_edit", "door").await;
    ana.lock("route_edit", "stairs").await;
    let mut ben = served.client("ben").await;
    let state = ben.join("hq:1").await;
    assert_eq!(
        state["users"][0],
        json!({"user_id": "ana", "username": "User_ana", "current_action": "editing", "cursor_position": {"x": 1},
            "metadata": {"c": "red"}})
    );
    let mut locked: Vec<&str> =
        state["locks"].as_array().expect("locks").iter().filter_map(|l| l["resource_id"].as_str()).collect();
    locked.sort_unstable();
    assert_eq!(locked, ["door", "stairs"]);
    ben.nothing_more().await;
    // The route is seen on each floor that it spans, the door is not.
    let state = ben.join("hq:2").await;
    assert_eq!(state["locks"].as_array().map(Vec::len), Some(1), "{state}");
    assert_eq!(state["locks"][0]["resource_id"], "stairs");
}

/// Every message with an `id` gets exactly one `ack` or `error` that carries it, whatever else it leads to.
#[tokio::test]
async fn every_message_is_accounted_for_once() {
    let served = Setup::memory().building(house()).start();
    let mut other = served.client_in("other", "hq:1").await;
    let others = other.lock("object_edit", "window").await;
    let mut ana = served.old("ana").await;
    // Each with whether it succeeds. Those that need what an earlier one gave are filled in below.
    let table: Vec<(Value, bool)> = [
        (json!({"type": "hello", "protocol": 2}), true),
        (json!({"type": "hello", "protocol": 2}), false),
        (json!({"type": "heartbeat"}), true),
        (json!({"type": "ping"}), true),
        (json!({"type": "join_room", "room_id": "hq:1"}), true),
        (json!({"type": "join_room", "room_id": "hq:1"}), true),
        (json!({"type": "join_room", "room_id": "hq:1", "since": {"epoch": "other", "seq": 0}}), true),
        (json!({"type": "join_room"}), false),
        (json!({"type": "list_users", "room_id": "hq:1"}), true),
        (json!({"type": "list_users", "room_id": "hq:2"}), false),
        (json!({"type": "update_presence", "current_action": "a"}), true),
        (json!({"type": "update_presence"}), true),
        (json!({"type": "update_presence", "floor_id": "hq:2"}), false),
        (json!({"type": "broadcast", "room_id": "hq:1", "message": 1}), true),
        (json!({"type": "broadcast", "message": 1, "client_msg_id": "m"}), true),
        (json!({"type": "broadcast", "message": 1, "client_msg_id": "m"}), true),
        (json!({"type": "broadcast", "room_id": "hq:2", "message": 1}), false),
        (json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": "door"}), true),
        (json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": "door"}), true),
        (json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": "window"}), true),
        (json!({"type": "acquire_lock", "lock_type": "object_edit", "resources": ["door", "window"]}), true),
        (json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": "window", "wait_ms": 9000}), true),
        (json!({"type": "acquire_lock", "lock_type": "nothing", "resource_id": "window"}), false),
        (json!({"type": "cancel_wait", "ticket": "TICKET"}), true),
        (json!({"type": "cancel_wait", "ticket": "TICKET"}), false),
        (json!({"type": "renew_lock", "lock_id": "MINE"}), true),
        (json!({"type": "renew_lock", "lock_id": others}), false),
        (json!({"type": "renew_lock", "lock_id": "lk_12345"}), false),
        (json!({"type": "take_over_lock", "lock_id": others}), false),
        (json!({"type": "request_lock", "lock_id": "MINE"}), false),
        (json!({"type": "request_lock", "lock_id": others}), true),
        (json!({"type": "request_lock", "lock_id": others}), false),
        (json!({"type": "respond_lock_request", "request": "REQUEST", "decision": "grant"}), false),
        (json!({"type": "respond_lock_request", "request": "REQUEST", "decision": "maybe"}), false),
        (json!({"type": "retract_lock_request", "request": "REQUEST"}), true),
        (json!({"type": "retract_lock_request", "request": "REQUEST"}), false),
        (json!({"type": "release_lock", "lock_id": "MINE"}), true),
        (json!({"type": "release_lock", "lock_id": "MINE"}), true),
        (json!({"type": "release_lock", "lock_id": others}), true),
        (json!({"type": "release_lock", "lock_id": "nonsense"}), true),
        (json!({"type": "leave_room", "room_id": "hq:1"}), true),
        (json!({"type": "leave_room", "room_id": "hq:1"}), false),
        (json!({"type": "dance"}), false),
        (json!({}), false),
    ]
    .into();
    let (mut mine, mut ticket, mut request) = (Value::Null, Value::Null, Value::Null);
    let mut accounted = Vec::new();
    let count = table.len();
    for (n, (mut message, succeeds)) in table.into_iter().enumerate() {
        // Any JSON is an id, and comes back as it was.
        let id = match n % 3 {
            0 => json!(n),
            1 => json!(format!("message \"{n}\"")),
            _ => json!({"n": [n, null]}),
        };
        message["id"] = id.clone();
        for (name, value) in [("MINE", &mine), ("TICKET", &ticket), ("REQUEST", &request)] {
            for (_, field) in message.as_object_mut().expect("an object") {
                if *field == name {
                    *field = value.clone();
                }
            }
        }
        ana.send(message.clone());
        let account = ana
            .expect_where("the account of the message", |m| {
                (m["type"] == "ack" || m["type"] == "error") && m["id"] == id
            })
            .await;
        assert_eq!(account["type"] == "ack", succeeds, "{message}: {account}");
        assert_eq!(account["request_id"], id, "{account}");
        for heard in ana.rest().await {
            if heard["request_id"] == id
                && mine.is_null()
                && heard["type"] == "lock_response"
                && heard["success"] == true
            {
                mine = heard["lock_id"].clone();
            }
            if heard["request_id"] == id && heard["type"] == "lock_queued" {
                ticket = heard["ticket"].clone();
            }
            if heard["request_id"] == id && heard["type"] == "lock_requested" {
                request = heard["request"].clone();
            }
            if heard.get("id").is_some() {
                accounted.push(heard);
            }
        }
    }
    assert!(accounted.is_empty(), "of {count} messages some were accounted for twice: {accounted:?}");
}

/// Where one message leads to another's answer later, that answer names no message: its `id` is spent.
#[tokio::test]
async fn a_late_answer_is_no_second_account() {
    let served = Setup::memory().building(house()).start();
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let lock = ana.lock("object_edit", "door").await;
    ben.send(
        json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": "door", "wait_ms": 5000, "id": 9}),
    );
    let queued = ben.expect("lock_queued").await;
    assert_eq!(ben.expect("ack").await["id"], 9);
    ana.send(json!({"type": "release_lock", "lock_id": lock}));
    let response = ben.expect("lock_response").await;
    assert_eq!((&response["ticket"], response.get("id")), (&queued["ticket"], None));
    ben.none_of("ack").await;
}
