//! Input that is broken, hostile or absent: the sender gets an answer or a close code, and nobody else notices.

use arxosrt_scenario::http::{Answer, Request};
use arxosrt_scenario::{Client, Raw, Served, Setup, Value, json, masked, quiet, until};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Two people at work in a room while somebody else misbehaves. Everybody called `evil…` does.
struct Bystanders {
    ana: Client,
    ben: Client,
    said: u64,
}

impl Bystanders {
    async fn at_work(served: &Served) -> Self {
        let mut ana = served.old_in("ana", "r").await;
        let mut ben = served.client_in("ben", "r").await;
        ana.catch_up().await;
        ben.catch_up().await;
        Bystanders { ana, ben, said: 0 }
    }

    /// They have heard nothing but who came and went, and they still hear each other.
    async fn unharmed(&mut self, after: &str) {
        for client in [&mut self.ana, &mut self.ben] {
            let mut heard = client.rest().await;
            heard.retain(|m| !m["user_id"].as_str().is_some_and(|user| user.starts_with("evil")));
            assert!(heard.is_empty(), "after {after}, {} has heard {heard:?}", client.user);
        }
        self.said += 1;
        self.ana.send(json!({"type": "broadcast", "room_id": "r", "message": self.said}));
        assert_eq!(self.ben.expect("broadcast").await["message"], self.said, "after {after}");
        assert_eq!(self.ana.expect("broadcast").await["message"], self.said, "after {after}");
    }
}

