//! Edits and conflicts as clients are told of them. Each function appends one JSON message or object to a buffer.
//!
//! The room hears of versions and changes only. Who disagrees with whom is told to the two, and each sees it from its
//! own side: `mine` is what the receiver wanted.

use super::code::{self, ErrorCode};
use super::json::{self, Object};
use super::outbound::{echo, open, position};
use crate::building::command::EditReply;
use crate::building::conflict::{Conflict, ConflictId, Opened, Settled, Status};
use crate::building::event::{EditAuthor, Edited, Seen};
use crate::edit::change::{Change, Place};
use crate::edit::conflict::PathConflict;
use crate::edit::rules::Unit;
use crate::edit::value::Value;
use crate::id::{ResourceId, UserId};
use crate::time::Wall;

/// `resource_updated`.
pub fn resource_updated(out: &mut Vec<u8>, epoch: &str, edited: &Edited, seen: Seen<'_>) {
    let mut o = open(out, "resource_updated", edited.at);
    o.text("resource_id", edited.resource.as_str()).int("version", edited.version);
    o.list("changes", &edited.changes, change);
    match &edited.author {
        EditAuthor::Person { user, username, .. } => {
            o.text("user_id", user.as_str()).text("username", username);
        }
        EditAuthor::Operator(name) => {
            o.text("by", name);
        }
    }
    position(&mut o, seen.room, seen.seq, epoch);
    o.end();
}

/// One change, as clients send them.
pub fn change(out: &mut Vec<u8>, change: &Change) {
    let mut o = Object::new(out);
    let (op, path) = match change {
        Change::Set { path, .. } => ("set", path),
        Change::Unset { path } => ("unset", path),
        Change::Insert { path, .. } => ("insert", path),
        Change::Remove { path, .. } => ("remove", path),
        Change::Move { path, .. } => ("move", path),
    };
    o.plain("op", op).text("path", path.as_str());
    match change {
        Change::Set { value, .. } => {
            o.raw("value", &value.to_json());
        }
        Change::Unset { .. } => {}
        Change::Insert { value, place, .. } => {
            o.raw("value", &value.to_json());
            after(&mut o, place);
        }
        Change::Remove { id, .. } => {
            o.text("id", id);
        }
        Change::Move { id, place, .. } => {
            o.text("id", id);
            after(&mut o, place);
        }
    }
    o.end();
}

fn after(o: &mut Object, place: &Place) {
    match place {
        Place::End => {}
        Place::Front => {
            o.raw("after", "null");
        }
        Place::After(id) => {
            o.text("after", id);
        }
    }
}

/// What became of one edit.
pub enum EditAnswer<'a> {
    /// It was taken in.
    Taken(&'a EditReply),
    /// It was not; nothing of it was kept.
    Refused {
        /// `locked` or `rejected`.
        result: &'static str,
        /// The registered code.
        code: ErrorCode,
        /// For people.
        detail: &'a str,
        /// The resource's version, where it helps to go on.
        version: Option<u64>,
    },
}

/// The members of an answer to an edit, without its envelope.
pub fn edit_answer(o: &mut Object, resource: Option<&ResourceId>, edit_id: Option<&str>, answer: &EditAnswer) {
    if let Some(resource) = resource {
        o.text("resource_id", resource.as_str());
    }
    if let Some(edit_id) = edit_id {
        o.text("edit_id", edit_id);
    }
    match answer {
        EditAnswer::Taken(reply) => {
            if reply.duplicate {
                o.plain("result", "duplicate").plain("original", reply.outcome.as_str());
            } else {
                o.plain("result", reply.outcome.as_str());
            }
            o.int("version", reply.version);
            if let Some(fault) = reply.fault {
                o.plain("reason", fault.as_str());
            }
            if !reply.conflicts.is_empty() {
                o.plain("conflict_id", reply.conflicts[0]);
                o.list("conflicts", &reply.conflicts, |out, id| json::string(out, &id.to_string()));
            }
        }
        EditAnswer::Refused { result, code, detail, version } => {
            o.plain("result", result).plain("code", code.name).text("detail", detail);
            o.bool("retryable", code.retryable);
            if let Some(version) = version {
                o.int("version", *version);
            }
        }
    }
}

/// `edit_result`; `result` is an answer as [`edit_answer`] writes it, an object. The edit's own `id` is carried by its
/// one `ack` or `error`.
pub fn edit_result(out: &mut Vec<u8>, at: Wall, id: Option<&str>, result: &[u8]) {
    let mut o = open(out, "edit_result", at);
    echo(&mut o, id);
    o.members_of(result);
    o.end();
}

/// `sync_result`; `results` are answers as [`edit_answer`] writes them, each an object.
pub fn sync_result(out: &mut Vec<u8>, at: Wall, id: Option<&str>, results: &[Vec<u8>]) {
    let mut o = open(out, "sync_result", at);
    echo(&mut o, id);
    o.list("results", results, |out, result| out.extend_from_slice(result));
    o.end();
}

