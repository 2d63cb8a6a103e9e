//! How is a value loaded that is not there, or not for long any more?
//!
//! By a task of its own, in this order: the shared tier, then its turn among the loads and room for what it brings,
//! then the origin. Then it lands: the value is installed, if nothing has overtaken it, and those who wait are told.

use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::cache::place::Placed;
use arxosrt_core::cache::{Entry, EntryId, Key, Put, Strategy, StrategyId};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::flights::{Boarded, FLIGHTS_MAX, Lead, Waiting};
use super::service::{Cache, Inner};
use super::tier::{Fill, Read, Stored, StoredValue};
use super::value::{CacheError, Held, ServedFrom};
use crate::origin::fetch::{Fetch, FetchError, Fetched, Promoted, Purpose};

/// When the shared tier is asked again for what has no other source.
const SECOND_THOUGHTS: [Duration; 3] = [Duration::from_millis(2), Duration::from_millis(8), Duration::from_millis(30)];

/// What a load has brought.
pub struct Landed {
    /// The value; none if there is none.
    pub(super) held: Option<Held>,
    pub(super) from: ServedFrom,
    /// How old it was when it came, and for how long it may be served.
    pub(super) age_ms: u64,
    pub(super) ttl_ms: u64,
    pub(super) took: Duration,
    /// What became of it here; `None` if it was overtaken.
    pub(super) put: Option<Put>,
}

/// How loading a value ahead ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preloaded {
    /// It is there now.
    Loaded {
        /// Its size.
        bytes: u64,
        /// How long it took.
        took: Duration,
    },
    /// It was there.
    Resident,
    /// It was being loaded.
    InFlight,
    /// There is no such value.
    NotThere,
    /// It could not be loaded.
    Failed(CacheError),
    /// It was loaded, or not even that, and is not kept.
    Refused(Refusal),
}

/// Why a value is not loaded ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Values of its strategy are not.
    Strategy,
    /// There is no room that is not taken by what people want.
    NoRoom,
    /// It is too large.
    TooLarge,
    /// It was written or made invalid meanwhile.
    Overtaken,
}

/// A load that is to begin.
pub(super) struct Job {
    pub key: Key,
    pub placed: Arc<Placed>,
    /// What is there, if it may still be the origin's version.
    pub prior: Option<Held>,
    pub purpose: Purpose,
    /// Who has it loaded ahead.
    pub ahead_of: Option<u8>,
}

impl Cache {
    /// Loads a value that somebody will probably want: `source` is who thinks so, and is told of the first use. A value
    /// that is there, or known not to be, is asked for anew unless `if_missing`.
    pub async fn preload(&self, strategy: StrategyId, id: &EntryId, source: Option<u8>, if_missing: bool) -> Preloaded {
        let inner = &self.0;
        let definition = inner.strategies.get(strategy);
        if definition.is_sensitive || !definition.is_preloaded && source.is_some() {
            return Preloaded::Refused(Refusal::Strategy);
        }
        let key = Key { strategy, id: id.clone() };
        // Taken before the load is in the table: whoever needs the value meanwhile does not wait behind others' guesses.
        let turn = inner.ahead.clone().acquire_owned().await.expect("it is never closed");
        let is_there = |summary: &arxosrt_core::cache::Summary| summary.is_current && summary.left_ms > 0;
        if if_missing && let Some(known) = self.peek(strategy, id).filter(is_there) {
            return if known.is_negative { Preloaded::NotThere } else { Preloaded::Resident };
        }
        if if_missing && inner.patches.has(&key) {
            return Preloaded::InFlight;
        }
        let placed = Arc::new(self.place(strategy, id));
        let job = Job { key, placed, prior: None, purpose: Purpose::Ahead, ahead_of: source };
        match inner.begin(job, Some(turn)) {
            Boarding::Joined(..) => Preloaded::InFlight,
            Boarding::Refused(error) => Preloaded::Failed(error),
            Boarding::Began(mut waiting) => match waiting.wait_for(Option::is_some).await {
                Ok(outcome) => preloaded(outcome.as_ref().expect("it was waited for")),
                Err(_) => Preloaded::Failed(CacheError::BrokeOff),
            },
        }
    }
}

fn preloaded(outcome: &super::flights::Outcome) -> Preloaded {
    let landed = match outcome {
        Ok(landed) => landed,
        Err(CacheError::NotThere) => return Preloaded::NotThere,
        Err(error) => return Preloaded::Failed(error.clone()),
    };
    match (&landed.held, landed.put) {
        (None, _) => Preloaded::NotThere,
        (Some(held), Some(Put::Installed)) => Preloaded::Loaded { bytes: held.bytes.len() as u64, took: landed.took },
        (_, Some(Put::NoRoom)) => Preloaded::Refused(Refusal::NoRoom),
        (_, Some(Put::TooLarge)) => Preloaded::Refused(Refusal::TooLarge),
        (_, Some(Put::Sensitive)) => Preloaded::Refused(Refusal::Strategy),
        (_, Some(Put::Outdated) | None) => Preloaded::Refused(Refusal::Overtaken),
    }
}

