//! The task that owns the preloader: takes in what happened, has what is proposed loaded, and says how it ended.
//!
//! One task and plain `&mut`: a prediction takes microseconds, so there is nothing to divide. What takes long, the loads,
//! are tasks of their own, at most [`ServiceSettings::loads_max`] at a time; what waits behind them is bounded, and the
//! core is told of everything that comes to nothing, or it would take it for under way.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arxosrt_core::cache::{EntryId, StrategyId};
use arxosrt_core::control::preload::{CalibrationRow, CandidateRow, ExplainRow, ModelRow, SourceRow};
use arxosrt_core::directory::Directory;
use arxosrt_core::id::{RoomId, SessionId, UserId};
use arxosrt_core::preload::explain::Considered;
use arxosrt_core::preload::feedback::{Outcome, Served, Waste};
use arxosrt_core::preload::planner::Settings;
use arxosrt_core::preload::signal::{Signal, What};
use arxosrt_core::preload::{Demand, Ended, Preloader, Proposal, Source};
use arxosrt_core::time::{Mono, Wall};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::outstanding::{Ahead, Fate, Outstanding, fate};
use super::{Signals, permit, saved};
use crate::cache::{self, Cache, Preloaded};
use crate::hub::Clock;

/// Proposals that wait for a load to end; one more comes to nothing.
const WAITING_MAX: usize = 256;

/// Questions of operators that wait.
const QUESTIONS_MAX: usize = 16;

/// People whose session is known, so that what they read over REST counts for it.
const SESSIONS_MAX: usize = 16_384;

/// Between two looks at what was loaded ahead and is not used yet.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Between two times that what was learned is saved.
const SAVE_EVERY: Duration = Duration::from_secs(300);

/// Signals that are taken in before others get their turn.
const AT_ONCE: usize = 64;

/// How the service works.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// What is worth loading.
    pub planner: Settings,
    /// Loads of what is proposed, at a time.
    pub loads_max: usize,
    /// From so many requests of all kinds with the origin on, nothing is loaded ahead.
    pub origin_busy: usize,
    /// Where what was learned is kept over a restart; nowhere if none.
    pub file: Option<PathBuf>,
}

/// What the service is made of.
pub struct Parts {
    /// How it works.
    pub settings: ServiceSettings,
    /// Where values are loaded into.
    pub cache: Cache,
    /// Which floors there are.
    pub directory: Arc<Directory>,
    /// What time it is.
    pub clock: Clock,
    /// What the hub says.
    pub from_hub: mpsc::Receiver<Signal>,
    /// What the cache says.
    pub from_cache: mpsc::Receiver<cache::Signal>,
    /// The other end of `from_hub`, for its count.
    pub signals: Signals,
    /// Ends it; what was learned is saved then.
    pub stop: CancellationToken,
}

/// The preloader as operators ask it.
#[derive(Clone)]
pub struct PreloadHandle {
    questions: mpsc::Sender<Question>,
}

/// A service at work: how to ask it, and its end.
pub struct Preloading {
    /// For operators.
    pub handle: PreloadHandle,
    /// Over when what was learned is saved.
    pub task: JoinHandle<()>,
}

enum Question {
    Explain(UserId, oneshot::Sender<Option<ExplainRow>>),
    Model(oneshot::Sender<ModelRow>),
}

impl PreloadHandle {
    /// Where a person is expected to go; nothing if nobody has seen them lately.
    pub async fn explain(&self, user: UserId) -> Option<ExplainRow> {
        let (to, answer) = oneshot::channel();
        self.questions.send(Question::Explain(user, to)).await.ok()?;
        answer.await.ok().flatten()
    }

    /// What was learned, in figures; nothing once it has ended.
    pub async fn model(&self) -> Option<ModelRow> {
        let (to, answer) = oneshot::channel();
        self.questions.send(Question::Model(to)).await.ok()?;
        answer.await.ok()
    }
}

/// Starts the service, with what was learned before the last stop.
pub fn start(runtime: &Handle, parts: Parts) -> Preloading {
    let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
    let task = runtime.spawn(async move { Service::new(parts, asked).await.run().await });
    Preloading { handle: PreloadHandle { questions }, task }
}

