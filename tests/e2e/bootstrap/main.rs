//! `keyside-bootstrap` from an empty subscription to an agent at work, and back.

mod adoption;
mod destruction;
mod guide;
mod interruption;
mod life;
mod preflight;
mod programs;
mod secrets;
mod sharing;
mod sign_in;
mod terminal;
mod traps;
