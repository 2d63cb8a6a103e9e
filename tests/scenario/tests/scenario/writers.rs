//! Where several threads write, everybody still gets everything in order, whatever form it takes on its way, and whoever
//! does not read harms nobody.

use arxosrt_scenario::{Raw, Served, Setup, Value, json, until};

/// Members that read plain frames, gathered ones, and event streams.
const MEMBERS: usize = 210;

/// Messages that everybody must get, besides the last one.
const BROADCASTS: u64 = 120;

/// One in so many of them is large enough that two of them do not fit into a socket's buffers at once.
const LARGE_EVERY: u64 = 40;
const LARGE_BYTES: usize = 60_000;

/// How a member hears.
#[derive(Clone, Copy, Debug)]
enum Ear {
    Frames,
    Batch,
    Events,
}

impl Ear {
    fn of(n: usize) -> Ear {
        [Ear::Frames, Ear::Batch, Ear::Events][n % 3]
    }

    /// Connects and joins; what comes up to the room's state is read.
    async fn open(self, served: &Served, user: &str, narrow: bool) -> Raw {
        let mut raw = if narrow { Raw::narrow(served.http).await } else { Raw::connect(served.http).await };
        if let Ear::Events = self {
            let request =
                format!("GET /v1/realtime/sse/{user} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
            raw.write(request.as_bytes()).await;
            assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
            served.post("/v1/realtime/join-room", &json!({"user_id": user, "room_id": "r"})).await.ok();
        } else {
            let features: &[&str] =
                if let Ear::Batch = self { &["batch", "presence_diff"] } else { &["presence_diff"] };
            raw.upgrade(&format!("/v1/realtime/ws/{user}")).await;
            raw.text(&json!({"type": "hello", "protocol": 2, "features": features}).to_string()).await;
            raw.text(&json!({"type": "join_room", "room_id": "r"}).to_string()).await;
        }
        while self.next(&mut raw).await.iter().all(|message| message["type"] != "room_state") {}
        raw
    }

    /// The messages of the next frame or event that has any.
    async fn next(self, raw: &mut Raw) -> Vec<Value> {
        loop {
            let payload = if let Ear::Events = self {
                let event = raw.event().await.expect("another event");
                let Some(data) = event.strip_prefix("data: ") else { continue };
                data.as_bytes().to_vec()
            } else {
                let frame = raw.next().await.expect("another frame");
                assert_ne!(frame.opcode, 8, "closed with {:?}", frame.close_code());
                if frame.opcode != 1 {
                    continue;
                }
                frame.payload
            };
            let message: Value = serde_json::from_slice(&payload).expect("whole JSON");
            return match message["type"].as_str() {
                Some("batch") => message["messages"].as_array().expect("a list").clone(),
                _ => vec![message],
            };
        }
    }

    /// Reads up to the last broadcast, and asserts that each one came, once and in order.
    async fn hears_all(self, user: &str, raw: &mut Raw) {
        let mut heard = 0;
        loop {
            for message in self.next(raw).await {
                if message["type"] == "broadcast" {
                    heard += 1;
                    assert_eq!(message["seq"], heard, "{user} ({self:?})");
                    if message["message"] == "the end" {
                        return;
                    }
                }
            }
        }
    }
}

/// A figure of `/metrics`, with its labels.
async fn figure(served: &Served, name: &str) -> u64 {
    let page = served.get("/metrics").await.body;
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_every_broadcast_in_order() {
    let served = Setup::memory()
        .with(|config| {
            config.hub.writers = arxosrtd::config::Writers::Exactly(2);
            config.limits.messages_per_s = 1_000_000;
            config.limits.messages_burst = 1_000_000;
            // What a slow member has not read waits for it here.
            config.hub.outbox_bytes_max = 64 << 20;
        })
        .start();
    assert_eq!(figure(&served, "arxosrt_writers ").await, 2);
    let mut readers = Vec::new();
    for n in 0..MEMBERS {
        readers.push((format!("m{n}"), Ear::of(n), Ear::of(n).open(&served, &format!("m{n}"), false).await));
    }
    // These read nothing until all is over, so they get backlogs, in each form.
    let mut late = Vec::new();
    for n in 0..6 {
        late.push((format!("late{n}"), Ear::of(n), Ear::of(n).open(&served, &format!("late{n}"), true).await));
    }
    // These never read, and some of them vanish in the middle of it.
    let mut deaf = Vec::new();
    for n in 0..6 {
        deaf.push(Ear::of(n).open(&served, &format!("deaf{n}"), true).await);
    }
    let reading: Vec<_> = readers
        .into_iter()
        .map(|(user, ear, mut raw)| {
            tokio::spawn(async move {
                ear.hears_all(&user, &mut raw).await;
                raw
            })
        })
        .collect();

    let mut ben = served.client_in("ben", "r").await;
    for n in 1..=BROADCASTS {
        let text = if n % LARGE_EVERY == 0 { "x".repeat(LARGE_BYTES) } else { format!("message {n}") };
        ben.send(json!({"type": "broadcast", "room_id": "r", "message": text, "id": n}));
        // Sometimes one message to a turn, sometimes several.
        if n % 5 != 0 {
            ben.expect("ack").await;
        }
        if n == BROADCASTS / 2 {
            deaf.drain(..3).for_each(Raw::reset);
        }
    }
    ben.send(json!({"type": "broadcast", "room_id": "r", "message": "the end"}));
    let mut open = Vec::new();
    for task in reading {
        open.push(task.await.expect("every reader hears everything"));
    }
    for (user, ear, raw) in &mut late {
        ear.hears_all(user, raw).await;
    }
    until("others have written besides the hub", async || {
        (figure(&served, "arxosrt_writes_total{by=\"writer\"}").await > 0).then_some(())
    })
    .await;
    assert!(figure(&served, "arxosrt_writes_total{by=\"hub\"}").await > 0);
    served.stop().await.expect("the writers end with the daemon");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_overflows_is_told_or_closed_as_ever() {
    let served = Setup::memory()
        .with(|config| {
            config.hub.writers = arxosrtd::config::Writers::Exactly(2);
            config.hub.outbox_bytes_max = 256 << 10;
            config.limits.messages_per_s = 1_000_000;
            config.limits.messages_burst = 1_000_000;
        })
        .start();
    let mut others = Vec::new();
    // Enough for a turn to be divided, and no more: each of them parses some megabytes.
    for n in 0..66 {
        let (user, ear) = (format!("m{n}"), Ear::Frames);
        let mut raw = ear.open(&served, &user, false).await;
        others.push(tokio::spawn(async move { ear.hears_all(&user, &mut raw).await }));
    }
    let mut deaf = Vec::new();
    for n in 0..3 {
        deaf.push(Ear::of(n).open(&served, &format!("deaf{n}"), true).await);
    }
    let mut ben = served.client_in("ben", "r").await;
    let mut said = 0;
    while figure(&served, "arxosrt_slow_closes_total ").await < 3 {
        ben.send(json!({"type": "broadcast", "room_id": "r", "message": "x".repeat(LARGE_BYTES), "id": "shout"}));
        ben.expect("ack").await;
        said += 1;
        assert!(said < 1_000, "what waits for one client is bounded");
    }
    ben.send(json!({"type": "broadcast", "room_id": "r", "message": "the end"}));
    for other in others {
        other.await.expect("nobody waits for those who do not read");
    }
}
