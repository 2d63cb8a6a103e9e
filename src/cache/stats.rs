//! What has the cache been good for? Counted per strategy.

use std::ops::AddAssign;

/// Why an entry left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There was no room for it.
    Space,
    /// Its strategy had as many as it may.
    Items,
    /// Its time was over.
    Expired,
    /// What it was loaded after had been raised.
    Invalidated,
    /// It was put again.
    Replaced,
    /// Somebody removed it.
    Removed,
}

impl Reason {
    /// All of them, in the order of their counts.
    pub const ALL: [Reason; 6] =
        [Reason::Space, Reason::Items, Reason::Expired, Reason::Invalidated, Reason::Replaced, Reason::Removed];

    /// The name for operators and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Space => "space",
            Reason::Items => "items",
            Reason::Expired => "expired",
            Reason::Invalidated => "invalidated",
            Reason::Replaced => "replaced",
            Reason::Removed => "removed",
        }
    }
}

/// How many left, by [`Reason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left([u64; Reason::ALL.len()]);

impl Left {
    /// How many left for this reason.
    pub fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// How many left.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn note(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }
}

/// Classes of [`Ages`].
pub const AGE_CLASSES: usize = 16;

/// How old entries were when they left for lack of room: class `n` holds those of less than `2^n` seconds that are not in
/// an earlier one, the last all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// How many there were of each class.
    pub classes: [u64; AGE_CLASSES],
    /// Their ages together.
    pub total_s: u64,
}

impl Ages {
    pub(super) fn note(&mut self, age_s: u64) {
        let class = (u64::BITS - age_s.leading_zeros()) as usize;
        self.classes[class.min(AGE_CLASSES - 1)] += 1;
        self.total_s += age_s;
    }

    /// How old they were on average, if there were any.
    pub fn mean_s(&self) -> Option<u64> {
        self.total_s.checked_div(self.classes.iter().sum())
    }
}

/// What was counted of a strategy, and what there is of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Found, to be served.
    pub hits: u64,
    /// Found, to be served and loaded anew.
    pub soft: u64,
    /// Found, with its time over.
    pub stale: u64,
    /// It was known that there is no value.
    pub negative: u64,
    /// Nothing was known.
    pub misses: u64,
    /// Put and kept.
    pub installed: u64,
    /// Put and not kept, because what it was loaded after had been raised.
    pub outdated: u64,
    /// Put and not kept, because it was too large, sensitive, or loaded ahead with no room.
    pub refused: u64,
    /// Left.
    pub left: Left,
    /// Those that left for lack of room or by their strategy's bound.
    pub ages: Ages,
    /// Put and kept though nobody had asked.
    pub preloaded: u64,
    /// Of these, asked for since.
    pub preloaded_used: u64,
    /// Of these, left before anybody asked.
    pub preloaded_wasted: Left,
    /// There now.
    pub entries: u64,
    /// What these are charged.
    pub bytes: u64,
}

impl Stats {
    /// How often somebody asked.
    pub fn asked(&self) -> u64 {
        self.hits + self.soft + self.stale + self.negative + self.misses
    }
}

impl AddAssign<&Stats> for Stats {
    fn add_assign(&mut self, other: &Stats) {
        self.hits += other.hits;
        self.soft += other.soft;
        self.stale += other.stale;
        self.negative += other.negative;
        self.misses += other.misses;
        self.installed += other.installed;
        self.outdated += other.outdated;
        self.refused += other.refused;
        self.left += &other.left;
        self.ages += &other.ages;
        self.preloaded += other.preloaded;
        self.preloaded_used += other.preloaded_used;
        self.preloaded_wasted += &other.preloaded_wasted;
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

impl AddAssign<&Left> for Left {
    fn add_assign(&mut self, other: &Left) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
    }
}

impl AddAssign<&Ages> for Ages {
    fn add_assign(&mut self, other: &Ages) {
        self.classes.iter_mut().zip(other.classes).for_each(|(mine, theirs)| *mine += theirs);
        self.total_s += other.total_s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_fall_into_classes_of_powers_of_two() {
        let mut ages = Ages::default();
        [0, 1, 2, 3, 4, 7, 8, 1 << 40].iter().for_each(|age| ages.note(*age));
        assert_eq!(ages.classes[..5], [1, 1, 2, 2, 1]);
        assert_eq!(ages.classes[AGE_CLASSES - 1], 1);
    }
}
