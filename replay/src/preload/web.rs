//! People reading a web site or clicking through a shop, made up from a seed.
//!
//! A **site** has pages of very different popularity, links between them, and pictures that come with a page within a
//! second or two and are fetched once per session, as browsers do. A **shop** has articles that are looked at together
//! more or less often, and nothing else that ties them.

use arxosrt_core::preload::Item;

use super::chance::Chance;
use super::trace::{Access, Trace};

/// The traffic to make up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Web {
    /// Pages, or articles.
    pub pages: usize,
    /// Sessions.
    pub sessions: usize,
    /// Repeats it.
    pub seed: u64,
}

impl Default for Web {
    fn default() -> Self {
        Web { pages: 800, sessions: 12_000, seed: 1 }
    }
}

struct Page {
    pictures: Vec<Item>,
    links: Vec<usize>,
}

/// A site with pictures.
pub fn site(web: &Web) -> Trace {
    let mut chance = Chance::new(web.seed);
    let pages = web.pages.max(1);
    let mut sizes: Vec<u32> = (0..pages).map(|_| chance.around(6_000.0) as u32).collect();
    // A few pictures are on many pages, the rest on one.
    let common: Vec<Item> = (0..12).map(|at| (pages + at) as Item).collect();
    sizes.extend(common.iter().map(|_| 2_000));
    let mut plan = Vec::with_capacity(pages);
    for _ in 0..pages {
        let mut pictures: Vec<Item> = (0..chance.below(3)).map(|_| common[chance.zipf(common.len())]).collect();
        for _ in 0..chance.below(6) {
            pictures.push(sizes.len() as Item);
            sizes.push(chance.around(12_000.0) as u32);
        }
        let links = (0..3 + chance.below(10)).map(|_| chance.zipf(pages)).collect();
        plan.push(Page { pictures, links });
    }
    let mut accesses = Vec::new();
    for session in 0..web.sessions as u64 {
        let user = Some(chance.zipf(web.sessions / 2) as u64);
        let mut at_ms = session * 15_000 + chance.below(15_000) as u64;
        let mut page = chance.zipf(pages);
        let mut fetched: Vec<Item> = Vec::new();
        loop {
            accesses.push(Access { at_ms, session, user, item: page as Item });
            let mut picture_ms = at_ms;
            for (at, picture) in plan[page].pictures.iter().enumerate() {
                if fetched.contains(picture) {
                    continue;
                }
                // Pictures come over several connections, so not quite in their order.
                picture_ms += 200 + chance.around(900.0).min(6_000.0) as u64;
                let early = if at > 0 && chance.percent(30) { 1_500 } else { 0 };
                accesses.push(Access {
                    at_ms: picture_ms - early.min(picture_ms - at_ms),
                    session,
                    user,
                    item: *picture,
                });
                fetched.push(*picture);
            }
            if chance.percent(22) {
                break;
            }
            let links = &plan[page].links;
            page = if chance.percent(15) { chance.zipf(pages) } else { links[chance.zipf(links.len())] };
            at_ms = picture_ms + chance.around(40_000.0).clamp(2_000.0, 900_000.0) as u64;
        }
    }
    Trace::new(accesses, sizes, Vec::new())
}

/// Clicks through a shop.
pub fn shop(web: &Web) -> Trace {
    let mut chance = Chance::new(web.seed);
    let articles = web.pages.max(1);
    let sizes: Vec<u32> = (0..articles).map(|_| 16_384).collect();
    let related: Vec<Vec<usize>> = (0..articles)
        .map(|article| {
            (0..5).map(|at| if at < 2 { (article + at + 1) % articles } else { chance.zipf(articles) }).collect()
        })
        .collect();
    let mut accesses = Vec::new();
    for session in 0..web.sessions as u64 {
        let mut at_ms = session * 12_000 + chance.below(12_000) as u64;
        let mut article = chance.zipf(articles);
        for _ in 0..1 + chance.below(8) {
            accesses.push(Access { at_ms, session, user: None, item: article as Item });
            let near = &related[article];
            article = if chance.percent(25) { chance.zipf(articles) } else { near[chance.zipf(near.len())] };
            at_ms += chance.around(55_000.0).clamp(2_000.0, 900_000.0) as u64;
        }
    }
    Trace::new(accesses, sizes, Vec::new())
}
