//! What operators change. Each change goes to the hub together with its audit record: who, what, to what, why. The hub
//! adds the result and commits both in one transaction, so neither is ever there without the other.
//!
//! A change runs as a task of its own: an operator who hangs up in the middle neither stops it nor keeps it out of the
//! audit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arxosrt_core::control::Changed;
use arxosrt_core::control::code::Code;
use arxosrt_core::control::document::{DrainRequest, NoticeRequest, ReasonRequest};
use arxosrt_core::control::hello::Peer;
use arxosrt_core::id::{RoomId, SessionId, UserId};
use arxosrt_core::lock::{LockId, TOKEN_MAX, Token};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::response::Response;

use super::extract::{Admin, Input, Named, Operating};
use super::failure::Failure;
use super::routes::document;
use super::server::{Server, wall_now};
use super::{DRAIN_WINDOW_MS_MAX, REASON_BYTES_MAX};
use crate::hub::ask::{Ask, Drained, Reply};
use crate::hub::operate::DONE;
use crate::store::AuditRecord;

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
    let deed = Deed { action: "room.send", target: room.to_string(), reason };
    let ask = move |audit, reply| Ask::Notice { room, message, audit, reply };
    // The hub's figure is the message's sequence number.
    change(server, peer, deed, ask, |_seq| Touched::ONE).await
}

/// `DELETE /v1/users/{id}`: end all sessions of a user.
pub(super) async fn kick_user(
    State(server): Shared,
    Admin(peer): Admin,
    Named(user): Named<UserId>,
    Input(body): Input<ReasonRequest>,
) -> Answer {
    let reason = Some(check_reason(body.reason)?);
    let deed = Deed { action: "user.kick", target: user.to_string(), reason };
    let ask = move |audit, reply| Ask::Kick { user: Some(user), session: None, audit, reply };
    change(server, peer, deed, ask, Touched::count).await
}

/// `DELETE /v1/sessions/{id}`: end one session.
pub(super) async fn kick_session(
    State(server): Shared,
    Admin(peer): Admin,
    Named(session): Named<SessionId>,
    Input(body): Input<ReasonRequest>,
) -> Answer {
    let reason = Some(check_reason(body.reason)?);
    let deed = Deed { action: "session.kick", target: session.to_string(), reason };
    let ask = move |audit, reply| Ask::Kick { user: None, session: Some(session), audit, reply };
    change(server, peer, deed, ask, Touched::count).await
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
    let reason = Some(check_reason(body.reason)?);
    let deed = Deed { action: "lock.force_release", target: lock.to_string(), reason };
    let ask = move |audit, reply| Ask::ForceRelease { lock, expected, audit, reply };
    change(server, peer, deed, ask, Touched::count).await
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
    let reason = reason.map(check_reason).transpose()?;
    let deed = Deed { action: "drain", target: "daemon".into(), reason };
    let ask = move |audit, reply| Ask::Drain { window_ms, audit: Some(audit), reply };
    let told = |drained: Drained| Touched { count: drained.clients, window_ms: Some(drained.window_ms) };
    let answer = change(Arc::clone(&server), peer, deed, ask, told).await?;
    server.draining.store(true, Ordering::Relaxed);
    Ok(answer)
}

/// What the operator is told about the extent of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Touched {
    /// So many things were changed.
    count: u64,
    /// Over so long.
    window_ms: Option<u64>,
}

impl Touched {
    const ONE: Touched = Touched { count: 1, window_ms: None };

    fn count(count: u64) -> Self {
        Touched { count, window_ms: None }
    }
}

/// What is done, to what, and why.
#[derive(Clone)]
pub(super) struct Deed {
    pub action: &'static str,
    pub target: String,
    pub reason: Option<String>,
}

