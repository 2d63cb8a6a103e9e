//! A change by an operator and its record are there together or not at all, also when the store fails just then.
//!
//! The kernel's limit on the size of a file stands for the full disk; it is set on the daemon's process from outside.
use arxosrt_scenario::child::Child;
use arxosrt_scenario::{Setup, Value, http::Request, json, until};

async fn audit(child: &Child) -> Vec<(Value, Value)> {
    let list = child.operate(Request::get("/v1/audit")).await.ok();
    let rows = list["items"].as_array().expect("a list").iter();
    rows.map(|row| (row["action"].clone(), row["result"].clone())).collect()
}

async fn until_ready(child: &Child) {
    until("the store is back", async || (child.get("/ready").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_change_and_its_record_are_one() {
    let setup = Setup::embedded();
    let child = Child::start(setup.config(), setup.dir());
    let (mut ana, mut ben) = (child.client("ana").await, child.client("ben").await);
    ana.join("r").await;
    ben.join("r").await;
    let granted = ana.acquire("object_edit", "o1").await;
    let (lock, token) = (granted["lock_id"].as_str().expect("an id"), granted["fencing_token"].as_u64().expect("one"));
    ben.rest().await;
    let changes = [
        ("lock.force_release", {
            let request = Request::new("DELETE", &format!("/v1/locks/{lock}")).field("If-Match", &token.to_string());
            request.json(&json!({"reason": "test"}))
        }),
        ("user.kick", Request::new("DELETE", "/v1/users/ana").json(&json!({"reason": "test"}))),
        ("room.send", Request::post("/v1/rooms/r/notice").json(&json!({"message": "lunch"}))),
        ("drain", Request::post("/v1/drain").json(&json!({"window_ms": 0}))),
    ];
    for (what, change) in &changes {
        // The first attempt is decided and fails at the commit; the second one is refused before that.
        child.limit_files(0);
        for _ in 0..2 {
            let refused = child.operate(change.clone()).await;
            assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("store_unavailable")), "{what}");
        }
        child.limit_files(libc::RLIM_INFINITY);
        until_ready(&child).await;
        assert_eq!(audit(&child).await, [], "{what} has left a record and nothing else");
        let locks = child.operate(Request::get("/v1/locks")).await.ok();
        assert_eq!(locks["items"][0]["lock_id"], lock, "{what}: {locks}");
        ana.settle().await;
        for gone in ["lock_released", "broadcast", "user_left_room", "server_draining", "resync_required"] {
            ben.none_of(gone).await;
        }
    }
    // A refusal changes nothing and is on record; so is what is done at last.
    let stale = Request::new("DELETE", &format!("/v1/locks/{lock}")).field("If-Match", &(token + 1).to_string());
    assert_eq!(child.operate(stale.json(&json!({"reason": "test"}))).await.status, 412);
    let nowhere = Request::post("/v1/rooms/nowhere/notice").json(&json!({"message": 1}));
    assert_eq!(child.operate(nowhere).await.json()["code"], "room_not_found");
    let mut expected = vec![("lock.force_release", "token_changed"), ("room.send", "room_not_found")];
    for (what, change) in changes {
        let done = child.operate(change).await.ok();
        assert_eq!(done["object"]["audited"], true, "{done}");
        assert_eq!(done["object"]["audit_id"].as_u64(), Some(expected.len() as u64 + 1), "{done}");
        expected.push((what, "ok"));
    }
    assert_eq!(ben.expect("lock_released").await["reason"], "forced");
    assert_eq!(ben.expect("broadcast").await["message"], "lunch");
    ben.expect("server_draining").await;
    assert_eq!(ana.closed().await.code, Some(3507));
    expected.reverse();
    assert_eq!(audit(&child).await, expected.iter().map(|(a, r)| (json!(a), json!(r))).collect::<Vec<_>>());
}
