//! Values and their versions over REST.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;

use super::{Daemon, request};

const FLOOR: &str = "/v1/realtime/cache/floor_data/f1";

fn with(method: &str, uri: &str, header: (&str, &str), body: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri).header(header.0, header.1);
    request.body(Body::from(body.to_owned())).expect("a request")
}

#[tokio::test]
async fn a_value_comes_as_it_is_and_its_headers_say_the_rest() {
    let daemon = Daemon::start();
    for (uri, from) in [(FLOOR, "origin"), ("/realtime/cache/floor_data/f1?user_id=ann", "local")] {
        let answer = daemon.get(uri).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, r#"{"id":"f1"}"#));
        assert_eq!(answer.headers["x-arxosrt-cache"], from);
        assert_eq!(answer.headers["age"], "0");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["cache-control"], "private, no-cache");
        let tag = answer.headers["etag"].to_str().unwrap();
        assert!(tag.starts_with('"') && tag.len() == 24, "{tag}");
        for list in [tag.to_owned(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let known = daemon.send(with("GET", uri, ("if-none-match", &list), "")).await;
            assert_eq!((known.status, &*known.body), (StatusCode::NOT_MODIFIED, ""));
            assert_eq!(known.headers["etag"], tag);
        }
    }
}

#[tokio::test]
async fn what_is_put_is_what_comes_back_until_it_is_deleted() {
    let daemon = Daemon::start();
    let uri = "/v1/realtime/cache/search_results/a%2Fb%25";
    let set = daemon.send(request("PUT", uri, "[1]")).await;
    assert_eq!(set.status, StatusCode::OK);
    let tag = set.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(set.json(), json!({"success": true, "message": "Value set", "etag": tag, "in_origin": false}));
    assert_eq!(daemon.get("/v1/realtime/cache/search_results/a/b%25").await.body, "[1]", "decoded once");
    let removed = daemon.send(request("DELETE", uri, "")).await.json();
    assert_eq!(removed, json!({"success": true, "message": "Value removed", "removed": true}));
    assert_eq!(daemon.get(uri).await.json()["error_code"], "not_found");
    let again = daemon.send(request("DELETE", uri, "")).await.json();
    assert_eq!(again, json!({"success": true, "message": "There was no value", "removed": false}));
}

#[tokio::test]
async fn a_condition_keeps_one_writer_from_undoing_what_another_did() {
    let daemon = Daemon::start();
    let uri = "/realtime/cache/search_results/q";
    let first = daemon.send(with("PUT", uri, ("if-none-match", "*"), "1")).await;
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    let late = daemon.send(with("PUT", uri, ("if-none-match", "*"), "2")).await;
    assert_eq!((late.status, &late.json()["error_code"]), (StatusCode::PRECONDITION_FAILED, &json!("value_changed")));
    assert_eq!(daemon.send(with("PUT", uri, ("if-match", &tag), "3")).await.status, StatusCode::OK);
    let stale = daemon.send(with("PUT", uri, ("if-match", &tag), "4")).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(daemon.get(uri).await.body, "3");
    let nothing = daemon.send(with("PUT", "/realtime/cache/search_results/new", ("if-match", "*"), "5")).await;
    assert_eq!(nothing.status, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn whatever_is_wrong_is_said_in_the_one_shape() {
    let daemon = Daemon::start();
    for (uri, status, code) in [
        ("/realtime/cache/floor/f1", 404, "unknown_strategy"),
        ("/realtime/cache/floor_data/none", 404, "not_found"),
        ("/realtime/cache/floor_data/down", 503, "origin_unavailable"),
        ("/realtime/cache/floor_data/locked", 502, "bad_origin"),
        ("/realtime/cache/user_session/s1", 503, "cache_unavailable"),
        ("/realtime/cache/floor_data/a%0Ab", 422, "validation_error"),
        ("/realtime/cache/floor_data/f1?user_id=", 422, "validation_error"),
    ] {
        let answer = daemon.get(uri).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error_code"]), (status, &json!(code)), "{uri}");
    }
    let put = |kind: &'static str, body: &'static str| daemon.send(with("PUT", FLOOR, ("content-type", kind), body));
    assert_eq!(put("application/json", "{").await.json()["error_code"], "invalid_json");
    assert_eq!(put("application/json", "").await.json()["error_code"], "invalid_json");
    assert_eq!(put("text/html", "{}").await.status.as_u16(), 415);
    assert_eq!(put("application/geo+json; charset=utf-8", "{}").await.status.as_u16(), 200);
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    assert_eq!(daemon.send(request("PUT", FLOOR, &deep)).await.json()["error_code"], "too_deep");
    let session = daemon.send(request("PUT", "/realtime/cache/user_session/s1", "{}")).await;
    assert_eq!(session.json()["error_code"], "cache_unavailable");
}

#[tokio::test]
async fn old_clients_get_their_figures_and_sentences() {
    let daemon = Daemon::start();
    daemon.get(FLOOR).await;
    daemon.get(FLOOR).await;
    let stats = &daemon.get("/v1/realtime/cache-stats").await.json()["cache_stats"];
    let read = ["hits", "misses", "hit_rate", "evictions", "preloads", "local_cache_size", "redis_connected"];
    let figures: Vec<_> = read.iter().map(|name| stats[name].clone()).collect();
    assert_eq!(json!(figures), json!([1, 1, 0.5, 0, 0, 1, false]));
    assert_eq!(stats["strategies"][0]["strategy"], "floor_data");
    let told = daemon.post("/realtime/preload-floor?floor_id=f1", "").await.json();
    assert_eq!(told, json!({"success": true, "message": "Floor data preloading initiated for: f1"}));
    let told = daemon.post("/realtime/invalidate-floor-cache", r#"{"floor_id":"f1"}"#).await.json();
    assert_eq!(told, json!({"success": true, "message": "Invalidated 1 cache entries for floor: f1", "count": 1}));
    assert_eq!(daemon.get(FLOOR).await.headers["x-arxosrt-cache"], "origin");
    assert_eq!(daemon.post("/realtime/invalidate-floor-cache", "{}").await.status.as_u16(), 422);
}
