//! A tier that nodes share: what it is asked, what it is told, and what happens without it.

use super::fakes::FakeShared;
use super::shared::Incoming;
use super::tier::{Change, StoredValue};
use super::*;

fn settings() -> CacheSettings {
    CacheSettings { bytes_max: 64 << 20, loads_max: 8, load_timeout: Duration::from_secs(8), alone_ttl_ms: 30_000 }
}

fn shared() -> (Bench, Arc<FakeShared>) {
    let shared = Arc::new(FakeShared::default());
    (Bench::sharing(settings(), Some(shared.clone())), shared)
}

#[tokio::test(start_paused = true)]
async fn sensitive_values_live_in_the_shared_tier_and_nowhere_else() {
    let alone = Bench::start();
    let refused = CacheError::NoSharedTier("user_session".into());
    assert_eq!(alone.get("user_session/s1").await.unwrap_err(), refused);
    assert_eq!(alone.put("user_session/s1", "secret").await.unwrap_err(), refused);
    assert_eq!(alone.preload("user_session/s1").await, Preloaded::Refused(Refusal::Strategy));
    assert_eq!(alone.origin.asked(), 0);

    let (mut bench, shared) = shared();
    bench.put("user_session/s1", "secret").await.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.text("user_session/s1").await, ("secret".to_owned(), ServedFrom::Shared));
    }
    assert_eq!(bench.cache.stats().entries, 0);
    assert!(bench.signals.try_recv().is_err(), "nobody learns from them");
    let (strategy, id) = bench.name("user_session/s1");
    assert!(shared.holds(strategy, &id).is_none(), "it is kept under a name that says nothing");
    bench.cache.invalidate(&Invalidation::Key(strategy, id));
    assert!(!format!("{:?}", shared.told()).contains("s1"), "and others are told of it by that name");
    shared.set_down(true);
    assert_eq!(bench.get("user_session/s1").await.unwrap_err(), refused);
    assert_eq!(bench.put("user_session/s1", "x").await.unwrap_err(), refused);
    assert!(!warm::hot_names(&bench.cache).contains("user_session"));
}

#[tokio::test(start_paused = true)]
async fn what_another_node_has_loaded_is_not_loaded_again() {
    let (bench, shared) = shared();
    let (strategy, id) = bench.name("floor_data/f1");
    let value = StoredValue {
        bytes: Bytes::from_static(b"plan"),
        etag: Some("v1".into()),
        created: arxosrt_core::time::Wall(bench.clock.wall().0 - 600_000),
        ttl_ms: 3_600_000,
        hard_ms: 3_900_000,
        negative: false,
        load_cost_us: 5,
    };
    shared.has(strategy, &id, value);
    let found = bench.get("floor_data/f1").await.unwrap();
    assert_eq!((found.from, &found.bytes[..], found.age_ms / 1000), (ServedFrom::Shared, &b"plan"[..], 600));
    assert_eq!(bench.text("floor_data/f1").await, local("plan"));
    assert!(bench.cache.peek(strategy, &id).unwrap().left_ms <= 3_000_000, "its time began when it was loaded");
    assert_eq!(bench.origin.asked(), 0);
    bench.origin.has("f2", "other");
    bench.text("floor_data/f2").await;
    let (strategy, id) = bench.name("floor_data/f2");
    assert_eq!(&shared.holds(strategy, &id).unwrap().bytes[..], b"other", "and others find what is loaded here");
}

#[tokio::test(start_paused = true)]
async fn what_another_node_made_invalid_during_the_load_does_not_stay() {
    let (bench, shared) = shared();
    bench.origin.has("f1", "old");
    shared.refuses_fills(true);
    assert_eq!(bench.text("floor_data/f1").await, from_origin("old"));
    shared.refuses_fills(false);
    bench.origin.has("f1", "new");
    assert_eq!(bench.text("floor_data/f1").await, from_origin("new"));
}

