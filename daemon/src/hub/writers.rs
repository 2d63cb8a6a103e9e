//! The hands that write besides the hub's own: fork, do, join.
//!
//! A round has one view that everybody may read and nobody changes, and shares that are each done by exactly one thread.
//! The caller hands out shares, does shares itself, and returns when all of them have come back; until then it does
//! nothing else, so whatever a share holds is as good after the round as before it. What is locked or woken is paid once
//! for each share and never for what is in it.
//!
//! A thread that the machine does not run harms little: the caller takes back every share that nobody has begun. A share
//! whose work panics comes back as far as it got.
//!
//! What a share is, and what becomes of it, is not known here.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the caller looks for the last shares before it sleeps. A share takes about as long, and being woken costs as
/// much again.
const LOOK_FOR: Duration = Duration::from_micros(50);

/// How often it lets the processor breathe between two looks.
const BREATHS_PER_LOOK: usize = 32;

/// Threads that wait for rounds. Dropping it ends them.
pub struct Writers<V, S> {
    table: Arc<Table<V, S>>,
    threads: Vec<JoinHandle<()>>,
    work: fn(&V, &mut S),
}

/// A round's shares after it.
pub struct Done<S> {
    /// Those that the caller did itself.
    pub own: Vec<S>,
    /// Those that others did.
    pub others: Vec<S>,
}

/// Where shares lie. Each lock is held for a few moves of a pointer.
struct Table<V, S> {
    round: Mutex<Round<V, S>>,
    called: Condvar,
    returned: Condvar,
}

struct Round<V, S> {
    /// There while a round is under way.
    view: Option<Arc<V>>,
    /// Nobody has begun these.
    waiting: VecDeque<S>,
    /// So many are being done by others than the caller.
    under_way: usize,
    done: Vec<S>,
    /// Threads that sleep, those included that have been called and have not noticed yet.
    asleep: usize,
    calls: usize,
    caller_sleeps: bool,
    over: bool,
}

