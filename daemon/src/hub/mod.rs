//! The hub: rooms, connections and outboxes of one core.

pub mod ask;
