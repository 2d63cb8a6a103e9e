//! Is everybody told what they must be told, and nothing that is not so?

use arxosrt_core::building::command::{Command, Facts, HolderAnswer, Reply};
use arxosrt_core::building::notice::{Addressee, Notice, Notify, RequestEnd};
use arxosrt_core::building::{Decision, LockSettings};
use arxosrt_core::id::SessionId;
use arxosrt_core::lock::{LockType, RequestId};

use super::{Asked, Complaint, Held, Model, ensure};

impl Model {
    pub(super) fn judge_notices(
        &mut self,
        facts: &Facts,
        locks: &LockSettings,
        command: &Command,
        decision: &Decision,
        before: &[Held],
    ) -> Result<(), Complaint> {
        if let Command::SessionEnded { session } | Command::Kicked { session, .. } = command {
            self.asked.retain(|asked| asked.actor.session != *session);
        }
        if let Command::RetractLockRequest { request, .. } = command
            && decision.reply == Reply::Done
        {
            self.asked.retain(|asked| asked.id != *request);
        }
        for Notify { to, notice } in &decision.notices {
            let Addressee::Session(to) = to else {
                return Err(format!("a person is told although nobody edits here: {notice:?}"));
            };
            match notice {
                Notice::RequestAnswered { request, lock, decision: answer, deemed, granted, .. } => {
                    let asked = self.close_request(*request, to)?;
                    ensure!(asked.lock == lock.0, "{request} was about another lock");
                    ensure!(
                        granted.is_some() == (*answer == HolderAnswer::Grant),
                        "granted without a lock: {notice:?}"
                    );
                    ensure!(*deemed == matches!(command, Command::Tick), "who answered? {notice:?}");
                    if let Some(view) = granted {
                        ensure!(self.find(view.token).is_some_and(|h| h.session == *to), "L9: {notice:?}");
                    }
                }
                Notice::RequestLapsed { request, why, .. } => {
                    let asked = self.close_request(*request, to)?;
                    let held = self.find(asked.lock);
                    let may = match why {
                        RequestEnd::LockGone => held.is_none(),
                        // The lock may have ended too, later in the same tick.
                        RequestEnd::Expired => {
                            before.iter().find(|held| held.token == asked.lock).is_some_and(|held| {
                                let deemed = facts.now >= self.deemed_at(locks, &asked, held);
                                // Deemed and lapsed all the same: what the holder has besides was in the way.
                                facts.now >= asked.until && facts.now < self.absent_since(locks, held) || deemed
                            })
                        }
                        RequestEnd::Retracted => false,
                    };
                    ensure!(may, "{request} should not have lapsed: {why:?}");
                }
                Notice::Expiring { lock, expires_in_ms, .. } => {
                    let held = before.iter().find(|held| held.token == lock.0);
                    let held = held.ok_or_else(|| format!("{lock} is gone and warned about"))?;
                    ensure!(held.end().since(facts.now) == *expires_in_ms, "the wrong time: {notice:?}");
                    ensure!(*expires_in_ms <= locks.warn_ms[0], "too early: {notice:?}");
                }
                Notice::WaitMoved { ticket, position } => {
                    // A newcomer that passes is not in the model yet.
                    let newcomer = u32::from(matches!(decision.reply, Reply::Queued { .. }));
                    let waiting = self.waiting.iter().find(|w| w.ticket == *ticket);
                    let waiting = waiting.ok_or_else(|| format!("{ticket} moved and does not wait"))?;
                    let ahead = self.waiting.iter().filter(|other| other.before(waiting)).count() as u32;
                    ensure!(*position == ahead + 1 + newcomer, "{ahead} are ahead: {notice:?}");
                }
                Notice::WaitGranted { lock, .. } => {
                    ensure!(self.find(lock.token).is_some_and(|held| held.session == *to), "L4: {notice:?}");
                }
                Notice::Lost { token, .. } => {
                    ensure!(self.find(*token).is_none(), "not lost at all: {notice:?}");
                }
                Notice::ViewBroken { lock, by, .. } => {
                    // The view may have ended later in the same tick.
                    let mut seen = before.iter().chain(&self.held).filter(|held| held.token == lock.0);
                    let view = seen.any(|held| held.lock_type == LockType::AnalyticsView);
                    ensure!(view && self.find(by.token).is_some(), "no such view, or no such lock: {notice:?}");
                }
                Notice::WaitEnded { .. }
                | Notice::Contended { .. }
                | Notice::Requested { .. }
                | Notice::RequestClosed { .. } => {}
                Notice::ConflictDetected { .. } | Notice::ConflictResolved { .. } => {
                    return Err(format!("a conflict although nobody edits here: {notice:?}"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn close_request(&mut self, id: RequestId, to: &SessionId) -> Result<Asked, Complaint> {
        let at = self.asked.iter().position(|asked| asked.id == id);
        let asked = self.asked.remove(at.ok_or_else(|| format!("{id} ends twice"))?);
        ensure!(asked.actor.session == *to, "{id} is told to somebody else");
        Ok(asked)
    }
}
