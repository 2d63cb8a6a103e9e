//! The wire: JSON text frames as existing clients speak them, and what newer clients may say and hear besides.
//!
//! Nothing outside this module knows a field's name. Inbound messages are parsed once into [`inbound::ClientMessage`];
//! outbound ones are written straight into a byte buffer by [`outbound`], once for all who receive them.

pub mod code;
mod field;
pub mod inbound;
pub mod inbound_edit;
pub mod json;
pub mod outbound;
pub mod outbound_edit;
