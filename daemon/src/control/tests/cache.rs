//! The cache over the control socket: a real one, behind which an origin has everything but what is called `gone`.

use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::cache::{EntryId, Strategies};
use arxosrt_core::control::hello::Role;
use arxosrt_core::directory::Directory;
use arxosrt_core::preload::planner::Settings;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::Served;
use crate::cache::{self, Cache, CacheSettings};
use crate::hub::Clock;
use crate::origin::fetch::{Answer, Fetch, Fetched, Health, Source};
use crate::preload::{self, PreloadHandle, ServiceSettings, Signals};

struct Origin;

impl Source for Origin {
    fn fetch(&self, fetch: Fetch) -> Answer<Fetched> {
        Box::pin(async move {
            match fetch.id.as_str() {
                "gone" => Ok(Fetched::Missing),
                id => Ok(Fetched::Value { bytes: Bytes::from(format!("{{\"of\": {id:?}}}")), etag: None }),
            }
        })
    }

    fn store(&self, _: &str, _: &EntryId, _: Bytes) -> Answer<bool> {
        Box::pin(async { Ok(false) })
    }

    fn health(&self) -> Health {
        Health { is_up: true, busy: 0, trouble: None }
    }
}

/// A cache, and a preloader that nobody tells anything.
pub(super) fn start(directory: Directory) -> (Cache, PreloadHandle) {
    let directory = Arc::new(directory);
    let (cache, from_cache) = Cache::start(cache::Parts {
        settings: CacheSettings {
            bytes_max: 16 << 20,
            loads_max: 4,
            load_timeout: Duration::from_secs(10),
            alone_ttl_ms: 30_000,
        },
        strategies: Strategies::new(Strategies::known()).unwrap(),
        directory: directory.clone(),
        source: Arc::new(Origin),
        shared: None,
        clock: Clock::start(),
        runtime: Handle::current(),
        seed: 7,
    });
    let (signals, from_hub) = Signals::new();
    let parts = preload::Parts {
        settings: ServiceSettings { planner: Settings::default(), loads_max: 1, origin_busy: 4, file: None },
        cache: cache.clone(),
        directory,
        clock: Clock::start(),
        from_hub,
        from_cache,
        signals,
        stop: CancellationToken::new(),
    };
    (cache, preload::start(&Handle::current(), parts).handle)
}

async fn value(served: &Served, strategy: &str, id: &str) -> (u16, Value) {
    let reply = served.get(&format!("/v1/cache/entries/{strategy}/{id}/value")).await;
    (reply.status, reply.body)
}

