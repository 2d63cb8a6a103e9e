//! A disk without space makes what people agree on read-only, and nothing else: what was not committed is forgotten,
//! what was heard is kept, cursors go on, and it ends by itself.
//!
//! The kernel's limit on the size of a file stands for the full disk; it is set on the daemon's process from outside.
use arxosrt_scenario::child::Child;
use arxosrt_scenario::{Client, Setup, Value, http::Request, json, until};

async fn ready(child: &Child) -> (u16, Value) {
    let answer = child.get("/ready").await;
    (answer.status, answer.json()["state"].clone())
}

async fn until_ready(child: &Child) {
    until("the store is back", async || (ready(child).await.0 == 200).then_some(())).await;
}

async fn say(client: &mut Client, text: &str) -> Value {
    say_in(client, "r", text).await
}

async fn say_in(client: &mut Client, room: &str, text: &str) -> Value {
    client.send(json!({"type": "broadcast", "room_id": room, "message": text, "id": text}));
    client.expect_where("its outcome", |m| m["request_id"] == text && m["type"] != "broadcast").await
}

async fn replay_is_equal(child: &Child) {
    let report = child.operate(Request::get("/v1/buildings/r/replay")).await.ok();
    assert_eq!(report["object"]["equal"], true, "{report}");
}

fn start(setup: &Setup) -> Child {
    Child::start(setup.config(), setup.dir())
}

async fn join_since(client: &mut Client, epoch: &Value, seq: u64) -> Value {
    client.send(json!({"type": "join_room", "room_id": "r", "since": {"epoch": epoch, "seq": seq}}));
    client.expect("room_state").await
}

#[tokio::test]
async fn what_cannot_be_committed_is_refused_and_forgotten() {
    let setup = Setup::embedded();
    let child = start(&setup);
    let (mut ana, mut ben, mut cid) = (child.client("ana").await, child.client("ben").await, child.client("cid").await);
    for client in [&mut ana, &mut ben, &mut cid] {
        client.join("r").await;
    }
    let lock = ana.lock("object_edit", "o1").await;
    let cids = cid.lock("object_edit", "o2").await;
    say(&mut ana, "before").await;
    ben.rest().await;

    child.limit_files(0);
    ana.send(json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": "o3", "id": "wish"}));
    let refused = ana.expect_where("its outcome", |m| m["request_id"] == "wish").await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("store_unavailable")), "{refused}");
    assert_eq!(ready(&child).await, (503, json!("read_only")));
    // From here on it is refused before anything is decided.
    assert_eq!(say(&mut ana, "during").await["code"], "store_unavailable");
    ana.send(json!({"type": "release_lock", "lock_id": lock}));
    assert_eq!(ana.expect("lock_release_response").await["success"], false);
    ben.none_of("lock_acquired").await;
    ben.none_of("lock_released").await;
    ben.none_of("broadcast").await;
    // What is not agreed on goes on.
    ana.send(json!({"type": "update_presence", "cursor_position": [5, 5]}));
    assert_eq!(ben.expect("presence_updated").await["cursor_position"], json!([5, 5]));
    let mut dan = child.client("dan").await;
    let state = dan.join("r").await;
    assert_eq!((state["seq"].as_u64(), state["locks"].as_array().map(Vec::len)), (Some(3), Some(2)), "{state}");
    cid.close().await;

    child.limit_files(libc::RLIM_INFINITY);
    until_ready(&child).await;
    assert_eq!(ben.expect("lock_released").await["lock_id"], cids.as_str(), "its owner left meanwhile");
    let next = ana.lock("object_edit", "o3").await;
    assert_ne!(next, cids);
    assert_eq!(ben.expect("lock_acquired").await["lock_id"], next.as_str());
    assert_eq!(say(&mut ana, "after").await["seq"], 6);
    ana.send(json!({"type": "release_lock", "lock_id": lock}));
    assert_eq!(ana.expect("lock_release_response").await["success"], true);
    replay_is_equal(&child).await;
    child.stop();
}

