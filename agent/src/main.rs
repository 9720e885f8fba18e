//! Runs the keyside command.
fn main() {}
