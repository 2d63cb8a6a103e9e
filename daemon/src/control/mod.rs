//! The control socket: how operators look into the daemon and change things.
//!
//! HTTP/1.1 over a Unix socket, so `curl --unix-socket` works. What always holds:
//!
//! - nothing here is reachable from the network: the router is served on the one socket that [`serve`] is given;
//! - the kernel says who the peer is ([`peer`]); nothing in a request can raise its role;
//! - every change leaves an audit record, in the same transaction, even when the operator hangs up in the middle
//!   ([`changes`], [`conflicts`]);
//! - an operator who looks never slows the hub: pages, shared snapshots ([`watch`]), bounded queues that drop and say so
//!   ([`stream`]);
//! - every refusal is `application/problem+json` with a code of [`arxosrt_core::control::code`].
//!
//! It knows neither the store nor the hub's inside: it asks through [`HubHandle`] and [`Records`].

mod cache;
mod changes;
mod conflicts;
mod extract;
mod failure;
mod jobs;
mod lists;
pub mod peer;
mod preload;
pub mod records;
mod routes;
mod seats;
mod server;
pub mod socket;
mod stream;
mod sys;
mod watch;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::control::hello::{Limits, Role};
use arxosrt_core::directory::Directory;
use arxosrt_core::time::Wall;

use crate::cache::Cache;
use crate::cache::warm::Hot;
use crate::hub::ask::HubHandle;
use crate::jobs::Jobs;
use crate::preload::PreloadHandle;
pub use records::{Records, RecordsError};
pub use server::serve;
pub use socket::{BindError, SocketFile, bind};

/// Open connections of everybody together.
pub const CONNECTIONS_MAX: usize = 64;

/// Of [`CONNECTIONS_MAX`], how many are kept for root and the daemon's own user, so that a reload always gets in.
pub const CONNECTIONS_RESERVED: usize = 4;

/// Connections beyond the limit that are told so at the same time; more are closed without a word.
pub const TURNED_AWAY_MAX: usize = 16;

/// How long a connection that is to be told so may take for its request.
pub const TURNED_AWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// Open streams. Each is a connection too, so plain requests always find room.
pub const STREAMS_MAX: usize = 32;

/// Request line and headers.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a peer may take for a request's head, and how long a connection may idle between two.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A request's body.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The body of a request that may list a great many things.
pub const LONG_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a peer may take for a request's body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Items of one page of a list.
pub const PAGE_MAX: usize = 1000;

/// Items of one page when the request does not say.
pub const PAGE_DEFAULT: usize = 100;

/// How long the hub may take for an answer. A change may still happen afterwards, and the answer says so.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long `/_hello` waits for the hub: it must answer even when the hub does not.
pub const HELLO_ASK_TIMEOUT: Duration = Duration::from_secs(1);

/// Events that may wait for a slow reader of a stream.
pub const STREAM_QUEUE_MAX: usize = 1024;

/// How long a reader of a stream may refuse to take anything before the stream is cut.
pub const STREAM_STALL_MAX: Duration = Duration::from_secs(30);

/// A stated reason, in bytes of UTF-8.
pub const REASON_BYTES_MAX: usize = 1024;

/// The longest drain window.
pub const DRAIN_WINDOW_MS_MAX: u64 = 3_600_000;

/// How long open connections get to finish once the daemon ends.
pub const FAREWELL_MAX: Duration = Duration::from_secs(2);

// A stream holds a connection: with all streams open there must be connections left, reserved ones aside.
const _: () = assert!(STREAMS_MAX + CONNECTIONS_RESERVED < CONNECTIONS_MAX);

/// The bounds as `/_hello` tells them.
pub const LIMITS: Limits = Limits {
    connections: CONNECTIONS_MAX as u32,
    streams: STREAMS_MAX as u32,
    head_bytes: HEAD_BYTES_MAX as u32,
    body_bytes: BODY_BYTES_MAX as u32,
    page: PAGE_MAX as u32,
};

/// Who may do what, as configured. Groups are names of `/etc/group` or numeric gids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSettings {
    /// Members may do everything.
    pub admin_groups: Vec<String>,
    /// Members may look and speak to rooms.
    pub operate_groups: Vec<String>,
    /// What everybody else may do who can open the socket: [`Role::View`] or [`Role::None`].
    pub default_role: Role,
}

impl Default for ControlSettings {
    fn default() -> Self {
        ControlSettings {
            admin_groups: vec!["arxosrt-admin".into()],
            operate_groups: vec!["arxosrt-operate".into()],
            default_role: Role::View,
        }
    }
}

/// What the control socket is given of the daemon.
#[derive(Clone)]
pub struct ControlContext {
    /// The hub's address.
    pub hub: HubHandle,
    /// Audit, history and replay.
    pub records: Arc<dyn Records>,
    /// Long work that operators order.
    pub jobs: Jobs,
    /// What is kept near.
    pub cache: Cache,
    /// The names of what of it is in use, if they are kept.
    pub hot: Option<Arc<Hot>>,
    /// What is loaded before anybody asks.
    pub preload: PreloadHandle,
    /// Which floors a building has.
    pub directory: Arc<Directory>,
    /// Who may do what.
    pub settings: ControlSettings,
    /// When the daemon started.
    pub started_at: Wall,
    /// The daemon's version.
    pub version: &'static str,
}
