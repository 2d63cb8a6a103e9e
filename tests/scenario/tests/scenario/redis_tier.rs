//! The shared tier over a real Redis: what is invalid is never read, whoever loads, loses or restarts what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use arxosrt_core::cache::StrategyId;
use arxosrt_scenario::PATIENCE;
use arxosrt_scenario::redis::Redis;
use arxosrt_scenario::tier::{Node, Spans, at, tag, value};
use arxosrtd::cache::shared::{Change, Incoming, Read, Shared, State, StoredValue, Written};

#[tokio::test]
async fn a_value_is_read_by_all_nodes_as_it_was_put() {
    let redis = Redis::start();
    let (a, b) = (Node::up(&redis.url()).await, Node::up(&redis.url()).await);
    let floor = at("b1", "floor:1", &["floor:1", "building:b1"]);
    let big = StoredValue { bytes: "wall ".repeat(40_000).into(), ..value("") };
    let captured = a.miss(&floor).await;
    assert_eq!(a.shared.put(&floor, captured.clone(), big.clone()).await, Written::Installed);
    match b.shared.get(&floor).await {
        Read::Hit(found) => assert_eq!(found, big),
        other => panic!("{other:?}"),
    }
    let size: usize = redis.ask(&["STRLEN", "arx:{b1}:v:floor_data:floor%3A1"]).await;
    assert!(size < big.bytes.len() / 20, "{size} bytes: compressed");
    // A load that was slower than another one's of the same generations may replace it: it is as good.
    assert_eq!(b.shared.put(&floor, captured.clone(), value("later")).await, Written::Installed);
    assert_eq!(a.text(&floor).await.as_deref(), Some("later"));
    let too_large = StoredValue { bytes: vec![0; (1 << 20) + 1].into(), ..value("") };
    assert_eq!(b.shared.put(&floor, captured, too_large).await, Written::TooLarge);
}

#[tokio::test]
async fn what_is_invalidated_is_gone_at_once_here_and_told_to_all_and_touches_nothing_else() {
    let redis = Redis::start();
    let (a, b) = (Node::up(&redis.url()).await, Node::up(&redis.url()).await);
    let one = at("b1", "floor:1", &["floor:1", "building:b1"]);
    let ten = at("b1", "floor:10", &["floor:10", "building:b1"]);
    let star = at("b1", "floor:*", &["floor:*"]);
    let odd = at("b}:{1", "x?[a-z]%", &["{floor}:1"]);
    let session = arxosrtd::cache::shared::At { strategy: StrategyId(5), ..one.clone() };
    let all = [&one, &ten, &star, &odd, &session];
    let key = Change::Key { home: "b1".into(), strategy: StrategyId(0), id: ten.id.clone() };
    for (change, gone) in [
        (tag("b1", "floor:1"), vec![0, 4]),
        (tag("b1", "floor:*"), vec![2]),
        (tag("b1", "{floor}:1"), vec![]),
        (tag("b}:{1", "{floor}:1"), vec![3]),
        (tag("b1", "building:b1"), vec![0, 1, 4]),
        (key, vec![1]),
        (Change::Strategy(StrategyId(5)), vec![4]),
        (Change::All, vec![0, 1, 2, 3, 4]),
    ] {
        for place in all {
            a.until_filled(place, "v").await;
        }
        b.heard();
        let ticket = a.shared.invalidate(vec![change.clone()]);
        // Not told yet, and not read any more.
        for (n, place) in all.into_iter().enumerate() {
            let expected = if gone.contains(&n) { None } else { Some("v") };
            assert_eq!(a.text(place).await.as_deref(), expected, "{change:?}: {place:?}");
        }
        assert!(ticket.told(PATIENCE).await);
        b.until_heard(&Incoming::Invalidated(change.clone())).await;
        for (n, place) in all.into_iter().enumerate() {
            let expected = if gone.contains(&n) { None } else { Some("v") };
            assert_eq!(b.text(place).await.as_deref(), expected, "{change:?}: {place:?}");
        }
    }
}