/// Who looks at a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer<'a> {
    /// One of the two.
    Party(&'a UserId),
    /// An operator: sees both sides by name.
    Operator,
}

fn json_or_null(value: Option<&Value>) -> String {
    value.map_or_else(|| "null".to_owned(), Value::to_json)
}

/// What is disputed. Fields that are one value go by the path of the first that somebody changed.
fn unit(o: &mut Object, path: &PathConflict) {
    o.text("path", &path.name());
    if let Unit::Fields { fields, .. } = &path.unit {
        o.list("fields", fields, |out, field| json::string(out, field));
    }
}

/// One disputed path from the viewer's side.
fn disputed(out: &mut Vec<u8>, opened: &Opened, path: &PathConflict, viewer: Viewer) {
    let mut o = Object::new(out);
    unit(&mut o, path);
    o.plain("conflict_type", path.kind.as_str());
    o.plain("severity", path.severity.as_str());
    o.raw("base", &json_or_null(path.base.as_ref()));
    let (first, second) = (json_or_null(path.theirs.as_ref()), json_or_null(path.mine.as_ref()));
    // The second comes first: a draft under a lock that has ended may be between one person and himself, and what he
    // wants is what waits.
    match viewer {
        Viewer::Party(user) if *user == opened.second.user => o.raw("mine", &second).raw("theirs", &first),
        Viewer::Party(_) => o.raw("mine", &first).raw("theirs", &second),
        Viewer::Operator => o.with("values", |out| {
            let mut o = Object::new(out);
            o.raw_text_key(opened.first.user.as_str(), &first);
            o.raw_text_key(opened.second.user.as_str(), &second);
            o.end();
        }),
    };
    o.end();
}

fn about(o: &mut Object, opened: &Opened, viewer: Viewer) {
    o.plain("conflict_id", opened.id).text("resource_id", opened.resource.as_str());
    o.text("conflict_type", &opened.kind).plain("severity", opened.severity.as_str());
    o.text("user_id_1", opened.first.user.as_str()).text("user_id_2", opened.second.user.as_str());
    o.text("description", &opened.description).ascii("created_at", &opened.at.rfc3339());
    o.text("username_1", &opened.first.username).text("username_2", &opened.second.username);
    o.plain("source", opened.source.as_str()).int("version", opened.version);
    o.list("rooms", &opened.rooms, |out, room| json::string(out, room.as_str()));
    let is_only_first = viewer == Viewer::Party(&opened.first.user) && opened.first.user != opened.second.user;
    if let Some(edit_id) = &opened.edit_id
        && !is_only_first
    {
        o.text("edit_id", edit_id);
    }
    o.list("paths", &opened.paths, |out, path| disputed(out, opened, path, viewer));
}

/// `conflict_risk`: the receiver and another person are likely to get into a conflict. Signs are names from the forecast.
pub fn conflict_risk(
    out: &mut Vec<u8>,
    at: Wall,
    resource: &ResourceId,
    other: (&UserId, &str),
    probability: f64,
    signs: &[&str],
) {
    let mut o = open(out, "conflict_risk", at);
    o.text("resource_id", resource.as_str()).text("user_id", other.0.as_str()).text("username", other.1);
    // More digits than these would claim to know more.
    o.raw("probability", &format!("{:.2}", probability.clamp(0.0, 1.0)));
    o.list("because", signs, |out, sign| json::string(out, sign));
    o.end();
}

/// `conflict_detected`, as one of the two sees it.
pub fn conflict_detected(
    out: &mut Vec<u8>,
    at: Wall,
    opened: &Opened,
    revision: u32,
    due_ms: Option<u64>,
    to: &UserId,
) {
    let mut o = open(out, "conflict_detected", at);
    about(&mut o, opened, Viewer::Party(to));
    o.int("revision", u64::from(revision));
    if let Some(due_ms) = due_ms {
        o.int("decided_in_ms", due_ms);
    }
    o.end();
}

/// `conflict_resolved`, as one of the two sees it.
pub fn conflict_resolved(out: &mut Vec<u8>, at: Wall, opened: &Opened, settled: &Settled) {
    let mut o = open(out, "conflict_resolved", at);
    o.plain("conflict_id", opened.id).text("resource_id", opened.resource.as_str());
    how(&mut o, opened, settled);
    o.end();
}

