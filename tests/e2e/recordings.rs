//! Replays recorded Azure traffic against the emulator, and holds its answers to it.

#[path = "recordings/body.rs"]
mod body;
#[path = "recordings/cassette.rs"]
mod cassette;
#[path = "recordings/headers.rs"]
mod headers;
#[path = "recordings/json.rs"]
mod json;
#[path = "recordings/known.rs"]
mod known;
#[path = "recordings/learnt.rs"]
mod learnt;
#[path = "recordings/verdict.rs"]
mod verdict;
