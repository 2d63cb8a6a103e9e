//! Conflicts as clients of the first generation are told of them, message by message; and as everybody finds them who
//! was away when they arose.

use arxosrt_scenario::golden::{TEXT, TIME, assert_golden};
use arxosrt_scenario::http::Request;
use arxosrt_scenario::{Client, Served, Setup, Value, house, json, quiet};

/// Fields of REST answers beyond those that the first generation knew.
const MORE_OF_REST: [&str; 6] = ["conflict_id", "resource_id", "version", "changes", "code", "detail"];

async fn edit(served: &Served, user: &str, base: u64, width: u64) -> Value {
    let patch = json!({"properties": {"width": width}});
    let edit = json!({"user_id": user, "resource_id": "door", "base_version": base, "patch": patch});
    served.post("/v1/realtime/edit", &edit).await.ok()
}

/// Ana's width is committed, Ben's waits. Answers the conflict's id.
async fn disagree(served: &Served) -> String {
    let known = served.get("/realtime/documents/door").await.json()["version"].as_u64().unwrap_or(0);
    let base = edit(served, "ana", known, 90 + known).await["version"].as_u64().expect("a version");
    edit(served, "ana", base, 910 + known).await;
    let met = edit(served, "ben", base, 920 + known).await;
    met["conflict_id"].as_str().unwrap_or_else(|| panic!("a conflict: {met}")).to_owned()
}

fn detected(id: &str) -> Value {
    json!({"type": "conflict_detected", "timestamp": TIME, "conflict_id": id, "resource_id": "door",
        "conflict_type": "concurrent_edit", "severity": "medium", "user_id_1": "ana", "user_id_2": "ben", "description": TEXT,
        "created_at": TIME})
}

fn resolved(id: &str, resolution: &str, by: &str) -> Value {
    json!({"type": "conflict_resolved", "timestamp": TIME, "conflict_id": id, "resource_id": "door",
        "resolution": resolution, "resolved_by": by})
}

fn response(id: &str, success: bool) -> Value {
    json!({"type": "conflict_resolution_response", "timestamp": TIME, "success": success, "conflict_id": id})
}

/// The very next message that is not about what the document has become, which is new to old clients.
async fn hears(client: &mut Client, expected: Value) {
    client.settle().await;
    client.forget_all("resource_updated");
    client.hears(expected).await;
}

#[tokio::test]
async fn old_clients_are_told_what_they_know() {
    let served = Setup::memory().building(house()).start();
    let (mut ana, mut ben) = (served.old_in("ana", "hq:1").await, served.old_in("ben", "hq:1").await);
    let mut bens_other = served.old("ben").await;
    let (mut member, mut stranger) = (served.old_in("cem", "hq:1").await, served.old("eve").await);
    for client in [&mut ana, &mut ben, &mut bens_other, &mut member, &mut stranger] {
        client.catch_up().await;
    }
    for (resolution, by) in
        [("accept_mine", "ben"), ("accept_theirs", "ben"), ("merge", "ana"), ("accept_theirs", "ana")]
    {
        let id = disagree(&served).await;
        for client in [&mut ana, &mut ben, &mut bens_other] {
            hears(client, detected(&id)).await;
        }
        let (resolver, other) = if by == "ana" { (&mut ana, &mut ben) } else { (&mut ben, &mut ana) };
        // Somebody else cannot, and is told no more than that.
        for outsider in [&mut member, &mut stranger] {
            outsider.forget();
            outsider.send(json!({"type": "resolve_conflict", "conflict_id": id, "resolution": resolution}));
            hears(outsider, response(&id, false)).await;
        }
        resolver.send(json!({"type": "resolve_conflict", "conflict_id": id, "resolution": resolution}));
        resolver.settle().await;
        resolver.forget_all("resource_updated");
        // The asker gets both messages, the other one of them.
        let answer = resolver.expect("conflict_resolution_response").await;
        assert_golden(&response(&id, true), &answer, &["version", "changes"]);
        hears(resolver, resolved(&id, resolution, by)).await;
        hears(other, resolved(&id, resolution, by)).await;
        hears(&mut bens_other, resolved(&id, resolution, by)).await;
        // A second time there is nothing to settle, and nobody else is told that somebody tried.
        other.send(json!({"type": "resolve_conflict", "conflict_id": id, "resolution": "accept_mine"}));
        hears(other, response(&id, false)).await;
        for client in [&mut ana, &mut ben, &mut bens_other, &mut member, &mut stranger] {
            client.settle().await;
            client.forget_all("resource_updated");
        }
        quiet([&mut ana, &mut ben, &mut bens_other, &mut member, &mut stranger]).await;
    }
}

#[tokio::test]
async fn what_nobody_settles_is_told_like_the_rest() {
    let served = Setup::memory().building(house()).start();
    let (mut ana, mut ben) = (served.old_in("ana", "hq:1").await, served.old_in("ben", "hq:1").await);
    ana.catch_up().await;
    let id = disagree(&served).await;
    hears(&mut ana, detected(&id)).await;
    hears(&mut ben, detected(&id)).await;
    served.advance(61_000);
    for client in [&mut ana, &mut ben] {
        let told = client.expect("conflict_resolved").await;
        assert_golden(&resolved(&id, "merge", "timeout"), &told, &["resolved_at", "version", "kept"]);
    }
}

