//! What clients are told. Each function appends one JSON message to a buffer; it is encoded once for all who get it.
//!
//! Fields that the first generation of clients knows keep their names and places; everything else is additional.

use super::code::{CloseCode, ErrorCode};
use super::json::{self, Object};
use crate::building::command::{HolderAnswer, HolderState, LockView, Target};
use crate::building::event::{Broadcast, Event, LockGranted, LockReleased, Seen};
use crate::building::notice::{Notice, RequestEnd, WaitEnd};
use crate::id::{RoomId, UserId};
use crate::lock::{LockId, LockType, Token};
use crate::time::Wall;

impl LockType {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            LockType::FloorEdit => "floor_edit",
            LockType::ObjectEdit => "object_edit",
            LockType::RouteEdit => "route_edit",
            LockType::GridCalibration => "grid_calibration",
            LockType::AnalyticsView => "analytics_view",
        }
    }
}

impl HolderState {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            HolderState::Active => "active",
            HolderState::Idle => "idle",
            HolderState::Suspended => "suspended",
        }
    }
}

pub(super) fn open<'a>(out: &'a mut Vec<u8>, kind: &str, at: Wall) -> Object<'a> {
    let mut object = Object::new(out);
    object.plain("type", kind).ascii("timestamp", &at.rfc3339());
    object
}

/// Names the message that a direct reply belongs to. The `id` itself is carried by its one `ack` or `error` alone.
pub(super) fn echo(object: &mut Object, id: Option<&str>) {
    if let Some(id) = id {
        object.raw("request_id", id);
    }
}

/// Closes the account of a message with an `id`.
fn settle(object: &mut Object, id: Option<&str>) {
    if let Some(id) = id {
        object.raw("id", id).raw("request_id", id);
    }
}

/// The first message on a socket.
pub fn connection_established(out: &mut Vec<u8>, at: Wall, user: &UserId) {
    let mut o = open(out, "connection_established", at);
    o.text("user_id", user.as_str());
    o.end();
}

/// What `hello` is answered with.
pub struct Welcome<'a> {
    /// The message's `id`.
    pub id: Option<&'a str>,
    /// The session.
    pub session: &'a str,
    /// Its secret.
    pub resume_token: &'a str,
    /// It is the session that was asked for.
    pub resumed: bool,
    /// Why it is not, when it was asked for.
    pub refused: Option<&'a str>,
    /// The daemon's limits, as a JSON object.
    pub limits: &'a str,
    /// How often the daemon looks for life.
    pub ping_ms: u64,
    /// The least delay before a reconnect.
    pub reconnect_min_ms: u64,
    /// The largest delay before a reconnect.
    pub reconnect_max_ms: u64,
}

/// `welcome`.
pub fn welcome(out: &mut Vec<u8>, at: Wall, welcome: &Welcome) {
    let mut o = open(out, "welcome", at);
    echo(&mut o, welcome.id);
    o.int("protocol", 2);
    o.text("session", welcome.session).text("resume_token", welcome.resume_token).bool("resumed", welcome.resumed);
    if let Some(why) = welcome.refused {
        o.text("resume_refused", why);
    }
    o.raw("limits", welcome.limits).int("ping_ms", welcome.ping_ms);
    o.with("reconnect", |out| {
        let mut o = Object::new(out);
        o.int("min_ms", welcome.reconnect_min_ms).int("max_ms", welcome.reconnect_max_ms);
        o.end();
    });
    o.end();
}

/// `error`.
pub fn error(out: &mut Vec<u8>, at: Wall, id: Option<&str>, code: ErrorCode, detail: &str) {
    error_with(out, at, id, code, detail, |_| {});
}

/// `error` with further fields.
pub fn error_with(
    out: &mut Vec<u8>,
    at: Wall,
    id: Option<&str>,
    code: ErrorCode,
    detail: &str,
    more: impl FnOnce(&mut Object),
) {
    let mut o = open(out, "error", at);
    settle(&mut o, id);
    o.plain("message", code.legacy).plain("code", code.name).text("detail", detail);
    o.bool("retryable", code.retryable);
    more(&mut o);
    o.end();
}

