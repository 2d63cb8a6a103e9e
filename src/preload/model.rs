//! What follows what?
//!
//! Prediction by partial matching: a **context** is what somebody did last, and counts what came after it. Contexts of
//! two steps say more than those of one, when they have been seen; those of this person more than those of everybody.
//! So a prediction walks from the most special context to the most general, and each takes its share of the certainty
//! and hands the rest on ("absolute discounting", Ney, Essen and Kneser 1994): of `n` outcomes of which `d` were
//! different, an outcome seen `c` times gets `(c - D) / n`, and `d * D / n` is left to the next context. Where the counts
//! end, the building's shape speaks. On recorded sequences longer contexts and neural models added nothing that would
//! pay for them.
//!
//! - A person's contexts are trusted as `n / (n + 8)`, the shape of the building against what was seen as `4 / (n + 4)`.
//! - Counts fade: at 64 in one context all of it is halved, so what people do now outweighs what they did once.
//! - The probabilities of the next step sum up to at most 1.
//!
//! Bounds: [`CONTEXTS_MAX`] contexts, the least used makes room; [`SUCCESSORS_MAX`] outcomes of one context, the rarest
//! makes room; [`SPILLED_MAX`] outcomes beyond the two that a context holds itself. Together some 20 MB.

use smallvec::SmallVec;

use super::table::Bounded;
use super::{Item, Source, mix};

/// Contexts; the least used makes room.
pub const CONTEXTS_MAX: usize = 200_000;

/// Outcomes that one context counts; the rarest makes room.
pub const SUCCESSORS_MAX: usize = 32;

/// Outcomes of all contexts that have no room in the context itself; at the limit least used contexts go.
pub const SPILLED_MAX: usize = 400_000;

/// Candidates of one prediction; those of the more general contexts are left out.
pub const CANDIDATES_MAX: usize = 32;

/// At so many counts a context is halved.
const FADE_AT: u16 = 64;

/// What each outcome's count gives up to those not seen yet.
const DISCOUNT: f32 = 0.5;

/// A person's context is trusted like that of everybody when it has seen so much.
const PERSONAL_TRUST: f32 = 8.0;

/// The building's shape is trusted like what was seen when so much was seen.
const SHAPE_TRUST: f32 = 4.0;

/// What is less probable is nobody's candidate.
const PROBABLE_MIN: f32 = 0.02;

/// A share that is smaller changes nothing.
const SHARE_MIN: f32 = 0.004;

/// What mostly comes within this time is too soon to be loaded in between. Twice a usual load.
pub const QUICK_MS: u32 = 2_000;

/// The unit in which the time until an outcome is kept.
const GAP_UNIT_MS: u64 = 16;

/// The time until an outcome follows the last ones by this part of the difference.
const GAP_RATE: i32 = 4;

/// So long it takes until what nothing is known of.
pub const LEAD_MS_ASSUMED: u32 = 255 * GAP_UNIT_MS as u32;

/// What is known when somebody takes a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The person, where habits are learnt.
    pub user: Option<u64>,
    /// The building.
    pub group: u32,
    /// Where they are.
    pub last: Option<Item>,
    /// Where they were before.
    pub before: Option<Item>,
}

impl Past {
    /// The past after one more step.
    pub fn and(self, item: Item) -> Past {
        Past { last: Some(item), before: self.last, ..self }
    }
}

/// Something that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// What.
    pub item: Item,
    /// How probable, before calibration.
    pub p: f32,
    /// Who contributed most to it.
    pub source: Source,
    /// How soon it mostly comes, up to [`LEAD_MS_ASSUMED`].
    pub lead_ms: u32,
    pub(super) most: f32,
}

/// Candidates in no order, each item once.
pub type Candidates = SmallVec<[Candidate; CANDIDATES_MAX]>;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Model {
    contexts: Bounded<Context>,
    spilled: usize,
}

/// What came after something.
#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    /// The sum of the counts.
    pub total: u16,
    pub edges: SmallVec<[Edge; INLINE]>,
}

/// Most contexts have seen one or two outcomes.
const INLINE: usize = 2;

#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub item: Item,
    pub count: u16,
    /// How soon it mostly came, in units of [`GAP_UNIT_MS`]; 255 is any longer time.
    pub gap: u8,
}