#[tokio::test]
async fn a_load_that_began_before_an_invalidation_is_not_installed() {
    let redis = Redis::start();
    let (a, b) = (Node::up(&redis.url()).await, Node::up(&redis.url()).await);
    let floor = at("b1", "floor:1", &["floor:1"]);
    let key = Change::Key { home: "b1".into(), strategy: StrategyId(0), id: floor.id.clone() };
    for change in [tag("b1", "floor:1"), key, Change::Strategy(StrategyId(0)), Change::All] {
        for (loader, invalidator) in [(&a, &b), (&a, &a)] {
            let captured = loader.miss(&floor).await;
            invalidator.tell(change.clone()).await;
            let put = loader.shared.put(&floor, captured, value("old")).await;
            // An epoch travels by the bus: who has not heard yet installs what is no value to anybody who has.
            assert!(put == Written::Outdated || matches!(change, Change::Strategy(_) | Change::All), "{change:?}");
            assert_eq!(invalidator.text(&floor).await, None, "{change:?}");
            loader.until_filled(&floor, "new").await;
            if matches!(change, Change::Strategy(_) | Change::All) && !std::ptr::eq(loader, invalidator) {
                loader.until_heard(&Incoming::Invalidated(change.clone())).await;
            }
            loader.until_filled(&floor, "new").await;
            invalidator.tell(tag("b1", "floor:1")).await;
            loader.heard();
        }
    }
}

#[tokio::test]
async fn what_redis_has_lost_is_never_valid_again() {
    let redis = Redis::start();
    let node = Node::up(&redis.url()).await;
    let floor = at("b1", "floor:1", &["floor:1", "building:b1"]);
    let keys = ["arx:{b1}:g:floor%3A1", "arx:{b1}:g:building%3Ab1"];
    for key in keys {
        node.until_filled(&floor, "old").await;
        redis.ask::<()>(&["DEL", key]).await;
        assert_eq!(node.text(&floor).await, None, "without {key} it is not valid");
        assert_eq!(node.text(&floor).await, None, "nor with a new one");
    }
    // In the middle of a load.
    let captured = node.miss(&floor).await;
    redis.flushall().await;
    assert_eq!(node.shared.put(&floor, captured, value("old")).await, Written::Outdated);
    node.until_filled(&floor, "new").await;
    assert_eq!(node.text(&floor).await.as_deref(), Some("new"));
    // Somebody else's rubbish where a value, a generation or the epochs should be.
    for (key, words) in [
        ("arx:{b1}:v:floor_data:floor%3A1", &["SET", "?", "rubbish"][..]),
        ("arx:{b1}:v:floor_data:floor%3A1", &["LPUSH", "?", "a"]),
        (keys[0], &["SET", "?", "-1"]),
        (keys[0], &["SET", "?", "99999999999999999999999"]),
        (keys[0], &["SADD", "?", "a"]),
    ] {
        redis.ask::<()>(&["DEL", key]).await;
        let words: Vec<&str> = words.iter().map(|word| if *word == "?" { key } else { word }).collect();
        redis.ask::<()>(&words).await;
        assert_eq!(node.text(&floor).await, None, "{words:?}");
        node.tell(tag("b1", "floor:1")).await;
        node.until_filled(&floor, "new").await;
    }
    assert_eq!(node.shared.state(), State::Up);
}

