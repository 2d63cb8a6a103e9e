//! Is a command answered as it must be?

use arxosrt_core::building::LockSettings;
use arxosrt_core::building::command::{Actor, Command, Facts, HolderAnswer, LockView, Refusal, Reply, Target};
use arxosrt_core::lock::{LockId, LockType, Token};

use super::{Asked, Complaint, Held, Model, Waiting, distinct, ensure, same};

impl Model {
    /// What a command must be answered.
    pub(super) fn judge_reply(
        &self,
        facts: &Facts,
        locks: &LockSettings,
        command: &Command,
        reply: &Reply,
    ) -> Result<(), Complaint> {
        if matches!(reply, Reply::Refused(Refusal::Limit { .. })) {
            return Ok(());
        }
        let refused = |refusal: Refusal| *reply == Reply::Refused(refusal);
        let holder_check = |actor: &Actor, lock: &LockId| match self.find(lock.0) {
            None => Some(Refusal::LockNotFound),
            Some(held) if !held.belongs_to(actor) => Some(Refusal::NotHolder),
            Some(_) => None,
        };
        let fits = match command {
            Command::Acquire { actor, lock_type, targets, wait_ms, .. } => {
                return self.judge_acquire(facts, actor, *lock_type, &distinct(targets), *wait_ms, reply);
            }
            Command::Release { actor, lock } => match holder_check(actor, lock) {
                Some(refusal) => refused(refusal),
                None => *reply == Reply::Released { lock: *lock },
            },
            Command::Renew { actor, lock, .. } => match holder_check(actor, lock) {
                Some(refusal) => refused(refusal),
                None => matches!(reply, Reply::Renewed { lock: view } if view.id == *lock),
            },
            Command::ForceRelease { lock, expected, .. } => match self.find(lock.0) {
                None => refused(Refusal::LockNotFound),
                Some(held) if held.token != *expected => refused(Refusal::TokenChanged { current: held.token }),
                Some(_) => *reply == Reply::Released { lock: *lock },
            },
            Command::TakeOver { actor, lock } => match self.find(lock.0) {
                None => refused(Refusal::LockNotFound),
                Some(held) if held.user != actor.user => refused(Refusal::NotSameUser),
                Some(held) if held.session == actor.session => {
                    matches!(reply, Reply::Renewed { .. })
                }
                Some(held) if self.can_move(held, &actor.session) => {
                    matches!(reply, Reply::Granted { renewed: false, .. })
                }
                Some(_) => matches!(reply, Reply::Held { blocked_by } if !blocked_by.is_empty()),
            },
            Command::CancelWait { actor, ticket } => {
                let own = |w: &&Waiting| w.actor.session == actor.session || actor.legacy && w.actor.user == actor.user;
                match self.waiting.iter().filter(own).any(|waiting| waiting.ticket == *ticket) {
                    true => *reply == Reply::Done,
                    false => refused(Refusal::WaitNotFound),
                }
            }
            Command::RequestLock { actor, lock, .. } => {
                let open = self.asked.iter().find(|a| a.lock == lock.0 && a.actor.session == actor.session);
                match (self.find(lock.0), open) {
                    (None, _) => refused(Refusal::LockNotFound),
                    (Some(held), _) if held.session == actor.session => refused(Refusal::OwnLock),
                    (_, Some(open)) => refused(Refusal::AlreadyRequested { request: open.id }),
                    _ => matches!(reply, Reply::Requested { .. }),
                }
            }
            Command::RespondLockRequest { actor, request, decision, .. } => {
                let asked = self.asked.iter().find(|asked| asked.id == *request);
                let held = asked.and_then(|asked| self.find(asked.lock)).filter(|held| held.belongs_to(actor));
                match (asked, held, decision) {
                    (Some(asked), Some(held), HolderAnswer::Grant) => match self.can_move(held, &asked.actor.session) {
                        true => *reply == Reply::Released { lock: LockId(held.token) },
                        false => {
                            matches!(reply, Reply::Held { blocked_by } if !blocked_by.is_empty())
                        }
                    },
                    (Some(_), Some(_), _) => *reply == Reply::Done,
                    _ => refused(Refusal::RequestNotFound),
                }
            }
            Command::RetractLockRequest { actor, request } => {
                let own = |a: &&Asked| a.actor.session == actor.session || actor.legacy && a.actor.user == actor.user;
                match self.asked.iter().filter(own).any(|asked| asked.id == *request) {
                    true => *reply == Reply::Done,
                    false => refused(Refusal::RequestNotFound),
                }
            }
            Command::Broadcast { room, from, client_msg_id, .. } => {
                let next = self.told.get(room).map_or(0, Vec::len) as u64 + 1;
                let name = from.as_ref().zip(client_msg_id.as_ref()).map(|(a, name)| (a.session.clone(), name.clone()));
                match name.and_then(|name| self.names.get(&name)) {
                    // Told lately, and no clock has jumped since: it must be known.
                    Some((seq, at, jumps)) if facts.now.since(*at) < 60_000 && *jumps == self.wall_jumps => {
                        *reply == Reply::Sequenced { seq: *seq, duplicate: true }
                    }
                    Some((seq, ..)) => {
                        *reply == Reply::Sequenced { seq: *seq, duplicate: true }
                            || *reply == Reply::Sequenced { seq: next, duplicate: false }
                    }
                    None => *reply == Reply::Sequenced { seq: next, duplicate: false },
                }
            }
            Command::Activity { .. }
            | Command::SessionSuspended { .. }
            | Command::SessionResumed { .. }
            | Command::SessionEnded { .. }
            | Command::Kicked { .. }
            | Command::Tick => *reply == Reply::Done,
            _ => return Err(format!("nobody edits here: {command:?}")),
        };
        let _ = locks;
        ensure!(fits, "the wrong answer: {reply:?}");
        Ok(())
    }

