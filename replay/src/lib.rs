//! How good are the cache's and the preloader's decisions, on accesses that were recorded?
//!
//! Traces are read and run through the very code that the daemon decides with, beside policies of the literature and
//! the optimum, so that figures can be compared and anybody can try a log of their own. Nothing here serves.

pub mod cache;
pub mod preload;
