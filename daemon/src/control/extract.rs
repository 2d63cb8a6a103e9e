//! What a handler asks of a request before it runs: a role, an id, a page, a body. Each refuses with a [`Failure`].
//!
//! A handler that names [`Admin`] in its signature cannot be reached with less, and only the role's extractor gives it
//! the [`Peer`] that a change needs: the check cannot be forgotten.

use std::sync::Arc;

use arxosrt_core::building::conflict::ConflictId;
use arxosrt_core::control::code::Code;
use arxosrt_core::control::hello::{Peer, Role};
use arxosrt_core::id::{BadId, BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::LockId;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::server::Server;
use super::{BODY_BYTES_MAX, BODY_TIMEOUT, LONG_BODY_BYTES_MAX, PAGE_DEFAULT, PAGE_MAX};

macro_rules! roles {
    ($($(#[$doc:meta])* $name:ident = $role:expr;)+) => {$(
        $(#[$doc])*
        pub struct $name(pub Arc<Peer>);

        impl FromRequestParts<Arc<Server>> for $name {
            type Rejection = Failure;

            async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Failure> {
                require($role, parts, server).map($name)
            }
        }
    )+};
}

roles! {
    /// A peer, whoever it is.
    Anyone = Role::None;
    /// A peer that may speak to rooms.
    Operating = Role::Operate;
    /// A peer that may do everything.
    Admin = Role::Admin;
}

/// A peer that may look. Nothing that it can reach depends on who it is.
pub struct Viewer;

impl FromRequestParts<Arc<Server>> for Viewer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Failure> {
        require(Role::View, parts, server).map(|_| Viewer)
    }
}

fn require(needed: Role, parts: &Parts, server: &Server) -> Result<Arc<Peer>, Failure> {
    let peer = parts.extensions.get::<Arc<Peer>>().expect("the server adds the peer to every request");
    enough(needed, peer, server).map(|()| Arc::clone(peer))
}

/// Whether the peer's role is enough; for what depends on more than the route.
pub fn enough(needed: Role, peer: &Peer, server: &Server) -> Result<(), Failure> {
    if peer.role >= needed {
        return Ok(());
    }
    let detail = format!("{} has the role {} by {}; this needs {needed}", peer.actor(), peer.role, peer.via);
    Err(Failure::new(Code::RoleTooLow, detail).hint(server.roles.advice(needed)))
}

/// The id in the path, percent-decoded and checked.
pub struct Named<T>(pub T);

/// What can stand as `{id}` in a path.
pub trait InPath: Sized {
    /// Checks the decoded text.
    fn from_text(text: &str) -> Result<Self, Failure>;
}

macro_rules! in_path {
    ($($name:ident)+) => {$(
        impl InPath for $name {
            fn from_text(text: &str) -> Result<Self, Failure> {
                $name::new(text).map_err(|error: BadId| Failure::new(Code::BadRequest, error.to_string()))
            }
        }
    )+};
}

in_path! { BuildingId ResourceId RoomId SessionId UserId }

impl InPath for LockId {
    fn from_text(text: &str) -> Result<Self, Failure> {
        LockId::parse(text).ok_or_else(|| {
            Failure::new(Code::LockNotFound, format!("no lock {text:?} is held"))
                .hint("a lock's id looks like lk_7q2; `arxosrt locks list` shows them")
        })
    }
}

impl InPath for ConflictId {
    fn from_text(text: &str) -> Result<Self, Failure> {
        ConflictId::parse(text).ok_or_else(|| {
            Failure::new(Code::ConflictNotFound, format!("there is no conflict {text:?}"))
                .hint("a conflict's id looks like cf_7q2; `arxosrt conflicts list --all` shows them")
        })
    }
}

impl<T: InPath> FromRequestParts<Arc<Server>> for Named<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Failure> {
        let Path(text) = Path::<String>::from_request_parts(parts, server)
            .await
            .map_err(|_| Failure::new(Code::BadRequest, "the id in the path is not percent-encoded UTF-8"))?;
        T::from_text(&text).map(Named)
    }
}

/// The query string; unknown parameters are refused by name.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Server>> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Server>) -> Result<Self, Failure> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Params(params)),
            Err(error) => Err(Failure::new(Code::BadRequest, innermost(&error))),
        }
    }
}

/// Which part of a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Page {
    /// How many items, between 1 and [`PAGE_MAX`].
    pub fn limit(&self) -> Result<usize, Failure> {
        match self.limit.unwrap_or(PAGE_DEFAULT) {
            limit @ 1..=PAGE_MAX => Ok(limit),
            limit => Err(Failure::new(Code::BadRequest, format!("limit is 1 to {PAGE_MAX}, not {limit}"))),
        }
    }
}

/// The JSON body; unknown fields are refused by name, because to ignore them would be to do something else.
pub struct Input<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Server>> for Input<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Arc<Server>) -> Result<Self, Failure> {
        read_body(request, BODY_BYTES_MAX).await.map(Input)
    }
}

/// The same where a great many things may be listed.
pub struct Long<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<Server>> for Long<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Arc<Server>) -> Result<Self, Failure> {
        read_body(request, LONG_BODY_BYTES_MAX).await.map(Long)
    }
}

async fn read_body<T: DeserializeOwned>(request: Request, bytes_max: usize) -> Result<T, Failure> {
    let body = Limited::new(request.into_body(), bytes_max).collect();
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Failure::new(Code::TooLarge, format!("a body has at most {bytes_max} bytes here")));
        }
        Ok(Err(error)) => {
            return Err(Failure::new(Code::BadRequest, format!("the body cannot be read: {error}")));
        }
        Err(_) => {
            let limit_s = BODY_TIMEOUT.as_secs();
            return Err(Failure::new(Code::BadRequest, format!("the body did not arrive within {limit_s} s")));
        }
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::new(Code::BadRequest, format!("the body is not what is expected: {error}")))
}

/// What lies at the bottom of an error: the sentence that names the parameter.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
