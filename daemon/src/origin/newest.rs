//! Of several places where one thing stands, which one counts?
//!
//! A thing that moves to another floor enters one file before it leaves the other. Should the daemon die between the
//! two, it stands in both, and the entry with the higher version is where it went. Entries with equal versions are
//! somebody's mistake: the first counts, and the others are passed on, so that the directory tells about them.

use std::collections::HashMap;

use arxosrt_core::directory::ItemDraft;
use arxosrt_core::id::ResourceId;

/// An object or route as it stands in a file.
#[derive(Debug)]
pub struct Found {
    /// What it is and where it lies.
    pub item: ItemDraft,
    /// The floor in whose folder the file is.
    pub floor: usize,
    /// Its version.
    pub version: u64,
}

/// Leaves out what is older than another entry of the same id. `copy` is told every entry on a floor where it does not
/// count.
pub fn newest(found: Vec<Found>, mut copy: impl FnMut(&ResourceId, usize)) -> Vec<ItemDraft> {
    let mut counts: HashMap<&str, usize> = HashMap::with_capacity(found.len());
    for (at, entry) in found.iter().enumerate() {
        counts
            .entry(entry.item.id.as_str())
            .and_modify(|best| {
                if entry.version > found[*best].version {
                    *best = at;
                }
            })
            .or_insert(at);
    }
    let mut is_older = vec![false; found.len()];
    for (at, entry) in found.iter().enumerate() {
        let best = counts[entry.item.id.as_str()];
        is_older[at] = entry.version < found[best].version;
        if at != best && entry.floor != found[best].floor {
            copy(&entry.item.id, entry.floor);
        }
    }
    let kept = found.into_iter().zip(is_older).filter(|(_, is_older)| !is_older);
    kept.map(|(entry, _)| entry.item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_counts_and_of_equal_ones_the_first() {
        let entry = |id: &str, floor: usize, version: u64| {
            let id = ResourceId::new(id).unwrap();
            Found { item: ItemDraft { id, floors: vec![floor] }, floor, version }
        };
        let found = vec![entry("a", 0, 1), entry("b", 0, 0), entry("a", 1, 3), entry("a", 2, 3), entry("a", 1, 2)];
        let mut copies = Vec::new();
        let kept = newest(found, |id, floor| copies.push((id.to_string(), floor)));
        let kept: Vec<_> = kept.iter().map(|item| (item.id.as_str(), item.floors[0])).collect();
        assert_eq!(kept, [("b", 0), ("a", 1), ("a", 2)], "what is equal is passed on in its order");
        assert_eq!(copies, [("a".to_owned(), 0), ("a".to_owned(), 2)]);
    }
}
