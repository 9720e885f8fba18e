//! `keyside-bootstrap` from an empty subscription to an agent at work, and back.

mod adoption;
mod destruction;
mod interruption;
mod life;
mod preflight;
mod secrets;
mod sharing;
mod terminal;
mod traps;
