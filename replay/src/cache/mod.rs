//! Traces of a cache: which share of the accesses is answered from it?
//!
//! - `trace` reads what was recorded, `synthetic` makes what was not;
//! - `classes` says how important each item is;
//! - `policy` has the daemon's own code and what it is compared with;
//! - `run` puts a trace through a policy and counts.

pub mod classes;
mod list;
pub mod policy;
pub mod run;
pub mod synthetic;
pub mod trace;
