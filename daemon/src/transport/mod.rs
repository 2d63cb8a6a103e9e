//! Sockets: from the first byte of a connection to its last.
//!
//! - [`handshake`]: an HTTP request head, and whether it opens a WebSocket;
//! - [`hosts`]: under which names the daemon may be addressed, and from which pages;
//! - [`ws`]: bytes in, messages out, and the close codes that are due;
//! - [`accept`]: one task for each connection, which calls the hub directly;
//! - [`core`]: the thread that owns a hub, its flusher, its clock and its inbox.

pub mod accept;
pub mod core;
pub mod handshake;
pub mod hosts;
pub mod ws;
