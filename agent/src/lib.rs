//! Puts an Azure Key Vault's secrets beside the program that needs them, and keeps them fresh there.

pub mod agent;
pub mod azure;
pub mod causes;
pub mod check;
pub mod cli;
pub mod client;
pub mod clock;
pub mod command;
pub mod config;
pub mod credentials;
pub mod direct;
pub mod encoding;
pub mod env_file;
pub mod environment;
pub mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod hooks;
mod json_text;
pub mod kernel;
pub mod lease;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod notify;
pub mod online;
pub mod passed;
pub mod place;
pub mod principal;
pub mod process;
pub mod record;
pub mod refresh;
pub mod reload;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod selection;
pub mod serve;
mod signals;
pub mod socket;
pub mod store;
pub mod tasks;
#[cfg(test)]
mod testing;
pub mod variable;
pub mod vault;
pub mod warm;
