//! A lost connection costs nothing: whoever comes back gets everything it missed, or is told that it must reload.

use arxosrt_scenario::{Client, Served, Setup, Value, http::Request, json, until};

const GRACE_MS: u64 = 15_000;

/// What a client keeps in order to come back.
struct Ticket {
    session: String,
    token: String,
}

impl Ticket {
    fn of(welcome: &Value) -> Ticket {
        let text = |key: &str| welcome[key].as_str().expect("a text").to_owned();
        Ticket { session: text("session"), token: text("resume_token") }
    }
}

async fn arrive(served: &Served, user: &str, features: &[&str]) -> (Client, Ticket) {
    let mut client = Client::greeted(served.http, user).await;
    let ticket = Ticket::of(&client.hello(features).await);
    (client, ticket)
}

/// Comes back and answers `welcome`.
async fn come_back(served: &Served, user: &str, ticket: &Ticket, rooms: Value) -> (Client, Value) {
    let mut client = Client::greeted(served.http, user).await;
    let resume = json!({"session": ticket.session, "token": ticket.token, "rooms": rooms});
    client.send(json!({"type": "hello", "protocol": 2, "resume": resume}));
    let welcome = client.expect("welcome").await;
    (client, welcome)
}

/// Says something and answers its `ack`.
async fn say(client: &mut Client, room: &str, text: &str) -> Value {
    let message = json!({"type": "broadcast", "room_id": room, "message": text, "id": text, "client_msg_id": text});
    client.send(message);
    client.expect_where("the ack", |m| m["type"] == "ack" && m["id"] == text).await
}

async fn join_since(client: &mut Client, room: &str, epoch: &Value, seq: u64) -> Value {
    client.send(json!({"type": "join_room", "room_id": room, "since": {"epoch": epoch, "seq": seq}}));
    client.expect("room_state").await
}

fn seqs(messages: &[Value]) -> Vec<u64> {
    messages.iter().filter_map(|m| m["seq"].as_u64()).collect()
}

