//! The harness itself: what the other scenarios rely on.
use arxosrt_scenario::{Setup, child::Child, http::Request, json, quiet};

#[tokio::test]
async fn clients_hear_each_other_and_silence_can_be_told_from_slowness() {
    let served = Setup::memory().start();
    let mut ana = served.old_in("ana", "r").await;
    let mut ben = served.client_in("ben", "r").await;
    ana.expect("user_joined_room").await;
    ana.send(json!({"type": "broadcast", "room_id": "r", "message": {"n": 1}}));
    assert_eq!(ben.expect("broadcast").await["message"]["n"], 1);
    ana.expect("broadcast").await;
    ana.forget();
    ben.forget();
    quiet([&mut ana, &mut ben]).await;
    assert_eq!(served.get("/realtime/connection-status").await.ok()["websocket_connections"], 2);
    assert_eq!(served.operate(Request::get("/v1/status")).await.ok()["object"]["connections"], 2);
    ben.close().await;
    assert_eq!(ana.expect("user_left_room").await["user_id"], "ben");
    ana.vanish();
    served.stop().await.expect("in good order");
}

#[tokio::test]
async fn a_child_can_be_killed_and_stopped() {
    let setup = Setup::embedded();
    let child = Child::start(setup.config(), setup.dir());
    let mut ana = child.client("ana").await;
    ana.join("r").await;
    let pid = child.pid();
    child.kill();
    assert_eq!(ana.closed().await.code, None, "{pid}");
    let child = Child::start(setup.config(), setup.dir());
    child.stop();
}
