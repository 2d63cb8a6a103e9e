//! What the generator says to a server, and how it understands the answers.
//!
//! Two dialects: the JSON of arxosrt (which the Node and FastAPI peers speak too) and the floor's. Frames are written
//! straight into a buffer, masked; answers are recognised by their `type` without being parsed. What a scenario must
//! tell apart travels inside the cursor position, `[user, n]`: every server hands that on unchanged.

use std::io::Write;

use memchr::memmem::{self, Finder};

use crate::floor;
use crate::frame::{self, Opcode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    Arxosrt {
        /// Says `hello` first, as new clients do.
        hello: bool,
    },
    Floor,
}

pub struct Dialect {
    speech: Speech,
    /// The one room that is meant by every number.
    room: Option<String>,
    cursor: Finder<'static>,
}

/// A server's message, as far as any scenario cares.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    Joined,
    Broadcast,
    Presence {
        user: u32,
        n: u32,
    },
    /// The lock's id.
    LockGranted(&'a [u8]),
    LockReleased,
    Edited {
        lane: u32,
        version: u64,
        merged: bool,
        /// The conflict's id, if there is one.
        conflict: Option<&'a [u8]>,
    },
    /// A conflict is settled, or was before.
    Settled,
    /// An error, or a refusal of what no scenario expects to be refused.
    Refused,
    Other,
}

impl Dialect {
    pub fn new(speech: Speech) -> Self {
        Self { speech, room: None, cursor: Finder::new(b"\"cursor_position\":") }
    }

    /// The same speech, of people who are all in one room.
    pub fn in_room(&self, room: &str) -> Self {
        Self { room: Some(room.to_owned()), ..Self::new(self.speech) }
    }

    pub fn path(&self, user: usize) -> String {
        format!("/v1/realtime/ws/u{user}")
    }

