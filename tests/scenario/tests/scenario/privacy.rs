//! What people write stays between those whom it concerns.
//!
//! Every value that an edit carries is a word that occurs nowhere else, and everything that the daemon lets anybody see
//! is searched for it: what a third person receives, the log at its most talkative, the figures, the operators' stream
//! and lists, the audit, and the words of refusals. A value that is committed belongs to the document and to the room;
//! one that waits in a conflict belongs to the two.

use std::cell::RefCell;

use arxosrt_scenario::child::Child;
use arxosrt_scenario::{
    Client, Raw, Served, Setup, Value, house, house_folder, http::Lines, http::Request, json, until,
};
use arxosrtd::config::{LogFormat, LogLevel};

/// What every planted word begins with.
const PLANTED: &str = "zqx";

/// The word that is planted for this purpose.
fn plant(purpose: &str) -> String {
    format!("{PLANTED}-{purpose}-{PLANTED}")
}

/// The planted words in a text, each once.
fn planted_in(text: &str) -> Vec<String> {
    let mut found: Vec<String> =
        text.split(PLANTED).skip(1).step_by(2).map(|word| word.trim_matches('-').into()).collect();
    found.sort();
    found.dedup();
    found
}

fn text_of(messages: &[Value]) -> String {
    messages.iter().map(|message| format!("{message}\n")).collect()
}

async fn edit(child: &Child, user: &str, resource: &str, body: Value) -> Value {
    let mut edit = json!({"user_id": user, "resource_id": resource});
    for (key, value) in body.as_object().expect("fields") {
        edit[key] = value.clone();
    }
    child.post("/v1/realtime/edit", &edit).await.json()
}

async fn version_of(child: &Child, resource: &str) -> u64 {
    let answer = child.get(&format!("/realtime/documents/{resource}")).await;
    answer.json()["version"].as_u64().unwrap_or(0)
}

fn set(base: u64, path: &str, value: &str) -> Value {
    json!({"base_version": base, "changes": [{"op": "set", "path": path, "value": value}]})
}

/// Says it over the socket and answers the result.
async fn say_edit(client: &mut Client, resource: &str, body: Value) -> Value {
    let mut message = body;
    message["type"] = json!("edit");
    message["resource_id"] = json!(resource);
    client.send(message);
    client.expect("edit_result").await
}

/// Everything that the stream has told until somebody with this name appears in it.
async fn told_until(stream: &mut Lines, last: &str) -> String {
    let told = RefCell::new(String::new());
    let note = |line: &Value| {
        let line = line.to_string();
        let is_last = line.contains(last);
        told.borrow_mut().push_str(&line);
        is_last
    };
    stream.expect(last, note).await;
    told.into_inner()
}

