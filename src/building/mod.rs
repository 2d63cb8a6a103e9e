//! A building is a log: a deterministic state machine over a sequence of events.

pub mod command;
pub mod event;
pub mod notice;
