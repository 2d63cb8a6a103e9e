//! A load that began before an invalidation leaves nothing behind, in whatever order the two end.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

fn floor(id: &str) -> Tag {
    Tag::named(&format!("floor:{id}")).unwrap()
}

#[test]
fn what_was_loaded_before_an_invalidation_is_not_kept_after_it() {
    let mut bench = Bench::new(100);
    let plan = key(0, 1);
    let load = |bench: &Bench| Entry {
        captured: bench.generations.capture(plan.strategy, &[floor("1")]),
        ..bench.entry(&plan)
    };

    // The invalidation comes while the load is under way.
    let entry = load(&bench);
    assert_eq!(bench.generations.bump(&floor("1")), 0, "nothing that is kept had it");
    assert_eq!(bench.local.put(plan.clone(), Some(1), entry, bench.now), Put::Outdated);
    assert_eq!(bench.local.get(&plan, bench.now), Found::Missing);

    // It comes when what was loaded has just been kept.
    let entry = load(&bench);
    assert_eq!(bench.local.put(plan.clone(), Some(2), entry, bench.now), Put::Installed);
    assert_eq!(bench.generations.bump(&floor("10")), 0, "another floor, whatever its name begins with");
    assert_eq!(bench.local.get(&plan, bench.now).served(), Some(2));
    assert_eq!(bench.generations.bump(&floor("1")), 1);
    assert_eq!(bench.local.get(&plan, bench.now), Found::Missing);
    assert_eq!(bench.local.len(), 0, "what can no longer be given out goes when it is met");
}

/// Numbers that rise, each with its tag, and a cache in front of them.
struct World {
    shards: Shards<u64>,
    tags: Vec<Tag>,
    origin: Vec<AtomicU64>,
    /// What each number was at least when its tag was last raised.
    raised: Vec<AtomicU64>,
}

const NUMBERS: u64 = 8;

impl World {
    /// Raises numbers, and their tags after them.
    fn write(&self, seed: u64) {
        let mut chance = Chance(seed);
        for _ in 0..20_000 {
            let at = chance.below(NUMBERS) as usize;
            let number = self.origin[at].fetch_add(1, Ordering::SeqCst) + 1;
            self.shards.generations().bump(&self.tags[at]);
            self.raised[at].fetch_max(number, Ordering::SeqCst);
        }
    }

    /// Reads through the cache. Nothing is found that is older than what had been raised before it was asked for.
    fn read(&self, seed: u64) {
        let mut chance = Chance(seed);
        for _ in 0..40_000 {
            let at = chance.below(NUMBERS) as usize;
            let key = key(0, at as u64);
            let at_least = self.raised[at].load(Ordering::SeqCst);
            if let Some(found) = self.shards.get(&key, Mono(0)).served() {
                assert!(found >= at_least, "seed {seed}: found {found}, {at_least} had been raised");
                continue;
            }
            let captured = self.shards.generations().capture(key.strategy, &self.tags[at..=at]);
            let value = self.origin[at].load(Ordering::SeqCst);
            let entry =
                Entry { weight: 1, captured, ttl_ms: 9, soft_ms: 0, stale_ms: 0, load_cost_us: 0, source: None };
            self.shards.put(key, Some(value), entry, Mono(0));
        }
    }
}

#[test]
fn nobody_finds_what_is_older_than_an_invalidation_that_is_over() {
    let settings = Settings { bytes_max: 1000, entry_overhead: 0 };
    let numbers = || (0..NUMBERS).map(|_| AtomicU64::new(0)).collect();
    let world = World {
        shards: Shards::new(settings, 4, strategies(), Generations::new(3), 3),
        tags: (0..NUMBERS).map(|at| floor(&at.to_string())).collect(),
        origin: numbers(),
        raised: numbers(),
    };
    std::thread::scope(|scope| {
        let world = &world;
        for seed in 0..2 {
            scope.spawn(move || world.write(seed));
            scope.spawn(move || world.read(seed + 100));
        }
    });
    for at in 0..NUMBERS {
        if let Some(found) = world.shards.get(&key(0, at), Mono(0)).served() {
            assert_eq!(found, world.origin[at as usize].load(Ordering::SeqCst));
        }
    }
}
