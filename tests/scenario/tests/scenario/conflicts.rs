//! Conflicts of people who edit over REST, as they, their back end and operators see them: a whole daemon, from the edit
//! that meets another one to what became of it.

use arxosrt_scenario::http::{Answer, Request};
use arxosrt_scenario::{Client, Served, Setup, Value, house, json, until};

async fn edit(served: &Served, user: &str, resource: &str, base: u64, patch: Value) -> Value {
    let edit = json!({"user_id": user, "resource_id": resource, "base_version": base, "patch": patch});
    served.post("/v1/realtime/edit", &edit).await.ok()
}

async fn document(served: &Served, resource: &str) -> Value {
    served.get(&format!("/realtime/documents/{resource}")).await.ok()
}

async fn list(served: &Served, path: &str) -> Vec<Value> {
    served.operate(Request::get(path)).await.ok()["items"].as_array().expect("a list").clone()
}

async fn operate(served: &Served, id: &str, deed: &str, body: Value) -> Answer {
    served.operate(Request::post(&format!("/v1/conflicts/{id}/{deed}")).json(&body)).await
}

/// Ana's width of the door is committed, Ben's waits: two clients and the conflict's id.
async fn disagree(served: &Served) -> (Client, Client, String) {
    let ana = served.client_in("ana", "hq:1").await;
    let ben = served.client_in("ben", "hq:1").await;
    let created = edit(served, "ana", "door", 0, json!({"properties": {"width": 90}})).await;
    assert_eq!((&created["success"], &created["result"]), (&json!(true), &json!("applied")), "{created}");
    let base = created["version"].as_u64().expect("a version");
    edit(served, "ana", "door", base, json!({"properties": {"width": 91}})).await;
    let met = edit(served, "ben", "door", base, json!({"properties": {"width": 92}})).await;
    assert_eq!((&met["success"], &met["result"]), (&json!(false), &json!("conflict")), "{met}");
    (ana, ben, met["conflict_id"].as_str().expect("an id").to_owned())
}

fn width(document: &Value) -> &Value {
    &document["document"]["properties"]["width"]
}

#[tokio::test]
async fn a_conflict_exists_for_its_two_people_and_for_operators() {
    let served = Setup::memory().building(house()).start();
    let (mut ana, mut ben, id) = disagree(&served).await;
    let mut cem = served.client_in("cem", "hq:1").await;
    for client in [&mut ana, &mut ben] {
        let told = client.expect("conflict_detected").await;
        assert_eq!((&told["conflict_id"], &told["resource_id"]), (&json!(id), &json!("door")), "{told}");
    }
    assert_eq!(width(&document(&served, "door").await), 91, "the committed value stays");
    let status = served.get("/realtime/connection-status").await.ok();
    assert_eq!(status["active_conflicts"], 1, "{status}");

    for (user, count) in [("ana", 1), ("ben", 1), ("cem", 0)] {
        let own = served.get(&format!("/realtime/conflicts?user_id={user}&resource_id=door")).await.ok();
        assert_eq!(own["count"], count, "{user}: {own}");
        let one = served.get(&format!("/realtime/conflicts/{id}?user_id={user}")).await;
        assert_eq!(one.status, if count == 1 { 200 } else { 404 }, "{user}: {one:?}");
    }
    let never = served.get("/realtime/conflicts/cf_zzzz?user_id=ana").await.json();
    let not_hers = served.get(&format!("/realtime/conflicts/{id}?user_id=cem")).await.json();
    assert_eq!((&never["error_code"], &never["detail"]), (&not_hers["error_code"], &not_hers["detail"]));

    let open = list(&served, "/v1/conflicts").await;
    assert_eq!((open.len(), &open[0]["conflict_id"]), (1, &json!(id)), "{open:?}");
    assert_eq!(open[0].get("paths"), None, "lists hold no values");
    let whole = served.operate(Request::get(&format!("/v1/conflicts/{id}"))).await.ok()["object"].clone();
    let path = &whole["paths"][0];
    assert_eq!(
        (&whole["user_id_1"], &whole["user_id_2"], &path["path"]),
        (&json!("ana"), &json!("ben"), &json!("/properties/width"))
    );
    assert_eq!(
        (&path["base"], &path["value_1"], &path["value_2"], &path["current"]),
        (&json!(90), &json!(91), &json!(92), &json!(91))
    );
    for (filter, count) in [
        ("of=ben", 1),
        ("of=cem", 0),
        ("resource=door", 1),
        ("resource=window", 0),
        ("building=hq", 1),
        ("severity=low", 1),
        ("severity=critical", 0),
        ("path=%2Fproperties", 1),
        ("path=%2Fgeometry", 0),
    ] {
        assert_eq!(list(&served, &format!("/v1/conflicts?{filter}")).await.len(), count, "{filter}");
    }
    cem.none_of("conflict_detected").await;
}

