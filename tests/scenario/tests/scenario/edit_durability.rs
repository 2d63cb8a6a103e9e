//! Edits and conflicts outlive the daemon, however it ends, and the folder that the buildings come from gets to know
//! what was committed.

use std::collections::BTreeMap;
use std::path::Path;

use arxosrt_scenario::child::Child;
use arxosrt_scenario::{Client, Served, Setup, Value, house_folder, http::Request, json, until};

/// Longer than any test: what is to be written back waits in the log alone.
const NEVER_MS: u64 = 3_600_000;

fn objects(folder: &Path) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(folder.join("hq/floors/first/objects.json")).expect("a file");
    let objects: Vec<Value> = serde_json::from_str(&text).expect("whole JSON at any time");
    objects.into_iter().map(|object| (object["id"].as_str().expect("an id").to_owned(), object)).collect()
}

async fn edit(served: &Served, user: &str, resource: &str, base: u64, patch: Value) -> Value {
    let edit = json!({"user_id": user, "resource_id": resource, "base_version": base, "patch": patch});
    served.post("/v1/realtime/edit", &edit).await.ok()
}

async fn version_of(served: &Served, resource: &str) -> u64 {
    served.get(&format!("/realtime/documents/{resource}")).await.ok()["version"].as_u64().expect("a version")
}

/// Ana and Ben change the same of a resource; answers the conflict's id.
async fn disagree(served: &Served, resource: &str, [first, second]: [Value; 2]) -> String {
    let base = version_of(served, resource).await;
    let ana = edit(served, "ana", resource, base, first).await;
    assert_eq!(ana["success"], true, "{ana}");
    let ben = edit(served, "ben", resource, base, second).await;
    ben["conflict_id"].as_str().unwrap_or_else(|| panic!("a conflict: {ben}")).to_owned()
}

async fn conflicts(served: &Served) -> BTreeMap<String, Value> {
    let list = served.operate(Request::get("/v1/conflicts")).await.ok();
    let items = list["items"].as_array().expect("a list").iter();
    items.map(|row| (row["conflict_id"].as_str().expect("an id").to_owned(), row.clone())).collect()
}

#[tokio::test]
async fn a_restart_keeps_open_and_escalated_conflicts_and_what_was_edited() {
    let setup = Setup::embedded();
    let folder = house_folder(setup.dir());
    let setup = setup.folder(&folder);
    let served = setup.start();
    let (ana, ben) = (served.client_in("ana", "hq:1").await, served.client_in("ben", "hq:1").await);
    // What is critical waits for an operator when its time is over.
    let floor =
        disagree(&served, "hq:1", [json!({"structure": {"slab": 20}}), json!({"structure": {"slab": 25}})]).await;
    served.advance(61_000);
    let escalated = async |served: &Served| {
        until("it is escalated", async || {
            let row = conflicts(served).await.remove(&floor)?;
            (row["status"] == "escalated").then_some(row["escalated_at"].clone())
        })
        .await
    };
    let since = escalated(&served).await;
    let widths = [json!({"properties": {"width": 91}}), json!({"properties": {"width": 92}})];
    let door = disagree(&served, "door", widths).await;
    let sign = json!({"properties": {"sign": "Büro"}});
    assert_eq!(edit(&served, "ben", "window", version_of(&served, "window").await, sign).await["success"], true);
    ana.close().await;
    ben.close().await;
    served.stop().await.expect("a good end");
    let written = objects(&folder);
    assert_eq!(
        (&written["door"]["properties"]["width"], &written["window"]["properties"]["sign"]),
        (&json!(91), &json!("Büro"))
    );

    let served = setup.start();
    assert_eq!(escalated(&served).await, since);
    let open = conflicts(&served).await;
    assert_eq!((open.len(), &open[&door]["status"]), (2, &json!("open")), "{open:#?}");
    for user in ["ana", "ben"] {
        let mut client = served.client(user).await;
        let mut told = Vec::new();
        for _ in 0..2 {
            let one = client.expect("conflict_detected").await;
            told.push(one["conflict_id"].as_str().expect("an id").to_owned());
        }
        told.sort();
        let mut both = [floor.clone(), door.clone()];
        both.sort();
        assert_eq!(told, both);
        client.none_of("conflict_detected").await;
    }
    for (id, winner) in [(&floor, "ana"), (&door, "ben")] {
        let resolve = json!({"winner": winner, "reason": "after the restart"});
        let done = served.operate(Request::post(&format!("/v1/conflicts/{id}/resolve")).json(&resolve)).await;
        assert_eq!(done.status, 200, "{done:?}");
    }
    served.stop().await.expect("a good end");

    // A daemon that has nothing but the folder knows the same.
    let fresh = Setup::memory().folder(&folder).start();
    let _cem = fresh.client_in("cem", "hq:1").await;
    for (resource, at, value) in [
        ("door", "/document/properties/width", json!(92)),
        ("window", "/document/properties/sign", json!("Büro")),
        ("hq:1", "/document/structure/slab", json!(20)),
    ] {
        let document = fresh.get(&format!("/realtime/documents/{resource}")).await.ok();
        assert_eq!(document.pointer(at), Some(&value), "{document}");
    }
}

