//! The preloader as the daemon knows it: signals with names go in, proposals with names come out.
//!
//! It gives floors numbers and people hashes, takes a floor apart into the values that its visitors read, and leaves
//! everything else to the engine. One owner, plain `&mut self`.
//!
//! Its owner calls [`Preloader::observe`] for what people do and [`Preloader::demand`] for what they read; loads what
//! is proposed, unless it may not; and says with [`Preloader::finished`] that a proposal has been carried out and with
//! [`Preloader::outcome`] what became of each value.

use smallvec::SmallVec;

use super::calibration::{BINS, Bin};
use super::engine::{Choices, Engine, Visit, World};
use super::explain::{Considered, Explanation};
use super::feedback::{Outcome, Served, Tally, Uplift};
use super::names::{self, Names, stable};
use super::parts::Parts;
use super::planner::{Cost, Settings};
use super::signal::{Signal, What};
use super::snapshot::{Snapshot, VERSION};
use super::structure::{Building, Structure};
use super::{Item, Source};
use crate::cache::{Strategies, StrategyId};
use crate::directory::Directory;
use crate::id::{RoomId, SessionId, UserId};
use crate::time::Mono;

/// Floors of one session's visit of which it is known what has been read: the bits of a word.
type ReadBits = u64;

/// Sessions of which it is known what they have read on the floor where they are.
const READING_MAX: usize = 16_384;

/// What is in the cache.
pub trait Cached {
    /// Is a floor's value of this kind there?
    fn has(&self, floor: &RoomId, strategy: StrategyId) -> bool;
}

impl<F: Fn(&RoomId, StrategyId) -> bool> Cached for F {
    fn has(&self, floor: &RoomId, strategy: StrategyId) -> bool {
        self(floor, strategy)
    }
}

/// Values of one floor to load, in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// What names it to [`Preloader::finished`].
    pub item: Item,
    /// The floor.
    pub floor: RoomId,
    /// The kinds of values, none of which is in the cache.
    pub strategies: SmallVec<[StrategyId; 8]>,
    /// How probable it is that somebody wants them.
    pub p: f32,
    /// On whose word; its number is what cache entries remember.
    pub source: Source,
    /// How many bytes they are thought to have.
    pub bytes: u64,
}

/// Something was read.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// In which session.
    pub session: &'a SessionId,
    /// Of which floor.
    pub floor: &'a RoomId,
    /// What kind of value.
    pub strategy: StrategyId,
    /// Its size.
    pub bytes: u64,
    /// Whether it was there.
    pub served: Served,
    /// How long it took to load it, if it was loaded.
    pub loaded_ms: Option<u64>,
}

/// A value that was loaded ahead was used, or will not be any more.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Of which floor.
    pub floor: &'a RoomId,
    /// What kind of value.
    pub strategy: StrategyId,
    /// On whose word it was loaded.
    pub source: Source,
    /// What became of it.
    pub outcome: Outcome,
    /// Its size.
    pub bytes: u64,
}

/// What the preloader knows, in figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Contexts of the model.
    pub contexts: usize,
    /// Sessions that are known.
    pub sessions: usize,
    /// Bytes in memory.
    pub bytes: usize,
    /// Proposals that are not finished.
    pub under_way: usize,
    /// Bytes that may be loaded now without being asked for.
    pub budget_left: u64,
    /// By how much thresholds are raised, because too little of what was loaded was used.
    pub raised: f32,
    /// The share of what people would have waited for that was there because of a preload.
    pub recall: Option<f64>,
    /// The gain, as the sessions without preloading show.
    pub uplift: Option<Uplift>,
    /// Each source's figures.
    pub sources: Vec<(Source, Tally)>,
    /// What was said after calibration, by tenths, and how often that came true.
    pub reliability: [Bin; BINS],
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Preloader {
    engine: Engine,
    names: Names,
    parts: Parts,
    reading: super::table::Bounded<(Item, ReadBits)>,
}

