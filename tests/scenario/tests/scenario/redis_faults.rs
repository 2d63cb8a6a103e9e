//! The shared tier while Redis dies, hangs, vanishes behind the network, or hands over to another.

use std::time::{Duration, Instant};

use arxosrt_scenario::PATIENCE;
use arxosrt_scenario::proxy::{Proxy, Weather};
use arxosrt_scenario::redis::{Cluster, Redis, Sentinels};
use arxosrt_scenario::tier::{Node, Spans, at, tag};
use arxosrtd::cache::shared::{Change, Incoming, OUTBOX_MAX, Read, State};
use arxosrtd::config::{Redis as Config, RedisMode};

/// What `redis.timeout_ms` is by default.
const DEADLINE: Duration = Duration::from_millis(20);

/// The processors of a test are shared: a call may be late by as much as nobody lets it run.
const SLACK: u32 = 10;

/// What a call may take at most.
fn bound() -> Duration {
    DEADLINE * SLACK
}

#[tokio::test]
async fn a_redis_that_dies_costs_a_deadline_and_then_nothing_and_comes_back_by_itself() {
    let mut redis = Redis::start();
    let node = Node::up(&redis.url()).await;
    let floor = at("b1", "floor:1", &["floor:1"]);
    node.until_filled(&floor, "old").await;
    node.heard();
    redis.kill();
    let mut spans = Spans::default();
    for _ in 0..1000 {
        let read = spans.measure(node.shared.get(&floor)).await;
        assert!(!matches!(read, Read::Miss(_)));
    }
    spans.print("get, redis killed");
    assert!(spans.worst() < bound(), "{:?}", spans.worst());
    node.until_down().await;
    let mut closed = Spans::default();
    for _ in 0..1000 {
        closed.measure(node.shared.get(&floor)).await;
    }
    closed.print("get, redis known to be dead");
    assert!(node.metrics.redis_turned_away.get() > 1000);
    node.until_heard(&Incoming::Down).await;

    let ticket = node.shared.invalidate(vec![tag("b1", "floor:1")]);
    redis.restart();
    let back = Instant::now();
    node.until_up().await;
    println!("used {:?} after the restart", back.elapsed());
    assert!(ticket.told(Duration::from_millis(1)).await, "told before redis is used again");
    assert_eq!(node.heard(), [Incoming::Down, Incoming::Up]);
    assert_eq!(node.text(&floor).await, None);
    node.until_filled(&floor, "new").await;
}

#[tokio::test]
async fn a_redis_that_hangs_costs_a_few_deadlines_and_what_is_edited_meanwhile_is_told_before_it_is_used() {
    let redis = Redis::start();
    let node = Node::up(&redis.url()).await;
    let floors: Vec<_> = (0..50).map(|n| at("b1", &format!("floor:{n}"), &[&format!("floor:{n}")])).collect();
    for floor in &floors {
        node.until_filled(floor, "old").await;
    }
    redis.pause();
    let mut spans = Spans::default();
    for _ in 0..1000 {
        let read = spans.measure(node.shared.get(&floors[0])).await;
        assert!(matches!(read, Read::Down));
    }
    spans.print("get, redis hangs");
    assert!(spans.worst() < bound(), "{:?}", spans.worst());
    assert!(node.metrics.redis_call_failures.get() < 50, "{}", node.metrics.redis_call_failures.get());
    for n in 0..floors.len() {
        node.shared.invalidate(vec![tag("b1", &format!("floor:{n}"))]).forget();
    }
    node.until_heard(&Incoming::Down).await;
    redis.resume();
    // No read, however early, finds what was invalidated.
    loop {
        let mut are_up = 0;
        for floor in &floors {
            match node.shared.get(floor).await {
                Read::Hit(value) => panic!("{floor:?} is {value:?}"),
                Read::Miss(_) => are_up += 1,
                Read::Down => tokio::task::yield_now().await,
            }
        }
        if are_up == floors.len() {
            break;
        }
        node.until_up().await;
    }
}

#[tokio::test]
async fn a_short_pause_makes_redis_slow_but_does_not_lose_the_connection() {
    let redis = Redis::start();
    let node = Node::up(&redis.url()).await;
    let floor = at("b1", "floor:1", &["floor:1"]);
    node.until_filled(&floor, "v").await;
    node.heard();
    redis.pause();
    while node.shared.state() == State::Up {
        node.shared.get(&floor).await;
    }
    redis.resume();
    node.until_up().await;
    assert_eq!(node.text(&floor).await.as_deref(), Some("v"));
    // On a machine that is busy for a second it is lost after all.
    if node.heard().is_empty() {
        assert_eq!(node.metrics.redis_connects.get(), 1);
    }
}

