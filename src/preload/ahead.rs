//! What else will be wanted before there is time to load it?
//!
//! A page brings its pictures within a second, a floor its neighbour's stairs: once the first has been asked for it is
//! too late for the second. So where steps from a probable candidate mostly come quickly, what follows it is a candidate
//! already now, as probable as both steps together, and comes after the time of both. Where people linger there is time to
//! predict when they are there, and looking farther would only cost bytes.
//!
//! The probabilities that come out are of being wanted soon, not next: they no longer sum up to 1, and calibration,
//! which learns from what was wanted soon, brings them in line.

use smallvec::SmallVec;

use super::Item;
use super::model::{Candidate, Candidates, LEAD_MS_ASSUMED, Model, Past, QUICK_MS, add};

/// So many candidates are looked through.
const LOOKS_MAX: usize = 3;

/// Only what is at least so probable is looked through.
const LOOK_AT_LEAST: f32 = 0.3;

/// What somebody with this past will want soon, the most probable first.
pub fn soon(model: &Model, past: &Past, shape: &[(Item, f32)]) -> Candidates {
    let mut found = model.next(past, shape);
    let mut looked: SmallVec<[Item; LOOKS_MAX]> = SmallVec::new();
    for _ in 0..LOOKS_MAX {
        let probable = |candidate: &&Candidate| candidate.p >= LOOK_AT_LEAST && !looked.contains(&candidate.item);
        let Some(through) = found.iter().filter(probable).max_by(|a, b| a.p.total_cmp(&b.p)).copied() else { break };
        looked.push(through.item);
        for after in model.next_of_all(&past.and(through.item)) {
            if after.lead_ms >= QUICK_MS {
                continue;
            }
            // Having been wanted next does not exclude being wanted after that: the larger one counts.
            let p = through.p * after.p;
            let lead_ms = (through.lead_ms + after.lead_ms).min(LEAD_MS_ASSUMED);
            match found.iter().position(|candidate| candidate.item == after.item) {
                Some(at) if found[at].p < p => (found[at].p, found[at].lead_ms) = (p, lead_ms),
                Some(_) => {}
                None => add(&mut found, past.last, after.item, p, after.source, lead_ms),
            }
        }
    }
    found.sort_unstable_by(|a, b| b.p.total_cmp(&a.p).then(a.item.cmp(&b.item)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(gap_ms: u64) -> Model {
        let mut model = Model::default();
        for _ in 0..20 {
            let mut past = Past::default();
            for item in [1, 2, 3, 4, 5] {
                model.learn(&past, item, gap_ms);
                past = past.and(item);
            }
        }
        model
    }

    #[test]
    fn quick_steps_are_looked_through_and_slow_ones_are_not() {
        let here = Past { last: Some(1), ..Past::default() };
        let items = |gap_ms| -> Vec<Item> {
            soon(&learnt(gap_ms), &here, &[]).iter().filter(|c| c.p > 0.5).map(|c| c.item).collect()
        };
        assert_eq!(items(100), [2, 3, 4, 5], "three looks, each one step farther");
        assert_eq!(items(30_000), [2]);
    }
}
