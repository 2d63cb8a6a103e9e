//! Everything that is due by the clock: leases and waits, graces, pings, presence windows, the drain.
//!
//! All deadlines are on the monotonic clock. A tick does a bounded amount of work and says whether more is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arxosrt_core::building::command::Command;
use arxosrt_core::id::{SessionId, UserId};
use arxosrt_core::time::Mono;
use arxosrt_core::wire::{code, outbound};

use super::arena::{Class, PING, text_frame};
use super::ask::Drained;
use super::state::{Encoding, End, Phase};
use super::{ConnKey, HostKey, Hub};

/// How often the hub looks at the clock. A lease outlives its deadline by no more than this and a turn.
pub const TICK: Duration = Duration::from_millis(20);

/// A tick that has worked for so long lets others in before it goes on.
const SLICE: Duration = Duration::from_millis(2);

/// A pause of this length between two ticks means that the process or its machine was stopped: what clients sent
/// meanwhile waits unread, their pongs too.
const STALL_MS: u64 = 1_000;

/// How often edited documents are handed to the origin, which gathers them further.
const STORE_MS: u64 = 100;

/// How often what is left over is looked for.
const SWEEP_MS: u64 = 1_000;

/// When each connection is next looked at: exactly one entry for each.
pub(super) struct Wheel {
    entries: BinaryHeap<Reverse<(Mono, ConnKey)>>,
    next_sweep: Mono,
    next_store: Mono,
    /// When the last tick was, by the time that really passed.
    ticked_ms: u64,
}

impl Wheel {
    /// An empty wheel.
    pub fn new(now: Mono) -> Self {
        Wheel { entries: BinaryHeap::new(), next_sweep: now.plus(SWEEP_MS), next_store: now, ticked_ms: 0 }
    }

    /// Has the connection looked at then.
    pub fn enter(&mut self, key: ConnKey, at: Mono) {
        self.entries.push(Reverse((at, key)));
    }

    fn due(&mut self, now: Mono) -> Option<ConnKey> {
        let Reverse((at, key)) = *self.entries.peek()?;
        (at <= now).then(|| {
            self.entries.pop();
            key
        })
    }
}

/// A drain that is under way.
pub(super) struct Drain {
    /// Who is closed when, the last one first.
    closes: Vec<(Mono, ConnKey)>,
}

impl Hub {
    /// Does what is due. False if more is.
    pub fn tick(&mut self) -> bool {
        self.tick_clock();
        let began = Instant::now();
        let now = self.now;
        let over = || began.elapsed() > SLICE;
        self.forgive_a_stall();
        while self.writable
            && let Some(&(due, host)) = self.calendar.first()
            && due <= now
        {
            let _ = self.run(host, &Command::Tick);
            if over() {
                return false;
            }
        }
        // Whoever was sent away by a drain comes back to the next run, which gives everybody the whole grace.
        while self.writable
            && self.drain.is_none()
            && let Some(&(ends, session)) = self.graces.first()
            && ends <= now
        {
            self.end_session(session);
            if over() {
                return false;
            }
        }
        while let Some(&(due, room)) = self.diffs.first()
            && due <= now
        {
            self.diffs.remove(&(due, room));
            self.tell_diff(room);
        }
        while let Some(key) = self.wheel.due(now) {
            self.look_at(key);
        }
        self.go_on_draining();
        if self.wheel.next_store <= now {
            self.wheel.next_store = now.plus(STORE_MS);
            self.store_documents();
        }
        if self.wheel.next_sweep <= now {
            self.wheel.next_sweep = now.plus(SWEEP_MS);
            self.sweep();
        }
        true
    }

    /// After a stall everybody who was pinged gets the whole time for a pong again: it may have been here for long.
    fn forgive_a_stall(&mut self) {
        let passed_ms = self.clock.passed_ms();
        let stalled_ms = passed_ms.saturating_sub(std::mem::replace(&mut self.wheel.ticked_ms, passed_ms));
        // The first tick comes after a start that may have taken long.
        if stalled_ms < STALL_MS || self.conns.is_empty() {
            return;
        }
        self.metrics.stalls.inc();
        tracing::warn!(stalled_ms, "the daemon stood still; clients get another chance to answer");
        let now = self.now;
        for (_, conn) in &mut self.conns {
            conn.pinged = conn.pinged.map(|_| now);
        }
    }

    /// Adopts, pings or parts from one connection.
    fn look_at(&mut self, key: ConnKey) {
        let (now, ping_ms, pong_ms) = (self.now, self.settings.ping_ms, self.settings.pong_ms);
        let Some(conn) = self.conn(key) else { return };
        if conn.phase == Phase::Closing {
            return;
        }
        if !conn.hello && !conn.spoke {
            self.adopt(key.slot);
            self.tell_open_conflicts(key.slot);
        }
        let Some(conn) = self.conn(key) else { return };
        let next = match conn.pinged {
            Some(pinged) if now.since(pinged) >= pong_ms => {
                self.close(key.slot, code::NO_PONG, End::Lost);
                return;
            }
            Some(pinged) => pinged.plus(pong_ms),
            None if now.since(conn.heard) >= ping_ms => {
                if conn.encoding == Encoding::WebSocket {
                    conn.pinged = Some(now);
                    let span = self.arena.framed(Class::Control, None, &PING);
                    self.push(key.slot, span);
                    now.plus(pong_ms)
                } else {
                    conn.heard = now;
                    let span = self.arena.encoded(Class::Control, None, |out| text_frame(out, |_| {}));
                    self.push(key.slot, span);
                    now.plus(ping_ms)
                }
            }
            None => conn.heard.plus(ping_ms),
        };
        self.wheel.enter(key, next);
    }

