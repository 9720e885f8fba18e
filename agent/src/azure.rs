//! The connection to Azure: signing in, and a Key Vault behind [`crate::vault::Vault`].

pub mod cloud;
pub mod identity;
pub mod key_vault;
pub mod own_host;
mod quotation;
#[cfg(test)]
mod testing;
pub mod transport;
mod value_stream;

use std::sync::Arc;

use thiserror::Error;

use self::cloud::{Cloud, VaultUrl};
use self::identity::{Authority, Identity, InvalidAuthority, SignIn};
use self::key_vault::{KeyVault, Means};
use self::transport::{Timeouts, Transport, TransportError};
use crate::clock::Clock;
use crate::environment::Environment;
use crate::memory::Arena;

/// What an operator says about the connection.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The vault, and those that stand in for it.
    pub vaults: Vec<VaultUrl>,
    /// Who Keyside is to it.
    pub identity: identity::Settings,
    /// How long a request may take.
    pub timeouts: Timeouts,
}

/// Why a connection cannot even be tried.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The environment names no usable roots or proxies.
    #[error("no connection to Azure can be made")]
    Transport(#[from] TransportError),
    /// The environment names no usable sign-in service.
    #[error("no sign-in to Azure can be made")]
    Authority(#[from] InvalidAuthority),
    /// The client refuses the vault's address.
    #[error("the vault's address is refused")]
    Client(#[source] azure_core::Error),
}

/// Prepares the connection to vaults of one cloud. Reads the trusted roots; sends nothing before the first fetch.
///
/// # Errors
/// [`ConnectError`], where the environment rules every connection out.
pub fn connect(
    settings: Settings,
    environment: &Environment,
    arena: Arena,
    clock: Arc<dyn Clock>,
) -> Result<(Vec<KeyVault>, Arc<Identity>), ConnectError> {
    let Settings { vaults, identity, timeouts } = settings;
    let transport = Arc::new(Transport::new(environment, timeouts)?);
    let cloud = vaults.first().map_or(Cloud::Public, VaultUrl::cloud);
    let authority = Authority::new(environment, cloud)?;
    let sign_in = SignIn { transport: Arc::clone(&transport), authority };
    let identity = Identity::new(&identity, environment, sign_in, Arc::clone(&clock));
    let means = Means { identity: Arc::clone(&identity), transport, arena, clock };
    let vaults = vaults.into_iter().map(|url| KeyVault::new(url, means.clone()).map_err(ConnectError::Client));
    Ok((vaults.collect::<Result<_, _>>()?, identity))
}
