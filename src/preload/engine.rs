//! Who went where, what is likely next, and what of it is loaded: the preloader over bare numbers.
//!
//! It owns the model, the curves, the budget and the figures, and what it knows of sessions. It asks one thing of the
//! outside, through [`World`]: what is there already and what a load costs. Times come in with each call.
//!
//! Each candidate that is neither there nor on its way is a **trial**. One that is loaded was right when it is used in
//! time, and wrong when it is late or goes unused. One that is not loaded was right when anybody wants it within the time that an unused
//! preload stays in the cache, which is learnt as well. So calibration learns from everything that it is used on, means
//! the cache as it is, and sources that are switched off keep being judged.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::ahead;
use super::budget::Budget;
use super::calibration::Calibration;
use super::explain::{Considered, Verdict};
use super::feedback::{Feedback, Outcome, Served, Waste};
use super::model::{LEAD_MS_ASSUMED, Model, Past};
use super::planner::{CONSIDERED_MAX, Cost, Governor, PER_EVENT_MAX, Settings, Sizes};
use super::popular::Popular;
use super::structure::{Structure, Weights};
use super::table::Bounded;
use super::{Item, Source, mix};
use crate::time::Mono;

/// Sessions known at once; one that was not seen lately is a new one when it comes back.
pub const SESSIONS_MAX: usize = 65_536;

/// Trials whose time is not over. More are not begun, which favours no outcome.
pub const TRIALS_MAX: usize = 16_384;

/// Preloads of which it is not known yet what became of them; of more that is never learnt.
pub const LOADED_MAX: usize = 16_384;

/// The time that a preload stays unused is learnt between these bounds.
const STAYS_MS: (f32, f32) = (20_000.0, 30.0 * 60_000.0);

/// How fast that time follows.
const STAYS_RATE: f32 = 1.0 / 32.0;

/// People for whom the last decisions are kept.
pub const PLANS_MAX: usize = 4_096;

/// A session that was quiet for so long begins anew.
pub const SESSION_GAP_MS: u64 = 30 * 60_000;

/// A preload of which nothing was heard for so long is no longer on its way.
const UNDER_WAY_MS: u64 = 60_000;

/// What a hint is believed before it has been calibrated.
const HINT_RAW: f32 = 0.5;

/// What the engine asks of whoever holds the cache.
pub trait World {
    /// It is in the cache.
    fn is_resident(&self, item: Item) -> bool;
    /// What loading it costs.
    fn cost(&self, item: Item) -> Cost;
}

/// Somebody is somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The person, where habits are learnt; nobody in particular otherwise.
    pub user: Option<u64>,
    /// Their session.
    pub session: u64,
    /// Where.
    pub item: Item,
}

/// Something to load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// What.
    pub item: Item,
    /// How probable it is that somebody wants it.
    pub p: f32,
    /// On whose word.
    pub source: Source,
    /// How many bytes it is thought to have.
    pub bytes: u64,
}

/// What one event has loaded.
pub type Choices = SmallVec<[Choice; PER_EVENT_MAX]>;

/// What was last decided for somebody.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where they were.
    pub here: Item,
    /// When.
    pub at: Mono,
    /// The session has nothing preloaded.
    pub is_holdout: bool,
    /// The candidates, the most promising first.
    pub considered: SmallVec<[Considered; CONSIDERED_MAX]>,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Engine {
    settings: Settings,
    pub(super) model: Model,
    structure: Structure,
    pub(super) calibration: Calibration,
    pub(super) feedback: Feedback,
    budget: Budget,
    governor: Governor,
    sizes: Sizes,
    sessions: Bounded<Session>,
    popular: Popular,
    trials: VecDeque<Trial>,
    loaded: Bounded<Trial>,
    /// How long an unused preload stays.
    stays_ms: f32,
    under_way: Vec<UnderWay>,
    plans: Bounded<Plan>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    past: Past,
    at: Mono,
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    at: Mono,
    item: Item,
    raw: f32,
    p: f32,
    source: Source,
    /// It would have been loaded, had its source been on.
    is_shadow: bool,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    item: Item,
    who: u64,
    bytes: u64,
    since: Mono,
}

/// Something that may be loaded, with what it takes to decide.
#[derive(Clone, Copy)]
struct Weighed {
    item: Item,
    source: Source,
    raw: f32,
    p: f32,
    cost: Cost,
    lead_ms: u32,
}