#[tokio::test]
async fn a_network_that_is_silent_slow_or_broken_keeps_nobody_waiting() {
    let redis = Redis::start();
    let proxy = Proxy::before(redis.port).await;
    let (cut, whole) = (Node::up(&proxy.url()).await, Node::up(&redis.url()).await);
    let floor = at("b1", "floor:1", &["floor:1"]);
    for weather in [Weather::Silent, Weather::Slow(Duration::from_millis(300)), Weather::Broken] {
        whole.until_filled(&floor, "old").await;
        cut.text(&floor).await;
        cut.heard();
        proxy.set(weather);
        let mut spans = Spans::default();
        let over = Instant::now() + PATIENCE;
        while !cut.heard().contains(&Incoming::Down) {
            spans.measure(cut.shared.get(&floor)).await;
            assert!(Instant::now() < over, "{weather:?}: not noticed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        spans.print(&format!("get, {weather:?}"));
        assert!(spans.worst() < bound(), "{weather:?}: {:?}", spans.worst());
        // Each invalidates something that the other cannot hear of.
        whole.tell(tag("b1", "floor:1")).await;
        cut.shared.invalidate(vec![tag("b1", "floor:2")]).forget();
        whole.heard();
        proxy.set(Weather::Fair);
        cut.until_up().await;
        assert!(cut.heard().contains(&Incoming::Up));
        assert_eq!(cut.text(&floor).await, None);
        whole.until_heard(&Incoming::Invalidated(tag("b1", "floor:2"))).await;
    }
}

#[tokio::test]
async fn a_killed_bus_is_noticed_and_nothing_is_trusted_until_it_is_back() {
    let redis = Redis::start();
    let (a, b) = (Node::up(&redis.url()).await, Node::up(&redis.url()).await);
    a.heard();
    redis.ask::<i64>(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    a.until_heard(&Incoming::Down).await;
    a.until_heard(&Incoming::Up).await;
    a.until_up().await;
    b.until_up().await;
    b.tell(tag("b1", "floor:1")).await;
    a.until_heard(&Incoming::Invalidated(tag("b1", "floor:1"))).await;
}

#[tokio::test]
async fn an_outbox_that_overflows_makes_everything_invalid() {
    let mut redis = Redis::start();
    let node = Node::up(&redis.url()).await;
    let floor = at("b1", "floor:1", &["floor:1"]);
    node.until_filled(&floor, "old").await;
    redis.pause();
    for n in 0..=OUTBOX_MAX {
        node.shared.invalidate(vec![tag("b1", &format!("other:{n}"))]).forget();
    }
    assert_eq!(node.metrics.redis_outbox.get(), 1);
    redis.resume();
    assert!(node.shared.flush(PATIENCE).await);
    node.until_up().await;
    assert_eq!(node.text(&floor).await, None);
    // As many as fit are told one by one.
    redis.kill();
    node.until_down().await;
    for n in 0..OUTBOX_MAX {
        node.shared.invalidate(vec![tag(&format!("b{}", n % 20), &format!("other:{n}"))]).forget();
    }
    redis.restart();
    let began = Instant::now();
    node.until_up().await;
    println!("{OUTBOX_MAX} invalidations told and redis used {:?} after the restart", began.elapsed());
    assert_eq!(node.metrics.redis_outbox.get(), 0);
}

#[tokio::test]
async fn under_load_no_call_waits_while_redis_dies_and_returns_again_and_again() {
    let mut redis = Redis::start();
    let node = std::sync::Arc::new(Node::up(&redis.url()).await);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut tasks = Vec::new();
    for n in 0..8 {
        let (node, stopped) = (node.clone(), stopped.clone());
        tasks.push(tokio::spawn(async move {
            let mut spans = Spans::default();
            let mut written = 0u64;
            let floor = at("b1", &format!("floor:{n}"), &[&format!("floor:{n}")]);
            while !*stopped.borrow() {
                // The only one who edits this floor: what is read is what was written last, or nothing.
                if let Read::Hit(value) = spans.measure(node.shared.get(&floor)).await {
                    assert_eq!(value.bytes, written.to_string());
                }
                node.fill(&floor, &written.to_string()).await;
                written += 1;
                node.shared.invalidate(vec![tag("b1", &format!("floor:{n}"))]).forget();
                node.fill(&floor, &written.to_string()).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            spans
        }));
    }
    for _ in 0..3 {
        redis.kill();
        node.until_down().await;
        redis.restart();
        node.until_up().await;
        redis.flushall().await;
    }
    stop.send_replace(true);
    for task in tasks {
        let mut spans = task.await.unwrap();
        spans.print("get, redis dies three times");
        assert!(spans.worst() < bound(), "{:?}", spans.worst());
    }
}

#[tokio::test]
async fn a_cluster_goes_on_with_the_replica_of_a_master_that_dies() {
    let mut cluster = Cluster::start().await;
    let (a, b) = (Node::of_cluster(cluster.urls()), Node::of_cluster(cluster.urls()));
    a.until_up().await;
    b.until_up().await;
    let floors: Vec<_> = (0..30).map(|n| at(&format!("b{n}"), "floor:1", &["floor:1", "building:b"])).collect();
    for floor in &floors {
        a.until_filled(floor, "old").await;
        assert_eq!(b.text(floor).await.as_deref(), Some("old"));
    }
    a.tell(Change::All).await;
    b.until_heard(&Incoming::Invalidated(Change::All)).await;
    for floor in &floors {
        assert_eq!(b.text(floor).await, None);
        a.until_filled(floor, "old").await;
    }
    let dead = cluster.master_of("arx:{b7}:g:floor%3A1").await;
    // The last thing that the master confirms may be the first that its replica has never heard of.
    a.tell(tag("b7", "floor:1")).await;
    cluster.nodes[dead].kill();
    let killed = Instant::now();
    let mut spans = Spans::default();
    let over = Instant::now() + PATIENCE;
    loop {
        let read = spans.measure(a.shared.get(&floors[7])).await;
        match read {
            Read::Hit(value) => panic!("{value:?}"),
            Read::Miss(_) => break,
            Read::Down => {}
        }
        assert!(Instant::now() < over, "the replica does not take over");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    spans.print("get, cluster without a master");
    println!("the replica serves {:?} after its master's death", killed.elapsed());
    assert!(spans.worst() < bound(), "{:?}", spans.worst());
    cluster.until_whole().await;
    // Whatever happens meanwhile, both are up again and know of each other.
    both_hear_each_other(&a, &b).await;
    // A master that hands over in good order is noticed too: what it confirmed last is told again.
    a.heard();
    let other = (dead + 1) % 3;
    arxosrt_scenario::until("the replica takes over", async || {
        cluster.nodes[other + 3].try_ask::<()>(&["CLUSTER", "FAILOVER"]).await.ok()
    })
    .await;
    a.until_heard(&Incoming::Up).await;
    both_hear_each_other(&a, &b).await;
}

/// Both nodes hear each other again.
async fn both_hear_each_other(a: &Node, b: &Node) {
    arxosrt_scenario::until("both nodes are up and hear each other", async || {
        b.heard();
        a.shared.invalidate(vec![tag("b9", "z")]).told(Duration::from_secs(1)).await;
        (b.heard().contains(&Incoming::Invalidated(tag("b9", "z"))) && b.shared.state() == State::Up).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_sentinels_new_master_is_followed() {
    let mut house = Sentinels::start().await;
    let config = Config {
        mode: RedisMode::Sentinel,
        urls: house.urls(),
        sentinel_master: Sentinels::MASTER.to_owned(),
        ..Config::default()
    };
    let node = Node::with(config);
    node.until_up().await;
    let floor = at("b1", "floor:1", &["floor:1"]);
    node.until_filled(&floor, "old").await;
    node.tell(tag("b1", "floor:1")).await;
    house.master.kill();
    let killed = Instant::now();
    node.until_down().await;
    let mut spans = Spans::default();
    let over = Instant::now() + PATIENCE;
    loop {
        match spans.measure(node.shared.get(&floor)).await {
            Read::Hit(value) => panic!("{value:?}"),
            Read::Miss(_) => break,
            Read::Down => {}
        }
        assert!(Instant::now() < over, "the new master is not found");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    spans.print("get, sentinels choose");
    println!("the new master is used {:?} after the old one's death", killed.elapsed());
    assert!(spans.worst() < bound(), "{:?}", spans.worst());
    let role: Vec<redis::Value> = house.replica.ask(&["ROLE"]).await;
    assert_eq!(role.first(), Some(&redis::Value::BulkString(b"master".to_vec())));
    node.until_filled(&floor, "new").await;
    // The old master comes back and believes for a while that it still is the master: nobody asks it.
    house.master.restart();
    for _ in 0..50 {
        assert_ne!(node.text(&floor).await.as_deref(), Some("old"));
    }
}
