//! Who keeps the connection to Redis, and what happens when it goes and comes back?
//!
//! One task, alone. It connects, and connects again after 100 ms to 10 s; it tells Redis and the other nodes what was
//! invalidated here, hears what they invalidated, and finds out when something was missed. Calls of the cache use the
//! connection that it made (see `gate`), and never wait for it.
//!
//! The order in which Redis is taken back into use is all there is to its safety:
//!
//! 1. listen to the bus, so that nothing said from now on is missed;
//! 2. agree on the epochs;
//! 3. tell what waits in the outbox, and once more what was told within the last minute;
//! 4. say [`Incoming::Up`]: the local tier takes nothing for valid that it had before;
//! 5. let calls through.

use std::sync::Arc;
use std::time::Duration;

use redis::{PushInfo, PushKind, Value};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::change::{Change, Incoming};
use super::commands;
use super::connect::{Link, LinkError, Route};
use super::gate::{Phase, Verdict, judge};
use super::message::{CHANGES_MAX, Message, Told};
use super::peers::{BEATS_MISSED_MAX, Heard, Peers, Place};
use super::tier::{Tier, wall};

/// How often every node says that it is there.
pub const BEAT: Duration = Duration::from_secs(1);

/// The first pause before connecting again, and the longest. Half of each is random, so that nodes do not come in step.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A connection that lasted this long was a good one: the pauses begin anew.
const GOOD: Duration = Duration::from_secs(5);

/// For how long a connection that does not answer is asked again before it is given up.
const SLOW: Duration = Duration::from_secs(1);

/// The pause between two such questions, and how long each may take.
const SLOW_PAUSE: Duration = Duration::from_millis(50);

/// How many generations go into one script: it keeps others waiting for as long as it runs.
const KEYS_MAX: usize = 64;

/// The task.
pub struct Keeper {
    /// What it shares with the calls.
    pub tier: Arc<Tier>,
    /// The way to Redis.
    pub route: Route,
    /// Where that leads, for people: without a password.
    pub address: Box<str>,
    /// Where what is heard goes.
    pub incoming: Box<dyn Fn(Incoming) + Send + Sync>,
    /// True ends it.
    pub stop: watch::Receiver<bool>,
    /// The number of the latest message.
    pub said: u64,
}

