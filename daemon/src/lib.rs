//! `arxosrtd` as a library: the shell around the core.

pub mod args;
pub mod config;
pub mod exit;
pub mod hub;
pub mod limits;
pub mod logging;
pub mod origin;
pub mod paths;
