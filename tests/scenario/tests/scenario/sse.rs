//! A client without WebSocket does everything over an event stream and REST.

use arxosrt_scenario::{Raw, Served, Setup, Value, json, until};

/// An event stream that keeps what it was told.
struct Stream {
    raw: Raw,
}

impl Stream {
    async fn open(served: &Served, user: &str) -> Stream {
        let mut raw = Raw::connect(served.http).await;
        let request =
            format!("GET /v1/realtime/sse/{user} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
        raw.write(request.as_bytes()).await;
        let head = raw.head().await.to_lowercase();
        assert!(head.starts_with("http/1.1 200 ") && head.contains("text/event-stream"), "{head}");
        Stream { raw }
    }

    /// The next event's data. Comments pass by.
    async fn next(&mut self) -> Value {
        loop {
            let event = self.raw.event().await.expect("another event");
            if let Some(data) = event.strip_prefix("data: ") {
                assert!(!data.contains('\n'), "an event's data is one line: {data:?}");
                return serde_json::from_str(data).expect("JSON");
            }
            assert!(event.starts_with(':'), "neither an event nor a comment: {event:?}");
        }
    }

    /// The next event of this type; others pass by.
    async fn expect(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().await;
            if event["type"] == kind {
                return event;
            }
        }
    }
}

async fn join(served: &Served, user: &str) {
    served.post("/v1/realtime/join-room", &json!({"user_id": user, "room_id": "r"})).await.ok();
}

#[tokio::test]
async fn a_stream_and_rest_do_what_a_websocket_does() {
    let served = Setup::memory().start();
    let mut ben = served.client_in("ben", "r").await;
    let mut ana = Stream::open(&served, "ana").await;
    let greeting = ana.next().await;
    assert_eq!((&greeting["type"], &greeting["user_id"]), (&json!("connection_established"), &json!("ana")));
    join(&served, "ana").await;
    let state = ana.expect("room_state").await;
    assert_eq!(state["user_count"], 2, "{state}");
    assert_eq!(ben.expect("user_joined_room").await["user_id"], "ana");

    let wish = json!({"user_id": "ana", "lock_type": "floor_edit", "resource_id": "r"});
    let granted = served.post("/v1/realtime/acquire-lock", &wish).await.ok();
    assert_eq!(granted["success"], true, "{granted}");
    assert_eq!(ana.expect("lock_acquired").await["lock_id"], granted["lock_id"]);
    assert_eq!(ben.expect("lock_acquired").await["lock_id"], granted["lock_id"]);
    let release = json!({"user_id": "ana", "lock_id": granted["lock_id"]});
    assert_eq!(served.post("/v1/realtime/release-lock", &release).await.ok()["success"], true);
    assert_eq!(ana.expect("lock_released").await["lock_id"], granted["lock_id"]);

    // A line break between the tokens of somebody's JSON must not end an event.
    ben.send_text("{\"type\":\"broadcast\",\"room_id\":\"r\",\"message\":{\n\"a\":\r\n[1,\n2]}}");
    assert_eq!(ana.expect("broadcast").await["message"], json!({"a": [1, 2]}));
    served.post("/v1/realtime/update-presence", &json!({"user_id": "ana", "cursor_position": [3, 4]})).await.ok();
    assert_eq!(ben.expect("presence_updated").await["cursor_position"], json!([3, 4]));
}

#[tokio::test]
async fn a_stream_that_comes_back_is_told_what_it_missed() {
    let served = Setup::memory().start();
    let mut ben = served.client_in("ben", "r").await;
    let mut ana = Stream::open(&served, "ana").await;
    join(&served, "ana").await;
    ana.expect("room_state").await;
    let wish = json!({"user_id": "ana", "lock_type": "floor_edit", "resource_id": "r"});
    let lock = served.post("/v1/realtime/acquire-lock", &wish).await.ok()["lock_id"].clone();
    ana.expect("lock_acquired").await;
    ben.rest().await;
    drop(ana);
    until("the stream is gone", async || {
        let status = served.get("/v1/realtime/connection-status").await.ok();
        (status["websocket_connections"] == 1).then_some(())
    })
    .await;
    for text in ["one", "two"] {
        ben.send(json!({"type": "broadcast", "room_id": "r", "message": text}));
    }
    ben.settle().await;

    let mut ana = Stream::open(&served, "ana").await;
    assert_eq!(ana.next().await["type"], "connection_established");
    assert_eq!(ana.next().await["message"], "one");
    assert_eq!(ana.next().await["message"], "two");
    let locks = served.get("/v1/realtime/active-locks/r").await.ok();
    assert_eq!(locks["locks"][0]["lock_id"], lock);
    served.advance(15_000);
    ben.none_of("user_left_room").await;
    ben.none_of("lock_released").await;
}

#[tokio::test]
async fn a_silent_stream_is_kept_open_by_comments() {
    let served = Setup::memory().with(|config| config.hub.ping_ms = 25_000).start();
    let mut ana = Stream::open(&served, "ana").await;
    ana.next().await;
    for _ in 0..3 {
        served.advance(25_000);
        assert_eq!(ana.raw.event().await.as_deref(), Some(": ping"));
    }
}
