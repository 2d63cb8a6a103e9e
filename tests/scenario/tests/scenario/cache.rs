//! The cache as front and back ends meet it: values over REST, and edits that make them invalid.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arxosrt_scenario::http::{Answer, Request};
use arxosrt_scenario::{Served, Setup, house, house_folder, json, segment, until};
use arxosrtd::config::cache::{Rank, Strategy};
use arxosrtd::config::{HttpPlace, OriginKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn put(served: &Served, what: &str, value: &str) -> Answer {
    let path = format!("/v1/realtime/cache/{what}");
    let answer = Request::new("PUT", &path).body("application/json", value.as_bytes().to_vec()).to(served.http).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

async fn get(served: &Served, what: &str) -> Answer {
    served.get(&format!("/realtime/cache/{what}")).await
}

async fn is_there(served: &Served, what: &str) -> bool {
    get(served, what).await.status == 200
}

#[tokio::test]
async fn a_value_travels_whole_under_both_prefixes_with_its_version() {
    let served = Setup::memory().start();
    for id in ["floor_1", "/usa/ny/ps-118/floor-02", "building:hq:floor:1", "50% *?#", "\u{1f3e2}"] {
        let what = format!("floor_data/{}", segment(id));
        let set = put(&served, &what, r#"{"objects":[], "grid":{}}"#).await;
        let tag = set.field("etag").expect("a version").to_owned();
        for prefix in ["/v1/realtime", "/realtime"] {
            let path = format!("{prefix}/cache/{what}");
            let found = served.get(&path).await;
            assert_eq!((found.status, &*found.body), (200, r#"{"objects":[], "grid":{}}"#), "{id}");
            assert_eq!((found.field("etag"), found.field("x-arxosrt-cache")), (Some(&*tag), Some("local")));
            let known = Request::get(&path).field("If-None-Match", &tag).to(served.http).await;
            assert_eq!((known.status, &*known.body), (304, ""));
            let late = Request::new("PUT", &path).field("If-Match", "\"other\"").json(&json!(1)).to(served.http).await;
            assert_eq!((late.status, &late.json()["error_code"]), (412, &json!("value_changed")));
        }
        let removed = Request::new("DELETE", &format!("/realtime/cache/{what}")).to(served.http).await.ok();
        assert_eq!(removed["removed"], true);
        assert!(!is_there(&served, &what).await);
    }
}

/// Point 9 of what was seen to break: the hottest went first, and one class's limit was compared with all classes' total.
#[tokio::test]
async fn what_is_used_stays_what_is_not_goes_and_no_class_pays_for_another() {
    let served = Setup::memory()
        .with(|config| {
            let of = |items_max| Strategy { items_max, ..Strategy::default() };
            config.cache.strategies.0.insert("small".to_owned(), of(20));
            config.cache.strategies.0.insert("large".to_owned(), Strategy { priority: Rank::Low, ..of(1000) });
        })
        .start();
    put(&served, "small/hot", "1").await;
    for n in 0..200 {
        put(&served, &format!("large/{n}"), "1").await;
    }
    for n in 0..100 {
        put(&served, &format!("small/cold-{n}"), "1").await;
        assert!(is_there(&served, "small/hot").await, "after {n} others");
    }
    let stats = served.get("/realtime/cache-stats").await.ok();
    let row = |name: &str| {
        let rows = stats["cache_stats"]["strategies"].as_array().expect("rows");
        rows.iter().find(|row| row["strategy"] == name).expect(name).clone()
    };
    assert_eq!((&row("small")["entries"], &row("large")["entries"]), (&json!(20), &json!(200)), "{stats}");
    assert!(!is_there(&served, "small/cold-0").await);
}

/// Point 10: floor `1` also wiped `10` and `12`, and `*` wiped everything.
#[tokio::test]
async fn a_floor_is_invalidated_and_no_other() {
    let served = Setup::memory().start();
    let all = ["floor_data/1", "object_data/floor:1", "route_data/floor:1:page:2", "floor_data/10", "floor_data/12"];
    for what in all {
        put(&served, what, "[]").await;
    }
    let invalidate = async |floor: &str| {
        let inputs = json!({"floor_id": floor});
        served.post("/v1/realtime/invalidate-floor-cache", &inputs).await.ok()["count"].clone()
    };
    assert_eq!(invalidate("*").await, 0);
    assert_eq!(invalidate("1").await, 3);
    let mut there = Vec::new();
    for what in all {
        there.push(is_there(&served, what).await);
    }
    assert_eq!(there, [false, false, false, true, true]);
}

#[tokio::test]
async fn whoever_hears_of_an_edit_does_not_read_what_was_there_before_it() {
    let served = Setup::embedded().building(house()).start();
    let mut ben = served.client_in("ben", "hq:1").await;
    let _ana = served.client_in("ana", "hq:1").await;
    let mut version = 0;
    for round in 0..5 {
        let touched = ["object_data/floor:hq:1", "object_data/door", "analytics_data/building:hq"];
        let others = ["floor_data/hq:2", "floor_data/hq:1", "route_data/floor:hq:1", "grid_calibration/floor:hq:1"];
        for what in touched.into_iter().chain(others) {
            put(&served, what, "\"old\"").await;
        }
        let edit = json!({"user_id": "ana", "resource_id": "door", "base_version": version, "patch": {"width": round}});
        let answered = served.post("/v1/realtime/edit", &edit).await.ok();
        version = answered["version"].as_u64().expect("a version");
        ben.expect("resource_updated").await;
        for what in touched {
            assert!(!is_there(&served, what).await, "{what} in round {round}");
        }
        for what in others {
            assert!(is_there(&served, what).await, "{what} is made of something else");
        }
    }
}

#[tokio::test]
async fn whoever_hears_of_an_edit_reads_it_however_many_read_meanwhile() {
    let setup = Setup::embedded();
    let folder = house_folder(setup.dir());
    // Nothing is written back while this runs: what is read comes from what people have agreed on.
    let served = setup.folder(&folder).with(|config| config.origin.write_back_ms = 600_000).start();
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let door = async || {
        let objects = get(&served, "object_data/floor:hq:1?user_id=ben").await.json();
        let objects = objects.as_array().expect("a list");
        let door = objects.iter().find(|object| object["id"] == "door").expect("the door").clone();
        (door["version"].as_u64().expect("a version"), door["properties"]["width"].clone())
    };
    assert_eq!(door().await, (1, json!(80)));
    let rounds = async {
        for version in 1..=30 {
            let width = 100 + version;
            ana.send(json!({"type": "edit", "id": version, "resource_id": "door", "base_version": version,
                "patch": {"properties": {"width": width}}}));
            ben.expect_where("the edit", |heard| {
                heard["type"] == "resource_updated" && heard["version"] == version + 1
            })
            .await;
            assert_eq!(door().await, (version + 1, json!(width)));
        }
    };
    // Loads are under way all the time, so that some begin before an edit and end after it.
    let reading = async {
        loop {
            door().await;
        }
    };
    tokio::select! {
        () = rounds => {}
        () = reading => unreachable!("it reads for ever"),
    }
    let stats = served.get("/realtime/cache-stats").await.ok();
    assert!(stats["cache_stats"]["hits"].as_u64() > Some(0), "{stats}");
}

#[tokio::test]
async fn a_floor_is_preloaded_and_names_are_hot_after_a_restart() {
    let setup = Setup::embedded();
    let folder = house_folder(setup.dir());
    let setup = setup.folder(&folder);
    let served = setup.start();
    served.post("/realtime/preload-floor", &json!({"floor_id": "hq:1"})).await.ok();
    until("the floor is loaded", async || {
        let stats = served.get("/realtime/cache-stats").await.ok();
        (stats["cache_stats"]["local_cache_size"].as_u64() >= Some(3)).then_some(())
    })
    .await;
    for _ in 0..2 {
        let floor = get(&served, "floor_data/hq:1").await;
        assert_eq!((floor.status, floor.field("x-arxosrt-cache")), (200, Some("local")), "{floor:?}");
    }
    served.stop().await.expect("a clean end");
    let served = setup.start();
    until("what was hot is loaded", async || {
        let stats = served.get("/realtime/cache-stats").await.ok();
        (stats["cache_stats"]["local_cache_size"] == 1).then_some(())
    })
    .await;
    assert_eq!(get(&served, "floor_data/hq:1").await.field("x-arxosrt-cache"), Some("local"));
}

#[tokio::test]
async fn a_strategy_that_somebody_declares_is_like_any_other() {
    let served = Setup::memory()
        .with(|config| {
            config.cache.strategies.0.insert("weather".to_owned(), Strategy { ttl_s: 60, ..Strategy::default() });
        })
        .start();
    put(&served, "weather/oslo", "{\"c\":-3}").await;
    assert_eq!(get(&served, "weather/oslo").await.body, "{\"c\":-3}");
    served.advance(60_000);
    assert!(!is_there(&served, "weather/oslo").await);
    let metrics = served.get("/metrics").await.body;
    assert!(metrics.contains("arxosrt_cache_writes_total{strategy=\"weather\"} 1"), "{metrics}");
    let secret = Request::new("PUT", "/realtime/cache/user_session/s1").json(&json!({})).to(served.http).await;
    assert_eq!((secret.status, &secret.json()["error_code"]), (503, &json!("cache_unavailable")));
}

/// A service that takes its time for the list of a floor's objects, and counts how often it is asked for it.
async fn slow_service(asked: Arc<AtomicUsize>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"\r\n\r\n") {
                    if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let head = String::from_utf8(bytes).unwrap();
                let door = json!({"id": "door", "floor_id": "hq:1", "version": 1, "width": 80});
                let answer = match head.split(' ').nth(1).unwrap() {
                    "/buildings" => {
                        json!([{"id": "hq", "floors": [{"id": "hq:1", "objects": [{"id": "door"}, {"id": "window"}]}]}])
                    }
                    "/objects/door" => door,
                    _ => {
                        asked.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        json!([door, {"id": "window", "floor_id": "hq:1"}])
                    }
                };
                let body = answer.to_string();
                let length = body.len();
                let answer = format!("HTTP/1.1 200 x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
                let _ = socket.write_all(answer.as_bytes()).await;
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_origin_does_not_make_a_floor_slow_on_which_people_edit() {
    let asked = Arc::new(AtomicUsize::new(0));
    let url = slow_service(asked.clone()).await;
    let place = |url: &str| HttpPlace { url: url.into(), pointer: String::new(), write_url: String::new() };
    let served = Setup::memory()
        .with(|config| {
            config.origin.kind = OriginKind::Http;
            config.origin.http.url = url;
            config.origin.http.directory_url = "/buildings".into();
            config.origin.http.documents.insert("object".into(), place("/objects/{id}"));
            config.origin.http.values.insert("object_data".into(), place("/floors/{floor}/objects"));
        })
        .start();
    let mut ana = served.client_in("ana", "hq:1").await;
    let mut ben = served.client_in("ben", "hq:1").await;
    let list = format!("object_data/{}", segment("floor:hq:1"));
    assert_eq!(get(&served, &list).await.json()[0]["width"], 80);
    for version in 1..=20 {
        let patch = json!({"width": 100 + version});
        ana.send(
            json!({"type": "edit", "id": version, "resource_id": "door", "base_version": version, "patch": patch}),
        );
        ben.expect("resource_updated").await;
        let answer = get(&served, &list).await;
        assert_eq!(answer.field("x-arxosrt-cache"), Some("local"), "{answer:?}");
        let things = answer.json();
        let door = things.as_array().expect("a list").iter().find(|thing| thing["id"] == "door").expect("the door");
        assert_eq!((&door["width"], &door["version"]), (&json!(100 + version), &json!(version + 1)));
        assert_eq!(things[1]["id"], "window");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "the origin was asked once, when the floor was opened");
}