impl<V, S> Table<V, S> {
    fn lock(&self) -> MutexGuard<'_, Round<V, S>> {
        // Nothing that could panic is done under the lock.
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Send + Sync + 'static, S: Send + 'static> Writers<V, S> {
    /// Starts `count` threads that do `work`.
    pub fn start(count: usize, work: fn(&V, &mut S)) -> io::Result<Self> {
        let round = Round {
            view: None,
            waiting: VecDeque::new(),
            under_way: 0,
            done: Vec::new(),
            asleep: 0,
            calls: 0,
            caller_sleeps: false,
            over: false,
        };
        let table = Arc::new(Table { round: Mutex::new(round), called: Condvar::new(), returned: Condvar::new() });
        let mut writers = Writers { table, threads: Vec::with_capacity(count), work };
        for _ in 0..count {
            let table = writers.table.clone();
            let builder = std::thread::Builder::new().name("arxosrtd-write".to_owned());
            writers.threads.push(builder.spawn(move || help(&table, work))?);
        }
        Ok(writers)
    }

    /// How many threads there are besides the caller's.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Does all shares that `next` comes up with, with the help of up to `helpers` threads. `next` is asked for as many
    /// as are needed to keep them busy and no more, so it may end a round at any time.
    pub fn round(&mut self, view: V, helpers: usize, mut next: impl FnMut() -> Option<S>) -> (V, Done<S>) {
        let helpers = helpers.min(self.threads.len());
        let view = Arc::new(view);
        self.table.lock().view = Some(view.clone());
        let mut own = Vec::new();
        let mut more = true;
        loop {
            while more && self.table.lock().waiting.len() < helpers {
                match next() {
                    Some(share) => self.hand_out(share, helpers),
                    None => more = false,
                }
            }
            let share = if more { next() } else { None };
            more = share.is_some();
            let Some(mut share) = share.or_else(|| self.table.lock().waiting.pop_front()) else { break };
            guarded(self.work, &view, &mut share);
            own.push(share);
        }
        let others = self.wait();
        let view = Arc::into_inner(view).expect("whoever did a share has let go of the view before giving it back");
        (view, Done { own, others })
    }

    fn hand_out(&self, share: S, helpers: usize) {
        let mut round = self.table.lock();
        round.waiting.push_back(share);
        let awake = self.threads.len() - round.asleep + round.calls;
        let call = awake < helpers;
        round.calls += usize::from(call);
        drop(round);
        if call {
            self.table.called.notify_one();
        }
    }

    /// Waits for the shares that others have begun, and ends the round.
    fn wait(&self) -> Vec<S> {
        let until = Instant::now() + LOOK_FOR;
        let mut round = self.table.lock();
        while round.under_way > 0 && Instant::now() < until {
            drop(round);
            (0..BREATHS_PER_LOOK).for_each(|_| std::hint::spin_loop());
            round = self.table.lock();
        }
        round.caller_sleeps = true;
        while round.under_way > 0 {
            round = self.table.returned.wait(round).unwrap_or_else(PoisonError::into_inner);
        }
        round.caller_sleeps = false;
        round.view = None;
        std::mem::take(&mut round.done)
    }
}

impl<V, S> Drop for Writers<V, S> {
    fn drop(&mut self) {
        self.table.lock().over = true;
        self.table.called.notify_all();
        for thread in self.threads.drain(..) {
            // It has nothing to say: panics of the work are caught where it is done.
            let _ = thread.join();
        }
    }
}

/// The life of one thread. It holds the view only while it does a share.
fn help<V, S>(table: &Table<V, S>, work: fn(&V, &mut S)) {
    let mut round = table.lock();
    while !round.over {
        if let Some(mut share) = round.waiting.pop_front() {
            let view = round.view.clone().expect("shares lie there during a round only");
            round.under_way += 1;
            drop(round);
            guarded(work, &view, &mut share);
            drop(view);
            round = table.lock();
            round.done.push(share);
            round.under_way -= 1;
            if round.under_way == 0 && round.caller_sleeps {
                table.returned.notify_one();
            }
        } else {
            round.asleep += 1;
            while round.calls == 0 && !round.over {
                round = table.called.wait(round).unwrap_or_else(PoisonError::into_inner);
            }
            round.calls = round.calls.saturating_sub(1);
            round.asleep -= 1;
        }
    }
}

/// Does a share. A panic ends the work on it and nothing else.
fn guarded<V, S>(work: fn(&V, &mut S), view: &V, share: &mut S) {
    if catch_unwind(AssertUnwindSafe(|| work(view, share))).is_err() {
        tracing::error!("writing to a share of the connections panicked; those that were not reached are given up");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread::ThreadId;

    use super::*;

    /// Numbers, and who doubled each.
    struct Share {
        numbers: Vec<(u64, Option<ThreadId>)>,
    }

    fn share(first: u64, len: u64) -> Share {
        Share { numbers: (first..first + len).map(|n| (n, None)).collect() }
    }

    /// Adds the view to each number; panics at thirteen.
    fn add(view: &u64, share: &mut Share) {
        for (number, by) in &mut share.numbers {
            assert_ne!(*number, 13, "an unlucky number");
            *number += *view;
            *by = Some(std::thread::current().id());
        }
    }

    #[test]
    fn every_share_is_done_once_whoever_does_it() {
        for threads in [0, 1, 3] {
            let mut writers = Writers::start(threads, add).expect("threads");
            for helpers in 0..=4 {
                let mut left = 0..500;
                let (view, done) = writers.round(1_000_000, helpers, || left.next().map(|n| share(100 + n * 8, 8)));
                assert_eq!(view, 1_000_000);
                if helpers.min(threads) == 0 {
                    assert!(done.others.is_empty());
                }
                let all = done.own.iter().chain(&done.others).flat_map(|share| &share.numbers);
                let mut numbers: Vec<u64> = all.map(|(number, _)| *number).collect();
                numbers.sort_unstable();
                let expected: Vec<u64> = (0..4000).map(|n| 1_000_100 + n).collect();
                assert_eq!(numbers, expected, "{threads} threads, {helpers} helpers");
            }
        }
    }

    #[test]
    fn others_help_and_the_caller_waits_for_them() {
        use std::sync::Barrier;
        // Nobody gets past the barrier unless two threads do a share each at the same time.
        fn meet(barrier: &Barrier, share: &mut Option<ThreadId>) {
            barrier.wait();
            *share = Some(std::thread::current().id());
        }
        let mut writers = Writers::start(1, meet).expect("a thread");
        for _ in 0..100 {
            let mut left = 0..2;
            let (_, done) = writers.round(Barrier::new(2), 1, || left.next().map(|_| None));
            let by: HashSet<ThreadId> = done.own.iter().chain(&done.others).map(|id| id.expect("done")).collect();
            assert_eq!((by.len(), done.own.len(), done.others.len()), (2, 1, 1));
        }
    }

    #[test]
    fn no_more_shares_are_asked_for_than_are_needed() {
        let mut writers = Writers::start(2, add).expect("threads");
        let mut asked = 0;
        let (_, done) = writers.round(1, 2, || {
            asked += 1;
            (asked < 5).then(|| share(100 * asked, 3))
        });
        assert_eq!((asked, done.own.len() + done.others.len()), (5, 4), "the first `None` ends the round");
    }

    #[test]
    fn a_panic_ends_its_share_and_nothing_else() {
        let mut writers = Writers::start(1, add).expect("a thread");
        for _ in 0..20 {
            let mut left = 0..40;
            let (_, done) = writers.round(1_000, 1, || left.next().map(|n| share(n * 4, 4)));
            let undone = |share: &&Share| share.numbers.iter().any(|(_, by)| by.is_none());
            let all: Vec<Share> = done.own.into_iter().chain(done.others).collect();
            assert_eq!(all.len(), 40);
            let broken: Vec<&Share> = all.iter().filter(undone).collect();
            assert_eq!(broken.len(), 1);
            let numbers: Vec<u64> = broken[0].numbers.iter().map(|(n, _)| *n).collect();
            assert_eq!(numbers, [1_012, 13, 14, 15]);
        }
    }
}
