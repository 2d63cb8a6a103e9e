//! Documents that several people edit: changes, who contradicts whom, and how what they did comes together.
//!
//! A document is a [`Doc`]: one object, one route, one floor. An edit is a list of [`Change`]s that somebody made to a
//! version that he had seen.

pub mod change;
pub mod conflict;
pub mod detect;
pub mod diff;
pub(crate) mod draft;
pub mod history;
pub mod keyed;
pub mod merge;
pub(crate) mod order;
pub(crate) mod past;
pub mod path;
pub mod rules;
pub mod value;
pub mod whole;

#[cfg(test)]
mod tests;
