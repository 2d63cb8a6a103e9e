//! What is put into the cache, what is found in it, and what is told of an entry that is there.

use crate::time::Mono;

use super::generation::{Captured, Held};
use super::key::{EntryId, Key, Tag};
use super::strategy::{Priority, StrategyId};

/// How often an entry was asked for is counted up to here: enough to tell the hot from the warm.
pub const USES_MAX: u8 = 3;

/// What is said of a value when it is put.
#[derive(Debug)]
pub struct Entry {
    /// What the value and its id weigh, in bytes.
    pub weight: u32,
    /// What held before the value was asked for.
    pub captured: Captured,
    /// How long it is served.
    pub ttl_ms: u64,
    /// How much of the end of that time is soft: the value is served, and loaded anew meanwhile. 0 is nothing of it.
    pub soft_ms: u32,
    /// How long after its time it is still given out as stale.
    pub stale_ms: u32,
    /// What it took to load it.
    pub load_cost_us: u32,
    /// Nobody asked for it: who had it loaded ahead, by a number of the preloader.
    pub source: Option<u8>,
}

/// What became of a value that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is in the cache.
    Installed,
    /// Something that was captured before the load has been raised since: the value may be older than that.
    Outdated,
    /// It weighs more than an entry may.
    TooLarge,
    /// Values of its strategy are never held here.
    Sensitive,
    /// It was loaded ahead, and what else was has not had its time yet.
    NoRoom,
}

/// What there is for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<V> {
    /// A value that may be served.
    Fresh(Hit<V>),
    /// A value that may be served, and is to be loaded anew.
    Soft(Hit<V>),
    /// A value whose time is over: only for want of a better one.
    Stale(Hit<V>),
    /// It is known that there is no value.
    Negative,
    /// Nothing is known.
    Missing,
}

/// A value that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit<V> {
    /// The value.
    pub value: V,
    /// How long ago it was put.
    pub age_ms: u64,
    /// How long it may be served yet; 0 for a stale one.
    pub left_ms: u64,
    /// What it took to load it.
    pub load_cost_us: u32,
    /// It had been loaded ahead, and this is the first time that anybody asked: by whom.
    pub first_use_of: Option<u8>,
}

impl<V> Found<V> {
    /// The value, if it may be served without asking for a better one first.
    pub fn served(self) -> Option<V> {
        match self {
            Found::Fresh(hit) | Found::Soft(hit) => Some(hit.value),
            Found::Stale(_) | Found::Negative | Found::Missing => None,
        }
    }
}

/// Where an entry waits for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Loaded ahead, and nobody has asked yet.
    Probation,
    /// New: it goes first unless it is asked for again.
    Small,
    /// Has proved itself.
    Main,
}

impl Place {
    /// The name for operators.
    pub fn as_str(self) -> &'static str {
        match self {
            Place::Probation => "probation",
            Place::Small => "small",
            Place::Main => "main",
        }
    }
}

/// What is told of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub key: Key,
    /// What it is charged, in bytes.
    pub weight: u64,
    /// How long ago it was put.
    pub age_ms: u64,
    /// How long it may be served yet; 0 when its time is over.
    pub left_ms: u64,
    /// It is known that there is no value.
    pub is_negative: bool,
    /// Nothing that it was loaded after has been raised since.
    pub is_current: bool,
    /// Where it waits for its end.
    pub place: Place,
    /// How often it was asked for since it was last spared, counted up to [`USES_MAX`].
    pub uses: u8,
    /// How often it will yet be spared for its priority and size.
    pub laps: u8,
    /// How it fares when there is no room.
    pub priority: Priority,
    /// Who had it loaded ahead, as long as nobody has asked for it.
    pub unused_source: Option<u8>,
    /// What it took to load it.
    pub load_cost_us: u32,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// An entry where it lies.
#[derive(Debug)]
pub(super) struct Node<V> {
    pub(super) id: EntryId,
    /// `None`: it is known that there is no value.
    pub(super) value: Option<V>,
    pub(super) held: Held,
    /// The end of its time.
    pub(super) ends: Mono,
    pub(super) soft_ms: u32,
    pub(super) stale_ms: u32,
    /// When it was put, on the monotonic clock.
    pub(super) put_s: u32,
    /// What it is charged.
    pub(super) weight: u32,
    pub(super) load_cost_us: u32,
    pub(super) hash: u32,
    /// In the queue of its place, and among those of its strategy.
    pub(super) links: [Links; 2],
    pub(super) strategy: StrategyId,
    pub(super) place: Place,
    pub(super) uses: u8,
    pub(super) laps: u8,
    pub(super) source: Option<u8>,
    /// Somebody asked since the strategy's own count last came by.
    pub(super) is_asked: bool,
}

/// An entry's neighbours in a chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub(super) newer: u32,
    pub(super) older: u32,
}

/// How an entry's time stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Fresh,
    Soft,
    Stale,
    Over,
}

impl<V> Node<V> {
    pub(super) fn phase(&self, now: Mono) -> Phase {
        if now < self.ends {
            return if self.ends.since(now) > u64::from(self.soft_ms) { Phase::Fresh } else { Phase::Soft };
        }
        // That there was no value is not worth knowing any longer than it was promised to be true.
        let is_stale = self.value.is_some() && now.since(self.ends) < u64::from(self.stale_ms);
        if is_stale { Phase::Stale } else { Phase::Over }
    }

    pub(super) fn age_ms(&self, now: Mono) -> u64 {
        now.since(Mono(u64::from(self.put_s) * 1000))
    }

    pub(super) fn is(&self, key: &Key) -> bool {
        self.strategy == key.strategy && self.id == key.id
    }
}

/// Whole seconds of the monotonic clock: enough to tell an age by, for 136 years.
pub(super) fn seconds(now: Mono) -> u32 {
    u32::try_from(now.0 / 1000).unwrap_or(u32::MAX)
}