/// A load of a proposal that has ended.
struct Loaded {
    proposal: Proposal,
    at: Mono,
    /// By kind of value: its bytes.
    there: Vec<(StrategyId, u64)>,
    /// Kinds that could not be had, or were not let in.
    failed: Vec<StrategyId>,
}

struct Service {
    settings: ServiceSettings,
    preloader: Preloader,
    cache: Cache,
    clock: Clock,
    signals: Signals,
    from_hub: mpsc::Receiver<Signal>,
    from_cache: mpsc::Receiver<cache::Signal>,
    questions: mpsc::Receiver<Question>,
    stop: CancellationToken,
    sessions: HashMap<UserId, SessionId>,
    waiting: VecDeque<(UserId, Proposal)>,
    loads: JoinSet<Loaded>,
    outstanding: Outstanding,
    taken_in: u64,
    saved_at: Option<Wall>,
}

impl Service {
    async fn new(parts: Parts, questions: mpsc::Receiver<Question>) -> Service {
        let Parts { settings, cache, directory, clock, from_hub, from_cache, signals, stop } = parts;
        let planner = settings.planner.clone();
        let learned = match settings.file.clone() {
            Some(file) => read(file).await,
            None => None,
        };
        let preloader = match learned {
            Some(snapshot) => Preloader::restored(planner, cache.strategies(), &directory, snapshot),
            None => Preloader::new(planner, cache.strategies(), &directory),
        };
        Service {
            settings,
            preloader,
            cache,
            clock,
            signals,
            from_hub,
            from_cache,
            questions,
            stop,
            sessions: HashMap::new(),
            waiting: VecDeque::new(),
            loads: JoinSet::new(),
            outstanding: Outstanding::default(),
            taken_in: 0,
            saved_at: None,
        }
    }

