//! A set in order: most are tiny, a few are huge.
//!
//! An object has one lock, a session has a handful, a floor may have a hundred thousand. The tiny ones live without
//! an allocation of their own, the huge ones stay logarithmic.

use std::collections::BTreeSet;

use smallvec::SmallVec;

/// Beyond this size a set becomes a tree. Up to here one look at contiguous memory beats the walk down a tree, and
/// closing a hole moves no more than a page.
const FEW_MAX: usize = 512;

/// Numbers of one kind (tokens, tickets) in ascending order.
#[derive(Clone, Debug)]
pub(crate) enum SmallSet<T> {
    Few(SmallVec<[T; 2]>),
    Many(BTreeSet<T>),
}

impl<T> Default for SmallSet<T> {
    fn default() -> Self {
        SmallSet::Few(SmallVec::new())
    }
}

impl<T: Copy + Ord> SmallSet<T> {
    pub(crate) fn len(&self) -> usize {
        match self {
            SmallSet::Few(few) => few.len(),
            SmallSet::Many(many) => many.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn contains(&self, one: T) -> bool {
        match self {
            SmallSet::Few(few) => few.binary_search(&one).is_ok(),
            SmallSet::Many(many) => many.contains(&one),
        }
    }

    /// Answers whether it is new here.
    pub(crate) fn insert(&mut self, one: T) -> bool {
        match self {
            SmallSet::Few(few) => {
                // Numbers grow, so the place is nearly always the end.
                let at = match few.last() {
                    Some(last) if *last >= one => match few.binary_search(&one) {
                        Ok(_) => return false,
                        Err(at) => at,
                    },
                    _ => few.len(),
                };
                few.insert(at, one);
                if few.len() > FEW_MAX {
                    *self = SmallSet::Many(few.drain(..).collect());
                }
                true
            }
            SmallSet::Many(many) => many.insert(one),
        }
    }

    /// Answers whether it was here.
    pub(crate) fn remove(&mut self, one: T) -> bool {
        match self {
            SmallSet::Few(few) => match few.binary_search(&one) {
                Ok(at) => {
                    few.remove(at);
                    true
                }
                Err(_) => false,
            },
            SmallSet::Many(many) => {
                let was_here = many.remove(&one);
                if many.is_empty() {
                    *self = SmallSet::default();
                }
                was_here
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        let (few, many) = match self {
            SmallSet::Few(few) => (Some(few.iter()), None),
            SmallSet::Many(many) => (None, Some(many.iter())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_the_same_set_at_every_size() {
        let mut set = SmallSet::default();
        for n in (0..1000u64).rev() {
            set.insert(n);
            set.insert(n);
        }
        assert!(set.iter().eq(0..1000));
        for n in 0..1000u64 {
            assert!(set.contains(n));
            set.remove(n);
            assert_eq!((set.len(), set.contains(n)), (999 - n as usize, false));
        }
        assert!(set.is_empty() && matches!(set, SmallSet::Few(_)));
    }
}
