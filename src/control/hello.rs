//! Who speaks with whom over the control socket: the answer of `/_hello`, which never changes with API versions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The header of every answer that holds the daemon's version.
pub const VERSION_HEADER: &str = "arxosrt-version";

/// The header of every answer that holds the range of API versions: `1-1`.
pub const API_HEADER: &str = "arxosrt-api";

/// The header of every answer that names the request.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// What a peer of the control socket may do. Each role may do what the lower ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Nothing but `/_hello`.
    None,
    /// Look.
    View,
    /// Speak to rooms, replay logs.
    Operate,
    /// Take locks, disconnect people, drain, read the audit.
    Admin,
}

impl Role {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::View => "view",
            Role::Operate => "operate",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `GET /_hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// `arxosrtd`: whoever listens is the right program.
    pub service: String,
    /// Its version.
    pub version: String,
    /// The API versions that it speaks.
    pub api: ApiRange,
    /// What it can do beyond the first release of the API.
    #[serde(default)]
    pub features: Vec<String>,
    /// `ready`, `read_only`, `draining`, or `unresponsive` when the hub does not answer.
    pub state: String,
    /// When it started.
    pub started_at: String,
    /// The daemon's process.
    pub pid: u32,
    /// The asker, as the daemon sees it.
    pub peer: Peer,
    /// What a request may cost.
    pub limits: Limits,
}

/// The API versions that a daemon speaks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiRange {
    /// The oldest.
    pub min: u32,
    /// The newest.
    pub max: u32,
}

/// A peer of the control socket, by the kernel's word. Also the answer of `GET /v1/whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The uid at the time of the connect.
    pub uid: u32,
    /// The primary gid at the time of the connect.
    pub gid: u32,
    /// The supplementary groups at the time of the connect.
    #[serde(default)]
    pub groups: Vec<u32>,
    /// The process, or 0 when it lives in a namespace that the daemon cannot see.
    pub pid: i32,
    /// The name of the uid, if the daemon's machine knows it.
    #[serde(default)]
    pub user: Option<String>,
    /// What it may do.
    pub role: Role,
    /// Why: `uid 0`, `group arxosrt-admin`, `default`, …
    pub via: String,
}

impl Peer {
    /// How the peer is called in the audit and towards those concerned: `uid 1000 (alice)`.
    pub fn actor(&self) -> String {
        match &self.user {
            Some(name) => format!("uid {} ({name})", self.uid),
            None => format!("uid {}", self.uid),
        }
    }
}

/// The named bounds of the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Open connections.
    pub connections: u32,
    /// Open streams, each of which is a connection too.
    pub streams: u32,
    /// The request line and headers.
    pub head_bytes: u32,
    /// A request's body.
    pub body_bytes: u32,
    /// Items of one page of a list.
    pub page: u32,
}
