//! The building directory: which building and floors a thing is in.
