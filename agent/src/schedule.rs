//! When to look again, and how: pure rules over durations, with the dice and the present moment as arguments.
//!
//! A moment is a duration since a fixed one, the clock's uptime, so that no rule knows the time of day. Dice are drawn
//! evenly from 0 up to 1.

mod changed;
mod circuit;
mod listing;
mod next;
mod revocation;
mod strain;

pub use self::changed::{Facts, Seen};
pub use self::circuit::{Admission, Circuit, CircuitState};
pub use self::listing::{Listing, Look};
pub use self::next::{Pace, backoff, respite};
pub use self::revocation::{CONFIRM_AFTER, Case, Kind, Verdict};
pub use self::strain::Strain;