impl Default for Model {
    fn default() -> Self {
        Model::with_limit(CONTEXTS_MAX)
    }
}

impl Model {
    /// A model of at most so many contexts.
    pub fn with_limit(contexts: usize) -> Self {
        Model { contexts: Bounded::new(contexts.min(CONTEXTS_MAX)), spilled: 0 }
    }

    /// Somebody with this past went to `item`, after so long.
    pub fn learn(&mut self, past: &Past, item: Item, gap_ms: u64) {
        if past.last == Some(item) {
            return;
        }
        let gap = (gap_ms / GAP_UNIT_MS).min(255) as u8;
        let [my_two, my_one, two, one] = keys(past);
        // A longer context is worth its memory only where the shorter one has been before.
        for (longer, shorter) in [(my_two, my_one), (two, one)] {
            let Some(shorter) = shorter else { continue };
            if !self.count(shorter, item, gap)
                && let Some(longer) = longer
            {
                self.count(longer, item, gap);
            }
        }
        self.count(building_key(past), item, u8::MAX);
    }

    /// Where somebody with this past goes next; `shape` is what the building's structure says of where they are, and
    /// sums up to at most 1.
    pub fn next(&self, past: &Past, shape: &[(Item, f32)]) -> Candidates {
        let mut found = Candidates::new();
        let mut left = 1.0;
        let mut seen = 0.0;
        let sources = [Source::Habit, Source::Habit, Source::TwoSteps, Source::OneStep];
        for (key, source) in keys(past).into_iter().zip(sources) {
            let Some(context) = key.and_then(|key| self.contexts.peek(key)) else { continue };
            let n = f32::from(context.total);
            let trust = if source == Source::Habit { n / (n + PERSONAL_TRUST) } else { 1.0 };
            left = context.share(&mut found, past.last, left, trust, source);
            if source == Source::OneStep {
                seen = n;
            }
        }
        let to_shape = if shape.is_empty() { 0.0 } else { left * SHAPE_TRUST / (seen + SHAPE_TRUST) };
        if let Some(context) = self.contexts.peek(building_key(past)) {
            context.share(&mut found, past.last, left - to_shape, 1.0, Source::Building);
        }
        for (item, weight) in shape {
            add(&mut found, past.last, *item, to_shape * weight, Source::Structure, LEAD_MS_ASSUMED);
        }
        found
    }

    /// Where everybody with this past goes next, as far as it is known of one or two steps.
    pub(super) fn next_of_all(&self, past: &Past) -> Candidates {
        let mut found = Candidates::new();
        let [_, _, two, one] = keys(past);
        let mut left = 1.0;
        if let Some(context) = one.and_then(|key| self.contexts.peek(key)) {
            if !context.is_quick() {
                return found;
            }
            if let Some(two) = two.and_then(|key| self.contexts.peek(key)) {
                left = two.share(&mut found, past.last, left, 1.0, Source::TwoSteps);
            }
            context.share(&mut found, past.last, left, 1.0, Source::OneStep);
        }
        found
    }

    /// How many contexts there are.
    pub fn contexts(&self) -> usize {
        self.contexts.len()
    }

    /// Bytes in memory, but for the allocator's own.
    pub fn bytes(&self) -> usize {
        self.contexts.bytes() + self.spilled * size_of::<Edge>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Context)> {
        self.contexts.iter()
    }

    /// Puts a context of a snapshot; one that breaks a bound is left out.
    pub(super) fn restore(&mut self, key: u64, mut context: Context) {
        let sum: u32 = context.edges.iter().map(|edge| u32::from(edge.count)).sum();
        let is_whole = context.edges.len() <= SUCCESSORS_MAX && sum <= u32::from(FADE_AT) && sum > 0;
        if !is_whole || self.contexts.is_full() || self.contexts.peek(key).is_some() {
            return;
        }
        context.total = sum as u16;
        self.spilled += spill(&context);
        self.contexts.insert(key, context);
        self.keep_spill();
    }

    /// Counts, and says whether the context is new.
    fn count(&mut self, key: u64, item: Item, gap: u8) -> bool {
        let is_new = match self.contexts.get_mut(key) {
            Some(context) => {
                let before = spill(context);
                context.count(item, gap);
                self.spilled = self.spilled - before + spill(context);
                false
            }
            None => {
                let mut context = Context::default();
                context.count(item, gap);
                if let Some(gone) = self.contexts.insert(key, context) {
                    self.spilled -= spill(&gone);
                }
                true
            }
        };
        self.keep_spill();
        is_new
    }