fn how(o: &mut Object, opened: &Opened, settled: &Settled) {
    o.plain("resolution", settled.word.as_str()).text("resolved_by", settled.by.as_str());
    o.ascii("resolved_at", &settled.at.rfc3339()).int("version", settled.version);
    if let crate::building::conflict::SettledBy::Operator(_, reason) = &settled.by {
        o.text("reason", reason);
    }
    o.list("kept", opened.paths.iter().zip(&settled.kept), |out, (path, kept)| {
        let mut o = Object::new(out);
        unit(&mut o, path);
        match opened.user(*kept) {
            Some(user) => o.text("user_id", user.as_str()),
            None => o.raw("user_id", "null"),
        };
        o.end();
    });
}

/// A conflict with where it stands, as an object: for lists and for looking at one.
pub fn conflict(out: &mut Vec<u8>, conflict: &Conflict, due_ms: Option<u64>, viewer: Viewer) {
    let mut o = Object::new(out);
    about(&mut o, &conflict.opened, viewer);
    o.int("revision", u64::from(conflict.revision)).plain("status", conflict.status.as_str());
    if let Some(due_ms) = due_ms {
        o.int("decided_in_ms", due_ms);
    }
    match &conflict.status {
        Status::Open => {}
        Status::Escalated { at } => {
            o.ascii("escalated_at", &at.rfc3339());
        }
        Status::Settled(settled) => how(&mut o, &conflict.opened, settled),
    }
    o.end();
}

/// `conflicts`: those of the asker that wait to be settled.
pub fn conflicts(out: &mut Vec<u8>, at: Wall, id: Option<&str>, conflicts: &[Vec<u8>]) {
    let mut o = open(out, "conflicts", at);
    echo(&mut o, id);
    o.list("conflicts", conflicts, |out, conflict| out.extend_from_slice(conflict));
    o.end();
}

/// `conflict_resolution_response`, when it is settled. `conflict` is what the client sent.
pub fn resolution_done(
    out: &mut Vec<u8>,
    at: Wall,
    id: Option<&str>,
    conflict: ConflictId,
    version: u64,
    changes: &[Change],
) {
    let mut o = open(out, "conflict_resolution_response", at);
    echo(&mut o, id);
    o.bool("success", true).plain("conflict_id", conflict).int("version", version);
    o.list("changes", changes, change);
    o.end();
}

/// `conflict_resolution_response`, when it is not.
pub fn resolution_refused(
    out: &mut Vec<u8>,
    at: Wall,
    id: Option<&str>,
    conflict: &str,
    code: ErrorCode,
    detail: &str,
) {
    let mut o = open(out, "conflict_resolution_response", at);
    echo(&mut o, id);
    o.bool("success", false).text("conflict_id", conflict).plain("code", code.name).text("detail", detail);
    o.bool("retryable", code.retryable);
    o.end();
}

/// The result and code of an edit that was refused for this reason.
pub fn refused_as(code: ErrorCode) -> &'static str {
    if code == code::LOCK_HELD { "locked" } else { "rejected" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::building::conflict::{Party, Source};
    use crate::edit::conflict::Side;
    use crate::edit::path::Path;
    use crate::edit::rules::{ConflictKind, Severity};

    fn party(user: &str) -> Party {
        Party { user: UserId::new(user).unwrap(), username: user.into() }
    }

    fn opened(first: &str, second: &str) -> Opened {
        Opened {
            at: Wall(0),
            id: ConflictId(1),
            resource: ResourceId::new("door").unwrap(),
            rooms: Default::default(),
            version: 1,
            kind: "stale_token".into(),
            severity: Severity::Medium,
            first: party(first),
            second: party(second),
            paths: vec![PathConflict {
                unit: Unit::Node(Path::parse("/name").unwrap()),
                kind: ConflictKind::ConcurrentEdit,
                severity: Severity::Medium,
                base: None,
                mine: Some(Value::parse("\"waits\"").unwrap()),
                theirs: Some(Value::parse("\"committed\"").unwrap()),
                kept: Side::Theirs,
                their_author: None,
            }],
            description: "".into(),
            edit_id: Some("e1".into()),
            source: Source::StaleToken,
            resource_kind: crate::edit::rules::ResourceKind::Object,
        }
    }

    /// What one of the two reads as his own value, and whether the name of the edit is told to him.
    fn seen(opened: &Opened, by: &str) -> (String, bool) {
        let mut out = Vec::new();
        conflict_detected(&mut out, Wall(0), opened, 1, None, &UserId::new(by).unwrap());
        let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
        (told["paths"][0]["mine"].as_str().unwrap().to_owned(), told["edit_id"] == "e1")
    }

    #[test]
    fn mine_is_what_accept_mine_would_write() {
        assert_eq!(seen(&opened("ana", "ben"), "ana"), ("committed".to_owned(), false));
        assert_eq!(seen(&opened("ana", "ben"), "ben"), ("waits".to_owned(), true));
        assert_eq!(
            seen(&opened("ana", "ana"), "ana"),
            ("waits".to_owned(), true),
            "a draft of one's own is what waits"
        );
    }
}
