//! When does a lock end, and when is its holder warned?
//!
//! A lease slides: a renewal moves its end, never beyond the hard cap, which counts from when the lock was first held.
//! Times are monotonic. A lease is soft state: it is not logged, and after a restart it starts anew.

use crate::building::LockSettings;
use crate::building::event::ReleaseReason;
use crate::time::Mono;

/// One lock's clockwork.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    /// The span that a renewal gives.
    pub(crate) ttl_ms: u64,
    /// The end unless renewed.
    pub(crate) until: Mono,
    /// The end whatever happens.
    pub(crate) cap: Mono,
    /// When the holder last did something on that floor.
    pub(crate) active: Mono,
    /// Which of the warnings are not to be given (any more), by bit.
    warned: u8,
    /// The lock's one entry among the timers. It may be too early: then it is armed again.
    pub(crate) armed: Option<Mono>,
}

/// What a lease wants at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseDue {
    /// It has ended.
    Ended(ReleaseReason),
    /// The holder is to be warned; `warned` replaces the bits.
    Warn { warned: u8 },
    /// Nothing yet.
    Later,
}

impl Lease {
    /// Not running: what a lock has while a log is replayed.
    pub(crate) fn unarmed(ttl_ms: u64) -> Self {
        Lease { ttl_ms, until: Mono(u64::MAX), cap: Mono(u64::MAX), active: Mono(0), warned: 0, armed: None }
    }

    /// Runs from `now` on.
    pub(crate) fn start(&mut self, now: Mono, cap: Mono, settings: &LockSettings) {
        self.cap = cap;
        self.active = now;
        self.renew(now, self.ttl_ms, settings);
    }

    pub(crate) fn renew(&mut self, now: Mono, ttl_ms: u64, settings: &LockSettings) {
        self.ttl_ms = ttl_ms;
        self.until = now.plus(ttl_ms);
        // A warning whose time has already come would only repeat what the holder has just been told.
        let left = self.end().since(now);
        self.warned = bits(settings, |before_ms| left <= before_ms);
    }

    pub(crate) fn end(&self) -> Mono {
        self.until.min(self.cap)
    }

    pub(crate) fn set_warned(&mut self, warned: u8) {
        self.warned = warned;
    }

    /// When [`Lease::due`] next says something else than later.
    pub(crate) fn next(&self, settings: &LockSettings) -> Mono {
        let end = self.end();
        let mut next = end;
        for (i, &before_ms) in settings.warn_ms.iter().enumerate() {
            if self.warned & (1 << i) == 0 {
                next = next.min(Mono(end.0.saturating_sub(before_ms)));
            }
        }
        next
    }

    pub(crate) fn due(&self, now: Mono, settings: &LockSettings) -> LeaseDue {
        let end = self.end();
        if now >= end {
            let capped = self.cap <= self.until;
            return LeaseDue::Ended(if capped { ReleaseReason::MaxHold } else { ReleaseReason::Expired });
        }
        let left = end.since(now);
        let warned = self.warned | bits(settings, |before_ms| left <= before_ms);
        if warned == self.warned { LeaseDue::Later } else { LeaseDue::Warn { warned } }
    }
}

fn bits(settings: &LockSettings, passed: impl Fn(u64) -> bool) -> u8 {
    let passed = settings.warn_ms.iter().enumerate().filter(|(_, before_ms)| passed(**before_ms));
    passed.fold(0, |bits, (i, _)| bits | 1 << i)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(ttl_ms: u64, cap: u64) -> (Lease, LockSettings) {
        let settings = LockSettings::default();
        let mut lease = Lease::unarmed(ttl_ms);
        lease.start(Mono(0), Mono(cap), &settings);
        (lease, settings)
    }

    #[test]
    fn the_holder_is_warned_twice_and_then_it_ends() {
        let (mut lease, settings) = lease(300_000, u64::MAX);
        let mut said = Vec::new();
        loop {
            let at = lease.next(&settings);
            match lease.due(at, &settings) {
                LeaseDue::Warn { warned } => {
                    said.push(at.0);
                    lease.set_warned(warned);
                }
                LeaseDue::Ended(why) => {
                    assert_eq!((at, why), (Mono(300_000), ReleaseReason::Expired));
                    break;
                }
                LeaseDue::Later => panic!("armed for nothing at {at:?}"),
            }
        }
        assert_eq!(said, [240_000, 285_000]);
    }

    #[test]
    fn a_short_lease_is_not_warned_about_at_once() {
        let (lease, settings) = lease(30_000, u64::MAX);
        assert_eq!(lease.next(&settings), Mono(15_000));
        assert_eq!(lease.due(Mono(14_999), &settings), LeaseDue::Later);
    }

    #[test]
    fn no_renewal_passes_the_cap() {
        let (mut lease, settings) = lease(300_000, 400_000);
        lease.renew(Mono(200_000), 300_000, &settings);
        assert_eq!(lease.end(), Mono(400_000));
        assert_eq!(lease.due(Mono(399_999), &settings), LeaseDue::Warn { warned: 3 });
        assert_eq!(lease.due(Mono(400_000), &settings), LeaseDue::Ended(ReleaseReason::MaxHold));
    }
}
