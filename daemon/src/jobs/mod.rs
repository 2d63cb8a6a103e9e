//! Long work that somebody ordered: what is under way, how far is it, how did it end?
//!
//! A **job** is a list of items to be loaded ahead of demand: floors, buildings, single entries of the cache. It is
//! carried out beside everything else, a few items at a time, and remembered for a while after its end so that whoever
//! ordered it can look at what became of each item.
//!
//! What always holds:
//!
//! - every item of a job ends exactly once: loaded, skipped because it was there, failed, or given up with the job;
//! - a failure that may pass is tried again after a pause, at most [`ATTEMPTS_MAX`] times in all;
//! - jobs begin in the order in which they were ordered, [`RUNNING_MAX`] at a time, and share one number of loads, so a
//!   short job does not wait behind a long one;
//! - everything here is bounded: what would be too much is refused before it begins, and of what is over the oldest is
//!   forgotten first. Of a long job all failures are kept, of its successes the latest.
//!
//! A registry knows neither the cache nor the origin: it is given a [`Loader`]. It lives in memory; a restart forgets
//! all jobs, and the items that were loaded stay in the shared cache.

pub mod loader;
mod results;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arxosrt_core::cache::EntryId;
pub use arxosrt_core::control::jobs::JobId;
use arxosrt_core::id::{BuildingId, RoomId};
use arxosrt_core::time::Wall;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use results::Results;
pub use results::{ItemResult, Kept, Which};

/// Items of one job.
pub const ITEMS_MAX: usize = 100_000;

/// Items of all jobs that are not over.
pub const ITEMS_OPEN_MAX: usize = 200_000;

/// Jobs that are not over.
pub const JOBS_OPEN_MAX: usize = 64;

/// Jobs that are over and still known.
pub const JOBS_OVER_MAX: usize = 256;

/// Results of jobs that are over and still known, all together.
pub const RESULTS_OVER_MAX: usize = 200_000;

/// Jobs that are carried out at the same time.
pub const RUNNING_MAX: usize = 4;

/// How often an item is tried, the first time included.
pub const ATTEMPTS_MAX: u32 = 3;

/// Before an item is tried the second time; four times as long before the third.
pub const RETRY_PAUSE: Duration = Duration::from_secs(2);

// A job of the largest size must find room, and the latest job that is over must be worth keeping.
const _: () = assert!(ITEMS_MAX <= ITEMS_OPEN_MAX && ITEMS_MAX <= RESULTS_OVER_MAX);

/// Something to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Everything that belongs to a floor.
    Floor(RoomId),
    /// Everything that belongs to the floors of a building.
    Building(BuildingId),
    /// One entry of the cache.
    Entry {
        /// The name of its strategy.
        strategy: Box<str>,
        /// Its id.
        id: EntryId,
    },
}

/// What became of a try to load an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was loaded: so many entries of so many bytes.
    Loaded {
        /// Entries of the cache.
        entries: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// It was there.
    Resident,
    /// It could not be loaded.
    Failed(Trouble),
}

/// Why an item could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence about this occurrence, for people.
    pub message: Box<str>,
    /// It may pass: worth another try.
    pub passes: bool,
}

/// A load on its way.
pub type Loading = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Who loads. A load ends by itself, however the origin behaves; it may be dropped in the middle.
pub trait Loader: Send + Sync + 'static {
    /// Loads an item; with `if_missing` only what is not there or out of date.
    fn load(&self, item: &Item, if_missing: bool) -> Loading;
}

/// What a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody says that it will be needed.
    Preload,
    /// It was in use before a restart.
    Warm,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Preload => "preload",
            Kind::Warm => "warm",
        }
    }
}

/// What is ordered.
#[derive(Clone, Debug)]
pub struct Order {
    /// What for.
    pub kind: Kind,
    /// What it is about, for people.
    pub target: Box<str>,
    /// Who orders.
    pub by: Box<str>,
    /// Why.
    pub reason: Option<Box<str>>,
    /// What to load, in this order.
    pub items: Vec<Item>,
    /// Leave alone what is there.
    pub if_missing: bool,
}

