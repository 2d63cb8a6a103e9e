//! The daemon as its clients, its operators and its neighbours meet it: real sockets, real Redis, real processes.
//!
//! One program for all of them: thirty would each hold the whole daemon once more, which costs minutes of linking and
//! gigabytes of disk.

mod audit;
mod bad_input;
mod cache;
mod cache_redis;
mod cache_redis_access;
mod cache_redis_faults;
mod conflict_wire;
mod conflicts;
mod control;
mod damage;
mod drain;
mod durability;
mod edit_durability;
mod forecast;
mod golden;
mod harness;
mod locks;
mod origin;
mod original;
mod preload;
mod presence;
mod privacy;
mod redis_access;
mod redis_faults;
mod redis_tier;
mod rest;
mod resume;
mod sensitive;
mod slow;
mod sse;
mod store_failure;
mod writers;

/// What a test runs when it needs a daemon in a process of its own, see [`arxosrt_scenario::child`].
#[test]
fn the_daemon_as_a_process() {
    arxosrt_scenario::child::become_daemon();
}
