//! `arxosrtd` as a library: the shell around the core.

pub mod args;
pub mod boot;
pub mod cache;
pub mod config;
pub mod control;
pub mod daemon;
pub mod data_dir;
pub mod exit;
pub mod http;
pub mod hub;
pub mod jobs;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod origin;
pub mod paths;
pub mod preload;
mod records;
pub mod store;
pub mod surroundings;
pub mod transport;
