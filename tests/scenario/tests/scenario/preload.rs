//! Two people walk through a building until it is known where they go; then it is there before they ask. And what
//! operators and the back end order ahead is a job.

use std::path::{Path, PathBuf};

use arxosrt_scenario::http::Request;
use arxosrt_scenario::{Client, Served, Setup, Value, json, segment, until};

/// A building of six floors as a folder below `dir`.
fn six_floors(dir: &Path) -> PathBuf {
    let ids: Vec<String> = (1..=6).map(|n| format!("hq:{n}")).collect();
    let building = dir.join("buildings/hq");
    std::fs::create_dir_all(&building).expect("a folder");
    let write = |path: PathBuf, content: Value| std::fs::write(path, content.to_string()).expect("a file");
    write(building.join("building.json"), json!({"id": "hq", "name": "Headquarters", "floors": ids, "version": 1}));
    for (n, id) in (1..).zip(&ids) {
        let floor = building.join(format!("floors/{n}"));
        std::fs::create_dir_all(&floor).expect("a folder");
        let name = format!("Floor {n}");
        let own = json!({"id": id, "building_id": "hq", "name": name, "level": n, "version": 1});
        write(floor.join("floor.json"), own);
        let door = json!({"id": format!("door-{n}"), "floor_id": id, "type": "door", "version": 1, "properties": {}});
        write(floor.join("objects.json"), json!([door]));
        write(floor.join("routes.json"), json!([]));
    }
    dir.join("buildings")
}

/// A daemon on that building; of a thousand sessions so many have nothing loaded ahead.
fn building(holdout_permille: u64) -> Served {
    let setup = Setup::memory();
    let folder = six_floors(setup.dir());
    setup.folder(&folder).with(|config| config.preload.holdout_permille = holdout_permille).start()
}

async fn object(served: &Served, path: &str) -> Value {
    served.operate(Request::get(path)).await.ok()["object"].clone()
}

async fn is_there(served: &Served, floor: &str) -> bool {
    let entry = object(served, &format!("/v1/cache/entries/floor_data/{}", segment(floor))).await;
    entry["held"] == "local" && entry["current"] == true
}

async fn comes(served: &Served, floor: &str) {
    until(&format!("{floor} is there"), async || is_there(served, floor).await.then_some(())).await;
}

async fn ends(served: &Served, job: &str) -> Value {
    let path = format!("/v1/jobs/{job}");
    let over = async || Some(object(served, &path).await).filter(|row| !row["ended_at"].is_null());
    until("the job is over", over).await
}

/// Until the preloader has taken in what happened, and what it wanted is loaded.
async fn settled(served: &Served) {
    let mut before = Value::Null;
    let quiet = async || {
        let model = object(served, "/v1/preload/model").await;
        let is_quiet = model["loading"] == 0 && model["signals"] == before;
        before = model["signals"].clone();
        is_quiet.then_some(())
    };
    until("the preloader is at rest", quiet).await;
}

/// Goes to a floor, reads it, and stays for a minute.
async fn visit(served: &Served, client: &mut Client, user: &str, floor: &str) {
    client.join(floor).await;
    client.forget();
    for (strategy, id) in [("floor_data", floor.to_owned()), ("object_data", format!("floor:{floor}"))] {
        let path = format!("/v1/realtime/cache/{strategy}/{}?user_id={user}", segment(&id));
        served.get(&path).await.ok();
    }
    settled(served).await;
    served.advance(60_000);
}

