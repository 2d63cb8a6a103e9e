//! Which loads are under way, who may join one, and which of them may still install what it brings?
//!
//! One table under one lock, touched only when a value is not there or is written. A load is in the table from before
//! its first question until it has installed its value, and it installs under the table's lock: whoever writes or
//! removes the value takes the load out under the same lock, so an older load never overtakes a younger write.
//!
//! A load that failed is remembered for a moment ([`MEMO_MS`], longer each time), so that an origin in trouble is not
//! asked by every request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arxosrt_core::cache::{Captured, Key};
use arxosrt_core::time::Mono;
use tokio::sync::watch;

use super::loads::Landed;
use super::value::CacheError;
use crate::origin::fetch::Promoted;

/// How many loads may be under way or wait for their turn.
pub const FLIGHTS_MAX: usize = 4096;

/// How many failures are remembered; the oldest go.
const FAILURES_MAX: usize = 4096;

/// For how long a failure is remembered: the first, the second, and each one after that.
const MEMO_MS: [u64; 3] = [250, 500, 1000];

/// For how long after it a failure counts as the one before.
const SERIES_MS: u64 = 10_000;

/// How a load ended, for those who wait.
pub type Outcome = Result<Arc<Landed>, CacheError>;

/// What those who wait look at.
pub type Waiting = watch::Receiver<Option<Outcome>>;

/// The loads under way. See the module.
#[derive(Default)]
pub struct Flights(Mutex<Table>);

#[derive(Default)]
struct Table {
    flying: HashMap<Key, Flight>,
    /// Every load that has not ended, also those that were taken out of the table.
    under_way: usize,
    next_number: u64,
    failures: HashMap<Key, Failure>,
    by_age: VecDeque<Key>,
}

struct Flight {
    number: u64,
    /// What held when it began.
    captured: Captured,
    outcome: Waiting,
    /// Nobody asked for it yet: who had it loaded ahead.
    ahead_of: Option<u8>,
    is_wanted: bool,
    /// Tells the load when that changes.
    promoted: Promoted,
}

struct Failure {
    error: CacheError,
    at: Mono,
    in_a_row: usize,
}

/// How one gets at a load.
pub enum Boarded {
    /// One is under way. Says who had it loaded ahead, if this is the first who asks.
    Joined(Waiting, Option<u8>),
    /// There is one now, and the caller is to carry it out.
    Leads(Lead, Waiting),
    /// The last one failed just now.
    Failed(CacheError),
    /// There are too many.
    Full,
}

/// The duty to carry a load out. Dropped without [`Lead::land`], it ends the load without an outcome.
pub struct Lead {
    flights: Arc<Flights>,
    key: Key,
    number: u64,
    outcome: watch::Sender<Option<Outcome>>,
    promoted: Promoted,
}

impl Flights {
    /// Joins the load of a key, or begins one. `is_demand`: somebody waits for the value.
    pub fn board(
        self: &Arc<Self>,
        key: &Key,
        is_demand: bool,
        ahead_of: Option<u8>,
        now: Mono,
        capture: impl FnOnce() -> Captured,
    ) -> Boarded {
        let mut table = self.table();
        if let Some(flight) = table.flying.get_mut(key)
            // What began before an invalidation is not for those who came after it.
            && flight.captured.is_current()
        {
            let first_use = flight.ahead_of.filter(|_| is_demand && !flight.is_wanted);
            if is_demand && !std::mem::replace(&mut flight.is_wanted, true) {
                flight.promoted.promote();
            }
            return Boarded::Joined(flight.outcome.clone(), first_use);
        }
        if let Some(failure) = table.failures.get(key)
            && now.since(failure.at) < MEMO_MS[failure.in_a_row.min(MEMO_MS.len()) - 1]
        {
            return Boarded::Failed(failure.error.clone());
        }
        if table.under_way >= FLIGHTS_MAX {
            return Boarded::Full;
        }
        table.under_way += 1;
        table.next_number += 1;
        let number = table.next_number;
        let (outcome, waiting) = watch::channel(None);
        let promoted = Promoted::default();
        let flight = Flight {
            number,
            captured: capture(),
            outcome: waiting.clone(),
            ahead_of,
            is_wanted: is_demand,
            promoted: promoted.clone(),
        };
        table.flying.insert(key.clone(), flight);
        Boarded::Leads(Lead { flights: self.clone(), key: key.clone(), number, outcome, promoted }, waiting)
    }

    /// Writes or removes a value before anything that is under way: that installs nothing any more.
    pub fn overtake<T>(&self, key: &Key, write: impl FnOnce() -> T) -> T {
        let mut table = self.table();
        table.flying.remove(key);
        table.failures.remove(key);
        write()
    }

    /// Forgets failures, so that the origin is asked again at once.
    pub fn forgive(&self) {
        let mut table = self.table();
        table.failures.clear();
        table.by_age.clear();
    }

    /// How many loads have not ended.
    pub fn under_way(&self) -> usize {
        self.table().under_way
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing is changed in two steps that a panic could part: whoever panicked left a whole table.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Whether somebody waits for the load by now.
    pub fn promoted(&self) -> Promoted {
        self.promoted.clone()
    }

    /// Ends the load: `install` is called unless a write has overtaken it, and is told whether anybody has asked.
    pub fn land(self, now: Mono, mut outcome: Outcome, install: impl FnOnce(&mut Landed, bool)) {
        let mut table = self.flights.table();
        let is_own = table.flying.get(&self.key).is_some_and(|flight| flight.number == self.number);
        if is_own {
            let is_wanted = table.flying.remove(&self.key).is_some_and(|flight| flight.is_wanted);
            match &mut outcome {
                Ok(landed) => {
                    table.failures.remove(&self.key);
                    install(Arc::get_mut(landed).expect("nobody else has seen it yet"), is_wanted);
                }
                // That there is none is no trouble of the origin's: who sets the value next is not to be hidden by it.
                Err(CacheError::NotThere) => {}
                Err(error) => table.remember(self.key.clone(), error.clone(), now),
            }
        }
        drop(table);
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut table = self.flights.table();
        table.under_way -= 1;
        if table.flying.get(&self.key).is_some_and(|flight| flight.number == self.number) {
            table.flying.remove(&self.key);
        }
    }
}

impl Table {
    fn remember(&mut self, key: Key, error: CacheError, now: Mono) {
        let before = self.failures.get(&key).filter(|failure| now.since(failure.at) < SERIES_MS);
        let in_a_row = before.map_or(1, |failure| (failure.in_a_row + 1).min(MEMO_MS.len()));
        if self.failures.insert(key.clone(), Failure { error, at: now, in_a_row }).is_none() {
            self.by_age.push_back(key);
        }
        while self.by_age.len() > FAILURES_MAX {
            let oldest = self.by_age.pop_front().expect("there are many");
            self.failures.remove(&oldest);
        }
    }
}
