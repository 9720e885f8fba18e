//! Runs the emulator.
fn main() {}
