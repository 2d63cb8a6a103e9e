//! Where does a value come from: this process, the nodes' shared tier, or the origin?
//!
//! [`Cache`] is asked by REST, by the preloader and by operators; [`CacheHandle`] is what the hub tells of edits. What is
//! kept, for how long and what goes when there is no room is decided in `arxosrt_core::cache`; here is what needs a
//! runtime: waiting, loading, and the clocks.
//!
//! What always holds:
//!
//! - However many ask for a value that is not there, it is loaded once (`flights`). The load is a task of its own, so
//!   nobody's leaving ends it, and each of those who wait has a time limit of its own.
//! - Whoever asks after an invalidation or a write was acknowledged never gets what was loaded before: a load captures the
//!   generations of its tags first, is joined only while they hold, and is kept only if they still do. A write or a
//!   removal of one value takes the load out of the table under the same lock under which a load installs.
//! - Nothing is served for longer than its time plus `stale_s`, and after its time only while the origin fails, and then
//!   it is said to be stale.
//! - What loads have in hand counts against `cache.bytes_max`: an eighth of it is theirs, the rest holds entries.
//! - Values of sensitive strategies are never held here. They live in the shared tier, and without one they are refused.
//!
//! An edit makes invalid what is made of what it touches, and what that is `place` says. Only a floor's lists of objects
//! and routes are known well enough to be brought up to date instead, so that nobody waits for the origin (`patches`).
//!
//! Values are held here as they are served: unpacking costs more than this process's memory is worth, and the shared
//! tier packs what it sends.

mod budget;
mod edits;
pub mod etag;
pub mod figures;
mod flights;
mod floor;
mod handle;
pub mod hidden;
mod invalidate;
mod jitter;
mod loads;
mod nodes;
mod patches;
mod reads;
mod service;
pub mod shared;
#[cfg(test)]
mod tests;
pub mod tier;
mod value;
pub mod warm;
mod writes;

pub use edits::Touched;
pub use figures::{CacheFigures, StrategyFigures};
pub use handle::CacheHandle;
pub use invalidate::{Invalidated, Invalidation};
pub use loads::{Preloaded, Refusal};
pub use nodes::{Heard, RedisTier};
pub use service::{Cache, CacheSettings, Parts, SIGNALS_MAX, Signal};
pub use value::{CacheError, ServedFrom, Value, Want, WriteIf, Written};
