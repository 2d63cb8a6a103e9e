//! Two daemons on one Redis: what one loads the other serves, and what one changes the other does not serve any more.

use arxosrt_scenario::http::Request;
use arxosrt_scenario::origin::Origin;
use arxosrt_scenario::proxy::{Proxy, Weather};
use arxosrt_scenario::redis::Redis;
use arxosrt_scenario::sharing::{
    self, delete, figure, get, is_connected, put, until_connected, until_gone, until_read,
};
use arxosrt_scenario::{Served, house, json, segment, until};

/// Two daemons that share a Redis, with one origin for `object_data`.
async fn two(url: &str, origin: &Origin) -> [Served; 2] {
    let start = || sharing::on(url).building(house()).with(|config| origin.serves(config, "object_data")).start();
    let both = [start(), start()];
    for served in &both {
        until_connected(served, true).await;
    }
    both
}

#[tokio::test]
async fn what_one_loads_the_other_serves_without_asking_the_origin() {
    let (redis, origin) = (Redis::start(), Origin::start().await);
    let [a, b] = two(&redis.url(), &origin).await;
    origin.set("/object_data/wall", json!({"height": 3}));
    let from = async |served: &Served| {
        let found = get(served, "object_data/wall").await;
        assert_eq!(found.ok(), json!({"height": 3}));
        found.field("x-arxosrt-cache").expect("a source").to_owned()
    };
    assert_eq!([from(&a).await, from(&a).await], ["origin", "local"]);
    assert_eq!([from(&b).await, from(&b).await], ["shared", "local"]);
    assert_eq!(origin.asked("/object_data/wall"), 1);
    // That there is none is known to both as well.
    assert_eq!([get(&a, "object_data/none").await.status, get(&b, "object_data/none").await.status], [404, 404]);
    assert_eq!(origin.asked("/object_data/none"), 1);
    assert_eq!(figure(&b, "arxosrt_redis_up").await, 1);
}

#[tokio::test]
async fn what_one_writes_or_removes_the_other_does_not_serve_any_more() {
    let (redis, origin) = (Redis::start(), Origin::start().await);
    let [a, b] = two(&redis.url(), &origin).await;
    for what in ["route_data/way", "route_data/%2A", "route_data/floor%3Ahq%3A1", "route_data/a%3Ab%7Bc%7D"] {
        for round in 0..3 {
            let value = format!("{{\"round\":{round}}}");
            assert_eq!(put(&a, what, &value).await.status, 200);
            assert_eq!(get(&a, what).await.body, value, "whoever wrote it reads it");
            until_read(&b, what, &value).await;
        }
        assert_eq!(delete(&b, what).await.ok()["removed"], true);
        assert_eq!(get(&b, what).await.status, 404);
        until_gone(&a, what).await;
    }
    // `*` is an id like any other: removing it removed nothing else.
    for what in ["route_data/%2A", "route_data/x"] {
        assert_eq!(put(&a, what, "1").await.status, 200);
        until_read(&b, what, "1").await;
    }
    delete(&b, "route_data/%2A").await.ok();
    until_gone(&a, "route_data/%2A").await;
    assert_eq!([get(&a, "route_data/x").await.status, get(&b, "route_data/x").await.status], [200, 200]);
}

#[tokio::test]
async fn a_floor_that_one_invalidates_is_invalid_for_both_and_no_other_is() {
    let (redis, origin) = (Redis::start(), Origin::start().await);
    let [a, b] = two(&redis.url(), &origin).await;
    let all = ["floor_data/1", "route_data/floor%3A1%3Apage%3A2", "floor_data/10", "route_data/floor%3A10"];
    for what in all {
        assert_eq!(put(&a, what, "[]").await.status, 200);
        until_read(&b, what, "[]").await;
    }
    let invalidate = async |floor: &str| {
        a.post("/v1/realtime/invalidate-floor-cache", &json!({"floor_id": floor})).await.ok()["count"].clone()
    };
    assert_eq!(invalidate("*").await, 0);
    assert_eq!(invalidate("1").await, 2);
    for what in &all[..2] {
        until_gone(&b, what).await;
        assert_eq!(get(&a, what).await.status, 404);
    }
    for what in &all[2..] {
        assert_eq!([get(&a, what).await.status, get(&b, what).await.status], [200, 200], "{what}");
    }
}

