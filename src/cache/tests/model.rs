//! A shard beside a plain map that forgets nothing, with a clock that jumps.
//!
//! The shard may know less than the map at any time, for lack of room. What it does say must be what the map says.

use std::collections::HashMap;

use super::*;

const BYTES_MAX: u64 = 400;
const ITEMS_MAX: u64 = 12;

/// What the map knows of what was put last.
struct Known {
    value: Option<u64>,
    ends: u64,
    stale_ends: u64,
    soft_from: u64,
    marks: Vec<(usize, u64)>,
}

/// How often each tag was raised; the last three are everything and the two strategies.
struct Marks([u64; 7]);

const TAGS: [&str; 4] = ["floor:1", "floor:10", "building:b", "resource:1"];

impl Marks {
    fn of(&self, tags: &[usize], strategy: u16) -> Vec<(usize, u64)> {
        tags.iter().copied().chain([4, 5 + usize::from(strategy)]).map(|at| (at, self.0[at])).collect()
    }

    fn hold(&self, marks: &[(usize, u64)]) -> bool {
        marks.iter().all(|(at, mark)| self.0[*at] == *mark)
    }
}

/// A load between its beginning and its end.
struct Load {
    key: Key,
    captured: Captured,
    marks: Vec<(usize, u64)>,
}

fn run(seed: u64, steps: u32) {
    let mut kinds: Vec<Strategy> = strategies().iter().map(|(_, strategy)| strategy.clone()).collect();
    kinds[1].items_max = ITEMS_MAX;
    let mut bench = Bench::with(BYTES_MAX, Arc::new(Strategies::new(kinds).unwrap()));
    let mut chance = Chance(seed);
    let mut known: HashMap<Key, Known> = HashMap::new();
    let mut marks = Marks([0; 7]);
    let mut loads: Vec<Load> = Vec::new();
    let mut asked = [0_u64; 2];
    for step in 0..steps {
        let said = format!("seed {seed} step {step}");
        let strategy = chance.below(2) as u16;
        let wanted = key(strategy, chance.below(12) * chance.below(12));
        match chance.below(20) {
            0..8 => {
                asked[usize::from(strategy)] += 1;
                check(bench.local.get(&wanted, bench.now), known.get(&wanted), &marks, bench.now.0, &said);
            }
            8..11 => {
                let tags: Vec<usize> = (0..TAGS.len()).filter(|_| chance.below(3) == 0).collect();
                let named: Vec<Tag> = tags.iter().map(|at| Tag::named(TAGS[*at]).unwrap()).collect();
                let captured = bench.generations.capture(StrategyId(strategy), &named);
                loads.push(Load { key: wanted, captured, marks: marks.of(&tags, strategy) });
            }
            11..16 if !loads.is_empty() => {
                let load = loads.swap_remove(chance.below(loads.len() as u64) as usize);
                let value = (chance.below(10) > 0).then(|| u64::from(step));
                let (ttl_ms, stale_ms) = (1 + chance.below(5000), chance.below(2000) as u32);
                let soft_ms = (ttl_ms / 10) as u32;
                let source = (chance.below(3) == 0).then_some(1);
                let weight = 1 + chance.below(60) as u32;
                let entry =
                    Entry { weight, captured: load.captured, ttl_ms, soft_ms, stale_ms, load_cost_us: 0, source };
                let is_current = marks.hold(&load.marks);
                let put = bench.local.put(load.key.clone(), value, entry, bench.now);
                assert_eq!(put == Put::Outdated, !is_current, "{said}: {put:?}");
                if put == Put::Installed {
                    let ends = bench.now.0 + ttl_ms;
                    let stale_ends = ends + value.map_or(0, |_| u64::from(stale_ms));
                    let soft_from = ends - u64::from(soft_ms);
                    let now_known = Known { value, ends, stale_ends, soft_from, marks: load.marks };
                    check(bench.local.get(&load.key, bench.now), Some(&now_known), &marks, bench.now.0, &said);
                    asked[usize::from(load.key.strategy.0)] += 1;
                    assert!(bench.has(&load.key), "{said}: what was just put is there");
                    known.insert(load.key, now_known);
                } else if is_current && source.is_none() {
                    known.remove(&load.key);
                }
            }
            16 => {
                let leap_ms = if chance.below(50) == 0 { 200_000 } else { 800 };
                bench.now = bench.now.plus(chance.below(leap_ms));
            }
            17 => {
                let among = if chance.below(20) == 0 { 7 } else { 4 };
                let at = chance.below(among) as usize;
                marks.0[at] += 1;
                match at {
                    4 => bench.generations.bump_all(),
                    5 | 6 => bench.generations.bump_strategy(StrategyId(at as u16 - 5)),
                    _ => _ = bench.generations.bump(&Tag::named(TAGS[at]).unwrap()),
                }
            }
            18 => {
                bench.local.remove(&wanted, bench.now);
                known.remove(&wanted);
            }
            _ => _ = bench.local.sweep(bench.now, chance.below(30) as u32),
        }
        whole(&bench, &asked, &said);
    }
    assert!(bench.local.stats()[0].hits > 100, "seed {seed}: the test asked for what is there");
}