#[tokio::test]
async fn an_operator_settles_what_was_seen_and_nothing_else() {
    let served = Setup::embedded().building(house()).start();
    let (mut ana, mut ben, id) = disagree(&served).await;
    let seen = ana.expect("conflict_detected").await["revision"].clone();
    let version = document(&served, "door").await["version"].clone();

    let dry = operate(&served, &id, "resolve", json!({"winner": "ben", "dry_run": true})).await.ok()["object"].clone();
    assert_eq!(dry["dry_run"], true);
    assert_eq!(dry["changes"][0], json!({"op": "set", "path": "/properties/width", "value": 92}), "{dry}");
    assert_eq!(document(&served, "door").await["version"], version, "nothing has happened");

    // Ana goes on with what is disputed: who looked before has not seen that.
    edit(&served, "ana", "door", version.as_u64().expect("a number"), json!({"properties": {"width": 93}})).await;
    let stale = json!({"winner": "ben", "revision": seen, "reason": "measured"});
    let refused = operate(&served, &id, "resolve", stale).await;
    assert_eq!((refused.status, &refused.json()["code"]), (412, &json!("revision_changed")), "{refused:?}");

    let now = served.operate(Request::get(&format!("/v1/conflicts/{id}"))).await.ok()["object"]["revision"].clone();
    let resolve = json!({"winner": "ben", "revision": now, "reason": "ben has measured it"});
    let done = operate(&served, &id, "resolve", resolve.clone()).await.ok()["object"].clone();
    assert_eq!(done["dry_run"], false, "{done}");
    let after = document(&served, "door").await;
    assert_eq!((width(&after), &after["version"]), (&json!(92), &done["version"]));
    for client in [&mut ana, &mut ben] {
        let told = client.expect("conflict_resolved").await;
        assert_eq!((&told["conflict_id"], &told["reason"]), (&json!(id), &json!("ben has measured it")), "{told}");
    }
    let late = operate(&served, &id, "resolve", resolve).await;
    assert_eq!((late.status, &late.json()["code"]), (409, &json!("already_resolved")), "{late:?}");

    assert_eq!(list(&served, "/v1/conflicts").await.len(), 0);
    let settled = list(&served, "/v1/conflicts?settled=true").await;
    assert_eq!((&settled[0]["status"], &settled[0]["reason"]), (&json!("settled"), &json!("ben has measured it")));
    let audit = list(&served, "/v1/audit").await;
    let ours: Vec<_> = audit.iter().filter(|row| row["action"] == "conflict.resolve").collect();
    assert!(ours.iter().any(|row| row["result"] == "ok" && row["target"] == json!(id)), "{audit:?}");
    assert!(ours.iter().all(|row| row["reason"] != ""), "a dry run leaves no record: {audit:?}");
}

#[tokio::test]
async fn what_lost_is_brought_back() {
    let served = Setup::memory().building(house()).start();
    let (mut ana, _ben, id) = disagree(&served).await;
    let early = json!({"user_id": "ana"});
    assert_ne!(served.post(&format!("/realtime/conflicts/{id}/restore"), &early).await.status, 200, "it is open");
    let mine = json!({"user_id": "ana", "conflict_id": id, "resolution": "accept_mine"});
    let done = served.post("/realtime/resolve-conflict", &mine).await.ok();
    assert_eq!((&done["success"], &done["message"]), (&json!(true), &json!("Conflict resolved")), "{done}");
    ana.expect("conflict_resolved").await;
    assert_eq!(width(&document(&served, "door").await), 91);

    let bens = json!({"user_id": "ben", "whose": "ben", "path": "/properties/width"});
    let restored = served.post(&format!("/realtime/conflicts/{id}/restore"), &bens).await.ok();
    assert_eq!(restored["success"], true, "{restored}");
    assert_eq!(width(&document(&served, "door").await), 92);
    let back = json!({"user_id": "ana", "reason": "the sign was right"});
    operate(&served, &id, "restore", back).await.ok();
    assert_eq!(width(&document(&served, "door").await), 91);
}