    /// Forgets buildings that nobody needs, and corrects the gauges.
    fn sweep(&mut self) {
        self.try_again();
        self.judge_forecasts();
        let (now, idle_ms) = (self.now, self.settings.building_idle_ms);
        if now >= self.reclaim_until {
            self.ended = Default::default();
        }
        let idle: Vec<HostKey> = self
            .hosts
            .iter()
            .filter(|(_, h)| {
                h.rooms == 0
                    && h.unsettled == 0
                    && h.building.lock_count() == 0
                    && h.building.waiter_count() == 0
                    && h.building.open_conflict_count() == 0
                    && h.building.unstored_count() == 0
                    && now.since(h.used) >= idle_ms
            })
            .map(|(key, _)| key as HostKey)
            .filter(|key| !self.open_or_inflight(*key) && !self.broken_hosts.contains(key))
            .collect();
        if idle.is_empty() {
            return;
        }
        for (_, session) in &mut self.sessions {
            session.hosts.retain(|host| !idle.contains(host));
        }
        for key in idle {
            let host = self.hosts.remove(key as usize);
            self.host_ids.remove(&host.id);
            self.conflicts.forget(key);
            self.edited.remove(&key);
            if let Some(due) = host.due {
                self.calendar.remove(&(due, key));
            }
            if host.building.position() > 0 {
                self.asleep.insert(host.id);
            }
        }
    }

    /// The owner of a restored lock, who may come back.
    pub(super) fn await_owner(
        &mut self,
        host: HostKey,
        session: SessionId,
        user: &UserId,
        username: &Arc<str>,
        legacy: bool,
        grace_ms: u64,
    ) {
        let key = match self.session_ids.get(&session) {
            Some(&key) => key,
            None => {
                let user = match self.user_ids.get(user) {
                    Some(&user) => user,
                    None => self.new_user(user, username.clone()),
                };
                let key = self.new_session(user, session);
                self.sessions[key as usize].hello = !legacy;
                self.suspend(key, grace_ms);
                key
            }
        };
        let hosts = &mut self.sessions[key as usize].hosts;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }

    /// Stops admitting, tells every client when to come back, and begins to close over the window. A second time it
    /// hurries: whoever is left is closed at once.
    pub fn start_draining(&mut self, window_ms: u64) -> Drained {
        if self.drain.is_some() {
            // A second request hurries.
            if let Some(drain) = &mut self.drain {
                drain.closes.iter_mut().for_each(|(at, _)| *at = self.now);
            }
            let clients = self.conns.len() as u64;
            tracing::info!(clients, "a drain is under way already: whoever is left is closed now");
            self.go_on_draining();
            return Drained { clients, window_ms: 0 };
        }
        tracing::info!(window_ms, "draining");
        let open: Vec<(usize, u32)> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.phase == Phase::Open)
            .map(|(slot, conn)| (slot, conn.serial))
            .collect();
        let mut closes = Vec::with_capacity(open.len());
        for (slot, serial) in &open {
            let spread = random_below(window_ms);
            let reconnect_after_ms = random_below(window_ms.max(1)).max(1);
            let at = self.wall;
            self.tell_conn(*slot as u32, Class::Control, None, |out| {
                outbound::server_draining(out, at, reconnect_after_ms);
            });
            closes.push((self.now.plus(spread), ConnKey { slot: *slot as u32, serial: *serial }));
        }
        closes.sort_unstable_by(|a, b| b.cmp(a));
        self.drain = Some(Drain { closes });
        self.metrics.draining.set(1);
        self.set_ready();
        self.observe("daemon", "daemon.draining", None, None, |_| (None, None));
        Drained { clients: open.len() as u64, window_ms }
    }

    fn go_on_draining(&mut self) {
        let now = self.now;
        while let Some(drain) = &mut self.drain
            && let Some((at, key)) = drain.closes.last().copied()
            && at <= now
        {
            drain.closes.pop();
            if self.conn(key).is_some() {
                self.close(key.slot, code::RESTART, End::Lost);
            }
        }
    }

    /// Nothing waits for the store.
    pub fn settled(&self) -> bool {
        self.inflight.is_empty() && self.nothing_open()
    }

    /// Gives the tail back for its orderly end, with the number of the last batch that is committed.
    pub fn close_tail(&mut self) -> Result<(), crate::store::TailError> {
        let committed = match self.inflight.front() {
            Some(front) => front.number() - 1,
            None if self.told.is_empty() => self.batch_number,
            // What was told waits for a store that never came back: its only copy is the tail's.
            None => 0,
        };
        std::mem::replace(&mut self.tail, crate::store::Tail::nowhere()).close(committed)
    }
}

/// A number from 0 up to but not including `below`; 0 if that is 0. For spreading, not for secrets.
fn random_below(below: u64) -> u64 {
    if below == 0 {
        return 0;
    }
    let mut bytes = [0u8; 8];
    // Without randomness everybody comes back at once, which is worse than it should be but not wrong.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes) % below
}
