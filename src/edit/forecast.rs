//! Will two people who are busy with the same thing get into a conflict?
//!
//! Whoever becomes active on a resource on which somebody else was active a moment ago is a **meeting**. Of each meeting
//! a forecast is made: how often did meetings of this kind end in a conflict of the two? A kind ([`Situation`]) is told by
//! few signs: whether both touched the same part, how long ago the other one was there, whether both edit, whether one of
//! them holds a lock. Little is known of a rare kind, so its frequency leans on the base rate, the frequency of conflicts
//! after meetings of any kind.
//!
//! A hint that is wrong costs more than one that is missing, so the forecaster keeps score of itself. Each forecast, and
//! what the base rate would have said instead, is judged by its squared error (Brier 1950) when its outcome is known, and
//! only then learnt from: nothing is ever judged by what it has taught. [`Forecaster::shown`] is true only after enough
//! judgements, and while the forecasts beat the base rate by more than luck explains: a bare "smaller error" is true half
//! of the time where there is nothing to know. Scores and frequencies fade, so that a team that works differently from
//! today on is forecast differently.
//!
//! Always: outcomes are counted when the time for them is over and in the order of the forecasts, conflicts no sooner than
//! their absence; a pair has no new forecast of a resource while it is in a fresh conflict about it; the same input gives
//! the same answer. Not here: what counts as activity, who may hear of it, and how.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use smallvec::SmallVec;

use super::path::Path;
use crate::id::{ResourceId, UserId};
use crate::time::Mono;

/// Resources on which somebody was active lately; the one without activity for the longest goes.
pub const RESOURCES_MAX: usize = 4096;

/// People remembered for one resource; the one without activity for the longest goes.
pub const PEOPLE_MAX: usize = 8;

/// Forecasts and fresh conflicts whose time is not over; the oldest goes and is never judged.
pub const PENDING_MAX: usize = 8192;

/// What each judgement leaves of the weight of those before it: after 512 more, one counts about a third.
const FADE: f64 = 1.0 - 1.0 / 512.0;

/// A kind of meeting is trusted as much as the base rate when it was seen so often.
const LEANING: f64 = 8.0;

/// By how many standard errors the forecasts must beat the base rate. Three, since it is looked at after each judgement
/// and not once.
const ERRORS_AHEAD: f64 = 3.0;

/// A sign of how long ago: up to these times, in milliseconds, and later.
const RECENT_MS: [u64; 2] = [10_000, 45_000];

/// How many segments of a path tell the parts of a document apart.
const PART_DEPTH: usize = 2;

/// The forecaster's times and how much it must have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Two people meet when no more lies between their activity.
    pub window_ms: u64,
    /// A forecast is about so much time.
    pub horizon_ms: u64,
    /// A pair whose situation has changed has a new forecast of a resource after so much time.
    pub again_ms: u64,
    /// Nothing is shown before so many forecasts are judged.
    pub judged_least: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { window_ms: 120_000, horizon_ms: 300_000, again_ms: 60_000, judged_least: 200 }
    }
}

/// What somebody does with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Has changed it.
    Editing,
    /// Holds a lock on it.
    Holding,
    /// Looks at it.
    Looking,
}

/// Parts of a document, as a set that may take two parts for one but never misses one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts(u64);

impl Parts {
    /// Adds the part in which a path lies.
    pub fn add(&mut self, path: &Path) {
        let text = path.as_str();
        let end = text.match_indices('/').nth(PART_DEPTH).map_or(text.len(), |(at, _)| at);
        // FNV-1a, of which the upper bits are the better mixed ones.
        let hash = text.as_bytes()[..end].iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.0 |= 1 << (hash >> 58);
    }

    fn meets(self, other: Parts) -> bool {
        self.0 & other.0 != 0
    }
}

/// Somebody is active.
#[derive(Clone, Debug)]
pub struct Mark<'a> {
    /// Who.
    pub person: &'a UserId,
    /// On what.
    pub resource: &'a ResourceId,
    /// Where in it, as far as that is known.
    pub parts: Parts,
    /// In which way.
    pub doing: Doing,
    /// When; never before an earlier mark.
    pub at: Mono,
}

