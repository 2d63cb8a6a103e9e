//! A member that does not read harms nobody but itself: the others hear everything, what waits for it is bounded, and it
//! is told what it lost.

use arxosrt_scenario::child::Child;
use arxosrt_scenario::{Client, Raw, Served, Setup, Value, http::Request, json, until};

/// Large messages fill the kernel's buffers soon.
const MESSAGE_BYTES: usize = 60_000;

fn setup() -> Setup {
    Setup::memory().with(|config| {
        config.hub.outbox_bytes_max = 256 << 10;
        config.limits.messages_per_s = 1_000_000;
        config.limits.messages_burst = 1_000_000;
    })
}

/// A present client in the room that reads its `room_state` and then nothing more.
async fn sleeper(at: std::net::SocketAddr, user: &str, features: &[&str]) -> Raw {
    let mut raw = Raw::narrow(at).await;
    raw.upgrade(&format!("/v1/realtime/ws/{user}")).await;
    raw.text(&json!({"type": "hello", "protocol": 2, "features": features}).to_string()).await;
    raw.text(&json!({"type": "join_room", "room_id": "r"}).to_string()).await;
    while message(&mut raw).await["type"] != "room_state" {}
    raw
}

/// The next message. Pings pass by.
async fn message(raw: &mut Raw) -> Value {
    loop {
        let frame = raw.next().await.expect("a message");
        assert_ne!(frame.opcode, 8, "closed with {:?}", frame.close_code());
        if frame.opcode == 1 {
            return serde_json::from_slice(&frame.payload).expect("JSON");
        }
    }
}

/// Says something large and waits for the acknowledgement.
async fn shout(client: &mut Client) -> u64 {
    let text = "x".repeat(MESSAGE_BYTES);
    client.send(json!({"type": "broadcast", "room_id": "r", "message": text, "id": "shout"}));
    client.expect("ack").await["seq"].as_u64().expect("a number")
}

/// A counter of `/metrics`, with its labels.
async fn counter(served: &Served, name: &str) -> u64 {
    let page = served.get("/metrics").await.body;
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}