/// Candidates with who says so, how probable it is, and how soon they come.
type Likely = SmallVec<[(Item, Source, f32, u32); CONSIDERED_MAX]>;

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(settings: Settings, structure: Structure) -> Self {
        let stays_ms = settings.horizon_ms as f32;
        Engine {
            budget: Budget::new(settings.share),
            governor: Governor::new(settings.precision_goal),
            sizes: Sizes::default(),
            settings,
            model: Model::default(),
            structure,
            calibration: Calibration::default(),
            feedback: Feedback::default(),
            sessions: Bounded::new(SESSIONS_MAX),
            popular: Popular::default(),
            trials: VecDeque::new(),
            loaded: Bounded::new(LOADED_MAX),
            stays_ms,
            under_way: Vec::new(),
            plans: Bounded::new(PLANS_MAX),
        }
    }

    /// Somebody is somewhere: learns from it, and says what to load.
    pub fn visit(&mut self, visit: Visit, world: &impl World, now: Mono) -> Choices {
        self.want(visit.item, now);
        self.settle(now);
        let group = self.structure.group(visit.item);
        let fresh = Session { past: Past { user: visit.user, group, ..Past::default() }, at: now };
        let mut session = match self.sessions.get_mut(visit.session) {
            Some(known) if now.since(known.at) <= SESSION_GAP_MS && known.past.user == visit.user => *known,
            Some(known) => {
                *known = fresh;
                fresh
            }
            None => {
                self.sessions.insert(visit.session, fresh);
                fresh
            }
        };
        let is_step = session.past.last != Some(visit.item);
        if is_step {
            self.model.learn(&Past { group, ..session.past }, visit.item, now.since(session.at));
            session.past = Past { group, ..session.past.and(visit.item) };
        }
        session.at = now;
        if let Some(known) = self.sessions.get_mut(visit.session) {
            *known = session;
        }
        if !is_step {
            return Choices::new();
        }
        let shape = self.shape(visit.item, now);
        let found = ahead::soon(&self.model, &session.past, &shape);
        let mut candidates: Likely = SmallVec::new();
        for found in found.iter().take(CONSIDERED_MAX) {
            // Somebody else may want it as well.
            let anybody = self.popular.p(found.item, self.stays_ms as u64, now);
            let p = 1.0 - (1.0 - found.p.min(1.0)) * (1.0 - anybody);
            candidates.push((found.item, found.source, p, found.lead_ms));
        }
        self.add_popular(&mut candidates, visit.item, world, now);
        self.decide(visit, &candidates, world, now)
    }

    /// What may be wanted of where somebody is, each with how often it was.
    pub fn parts(&mut self, visit: Visit, parts: &[(Item, f32)], world: &impl World, now: Mono) -> Choices {
        let candidate = |(item, raw): &(Item, f32)| (*item, Source::Parts, *raw, LEAD_MS_ASSUMED);
        let candidates: Likely = parts.iter().take(CONSIDERED_MAX).map(candidate).collect();
        self.decide(visit, &candidates, world, now)
    }

    /// The client says that somebody may go to `visit.item`.
    pub fn hint(&mut self, visit: Visit, world: &impl World, now: Mono) -> Choices {
        self.settle(now);
        self.decide(visit, &[(visit.item, Source::Hint, HINT_RAW, LEAD_MS_ASSUMED)], world, now)
    }

    /// Somebody wants an item, without having gone there.
    pub fn want(&mut self, item: Item, now: Mono) {
        self.popular.want(item, now);
    }

    /// Somebody edits here.
    pub fn edited(&mut self, item: Item, now: Mono) {
        self.structure.edited(item, now);
    }

    /// A session has asked for so many bytes. What was late has been paid for when it was chosen.
    pub fn demanded(&mut self, session: u64, bytes: u64, served: Served) {
        self.budget.demanded(bytes, served == Served::Loaded);
        self.sizes.asked(bytes);
        self.feedback.demanded(self.is_holdout(session), served);
    }

    /// What was chosen has been loaded, with its real size; 0 when it came to nothing.
    pub fn finished(&mut self, item: Item, bytes: u64) {
        if let Some(at) = self.under_way.iter().position(|under_way| under_way.item == item) {
            let taken = self.under_way.swap_remove(at).bytes;
            self.budget.correct(taken, bytes);
        }
    }

    /// How a preload of so many bytes ended.
    pub fn ended(&mut self, item: Item, source: Source, outcome: Outcome, bytes: u64, now: Mono) {
        self.feedback.ended(source, outcome, bytes, self.settings.threshold_of(source));
        // One that is late has spared the origin nothing and people little.
        let is_right = matches!(outcome, Outcome::Used { .. });
        if source != Source::Hint {
            self.governor.outcome(is_right);
        }
        // What could not be loaded, or changed meanwhile, says nothing about the prediction.
        let has_gone = matches!(outcome, Outcome::Wasted(Waste::Evicted | Waste::Expired));
        let says_nothing = matches!(outcome, Outcome::Wasted(_)) && !has_gone;
        let Some(trial) = self.loaded.remove(u64::from(item)).filter(|_| !says_nothing) else { return };
        self.calibration.learn(trial.source, trial.raw, trial.p, is_right);
        if has_gone {
            let stayed = now.since(trial.at) as f32;
            self.stays_ms = (self.stays_ms + (stayed - self.stays_ms) * STAYS_RATE).clamp(STAYS_MS.0, STAYS_MS.1);
        }
    }

    /// A session is over.
    pub fn left(&mut self, session: u64) {
        self.sessions.remove(session);
    }

    /// Is it on its way?
    pub fn is_under_way(&self, item: Item) -> bool {
        self.under_way.iter().any(|under_way| under_way.item == item)
    }

    /// Has this session nothing preloaded, to show how it is without?
    pub fn is_holdout(&self, session: u64) -> bool {
        mix(&[self.settings.seed, session]) % 1000 < u64::from(self.settings.holdout_permille)
    }

    /// What was last decided for somebody: a person, or the session of nobody in particular.
    pub fn plan(&self, who: u64) -> Option<&Plan> {
        self.plans.peek(who)
    }

    /// The building changed its shape.
    pub fn set_structure(&mut self, structure: Structure) {
        self.structure = structure;
    }

    /// The settings changed. What was saved up is not lost.
    pub fn set_settings(&mut self, settings: Settings) {
        if settings.share != self.settings.share {
            self.budget = Budget::new(settings.share);
        }
        if settings.precision_goal != self.settings.precision_goal {
            self.governor = Governor::new(settings.precision_goal);
        }
        self.settings = settings;
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What was learnt of how people move.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How predictions came true.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// What became of preloads.
    pub fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    /// Bytes that may be loaded now without being asked for.
    pub fn budget_left(&self) -> u64 {
        self.budget.left()
    }

    /// By how much the threshold is raised.
    pub fn raised(&self) -> f32 {
        self.governor.raised()
    }

    /// Sessions that are known.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Preloads that are on their way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Bytes in memory, but for the allocator's own.
    pub fn bytes(&self) -> usize {
        let tables = self.sessions.bytes() + self.popular.bytes() + self.plans.bytes() + self.loaded.bytes();
        self.model.bytes() + tables + self.trials.capacity() * size_of::<Trial>()
    }

    fn shape(&self, here: Item, now: Mono) -> Weights {
        self.structure.weights(here, now)
    }

    fn decide(
        &mut self,
        visit: Visit,
        candidates: &[(Item, Source, f32, u32)],
        world: &impl World,
        now: Mono,
    ) -> Choices {
        let who = visit.user.unwrap_or(visit.session);
        let is_holdout = self.is_holdout(visit.session);
        self.under_way.retain(|under_way| now.since(under_way.since) <= UNDER_WAY_MS);
        let mut weighed: SmallVec<[Weighed; CONSIDERED_MAX]> = candidates
            .iter()
            .map(|(item, source, raw, lead_ms)| {
                let p = self.calibration.calibrated(*source, *raw);
                Weighed { item: *item, source: *source, raw: *raw, p, cost: world.cost(*item), lead_ms: *lead_ms }
            })
            .collect();
        weighed.sort_by(|a, b| b.benefit().total_cmp(&a.benefit()).then(a.item.cmp(&b.item)));
        let mut choices = Choices::new();
        let mut plan = Plan { here: visit.item, at: now, is_holdout, considered: SmallVec::new() };
        for option in weighed {
            let verdict = self.judge(&option, who, is_holdout, choices.len(), world, now);
            let Weighed { item, source, raw, p, cost, .. } = option;
            if verdict == Verdict::Issued {
                self.under_way.push(UnderWay { item, who, bytes: cost.bytes, since: now });
                self.feedback.issued(source);
                choices.push(Choice { item, p, source, bytes: cost.bytes });
            }
            let within_ms = self.stays_ms as u64;
            plan.considered.push(Considered { item, source, raw, p, within_ms, verdict });
        }
        match self.plans.get_mut(who) {
            Some(last) => *last = plan,
            None => {
                self.plans.insert(who, plan);
            }
        }
        choices
    }

    /// The first reason against it, or none.
    fn judge(
        &mut self,
        option: &Weighed,
        who: u64,
        is_holdout: bool,
        chosen: usize,
        world: &impl World,
        now: Mono,
    ) -> Verdict {
        let Weighed { item, source, raw, p, cost, .. } = *option;
        if world.is_resident(item) {
            return Verdict::Resident;
        }
        if self.is_under_way(item) {
            return Verdict::UnderWay;
        }
        let raised = if source == Source::Hint { 0.0 } else { self.governor.raised() };
        let toll = self.sizes.toll(cost.bytes);
        let unraised = self.settings.threshold_of(source) * toll;
        let threshold = (unraised + raised * toll).min(1.0);
        let is_probable = p >= threshold;
        let trial = Trial { at: now, item, raw, p, source, is_shadow: is_probable };
        let of_theirs = self.under_way.iter().filter(|under_way| under_way.who == who).count();
        let verdict = if !is_probable {
            Verdict::UnderThreshold {
                threshold,
                configured: self.settings.threshold_of(source),
                is_raised: raised > 0.0,
                is_large: toll > 1.0,
            }
        } else if option.in_time() < threshold {
            Verdict::TooSoon
        } else if !self.settings.is_on {
            Verdict::Off
        } else if !self.feedback.is_on(source) {
            Verdict::SourceOff
        } else if is_holdout {
            Verdict::Holdout
        } else if cost.bytes > self.settings.item_bytes_max {
            Verdict::TooLarge
        } else if chosen >= PER_EVENT_MAX
            || of_theirs >= self.settings.under_way_per_user
            || self.under_way.len() >= self.settings.under_way
        {
            Verdict::TooMany
        } else if !self.budget.take(cost.bytes) {
            Verdict::Budget
        } else {
            Verdict::Issued
        };
        match verdict {
            _ if source == Source::Hint => {}
            Verdict::Budget | Verdict::Issued => self.governor.asked_budget(verdict == Verdict::Budget),
            Verdict::UnderThreshold { .. } if p >= unraised => {
                self.governor.passed_over(cost.bytes <= self.budget.left());
            }
            _ => {}
        }
        if verdict == Verdict::Issued {
            self.loaded.remove(u64::from(item));
            self.loaded.insert(u64::from(item), trial);
        } else if self.trials.len() < TRIALS_MAX {
            self.trials.push_back(trial);
        }
        verdict
    }

    /// What many want and is not there goes beside what is likely next.
    fn add_popular(&mut self, candidates: &mut Likely, here: Item, world: &impl World, now: Mono) {
        let least = self.settings.threshold + self.governor.raised();
        for (item, p) in self.popular.some(self.stays_ms as u64, now) {
            let is_known = item == here || candidates.iter().any(|(known, ..)| *known == item);
            let is_probable = p >= least * self.sizes.toll(world.cost(item).bytes);
            if is_probable && !is_known && !world.is_resident(item) {
                candidates.push((item, Source::Popular, p, LEAD_MS_ASSUMED));
            }
        }
    }

    /// Judges the trials whose time is over.
    fn settle(&mut self, now: Mono) {
        while let Some(trial) = self.trials.front().copied() {
            if now.since(trial.at) < self.stays_ms as u64 {
                return;
            }
            self.trials.pop_front();
            let was_wanted = self.popular.is_wanted_after(trial.item, trial.at);
            self.calibration.learn(trial.source, trial.raw, trial.p, was_wanted);
            if trial.is_shadow {
                self.feedback.shadowed(trial.source, was_wanted, self.settings.threshold_of(trial.source));
            }
        }
    }
}

