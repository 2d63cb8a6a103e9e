//! Documents that several people edit: what can be changed, who contradicts whom, and what becomes of it?
//!
//! A [`resource::Resource`] is one object, one route or one floor with its recent versions. An edit is a list of
//! [`change::Change`]s that somebody made to a version that he had before him. [`detect`] decides it: what nobody
//! contradicts is applied, what is so already does nothing, and the rest is a [`conflict::PathConflict`] that holds all
//! sides until somebody decides. [`merge`] is the same algorithm over whole documents.
//!
//! Always: an edit costs the paths that it names and what others did there, never the document; nothing submitted is
//! lost; the same input gives the same answer. Not here: who may edit, locks, the wire's names, when a conflict times
//! out, other documents (whether what a route refers to still exists is asked with [`rules::Rules::references`]).
//!
//! From the ground up: [`path`] and [`value`] are places and what is there; [`change`] makes changes and undoes them;
//! [`diff`] finds them; [`rules`] says what is one unit and how bad a conflict is; [`history`] remembers. [`forecast`]
//! stands apart: it looks at who is active where, and never at documents.

pub mod change;
pub mod conflict;
pub mod detect;
pub mod diff;
pub(crate) mod draft;
pub mod forecast;
pub mod history;
pub mod keyed;
pub mod merge;
pub(crate) mod order;
pub(crate) mod past;
pub mod path;
pub mod resource;
pub mod rules;
pub mod value;
pub mod whole;

#[cfg(test)]
mod tests;