/// The daemon parts from the client with 3008. It waits a second for its last words to be read, and then no longer.
async fn closed_as_slow(served: &Served, mut client: Raw) {
    let code = client.close_code().await;
    assert!(matches!(code, Some(3008) | None), "{code:?}");
    until("the close is counted", async || {
        (counter(served, "arxosrt_closes_total{code=\"3008\"}").await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn others_hear_everything_and_the_slow_one_is_told_what_it_lost() {
    let served = setup().start();
    let mut ben = served.client_in("ben", "r").await;
    let mut ana = served.client_in("ana", "r").await;
    let mut slow = sleeper(served.http, "slow", &[]).await;
    let mut last = shout(&mut ben).await;
    assert_eq!(ana.expect("broadcast").await["seq"], last);
    while counter(&served, "arxosrt_resyncs_total{reason=\"outbox_full\"}").await == 0 {
        last = shout(&mut ben).await;
        assert_eq!(ana.expect("broadcast").await["seq"], last, "nobody waits for the slow one");
        assert!(last < 1_000, "what waits for one client is bounded");
    }
    // It reads at last: what came before the loss, that there was one, and what comes after it.
    let mut heard = 0;
    let told = loop {
        let message = message(&mut slow).await;
        match message["type"].as_str() {
            Some("broadcast") => {
                assert_eq!(message["seq"], heard + 1);
                heard += 1;
            }
            Some("resync_required") => break message,
            _ => {}
        }
    };
    assert!(heard < last);
    assert_eq!((&told["room_id"], &told["reason"], &told["seq"]), (&json!("r"), &json!("slow_consumer"), &json!(last)));
    last = shout(&mut ben).await;
    assert_eq!(message(&mut slow).await["seq"], last);

    let since = json!({"epoch": told["epoch"], "seq": last - 2});
    slow.text(&json!({"type": "join_room", "room_id": "r", "since": since}).to_string()).await;
    let state = message(&mut slow).await;
    assert_eq!(state["recovered"], true);
    assert_eq!(state["missed"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn whoever_overflows_twice_in_a_minute_is_closed() {
    for apart_ms in [0, 61_000] {
        let served = setup().start();
        let mut ben = served.client_in("ben", "r").await;
        let slow = sleeper(served.http, "slow", &[]).await;
        let resyncs = "arxosrt_resyncs_total{reason=\"outbox_full\"}";
        while counter(&served, resyncs).await == 0 {
            shout(&mut ben).await;
        }
        served.advance(apart_ms);
        while counter(&served, "arxosrt_slow_closes_total").await == 0 && counter(&served, resyncs).await < 2 {
            shout(&mut ben).await;
        }
        assert_eq!(counter(&served, resyncs).await, if apart_ms == 0 { 1 } else { 2 });
        if apart_ms == 0 {
            closed_as_slow(&served, slow).await;
            ben.none_of("user_left_room").await;
        }
    }
}

#[tokio::test]
async fn of_each_cursor_the_slow_one_sees_the_newest() {
    for features in [&[][..], &["presence_diff"][..]] {
        // No overflow here: the backlog itself must not hold cursors.
        let served = setup().with(|config| config.hub.outbox_bytes_max = 64 << 20).start();
        let mut ben = served.client_in("ben", "r").await;
        let mut ana = served.client_in("ana", "r").await;
        let mut slow = sleeper(served.http, "slow", features).await;
        let cursor = |n: u64| json!({"type": "update_presence", "cursor_position": [n, n]});
        let mut before = 0;
        // Sequenced frames until the socket takes no more; then every cursor leaves its key only.
        for _ in 0..100 {
            shout(&mut ben).await;
            before += 1;
        }
        for n in 1..=300 {
            ben.send(cursor(n));
            ana.send(cursor(1_000 + n));
            if n % 50 == 0 {
                ben.settle().await;
                served.advance(100);
            }
        }
        ben.settle().await;
        ana.settle().await;
        served.advance(100);
        ben.settle().await;
        let (mut bens, mut anas, mut shouts) = (Vec::new(), Vec::new(), 0);
        while bens.is_empty() || anas.is_empty() || shouts < before {
            let message = message(&mut slow).await;
            let updated = match message["type"].as_str() {
                Some("presence_updated") => vec![message.clone()],
                Some("presence_diff") => message["updated"].as_array().expect("a list").clone(),
                Some("broadcast") => {
                    shouts += 1;
                    vec![]
                }
                _ => vec![],
            };
            for person in updated {
                let list = if person["user_id"] == "ben" { &mut bens } else { &mut anas };
                list.push(person["cursor_position"][0].clone());
            }
        }
        assert_eq!((bens, anas), (vec![json!(300)], vec![json!(1_300)]), "{features:?}");
    }
}

#[tokio::test]
async fn answers_are_never_dropped_and_too_many_of_them_close() {
    let served = setup().with(|config| config.hub.control_bytes_max = 64 << 10).start();
    let mut ana = served.client_in("ana", "r").await;
    ana.send(json!({"type": "update_presence", "cursor_position": "x".repeat(7_000)}));
    ana.settle().await;
    let mut slow = sleeper(served.http, "slow", &[]).await;
    let mut asked = 0;
    while counter(&served, "arxosrt_slow_closes_total").await == 0 {
        for _ in 0..50 {
            slow.text(&json!({"type": "join_room", "room_id": "r"}).to_string()).await;
        }
        asked += 50;
        assert!(asked < 20_000, "answers to one client are bounded");
    }
    closed_as_slow(&served, slow).await;
}

#[tokio::test]
async fn whoever_missed_much_in_many_rooms_gets_it_one_room_after_the_other() {
    let served = setup().with(|config| config.hub.control_bytes_max = 64 << 10).start();
    let rooms: Vec<String> = (0..12).map(|n| format!("room {n}")).collect();
    let mut ben = served.client("ben").await;
    let mut epoch = Value::Null;
    for room in &rooms {
        epoch = ben.join(room).await["epoch"].clone();
        for _ in 0..15 {
            let text = "x".repeat(MESSAGE_BYTES);
            ben.send(json!({"type": "broadcast", "room_id": room, "message": text, "id": "shout"}));
            ben.expect("ack").await;
        }
        ben.forget();
    }
    let mut raw = Raw::narrow(served.http).await;
    raw.upgrade("/v1/realtime/ws/ana").await;
    raw.text(&json!({"type": "hello", "protocol": 2}).to_string()).await;
    let join =
        |room: &str| json!({"type": "join_room", "room_id": room, "since": {"epoch": epoch, "seq": 0}}).to_string();
    for room in &rooms {
        raw.text(&join(room)).await;
    }
    let (mut whole, mut asked_again) = (0, 0);
    while whole < rooms.len() {
        let message = message(&mut raw).await;
        match message["type"].as_str() {
            Some("room_state") => {
                assert_eq!(message["missed"].as_array().map(Vec::len), Some(15), "never a part");
                whole += 1;
            }
            Some("resync_required") => {
                asked_again += 1;
                raw.text(&join(message["room_id"].as_str().expect("an id"))).await;
            }
            _ => {}
        }
    }
    assert!(asked_again > 0, "the rooms were too much at once");
}

#[tokio::test]
async fn nothing_is_left_when_everybody_has_gone() {
    let served = setup().start();
    let mut ben = served.client_in("ben", "r").await;
    let mut sleepers = Vec::new();
    for n in 0..3 {
        sleepers.push(sleeper(served.http, &format!("s{n}"), &[]).await);
    }
    let mut crowd = Vec::new();
    for n in 0..50 {
        let mut client = served.client_in(&format!("c{n}"), &format!("room {}", n % 7)).await;
        client.send(json!({"type": "update_presence", "cursor_position": [n, n]}));
        client.lock("object_edit", &format!("o{n}")).await;
        crowd.push(client);
    }
    while counter(&served, "arxosrt_resyncs_total{reason=\"outbox_full\"}").await < 3 {
        shout(&mut ben).await;
    }
    for (n, client) in crowd.into_iter().enumerate() {
        if n % 2 == 0 { client.close().await } else { client.vanish() }
    }
    drop(sleepers);
    ben.close().await;
    until("the last connection is gone", async || {
        let status = served.operate(Request::get("/v1/status")).await.ok();
        (status["object"]["connections"] == 0).then_some(())
    })
    .await;
    served.advance(15_000);
    until("sessions, people, rooms and locks are gone", async || {
        let status = served.operate(Request::get("/v1/status")).await.ok()["object"].clone();
        ["sessions", "users", "rooms", "locks"].iter().all(|what| status[what] == 0).then_some(())
    })
    .await;
    served.advance(10 * 60_000);
    until("buildings are gone", async || {
        let status = served.operate(Request::get("/v1/status")).await.ok();
        (status["object"]["buildings"] == 0).then_some(())
    })
    .await;
}

/// Open descriptors of a process.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count()
}

#[tokio::test]
async fn a_peer_that_reads_nothing_and_stays_is_let_go() {
    let setup = setup();
    let child = Child::start(setup.config(), setup.dir());
    let mut ben = child.client("ben").await;
    ben.join("r").await;
    let before = descriptors(child.pid());
    let mut sleepers = Vec::new();
    for n in 0..4 {
        sleepers.push(sleeper(child.http, &format!("s{n}"), &[]).await);
    }
    assert!(descriptors(child.pid()) >= before + 4);
    // Nobody of them ever closes its side.
    until("their sockets are closed", async || {
        shout(&mut ben).await;
        (descriptors(child.pid()) <= before).then_some(())
    })
    .await;
    drop(sleepers);
    child.stop();
}
