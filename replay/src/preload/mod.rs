//! Would preloading have paid on these accesses, and does it pay more than simpler rules?
//!
//! A [`Trace`] is read from a file (`read`) or made up (`kinds`). `simulate` runs it through a cache of limited size
//! with one of the `policies`: the daemon's own preloader, simple rules, and one that knows the future. `report` runs all
//! of them with the same bytes to spend, so that nobody looks better by loading more.

pub mod cache;
pub mod chance;
pub mod clicks;
pub mod kinds;
pub mod office;
pub mod policies;
pub mod read;
pub mod report;
pub mod simulate;
pub mod trace;
pub mod tree;
pub mod web;

pub use report::{Comparison, compare};
pub use simulate::{Figures, Setup};
pub use trace::{Access, Trace};