/// Whether two people touched the same part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Of one of them it is not known.
    Unknown,
    /// Each another.
    Apart,
    /// The same.
    Same,
}

/// What kind of meeting it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Whether both touched the same part.
    pub place: Place,
    /// How long ago the other one was active: 0 just now, and so on up to `RECENT_MS.len()`.
    pub ago: u8,
    /// Both have edited.
    pub both_edit: bool,
    /// One of them holds a lock.
    pub locked: bool,
}

impl Situation {
    const COUNT: usize = 3 * (RECENT_MS.len() + 1) * 2 * 2;

    fn index(self) -> usize {
        let place = match self.place {
            Place::Unknown => 0,
            Place::Apart => 1,
            Place::Same => 2,
        };
        let ago = place * (RECENT_MS.len() + 1) + usize::from(self.ago);
        (ago * 2 + usize::from(self.both_edit)) * 2 + usize::from(self.locked)
    }

    /// The signs that are there, by name.
    pub fn signs(self) -> SmallVec<[&'static str; 4]> {
        let place = match self.place {
            Place::Unknown => None,
            Place::Apart => Some("other_part"),
            Place::Same => Some("same_part"),
        };
        let just_now = (self.ago == 0).then_some("just_now");
        let both_edit = self.both_edit.then_some("both_edit");
        let locked = self.locked.then_some("locked");
        [place, just_now, both_edit, locked].into_iter().flatten().collect()
    }
}

/// How likely two people get into a conflict.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Who was here before.
    pub other: UserId,
    /// How likely, between 0 and 1.
    pub probability: f64,
    /// Why so.
    pub situation: Situation,
}

/// Meets people and keeps score; see the module.
#[derive(Debug)]
pub struct Forecaster {
    settings: Settings,
    places: BTreeMap<ResourceId, Activity>,
    by_age: BTreeSet<(Mono, ResourceId)>,
    pairs: BTreeMap<PairKey, Pair>,
    /// Each ends `horizon_ms` after it began, so they end in order.
    pending: VecDeque<Pending>,
    kinds: [Frequency; Situation::COUNT],
    all: Frequency,
    score: Score,
    made: u64,
}

#[derive(Debug)]
struct Activity {
    last: Mono,
    people: SmallVec<[Active; 2]>,
}

#[derive(Clone, Debug)]
struct Active {
    person: UserId,
    at: Mono,
    edited: Option<Mono>,
    held: Option<Mono>,
    parts: Parts,
}

/// The two in order of their ids.
type PairKey = (ResourceId, UserId, UserId);

#[derive(Debug)]
struct Pair {
    /// How many of the pending are about it; it is forgotten with the last one.
    pending: u32,
    /// The last forecast.
    made: Option<(Mono, Situation)>,
    conflict: Option<Mono>,
}

#[derive(Debug)]
struct Pending {
    pair: PairKey,
    begun: Mono,
    /// None for a conflict that is only remembered.
    said: Option<Said>,
}

#[derive(Debug)]
struct Said {
    kind: usize,
    probability: f64,
    base: f64,
}

/// How often something happened, fading.
#[derive(Clone, Copy, Debug, Default)]
struct Frequency {
    seen: f64,
    happened: f64,
}

impl Frequency {
    /// Laplace's rule with `LEANING` meetings seen in imagination, of which a share of `base` went wrong.
    fn leaning_on(self, base: f64) -> f64 {
        (self.happened + LEANING * base) / (self.seen + LEANING)
    }

    fn alone(self) -> f64 {
        (self.happened + 1.0) / (self.seen + 2.0)
    }

    fn fade(&mut self) {
        self.seen *= FADE;
        self.happened *= FADE;
    }

    fn learn(&mut self, outcome: f64) {
        self.seen += 1.0;
        self.happened += outcome;
    }
}

/// Errors so far, fading.
#[derive(Clone, Copy, Debug, Default)]
struct Score {
    judged: u64,
    weight: f64,
    weight_squares: f64,
    error: f64,
    base_error: f64,
    lead_squares: f64,
}