#[tokio::test]
async fn rest_takes_query_parameters_on_both_prefixes() {
    let served = Setup::memory().building(house()).start();
    let (mut ana, mut ben) = (served.old_in("ana", "hq:1").await, served.old_in("ben", "hq:1").await);
    for prefix in ["/v1/realtime", "/realtime"] {
        let id = disagree(&served).await;
        let ask = async |query: &str| {
            let path = format!("{prefix}/resolve-conflict?{query}");
            Request::post(&path).to(served.http).await.ok()
        };
        let failed = json!({"success": false, "message": "Failed to resolve conflict", "timestamp": TIME});
        // Without a person, as the first generation's servers were asked.
        let nobody = ask(&format!("conflict_id={id}&resolution=accept_mine")).await;
        assert_golden(&failed, &nobody, &MORE_OF_REST);
        let done = ask(&format!("conflict_id={id}&resolution=accept_mine&user_id=ben")).await;
        assert_golden(
            &json!({"success": true, "message": "Conflict resolved", "timestamp": TIME}),
            &done,
            &MORE_OF_REST,
        );
        for client in [&mut ana, &mut ben] {
            let told = client.expect("conflict_resolved").await;
            assert_golden(&resolved(&id, "accept_mine", "ben"), &told, &["resolved_at", "version", "kept"]);
        }
        let again = ask(&format!("conflict_id={id}&resolution=accept_mine&user_id=ana")).await;
        assert_golden(&failed, &again, &MORE_OF_REST);
        ben.none_of("conflict_resolution_response").await;
    }
}

#[tokio::test]
async fn who_was_away_finds_the_conflict_on_return() {
    let served = Setup::memory().building(house()).start();
    let ana = served.client_in("ana", "hq:1").await;
    let ben = served.client_in("ben", "hq:1").await;
    // Ana has written and is gone when Ben contradicts her.
    let base = edit(&served, "ana", 0, 90).await["version"].as_u64().expect("a version");
    edit(&served, "ana", base, 91).await;
    ana.close().await;
    let met = edit(&served, "ben", base, 92).await;
    let id = met["conflict_id"].as_str().unwrap_or_else(|| panic!("a conflict: {met}")).to_owned();

    let mut old = served.old("ana").await;
    old.join("hq:1").await;
    let told = old.expect("conflict_detected").await;
    assert_golden(
        &detected(&id),
        &told,
        &["username_1", "username_2", "source", "version", "rooms", "paths", "revision", "decided_in_ms"],
    );
    old.none_of("conflict_detected").await;
    let mut new = served.client("ana").await;
    assert_eq!(new.expect("conflict_detected").await["conflict_id"], json!(id));
    new.join("hq:1").await;
    new.none_of("conflict_detected").await;
    new.send(json!({"type": "list_conflicts"}));
    assert_eq!(new.expect("conflicts").await["conflicts"][0]["conflict_id"], json!(id));
    // It is told once to each connection, and not to others.
    let mut cem = served.client_in("cem", "hq:1").await;
    cem.none_of("conflict_detected").await;
    drop(ben);
}

#[tokio::test]
async fn who_resumes_finds_what_arose_and_is_told_what_ended() {
    let served = Setup::memory().building(house()).start();
    let mut ana = Client::greeted(served.http, "ana").await;
    let welcome = ana.hello(&["resume"]).await;
    let state = ana.join("hq:1").await;
    let ben = served.client_in("ben", "hq:1").await;
    let base = edit(&served, "ana", 0, 90).await["version"].as_u64().expect("a version");
    edit(&served, "ana", base, 91).await;
    ana.settle().await;
    ana.vanish();
    let met = edit(&served, "ben", base, 92).await;
    let id = met["conflict_id"].as_str().unwrap_or_else(|| panic!("a conflict: {met}")).to_owned();

    let mut back = Client::greeted(served.http, "ana").await;
    let since = json!({"epoch": state["epoch"], "seq": state["seq"]});
    let ticket = json!({"session": welcome["session"], "token": welcome["resume_token"], "rooms": {"hq:1": since}});
    back.send(json!({"type": "hello", "protocol": 2, "features": ["resume"], "resume": ticket}));
    assert_eq!(back.expect("welcome").await["resumed"], true);
    let told = back.expect("conflict_detected").await;
    assert_eq!((&told["conflict_id"], &told["paths"][0]["mine"]), (&json!(id), &json!(91)), "{told}");
    back.none_of("conflict_detected").await;
    back.send(json!({"type": "resolve_conflict", "conflict_id": id, "resolution": "accept_theirs"}));
    assert_eq!(back.expect("conflict_resolution_response").await["success"], true);
    // What is settled is not told again.
    let mut later = served.client("ana").await;
    later.none_of("conflict_detected").await;
    drop(ben);
}