impl Keeper {
    /// Keeps the connection until it is stopped.
    pub async fn run(mut self) {
        let _closes = ClosesGate(self.tier.clone());
        let mut stop = self.stop.clone();
        let mut pause = PAUSE_MIN;
        let mut is_silent = false;
        loop {
            let connected = tokio::select! {
                connected = self.connect() => connected,
                () = stopped(&mut stop) => return,
            };
            let lost = match connected {
                Ok((link, peers, told)) => {
                    is_silent = false;
                    tracing::info!(address = &*self.address, invalidations_told = told, "redis is up");
                    let since = Instant::now();
                    let Err(why) = self.serve(link, peers).await else { return };
                    // A slow one had its rest counted when it became slow.
                    if self.tier.gate.phase() != Phase::Slow {
                        self.tier.metrics.redis_breaker_opens.inc();
                    }
                    self.tier.gate.close(wall());
                    self.tier.metrics.redis_up.set(0);
                    (self.incoming)(Incoming::Down);
                    if since.elapsed() >= GOOD {
                        pause = PAUSE_MIN;
                    }
                    why
                }
                Err(why) => why,
            };
            // The keeper's own questions are questions too: often it is the first to find nobody there.
            if !matches!(lost, LinkError::File(_)) {
                self.tier.metrics.redis_call_failures.inc();
            }
            // Once per outage: the next hundred attempts say nothing new.
            if !is_silent {
                tracing::warn!(address = &*self.address, "redis is not there, the cache goes on without: {lost}");
                is_silent = true;
            }
            tokio::select! {
                () = sleep(jittered(pause)) => {}
                () = stopped(&mut stop) => return,
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// A connection that is in use, who else is there, and how many invalidations were told.
    async fn connect(&mut self) -> Result<(Link, Peers, usize), LinkError> {
        let mut link = self.route.connect().await?;
        let mut peers = Peers::new(BEAT.as_millis() as u64, self.tier.now_ms());
        self.agree_on_epochs(&mut link).await?;
        self.tier.outbox().repeat(self.tier.now_ms());
        let told = self.tell_all(&mut link).await?;
        // Heard while others were told: strangers' numbers begin here.
        self.hear_waiting(&mut link, &mut peers)?;
        (self.incoming)(Incoming::Up);
        self.tier.gate.open(link.wire.clone());
        self.tier.metrics.redis_up.set(1);
        self.tier.metrics.redis_connects.inc();
        Ok((link, peers, told))
    }

    /// Ends well when it is stopped, and with the reason when the connection is of no use any more.
    async fn serve(&mut self, mut link: Link, mut peers: Peers) -> Result<(), LinkError> {
        let tier = self.tier.clone();
        let mut stop = self.stop.clone();
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_self = Instant::now();
        loop {
            tokio::select! {
                push = link.pushes.queue.recv() => {
                    let push = push.ok_or(LinkError::Broken)?;
                    if self.hear(push, &mut peers)? {
                        heard_self = Instant::now();
                    }
                    if link.pushes.have_overflown() {
                        self.gap("messages of the bus were not taken in fast enough");
                    }
                }
                () = tier.outbox_filled.notified() => self.tell_or_wait(&mut link).await?,
                () = tier.gate.worsened.notified() => self.mend(&mut link).await?,
                _ = beat.tick() => {
                    if heard_self.elapsed() > BEAT * (BEATS_MISSED_MAX as u32 + 1) {
                        return Err(LinkError::Answer("our own heartbeat"));
                    }
                    self.say(&mut link, Place::After(self.said), Vec::new()).await?;
                    self.route.check(&mut link).await?;
                    if self.agree_on_epochs(&mut link).await? {
                        self.gap("an epoch had been raised");
                    }
                    if peers.has_anyone_fallen_silent(tier.now_ms()) {
                        self.gap("a node has fallen silent");
                    }
                    self.tell_or_wait(&mut link).await?;
                }
                () = stopped(&mut stop) => {
                    // Best effort: whoever does not hear it notices the silence.
                    self.tell_all(&mut link).await.ok();
                    self.say(&mut link, Place::Last(self.said), Vec::new()).await.ok();
                    return Ok(());
                }
            }
        }
    }

    /// Nobody asks meanwhile. Does the connection answer as it should, soon enough?
    async fn mend(&mut self, link: &mut Link) -> Result<(), LinkError> {
        match self.tier.gate.phase() {
            Phase::Open => return Ok(()),
            Phase::Closed => return Err(LinkError::Broken),
            Phase::Slow => {}
        }
        self.tier.metrics.redis_breaker_opens.inc();
        let mut probe = redis::cmd("EXISTS");
        probe.arg(self.tier.gate.failed_key());
        let over = Instant::now() + SLOW;
        while self.tier.gate.phase() == Phase::Slow && Instant::now() < over {
            if let Ok(Ok(_)) = timeout(SLOW_PAUSE, probe.query_async::<Value>(&mut link.wire)).await {
                self.tell_all(link).await?;
                self.tier.gate.reopen();
                return Ok(());
            }
            sleep(SLOW_PAUSE).await;
        }
        Err(LinkError::Timeout(SLOW))
    }

    /// Tells all that waits. What Redis refuses stays, and is tried again at the next heartbeat.
    async fn tell_or_wait(&mut self, link: &mut Link) -> Result<(), LinkError> {
        match self.tell_all(link).await {
            Err(LinkError::Redis(error)) if judge(&error) == Verdict::Refused => {
                tracing::warn!("redis does not take an invalidation, what it holds of it is not used: {error}");
                Ok(())
            }
            told => told.map(|_| ()),
        }
    }

    /// Tells all that waits, and says how much that was.
    async fn tell_all(&mut self, link: &mut Link) -> Result<usize, LinkError> {
        let mut count = 0;
        loop {
            let batch = self.tier.outbox().first(CHANGES_MAX);
            if batch.is_empty() {
                return Ok(count);
            }
            let epochs = self.invalidate(link, &batch).await?;
            let changes = batch.iter().zip(epochs).map(|((_, change), epoch)| Told { change: change.clone(), epoch });
            self.said += 1;
            // If this fails others see a gap in the numbers, and the batch is told again.
            self.say(link, Place::Number(self.said), changes.collect()).await?;
            count += batch.len();
            self.tier.settle(batch);
        }
    }

    /// Makes a batch invalid in Redis. Answers the new epoch of each, 0 where there is none.
    async fn invalidate(&self, link: &mut Link, batch: &[(u64, Change)]) -> Result<Vec<u64>, LinkError> {
        let tier = &self.tier;
        let mut epochs = vec![0; batch.len()];
        // Keys of one home are in one slot. Sorted, they stand together.
        let mut keys: Vec<(&str, bool, String)> = Vec::with_capacity(batch.len());
        for (at, (_, change)) in batch.iter().enumerate() {
            match change {
                Change::Key { home, strategy, id } => {
                    keys.push((home, true, tier.names.value(home, &tier.strategies.get(*strategy).name, id)));
                }
                Change::Tag { home, tag } => keys.push((home, false, tier.names.generation(home, tag))),
                Change::Strategy(strategy) => epochs[at] = self.raise(link, Some(*strategy)).await?,
                Change::All => epochs[at] = self.raise(link, None).await?,
            }
        }
        keys.sort_unstable();
        for home in keys.chunk_by(|a, b| a.0 == b.0) {
            for some in home.chunks(KEYS_MAX) {
                let of_kind = |is_value: bool| -> Vec<String> {
                    some.iter().filter(|key| key.1 == is_value).map(|key| key.2.clone()).collect()
                };
                let cmd = commands::invalidate(&of_kind(true), &of_kind(false));
                self.route.ask::<Value>(&mut link.wire, &cmd).await?;
            }
        }
        Ok(epochs)
    }

    async fn raise(
        &self,
        link: &mut Link,
        strategy: Option<arxosrt_core::cache::StrategyId>,
    ) -> Result<u64, LinkError> {
        let epochs = &self.tier.epochs;
        let Some(field) = epochs.field(strategy) else { return Ok(0) };
        let cmd = commands::epochs(&self.tier.names.epochs(), std::iter::once((field, epochs.number(strategy), true)));
        let reply = self.route.ask(&mut link.wire, &cmd).await?;
        match commands::epochs_reply(reply).as_deref() {
            Some([epoch]) => {
                epochs.meet(strategy, *epoch);
                Ok(*epoch)
            }
            _ => Err(LinkError::Answer("the script of epochs")),
        }
    }

    /// Was there anything new for us?
    async fn agree_on_epochs(&self, link: &mut Link) -> Result<bool, LinkError> {
        let epochs = &self.tier.epochs;
        let fields = epochs.fields().map(|(field, known)| (field, known, false));
        let reply = self.route.ask(&mut link.wire, &commands::epochs(&self.tier.names.epochs(), fields)).await?;
        let numbers = commands::epochs_reply(reply).ok_or(LinkError::Answer("the script of epochs"))?;
        Ok(epochs.meet_all(&numbers))
    }

    async fn say(&self, link: &mut Link, place: Place, changes: Vec<Told>) -> Result<(), LinkError> {
        let message = Message { node: self.tier.node, place, changes };
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(self.tier.names.channel()).arg(message.encode(&self.tier.strategies));
        self.route.ask::<Value>(&mut link.bus, &publish).await?;
        Ok(())
    }

    fn hear_waiting(&self, link: &mut Link, peers: &mut Peers) -> Result<(), LinkError> {
        while let Ok(push) = link.pushes.queue.try_recv() {
            self.hear(push, peers)?;
        }
        Ok(())
    }

    /// Takes in what the bus says. Answers whether it was our own voice.
    fn hear(&self, push: PushInfo, peers: &mut Peers) -> Result<bool, LinkError> {
        match push.kind {
            PushKind::Message => {}
            PushKind::Disconnection => return Err(LinkError::Broken),
            _ => return Ok(false),
        }
        let Some(Value::BulkString(bytes)) = push.data.last() else { return Ok(false) };
        let Some(message) = Message::decode(bytes, &self.tier.strategies) else {
            // It may be from a later version; what it says shows in the numbers that follow.
            self.tier.metrics.redis_bus_unread.inc();
            return Ok(false);
        };
        if message.node == self.tier.node {
            return Ok(true);
        }
        match peers.hear(message.node, message.place, self.tier.now_ms()) {
            Heard::InOrder => {}
            Heard::Again => return Ok(false),
            Heard::Gap => self.gap("messages of another node are missing"),
        }
        for told in message.changes {
            match told.change {
                Change::Strategy(strategy) => self.tier.epochs.meet(Some(strategy), told.epoch),
                Change::All => self.tier.epochs.meet(None, told.epoch),
                Change::Key { .. } | Change::Tag { .. } => {}
            }
            (self.incoming)(Incoming::Invalidated(told.change));
        }
        Ok(false)
    }

    fn gap(&self, why: &str) {
        tracing::debug!("the cache takes nothing for valid that it holds: {why}");
        self.tier.metrics.redis_bus_gaps.inc();
        (self.incoming)(Incoming::Gap);
    }
}

/// However the keeper ends: without one nothing is heard, so nothing may be read.
struct ClosesGate(Arc<Tier>);

impl Drop for ClosesGate {
    fn drop(&mut self) {
        self.0.gate.close(wall());
        self.0.metrics.redis_up.set(0);
    }
}

/// Waits until it is to end, or nobody is left who could say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    stop.wait_for(|stop| *stop).await.ok();
}

/// From half of `pause` to all of it.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness the pauses are whole ones, which is all that is lost.
    let share = getrandom::fill(&mut random).map_or(u32::MAX, |()| u32::from_le_bytes(random));
    pause / 2 + (pause / 2).mul_f64(f64::from(share) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_never_longer_than_said_and_never_shorter_than_half() {
        for _ in 0..100 {
            let pause = jittered(PAUSE_MAX);
            assert!((PAUSE_MAX / 2..=PAUSE_MAX).contains(&pause), "{pause:?}");
        }
    }
}
