//! What time brings: ends of leases, warnings, ends of waits and of editing requests.
//!
//! One tick does a bounded amount of work, in order of time, so that a crowd of leases that end together never holds
//! up anybody else; what is left is due at once and comes with the next tick.

use super::Soft;
use super::command::Reply;
use super::draft::Draft;
use super::event::ReleaseReason;
use super::notice::{Notice, WaitEnd};
use crate::lock::guard::Guard;
use crate::lock::lease::LeaseDue;
use crate::lock::table::Lock;
use crate::lock::timer::Timer;
use crate::lock::{LockId, Token};

/// Taking somebody out of the queue looks at everybody in it; so many looks count as one unit of work.
const LOOKS_PER_UNIT: usize = 16;

impl<'a> Draft<'a> {
    pub(super) fn tick(&mut self) -> Reply {
        let building = self.building;
        let crowd = 1 + building.queue.len() / LOOKS_PER_UNIT;
        let mut left = building.settings.locks.tick_max.max(1);
        for timer in building.timers.due(self.now()) {
            let cost = match timer {
                Timer::Lease(token) => self.lease_due(token),
                Timer::Wait(ticket) => {
                    if let Some(waiter) = building.queue.get(ticket).filter(|_| self.outlook.waits(ticket)) {
                        self.end_wait(waiter, WaitEnd::TimedOut);
                    }
                    crowd
                }
                Timer::Request(id) => {
                    if let Some(request) = building.requests.get(id).filter(|_| self.is_open(id)) {
                        self.request_due(request);
                    }
                    crowd
                }
            };
            left = left.saturating_sub(cost);
            if left == 0 {
                break;
            }
        }
        self.decide_due_conflicts();
        self.wake();
        Reply::Done
    }

    fn lease_due(&mut self, token: Token) -> usize {
        let Some(lock) = self.outlook.lock(token) else {
            return 1;
        };
        let due = match self.holds(Guard::LeaseDeadline) {
            true => lock.lease.due(self.now(), &self.building.settings.locks),
            false => LeaseDue::Ended(ReleaseReason::Expired),
        };
        match due {
            LeaseDue::Later => self.soft.push(Soft::RearmLease(token)),
            LeaseDue::Warn { warned } => self.warn(lock, warned),
            LeaseDue::Ended(reason) => {
                self.release(lock, reason, None);
                self.tell_lost(lock, reason, None, None);
            }
        }
        1
    }

    fn warn(&mut self, lock: &Lock, warned: u8) {
        self.soft.push(Soft::Warned { token: lock.token, warned });
        let expires_in_ms = lock.lease.end().since(self.now());
        let (id, resource) = (LockId(lock.token), lock.resource().clone());
        self.tell(&lock.session, Notice::Expiring { lock: id, resource, expires_in_ms });
    }
}
