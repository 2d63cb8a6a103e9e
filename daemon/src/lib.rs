//! `arxosrtd` as a library: the shell around the core.

pub mod http;
pub mod hub;
pub mod metrics;