async fn connections(served: &Served, count: u64) {
    until("so many connections", async || {
        let status = served.get("/v1/realtime/connection-status").await.ok();
        (status["websocket_connections"] == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_missed_comes_in_order_and_nobody_saw_a_leave() {
    let served = Setup::memory().start();
    let mut ben = served.client_in("ben", "r").await;
    let (mut ana, ticket) = arrive(&served, "ana", &[]).await;
    let state = ana.join("r").await;
    ben.rest().await;
    ana.vanish();
    connections(&served, 1).await;
    for text in ["one", "two"] {
        say(&mut ben, "r", text).await;
    }
    let lock = ben.lock("floor_edit", "r").await;

    let since = json!({"epoch": state["epoch"], "seq": state["seq"]});
    let (mut ana, welcome) = come_back(&served, "ana", &ticket, json!({"r": since})).await;
    assert_eq!((&welcome["resumed"], welcome["session"].as_str()), (&json!(true), Some(ticket.session.as_str())));
    let state = ana.expect("room_state").await;
    assert_eq!(state["recovered"], true, "{state}");
    let missed = state["missed"].as_array().expect("a list");
    assert_eq!(seqs(missed), [1, 2, 3]);
    assert_eq!((&missed[0]["message"], &missed[2]["lock_id"]), (&json!("one"), &json!(lock)));
    assert_eq!(state["locks"][0]["lock_id"], lock.as_str());

    say(&mut ben, "r", "three").await;
    assert_eq!(ana.expect("broadcast").await["seq"], 4);
    ben.none_of("user_left_room").await;
    ben.none_of("user_joined_room").await;
}

#[tokio::test]
async fn who_cannot_be_given_everything_is_told_why() {
    let served = Setup::memory().with(|config| config.hub.history_events_max = 2).start();
    let (mut ana, _) = arrive(&served, "ana", &[]).await;
    let epoch = ana.join("r").await["epoch"].clone();
    for text in ["one", "two", "three"] {
        say(&mut ana, "r", text).await;
    }
    for (epoch, since, reason) in [
        (json!("otherlog"), 3, Some("epoch_changed")),
        (epoch.clone(), 0, Some("history_expired")),
        (epoch.clone(), 4, Some("ahead_of_log")),
        (epoch.clone(), 1, None),
        (epoch.clone(), 3, None),
    ] {
        let state = join_since(&mut ana, "r", &epoch, since).await;
        assert_eq!(state["recovered"], reason.is_none(), "{state}");
        match reason {
            Some(reason) => {
                assert_eq!(state["reason"], reason);
                assert!(state["missed"].is_null(), "never a part");
            }
            None => {
                let missed = seqs(state["missed"].as_array().expect("a list"));
                assert_eq!(missed, (since + 1..=3).collect::<Vec<u64>>());
            }
        }
        assert_eq!(state["seq"], 3);
    }
}

#[tokio::test]
async fn a_session_is_given_to_nobody_without_its_secret() {
    let served = Setup::memory().start();
    let (_ana, anas) = arrive(&served, "ana", &[]).await;
    let (_ben, bens) = arrive(&served, "ben", &[]).await;
    let forged = Ticket { session: anas.session.clone(), token: format!("{}x", anas.token) };
    let crossed = Ticket { session: anas.session.clone(), token: bens.token.clone() };
    for (user, ticket) in [("ana", &forged), ("ana", &crossed), ("ben", &anas), ("ben", &crossed)] {
        let (client, welcome) = come_back(&served, user, ticket, json!({})).await;
        assert_eq!((&welcome["resumed"], &welcome["resume_refused"]), (&json!(false), &json!("bad_token")));
        assert_ne!(welcome["session"], anas.session.as_str());
        client.close().await;
    }
    connections(&served, 2).await;
}

#[tokio::test]
async fn the_connection_that_had_the_session_gives_way_to_the_one_that_resumes_it() {
    let served = Setup::memory().start();
    let (mut first, ticket) = arrive(&served, "ana", &[]).await;
    first.join("r").await;
    let lock = first.lock("floor_edit", "r").await;
    let (mut second, welcome) = come_back(&served, "ana", &ticket, json!({"r": null})).await;
    assert_eq!(welcome["resumed"], true);
    assert_eq!(first.closed().await.code, Some(3503));
    assert_eq!(second.expect("room_state").await["locks"][0]["lock_id"], lock.as_str());
    second.send(json!({"type": "release_lock", "lock_id": lock}));
    assert_eq!(second.expect("lock_release_response").await["success"], true);
}

#[tokio::test]
async fn a_clean_close_ends_the_session_at_once_and_a_lost_one_with_the_grace() {
    let served = Setup::memory().start();
    let mut ben = served.client_in("ben", "r").await;
    for clean in [true, false] {
        let (mut ana, ticket) = arrive(&served, "ana", &[]).await;
        ana.join("r").await;
        let lock = ana.lock("floor_edit", "r").await;
        ben.rest().await;
        if clean {
            ana.close().await;
        } else {
            ana.vanish();
            connections(&served, 1).await;
            served.advance(GRACE_MS - 1_000);
            ben.nothing_more().await;
            served.advance(1_000);
        }
        let released = ben.expect("lock_released").await;
        assert_eq!((&released["lock_id"], &released["user_id"]), (&json!(lock), &json!("ana")));
        ben.expect("user_left_room").await;
        // The first seconds of a daemon forgive a session that it does not know; they are over here.
        served.advance(GRACE_MS);
        let (back, welcome) = come_back(&served, "ana", &ticket, json!({})).await;
        assert_eq!((&welcome["resumed"], &welcome["resume_refused"]), (&json!(false), &json!("expired")));
        back.close().await;
        connections(&served, 1).await;
    }
}

#[tokio::test]
async fn without_a_grace_a_lost_connection_ends_its_session() {
    let served = Setup::memory().with(|config| config.locks.grace_s = 0).start();
    let mut ben = served.client_in("ben", "r").await;
    let mut ana = served.client_in("ana", "r").await;
    ana.lock("floor_edit", "r").await;
    ana.vanish();
    ben.expect("lock_released").await;
    ben.expect("user_left_room").await;
}

#[tokio::test]
async fn an_old_client_that_comes_back_gets_what_it_missed_and_nothing_twice() {
    for setup in [Setup::memory(), Setup::embedded()] {
        let served = setup.start();
        let mut ben = served.client_in("ben", "r").await;
        let mut ana = served.old_in("ana", "r").await;
        let lock = ana.lock("object_edit", "o").await;
        say(&mut ben, "r", "heard").await;
        ana.expect("broadcast").await;
        ben.rest().await;
        ana.vanish();
        connections(&served, 1).await;
        say(&mut ben, "r", "missed 1").await;
        say(&mut ben, "r", "missed 2").await;

        let mut ana = served.old("ana").await;
        ana.send(json!({"type": "join_room", "room_id": "r"}));
        for text in ["missed 1", "missed 2"] {
            assert_eq!(ana.expect("broadcast").await["message"], text);
        }
        let state = ana.expect("room_state").await;
        assert_eq!(state["locks"][0]["lock_id"], lock.as_str());
        say(&mut ben, "r", "live").await;
        assert_eq!(ana.expect("broadcast").await["message"], "live");
        ana.none_of("broadcast").await;
        ana.send(json!({"type": "release_lock", "lock_id": lock}));
        assert_eq!(ana.expect("lock_release_response").await["success"], true);
        ben.none_of("user_left_room").await;
    }
}

#[tokio::test]
async fn a_broadcast_that_is_sent_again_is_told_once() {
    let setup = Setup::embedded();
    let served = setup.start();
    let mut ben = served.client_in("ben", "r").await;
    let (mut ana, ticket) = arrive(&served, "ana", &[]).await;
    ana.join("r").await;
    ben.rest().await;
    let first = say(&mut ana, "r", "once").await;
    assert_eq!((&first["seq"], &first["duplicate"]), (&json!(1), &json!(false)));
    let again = say(&mut ana, "r", "once").await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));
    ana.vanish();
    connections(&served, 1).await;

    let (mut ana, _) = come_back(&served, "ana", &ticket, json!({"r": null})).await;
    assert_eq!(say(&mut ana, "r", "once").await["duplicate"], true);
    // A name is a session's own.
    assert_eq!(say(&mut ben, "r", "once").await["duplicate"], false);
    assert_eq!(ben.expect("broadcast").await["user_id"], "ana");
    assert_eq!(ben.expect("broadcast").await["user_id"], "ben");
    ben.none_of("broadcast").await;
    served.stop().await.expect("in good order");

    let served = setup.start();
    let (mut ana, welcome) = come_back(&served, "ana", &ticket, json!({"r": null})).await;
    assert_eq!(welcome["resumed"], true);
    let again = say(&mut ana, "r", "once").await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));
    // The log's own clock advances with what happens, by a minute at most.
    for minute in 1..=6 {
        served.clock.jump_wall(60_000);
        say(&mut ana, "r", &format!("minute {minute}")).await;
    }
    assert_eq!(say(&mut ana, "r", "once").await["duplicate"], false);
}

