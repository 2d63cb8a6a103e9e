//! In which order do the elements of a list stand when two people have changed it?
//!
//! Elements are small integers here. The order of the elements that everybody still has is one value: who did not
//! change it gives way to who did. When both did, and differently, that is a conflict of the order, and ours is replayed
//! over theirs: each element that we moved goes behind its neighbour in our order, so theirs keep their moves as far as
//! that leaves them.
//!
//! Elements that only one side has (they were inserted there, or deleted elsewhere and kept because they were modified)
//! follow the nearest common element before them. Where both sides have some behind the same element, each side's stay
//! together, and the side whose first one has the smaller id comes first: the same whoever asks.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// The merged order, and whether the sides contradict each other.
pub(crate) struct MergedOrder {
    pub(crate) order: Vec<u32>,
    pub(crate) conflict: bool,
}

/// A set of small integers, or a number for each.
struct Marks(Vec<u32>);

/// No number.
const NONE: u32 = u32::MAX;

impl Marks {
    /// The position of each element of a sequence.
    fn positions(sequence: &[u32], end: u32) -> Self {
        let mut marks = vec![NONE; end as usize];
        for (position, element) in (0..).zip(sequence) {
            marks[*element as usize] = position;
        }
        Marks(marks)
    }

    fn of(&self, element: u32) -> u32 {
        self.0[element as usize]
    }

    fn has(&self, element: u32) -> bool {
        self.of(element) != NONE
    }
}

/// What a conflict of the order leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// Our moves are made in their order.
    ReplayOurs,
    /// Their order stays.
    KeepTheirs,
}

/// Merges three orders. `end` is larger than every element; `kept` says whether the merged list has an element, which
/// is in ours or in theirs then; `id` is its name.
pub(crate) fn merge_order<'a>(
    [base, ours, theirs]: [&[u32]; 3],
    end: u32,
    kept: &dyn Fn(u32) -> bool,
    id: &dyn Fn(u32) -> &'a str,
    on_conflict: OnConflict,
) -> MergedOrder {
    let merged = arrange([base, ours, theirs], end, kept, id, replay);
    if !merged.conflict || on_conflict == OnConflict::ReplayOurs {
        return merged;
    }
    arrange([base, theirs, ours], end, kept, id, |_, theirs, _, _| theirs.to_vec())
}

/// Orders the elements that everybody has, when both sides have changed their order: from the base, the first and the
/// second order, and a number larger than every element.
type Both = fn(&[u32], &[u32], Vec<u32>, u32) -> Vec<u32>;

/// Merges with `first` having the last word; `both` orders what everybody has when both sides have changed it.
fn arrange<'a>(
    [base, first, second]: [&[u32]; 3],
    end: u32,
    kept: &dyn Fn(u32) -> bool,
    id: &dyn Fn(u32) -> &'a str,
    both: Both,
) -> MergedOrder {
    let [in_base, in_first, in_second] = [base, first, second].map(|sequence| Marks::positions(sequence, end));
    let common = |e: &u32| in_base.has(*e) && in_first.has(*e) && in_second.has(*e) && kept(*e);
    let of_common = |sequence: &[u32]| -> Vec<u32> { sequence.iter().copied().filter(common).collect() };
    let (b, f, s) = (of_common(base), of_common(first), of_common(second));
    let mut conflict = false;
    let skeleton = if f == s || s == b {
        f
    } else if f == b {
        s
    } else {
        conflict = true;
        both(&b, &f, s, end)
    };
    let mut gaps = Gaps::new(first, end, &common, kept);
    let mut others = Gaps::new(second, end, &common, kept);
    let mut order = Vec::with_capacity(skeleton.len());
    for anchor in std::iter::once(NONE).chain(skeleton) {
        if anchor != NONE {
            order.push(anchor);
        }
        let (own, mut other) = (gaps.take(anchor), others.take(anchor));
        // Both have inserted the same element, in different places: it stays where the first has it.
        let strangers = other.len();
        other.retain(|e| !in_first.has(*e) || gaps.shares(&others, *e));
        conflict |= other.len() != strangers;
        conflict |= weave(&own, other, |e| in_second.has(e) && gaps.shares(&others, e), id, &mut order);
    }
    MergedOrder { order, conflict }
}

/// The elements of one side that are not common, by the common element that they follow.
struct Gaps {
    by_anchor: HashMap<u32, Vec<u32>, FixedState>,
    anchor_of: Marks,
}

impl Gaps {
    fn new(sequence: &[u32], end: u32, common: &dyn Fn(&u32) -> bool, kept: &dyn Fn(u32) -> bool) -> Self {
        let mut gaps = Gaps { by_anchor: HashMap::default(), anchor_of: Marks(vec![NONE; end as usize]) };
        let mut anchor = NONE;
        for element in sequence {
            if common(element) {
                anchor = *element;
            } else if kept(*element) {
                gaps.by_anchor.entry(anchor).or_default().push(*element);
                gaps.anchor_of.0[*element as usize] = anchor;
            }
        }
        gaps
    }

    fn take(&mut self, anchor: u32) -> Vec<u32> {
        self.by_anchor.remove(&anchor).unwrap_or_default()
    }