/// `ack`: a message with an `id` has been carried out; whatever else answers it came before.
pub fn ack(out: &mut Vec<u8>, at: Wall, id: &str, more: impl FnOnce(&mut Object)) {
    let mut o = open(out, "ack", at);
    settle(&mut o, Some(id));
    more(&mut o);
    o.end();
}

/// `pong`.
pub fn pong(out: &mut Vec<u8>, at: Wall, id: Option<&str>) {
    let mut o = open(out, "pong", at);
    echo(&mut o, id);
    o.end();
}

/// `user_joined`: somebody with whom one shares a room came online.
pub fn user_joined(out: &mut Vec<u8>, at: Wall, user: &UserId, username: &str) {
    let mut o = open(out, "user_joined", at);
    o.text("user_id", user.as_str()).text("username", username);
    o.end();
}

/// `user_left`: somebody with whom one shared a room went offline.
pub fn user_left(out: &mut Vec<u8>, at: Wall, user: &UserId) {
    let mut o = open(out, "user_left", at);
    o.text("user_id", user.as_str());
    o.end();
}

/// `user_joined_room`.
pub fn user_joined_room(out: &mut Vec<u8>, at: Wall, user: &UserId, username: &str, room: &RoomId) {
    let mut o = open(out, "user_joined_room", at);
    o.text("user_id", user.as_str()).text("username", username).text("room_id", room.as_str());
    o.end();
}

/// `user_left_room`.
pub fn user_left_room(out: &mut Vec<u8>, at: Wall, user: &UserId, room: &RoomId) {
    let mut o = open(out, "user_left_room", at);
    o.text("user_id", user.as_str()).text("room_id", room.as_str());
    o.end();
}

/// A person's presence, as rooms see it.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// The person.
    pub user: &'a UserId,
    /// Shown name.
    pub username: &'a str,
    /// Any JSON value.
    pub action: Option<&'a str>,
    /// Any JSON value.
    pub cursor: Option<&'a str>,
    /// The members of the metadata object, each a key and a JSON value.
    pub metadata: &'a [(Box<str>, Box<str>)],
}

impl Person<'_> {
    fn fields(&self, o: &mut Object) {
        o.text("user_id", self.user.as_str()).text("username", self.username);
        o.raw_or_null("current_action", self.action).raw_or_null("cursor_position", self.cursor);
    }

    fn metadata(&self, o: &mut Object) {
        o.with("metadata", |out| metadata(out, self.metadata));
    }

    fn object(&self, out: &mut Vec<u8>) {
        let mut o = Object::new(out);
        self.fields(&mut o);
        if !self.metadata.is_empty() {
            self.metadata(&mut o);
        }
        o.end();
    }
}

/// A metadata object from its members.
pub fn metadata(out: &mut Vec<u8>, members: &[(Box<str>, Box<str>)]) {
    out.push(b'{');
    for (i, (key, value)) in members.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        json::string(out, key);
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
    out.push(b'}');
}

/// `presence_updated`.
pub fn presence_updated(out: &mut Vec<u8>, at: Wall, room: &RoomId, person: &Person) {
    let mut o = open(out, "presence_updated", at);
    person.fields(&mut o);
    o.text("room_id", room.as_str());
    person.metadata(&mut o);
    o.end();
}

/// `presence_diff`: everything that changed in a room within a window. In large rooms only the count.
pub fn presence_diff<'a>(
    out: &mut Vec<u8>,
    at: Wall,
    room: &RoomId,
    joined: impl Iterator<Item = Person<'a>>,
    updated: impl Iterator<Item = Person<'a>>,
    left: impl Iterator<Item = &'a UserId>,
    count: usize,
) {
    let mut o = open(out, "presence_diff", at);
    o.text("room_id", room.as_str());
    o.list("joined", joined, |out, p| p.object(out));
    o.list("updated", updated, |out, p| p.object(out));
    o.list("left", left, |out, u| json::string(out, u.as_str()));
    o.int("count", count as u64);
    o.end();
}

/// The people part of `room_state` and of `room_users`.
pub struct People<'a, I: Iterator<Item = Person<'a>>> {
    /// This page.
    pub page: I,
    /// People in the room.
    pub count: usize,
    /// The last person of this page, when there are more.
    pub more_after: Option<&'a str>,
}