async fn invalidate(served: &Served, body: Value) -> Value {
    let reply = served.send("POST", "/v1/cache/invalidate", "", &body.to_string()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body["object"].clone()
}

#[tokio::test]
async fn an_entry_is_shown_without_its_value_and_the_value_only_by_name() {
    let served = Served::start(Role::Operate);
    let shown = served.get("/v1/cache/entries/floor_data/hq%3A1").await;
    assert_eq!((&shown.body["object"]["held"], shown.body["object"]["why"].is_string()), (&json!("none"), true));
    assert_eq!(value(&served, "floor_data", "hq%3A1").await, (200, json!({"of": "hq:1"})));
    let shown = served.get("/v1/cache/entries/floor_data/hq%3A1").await.body["object"].clone();
    assert_eq!((&shown["held"], &shown["state"], &shown["current"]), (&json!("local"), &json!("fresh"), &json!(true)));
    let tags: Vec<&str> = shown["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
    assert!(tags.contains(&"floor:hq:1") && tags.contains(&"building:hq"), "{tags:?}");
    assert!(shown.get("value").is_none());

    assert_eq!(value(&served, "floor_data", "gone").await.1["code"], "entry_not_found");
    let secret = value(&served, "user_session", "ana").await;
    assert_eq!((secret.0, &secret.1["code"]), (409, &json!("refused")), "sensitive values are shown to nobody");
    assert_eq!(value(&served, "no_such", "x").await.1["code"], "strategy_not_found");
}

#[tokio::test]
async fn entries_are_listed_page_by_page_and_narrowed() {
    let served = Served::start(Role::Operate);
    for (strategy, id) in [("floor_data", "hq%3A1"), ("floor_data", "hq%3A2"), ("object_data", "floor%3Ahq%3A1")] {
        assert_eq!(value(&served, strategy, id).await.0, 200);
    }
    let mut seen = Vec::new();
    let mut path = "/v1/cache/entries?limit=1".to_owned();
    loop {
        let page = served.get(&path).await;
        seen.extend(page.ids("id").iter().map(|id| (*id).to_owned()));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = format!("/v1/cache/entries?limit=1&cursor={cursor}");
    }
    seen.sort();
    assert_eq!(seen, ["floor:hq:1", "hq:1", "hq:2"]);
    let floor = served.get("/v1/cache/entries?floor=hq%3A1").await;
    assert_eq!(floor.body["items"].as_array().unwrap().len(), 2);
    assert_eq!(served.get("/v1/cache/entries?floor=hq%3A1&strategy=object_data").await.ids("id"), ["floor:hq:1"]);
    assert_eq!(served.get("/v1/cache/entries?floor=hq").await.body["items"], json!([]), "a floor is matched whole");
    for bad in ["cursor=x", "limit=0", "floor=a&building=b"] {
        assert_eq!(served.get(&format!("/v1/cache/entries?{bad}")).await.code(), (400, "bad_request"), "{bad}");
    }
}

#[tokio::test]
async fn what_is_made_invalid_is_counted_first_if_wanted_and_on_record() {
    let served = Served::start(Role::Admin);
    for (strategy, id) in [("floor_data", "hq%3A1"), ("object_data", "floor%3Ahq%3A1"), ("floor_data", "hq%3A2")] {
        assert_eq!(value(&served, strategy, id).await.0, 200);
    }
    let looked = invalidate(&served, json!({"floor": "hq:1", "dry_run": true})).await;
    assert_eq!(
        (&looked["count"], &looked["audited"], &looked["target"]),
        (&json!(2), &json!(false), &json!("floor hq:1"))
    );
    let done = invalidate(&served, json!({"floor": "hq:1", "reason": "new plan"})).await;
    assert_eq!((&done["count"], &done["audited"], &done["audit_id"]), (&json!(2), &json!(true), &json!(1)));
    let left = invalidate(&served, json!({"all": true, "dry_run": true})).await;
    assert_eq!(left["count"], 1);
    assert_eq!(invalidate(&served, json!({"strategy": "floor_data", "id": "hq:2"})).await["count"], 1);
    let audit = served.get("/v1/audit").await;
    assert_eq!(audit.ids("target"), ["floor_data hq:2", "floor hq:1"]);
    assert_eq!(audit.body["items"][1]["reason"], "new plan");
    for bad in [json!({}), json!({"id": "x"}), json!({"all": true, "floor": "a"}), json!({"floor": ""})] {
        let reply = served.send("POST", "/v1/cache/invalidate", "", &bad.to_string()).await;
        assert_eq!(reply.code(), (400, "bad_request"), "{bad}");
    }
}

#[tokio::test]
async fn figures_are_per_strategy() {
    let served = Served::start(Role::Operate);
    for _ in 0..3 {
        value(&served, "floor_data", "hq%3A1").await;
    }
    let stats = served.get("/v1/cache-stats").await.body["object"].clone();
    assert_eq!((&stats["entries"], &stats["shared"]), (&json!(1), &json!("off")));
    let floors = &stats["strategies"][0];
    assert_eq!((&floors["hits_local"], &floors["misses"], &floors["loads"]), (&json!(2), &json!(1), &json!(1)));
    assert!((floors["hit_ratio"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9, "{floors}");
    assert_eq!(stats["strategies"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn what_was_hot_is_a_job_and_without_a_folder_it_is_not_known() {
    let served = Served::start(Role::Operate);
    let reply = served.send("POST", "/v1/cache/warm", "", "{}").await;
    assert_eq!(reply.code(), (409, "refused"));
}

#[tokio::test]
async fn the_preloader_says_what_it_knows() {
    let served = Served::start(Role::View);
    let model = served.get("/v1/preload/model").await.body["object"].clone();
    assert_eq!((&model["enabled"], &model["paused"], &model["contexts"]), (&json!(true), &Value::Null, &json!(0)));
    assert_eq!(model["sources"].as_array().unwrap().len(), 8);
    assert_eq!(served.get("/v1/preload/users/nobody").await.code(), (404, "user_not_found"));
}
