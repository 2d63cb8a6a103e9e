//! What a client says is understood, carried out and accounted for.
//!
//! A message with an `id` gets exactly one `ack` or `error` that carries it. A message that is not understood gets an
//! `error` and the connection lives; only flooding closes it.

use arxosrt_core::building::command::{Actor, Command};
use arxosrt_core::preload::signal::What;
use arxosrt_core::wire::code::{self, ErrorCode};
use arxosrt_core::wire::inbound::{self, ClientMessage, Misunderstood};
use arxosrt_core::wire::{json, outbound};

use super::arena::Class;
use super::fail::Fail;
use super::locking::ReplyTo;
use super::state::End;
use super::state::Phase;
use super::{ConnKey, Hub, SessionKey};
use crate::metrics::MessageType;

/// Who accounts for a message's `id`.
pub(super) enum Account {
    /// It is done: say so now.
    Ack,
    /// The building's answer says so, when it is released.
    Later,
}

/// A connection that is so many bursts beyond what it may send is flooding. Every message that it may send takes one
/// off: a client that sends up to twice what it may is told so for ever, one that sends more is closed in time.
const FLOODING_BURSTS: u64 = 10;

/// So many bytes of a room's history cost its reader as much as one message. History is encoded anew for each who asks:
/// at the usual limits one connection gets 3 MiB of it per second in the long run and 6 MiB at once.
const HISTORY_BYTES_PER_MESSAGE: u64 = 16 * 1024;

impl Hub {
    /// Does the hub want to hear more from this connection?
    pub fn is_open(&mut self, key: ConnKey) -> bool {
        self.conn(key).is_some_and(|conn| conn.phase == Phase::Open)
    }

    /// Bytes have arrived that are a sign of life, whatever they say.
    pub fn heard(&mut self, key: ConnKey) {
        let now = self.now;
        if let Some(conn) = self.conn(key) {
            conn.heard = now;
            conn.pinged = None;
        }
    }

    /// Frames that the WebSocket protocol itself answers with: pongs and the echo of a close.
    pub fn protocol_frames(&mut self, key: ConnKey, frames: &[u8]) {
        if self.conn(key).is_some_and(|conn| conn.phase == Phase::Open) {
            let span = self.arena.framed(Class::Control, None, frames);
            self.push(key.slot, span);
        }
    }

    /// The client broke the protocol, or sent more than a message may hold.
    pub fn protocol_error(&mut self, key: ConnKey, why: code::CloseCode) {
        if self.conn(key).is_some() {
            self.close(key.slot, why, End::Lost);
        }
    }

    /// A ping or a pong counts as a message, so that a flood of them is a flood. False if there are too many.
    pub fn on_control(&mut self, key: ConnKey) -> bool {
        self.may_speak(key)
    }

    /// A binary frame: no message of ours.
    pub fn on_binary(&mut self, key: ConnKey) {
        if self.may_speak(key) {
            self.metrics.messages_received.inc(MessageType::Malformed);
            self.tell_error(key.slot, None, code::NOT_AN_OBJECT, "a message is a text frame");
        }
    }

    /// A text frame.
    pub fn on_text(&mut self, key: ConnKey, text: &str) {
        self.messages += 1;
        if !self.may_speak(key) {
            return;
        }
        let slot = key.slot;
        let text = json::whole_characters(text);
        match inbound::parse(&text, &self.settings.message) {
            Err(Misunderstood { code, detail, id }) => {
                let kind = if code == code::UNKNOWN_TYPE { MessageType::Unknown } else { MessageType::Malformed };
                self.metrics.messages_received.inc(kind);
                self.tell_error(slot, id, code, &detail);
            }
            Ok(inbound::Inbound { id, message }) => {
                self.metrics.messages_received.inc(kind(&message));
                match self.carry_out(slot, id, message) {
                    Ok(Account::Later) => {}
                    Ok(Account::Ack) => {
                        if let Some(id) = id {
                            let at = self.wall;
                            self.tell_conn(slot, Class::Control, None, |out| outbound::ack(out, at, id, |_| {}));
                        }
                    }
                    Err(Fail { code, detail }) => self.tell_error(slot, id, code, &detail),
                }
            }
        }
    }

