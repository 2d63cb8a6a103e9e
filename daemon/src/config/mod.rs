//! What can be set, and what holds when nothing is?
//!
//! [`Config`] is what the daemon runs with: every option has a default here, and `arxosrt.toml` in the root shows each
//! with its meaning (a test compares the two). The bounds of each option live in [`keys`], the layers (flags,
//! environment, file) in [`load`], relations between options in [`relations`]. A [`Config`] that came out of [`load`]
//! has passed all of them; nothing downstream checks again.
//!
//! Units are part of the names: `_ms` milliseconds, `_s` seconds, `_us` microseconds, `_bytes` bytes. Names without a
//! unit count things.

pub mod cache;
pub mod editing;
pub mod keys;
mod layers;
pub mod listen;
mod load;
pub mod origin;
pub mod preload;
mod problem;
pub mod redis;
mod relations;
mod suggest;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use arxosrt_core::lock::LockType;
use serde::{Deserialize, Serialize};

pub use cache::Cache;
pub use editing::{Conflicts, Edits};
pub use preload::Preload;

pub use load::{CONFIG_BYTES_MAX, Loaded, load};
pub use origin::{HttpOrigin, HttpPlace, Origin, OriginKind};
pub use problem::{Problem, Whence};
pub use redis::{Redis, RedisMode};

/// The process's environment, as a value: tests bring their own.
pub type Env = BTreeMap<std::ffi::OsString, std::ffi::OsString>;

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The port that clients and the platform's back end reach.
    pub http: Http,
    /// The operators' socket.
    pub control: Control,
    /// Who a client is.
    pub auth: Auth,
    /// The durable log.
    pub store: Store,
    /// Who commits.
    pub engine: Engine,
    /// Where building data comes from.
    pub origin: Origin,
    /// What origins said, for a while.
    pub cache: Cache,
    /// The cache's shared tier.
    pub redis: Redis,
    /// What is loaded before anybody asks.
    pub preload: Preload,
    /// Rooms, presence and delivery.
    pub hub: Hub,
    /// Editing locks.
    pub locks: Locks,
    /// Documents and the edits of them.
    pub edits: Edits,
    /// Conflicts and how they end.
    pub conflicts: Conflicts,
    /// What one client may use.
    pub limits: Limits,
    /// Stopping without hurting anybody.
    pub drain: Drain,
    /// What is written to standard error.
    pub log: Log,
    /// Prometheus figures.
    pub metrics: Metrics,
}

/// The port that clients and the platform's back end reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
    /// Listen beyond loopback although nobody is authenticated.
    pub insecure: bool,
    /// Names beside loopback's under which the daemon may be addressed and whose pages may speak to it.
    pub allowed_hosts: Vec<String>,
    /// How long a request's head may take.
    pub header_timeout_ms: u64,
    /// The largest body of a REST request.
    pub body_bytes_max: usize,
}

impl Default for Http {
    fn default() -> Self {
        Http {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8790)),
            insecure: false,
            allowed_hosts: Vec::new(),
            header_timeout_ms: 10_000,
            body_bytes_max: 1 << 20,
        }
    }
}

/// The operators' socket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Where the socket is; empty chooses (see [`crate::paths::control_socket`]).
    pub socket: PathBuf,
    /// Groups whose members may operate: force-release, kick, notices.
    pub operate_groups: Vec<String>,
    /// Groups whose members may do everything.
    pub admin_groups: Vec<String>,
    /// What everybody else who can open the socket may do.
    pub default_role: Role,
}

/// What a peer of the control socket may do; each includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Nothing.
    None,
    /// Look.
    #[default]
    View,
    /// Look and intervene.
    Operate,
    /// Everything.
    Admin,
}

/// Who a client is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// How a client proves it.
    pub mode: AuthMode,
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// Not at all: a client is whom its path names. For loopback and trusted networks.
    #[default]
    None,
}

/// The durable log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The database file; empty means `arxosrt.db` in the data directory.
    pub path: PathBuf,
    /// A building's state is saved after this many events, so that a start replays at most that many.
    pub snapshot_events: u64,
}

impl Default for Store {
    fn default() -> Self {
        Store { path: PathBuf::new(), snapshot_events: 4096 }
    }
}

/// Who commits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Which one.
    pub kind: EngineKind,
}

/// Who makes a batch of events durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// One SQLite file on this machine.
    #[default]
    Embedded,
    /// Nobody: all is gone with the process.
    Memory,
}

/// Rooms, presence and delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hub {
    /// How often a quiet connection is pinged.
    pub ping_ms: u64,
    /// How long the answer may take before the connection counts as lost.
    pub pong_ms: u64,
    /// How long presence changes are gathered for clients that take differences.
    pub presence_diff_ms: u64,
    /// Up to this many people a room's presence is a list; above, counts and pages.
    pub presence_list_max: usize,
    /// A person without a message for this long is shown as inactive.
    pub inactive_ms: u64,
    /// How many bytes of sequenced messages wait for one slow connection.
    pub outbox_bytes_max: usize,
    /// How many bytes of replies and errors wait for one slow connection.
    pub control_bytes_max: usize,
    /// A connection that overflows twice within this time is closed.
    pub resync_window_ms: u64,
    /// How long the hub takes in messages before it writes.
    pub turn_budget_us: u64,
    /// How many threads help the hub to write.
    pub writers: Writers,
    /// How many events a room remembers for clients that come back.
    pub history_events_max: usize,
    /// How many bytes of events a room remembers for clients that come back.
    pub history_bytes_max: usize,
    /// How long a repeated `client_msg_id` is recognised.
    pub dedup_ms: u64,
    /// The shortest pause that clients are told to make before they reconnect.
    pub reconnect_min_ms: u64,
    /// The longest pause that clients are told to make before they reconnect.
    pub reconnect_max_ms: u64,
}