impl Weighed {
    /// How probable it is that it is wanted and there: who asks before it has come has waited for the most part.
    fn in_time(&self) -> f32 {
        let load_ms = self.cost.load_ms.max(1) as f32;
        self.p * (self.lead_ms as f32 / load_ms).min(1.0)
    }

    /// What it saves per byte.
    fn benefit(&self) -> f32 {
        self.cost.benefit(self.in_time())
    }
}

#[cfg(test)]
mod tests {
    use super::super::structure::Building;
    use super::*;

    /// A cache that holds nothing, and loads of one size.
    struct Empty;

    impl World for Empty {
        fn is_resident(&self, _item: Item) -> bool {
            false
        }

        fn cost(&self, _item: Item) -> Cost {
            Cost { bytes: 1_000, load_ms: 200 }
        }
    }

    fn visit(session: u64, item: Item) -> Visit {
        Visit { user: None, session, item }
    }

    fn tower() -> Structure {
        Structure::new(&[Building { floors: (0..20).map(|at| (at, at as i32)).collect(), joined: Vec::new() }])
    }

    #[test]
    fn one_session_of_twenty_has_nothing_preloaded_and_all_others_have() {
        for seed in 0..5 {
            let mut engine = Engine::new(Settings { seed, ..Settings::default() }, tower());
            let mut without = 0;
            for session in 0..4_000 {
                let now = Mono(session * 1_000);
                engine.demanded(session, 1_000_000, Served::Loaded);
                let choices = engine.visit(visit(session, 19), &Empty, now);
                engine.want(18, now.plus(400));
                assert_eq!(choices.is_empty(), engine.is_holdout(session), "seed {seed}, session {session}");
                without += u32::from(choices.is_empty());
                // What was predicted comes true.
                for choice in choices {
                    engine.finished(choice.item, 1_000);
                    engine.want(choice.item, now.plus(500));
                    let used = Outcome::Used { saved_ms: 200 };
                    engine.ended(choice.item, choice.source, used, 1_000, now.plus(500));
                }
                engine.left(session);
            }
            assert!((150..250).contains(&without), "seed {seed}: {without} of 4000");
        }
    }

