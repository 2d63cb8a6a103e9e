//! Loads: how many, for whom, and what may stay of them.

use super::*;
use crate::origin::fetch::{FetchError, Purpose};

const SECOND: Duration = Duration::from_secs(1);

fn down() -> FetchError {
    FetchError::Unavailable("down".to_owned())
}

#[tokio::test(start_paused = true)]
async fn however_many_ask_for_a_value_it_is_loaded_once() {
    let bench = Bench::start();
    bench.origin.has("f1", "plan");
    bench.origin.takes(SECOND);
    let bench = Arc::new(bench);
    let asking: Vec<_> = (0..1000)
        .map(|_| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.text("floor_data/f1").await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), from_origin("plan"));
    }
    assert_eq!(bench.origin.asked(), 1);
    assert_eq!(bench.figures("floor_data").joined, 999);
    assert_eq!(bench.text("floor_data/f1").await, local("plan"));
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_first_may_leave_and_the_load_goes_on() {
    let bench = Arc::new(Bench::start());
    bench.origin.has("f1", "plan");
    bench.origin.takes(SECOND);
    let first = tokio::spawn({
        let bench = bench.clone();
        async move { bench.get("floor_data/f1").await }
    });
    settle().await;
    first.abort();
    assert_eq!(bench.text("floor_data/f1").await, from_origin("plan"));
    assert_eq!(bench.origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_waits_for_as_long_as_he_wants_and_the_value_is_there_for_the_next() {
    let bench = Bench::start();
    bench.origin.has("f1", "plan");
    bench.origin.takes(SECOND);
    let patience = Duration::from_millis(100);
    assert_eq!(bench.get_within("floor_data/f1", patience).await, Err(CacheError::Timeout(patience)));
    tokio::time::sleep(SECOND).await;
    assert_eq!(bench.text("floor_data/f1").await, local("plan"));
    assert_eq!(bench.origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_breaks_off_is_begun_again_once() {
    let bench = Bench::start();
    bench.origin.has("f1", "plan");
    bench.origin.panics(1);
    assert_eq!(bench.text("floor_data/f1").await, from_origin("plan"));
    bench.origin.has("f2", "plan");
    bench.origin.panics(2);
    assert_eq!(bench.get("floor_data/f2").await, Err(CacheError::BrokeOff));
    assert_eq!(bench.text("floor_data/f2").await, from_origin("plan"), "and leaves nothing in the way");
    settle().await;
    assert_eq!(bench.cache.stats().loading, 0);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_takes_too_long_ends_as_a_failure() {
    let bench = Bench::start();
    bench.origin.has("f1", "plan");
    bench.origin.takes(Duration::from_secs(3600));
    let error = bench.get("floor_data/f1").await.unwrap_err();
    assert_eq!(error, CacheError::Origin(FetchError::Timeout(Duration::from_secs(8))));
    assert_eq!(bench.figures("floor_data").load_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_before_an_invalidation_does_not_stay_and_is_not_for_those_who_come_after_it() {
    let bench = Arc::new(Bench::start());
    bench.origin.has("floor:1:all", "old");
    bench.origin.takes(SECOND);
    let early = tokio::spawn({
        let bench = bench.clone();
        async move { bench.text("object_data/floor:1:all").await }
    });
    settle().await;
    bench.origin.has("floor:1:all", "new");
    bench.cache.invalidate(&Invalidation::Floor(arxosrt_core::id::RoomId::new("1").unwrap()));
    assert_eq!(bench.text("object_data/floor:1:all").await, from_origin("new"));
    assert_eq!(early.await.unwrap(), from_origin("old"), "he asked before");
    assert_eq!(bench.text("object_data/floor:1:all").await, local("new"));
    assert_eq!(bench.origin.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_nearly_over_is_served_and_loaded_anew_once() {
    let bench = Bench::start();
    bench.origin.has_version("f1", "plan", Some("v1"));
    bench.text("floor_data/f1").await;
    // The time is 3600 s less up to a tenth, and its last tenth is soft.
    let left = |bench: &Bench| {
        let (strategy, id) = bench.name("floor_data/f1");
        bench.cache.peek(strategy, &id).unwrap().left_ms
    };
    bench.clock.advance(left(&bench) - 300_000);
    bench.origin.takes(SECOND);
    for _ in 0..10 {
        assert_eq!(bench.text("floor_data/f1").await, local("plan"));
    }
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(bench.origin.asked(), 2);
    assert_eq!(bench.origin.last(), (Some("v1".into()), Purpose::Ahead), "only if it has changed");
    assert_eq!(bench.text("floor_data/f1").await, local("plan"));
    assert!(left(&bench) > 3_000_000, "and its time begins anew");
    assert_eq!(bench.figures("floor_data").refreshes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_is_served_after_its_time_only_while_the_origin_fails_and_only_so_long() {
    let bench = Bench::start();
    bench.origin.has("f1", "plan");
    bench.text("floor_data/f1").await;
    bench.clock.advance(3_600_000);
    bench.origin.fails(down());
    let (text, from) = bench.text("floor_data/f1").await;
    assert_eq!((&*text, from), ("plan", ServedFrom::Stale));
    assert_eq!(bench.text("floor_data/f1").await.1, ServedFrom::Stale, "at once: the failure is remembered");
    assert_eq!(bench.origin.asked(), 2);
    bench.clock.advance(600);
    bench.origin.fails(None);
    assert_eq!(bench.text("floor_data/f1").await, from_origin("plan"));
    bench.clock.advance(3_600_000 + 300_000);
    bench.origin.fails(down());
    assert_eq!(bench.get("floor_data/f1").await, Err(CacheError::Origin(down())));
    assert_eq!(bench.figures("floor_data").stale, 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_for_a_moment_that_grows() {
    let bench = Bench::start();
    bench.origin.fails(down());
    let mut asked = 0;
    for memo_ms in [250, 500, 1000, 1000] {
        for _ in 0..20 {
            assert_eq!(bench.get("floor_data/f1").await, Err(CacheError::Origin(down())));
        }
        asked += 1;
        assert_eq!(bench.origin.asked(), asked, "{memo_ms}");
        bench.clock.advance(memo_ms);
    }
    bench.origin.fails(None);
    bench.origin.has("f1", "plan");
    assert_eq!(bench.text("floor_data/f1").await, from_origin("plan"));
}

#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_is_remembered_as_long_as_its_strategy_says() {
    let bench = Bench::start();
    for _ in 0..3 {
        assert_eq!(bench.get("floor_data/f1").await, Err(CacheError::NotThere));
        assert_eq!(bench.get("search_results/q").await, Err(CacheError::NotThere));
    }
    assert_eq!(bench.origin.asked(), 1 + 3, "a search is asked again each time");
    bench.clock.advance(10_000);
    bench.origin.has("f1", "plan");
    assert_eq!(bench.text("floor_data/f1").await, from_origin("plan"));
}

#[tokio::test(start_paused = true)]
async fn so_many_loads_are_with_the_origin_as_may_be_and_the_others_wait() {
    let bench = Arc::new(Bench::start());
    bench.origin.takes(Duration::from_millis(10));
    let asking: Vec<_> = (0..100)
        .map(|n| {
            bench.origin.has(&format!("f{n}"), "plan");
            let bench = bench.clone();
            tokio::spawn(async move { bench.text(&format!("floor_data/f{n}")).await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), from_origin("plan"));
    }
    assert_eq!(bench.origin.busiest.load(std::sync::atomic::Ordering::Relaxed), 8);
}

#[tokio::test(start_paused = true)]
async fn what_loads_bring_counts_against_the_ceiling() {
    let settings =
        CacheSettings { bytes_max: 8 << 20, loads_max: 64, load_timeout: Duration::from_secs(60), alone_ttl_ms: 0 };
    let bench = Arc::new(Bench::with(settings));
    let large = "x".repeat(300 << 10);
    // The first ones teach it how large they are.
    for n in 0..40 {
        bench.origin.has(&format!("f{n}"), &large);
        bench.text(&format!("floor_data/f{n}")).await;
    }
    bench.origin.takes(SECOND);
    let asking: Vec<_> = (100..120)
        .map(|n| {
            bench.origin.has(&format!("f{n}"), &large);
            let bench = bench.clone();
            tokio::spawn(async move { bench.get_within(&format!("floor_data/f{n}"), 60 * SECOND).await.unwrap() })
        })
        .collect();
    bench.origin.busiest.store(0, std::sync::atomic::Ordering::Relaxed);
    for asked in asking {
        asked.await.unwrap();
    }
    // An eighth of 8 MiB, and room for twice 300 KiB each.
    assert_eq!(bench.origin.busiest.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(bench.cache.stats().bytes <= 7 << 20);
}

#[tokio::test(start_paused = true)]
async fn the_preloader_hears_of_every_use_and_of_the_first_one_of_what_it_loaded() {
    let mut bench = Bench::start();
    bench.origin.has("floor:1:all", "plan");
    assert!(matches!(bench.preload("object_data/floor:1:all").await, Preloaded::Loaded { bytes: 4, .. }));
    assert_eq!(bench.preload("object_data/floor:1:all").await, Preloaded::Resident);
    assert_eq!(bench.origin.last().1, Purpose::Ahead);
    for _ in 0..2 {
        bench.text("object_data/floor:1:all").await;
    }
    let heard = [bench.signals.try_recv().unwrap(), bench.signals.try_recv().unwrap()];
    assert_eq!(heard.each_ref().map(|signal| (signal.is_hit, signal.first_use_of)), [(true, Some(3)), (true, None)]);
    assert_eq!(heard[0].floor.as_ref().map(|floor| floor.as_str()), Some("1"));
    // What is asked for while it is still under way came too late, and is demanded from then on.
    bench.origin.has("floor:2:all", "plan");
    bench.origin.takes(SECOND);
    let (preloaded, asked) = tokio::join!(bench.preload("object_data/floor:2:all"), async {
        settle().await;
        bench.text("object_data/floor:2:all").await
    });
    assert!(matches!(preloaded, Preloaded::Loaded { .. }), "{preloaded:?}");
    assert_eq!(asked, from_origin("plan"));
    let late = bench.signals.try_recv().unwrap();
    assert_eq!((late.is_hit, late.first_use_of), (false, Some(3)));
    assert_eq!(bench.figures("object_data").local.preloaded, 1);
}

#[tokio::test(start_paused = true)]
async fn signals_that_nobody_takes_are_dropped_and_cost_nobody_a_wait() {
    let mut bench = Bench::start();
    bench.origin.has("f1", "plan");
    for _ in 0..SIGNALS_MAX + 10 {
        bench.text("floor_data/f1").await;
    }
    let mut taken = 0;
    while bench.signals.try_recv().is_ok() {
        taken += 1;
    }
    assert_eq!(taken, SIGNALS_MAX);
    assert_eq!(bench.cache.stats().signals_dropped, 10);
}

#[tokio::test(start_paused = true)]
async fn what_is_loaded_ahead_is_promoted_by_the_first_who_needs_it() {
    let bench = Arc::new(Bench::start());
    bench.origin.has("f1", "plan");
    bench.origin.takes(Duration::from_secs(1));
    let ahead = tokio::spawn({
        let bench = bench.clone();
        async move { bench.preload("floor_data/f1").await }
    });
    settle().await;
    assert!(!bench.origin.is_promoted());
    let needs = tokio::spawn({
        let bench = bench.clone();
        async move { bench.text("floor_data/f1").await }
    });
    settle().await;
    assert!(bench.origin.is_promoted());
    assert_eq!(needs.await.unwrap(), from_origin("plan"));
    ahead.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_known_not_to_be_there_is_not_there_for_those_who_load_ahead() {
    let bench = Bench::start();
    assert_eq!(bench.get("floor_data/f1").await, Err(CacheError::NotThere));
    assert_eq!(bench.preload("floor_data/f1").await, Preloaded::NotThere);
    assert_eq!(bench.origin.asked(), 1, "and nobody is asked again");
}

#[tokio::test(start_paused = true)]
async fn where_there_is_nobody_to_ask_nothing_is_loaded() {
    let bench = Bench::start();
    bench.origin.fails(FetchError::NoSource);
    assert_eq!(bench.get("floor_data/f1").await, Err(CacheError::NotThere));
    assert_eq!(bench.figures("floor_data").loads, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_a_load_that_nobody_waited_for_is_served_by_the_origin() {
    let bench = Arc::new(Bench::start());
    bench.origin.has("f1", "plan");
    bench.origin.takes(SECOND);
    let ahead = tokio::spawn({
        let bench = bench.clone();
        async move { bench.preload("floor_data/f1").await }
    });
    settle().await;
    assert_eq!(bench.text("floor_data/f1").await, from_origin("plan"));
    assert!(matches!(ahead.await.unwrap(), Preloaded::Loaded { .. }));
    assert_eq!((bench.origin.asked(), bench.figures("floor_data").joined), (1, 1));
}
