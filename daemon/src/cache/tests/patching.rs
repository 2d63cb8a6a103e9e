//! Lists that keep up with edits, and what goes before them.

use super::*;
use crate::cache::patches::{EDITS_MAX, PATIENCE};
use crate::cache::tests::fakes::FakeShared;

const LIST: &str = "object_data/floor:1";

fn object(id: &str, n: u64) -> String {
    format!(r#"{{"id":"{id}","version":2,"n":{n}}}"#)
}

/// A list of a door and a window that was read once.
async fn bench() -> Bench {
    let bench = Bench::start();
    bench.origin.has_version("floor:1", r#"[{"id":"door"},{"id":"window"}]"#, Some("v1"));
    bench.origin.takes(Duration::from_millis(200));
    bench.text(LIST).await;
    bench
}

#[tokio::test(start_paused = true)]
async fn a_list_keeps_up_with_edits_and_the_origin_is_not_asked() {
    let bench = bench().await;
    for n in 0..20 {
        bench.edits("1", "door", Some(&object("door", n)));
        let now = format!(r#"[{{"id":"door","version":2,"n":{n}}},{{"id":"window"}}]"#);
        assert_eq!(bench.text(LIST).await, local(&now));
    }
    bench.edits("1", "window", None);
    bench.edits("1", "stool", Some(&object("stool", 1)));
    bench.edits("1", "door", Some(&object("door", 7)));
    let now = r#"[{"id":"door","version":2,"n":7},{"id":"stool","version":2,"n":1}]"#;
    assert_eq!(bench.text(LIST).await, local(now));
    assert_eq!(bench.origin.asked(), 1);
    let figures = bench.figures("object_data");
    assert!((21..=23).contains(&figures.patched), "{figures:?}");
    let (strategy, id) = bench.name(LIST);
    bench.clock.advance(1_000_000);
    bench.edits("1", "door", Some(&object("door", 8)));
    bench.text(LIST).await;
    let left = bench.cache.peek(strategy, &id).unwrap().left_ms;
    assert!(left <= 800_000, "its time began when it was loaded: {left}");
}

#[tokio::test(start_paused = true)]
async fn whatever_else_is_made_invalid_goes_before_a_list_that_keeps_up() {
    let floor = Invalidation::Floor(RoomId::new("1").unwrap());
    for what in [floor, Invalidation::All, Invalidation::Key(StrategyId(0), EntryId::new("x").unwrap())] {
        let bench = bench().await;
        let what = match what {
            Invalidation::Key(..) => Invalidation::Key(bench.name(LIST).0, bench.name(LIST).1),
            other => other,
        };
        bench.edits("1", "door", Some(&object("door", 1)));
        bench.cache.invalidate(&what);
        bench.origin.has("floor:1", "[1]");
        assert_eq!(bench.text(LIST).await, from_origin("[1]"), "{what:?} after the edit");
        settle().await;
        assert_eq!(bench.text(LIST).await, local("[1]"), "{what:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sets_is_never_changed_and_goes_before_a_list_that_keeps_up() {
    let bench = bench().await;
    bench.edits("1", "door", Some(&object("door", 1)));
    bench.put(LIST, "[]").await.unwrap();
    settle().await;
    assert_eq!(bench.text(LIST).await, local("[]"));
    bench.edits("1", "door", Some(&object("door", 2)));
    assert_eq!(bench.text(LIST).await.1, ServedFrom::Origin);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_keep_up_is_invalid() {
    let bench = bench().await;
    bench.origin.has("floor:2", r#"{"objects":[]}"#);
    bench.text("object_data/floor:2").await;
    bench.edits("2", "door", Some(&object("door", 1)));
    assert_eq!(bench.text("object_data/floor:2").await.1, ServedFrom::Origin, "no list of things");

    (0..=EDITS_MAX).for_each(|n| bench.edits("1", &format!("o{n}"), None));
    assert_eq!(bench.text(LIST).await.1, ServedFrom::Origin, "more edits than may wait");
    for n in 0..=EDITS_MAX as u64 {
        bench.edits("1", "door", Some(&object("door", n)));
    }
    assert_eq!(bench.text(LIST).await.1, ServedFrom::Local, "of one thing the last counts");

    bench.clock.advance(1_800_001);
    bench.edits("1", "door", None);
    assert_eq!(bench.text(LIST).await.1, ServedFrom::Origin, "its time was over");
}

#[tokio::test(start_paused = true)]
async fn while_others_are_not_heard_an_edit_only_makes_invalid() {
    let shared = Arc::new(FakeShared::default());
    let settings =
        CacheSettings { bytes_max: 64 << 20, loads_max: 8, load_timeout: Duration::from_secs(8), alone_ttl_ms: 30_000 };
    let bench = Bench::sharing(settings, Some(shared.clone()));
    bench.origin.has("floor:1", "[]");
    bench.text(LIST).await;
    bench.edits("1", "door", Some(&object("door", 1)));
    assert_eq!(bench.text(LIST).await.1, ServedFrom::Local);
    shared.set_down(true);
    bench.edits("1", "door", Some(&object("door", 2)));
    assert_eq!(bench.text(LIST).await.1, ServedFrom::Origin);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_list_that_is_being_changed_waits_for_a_short_time() {
    assert!(PATIENCE < Duration::from_secs(1));
    let bench = bench().await;
    bench.edits("1", "door", Some(&object("door", 1)));
    let began = tokio::time::Instant::now();
    assert_eq!(bench.preload(LIST).await, Preloaded::InFlight);
    assert_eq!(bench.text(LIST).await.1, ServedFrom::Local);
    assert!(began.elapsed() <= PATIENCE);
    assert_eq!(bench.preload(LIST).await, Preloaded::Resident);
}
