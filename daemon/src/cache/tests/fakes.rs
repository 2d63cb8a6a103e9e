//! An origin and a shared tier that do what they are told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arxosrt_core::cache::{EntryId, StrategyId};
use arxosrt_core::time::Wall;
use bytes::Bytes;

use crate::cache::tier::{At, Change, Fill, Later, Read, SharedTier, Stored, StoredValue};
use crate::origin::fetch::{Answer, Fetch, FetchError, Fetched, Health, Purpose, Source};

/// An origin in memory.
#[derive(Default)]
pub struct FakeOrigin {
    values: Mutex<HashMap<String, Fetched>>,
    failure: Mutex<Option<FetchError>>,
    takes: Mutex<Duration>,
    panics: AtomicUsize,
    asked: Mutex<Vec<Fetch>>,
    takes_writes: AtomicBool,
    busy: Arc<AtomicUsize>,
    pub busiest: AtomicUsize,
}

impl FakeOrigin {
    pub fn has(&self, id: &str, text: &str) {
        self.has_version(id, text, None);
    }

    pub fn has_version(&self, id: &str, text: &str, etag: Option<&str>) {
        let value = Fetched::Value { bytes: Bytes::copy_from_slice(text.as_bytes()), etag: etag.map(Box::from) };
        self.values.lock().unwrap().insert(id.to_owned(), value);
    }

    /// What is asked from now on takes so long; the answer is what there is at the beginning.
    pub fn takes(&self, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }

    pub fn fails(&self, failure: impl Into<Option<FetchError>>) {
        *self.failure.lock().unwrap() = failure.into();
    }

    /// The next loads panic.
    pub fn panics(&self, times: usize) {
        self.panics.store(times, Ordering::Relaxed);
    }

    pub fn takes_writes(&self) {
        self.takes_writes.store(true, Ordering::Relaxed);
    }

    /// How often it was asked, ever.
    pub fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// Whether somebody waits by now for what was asked last.
    pub fn is_promoted(&self) -> bool {
        self.asked.lock().unwrap().last().unwrap().promoted.is()
    }

    /// With which version, and for whom, it was asked last.
    pub fn last(&self) -> (Option<Box<str>>, Purpose) {
        let asked = self.asked.lock().unwrap();
        let last = asked.last().unwrap();
        (last.etag.clone(), last.purpose)
    }
}

impl Source for FakeOrigin {
    fn fetch(&self, fetch: Fetch) -> Answer<Fetched> {
        let found = self.values.lock().unwrap().get(fetch.id.as_str()).cloned().unwrap_or(Fetched::Missing);
        let answer = match (self.failure.lock().unwrap().clone(), found) {
            (Some(failure), _) => Err(failure),
            (None, Fetched::Value { etag, .. }) if etag.is_some() && etag == fetch.etag => Ok(Fetched::Unchanged),
            (None, found) => Ok(found),
        };
        self.asked.lock().unwrap().push(fetch);
        let panics = self.panics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        let (takes, busy) = (*self.takes.lock().unwrap(), self.busy.clone());
        self.busiest.fetch_max(busy.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            busy.fetch_sub(1, Ordering::Relaxed);
            assert!(!panics, "a load that a test wants to break off");
            answer
        })
    }

    fn store(&self, _: &str, id: &EntryId, value: Bytes) -> Answer<bool> {
        let answer = match self.failure.lock().unwrap().clone() {
            Some(failure) => Err(failure),
            None => Ok(self.takes_writes.load(Ordering::Relaxed)),
        };
        if answer == Ok(true) {
            let value = Fetched::Value { bytes: value, etag: None };
            self.values.lock().unwrap().insert(id.as_str().to_owned(), value);
        }
        Box::pin(std::future::ready(answer))
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

/// A shared tier in memory.
#[derive(Default)]
pub struct FakeShared {
    state: Arc<SharedState>,
}

#[derive(Default)]
struct SharedState {
    values: Mutex<HashMap<(StrategyId, EntryId), StoredValue>>,
    is_down: AtomicBool,
    refuses_fills: AtomicBool,
    told: Mutex<Vec<Change>>,
}

impl FakeShared {
    pub fn has(&self, strategy: StrategyId, id: &EntryId, value: StoredValue) {
        self.state.values.lock().unwrap().insert((strategy, id.clone()), value);
    }

    pub fn holds(&self, strategy: StrategyId, id: &EntryId) -> Option<StoredValue> {
        self.state.values.lock().unwrap().get(&(strategy, id.clone())).cloned()
    }

    pub fn set_down(&self, is_down: bool) {
        self.state.is_down.store(is_down, Ordering::Relaxed);
    }

    /// Whatever is loaded from now on is out of date when it comes.
    pub fn refuses_fills(&self, refuses: bool) {
        self.state.refuses_fills.store(refuses, Ordering::Relaxed);
    }

    pub fn told(&self) -> Vec<Change> {
        std::mem::take(&mut self.state.told.lock().unwrap())
    }
}

struct FakeFill(Arc<SharedState>, At);

impl Fill for FakeFill {
    fn put(self: Box<Self>, value: StoredValue) -> Later<Stored> {
        if self.0.refuses_fills.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(Stored::Outdated));
        }
        self.0.values.lock().unwrap().insert((self.1.strategy, self.1.id.clone()), value);
        Box::pin(std::future::ready(Stored::Installed))
    }
}

impl SharedTier for FakeShared {
    fn is_up(&self) -> bool {
        !self.state.is_down.load(Ordering::Relaxed)
    }

    fn down_since(&self) -> Option<Wall> {
        (!self.is_up()).then_some(Wall(1000))
    }

    fn address(&self) -> &str {
        "fake:1"
    }

    fn read(&self, at: At) -> Later<Read> {
        let found = self.holds(at.strategy, &at.id);
        let read = match (self.is_up(), found) {
            (false, _) => Read::Down,
            (true, Some(value)) => Read::Hit(value),
            (true, None) => Read::Miss(Box::new(FakeFill(self.state.clone(), at))),
        };
        Box::pin(std::future::ready(read))
    }

    fn capture(&self, at: At) -> Later<Option<Box<dyn Fill>>> {
        Box::pin(std::future::ready(Some(Box::new(FakeFill(self.state.clone(), at)) as Box<dyn Fill>)))
    }

    fn write(&self, at: At, value: StoredValue) -> Later<Stored> {
        if !self.is_up() {
            return Box::pin(std::future::ready(Stored::Down));
        }
        self.has(at.strategy, &at.id, value);
        Box::pin(std::future::ready(Stored::Installed))
    }

    fn remove(&self, at: At) -> Later<bool> {
        self.state.values.lock().unwrap().remove(&(at.strategy, at.id));
        Box::pin(std::future::ready(self.is_up()))
    }

    fn invalidate(&self, changes: Vec<Change>) {
        self.state.told.lock().unwrap().extend(changes);
    }
}
