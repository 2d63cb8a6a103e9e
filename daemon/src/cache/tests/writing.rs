//! Values that clients set, and what overtakes what.

use super::*;
use crate::origin::fetch::FetchError;
use arxosrt_core::id::RoomId;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_slow_load_never_overtakes_what_was_set_since() {
    let bench = Arc::new(Bench::start());
    bench.origin.has("floor:1", "old");
    bench.origin.takes(SECOND);
    let slow = tokio::spawn({
        let bench = bench.clone();
        async move { bench.preload("object_data/floor:1").await }
    });
    settle().await;
    bench.put("object_data/floor:1", "new").await.unwrap();
    assert_eq!(slow.await.unwrap(), Preloaded::Refused(Refusal::Overtaken));
    assert_eq!(bench.text("object_data/floor:1").await, local("new"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_brings_nothing_back_that_was_removed_since() {
    let bench = Arc::new(Bench::start());
    bench.origin.has("floor:1", "old");
    bench.origin.takes(SECOND);
    let slow = tokio::spawn({
        let bench = bench.clone();
        async move { bench.preload("object_data/floor:1").await }
    });
    settle().await;
    let (strategy, id) = bench.name("object_data/floor:1");
    assert_eq!(bench.cache.delete(strategy, &id).await, Ok(false));
    slow.await.unwrap();
    assert!(bench.cache.peek(strategy, &id).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_the_origin_refuses_is_not_set_and_what_was_here_is_not_trusted() {
    let bench = Bench::start();
    bench.put("floor_data/f1", "old").await.unwrap();
    bench.origin.fails(FetchError::Denied(403));
    assert_eq!(bench.put("floor_data/f1", "new").await, Err(CacheError::Origin(FetchError::Denied(403))));
    bench.origin.fails(None);
    assert_eq!(bench.get("floor_data/f1").await, Err(CacheError::NotThere));
    bench.origin.takes_writes();
    assert!(bench.put("floor_data/f1", "new").await.unwrap().is_in_origin);
    bench.cache.invalidate(&Invalidation::All);
    assert_eq!(bench.text("floor_data/f1").await, from_origin("new"));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_kept_is_refused_and_the_old_one_is_gone() {
    let bench = Bench::start();
    bench.put("floor_data/f1", "old").await.unwrap();
    let huge = "x".repeat(20 << 20);
    assert!(matches!(bench.put("floor_data/f1", &huge).await, Err(CacheError::TooLarge(..))));
    assert_eq!(bench.get("floor_data/f1").await, Err(CacheError::NotThere));
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_is_exact() {
    let bench = Bench::start();
    let all = ["floor_data/1", "object_data/floor:1:page:2", "floor_data/10", "floor_data/12", "route_data/floor:10"];
    for what in all {
        bench.put(what, "x").await.unwrap();
    }
    let floor = |id: &str| Invalidation::Floor(RoomId::new(id).unwrap());
    assert_eq!(bench.cache.invalidate(&floor("*")).count, 0, "a star is a star");
    assert_eq!(bench.cache.invalidate(&floor("1")).count, 2);
    let is_there = |what: &str| {
        let (strategy, id) = bench.name(what);
        bench.cache.peek(strategy, &id).is_some_and(|entry| entry.is_current)
    };
    assert_eq!(all.map(is_there), [false, false, true, true, true]);
    bench.put("floor_data/*", "x").await.unwrap();
    assert_eq!(bench.cache.invalidate(&floor("*")).count, 1);
    let strategy = bench.name("route_data/x").0;
    assert_eq!(bench.cache.invalidate(&Invalidation::Strategy(strategy)).count, 1);
    assert_eq!(all.map(is_there), [false, false, true, true, false]);
    bench.cache.invalidate(&Invalidation::All);
    assert_eq!(all.map(is_there), [false; 5]);
}

#[tokio::test(start_paused = true)]
async fn an_edit_makes_its_floors_invalid_before_the_hub_goes_on() {
    let bench = Bench::start();
    for what in ["floor_data/1", "object_data/floor:1", "object_data/door", "floor_data/2"] {
        bench.put(what, "x").await.unwrap();
    }
    bench.edits("1", "door", None);
    for what in ["floor_data/1", "object_data/floor:1", "object_data/door"] {
        assert_eq!(bench.get(what).await, Err(CacheError::NotThere), "{what}");
    }
    assert_eq!(bench.text("floor_data/2").await, local("x"));
}
