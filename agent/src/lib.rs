//! Puts an Azure Key Vault's secrets beside the program that needs them, and keeps them fresh there.

pub mod clock;
pub mod config;
pub mod encoding;
pub mod logging;
pub mod memory;
pub mod principal;
pub mod process;
pub mod refresh;
pub mod schedule;
pub mod secret;
pub mod store;
pub mod tasks;
pub mod vault;
