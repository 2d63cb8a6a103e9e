//! Who has which message of one room. Messages of a room arrive in order, so counting them tells which one it is.

use std::ops::Range;
use std::time::Instant;

use super::us;
use crate::dialect::{Dialect, Heard};
use crate::figures::{Figures, Metric};
use crate::histogram::Histogram;
use crate::swarm::{Happening, Id, Swarm};

/// More messages under way than any load has.
pub const UNDER_WAY_MAX: usize = 1024;

pub struct Flight {
    /// Who is waited for. Others may hear the messages too.
    readers: Range<Id>,
    heard: Vec<usize>,
    departed: Vec<Instant>,
    still_missing: Vec<usize>,
    sent: usize,
    arrived: usize,
    pub deliveries: u64,
    latency: Histogram,
    /// Why a reader was lost, if one was.
    pub ended: Option<&'static str>,
}

impl Flight {
    pub fn new(readers: Range<Id>) -> Self {
        Self {
            heard: vec![0; readers.end],
            readers,
            departed: vec![Instant::now(); UNDER_WAY_MAX],
            still_missing: vec![0; UNDER_WAY_MAX],
            sent: 0,
            arrived: 0,
            deliveries: 0,
            latency: Histogram::new(),
            ended: None,
        }
    }

    pub fn in_flight(&self) -> usize {
        self.sent - self.arrived
    }

    /// One more message was sent at `now`, or should have been.
    pub fn depart(&mut self, now: Instant) {
        debug_assert!(self.in_flight() < UNDER_WAY_MAX);
        self.departed[self.sent % UNDER_WAY_MAX] = now;
        self.still_missing[self.sent % UNDER_WAY_MAX] = self.readers.len();
        self.sent += 1;
    }

    pub fn hear(&mut self, dialect: &Dialect, id: Id, happening: Happening<'_>, now: Instant) {
        match happening {
            Happening::Message(message) if dialect.understand(message) == Heard::Broadcast => {
                self.deliveries += 1;
                if !self.readers.contains(&id) {
                    return;
                }
                let slot = self.heard[id] % UNDER_WAY_MAX;
                self.heard[id] += 1;
                self.latency.record(now.saturating_duration_since(self.departed[slot]));
                self.still_missing[slot] -= 1;
                if self.still_missing[slot] == 0 {
                    self.arrived += 1;
                }
            }
            Happening::Closed(reason) if self.readers.contains(&id) => self.ended = Some(reason),
            _ => {}
        }
    }

    pub fn start_counting(&mut self) {
        self.latency.clear();
        self.deliveries = 0;
    }

    /// Counts everything that has not arrived by `now` as having taken until then: a server that stalls must not look
    /// better than one that is slow.
    pub fn count_the_missing(&mut self, now: Instant) {
        for id in self.readers.clone() {
            for message in self.heard[id]..self.sent {
                self.latency.record(now.saturating_duration_since(self.departed[message % UNDER_WAY_MAX]));
            }
        }
    }

    pub fn p99_us(&self) -> f64 {
        us(self.latency.percentile(99.0))
    }

    pub fn describe(&self, swarm: &Swarm, figures: &mut Figures) {
        figures.set(Metric::P50Us, us(self.latency.percentile(50.0)));
        figures.set(Metric::P99Us, self.p99_us());
        figures.set(Metric::MaxUs, us(self.latency.max()));
        figures.set(Metric::DeliveriesPerRead, self.deliveries as f64 / swarm.reads as f64);
    }
}