/// Why an order is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// There is nothing in it.
    Empty,
    /// It has so many items, more than [`ITEMS_MAX`].
    TooLarge(usize),
    /// [`JOBS_OPEN_MAX`] jobs are not over.
    TooManyJobs,
    /// So many items are still to be loaded that these would be more than [`ITEMS_OPEN_MAX`].
    TooManyItems(usize),
    /// The daemon is ending.
    Ending,
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotTaken::Empty => write!(f, "a job needs at least one item"),
            NotTaken::TooLarge(n) => write!(f, "a job has at most {ITEMS_MAX} items, this one has {n}"),
            NotTaken::TooManyJobs => write!(f, "{JOBS_OPEN_MAX} jobs are not over yet"),
            NotTaken::TooManyItems(n) => {
                write!(f, "{n} items of other jobs are to be loaded, at most {ITEMS_OPEN_MAX} may be")
            }
            NotTaken::Ending => write!(f, "the daemon is ending"),
        }
    }
}

impl std::error::Error for NotTaken {}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Others are before it.
    Queued,
    /// It is carried out.
    Running,
    /// It is over, and at least one item did not fail.
    Done,
    /// It is over, and every item failed.
    Failed,
    /// It was called off before its end.
    Cancelled,
}

impl State {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Done => "done",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        }
    }

    /// Nothing will be done any more.
    pub fn is_over(self) -> bool {
        !matches!(self, State::Queued | State::Running)
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where it is.
    pub state: State,
    /// All items.
    pub total: u64,
    /// Loaded.
    pub done: u64,
    /// There already.
    pub skipped: u64,
    /// Failed for good.
    pub failed: u64,
    /// Given up when the job was called off.
    pub cancelled: u64,
    /// Failed, and to be tried again.
    pub retrying: u64,
    /// Bytes that were loaded.
    pub bytes: u64,
    /// When it began, for people.
    pub started_at: Option<Wall>,
    /// When it ended, for people.
    pub ended_at: Option<Wall>,
    /// The same two on a clock that nobody sets.
    started: Option<Instant>,
    ended: Option<Instant>,
}

impl Progress {
    fn of(total: u64) -> Progress {
        Progress {
            state: State::Queued,
            total,
            done: 0,
            skipped: 0,
            failed: 0,
            cancelled: 0,
            retrying: 0,
            bytes: 0,
            started_at: None,
            ended_at: None,
            started: None,
            ended: None,
        }
    }

    /// How long it has been running, or ran.
    pub fn elapsed(&self) -> Duration {
        self.started.map_or(Duration::ZERO, |started| self.ended.unwrap_or_else(Instant::now) - started)
    }
}

/// A job as it was ordered, and what became of it so far.
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What for.
    pub kind: Kind,
    /// What it is about.
    pub target: Box<str>,
    /// Who ordered it.
    pub by: Box<str>,
    /// Why.
    pub reason: Option<Box<str>>,
    /// When it was ordered.
    pub created_at: Wall,
    if_missing: bool,
    cancel: CancellationToken,
    progress: watch::Sender<Progress>,
    results: Mutex<Results>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id).field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl Job {
    /// How far it is.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Told whenever it gets further.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Until it is over.
    pub async fn wait(&self) -> Progress {
        let mut progress = self.watch();
        // The sender lives as long as `self` does.
        let over = progress.wait_for(|progress| progress.state.is_over()).await;
        over.map_or_else(|_| self.progress(), |progress| *progress)
    }

    /// The kept results from number `from` on, at most `most`, and how many before them are not kept any more.
    pub fn results(&self, from: u64, most: usize, which: Which) -> (Vec<Kept>, u64) {
        locked(&self.results).from(from, most, which)
    }
}

/// All jobs. A cheap handle.
#[derive(Clone)]
pub struct Jobs {
    shared: Arc<Shared>,
}

struct Shared {
    loader: Arc<dyn Loader>,
    /// Loads at the same time, of all jobs together.
    loads: Arc<Semaphore>,
    loads_max: usize,
    /// Jobs at the same time, in the order in which they came.
    turns: Semaphore,
    ending: CancellationToken,
    results_over_max: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    jobs: BTreeMap<JobId, Arc<Job>>,
    /// Of jobs that are not over.
    open: usize,
    items_open: usize,
    /// Of jobs that are over.
    over: usize,
    results_over: usize,
    last: u64,
}

