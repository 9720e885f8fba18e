//! Puts an Azure Key Vault's secrets beside the program that needs them, and keeps them fresh there.

pub mod azure;
pub mod clock;
pub mod memory;
pub mod principal;
pub mod secret;
pub mod tasks;
pub mod vault;
