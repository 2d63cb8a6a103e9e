//! Who stays and who goes.

use super::*;

#[test]
fn a_scan_passes_by_what_is_in_use() {
    let mut bench = Bench::new(1000);
    for _ in 0..4 {
        (0..500).for_each(|id| _ = bench.read_through(&key(0, id)));
    }
    (1_000_000..1_020_000).for_each(|id| _ = bench.read_through(&key(0, id)));
    let stayed = (0..500).filter(|id| bench.read_through(&key(0, *id))).count();
    assert!(stayed >= 498, "{stayed} of 500");
}

#[test]
fn nothing_stays_for_ever() {
    for (idol, others) in [(0, 0), (1, 0), (2, 0), (2, 2)] {
        let mut bench = Bench::new(1000);
        let forgotten = key(idol, 0);
        for _ in 0..50 {
            bench.read_through(&forgotten);
        }
        // Others come and prove themselves, asked for twice after they were loaded; nobody asks for the first any more.
        let gone_after = (1..20_000).find(|id| {
            (0..3).for_each(|_| _ = bench.read_through(&key(others, *id)));
            !bench.has(&forgotten)
        });
        let turnovers = gone_after.expect("it leaves") / 1000;
        assert!(turnovers <= 4, "strategy {idol} left after {turnovers} times as many as there is room for");
        assert!((idol, others) != (2, 0) || turnovers >= 3, "a critical one got only {turnovers}");
    }
}

#[test]
fn what_is_important_outlives_what_is_not() {
    let mut bench = Bench::new(1000);
    // All prove themselves alike.
    for strategy in [0, 1] {
        for id in 0..400 {
            (0..3).for_each(|_| _ = bench.read_through(&key(strategy, id)));
        }
    }
    for id in 1000..2500 {
        (0..3).for_each(|_| _ = bench.read_through(&key(0, id)));
    }
    let stayed = |strategy| (0..400).filter(|id| bench.has(&key(strategy, *id))).count();
    assert!(stayed(1) > stayed(0) + 100, "{} important ones and {} others", stayed(1), stayed(0));
}

#[test]
fn what_was_loaded_ahead_has_two_minutes_and_a_tenth_of_the_room() {
    let mut bench = Bench::new(1000);
    (0..900).for_each(|id| _ = bench.read_through(&key(0, id)));
    for id in 5000..5100 {
        assert_eq!(bench.preload(&key(1, id)), Put::Installed);
    }
    assert_eq!(bench.preload(&key(1, 6000)), Put::NoRoom);
    assert_eq!(bench.local.probation_bytes(), 100);

    // Ten times as much as there is room for is asked for meanwhile.
    bench.now = bench.now.plus(PROBATION_MS);
    (10_000..20_000).for_each(|id| _ = bench.read_through(&key(0, id)));
    assert!((5000..5100).all(|id| bench.has(&key(1, id))), "within its time nothing is taken");

    // The first ask makes a newcomer of one.
    let Found::Fresh(hit) = bench.local.get(&key(1, 5000), bench.now) else { panic!("it is there") };
    assert_eq!(hit.first_use_of, Some(3));
    let Found::Fresh(hit) = bench.local.get(&key(1, 5000), bench.now) else { panic!("it is there") };
    assert_eq!(hit.first_use_of, None);
    assert_eq!(bench.local.peek(&key(1, 5000), bench.now).unwrap().place, Place::Small);
    assert_eq!(bench.local.probation_bytes(), 99);

    bench.now = bench.now.plus(2000);
    (20_000..20_100).for_each(|id| _ = bench.read_through(&key(0, id)));
    assert_eq!(bench.local.probation_bytes(), 0, "after their time they go first");
    let stats = bench.local.stats()[1];
    assert_eq!((stats.preloaded, stats.preloaded_used), (100, 1));
    assert_eq!(stats.preloaded_wasted.of(Reason::Space), 99);
}

