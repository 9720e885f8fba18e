//! The connection to Azure: signing in, and a Key Vault behind [`crate::vault::Vault`].

pub mod cloud;
pub mod environment;
#[cfg(test)]
mod testing;
pub mod transport;
pub mod value_stream;
