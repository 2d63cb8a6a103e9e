//! What calls and the keeper share, and the calls themselves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arxosrt_core::cache::Strategies;
use arxosrt_core::time::Wall;
use redis::{Cmd, Value};
use smallvec::SmallVec;
use tokio::sync::{Notify, watch};
use zeroize::Zeroize as _;

use super::change::Change;
use super::commands::{self, Keys};
use super::epochs::Epochs;
use super::gate::{Gate, Verdict, judge};
use super::names::{At, Names};
use super::outbox::Outbox;
use super::stored::{self, Head, Marks, StoredValue};
use crate::cache::hidden::short_lived;
use crate::metrics::Metrics;

/// Larger values are packed and unpacked beside the asynchronous threads, where others do not wait for it.
const ASIDE_BYTES_MIN: usize = 64 << 10;

/// What a slow network carries in a millisecond: 512 Mbit/s.
const BYTES_PER_MS: usize = 64 << 10;

/// What a read finds.
#[derive(Debug)]
pub enum Read {
    /// A value that is valid, and within its hard life.
    Hit(StoredValue),
    /// None; what is loaded now may be put with this.
    Miss(Captured),
    /// Redis cannot be asked.
    Down,
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there.
    Installed,
    /// Something it depends on was invalidated since it was captured, or Redis has forgotten what that was.
    Outdated,
    /// It has more bytes than a value may have.
    TooLarge,
    /// Redis cannot be asked.
    Down,
}

/// What must still be so for a load's value to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    head: Head,
    marks: Marks,
}

/// See the module.
pub struct Tier {
    pub(super) gate: Gate,
    pub(super) epochs: Epochs,
    pub(super) names: Names,
    pub(super) strategies: Arc<Strategies>,
    pub(super) metrics: Arc<Metrics>,
    /// This node's random name on the bus.
    pub(super) node: u64,
    /// Something waits in the outbox.
    pub(super) outbox_filled: Notify,
    outbox: Mutex<Outbox>,
    settled_up_to: watch::Sender<u64>,
    began: Instant,
    deadline: Duration,
    value_bytes_max: usize,
}

impl Tier {
    pub(super) fn new(
        prefix: &str,
        strategies: Arc<Strategies>,
        metrics: Arc<Metrics>,
        node: u64,
        deadline: Duration,
        value_bytes_max: usize,
    ) -> Tier {
        Tier {
            gate: Gate::new(wall()),
            epochs: Epochs::new(&strategies),
            names: Names::new(prefix),
            strategies,
            metrics,
            node,
            outbox_filled: Notify::new(),
            outbox: Mutex::default(),
            settled_up_to: watch::Sender::new(0),
            began: Instant::now(),
            deadline,
            value_bytes_max,
        }
    }

    pub(super) async fn get(&self, at: &At) -> Read {
        let over = Instant::now() + self.deadline;
        let keys = self.keys(at);
        if !self.wait_until_told(at, over).await {
            return Read::Down;
        }
        let epoch = self.epochs.of(at.strategy);
        let Some(reply) = self.call(&commands::read(&keys), &keys.value, over).await else { return Read::Down };
        let reply = commands::read_reply(reply);
        let found = reply.stored.as_deref().and_then(stored::head_of);
        if let (Some(bytes), Some(generations)) = (reply.stored, reply.generations) {
            let marks = Marks { generations, epoch };
            if let Some(value) = self.unpack(bytes, at, marks).await
                && is_alive(&value)
            {
                self.metrics.redis_hits.inc();
                return Read::Hit(value);
            }
        }
        self.metrics.redis_misses.inc();
        self.capture_over(at, &keys, found, over).await.map_or(Read::Down, Read::Miss)
    }

    /// What must still be so for a value that is loaded from now on.
    pub(super) async fn capture(&self, at: &At) -> Option<Captured> {
        self.capture_over(at, &self.keys(at), None, Instant::now() + self.deadline).await
    }

    async fn capture_over(&self, at: &At, keys: &Keys, found: Option<Head>, over: Instant) -> Option<Captured> {
        if !self.wait_until_told(at, over).await {
            return None;
        }
        // Before the answer: a rise in between makes the value outdated, not valid.
        let epoch = self.epochs.of(at.strategy);
        let reply = self.call(&commands::capture(keys, found.as_ref()), &keys.value, over).await?;
        let (head, generations) = commands::capture_reply(reply)?;
        (generations.len() == at.tags.len()).then_some(Captured { head, marks: Marks { generations, epoch } })
    }

    pub(super) async fn put(&self, at: &At, captured: Captured, value: StoredValue) -> Written {
        if value.bytes.len() > self.value_bytes_max {
            return Written::TooLarge;
        }
        let is_outdated = captured.marks.generations.len() != at.tags.len()
            || captured.marks.epoch != self.epochs.of(at.strategy)
            || self.outbox().concerns(at);
        let life_ms = u64::try_from(value.created.0.saturating_add_unsigned(value.hard_ms) - wall().0).unwrap_or(0);
        if is_outdated || life_ms == 0 {
            return Written::Outdated;
        }
        let keys = self.keys(at);
        let Captured { head, marks } = captured;
        let generations = marks.generations.clone();
        let Some(mut stored) = self.pack(at, head, marks, value).await else { return Written::Down };
        let cmd = commands::put(&keys, &head, &generations, &stored, life_ms);
        let bytes = stored.len();
        if self.strategies.get(at.strategy).is_sensitive {
            stored.zeroize();
        }
        drop(stored);
        // Nobody waits for a put but whoever has the value already, and a large one takes its time on the way.
        let deadline = self.deadline + Duration::from_millis((bytes / BYTES_PER_MS) as u64);
        match self.call(&cmd, &keys.value, Instant::now() + deadline).await {
            Some(Value::Int(1)) => Written::Installed,
            Some(_) => Written::Outdated,
            None => Written::Down,
        }
    }