#[tokio::test]
async fn what_is_edited_at_one_is_loaded_anew_by_the_other() {
    let (redis, origin) = (Redis::start(), Origin::start().await);
    let [a, b] = two(&redis.url(), &origin).await;
    let _ana = a.client_in("ana", "hq:1").await;
    let list = format!("object_data/{}", segment("floor:hq:1"));
    let path = format!("/{list}");
    for round in 0..5 {
        origin.set(&path, json!([{"id": "door", "round": round}]));
        let edit = json!({"user_id": "ana", "resource_id": "door", "base_version": round, "patch": {"width": round}});
        assert_eq!(a.post("/v1/realtime/edit", &edit).await.ok()["success"], true);
        let of_this_round = format!("the list of round {round}");
        until(&of_this_round, async || (get(&b, &list).await.ok()[0]["round"] == round).then_some(())).await;
    }
}

/// Point 5.4 of a stampede: however many ask, each daemon asks the origin at most once.
async fn crowd(a: &Served, b: &Served, origin: &Origin, what: &str, midway: impl AsyncFnOnce()) -> u64 {
    let path = format!("/{what}");
    origin.set(&path, json!({"is": what}));
    origin.hold();
    let asking: Vec<_> = (0..200)
        .map(|n| {
            let at = if n % 2 == 0 { a.http } else { b.http };
            tokio::spawn(Request::get(&format!("/v1/realtime/cache/{what}")).to(at))
        })
        .collect();
    until("somebody asks the origin", async || (origin.asked(&path) > 0).then_some(())).await;
    midway().await;
    for served in [a, b] {
        // All are there before the origin answers anybody.
        let of_all = async || {
            let stats = served.get("/v1/realtime/cache-stats").await.ok();
            (stats["cache_stats"]["loading"] == 1).then_some(())
        };
        until("the load is under way", of_all).await;
    }
    origin.release();
    for answer in asking {
        let answer = answer.await.expect("it does not panic");
        assert_eq!(answer.ok(), json!({"is": what}));
    }
    origin.asked(&path)
}

#[tokio::test]
async fn two_hundred_who_want_one_value_ask_the_origin_once_per_daemon_even_if_redis_dies_meanwhile() {
    let (mut redis, origin) = (Redis::start(), Origin::start().await);
    let [a, b] = two(&redis.url(), &origin).await;
    let asked = crowd(&a, &b, &origin, "object_data/cold", async || {}).await;
    println!("two hundred, two daemons: the origin was asked {asked} times");
    assert!(asked <= 2, "{asked}");
    let asked = crowd(&a, &b, &origin, "object_data/colder", async || redis.kill()).await;
    println!("the same with Redis killed meanwhile: {asked} times");
    assert!(asked <= 2, "{asked}");
    until_connected(&a, false).await;
    assert_eq!(get(&a, "object_data/colder").await.status, 200);
}

#[tokio::test]
async fn a_daemon_starts_serves_and_joins_without_redis_at_first() {
    let (mut redis, origin) = (Redis::start(), Origin::start().await);
    redis.kill();
    let started = std::time::Instant::now();
    let start = || sharing::on(&redis.url()).with(|config| origin.serves(config, "object_data")).start();
    let [a, b] = [start(), start()];
    println!("two daemons started within {:?}, Redis dead", started.elapsed());
    origin.set("/object_data/wall", json!(1));
    for served in [&a, &b] {
        assert!(!is_connected(served).await);
        assert_eq!(served.get("/ready").await.status, 200);
        assert_eq!(get(served, "object_data/wall").await.field("x-arxosrt-cache"), Some("origin"));
        assert_eq!(get(served, "object_data/wall").await.field("x-arxosrt-cache"), Some("local"));
        assert_eq!(put(served, "route_data/way", "1").await.status, 200);
        assert_eq!(figure(served, "arxosrt_redis_up").await, 0);
    }
    redis.restart();
    for served in [&a, &b] {
        until_connected(served, true).await;
        assert_eq!(figure(served, "arxosrt_redis_up").await, 1);
    }
    until("one loads, the other takes it from there", async || {
        let from = [get(&a, "object_data/wall").await, get(&b, "object_data/wall").await];
        (from[1].field("x-arxosrt-cache") == Some("shared")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn while_redis_is_away_a_write_waits_for_nothing() {
    let redis = Redis::start();
    let network = Proxy::before(redis.port).await;
    let served = sharing::on(&network.url()).start();
    until_connected(&served, true).await;
    network.set(Weather::Broken);
    until_connected(&served, false).await;
    let began = std::time::Instant::now();
    for n in 0..40 {
        assert_eq!(put(&served, "route_data/way", &n.to_string()).await.status, 200);
        assert_eq!(get(&served, "route_data/way").await.body, n.to_string());
    }
    let each = began.elapsed() / 40;
    println!("a write and a read while Redis is away: {each:?}");
    // Each used to wait a quarter of a second for others to be told who could not be.
    assert!(each.as_millis() < 200, "{each:?}");
}
