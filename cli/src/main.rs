//! arxosrt.
fn main() {}