    /// Puts changes into the outbox, where they are in force. Answers the number of the last.
    pub(super) fn add(&self, changes: Vec<Change>) -> u64 {
        let mut outbox = self.outbox();
        let mut last = outbox.settled_up_to();
        for change in changes {
            last = outbox.add(change);
        }
        self.metrics.redis_outbox.set(outbox.waiting() as u64);
        drop(outbox);
        self.outbox_filled.notify_one();
        last
    }

    pub(super) fn settle(&self, told: Vec<(u64, Change)>) {
        let mut outbox = self.outbox();
        outbox.settle(told, self.now_ms());
        self.metrics.redis_outbox.set(outbox.waiting() as u64);
        let up_to = outbox.settled_up_to();
        drop(outbox);
        self.settled_up_to.send_replace(up_to);
    }

    /// Waits until all changes up to `number` are settled; false when that takes longer than `patience`.
    pub(super) async fn settled(&self, number: u64, patience: Duration) -> bool {
        let mut up_to = self.settled_up_to.subscribe();
        let reached = up_to.wait_for(|up_to| *up_to >= number);
        matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)))
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Nothing in there panics half-way through a change.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the change that was added last.
    pub(super) fn added(&self) -> u64 {
        self.outbox().added()
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// What Redis holds of a change that it does not know yet is not a value: waits until it knows.
    async fn wait_until_told(&self, at: &At, over: Instant) -> bool {
        if !self.outbox().concerns(at) {
            return true;
        }
        let mut up_to = self.settled_up_to.subscribe();
        while self.outbox().concerns(at) {
            if self.gate.enter().is_none() {
                return false;
            }
            match tokio::time::timeout_at(over.into(), up_to.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return false,
            }
        }
        true
    }

    /// Asks Redis, if the gate lets it, and waits until `over`. No error leaves here: there is an answer or there is none.
    async fn call(&self, cmd: &Cmd, key: &str, over: Instant) -> Option<Value> {
        let Some(mut pass) = self.gate.enter() else {
            self.metrics.redis_turned_away.inc();
            return None;
        };
        let began = Instant::now();
        let answer = tokio::time::timeout_at(over.into(), cmd.query_async::<Value>(&mut pass.wire)).await;
        self.metrics.redis_call.observe_span(began.elapsed());
        let is_worse = match answer {
            Ok(Ok(value)) => {
                self.gate.succeeded();
                return Some(value);
            }
            Ok(Err(error)) => match judge(&error) {
                Verdict::Broken => self.gate.broke(&pass, wall()),
                Verdict::Silent => self.gate.failed(&pass, key, wall()),
                Verdict::Refused => false,
            },
            Err(_) => self.gate.failed(&pass, key, wall()),
        };
        self.metrics.redis_call_failures.inc();
        if is_worse {
            tracing::debug!("redis is not asked for a while");
        }
        None
    }

    fn keys(&self, at: &At) -> Keys {
        Keys {
            value: self.names.value(&at.home, &self.strategies.get(at.strategy).name, &at.id),
            generations: at.tags.iter().map(|tag| self.names.generation(&at.home, tag)).collect::<SmallVec<_>>(),
        }
    }

    async fn unpack(&self, mut bytes: Vec<u8>, at: &At, marks: Marks) -> Option<StoredValue> {
        let bytes_max = self.value_bytes_max;
        let is_sensitive = self.strategies.get(at.strategy).is_sensitive;
        let tags = at.tags.clone();
        let is_large = bytes.len() >= ASIDE_BYTES_MIN;
        let mut unpack = move || {
            let mut value = stored::decode(&bytes, &tags, &marks, bytes_max);
            if is_sensitive {
                bytes.zeroize();
                value = value.map(|value| StoredValue { bytes: short_lived(value.bytes), ..value });
            }
            value
        };
        if is_large { tokio::task::spawn_blocking(unpack).await.ok().flatten() } else { unpack() }
    }

    async fn pack(&self, at: &At, head: Head, marks: Marks, value: StoredValue) -> Option<Vec<u8>> {
        if value.bytes.len() < ASIDE_BYTES_MIN {
            return Some(stored::encode(&head, &at.tags, &marks, &value));
        }
        let tags = at.tags.clone();
        tokio::task::spawn_blocking(move || stored::encode(&head, &tags, &marks, &value)).await.ok()
    }
}

/// The time on the wall.
pub(super) fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(since.as_millis() as i64)
}

/// Redis forgets a value in time by its own clock; a clock here that is ahead of it forgets a little earlier.
fn is_alive(value: &StoredValue) -> bool {
    value.created.0.saturating_add_unsigned(value.hard_ms) > wall().0
}