#[tokio::test(start_paused = true)]
async fn without_the_shared_tier_values_are_served_for_a_short_time() {
    let (bench, shared) = shared();
    shared.set_down(true);
    bench.origin.has("f1", "plan");
    assert_eq!(bench.text("floor_data/f1").await, from_origin("plan"));
    let (strategy, id) = bench.name("floor_data/f1");
    assert!(bench.cache.peek(strategy, &id).unwrap().left_ms <= 30_000);
    shared.set_down(false);
    bench.cache.doubt_everything();
    assert_eq!(bench.text("floor_data/f1").await, from_origin("plan"));
    assert!(bench.cache.peek(strategy, &id).unwrap().left_ms > 3_000_000);
}

#[tokio::test(start_paused = true)]
async fn every_invalidation_is_told_to_the_others() {
    let (bench, shared) = shared();
    let (strategy, id) = bench.name("floor_data/f1");
    let floor = arxosrt_core::id::RoomId::new("f1").unwrap();
    for what in [
        Invalidation::Key(strategy, id),
        Invalidation::Floor(floor),
        Invalidation::Strategy(strategy),
        Invalidation::All,
    ] {
        bench.cache.invalidate(&what);
    }
    let told = shared.told();
    assert!(
        matches!(&told[..], [Change::Key { .. }, Change::Tag { .. }, Change::Strategy(_), Change::All]),
        "{told:?}"
    );
    bench.edits("f1", "door", None);
    let told = shared.told();
    let tags = told.iter().filter(|change| matches!(change, Change::Tag { .. })).count();
    assert_eq!(
        (tags, told.len()),
        (3, 3 + 6),
        "the floor, the thing, the whole building, and the thing by name: {told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_before_the_others_fell_silent_is_served_for_a_short_time_too() {
    let (bench, shared) = shared();
    let heard = Heard::default();
    heard.tell(&bench.cache);
    bench.origin.has("f1", "old");
    bench.text("floor_data/f1").await;
    bench.clock.advance(100_000);
    bench.origin.has("f1", "new");
    shared.set_down(true);
    heard.hear(Incoming::Down);
    assert_eq!(bench.text("floor_data/f1").await, local("old"));
    bench.clock.advance(31_000);
    assert_eq!(bench.text("floor_data/f1").await, from_origin("new"));
    assert_eq!(bench.text("floor_data/f1").await, local("new"));
    shared.set_down(false);
    heard.hear(Incoming::Up);
    assert_eq!(bench.text("floor_data/f1").await.1, ServedFrom::Shared, "everything here is doubted");
}

#[tokio::test(start_paused = true)]
async fn what_other_nodes_say_counts_here_and_is_not_said_again() {
    let (bench, shared) = shared();
    let heard = Heard::default();
    heard.hear(Incoming::Gap);
    heard.tell(&bench.cache);
    let (strategy, id) = bench.name("floor_data/f1");
    let home: Arc<str> = "f1".into();
    let tag = arxosrt_core::cache::Tag::named("floor:f1").unwrap();
    for incoming in [
        Incoming::Invalidated(Change::Key { home: home.clone(), strategy, id: id.clone() }),
        Incoming::Invalidated(Change::Tag { home, tag }),
        Incoming::Invalidated(Change::Strategy(strategy)),
        Incoming::Invalidated(Change::All),
        Incoming::Gap,
    ] {
        bench.put("floor_data/f1", "x").await.unwrap();
        heard.hear(incoming.clone());
        assert!(bench.cache.peek(strategy, &id).is_none_or(|entry| !entry.is_current), "{incoming:?}");
    }
    assert!(shared.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn operators_are_told_whether_the_shared_tier_is_there_and_for_how_long_it_is_not() {
    assert_eq!(Bench::start().cache.shared_row().state, "off");
    let (bench, shared) = shared();
    let row = bench.cache.shared_row();
    assert_eq!((&*row.state, row.since_ms, row.address.as_deref()), ("up", None, Some("fake:1")));
    shared.set_down(true);
    let row = bench.cache.shared_row();
    assert!(row.state == "degraded" && row.since_ms > Some(0), "{row:?}");
}