#[tokio::test]
async fn old_clients_resolve_in_their_words() {
    let served = Setup::memory().building(house()).start();
    let (_ana, mut ben, id) = disagree(&served).await;
    let _cem = served.old_in("cem", "hq:1").await;
    let resolve = async |body: Value| served.post("/v1/realtime/resolve-conflict", &body).await.ok();
    let alike = [
        json!({"conflict_id": id, "resolution": "accept_mine"}),
        json!({"conflict_id": id, "resolution": "accept_mine", "user_id": "cem"}),
        json!({"conflict_id": "cf_zzzz", "resolution": "accept_mine", "user_id": "ana"}),
    ];
    for body in alike {
        let answer = resolve(body.clone()).await;
        assert_eq!((&answer["success"], &answer["message"]), (&json!(false), &json!("Failed to resolve conflict")));
        assert_eq!(answer["code"], "conflict_not_found", "{body}");
    }
    // Who is not here learns that, and not whether there is such a conflict.
    for id in [id.as_str(), "cf_zzzz"] {
        let absent = json!({"conflict_id": id, "resolution": "accept_mine", "user_id": "dan"});
        let answer = served.post("/v1/realtime/resolve-conflict", &absent).await;
        assert_eq!((answer.status, &answer.json()["error_code"]), (400, &json!("not_connected")), "{id}");
    }
    ben.none_of("conflict_resolved").await;
    assert_eq!(
        resolve(json!({"conflict_id": id, "resolution": "accept_mine", "user_id": "ben"})).await["success"],
        true
    );
    assert_eq!(width(&document(&served, "door").await), 92);
    let again = resolve(json!({"conflict_id": id, "resolution": "accept_mine", "user_id": "ana"})).await;
    assert_eq!((&again["success"], &again["code"]), (&json!(false), &json!("already_resolved")), "{again}");
}

#[tokio::test]
async fn edits_made_offline_are_answered_one_by_one_and_a_repeat_does_no_harm() {
    let served = Setup::memory().building(house()).start();
    let _ana = served.client_in("ana", "hq:1").await;
    let one = |id: &str, base: u64, patch: Value| json!({"resource_id": "door", "base_version": base, "patch": patch, "edit_id": id});
    let created = edit(&served, "ana", "door", 0, json!({"properties": {"width": 90}})).await;
    let base = created["version"].as_u64().expect("a version");
    let edits = json!({"user_id": "ana", "edits": [
        one("e1", base, json!({"properties": {"width": 80}})),
        {"resource_id": "door", "edit_id": "e2"},
        one("e3", base, json!({"properties": {"height": 200}})),
    ]});
    let first = served.post("/realtime/sync", &edits).await.ok();
    let words = |answer: &Value| -> Vec<String> {
        let results = answer["results"].as_array().expect("results");
        results
            .iter()
            .map(|r| format!("{} {}", r["edit_id"].as_str().unwrap_or("-"), r["result"].as_str().unwrap_or("-")))
            .collect()
    };
    assert_eq!(first["success"], false, "one of them is no edit: {first}");
    assert_eq!(words(&first)[1], "e2 rejected", "{first}");
    let after = document(&served, "door").await;
    assert_eq!(
        (&after["document"]["properties"]["width"], &after["document"]["properties"]["height"]),
        (&json!(80), &json!(200))
    );
    let second = served.post("/realtime/sync", &edits).await.ok();
    assert_eq!(words(&second), ["e1 duplicate", "e2 rejected", "e3 duplicate"], "{second}");
    assert_eq!(document(&served, "door").await["version"], after["version"]);
}

