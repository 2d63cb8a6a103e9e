//! What clients say: one text frame in, one checked message out.
//!
//! Every string is borrowed from the frame. Fields that a message does not use are ignored, whatever they hold; fields
//! that it uses are checked here, so the rest of the program holds values that cannot be wrong.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::code::{self, ErrorCode};
use super::field::{Raw, Wrong, bad, bounded_patch, handle, id, millis, need, need_id, object, shorten, text, words};
use super::inbound_edit::{self, Edit, Resolve, Restore, SyncItem};
use super::json::deeper_than;
use crate::building::command::HolderAnswer;
use crate::id::{BadId, ResourceId, RoomId};
use crate::lock::{LockId, LockType, RequestId, Ticket};

/// The bounds of one message.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Arrays and objects within each other.
    pub json_depth: usize,
    /// Bytes of `metadata`, and of the other values that are stored.
    pub metadata_bytes: usize,
    /// Resources in one `acquire_lock`.
    pub resources_max: usize,
    /// Changes in one `edit`.
    pub changes_max: usize,
}

/// Why a frame was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misunderstood<'a> {
    /// The registered code.
    pub code: ErrorCode,
    /// For people: what was found, and what is allowed.
    pub detail: String,
    /// The message's `id`, as JSON, if it could be read.
    pub id: Option<&'a str>,
}

/// A message and its `id`.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// The message's `id`, as JSON: gets exactly one `ack` or `error`.
    pub id: Option<&'a str>,
    /// The message.
    pub message: ClientMessage<'a>,
}

/// A field of a presence update: absent leaves it, `null` clears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch<T> {
    /// As it was.
    Keep,
    /// None from now on.
    Clear,
    /// This from now on.
    Set(T),
}

/// A place in a room's order: what the client has seen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Since<'a> {
    /// The log's epoch.
    #[serde(borrow)]
    pub epoch: Cow<'a, str>,
    /// The last sequence number.
    pub seq: u64,
}

/// The session that a client wants back.
#[derive(Debug)]
pub struct Resume<'a> {
    /// The session.
    pub session: Cow<'a, str>,
    /// Its secret.
    pub token: Cow<'a, str>,
    /// The rooms that the client was in, and how far it got.
    pub rooms: Vec<(RoomId, Option<Since<'a>>)>,
}

/// Optional parts of the protocol that a client takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// One coalesced `presence_diff` per room and window.
    pub presence_diff: bool,
    /// Several messages in one `batch` frame, where that saves frames.
    pub batch: bool,
}

/// One thing that `acquire_lock` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What.
    pub resource: ResourceId,
    /// In which room, as far as the client says.
    pub room: Option<RoomId>,
}

