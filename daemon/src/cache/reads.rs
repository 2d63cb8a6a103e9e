//! How is a value read?

use std::sync::Arc;

use arxosrt_core::cache::{EntryId, Found, Hit, Key, StrategyId};
use tokio::time::{Instant, timeout_at};

use super::flights::Outcome;
use super::loads::{Boarding, Job, Landed};
use super::service::{Cache, Signal};
use super::value::{CacheError, Held, ServedFrom, Value, Want};
use crate::origin::fetch::Purpose;

/// A load that broke off is begun again so many times for one who waits.
const BREAKS_MAX: usize = 1;

impl Cache {
    /// A value: from here, from the shared tier or from the origin, whoever has it first.
    pub async fn get(&self, strategy: StrategyId, id: &EntryId, want: Want) -> Result<Value, CacheError> {
        let inner = &self.0;
        let key = Key { strategy, id: id.clone() };
        let definition = inner.strategies.get(strategy);
        if definition.is_sensitive && inner.shared.is_none() {
            inner.counts[usize::from(strategy.0)].refused.inc();
            return Err(CacheError::NoSharedTier(definition.name.clone()));
        }
        let mut stale = None;
        if !definition.is_sensitive {
            let mut found = inner.local.get(&key, inner.now());
            if matches!(found, Found::Missing) {
                inner.patches.settled(&key, want.patience).await;
                if inner.local.current(&key, inner.now()).is_some() {
                    found = inner.local.get(&key, inner.now());
                }
            }
            match found {
                Found::Fresh(hit) | Found::Soft(hit) if inner.is_doubtful(hit.age_ms) => stale = Some(hit),
                Found::Fresh(hit) => return Ok(self.hit(&key, hit, &want)),
                Found::Soft(hit) => {
                    inner.refresh(&key, hit.value.clone());
                    return Ok(self.hit(&key, hit, &want));
                }
                Found::Negative => return Err(CacheError::NotThere),
                Found::Stale(hit) => stale = Some(hit),
                Found::Missing => {}
            }
        }
        let loaded = self.loaded(&key, stale.as_ref().map(|hit| &hit.value), &want).await;
        match (loaded, stale) {
            (Ok(landed), _) => landed
                .held
                .as_ref()
                .map(|held| held.served(landed.age_ms, landed.ttl_ms, landed.from))
                .ok_or(CacheError::NotThere),
            (Err(CacheError::NotThere), _) => Err(CacheError::NotThere),
            (Err(_), Some(hit)) => {
                inner.counts[usize::from(strategy.0)].stale.inc();
                Ok(hit.value.served(hit.age_ms, 0, ServedFrom::Stale))
            }
            (Err(error), None) => Err(error),
        }
    }

    fn hit(&self, key: &Key, hit: Hit<Held>, want: &Want) -> Value {
        self.0.signal(|| Signal {
            user: want.user.clone(),
            strategy: key.strategy,
            id: key.id.clone(),
            floor: hit.value.placed.floor.clone(),
            bytes: hit.value.bytes.len() as u64,
            is_hit: true,
            load_ms: u64::from(hit.load_cost_us / 1000),
            first_use_of: hit.first_use_of,
            at: self.0.now(),
        });
        hit.value.served(hit.age_ms, hit.left_ms, ServedFrom::Local)
    }

    /// What a load brings, which others may wait for too.
    async fn loaded(&self, key: &Key, prior: Option<&Held>, want: &Want) -> Result<Arc<Landed>, CacheError> {
        let inner = &self.0;
        let until = Instant::now() + want.patience;
        let placed = Arc::new(self.place(key.strategy, &key.id));
        let mut first_use_of = None;
        for _ in 0..=BREAKS_MAX {
            let job = Job {
                key: key.clone(),
                placed: placed.clone(),
                prior: prior.cloned(),
                purpose: Purpose::Demand,
                ahead_of: None,
            };
            let mut waiting = match inner.begin(job, None) {
                Boarding::Began(waiting) => waiting,
                Boarding::Joined(waiting, first_use) => {
                    inner.counts[usize::from(key.strategy.0)].joined.inc();
                    first_use_of = first_use;
                    waiting
                }
                Boarding::Refused(error) => return Err(error),
            };
            let outcome: Outcome = match timeout_at(until, waiting.wait_for(Option::is_some)).await {
                Err(_elapsed) => return Err(CacheError::Timeout(want.patience)),
                // Whoever loaded it is gone without a word.
                Ok(Err(_)) => continue,
                Ok(Ok(outcome)) => outcome.clone().expect("it was waited for"),
            };
            if let Ok(Landed { held: Some(held), took, .. }) = outcome.as_deref()
                && !inner.strategies.get(key.strategy).is_sensitive
            {
                inner.signal(|| Signal {
                    user: want.user.clone(),
                    strategy: key.strategy,
                    id: key.id.clone(),
                    floor: placed.floor.clone(),
                    bytes: held.bytes.len() as u64,
                    is_hit: false,
                    load_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                    first_use_of,
                    at: inner.now(),
                });
            }
            return outcome;
        }
        Err(CacheError::BrokeOff)
    }
}