/// A message that is not understood gets one error, with the code that fits, and the connection lives on.
#[tokio::test]
async fn a_wrong_message_is_answered_and_forgotten() {
    let served = Setup::memory().start();
    let mut bystanders = Bystanders::at_work(&served).await;
    let mut evil = served.client_in("evil", "r").await;
    let deep = |n: usize| format!(r#"{{"type":"broadcast","message":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    let object = |key: &str, n: usize| format!(r#"{{"type":"update_presence","{key}":{{"a":"{}"}}}}"#, "x".repeat(n));
    let cases: Vec<(String, &str)> = [
        ("", "invalid_json"),
        ("nonsense", "invalid_json"),
        ("{", "invalid_json"),
        (r#"{"type":"ping"} trailing"#, "invalid_json"),
        (r#"{"type":"ping",}"#, "invalid_json"),
        ("\u{feff}{}", "invalid_json"),
        (r#"{"type":"broadcast","room_id":"r","message":NaN}"#, "invalid_json"),
        ("[]", "not_an_object"),
        ("null", "not_an_object"),
        ("42", "not_an_object"),
        ("{}", "bad_message"),
        (r#"{"type":null}"#, "bad_message"),
        (r#"{"type":["join_room"]}"#, "bad_message"),
        (r#"{"type":"join_room"}"#, "bad_message"),
        (r#"{"type":"join_room","room_id":null}"#, "bad_message"),
        (r#"{"type":"join_room","room_id":{"a":1}}"#, "bad_message"),
        (r#"{"type":"join_room","room_id":true}"#, "bad_message"),
        (r#"{"type":"join_room","room_id":"r","since":7}"#, "bad_message"),
        (r#"{"type":"join_room","room_id":"r","since":{"epoch":"e","seq":-1}}"#, "bad_message"),
        (r#"{"type":"update_presence","metadata":[1]}"#, "bad_message"),
        (r#"{"type":"acquire_lock","lock_type":"floor_edit"}"#, "bad_message"),
        (r#"{"type":"acquire_lock","lock_type":7,"resource_id":"r"}"#, "bad_message"),
        (r#"{"type":"acquire_lock","lock_type":"floor_edit","resource_id":"r","wait_ms":-5}"#, "bad_message"),
        (r#"{"type":"acquire_lock","lock_type":"floor_edit","resource_id":"r","ttl_ms":"soon"}"#, "bad_message"),
        (r#"{"type":"acquire_lock","lock_type":"floor_edit","resources":{}}"#, "bad_message"),
        (r#"{"type":"acquire_lock","lock_type":"floor_edit","resources":[]}"#, "too_large"),
        (r#"{"type":"respond_lock_request","request":"x","decision":"grant"}"#, "request_not_found"),
        (r#"{"type":"renew_lock","lock_id":"lk_999"}"#, "lock_not_found"),
        (r#"{"type":"renew_lock","lock_id":"../../etc/passwd"}"#, "lock_not_found"),
        (r#"{"type":"renew_lock","lock_id":99999999999999999999999}"#, "bad_message"),
        (r#"{"type":"take_over_lock","lock_id":"lk_999"}"#, "lock_not_found"),
        (r#"{"type":"request_lock","lock_id":"lk_999"}"#, "lock_not_found"),
        (r#"{"type":"cancel_wait","ticket":"lk_1"}"#, "wait_not_found"),
        (r#"{"type":"leave_room","room_id":"never joined"}"#, "not_a_member"),
        (r#"{"type":"broadcast","room_id":"*","message":1}"#, "not_a_member"),
        (r#"{"type":"JOIN_ROOM","room_id":"r"}"#, "unknown_type"),
        (r#"{"type":"🏢"}"#, "unknown_type"),
        (r#"{"type":"hello"}"#, "hello_late"),
        (r#"{"type":"join_room","room_id":""}"#, "bad_id"),
        (r#"{"type":"join_room","room_id":"a\u0000b"}"#, "bad_id"),
        (r#"{"type":"acquire_lock","lock_type":"floor_edit","resource_id":"a\nb"}"#, "bad_id"),
    ]
    .map(|(text, code)| (text.to_owned(), code))
    .into_iter()
    .chain([
        (format!(r#"{{"type":"join_room","room_id":"{}"}}"#, "é".repeat(129)), "bad_id"),
        (deep(10_000), "too_deep"),
        ("[".repeat(10_000), "too_deep"),
        (r#"{"a":"#.repeat(10_000), "too_deep"),
        (object("metadata", 9000), "too_large"),
        (object("current_action", 9000), "too_large"),
        (object("cursor_position", 9000), "too_large"),
        (format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(200)), "too_large"),
    ])
    .collect();
    for (text, code) in cases {
        evil.send_text(&text);
        let answer = evil.next().await;
        let shown: String = text.chars().take(100).collect();
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{shown}: {answer}");
        assert_eq!(answer.get("id"), None, "what could not be read has no id: {answer}");
    }
    evil.send_frame(Message::binary(vec![0; 1000]));
    assert_eq!(evil.expect("error").await["code"], "not_an_object");
    evil.send(json!({"type": "ping", "id": 1}));
    evil.expect("pong").await;
    bystanders.unharmed("wrong messages").await;
}

/// Half a character, which JSON's grammar allows, would make the message unreadable for many of those who get it.
#[tokio::test]
async fn half_a_character_breaks_nobody() {
    let served = Setup::memory().start();
    let mut ana = served.old_in("ana", "r").await;
    let mut ben = served.old_in("ben", "r").await;
    ana.send_text(r#"{"type":"broadcast","room_id":"r","message":{"\udfe2":"cut \ud83c"}}"#);
    assert_eq!(ben.expect("broadcast").await["message"], json!({"\u{fffd}": "cut \u{fffd}"}));
    ana.send_text(r#"{"type":"update_presence","metadata":{"a":"\ud83c"},"current_action":"\udfe2"}"#);
    assert_eq!(ben.expect("presence_updated").await["metadata"]["a"], "\u{fffd}");
    let body = br#"{"room_id":"r","message":"\ud83c"}"#.to_vec();
    assert_eq!(Request::post("/realtime/broadcast").body("application/json", body).to(served.http).await.status, 200);
    assert_eq!(ben.expect("broadcast").await["message"], "\u{fffd}");
    let answer = served.get("/realtime/user-presence/ana").await.ok();
    assert_eq!(answer["current_action"], "\u{fffd}");
}

/// Depth is bounded, not everything that is deep is refused.
#[tokio::test]
async fn what_nests_within_the_bound_is_taken() {
    let served = Setup::memory().start();
    let mut ana = served.old_in("ana", "r").await;
    let max = Setup::memory().config().limits.json_depth;
    // The message itself is one level.
    let message = format!("{}{}", "[".repeat(max - 1), "]".repeat(max - 1));
    ana.send_text(&format!(r#"{{"type":"broadcast","room_id":"r","message":{message}}}"#));
    assert_eq!(ana.expect("broadcast").await["message"].to_string(), message);
    ana.send_text(&format!(r#"{{"type":"broadcast","room_id":"r","message":[{message}]}}"#));
    assert_eq!(ana.expect("error").await["code"], "too_deep");
    // Brackets within a text are no depth.
    ana.send(json!({"type": "broadcast", "room_id": "r", "message": "[".repeat(10_000)}));
    ana.expect("broadcast").await;
}

/// Whoever breaks the WebSocket protocol is closed with the code of RFC 6455 that says how.
#[tokio::test]
async fn a_broken_frame_closes_with_its_code() {
    let served = Setup::memory().start();
    let mut bystanders = Bystanders::at_work(&served).await;
    let announced = |len: u64| {
        let mut head = vec![0x81, 0x80 | 127];
        head.extend_from_slice(&len.to_be_bytes());
        head.extend_from_slice(&[1, 2, 3, 4]);
        head
    };
    let chunks: Vec<u8> = std::iter::once(masked(0x01, &[b'a'; 60_000]))
        .chain((0..5).map(|_| masked(0x00, &[b'a'; 60_000])))
        .flatten()
        .collect();
    for (what, bytes, code) in [
        ("a frame of 10 MiB", masked(0x81, &vec![b'a'; 10 << 20]), 1009),
        ("the promise of 10 MiB", announced(10 << 20), 1009),
        ("the promise of everything", announced(u64::MAX >> 1), 1009),
        ("fragments that add up", chunks, 1009),
        ("text that is not UTF-8", masked(0x81, &[b'a', 0xff, 0xfe]), 1007),
        ("a surrogate in UTF-8", masked(0x81, &[0xed, 0xa0, 0x80]), 1007),
        ("a frame without a mask", vec![0x81, 2, b'h', b'i'], 1002),
        ("a reserved opcode", masked(0x83, b"x"), 1002),
        ("a reserved control opcode", masked(0x8b, b"x"), 1002),
        ("a reserved bit", masked(0xc1, b"x"), 1002),
        ("a fragmented ping", masked(0x09, b"x"), 1002),
        ("a ping that is too long", masked(0x89, &[0; 126]), 1002),
        ("a continuation of nothing", masked(0x80, b"x"), 1002),
        ("a text within a text", [masked(0x01, b"a"), masked(0x81, b"b")].concat(), 1002),
        ("a close frame of one byte", masked(0x88, &[3]), 1002),
    ] {
        let mut evil = served.raw("evil").await;
        evil.text(r#"{"type":"join_room","room_id":"r"}"#).await;
        evil.write(&bytes).await;
        assert_eq!(evil.close_code().await, Some(code), "{what}");
        assert!(evil.to_end().await.is_empty(), "after {what} the connection ends");
        bystanders.unharmed(what).await;
    }
}

/// An id is opaque: what looks like a glob, a path, an escape or markup is a name like any other, and only that name.
#[tokio::test]
async fn strange_ids_are_only_names() {
    let served = Setup::memory().start();
    let mut bystanders = Bystanders::at_work(&served).await;
    for id in ["*", "r*", "?", "r/../r", "../r", "%72", "r%00", "<b>r</b>", "{r}", "🏢", "r ", "'; DROP TABLE r; --"]
    {
        let segment = arxosrt_scenario::segment(id);
        let mut evil = served.old(&format!("evil {id}")).await;
        let state = evil.join(id).await;
        assert_eq!((&state["room_id"], &state["user_count"]), (&json!(id), &json!(1)), "{id}");
        let lock = evil.lock("floor_edit", id).await;
        let rows = served.get(&format!("/v1/realtime/active-locks/{segment}")).await.ok();
        assert_eq!((&rows["resource_id"], &rows["locks"][0]["lock_id"]), (&json!(id), &json!(lock)));
        assert_eq!(served.get(&format!("/v1/realtime/room-users/{segment}")).await.ok()["count"], 1, "{id}");
        let message = json!({"room_id": id, "message": "psst"});
        assert_eq!(served.post("/realtime/broadcast", &message).await.ok()["success"], true);
        assert_eq!(evil.expect("broadcast").await["room_id"], id);
        evil.close().await;
        bystanders.unharmed(id).await;
        assert_eq!(bystanders.ana.acquire("floor_edit", "r").await["success"], true);
        bystanders.ana.catch_up().await;
        bystanders.ben.catch_up().await;
    }
}

/// An id that cannot be is refused in every place that takes one.
#[tokio::test]
async fn impossible_ids_are_refused_everywhere() {
    let served = Setup::memory().start();
    let long = "x".repeat(257);
    for segment in ["%00", "a%0Ab", "%FF", "%7F", &*long, "%C2%85"] {
        for prefix in ["/v1/realtime", "/realtime"] {
            let mut raw = Raw::connect(served.http).await;
            raw.write(Raw::opening(&format!("{prefix}/ws/{segment}")).as_bytes()).await;
            let answer = Answer::parse(&raw.to_end().await).expect("an answer");
            assert_eq!((answer.status, &answer.json()["error_code"]), (400, &json!("bad_id")), "{segment}");
            for route in ["room-users", "active-locks", "user-presence"] {
                let answer = served.get(&format!("{prefix}/{route}/{segment}")).await;
                let code = answer.json()["error_code"].clone();
                assert_eq!((answer.status, &code), (422, &json!("validation_error")), "{route} {segment}");
            }
        }
    }
    for id in ["", "a\0b", &*long] {
        let _ana = served.old("ana").await;
        let joined = served.post("/realtime/join-room", &json!({"user_id": "ana", "room_id": id})).await;
        assert_eq!(joined.status, 422, "{id:?}");
        let nobody = served.post("/realtime/join-room", &json!({"user_id": id, "room_id": "r"})).await;
        assert_eq!(nobody.status, 422, "{id:?}");
    }
}

/// REST bodies are bounded in size and depth and must be what they say.
#[tokio::test]
async fn wrong_bodies_are_answered() {
    let served = Setup::memory().start();
    let mut bystanders = Bystanders::at_work(&served).await;
    let deep = format!(r#"{{"room_id":"r","message":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let metadata = json!({"user_id": "ana", "metadata": {"a": "x".repeat(9000)}});
    for (path, body, status, code) in [
        ("join-room", b"nonsense".to_vec(), 400, "invalid_json"),
        ("join-room", vec![0xff, 0xfe], 400, "invalid_json"),
        ("join-room", b"[]".to_vec(), 422, "validation_error"),
        ("join-room", b"{\"user_id\":{},\"room_id\":1.5}".to_vec(), 422, "validation_error"),
        ("broadcast", deep.into_bytes(), 400, "too_deep"),
        ("broadcast", vec![b' '; (1 << 20) + 1], 413, "too_large"),
        ("update-presence", metadata.to_string().into_bytes(), 422, "validation_error"),
        ("locks/verify", b"{\"token\":-1,\"resource_id\":\"r\"}".to_vec(), 422, "validation_error"),
        ("locks/verify", b"{\"token\":\"all\",\"resource_id\":\"r\"}".to_vec(), 422, "validation_error"),
    ] {
        let shown: String = String::from_utf8_lossy(&body).chars().take(60).collect();
        let answer = Request::post(&format!("/realtime/{path}")).body("application/json", body).to(served.http).await;
        assert_eq!((answer.status, &answer.json()["error_code"]), (status, &json!(code)), "{path} {shown}");
    }
    bystanders.unharmed("wrong bodies").await;
}

/// Metadata is bounded as a whole: what is merged into it cannot grow beyond the bound either, and a refused change
/// changes nothing.
#[tokio::test]
async fn metadata_stays_within_its_bound() {
    let served = Setup::memory().start();
    let mut ana = served.client_in("ana", "r").await;
    for n in 0..7 {
        ana.send(json!({"type": "update_presence", "id": n, "metadata": {format!("k{n}"): "x".repeat(1000)}}));
        ana.expect("ack").await;
    }
    let before = served.get("/realtime/user-presence/ana").await.ok()["metadata"].clone();
    ana.send(
        json!({"type": "update_presence", "id": "more", "current_action": "a", "metadata": {"k7": "x".repeat(2000)}}),
    );
    let error = ana.expect("error").await;
    assert_eq!(error["code"], "too_large");
    let detail = error["detail"].as_str().expect("a sentence");
    assert!(detail.contains("8192"), "the sentence names the limit: {detail}");
    let after = served.get("/realtime/user-presence/ana").await.ok();
    assert_eq!(after["metadata"], before);
    assert_eq!(after["current_action"], Value::Null, "a refused message changes nothing at all");
    ana.send(json!({"type": "acquire_lock", "lock_type": "floor_edit", "resource_id": "r",
        "metadata": {"a": "x".repeat(9000)}}));
    assert_eq!(ana.expect("error").await["code"], "too_large");
    ana.send(json!({"type": "update_presence", "id": "less", "metadata": null}));
    ana.expect("ack").await;
    assert_eq!(served.get("/realtime/user-presence/ana").await.ok()["metadata"], json!({}));
}

/// The 129th room is refused; the others stay.
#[tokio::test]
async fn rooms_are_bounded() {
    let served = Setup::memory().start();
    let mut ana = served.client("ana").await;
    for n in 0..128 {
        ana.join(&format!("room {n}")).await;
    }
    ana.send(json!({"type": "join_room", "room_id": "one more", "id": 1}));
    let error = ana.expect("error").await;
    assert_eq!((&error["code"], &error["id"]), (&json!("limit"), &json!(1)));
    assert!(error["detail"].as_str().expect("a sentence").contains("128"), "{error}");
    assert_eq!(served.get("/realtime/room-users/one%20more").await.ok()["count"], 0);
    let answer = served.post("/realtime/join-room", &json!({"user_id": "ana", "room_id": "one more"})).await;
    assert_eq!((answer.status, &answer.json()["error_code"]), (409, &json!("limit")));
    ana.join("room 5").await;
    ana.send(json!({"type": "leave_room", "room_id": "room 5"}));
    ana.join("one more").await;
}

/// Too many messages: told once a burst, not looked at, and in the end closed with a code that says why.
#[tokio::test]
async fn a_flood_is_refused_and_then_closed() {
    let served = Setup::memory()
        .with(|config| {
            config.limits.messages_per_s = 5;
            config.limits.messages_burst = 20;
        })
        .start();
    let mut ana = served.old_in("ana", "r").await;
    let mut evil = served.client("evil").await;
    let mut calm = served.client("calm").await;
    // More than a burst, and so few more that those which are still on their way when the clock moves do not use up what
    // has come back by then.
    for _ in 0..25 {
        evil.send(json!({"type": "heartbeat", "id": 1}));
    }
    let limited = evil.expect("error").await;
    assert_eq!(limited["code"], "rate_limited");
    assert!(limited["retry_after_ms"].as_u64().is_some_and(|ms| ms <= 200), "{limited}");
    // Who waits is heard again.
    served.advance(2_000);
    evil.send(json!({"type": "ping"}));
    evil.expect("pong").await;
    for _ in 0..300 {
        evil.send(json!({"type": "heartbeat"}));
    }
    assert_eq!(evil.closed().await.code, Some(3013));
    calm.send(json!({"type": "ping"}));
    calm.expect("pong").await;
    ana.none_of("error").await;
}

/// Pings are answered, and a flood of them is a flood; whoever does not read the answers is not waited for.
#[tokio::test]
async fn a_flood_of_pings_is_a_flood() {
    let served = Setup::memory().start();
    let mut bystanders = Bystanders::at_work(&served).await;
    let mut evil = served.raw("evil").await;
    evil.frame(0x89, b"one").await;
    let greeting = evil.next().await.expect("the greeting");
    let pong = evil.next().await.expect("a pong");
    assert_eq!((greeting.opcode, pong.opcode, &*pong.payload), (1, 10, &b"one"[..]));
    let pings = masked(0x89, &[0; 125]).repeat(1000);
    for _ in 0..20 {
        evil.write(&pings).await;
        bystanders.unharmed("a thousand pings").await;
    }
    assert_eq!(evil.close_code().await, Some(3013));
}

/// So is a flood of pongs that nobody asked for, and one of fragments that never come to a message.
#[tokio::test]
async fn a_flood_that_says_nothing_is_ended() {
    let served = Setup::memory().start();
    let mut bystanders = Bystanders::at_work(&served).await;
    for (what, first, flood, code) in [
        ("pongs", 0x8a, masked(0x8a, b""), 3013),
        ("empty fragments", 0x01, masked(0x00, b""), 1009),
        ("pings between empty fragments", 0x01, [masked(0x00, b"").repeat(50), masked(0x89, b"")].concat(), 1009),
    ] {
        let mut evil = served.raw("evil").await;
        evil.frame(first, b"").await;
        let many = flood.repeat(60_000 / flood.len());
        for _ in 0..20 {
            evil.write(&many).await;
            bystanders.unharmed(what).await;
        }
        assert_eq!(evil.close_code().await, Some(code), "{what}");
    }
}

/// Too many connections are refused before they open, with a status and a code, and only theirs.
#[tokio::test]
async fn connections_are_bounded_per_person_and_address() {
    let served = Setup::memory()
        .with(|config| {
            config.limits.connections_per_user = 2;
            config.limits.connections_per_address = 4;
        })
        .start();
    let refused = async |user: &str| {
        let path = format!("/realtime/ws/{user}");
        match Client::try_connect(served.http, user, &path).await {
            Err(Error::Http(response)) => {
                let body: Value = serde_json::from_slice(response.body().as_deref().unwrap_or_default()).expect("JSON");
                assert_eq!((response.status().as_u16(), &body["error_code"]), (429, &json!("limit")), "{body}");
                body["detail"].as_str().expect("a sentence").to_owned()
            }
            Err(error) => panic!("{user}: {error}"),
            Ok(_) => panic!("{user} is let in"),
        }
    };
    let first = served.old("ana").await;
    let _second = served.old("ana").await;
    assert!(refused("ana").await.contains("connections_per_user"));
    let _ben = served.old("ben").await;
    let _cem = served.old("cem").await;
    assert!(refused("dia").await.contains("connections_per_address"));
    first.close().await;
    until("there is room again", async || Client::try_connect(served.http, "dia", "/realtime/ws/dia").await.ok()).await;
}

/// A socket that opens and says nothing, or says a head bit by bit, is closed in time and costs nobody anything.
#[tokio::test]
async fn a_slow_handshake_is_ended() {
    let served = Setup::memory().with(|config| config.limits.handshake_ms = 100).start();
    let mut bystanders = Bystanders::at_work(&served).await;
    let mut silent = Raw::connect(served.http).await;
    assert!(silent.to_end().await.is_empty());
    let mut slow = Raw::connect(served.http).await;
    slow.write(b"GET /realtime/ws/evil HTTP/1.1\r\nHost: x\r\n").await;
    let ended = until("the slow head is cut off", async || {
        // One header line after the other, for ever.
        slow.write(b"X-More: 1\r\n").await;
        slow.ended().await.then_some(())
    });
    ended.await;
    bystanders.unharmed("slow handshakes").await;
}

/// A head without end, and heads that are no HTTP.
#[tokio::test]
async fn a_head_is_bounded() {
    let served = Setup::memory().start();
    let mut bystanders = Bystanders::at_work(&served).await;
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage of a TLS hello\r\n\r\n".to_vec(),
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec(),
        b"GET /realtime/ws/evil HTTP/1.1\r\nbroken\0header\r\n\r\n".to_vec(),
        [b"GET /realtime/ws/evil HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 200_000]].concat(),
    ] {
        let mut raw = Raw::connect(served.http).await;
        raw.write(&bytes).await;
        let answer = raw.to_end().await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{:?}", String::from_utf8_lossy(&answer));
        bystanders.unharmed("a broken head").await;
    }
}

/// A WebSocket that says nothing is pinged, and closed if it does not answer; one that answers lives on.
#[tokio::test]
async fn the_silent_are_pinged_and_the_dead_are_closed() {
    let served = Setup::memory()
        .with(|config| {
            config.hub.ping_ms = 25_000;
            config.hub.pong_ms = 10_000;
        })
        .start();
    let mut alive = served.old_in("alive", "r").await;
    let mut dead = served.raw("dead").await;
    dead.text(r#"{"type":"join_room","room_id":"r"}"#).await;
    alive.expect("user_joined_room").await;
    served.advance(24_000);
    alive.settle().await;
    served.advance(1_500);
    loop {
        let frame = dead.next().await.expect("a ping");
        if frame.opcode == 9 {
            break;
        }
    }
    served.advance(10_100);
    assert_eq!(dead.close_code().await, Some(3012));
    alive.settle().await;
    // Its session has the grace, like everybody's that is lost.
    served.advance(14_000);
    alive.none_of("user_left_room").await;
    served.advance(1_500);
    assert_eq!(alive.expect("user_left_room").await["user_id"], "dead");
    // The living one was pinged on the way, and its answer counts.
    served.advance(25_500);
    until("it is still there", async || {
        alive.settle().await;
        Some(())
    })
    .await;
}

/// Connections that speak plain HTTP and stay are bounded; one more is told so, and there is room when one goes.
#[tokio::test]
async fn plain_connections_are_bounded() {
    let served = Setup::memory().with(|config| config.limits.http_connections_max = 2).start();
    let mut staying = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(served.http).await;
        raw.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(raw.head().await.starts_with("HTTP/1.1 200"));
        staying.push(raw);
    }
    let refused = served.get("/live").await;
    assert_eq!((refused.status, &refused.json()["error_code"]), (503, &json!("limit")), "{refused:?}");
    let mut ana = served.client("ana").await;
    ana.join("r").await;
    staying.pop();
    until("there is room again", async || (served.get("/live").await.status == 200).then_some(())).await;
}

/// Asking for a room's whole history again and again costs the asker what it costs the daemon.
#[tokio::test]
async fn history_that_is_asked_for_again_and_again_counts() {
    let served = Setup::memory()
        .with(|config| {
            config.limits.messages_burst = 40;
            config.limits.messages_per_s = 1;
        })
        .start();
    let mut ana = served.client("ana").await;
    let epoch = ana.join("r").await["epoch"].clone();
    for n in 0..20 {
        let text = "x".repeat(16 * 1024);
        ana.send(json!({"type": "broadcast", "room_id": "r", "message": text, "id": n}));
        ana.expect("ack").await;
    }
    let mut evil = served.client("evil").await;
    let again = json!({"type": "join_room", "room_id": "r", "since": {"epoch": epoch, "seq": 0}});
    // 320 KiB count as 20 messages, so the bucket of 40 is empty after the second time.
    for _ in 0..2 {
        evil.send(again.clone());
        assert_eq!(evil.expect("room_state").await["missed"].as_array().map(Vec::len), Some(20));
    }
    evil.send(again);
    let refused = evil.expect("error").await;
    assert_eq!(refused["code"], "rate_limited", "{refused}");
}

/// A daemon that was stopped for a while, or whose machine was, has read no pongs meanwhile: whoever it pinged before
/// that gets the whole time again, and no more than that.
#[tokio::test]
async fn a_daemon_that_stood_still_gives_everybody_another_chance() {
    let served = Setup::memory()
        .with(|config| {
            config.hub.ping_ms = 25_000;
            config.hub.pong_ms = 10_000;
        })
        .start();
    let mut slow = served.raw("slow").await;
    slow.text(r#"{"type":"join_room","room_id":"r"}"#).await;
    // It is heard before the clock moves.
    while !String::from_utf8_lossy(&slow.next().await.expect("an answer").payload).contains("room_state") {}
    let pinged = async |raw: &mut Raw| while raw.next().await.expect("a ping").opcode != 9 {};
    served.advance(25_500);
    pinged(&mut slow).await;
    let noticed = async |times: u32| {
        let line = format!("arxosrt_stalls_total {times}\n");
        until("the stall is noticed", async || served.get("/metrics").await.body.contains(&line).then_some(())).await;
    };
    served.clock.stall(60_000);
    noticed(1).await;
    // Behind the stall there is time for the pong, and it counts.
    slow.write(&masked(0x8a, b"")).await;
    // It is read by now: what came behind it is answered.
    slow.write(&masked(0x89, b"read")).await;
    while slow.next().await.expect("an answer").payload != b"read" {}
    served.advance(25_500);
    pinged(&mut slow).await;
    served.clock.stall(60_000);
    noticed(2).await;
    served.advance(10_100);
    assert_eq!(slow.close_code().await, Some(3012));
}

/// A client that shuts its direction, or whose machine is gone, is lost: its session has the grace and then ends.
#[tokio::test]
async fn half_open_sockets_are_lost_sessions() {
    let served = Setup::memory().start();
    let mut bystanders = Bystanders::at_work(&served).await;
    for (n, reset) in [false, true].into_iter().enumerate() {
        let user = format!("evil {n}");
        let mut evil = served.raw(&user).await;
        evil.text(r#"{"type":"join_room","room_id":"r"}"#).await;
        bystanders.ana.expect("user_joined_room").await;
        if reset {
            evil.reset();
        } else {
            evil.half_close().await;
            assert_eq!(evil.close_code().await, None, "there is nobody to close with");
        }
        until("the loss is seen", async || {
            let presence = served.get(&format!("/realtime/user-presence/{}", arxosrt_scenario::segment(&user))).await;
            (presence.json()["is_active"] == false).then_some(())
        })
        .await;
        served.advance(15_500);
        bystanders.ana.expect("user_left_room").await;
        bystanders.unharmed("a half-open socket").await;
    }
}

/// A thousand connections with a thousand kinds of garbage, some cut off in the middle.
#[tokio::test]
async fn a_thousand_connections_of_garbage() {
    let served = Setup::memory().with(|config| config.limits.handshake_ms = 300).start();
    let mut bystanders = Bystanders::at_work(&served).await;
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_u64);
    println!("SEED={seed}");
    let mut state = seed | 1;
    let mut random = move || {
        // xorshift64: any bytes will do, the same ones each time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut open = Vec::new();
    for n in 0..1000 {
        let mut raw = Raw::connect(served.http).await;
        let garbage: Vec<u8> = (0..random() % 200).map(|_| (random() >> 32) as u8).collect();
        if n % 3 == 0 {
            raw.write(Raw::opening("/realtime/ws/evil").as_bytes()).await;
        }
        if n % 3 == 1 {
            raw.write(b"POST /realtime/broadcast HTTP/1.1\r\nContent-Length: 1000\r\n\r\n").await;
        }
        raw.write(&garbage).await;
        match n % 5 {
            0 => raw.reset(),
            1 => drop(raw),
            // At most 32 of one person at a time are let in.
            _ => open.push(raw),
        }
        if n % 100 == 99 {
            bystanders.unharmed("a hundred connections of garbage").await;
            open.clear();
        }
    }
    until("all are gone", async || {
        let found = served.get("/realtime/connection-status").await.ok();
        (found["websocket_connections"] == 2).then_some(())
    })
    .await;
    quiet([&mut bystanders.ana, &mut bystanders.ben]).await;
}