/// Everything that a client can say.
#[derive(Debug)]
pub enum ClientMessage<'a> {
    /// The client speaks the present protocol.
    Hello {
        /// What it takes.
        features: Features,
        /// What it wants back.
        resume: Option<Resume<'a>>,
        /// The person's shown name.
        username: Option<Cow<'a, str>>,
    },
    /// Join a room.
    JoinRoom {
        /// The room.
        room: RoomId,
        /// What the client has seen of it.
        since: Option<Since<'a>>,
    },
    /// Leave a room.
    LeaveRoom {
        /// The room.
        room: RoomId,
    },
    /// One's own presence has changed.
    UpdatePresence {
        /// The floor; must be a joined room.
        floor: Patch<RoomId>,
        /// Any JSON value.
        action: Patch<&'a str>,
        /// Any JSON value, `[x, y]` by convention.
        cursor: Patch<&'a str>,
        /// A JSON object, merged key by key.
        metadata: Patch<&'a str>,
    },
    /// Lock one or several resources.
    AcquireLock {
        /// The kind.
        lock_type: LockType,
        /// What; never empty.
        wanted: Vec<Wanted>,
        /// A JSON object, as text.
        metadata: Option<&'a str>,
        /// The lease.
        ttl_ms: Option<u64>,
        /// How long to wait; 0 not at all.
        wait_ms: u64,
    },
    /// Release a lock.
    ReleaseLock {
        /// Which; a text that never was a lock's id names none.
        lock: Option<LockId>,
        /// As it was sent.
        text: Cow<'a, str>,
    },
    /// Extend a lease.
    RenewLock {
        /// Which.
        lock: LockId,
        /// The new lease.
        ttl_ms: Option<u64>,
    },
    /// Move a lock of the same person here.
    TakeOverLock {
        /// Which.
        lock: LockId,
    },
    /// Leave a lock's queue.
    CancelWait {
        /// Which place.
        ticket: Ticket,
    },
    /// Ask a holder for its lock.
    RequestLock {
        /// Which.
        lock: LockId,
        /// A word to the holder.
        message: Option<Cow<'a, str>>,
        /// How long the holder has.
        respond_ms: Option<u64>,
    },
    /// Answer an editing request.
    RespondLockRequest {
        /// Which.
        request: RequestId,
        /// The answer.
        answer: HolderAnswer,
        /// A word to the requester.
        message: Option<Cow<'a, str>>,
    },
    /// Withdraw an editing request.
    RetractLockRequest {
        /// Which.
        request: RequestId,
    },
    /// Tell a room.
    Broadcast {
        /// The room; absent means the one joined last.
        room: Option<RoomId>,
        /// One JSON value, as text.
        message: &'a str,
        /// The sender's own name for it.
        client_msg_id: Option<Cow<'a, str>>,
    },
    /// A page of the people in a room.
    ListUsers {
        /// The room.
        room: RoomId,
        /// Skip up to and including this person.
        after: Option<Cow<'a, str>>,
    },
    /// Change a document.
    Edit(Box<Edit<'a>>),
    /// Edits that were made offline, in order.
    Sync(Vec<SyncItem<'a>>),
    /// Settle a conflict.
    ResolveConflict(Resolve),
    /// Bring back what lost in a settled conflict.
    RestoreValue(Restore),
    /// The sender's conflicts that wait to be settled.
    ListConflicts,
    /// The sender may go to a floor next: its name is under the pointer, or the like.
    PreloadHint {
        /// The floor.
        floor: RoomId,
    },
    /// A sign of life.
    Heartbeat,
    /// Wants a `pong`.
    Ping,
}

/// An envelope with all fields of all messages, unparsed but for the few that every message reads.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    r#type: Raw<'a>,
    #[serde(borrow, default)]
    id: Raw<'a>,
    #[serde(borrow, default)]
    room_id: Raw<'a>,
    #[serde(borrow, default)]
    floor_id: Raw<'a>,
    #[serde(borrow, default)]
    current_action: Raw<'a>,
    #[serde(borrow, default)]
    cursor_position: Raw<'a>,
    #[serde(borrow, default)]
    metadata: Raw<'a>,
    #[serde(borrow, default)]
    message: Raw<'a>,
    #[serde(borrow, default)]
    client_msg_id: Raw<'a>,
    #[serde(borrow, default)]
    since: Raw<'a>,
    #[serde(borrow, default)]
    lock_type: Raw<'a>,
    #[serde(borrow, default)]
    resource_id: Raw<'a>,
    #[serde(borrow, default)]
    resources: Raw<'a>,
    #[serde(borrow, default)]
    lock_id: Raw<'a>,
    #[serde(borrow, default)]
    fencing_token: Raw<'a>,
    #[serde(borrow, default)]
    request: Raw<'a>,
    #[serde(borrow, default)]
    ticket: Raw<'a>,
    #[serde(borrow, default)]
    decision: Raw<'a>,
    #[serde(borrow, default)]
    ttl_ms: Raw<'a>,
    #[serde(borrow, default)]
    wait_ms: Raw<'a>,
    #[serde(borrow, default)]
    defer_ms: Raw<'a>,
    #[serde(borrow, default)]
    respond_ms: Raw<'a>,
    #[serde(borrow, default)]
    features: Raw<'a>,
    #[serde(borrow, default)]
    resume: Raw<'a>,
    #[serde(borrow, default)]
    username: Raw<'a>,
    #[serde(borrow, default)]
    after: Raw<'a>,
}

/// The kind of lock that a text names.
pub fn lock_type(text: &str) -> Option<LockType> {
    Some(match text {
        "floor_edit" => LockType::FloorEdit,
        "object_edit" => LockType::ObjectEdit,
        "route_edit" => LockType::RouteEdit,
        "grid_calibration" => LockType::GridCalibration,
        "analytics_view" => LockType::AnalyticsView,
        _ => return None,
    })
}

