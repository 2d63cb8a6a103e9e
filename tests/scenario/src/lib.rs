//! Scenarios: a whole daemon, real sockets, and clients that say exactly what they saw when something is missing.
//!
//! - [`Setup`] starts a [`Served`] daemon inside the test, with a clock that the test moves;
//! - [`Client`] is a well-behaved WebSocket client; [`Raw`] is one that is not;
//! - [`http`] asks REST and the control socket;
//! - [`redis`] is real Redis servers, [`proxy`] the network before them, [`tier`] nodes of the shared tier on them,
//!   [`sharing`] whole daemons on them, and [`origin`] the service behind those;
//! - [`certificate`] makes what TLS needs;
//! - [`child`] runs the same daemon in a process of its own, for tests that kill it.
//!
//! Nothing here sleeps. Whatever a test waits for has [`PATIENCE`]; what must *not* come is checked behind a message
//! that was sent later ([`Client::nothing_more`]).

pub mod certificate;
pub mod child;
mod client;
pub mod golden;
mod house;
pub mod http;
pub mod origin;
pub mod proxy;
mod raw;
pub mod redis;
mod served;
pub mod sharing;
pub mod tier;

use std::time::Duration;

pub use client::{Client, Closed, quiet};
pub use house::{house, house_folder};
pub use raw::{Frame, Raw, masked};
pub use serde_json::{Value, json};
pub use served::{Served, Setup};

/// How long anything that a test waits for may take. Long, since it only passes when something is wrong.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` answers something, and asks it again and again until then.
pub async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let over = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < over, "{what}: not within {PATIENCE:?}");
        // Between two looks others get the processor; how long that is decides nothing.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// An id as one segment of a path.
pub fn segment(id: &str) -> String {
    let mut out = String::new();
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