/// What the engine sees of the cache: floors that are there when all of their probable parts are.
struct View<'a, C> {
    names: &'a Names,
    parts: &'a Parts,
    cached: &'a C,
    least: f32,
}

impl Preloader {
    /// A preloader that has seen nothing.
    pub fn new(settings: Settings, strategies: &Strategies, directory: &Directory) -> Self {
        let mut names = Names::new();
        let structure = structure_of(directory, &mut names);
        let reading = super::table::Bounded::new(READING_MAX);
        Preloader { engine: Engine::new(settings, structure), names, parts: Parts::of(strategies), reading }
    }

    /// Somebody did something: learns from it, and says what to load.
    pub fn observe(&mut self, signal: &Signal, cached: &impl Cached, now: Mono) -> Vec<Proposal> {
        let session = stable(signal.session.as_str());
        let user = Some(stable(signal.user.as_str()));
        let floor = match &signal.what {
            What::Leave => {
                self.engine.left(session);
                self.reading.remove(session);
                return Vec::new();
            }
            What::Join { room } => room,
            What::Read { floor, .. }
            | What::Lock { floor }
            | What::Edit { floor }
            | What::Analytics { floor }
            | What::Calibrate { floor }
            | What::Hint { floor } => floor,
        };
        let visit = Visit { user, session, item: self.names.item(floor) };
        if let What::Hint { .. } = signal.what {
            let choices = self.view(cached, |engine, world| engine.hint(visit, world, now));
            return self.proposals(choices, cached);
        }
        if let What::Lock { .. } | What::Edit { .. } = signal.what {
            self.engine.edited(visit.item, now);
        }
        let is_arrival = self.arrived(visit);
        if let What::Read { strategy, .. } = signal.what {
            self.read(session, visit.item, strategy, now);
        }
        let parts = if is_arrival { self.arrival_parts(visit, cached, now) } else { Choices::new() };
        let mut proposals = self.proposals(parts, cached);
        let next = self.view(cached, |engine, world| engine.visit(visit, world, now));
        proposals.extend(self.proposals(next, cached));
        proposals
    }

    /// Something of a floor was read: fills the budget, and tells what loads cost.
    pub fn demand(&mut self, demand: &Demand<'_>, now: Mono) {
        let Demand { session, floor, strategy, bytes, served, loaded_ms } = *demand;
        self.parts.measured(strategy, bytes, loaded_ms);
        self.engine.demanded(stable(session.as_str()), bytes, served);
        let item = self.names.item(floor);
        self.engine.want(names::part(item, strategy), now);
    }

    /// A proposal has been carried out, and so many bytes were loaded for it; 0 when it came to nothing.
    pub fn finished(&mut self, item: Item, bytes: u64) {
        self.engine.finished(item, bytes);
    }

    /// How a value of a floor ended that was loaded ahead.
    pub fn outcome(&mut self, ended: &Ended<'_>, now: Mono) {
        let Ended { floor, strategy, source, outcome, bytes } = *ended;
        let whole = self.names.item(floor);
        // Parts are predicted one by one, other floors as a whole: the first of its values to end speaks for it.
        let item = if source == Source::Parts { names::part(whole, strategy) } else { whole };
        self.engine.ended(item, source, outcome, bytes, now);
    }

    /// What was last decided for a person; nothing when they were not seen lately.
    pub fn explain(&self, user: &UserId, now: Mono) -> Option<Explanation<RoomId>> {
        let plan = self.engine.plan(stable(user.as_str()))?;
        let named = |considered: &Considered| Some((self.names.floor(considered.item)?.clone(), *considered));
        Some(Explanation {
            at: self.names.floor(plan.here)?.clone(),
            ago_ms: now.since(plan.at),
            is_holdout: plan.is_holdout,
            candidates: plan.considered.iter().filter_map(named).collect(),
        })
    }