impl Jobs {
    /// A registry without jobs, whose loads go through `loader`, at most `loads_max` at a time.
    pub fn new(loader: Arc<dyn Loader>, loads_max: usize) -> Jobs {
        Jobs::keeping(loader, loads_max, RESULTS_OVER_MAX)
    }

    fn keeping(loader: Arc<dyn Loader>, loads_max: usize, results_over_max: usize) -> Jobs {
        let loads_max = loads_max.clamp(1, Semaphore::MAX_PERMITS);
        Jobs {
            shared: Arc::new(Shared {
                loader,
                loads: Arc::new(Semaphore::new(loads_max)),
                loads_max,
                turns: Semaphore::new(RUNNING_MAX),
                ending: CancellationToken::new(),
                results_over_max,
                known: Mutex::default(),
            }),
        }
    }

    /// Whether an order of so many items would be taken now.
    pub fn has_room(&self, items: usize) -> Result<(), NotTaken> {
        self.shared.has_room(&self.known(), items)
    }

    /// Takes an order and begins with it as soon as it is its turn. Needs a runtime around it.
    pub fn start(&self, order: Order) -> Result<Arc<Job>, NotTaken> {
        let Order { kind, target, by, reason, items, if_missing } = order;
        let count = items.len();
        let job = {
            let mut known = self.known();
            self.shared.has_room(&known, count)?;
            let created_at = wall_now();
            known.last = u64::try_from(created_at.0).unwrap_or_default().max(known.last + 1);
            let id = JobId(known.last);
            let job = Arc::new(Job {
                id,
                kind,
                target,
                by,
                reason,
                created_at,
                if_missing,
                cancel: self.shared.ending.child_token(),
                progress: watch::Sender::new(Progress::of(count as u64)),
                results: Mutex::default(),
            });
            known.jobs.insert(id, Arc::clone(&job));
            known.open += 1;
            known.items_open += count;
            job
        };
        tokio::spawn(run::run(Arc::clone(&self.shared), Arc::clone(&job), items));
        Ok(job)
    }

    /// The job of this name.
    pub fn find(&self, id: JobId) -> Option<Arc<Job>> {
        self.known().jobs.get(&id).cloned()
    }

    /// Jobs that are known, the latest first, at most `most`, from before `before`.
    pub fn latest(&self, before: Option<JobId>, most: usize) -> Vec<Arc<Job>> {
        let before = before.unwrap_or(JobId(u64::MAX));
        self.known().jobs.range(..before).rev().take(most).map(|(_, job)| Arc::clone(job)).collect()
    }

    /// Calls a job off: what is not loaded by now is not loaded. Says whether there was anything to call off.
    pub fn cancel(&self, job: &Job) -> bool {
        let is_open = !job.progress().state.is_over();
        job.cancel.cancel();
        is_open
    }

    /// Calls everything off and takes no more orders.
    pub fn end(&self) {
        self.shared.ending.cancel();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        locked(&self.shared.known)
    }
}

impl Shared {
    fn has_room(&self, known: &Known, items: usize) -> Result<(), NotTaken> {
        match items {
            _ if self.ending.is_cancelled() => Err(NotTaken::Ending),
            0 => Err(NotTaken::Empty),
            n if n > ITEMS_MAX => Err(NotTaken::TooLarge(n)),
            _ if known.open >= JOBS_OPEN_MAX => Err(NotTaken::TooManyJobs),
            n if known.items_open + n > ITEMS_OPEN_MAX => Err(NotTaken::TooManyItems(known.items_open)),
            _ => Ok(()),
        }
    }

    /// A job is over: its items are let go, and the oldest jobs that are over are forgotten where there are too many.
    fn retire(&self, job: &Job, items: usize) {
        let mut known = locked(&self.known);
        known.open -= 1;
        known.items_open -= items;
        known.over += 1;
        known.results_over += locked(&job.results).len();
        while known.over > JOBS_OVER_MAX || known.results_over > self.results_over_max {
            let oldest = known.jobs.iter().find(|(_, job)| job.progress().state.is_over()).map(|(id, _)| *id);
            let Some(gone) = oldest.and_then(|id| known.jobs.remove(&id)) else { break };
            known.over -= 1;
            known.results_over -= locked(&gone.results).len();
        }
    }
}

/// The value, whatever a panic elsewhere has done: no critical section here can leave it in between.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wall_now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
