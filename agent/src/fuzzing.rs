//! What holds for whatever comes from outside: one property for each kind of input, for the fuzzer and for tests.
//!
//! It is there in tests and under `--cfg fuzzing` only, which cargo-fuzz sets: neither the library nor the programs have it.
//! A feature would do the same until a package beside it asks for it, and then everything built with it has it; hidden public
//! items would open the rooms to everybody.

pub(crate) mod config;
pub(crate) mod names;
#[cfg(test)]
mod tests;

use crate::azure::key_vault::properties::answers;
use crate::azure::value_stream::properties::values;
use crate::serve::properties::{readers, requests};
use crate::serve::received::properties::heads;

use self::config::config;
use self::names::names;

/// Panics where the input shows that the property does not hold.
pub type Property = fn(&[u8]);

/// Every property by the name of its fuzz target and of the folder of its seeds.
pub const PROPERTIES: [(&str, Property); 7] = [
    ("answers", answers),
    ("config", config),
    ("heads", heads),
    ("names", names),
    ("readers", readers),
    ("requests", requests),
    ("values", values),
];

/// The property of this name.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn property(name: &str) -> Property {
    let found = PROPERTIES.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no property is called {name}")).1
}

/// Cuts an input after its first line, so that seeds can be read and written by hand.
pub(crate) fn split_line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[]),
    }
}
