//! How is a job carried out? One task per job: it waits for its turn, begins an item whenever one of the shared loads is
//! free, and settles those that end. What failed and may pass is put aside and comes before what was not begun yet when
//! its pause is over, so that a long job does not keep its failures for the end.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::results::ItemResult;
use super::{ATTEMPTS_MAX, Item, Job, Outcome, Progress, RETRY_PAUSE, Shared, State, Trouble, locked, wall_now};

/// How much longer each further pause is.
const RETRY_FACTOR: u32 = 4;

/// An item that is to be tried, for the `attempt`th time.
#[derive(Debug)]
struct Try {
    index: u64,
    item: Item,
    attempt: u32,
}

/// What failed and is tried again later: the next first.
#[derive(Debug)]
struct Later {
    due: Instant,
    what: Try,
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.what.index) == (other.due, other.what.index)
    }
}

impl Eq for Later {}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.what.index).cmp(&(other.due, other.what.index))
    }
}

/// Carries a job out, from its turn to its end.
pub(super) async fn run(shared: Arc<Shared>, job: Arc<Job>, items: Vec<Item>) {
    let count = items.len();
    let turn = tokio::select! {
        biased;
        () = job.cancel.cancelled() => None,
        turn = shared.turns.acquire() => turn.ok(),
    };
    if let Some(_turn) = turn {
        advance(&job, |progress| {
            progress.state = State::Running;
            progress.started_at = Some(wall_now());
            progress.started = Some(Instant::now());
        });
        Run::new(&shared, &job, items).settle_all().await;
    }
    // The accounts first: whoever sees that a job is over may order the next one.
    shared.retire(&job, count);
    advance(&job, |progress| {
        let settled = progress.done + progress.skipped + progress.failed;
        progress.cancelled = progress.total - settled;
        progress.retrying = 0;
        progress.state = match progress.cancelled {
            0 if progress.failed == progress.total => State::Failed,
            0 => State::Done,
            _ => State::Cancelled,
        };
        progress.ended_at = Some(wall_now());
        progress.ended = progress.started.map(|_| Instant::now());
    });
    let Progress { state, done, skipped, failed, cancelled, .. } = job.progress();
    let (id, kind, state) = (job.id, job.kind.as_str(), state.as_str());
    tracing::info!(%id, kind, state, done, skipped, failed, cancelled, by = &*job.by, "a job is over");
}

fn advance(job: &Job, step: impl FnOnce(&mut Progress)) {
    job.progress.send_modify(step);
}

/// A job that is carried out.
struct Run<'a> {
    shared: &'a Shared,
    job: &'a Job,
    fresh: std::iter::Enumerate<std::vec::IntoIter<Item>>,
    later: BinaryHeap<Reverse<Later>>,
    /// Taken from `fresh` or `later` and not begun yet.
    next: Option<Try>,
    loads: JoinSet<(Outcome, Duration)>,
    under_way: HashMap<Id, Try>,
}

impl<'a> Run<'a> {
    fn new(shared: &'a Shared, job: &'a Job, items: Vec<Item>) -> Self {
        Run {
            shared,
            job,
            fresh: items.into_iter().enumerate(),
            later: BinaryHeap::new(),
            next: None,
            loads: JoinSet::new(),
            under_way: HashMap::new(),
        }
    }

    /// Until every item is settled or the job is called off. Loads under way are dropped with it.
    async fn settle_all(mut self) {
        loop {
            self.choose();
            if self.next.is_none() && self.later.is_empty() && self.under_way.is_empty() {
                return;
            }
            let due = self.later.peek().map(|Reverse(later)| later.due);
            let may_begin = self.next.is_some() && self.under_way.len() < self.shared.loads_max;
            tokio::select! {
                biased;
                () = self.job.cancel.cancelled() => return,
                Some(ended) = self.loads.join_next_with_id() => self.settle(ended),
                load = Arc::clone(&self.shared.loads).acquire_owned(), if may_begin => {
                    self.begin(load.expect("nobody closes it"));
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && self.next.is_none() => {}
            }
        }
    }

    /// Decides what is to be begun next.
    fn choose(&mut self) {
        if self.next.is_some() {
            return;
        }
        let is_due = self.later.peek().is_some_and(|Reverse(later)| later.due <= Instant::now());
        self.next = if is_due {
            self.later.pop().map(|Reverse(later)| later.what)
        } else {
            self.fresh.next().map(|(index, item)| Try { index: index as u64, item, attempt: 1 })
        };
    }

    fn begin(&mut self, load: OwnedSemaphorePermit) {
        let Some(next) = self.next.take() else { return };
        let loading = self.shared.loader.load(&next.item, self.job.if_missing);
        let handle = self.loads.spawn(async move {
            let began = Instant::now();
            let outcome = loading.await;
            drop(load);
            (outcome, began.elapsed())
        });
        self.under_way.insert(handle.id(), next);
    }

    fn settle(&mut self, ended: Result<(Id, (Outcome, Duration)), JoinError>) {
        let (id, outcome, took) = match ended {
            Ok((id, (outcome, took))) => (id, outcome, took),
            Err(error) => {
                let message = format!("the load broke off: {error}").into();
                (error.id(), Outcome::Failed(Trouble { code: "internal", message, passes: false }), Duration::ZERO)
            }
        };
        let what = self.under_way.remove(&id).expect("each load is noted when it begins");
        match outcome {
            Outcome::Failed(Trouble { passes: true, .. }) if what.attempt < ATTEMPTS_MAX => {
                let pause = RETRY_PAUSE * RETRY_FACTOR.pow(what.attempt - 1);
                let is_first = what.attempt == 1;
                let what = Try { attempt: what.attempt + 1, ..what };
                self.later.push(Reverse(Later { due: Instant::now() + pause, what }));
                advance(self.job, |progress| progress.retrying += u64::from(is_first));
            }
            outcome => self.conclude(what, outcome, took),
        }
    }

    fn conclude(&mut self, what: Try, outcome: Outcome, took: Duration) {
        let Try { index, item, attempt } = what;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (done, skipped, failed, bytes) = match &outcome {
            Outcome::Loaded { bytes, .. } => (1, 0, 0, *bytes),
            Outcome::Resident => (0, 1, 0, 0),
            Outcome::Failed(_) => (0, 0, 1, 0),
        };
        // The result first: whoever is told of the progress finds it.
        locked(&self.job.results).push(ItemResult { index, item, outcome, attempts: attempt, took_ms });
        advance(self.job, |progress| {
            progress.done += done;
            progress.skipped += skipped;
            progress.failed += failed;
            progress.bytes += bytes;
            progress.retrying -= u64::from(attempt > 1);
        });
    }
}
