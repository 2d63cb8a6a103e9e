//! How much does a delivery cost, beside a program that does nothing but deliver?
//!
//! One command starts every server on CPU 0, loads it from CPU 1, and prints one table in which each figure stands
//! beside the *floor* of the same batch: a server that only writes the same bytes to the same sockets. Absolute figures
//! belong to one machine and one hour; the ratios travel.
//!
//! - `sys` is the only place that talks to the kernel without the standard library.
//! - `frame`, `swarm`, `dialect`, `crowd`: the generator. One thread, raw epoll, nothing allocated per frame.
//! - `floor`: the server that the others are compared with.
//! - `walk`, `slow_origin`: people who go through a building, and where its data comes from.
//! - `server`, `peers`: starting, observing and stopping what is measured.
//! - `scenario/`: one file per question asked.
//! - `figures`, `histogram`, `table`: from samples to medians to the page.
//! - `core_speed`: figures of the core alone, which another package measures.
//! - `options`, `run`: the command line, and the order in which everything happens.
//!
//! - `cache`: the cache in memory beside other libraries, without any server.
//!
//! It knows the servers by their wire alone and links none of their code, but for that cache.

pub mod building;
pub mod cache;
pub mod core_speed;
pub mod crowd;
pub mod dialect;
pub mod figures;
pub mod floor;
pub mod frame;
pub mod histogram;
pub mod options;
pub mod peers;
pub mod run;
pub mod scenario;
pub mod server;
pub mod slow_origin;
pub mod swarm;
pub mod sys;
pub mod table;
pub mod walk;