#[tokio::test]
async fn a_client_that_rest_put_into_a_room_before_its_hello_may_take_diffs() {
    let served = Setup::memory().start();
    let mut ana = served.old("ana").await;
    served.post("/v1/realtime/join-room", &json!({"user_id": "ana", "room_id": "r"})).await.ok();
    ana.hello(&["presence_diff"]).await;
    let mut ben = served.client_in("ben", "r").await;
    served.advance(1_000);
    let told = ana.expect("presence_diff").await;
    assert_eq!(told["joined"][0]["user_id"], "ben", "{told}");
    ana.send(json!({"type": "leave_room", "room_id": "r"}));
    ben.expect("user_left_room").await;
    ana.settle().await;
}

/// A short text frame of a client. Its mask is zero, which leaves the text as it is.
fn frame(message: &Value) -> Vec<u8> {
    let text = message.to_string();
    let mut out = vec![0x81, 0x80 | u8::try_from(text.len()).expect("below 126"), 0, 0, 0, 0];
    out.extend_from_slice(text.as_bytes());
    out
}

#[tokio::test]
async fn whoever_leaves_a_room_and_comes_back_is_seen_there() {
    let served = Setup::memory().start();
    let mut ben = served.client_in("ben", "r").await;
    let mut ana = served.raw("ana").await;
    // In one piece, so that all of it falls into one turn of the hub.
    let cursor = |x: u32| json!({"type": "update_presence", "cursor_position": [x, x]});
    let (join, leave) = (json!({"type": "join_room", "room_id": "r"}), json!({"type": "leave_room", "room_id": "r"}));
    ana.write(&[&join, &cursor(1), &leave, &join].map(frame).concat()).await;
    for _ in 0..2 {
        ben.expect("user_joined_room").await;
    }
    ben.settle().await;
    ana.write(&frame(&cursor(2))).await;
    let is_it = |m: &Value| m["type"] == "presence_updated" && m["cursor_position"] == json!([2, 2]);
    ben.expect_where("the newest cursor", is_it).await;
}

#[tokio::test]
async fn a_room_that_nobody_needed_for_a_while_goes_on_where_it_was() {
    for setup in [Setup::memory(), Setup::embedded()] {
        let served = setup.start();
        let (mut ana, _) = arrive(&served, "ana", &[]).await;
        ana.join("r").await;
        say(&mut ana, "r", "one").await;
        ana.send(json!({"type": "leave_room", "room_id": "r"}));
        ana.settle().await;
        served.advance(10 * 60_000);
        until("the building is not in memory", async || {
            let status = served.operate(Request::get("/v1/status")).await.ok();
            (status["object"]["buildings"] == 0).then_some(())
        })
        .await;
        assert_eq!(ana.join("r").await["seq"], 1);
        assert_eq!(say(&mut ana, "r", "two").await["seq"], 2);
        ana.none_of("error").await;
    }
}
