//! What is damaged stays closed and is named; everything else works.

use arxosrt_scenario::{Setup, Value, http::Request, json, until};

#[tokio::test]
async fn a_database_that_was_removed_is_noticed() {
    let setup = Setup::embedded();
    let served = setup.start();
    assert_eq!(served.get("/ready").await.status, 200);
    let (path, aside) = (setup.dir().join("arxosrt.db"), setup.dir().join("aside"));
    std::fs::rename(&path, &aside).expect("it is there");
    let ready = async || served.get("/ready").await;
    until("it is noticed", async || (ready().await.status == 503).then_some(())).await;
    assert_eq!(ready().await.json()["state"], "store_lost");
    let status = served.operate(Request::get("/v1/status")).await.ok();
    assert_eq!(status["object"]["state"], "store_lost", "{status}");
    std::fs::rename(&aside, &path).expect("it is there");
    until("so is its return", async || (ready().await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_damaged_log_closes_its_building_and_no_other() {
    let setup = Setup::embedded();
    let served = setup.start();
    let mut ana = served.client("ana").await;
    for (room, thing) in [("a", "door"), ("b", "window")] {
        ana.join(room).await;
        ana.send(json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": thing, "room_id": room}));
        assert_eq!(ana.expect("lock_response").await["success"], true);
    }
    // A lost connection and not an end: the locks outlive this run.
    served.stop().await.expect("an end in good order");
    let database = rusqlite::Connection::open(setup.dir().join("arxosrt.db")).expect("the database");
    let torn = "DELETE FROM log WHERE building = (SELECT number FROM building WHERE id = 'a')";
    assert!(database.execute(torn, []).expect("a row") > 0);
    drop(database);

    let served = setup.start();
    assert_eq!(served.get("/ready").await.status, 200);
    let status = served.operate(Request::get("/v1/status")).await.ok()["object"].clone();
    assert_eq!((&status["buildings_closed"], &status["closed"]), (&json!(1), &json!(["a"])), "{status}");
    assert!(served.get("/metrics").await.body.contains("arxosrt_buildings_closed 1"));

    let mut ben = served.client("ben").await;
    let mut asked = 0;
    let mut ask = async |mut message: Value| {
        asked += 1;
        message["id"] = json!(asked.to_string());
        ben.send(message);
        let id = json!(asked.to_string());
        ben.expect_where("its outcome", |m| m["request_id"] == id).await
    };
    let lock = |room: &str, thing: &str| json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": thing, "room_id": room});
    for message in [
        lock("a", "door"),
        lock("a", "another"),
        json!({"type": "acquire_lock", "lock_type": "floor_edit", "resource_id": "a"}),
        json!({"type": "join_room", "room_id": "a"}),
    ] {
        let refused = ask(message).await;
        assert_eq!(refused["code"], "store_unavailable", "{refused}");
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("building a is closed")), "{refused}");
    }
    assert_eq!(ask(lock("b", "window")).await["success"], false, "its owner may come back");
    assert_eq!(ask(lock("b", "shelf")).await["success"], true);
}
