//! The cache's shared tier: what do several daemons hold together, and how is none of them ever told something old?
//!
//! Values lie in Redis, each with the generations of its tags (see `stored`, `names`). Whoever invalidates raises a
//! generation there and tells the other nodes on a bus (`peers`, `message`). What always holds:
//!
//! - **A load never overtakes an invalidation.** [`Read::Miss`] carries what must still be so when the load is done;
//!   [`Shared::put`] installs only then, in one script. What Redis has lost (evicted, flushed, failed over) counts as
//!   changed.
//! - **What was invalidated here is not read here**, from the moment [`Shared::invalidate`] returns, even while Redis
//!   does not know it yet (`outbox`). Other nodes that are connected learn of it from Redis with their next read, and
//!   from the bus within milliseconds; what the bus loses is noticed ([`Incoming::Gap`]).
//! - **No call waits longer than `redis.timeout_ms`**, and none waits at all once Redis is known not to answer (`gate`).
//!   There are no errors: a cache that cannot be asked has nothing.
//! - **Redis is trusted again only after it knows everything** that was invalidated meanwhile (`keeper`).
//!
//! What it cannot do: a node that is cut off from Redis cannot tell the others what was edited there. They go on with
//! what Redis holds until it is back, or the value's time is over. The same is true for a master that is cut off while
//! its sentinels choose another, unless the server is told to stop writing then (`min-replicas-to-write 1`).
//!
//! The bus is plain publish and subscribe, in a cluster too. Sharded channels would spread its load over shards; but
//! every node must hear everything, the load is a few messages per edit, and one channel has one order.

mod change;
mod commands;
mod connect;
mod epochs;
mod gate;
mod keeper;
mod masters;
mod message;
mod names;
mod outbox;
mod peers;
#[cfg(test)]
mod random;
mod reader;
mod stored;
mod tier;

use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::cache::Strategies;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

pub use change::{Change, Incoming};
pub use connect::file_problems;
pub use gate::State;
pub use names::{At, Tags};
pub use outbox::CHANGES_MAX as OUTBOX_MAX;
pub use stored::StoredValue;
pub use tier::{Captured, Read, Written};

use crate::config::Redis;
use crate::metrics::Metrics;
use connect::Route;
use keeper::Keeper;
use tier::Tier;

/// The shared tier, or that there is none. Clones are the same one; the last one that goes takes the connection with it.
#[derive(Clone)]
pub struct Shared(Option<Arc<Running>>);

struct Running {
    tier: Arc<Tier>,
    address: Box<str>,
    stop: watch::Sender<bool>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut() {
            keeper.abort();
        }
    }
}

/// An invalidation that Redis and the other nodes may not know yet. Here it is in force already.
#[must_use = "an invalidation is in force here; whether others wait for it is to be decided"]
pub struct Ticket {
    tier: Option<Arc<Tier>>,
    number: u64,
}

impl Ticket {
    /// Waits until Redis knows it and the other nodes were told. False when that takes longer than `patience`; it is
    /// then still told as soon as it can be. Without a shared tier there is nobody to tell.
    pub async fn told(self, patience: Duration) -> bool {
        match &self.tier {
            Some(tier) => tier.settled(self.number, patience).await,
            None => true,
        }
    }

    /// Goes on without waiting.
    pub fn forget(self) {}
}

impl Shared {
    /// Starts it, without waiting for Redis. `incoming` is called from one task and must not block.
    ///
    /// Must be called within a Tokio runtime.
    pub fn start(
        config: &Redis,
        strategies: Arc<Strategies>,
        value_bytes_max: usize,
        metrics: Arc<Metrics>,
        incoming: impl Fn(Incoming) + Send + Sync + 'static,
    ) -> std::io::Result<Shared> {
        if !config.is_on() {
            return Ok(Shared(None));
        }
        let mut node = [0; 8];
        getrandom::fill(&mut node).map_err(|error| std::io::Error::other(error.to_string()))?;
        let deadline = Duration::from_millis(config.timeout_ms);
        let node = u64::from_le_bytes(node);
        let tier = Arc::new(Tier::new(&config.prefix, strategies, metrics, node, deadline, value_bytes_max));
        let (stop, stopped) = watch::channel(false);
        let route = Route::new(config.clone(), tier.names.channel());
        // No address holds a password: the configuration would have been refused.
        let address: Box<str> = config.urls.join(" ").into();
        let keeper = Keeper {
            tier: tier.clone(),
            route,
            address: address.clone(),
            incoming: Box::new(incoming),
            stop: stopped,
            said: 0,
        };
        let keeper = Mutex::new(Some(tokio::spawn(keeper.run())));
        Ok(Shared(Some(Arc::new(Running { tier, address, stop, keeper }))))
    }

    /// No shared tier.
    pub fn off() -> Shared {
        Shared(None)
    }

    /// The value at this place, if it is valid.
    pub async fn get(&self, at: &At) -> Read {
        match &self.0 {
            Some(running) => running.tier.get(at).await,
            None => Read::Down,
        }
    }

    /// What must still be so for a value that is loaded from now on, to replace one that grows old.
    pub async fn capture(&self, at: &At) -> Option<Captured> {
        self.0.as_ref()?.tier.capture(at).await
    }

    /// Installs a value that was loaded after `captured` was.
    pub async fn put(&self, at: &At, captured: Captured, value: StoredValue) -> Written {
        match &self.0 {
            Some(running) => running.tier.put(at, captured, value).await,
            None => Written::Down,
        }
    }

    /// Makes all this invalid, here at once and elsewhere as soon as it can be told. Never waits.
    pub fn invalidate(&self, changes: Vec<Change>) -> Ticket {
        match &self.0 {
            Some(running) => Ticket { number: running.tier.add(changes), tier: Some(running.tier.clone()) },
            None => Ticket { tier: None, number: 0 },
        }
    }

    /// Makes one value invalid.
    pub fn delete(&self, at: &At) -> Ticket {
        self.invalidate(vec![Change::Key { home: at.home.clone(), strategy: at.strategy, id: at.id.clone() }])
    }

    /// Waits until all that was invalidated so far has been told. False when that takes longer than `patience`.
    pub async fn flush(&self, patience: Duration) -> bool {
        match &self.0 {
            Some(running) => running.tier.settled(running.tier.added(), patience).await,
            None => true,
        }
    }

    /// How Redis stands.
    pub fn state(&self) -> State {
        self.0.as_ref().map_or(State::Off, |running| running.tier.gate.state())
    }

    /// Where Redis is, without a password; empty if there is none.
    pub fn address(&self) -> &str {
        self.0.as_ref().map_or("", |running| &running.address)
    }

    /// Tells what waits, says good-bye to the other nodes and ends, within `patience`. Later calls find nothing.
    pub async fn stop(&self, patience: Duration) {
        let Some(running) = &self.0 else { return };
        running.stop.send_replace(true);
        let mut keeper = running.keeper.lock().await;
        if let Some(mut task) = keeper.take()
            && tokio::time::timeout(patience, &mut task).await.is_err()
        {
            task.abort();
        }
        running.tier.gate.close(tier::wall());
    }
}
