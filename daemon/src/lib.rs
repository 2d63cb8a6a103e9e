//! `arxosrtd` as a library: the shell around the core.

pub mod hub;
pub mod store;