#[tokio::test]
async fn what_was_heard_is_kept() {
    let setup = Setup::embedded();
    let child = start(&setup);
    let (mut ana, mut ben) = (child.client("ana").await, child.client("ben").await);
    ana.join("r").await;
    let epoch = ben.join("r").await["epoch"].clone();
    say(&mut ana, "before").await;
    assert_eq!(ben.expect("broadcast").await["seq"], 1);

    child.limit_files(0);
    // Told at once, before anybody knows that it cannot be committed.
    let outcome = say(&mut ana, "heard").await;
    assert_eq!(outcome["code"], "store_unavailable", "{outcome}");
    assert_eq!(ben.expect("broadcast").await["seq"], 2);
    let state = join_since(&mut ben, &epoch, 1).await;
    assert_eq!((&state["recovered"], &state["missed"][0]["message"]), (&json!(true), &json!("heard")));

    child.limit_files(libc::RLIM_INFINITY);
    until_ready(&child).await;
    assert_eq!(say(&mut ana, "after").await["seq"], 3);
    assert_eq!(ben.expect("broadcast").await["seq"], 3);
    ben.none_of("resync_required").await;
    replay_is_equal(&child).await;
    child.kill();

    let child = start(&setup);
    let mut ben = child.client("ben").await;
    let state = join_since(&mut ben, &epoch, 0).await;
    assert_eq!(state["recovered"], true, "{state}");
    let missed: Vec<&Value> = state["missed"].as_array().expect("a list").iter().map(|m| &m["message"]).collect();
    assert_eq!(missed, [&json!("before"), &json!("heard"), &json!("after")]);
    replay_is_equal(&child).await;
}

#[tokio::test]
async fn what_was_heard_survives_a_daemon_that_dies_before_there_is_space() {
    let setup = Setup::embedded();
    let child = start(&setup);
    let (mut ana, mut ben) = (child.client("ana").await, child.client("ben").await);
    ana.join("r").await;
    let epoch = ben.join("r").await["epoch"].clone();
    say(&mut ana, "before").await;
    // The database is full, but the journal of what is told still has some space.
    child.limit_files(2_048);
    let mut heard = 1;
    while say(&mut ana, &format!("heard {heard}")).await["type"] == "ack" {
        heard += 1;
    }
    heard += 1;
    while ben.expect("broadcast").await["seq"] != heard {}
    assert_eq!(ready(&child).await.0, 503);
    child.kill();

    let child = start(&setup);
    let mut ben = child.client("ben").await;
    let state = join_since(&mut ben, &epoch, 0).await;
    assert_eq!((&state["recovered"], &state["seq"]), (&json!(true), &json!(heard)), "{state}");
    replay_is_equal(&child).await;
}

#[tokio::test]
async fn a_disk_that_does_not_keep_up_loses_nothing_that_was_heard() {
    let setup = Setup::embedded().with(|config| {
        config.hub.history_events_max = 1 << 16;
        config.limits.messages_per_s = 1_000_000;
        config.limits.messages_burst = 1_000_000;
    });
    let served = setup.start();
    let (mut ana, mut ben) = (served.client_in("ana", "r").await, served.client("ben").await);
    let epoch = ben.join("s").await["epoch"].clone();
    // Somebody holds the database's write lock, as a backup might. Batches pile up until the queue is full; if this
    // machine is too slow for that, the wait for the lock ends first, which must come to the same.
    let other = rusqlite::Connection::open(setup.dir().join("arxosrt.db")).expect("the database");
    other.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
    ana.send(json!({"type": "acquire_lock", "lock_type": "floor_edit", "resource_id": "r", "id": "lock"}));
    let mut heard = 0;
    let mut is_over = |m: &Value| match m["type"].as_str() {
        Some("broadcast") => {
            heard += 1;
            assert_eq!(m["seq"], heard);
            Some(false)
        }
        Some("error") => {
            assert_eq!(m["code"], "store_unavailable");
            Some(true)
        }
        _ => None,
    };
    'full: loop {
        ben.send(json!({"type": "broadcast", "room_id": "s", "message": 0}));
        loop {
            match is_over(&ben.next().await) {
                Some(true) => break 'full,
                Some(false) => break,
                None => {}
            }
        }
    }
    other.execute_batch("ROLLBACK").expect("the end of it");
    drop(other);
    let outcome = ana.expect_where("the outcome", |m| m["request_id"] == "lock").await;
    until("the store is back", async || (served.get("/ready").await.status == 200).then_some(())).await;
    let locks = ana.join("r").await["locks"].as_array().map(Vec::len);
    assert_eq!(locks, Some(usize::from(outcome["success"] == true)), "{outcome}");
    assert_eq!(say_in(&mut ben, "s", "after").await["seq"], heard + 1);
    let state = {
        ben.send(json!({"type": "join_room", "room_id": "s", "since": {"epoch": epoch, "seq": 0}}));
        ben.expect("room_state").await
    };
    assert_eq!(state["missed"].as_array().map(Vec::len), Some(heard + 1));
    for building in ["r", "s"] {
        let report = served.operate(Request::get(&format!("/v1/buildings/{building}/replay"))).await;
        assert!(report.status == 404 || report.ok()["object"]["equal"] == true, "{report:?}");
    }
}