/// What came of wanting a load.
pub(super) enum Boarding {
    /// One was under way. Says who had it loaded ahead, to the first who needs it.
    Joined(Waiting, Option<u8>),
    /// One began.
    Began(Waiting),
    /// None can be.
    Refused(CacheError),
}

impl Inner {
    /// Joins the load of a key, or begins one.
    pub fn begin(self: &Arc<Self>, job: Job, turn: Option<OwnedSemaphorePermit>) -> Boarding {
        let is_demand = job.purpose == Purpose::Demand;
        let capture = || self.generations.capture(job.key.strategy, &job.placed.tags);
        match self.flights.board(&job.key, is_demand, job.ahead_of, self.now(), capture) {
            Boarded::Joined(waiting, first_use) => Boarding::Joined(waiting, first_use),
            Boarded::Failed(error) => Boarding::Refused(error),
            Boarded::Full => Boarding::Refused(CacheError::Busy(FLIGHTS_MAX)),
            Boarded::Leads(lead, waiting) => {
                let inner = self.clone();
                self.runtime.spawn(async move {
                    inner.carry_out(job, lead).await;
                    drop(turn);
                });
                Boarding::Began(waiting)
            }
        }
    }

    /// Loads a value anew whose time is nearly over, unless others are busy with that.
    pub fn refresh(self: &Arc<Self>, key: &Key, held: Held) {
        let Ok(turn) = self.ahead.clone().try_acquire_owned() else { return };
        let placed = held.placed.clone();
        let job = Job { key: key.clone(), placed, prior: Some(held), purpose: Purpose::Ahead, ahead_of: None };
        if let Boarding::Began(_) = self.begin(job, Some(turn)) {
            self.counts[usize::from(key.strategy.0)].refreshes.inc();
        }
    }

    async fn carry_out(&self, job: Job, lead: Lead) {
        let strategy = self.strategies.get(job.key.strategy);
        // Before anybody is asked, so that what becomes invalid from now on is seen to.
        let captured = self.generations.capture(job.key.strategy, &job.placed.tags);
        let began = std::time::Instant::now();
        let limit = self.settings.load_timeout;
        let mut outdated = false;
        let outcome = match timeout(limit, self.load(&job, strategy, lead.promoted(), &mut outdated)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(CacheError::Origin(FetchError::Timeout(limit))),
        };
        let outcome = outcome.map(|mut landed| {
            landed.took = began.elapsed();
            Arc::new(landed)
        });
        let counts = &self.counts[usize::from(job.key.strategy.0)];
        if matches!(&outcome, Err(error) if *error != CacheError::NotThere) {
            counts.load_failures.inc();
        }
        lead.land(self.now(), outcome, |landed, is_wanted| {
            if !outdated && !strategy.is_sensitive {
                let source = job.ahead_of.filter(|_| !is_wanted);
                landed.put = self.install(&job.key, landed, captured, strategy, source);
            }
        });
    }

    /// Under the table's lock: no more than the insertion itself.
    fn install(
        &self,
        key: &Key,
        landed: &Landed,
        captured: arxosrt_core::cache::Captured,
        strategy: &Strategy,
        source: Option<u8>,
    ) -> Option<Put> {
        let ttl_ms = self.local_ttl_ms(landed.ttl_ms);
        if ttl_ms == 0 {
            return None;
        }
        let size = landed.held.as_ref().map_or(0, |held| held.bytes.len());
        let entry = Entry {
            weight: u32::try_from(size + key.id.as_str().len()).unwrap_or(u32::MAX),
            captured,
            ttl_ms,
            soft_ms: if landed.held.is_some() { u32::try_from(ttl_ms / 10).unwrap_or(u32::MAX) } else { 0 },
            stale_ms: u32::try_from(strategy.stale_ms).unwrap_or(u32::MAX),
            load_cost_us: u32::try_from(landed.took.as_micros()).unwrap_or(u32::MAX),
            source,
        };
        let put = || self.local.put(key.clone(), landed.held.clone(), entry, self.now());
        Some(self.patches.install(key, put))
    }

