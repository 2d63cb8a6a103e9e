//! Warnings of conflicts: none before the daemon has learnt when they are right, then to the two whom they concern.

use arxosrt_scenario::http::Request;
use arxosrt_scenario::{Served, Setup, Value, house, json, until};

/// Meetings whose outcomes are learnt together, and how often that is: as many in all as the daemon must judge before it
/// may warn.
const MEETINGS: usize = 40;
const ROUNDS: usize = 5;

async fn edit(served: &Served, user: &str, resource: &str, base: u64, patch: Value) -> Value {
    let edit = json!({"user_id": user, "resource_id": resource, "base_version": base, "patch": patch});
    served.post("/v1/realtime/edit", &edit).await.ok()
}

fn version(answer: &Value) -> u64 {
    answer["version"].as_u64().unwrap_or_else(|| panic!("no version: {answer}"))
}

fn width(cm: u64) -> Value {
    json!({"properties": {"width": cm}})
}

/// Ana and then Ben change the width: the version before Ben's.
async fn meet(served: &Served, resource: &str) -> u64 {
    let created = edit(served, "ana", resource, 0, json!({"properties": {}})).await;
    let hers = version(&edit(served, "ana", resource, version(&created), width(90)).await);
    assert_eq!(edit(served, "ben", resource, hers, width(91)).await["result"], "applied");
    hers
}

/// Where both change the same part, they disagree in the end.
async fn disagree(served: &Served, resource: &str) {
    let base = meet(served, resource).await;
    assert_eq!(edit(served, "ana", resource, base, width(92)).await["result"], "conflict");
}

/// Where they change different parts, nothing happens.
async fn pass_by(served: &Served, resource: &str) {
    let base = version(&edit(served, "ana", resource, 0, width(90)).await);
    assert_eq!(edit(served, "ben", resource, base, json!({"label": "a door"})).await["result"], "applied");
}

async fn forecast(served: &Served) -> Value {
    served.operate(Request::get("/v1/conflict-stats")).await.ok()["object"]["forecast"].clone()
}

#[tokio::test]
async fn people_are_warned_of_each_other_when_warnings_have_proved_right() {
    let served = Setup::memory().building(house()).start();
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let mut good = Value::Null;
    for round in 1..=ROUNDS {
        for n in 0..MEETINGS {
            let resource = format!("thing-{round}-{n}");
            if n % 2 == 0 { disagree(&served, &resource).await } else { pass_by(&served, &resource).await }
        }
        for client in [&mut ana, &mut ben] {
            client.none_of("conflict_risk").await;
            client.forget();
        }
        served.advance(301_000);
        good = until("all is judged", async || {
            let forecast = forecast(&served).await;
            (forecast["judged"] == round * MEETINGS).then_some(forecast)
        })
        .await;
    }
    assert_eq!(good["shown"], true, "{good}");
    assert!(good["brier"].as_f64() < good["base_brier"].as_f64(), "{good}");
    let metrics = served.get("/metrics").await.body;
    for line in [&*format!("arxosrt_forecasts_judged_total {}", ROUNDS * MEETINGS), "arxosrt_forecasts_shown 1"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }

    // Who is not one of the two, not in the room, or of the first generation hears nothing.
    let mut cem = served.client_in("cem", "hq:1").await;
    let mut elsewhere = served.client_in("ana", "hq:2").await;
    let mut old = served.old_in("ben", "hq:1").await;
    // REST edits in the name of the session that spoke last.
    ben.send(json!({"type": "join_room", "room_id": "hq:1"}));
    ben.expect("room_state").await;
    ana.send(json!({"type": "join_room", "room_id": "hq:1"}));
    ana.expect("room_state").await;
    meet(&served, "door").await;
    for (client, other) in [(&mut ana, "ben"), (&mut ben, "ana")] {
        let told = client.expect("conflict_risk").await;
        assert_eq!((&told["resource_id"], &told["user_id"]), (&json!("door"), &json!(other)), "{told}");
        assert_eq!(told["username"], format!("User_{other}"), "{told}");
        assert!(told["probability"].as_f64() > Some(0.5), "{told}");
        assert_eq!(told["because"], json!(["same_part", "just_now", "both_edit"]), "{told}");
        client.none_of("conflict_risk").await;
    }
    for client in [&mut cem, &mut elsewhere, &mut old] {
        client.none_of("conflict_risk").await;
    }

    pass_by(&served, "window").await;
    for client in [&mut ana, &mut ben] {
        client.none_of("conflict_risk").await;
    }
}

#[tokio::test]
async fn edits_locks_and_looks_are_activity_and_cursors_are_not() {
    let served = Setup::memory().building(house()).start();
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let mut cem = served.client_in("cem", "hq:1").await;
    let made = async || {
        let metrics = served.get("/metrics").await.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("arxosrt_forecasts_made_total "));
        line.map(str::to_owned).expect("the figure is there")
    };
    ana.lock("object_edit", "door").await;
    assert_eq!(made().await, "0", "nobody else is there");
    edit(&served, "ben", "window", 0, width(90)).await;
    assert_eq!(made().await, "0", "that is another thing");
    for (presence, sum, why) in [
        (json!({"cursor_position": [1, 2]}), "0", "a cursor says nothing of a thing"),
        (json!({"metadata": {"resource_id": "door"}}), "1", "ben looks at what ana has locked"),
        (json!({"cursor_position": [3, 4]}), "1", "what was set before is not looked up again"),
        (json!({"metadata": {"resource_id": "pump"}}), "1", "that is on another floor"),
        (json!({"metadata": {"resource_id": 7}}), "1", "that is no id"),
    ] {
        let mut message = presence;
        message["type"] = json!("update_presence");
        ben.send(message);
        ben.settle().await;
        assert_eq!(made().await, sum, "{why}");
    }
    cem.send(json!({"type": "update_presence", "metadata": {"resource_id": "door"}}));
    cem.settle().await;
    assert_eq!(made().await, "3", "cem meets both");
}
