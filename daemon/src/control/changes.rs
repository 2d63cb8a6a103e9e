//! What operators change. Each change is asked of the hub, then recorded: who, what, why, with which result.
//!
//! A change runs as a task of its own: an operator who hangs up in the middle neither stops it nor keeps it out of the
//! audit. If the audit cannot be written the change has still happened; the answer then has no `audit_id` and the
//! daemon's log has the record.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arxosrt_core::control::code::Code;
use arxosrt_core::control::document::{DrainRequest, NoticeRequest, ReasonRequest};
use arxosrt_core::control::hello::Peer;
use arxosrt_core::control::{Changed, OperatorEvent};
use arxosrt_core::id::{RoomId, SessionId, UserId};
use arxosrt_core::lock::{LockId, TOKEN_MAX, Token};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::response::Response;

use super::extract::{Admin, Input, Named, Operating};
use super::failure::Failure;
use super::records::AuditEntry;
use super::routes::{document, find_room};
use super::server::{Server, wall_now};
use super::{DRAIN_WINDOW_MS_MAX, REASON_BYTES_MAX};
use crate::hub::ask::{Ask, Operator, Reply};

type Answer = Result<Response, Failure>;
type Shared = State<Arc<Server>>;

/// `POST /v1/rooms/{id}/notice`: a broadcast in the operator's name.
pub(super) async fn notice(
    State(server): Shared,
    Operating(peer): Operating,
    Named(room): Named<RoomId>,
    Input(NoticeRequest { message, reason }): Input<NoticeRequest>,
) -> Answer {
    let reason = reason.map(check_reason).transpose()?;
    find_room(&server, &room).await?;
    let deed = Deed {
        action: "room.send",
        target: room.to_string(),
        reason,
    };
    // The hub answers with the message's sequence number; what it touched is one room.
    let ask = move |by, reply| Ask::Broadcast {
        room,
        message,
        by: Some(by),
        reply,
    };
    change(server, peer, deed, ask, |_seq| 1).await
}

/// `DELETE /v1/users/{id}`: end all sessions of a user.
pub(super) async fn kick_user(
    State(server): Shared,
    Admin(peer): Admin,
    Named(user): Named<UserId>,
    Input(body): Input<ReasonRequest>,
) -> Answer {
    let reason = check_reason(body.reason)?;
    let deed = Deed {
        action: "user.kick",
        target: user.to_string(),
        reason: Some(reason.clone()),
    };
    let ask = move |by, reply| Ask::Kick {
        user: Some(user),
        session: None,
        reason,
        by,
        reply,
    };
    change_something(server, peer, deed, ask, Code::UserNotFound).await
}

/// `DELETE /v1/sessions/{id}`: end one session.
pub(super) async fn kick_session(
    State(server): Shared,
    Admin(peer): Admin,
    Named(session): Named<SessionId>,
    Input(body): Input<ReasonRequest>,
) -> Answer {
    let reason = check_reason(body.reason)?;
    let deed = Deed {
        action: "session.kick",
        target: session.to_string(),
        reason: Some(reason.clone()),
    };
    let ask = move |by, reply| Ask::Kick {
        user: None,
        session: Some(session),
        reason,
        by,
        reply,
    };
    change_something(server, peer, deed, ask, Code::SessionNotFound).await
}

/// `DELETE /v1/locks/{id}` with `If-Match: TOKEN`: take a lock from its holder, if it is still the lock that was seen.
pub(super) async fn force_release(
    State(server): Shared,
    Admin(peer): Admin,
    Named(lock): Named<LockId>,
    headers: HeaderMap,
    Input(body): Input<ReasonRequest>,
) -> Answer {
    let expected = expected_token(&headers)?;
    let reason = check_reason(body.reason)?;
    let deed = Deed {
        action: "lock.force_release",
        target: lock.to_string(),
        reason: Some(reason.clone()),
    };
    let ask = move |by, reply| Ask::ForceRelease {
        lock,
        expected,
        reason,
        by,
        reply,
    };
    change_something(server, peer, deed, ask, Code::LockNotFound).await
}

/// `POST /v1/drain`: send every client away over a window.
pub(super) async fn drain(
    State(server): Shared,
    Admin(peer): Admin,
    Input(DrainRequest { window_ms, reason }): Input<DrainRequest>,
) -> Answer {
    if window_ms > DRAIN_WINDOW_MS_MAX {
        let detail = format!("a drain window is at most {DRAIN_WINDOW_MS_MAX} ms, not {window_ms}");
        return Err(Failure::new(Code::BadRequest, detail));
    }
    let deed = Deed {
        action: "drain",
        target: "daemon".into(),
        reason: reason.map(check_reason).transpose()?,
    };
    let ask = move |by, reply| Ask::Drain {
        window_ms,
        by: Some(by),
        reply,
    };
    let answer = change(Arc::clone(&server), peer, deed, ask, |count| count).await?;
    server.draining.store(true, Ordering::Relaxed);
    Ok(answer)
}

/// What is done, to what, and why.
struct Deed {
    action: &'static str,
    target: String,
    reason: Option<String>,
}

/// A change that must touch something: none is `not_found`.
async fn change_something(
    server: Arc<Server>,
    peer: Arc<Peer>,
    deed: Deed,
    ask: impl FnOnce(Operator, Reply<u64>) -> Ask + Send + 'static,
    not_found: Code,
) -> Answer {
    let target = deed.target.clone();
    perform(server, peer, deed, ask, move |count| match count {
        0 => Err(Failure::new(
            not_found,
            format!("{}: {target:?}", not_found.title()),
        )),
        count => Ok(count),
    })
    .await
}