impl Score {
    fn judge(&mut self, said: &Said, outcome: f64) {
        let error = (said.probability - outcome).powi(2);
        let base_error = (said.base - outcome).powi(2);
        self.judged += 1;
        self.weight = self.weight * FADE + 1.0;
        self.weight_squares = self.weight_squares * FADE * FADE + 1.0;
        self.error = self.error * FADE + error;
        self.base_error = self.base_error * FADE + base_error;
        self.lead_squares = self.lead_squares * FADE + (base_error - error).powi(2);
    }

    /// The mean lead over the base rate exceeds its own uncertainty.
    fn leads(&self) -> bool {
        let lead = (self.base_error - self.error) / self.weight;
        let variance = (self.lead_squares / self.weight - lead * lead).max(0.0);
        let standard_error = (variance * self.weight_squares).sqrt() / self.weight;
        lead > 0.0 && lead > ERRORS_AHEAD * standard_error
    }
}

impl Forecaster {
    /// A forecaster that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        Forecaster {
            settings,
            places: BTreeMap::new(),
            by_age: BTreeSet::new(),
            pairs: BTreeMap::new(),
            pending: VecDeque::new(),
            kinds: [Frequency::default(); Situation::COUNT],
            all: Frequency::default(),
            score: Score::default(),
            made: 0,
        }
    }

    /// Somebody is active: the forecasts about those who were here before.
    pub fn mark(&mut self, mark: &Mark<'_>) -> SmallVec<[Forecast; 1]> {
        self.pass(mark.at);
        let window_ms = self.settings.window_ms;
        let (me, others) = self.note(mark);
        let mut forecasts = SmallVec::new();
        for other in others {
            let ago = mark.at.since(other.at);
            let within = |at: Option<Mono>| at.is_some_and(|at| mark.at.since(at) <= window_ms);
            let place = match (me.parts, other.parts) {
                (Parts(0), _) | (_, Parts(0)) => Place::Unknown,
                (mine, theirs) if mine.meets(theirs) => Place::Same,
                _ => Place::Apart,
            };
            let situation = Situation {
                place,
                ago: RECENT_MS.iter().filter(|limit| ago >= **limit).count() as u8,
                both_edit: within(me.edited) && within(other.edited),
                locked: within(me.held) || within(other.held),
            };
            forecasts.extend(self.forecast(mark, other.person, situation));
        }
        forecasts
    }

    /// A conflict of the two was found.
    pub fn conflict(&mut self, resource: &ResourceId, one: &UserId, two: &UserId, at: Mono) {
        self.pass(at);
        let key = pair_key(resource, one, two);
        self.pend(Pending { pair: key.clone(), begun: at, said: None });
        self.pairs.entry(key).and_modify(|pair| pair.conflict = Some(at));
    }

    /// Time has passed: forecasts whose time is over are judged and learnt from.
    pub fn pass(&mut self, now: Mono) {
        let horizon_ms = self.settings.horizon_ms;
        while let Some(pending) = self.pending.pop_front_if(|pending| now.since(pending.begun) > horizon_ms) {
            let conflict = self.end(&pending);
            if let Some(said) = pending.said {
                let happened = conflict.is_some_and(|at| at >= pending.begun);
                self.learn(&said, if happened { 1.0 } else { 0.0 });
            }
        }
        while let Some((last, _)) = self.by_age.first()
            && now.since(*last) > self.settings.window_ms
        {
            self.forget_oldest();
        }
    }

    /// Hints are worth showing.
    pub fn shown(&self) -> bool {
        self.score.judged >= self.settings.judged_least && self.score.leads()
    }

    /// Forecasts made.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Forecasts whose outcome is known.
    pub fn judged(&self) -> u64 {
        self.score.judged
    }

    /// Mean squared error of the forecasts, the older ones fading; none before the first is judged.
    pub fn brier(&self) -> Option<f64> {
        (self.score.judged > 0).then(|| self.score.error / self.score.weight)
    }

    /// The same of the base rate.
    pub fn base_brier(&self) -> Option<f64> {
        (self.score.judged > 0).then(|| self.score.base_error / self.score.weight)
    }

    /// How many resources, people on them, pairs and pending outcomes are in memory.
    #[cfg(test)]
    pub(super) fn held(&self) -> [usize; 4] {
        let people = self.places.values().map(|activity| activity.people.len()).sum();
        [self.places.len(), people, self.pairs.len(), self.pending.len()]
    }

    /// Remembers that somebody is active: what is known of the person now, and who else is here.
    fn note(&mut self, mark: &Mark<'_>) -> (Active, SmallVec<[Active; 2]>) {
        let window_ms = self.settings.window_ms;
        if let Some(activity) = self.places.get(mark.resource) {
            self.by_age.remove(&(activity.last, mark.resource.clone()));
        } else if self.places.len() >= RESOURCES_MAX {
            self.forget_oldest();
        }
        self.by_age.insert((mark.at, mark.resource.clone()));
        let new = || Activity { last: mark.at, people: SmallVec::new() };
        let activity = self.places.entry(mark.resource.clone()).or_insert_with(new);
        activity.last = mark.at;
        activity.people.retain(|active| mark.at.since(active.at) <= window_ms);
        // The one who was active last stands last.
        let mut me = match activity.people.iter().position(|active| active.person == *mark.person) {
            Some(at) => activity.people.remove(at),
            None => {
                Active { person: mark.person.clone(), at: mark.at, edited: None, held: None, parts: Parts::default() }
            }
        };
        me.at = mark.at;
        me.parts.0 |= mark.parts.0;
        match mark.doing {
            Doing::Editing => me.edited = Some(mark.at),
            Doing::Holding => me.held = Some(mark.at),
            Doing::Looking => {}
        }
        let others = activity.people.clone();
        if activity.people.len() >= PEOPLE_MAX {
            activity.people.remove(0);
        }
        activity.people.push(me.clone());
        (me, others)
    }

    fn forecast(&mut self, mark: &Mark<'_>, other: UserId, situation: Situation) -> Option<Forecast> {
        let Settings { horizon_ms, again_ms, .. } = self.settings;
        let key = pair_key(mark.resource, mark.person, &other);
        if let Some(pair) = self.pairs.get(&key) {
            let in_conflict = pair.conflict.is_some_and(|at| mark.at.since(at) <= horizon_ms);
            let said = pair.made.is_some_and(|(at, was)| was == situation || mark.at.since(at) < again_ms);
            if in_conflict || said {
                return None;
            }
        }
        let (kind, base) = (situation.index(), self.all.alone());
        let probability = self.kinds[kind].leaning_on(base);
        self.made += 1;
        let said = Some(Said { kind, probability, base });
        self.pend(Pending { pair: key.clone(), begun: mark.at, said });
        self.pairs.entry(key).and_modify(|pair| pair.made = Some((mark.at, situation)));
        Some(Forecast { other, probability, situation })
    }

    fn pend(&mut self, pending: Pending) {
        if self.pending.len() >= PENDING_MAX
            && let Some(oldest) = self.pending.pop_front()
        {
            self.end(&oldest);
        }
        let new = || Pair { pending: 0, made: None, conflict: None };
        self.pairs.entry(pending.pair.clone()).or_insert_with(new).pending += 1;
        self.pending.push_back(pending);
    }

    /// One less is pending about a pair: when its last conflict was.
    fn end(&mut self, pending: &Pending) -> Option<Mono> {
        let pair = self.pairs.get_mut(&pending.pair).expect("a pair is kept while something is pending about it");
        pair.pending -= 1;
        let conflict = pair.conflict;
        if pair.pending == 0 {
            self.pairs.remove(&pending.pair);
        }
        conflict
    }

    fn learn(&mut self, said: &Said, outcome: f64) {
        self.score.judge(said, outcome);
        self.kinds.iter_mut().for_each(Frequency::fade);
        self.all.fade();
        self.kinds[said.kind].learn(outcome);
        self.all.learn(outcome);
    }

    fn forget_oldest(&mut self) {
        if let Some((_, resource)) = self.by_age.pop_first() {
            self.places.remove(&resource);
        }
    }
}

fn pair_key(resource: &ResourceId, one: &UserId, two: &UserId) -> PairKey {
    let (first, second) = if one <= two { (one, two) } else { (two, one) };
    (resource.clone(), first.clone(), second.clone())
}