impl Default for Hub {
    fn default() -> Self {
        Hub {
            ping_ms: 25_000,
            pong_ms: 10_000,
            presence_diff_ms: 50,
            presence_list_max: 200,
            inactive_ms: 300_000,
            outbox_bytes_max: 1 << 20,
            control_bytes_max: 256 << 10,
            resync_window_ms: 60_000,
            turn_budget_us: 500,
            writers: Writers::default(),
            history_events_max: 1024,
            history_bytes_max: 1 << 20,
            dedup_ms: 300_000,
            reconnect_min_ms: 500,
            reconnect_max_ms: 20_000,
        }
    }
}

/// How many threads help the hub to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Writers {
    /// As many as the machine is good for.
    Chosen(Auto),
    /// So many.
    Exactly(usize),
}

/// The word for a number that the daemon chooses itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auto {
    /// The word.
    Auto,
}

/// `auto` goes no further: what more of them would bring has not been measured.
const CHOSEN_WRITERS_MAX: usize = 8;

impl Default for Writers {
    fn default() -> Self {
        Writers::Chosen(Auto::Auto)
    }
}

impl Writers {
    /// How many that is on a machine with `cpus` processors. Two are the hub and everything beside it.
    pub fn count(self, cpus: usize) -> usize {
        match self {
            Writers::Exactly(count) => count,
            Writers::Chosen(Auto::Auto) if cpus <= 2 => 0,
            Writers::Chosen(Auto::Auto) => (cpus / 2).min(CHOSEN_WRITERS_MAX),
        }
    }
}

/// Editing locks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Locks {
    /// How long a lock is held without being renewed.
    pub ttl_s: u64,
    /// The same for single types of lock; see [`Locks::ttl_ms`].
    pub ttl_by_type: BTreeMap<LockType, u64>,
    /// How long a session outlives its socket.
    pub grace_s: u64,
    /// After this long a lock ends however often it was renewed.
    pub max_hold_s: u64,
    /// How long before its end a lock's holder is warned.
    pub warn_s: Vec<u64>,
    /// The longest wait in the queue.
    pub wait_max_s: u64,
    /// A holder without activity for this long is idle.
    pub idle_s: u64,
    /// How long a holder has to answer an editing request.
    pub request_respond_s: u64,
    /// How long an idle holder has before the request is granted.
    pub request_idle_grant_s: u64,
    /// How many locks one session may hold.
    pub per_session_max: usize,
}

impl Default for Locks {
    fn default() -> Self {
        Locks {
            ttl_s: 300,
            ttl_by_type: BTreeMap::new(),
            grace_s: 15,
            max_hold_s: 28_800,
            warn_s: vec![60, 15],
            wait_max_s: 120,
            idle_s: 120,
            request_respond_s: 30,
            request_idle_grant_s: 10,
            per_session_max: 256,
        }
    }
}

impl Locks {
    /// The lease of a lock of this type, in milliseconds.
    pub fn ttl_ms(&self, lock_type: LockType) -> u64 {
        self.ttl_by_type.get(&lock_type).copied().unwrap_or(self.ttl_s) * 1000
    }
}

/// What one client may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The largest message from a client.
    pub message_bytes: usize,
    /// How deeply a message's JSON may nest.
    pub json_depth: usize,
    /// How many rooms one connection may be in.
    pub rooms_per_connection: usize,
    /// How many connections one person may have.
    pub connections_per_user: usize,
    /// How many connections one address may have.
    pub connections_per_address: usize,
    /// How many connections there may be; 0 follows the file descriptors (see [`crate::limits`]).
    pub connections_max: usize,
    /// How many connections may speak plain HTTP (REST, probes, metrics) at a time.
    pub http_connections_max: usize,
    /// How many messages per second one connection may send for long.
    pub messages_per_s: u32,
    /// How many messages one connection may send at once after a pause.
    pub messages_burst: u32,
    /// The largest `metadata` of a presence or a lock.
    pub metadata_bytes: usize,
    /// How long a connection may take to authenticate.
    pub handshake_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_bytes: 256 << 10,
            json_depth: 64,
            rooms_per_connection: 128,
            connections_per_user: 32,
            connections_per_address: 1024,
            connections_max: 0,
            http_connections_max: 1024,
            messages_per_s: 200,
            messages_burst: 400,
            metadata_bytes: 8 << 10,
            handshake_ms: 10_000,
        }
    }
}

/// Stopping without hurting anybody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Over how long the clients are sent away.
    pub window_ms: u64,
}

impl Default for Drain {
    fn default() -> Self {
        Drain { window_ms: 5000 }
    }
}

/// What is written to standard error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important lines that are written.
    pub level: LogLevel,
    /// What a line looks like.
    pub format: LogFormat,
}

/// How important a line of the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Nothing at all.
    Off,
    /// Something does not work.
    Error,
    /// Something may soon not work.
    Warn,
    /// Starts, stops, what operators do.
    #[default]
    Info,
    /// What each connection does.
    Debug,
    /// What each message does, without its content.
    Trace,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Prometheus figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Serve them under `/metrics`.
    pub enabled: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics { enabled: true }
    }
}

/// The options that some layer set, by path. The others are at their defaults.
pub type SetBy = BTreeMap<String, Whence>;
