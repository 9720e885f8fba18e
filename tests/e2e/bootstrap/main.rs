//! `keyside-bootstrap` from an empty subscription to an agent at work, and back.

mod adoption;
mod guide;
mod interruption;
mod life;
mod preflight;
mod programs;
mod secrets;
mod sign_in;
mod terminal;
mod traps;