    /// Token bucket: `messages_per_s` in the long run, `messages_burst` at once.
    fn may_speak(&mut self, key: ConnKey) -> bool {
        let (now, rate, burst) = (self.now, self.settings.messages_per_s, self.settings.messages_burst);
        let Some(conn) = self.conn(key) else { return false };
        if conn.phase == Phase::Closing {
            return false;
        }
        let tokens_milli = conn.tokens_milli.saturating_add(now.since(conn.tokens_at).saturating_mul(rate));
        conn.tokens_milli = tokens_milli.min(burst * 1000);
        conn.tokens_at = now;
        conn.excess = conn.excess.saturating_sub((tokens_milli - conn.tokens_milli) / 1000);
        if conn.tokens_milli >= 1000 {
            conn.tokens_milli -= 1000;
            conn.excess = conn.excess.saturating_sub(1);
            conn.limited = false;
            return true;
        }
        conn.excess += 1;
        let first = !std::mem::replace(&mut conn.limited, true);
        let retry_after_ms = (1000 - conn.tokens_milli).div_ceil(rate.max(1));
        let excess = conn.excess;
        self.metrics.rate_limited.inc();
        if excess > burst * FLOODING_BURSTS {
            self.close(key.slot, code::FLOODING, End::Lost);
            return false;
        }
        // The answers must not become a flood of their own: the first refusal is told, and one of each burst.
        if first || excess.is_multiple_of(burst.max(1)) {
            let at = self.wall;
            let detail = format!("at most {rate} messages per second and {burst} at once; this one was not looked at");
            self.tell_conn(key.slot, Class::Control, None, |out| {
                outbound::error_with(out, at, None, code::RATE_LIMITED, &detail, |o| {
                    o.int("retry_after_ms", retry_after_ms);
                });
            });
        }
        false
    }

    /// Takes what this much history costs from the connection's bucket, as far as there is something in it.
    pub(super) fn charge_history(&mut self, slot: u32, bytes: usize) {
        let conn = &mut self.conns[slot as usize];
        conn.tokens_milli = conn.tokens_milli.saturating_sub(bytes as u64 * 1000 / HISTORY_BYTES_PER_MESSAGE);
    }

    pub(super) fn tell_error(&mut self, slot: u32, id: Option<&str>, code: ErrorCode, detail: &str) {
        self.metrics.refused.inc(code.name);
        let at = self.wall;
        self.tell_conn(slot, Class::Control, None, |out| outbound::error(out, at, id, code, detail));
    }

    fn carry_out(&mut self, slot: u32, id: Option<&str>, message: ClientMessage) -> Result<Account, Fail> {
        if let ClientMessage::Hello { features, resume, username } = message {
            return self.hello(slot, id, features, resume, username.as_deref()).map(|()| Account::Ack);
        }
        let conn = &mut self.conns[slot as usize];
        if !conn.spoke {
            conn.spoke = true;
            self.adopt(slot);
            self.tell_open_conflicts(slot);
        }
        let session =
            self.conns[slot as usize].session.ok_or_else(|| Fail::new(code::NOT_CONNECTED, "the session is over"))?;
        self.showed_life(session);
        let to = ReplyTo::message(self.conn_key(slot), id);
        match message {
            ClientMessage::Hello { .. } => unreachable!("carried out above"),
            ClientMessage::Heartbeat => Ok(Account::Ack),
            ClientMessage::Ping => {
                let at = self.wall;
                self.tell_conn(slot, Class::Control, None, |out| outbound::pong(out, at, id));
                Ok(Account::Ack)
            }
            ClientMessage::UpdatePresence { floor, action, cursor, metadata } => {
                self.update_presence(session, floor, action, cursor, metadata).map(|()| Account::Ack)
            }
            ClientMessage::JoinRoom { room, since } => self.join(slot, &room, since.as_ref(), id).map(|_| Account::Ack),
            ClientMessage::LeaveRoom { room } => self.leave(session, &room).map(|()| Account::Ack),
            ClientMessage::ListUsers { room, after } => {
                self.list_users(slot, session, &room, after.as_deref(), id).map(|()| Account::Ack)
            }
            ClientMessage::Broadcast { room, message, client_msg_id } => {
                self.client_broadcast(session, room, message, client_msg_id.as_deref(), to)
            }
            ClientMessage::AcquireLock { lock_type, wanted, metadata, ttl_ms, wait_ms } => {
                self.acquire(session, lock_type, &wanted, metadata, ttl_ms, wait_ms, to).map(|()| Account::Later)
            }
            ClientMessage::ReleaseLock { lock, text } => {
                self.release(session, lock, &text, to);
                Ok(Account::Later)
            }
            ClientMessage::RenewLock { lock, ttl_ms } => {
                let actor = self.actor(session);
                self.lock_command(lock, Command::Renew { actor, lock, ttl_ms }, to).map(|()| Account::Later)
            }
            ClientMessage::TakeOverLock { lock } => {
                let actor = self.actor(session);
                self.lock_command(lock, Command::TakeOver { actor, lock }, to).map(|()| Account::Later)
            }
            ClientMessage::RequestLock { lock, message, respond_ms } => {
                let actor = self.actor(session);
                let message = message.as_deref().map(Box::from);
                let command = Command::RequestLock { actor, lock, message, respond_ms };
                self.lock_command(lock, command, to).map(|()| Account::Later)
            }
            ClientMessage::CancelWait { ticket } => {
                let command = Command::CancelWait { actor: self.actor(session), ticket };
                self.session_command(session, command, code::WAIT_NOT_FOUND, to).map(|()| Account::Later)
            }
            ClientMessage::RespondLockRequest { request, answer, message } => {
                let command = Command::RespondLockRequest {
                    actor: self.actor(session),
                    request,
                    decision: answer,
                    message: message.as_deref().map(Box::from),
                };
                self.session_command(session, command, code::REQUEST_NOT_FOUND, to).map(|()| Account::Later)
            }
            ClientMessage::Edit(edit) => self.client_edit(session, *edit, to).map(|()| Account::Later),
            ClientMessage::Sync(edits) => self.client_sync(session, edits, to).map(|()| Account::Later),
            ClientMessage::ResolveConflict(resolve) => {
                self.resolve_conflict(session, &resolve, to);
                Ok(Account::Later)
            }
            ClientMessage::RestoreValue(restore) => {
                self.restore_value(session, &restore, to);
                Ok(Account::Later)
            }
            ClientMessage::ListConflicts => {
                self.list_conflicts(slot, id);
                Ok(Account::Later)
            }
            ClientMessage::PreloadHint { floor } => {
                self.signal(session, || What::Hint { floor });
                Ok(Account::Ack)
            }
            ClientMessage::RetractLockRequest { request } => {
                let command = Command::RetractLockRequest { actor: self.actor(session), request };
                self.session_command(session, command, code::REQUEST_NOT_FOUND, to).map(|()| Account::Later)
            }
        }
    }