impl<'a> Envelope<'a> {
    fn message(&self, frame: &'a str, bounds: &Bounds) -> Result<ClientMessage<'a>, Wrong> {
        let kind = need("type", &self.r#type)?;
        let max = bounds.metadata_bytes;
        Ok(match &*kind {
            "update_presence" => ClientMessage::UpdatePresence {
                floor: match self.floor_id.patch() {
                    Patch::Keep => Patch::Keep,
                    Patch::Clear => Patch::Clear,
                    Patch::Set(_) => Patch::Set(need_id("floor_id", &self.floor_id, RoomId::new)?),
                },
                action: bounded_patch("current_action", &self.current_action, max)?,
                cursor: bounded_patch("cursor_position", &self.cursor_position, max)?,
                metadata: match bounded_patch("metadata", &self.metadata, max)? {
                    Patch::Set(json) => Patch::Set(object("metadata", json, max)?),
                    other => other,
                },
            },
            "broadcast" => ClientMessage::Broadcast {
                room: id("room_id", &self.room_id, RoomId::new)?,
                message: self.message.0.unwrap_or("{}"),
                client_msg_id: words("client_msg_id", &self.client_msg_id, 128)?,
            },
            "heartbeat" => ClientMessage::Heartbeat,
            "ping" => ClientMessage::Ping,
            "join_room" => ClientMessage::JoinRoom {
                room: need_id("room_id", &self.room_id, RoomId::new)?,
                since: match self.since.value() {
                    Some(json) => Some(
                        serde_json::from_str(json)
                            .map_err(|_| bad("since", "must be {epoch: string, seq: integer}"))?,
                    ),
                    None => None,
                },
            },
            "leave_room" => ClientMessage::LeaveRoom { room: need_id("room_id", &self.room_id, RoomId::new)? },
            "acquire_lock" => self.acquire(bounds)?,
            "release_lock" => {
                let text = need("lock_id", &self.lock_id)?;
                let lock = LockId::parse(&text);
                if let Some(lock) = lock {
                    self.same_token(lock)?;
                }
                ClientMessage::ReleaseLock { lock, text }
            }
            "renew_lock" => ClientMessage::RenewLock { lock: self.lock()?, ttl_ms: millis("ttl_ms", &self.ttl_ms)? },
            "take_over_lock" => ClientMessage::TakeOverLock { lock: self.lock()? },
            "cancel_wait" => ClientMessage::CancelWait {
                ticket: handle("ticket", &self.ticket, Ticket::parse, code::WAIT_NOT_FOUND)?,
            },
            "request_lock" => ClientMessage::RequestLock {
                lock: self.lock()?,
                message: words("message", &self.message, max)?,
                respond_ms: millis("respond_ms", &self.respond_ms)?,
            },
            "respond_lock_request" => ClientMessage::RespondLockRequest {
                request: self.request()?,
                answer: match &*need("decision", &self.decision)? {
                    "grant" => HolderAnswer::Grant,
                    "deny" => HolderAnswer::Deny,
                    "defer" => HolderAnswer::Defer(
                        millis("defer_ms", &self.defer_ms)?.ok_or_else(|| bad("defer_ms", "is required"))?,
                    ),
                    other => {
                        let what = format!("must be grant, deny or defer, not {:?}", shorten(other));
                        return Err(bad("decision", what));
                    }
                },
                message: words("message", &self.message, max)?,
            },
            "retract_lock_request" => ClientMessage::RetractLockRequest { request: self.request()? },
            "list_users" => ClientMessage::ListUsers {
                room: need_id("room_id", &self.room_id, RoomId::new)?,
                after: text("after", &self.after)?,
            },
            "edit" => ClientMessage::Edit(Box::new(inbound_edit::edit(frame, bounds)?)),
            "sync" => ClientMessage::Sync(inbound_edit::sync(frame, bounds)?),
            "resolve_conflict" => ClientMessage::ResolveConflict(inbound_edit::resolve(frame)?),
            "restore_value" => ClientMessage::RestoreValue(inbound_edit::restore(frame)?),
            "list_conflicts" => ClientMessage::ListConflicts,
            "preload_hint" => ClientMessage::PreloadHint { floor: need_id("floor_id", &self.floor_id, RoomId::new)? },
            "hello" => self.hello()?,
            other => {
                let detail = format!("there is no message type {:?}", shorten(other));
                return Err(Wrong(code::UNKNOWN_TYPE, detail));
            }
        })
    }

    fn lock(&self) -> Result<LockId, Wrong> {
        let lock = handle("lock_id", &self.lock_id, LockId::parse, code::LOCK_NOT_FOUND)?;
        self.same_token(lock)?;
        Ok(lock)
    }

    /// A client that names the token besides the lock must name the lock's own.
    fn same_token(&self, lock: LockId) -> Result<(), Wrong> {
        match self.fencing_token.value() {
            Some(json) if json.parse() != Ok(lock.0.0) => {
                Err(Wrong(code::TOKEN_CHANGED, format!("fencing_token: the token of {lock} is another")))
            }
            _ => Ok(()),
        }
    }

    fn request(&self) -> Result<RequestId, Wrong> {
        handle("request", &self.request, RequestId::parse, code::REQUEST_NOT_FOUND)
    }

    fn acquire(&self, bounds: &Bounds) -> Result<ClientMessage<'a>, Wrong> {
        #[derive(Deserialize)]
        struct Item<'a> {
            #[serde(borrow, default)]
            resource_id: Raw<'a>,
            #[serde(borrow, default)]
            room_id: Raw<'a>,
        }
        let name = need("lock_type", &self.lock_type)?;
        let lock_type =
            lock_type(&name).ok_or_else(|| bad("lock_type", format!("there is no {:?}", shorten(&name))))?;
        let room = id("room_id", &self.room_id, RoomId::new)?;
        let mut wanted = Vec::new();
        if let Some(json) = self.resources.value() {
            let items: Vec<Raw> = serde_json::from_str(json).map_err(|_| bad("resources", "must be an array"))?;
            if items.is_empty() || items.len() > bounds.resources_max {
                let max = bounds.resources_max;
                return Err(Wrong(code::TOO_LARGE, format!("resources: 1 to {max} are allowed, not {}", items.len())));
            }
            for item in items {
                let json = item.0.unwrap_or("null");
                let (resource_id, room_id) = if json.starts_with('{') {
                    let item: Item = serde_json::from_str(json).map_err(|_| bad("resources", "an item is broken"))?;
                    (item.resource_id, item.room_id)
                } else {
                    (item, Raw(None))
                };
                wanted.push(Wanted {
                    resource: need_id("resources", &resource_id, ResourceId::new)?,
                    room: id("resources", &room_id, RoomId::new)?.or_else(|| room.clone()),
                });
            }
        } else {
            wanted.push(Wanted { resource: need_id("resource_id", &self.resource_id, ResourceId::new)?, room });
        }
        Ok(ClientMessage::AcquireLock {
            lock_type,
            wanted,
            metadata: match self.metadata.value() {
                Some(json) => Some(object("metadata", json, bounds.metadata_bytes)?),
                None => None,
            },
            ttl_ms: millis("ttl_ms", &self.ttl_ms)?,
            wait_ms: millis("wait_ms", &self.wait_ms)?.unwrap_or(0),
        })
    }

