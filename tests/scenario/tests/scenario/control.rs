//! The control socket of a daemon with people at work: what operators see, and that every change reaches whom it
//! concerns and the audit.

use std::ops::Bound;

use arxosrt_scenario::http::{Answer, Request};
use arxosrt_scenario::{Client, Served, Setup, Value, house, json, quiet, until};
use arxosrtd::hub::ask::Ask;
use arxosrtd::hub::lists::PAGE_ROWS_MAX;

async fn list(served: &Served, path: &str) -> Vec<Value> {
    served.operate(Request::get(path)).await.ok()["items"].as_array().expect("a list").clone()
}

async fn object(served: &Served, path: &str) -> Value {
    served.operate(Request::get(path)).await.ok()["object"].clone()
}

async fn delete(served: &Served, path: &str, token: Option<u64>, reason: &str) -> Answer {
    let mut request = Request::new("DELETE", path).json(&json!({"reason": reason}));
    if let Some(token) = token {
        request = request.field("If-Match", &format!("\"{token}\""));
    }
    served.operate(request).await
}

/// Three people on two floors, with a lock, somebody who waits for it, and an editing request.
async fn at_work(served: &Served) -> (Client, Client, Client, Value) {
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let cem = served.old_in("cem", "hq:2").await;
    let granted = ana.acquire("object_edit", "door").await;
    ben.send(json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": "door", "wait_ms": 100_000}));
    ben.expect("lock_queued").await;
    (ana, ben, cem, granted)
}

#[tokio::test]
async fn operators_see_what_is() {
    let served = Setup::memory().building(house()).start();
    let (_ana, _ben, _cem, granted) = at_work(&served).await;
    let status = object(&served, "/v1/status").await;
    for (name, value) in [
        ("connections", 3),
        ("users", 3),
        ("sessions", 3),
        ("rooms", 2),
        ("locks", 1),
        ("waiters", 1),
        ("buildings", 1),
    ] {
        assert_eq!(status[name], value, "{name} in {status}");
    }
    assert_eq!(status["directory"], json!({"buildings": 1, "floors": 2, "objects": 3, "routes": 2}));
    assert_eq!((&status["state"], &status["engine"]), (&json!("ready"), &json!("memory")));

    let rooms = list(&served, "/v1/rooms").await;
    let shown: Vec<_> = rooms.iter().map(|r| (&r["room_id"], &r["building_id"], &r["users"], &r["locks"])).collect();
    assert_eq!(
        shown,
        [(&json!("hq:1"), &json!("hq"), &json!(2), &json!(1)), (&json!("hq:2"), &json!("hq"), &json!(1), &json!(0))]
    );

    let locks = list(&served, "/v1/locks").await;
    assert_eq!(locks.len(), 1);
    for (name, value) in [
        ("lock_id", granted["lock_id"].clone()),
        ("fencing_token", granted["fencing_token"].clone()),
        ("resource_id", json!("door")),
        ("rooms", json!(["hq:1"])),
        ("state", json!("active")),
        ("waiters", json!(1)),
    ] {
        assert_eq!(locks[0][name], value, "{name} in {}", locks[0]);
    }
    assert_eq!(locks[0]["holder"]["user_id"], "ana");

    // Who stands in the way of the whole floor, and of the door; nobody of the window.
    for (what, blockers, waiters) in [("door", 1, 1), ("hq:1", 1, 1), ("window", 0, 0)] {
        let why = object(&served, &format!("/v1/resources/{}/why", arxosrt_scenario::segment(what))).await;
        assert_eq!(why["blocked_by"].as_array().map(Vec::len), Some(blockers), "{what}: {why}");
        assert_eq!(why["waiters"].as_array().map(Vec::len), Some(waiters), "{what}: {why}");
    }

    let users = list(&served, "/v1/users").await;
    let shown: Vec<_> = users
        .iter()
        .map(|u| (&u["user_id"], &u["state"], &u["locks"], &u["sessions"][0]["rooms"], &u["sessions"][0]["hello"]))
        .collect();
    let (active, yes, no) = (json!("active"), json!(true), json!(false));
    assert_eq!(
        shown,
        [
            (&json!("ana"), &active, &json!(1), &json!(["hq:1"]), &yes),
            (&json!("ben"), &active, &json!(0), &json!(["hq:1"]), &yes),
            (&json!("cem"), &active, &json!(0), &json!(["hq:2"]), &no)
        ]
    );
}

/// However much there is, one question costs the hub a small page, and the pages together are the whole list in order.
#[tokio::test]
async fn long_lists_come_in_small_pages() {
    const LOCKS: u64 = 600;
    let served = Setup::memory()
        .with(|config| {
            config.locks.per_session_max = 1000;
            config.limits.messages_burst = 10_000;
        })
        .start();
    let mut ana = served.client("ana").await;
    let mut held = Vec::new();
    for n in 0..LOCKS {
        let room = format!("room {}", n % 300);
        ana.send(json!({"type": "acquire_lock", "lock_type": "object_edit", "resource_id": format!("o{n}"), "room_id": room}));
        held.push(ana.expect("lock_response").await["lock_id"].clone());
    }
    let page =
        served.hub.ask(|reply| Ask::Locks { from: Bound::Unbounded, reply }).await.expect("a hub").expect("a page");
    assert!(page.more && (1..=PAGE_ROWS_MAX).contains(&page.rows.len()), "{} rows", page.rows.len());
    let locks = list(&served, "/v1/locks?limit=1000").await;
    assert_eq!(locks.iter().map(|lock| lock["lock_id"].clone()).collect::<Vec<_>>(), held);
    let rooms = list(&served, "/v1/rooms?limit=1000").await;
    assert_eq!(rooms.len(), 300);
    assert!(rooms.is_sorted_by_key(|room| room["room_id"].as_str().expect("an id").to_owned()));
    assert!(rooms.iter().all(|room| room["locks"] == 2 && room["users"] == 0), "{rooms:?}");
    assert_eq!(list(&served, "/v1/users").await[0]["locks"], LOCKS);

    let mut cursor = String::new();
    let mut seen = 0;
    loop {
        let answer = served.operate(Request::get(&format!("/v1/locks?limit=70{cursor}"))).await.ok();
        seen += answer["items"].as_array().expect("items").len() as u64;
        let Some(next) = answer["next_cursor"].as_str() else { break };
        assert_eq!(seen % 70, 0);
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, LOCKS);
    ana.close().await;
    until("nothing is left", async || list(&served, "/v1/rooms").await.is_empty().then_some(())).await;
    assert_eq!(list(&served, "/v1/locks").await.len(), 0);
}

/// With the token that the operator saw, a reason, and never otherwise; the victim learns by whom and why.
#[tokio::test]
async fn a_lock_is_taken_by_force() {
    let served = Setup::embedded().building(house()).start();
    let (mut ana, mut ben, _cem, granted) = at_work(&served).await;
    let path = format!("/v1/locks/{}", granted["lock_id"].as_str().expect("an id"));
    let token = granted["fencing_token"].as_u64().expect("a token");
    ana.catch_up().await;
    for (token, reason, status) in
        [(None, "fire drill", 428), (Some(token + 1), "fire drill", 412), (Some(token), " ", 400)]
    {
        let refused = delete(&served, &path, token, reason).await;
        assert_eq!(refused.status, status, "{token:?} {reason:?}: {refused:?}");
    }
    quiet([&mut ana]).await;

    let changed = delete(&served, &path, Some(token), "fire drill").await.ok()["object"].clone();
    assert_eq!((&changed["action"], &changed["audited"]), (&json!("lock.force_release"), &json!(true)));
    let lost = ana.expect("lock_lost").await;
    assert_eq!((&lost["lock_id"], &lost["reason"]), (&granted["lock_id"], &json!("forced")));
    assert_eq!(lost["detail"], "fire drill");
    assert!(lost["by"].as_str().is_some_and(|by| by.contains("uid")), "{lost}");
    assert_eq!(ana.expect("lock_released").await["reason"], "forced");
    // Whoever waited has it now, with a token that makes the victim's late writes stale.
    let next = ben.expect("lock_response").await;
    assert!(next["fencing_token"].as_u64() > Some(token), "{next}");
    let verify = json!({"token": token, "resource_id": "door"});
    assert_eq!(served.post("/v1/realtime/locks/verify", &verify).await.ok()["valid"], false);
    assert_eq!(delete(&served, &path, Some(token), "again").await.status, 404);

    let audit = list(&served, "/v1/audit").await;
    let of_ours: Vec<_> = audit.iter().map(|row| (&row["action"], &row["reason"], &row["result"])).collect();
    let force = json!("lock.force_release");
    assert_eq!(of_ours.last(), Some(&(&force, &json!("fire drill"), &json!("token_changed"))), "{audit:#?}");
    assert!(of_ours.contains(&(&force, &json!("fire drill"), &json!("ok"))), "{audit:#?}");
    assert!(of_ours.contains(&(&force, &json!("again"), &json!("lock_not_found"))), "{audit:#?}");

    let history = list(&served, "/v1/resources/door/history").await;
    let changes: Vec<_> = history.iter().map(|row| (row["change"].clone(), row["user_id"].clone())).collect();
    assert_eq!(
        changes,
        [("granted", "ben"), ("released", "ana"), ("granted", "ana")].map(|(c, u)| (json!(c), json!(u)))
    );
    assert_eq!((&history[1]["cause"], &history[1]["reason"]), (&json!("forced"), &json!("fire drill")));
}

/// All sessions of a person, or one of them, end at once: code 3507 says that coming back is pointless.
#[tokio::test]
async fn a_person_or_a_session_is_sent_away() {
    let served = Setup::embedded().building(house()).start();
    let mut ben = served.client_in("ben", "hq:1").await;
    let mut tab = served.client_in("ana", "hq:1").await;
    let mut other = served.client_in("ana", "hq:2").await;
    let lock = tab.lock("object_edit", "door").await;
    ben.catch_up().await;
    let sessions = list(&served, "/v1/users").await[0]["sessions"].clone();
    let in_tab =
        sessions.as_array().expect("sessions").iter().find(|s| s["rooms"] == json!(["hq:1"])).expect("the tab");
    let path = format!("/v1/sessions/{}", in_tab["session_id"].as_str().expect("an id"));
    assert_eq!(delete(&served, &path, None, "too loud").await.ok()["object"]["count"], 1);
    assert_eq!(tab.closed().await.code, Some(3507));
    assert_eq!(tab.expect("closing").await["detail"], "too loud");
    // A kicked session has no grace; the history says who ended it and why.
    let released = ben.expect("lock_released").await;
    assert_eq!((&released["lock_id"], &released["reason"]), (&json!(lock), &json!("kicked")));
    let history = list(&served, "/v1/resources/door/history").await;
    assert_eq!((&history[0]["cause"], &history[0]["reason"]), (&json!("kicked"), &json!("too loud")));
    assert!(history[0]["by"].as_str().is_some_and(|by| by.contains("uid")), "{history:?}");
    ben.expect("user_left_room").await;
    other.settle().await;

    assert_eq!(delete(&served, "/v1/users/ana", None, "much too loud").await.ok()["object"]["count"], 1);
    assert_eq!(other.closed().await.code, Some(3507));
    for (path, code) in [("/v1/users/ana", "user_not_found"), (&path, "session_not_found")] {
        let answer = delete(&served, path, None, "gone already").await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!(code)), "{answer:?}");
    }
    let audit = list(&served, "/v1/audit").await;
    let done: Vec<_> = audit.iter().map(|row| (row["action"].as_str(), row["result"].as_str())).collect();
    for record in [("session.kick", "ok"), ("user.kick", "ok"), ("user.kick", "user_not_found")] {
        assert!(done.contains(&(Some(record.0), Some(record.1))), "{record:?} in {done:?}");
    }
    quiet([&mut ben]).await;
}

