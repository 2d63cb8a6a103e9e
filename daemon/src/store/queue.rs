//! The batches that wait for the writer, and whether batches are taken at all.
//!
//! The hub puts batches in and never waits; the writer takes all of them at once. The queue is bounded by
//! [`QUEUE_BATCHES_MAX`] and [`QUEUE_BYTES_MAX`]; a batch past a bound is refused. Whoever finds a failure first, the
//! hub at a full queue or the writer at a full disk, closes the door under the same mutex through which batches come
//! in: so no batch can slip in behind one that failed.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Batch, Commit, QUEUE_BATCHES_MAX, QUEUE_BYTES_MAX};

/// The queue between the hub and the writer.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Batch>,
    bytes: usize,
    /// Why no batch is taken at present.
    refusing: Option<String>,
    ending: bool,
}

/// What the writer should do.
#[derive(Debug)]
pub(super) enum Work {
    /// Commit these together.
    Group(Vec<Batch>),
    /// See whether the store can be written again.
    Probe,
    /// Nothing came for as long as was asked for.
    Idle,
    /// Stop; nothing waits any more.
    End,
}

impl Queue {
    /// Takes a batch in, or says why not.
    pub(super) fn put(&self, batch: Batch) -> Commit {
        let mut state = self.state();
        if let Some(reason) = &state.refusing {
            return Commit::Refused(reason.clone());
        }
        let bytes = batch.bytes();
        if state.waiting.len() >= QUEUE_BATCHES_MAX || state.bytes + bytes > QUEUE_BYTES_MAX {
            let (count, held) = (state.waiting.len(), state.bytes);
            let reason = format!(
                "the disk does not keep up: {count} of {QUEUE_BATCHES_MAX} batches and {held} of {QUEUE_BYTES_MAX} \
                 bytes wait, the next batch has {bytes}"
            );
            state.refusing = Some(reason.clone());
            self.changed.notify_one();
            return Commit::Refused(reason);
        }
        state.bytes += bytes;
        state.waiting.push(batch);
        // A busy writer looks before it sleeps; only the first batch can find it asleep.
        if state.waiting.len() == 1 {
            self.changed.notify_one();
        }
        Commit::Pending
    }

    /// Waits for something to do: for `idle` at most, and while batches are refused until `probe_at`.
    ///
    /// What waits is committed before anything else: batches that were taken in before a bound was reached are sound.
    pub(super) fn take(&self, idle: Option<Duration>, probe_at: Instant) -> Work {
        let mut state = self.state();
        let idle_at = idle.map(|idle| Instant::now() + idle);
        loop {
            if !state.waiting.is_empty() {
                state.bytes = 0;
                return Work::Group(mem::take(&mut state.waiting));
            }
            if state.ending {
                return Work::End;
            }
            let refusing = state.refusing.is_some();
            let wake_at = if refusing { Some(probe_at) } else { idle_at };
            let now = Instant::now();
            state = match wake_at {
                Some(at) if at <= now => return if refusing { Work::Probe } else { Work::Idle },
                Some(at) => self.changed.wait_timeout(state, at - now).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Refuses every batch from now on, and gives back those that wait: they were decided on top of one that failed.
    pub(super) fn refuse(&self, reason: &str) -> Vec<Batch> {
        let mut state = self.state();
        state.refusing = Some(reason.to_owned());
        state.bytes = 0;
        mem::take(&mut state.waiting)
    }

    /// Takes batches again.
    pub(super) fn reopen(&self) {
        self.state().refusing = None;
    }

    /// Refuses every batch for good: nobody is left to take them.
    pub(super) fn writer_died(&self) {
        let mut state = self.state();
        state.refusing = Some("the store's writer died".to_owned());
        state.waiting.clear();
    }

    /// Lets the writer stop once nothing waits.
    pub(super) fn end(&self) {
        self.state().ending = true;
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change above is whole before anything in it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Part;
    use super::*;
    use arxosrt_core::id::BuildingId;

    fn batch(number: u64, bytes: usize) -> Batch {
        let part = Part {
            building: BuildingId::new("b").unwrap(),
            expected_position: 0,
            events: vec![0; bytes],
            count: 1,
            live: 0,
            snapshot: None,
        };
        Batch { number, parts: vec![part], ..Batch::default() }
    }

    fn numbers(work: Work) -> Vec<u64> {
        let Work::Group(group) = work else { panic!("{work:?}") };
        group.iter().map(|batch| batch.number).collect()
    }

    /// Fills `queue` with batches of `bytes` and answers how many it took.
    fn fill(queue: &Queue, bytes: usize) -> u64 {
        (1..).take_while(|number| queue.put(batch(*number, bytes)) == Commit::Pending).last().unwrap_or(0)
    }

    #[test]
    fn past_a_bound_everything_is_refused_until_the_door_opens_and_what_waited_is_kept() {
        for (bytes, fits) in [(0, QUEUE_BATCHES_MAX as u64), (QUEUE_BYTES_MAX / 3, 2)] {
            let queue = Queue::default();
            let now = Instant::now();
            assert_eq!(fill(&queue, bytes), fits);
            assert!(matches!(queue.put(batch(5000, 0)), Commit::Refused(_)), "a smaller batch must not slip in");
            assert_eq!(numbers(queue.take(None, now)), (1..=fits).collect::<Vec<_>>());
            assert!(matches!(queue.put(batch(5001, 0)), Commit::Refused(_)), "space alone must not open the door");
            assert!(matches!(queue.take(None, now), Work::Probe));
            queue.reopen();
            assert_eq!(queue.put(batch(5002, 0)), Commit::Pending);
        }
    }

    #[test]
    fn the_writer_finishes_what_waits_before_it_ends() {
        let queue = Queue::default();
        let now = Instant::now();
        assert_eq!(queue.put(batch(1, 0)), Commit::Pending);
        queue.end();
        assert_eq!(numbers(queue.take(None, now)), [1]);
        assert!(matches!(queue.take(None, now), Work::End));
    }

    #[test]
    fn when_nothing_comes_the_writer_is_told() {
        let queue = Queue::default();
        assert!(matches!(queue.take(Some(Duration::ZERO), Instant::now()), Work::Idle));
    }
}
