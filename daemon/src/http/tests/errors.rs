//! What must be true: whatever is wrong, the answer has one shape, says what and by how much, and the hub is not asked.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::fake_hub::FakeHub;
use super::{Answer, Daemon, HttpLimits, request};

fn envelope(status: u16, code: &str, message: &str) -> Value {
    json!({
        "success": false, "message": message, "detail": message, "error_code": code, "status_code": status,
    })
}

fn wrong_fields(wrong: &[&str]) -> Value {
    let mut envelope = envelope(422, "validation_error", &wrong.join("; "));
    envelope["validation_errors"] = json!(wrong);
    envelope
}

fn check(got: &Answer, expected: Value) {
    let json = got.json();
    assert_eq!(json, expected);
    assert_eq!(json["status_code"], got.status.as_u16());
    let later = matches!(got.status.as_u16(), 429 | 503);
    assert_eq!(got.headers.contains_key("retry-after"), later, "{json}");
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() {
    let daemon = Daemon::start();
    let long = "x".repeat(257);
    let too_long = format!(r#"{{"user_id":"{long}","room_id":"f1"}}"#);
    let cases: &[(&str, &str, &[&str])] = &[
        ("join-room", "", &["body -> user_id: Field required", "body -> room_id: Field required"]),
        ("join-room", "{}", &["body -> user_id: Field required", "body -> room_id: Field required"]),
        ("join-room", r#"{"user_id":"ann"}"#, &["body -> room_id: Field required"]),
        ("join-room", r#"{"user_id":"ann","room_id":null}"#, &["body -> room_id: Field required"]),
        ("leave-room?user_id=ann", "", &["body -> room_id: Field required"]),
        ("join-room?user_id=ann&room_id=", "", &["query -> room_id: an id must not be empty"]),
        (
            "join-room",
            r#"{"user_id":"a\u0000b","room_id":""}"#,
            &[
                "body -> user_id: an id must not hold the control character U+0000",
                "body -> room_id: an id must not be empty",
            ],
        ),
        (
            "join-room?user_id=a%0Ab&room_id=r",
            "",
            &["query -> user_id: an id must not hold the control character U+000A"],
        ),
        ("join-room", &too_long, &["body -> user_id: an id has at most 256 bytes, this one has 257"]),
        (
            "join-room",
            r#"{"user_id":true,"room_id":1.5}"#,
            &[
                "body -> user_id: Input should be a string or an integer",
                "body -> room_id: Input should be a string or an integer",
            ],
        ),
        ("join-room?user_id=ann&room_id=f1", "[1]", &["body: Input should be an object"]),
        (
            "acquire-lock",
            r#"{"lock_type":"no such"}"#,
            &["body -> user_id: Field required", "body -> resource_id: Field required"],
        ),
        (
            "acquire-lock",
            r#"{"user_id":"a","lock_type":"floor_edit","resource_id":"r","metadata":[]}"#,
            &["body -> metadata: Input should be an object"],
        ),
        ("acquire-lock?user_id=a&lock_type=floor_edit&resource_id=r", "[]", &["body: Input should be an object"]),
        (
            "acquire-lock?user_id=a&lock_type=floor_edit&resource_id=r&ttl_ms=-1",
            "",
            &["query -> ttl_ms: Input should be an integer from 0 to 604800000, not -1"],
        ),
        ("release-lock", "{}", &["body -> user_id: Field required", "body -> lock_id: Field required"]),
        (
            "locks/verify",
            r#"{"token":9007199254740992,"resource_id":"r"}"#,
            &["body -> token: Input should be an integer from 0 to 9007199254740991, not 9007199254740992"],
        ),
        (
            "update-presence?cursor_position=%7B",
            r#"{"user_id":"a","floor_id":"","metadata":7}"#,
            &[
                "body -> floor_id: an id must not be empty",
                "query -> cursor_position: Input should be JSON: EOF while parsing an object at line 1 column 1",
                "body -> metadata: Input should be an object",
            ],
        ),
        ("broadcast", r#"{"room_id":"r"}"#, &["body -> message: Field required"]),
        ("broadcast", r#"{"message":1}"#, &["body -> room_id: Field required"]),
        ("broadcast?room_id=r", "", &["body: Field required"]),
    ];
    for (path, body, wrong) in cases {
        let got = daemon.post(&format!("/v1/realtime/{path}"), body).await;
        check(&got, wrong_fields(wrong));
    }
    assert!(daemon.hub.asked().is_empty());
}

#[tokio::test]
async fn a_kept_value_has_a_bound() {
    let daemon = Daemon::start();
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(8192));
    let what = "Input should have at most 8192 bytes, this one has 8200";
    for (path, body, place) in [
        ("update-presence?user_id=a", format!(r#"{{"metadata":{large}}}"#), "body -> metadata"),
        ("update-presence?user_id=a", format!(r#"{{"cursor_position":{large}}}"#), "body -> cursor_position"),
        ("update-presence?user_id=a", format!(r#"{{"current_action":{large}}}"#), "body -> current_action"),
        ("acquire-lock?user_id=a&lock_type=floor_edit&resource_id=r", large.clone(), "body"),
        (
            "acquire-lock",
            format!(r#"{{"user_id":"a","lock_type":"floor_edit","resource_id":"r","metadata":{large}}}"#),
            "body -> metadata",
        ),
    ] {
        let got = daemon.post(&format!("/realtime/{path}"), &body).await;
        check(&got, wrong_fields(&[&format!("{place}: {what}")]));
    }
    assert!(daemon.hub.asked().is_empty());
}

#[tokio::test]
async fn a_bad_id_in_the_path_is_named() {
    let daemon = Daemon::start();
    let long = "x".repeat(257);
    for (path, wrong) in [
        ("room-users/a%00b".to_owned(), "path -> room_id: an id must not hold the control character U+0000"),
        ("active-locks/%7F".to_owned(), "path -> resource_id: an id must not hold the control character U+007F"),
        (format!("user-presence/{long}"), "path -> user_id: an id has at most 256 bytes, this one has 257"),
        ("room-users/%FF".to_owned(), "path -> room_id: Invalid URL: Invalid UTF-8 in `room_id`"),
    ] {
        check(&daemon.get(&format!("/realtime/{path}")).await, wrong_fields(&[wrong]));
    }
    assert!(daemon.hub.asked().is_empty());
}

#[tokio::test]
async fn what_is_not_json_is_refused_and_never_overflows() {
    let daemon = Daemon::start();
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_objects = r#"{"a":"#.repeat(10_000);
    let deepest_allowed = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    for body in ["{", "user_id=ann&room_id=f1", "{'a':1}", "{\"a\":1}}", "NaN", "{\"a\":01}"] {
        let got = daemon.post("/realtime/broadcast?room_id=r", body).await;
        assert_eq!(got.status, 400, "{body}");
        let json = got.json();
        assert_eq!(json["error_code"], "invalid_json");
        assert!(json["message"].as_str().unwrap().starts_with("the body is not JSON: "), "{json}");
    }
    for body in [&deep, &deep_objects] {
        let got = daemon.post("/realtime/broadcast?room_id=r", body).await;
        check(&got, envelope(400, "too_deep", "the body nests more than 64 arrays and objects"));
    }
    assert!(daemon.hub.asked().is_empty());
    assert_eq!(daemon.post("/realtime/broadcast?room_id=r", &deepest_allowed).await.status, 200);

    let not_utf8 = Request::post("/realtime/broadcast?room_id=r").body(Body::from(vec![b'"', 0xFF, b'"']));
    let got = daemon.send(not_utf8.unwrap()).await;
    assert_eq!((got.status.as_u16(), &got.json()["error_code"]), (400, &json!("invalid_json")));
}

#[tokio::test]
async fn a_body_has_a_bound_whether_its_length_is_announced_or_not() {
    let daemon = Daemon::with_limits(HttpLimits { body_bytes_max: 100, ..HttpLimits::default() });
    let refused = envelope(413, "too_large", "the body has more than 100 bytes");
    let body = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
    check(&daemon.post("/realtime/broadcast?room_id=r", &body(101)).await, refused.clone());
    assert_eq!(daemon.post("/realtime/broadcast?room_id=r", &body(100)).await.status, 200);

    let unannounced = Body::new(Unannounced(Some(body(101).into())));
    let sent = Request::post("/realtime/broadcast?room_id=r").body(unannounced).unwrap();
    check(&daemon.send(sent).await, refused);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let limits = HttpLimits { body_timeout: Duration::from_millis(20), ..HttpLimits::default() };
    let daemon = Daemon::with_limits(limits);
    let endless = Request::post("/realtime/join-room").body(Body::new(Unannounced(None))).unwrap();
    let message = "the body was not complete within 20 ms";
    check(&daemon.send(endless).await, envelope(408, "body_timeout", message));
}

#[tokio::test]
async fn a_hub_that_does_not_answer_is_given_up() {
    let limits = HttpLimits { request_timeout: Duration::from_millis(20), ..HttpLimits::default() };
    let daemon = Daemon::with_limits(limits);
    let got = daemon.post("/realtime/join-room?user_id=silent&room_id=r", "").await;
    check(&got, envelope(503, "timeout", "no answer within 20 ms; what was asked may still happen"));
}

#[tokio::test]
async fn a_hub_that_has_stopped_is_said_to_have() {
    let (hub, handle) = FakeHub::stopped();
    let daemon = Daemon::with_hub(HttpLimits::default(), hub, handle);
    for got in [
        daemon.get("/realtime/connection-status").await,
        daemon.post("/realtime/join-room?user_id=ann&room_id=r", "").await,
    ] {
        check(&got, envelope(503, "hub_gone", "the hub has stopped"));
    }
}

#[tokio::test]
async fn a_refusal_of_the_hub_keeps_its_code_and_gets_its_status() {
    let daemon = Daemon::start();
    for (code, status) in [
        ("store_unavailable", 503),
        ("draining", 503),
        ("rate_limited", 429),
        ("bad_id", 422),
        ("room_required", 422),
        ("not_a_member", 403),
        ("limit", 409),
    ] {
        let got = daemon.post(&format!("/realtime/join-room?user_id=refuse:{code}&room_id=r"), "").await;
        check(&got, envelope(status, code, &format!("the hub says {code}")));
    }
}

#[tokio::test]
async fn whoever_is_not_connected_is_told_so_in_the_words_of_old() {
    let daemon = Daemon::start();
    let refused = envelope(400, "not_connected", "User not connected via WebSocket");
    let who = "user_id=refuse:not_connected";
    for query in [
        format!("join-room?{who}&room_id=r"),
        format!("leave-room?{who}&room_id=r"),
        format!("acquire-lock?{who}&lock_type=floor_edit&resource_id=r"),
        format!("release-lock?{who}&lock_id=lk_1"),
        format!("release-lock?{who}&lock_id=0b2e3f10"),
        format!("update-presence?{who}"),
    ] {
        check(&daemon.post(&format!("/v1/realtime/{query}"), "").await, refused.clone());
    }
}

#[tokio::test]
async fn an_unknown_lock_type_is_repeated_but_not_at_length() {
    let daemon = Daemon::start();
    let long = "y".repeat(100_000);
    for (name, said) in [("wall_edit", "wall_edit".to_owned()), (&long, format!("{}…", "y".repeat(80)))] {
        let body = format!(r#"{{"user_id":"ann","lock_type":"{name}","resource_id":"f1"}}"#);
        let got = daemon.post("/realtime/acquire-lock", &body).await;
        check(&got, envelope(400, "invalid_lock_type", &format!("Invalid lock type: {said}")));
    }
    assert!(daemon.hub.asked().is_empty());
}

#[tokio::test]
async fn an_unknown_user_is_not_found() {
    let got = Daemon::start().get("/realtime/user-presence/nobody").await;
    check(&got, envelope(404, "user_not_found", "User not found"));
}

#[tokio::test]
async fn unknown_routes_and_methods_are_said_in_the_same_shape() {
    let daemon = Daemon::start();
    for path in ["/nothing", "/v1/realtime/nothing", "/realtime/room-users/", "/realtime/room-users/a/b", "/v1"] {
        let got = daemon.get(path).await;
        check(&got, envelope(404, "unknown_route", &format!("no such route: {path}")));
    }
    let got = daemon.get("/v1/realtime/join-room").await;
    check(&got, envelope(405, "method_not_allowed", "GET is not for /v1/realtime/join-room"));
    assert_eq!(got.headers["allow"], "POST");
    let got = daemon.send(request("DELETE", "/live", "")).await;
    check(&got, envelope(405, "method_not_allowed", "DELETE is not for /live"));
    assert_eq!(got.headers["allow"], "GET,HEAD");
    let got = daemon.send(request("OPTIONS", "/realtime/broadcast", "")).await;
    check(&got, envelope(405, "method_not_allowed", "OPTIONS is not for /realtime/broadcast"));
}

#[tokio::test]
async fn a_websocket_upgrade_needs_a_connection_of_its_own() {
    let daemon = Daemon::start();
    for path in ["/v1/realtime/ws/ann", "/realtime/ws/ann", "/realtime/ws/a/b"] {
        let got = daemon.get(path).await;
        let message = "open a new connection and ask for the WebSocket upgrade first";
        check(&got, envelope(426, "upgrade_required", message));
        assert_eq!(got.headers["upgrade"], "websocket");
    }
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let daemon = Daemon::start();
    let from = |method: &str, site: &str| {
        Request::builder()
            .method(method)
            .uri("/realtime/join-room?user_id=ann&room_id=f1")
            .header("sec-fetch-site", site)
            .body(Body::empty())
            .unwrap()
    };
    let message = "pages of other sites may not change anything here";
    check(&daemon.send(from("POST", "cross-site")).await, envelope(403, "origin_forbidden", message));
    assert!(daemon.hub.asked().is_empty());
    for site in ["same-origin", "same-site", "none"] {
        assert_eq!(daemon.send(from("POST", site)).await.status, 200, "{site}");
    }

    // Old browsers say where a page comes from in one field only.
    let from = |origin: &str| {
        Request::builder()
            .method("POST")
            .uri("/realtime/join-room?user_id=ann&room_id=f1")
            .header("host", "hub.example:8790")
            .header("origin", origin)
            .body(Body::empty())
            .unwrap()
    };
    for origin in ["https://evil.example", "null", ""] {
        check(&daemon.send(from(origin)).await, envelope(403, "origin_forbidden", message));
    }
    for origin in ["http://hub.example:8790", "http://localhost:3000"] {
        assert_eq!(daemon.send(from(origin)).await.status, 200, "{origin}");
    }
}

/// A site whose name was made to point here sees nothing and changes nothing; probes answer to every name.
#[tokio::test]
async fn a_request_for_another_host_is_refused() {
    let daemon = Daemon::start();
    let ask = |method: &str, uri: &str| {
        let request = Request::builder().method(method).uri(uri).header("host", "evil.example:8790");
        request.header("origin", "http://evil.example:8790").body(Body::empty()).unwrap()
    };
    let message = "the host \"evil.example:8790\" is not served here: http.allowed_hosts does not list it";
    for (method, uri) in [
        ("GET", "/realtime/room-users/f1"),
        ("GET", "/realtime/connection-status"),
        ("POST", "/realtime/join-room?user_id=ann&room_id=f1"),
        ("GET", "/metrics"),
    ] {
        check(&daemon.send(ask(method, uri)).await, envelope(403, "host_forbidden", message));
    }
    assert!(daemon.hub.asked().is_empty());
    assert_eq!(daemon.send(ask("GET", "/live")).await.status, 200);
    assert_eq!(daemon.send(ask("GET", "/ready")).await.status, 200);
}

/// A body that does not say how long it is: one frame, or none for ever.
struct Unannounced(Option<Bytes>);

impl hyper::body::Body for Unannounced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Poll::Pending,
        }
    }
}
