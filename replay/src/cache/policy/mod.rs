//! Policies to compare with, each as plain as its authors describe it: nothing here is fast, bounded, or for use.

mod arc;
mod lru;
mod opt;
mod ours;
mod s3_fifo;
mod sieve;
mod w_tiny_lfu;

pub use arc::Arc;
pub use lru::Lru;
pub use opt::Opt;
pub use ours::Ours;
pub use s3_fifo::S3Fifo;
pub use sieve::Sieve;
pub use w_tiny_lfu::WTinyLfu;

/// A cache without values, of `capacity` bytes.
pub trait Policy {
    /// Somebody asks for an item, and it is loaded if it is not there. Says whether it was.
    fn access(&mut self, item: u32, weight: u32) -> bool;
}
