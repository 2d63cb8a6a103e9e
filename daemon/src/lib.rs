//! `arxosrtd` as a library: the shell around the core.

pub mod args;
pub mod config;
pub mod control;
pub mod exit;
pub mod http;
pub mod hub;
pub mod limits;
pub mod metrics;
pub mod paths;
pub mod store;
