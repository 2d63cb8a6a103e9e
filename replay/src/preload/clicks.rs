//! Clicks on articles, made up from a seed, that reward or punish one way of predicting each.
//!
//! **Repeats**: people come back to what they looked at a moment ago, and what is in fashion changes. **Shift**: a shop
//! whose articles are rearranged in the middle, so that all that was learnt is wrong. **Uniform**: anybody clicks
//! anything, so there is nothing to learn, and whatever is loaded ahead is loaded for nothing.

use arxosrt_core::preload::Item;

use super::chance::Chance;
use super::trace::{Access, Trace};
use super::web::Web;

/// Looking, comparing, and looking again.
pub fn repeats(web: &Web) -> Trace {
    let mut chance = Chance::new(web.seed);
    let articles = web.pages.max(1);
    let sizes: Vec<u32> = (0..articles).map(|_| chance.around(20_000.0) as u32).collect();
    let mut accesses = Vec::new();
    for session in 0..web.sessions as u64 {
        let mut clock = Clock::new(session, &mut chance);
        // Every 2000 sessions other articles are in fashion, and people look at what is beside them.
        let fashion = (session / 2_000) as usize * 97;
        let shelf = (chance.zipf(articles) + fashion) % articles;
        let mut seen: Vec<usize> = vec![shelf];
        for _ in 0..2 + chance.below(9) {
            let article = if chance.percent(40) {
                seen[seen.len() - 1 - chance.zipf(seen.len())]
            } else {
                (shelf + chance.zipf(12)) % articles
            };
            seen.push(article);
            accesses.push(Access { at_ms: clock.next(&mut chance), session, user: None, item: article as Item });
        }
    }
    Trace::new(accesses, sizes, Vec::new())
}

/// A shop whose articles lead elsewhere after half of the sessions.
pub fn shift(web: &Web) -> Trace {
    let mut chance = Chance::new(web.seed);
    let articles = web.pages.max(1);
    let sizes: Vec<u32> = (0..articles).map(|_| chance.around(20_000.0) as u32).collect();
    let mut links =
        || -> Vec<[usize; 3]> { (0..articles).map(|_| std::array::from_fn(|_| chance.below(articles))).collect() };
    let (before, after) = (links(), links());
    let mut accesses = Vec::new();
    for session in 0..web.sessions {
        let links = if session < web.sessions / 2 { &before } else { &after };
        let mut clock = Clock::new(session as u64, &mut chance);
        let mut here = chance.below(articles);
        for _ in 0..2 + chance.below(9) {
            let at_ms = clock.next(&mut chance);
            accesses.push(Access { at_ms, session: session as u64, user: None, item: here as Item });
            let [first, second, third] = links[here];
            here = match chance.below(100) {
                0..60 => first,
                60..80 => second,
                80..90 => third,
                _ => chance.below(articles),
            };
        }
    }
    Trace::new(accesses, sizes, Vec::new())
}

/// Anybody clicks anything.
pub fn uniform(web: &Web) -> Trace {
    let mut chance = Chance::new(web.seed);
    let articles = web.pages.max(1);
    let sizes: Vec<u32> = (0..articles).map(|_| chance.around(20_000.0) as u32).collect();
    let mut accesses = Vec::new();
    for session in 0..web.sessions as u64 {
        let mut clock = Clock::new(session, &mut chance);
        for _ in 0..1 + chance.below(8) {
            let item = chance.below(articles) as Item;
            accesses.push(Access { at_ms: clock.next(&mut chance), session, user: None, item });
        }
    }
    Trace::new(accesses, sizes, Vec::new())
}

/// When the clicks of a session come.
struct Clock(u64);

impl Clock {
    fn new(session: u64, chance: &mut Chance) -> Self {
        Clock(session * 12_000 + chance.below(12_000) as u64)
    }

    fn next(&mut self, chance: &mut Chance) -> u64 {
        let at_ms = self.0;
        self.0 += chance.around(35_000.0).clamp(2_000.0, 900_000.0) as u64;
        at_ms
    }
}