#[tokio::test]
async fn a_redis_that_takes_nothing_more_is_still_read_and_never_wrongly() {
    let redis = Redis::start();
    let node = Node::up(&redis.url()).await;
    let (one, two) = (at("b1", "floor:1", &["floor:1"]), at("b1", "floor:2", &["floor:2"]));
    node.until_filled(&one, "v").await;
    node.until_filled(&two, "v").await;
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let ticket = node.shared.invalidate(vec![tag("b1", "floor:1")]);
    for _ in 0..20 {
        assert!(!matches!(node.shared.get(&one).await, Read::Hit(_)), "it is invalid, whether redis knows it or not");
        assert!(matches!(node.shared.get(&at("b1", "floor:3", &["floor:3"])).await, Read::Down));
        assert_eq!(node.text(&two).await.as_deref(), Some("v"));
    }
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert!(ticket.told(PATIENCE).await);
    node.until_filled(&one, "new").await;
    assert_eq!(node.text(&one).await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_load_and_invalidate_as_they_like_never_leave_an_old_value() {
    // The origin is a number that only grows; whoever raises it invalidates. No read that begins after that may be lower.
    let redis = Redis::start();
    let (a, b) = (Arc::new(Node::up(&redis.url()).await), Arc::new(Node::up(&redis.url()).await));
    let (origin, told) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let floor = at("b1", "floor:1", &["floor:1"]);
    let reads = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for (n, node) in [&a, &b, &a, &b].into_iter().enumerate() {
        let (node, origin, told, floor) = (node.clone(), origin.clone(), told.clone(), floor.clone());
        let reads = reads.clone();
        tasks.push(tokio::spawn(async move {
            for round in 0u64.. {
                if reads.load(SeqCst) >= ENOUGH && told.load(SeqCst) >= ENOUGH {
                    break;
                }
                let known = told.load(SeqCst);
                match node.shared.get(&floor).await {
                    Read::Hit(found) => {
                        let found: u64 = std::str::from_utf8(&found.bytes).unwrap().parse().unwrap();
                        assert!(found >= known, "read {found} after {known} was told");
                        reads.fetch_add(1, SeqCst);
                    }
                    Read::Miss(captured) => {
                        let loaded = origin.load(SeqCst);
                        tokio::task::yield_now().await;
                        node.shared.put(&floor, captured, value(&loaded.to_string())).await;
                    }
                    Read::Down => {}
                }
                if n < 2 && round % 4 == 0 {
                    let new = origin.fetch_add(1, SeqCst) + 1;
                    node.tell(tag("b1", "floor:1")).await;
                    told.fetch_max(new, SeqCst);
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    println!("{} reads, {} invalidations", reads.load(SeqCst), told.load(SeqCst));
}

/// So many reads and invalidations among each other show what they can show.
const ENOUGH: u64 = 300;

#[tokio::test]
async fn other_nodes_hear_of_an_invalidation_within_milliseconds() {
    let redis = Redis::start();
    let (a, b) = (Node::up(&redis.url()).await, Node::up(&redis.url()).await);
    let (mut heard, mut told, mut reads) = (Spans::default(), Spans::default(), Spans::default());
    let floor = at("b1", "floor:1", &["floor:1", "building:b1"]);
    for _ in 0..200 {
        b.heard();
        let ticket = told.measure(async { a.shared.invalidate(vec![tag("b1", "floor:1")]) }).await;
        heard.measure(b.until_heard(&Incoming::Invalidated(tag("b1", "floor:1")))).await;
        assert!(ticket.told(PATIENCE).await);
        a.until_filled(&floor, "v").await;
        reads.measure(b.shared.get(&floor)).await;
    }
    told.print("invalidate, here");
    heard.print("invalidate, until another node has heard");
    reads.print("get, a hit");
    assert!(heard.worst() < PATIENCE);
}

#[tokio::test]
async fn a_node_that_leaves_is_no_gap_and_one_that_is_cut_off_is() {
    let redis = Redis::start();
    let (a, b, c) = (Node::up(&redis.url()).await, Node::up(&redis.url()).await, Node::up(&redis.url()).await);
    b.tell(tag("b1", "x")).await;
    c.tell(tag("b1", "y")).await;
    a.until_heard(&Incoming::Invalidated(tag("b1", "y"))).await;
    a.heard();
    b.shared.stop(PATIENCE).await;
    assert!(matches!(b.shared.get(&at("b1", "x", &[])).await, Read::Down));
    // Without a good-bye.
    drop(c);
    a.until_heard(&Incoming::Gap).await;
    assert_eq!(a.heard().iter().filter(|heard| **heard == Incoming::Gap).count(), 1, "one for the one that was lost");
    assert_eq!(a.shared.state(), State::Up);
}

#[tokio::test]
async fn without_addresses_there_is_no_tier_and_nobody_waits() {
    let shared = Shared::off();
    assert_eq!(shared.state(), State::Off);
    assert!(matches!(shared.get(&at("b1", "x", &[])).await, Read::Down));
    assert!(shared.invalidate(vec![Change::All]).told(Duration::ZERO).await);
    assert!(shared.flush(Duration::ZERO).await);
}
