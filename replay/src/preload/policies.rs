//! Who chooses: the preloader of the daemon, simple rules, and one that knows the future.
//!
//! The simple rules may spend what they are given ([`Allowance`]) and are otherwise as good as their rule can be.

use std::collections::HashMap;

use arxosrt_core::preload::engine::{Engine, Visit, World};
use arxosrt_core::preload::structure::Structure;
use arxosrt_core::preload::{Item, Outcome, Served, Settings, Source};
use arxosrt_core::time::Mono;
use foldhash::fast::FixedState;

use super::simulate::{Policy, Setup, View, mono};
use super::trace::{Access, Trace};

/// Bytes that may be loaded ahead: a share of those that were asked for.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    share: f64,
    left: f64,
}

impl Allowance {
    /// What is left grows by `share` of each byte that is asked for, from `start`.
    pub fn new(share: f64, start: f64) -> Self {
        Allowance { share, left: start }
    }

    fn take(&mut self, bytes: u64) -> bool {
        let fits = bytes as f64 <= self.left;
        if fits {
            self.left -= bytes as f64;
        }
        fits
    }
}

/// Nothing is loaded ahead.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Policy for Nothing {
    fn visit(&mut self, _at: usize, _access: &Access, _view: &View<'_>) -> Vec<(Item, Source)> {
        Vec::new()
    }
}

/// The daemon's own preloader.
pub struct Ours {
    /// The very code that the daemon decides with.
    pub engine: Engine,
}

impl Ours {
    /// With the settings that a daemon has by itself. Only no session is left without preloading to show how that is: a
    /// replay knows.
    pub fn new(trace: &Trace, setup: &Setup) -> Self {
        let defaults = Settings::for_cache(setup.cache_bytes(trace));
        let settings = Settings { seed: setup.seed, holdout_permille: 0, ..defaults };
        Ours::with(settings, trace)
    }

    /// With other settings.
    pub fn with(settings: Settings, trace: &Trace) -> Self {
        Ours { engine: Engine::new(settings, Structure::new(&trace.buildings)) }
    }
}

impl Policy for Ours {
    fn visit(&mut self, _at: usize, access: &Access, view: &View<'_>) -> Vec<(Item, Source)> {
        let visit = Visit { user: access.user, session: access.session, item: access.item };
        let choices = self.engine.visit(visit, view, mono(access));
        choices.into_iter().map(|choice| (choice.item, choice.source)).collect()
    }

    fn demanded(&mut self, session: u64, bytes: u64, served: Served) {
        self.engine.demanded(session, bytes, served);
    }

    fn finished(&mut self, item: Item, bytes: u64) {
        self.engine.finished(item, bytes);
    }

    fn ended(&mut self, item: Item, source: Source, outcome: Outcome, bytes: u64, now: Mono) {
        self.engine.ended(item, source, outcome, bytes, now);
    }
}

/// How a simple rule finds what to load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The floors above and below, the nearest first.
    Adjacent,
    /// What was asked for most.
    Popular,
    /// What came after this most often, if it did so in this share of the cases.
    Markov {
        /// The share.
        least: f64,
    },
    /// What this session will ask for next.
    Oracle,
}

/// A simple rule.
pub struct Simple<'a> {
    rule: Rule,
    most: usize,
    allowance: Allowance,
    trace: &'a Trace,
    next: Vec<Option<Item>>,
    counts: HashMap<Item, u32, FixedState>,
    /// The most popular, in order; made anew now and then.
    popular: Vec<Item>,
    follows: HashMap<Item, HashMap<Item, u32, FixedState>, FixedState>,
    last: HashMap<u64, Item, FixedState>,
}

/// After so many accesses the order of popularity is made anew.
const POPULAR_EVERY: usize = 256;

impl<'a> Simple<'a> {
    /// A rule that loads at most `most` things for one access.
    pub fn new(rule: Rule, most: usize, allowance: Allowance, trace: &'a Trace) -> Self {
        let next = if rule == Rule::Oracle { nexts(trace) } else { Vec::new() };
        Simple {
            rule,
            most,
            allowance,
            trace,
            next,
            counts: HashMap::default(),
            popular: Vec::new(),
            follows: HashMap::default(),
            last: HashMap::default(),
        }
    }

    fn learn(&mut self, at: usize, access: &Access) {
        match self.rule {
            Rule::Popular => {
                *self.counts.entry(access.item).or_default() += 1;
                if at.is_multiple_of(POPULAR_EVERY) {
                    self.popular = ranked(self.counts.iter().map(|(item, count)| (*item, *count)));
                }
            }
            Rule::Markov { .. } => {
                if let Some(last) = self.last.insert(access.session, access.item)
                    && last != access.item
                {
                    *self.follows.entry(last).or_default().entry(access.item).or_default() += 1;
                }
            }
            Rule::Adjacent | Rule::Oracle => {}
        }
    }

    fn candidates(&self, at: usize, here: Item) -> Vec<Item> {
        match self.rule {
            Rule::Adjacent => adjacent(self.trace, here),
            Rule::Popular => self.popular.iter().take(1_000).copied().collect(),
            Rule::Markov { least } => {
                let Some(follows) = self.follows.get(&here) else { return Vec::new() };
                let all: u32 = follows.values().sum();
                let enough = follows.iter().filter(|(_, count)| f64::from(**count) >= least * f64::from(all));
                ranked(enough.map(|(item, count)| (*item, *count)))
            }
            Rule::Oracle => self.next[at].into_iter().collect(),
        }
    }
}

impl Policy for Simple<'_> {
    fn visit(&mut self, at: usize, access: &Access, view: &View<'_>) -> Vec<(Item, Source)> {
        self.learn(at, access);
        let mut chosen = Vec::new();
        for item in self.candidates(at, access.item) {
            if chosen.len() == self.most {
                break;
            }
            let is_there = item == access.item || view.is_resident(item) || view.is_under_way(item);
            if !is_there && self.allowance.take(self.trace.bytes(item)) {
                chosen.push((item, Source::OneStep));
            }
        }
        chosen
    }

    fn demanded(&mut self, _session: u64, bytes: u64, _served: Served) {
        self.allowance.left += self.allowance.share * bytes as f64;
    }
}

/// The items of these counts, the largest first.
fn ranked(counts: impl Iterator<Item = (Item, u32)>) -> Vec<Item> {
    let mut ranked: Vec<_> = counts.collect();
    ranked.sort_unstable_by_key(|(item, count)| (std::cmp::Reverse(*count), *item));
    ranked.into_iter().map(|(item, _)| item).collect()
}

fn adjacent(trace: &Trace, here: Item) -> Vec<Item> {
    let found = trace.buildings.iter().find_map(|building| {
        let at = building.floors.iter().position(|(item, _)| *item == here)?;
        Some((building, at))
    });
    let Some((building, at)) = found else { return Vec::new() };
    let beside = |away: usize| [building.floors.get(at + away), at.checked_sub(away).map(|at| &building.floors[at])];
    (1..=2).flat_map(beside).flatten().map(|(item, _)| *item).collect()
}

/// What each access's session asks for next.
fn nexts(trace: &Trace) -> Vec<Option<Item>> {
    let mut later: HashMap<u64, Item, FixedState> = HashMap::default();
    let mut nexts: Vec<_> =
        trace.accesses.iter().rev().map(|access| later.insert(access.session, access.item)).collect();
    nexts.reverse();
    nexts
}
