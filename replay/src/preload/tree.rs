//! People finding their way through a site that is a tree, made up from a seed.
//!
//! The way of older web logs: from the home page down through overview pages, back up, on to the next one. A page that
//! was left is asked for again when its reader comes back to it, and each reader leaves after some 12 pages.

use arxosrt_core::preload::Item;

use super::chance::Chance;
use super::trace::{Access, Trace};

/// The site and its readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Pages.
    pub pages: usize,
    /// Readers, each with one visit.
    pub sessions: usize,
    /// Repeats it.
    pub seed: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Tree { pages: 1_500, sessions: 6_000, seed: 1 }
    }
}

struct Page {
    parent: usize,
    children: Vec<usize>,
}

/// Readers of the site.
pub fn tree(tree: &Tree) -> Trace {
    let mut chance = Chance::new(tree.seed);
    let pages = grown(tree.pages.max(1), &mut chance);
    let sizes = pages.iter().map(|_| chance.around(9_000.0) as u32).collect();
    let mut accesses = Vec::new();
    for session in 0..tree.sessions as u64 {
        let mut at_ms = session * 20_000 + chance.below(20_000) as u64;
        // Most come by the home page, some by a link to anywhere.
        let mut here = if chance.percent(70) { 0 } else { chance.zipf(pages.len()) };
        loop {
            accesses.push(Access { at_ms, session, user: None, item: here as Item });
            if chance.percent(8) {
                break;
            }
            at_ms += chance.around(25_000.0).clamp(1_000.0, 900_000.0) as u64;
            here = next(&pages, here, &mut chance);
        }
    }
    Trace::new(accesses, sizes, Vec::new())
}

/// Pages that hang under one another: those that were there first have more below them.
fn grown(len: usize, chance: &mut Chance) -> Vec<Page> {
    let mut pages = vec![Page { parent: 0, children: Vec::new() }];
    for page in 1..len {
        // Overviews have some twelve pages below them.
        let parent = ((page - 1) / 12 + chance.below(2)).min(page - 1);
        pages[parent].children.push(page);
        pages.push(Page { parent, children: Vec::new() });
    }
    pages
}

fn next(pages: &[Page], here: usize, chance: &mut Chance) -> usize {
    let Page { parent, children } = &pages[here];
    if !children.is_empty() && chance.percent(65) {
        return children[chance.zipf(children.len())];
    }
    let beside = &pages[*parent].children;
    let after = beside.iter().position(|page| *page == here).and_then(|at| beside.get(at + 1));
    match after {
        Some(after) if chance.percent(45) => *after,
        _ if chance.percent(85) => *parent,
        _ => chance.zipf(pages.len()),
    }
}
