//! Who may ask an origin now, and who waits?
//!
//! At most so many ask at once. Somebody who waits for a value goes before everything that is loaded ahead, which never
//! has more than a tenth of the places (and always one). What is loaded ahead and comes to be waited for leaves its queue
//! for the other one. Those who wait are bounded as well: whoever would be one more
//! is told so at once, since an origin that is this far behind will not answer in time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Duration, Instant, timeout};

use super::fetch::{FetchError, Promoted, Purpose};

/// How many may wait for each purpose.
pub const WAITING_MAX: usize = 1024;
/// Of so many places one is for what is loaded ahead.
const PLACES_PER_AHEAD: usize = 10;

/// The places of one origin.
#[derive(Clone, Debug)]
pub struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    places: usize,
    ahead_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    demand: Lane,
    ahead: Lane,
}

#[derive(Debug, Default)]
struct Lane {
    busy: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    purpose: Purpose,
}

impl Slots {
    /// So many places.
    pub fn new(places: usize) -> Slots {
        let ahead_max = (places / PLACES_PER_AHEAD).max(1);
        Slots(Arc::new(Shared { places: places.max(1), ahead_max, state: Mutex::default() }))
    }

    /// A place, as soon as there is one, but not later than after `patience`.
    pub async fn enter(&self, purpose: Purpose, patience: Duration) -> Result<Slot, FetchError> {
        let place = {
            let mut state = self.0.state();
            if self.0.take(&mut state, purpose) {
                return Ok(Slot { shared: self.0.clone(), purpose });
            }
            let waiting = &mut state.lane(purpose).waiting;
            if waiting.len() >= WAITING_MAX {
                waiting.retain(|one| !one.is_closed());
            }
            if waiting.len() >= WAITING_MAX {
                return Err(FetchError::Busy(WAITING_MAX));
            }
            let (given, place) = oneshot::channel();
            waiting.push_back(given);
            place
        };
        match timeout(patience, place).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) => unreachable!("whoever waits is in the queue until it has a place or has gone"),
            Err(_) => Err(FetchError::Timeout(patience)),
        }
    }

    /// The same for what is loaded ahead as long as nobody waits for it.
    pub async fn enter_promoted(
        &self,
        purpose: Purpose,
        promoted: &Promoted,
        patience: Duration,
    ) -> Result<Slot, FetchError> {
        if purpose == Purpose::Demand || promoted.is() {
            return self.enter(Purpose::Demand, patience).await;
        }
        let until = Instant::now() + patience;
        tokio::select! {
            biased;
            place = self.enter(Purpose::Ahead, patience) => place,
            () = promoted.wait() => self.enter(Purpose::Demand, until.saturating_duration_since(Instant::now())).await,
        }
    }

    /// How many places are taken.
    pub fn busy(&self) -> usize {
        let state = self.0.state();
        state.demand.busy + state.ahead.busy
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, unless there is none for this purpose.
    fn take(&self, state: &mut State, purpose: Purpose) -> bool {
        let is_free = state.demand.busy + state.ahead.busy < self.places;
        let is_free = is_free && (purpose == Purpose::Demand || state.ahead.busy < self.ahead_max);
        if is_free {
            state.lane(purpose).busy += 1;
        }
        is_free
    }

    /// The next one who waits and may enter now, with its place taken.
    fn next(&self) -> Option<(oneshot::Sender<Slot>, Purpose)> {
        let mut state = self.state();
        for purpose in [Purpose::Demand, Purpose::Ahead] {
            while let Some(waiting) = state.lane(purpose).waiting.pop_front() {
                if waiting.is_closed() {
                    continue;
                }
                if self.take(&mut state, purpose) {
                    return Some((waiting, purpose));
                }
                state.lane(purpose).waiting.push_front(waiting);
                break;
            }
        }
        None
    }
}

impl State {
    fn lane(&mut self, purpose: Purpose) -> &mut Lane {
        match purpose {
            Purpose::Demand => &mut self.demand,
            Purpose::Ahead => &mut self.ahead,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.state().lane(self.purpose).busy -= 1;
        while let Some((waiting, purpose)) = self.shared.next() {
            // One that goes at this very moment drops the place, which makes the round for itself.
            let _ = waiting.send(Slot { shared: self.shared.clone(), purpose });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_before_what_is_loaded_ahead() {
        let slots = Slots::new(2);
        let first = slots.enter(Purpose::Ahead, LONG).await.unwrap();
        let second = slots.enter(Purpose::Demand, LONG).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, purpose) in [("ahead", Purpose::Ahead), ("one", Purpose::Demand), ("two", Purpose::Demand)] {
            let (enters, order) = (slots.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let slot = enters.enter(purpose, LONG).await.unwrap();
                order.lock().unwrap().push(name);
                drop(slot);
            }));
            tokio::task::yield_now().await;
        }
        assert_eq!(slots.busy(), 2);
        drop(second);
        for task in tasks {
            if order.lock().unwrap().len() == 2 {
                break;
            }
            let _ = tokio::time::timeout(Duration::from_secs(1), task).await;
        }
        assert_eq!(*order.lock().unwrap(), ["one", "two"], "the place for what is loaded ahead is taken");
        drop(first);
        let _third = slots.enter(Purpose::Ahead, LONG).await.unwrap();
        assert_eq!(*order.lock().unwrap(), ["one", "two", "ahead"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_to_be_waited_for_does_not_wait_behind_what_is_loaded_ahead() {
        let slots = Slots::new(2);
        let held = slots.enter(Purpose::Ahead, LONG).await.unwrap();
        let (promoted, never) = (Promoted::default(), Promoted::default());
        let mut first = Box::pin(slots.enter_promoted(Purpose::Ahead, &never, LONG));
        let mut second = Box::pin(slots.enter_promoted(Purpose::Ahead, &promoted, LONG));
        assert!(futures_poll(first.as_mut()).is_none() && futures_poll(second.as_mut()).is_none());
        promoted.promote();
        let served = second.await.expect("there is a place for those who wait");
        assert!(futures_poll(first.as_mut()).is_none());
        drop(held);
        drop(first.await.unwrap());
        drop(served);
        assert_eq!(slots.busy(), 0);
        let already = slots.enter_promoted(Purpose::Ahead, &promoted, LONG).await.unwrap();
        assert_eq!(already.purpose, Purpose::Demand);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_and_the_queue_end() {
        let slots = Slots::new(1);
        let held = slots.enter(Purpose::Demand, LONG).await.unwrap();
        let patience = Duration::from_millis(50);
        assert_eq!(slots.enter(Purpose::Demand, patience).await.unwrap_err(), FetchError::Timeout(patience));
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(slots.enter(Purpose::Demand, LONG))).collect();
        for one in &mut waiting {
            assert!(futures_poll(one.as_mut()).is_none());
        }
        assert_eq!(slots.enter(Purpose::Demand, LONG).await.unwrap_err(), FetchError::Busy(WAITING_MAX));
        // Those who have gone do not count, and a place does not get lost with them.
        drop(waiting);
        drop(held);
        assert_eq!(slots.busy(), 0);
        slots.enter(Purpose::Ahead, LONG).await.unwrap();
    }

    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }
}
