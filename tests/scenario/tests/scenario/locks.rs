//! Editing locks as clients see them, over the socket: who gets what, who waits, who is told.

use arxosrt_scenario::{Client, Served, Setup, Value, house, json, quiet};

async fn with_house() -> Served {
    Setup::memory().building(house()).start()
}

/// Asks with all fields of the message.
async fn ask(client: &mut Client, mut fields: Value) -> Value {
    fields["type"] = json!("acquire_lock");
    client.send(fields);
    client
        .expect_where("an answer to acquire_lock", |m| {
            m["type"] == "lock_response" || m["type"] == "lock_queued" || m["type"] == "error"
        })
        .await
}

fn id(granted: &Value) -> &str {
    assert_eq!(granted["success"], true, "{granted}");
    granted["lock_id"].as_str().expect("a lock id")
}

fn token(granted: &Value) -> u64 {
    granted["fencing_token"].as_u64().expect("a fencing token")
}

/// DESIGN's table: the rows hold, the columns ask.
#[tokio::test]
async fn who_may_edit_beside_whom() {
    let kinds: [(&str, &str, &str); 5] = [
        ("floor_edit", "hq:1", "hq:1"),
        ("object_edit", "door", "window"),
        ("route_edit", "stairs", "cable"),
        ("grid_calibration", "hq:1", "hq:1"),
        ("analytics_view", "hq:1", "hq:1"),
    ];
    let coexist = [
        // floor, object, route, grid, view
        [false, false, false, false, true],
        [false, true, true, false, true],
        [false, true, true, false, true],
        [false, false, false, false, true],
        [true, true, true, true, true],
    ];
    let served = with_house().await;
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    for (row, (held_type, held, _)) in kinds.into_iter().enumerate() {
        let lock = ana.lock(held_type, held).await;
        for (column, (asked_type, _, asked)) in kinds.into_iter().enumerate() {
            let response = ben.acquire(asked_type, asked).await;
            assert_eq!(response["success"], coexist[row][column], "{asked_type} beside {held_type}: {response}");
            if response["success"] == true {
                ben.send(json!({"type": "release_lock", "lock_id": response["lock_id"]}));
                ben.expect("lock_release_response").await;
            }
        }
        ana.send(json!({"type": "release_lock", "lock_id": lock}));
        ana.expect("lock_release_response").await;
    }
    // The same thing twice never, except to look at; and a route that spans floors is in the way on each of them.
    ana.lock("object_edit", "door").await;
    ana.lock("route_edit", "stairs").await;
    for (kind, what) in [("object_edit", "door"), ("route_edit", "stairs"), ("floor_edit", "hq:2")] {
        assert_eq!(ben.acquire(kind, what).await["success"], false, "{kind} {what}");
    }
    assert_eq!(ben.acquire("object_edit", "pump").await["success"], true);
}

/// A view never blocks and is never refused, and is told when somebody begins to change what it shows.
#[tokio::test]
async fn a_view_is_told_when_an_exclusive_lock_begins() {
    let served = with_house().await;
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let view = ana.lock("analytics_view", "hq:1").await;
    ben.lock("floor_edit", "hq:1").await;
    let broken = ana.expect("view_broken").await;
    assert_eq!((&broken["lock_id"], &broken["by"]["user_id"]), (&json!(view), &json!("ben")));
}

/// Tokens strictly increase over all grants, whatever is locked and by whom.
#[tokio::test]
async fn fencing_tokens_only_rise() {
    let served = with_house().await;
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "elsewhere").await;
    let mut last = 0;
    for round in 0..5 {
        for (client, what) in [(&mut ana, "hq:1"), (&mut ben, "elsewhere")] {
            let granted = client.acquire("floor_edit", what).await;
            let found = token(&granted);
            assert!(found > last && found < 1 << 53, "{found} after {last} in round {round}");
            last = found;
            let renewed = client.acquire("floor_edit", what).await;
            assert_eq!(
                (token(&renewed), &renewed["how"], id(&renewed)),
                (found, &json!("renewed"), id(&granted)),
                "to ask again is to renew, not a new grant"
            );
            client.send(json!({"type": "release_lock", "lock_id": id(&granted)}));
            client.expect("lock_release_response").await;
        }
    }
}

