//! The cache's shell: what holds the values that `arxosrt_core::cache` decides about.

pub mod shared;
