//! May Redis be asked now?
//!
//! A cache that waits for a dead Redis is worse than none. So every call passes this gate, and:
//!
//! - a call waits for its answer at most the configured time, whatever happens below;
//! - a broken connection closes the gate at once, for everybody;
//! - a call that gets no useful answer fills a bucket by [`FAILURE`], one that does empties it by one; when the bucket is
//!   full the gate is **slow**: nobody asks, while one task finds out whether the same connection answers again. Five
//!   failures in a row fill it, and so does a dead fifth of a cluster among calls that succeed;
//! - a closed gate costs a lock and a comparison.
//!
//! It is opened by that task alone, after all that was invalidated meanwhile has been told (see `keeper`).

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use arxosrt_core::time::Wall;
use redis::{RedisError, ServerErrorKind};
use tokio::sync::Notify;

use super::connect::Wire;

/// What a call without a useful answer adds to the bucket; one with takes 1 away.
const FAILURE: u32 = 4;

/// A bucket with so much in it is full.
const FULL: u32 = 20;

/// How Redis stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no shared tier.
    Off,
    /// It is used.
    Up,
    /// It should be there and is not, since then.
    Degraded {
        /// Since when.
        since: Wall,
    },
}

/// What a gate lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: there is no connection.
    Closed,
    /// Nothing: the connection does not answer as it should.
    Slow,
    /// Everything.
    Open,
}

/// A call that was let through.
pub struct Pass {
    /// What to ask on.
    pub wire: Wire,
    link: u64,
}

/// The gate.
pub struct Gate {
    inner: Mutex<Inner>,
    /// What is in the bucket. Beside the lock: most calls find it empty and have nothing to do.
    bucket: AtomicU32,
    /// The phase has changed for the worse.
    pub worsened: Notify,
}

struct Inner {
    phase: Phase,
    wire: Option<Wire>,
    /// Raised with each connection, so that a late failure of an earlier one means nothing.
    link: u64,
    degraded_since: Wall,
    /// A key whose call failed: the one to try again with.
    failed_key: String,
}

impl Gate {
    /// Closed since `now`.
    pub fn new(now: Wall) -> Gate {
        let inner = Inner { phase: Phase::Closed, wire: None, link: 0, degraded_since: now, failed_key: String::new() };
        Gate { inner: Mutex::new(inner), bucket: AtomicU32::new(0), worsened: Notify::new() }
    }

    /// Lets a call through, or not. Never waits for Redis.
    pub fn enter(&self) -> Option<Pass> {
        let inner = self.lock();
        match inner.phase {
            Phase::Open => Some(Pass { wire: inner.wire.clone()?, link: inner.link }),
            Phase::Slow | Phase::Closed => None,
        }
    }

    /// A call had a useful answer.
    pub fn succeeded(&self) {
        if self.bucket.load(Relaxed) > 0 {
            // The closure always answers, so there is no failure to look at.
            let _ = self.bucket.fetch_update(Relaxed, Relaxed, |level| Some(level.saturating_sub(1)));
        }
    }

    /// A call about `key` had none, in time. Has that made the gate slow?
    pub fn failed(&self, pass: &Pass, key: &str, now: Wall) -> bool {
        let level = self.bucket.fetch_add(FAILURE, Relaxed) + FAILURE;
        level >= FULL && self.worsen(pass, Phase::Slow, key, now)
    }

    /// The connection of a call is of no use any more. Has that closed the gate?
    pub fn broke(&self, pass: &Pass, now: Wall) -> bool {
        self.worsen(pass, Phase::Closed, "", now)
    }

    /// From now on calls go over `wire`.
    pub fn open(&self, wire: Wire) {
        let mut inner = self.lock();
        inner.link += 1;
        inner.phase = Phase::Open;
        inner.wire = Some(wire);
        self.bucket.store(0, Relaxed);
    }

    /// The same connection answers again. Nothing happens if it has broken meanwhile.
    pub fn reopen(&self) {
        let mut inner = self.lock();
        if inner.phase == Phase::Slow {
            inner.phase = Phase::Open;
            self.bucket.store(0, Relaxed);
        }
    }

    /// From now on there is no connection.
    pub fn close(&self, now: Wall) {
        let mut inner = self.lock();
        if inner.phase == Phase::Open {
            inner.degraded_since = now;
        }
        inner.phase = Phase::Closed;
        inner.wire = None;
    }

    /// What it lets through.
    pub fn phase(&self) -> Phase {
        self.lock().phase
    }

    /// How Redis stands.
    pub fn state(&self) -> State {
        let inner = self.lock();
        match inner.phase {
            Phase::Open => State::Up,
            Phase::Slow | Phase::Closed => State::Degraded { since: inner.degraded_since },
        }
    }

    /// A key whose call failed lately.
    pub fn failed_key(&self) -> String {
        self.lock().failed_key.clone()
    }

    fn worsen(&self, pass: &Pass, to: Phase, key: &str, now: Wall) -> bool {
        let mut inner = self.lock();
        if inner.link != pass.link || inner.phase == Phase::Closed || inner.phase == to {
            return false;
        }
        if inner.phase == Phase::Open {
            inner.degraded_since = now;
        }
        inner.phase = to;
        key.clone_into(&mut inner.failed_key);
        drop(inner);
        self.worsened.notify_one();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an error says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is broken, or leads to a server that cannot serve: another one is needed.
    Broken,
    /// The server did not do it, and may do the next.
    Refused,
}

/// Judges an error.
pub fn judge(error: &RedisError) -> Verdict {
    let is_elsewhere = matches!(
        error.kind(),
        redis::ErrorKind::Server(
            ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown
        )
    );
    // A cluster's client mends its own connections, and a single slot in trouble is not the whole.
    let is_broken = !error.is_cluster_error() && !error.is_timeout() && error.is_unrecoverable_error();
    if is_elsewhere || is_broken { Verdict::Broken } else { Verdict::Refused }
}