/// Several resources at once: all or none, one lock.
#[tokio::test]
async fn several_resources_are_locked_together_or_not_at_all() {
    let served = with_house().await;
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let window = ben.lock("object_edit", "window").await;
    ben.catch_up().await;
    ana.catch_up().await;
    let both = json!({"lock_type": "object_edit", "resources": ["door", "window"]});
    let refused = ask(&mut ana, both.clone()).await;
    assert_eq!((&refused["success"], &refused["code"]), (&json!(false), &json!("lock_held")));
    assert_eq!(refused["holder"]["user_id"], "ben");
    quiet([&mut ana, &mut ben]).await;
    assert_eq!(ben.acquire("object_edit", "door").await["success"], true, "the door was not taken meanwhile");
    for lock in [window, ben.expect("lock_acquired").await["lock_id"].as_str().expect("an id").to_owned()] {
        ben.send(json!({"type": "release_lock", "lock_id": lock}));
        ben.expect("lock_release_response").await;
    }
    ana.forget();
    let granted = ask(&mut ana, both).await;
    assert_eq!(granted["resources"], json!(["door", "window"]));
    let mut told = [ben.expect("lock_acquired").await, ben.expect("lock_acquired").await];
    told.sort_by_key(|m| m["resource_id"].to_string());
    assert_eq!((&told[0]["resource_id"], &told[1]["resource_id"]), (&json!("door"), &json!("window")));
    assert!(told.iter().all(|m| m["lock_id"] == granted["lock_id"]), "one lock, told once for each thing");
    // Of two buildings no request can be one.
    let refused = ask(
        &mut ana,
        json!({"lock_type": "object_edit", "resources": ["door", {"resource_id": "x", "room_id": "lone"}]}),
    )
    .await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("cross_building")));
}

/// First come, first served; whoever moves up is told, and whoever gives up makes room.
#[tokio::test]
async fn waiting_is_in_order_and_can_be_given_up() {
    let served = with_house().await;
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let mut cem = served.client_in("cem", "hq:1").await;
    let mut dia = served.client_in("dia", "hq:1").await;
    let held = ana.lock("object_edit", "door").await;
    let wish = json!({"lock_type": "object_edit", "resource_id": "door", "wait_ms": 60_000});
    let mut tickets = Vec::new();
    for (position, client) in [&mut ben, &mut cem, &mut dia].into_iter().enumerate() {
        let queued = ask(client, wish.clone()).await;
        assert_eq!((&queued["type"], &queued["position"]), (&json!("lock_queued"), &json!(position + 1)));
        assert_eq!(queued["blocked_by"][0]["user_id"], "ana");
        assert_eq!(ana.expect("lock_contended").await["waiters"], position + 1);
        tickets.push(queued["ticket"].clone());
    }
    // Somebody who does not want to wait does not overtake either.
    let mut eve = served.client_in("eve", "hq:1").await;
    assert_eq!(eve.acquire("object_edit", "door").await["success"], false);

    ben.send(json!({"type": "cancel_wait", "ticket": tickets[0], "id": 1}));
    let over = ben.expect("lock_response").await;
    assert_eq!((&over["success"], &over["ticket"]), (&json!(false), &tickets[0]));
    ben.expect_where("ack", |m| m["type"] == "ack" && m["id"] == 1).await;
    let moved = cem.expect("lock_queued").await;
    assert_eq!((&moved["ticket"], &moved["position"]), (&tickets[1], &json!(1)));
    assert_eq!(dia.expect("lock_queued").await["position"], 2);

    ana.send(json!({"type": "release_lock", "lock_id": held}));
    let granted = cem.expect("lock_response").await;
    assert_eq!((&granted["how"], &granted["ticket"]), (&json!("queue"), &tickets[1]));
    assert_eq!(dia.expect("lock_queued").await["position"], 1);
    ana.expect_where("the release", |m| m["type"] == "lock_released").await;
    assert_eq!(
        ana.expect_where("the next holder", |m| m["type"] == "lock_acquired" && m["user_id"] == "cem").await["lock_id"],
        granted["lock_id"]
    );

    // A wait ends by itself.
    served.advance(61_000);
    let over = dia.expect("lock_response").await;
    assert_eq!((&over["success"], &over["code"]), (&json!(false), &json!("wait_timed_out")));
    cem.send(json!({"type": "release_lock", "lock_id": id(&granted)}));
    cem.expect("lock_release_response").await;
    dia.none_of("lock_response").await;
}

/// Two who each hold what the other waits for would wait for ever: the one who closes the circle is refused.
#[tokio::test]
async fn a_circle_of_waiting_is_refused() {
    let served = with_house().await;
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    ana.lock("object_edit", "door").await;
    let window = ben.lock("object_edit", "window").await;
    let wait = |what: &str| json!({"lock_type": "object_edit", "resource_id": what, "wait_ms": 60_000});
    assert_eq!(ask(&mut ana, wait("window")).await["type"], "lock_queued");
    let refused = ask(&mut ben, wait("door")).await;
    assert_eq!((&refused["success"], &refused["code"]), (&json!(false), &json!("deadlock")), "{refused}");
    assert!(refused["cycle"].as_array().expect("people").contains(&json!("ana")), "{refused}");
    // Nothing was lost by the refusal.
    ben.send(json!({"type": "release_lock", "lock_id": window}));
    assert_eq!(ana.expect("lock_response").await["how"], "queue");
}

