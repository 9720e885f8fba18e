//! Azure on localhost: Entra tokens, instance metadata and the Key Vault secrets data plane over real TLS, with
//! faults that can be scripted.

pub mod app_service;
pub mod azure_ml;
pub mod clock;
pub mod directory;
pub mod entra;
pub mod imds;
mod managed_identity;
pub mod on_behalf_of;
mod pattern;
pub mod seed;
pub mod vault;