/// A notice is a broadcast in the room's order that nobody's name stands under.
#[tokio::test]
async fn a_room_is_told_something() {
    let served = Setup::embedded().building(house()).start();
    let (mut ana, mut ben, mut cem, _) = at_work(&served).await;
    cem.catch_up().await;
    let notice = Request::post("/v1/rooms/hq:1/notice").json(&json!({"message": {"text": "lunch"}, "reason": "noon"}));
    assert_eq!(served.operate(notice).await.ok()["object"]["count"], 1);
    for client in [&mut ana, &mut ben] {
        let told = client.expect("broadcast").await;
        assert_eq!((&told["message"], told.get("user_id")), (&json!({"text": "lunch"}), None));
    }
    quiet([&mut cem]).await;
    let nowhere = Request::post("/v1/rooms/nowhere/notice").json(&json!({"message": 1}));
    assert_eq!(served.operate(nowhere).await.status, 404);
}

/// The log folded anew gives the running state, whatever people and operators did.
#[tokio::test]
async fn replay_agrees_with_what_runs() {
    let served = Setup::embedded().building(house()).with(|config| config.store.snapshot_events = 16).start();
    let (mut ana, mut ben, mut cem, granted) = at_work(&served).await;
    for n in 0..20 {
        ana.send(json!({"type": "broadcast", "message": n, "client_msg_id": format!("m{n}"), "id": n}));
        ana.expect("ack").await;
    }
    let path = format!("/v1/locks/{}", granted["lock_id"].as_str().expect("an id"));
    delete(&served, &path, granted["fencing_token"].as_u64(), "test").await.ok();
    let taken = ben.expect("lock_response").await;
    cem.lock("floor_edit", "hq:2").await;
    ana.send(json!({"type": "request_lock", "lock_id": taken["lock_id"]}));
    let request = ben.expect("lock_request").await["request"].clone();
    ben.send(json!({"type": "respond_lock_request", "request": request, "decision": "grant"}));
    ana.expect("lock_request_answered").await;
    served.advance(400_000);
    ana.expect("lock_lost").await;
    let report = object(&served, "/v1/buildings/hq/replay").await;
    assert_eq!(report["equal"], true, "{report}");
    assert_eq!(report["replayed"], report["running"]);
    assert!(report["snapshot_position"].as_u64() > Some(0) && report["events"].as_u64() > Some(0), "{report}");
    let unknown = served.operate(Request::get("/v1/buildings/nowhere/replay")).await;
    assert_eq!(unknown.status, 404);
}