async fn change(
    server: Arc<Server>,
    peer: Arc<Peer>,
    deed: Deed,
    ask: impl FnOnce(Operator, Reply<u64>) -> Ask + Send + 'static,
    count: impl FnOnce(u64) -> u64 + Send + 'static,
) -> Answer {
    perform(server, peer, deed, ask, |answer| Ok(count(answer))).await
}

/// Asks, judges the hub's figure, records, tells; to the end, whoever is still listening.
async fn perform(
    server: Arc<Server>,
    peer: Arc<Peer>,
    deed: Deed,
    ask: impl FnOnce(Operator, Reply<u64>) -> Ask + Send + 'static,
    judge: impl FnOnce(u64) -> Result<u64, Failure> + Send + 'static,
) -> Answer {
    let task = tokio::spawn(async move {
        let by = Operator {
            name: peer.actor(),
            uid: peer.uid,
            pid: peer.pid,
            role: peer.role.as_str(),
        };
        let outcome = server.ask(|reply| ask(by, reply)).await.and_then(judge);
        let result = outcome
            .as_ref()
            .map_or_else(|failure| failure.code.name(), |_| "ok");
        let (action, target) = (deed.action, deed.target.clone());
        let audit_id = record(&server, &peer, deed, result).await;
        let count = outcome?;
        document(
            "Changed",
            Changed {
                action: action.into(),
                target,
                count,
                audit_id,
            },
        )
    });
    task.await.unwrap_or_else(|error| {
        Err(Failure::new(
            Code::Internal,
            format!("the change broke off: {error}"),
        ))
    })
}

/// Writes the audit record and tells the streams of the topic `audit`.
async fn record(server: &Server, peer: &Peer, deed: Deed, result: &'static str) -> Option<u64> {
    let at = wall_now();
    let entry = AuditEntry {
        at_ms: at.0,
        actor: peer.actor(),
        uid: peer.uid,
        pid: peer.pid,
        role: peer.role,
        action: deed.action,
        target: deed.target,
        reason: deed.reason,
        result,
    };
    tracing::info!(
        actor = entry.actor,
        pid = entry.pid,
        role = entry.role.as_str(),
        action = entry.action,
        target = entry.target,
        reason = entry.reason,
        result,
        "an operator's change"
    );
    // Nobody may be listening.
    let _ = server.audits.send(OperatorEvent {
        at: at.to_string(),
        topic: "audit".into(),
        kind: format!("audit.{}", entry.action),
        room_id: None,
        user_id: None,
        subject: Some(entry.target.clone()),
        detail: Some(format!("{} by {}", entry.result, entry.actor)),
    });
    match server.context.records.record(entry).await {
        Ok(id) => Some(id),
        Err(error) => {
            tracing::error!(?error, "the audit record above could not be stored");
            None
        }
    }
}

/// A reason is a line of text: it is shown to the person concerned and in terminals.
fn check_reason(reason: String) -> Result<String, Failure> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Failure::new(
            Code::BadRequest,
            "a reason is needed: it is told to those concerned and audited",
        ));
    }
    if reason.len() > REASON_BYTES_MAX {
        let detail = format!(
            "a reason has at most {REASON_BYTES_MAX} bytes, this one has {}",
            reason.len()
        );
        return Err(Failure::new(Code::BadRequest, detail));
    }
    if reason.chars().any(char::is_control) {
        return Err(Failure::new(
            Code::BadRequest,
            "a reason must not hold control characters",
        ));
    }
    Ok(reason.to_owned())
}

/// The token in `If-Match`, with or without quotes. There is no `*`: an operator says which lock was seen.
fn expected_token(headers: &HeaderMap) -> Result<Token, Failure> {
    let Some(value) = headers.get(IF_MATCH) else {
        return Err(Failure::new(
            Code::TokenRequired,
            "If-Match must hold the fencing token that was seen",
        )
        .hint("GET the lock first; its fencing_token is the value"));
    };
    let text = value.to_str().unwrap_or_default();
    let digits = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    match digits.parse() {
        Ok(token @ 0..=TOKEN_MAX) => Ok(Token(token)),
        _ => Err(Failure::new(
            Code::BadRequest,
            format!("{text:?} in If-Match is not a fencing token"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_one_token_quoted_or_not() {
        let token = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, text.parse().unwrap());
            expected_token(&headers).map_err(|failure| failure.code)
        };
        assert_eq!(token("184190"), Ok(Token(184_190)));
        assert_eq!(token("\"184190\""), Ok(Token(184_190)));
        for bad in ["*", "", "\"1", "-1", "1,2", "9007199254740992", "W/\"1\""] {
            assert_eq!(token(bad), Err(Code::BadRequest), "{bad}");
        }
        assert_eq!(
            expected_token(&HeaderMap::new()).unwrap_err().code,
            Code::TokenRequired
        );
    }

    #[test]
    fn a_reason_is_one_line_that_says_something() {
        assert_eq!(
            check_reason("  left for the day ".into()),
            Ok("left for the day".into())
        );
        for bad in [
            String::new(),
            "  ".into(),
            "a\u{1b}[2J".into(),
            "a\nb".into(),
            "x".repeat(1025),
        ] {
            assert!(check_reason(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