    /// Of which kind of value a candidate is, unless it is of a floor as a whole.
    pub fn strategy_of(&self, considered: &Considered) -> Option<StrategyId> {
        names::strategy(considered.item)
    }

    /// What it knows, in figures.
    pub fn summary(&self) -> Summary {
        let engine = &self.engine;
        Summary {
            contexts: engine.model().contexts(),
            sessions: engine.sessions(),
            bytes: engine.bytes(),
            under_way: engine.under_way(),
            budget_left: engine.budget_left(),
            raised: engine.raised(),
            recall: engine.feedback().recall(),
            uplift: engine.feedback().uplift(),
            sources: Source::ALL.iter().map(|source| (*source, engine.feedback().tally(*source).clone())).collect(),
            reliability: *engine.calibration().reliability(),
        }
    }

    /// The buildings are others now.
    pub fn set_directory(&mut self, directory: &Directory) {
        let structure = structure_of(directory, &mut self.names);
        self.engine.set_structure(structure);
    }

    /// The settings are others now.
    pub fn set_settings(&mut self, settings: Settings) {
        self.engine.set_settings(settings);
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        self.engine.settings()
    }

    /// What it has learnt, to be kept over a restart.
    pub fn snapshot(&self) -> Snapshot {
        let names = self.names.iter().map(|(name, item)| (name.clone(), item)).collect();
        Snapshot { version: VERSION, names, learnt: self.engine.learnt(), parts: self.parts.clone() }
    }

    /// A preloader that knows what another one learnt; one that knows nothing if the snapshot is of another version.
    pub fn restored(settings: Settings, strategies: &Strategies, directory: &Directory, snapshot: Snapshot) -> Self {
        let mut preloader = Preloader::new(settings, strategies, &Directory::default());
        if snapshot.version == VERSION {
            for (name, item) in snapshot.names {
                preloader.names.restore(name, item);
            }
            preloader.engine.restore(snapshot.learnt);
            preloader.parts.restore(&snapshot.parts);
        }
        preloader.set_directory(directory);
        preloader
    }

    /// Is this somewhere else than where the session was?
    fn arrived(&mut self, visit: Visit) -> bool {
        match self.reading.get_mut(visit.session) {
            Some((here, _)) if *here == visit.item => return false,
            Some(known) => *known = (visit.item, 0),
            None => {
                self.reading.insert(visit.session, (visit.item, 0));
            }
        }
        self.parts.visited();
        true
    }

    fn read(&mut self, session: u64, floor: Item, strategy: StrategyId, now: Mono) {
        self.engine.want(names::part(floor, strategy), now);
        let bit = 1 << (strategy.0 % ReadBits::BITS as u16);
        if let Some((_, bits)) = self.reading.get_mut(session)
            && *bits & bit == 0
        {
            *bits |= bit;
            self.parts.read(strategy);
        }
    }

    /// What somebody who has just come will read of where they are.
    fn arrival_parts(&mut self, visit: Visit, cached: &impl Cached, now: Mono) -> Choices {
        if self.engine.is_under_way(visit.item) {
            return Choices::new();
        }
        let parts: SmallVec<[(Item, f32); 8]> =
            self.parts.shares().map(|(strategy, share)| (names::part(visit.item, strategy), share)).collect();
        self.view(cached, |engine, world| engine.parts(visit, &parts, world, now))
    }