    async fn run(mut self) {
        let stop = self.stop.clone();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let mut saves = tokio::time::interval_at(tokio::time::Instant::now() + SAVE_EVERY, SAVE_EVERY);
        let (mut of_hub, mut of_cache) = (Vec::with_capacity(AT_ONCE), Vec::with_capacity(AT_ONCE));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(question) = self.questions.recv() => self.answer(question),
                // A load that panicked has brought nothing; the look below finds nothing of it either.
                Some(ended) = self.loads.join_next() => if let Ok(loaded) = ended { self.loaded(loaded) },
                1.. = self.from_hub.recv_many(&mut of_hub, AT_ONCE) => {
                    of_hub.drain(..).for_each(|signal| self.happened(&signal));
                }
                1.. = self.from_cache.recv_many(&mut of_cache, AT_ONCE) => {
                    of_cache.drain(..).for_each(|signal| self.was_read(&signal));
                }
                _ = looks.tick() => self.look(),
                _ = saves.tick() => self.save().await,
            }
            self.begin_loads();
        }
        self.save().await;
    }

    /// Somebody did something.
    fn happened(&mut self, signal: &Signal) {
        self.taken_in += 1;
        match &signal.what {
            What::Leave if self.sessions.get(&signal.user) == Some(&signal.session) => {
                self.sessions.remove(&signal.user);
            }
            What::Leave => {}
            _ if self.sessions.len() < SESSIONS_MAX || self.sessions.contains_key(&signal.user) => {
                self.sessions.insert(signal.user.clone(), signal.session.clone());
            }
            _ => {}
        }
        let now = self.clock.mono();
        let cache = &self.cache;
        let proposals = self.preloader.observe(signal, &|floor: &RoomId, kind| has(cache, floor, kind), now);
        for proposal in proposals {
            if self.waiting.len() == WAITING_MAX {
                self.preloader.finished(proposal.item, 0);
            } else {
                self.waiting.push_back((signal.user.clone(), proposal));
            }
        }
    }

    /// Somebody read a value.
    fn was_read(&mut self, read: &cache::Signal) {
        let Some(floor) = &read.floor else { return };
        let now = self.clock.mono();
        if let Some(source) = read.first_use_of.and_then(Source::of_number) {
            self.outstanding.remove(&(floor.clone(), read.strategy));
            // How much less somebody waited for what was on its way is not known.
            let outcome = match read.is_hit {
                true => Outcome::Used { saved_ms: read.load_ms },
                false => Outcome::Late { saved_ms: 0 },
            };
            self.ended(floor, read.strategy, source, outcome, read.bytes, now);
        }
        // Of reads that nobody put a name to, nothing can be learned about where people go.
        let Some(user) = &read.user else { return };
        let session = match self.sessions.get(user) {
            Some(session) => session.clone(),
            // Somebody who only reads is a session too, for as long as the core remembers it.
            None => match SessionId::new(user.as_str()) {
                Ok(session) => session,
                Err(_) => return,
            },
        };
        let served = match (read.is_hit, read.first_use_of) {
            (true, _) => Served::Hit,
            (false, Some(_)) => Served::Late,
            (false, None) => Served::Loaded,
        };
        let demand = Demand {
            session: &session,
            floor,
            strategy: read.strategy,
            bytes: read.bytes,
            served,
            loaded_ms: (!read.is_hit).then_some(read.load_ms),
        };
        self.preloader.demand(&demand, now);
        let what = What::Read { strategy: read.strategy, floor: floor.clone() };
        self.happened(&Signal { user: user.clone(), session, what });
    }

    /// Why nothing is to be loaded ahead now, although it could be.
    fn paused(&self) -> Option<&'static str> {
        let health = self.cache.source().health();
        match health.busy >= self.settings.origin_busy {
            _ if !health.is_up => Some("origin_unhealthy"),
            true => Some("origin_busy"),
            false => None,
        }
    }

    fn begin_loads(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        // What was probable a while ago is not worth a place in a queue: it will be proposed again.
        if self.paused().is_some() {
            for (_, proposal) in std::mem::take(&mut self.waiting) {
                self.preloader.finished(proposal.item, 0);
            }
        }
        while self.loads.len() < self.settings.loads_max
            && let Some((user, proposal)) = self.waiting.pop_front()
        {
            if permit::may_read(&user, &proposal.floor) {
                self.loads.spawn(load(self.cache.clone(), self.clock.clone(), proposal));
            } else {
                self.preloader.finished(proposal.item, 0);
            }
        }
    }

    fn loaded(&mut self, loaded: Loaded) {
        let Loaded { proposal, at, there, failed } = loaded;
        let Proposal { item, floor, source, .. } = proposal;
        self.preloader.finished(item, there.iter().map(|(_, bytes)| bytes).sum());
        for (strategy, bytes) in &there {
            self.outstanding.insert((floor.clone(), *strategy), Ahead { source, bytes: *bytes, at });
        }
        if there.is_empty()
            && let Some(strategy) = failed.first()
        {
            self.ended(&floor, *strategy, source, Outcome::Wasted(Waste::Failed), 0, at);
        }
    }

    /// Finds those that will not be used any more.
    fn look(&mut self) {
        let now = self.clock.mono();
        let cache = &self.cache;
        let ended = self.outstanding.ended(|(floor, strategy), ahead| {
            let found = entry_of(cache, floor, *strategy).and_then(|id| cache.peek(*strategy, &id));
            fate(found.as_ref(), ahead, cache.strategies().get(*strategy).ttl_ms, now)
        });
        for ((floor, strategy), ahead, fate) in ended {
            if let Fate::Wasted(waste) = fate {
                self.ended(&floor, strategy, ahead.source, Outcome::Wasted(waste), ahead.bytes, now);
            }
        }
    }

    fn ended(&mut self, floor: &RoomId, strategy: StrategyId, source: Source, outcome: Outcome, bytes: u64, now: Mono) {
        self.preloader.outcome(&Ended { floor, strategy, source, outcome, bytes }, now);
    }

    async fn save(&mut self) {
        let Some(file) = self.settings.file.clone() else { return };
        let snapshot = self.preloader.snapshot();
        let written = tokio::task::spawn_blocking(move || saved::save(&file, &snapshot)).await;
        match written.map_err(std::io::Error::other).and_then(|written| written) {
            Ok(()) => self.saved_at = Some(wall_now()),
            Err(error) => tracing::warn!(%error, "what the preloader has learned cannot be saved"),
        }
    }

    fn answer(&self, question: Question) {
        // Whoever asked may have gone.
        match question {
            Question::Explain(user, to) => drop(to.send(self.explain(&user))),
            Question::Model(to) => drop(to.send(self.model())),
        }
    }

    fn explain(&self, user: &UserId) -> Option<ExplainRow> {
        let found = self.preloader.explain(user, self.clock.mono())?;
        let candidate = |(floor, considered): &(RoomId, Considered)| {
            let strategy = self.preloader.strategy_of(considered);
            CandidateRow {
                floor_id: floor.to_string(),
                strategy: strategy.map(|strategy| self.cache.strategies().get(strategy).name.to_string()),
                probability: considered.p.into(),
                raw: considered.raw.into(),
                source: considered.source.as_str().into(),
                verdict: considered.verdict.as_str().into(),
                why: considered.why(),
            }
        };
        Some(ExplainRow {
            user_id: user.to_string(),
            floor_id: found.at.to_string(),
            ago_ms: found.ago_ms,
            holdout: found.is_holdout,
            candidates: found.candidates.iter().map(candidate).collect(),
        })
    }

    fn model(&self) -> ModelRow {
        let summary = self.preloader.summary();
        let bins = summary.reliability.iter().enumerate();
        let of = summary.reliability.len() as f64;
        ModelRow {
            enabled: self.preloader.settings().is_on,
            paused: self.paused().map(str::to_owned),
            contexts: summary.contexts as u64,
            sessions: summary.sessions as u64,
            bytes: summary.bytes as u64,
            signals: self.taken_in,
            signals_dropped: self.signals.dropped(),
            loading: summary.under_way as u64,
            unused: self.outstanding.len() as u64,
            budget_left_bytes: summary.budget_left,
            raised: summary.raised.into(),
            recall: summary.recall,
            sources: summary
                .sources
                .iter()
                .map(|(source, tally)| SourceRow {
                    source: source.as_str().into(),
                    on: !tally.is_off,
                    proposed: tally.issued,
                    used: tally.used,
                    late: tally.late,
                    wasted: tally.wasted.iter().sum(),
                    precision: tally.precision(),
                    saved_ms: tally.saved_ms,
                    bytes: tally.bytes,
                })
                .collect(),
            calibration: bins
                .map(|(at, bin)| CalibrationRow {
                    from: at as f64 / of,
                    to: (at + 1) as f64 / of,
                    predicted: bin.predicted().into(),
                    observed: bin.observed().into(),
                    trials: bin.trials.round() as u64,
                })
                .collect(),
            holdout_permille: self.preloader.settings().holdout_permille,
            uplift: summary.uplift.as_ref().map(|uplift| uplift.gained),
            uplift_error: summary.uplift.as_ref().map(|uplift| uplift.error),
            saved_at: self.saved_at.map(|at| at.to_string()),
        }
    }
}