/// The holder is asked and denies, defers, or grants; a grant hands the lock over in one step.
#[tokio::test]
async fn a_holder_is_asked_and_answers() {
    let served = with_house().await;
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let mut eve = served.client_in("eve", "hq:1").await;
    let held = ana.acquire("object_edit", "door").await;
    let lock = id(&held).to_owned();

    for (decision, more) in [("deny", json!({})), ("defer", json!({"defer_ms": 5000}))] {
        ben.send(json!({"type": "request_lock", "lock_id": lock, "message": "may I?"}));
        let requested = ben.expect("lock_requested").await;
        let request = ana.expect("lock_request").await;
        assert_eq!((&request["request"], &request["lock_id"]), (&requested["request"], &json!(lock)));
        assert_eq!((&request["user_id"], &request["message"]), (&json!("ben"), &json!("may I?")));
        let mut answer = json!({"type": "respond_lock_request", "request": request["request"],
            "decision": decision, "message": "later"});
        answer.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        ana.send(answer);
        let answered = ben.expect("lock_request_answered").await;
        assert_eq!((&answered["decision"], &answered["message"]), (&json!(decision), &json!("later")));
        assert_eq!(answered["deemed"], false);
    }

    ben.send(json!({"type": "request_lock", "lock_id": lock}));
    let request = ana.expect("lock_request").await["request"].clone();
    // Nobody but the holder answers.
    eve.send(json!({"type": "respond_lock_request", "request": request, "decision": "grant", "id": 7}));
    assert_eq!(eve.expect("error").await["code"], "request_not_found");
    eve.forget();
    ana.send(json!({"type": "respond_lock_request", "request": request, "decision": "grant"}));
    let answered = ben.expect("lock_request_answered").await;
    assert_eq!(answered["decision"], "grant");
    assert!(token(&answered["lock"]) > token(&held));
    // In the room's order there is nothing between the two.
    let released = eve.expect("lock_released").await;
    let acquired = eve.expect("lock_acquired").await;
    assert_eq!((&released["reason"], &acquired["user_id"]), (&json!("handed_over"), &json!("ben")));
    assert_eq!(acquired["seq"].as_u64(), released["seq"].as_u64().map(|seq| seq + 1));
    // A request can be taken back, and one's own lock needs none.
    eve.send(json!({"type": "request_lock", "lock_id": acquired["lock_id"]}));
    let request = eve.expect("lock_requested").await["request"].clone();
    ben.expect("lock_request").await;
    eve.send(json!({"type": "retract_lock_request", "request": request}));
    let closed = ben.expect("lock_request_closed").await;
    assert_eq!((&closed["request"], &closed["reason"]), (&request, &json!("retracted")));
    ben.send(json!({"type": "request_lock", "lock_id": acquired["lock_id"]}));
    assert_eq!(ben.expect("error").await["code"], "own_lock");
}

/// A holder who does not answer keeps the lock while it is active; one that is idle is deemed to grant.
#[tokio::test]
async fn silence_is_a_no_of_the_active_and_a_yes_of_the_idle() {
    let served = with_house().await;
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let lock = ana.lock("object_edit", "door").await;
    ben.send(json!({"type": "request_lock", "lock_id": lock}));
    ben.expect("lock_requested").await;
    ana.expect("lock_request").await;
    served.advance(31_000);
    assert_eq!(ben.expect("lock_request_lapsed").await["reason"], "expired");
    assert_eq!(ana.expect("lock_request_closed").await["reason"], "expired");

    served.advance(120_000);
    ben.send(json!({"type": "request_lock", "lock_id": lock}));
    assert_eq!(ben.expect("lock_requested").await["respond_in_ms"], 10_000);
    served.advance(9_000);
    ben.none_of("lock_request_answered").await;
    served.advance(1_100);
    let answered = ben.expect("lock_request_answered").await;
    assert_eq!((&answered["decision"], &answered["deemed"]), (&json!("grant"), &json!(true)));
    let lost = ana.expect("lock_lost").await;
    assert_eq!((&lost["lock_id"], &lost["to_user_id"]), (&json!(lock), &json!("ben")));
}