/// Ana goes 1, 4, 2 and Ben 3, 6, 5, again and again; then each comes back to where they begin, and nothing is cached.
async fn two_who_walk(served: &Served) -> (Client, Client) {
    let (mut ana, mut ben) = (served.client("ana").await, served.client("ben").await);
    for _ in 0..10 {
        for (hers, his) in [("hq:1", "hq:3"), ("hq:4", "hq:6"), ("hq:2", "hq:5")] {
            visit(served, &mut ana, "ana", hers).await;
            visit(served, &mut ben, "ben", his).await;
        }
    }
    let forget = json!({"all": true, "reason": "a clean slate"});
    served.operate(Request::post("/v1/cache/invalidate").json(&forget)).await.ok();
    ana.join("hq:1").await;
    ben.join("hq:3").await;
    settled(served).await;
    (ana, ben)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_floor_is_there_before_it_is_asked_for_and_it_is_told_why() {
    let served = building(0);
    let _walkers = two_who_walk(&served).await;
    comes(&served, "hq:4").await;
    comes(&served, "hq:6").await;

    let explained = object(&served, "/v1/preload/users/ana").await;
    assert_eq!((&explained["floor_id"], &explained["holdout"]), (&json!("hq:1"), &json!(false)));
    let candidates = explained["candidates"].as_array().expect("a list");
    let next = candidates.iter().find(|row| row["floor_id"] == "hq:4").expect("it was looked at");
    assert!(next["probability"].as_f64() >= Some(0.2) && !next["why"].as_str().unwrap_or("").is_empty(), "{next}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_held_out_get_nothing_ahead() {
    let served = building(1000);
    let _walkers = two_who_walk(&served).await;
    assert!(!is_there(&served, "hq:4").await && !is_there(&served, "hq:6").await);
    let explained = object(&served, "/v1/preload/users/ana").await;
    assert_eq!(explained["holdout"], true);
    assert!(explained["candidates"].as_array().expect("a list").iter().all(|row| row["verdict"] != "issued"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_hint_where_its_person_goes() {
    let served = building(0);
    let mut ana = served.client("ana").await;
    visit(&served, &mut ana, "ana", "hq:1").await;
    ana.send(json!({"type": "preload_hint", "floor_id": "hq:6", "id": 7}));
    assert_eq!(ana.expect("ack").await["id"], 7);
    comes(&served, "hq:6").await;
    // The first use is credited to whoever proposed it.
    let used = async || {
        let model = object(&served, "/v1/preload/model").await;
        let sources = model["sources"].as_array().expect("a list");
        let hint = sources.iter().find(|row| row["source"] == "hint").expect("a source");
        (hint["used"].as_u64() > Some(0)).then_some(())
    };
    visit(&served, &mut ana, "ana", "hq:6").await;
    until("the use is credited", used).await;
    ana.send(json!({"type": "preload_hint", "id": 8}));
    let error = ana.expect("error").await;
    assert_eq!((&error["id"], error["message"].is_string()), (&json!(8), true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ordered_ahead_is_a_job() {
    let served = building(1000);
    served.post("/v1/realtime/preload-floor", &json!({"floor_id": "hq:5"})).await.ok();
    let first = served.operate(Request::get("/v1/jobs")).await.ok()["items"][0].clone();
    assert_eq!((&first["actor"], &first["target"]), (&json!("REST"), &json!("floor hq:5")));
    ends(&served, first["job_id"].as_str().expect("an id")).await;
    assert!(is_there(&served, "hq:5").await);
    let order = json!({"items": [{"building": "hq"}, {"floor": "hq:nowhere"}], "split": true, "if_missing": true});
    let job = served.operate(Request::post("/v1/preload").json(&order)).await.ok()["object"].clone();
    let id = job["job_id"].as_str().expect("an id");
    let row = ends(&served, id).await;
    let counts = [&row["total"], &row["done"], &row["skipped"], &row["failed"]];
    assert_eq!(counts, [&json!(7), &json!(5), &json!(1), &json!(1)], "{row}");
    let failed = served.operate(Request::get(&format!("/v1/jobs/{id}/items?failed=true"))).await.ok();
    assert_eq!(
        (&failed["items"][0]["floor_id"], &failed["items"][0]["code"]),
        (&json!("hq:nowhere"), &json!("not_there"))
    );
}