    #[test]
    fn no_more_is_loaded_than_the_budget_and_no_more_at_once_than_the_limits() {
        let mut engine = Engine::new(Settings::for_cache(200_000), tower());
        let share = engine.settings().share;
        let (mut asked, mut issued) = (0, 0);
        for step in 0..20_000_u64 {
            let item = (mix(&[step]) % 20) as Item;
            asked += 1_000;
            engine.demanded(step / 10, 1_000, Served::Loaded);
            let choices = engine.visit(visit(step / 10, item), &Empty, Mono(step * 3_000));
            assert!(choices.len() <= PER_EVENT_MAX && engine.under_way() <= engine.settings().under_way);
            issued += choices.iter().map(|choice| choice.bytes).sum::<u64>();
            let most = share.burst_bytes + asked * u64::from(share.asked_permille) / 1000;
            assert!(issued <= most, "step {step}: {issued} of {most}");
            choices.iter().filter(|choice| choice.item % 2 == 0).for_each(|choice| engine.finished(choice.item, 1_000));
        }
        assert!(issued > 0);
    }

    #[test]
    fn a_flood_of_ids_breaks_no_bound() {
        let mut engine = Engine::new(Settings::default(), Structure::default());
        for step in 0..150_000_u64 {
            let someone = Visit { user: Some(step), session: step, item: (step / 2) as Item };
            engine.visit(someone, &Empty, Mono(step));
        }
        assert!(engine.sessions() <= SESSIONS_MAX && engine.trials.len() <= TRIALS_MAX);
        assert!(engine.plans.len() <= PLANS_MAX && engine.loaded.len() <= LOADED_MAX);
        assert!(engine.model().contexts() <= super::super::model::CONTEXTS_MAX);
        assert!(engine.bytes() < 40 << 20, "{} bytes", engine.bytes());
    }