impl Deed {
    /// The record of it, whose result the hub fills in.
    pub fn record(&self, peer: &Peer) -> AuditRecord {
        AuditRecord {
            at_ms: wall_now().0,
            actor: peer.actor().into(),
            uid: peer.uid,
            pid: peer.pid,
            role: peer.role.as_str().into(),
            action: self.action.into(),
            target: self.target.as_str().into(),
            reason: self.reason.as_deref().unwrap_or_default().into(),
            result: "".into(),
        }
    }
}

/// Asks, and tells what became of it.
async fn change<T: Send + 'static>(
    server: Arc<Server>,
    peer: Arc<Peer>,
    deed: Deed,
    ask: impl FnOnce(AuditRecord, Reply<T>) -> Ask + Send + 'static,
    told: impl FnOnce(T) -> Touched + Send + 'static,
) -> Answer {
    let mut record = deed.record(&peer);
    let (action, target) = (deed.action, deed.target.clone());
    // The very same: its time is part of what it is found again by.
    let kept = record.clone();
    let asked = carry_out(Arc::clone(&server), peer, deed, move |_, reply| ask(kept, reply)).await?;
    let Touched { count, window_ms } = told(asked);
    record.result = DONE.into();
    let audit_id = server.context.records.number(record).await.unwrap_or_default();
    document("Changed", Changed { action: action.into(), target, count, window_ms, audited: true, audit_id })
}

/// Asks the hub for a change, to the end, whoever is still listening.
pub(super) async fn carry_out<T: Send + 'static>(
    server: Arc<Server>,
    peer: Arc<Peer>,
    deed: Deed,
    ask: impl FnOnce(AuditRecord, Reply<T>) -> Ask + Send + 'static,
) -> Result<T, Failure> {
    let task = tokio::spawn(async move {
        let record = deed.record(&peer);
        let outcome = server.ask(|reply| ask(record, reply)).await;
        let result = outcome.as_ref().map_or_else(|failure| failure.code.name(), |_| DONE);
        let Deed { action, target, reason } = deed;
        let (actor, pid, role) = (peer.actor(), peer.pid, peer.role.as_str());
        // `target` is the name that every line gives to the module that wrote it.
        tracing::info!(actor, pid, role, action, subject = target, reason, result, "an operator's change");
        outcome
    });
    task.await.unwrap_or_else(|error| Err(Failure::new(Code::Internal, format!("the change broke off: {error}"))))
}

/// A reason is a line of text: it is shown to the person concerned and in terminals.
pub(super) fn check_reason(reason: String) -> Result<String, Failure> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Failure::new(Code::BadRequest, "a reason is needed: it is told to those concerned and audited"));
    }
    if reason.len() > REASON_BYTES_MAX {
        let detail = format!("a reason has at most {REASON_BYTES_MAX} bytes, this one has {}", reason.len());
        return Err(Failure::new(Code::BadRequest, detail));
    }
    if reason.chars().any(char::is_control) {
        return Err(Failure::new(Code::BadRequest, "a reason must not hold control characters"));
    }
    Ok(reason.to_owned())
}

/// The token in `If-Match`, with or without quotes. There is no `*`: an operator says which lock was seen.
fn expected_token(headers: &HeaderMap) -> Result<Token, Failure> {
    let Some(value) = headers.get(IF_MATCH) else {
        return Err(Failure::new(Code::TokenRequired, "If-Match must hold the fencing token that was seen")
            .hint("GET the lock first; its fencing_token is the value"));
    };
    let text = value.to_str().unwrap_or_default();
    let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    match digits.parse() {
        Ok(token @ 0..=TOKEN_MAX) => Ok(Token(token)),
        _ => Err(Failure::new(Code::BadRequest, format!("{text:?} in If-Match is not a fencing token"))),
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
        assert_eq!(expected_token(&HeaderMap::new()).unwrap_err().code, Code::TokenRequired);
    }

    #[test]
    fn a_reason_is_one_line_that_says_something() {
        assert_eq!(check_reason("  left for the day ".into()), Ok("left for the day".into()));
        for bad in [String::new(), "  ".into(), "a\u{1b}[2J".into(), "a\nb".into(), "x".repeat(1025)] {
            assert!(check_reason(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
