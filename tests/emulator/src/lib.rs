//! Azure on localhost: Entra tokens, instance metadata, the Key Vault secrets data plane and Resource Manager over real
//! TLS, with faults that can be scripted.
//!
//! A test that wants one in its own process starts an [`Emulator`]; everything else goes through the binary.

mod admin;
pub mod app_service;
pub mod arm;
pub mod azure_ml;
pub mod certificates;
pub mod cli;
pub mod clock;
mod cloud;
mod commands;
mod control;
pub mod directory;
mod emulator;
pub mod entra;
mod environment;
pub mod fault;
pub mod imds;
mod managed_identity;
pub mod on_behalf_of;
mod parameters;
mod pattern;
pub mod request_log;
mod role;
pub mod seed;
mod server;
mod state;
pub mod vault;

pub use emulator::{Emulator, Options, StartError};
pub use state::StateError;