    async fn load(
        &self,
        job: &Job,
        strategy: &Strategy,
        promoted: Promoted,
        outdated: &mut bool,
    ) -> Result<Landed, CacheError> {
        let counts = &self.counts[usize::from(job.key.strategy.0)];
        let mut fill = None;
        if let Some(shared) = &self.shared {
            match shared.read(self.at(&job.key, &job.placed)).await {
                Read::Hit(value) => {
                    let landed = self.landed_from_shared(job, value);
                    // A refresh takes what another node has refreshed; what is as old as its own it replaces.
                    if job.prior.is_none() || landed.ttl_ms > strategy.ttl_ms / 5 {
                        counts.shared_hits.inc();
                        return Ok(landed);
                    }
                    fill = shared.capture(self.at(&job.key, &job.placed)).await;
                }
                Read::Miss(miss) => {
                    counts.shared_misses.inc();
                    fill = Some(miss);
                }
                Read::Down if strategy.is_sensitive => {
                    counts.refused.inc();
                    return Err(CacheError::NoSharedTier(strategy.name.clone()));
                }
                Read::Down => {}
            }
        }
        let turns = &self.loads[usize::from(job.key.strategy.0)];
        let _turn = turns.acquire().await.expect("it is never closed");
        let mut room = self.budget.room(job.key.strategy).await;
        let began = std::time::Instant::now();
        let fetch = Fetch {
            strategy: strategy.name.clone(),
            id: job.key.id.clone(),
            etag: job.prior.as_ref().and_then(|held| held.validator.as_deref()).map(Box::from),
            purpose: job.purpose,
            promoted,
            deadline: self.settings.load_timeout,
        };
        let fetched = self.source.fetch(fetch).await;
        let took = began.elapsed();
        // Where there is nobody to ask, nothing was loaded.
        if !matches!(fetched, Err(FetchError::NoSource)) {
            counts.loads.inc();
            counts.load_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
        let held = match fetched {
            Ok(Fetched::Value { bytes, etag }) => {
                room.holds(bytes.len() as u64);
                Some(Held::new(bytes, etag.map(Arc::from), job.placed.clone()))
            }
            Ok(Fetched::Unchanged) => match &job.prior {
                Some(prior) => Some(prior.clone()),
                None => return Err(CacheError::Origin(FetchError::Malformed("nothing is unchanged".to_owned()))),
            },
            Ok(Fetched::Missing) => None,
            // Nobody has put it, and nobody else has it.
            Err(FetchError::NoSource) => {
                let found = self.found_on_second_thoughts(job).await;
                return found.ok_or(CacheError::NotThere);
            }
            Err(error) => return Err(CacheError::Origin(error)),
        };
        let ttl_ms = if held.is_some() { strategy.ttl_ms } else { strategy.negative_ms };
        let landed = Landed { held, from: ServedFrom::Origin, age_ms: 0, ttl_ms, took, put: None };
        *outdated = self.fill_shared(strategy, &landed, fill).await;
        Ok(landed)
    }

    /// A value that only clients set may just be on its way: where one replaces it, the shared tier has none for the
    /// moment between its removal and what comes instead.
    async fn found_on_second_thoughts(&self, job: &Job) -> Option<Landed> {
        let shared = self.shared.as_ref()?;
        for pause in SECOND_THOUGHTS {
            if !shared.is_up() {
                return None;
            }
            tokio::time::sleep(pause).await;
            if let Read::Hit(value) = shared.read(self.at(&job.key, &job.placed)).await {
                return Some(self.landed_from_shared(job, value));
            }
        }
        None
    }

    /// Puts what was loaded where other nodes find it. Says whether it is out of date already.
    async fn fill_shared(&self, strategy: &Strategy, landed: &Landed, fill: Option<Box<dyn Fill>>) -> bool {
        if landed.ttl_ms == 0 {
            return false;
        }
        let value = stored(landed.held.as_ref(), strategy, landed.took, self.clock.wall());
        match fill {
            Some(fill) => fill.put(value).await == Stored::Outdated,
            None => false,
        }
    }

    fn landed_from_shared(&self, job: &Job, value: StoredValue) -> Landed {
        let age_ms = u64::try_from(self.clock.wall().0.saturating_sub(value.created.0)).unwrap_or(0);
        let held = (!value.negative).then(|| {
            let validator = value.etag.as_deref().map(Arc::from);
            // What took nothing to load was set by a client of another node.
            let is_put = value.load_cost_us == 0;
            Held { is_put, ..Held::new(value.bytes, validator, job.placed.clone()) }
        });
        Landed {
            held,
            from: ServedFrom::Shared,
            age_ms,
            ttl_ms: value.ttl_ms.saturating_sub(age_ms),
            took: Duration::from_micros(value.load_cost_us),
            put: None,
        }
    }
}

/// A value as other nodes are to find it.
pub(super) fn stored(
    held: Option<&Held>,
    strategy: &Strategy,
    took: Duration,
    created: arxosrt_core::time::Wall,
) -> StoredValue {
    let ttl_ms = if held.is_some() { strategy.ttl_ms } else { strategy.negative_ms };
    StoredValue {
        bytes: held.map(|held| held.bytes.clone()).unwrap_or_default(),
        etag: held.and_then(|held| held.validator.as_deref()).map(Box::from),
        created,
        ttl_ms,
        hard_ms: if held.is_some() { ttl_ms + strategy.stale_ms } else { ttl_ms },
        negative: held.is_none(),
        load_cost_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    }
}
