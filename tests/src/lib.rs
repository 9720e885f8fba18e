//! End-to-end scenarios over the real binaries: what they are started with, asked, and searched by.
//!
//! Everything here panics with a sentence when a step does not hold: it serves tests only.

pub mod agent;
pub mod binaries;
pub mod cloud;
pub mod crowd;
pub mod emulator;
pub mod estate;
pub mod gateway;
pub mod hosts;
pub mod http;
pub mod memory_scan;
#[cfg(test)]
mod promises;
pub mod python;
pub mod report;
pub mod subscription;
pub mod user;
pub mod wait;
