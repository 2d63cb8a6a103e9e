//! What operators change, and the record of it: one transaction, or neither.
//!
//! A change brings its audit record along. What of the change is durable (released locks, a notice in a room's order)
//! goes to the store in one batch with the record; what is not (closed sockets, a drain) is done when that batch is
//! committed. So there is never a change without its record nor a record of a change that did not happen, whatever the
//! store does. While the store cannot commit, operators therefore change nothing; SIGTERM still ends the daemon.
//!
//! A refused attempt is recorded too, in a batch that changes nothing. If even that cannot be committed, the daemon's
//! log has it.

use arxosrt_core::building::command::{Command, Refusal, Reply as Said};
use arxosrt_core::control::code::Code;
use arxosrt_core::id::{RoomId, SessionId, UserId};
use arxosrt_core::lock::{LockId, Token};
use arxosrt_core::wire::{code, outbound};
use serde_json::value::RawValue;

use super::answer::{send, store_failed};
use super::arena::Class;
use super::ask::{Drained, Refused, Reply};
use super::fail::Fail;
use super::locking::refusal_words;
use super::state::{End, Phase};
use super::{HostKey, Hub};
use crate::store::AuditRecord;

/// The result of a change that happened, in its record.
pub const DONE: &str = "ok";

/// What is left to do of a change when it is committed, and what is answered then.
pub(super) type Finish<T> = Box<dyn FnOnce(&mut Hub) -> T>;

impl Hub {
    /// A message to a room in an operator's name. Unlike a client's it is told when it is committed.
    pub(super) fn notice(&mut self, room: &RoomId, message: &RawValue, audit: AuditRecord, reply: Reply<u64>) {
        let placed = self.writable().and_then(|()| self.place_broadcast(room, message));
        let asked = placed.map_err(Refused::from).and_then(|host| {
            if !self.room_ids.contains_key(room) && !self.has_locks_in(host, room) {
                let message = format!("the room {:?} has no members and no locks", room.as_str());
                return Err(Refused { code: Code::RoomNotFound.name(), message });
            }
            // Held back before it is decided: told at once, it could be heard and its record lost.
            self.hold(host);
            let command = Command::Broadcast {
                room: room.clone(),
                from: None,
                message: message.get().into(),
                client_msg_id: None,
            };
            match self.run(host, &command) {
                Said::Refused(refusal) => Err(refused_by(&refusal)),
                Said::Sequenced { seq, .. } => Ok(finish(move |_| seq)),
                _ => Ok(finish(|_| 0)),
            }
        });
        self.conclude(audit, asked, reply);
    }

    /// Takes a lock from its holder, if it is still the one that the operator saw.
    pub(super) fn force_release(&mut self, lock: LockId, expected: Token, audit: AuditRecord, reply: Reply<u64>) {
        let asked = self.writable().map_err(Refused::from).and_then(|()| {
            let not_there = || Fail::new(code::LOCK_NOT_FOUND, format!("there is no lock {lock} now"));
            let host = self.lock_hosts.get(&lock.0).copied().ok_or_else(not_there).map_err(Refused::from)?;
            let (reason, by) = (audit.reason.clone(), audit.actor.clone());
            match self.run(host, &Command::ForceRelease { lock, expected, reason, by }) {
                Said::Refused(refusal) => Err(refused_by(&refusal)),
                _ => Ok(finish(|_| 1)),
            }
        });
        self.conclude(audit, asked, reply);
    }

    /// Ends a user's sessions, or one session: their locks with the record, their sockets once that is committed.
    pub(super) fn kick(
        &mut self,
        user: Option<&UserId>,
        session: Option<&SessionId>,
        audit: AuditRecord,
        reply: Reply<u64>,
    ) {
        let found = self.writable().map_err(Refused::from).and_then(|()| self.sessions_of(user, session));
        let asked = found.map(|sessions| {
            for id in &sessions {
                let (reason, by) = (audit.reason.clone(), audit.actor.clone());
                let command = Command::Kicked { session: id.clone(), reason, by };
                let hosts = self.session_ids.get(id).map(|key| self.sessions[*key as usize].hosts.clone());
                for host in hosts.unwrap_or_default() {
                    let _ = self.run(host, &command);
                }
            }
            let reason = audit.reason.clone();
            finish(move |hub| {
                sessions.iter().for_each(|session| hub.part_from(session, &reason));
                sessions.len() as u64
            })
        });
        self.conclude(audit, asked, reply);
    }

