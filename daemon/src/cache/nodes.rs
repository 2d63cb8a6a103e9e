//! Redis as the tier that nodes share, and what other nodes say through it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arxosrt_core::time::Wall;

use super::invalidate::Invalidation;
use super::service::{Cache, WeakCache};
use super::shared::{self, At, Change, Incoming, Shared, State, StoredValue};
use super::tier::{Fill, Later, Read, SharedTier, Stored};

/// How long a write or a removal waits until the other nodes know of it. Longer, and it goes on by itself.
const TELLING: Duration = Duration::from_millis(250);

/// The shared tier as the cache asks it.
pub struct RedisTier(pub Shared);

struct RedisFill {
    shared: Shared,
    at: At,
    captured: shared::Captured,
}

impl Fill for RedisFill {
    fn put(self: Box<Self>, value: StoredValue) -> Later<Stored> {
        Box::pin(async move { stored(self.shared.put(&self.at, self.captured, value).await) })
    }
}

impl SharedTier for RedisTier {
    fn is_up(&self) -> bool {
        self.0.state() == State::Up
    }

    fn down_since(&self) -> Option<Wall> {
        match self.0.state() {
            State::Degraded { since } => Some(since),
            State::Off | State::Up => None,
        }
    }

    fn address(&self) -> &str {
        self.0.address()
    }

    fn read(&self, at: At) -> Later<Read> {
        let shared = self.0.clone();
        Box::pin(async move {
            match shared.get(&at).await {
                shared::Read::Hit(value) => Read::Hit(value),
                shared::Read::Miss(captured) => Read::Miss(Box::new(RedisFill { shared, at, captured })),
                shared::Read::Down => Read::Down,
            }
        })
    }

    fn capture(&self, at: At) -> Later<Option<Box<dyn Fill>>> {
        let shared = self.0.clone();
        Box::pin(async move {
            let captured = shared.capture(&at).await?;
            Some(Box::new(RedisFill { shared, at, captured }) as Box<dyn Fill>)
        })
    }

    /// First the old value goes, everywhere; what is put then has nothing in front of it that another node may hold.
    fn write(&self, at: At, value: StoredValue) -> Later<Stored> {
        let shared = self.0.clone();
        Box::pin(async move {
            let ticket = shared.delete(&at);
            // Who cannot be told is not waited for: what is written is in the outbox, and in force here.
            if shared.state() != State::Up || !ticket.told(TELLING).await {
                return Stored::Down;
            }
            match shared.capture(&at).await {
                Some(captured) => stored(shared.put(&at, captured, value).await),
                None => Stored::Down,
            }
        })
    }

    fn remove(&self, at: At) -> Later<bool> {
        let ticket = self.0.delete(&at);
        let is_up = self.is_up();
        Box::pin(async move { is_up && ticket.told(TELLING).await })
    }

    fn invalidate(&self, changes: Vec<Change>) {
        // It is in force here, and the tier tells the others as soon as it can.
        self.0.invalidate(changes).forget();
    }
}

fn stored(written: shared::Written) -> Stored {
    match written {
        shared::Written::Installed => Stored::Installed,
        shared::Written::Outdated => Stored::Outdated,
        // It is not there, and nobody else's value is.
        shared::Written::TooLarge | shared::Written::Down => Stored::Down,
    }
}

/// What other nodes say, for a cache that is made after the tier that they say it through. What is heard before that
/// concerns nothing: there is nothing yet.
#[derive(Clone, Default)]
pub struct Heard(Arc<OnceLock<WeakCache>>);

impl Heard {
    /// Tells this cache from now on.
    pub fn tell(&self, cache: &Cache) {
        // There is one cache behind one tier.
        let _ = self.0.set(cache.downgrade());
    }

    /// Something was heard.
    pub fn hear(&self, incoming: Incoming) {
        let Some(cache) = self.0.get().and_then(WeakCache::upgrade) else { return };
        match incoming {
            Incoming::Invalidated(Change::Key { strategy, id, .. }) => {
                cache.invalidate_key_here(strategy, id);
            }
            Incoming::Invalidated(Change::Tag { tag, .. }) => {
                cache.invalidate_tag_here(&tag);
            }
            Incoming::Invalidated(Change::Strategy(strategy)) => {
                cache.invalidate_here(&Invalidation::Strategy(strategy));
            }
            Incoming::Invalidated(Change::All) | Incoming::Gap => cache.doubt_everything(),
            Incoming::Up => {
                cache.doubt_everything();
                cache.set_alone(false);
            }
            Incoming::Down => cache.set_alone(true),
        }
    }
}
