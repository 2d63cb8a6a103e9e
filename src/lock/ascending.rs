//! A map whose keys mostly come in ascending order.
//!
//! Every token is larger than all before, and a lease that begins now is mostly the last one to end. So nearly every
//! entry is put at the end of one sorted run, and found by halving it; what comes out of order goes to a tree beside
//! the run. An entry that is removed leaves a hole, until there are more holes than entries and the run closes up.

use std::collections::{BTreeMap, VecDeque};

/// Entries in order of key.
#[derive(Clone, Debug)]
pub(crate) struct Ascending<K, V> {
    /// In order. Neither end is a hole.
    run: VecDeque<(K, Option<V>)>,
    holes: usize,
    /// What came after something larger.
    late: BTreeMap<K, V>,
}

impl<K, V> Default for Ascending<K, V> {
    fn default() -> Self {
        Ascending { run: VecDeque::new(), holes: 0, late: BTreeMap::new() }
    }
}

impl<K: Copy + Ord, V> Ascending<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.run.len() - self.holes + self.late.len()
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        let there = self.find(key).and_then(|at| self.run[at].1.as_ref());
        there.or_else(|| self.late.get(&key))
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        match self.find(key) {
            Some(at) if self.run[at].1.is_some() => self.run[at].1.as_mut(),
            _ => self.late.get_mut(&key),
        }
    }

    pub(crate) fn first_key(&self) -> Option<K> {
        let run = self.run.front().map(|(key, _)| *key);
        let late = self.late.keys().next().copied();
        run.into_iter().chain(late).min()
    }

    pub(crate) fn last_key(&self) -> Option<K> {
        let run = self.run.back().map(|(key, _)| *key);
        let late = self.late.keys().next_back().copied();
        run.into_iter().chain(late).max()
    }

    /// All entries, in order of key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let mut run = self.run.iter().filter_map(|(key, value)| Some((*key, value.as_ref()?))).peekable();
        let mut late = self.late.iter().map(|(key, value)| (*key, value)).peekable();
        std::iter::from_fn(move || match (run.peek(), late.peek()) {
            (Some((in_run, _)), Some((in_late, _))) if in_late < in_run => late.next(),
            (Some(_), _) => run.next(),
            (None, _) => late.next(),
        })
    }

    /// Puts a value under a key, in place of the one that may be there.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.run.back().is_none_or(|(last, _)| *last < key) {
            // The key may be in the tree from a time when the run was longer.
            self.late.remove(&key);
            self.run.push_back((key, Some(value)));
            return;
        }
        match self.find(key).map(|at| &mut self.run[at].1) {
            Some(there @ Some(_)) => *there = Some(value),
            _ => drop(self.late.insert(key, value)),
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let Some(value) = self.find(key).and_then(|at| self.run[at].1.take()) else {
            return self.late.remove(&key);
        };
        self.holes += 1;
        while self.run.back().is_some_and(|(_, value)| value.is_none()) {
            self.run.pop_back();
            self.holes -= 1;
        }
        while self.run.front().is_some_and(|(_, value)| value.is_none()) {
            self.run.pop_front();
            self.holes -= 1;
        }
        if self.holes > self.run.len() / 2 {
            self.run.retain(|(_, value)| value.is_some());
            self.holes = 0;
        }
        Some(value)
    }

    /// Where the run has the key, with its value or as a hole.
    fn find(&self, key: K) -> Option<usize> {
        // What is new and what has just come are asked for most.
        let (last, _) = self.run.back()?;
        if *last <= key {
            return (*last == key).then(|| self.run.len() - 1);
        }
        self.run.binary_search_by(|(other, _)| other.cmp(&key)).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// It is the map that a tree is, whatever order the keys come in.
        #[test]
        fn it_is_a_map_in_order(steps in proptest::collection::vec((any::<bool>(), 0u8..64), 0..400)) {
            let (mut map, mut tree) = (Ascending::default(), BTreeMap::new());
            for (n, (insert, key)) in steps.into_iter().enumerate() {
                if insert {
                    map.insert(key, n);
                    tree.insert(key, n);
                } else {
                    prop_assert_eq!(map.remove(key), tree.remove(&key));
                }
                prop_assert!(map.iter().eq(tree.iter().map(|(key, value)| (*key, value))));
                prop_assert_eq!((map.len(), map.get(key)), (tree.len(), tree.get(&key)));
                prop_assert_eq!(map.get_mut(key).copied(), tree.get(&key).copied());
                prop_assert_eq!(map.first_key(), tree.keys().next().copied());
                prop_assert_eq!(map.last_key(), tree.keys().next_back().copied());
                prop_assert!(map.holes <= map.run.len() / 2);
            }
        }
    }
}