#[tokio::test]
async fn a_document_that_is_known_is_not_sent_again() {
    let served = Setup::memory().building(house()).start();
    let _ana = served.client_in("ana", "hq:1").await;
    assert_eq!(served.get("/realtime/documents/nothing").await.status, 404);
    edit(&served, "ana", "door", 0, json!({"properties": {"width": 90}})).await;
    let first = served.get("/realtime/documents/door").await;
    let tag = first.field("etag").expect("a tag").to_owned();
    let again = |tag: &str| Request::get("/realtime/documents/door").field("If-None-Match", tag).to(served.http);
    let known = again(&tag).await;
    assert_eq!((known.status, known.body.as_str(), known.field("etag")), (304, "", Some(tag.as_str())));
    let base = first.ok()["version"].as_u64().expect("a version");
    edit(&served, "ana", "door", base, json!({"properties": {"width": 80}})).await;
    let changed = again(&tag).await;
    assert_eq!(changed.ok()["document"]["properties"]["width"], 80);
}

#[tokio::test]
async fn what_a_back_end_found_is_told_to_the_two_and_settled_like_any_other() {
    let served = Setup::memory().building(house()).start();
    let mut ana = served.old_in("ana", "hq:1").await;
    let mut ben = served.old_in("ben", "hq:1").await;
    let mut cem = served.old_in("cem", "hq:1").await;
    let report = json!({"users": ["ana", "ben"], "resource_id": "door", "conflict_type": "clash", "severity": "high",
        "description": "a duct goes through the door"});
    let id = served.post("/realtime/conflicts", &report).await.ok()["conflict_id"].clone();
    for client in [&mut ana, &mut ben] {
        let told = client.expect("conflict_detected").await;
        assert_eq!(
            (&told["conflict_id"], &told["conflict_type"], &told["severity"]),
            (&id, &json!("clash"), &json!("high"))
        );
        assert_eq!(told["description"], "a duct goes through the door");
    }
    let id = id.as_str().expect("an id");
    let resolve = json!({"winner": "ana", "reason": "the duct moves"});
    operate(&served, id, "resolve", resolve).await.ok();
    for client in [&mut ana, &mut ben] {
        assert_eq!(client.expect("conflict_resolved").await["conflict_id"], id);
    }
    for kind in ["conflict_detected", "conflict_resolved"] {
        cem.none_of(kind).await;
    }
}

#[tokio::test]
async fn what_nobody_settles_is_settled_in_time_and_counted() {
    let served = Setup::memory().building(house()).start();
    let mut events = Request::get("/v1/events?topics=conflict").stream(&served.control).await;
    let mut watch = Request::get("/v1/watch?kind=conflicts").stream(&served.control).await;
    let (mut ana, _ben, id) = disagree(&served).await;
    let kind = |kind: &'static str| move |line: &Value| line["object"]["kind"] == kind;
    let opened = events.expect("an opening", kind("conflict.opened")).await;
    assert_eq!(opened["object"]["subject"], json!(id));
    watch.expect("the conflict", |line| line["type"] == "put" && line["id"] == json!(id)).await;
    ana.expect("conflict_detected").await;
    served.advance(61_000);
    assert_eq!(ana.expect("conflict_resolved").await["resolved_by"], "timeout");
    let settled = events.expect("its end", kind("conflict.settled")).await;
    assert_eq!(settled["object"]["subject"], json!(id), "{settled}");
    watch.expect("its end", |line| line["type"] == "delete" && line["id"] == json!(id)).await;
    assert_eq!(width(&document(&served, "door").await), 91, "the committed value was kept");
    let stats = served.operate(Request::get("/v1/conflict-stats")).await.ok()["object"].clone();
    assert_eq!((&stats["open"], &stats["settled"]["timeout"]), (&json!(0), &json!(1)), "{stats}");
    assert_eq!(stats["hot_paths"][0]["path"], "/properties/width", "{stats}");
}

#[tokio::test]
async fn a_conflict_outlives_the_daemon() {
    let setup = Setup::embedded().building(house());
    let served = setup.start();
    let (ana, ben, id) = disagree(&served).await;
    ana.close().await;
    ben.close().await;
    served.stop().await.expect("a good end");
    let served = setup.start();
    let open = until("it is there", async || {
        let open = list(&served, "/v1/conflicts").await;
        (!open.is_empty()).then_some(open)
    })
    .await;
    assert_eq!(open[0]["conflict_id"], json!(id));
    let done = operate(&served, &id, "resolve", json!({"winner": "ben", "reason": "after the restart"})).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(width(&document(&served, "door").await), 92);
}