/// What happens is told to those who watch, topic by topic, with ids and without values.
#[tokio::test]
async fn events_are_streamed() {
    let served = Setup::embedded().building(house()).start();
    let mut events = Request::get("/v1/events").stream(&served.control).await;
    let mut ana = served.client_in("ana", "hq:1").await;
    let event = |kind: &'static str| move |line: &Value| line["object"]["kind"] == kind;
    events.expect("a session", event("session.connected")).await;
    let joined = events.expect("a join", event("room.joined")).await;
    assert_eq!((&joined["object"]["room_id"], &joined["object"]["user_id"]), (&json!("hq:1"), &json!("ana")));
    ana.send(json!({"type": "broadcast", "message": "the secret"}));
    let told = events.expect("a broadcast", event("broadcast")).await;
    assert!(!told.to_string().contains("secret"), "{told}");
    let lock = ana.lock("object_edit", "door").await;
    assert_eq!(events.expect("a lock", event("lock.granted")).await["object"]["subject"], lock.as_str());
    delete(&served, "/v1/users/ana", None, "bye").await.ok();
    events.expect("its end", event("lock.released")).await;
    events.expect("the audit", event("audit")).await;
}

/// A drain sends everybody away with a time to come back, lets nobody in, and says so to whoever asks.
#[tokio::test]
async fn a_drain_parts_from_everybody() {
    let served = Setup::memory().building(house()).start();
    let (mut ana, mut ben, mut cem, _) = at_work(&served).await;
    let drain = Request::post("/v1/drain").json(&json!({"window_ms": 60_000, "reason": "update"}));
    assert_eq!(served.operate(drain).await.ok()["object"]["count"], 3);
    for client in [&mut ana, &mut ben, &mut cem] {
        let wait = client.expect("server_draining").await["reconnect_after_ms"].as_u64().expect("a time");
        assert!((1..60_000).contains(&wait), "{wait}");
    }
    let late = tokio::net::TcpStream::connect(served.http).await.expect("probes go on");
    assert_eq!(Request::get("/v1/realtime/sse/late").over(late).await.status, 503, "nobody is let in any more");
    assert_eq!(object(&served, "/v1/status").await["state"], "draining");
    served.advance(60_000);
    for client in [&mut ana, &mut ben, &mut cem] {
        assert_eq!(client.closed().await.code, Some(1012));
    }
    until("nobody is there", async || (object(&served, "/v1/status").await["connections"] == 0).then_some(())).await;
}