    fn hello(&self) -> Result<ClientMessage<'a>, Wrong> {
        #[derive(Deserialize)]
        struct Wish<'a> {
            #[serde(borrow)]
            session: Cow<'a, str>,
            #[serde(borrow)]
            token: Cow<'a, str>,
            #[serde(borrow, default)]
            rooms: Raw<'a>,
        }
        let mut features = Features::default();
        if let Some(json) = self.features.value() {
            let names: Vec<Cow<str>> =
                serde_json::from_str(json).map_err(|_| bad("features", "must be an array of strings"))?;
            for name in names {
                match &*name {
                    "presence_diff" => features.presence_diff = true,
                    "batch" => features.batch = true,
                    _ => {}
                }
            }
        }
        let resume = match self.resume.value() {
            None => None,
            Some(json) => {
                let shape = || bad("resume", "must be {session, token, rooms: {ROOM: {epoch, seq}}}");
                let wish: Wish = serde_json::from_str(json).map_err(|_| shape())?;
                let rooms: std::collections::BTreeMap<Cow<str>, Option<Since>> = match wish.rooms.value() {
                    Some(json) => serde_json::from_str(json).map_err(|_| shape())?,
                    None => Default::default(),
                };
                let rooms = rooms
                    .into_iter()
                    .map(|(room, since)| Ok((RoomId::new(&room)?, since)))
                    .collect::<Result<_, BadId>>()
                    .map_err(|e| Wrong(code::BAD_ID, format!("resume.rooms: {e}")))?;
                Some(Resume { session: wish.session, token: wish.token, rooms })
            }
        };
        Ok(ClientMessage::Hello { features, resume, username: words("username", &self.username, 256)? })
    }
}