async fn load(cache: Cache, clock: Clock, proposal: Proposal) -> Loaded {
    let (mut there, mut failed) = (Vec::new(), Vec::new());
    for strategy in &proposal.strategies {
        let Some(id) = entry_of(&cache, &proposal.floor, *strategy) else { continue };
        match cache.preload(*strategy, &id, Some(proposal.source.number()), true).await {
            Preloaded::Loaded { bytes, .. } => there.push((*strategy, bytes)),
            Preloaded::Failed(_) | Preloaded::Refused(_) => failed.push(*strategy),
            // Nothing of these is the preloader's merit or fault.
            Preloaded::Resident | Preloaded::InFlight | Preloaded::NotThere => {}
        }
    }
    Loaded { proposal, at: clock.mono(), there, failed }
}

/// The entry in which a floor's value of this kind is kept.
fn entry_of(cache: &Cache, floor: &RoomId, strategy: StrategyId) -> Option<EntryId> {
    cache.entry_of_floor(strategy, floor)
}

fn has(cache: &Cache, floor: &RoomId, strategy: StrategyId) -> bool {
    let found = entry_of(cache, floor, strategy).and_then(|id| cache.peek(strategy, &id));
    found.is_some_and(|entry| entry.is_current && entry.left_ms > 0)
}

async fn read(file: PathBuf) -> Option<arxosrt_core::preload::snapshot::Snapshot> {
    let shown = file.display().to_string();
    let loaded = tokio::task::spawn_blocking(move || saved::load(&file)).await;
    loaded.map_err(std::io::Error::other).and_then(|loaded| loaded).unwrap_or_else(|error| {
        tracing::warn!(file = shown, %error, "what the preloader had learned cannot be read; it begins anew");
        None
    })
}

fn wall_now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