#[test]
fn a_strategy_at_its_bound_gives_up_its_own_coldest() {
    let mut kinds: Vec<Strategy> = strategies().iter().map(|(_, strategy)| strategy.clone()).collect();
    kinds[1].items_max = 10;
    let mut bench = Bench::with(1000, Arc::new(Strategies::new(kinds).unwrap()));
    (0..100).for_each(|id| _ = bench.read_through(&key(0, id)));
    (0..10).for_each(|id| _ = bench.read_through(&key(1, id)));
    bench.read_through(&key(1, 0));
    bench.read_through(&key(1, 2));
    (10..13).for_each(|id| _ = bench.read_through(&key(1, id)));
    let there: Vec<u64> = (0..13).filter(|id| bench.has(&key(1, *id))).collect();
    assert_eq!(there, [0, 2, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(bench.local.stats()[0].left.total(), 0, "nobody else lost anything");
    assert_eq!(bench.local.stats()[1].left.of(Reason::Items), 3);
}

#[test]
fn over_all_shards_a_strategy_has_no_more_than_its_bound() {
    let mut kinds: Vec<Strategy> = strategies().iter().map(|(_, strategy)| strategy.clone()).collect();
    kinds[1].items_max = 10;
    let generations = Generations::new(1);
    let settings = Settings { bytes_max: 100_000, entry_overhead: 0 };
    let shards: Shards<u64> = Shards::new(settings, 16, Arc::new(Strategies::new(kinds).unwrap()), generations, 1);
    for id in 0..1000 {
        let captured = shards.generations().capture(StrategyId(1), &[]);
        let entry = Entry { weight: 1, captured, ttl_ms: 10, soft_ms: 0, stale_ms: 0, load_cost_us: 0, source: None };
        assert_eq!(shards.put(key(1, id), Some(id), entry, Mono(0)), Put::Installed);
        assert_eq!(shards.len() as u64, (id + 1).min(10));
    }
}

#[test]
fn what_is_secret_or_too_heavy_is_not_kept() {
    let mut bench = Bench::new(1000);
    assert_eq!(bench.put(&key(3, 1)), Put::Sensitive);
    let (plan, heavy) = (key(0, 1), |bench: &Bench, weight| Entry { weight, ..bench.entry(&key(0, 1)) });
    let entry = heavy(&bench, 250);
    assert_eq!(bench.local.put(plan.clone(), Some(1), entry, bench.now), Put::Installed);
    let entry = heavy(&bench, 251);
    assert_eq!(bench.local.put(plan.clone(), Some(2), entry, bench.now), Put::TooLarge);
    assert!(!bench.has(&plan), "what it would have replaced is out of date");
    let entry = Entry { source: Some(1), ..heavy(&bench, 101) };
    assert_eq!(bench.local.put(plan, Some(3), entry, bench.now), Put::TooLarge);
    assert_eq!(bench.local.len(), 0);
}

#[test]
fn what_is_wanted_keeps_its_place_when_it_is_loaded_anew() {
    let mut bench = Bench::new(100);
    let plan = key(0, 1);
    (0..4).for_each(|_| _ = bench.read_through(&plan));
    bench.put(&plan);
    assert_eq!(bench.local.peek(&plan, bench.now).unwrap().uses, USES_MAX);
    let mut entry = bench.entry(&plan);
    entry.ttl_ms = 10;
    bench.local.put(plan.clone(), Some(1), entry, bench.now);
    bench.now = bench.now.plus(11);
    assert!(!bench.read_through(&plan));
    assert_eq!(bench.local.peek(&plan, bench.now).unwrap().place, Place::Main, "its time was over, not its use");
    assert_eq!(bench.preload(&plan), Put::Installed);
    assert_eq!(bench.local.peek(&plan, bench.now).unwrap().unused_source, None, "somebody had asked already");
}

#[test]
fn a_page_goes_over_everything_once() {
    let generations = Generations::new(1);
    let settings = Settings { bytes_max: 100_000, entry_overhead: 10 };
    let shards: Shards<u64> = Shards::new(settings, 4, strategies(), generations, 1);
    for id in 0..5000 {
        let tag = Tag::named(if id % 5 == 0 { "floor:1" } else { "floor:10" }).unwrap();
        let captured = shards.generations().capture(StrategyId(0), &[tag]);
        let entry = Entry { weight: 1, captured, ttl_ms: 10, soft_ms: 0, stale_ms: 0, load_cost_us: 0, source: None };
        shards.put(key(0, id), Some(id), entry, Mono(0));
    }
    let filter = Filter { tag: Some(Tag::named("floor:1").unwrap()), ..Filter::default() };
    let (mut ids, mut from) = (Vec::new(), Some(Cursor::default()));
    while let Some(cursor) = from {
        let (page, next) = shards.page(cursor, 100, &filter, Mono(0));
        assert!(page.len() <= 100 && page.iter().all(|entry| entry.weight == 11));
        ids.extend(page.into_iter().map(|entry| entry.key.id.as_str().parse::<u64>().unwrap()));
        from = next;
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..5000).step_by(5).collect::<Vec<u64>>());
    assert_eq!(shards.sweep(Mono(9), 10_000), 0);
    let swept: u32 = (0..4).map(|_| shards.sweep(Mono(10), 10_000)).sum();
    assert_eq!((swept, shards.len(), shards.bytes(), shards.generations().tags()), (5000, 0, 0, 0));
}

#[test]
fn what_could_not_be_served_any_more_does_not_count_as_gone_for_want_of_room() {
    let mut bench = Bench::new(1000);
    (0..900).for_each(|id| _ = bench.read_through(&key(0, id)));
    bench.generations.bump_strategy(StrategyId(0));
    (0..5000).for_each(|id| _ = bench.read_through(&key(1, id)));
    let left = bench.local.stats()[0].left;
    assert_eq!((left.of(Reason::Space), left.of(Reason::Invalidated)), (0, 900));
    assert!(bench.local.stats()[1].left.of(Reason::Space) > 0);
}