/// Understands one text frame.
pub fn parse<'a>(frame: &'a str, bounds: &Bounds) -> Result<Inbound<'a>, Misunderstood<'a>> {
    let fail = |code, detail, id| Misunderstood { code, detail, id };
    if deeper_than(frame, bounds.json_depth) {
        let detail = format!("at most {} arrays and objects may lie within each other", bounds.json_depth);
        return Err(fail(code::TOO_DEEP, detail, None));
    }
    if !frame.trim_ascii_start().starts_with('{') {
        return Err(match serde_json::from_str::<&RawValue>(frame) {
            Err(error) => fail(code::INVALID_JSON, error.to_string(), None),
            Ok(_) => fail(code::NOT_AN_OBJECT, "a message is a JSON object".to_owned(), None),
        });
    }
    let envelope: Envelope = serde_json::from_str(frame).map_err(|error| {
        let code = if error.is_data() { code::BAD_MESSAGE } else { code::INVALID_JSON };
        fail(code, error.to_string(), None)
    })?;
    let id = envelope.id.value();
    if id.is_some_and(|id| id.len() > 128) {
        return Err(fail(code::TOO_LARGE, "id: at most 128 bytes of JSON are allowed".to_owned(), None));
    }
    match envelope.message(frame, bounds) {
        Ok(message) => Ok(Inbound { id, message }),
        Err(Wrong(code, detail)) => Err(fail(code, detail, id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { json_depth: 64, metadata_bytes: 8192, resources_max: 64, changes_max: 1024 };

    fn code_of(frame: &str) -> &'static str {
        parse(frame, &BOUNDS).expect_err(frame).code.name
    }

    #[test]
    fn what_cannot_be_understood_is_answered_with_a_code() {
        for (frame, code) in [
            ("", "invalid_json"),
            ("{", "invalid_json"),
            ("nonsense", "invalid_json"),
            ("[]", "not_an_object"),
            ("3", "not_an_object"),
            ("{}", "bad_message"),
            (r#"{"type":3.5}"#, "bad_message"),
            (r#"{"type":"join_room"}"#, "bad_message"),
            (r#"{"type":"join_room","room_id":""}"#, "bad_id"),
            (r#"{"type":"join_room","room_id":"a\u0000b"}"#, "bad_id"),
            (r#"{"type":"join_room","room_id":["x"]}"#, "bad_message"),
            (r#"{"type":"acquire_lock","lock_type":"roof_edit","resource_id":"x"}"#, "bad_message"),
            (r#"{"type":"renew_lock","lock_id":"nope"}"#, "lock_not_found"),
            (r#"{"type":"renew_lock","lock_id":"lk_1","fencing_token":2}"#, "token_changed"),
            (r#"{"type":"release_lock","lock_id":"lk_1","fencing_token":"1"}"#, "token_changed"),
            (r#"{"type":"dance"}"#, "unknown_type"),
            (r#"{"type":"update_presence","metadata":[1]}"#, "bad_message"),
        ] {
            assert_eq!(code_of(frame), code, "{frame}");
        }
        assert_eq!(code_of(&"[".repeat(10_000)), "too_deep");
        let large = format!(r#"{{"type":"update_presence","metadata":{{"a":"{}"}}}}"#, "x".repeat(9000));
        assert_eq!(code_of(&large), "too_large");
    }

    #[test]
    fn ids_are_taken_as_they_are() {
        for (json, room) in [
            (r#""floor_123""#, "floor_123"),
            ("42", "42"),
            (r#""\u002a""#, "*"),
            (r#""/usa/ny%20""#, "/usa/ny%20"),
            (r#""🏢""#, "🏢"),
        ] {
            let frame = format!(r#"{{"type":"join_room","room_id":{json},"id":7,"extra":null}}"#);
            let inbound = parse(&frame, &BOUNDS).expect(json);
            assert_eq!(inbound.id, Some("7"));
            match inbound.message {
                ClientMessage::JoinRoom { room: found, since: None } => assert_eq!(found.as_str(), room),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn absent_keeps_and_null_clears() {
        let frame = r#"{"type":"update_presence","current_action":null,"cursor_position":[1, 2]}"#;
        match parse(frame, &BOUNDS).expect(frame).message {
            ClientMessage::UpdatePresence { floor, action, cursor, metadata } => {
                assert_eq!(floor, Patch::Keep);
                assert_eq!(action, Patch::Clear);
                assert_eq!(cursor, Patch::Set("[1, 2]"));
                assert_eq!(metadata, Patch::Keep);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn hello_may_bring_a_session() {
        let frame = r#"{"type":"hello","protocol":2,"features":["resume","presence_diff"],
            "resume":{"session":"s_1","token":"t","rooms":{"a":{"epoch":"e","seq":3},"b":null}}}"#;
        match parse(frame, &BOUNDS).expect(frame).message {
            ClientMessage::Hello { features, resume: Some(resume), .. } => {
                assert!(features.presence_diff && !features.batch);
                assert_eq!(resume.rooms.len(), 2);
                assert_eq!(resume.rooms[0].1, Some(Since { epoch: "e".into(), seq: 3 }));
            }
            other => panic!("{other:?}"),
        }
    }
}