/// In a second tab the same person sees that the lock is its own, and may move it there without an operator.
#[tokio::test]
async fn a_second_tab_takes_over() {
    let served = with_house().await;
    let mut tab = served.client_in("ana", "hq:1").await;
    let mut other = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let held = tab.acquire("object_edit", "door").await;
    let refused = other.acquire("object_edit", "door").await;
    assert_eq!((&refused["success"], &refused["holder"]["same_user"]), (&json!(false), &json!(true)));
    assert_eq!(ben.acquire("object_edit", "door").await["holder"]["same_user"], false);

    ben.send(json!({"type": "take_over_lock", "lock_id": id(&held)}));
    assert_eq!(ben.expect("error").await["code"], "not_same_user");
    other.send(json!({"type": "take_over_lock", "lock_id": id(&held)}));
    let taken = other.expect("lock_response").await;
    assert_eq!((&taken["success"], &taken["how"]), (&json!(true), &json!("take_over")));
    assert!(token(&taken) > token(&held), "the first tab's late writes are stale");
    let lost = tab.expect("lock_lost").await;
    assert_eq!((&lost["lock_id"], &lost["reason"]), (&held["lock_id"], &json!("taken_over")));
    tab.send(json!({"type": "release_lock", "lock_id": id(&held)}));
    assert_eq!(tab.expect("lock_release_response").await["success"], false);
    other.send(json!({"type": "release_lock", "lock_id": id(&taken)}));
    assert_eq!(other.expect("lock_release_response").await["success"], true);
}

/// Clients of the first generation and REST know people, not sessions: the person's lock is returned in any tab.
#[tokio::test]
async fn for_old_clients_a_lock_is_the_persons() {
    let served = with_house().await;
    let mut tab = served.old_in("ana", "hq:1").await;
    let mut other = served.old_in("ana", "hq:1").await;
    let lock = tab.lock("object_edit", "door").await;
    assert_eq!(other.lock("object_edit", "door").await, lock);
    let inputs = json!({"user_id": "ana", "lock_type": "object_edit", "resource_id": "door"});
    assert_eq!(served.post("/realtime/acquire-lock", &inputs).await.ok()["lock_id"], lock.as_str());
    other.send(json!({"type": "release_lock", "lock_id": lock}));
    assert_eq!(other.expect("lock_release_response").await["success"], true);

    // Through REST a present client's own lock comes back too, and is released.
    let mut ben = served.client_in("ben", "hq:1").await;
    let lock = ben.lock("object_edit", "window").await;
    let inputs = json!({"user_id": "ben", "lock_type": "object_edit", "resource_id": "window"});
    assert_eq!(served.post("/realtime/acquire-lock", &inputs).await.ok()["lock_id"], lock.as_str());
    let release = json!({"user_id": "ben", "lock_id": lock});
    assert_eq!(served.post("/realtime/release-lock", &release).await.ok()["success"], true);
}

/// Warned a minute and a quarter of one before; then room and holder learn that it has ended, and others get it.
#[tokio::test]
async fn a_lease_warns_and_ends() {
    let served = with_house().await;
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let held = ana.acquire("object_edit", "door").await;
    let remaining = held["expires_in_ms"].as_u64().expect("a time");
    assert!((299_000..=300_000).contains(&remaining), "{held}");
    ana.catch_up().await;
    ben.catch_up().await;
    served.advance(239_000);
    quiet([&mut ana, &mut ben]).await;
    for (pass, least, most) in [(1_500, 50_000, 60_000), (45_000, 5_000, 15_000)] {
        served.advance(pass);
        let warning = ana.expect("lock_expiring").await;
        let left = warning["expires_in_ms"].as_u64().expect("a time");
        assert!(warning["lock_id"] == held["lock_id"] && (least..=most).contains(&left), "{warning}");
    }
    quiet([&mut ana, &mut ben]).await;
    served.advance(15_000);
    for client in [&mut ana, &mut ben] {
        let released = client.expect("lock_released").await;
        assert_eq!((&released["lock_id"], &released["reason"]), (&held["lock_id"], &json!("expired")));
    }
    let lost = ana.expect("lock_lost").await;
    assert_eq!((&lost["lock_id"], &lost["reason"]), (&held["lock_id"], &json!("expired")));
    ben.lock("object_edit", "door").await;
}