impl<'a, I: Iterator<Item = Person<'a>>> People<'a, I> {
    fn write(self, o: &mut Object) {
        o.list("users", self.page, |out, p| p.object(out));
        o.int("user_count", self.count as u64);
        if let Some(last) = self.more_after {
            o.text("more_after", last);
        }
    }
}

/// `room_users`: a page of the people in a room.
pub fn room_users<'a>(
    out: &mut Vec<u8>,
    at: Wall,
    id: Option<&str>,
    room: &RoomId,
    people: People<'a, impl Iterator<Item = Person<'a>>>,
) {
    let mut o = open(out, "room_users", at);
    echo(&mut o, id);
    o.text("room_id", room.as_str());
    people.write(&mut o);
    o.end();
}

/// What became of the wish to catch up.
pub enum Recovery<'a> {
    /// There was none.
    NotAsked,
    /// Everything that was missed, in order.
    Missed(Vec<crate::building::Missed<'a>>),
    /// The client must reload.
    Lost(&'static str),
}

/// `room_state`: who is there, and what is [agreed](room_agreed).
pub fn room_state<'a>(
    out: &mut Vec<u8>,
    at: Wall,
    id: Option<&str>,
    room: &RoomId,
    people: People<'a, impl Iterator<Item = Person<'a>>>,
    agreed: &[u8],
) {
    let mut o = open(out, "room_state", at);
    echo(&mut o, id);
    o.text("room_id", room.as_str());
    people.write(&mut o);
    o.members_of(agreed);
    o.end();
}

/// The part of `room_state` that people must agree on, as an object of its own: locks, the place in the room's order,
/// what was missed.
pub fn room_agreed(out: &mut Vec<u8>, room: &RoomId, locks: &[LockView], epoch: &str, seq: u64, recovery: &Recovery) {
    let mut o = Object::new(out);
    let seen = locks.iter().flat_map(|lock| lock.targets.iter().map(move |target| (lock, target)));
    let here = seen.filter(|(_, target)| target.place.rooms().contains(room));
    o.list("locks", here, |out, (lock, target)| {
        let mut o = Object::new(out);
        o.plain("lock_id", lock.id).plain("lock_type", lock.lock_type.as_str());
        o.text("resource_id", target.resource.as_str());
        o.text("user_id", lock.user.as_str()).text("username", &lock.username);
        o.ascii("acquired_at", &lock.at.rfc3339()).ascii("expires_at", &lock.expires_at.rfc3339());
        o.plain("holder_state", lock.holder_state.as_str()).int("expires_in_ms", lock.expires_in_ms);
        o.end();
    });
    o.text("epoch", epoch).int("seq", seq);
    match recovery {
        Recovery::NotAsked => {}
        Recovery::Missed(missed) => {
            o.bool("recovered", true);
            o.list("missed", missed, |out, m| event(out, epoch, m.event, m.seen));
        }
        Recovery::Lost(reason) => {
            o.bool("recovered", false).plain("reason", reason);
        }
    }
    o.end();
}

/// `resync_required`: something was dropped; the room must be joined again with `since`, or reloaded.
pub fn resync_required(out: &mut Vec<u8>, at: Wall, room: &RoomId, reason: &str, epoch: &str, seq: u64) {
    let mut o = open(out, "resync_required", at);
    o.text("room_id", room.as_str()).plain("reason", reason).text("epoch", epoch).int("seq", seq);
    o.end();
}

/// `server_draining`.
pub fn server_draining(out: &mut Vec<u8>, at: Wall, reconnect_after_ms: u64) {
    let mut o = open(out, "server_draining", at);
    o.int("reconnect_after_ms", reconnect_after_ms);
    o.end();
}

/// Says why the socket closes, for clients that cannot see close frames.
pub fn closing(out: &mut Vec<u8>, at: Wall, code: CloseCode, detail: &str) {
    let mut o = open(out, "closing", at);
    o.int("code", u64::from(code.number)).plain("reason", code.reason).text("detail", detail);
    o.end();
}