/// Edits of every kind, of which these words may be in the document in the end: `committed` and what begins with it.
async fn work(child: &Child, ana: &mut Client, ben: &mut Client) -> Vec<String> {
    let mut conflicts = Vec::new();
    let mut note = |answer: &Value| {
        let ids = answer["conflicts"].as_array().into_iter().flatten();
        conflicts.extend(ids.map(|id| id.as_str().expect("an id").to_owned()));
    };

    // Changes, a merge patch and a whole document that are committed.
    let base = version_of(child, "door").await;
    let first = edit(child, "ana", "door", set(base, "/properties/note", &plant("committed-change"))).await;
    assert_eq!(first["success"], true, "{first}");
    let patch = json!({"properties": {"sign": plant("committed-patch")}});
    let second = say_edit(ana, "door", json!({"base_version": first["version"], "patch": patch})).await;
    assert_eq!(second["result"], "applied", "{second}");
    let whole = json!({"id": "window", "floor_id": "hq:1", "type": "window", "name": plant("committed-whole")});
    let third =
        edit(child, "ana", "window", json!({"base_version": version_of(child, "window").await, "document": whole}))
            .await;
    assert_eq!(third["success"], true, "{third}");

    // Ben contradicts Ana: in changes, in a patch, in a whole document, and in what he did offline.
    let met = edit(child, "ben", "door", set(base, "/properties/note", &plant("waits-change"))).await;
    assert_eq!(met["result"], "conflict", "{met}");
    note(&met);
    let patch = json!({"properties": {"sign": plant("waits-patch")}});
    let met = say_edit(ben, "door", json!({"base_version": base, "patch": patch, "edit_id": "patch-1"})).await;
    assert_eq!(met["result"], "conflict", "{met}");
    note(&met);
    let whole = json!({"id": "window", "floor_id": "hq:1", "type": "window", "name": plant("waits-whole")});
    let met = edit(child, "ben", "window", json!({"base_version": 1, "document": whole})).await;
    assert_eq!(met["result"], "conflict", "{met}");
    note(&met);
    ben.send(json!({"type": "sync", "edits": [
        {"resource_id": "door", "edit_id": "s1", "base_version": base, "patch": {"properties": {"note": plant("waits-sync")}}},
        {"resource_id": "door", "edit_id": "s2", "base_version": 999_999, "patch": {"properties": {"x": plant("refused-sync")}}},
        {"resource_id": "door", "edit_id": "s3", "patch": plant("refused-nonsense")},
    ]}));
    let synced = ben.expect("sync_result").await;
    let words: Vec<_> = (0..3).map(|i| synced["results"][i]["result"].as_str().unwrap_or_default()).collect();
    assert_eq!(words, ["conflict", "rejected", "rejected"], "{synced}");
    note(&synced["results"][0]);
    assert_eq!(planted_in(&synced.to_string()), [""; 0], "an answer says what became of it, not what it was");

    // A draft under a token that is not good any more.
    let held = ben.acquire("object_edit", "window").await;
    let (lock, token) = (held["lock_id"].clone(), held["fencing_token"].clone());
    ben.send(json!({"type": "release_lock", "lock_id": lock}));
    ben.expect("lock_release_response").await;
    let base = version_of(child, "window").await;
    let newer = edit(child, "ana", "window", set(base, "/name", &plant("committed-newer"))).await;
    assert_eq!(newer["success"], true, "{newer}");
    let mut draft = set(base, "/name", &plant("waits-draft"));
    draft["fencing_token"] = token;
    let fenced = say_edit(ben, "window", draft).await;
    assert_eq!(fenced["result"], "fenced", "{fenced}");
    note(&fenced);

    // Refusals.
    let lock = ana.lock("object_edit", "door").await;
    let base = version_of(child, "door").await;
    for (what, body) in [
        ("locked", set(base, "/properties/color", &plant("refused-locked"))),
        ("ahead", set(base + 1000, "/properties/color", &plant("refused-ahead"))),
        ("a place", set(base, "/type/inside/of/text", &plant("refused-place"))),
        (
            "no list",
            json!({"base_version": base, "changes": [
            {"op": "insert", "path": "/properties/width", "value": {"id": plant("refused-element")}}]}),
        ),
        ("fixed", set(base, "/id", &plant("refused-fixed"))),
        ("no object", json!({"base_version": base, "document": plant("refused-document")})),
        ("a number", json!({"base_version": "seven", "patch": {"a": plant("refused-patch")}})),
        ("a token", json!({"base_version": base, "fencing_token": "seven", "patch": {"a": plant("refused-token")}})),
        ("twice", json!({"base_version": base, "patch": plant("refused-twice"), "document": plant("refused-twice")})),
    ] {
        let rest = edit(child, "ben", "door", body.clone()).await;
        assert_ne!(rest["success"], true, "{what}: {rest}");
        assert_eq!(planted_in(&rest.to_string()), [""; 0], "{what}: {rest}");
        let mut message = body;
        message["type"] = json!("edit");
        message["resource_id"] = json!("door");
        message["id"] = json!(what);
        ben.send(message);
        let said = ben.expect_where(what, |m| m["type"] == "error" && m["request_id"] == what).await;
        assert_eq!(planted_in(&said.to_string()), [""; 0], "{what}: {said}");
    }
    let broken = format!(r#"{{"type": "edit", "resource_id": "door", "patch": {{"a": "{}""#, plant("refused-broken"));
    ben.send_text(&broken);
    let said = ben.expect("error").await;
    assert_eq!(planted_in(&said.to_string()), [""; 0], "{said}");
    let rest = Request::post("/realtime/edit").body("application/json", broken.into_bytes()).to(child.http).await;
    assert_eq!(planted_in(&rest.body), [""; 0], "{rest:?}");
    ana.send(json!({"type": "release_lock", "lock_id": lock}));
    ana.expect("lock_release_response").await;

    // What is committed and does not fit into the folder's files.
    for (resource, path) in [("window", "/floors"), ("hq:1", "/level")] {
        let base = version_of(child, resource).await;
        let odd = edit(child, "ana", resource, set(base, path, &plant("committed-odd"))).await;
        assert_eq!(odd["result"], "applied", "{odd}");
    }
    conflicts
}

#[tokio::test]
async fn a_planted_word_is_only_where_it_belongs() {
    let setup = Setup::embedded();
    let folder = house_folder(setup.dir());
    let setup = setup.folder(&folder).with(|config| {
        config.log.level = LogLevel::Trace;
        config.log.format = LogFormat::Json;
    });
    let child = Child::start(setup.config(), setup.dir());
    let mut events = Request::get("/v1/events").stream(&child.control).await;
    let mut watch = Request::get("/v1/watch?kind=conflicts").stream(&child.control).await;
    let (mut ana, mut ben) = (child.client_in("ana", "hq:1").await, child.client_in("ben", "hq:1").await);
    let mut member = child.client_in("cem", "hq:1").await;
    let mut old_member = child.old("old-cem").await;
    old_member.join("hq:1").await;
    let mut stranger = child.client_in("eve", "elsewhere").await;

    let conflicts = work(&child, &mut ana, &mut ben).await;
    assert!(conflicts.len() >= 5, "{conflicts:?}");
    // One is settled with a value of an operator's, one by each of the two, and one is not.
    let given = json!({"values": {"/properties/note": plant("committed-given")}, "reason": "both were wrong"});
    let done = child.operate(Request::post(&format!("/v1/conflicts/{}/resolve", conflicts[0])).json(&given)).await;
    assert_eq!(done.status, 200, "{done:?}");
    let refused = json!({"values": {"/elsewhere": plant("refused-given")}, "reason": "a slip"});
    let done = child.operate(Request::post(&format!("/v1/conflicts/{}/resolve", conflicts[1])).json(&refused)).await;
    assert_ne!(done.status, 200, "{done:?}");
    assert_eq!(planted_in(&done.body), [""; 0], "{done:?}");
    ana.send(json!({"type": "resolve_conflict", "conflict_id": conflicts[1], "resolution": "accept_mine"}));
    assert_eq!(ana.expect("conflict_resolution_response").await["success"], true);
    ben.send(json!({"type": "resolve_conflict", "conflict_id": conflicts[1], "resolution": "manual",
        "values": {"/properties/sign": plant("refused-late")}}));
    let late = ben.expect("conflict_resolution_response").await;
    assert_eq!((&late["code"], planted_in(&late.to_string())), (&json!("already_resolved"), Vec::new()), "{late}");
    for (user, path) in [("cem", "/realtime"), ("eve", "/v1/realtime")] {
        let foreign = json!({"user_id": user, "conflict_id": conflicts[2], "resolution": "manual", "value": plant("refused-foreign")});
        let answer = child.post(&format!("{path}/resolve-conflict"), &foreign).await;
        assert_eq!(planted_in(&answer.body), [""; 0], "{answer:?}");
    }

    // The two know what is between them.
    let theirs = planted_in(&text_of(&ana.rest().await));
    for waits in ["waits-change", "waits-patch", "waits-whole", "waits-sync", "waits-draft"] {
        assert!(theirs.iter().any(|word| word == waits), "{waits} among {theirs:?}");
    }

    // Who comes later, and what the others have been told.
    let late = {
        let mut late = child.old("late").await;
        let state = late.join("hq:1").await;
        format!("{state}{}", text_of(&late.rest().await))
    };
    let (seen, unseen) = (member.rest().await, stranger.rest().await);
    let seen_by_old = old_member.rest().await;
    let committed_only = |what: &str, text: &str| {
        let words = planted_in(text);
        assert!(words.iter().all(|word| word.starts_with("committed-")), "{what}: {words:?}");
        for conflict in &conflicts {
            assert!(!text.contains(conflict.as_str()), "{what} has the id of a conflict");
        }
        assert!(!text.contains("conflict"), "{what} speaks of conflicts: {text}");
        words.len()
    };
    assert!(committed_only("a member", &text_of(&seen)) >= 5, "{seen:#?}");
    committed_only("a member with an old client", &text_of(&seen_by_old));
    committed_only("a latecomer", &late);
    assert_eq!(planted_in(&text_of(&unseen)), [""; 0]);
    for path in ["/realtime/documents/door", "/realtime/documents/window"] {
        committed_only(path, &child.get(path).await.body);
    }
    for user in ["cem", "eve"] {
        let own = child.get(&format!("/realtime/conflicts?user_id={user}&settled=true&paths=true")).await.ok();
        assert_eq!(own["count"], 0, "{own}");
    }

    // What operators and machines see, and what is written down.
    let last = child.client("the-last-one").await;
    let mut public = vec![
        ("the events", told_until(&mut events, "the-last-one").await),
        ("the figures", child.get("/metrics").await.body),
    ];
    last.close().await;
    for path in [
        "/v1/status",
        "/v1/rooms",
        "/v1/rooms/hq:1",
        "/v1/rooms/hq:1/users",
        "/v1/users",
        "/v1/users/ben",
        "/v1/locks",
        "/v1/conflicts",
        "/v1/conflicts?settled=true&path=%2Fproperties",
        "/v1/conflict-stats",
        "/v1/resources/door/why",
        "/v1/audit",
    ] {
        let answer = child.operate(Request::get(path)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        public.push((path, answer.body));
    }
    let watched = told_until(&mut watch, conflicts.last().expect("some")).await;
    public.push(("the watched conflicts", watched));
    // The folder has what is committed, and the log names what does not fit into it.
    until("the folder has it", async || {
        let objects = std::fs::read_to_string(folder.join("hq/floors/first/objects.json")).expect("a file");
        objects.contains(&plant("committed-given")).then_some(())
    })
    .await;
    for refused in ["window", "hq:1"] {
        let line = format!("\"resource\":\"{refused}\"");
        until(refused, async || child.logged().contains(&line).then_some(())).await;
    }
    for line in child.logged().lines() {
        assert_eq!(line.matches("\"target\":").count(), 1, "no field hides another: {line}");
    }
    public.push(("the log", child.logged()));
    assert!(child.logged().contains("an operator's change"), "{}", child.logged());
    for (what, text) in public {
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(PLANTED)).collect();
        assert_eq!(planted_in(&text), [""; 0], "{what}: {lines:#?}");
    }

    // Who may operate and asks for the conflict sees it whole.
    let whole = child.operate(Request::get(&format!("/v1/conflicts/{}", conflicts[0]))).await;
    assert!(planted_in(&whole.body).iter().any(|word| word == "waits-change"), "{whole:?}");
}

/// Ana and Ben disagree about the door; answers the conflict's id.
async fn disagree(served: &Served, base: u64) -> String {
    let post = async |user: &str, width: u64| {
        let patch = json!({"properties": {"width": width}});
        let edit = json!({"user_id": user, "resource_id": "door", "base_version": base, "patch": patch});
        served.post("/v1/realtime/edit", &edit).await.ok()
    };
    post("ana", 100 + base).await;
    let met = post("ben", 200 + base).await;
    met["conflict_id"].as_str().unwrap_or_else(|| panic!("a conflict: {met}")).to_owned()
}

async fn begin(served: &Served) -> u64 {
    let first =
        json!({"user_id": "ana", "resource_id": "door", "base_version": 0, "patch": {"properties": {"width": 1}}});
    served.post("/realtime/edit", &first).await.ok()["version"].as_u64().expect("a version")
}

#[tokio::test]
async fn a_third_person_does_not_notice_that_two_disagree() {
    let served = Setup::memory().building(house()).start();
    let (_ana, mut ben) = (served.client_in("ana", "hq:1").await, served.client_in("ben", "hq:1").await);
    let mut member = served.client_in("cem", "hq:1").await;
    let mut old_member = served.old_in("old-cem", "hq:1").await;
    let mut stranger = served.client_in("eve", "hq:2").await;
    let base = begin(&served).await;
    for client in [&mut member, &mut old_member, &mut stranger] {
        client.catch_up().await;
    }
    let id = disagree(&served, base).await;
    for client in [&mut member, &mut old_member] {
        let told = client.rest().await;
        assert_eq!(told.len(), 1, "only Ana's edit: {told:#?}");
        assert_eq!((&told[0]["type"], &told[0]["user_id"]), (&json!("resource_updated"), &json!("ana")), "{told:?}");
        client.nothing_more().await;
    }
    let seq = async |client: &mut Client| {
        client.send(json!({"type": "broadcast", "room_id": "hq:1", "message": "here"}));
        client.expect("broadcast").await["seq"].as_u64().expect("a place")
    };
    let before = seq(&mut member).await;
    // Ben keeps insisting, then gives in: nothing of that is in the room's order.
    let again =
        json!({"user_id": "ben", "resource_id": "door", "base_version": base, "patch": {"properties": {"width": 7}}});
    assert_eq!(served.post("/realtime/edit", &again).await.ok()["result"], "conflict");
    ben.send(json!({"type": "resolve_conflict", "conflict_id": id, "resolution": "accept_theirs"}));
    assert_eq!(ben.expect("conflict_resolution_response").await["success"], true);
    assert_eq!(seq(&mut member).await, before + 1);
    for client in [&mut member, &mut old_member] {
        let told = client.rest().await;
        assert!(told.iter().all(|message| message["type"] == "broadcast"), "{told:#?}");
    }
    stranger.nothing_more().await;
}

/// A frame's text with the conflict's id and the time taken out.
async fn answer_to(raw: &mut Raw, kind: &str, id: &str, request: Value) -> String {
    raw.text(&request.to_string()).await;
    loop {
        let text = String::from_utf8(raw.next().await.expect("an answer").payload).expect("text");
        let message: Value = serde_json::from_str(&text).expect("JSON");
        if message["type"] == kind || message["type"] == "error" {
            let time = message["timestamp"].as_str().expect("a time");
            return text.replace(id, "ID").replace(time, "TIME");
        }
    }
}

#[tokio::test]
async fn unknown_and_foreign_conflicts_are_answered_alike() {
    let served = Setup::memory().building(house()).start();
    let (ana, ben) = (served.client_in("ana", "hq:1").await, served.client_in("ben", "hq:1").await);
    let _cem = served.client_in("cem", "hq:1").await;
    let base = begin(&served).await;
    let open = disagree(&served, base).await;
    let version = served.get("/realtime/documents/door").await.ok()["version"].as_u64().expect("a version");
    let settled = disagree(&served, version).await;
    let mine = json!({"user_id": "ana", "conflict_id": settled, "resolution": "accept_mine"});
    assert_eq!(served.post("/realtime/resolve-conflict", &mine).await.ok()["success"], true);
    let report =
        json!({"users": ["ana", "ben"], "resource_id": "window", "conflict_type": "clash", "severity": "critical"});
    let reported =
        served.post("/realtime/conflicts", &report).await.ok()["conflict_id"].as_str().expect("an id").to_owned();
    // One of the same shape that never was.
    let unknown: String = open.chars().map(|c| if c.is_ascii_digit() { '7' } else { c }).collect();
    let unknown = if unknown == open { open.replace(char::is_numeric, "8") } else { unknown };
    assert!([&open, &settled, &reported].iter().all(|id| ***id != unknown));
    let ids = [&unknown, &open, &settled, &reported];

    let mut raw = served.raw("cem").await;
    raw.text(&json!({"type": "join_room", "room_id": "hq:1"}).to_string()).await;
    for (kind, request) in [
        ("conflict_resolution_response", json!({"type": "resolve_conflict", "resolution": "accept_mine"})),
        (
            "conflict_resolution_response",
            json!({"type": "resolve_conflict", "resolution": "accept_theirs", "revision": 9}),
        ),
        ("conflict_resolution_response", json!({"type": "resolve_conflict", "resolution": "manual", "value": 3})),
        (
            "conflict_resolution_response",
            json!({"type": "resolve_conflict", "resolution": "merge", "choices": {"/properties/width": "ana"}}),
        ),
        ("conflict_resolution_response", json!({"type": "resolve_conflict", "resolution": "nonsense"})),
        ("conflict_resolution_response", json!({"type": "restore_value"})),
        ("conflict_resolution_response", json!({"type": "restore_value", "whose": "ben", "path": "/properties/width"})),
    ] {
        let mut answers = Vec::new();
        for id in ids {
            let mut request = request.clone();
            request["conflict_id"] = json!(id);
            answers.push(answer_to(&mut raw, kind, id, request).await);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{request}: {answers:#?}");
    }

    let rest = |method: &str, path: &str, body: Value| match method {
        "GET" => Request::get(path),
        _ => Request::post(path).json(&body),
    };
    // Somebody who is connected, somebody who is not, and nobody.
    for user in ["cem", "dan", ""] {
        for prefix in ["/realtime", "/v1/realtime"] {
            for (method, path, body) in [
                ("GET", "/conflicts/ID?user_id=USER", json!(null)),
                (
                    "POST",
                    "/resolve-conflict",
                    json!({"conflict_id": "ID", "user_id": "USER", "resolution": "accept_mine"}),
                ),
                (
                    "POST",
                    "/resolve-conflict",
                    json!({"conflict_id": "ID", "resolution": "manual", "value": 3, "revision": 7}),
                ),
                ("POST", "/resolve-conflict?conflict_id=ID&resolution=merge&user_id=USER", json!({})),
                ("POST", "/resolve-conflict?conflict_id=ID&resolution=nonsense&user_id=USER", json!({})),
                ("POST", "/conflicts/ID/restore", json!({"user_id": "USER", "whose": "ben"})),
            ] {
                let mut answers = Vec::new();
                for id in ids {
                    let put = |text: &str| text.replace("ID", id).replace("USER", user);
                    let body = serde_json::from_str(&put(&body.to_string())).expect("JSON");
                    let answer = rest(method, &format!("{prefix}{}", put(path)), body).to(served.http).await;
                    let time = answer.json()["timestamp"].as_str().expect("a time").to_owned();
                    answers.push((answer.status, answer.body.replace(id.as_str(), "ID").replace(&time, "TIME")));
                }
                assert!(answers.iter().all(|answer| *answer == answers[0]), "{method} {path} {body}: {answers:#?}");
            }
        }
    }
    drop((ana, ben));
}