/// Sends the edits that set `/properties/<user><n>` for each of these numbers, on a base that grows old.
fn send_edits(client: &mut Client, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let (key, resource) = (format!("{}{n}", client.user), if n % 2 == 0 { "door" } else { "window" });
        client.send(json!({"type": "edit", "id": key, "edit_id": key, "resource_id": resource, "base_version": 1,
            "changes": [{"op": "set", "path": format!("/properties/{key}"), "value": n}]}));
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_and_gets_into_the_folder() {
    let setup = Setup::embedded();
    let folder = house_folder(setup.dir());
    let setup = setup.folder(&folder);
    let patient = setup.clone().with(|config| config.origin.write_back_ms = NEVER_MS);
    let mut acknowledged: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..4 {
        let child = Child::start(patient.config(), patient.dir());
        let (mut ana, mut ben) = (child.client_in("ana", "hq:1").await, child.client_in("ben", "hq:1").await);
        // All is on its way; the daemon is killed as soon as some of it is acknowledged, more in each round.
        let numbers = round * 40..(round + 1) * 40;
        send_edits(&mut ana, numbers.clone());
        send_edits(&mut ben, numbers);
        for client in [&mut ana, &mut ben] {
            for _ in 0..=round * 5 {
                let ack = client.expect("ack").await;
                let id = ack["id"].as_str().expect("an id").to_owned();
                let n = id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
                acknowledged.insert(id, n);
            }
        }
        child.kill();
    }
    assert_eq!(objects(&folder)["door"]["version"], 1, "nothing was written before");

    let child = Child::start(setup.config(), setup.dir());
    for document in ["door", "window"] {
        let found = child.get(&format!("/realtime/documents/{document}")).await.ok();
        for (key, n) in acknowledged.iter().filter(|(_, n)| (*n % 2 == 0) == (document == "door")) {
            assert_eq!(found["document"]["properties"][key], json!(n), "{document}: {found}");
        }
        until("the folder has it too", async || {
            (objects(&folder)[document]["version"] == found["version"]).then_some(())
        })
        .await;
        assert_eq!(objects(&folder)[document]["properties"], found["document"]["properties"]);
    }
    // Each is known by its own name: to send it again does no harm.
    let mut ana = child.client_in("ana", "hq:1").await;
    let before = child.get("/realtime/documents/door").await.ok()["version"].clone();
    for (key, n) in acknowledged.iter().filter(|(key, n)| key.starts_with("ana") && *n % 2 == 0) {
        send_edits(&mut ana, *n..n + 1);
        let again = ana.expect("edit_result").await;
        assert_eq!((&again["result"], &again["edit_id"]), (&json!("duplicate"), &json!(key)), "{again}");
    }
    assert_eq!(child.get("/realtime/documents/door").await.ok()["version"], before);
    child.stop();
}

#[tokio::test]
async fn a_conflict_that_was_acknowledged_survives_a_kill() {
    let setup = Setup::embedded();
    let folder = house_folder(setup.dir());
    let setup = setup.folder(&folder);
    let child = Child::start(setup.config(), setup.dir());
    let (_ana, _ben) = (child.client_in("ana", "hq:1").await, child.client_in("ben", "hq:1").await);
    let post = async |user: &str, width: u64| {
        let patch = json!({"properties": {"width": width}});
        let edit = json!({"user_id": user, "resource_id": "door", "base_version": 1, "patch": patch});
        child.post("/v1/realtime/edit", &edit).await.ok()
    };
    assert_eq!(post("ana", 91).await["success"], true);
    let met = post("ben", 92).await;
    child.kill();
    let id = met["conflict_id"].as_str().unwrap_or_else(|| panic!("a conflict: {met}"));

    let child = Child::start(setup.config(), setup.dir());
    let mut ben = child.client("ben").await;
    let told = ben.expect("conflict_detected").await;
    assert_eq!(
        (&told["conflict_id"], &told["paths"][0]["mine"], &told["paths"][0]["theirs"]),
        (&json!(id), &json!(92), &json!(91)),
        "{told}"
    );
    ben.send(json!({"type": "resolve_conflict", "conflict_id": id, "resolution": "accept_mine"}));
    assert_eq!(ben.expect("conflict_resolution_response").await["success"], true);
    until("the folder has Ben's", async || (objects(&folder)["door"]["properties"]["width"] == 92).then_some(())).await;
    child.stop();
}
