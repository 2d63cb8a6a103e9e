//! How is a value set or removed by somebody who knows better than the origin, or before it?
//!
//! Writers of one key wait for each other, so that what a condition was checked against is what is replaced. A value goes
//! to the origin first, where that takes values, then to the shared tier, then here; a load that began before installs
//! nothing.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::cache::{Entry, EntryId, Key, Put, Strategy, StrategyId};
use bytes::Bytes;
use tokio::sync::{Mutex, MutexGuard};

use super::hidden::short_lived;
use super::loads;
use super::service::Cache;
use super::tier::{Read, Stored};
use super::value::{CacheError, Held, Want, WriteIf, Written};
use crate::origin::fetch::FetchError;

/// A value was removed.
struct Forgotten {
    /// There was one, here or in the shared tier.
    was_held: bool,
    /// All nodes know it.
    is_told: bool,
}

impl Cache {
    /// Sets a value.
    pub async fn put(
        &self,
        strategy: StrategyId,
        id: &EntryId,
        bytes: Bytes,
        on_condition: WriteIf,
        patience: Duration,
    ) -> Result<Written, CacheError> {
        let inner = &self.0;
        let definition = inner.strategies.get(strategy);
        self.can_keep(definition)?;
        let bytes = if definition.is_sensitive { short_lived(bytes) } else { bytes };
        let key = Key { strategy, id: id.clone() };
        let _turn = self.turn(&key).await;
        self.check(&key, on_condition, patience).await?;
        let placed = Arc::new(self.place(strategy, id));
        let size = bytes.len();
        let is_in_origin = match inner.source.store(&definition.name, id, bytes.clone()).await {
            Ok(is_taken) => is_taken,
            Err(FetchError::NoSource) => false,
            Err(error) => {
                // It may have arrived all the same: what is here is not to be trusted.
                self.forget(&key).await;
                return Err(CacheError::Origin(error));
            }
        };
        let held = Held { is_put: true, ..Held::new(bytes, None, placed.clone()) };
        let etag = held.etag;
        let mut is_shared = false;
        if let Some(shared) = &inner.shared {
            let value = loads::stored(Some(&held), definition, Duration::ZERO, inner.clock.wall());
            is_shared = shared.write(inner.at(&key, &placed), value).await == Stored::Installed;
        }
        if definition.is_sensitive {
            // Nothing is held here, but a load that began before may have read what was there before.
            inner.overtake(&key, || ());
            inner.counts[usize::from(strategy.0)].writes.inc();
            let kept = is_shared || is_in_origin;
            let written = Written { etag, is_in_origin };
            return if kept { Ok(written) } else { Err(CacheError::NoSharedTier(definition.name.clone())) };
        }
        let put = inner.overtake(&key, || {
            let ttl_ms = inner.local_ttl_ms(definition.ttl_ms);
            let entry = Entry {
                weight: u32::try_from(size + key.id.as_str().len()).unwrap_or(u32::MAX),
                captured: inner.generations.capture(strategy, &placed.tags),
                ttl_ms,
                soft_ms: u32::try_from(ttl_ms / 10).unwrap_or(u32::MAX),
                stale_ms: u32::try_from(definition.stale_ms).unwrap_or(u32::MAX),
                load_cost_us: 0,
                source: None,
            };
            let put = inner.local.put(key.clone(), Some(held), entry, inner.now());
            if put != Put::Installed {
                // What was there is older than what somebody has just been told is set.
                inner.local.remove(&key, inner.now());
            }
            put
        });
        inner.counts[usize::from(strategy.0)].writes.inc();
        match put {
            Put::TooLarge | Put::NoRoom if !is_shared && !is_in_origin => {
                Err(CacheError::TooLarge(size, usize::try_from(inner.settings.bytes_max / 4).unwrap_or(usize::MAX)))
            }
            _ => Ok(Written { etag, is_in_origin }),
        }
    }

    /// Removes a value from all tiers; the origin keeps what it has. Says whether it was here.
    ///
    /// A sensitive value is removed when the shared tier knows it: nobody is told that a session has ended that other
    /// nodes still serve.
    pub async fn delete(&self, strategy: StrategyId, id: &EntryId) -> Result<bool, CacheError> {
        let definition = self.0.strategies.get(strategy);
        self.can_keep(definition)?;
        let key = Key { strategy, id: id.clone() };
        let _turn = self.turn(&key).await;
        let Forgotten { was_held, is_told } = self.forget(&key).await;
        match definition.is_sensitive && !is_told {
            true => Err(CacheError::NoSharedTier(definition.name.clone())),
            false => Ok(was_held),
        }
    }

    async fn forget(&self, key: &Key) -> Forgotten {
        let inner = &self.0;
        let was_here = inner.overtake(key, || inner.local.remove(key, inner.now()));
        let (mut was_there, mut is_told) = (false, true);
        if let Some(shared) = &inner.shared {
            let at = inner.at(key, &self.place(key.strategy, &key.id));
            was_there = !was_here && matches!(shared.read(at.clone()).await, Read::Hit(_));
            is_told = shared.remove(at).await;
            // A load that began between the two may have read what was still there.
            inner.overtake(key, || inner.local.remove(key, inner.now()));
        }
        Forgotten { was_held: was_here || was_there, is_told }
    }

    /// Is there a tier for values of this strategy?
    fn can_keep(&self, strategy: &Strategy) -> Result<(), CacheError> {
        match strategy.is_sensitive && !self.0.shared.as_ref().is_some_and(|shared| shared.is_up()) {
            true => Err(CacheError::NoSharedTier(strategy.name.clone())),
            false => Ok(()),
        }
    }

    async fn check(&self, key: &Key, condition: WriteIf, patience: Duration) -> Result<(), CacheError> {
        if condition == WriteIf::Always {
            return Ok(());
        }
        let want = Want { user: None, patience };
        let present = match self.get(key.strategy, &key.id, want).await {
            Ok(value) => Some(value.etag),
            Err(CacheError::NotThere) => None,
            Err(error) => return Err(error),
        };
        let holds = match (&condition, present) {
            (WriteIf::Matches(list), Some(etag)) => etag.is_named_in(list, false),
            (WriteIf::Matches(_), None) => false,
            (WriteIf::Absent, present) => present.is_none(),
            (WriteIf::Always, _) => true,
        };
        if holds { Ok(()) } else { Err(CacheError::Changed(present)) }
    }

    async fn turn(&self, key: &Key) -> MutexGuard<'_, ()> {
        let hash = foldhash::fast::FixedState::with_seed(self.0.seed).hash_one(key);
        let writers: &[Mutex<()>] = &self.0.writers;
        writers[hash as usize % writers.len()].lock().await
    }
}
