//! One trace, one policy: what would have happened?
//!
//! Accesses come in the order of their time. What is not there is loaded at once for the one who asked; what a policy
//! chooses arrives after the fetch delay. Asked for before that it is late: a miss, of which a part was saved.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use arxosrt_core::preload::engine::World;
use arxosrt_core::preload::planner::Cost;
use arxosrt_core::preload::{Item, Outcome, Served, Source, Waste};
use arxosrt_core::time::Mono;
use foldhash::fast::FixedState;

use super::cache::{Ahead, Cache};
use super::trace::{Access, Trace};

/// What surrounds the policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    /// The size of the cache in percent of the size of all items.
    pub cache_percent: f64,
    /// How long a load takes.
    pub fetch_ms: u64,
    /// Chooses what is left to chance.
    pub seed: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { cache_percent: 5.0, fetch_ms: 1_000, seed: 1 }
    }
}

impl Setup {
    /// The size of the cache for a trace.
    pub fn cache_bytes(&self, trace: &Trace) -> u64 {
        (trace.bytes_of_all() as f64 * self.cache_percent / 100.0) as u64
    }
}

/// What a policy sees.
pub struct View<'a> {
    trace: &'a Trace,
    cache: &'a Cache,
    under_way: &'a HashMap<Item, (u64, Source), FixedState>,
    fetch_ms: u64,
}

impl View<'_> {
    /// It is on its way.
    pub fn is_under_way(&self, item: Item) -> bool {
        self.under_way.contains_key(&item)
    }
}

impl World for View<'_> {
    fn is_resident(&self, item: Item) -> bool {
        self.cache.has(item)
    }

    fn cost(&self, item: Item) -> Cost {
        Cost { bytes: self.trace.bytes(item), load_ms: self.fetch_ms }
    }
}

/// Who chooses what is loaded ahead.
pub trait Policy {
    /// Somebody asked for something, which has been answered; what else is to be loaded?
    fn visit(&mut self, at: usize, access: &Access, view: &View<'_>) -> Vec<(Item, Source)>;

    /// So many bytes were asked for.
    fn demanded(&mut self, _session: u64, _bytes: u64, _served: Served) {}

    /// What was chosen has arrived.
    fn finished(&mut self, _item: Item, _bytes: u64) {}

    /// What became of it.
    fn ended(&mut self, _item: Item, _source: Source, _outcome: Outcome, _bytes: u64, _now: Mono) {}
}

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Accesses.
    pub asked: u64,
    /// Of them there.
    pub hits: u64,
    /// Of them on their way.
    pub late: u64,
    /// Things loaded ahead.
    pub preloads: u64,
    /// Of them used in time.
    pub used: u64,
    /// Bytes asked for.
    pub asked_bytes: u64,
    /// Bytes loaded because they were asked for.
    pub demand_bytes: u64,
    /// Bytes loaded ahead.
    pub preload_bytes: u64,
    /// Bytes loaded ahead that nobody asked for.
    pub wasted_bytes: u64,
    /// Time that the policy took for each access, in nanoseconds.
    pub ns_per_access: u64,
}

impl Figures {
    /// Hits of a hundred accesses.
    pub fn hit_percent(&self) -> f64 {
        percent(self.hits, self.asked)
    }

    /// Accesses of a hundred that came too early.
    pub fn late_percent(&self) -> f64 {
        percent(self.late, self.asked)
    }

    /// Preloads of a hundred that were used in time.
    pub fn precision_percent(&self) -> f64 {
        percent(self.used, self.preloads)
    }

    /// Of a hundred accesses that would have been misses, those that a preload answered.
    pub fn recall_percent(&self) -> f64 {
        percent(self.used, self.used + self.asked - self.hits)
    }

    /// Bytes loaded ahead for a hundred that were loaded because they were asked for.
    pub fn extra_percent(&self) -> f64 {
        percent(self.preload_bytes, self.demand_bytes)
    }

    /// Wasted bytes for a hundred that were loaded because they were asked for.
    pub fn wasted_percent(&self) -> f64 {
        percent(self.wasted_bytes, self.demand_bytes)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// Runs a trace through a cache and a policy.
pub fn run(trace: &Trace, setup: &Setup, policy: &mut impl Policy) -> Figures {
    let mut cache = Cache::new(setup.cache_bytes(trace));
    let mut under_way: HashMap<Item, (u64, Source), FixedState> = HashMap::default();
    let mut arrivals: VecDeque<(u64, Item)> = VecDeque::new();
    let mut figures = Figures::default();
    let mut spent_ns = 0;
    for (at, access) in trace.accesses.iter().enumerate() {
        let now = mono(access);
        while arrivals.front().is_some_and(|(due, _)| *due <= access.at_ms) {
            let Some((_, item)) = arrivals.pop_front() else { break };
            // One that was asked for in the meantime has arrived already.
            let Some((_, source)) = under_way.remove(&item) else { continue };
            let bytes = trace.bytes(item);
            policy.finished(item, bytes);
            wasted(&mut figures, policy, cache.put(item, bytes, Some(Ahead { source })), now);
        }
        let bytes = trace.bytes(access.item);
        figures.asked += 1;
        figures.asked_bytes += bytes;
        let served = match cache.ask(access.item) {
            Some(ahead) => {
                figures.hits += 1;
                if let Some(Ahead { source }) = ahead {
                    figures.used += 1;
                    policy.ended(access.item, source, Outcome::Used { saved_ms: setup.fetch_ms }, bytes, now);
                }
                Served::Hit
            }
            None => {
                let served = match under_way.remove(&access.item) {
                    // Its bytes are counted as those of a preload, once.
                    Some((due, source)) => {
                        figures.late += 1;
                        policy.finished(access.item, bytes);
                        let saved_ms = setup.fetch_ms.saturating_sub(due.saturating_sub(access.at_ms));
                        policy.ended(access.item, source, Outcome::Late { saved_ms }, bytes, now);
                        Served::Late
                    }
                    None => {
                        figures.demand_bytes += bytes;
                        Served::Loaded
                    }
                };
                wasted(&mut figures, policy, cache.put(access.item, bytes, None), now);
                served
            }
        };
        policy.demanded(access.session, bytes, served);
        let view = View { trace, cache: &cache, under_way: &under_way, fetch_ms: setup.fetch_ms };
        let start = Instant::now();
        let chosen = policy.visit(at, access, &view);
        spent_ns += start.elapsed().as_nanos() as u64;
        for (item, source) in chosen {
            if cache.has(item) || under_way.contains_key(&item) {
                continue;
            }
            figures.preloads += 1;
            figures.preload_bytes += trace.bytes(item);
            let due = access.at_ms + setup.fetch_ms;
            under_way.insert(item, (due, source));
            arrivals.push_back((due, item));
        }
    }
    figures.wasted_bytes += cache.unused().map(|(_, bytes)| bytes).sum::<u64>();
    figures.wasted_bytes += under_way.keys().map(|item| trace.bytes(*item)).sum::<u64>();
    figures.ns_per_access = spent_ns / figures.asked.max(1);
    figures
}

fn wasted(figures: &mut Figures, policy: &mut impl Policy, gone: Vec<(Item, u64, Ahead)>, now: Mono) {
    for (item, bytes, ahead) in gone {
        figures.wasted_bytes += bytes;
        policy.ended(item, ahead.source, Outcome::Wasted(Waste::Evicted), bytes, now);
    }
}

/// The time of an access as the core knows it.
pub fn mono(access: &Access) -> Mono {
    Mono(access.at_ms)
}