    /// Whether an element that both sides have follows the same common element in both.
    fn shares(&self, other: &Gaps, element: u32) -> bool {
        self.anchor_of.of(element) == other.anchor_of.of(element)
    }
}

/// Appends what both sides have behind one element. True when they have the same elements in another order: the first
/// side's counts.
fn weave<'a>(
    own: &[u32],
    mut other: Vec<u32>,
    shared: impl Fn(u32) -> bool,
    id: &dyn Fn(u32) -> &'a str,
    order: &mut Vec<u32>,
) -> bool {
    let own_knots = own.iter().copied().filter(|e| shared(*e));
    let mut knots: Vec<u32> = own_knots.collect();
    let is_knot = |e: &u32| knots.contains(e);
    let other_knots: Vec<u32> =
        if knots.is_empty() { Vec::new() } else { other.iter().copied().filter(is_knot).collect() };
    let conflict = knots != other_knots;
    if conflict {
        other.retain(|e| !knots.contains(e));
        knots.clear();
    }
    let (mut own, mut other) = (own, other.as_slice());
    for knot in knots {
        let split = |side: &[u32]| side.iter().position(|e| *e == knot).unwrap_or(side.len());
        let (o, t) = (split(own), split(other));
        side_by_side(&own[..o], &other[..t], id, order);
        order.push(knot);
        (own, other) = (&own[o + 1..], &other[t + 1..]);
    }
    side_by_side(own, other, id, order);
    conflict
}

fn side_by_side<'a>(own: &[u32], other: &[u32], id: &dyn Fn(u32) -> &'a str, order: &mut Vec<u32>) {
    let own_first = match (own.first(), other.first()) {
        (Some(o), Some(t)) => id(*o) < id(*t),
        _ => true,
    };
    let (first, second) = if own_first { (own, other) } else { (other, own) };
    order.extend_from_slice(first);
    order.extend_from_slice(second);
}

/// Our moves from `base` made in `theirs`; all three are orders of the same elements.
fn replay(base: &[u32], ours: &[u32], theirs: Vec<u32>, end: u32) -> Vec<u32> {
    let stays = staying(base, ours, end);
    let mut order = theirs;
    for (i, element) in ours.iter().enumerate().filter(|(i, _)| !stays[*i]) {
        order.retain(|e| e != element);
        let behind = i.checked_sub(1).and_then(|before| order.iter().position(|e| *e == ours[before]));
        order.insert(behind.map_or(0, |at| at + 1), *element);
    }
    order
}

/// Which elements of `to` need not be moved to get there from `from`: a longest run of them is in the same order in
/// both. An element that `from` does not have never stays.
pub(crate) fn staying(from: &[u32], to: &[u32], end: u32) -> Vec<bool> {
    let rank = Marks::positions(from, end);
    // The usual patience sorting: `tails[n]` ends the best run of length n + 1, `back` leads along it.
    let mut tails: Vec<usize> = Vec::new();
    let mut back = vec![usize::MAX; to.len()];
    for (i, element) in to.iter().enumerate().filter(|(_, e)| rank.has(**e)) {
        let n = tails.partition_point(|tail| rank.of(to[*tail]) < rank.of(*element));
        if n > 0 {
            back[i] = tails[n - 1];
        }
        if n == tails.len() { tails.push(i) } else { tails[n] = i }
    }
    let mut stays = vec![false; to.len()];
    let mut at = tails.last().copied().unwrap_or(usize::MAX);
    while at != usize::MAX {
        stays[at] = true;
        at = back[at];
    }
    stays
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

    fn merged(base: &str, ours: &str, theirs: &str) -> (String, bool) {
        let numbers = |text: &str| -> Vec<u32> { text.bytes().map(|b| u32::from(b - b'a')).collect() };
        let (b, o, t) = (numbers(base), numbers(ours), numbers(theirs));
        let kept = |e: u32| {
            let (was, ours, theirs) = (b.contains(&e), o.contains(&e), t.contains(&e));
            if was { ours && theirs } else { ours || theirs }
        };
        let merged = merge_order([&b, &o, &t], 10, &kept, &|e| NAMES[e as usize], OnConflict::ReplayOurs);
        (merged.order.iter().map(|e| NAMES[*e as usize]).collect(), merged.conflict)
    }

    #[test]
    fn orders_merge() {
        for (base, ours, theirs, result, conflict) in [
            ("abc", "abc", "cab", "cab", false),
            ("abc", "acb", "abc", "acb", false),
            ("abc", "acb", "acb", "acb", false),
            ("abc", "bca", "bac", "bca", true),
            // Both moves are kept when they concern different elements.
            ("abcdef", "bacdef", "abcdfe", "bacdfe", true),
            ("abc", "adbc", "aebc", "adebc", false),
            ("abc", "aebc", "adbc", "adebc", false),
            ("abc", "jabc", "abci", "jabci", false),
            ("abc", "ac", "abdc", "adc", false),
            ("abc", "adbc", "adbc", "adbc", false),
            ("abc", "adbc", "abcd", "adbc", true),
            ("a", "ajb", "abj", "ajb", true),
            ("abc", "cab", "abdc", "cabd", false),
        ] {
            assert_eq!(merged(base, ours, theirs), (result.to_owned(), conflict), "{base} {ours} {theirs}");
        }
    }
}
