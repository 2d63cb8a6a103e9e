//! Where will people go next, and what of it is loaded before they ask?
//!
//! The core's `Preloader` predicts and decides; this is what it lives in. The hub and the cache tell it what people do
//! ([`Signals`], and the cache's own), it proposes, and what it proposes is loaded through the cache, at the back of the
//! origin's queue. What always holds:
//!
//! - the hub never waits for it: what does not fit into its queue is dropped and counted;
//! - whoever may not read a floor has nothing of it loaded for them ([`permit`]), and that is asked when it is loaded;
//! - while the origin is in trouble or busy, nothing is loaded ahead, and learning goes on;
//! - what it knows of people is in numbers: where they are now and hashes of who they are. What is saved in the data
//!   directory ([`saved`]) has neither names of people nor a single visit in it, only how often one place followed
//!   another.
//!
//! Jobs that operators order do not come by here: they are wishes, not guesses.

mod outstanding;
pub mod permit;
pub mod saved;
mod service;
mod signals;
#[cfg(test)]
mod tests;

pub use service::{Parts, PreloadHandle, Preloading, ServiceSettings, start};
pub use signals::{SIGNALS_MAX, Signals};