    fn keep_spill(&mut self) {
        while self.spilled > SPILLED_MAX {
            match self.contexts.evict() {
                Some(gone) => self.spilled -= spill(&gone),
                None => return,
            }
        }
    }
}

impl Context {
    fn count(&mut self, item: Item, gap: u8) {
        match self.edges.iter().position(|edge| edge.item == item) {
            Some(at) => {
                let edge = &mut self.edges[at];
                edge.count += 1;
                let moved = i32::from(edge.gap) + (i32::from(gap) - i32::from(edge.gap)) / GAP_RATE;
                edge.gap = moved as u8;
            }
            None if self.edges.len() < SUCCESSORS_MAX => self.edges.push(Edge { item, count: 1, gap }),
            None => {
                let rarest =
                    self.edges.iter_mut().min_by_key(|edge| edge.count).expect("there are the most there may be");
                self.total -= rarest.count;
                *rarest = Edge { item, count: 1, gap };
            }
        }
        self.total += 1;
        if self.total >= FADE_AT {
            self.edges.iter_mut().for_each(|edge| edge.count /= 2);
            self.edges.retain(|edge| edge.count > 0);
            self.total = self.edges.iter().map(|edge| edge.count).sum();
        }
    }

    /// Gives out `mass` among what was seen here, and says what is left of it.
    fn share(&self, found: &mut Candidates, here: Option<Item>, mass: f32, trust: f32, source: Source) -> f32 {
        if self.total == 0 {
            return mass;
        }
        let each = mass * trust / f32::from(self.total);
        let mut given = 0.0;
        for edge in &self.edges {
            let p = each * (f32::from(edge.count) - DISCOUNT);
            given += p;
            if p >= SHARE_MIN {
                add(found, here, edge.item, p, source, edge.lead_ms());
            }
        }
        (mass - given).max(0.0)
    }

    /// Something comes quickly after this.
    fn is_quick(&self) -> bool {
        self.edges.iter().any(|edge| edge.lead_ms() < QUICK_MS)
    }
}

impl Edge {
    fn lead_ms(&self) -> u32 {
        u32::from(self.gap) * GAP_UNIT_MS as u32
    }
}

pub(super) fn add(found: &mut Candidates, here: Option<Item>, item: Item, p: f32, source: Source, lead_ms: u32) {
    if Some(item) == here {
        return;
    }
    match found.iter().position(|candidate| candidate.item == item) {
        Some(at) => {
            let candidate = &mut found[at];
            candidate.p += p;
            if p > candidate.most {
                (candidate.most, candidate.source, candidate.lead_ms) = (p, source, lead_ms);
            }
        }
        None if p >= PROBABLE_MIN && found.len() < CANDIDATES_MAX => {
            found.push(Candidate { item, p, source, lead_ms, most: p });
        }
        None => {}
    }
}

/// Outcomes that lie outside the context.
fn spill(context: &Context) -> usize {
    if context.edges.spilled() { context.edges.capacity() } else { 0 }
}

#[derive(Clone, Copy)]
enum Kind {
    MineTwo = 1,
    MineOne = 2,
    Two = 3,
    One = 4,
    Building = 5,
}

/// The contexts of a past, from the most special one.
fn keys(past: &Past) -> [Option<u64>; 4] {
    let Some(last) = past.last else { return [None; 4] };
    let two = |kind, user| past.before.map(|before| step_key(kind, user, last, u64::from(before) + 1));
    [
        past.user.and_then(|user| two(Kind::MineTwo, user)),
        past.user.map(|user| step_key(Kind::MineOne, user, last, 0)),
        two(Kind::Two, 0),
        Some(step_key(Kind::One, 0, last, 0)),
    ]
}

fn step_key(kind: Kind, user: u64, last: Item, before: u64) -> u64 {
    mix(&[kind as u64, user, u64::from(last), before])
}

