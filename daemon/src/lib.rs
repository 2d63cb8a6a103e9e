//! `arxosrtd` as a library: the shell around the core.

pub mod args;
pub mod boot;
pub mod config;
pub mod data_dir;
pub mod exit;
pub mod hub;
pub mod limits;
pub mod logging;
pub mod origin;
pub mod paths;