    pub fn push_join(&self, out: &mut Vec<u8>, room: usize) {
        match self.speech {
            Speech::Floor => text(out, format_args!("J room{room}")),
            Speech::Arxosrt { hello } => {
                if hello {
                    text(out, format_args!(r#"{{"type":"hello","protocol":2,"features":["resume"]}}"#));
                }
                match &self.room {
                    None => text(out, format_args!(r#"{{"type":"join_room","room_id":"room{room}"}}"#)),
                    Some(room) => text(out, format_args!(r#"{{"type":"join_room","room_id":"{room}"}}"#)),
                }
            }
        }
    }

    /// A message to the room with `body_bytes` of body; to the floor, a frame of just that size.
    pub fn push_broadcast(&self, out: &mut Vec<u8>, room: usize, body_bytes: usize) {
        frame::push_masked(out, Opcode::Text, |out| match self.speech {
            Speech::Floor => out.resize(out.len() + body_bytes, b'x'),
            Speech::Arxosrt { .. } => {
                write(out, format_args!(r#"{{"type":"broadcast","room_id":"room{room}","message":{{"d":""#));
                out.resize(out.len() + body_bytes, b'x');
                out.extend_from_slice(br#""}}"#);
            }
        });
    }

    pub fn push_presence(&self, out: &mut Vec<u8>, user: u32, n: u32) {
        text(out, format_args!(r#"{{"type":"update_presence","cursor_position":[{user},{n}]}}"#));
    }

    pub fn push_acquire(&self, out: &mut Vec<u8>, room: usize, object: usize) {
        text(
            out,
            format_args!(
                r#"{{"type":"acquire_lock","lock_type":"object_edit","room_id":"room{room}","resource_id":"room{room}-object{object}"}}"#
            ),
        );
    }

    pub fn push_release(&self, out: &mut Vec<u8>, lock_id: &[u8]) {
        frame::push_masked(out, Opcode::Text, |out| {
            out.extend_from_slice(br#"{"type":"release_lock","lock_id":""#);
            out.extend_from_slice(lock_id);
            out.extend_from_slice(br#""}"#);
        });
    }

    /// Sets one member of a document. The lane comes back with the answer.
    pub fn push_edit(&self, out: &mut Vec<u8>, lane: usize, resource: &str, base: u64, path: &str, value: u64) {
        text(
            out,
            format_args!(
                r#"{{"type":"edit","id":"{lane}","resource_id":"{resource}","base_version":{base},"changes":[{{"op":"set","path":"{path}","value":{value}}}]}}"#
            ),
        );
    }

    /// Gives in.
    pub fn push_resolve(&self, out: &mut Vec<u8>, conflict: &[u8]) {
        frame::push_masked(out, Opcode::Text, |out| {
            out.extend_from_slice(br#"{"type":"resolve_conflict","resolution":"accept_theirs","conflict_id":""#);
            out.extend_from_slice(conflict);
            out.extend_from_slice(br#""}"#);
        });
    }

    /// Leaves without being missed: a server need not keep the session of who says goodbye.
    pub fn push_goodbye(&self, out: &mut Vec<u8>) {
        frame::push_masked(out, Opcode::Close, |out| out.extend_from_slice(&1000_u16.to_be_bytes()));
    }

    pub fn understand<'a>(&self, message: &'a [u8]) -> Heard<'a> {
        if self.speech == Speech::Floor {
            return match message {
                floor::JOINED => Heard::Joined,
                [b'{', ..] => self.presence(message),
                _ => Heard::Broadcast,
            };
        }
        match kind(message) {
            b"broadcast" => Heard::Broadcast,
            b"presence_updated" => self.presence(message),
            b"room_state" => Heard::Joined,
            b"lock_response" if succeeded(message) => {
                string_after(message, b"\"lock_id\":").map_or(Heard::Refused, Heard::LockGranted)
            }
            b"lock_release_response" if succeeded(message) => Heard::LockReleased,
            b"edit_result" => edited(message).unwrap_or(Heard::Refused),
            b"conflict_resolution_response" => Heard::Settled,
            b"lock_response" | b"lock_release_response" | b"error" | b"resync_required" => Heard::Refused,
            _ => Heard::Other,
        }
    }

    fn presence(&self, message: &[u8]) -> Heard<'static> {
        let Some(at) = self.cursor.find(message) else {
            return Heard::Other;
        };
        let rest = &message[at + self.cursor.needle().len()..];
        let Some((user, rest)) = next_number(rest) else {
            return Heard::Other;
        };
        // A server may have made a float of it: what follows the point is skipped.
        let comma = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
        match next_number(&rest[comma..]) {
            Some((n, _)) => Heard::Presence { user, n },
            None => Heard::Other,
        }
    }
}

fn text(out: &mut Vec<u8>, message: std::fmt::Arguments<'_>) {
    frame::push_masked(out, Opcode::Text, |out| write(out, message));
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}

/// The value of `type`, which every known server writes first.
fn kind(message: &[u8]) -> &[u8] {
    let key = b"\"type\":";
    let at = if message[1.min(message.len())..].starts_with(key) { Some(1) } else { memmem::find(message, key) };
    at.and_then(|at| string_at(&message[at + key.len()..])).unwrap_or_default()
}

fn succeeded(message: &[u8]) -> bool {
    let key = b"\"success\":";
    memmem::find(message, key).is_some_and(|at| message[at + key.len()..].trim_ascii_start().starts_with(b"true"))
}

fn edited(message: &[u8]) -> Option<Heard<'_>> {
    let result = string_after(message, b"\"result\":")?;
    let number = |key: &[u8]| next_number(&message[memmem::find(message, key)? + key.len()..]).map(|(n, _)| n);
    matches!(result, b"applied" | b"merged" | b"conflict").then_some(())?;
    Some(Heard::Edited {
        lane: number(b"\"request_id\":")?,
        version: u64::from(number(b"\"version\":")?),
        merged: result == b"merged",
        conflict: string_after(message, b"\"conflict_id\":"),
    })
}

fn string_after<'a>(message: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    string_at(&message[memmem::find(message, key)? + key.len()..])
}

/// The string that begins here, behind white space. Ids hold no escapes.
fn string_at(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.trim_ascii_start().strip_prefix(b"\"")?;
    Some(&rest[..memchr::memchr(b'"', rest)?])
}

/// The first number in `bytes`, and what follows it.
fn next_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let start = bytes.iter().position(u8::is_ascii_digit)?;
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = bytes[start..start + digits]
        .iter()
        .fold(0_u32, |value, digit| value.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')));
    Some((value, &bytes[start + digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood_however_they_are_spaced() {
        let json = Dialect::new(Speech::Arxosrt { hello: true });
        let cases: [(&str, Heard<'_>); 14] = [
            (r#"{"type":"room_state","room_id":"room1","users":[]}"#, Heard::Joined),
            (r#"{"type": "broadcast", "message": {"d": "x"}}"#, Heard::Broadcast),
            (r#"{"room_id":"room1","type":"broadcast"}"#, Heard::Broadcast),
            (r#"{"type":"presence_updated","cursor_position":[12,345]}"#, Heard::Presence { user: 12, n: 345 }),
            (r#"{"type": "presence_updated", "cursor_position": [12.0, 3.0]}"#, Heard::Presence { user: 12, n: 3 }),
            (r#"{"type":"presence_updated","cursor_position":null}"#, Heard::Other),
            (r#"{"type":"lock_response","success":true,"lock_id":"ab-1"}"#, Heard::LockGranted(b"ab-1")),
            (r#"{"type": "lock_response", "success": false, "lock_id": "ab-1"}"#, Heard::Refused),
            (r#"{"type":"lock_release_response","success":true,"lock_id":"ab-1"}"#, Heard::LockReleased),
            (
                r#"{"type":"edit_result","request_id":"3","resource_id":"o1","result":"merged","version":12}"#,
                Heard::Edited { lane: 3, version: 12, merged: true, conflict: None },
            ),
            (
                r#"{"type":"edit_result","request_id":"0","result":"conflict","version":9,"conflict_id":"cf_4"}"#,
                Heard::Edited { lane: 0, version: 9, merged: false, conflict: Some(b"cf_4") },
            ),
            (r#"{"type":"edit_result","request_id":"0","result":"rejected","code":"bad_edit"}"#, Heard::Refused),
            (r#"{"type":"user_joined_room","user_id":"u1"}"#, Heard::Other),
            ("", Heard::Other),
        ];
        for (message, heard) in cases {
            assert_eq!(json.understand(message.as_bytes()), heard, "{message}");
        }
    }

    #[test]
    fn the_floor_hands_back_what_it_was_given() {
        let floor = Dialect::new(Speech::Floor);
        assert_eq!(floor.understand(floor::JOINED), Heard::Joined);
        assert_eq!(floor.understand(b"xxxx"), Heard::Broadcast);
        let mut out = Vec::new();
        floor.push_presence(&mut out, 7, 4_000_000_000);
        let message = unmasked(&mut out);
        assert_eq!(floor.understand(message), Heard::Presence { user: 7, n: 4_000_000_000 });
    }

    #[test]
    fn a_broadcast_carries_exactly_its_body() {
        let mut out = Vec::new();
        Dialect::new(Speech::Floor).push_broadcast(&mut out, 3, 100);
        assert_eq!(unmasked(&mut out), [b'x'; 100]);
        let mut out = Vec::new();
        Dialect::new(Speech::Arxosrt { hello: false }).push_broadcast(&mut out, 3, 4);
        assert_eq!(unmasked(&mut out), br#"{"type":"broadcast","room_id":"room3","message":{"d":"xxxx"}}"#);
    }

    fn unmasked(bytes: &mut [u8]) -> &[u8] {
        let frame::Found::Frame { start, end, mask, .. } = frame::find(bytes) else { panic!("no frame") };
        frame::apply_mask(&mut bytes[start..end], mask.expect("clients mask"));
        &bytes[start..end]
    }
}