fn building_key(past: &Past) -> u64 {
    mix(&[Kind::Building as u64, u64::from(past.group)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(model: &mut Model, user: Option<u64>, steps: &[Item]) -> Past {
        let mut past = Past { user, ..Past::default() };
        for item in steps {
            model.learn(&past, *item, 30_000);
            past = past.and(*item);
        }
        past
    }

    fn p(candidates: &Candidates, item: Item) -> f32 {
        candidates.iter().find(|candidate| candidate.item == item).map_or(0.0, |candidate| candidate.p)
    }

    #[test]
    fn probabilities_sum_up_to_at_most_one() {
        for seed in 0..20 {
            let mut model = Model::with_limit(500);
            let mut past = Past { user: Some(seed), ..Past::default() };
            for step in 0..2_000_u64 {
                let roll = mix(&[seed, step]);
                let item = if roll.is_multiple_of(3) { (roll >> 8) as u32 % 50 } else { past.last.unwrap_or(0) + 1 };
                model.learn(&past, item, roll >> 50);
                past = past.and(item);
                let shape = [(past.last.unwrap_or(0) + 1, 0.6), (7, 0.4)];
                for shape in [&shape[..], &[]] {
                    let found = model.next(&past, shape);
                    let sum: f32 = found.iter().map(|candidate| candidate.p).sum();
                    assert!(sum <= 1.000_1, "seed {seed}, step {step}: {sum}");
                    assert!(found.iter().all(|candidate| Some(candidate.item) != past.last));
                }
            }
        }
    }

    #[test]
    fn two_steps_tell_apart_what_one_step_cannot() {
        let mut model = Model::default();
        for _ in 0..10 {
            walk(&mut model, None, &[1, 5, 2]);
            walk(&mut model, None, &[3, 5, 4]);
        }
        let past = walk(&mut model, None, &[1, 5]);
        let found = model.next(&past, &[]);
        assert!(p(&found, 2) > 0.85 && p(&found, 4) < 0.1, "{found:?}");
        assert_eq!(found.iter().find(|candidate| candidate.item == 2).unwrap().source, Source::TwoSteps);
    }

    #[test]
    fn a_person_with_habits_is_believed_more_than_the_crowd() {
        let mut model = Model::default();
        for _ in 0..20 {
            walk(&mut model, None, &[1, 2]);
            walk(&mut model, Some(7), &[1, 9]);
        }
        let at_one = |user| Past { user, last: Some(1), ..Past::default() };
        assert!(p(&model.next(&at_one(Some(7)), &[]), 9) > 0.7);
        // Somebody new is one of the crowd.
        let new = model.next(&at_one(Some(8)), &[]);
        assert!((p(&new, 2) - p(&new, 9)).abs() < 0.2, "{new:?}");
    }

    #[test]
    fn the_shape_speaks_first_and_what_was_seen_soon_outweighs_it() {
        let mut model = Model::default();
        let shape = [(2, 0.5), (3, 0.5)];
        let here = Past { last: Some(1), ..Past::default() };
        assert_eq!(p(&model.next(&here, &shape), 2), 0.5);
        for _ in 0..20 {
            model.learn(&here, 9, 30_000);
        }
        let found = model.next(&here, &shape);
        assert!(p(&found, 9) > 0.9 && p(&found, 2) < 0.05, "{found:?}");
    }

    #[test]
    fn after_a_change_of_ways_the_new_way_leads_within_200_events() {
        let mut model = Model::default();
        let here = Past { last: Some(1), ..Past::default() };
        for _ in 0..5_000 {
            model.learn(&here, 2, 30_000);
        }
        let events = (1..).find(|_| {
            model.learn(&here, 3, 30_000);
            p(&model.next(&here, &[]), 3) > 0.8
        });
        assert!(events.unwrap() < 200, "{events:?}");
    }

    #[test]
    fn a_flood_of_new_items_breaks_no_bound() {
        let mut model = Model::with_limit(1_000);
        let mut past = Past::default();
        for step in 0..100_000_u32 {
            let item = if step % 2 == 0 { step } else { 1 };
            model.learn(&past, item, 0);
            past = past.and(item);
        }
        assert!(model.contexts() <= 1_000);
        let spilled: usize = model.iter().map(|(_, context)| spill(context)).sum();
        assert_eq!(spilled, model.spilled);
        for (_, context) in model.iter() {
            assert!(context.edges.len() <= SUCCESSORS_MAX && context.total < FADE_AT);
            assert_eq!(context.total, context.edges.iter().map(|edge| edge.count).sum::<u16>());
        }
    }
}