    pub(super) fn judge_acquire(
        &self,
        facts: &Facts,
        actor: &Actor,
        lock_type: LockType,
        targets: &[Target],
        wait_ms: u64,
        reply: &Reply,
    ) -> Result<(), Complaint> {
        let what = (lock_type, targets);
        let mine: Vec<Token> = {
            let same = |held: &&Held| held.belongs_to(actor) && same(held.what(), what);
            self.held.iter().filter(same).map(|held| held.token).collect()
        };
        if !mine.is_empty() {
            let fits = matches!(reply, Reply::Granted { lock, renewed: true } if mine.contains(&lock.token));
            ensure!(fits, "it has {mine:?} already: {reply:?}");
            return Ok(());
        }
        let new = self.wait_of(facts, actor, lock_type, targets);
        let holders: Vec<Token> =
            self.held.iter().filter(|held| self.waits_for(&new, held)).map(|held| held.token).collect();
        let ahead = self.waiting.iter().filter(|other| other.before(&new)).count();
        if holders.is_empty() && ahead == 0 {
            ensure!(matches!(reply, Reply::Granted { renewed: false, .. }), "nothing is in the way: {reply:?}");
            return Ok(());
        }
        let names_them = |blocked_by: &[LockView]| blocked_by.iter().map(|lock| lock.token).eq(holders.iter().copied());
        match reply {
            Reply::Held { blocked_by } => {
                ensure!(wait_ms == 0, "it would have waited: {reply:?}");
                ensure!(names_them(blocked_by), "L1: in the way are {holders:?}: {reply:?}");
            }
            Reply::Queued { ticket, position, blocked_by } => {
                ensure!(wait_ms > 0, "it would not have waited: {reply:?}");
                ensure!(names_them(blocked_by), "L1: in the way are {holders:?}: {reply:?}");
                let twin = self.waiting.iter().find(|w| w.actor.session == actor.session && same(w.what(), what));
                if let Some(twin) = twin {
                    ensure!(*ticket == twin.ticket, "it waits already as {}: {reply:?}", twin.ticket);
                    let ahead = self.waiting.iter().filter(|other| other.before(twin)).count();
                    ensure!(*position as usize == ahead + 1, "{ahead} are ahead: {reply:?}");
                    return Ok(());
                }
                ensure!(*position as usize == ahead + 1, "{ahead} are ahead: {reply:?}");
                ensure!(!self.closes_a_circle(new), "L8: this wait closes a circle: {reply:?}");
            }
            Reply::Refused(Refusal::Deadlock { cycle }) => {
                ensure!(wait_ms > 0 && self.closes_a_circle(new), "there is no circle: {reply:?}");
                ensure!(cycle.len() >= 2 && cycle[0] == actor.user, "not a circle of the asker's: {reply:?}");
            }
            _ => {
                return Err(format!("L1/L6: held by {holders:?}, {ahead} ahead: {reply:?}"));
            }
        }
        Ok(())
    }

    pub(super) fn closes_a_circle(&self, new: Waiting) -> bool {
        let mut then = self.clone();
        let session = new.actor.session.clone();
        then.waiting.push(new);
        then.waits_for_itself(&session)
    }
}
