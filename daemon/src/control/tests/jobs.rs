//! Jobs over the control socket, with a loader that knows which floors there are.

use std::time::Duration;

use arxosrt_core::control::hello::Role;
use arxosrt_core::directory::{Builder, BuildingDraft, Directory, FloorDraft};
use arxosrt_core::id::{BuildingId, RoomId};
use serde_json::{Value, json};

use super::{Reply, Served};
use crate::jobs::{Item, Loader, Loading, Outcome, Trouble};

/// Loads every floor but `gone`; `stuck` never ends.
pub(super) struct Scripted;

impl Loader for Scripted {
    fn load(&self, item: &Item, if_missing: bool) -> Loading {
        let item = item.clone();
        Box::pin(async move {
            match &item {
                Item::Floor(floor) if floor.as_str() == "stuck" => std::future::pending().await,
                Item::Floor(floor) if floor.as_str() == "gone" => {
                    let message = "the origin has no floor \"gone\"".into();
                    Outcome::Failed(Trouble { code: "not_there", message, passes: false })
                }
                Item::Floor(floor) if floor.as_str() == "there" && if_missing => Outcome::Resident,
                _ => Outcome::Loaded { entries: 4, bytes: 100 },
            }
        })
    }
}

/// One building of two floors.
pub(super) fn directory() -> Directory {
    let floor = |id: &str, level| FloorDraft { room: RoomId::new(id).unwrap(), name: id.into(), level };
    let mut builder = Builder::default();
    let draft = BuildingDraft {
        id: BuildingId::new("hq").unwrap(),
        name: "Head office".into(),
        floors: vec![floor("hq:1", 1), floor("hq:2", 2)],
        objects: Vec::new(),
        routes: Vec::new(),
    };
    assert!(builder.add(draft).is_empty());
    builder.build()
}

async fn preload(served: &Served, body: Value) -> Reply {
    served.send("POST", "/v1/preload", "", &body.to_string()).await
}

/// Follows a job to its end: its last state, and its items by number.
async fn followed(served: &Served, id: &str) -> (Value, Vec<Value>) {
    let mut stream = served.stream(&format!("/v1/jobs/{id}/follow")).await;
    let (mut job, mut items) = (Value::Null, Vec::new());
    while let Some(line) = stream.next().await {
        match (line["type"].as_str().unwrap(), line["kind"].as_str()) {
            ("put", Some("Job")) => job = line["object"].clone(),
            ("put", Some("JobItem")) => items.push(line["object"].clone()),
            ("bye", _) => assert_eq!(line["reason"], "over"),
            ("heartbeat", _) => {}
            _ => panic!("{line}"),
        }
    }
    items.sort_by_key(|item| item["item"].as_u64());
    (job, items)
}

