//! The fake hub's part of edits and conflicts: one conflict, `cf_1`, of Ann and Bob about `f1`; and one document, `f1`
//! at version 7. Users named `refuse:CODE` get that refusal; the edit of a user named after a result has that result.

use arxosrt_core::building::command::{EditBody, Resolution, Share};
use arxosrt_core::building::conflict::ConflictId;
use arxosrt_core::control::conflict::{ConflictRow, DisputedPath, ResolvedRow};
use arxosrt_core::edit::path::Path;
use arxosrt_core::edit::value::Value;
use arxosrt_core::id::UserId;
use arxosrt_core::wire::inbound_edit::{Edit, Resolve, SyncItem};

use super::fake_hub::{done, raw, refusal};
use crate::hub::ask::{Ask, By, Refused};

const PEOPLE: [&str; 2] = ["ann", "bob"];

pub fn answer(ask: Ask, note: &mut impl FnMut(String)) {
    match ask {
        Ask::Edit { user, edit, reply } => {
            note(format!("edit {user} {}", edit_in_words(&edit)));
            let result = format!(r#"{{"resource_id":"{}",{}}}"#, edit.resource, result_of(user.as_str()));
            done(reply, refusal(user.as_str()).map_or(Ok(raw(&result)), Err));
        }
        Ask::Sync { user, edits, reply } => {
            let words: Vec<String> = edits.iter().map(item_in_words).collect();
            note(format!("sync {user} {}", words.join("; ")));
            let one = |item: &SyncItem| match &item.edit {
                Ok(_) => format!("{{{}}}", result_of(user.as_str())),
                Err((code, _)) => format!(r#"{{"result":"rejected","code":"{}"}}"#, code.name),
            };
            let results: Vec<String> = edits.iter().map(one).collect();
            done(reply, Ok(raw(&format!("[{}]", results.join(",")))));
        }
        Ask::Document { resource, reply } => {
            note(format!("document {resource}"));
            let document = (resource.as_str() == "f1").then(|| (7, raw(r#"{"walls":[{"id":"w1","x":1.50}]}"#)));
            done(reply, Ok(document));
        }
        Ask::ReportConflict { report, reply } => {
            let room = report.room.as_ref().map_or("-", |room| room.as_str());
            note(format!(
                "report {} in {room} {} {} {} {} {:?}",
                report.resource,
                report.users[0],
                report.users[1],
                report.kind,
                report.severity.as_str(),
                report.description
            ));
            done(reply, Ok(ConflictId(2)));
        }
        Ask::Conflicts { filter, reply } => {
            note(format!(
                "conflicts of {:?} on {:?} settled {} before {:?} limit {} paths {}",
                filter.of.as_ref().map(UserId::as_str),
                filter.resource.as_ref().map(|resource| resource.as_str()),
                filter.settled,
                filter.before.map(|id| id.to_string()),
                filter.limit,
                filter.paths,
            ));
            let own = filter.of.is_some_and(|user| PEOPLE.contains(&user.as_str()));
            let paths = if filter.paths { conflict().paths } else { Vec::new() };
            done(reply, Ok(if own { vec![ConflictRow { paths, ..conflict() }] } else { Vec::new() }));
        }
        Ask::Conflict { conflict: id, of, reply } => {
            let user = of.expect("REST asks in a person's name");
            note(format!("conflict {id} of {user}"));
            done(reply, own(&user, id).map(|()| conflict()));
        }
        Ask::Resolve { resolve, by, dry_run, reply } => {
            assert!(!dry_run);
            let user = person(by);
            note(format!("resolve {user} {}", resolve_in_words(&resolve)));
            done(reply, own(&user, resolve.conflict).map(|()| resolved()));
        }
        Ask::Restore { conflict, whose, path, by, reply } => {
            let user = person(by);
            let whose = whose.as_ref().map(UserId::as_str);
            note(format!("restore {user} {conflict} of {whose:?} at {:?}", path.as_ref().map(Path::as_str)));
            done(reply, own(&user, conflict).map(|()| resolved()));
        }
        _ => panic!("REST asks nothing else"),
    }
}

fn result_of(user: &str) -> String {
    match user {
        "again" => r#""result":"duplicate","original":"merged","version":8"#.to_owned(),
        "conflict" | "fenced" | "locked" | "rejected" => format!(r#""result":"{user}","version":7"#),
        _ => r#""result":"applied","version":8"#.to_owned(),
    }
}

/// Unknown to all who have no part in it; the hub's words need not be the same.
fn own(user: &UserId, conflict: ConflictId) -> Result<(), Refused> {
    match refusal(user.as_str()) {
        Some(refused) => Err(refused),
        None if conflict != ConflictId(1) => Err(Refused { code: "conflict_not_found", message: "unknown".to_owned() }),
        None if !PEOPLE.contains(&user.as_str()) => {
            Err(Refused { code: "conflict_not_found", message: format!("{user} is neither of the two") })
        }
        None => Ok(()),
    }
}

fn person(by: By) -> UserId {
    match by {
        By::Person(user) => user,
        By::Operator(..) => panic!("nobody is an operator over REST"),
    }
}

fn edit_in_words(edit: &Edit) -> String {
    let body = match &edit.body {
        EditBody::Changes(changes) => format!("{} changes", changes.len()),
        EditBody::MergePatch(patch) => format!("patch {patch}"),
        EditBody::Whole(document) => format!("whole {document}"),
    };
    let room = edit.room.as_ref().map_or("-", |room| room.as_str());
    let (token, frame, name) = (edit.token.map(|token| token.0), edit.frame, edit.edit_id.as_deref());
    format!("{} in {room} from {}: {body} token {token:?} frame {frame:?} as {name:?}", edit.resource, edit.base)
}

fn item_in_words(item: &SyncItem) -> String {
    match &item.edit {
        Ok(edit) => edit_in_words(edit),
        Err((code, _)) => format!("{} as {:?}", code.name, item.edit_id.as_deref()),
    }
}

fn resolve_in_words(resolve: &Resolve) -> String {
    let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_json);
    let how = match &resolve.resolution {
        Resolution::AcceptMine => "mine".to_owned(),
        Resolution::AcceptTheirs => "theirs".to_owned(),
        Resolution::Winner(user) => format!("for {user}"),
        Resolution::Merge(shares) => {
            let one = |(path, share): &(Path, Share)| {
                let share = match share {
                    Share::Mine => "mine",
                    Share::Theirs => "theirs",
                    Share::Of(user) => user.as_str(),
                };
                format!("{}={share}", path.as_str())
            };
            format!("merge {}", shares.iter().map(one).collect::<Vec<_>>().join(" "))
        }
        Resolution::Manual(values) => {
            let one = |(path, given): &(Path, Option<Value>)| format!("{}={}", path.as_str(), value(given));
            format!("manual {}", values.iter().map(one).collect::<Vec<_>>().join(" "))
        }
        Resolution::ManualOne(given) => format!("manual {}", value(given)),
    };
    format!("{} at {:?} {how}", resolve.conflict, resolve.revision)
}

pub fn conflict() -> ConflictRow {
    ConflictRow {
        conflict_id: "cf_1".to_owned(),
        resource_id: "f1".to_owned(),
        rooms: vec!["f1".to_owned()],
        conflict_type: "concurrent_edit".to_owned(),
        severity: "medium".to_owned(),
        status: "open".to_owned(),
        source: "edit".to_owned(),
        user_id_1: "ann".to_owned(),
        username_1: "User_ann".to_owned(),
        user_id_2: "bob".to_owned(),
        username_2: "User_bob".to_owned(),
        description: "ann and bob changed /label of f1".to_owned(),
        created_at: "2026-11-24T04:00:00.000Z".to_owned(),
        revision: 1,
        version: 7,
        decided_in_ms: Some(60_000),
        escalated_at: None,
        resolution: None,
        resolved_by: None,
        resolved_at: None,
        reason: None,
        paths: vec![DisputedPath {
            path: "/label".to_owned(),
            fields: Vec::new(),
            conflict_type: "concurrent_edit".to_owned(),
            severity: "medium".to_owned(),
            base: raw("null"),
            value_1: raw("1.50"),
            value_2: raw(r#""b""#),
            current: raw("1.50"),
            kept: None,
        }],
    }
}

fn resolved() -> ResolvedRow {
    ResolvedRow {
        conflict_id: "cf_1".to_owned(),
        resource_id: "f1".to_owned(),
        changes: vec![raw(r#"{"op":"set","path":"/label","value":1.50}"#)],
        version: 8,
        dry_run: false,
    }
}
