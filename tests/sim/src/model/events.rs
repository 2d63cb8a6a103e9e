//! May that have happened? Judges the events of a decision, one by one.

use arxosrt_core::building::LockSettings;
use arxosrt_core::building::command::{Command, Facts, Target};
use arxosrt_core::building::event::{Event, GrantCause, LockGranted, LockReleased, ReleaseReason, Seen};
use arxosrt_core::building::notice::{Addressee, Notice, Notify, WaitEnd};

use super::{Complaint, Held, Model, distinct, ensure, same};
use crate::overlap::overlap;

impl Model {
    /// Waits that ended without a lock, before anything else is judged by who waits.
    pub(super) fn waits_that_ended(
        &mut self,
        facts: &Facts,
        command: &Command,
        notices: &[Notify],
    ) -> Result<(), Complaint> {
        for Notify { to, notice } in notices {
            let Notice::WaitEnded { ticket, why, .. } = notice else {
                continue;
            };
            let at = self.waiting.iter().position(|waiting| waiting.ticket == *ticket);
            let waiting = self.waiting.remove(at.ok_or_else(|| format!("{ticket} ended and did not wait"))?);
            let own = matches!(to, Addressee::Session(to) if *to == waiting.actor.session);
            ensure!(own, "{ticket} ended and another one was told");
            let may = match why {
                WaitEnd::TimedOut => matches!(command, Command::Tick) && facts.now >= waiting.until,
                WaitEnd::Cancelled => match command {
                    Command::CancelWait { ticket: asked, .. } => asked == ticket,
                    // A lock that changes hands can make a wait hopeless.
                    Command::RespondLockRequest { .. } | Command::TakeOver { .. } | Command::Tick => true,
                    _ => false,
                },
            };
            ensure!(may, "{ticket} should not have ended: {why:?}");
        }
        if let Command::SessionEnded { session } | Command::Kicked { session, .. } = command {
            self.waiting.retain(|waiting| waiting.actor.session != *session);
        }
        Ok(())
    }

    pub(super) fn judge_order(&mut self, event: &Event) -> Result<(), Complaint> {
        let all = match event {
            Event::Broadcast(_) => 1,
            Event::LockGranted(granted) => messages(&granted.targets),
            Event::LockReleased(released) => messages(&released.targets),
            _ => return Err(format!("nobody edits here: {event:?}")),
        };
        for Seen { target, room, seq } in event.sightings() {
            let told = self.told.entry(room.clone()).or_default();
            told.push((event.clone(), target));
            ensure!(seq == told.len() as u64, "{room}: number {seq} is told as message {}", told.len());
        }
        ensure!(event.sightings().count() == all, "not {all} messages: {event:?}");
        Ok(())
    }

    /// Judges why a lock is released; gives it when it must go to somebody at once.
    pub(super) fn judge_release(
        &mut self,
        facts: &Facts,
        locks: &LockSettings,
        command: &Command,
        released: &LockReleased,
    ) -> Result<Option<Held>, Complaint> {
        let at = self.held.iter().position(|held| held.token == released.token);
        let at = at.ok_or_else(|| format!("L10: {:?} is released and was not held", released.token))?;
        let held = self.held[at].clone();
        ensure!(held.session == released.session, "{released:?} names another holder");
        let may = match (released.reason, command) {
            (ReleaseReason::Released, Command::Release { actor, lock }) => {
                lock.0 == held.token && held.belongs_to(actor)
            }
            (ReleaseReason::Forced, Command::ForceRelease { lock, expected, .. }) => {
                lock.0 == held.token && *expected == held.token && released.forced.is_some()
            }
            (ReleaseReason::SessionEnded, Command::SessionEnded { session }) => *session == held.session,
            (ReleaseReason::Kicked, Command::Kicked { session, .. }) => {
                *session == held.session && released.forced.is_some()
            }
            (ReleaseReason::Expired, Command::Tick) => facts.now >= held.until && held.until < held.cap,
            (ReleaseReason::MaxHold, Command::Tick) => facts.now >= held.cap && held.cap <= held.until,
            (ReleaseReason::TakenOver, Command::TakeOver { lock, .. }) => lock.0 == held.token,
            (ReleaseReason::HandedOver, Command::RespondLockRequest { request, .. }) => {
                self.asked.iter().any(|asked| asked.id == *request && asked.lock == held.token)
            }
            (ReleaseReason::HandedOver, Command::Tick) => {
                let first = self.asked.iter().find(|asked| asked.lock == held.token);
                first.is_some_and(|asked| facts.now >= self.deemed_at(locks, asked, &held))
            }
            _ => false,
        };
        ensure!(may, "L5/L10: {:?} should not be released: {released:?}, {held:?}", held.token);
        self.held.remove(at);
        self.stale.push(held.token);
        let moves = matches!(released.reason, ReleaseReason::HandedOver | ReleaseReason::TakenOver);
        Ok(moves.then_some(held))
    }