/// `batch`: several messages in one frame, in order, for clients that take it.
pub fn batch<'a>(out: &mut Vec<u8>, at: Wall, messages: impl Iterator<Item = &'a [u8]>) {
    let mut o = open(out, "batch", at);
    o.list("messages", messages, |out, message| out.extend_from_slice(message));
    o.end();
}

/// One event as the members of a room see it.
pub fn event(out: &mut Vec<u8>, epoch: &str, event: &Event, seen: Seen<'_>) {
    match event {
        Event::Broadcast(b) => broadcast(out, epoch, b),
        Event::LockGranted(g) => {
            if let Some(target) = g.targets.get(seen.target) {
                lock_acquired(out, epoch, g, target, seen);
            }
        }
        Event::LockReleased(r) => {
            if let Some(target) = r.targets.get(seen.target) {
                lock_released(out, epoch, r, target, seen);
            }
        }
        Event::Edited(edited) => super::outbound_edit::resource_updated(out, epoch, edited, seen),
        // No room sees these.
        Event::Adopted(_)
        | Event::Answered(_)
        | Event::Stored(_)
        | Event::ConflictOpened(_)
        | Event::ConflictEscalated(_)
        | Event::ConflictSettled(_) => {}
    }
}

pub(super) fn position(o: &mut Object, room: &RoomId, seq: u64, epoch: &str) {
    o.text("room_id", room.as_str()).int("seq", seq).text("epoch", epoch);
}

/// `broadcast`.
pub fn broadcast(out: &mut Vec<u8>, epoch: &str, b: &Broadcast) {
    let mut o = open(out, "broadcast", b.at);
    // The session is its owner's business; the room learns the person.
    if let Some((_, user, username)) = &b.from {
        o.text("user_id", user.as_str()).text("username", username);
    }
    o.raw("message", &b.message);
    if let Some(id) = &b.client_msg_id {
        o.text("client_msg_id", id);
    }
    position(&mut o, &b.seen.room, b.seen.seq, epoch);
    o.end();
}

/// `lock_acquired`.
pub fn lock_acquired(out: &mut Vec<u8>, epoch: &str, g: &LockGranted, target: &Target, seen: Seen<'_>) {
    let mut o = open(out, "lock_acquired", g.at);
    o.plain("lock_id", LockId(g.token)).plain("lock_type", g.lock_type.as_str());
    o.text("resource_id", target.resource.as_str());
    o.text("user_id", g.user.as_str()).text("username", &g.username);
    o.ascii("acquired_at", &g.at.rfc3339()).ascii("expires_at", &g.at.plus(g.ttl_ms).rfc3339());
    position(&mut o, seen.room, seen.seq, epoch);
    o.end();
}

/// `lock_released`.
pub fn lock_released(out: &mut Vec<u8>, epoch: &str, r: &LockReleased, target: &Target, seen: Seen<'_>) {
    let mut o = open(out, "lock_released", r.at);
    o.plain("lock_id", LockId(r.token)).plain("lock_type", r.lock_type.as_str());
    o.text("resource_id", target.resource.as_str());
    o.text("user_id", r.user.as_str()).text("username", &r.username);
    o.plain("reason", r.reason.as_str());
    position(&mut o, seen.room, seen.seq, epoch);
    o.end();
}

fn holder(out: &mut Vec<u8>, lock: &LockView, asker: Option<&UserId>) {
    let mut o = Object::new(out);
    o.text("user_id", lock.user.as_str()).text("username", &lock.username);
    if let Some(asker) = asker {
        o.bool("same_user", *asker == lock.user);
    }
    o.plain("state", lock.holder_state.as_str()).int("idle_ms", lock.idle_ms);
    o.int("expires_in_ms", lock.expires_in_ms).int("waiters", u64::from(lock.waiters));
    o.plain("lock_id", lock.id).plain("lock_type", lock.lock_type.as_str());
    o.end();
}

fn held(o: &mut Object, lock: &LockView) {
    let first = &lock.targets[0];
    o.plain("lock_id", lock.id).plain("lock_type", lock.lock_type.as_str());
    o.text("resource_id", first.resource.as_str());
    if lock.targets.len() > 1 {
        o.list("resources", &lock.targets[..], |out, t| json::string(out, t.resource.as_str()));
    }
    o.int("fencing_token", lock.token.0);
    o.ascii("acquired_at", &lock.at.rfc3339()).ascii("expires_at", &lock.expires_at.rfc3339());
    o.int("expires_in_ms", lock.expires_in_ms);
}

