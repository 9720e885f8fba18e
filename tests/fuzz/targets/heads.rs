//! The property `heads` of the agent's room `fuzzing`, for the fuzzer.

#![no_main]

use keyside::fuzzing::property;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| property("heads")(input));