/// What was found is nothing but what the map knows.
fn check(found: Found<u64>, known: Option<&Known>, marks: &Marks, now: u64, said: &str) {
    let Some(known) = known.filter(|known| marks.hold(&known.marks)) else {
        return assert_eq!(found, Found::Missing, "{said}");
    };
    match found {
        Found::Fresh(hit) => {
            assert_eq!(Some(hit.value), known.value, "{said}");
            assert!(now < known.soft_from, "{said}");
            assert_eq!(hit.left_ms, known.ends - now, "{said}");
        }
        Found::Soft(hit) => {
            assert_eq!(Some(hit.value), known.value, "{said}");
            assert!((known.soft_from..known.ends).contains(&now), "{said}");
        }
        Found::Stale(hit) => {
            assert_eq!(Some(hit.value), known.value, "{said}");
            assert!((known.ends..known.stale_ends).contains(&now), "{said}");
        }
        Found::Negative => assert!(known.value.is_none() && now < known.ends, "{said}"),
        Found::Missing => {}
    }
}

/// Sums agree and bounds hold.
fn whole(bench: &Bench, asked: &[u64; 2], said: &str) {
    let local = &bench.local;
    assert!(local.bytes() <= BYTES_MAX, "{said}: {} bytes", local.bytes());
    assert!(local.probation_bytes() <= BYTES_MAX / 10, "{said}");
    let (page, next) = local.page(0, usize::MAX, &Filter::default(), bench.now);
    assert_eq!((page.len(), next), (local.len(), None), "{said}");
    assert_eq!(page.iter().map(|entry| entry.weight).sum::<u64>(), local.bytes(), "{said}");
    for (at, stats) in local.stats()[..2].iter().enumerate() {
        let own: Vec<&Summary> = page.iter().filter(|entry| usize::from(entry.key.strategy.0) == at).collect();
        assert_eq!(stats.asked(), asked[at], "{said}");
        assert_eq!(stats.installed - stats.left.total(), stats.entries, "{said}");
        assert_eq!(stats.entries, own.len() as u64, "{said}");
        assert_eq!(stats.bytes, own.iter().map(|entry| entry.weight).sum::<u64>(), "{said}");
        let unused = own.iter().filter(|entry| entry.unused_source.is_some()).count() as u64;
        assert_eq!(unused, own.iter().filter(|entry| entry.place == Place::Probation).count() as u64, "{said}");
        assert_eq!(stats.preloaded - stats.preloaded_used - stats.preloaded_wasted.total(), unused, "{said}");
        if at == 1 {
            assert!(stats.entries <= ITEMS_MAX, "{said}");
        }
    }
}

#[test]
fn a_shard_never_says_more_than_a_plain_map() {
    for seed in 1..=20 {
        run(seed, 6_000);
    }
}