/// `lock_response`, granted.
pub fn lock_granted(out: &mut Vec<u8>, at: Wall, id: Option<&str>, lock: &LockView, how: &str) {
    let mut o = open(out, "lock_response", at);
    echo(&mut o, id);
    o.bool("success", true).plain("result", lock.id);
    held(&mut o, lock);
    o.plain("how", how);
    o.end();
}

/// `lock_response`, refused because somebody else holds it.
pub fn lock_held(
    out: &mut Vec<u8>,
    at: Wall,
    id: Option<&str>,
    blocked_by: &[LockView],
    asker: &UserId,
    code: ErrorCode,
    ticket: Option<&str>,
) {
    let mut o = open(out, "lock_response", at);
    echo(&mut o, id);
    o.bool("success", false);
    match blocked_by.first() {
        Some(lock) => {
            o.text("result", &format!("Resource locked by {}", lock.username));
            o.with("holder", |out| holder(out, lock, Some(asker)));
        }
        None => {
            o.plain("result", "Resource locked by others who wait for it");
        }
    }
    o.plain("code", code.name).bool("retryable", code.retryable);
    if let Some(ticket) = ticket {
        o.plain("ticket", ticket);
    }
    o.list("blocked_by", blocked_by, |out, lock| holder(out, lock, Some(asker)));
    o.end();
}

/// `lock_response`, refused for another reason.
pub fn lock_refused(
    out: &mut Vec<u8>,
    at: Wall,
    id: Option<&str>,
    code: ErrorCode,
    detail: &str,
    more: impl FnOnce(&mut Object),
) {
    let mut o = open(out, "lock_response", at);
    echo(&mut o, id);
    o.bool("success", false).text("result", detail).plain("code", code.name).text("detail", detail);
    o.bool("retryable", code.retryable);
    more(&mut o);
    o.end();
}

/// `lock_queued`.
pub fn lock_queued(
    out: &mut Vec<u8>,
    at: Wall,
    id: Option<&str>,
    ticket: impl std::fmt::Display,
    position: u32,
    blocked_by: &[LockView],
    asker: &UserId,
) {
    let mut o = open(out, "lock_queued", at);
    echo(&mut o, id);
    o.plain("ticket", ticket).int("position", u64::from(position));
    o.list("blocked_by", blocked_by, |out, lock| holder(out, lock, Some(asker)));
    o.end();
}

/// `lock_release_response`. `lock` is what the client sent.
pub fn lock_release_response(
    out: &mut Vec<u8>,
    at: Wall,
    id: Option<&str>,
    success: bool,
    lock: &str,
    code: Option<ErrorCode>,
) {
    let mut o = open(out, "lock_release_response", at);
    echo(&mut o, id);
    o.bool("success", success).text("lock_id", lock);
    if let Some(code) = code {
        o.plain("code", code.name);
    }
    o.end();
}

/// `lock_renewed`.
pub fn lock_renewed(out: &mut Vec<u8>, at: Wall, id: Option<&str>, lock: &LockView) {
    let mut o = open(out, "lock_renewed", at);
    echo(&mut o, id);
    held(&mut o, lock);
    o.end();
}

/// `lock_requested`: the editing request is placed.
pub fn lock_requested(
    out: &mut Vec<u8>,
    at: Wall,
    id: Option<&str>,
    request: impl std::fmt::Display,
    respond_in_ms: u64,
) {
    let mut o = open(out, "lock_requested", at);
    echo(&mut o, id);
    o.plain("request", request).int("respond_in_ms", respond_in_ms);
    o.end();
}

fn request_end(why: RequestEnd) -> &'static str {
    match why {
        RequestEnd::Retracted => "retracted",
        RequestEnd::Expired => "expired",
        RequestEnd::LockGone => "lock_gone",
    }
}

fn stale(o: &mut Object, lock: LockId, token: Token, lock_type: LockType) {
    o.plain("lock_id", lock).int("fencing_token", token.0).plain("lock_type", lock_type.as_str());
}