    /// Sends every client away over a window. A second time it hurries: whoever is left is closed at once.
    pub(super) fn drain_by_operator(&mut self, window_ms: u64, audit: AuditRecord, reply: Reply<Drained>) {
        let writable = self.writable().map_err(Refused::from);
        let asked = writable.map(|()| finish(move |hub| hub.start_draining(window_ms)));
        self.conclude(audit, asked, reply);
    }

    /// Puts on record what an operator does to something that is not the hub's. It is done when this is committed.
    pub(super) fn record_deed(&mut self, audit: AuditRecord, result: &'static str, reply: Reply<()>) {
        let asked = match result {
            DONE => self.writable().map_err(Refused::from).map(|()| finish(|_| ())),
            code => Err(Refused { code, message: "it was refused elsewhere".to_owned() }),
        };
        self.conclude(audit, asked, reply);
    }

    /// Puts an attempt on record, and answers when the record and what was changed with it are committed.
    pub(super) fn conclude<T: 'static>(
        &mut self,
        mut audit: AuditRecord,
        asked: Result<Finish<T>, Refused>,
        reply: Reply<T>,
    ) {
        audit.result = asked.as_ref().map_or_else(|refused| refused.code, |_| DONE).into();
        if let (false, Err(refused)) = (self.writable, &asked) {
            tracing::error!(?audit, "the store cannot commit: this attempt is on record here only");
            return send(reply, Err(refused.clone()));
        }
        self.record_audit(audit.clone());
        self.answer_committed(move |hub, committed| match (committed, asked) {
            (true, asked) => {
                hub.observe_event("audit", "audit", || {
                    let detail = format!("{} {} {}: {}", audit.actor, audit.action, audit.target, audit.result);
                    (None, None, None, Some(detail))
                });
                let answer = asked.map(|finish| finish(hub));
                send(reply, answer);
            }
            (false, asked) => {
                tracing::error!(?audit, "the store cannot commit: this attempt is on record here only");
                send(reply, asked.and_then(|_| Err(store_failed())));
            }
        });
    }

    fn has_locks_in(&self, host: HostKey, room: &RoomId) -> bool {
        let facts = Self::facts(self.now, self.wall, &self.tokens);
        !self.hosts[host as usize].building.locks_in_room(&facts, room).is_empty()
    }

    fn sessions_of(&self, user: Option<&UserId>, session: Option<&SessionId>) -> Result<Vec<SessionId>, Refused> {
        let refuse = |code: Code, message| Refused { code: code.name(), message };
        match (user, session) {
            (Some(user), _) => {
                let nobody = || refuse(Code::UserNotFound, format!("the user {user:?} has no session"));
                let key = self.user_ids.get(user).ok_or_else(nobody)?;
                let sessions = &self.users[*key as usize].sessions;
                Ok(sessions.iter().map(|s| self.sessions[*s as usize].id.clone()).collect())
            }
            (None, Some(session)) if self.session_ids.contains_key(session) => Ok(vec![session.clone()]),
            (None, Some(session)) => {
                Err(refuse(Code::SessionNotFound, format!("there is no session {:?}", session.as_str())))
            }
            (None, None) => Err(refuse(Code::BadRequest, "a user or a session is required".to_owned())),
        }
    }

    /// Tells the client of a session why it has to go, and ends both.
    fn part_from(&mut self, session: &SessionId, reason: &str) {
        let Some(&key) = self.session_ids.get(session) else { return };
        match self.sessions[key as usize].conn {
            Some(slot) if self.conns[slot as usize].phase == Phase::Open => {
                let at = self.wall;
                self.tell_conn(slot, Class::Control, None, |out| outbound::closing(out, at, code::KICKED, reason));
                self.close(slot, code::KICKED, End::Clean);
            }
            _ => self.end_session(key),
        }
    }
}

pub(super) fn finish<T>(what: impl FnOnce(&mut Hub) -> T + 'static) -> Finish<T> {
    Box::new(what)
}

pub(super) fn refused_by(refusal: &Refusal) -> Refused {
    let (code, detail) = refusal_words(refusal);
    Refused { code: code.name, message: detail }
}