/// A lease slides with renewals and with activity on its floor; pings and the wall clock do nothing for it.
#[tokio::test]
async fn what_keeps_a_lease_alive() {
    let served = with_house().await;
    let mut ana = served.client_in("ana", "hq:1").await;
    let lock = ana.lock("object_edit", "door").await;
    let keeps: [(&str, Value, bool); 5] = [
        ("a renewal", json!({"type": "renew_lock", "lock_id": lock}), true),
        ("presence on the floor", json!({"type": "update_presence", "cursor_position": [1, 2]}), true),
        ("a broadcast to the floor", json!({"type": "broadcast", "room_id": "hq:1", "message": 1}), true),
        ("asking again", json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": "door"}), true),
        ("a ping", json!({"type": "ping"}), false),
    ];
    for (what, message, kept) in keeps {
        served.advance(200_000);
        served.clock.jump_wall(if kept { 900_000_000 } else { -900_000_000 });
        ana.send(message);
        ana.catch_up().await;
        served.advance(150_000);
        if kept {
            ana.none_of("lock_lost").await;
            ana.send(json!({"type": "renew_lock", "lock_id": lock}));
            assert_eq!(ana.expect("lock_renewed").await["lock_id"], lock.as_str(), "{what}");
            ana.forget();
        } else {
            assert_eq!(ana.expect("lock_lost").await["reason"], "expired", "{what}");
        }
    }
}

/// However often it is renewed, nobody holds a lock beyond the cap.
#[tokio::test]
async fn renewals_end_at_the_cap() {
    let served = Setup::memory().building(house()).with(|config| config.locks.max_hold_s = 600).start();
    let mut ana = served.client_in("ana", "hq:1").await;
    let lock = ana.lock("object_edit", "door").await;
    for _ in 0..2 {
        served.advance(250_000);
        ana.send(json!({"type": "renew_lock", "lock_id": lock}));
        ana.expect("lock_renewed").await;
    }
    served.advance(100_000);
    assert_eq!(ana.expect("lock_lost").await["reason"], "max_hold");
}

/// A lost socket keeps its locks for the grace and not longer; a clean close keeps nothing.
#[tokio::test]
async fn a_session_that_goes_gives_its_locks_back() {
    let served = with_house().await;
    let mut ben = served.client_in("ben", "hq:1").await;
    for clean in [true, false] {
        let mut ana = served.client_in("ana", "hq:1").await;
        let lock = ana.lock("object_edit", "door").await;
        ben.catch_up().await;
        if clean {
            ana.close().await;
        } else {
            ana.vanish();
            arxosrt_scenario::until("the loss is seen", async || {
                let response = ben.acquire("object_edit", "door").await;
                (response["holder"]["state"] == "suspended").then_some(())
            })
            .await;
            served.advance(14_000);
            quiet([&mut ben]).await;
            served.advance(1_100);
        }
        let released = ben.expect("lock_released").await;
        assert_eq!((&released["lock_id"], &released["reason"]), (&json!(lock), &json!("session_ended")));
        assert_eq!(ben.expect("user_left_room").await["user_id"], "ana");
        ben.forget();
    }
}

/// An old client that comes back as the same person within the grace has its locks and rooms as if it had never left.
#[tokio::test]
async fn an_old_client_comes_back_to_its_locks() {
    let served = with_house().await;
    let mut ben = served.old_in("ben", "hq:1").await;
    let mut ana = served.old_in("ana", "hq:1").await;
    let lock = ana.lock("object_edit", "door").await;
    ben.catch_up().await;
    ana.vanish();
    arxosrt_scenario::until("the loss is seen", async || {
        let response = ben.acquire("object_edit", "door").await;
        (response["holder"]["state"] == "suspended").then_some(())
    })
    .await;
    let mut ana = served.old("ana").await;
    ana.send(json!({"type": "heartbeat"}));
    ana.settle().await;
    served.advance(20_000);
    quiet([&mut ben]).await;
    ana.send(json!({"type": "release_lock", "lock_id": lock}));
    assert_eq!(ana.expect("lock_release_response").await["success"], true);
    assert_eq!(ben.expect("lock_released").await["reason"], "released");
}

/// Without a room a resource that nobody knows cannot be locked, and the answer says what is missing.
#[tokio::test]
async fn a_resource_lies_somewhere() {
    let served = with_house().await;
    let mut ana = served.client("ana").await;
    let refused = ask(&mut ana, json!({"lock_type": "object_edit", "resource_id": "unheard-of"})).await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("room_required")));
    // The directory knows a thing; a message names the room; the only joined room is meant.
    assert_eq!(ana.acquire("object_edit", "pump").await["success"], true);
    let named =
        ask(&mut ana, json!({"lock_type": "object_edit", "resource_id": "unheard-of", "room_id": "hq:1"})).await;
    assert_eq!(named["success"], true);
    ana.join("hq:2").await;
    assert_eq!(ana.acquire("object_edit", "new-pump").await["success"], true);
    let rows = served.get("/realtime/active-locks/new-pump").await.ok();
    assert_eq!(rows["count"], 1);
}