/// What one session is told about locks, besides its replies.
pub fn notice(out: &mut Vec<u8>, at: Wall, notice: &Notice, to: &UserId) {
    match notice {
        Notice::WaitGranted { ticket, lock } => {
            let mut o = open(out, "lock_response", at);
            o.bool("success", true).plain("result", lock.id);
            held(&mut o, lock);
            o.plain("how", "queue").plain("ticket", ticket);
            o.end();
        }
        Notice::WaitMoved { ticket, position } => {
            let mut o = open(out, "lock_queued", at);
            o.plain("ticket", ticket).int("position", u64::from(*position));
            o.end();
        }
        Notice::WaitEnded { ticket, why, blocked_by } => {
            let code = match why {
                WaitEnd::TimedOut => super::code::WAIT_TIMED_OUT,
                WaitEnd::Cancelled => super::code::WAIT_CANCELLED,
            };
            lock_held(out, at, None, blocked_by, to, code, Some(&ticket.to_string()));
        }
        Notice::Expiring { lock, resource, expires_in_ms } => {
            let mut o = open(out, "lock_expiring", at);
            o.plain("lock_id", lock).text("resource_id", resource.as_str()).int("expires_in_ms", *expires_in_ms);
            o.end();
        }
        Notice::Lost { lock, token, lock_type, resource, reason, forced, to } => {
            let mut o = open(out, "lock_lost", at);
            stale(&mut o, *lock, *token, *lock_type);
            o.text("resource_id", resource.as_str()).plain("reason", reason.as_str());
            if let Some((by, why)) = forced {
                o.text("by", by).text("detail", why);
            }
            if let Some(to) = to {
                o.text("to_user_id", to.as_str());
            }
            o.end();
        }
        Notice::Contended { lock, resource, waiters } => {
            let mut o = open(out, "lock_contended", at);
            o.plain("lock_id", lock).text("resource_id", resource.as_str()).int("waiters", u64::from(*waiters));
            o.end();
        }
        Notice::Requested { request, lock, resource, user, username, message, respond_in_ms } => {
            let mut o = open(out, "lock_request", at);
            o.plain("request", request).plain("lock_id", lock).text("resource_id", resource.as_str());
            o.text("user_id", user.as_str()).text("username", username);
            if let Some(message) = message {
                o.text("message", message);
            }
            o.int("respond_in_ms", *respond_in_ms);
            o.end();
        }
        Notice::RequestAnswered { request, lock, decision, deemed, message, granted } => {
            let mut o = open(out, "lock_request_answered", at);
            o.plain("request", request).plain("lock_id", lock);
            match decision {
                HolderAnswer::Grant => o.plain("decision", "grant"),
                HolderAnswer::Deny => o.plain("decision", "deny"),
                HolderAnswer::Defer(ms) => o.plain("decision", "defer").int("defer_ms", *ms),
            };
            o.bool("deemed", *deemed);
            if let Some(message) = message {
                o.text("message", message);
            }
            if let Some(lock) = granted {
                o.with("lock", |out| {
                    let mut o = Object::new(out);
                    held(&mut o, lock);
                    o.end();
                });
            }
            o.end();
        }
        Notice::RequestLapsed { request, lock, why } | Notice::RequestClosed { request, lock, why } => {
            let kind = match notice {
                Notice::RequestLapsed { .. } => "lock_request_lapsed",
                _ => "lock_request_closed",
            };
            let mut o = open(out, kind, at);
            o.plain("request", request).plain("lock_id", lock).plain("reason", request_end(*why));
            o.end();
        }
        Notice::ViewBroken { lock, resource, by } => {
            let mut o = open(out, "view_broken", at);
            o.plain("lock_id", lock).text("resource_id", resource.as_str());
            o.with("by", |out| holder(out, by, Some(to)));
            o.end();
        }
        Notice::ConflictDetected { opened, decided_in_ms } => {
            super::outbound_edit::conflict_detected(out, at, opened, 1, Some(*decided_in_ms), to);
        }
        Notice::ConflictResolved { opened, settled } => {
            super::outbound_edit::conflict_resolved(out, at, opened, settled);
        }
    }
}