    fn view<C: Cached, R>(&mut self, cached: &C, then: impl FnOnce(&mut Engine, &View<'_, C>) -> R) -> R {
        let least = self.engine.settings().threshold_parts;
        then(&mut self.engine, &View { names: &self.names, parts: &self.parts, cached, least })
    }

    fn proposals(&self, choices: Choices, cached: &impl Cached) -> Vec<Proposal> {
        let least = self.engine.settings().threshold_parts;
        let view = View { names: &self.names, parts: &self.parts, cached, least };
        let proposal = |choice: super::engine::Choice| {
            Some(Proposal {
                item: choice.item,
                floor: self.names.floor(choice.item)?.clone(),
                strategies: view.missing(choice.item),
                p: choice.p,
                source: choice.source,
                bytes: choice.bytes,
            })
        };
        choices.into_iter().filter_map(proposal).collect()
    }
}

impl<C: Cached> View<'_, C> {
    /// The parts of an item that are worth loading and not there, the most probable first.
    fn missing(&self, item: Item) -> SmallVec<[StrategyId; 8]> {
        let Some(floor) = self.names.floor(item) else { return SmallVec::new() };
        if let Some(strategy) = names::strategy(item) {
            return Some(strategy).filter(|strategy| !self.cached.has(floor, *strategy)).into_iter().collect();
        }
        let mut parts: SmallVec<[(StrategyId, f32); 8]> =
            self.parts.shares().filter(|(_, p)| *p >= self.least).collect();
        parts.sort_by(|a, b| b.1.total_cmp(&a.1));
        parts.into_iter().map(|(strategy, _)| strategy).filter(|strategy| !self.cached.has(floor, *strategy)).collect()
    }
}

impl<C: Cached> World for View<'_, C> {
    fn is_resident(&self, item: Item) -> bool {
        self.missing(item).is_empty()
    }

    fn cost(&self, item: Item) -> Cost {
        let costs = self.missing(item).into_iter().filter_map(|strategy| self.parts.cost(strategy));
        let sum = |sum: Cost, one: Cost| Cost { bytes: sum.bytes + one.bytes, load_ms: sum.load_ms + one.load_ms };
        costs.fold(Cost { bytes: 0, load_ms: 0 }, sum)
    }
}