    pub(super) fn judge_grant(
        &mut self,
        facts: &Facts,
        locks: &LockSettings,
        command: &Command,
        granted: &LockGranted,
        from: Option<Held>,
    ) -> Result<(), Complaint> {
        let (mut cap, mut held_since, mut ttl_ms) = (facts.now.plus(locks.max_hold_ms), facts.wall, None);
        let targets: Vec<Target> = match (granted.cause, command, from) {
            (GrantCause::Asked, Command::Acquire { actor, lock_type, targets, ttl_ms: wish, .. }, None) => {
                ensure!(actor.session == granted.session && *lock_type == granted.lock_type, "not asked: {granted:?}");
                ttl_ms = Some(locks.ttl(*lock_type, *wish));
                distinct(targets)
            }
            (GrantCause::Queue, _, None) => {
                let mut own = self.waiting.iter().filter(|w| {
                    let names = |mut t: std::slice::Iter<'_, Target>| {
                        t.all(|target| granted.targets.iter().any(|locked| locked.resource == target.resource))
                    };
                    w.actor.session == granted.session
                        && w.lock_type == granted.lock_type
                        && names(w.targets.iter())
                        && w.targets.len() == granted.targets.len()
                });
                let waiting = own.next().ok_or_else(|| format!("nobody waited for {granted:?}"))?;
                ensure!(self.may_have(waiting), "L1/L6: it was not the turn of {}", waiting.ticket);
                ttl_ms = Some(waiting.ttl_ms);
                waiting.targets.clone()
            }
            (GrantCause::HandOver, _, Some(from)) => from.targets,
            (GrantCause::TakeOver, _, Some(from)) => {
                (cap, held_since) = (from.cap, from.held_since);
                ensure!(from.user == granted.user, "taken over from somebody else: {granted:?}");
                from.targets
            }
            _ => return Err(format!("L9: no reason for {granted:?}")),
        };
        let resources = granted.targets.iter().map(|locked| &locked.resource);
        ensure!(resources.eq(targets.iter().map(|target| &target.resource)), "L7: not all, or more: {granted:?}");
        let new = Held {
            token: granted.token,
            lock_type: granted.lock_type,
            targets,
            session: granted.session.clone(),
            user: granted.user.clone(),
            granted_ttl_ms: granted.ttl_ms,
            ttl_ms: granted.ttl_ms,
            until: facts.now.plus(granted.ttl_ms),
            cap,
            active: facts.now,
            held_since,
        };
        ensure!(ttl_ms.is_none_or(|ttl_ms| ttl_ms == granted.ttl_ms), "another lease than asked for: {granted:?}");
        ensure!(granted.held_since == held_since, "held since {held_since:?}: {granted:?}");
        let rival = self.held.iter().find(|h| h.session != new.session && overlap(h.what(), new.what()));
        ensure!(rival.is_none(), "L1: {granted:?} is held by {rival:?}");
        self.waiting.retain(|w| !(w.actor.session == new.session && same(w.what(), new.what())));
        self.held.push(new);
        self.held.sort_by_key(|held| held.token);
        Ok(())
    }
}

/// How many messages a lock event on these targets is.
fn messages(targets: &[Target]) -> usize {
    targets.iter().map(|target| target.place.rooms().len()).sum()
}
