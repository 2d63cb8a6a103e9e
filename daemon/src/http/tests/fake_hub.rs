//! A hub that holds one scene: Ann edits floor `f1`, Bob is there too, everybody else is elsewhere.
//!
//! It keeps what it was asked, in words. A user or room named `refuse:CODE` gets that refusal; the user `silent` gets no
//! answer at all.

use std::sync::{Arc, Mutex};

use arxosrt_core::control::{Holder, LockRow};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, UserId};
use arxosrt_core::lock::{LockId, LockType, Token};
use arxosrt_core::wire::code;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::fake_edits;
use crate::hub::ask::{Acquired, Ask, Connections, HubHandle, Patch, Presence, PresencePatch, Refused, Reply, Verdict};

pub struct FakeHub {
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeHub {
    /// A running hub. It ends with its last handle.
    pub fn start() -> (Self, HubHandle) {
        let (handle, mut questions) = HubHandle::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let hub = FakeHub { asked: asked.clone() };
        tokio::spawn(async move {
            // Questions that get no answer, so that their askers wait.
            let mut held = Vec::new();
            while let Some(ask) = questions.recv().await {
                answer(ask, &mut |words| asked.lock().unwrap().push(words), &mut held);
            }
        });
        (hub, handle)
    }

    /// A hub that has stopped.
    pub fn stopped() -> (Self, HubHandle) {
        let (handle, questions): (_, mpsc::Receiver<Ask>) = HubHandle::new();
        drop(questions);
        (FakeHub { asked: Arc::default() }, handle)
    }

    /// What was asked since the last look.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn answer(ask: Ask, note: &mut impl FnMut(String), held: &mut Vec<Ask>) {
    match ask {
        ask @ Ask::JoinRoom { .. } if is_from_silent(&ask) => held.push(ask),
        Ask::JoinRoom { user, room, reply } => {
            note(format!("join {user} {room}"));
            done(reply, refusal(user.as_str()).map_or(Ok(()), Err));
        }
        Ask::LeaveRoom { user, room, reply } => {
            note(format!("leave {user} {room}"));
            done(reply, refusal(user.as_str()).map_or(Ok(()), Err));
        }
        Ask::AcquireLock { user, lock_type, resource, room, ttl_ms, metadata, reply } => {
            let metadata = metadata.as_deref().map(RawValue::get);
            note(format!(
                "lock {user} {} {resource} in {} for {ttl_ms:?} with {metadata:?}",
                lock_type.as_str(),
                room.map_or("-".to_owned(), |room| room.to_string()),
            ));
            done(
                reply,
                match (refusal(user.as_str()), user.as_str()) {
                    (Some(refused), _) => Err(refused),
                    (_, "ann") => Ok(Acquired::Granted(Box::new(anns_lock()))),
                    (_, "late") => Ok(Acquired::Held(Vec::new())),
                    _ => Ok(Acquired::Held(vec![anns_lock()])),
                },
            );
        }
        Ask::ReleaseLock { user, lock, reply } => {
            note(format!("release {user} {lock}"));
            let held = user.as_str() == "ann" && lock == LockId(Token(77));
            done(reply, refusal(user.as_str()).map_or(Ok(held), Err));
        }
        Ask::RoomUsers { room, reply } => {
            note(format!("users {room}"));
            let users = if room.as_str() == "f1" { vec![ann(), bob()] } else { Vec::new() };
            done(reply, Ok(users));
        }
        Ask::ActiveLocks { resource, reply } => {
            note(format!("locks {resource}"));
            let bare = LockRow { metadata: None, ..anns_lock() };
            let locks = if resource.as_str() == "f1" { vec![anns_lock(), bare] } else { vec![] };
            done(reply, Ok(locks));
        }
        Ask::UserPresence { user, reply } => {
            note(format!("presence {user}"));
            done(
                reply,
                Ok(match user.as_str() {
                    "ann" => Some(ann()),
                    "bob" => Some(bob()),
                    _ => None,
                }),
            );
        }
        Ask::UpdatePresence { user, patch, reply } => {
            note(format!("update {user} {}", patch_in_words(&patch)));
            done(reply, refusal(user.as_str()).map_or(Ok(()), Err));
        }
        Ask::ConnectionStatus { reply } => {
            note("figures".to_owned());
            done(reply, Ok(Connections { connections: 4, users: 3, rooms: 2, locks: 1, conflicts: 5 }));
        }
        Ask::Broadcast { room, message, reply } => {
            note(format!("broadcast {room} {message}"));
            done(reply, refusal(room.as_str()).map_or(Ok(12), Err));
        }
        Ask::VerifyLock { token, resource, op, reply } => {
            note(format!("verify {} {resource} for {op:?}", token.0));
            done(reply, Ok(verdict(token, &resource)));
        }
        other => fake_edits::answer(other, note),
    }
}

fn is_from_silent(ask: &Ask) -> bool {
    matches!(ask, Ask::JoinRoom { user, .. } if user.as_str() == "silent")
}

pub(super) fn done<T>(reply: Reply<T>, answer: Result<T, Refused>) {
    // The asker may have given up.
    let _ = reply.send(answer);
}

pub(super) fn refusal(name: &str) -> Option<Refused> {
    let name = name.strip_prefix("refuse:")?;
    let code = code::ERRORS.iter().find(|code| code.name == name).expect("a code of the registry");
    Some(Refused { code: code.name, message: format!("the hub says {name}") })
}

fn verdict(token: Token, resource: &ResourceId) -> Verdict {
    match (token.0, resource.as_str()) {
        (77, "f1") => Verdict {
            valid: true,
            reason: None,
            lock_id: Some(LockId(token)),
            user_id: Some(UserId::new("ann").unwrap()),
            remaining_ms: 299_000,
            fence: Some(token),
        },
        _ => Verdict {
            valid: false,
            reason: Some("unknown_token"),
            lock_id: None,
            user_id: None,
            remaining_ms: 0,
            fence: None,
        },
    }
}

fn ann() -> Presence {
    Presence {
        user_id: UserId::new("ann").unwrap(),
        username: "User_ann".to_owned(),
        floor_id: Some(RoomId::new("f1").unwrap()),
        building_id: Some(BuildingId::new("hq").unwrap()),
        current_action: Some(raw(r#""editing""#)),
        cursor_position: Some(raw("[1.50, 2]")),
        last_seen: "2026-11-24T04:00:00.000Z".to_owned(),
        is_active: true,
        metadata: raw(r#"{"tool":"wall"}"#),
    }
}

fn bob() -> Presence {
    Presence {
        user_id: UserId::new("bob").unwrap(),
        username: "User_bob".to_owned(),
        floor_id: None,
        building_id: None,
        current_action: None,
        cursor_position: None,
        last_seen: "2026-11-24T03:00:00.000Z".to_owned(),
        is_active: false,
        metadata: raw("{}"),
    }
}

fn anns_lock() -> LockRow {
    LockRow {
        lock_id: LockId(Token(77)).to_string(),
        lock_type: LockType::FloorEdit.as_str().to_owned(),
        resource_id: "f1".to_owned(),
        resources: vec!["f1".to_owned()],
        rooms: vec!["f1".to_owned()],
        holder: Holder { user_id: "ann".to_owned(), username: "User_ann".to_owned(), session_id: "s_1".to_owned() },
        state: "active".to_owned(),
        acquired_at: "2026-11-24T04:00:00.000Z".to_owned(),
        expires_at: "2026-11-24T04:05:00.000Z".to_owned(),
        expires_in_ms: 300_000,
        idle_ms: 0,
        fencing_token: 77,
        waiters: 0,
        metadata: Some(raw(r#"{"reason":"walls"}"#)),
    }
}

pub(super) fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn patch_in_words(patch: &PresencePatch) -> String {
    fn word<T: ToString>(patch: &Patch<T>) -> String {
        match patch {
            Patch::Keep => "keep".to_owned(),
            Patch::Clear => "clear".to_owned(),
            Patch::Set(value) => value.to_string(),
        }
    }
    let (floor, action) = (word(&patch.floor_id), word(&patch.current_action));
    let (cursor, metadata) = (word(&patch.cursor_position), word(&patch.metadata));
    format!("floor={floor} action={action} cursor={cursor} metadata={metadata}")
}
