//! What was hot is hot again after a restart.

use super::*;
use crate::jobs::loader::CacheLoader;
use crate::jobs::{Item, Jobs, Kind, Order};

#[tokio::test]
async fn what_people_used_is_loaded_again_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(warm::FILE);
    let before = Bench::start();
    let hot = warm::Hot::new(before.cache.clone(), dir.path());
    for floor in ["f1", "f2", "f 3"] {
        before.origin.has(floor, "plan");
        before.text(&format!("floor_data/{floor}")).await;
    }
    // Used twice: hot. `f2` was asked for once, and is not.
    for floor in ["f1", "f 3"] {
        before.text(&format!("floor_data/{floor}")).await;
    }
    hot.save();
    assert!(!file.exists(), "before what the last run left is loaded, nothing takes its place");
    hot.warm().await;
    hot.save();
    let saved = std::fs::read_to_string(&file).unwrap();
    assert!(!saved.contains("plan"), "names, never values");

    let after = Bench::start();
    for floor in ["f1", "f2", "f 3"] {
        after.origin.has(floor, "plan");
    }
    warm::Hot::new(after.cache.clone(), dir.path()).warm().await;
    assert_eq!(after.origin.asked(), 2);
    assert_eq!(after.text("floor_data/f1").await, local("plan"));
    assert_eq!(after.text("floor_data/f 3").await, local("plan"));
}

#[tokio::test]
async fn a_file_that_says_nonsense_warms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(warm::FILE);
    let bench = Bench::start();
    std::fs::write(&file, "floor_data\tf1\nnonsense\nnothing\tx\nfloor_data\t\nuser_session\ts1\n").unwrap();
    bench.origin.has("f1", "plan");
    warm::Hot::new(bench.cache.clone(), dir.path()).warm().await;
    assert_eq!(bench.origin.asked(), 1);
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    warm::Hot::new(bench.cache.clone(), dir.path()).warm().await;
    assert_eq!(bench.origin.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_floors_of_a_job_are_there_one_after_the_other_and_not_all_at_its_end() {
    let bench = Bench::start();
    bench.origin.takes(Duration::from_secs(1));
    let names: Vec<String> = (0..20).map(|n| format!("f{n}")).collect();
    let items = names.iter().map(|name| {
        bench.origin.has(name, "plan");
        Item::Floor(RoomId::new(name).unwrap())
    });
    let order = Order {
        kind: Kind::Preload,
        target: "test".into(),
        by: "test".into(),
        reason: None,
        items: items.collect(),
        if_missing: true,
    };
    let loader = CacheLoader { cache: bench.cache.clone(), directory: Arc::default() };
    let jobs = Jobs::new(Arc::new(loader), bench.cache.ahead_max());
    let job = jobs.start(order).unwrap();
    // A floor has four parts, and two values are loaded ahead at a time.
    tokio::time::sleep(Duration::from_millis(20_500)).await;
    let progress = job.progress();
    assert!((8..=12).contains(&progress.done) && progress.bytes > 0, "half of the time: {progress:?}");
    assert_eq!(job.wait().await.done, 20);
}
