//! arxosrtd.
fn main() {}