fn structure_of(directory: &Directory, names: &mut Names) -> Structure {
    let mut buildings: Vec<_> = directory.buildings().collect();
    // The directory has no order; numbers must not depend on it.
    buildings.sort_by_key(|(id, _)| *id);
    let buildings: Vec<Building> = buildings
        .into_iter()
        .map(|(_, entry)| {
            let level = |floor: &RoomId| directory.floor(floor).map_or(0, |floor| floor.level);
            let floors = entry.floors.iter().map(|floor| (names.item(floor), level(floor))).collect();
            let joined = directory.spans().filter(|span| span.len() > 1 && entry.floors.contains(&span[0]));
            let joined = joined.map(|span| span.iter().map(|floor| names.item(floor)).collect()).collect();
            Building { floors, joined }
        })
        .collect();
    Structure::new(&buildings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Builder, BuildingDraft, FloorDraft};
    use crate::id::BuildingId;

    fn room(level: i32) -> RoomId {
        RoomId::new(&format!("hq:level-{level}")).unwrap()
    }

    fn directory() -> Directory {
        let floor = |level| FloorDraft { room: room(level), name: "floor".into(), level };
        let draft = BuildingDraft {
            id: BuildingId::new("hq").unwrap(),
            name: "HQ".into(),
            floors: (0..10).map(floor).collect(),
            objects: Vec::new(),
            routes: Vec::new(),
        };
        let mut builder = Builder::default();
        assert!(builder.add(draft).is_empty());
        builder.build()
    }

    fn strategies() -> Strategies {
        Strategies::new(Strategies::known()).unwrap()
    }

    fn preloader() -> Preloader {
        Preloader::new(Settings { holdout_permille: 0, ..Settings::default() }, &strategies(), &directory())
    }

    fn signal(user: &str, what: What) -> Signal {
        Signal { user: UserId::new(user).unwrap(), session: SessionId::new(user).unwrap(), what }
    }

    fn nothing(_: &RoomId, _: StrategyId) -> bool {
        false
    }

    #[test]
    fn who_comes_to_a_floor_has_its_parts_and_its_neighbours_loaded() {
        let mut preloader = preloader();
        let proposals = preloader.observe(&signal("ana", What::Join { room: room(5) }), &nothing, Mono(0));
        let here: Vec<_> = proposals.iter().filter(|proposal| proposal.floor == room(5)).collect();
        assert!(!here.is_empty() && here.iter().all(|proposal| proposal.source == Source::Parts), "{proposals:?}");
        let beside = proposals.iter().find(|proposal| proposal.floor == room(6)).expect("the floor above");
        assert_eq!(beside.source, Source::Structure);
        let sensitive = strategies().find("user_session").unwrap();
        assert!(proposals.iter().all(|proposal| !proposal.strategies.contains(&sensitive)));
        assert!(beside.strategies.len() > 1, "a floor is loaded with what belongs to it");
        let user = UserId::new("ana").unwrap();
        let explanation = preloader.explain(&user, Mono(500)).unwrap();
        assert_eq!((explanation.at, explanation.ago_ms), (room(5), 500));
        assert!(explanation.candidates.iter().any(|(floor, one)| *floor == room(6) && one.why().contains("near")));
    }

    #[test]
    fn what_is_there_is_not_proposed_again() {
        let all = |_: &RoomId, _: StrategyId| true;
        let mut preloader = preloader();
        assert!(preloader.observe(&signal("ana", What::Join { room: room(5) }), &all, Mono(0)).is_empty());
    }

    #[test]
    fn a_hint_is_enough_for_one_floor_and_teaches_nothing() {
        let mut preloader = preloader();
        let proposals = preloader.observe(&signal("ana", What::Hint { floor: room(9) }), &nothing, Mono(0));
        assert_eq!(proposals.len(), 1);
        assert_eq!((&proposals[0].floor, proposals[0].source), (&room(9), Source::Hint));
        assert_eq!(preloader.summary().contexts, 0);
    }

    /// Somebody's daily round, and what is proposed at its last step.
    fn round(preloader: &mut Preloader, days: u64) -> Vec<Proposal> {
        let mut last = Vec::new();
        for day in 0..days {
            for (step, level) in [1, 7, 3, 8].into_iter().enumerate() {
                let now = Mono(day * 86_400_000 + step as u64 * 60_000);
                let join = signal("ana", What::Join { room: room(level) });
                last = preloader.observe(&join, &nothing, now);
                last.iter().for_each(|proposal| preloader.finished(proposal.item, proposal.bytes));
                let strategy = StrategyId(0);
                let session = SessionId::new("ana").unwrap();
                let floor = room(level);
                let demand = Demand {
                    session: &session,
                    floor: &floor,
                    strategy,
                    bytes: 50_000,
                    served: Served::Loaded,
                    loaded_ms: Some(100),
                };
                preloader.demand(&demand, now);
                preloader.observe(&signal("ana", What::Read { strategy, floor: room(level) }), &nothing, now);
            }
        }
        last
    }

    #[test]
    fn the_same_signals_give_the_same_proposals() {
        let (mut one, mut other) = (preloader(), preloader());
        assert_eq!(round(&mut one, 30), round(&mut other, 30));
        assert_eq!(one.summary(), other.summary());
    }

    #[test]
    fn a_restart_forgets_nothing_that_was_learnt() {
        let mut before = preloader();
        round(&mut before, 30);
        let bytes = postcard::to_allocvec(&before.snapshot()).unwrap();
        let snapshot: Snapshot = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(snapshot, before.snapshot());
        let settings = before.settings().clone();
        let mut after = Preloader::restored(settings.clone(), &strategies(), &directory(), snapshot.clone());
        assert_eq!(after.summary().contexts, before.summary().contexts);
        let proposals = after.observe(&signal("ana", What::Join { room: room(1) }), &nothing, Mono(0));
        let next = proposals.iter().find(|proposal| proposal.floor == room(7)).expect("the round goes on");
        assert_eq!(next.source, Source::Habit);
        let other = Snapshot { version: VERSION + 1, ..snapshot };
        let fresh = Preloader::restored(settings, &strategies(), &directory(), other);
        assert_eq!(fresh.summary().contexts, 0, "another shape is not read");
    }
}