    #[test]
    fn a_session_ends_after_half_an_hour() {
        let mut engine = Engine::new(Settings::default(), Structure::default());
        engine.visit(visit(1, 5), &Empty, Mono(0));
        engine.visit(visit(1, 6), &Empty, Mono(SESSION_GAP_MS + 1));
        let after_five = Past { last: Some(5), ..Past::default() };
        assert!(engine.model().next(&after_five, &[]).iter().all(|found| found.source != Source::OneStep));
        engine.visit(visit(1, 7), &Empty, Mono(2 * SESSION_GAP_MS));
        let after_six = Past { last: Some(6), ..Past::default() };
        assert!(engine.model().next(&after_six, &[]).iter().any(|found| found.item == 7));
    }

    #[test]
    fn what_is_not_loaded_has_a_reason() {
        let mut engine = Engine::new(Settings::default(), tower());
        let session = (0..).find(|session| !engine.is_holdout(*session)).unwrap();
        engine.visit(visit(session, 10), &Empty, Mono(0));
        let plan = engine.plan(session).unwrap();
        let verdict = |item| plan.considered.iter().find(|one| one.item == item).map(|one| one.verdict);
        assert_eq!((verdict(9), verdict(11)), (Some(Verdict::Issued), Some(Verdict::Issued)));
        assert!(matches!(verdict(8), Some(Verdict::UnderThreshold { .. })), "{plan:?}");
        engine.visit(visit(session + 1, 10), &Empty, Mono(10));
        engine.visit(visit(session, 12), &Empty, Mono(1_000));
        let plan = engine.plan(session).unwrap();
        assert!(plan.considered.iter().any(|one| one.item == 11 && one.verdict == Verdict::UnderWay), "{plan:?}");
    }
}
