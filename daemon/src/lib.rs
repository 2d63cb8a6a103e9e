//! `arxosrtd` as a library: the shell around the core.

pub mod control;
pub mod hub;
