//! What is to be looked at next, and when?
//!
//! Every lease, wait and editing request has exactly one entry. An entry may be too early, never too late: a renewal
//! only moves the lease's own deadline, and the entry is armed again when it comes up. So a renewal costs nothing
//! here, and a lock that is released leaves nothing behind.

use super::ascending::Ascending;
use super::{RequestId, Ticket, Token};
use crate::time::Mono;

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Lease(Token),
    Wait(Ticket),
    Request(RequestId),
}

/// All entries, the next one first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers(Ascending<(Mono, Timer), ()>);

impl Timers {
    pub(crate) fn next(&self) -> Option<Mono> {
        self.0.first_key().map(|(at, _)| at)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, at: Mono, timer: Timer) -> bool {
        self.0.get((at, timer)).is_some()
    }

    /// What is due, in order of time.
    pub(crate) fn due(&self, now: Mono) -> impl Iterator<Item = Timer> {
        self.0.iter().map(|(key, ())| key).take_while(move |(at, _)| *at <= now).map(|(_, timer)| timer)
    }

    /// Moves an entry; `armed` is where it was and will be.
    pub(crate) fn arm(&mut self, armed: &mut Option<Mono>, at: Mono, timer: Timer) {
        if *armed == Some(at) {
            return;
        }
        self.disarm(*armed, timer);
        *armed = Some(at);
        self.0.insert((at, timer), ());
    }

    pub(crate) fn disarm(&mut self, armed: Option<Mono>, timer: Timer) {
        if let Some(at) = armed {
            self.0.remove((at, timer));
        }
    }
}
