//! The core of arxosrt: what people agree on, decided purely.
//!
//! No runtime, sockets, clock, randomness, storage or printing. Time and facts go in; events, replies and notices
//! come out. Inside, the domain ([`building`], [`lock`]) does not know the wire.

#![warn(missing_docs)]

pub mod building;
pub mod cache;
pub mod control;
pub mod directory;
pub mod edit;
pub mod id;
pub mod lock;
pub mod preload;
pub mod time;
pub mod wire;