    /// A message came: the session and its person are active.
    fn showed_life(&mut self, session: SessionKey) {
        let s = &mut self.sessions[session as usize];
        s.active = self.now;
        let user = &mut self.users[s.user as usize];
        user.active = self.now;
        user.active_at = self.wall;
    }

    /// The session as buildings know it.
    pub(super) fn actor(&self, session: SessionKey) -> Actor {
        let s = &self.sessions[session as usize];
        let user = &self.users[s.user as usize];
        Actor { session: s.id.clone(), user: user.id.clone(), username: user.username.clone(), legacy: !s.hello }
    }
}

fn kind(message: &ClientMessage) -> MessageType {
    match message {
        ClientMessage::Hello { .. } => MessageType::Hello,
        ClientMessage::JoinRoom { .. } => MessageType::JoinRoom,
        ClientMessage::LeaveRoom { .. } => MessageType::LeaveRoom,
        ClientMessage::UpdatePresence { .. } => MessageType::UpdatePresence,
        ClientMessage::Broadcast { .. } => MessageType::Broadcast,
        ClientMessage::AcquireLock { .. } => MessageType::AcquireLock,
        ClientMessage::ReleaseLock { .. } => MessageType::ReleaseLock,
        ClientMessage::RenewLock { .. } => MessageType::RenewLock,
        ClientMessage::CancelWait { .. } => MessageType::CancelWait,
        ClientMessage::RequestLock { .. } => MessageType::RequestLock,
        ClientMessage::RespondLockRequest { .. } => MessageType::RespondLockRequest,
        ClientMessage::RetractLockRequest { .. } => MessageType::RetractLockRequest,
        ClientMessage::TakeOverLock { .. } => MessageType::TakeOverLock,
        ClientMessage::ListUsers { .. } => MessageType::ListUsers,
        ClientMessage::Heartbeat => MessageType::Heartbeat,
        ClientMessage::Ping => MessageType::Ping,
        ClientMessage::Edit(_) => MessageType::Edit,
        ClientMessage::Sync(_) => MessageType::Sync,
        ClientMessage::ResolveConflict(_) => MessageType::ResolveConflict,
        ClientMessage::RestoreValue(_) => MessageType::RestoreValue,
        ClientMessage::ListConflicts => MessageType::ListConflicts,
        ClientMessage::PreloadHint { .. } => MessageType::PreloadHint,
    }
}