fn id(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.body["kind"], "Job");
    reply.body["object"]["job_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_ordered_is_carried_out_item_by_item() {
    let served = Served::start(Role::Operate);
    let items = json!([
        {"floor": "a/b%🏢"}, {"floor": "gone"}, {"building": "hq"},
        {"strategy": "object_data", "id": "floor:1"}, {"floor": "there"}
    ]);
    let ordered = preload(&served, json!({"items": items, "if_missing": true, "reason": "early shift"})).await;
    let id = id(&ordered);
    assert_eq!(ordered.body["object"]["target"], "5 items");
    let (job, items) = followed(&served, &id).await;
    assert_eq!(
        (&job["state"], &job["done"], &job["failed"], &job["skipped"], &job["bytes"]),
        (&json!("done"), &json!(3), &json!(1), &json!(1), &json!(300))
    );
    assert_eq!(items.len(), 5);
    assert_eq!((&items[0]["floor_id"], &items[0]["state"]), (&json!("a/b%🏢"), &json!("done")));
    assert_eq!((&items[1]["code"], &items[1]["attempts"]), (&json!("not_there"), &json!(1)));
    assert_eq!((&items[2]["building_id"], &items[2]["entries"]), (&json!("hq"), &json!(4)));
    assert_eq!((&items[3]["strategy"], &items[3]["id"]), (&json!("object_data"), &json!("floor:1")));
    assert_eq!(items[4]["state"], "skipped");
    let shown = served.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(
        (&shown.body["object"]["state"], &shown.body["object"]["reason"]),
        (&json!("done"), &json!("early shift"))
    );
    let failed = served.get(&format!("/v1/jobs/{id}/items?failed=true")).await;
    assert_eq!(failed.ids("floor_id"), ["gone"]);
    let page = served.get(&format!("/v1/jobs/{id}/items?limit=3")).await;
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let rest = served.get(&format!("/v1/jobs/{id}/items?limit=3&cursor={cursor}")).await;
    assert_eq!(rest.body["items"].as_array().unwrap().len(), 2);
    assert_eq!(rest.body["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_building_can_be_split_into_its_floors() {
    let served = Served::start(Role::Operate);
    let id = id(&preload(&served, json!({"items": [{"building": "hq"}], "split": true})).await);
    let (job, items) = followed(&served, &id).await;
    assert_eq!((&job["target"], &job["total"]), (&json!("building hq"), &json!(2)));
    assert_eq!((&items[0]["floor_id"], &items[1]["floor_id"]), (&json!("hq:1"), &json!("hq:2")));
    let unknown = preload(&served, json!({"items": [{"building": "nowhere"}], "split": true})).await;
    assert_eq!(unknown.code(), (404, "building_not_found"));
}

#[tokio::test]
async fn orders_and_their_end_are_on_record() {
    let served = Served::start(Role::Admin);
    let id = id(&preload(&served, json!({"items": [{"floor": "stuck"}], "reason": "why not"})).await);
    let cancelled = served.send("DELETE", &format!("/v1/jobs/{id}"), "", r#"{"reason":"stuck"}"#).await;
    assert_eq!((&cancelled.body["object"]["count"], &cancelled.body["object"]["audit_id"]), (&json!(1), &json!(2)));
    let (job, items) = followed(&served, &id).await;
    assert_eq!((&job["state"], &job["cancelled"], items.len()), (&json!("cancelled"), &json!(1), 0));
    let again = served.send("DELETE", &format!("/v1/jobs/{id}"), "", "{}").await;
    assert_eq!(again.body["object"]["count"], 0);
    let refused = preload(&served, json!({"items": []})).await;
    assert_eq!(refused.code(), (400, "bad_request"));
    let audit = served.get("/v1/audit").await;
    assert_eq!(audit.ids("action"), ["preload", "job.cancel", "job.cancel", "preload"]);
    assert_eq!(audit.ids("result"), ["bad_request", "ok", "ok", "ok"]);
    assert_eq!(
        (&audit.body["items"][3]["target"], &audit.body["items"][3]["reason"]),
        (&json!("floor stuck"), &json!("why not"))
    );
}

#[tokio::test]
async fn what_is_wrong_with_an_order_is_said_before_anything_is_done() {
    let served = Served::start(Role::Operate);
    for (items, words) in [
        (json!([{"floor": "a"}, {"floor": ""}]), "item 1"),
        (json!([{"floor": "a", "building": "b"}]), "either"),
        (json!([{"strategy": "object_data"}]), "either"),
        (json!([{"strategy": "Object", "id": "1"}]), "strategy"),
        (json!([{"flor": "a"}]), "flor"),
    ] {
        let reply = preload(&served, json!({"items": items})).await;
        assert_eq!(reply.code(), (400, "bad_request"), "{items}");
        assert!(reply.body["detail"].as_str().unwrap().contains(words), "{reply:?}");
    }
    let many: Vec<Value> = vec![json!({"floor": "a"}); crate::jobs::ITEMS_MAX + 1];
    let reply = preload(&served, json!({"items": many})).await;
    assert_eq!(reply.code(), (413, "too_large"), "a body of this size is read, and refused for its items");
    assert!(served.get("/v1/jobs").await.body["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn jobs_are_listed_latest_first_and_strangers_are_not_found() {
    let served = Served::start(Role::Operate);
    let mut ids = Vec::new();
    for floor in ["a", "b", "c"] {
        ids.insert(0, id(&preload(&served, json!({"items": [{"floor": floor}]})).await));
    }
    let page = served.get("/v1/jobs?limit=2").await;
    assert_eq!(page.ids("job_id"), &ids[..2]);
    let rest = served.get(&format!("/v1/jobs?limit=2&cursor={}", page.body["next_cursor"].as_str().unwrap())).await;
    assert_eq!((rest.ids("job_id"), &rest.body["next_cursor"]), (vec![&*ids[2]], &Value::Null));
    for path in ["/v1/jobs/job_zz", "/v1/jobs/lk_7", "/v1/jobs/job_zz/items", "/v1/jobs/job_zz/follow"] {
        assert_eq!(served.get(path).await.code(), (404, "job_not_found"), "{path}");
    }
}

#[tokio::test]
async fn a_follower_is_told_that_the_daemon_ends() {
    let served = Served::start(Role::Operate);
    let id = id(&preload(&served, json!({"items": [{"floor": "stuck"}]})).await);
    let mut stream = served.stream(&format!("/v1/jobs/{id}/follow")).await;
    assert_eq!(stream.next().await.unwrap()["object"]["state"].as_str().map(|state| state.len() > 3), Some(true));
    served.shutdown.cancel();
    let bye = loop {
        let line = stream.next().await.unwrap();
        if line["type"] == "bye" {
            break line;
        }
    };
    assert_eq!(bye["reason"], "shutting_down");
    tokio::time::timeout(Duration::from_secs(10), served.task).await.unwrap().unwrap();
}
