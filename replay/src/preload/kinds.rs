//! All kinds of traffic that can be made up, by name.

use super::clicks::{repeats, shift, uniform};
use super::office::{Office, Site, walks};
use super::trace::Trace;
use super::tree::{Tree, tree};
use super::web::{Web, shop, site};

/// A kind of made-up traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// People walking through buildings.
    Office,
    /// The same, and all of them go anywhere.
    Wander,
    /// A web site with pictures.
    Web,
    /// A site that is a tree, with many ways back.
    Tree,
    /// Articles that lead to each other.
    Shop,
    /// Articles that people look at again.
    Repeats,
    /// Articles that lead elsewhere after half of the time.
    Shift,
    /// Nothing that could be learnt.
    Uniform,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 8] =
        [Kind::Office, Kind::Wander, Kind::Web, Kind::Tree, Kind::Shop, Kind::Repeats, Kind::Shift, Kind::Uniform];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Office => "office",
            Kind::Wander => "wander",
            Kind::Web => "web",
            Kind::Tree => "tree",
            Kind::Shop => "shop",
            Kind::Repeats => "repeats",
            Kind::Shift => "shift",
            Kind::Uniform => "uniform",
        }
    }

    /// Do its people walk through buildings?
    pub fn has_buildings(self) -> bool {
        matches!(self, Kind::Office | Kind::Wander)
    }

    /// Makes it up; `place` is where people walk, where they do.
    pub fn make(self, place: Option<Site>, seed: u64) -> Trace {
        let web = Web { seed, ..Web::default() };
        let office = Office { seed, ..Office::default() };
        let place = || place.unwrap_or_else(|| Site::made_up(12, 20, seed));
        match self {
            Kind::Office => walks(place(), &office),
            Kind::Wander => walks(place(), &Office { random_percent: 100, ..office }),
            Kind::Web => site(&web),
            Kind::Tree => tree(&Tree { seed, ..Tree::default() }),
            Kind::Shop => shop(&web),
            Kind::Repeats => repeats(&web),
            Kind::Shift => shift(&web),
            Kind::Uniform => uniform(&web),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_every_kind_and_another_one_makes_another() {
        for kind in Kind::ALL {
            let [one, same, other] = [7, 7, 8].map(|seed| kind.make(Some(Site::made_up(3, 10, 7)), seed));
            assert_eq!(one.accesses, same.accesses, "{kind:?}");
            assert_ne!(one.accesses, other.accesses, "{kind:?}");
            assert!(one.accesses.iter().all(|access| (access.item as usize) < one.sizes.len()), "{kind:?}");
        }
    }
}
