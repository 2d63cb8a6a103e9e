//! A deterministic simulation of the core: people, sockets, clocks, a disk and crashes, run from a seed.
//!
//! The real building runs beside a [`model`] that says the same things as simply as possible; after every step both
//! must show the same, and the invariants of the design must hold. A seed gives its run again. To prove that the
//! simulation sees anything at all, each safeguard of the core can be taken away: then some seed must fail.

pub mod edits;
pub mod model;
pub mod overlap;
pub mod rng;
pub mod world;
