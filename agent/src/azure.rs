//! The connection to Azure: signing in, and a Key Vault behind [`crate::vault::Vault`].

pub mod cloud;
pub mod error_body;
pub mod identity;
pub mod key_vault;
pub mod knock;
pub mod own_host;
mod quotation;
#[cfg(test)]
mod testing;
pub mod transport;
pub(crate) mod value_stream;

use std::sync::Arc;

use thiserror::Error;

use self::cloud::VaultUrl;
use self::identity::{Authority, Identity, InvalidAuthority, SignIn};
use self::key_vault::{KeyVault, Means};
use self::knock::Way;
use self::transport::{Timeouts, Transport, TransportError};
use crate::clock::Clock;
use crate::environment::Environment;
use crate::memory::Arena;

/// What an operator says about the connection.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The vault.
    pub vault_url: VaultUrl,
    /// The vaults that stand in for it, of the same cloud.
    pub fallback: Vec<VaultUrl>,
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

/// What leads to a vault.
#[derive(Debug)]
pub struct Connection {
    /// The vault.
    pub vault: KeyVault,
    /// Those that stand in for it.
    pub fallback: Vec<KeyVault>,
    /// As whom they are read.
    pub identity: Arc<Identity>,
    /// How the vault is reached.
    pub way: Way,
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
) -> Result<Connection, ConnectError> {
    let Settings { vault_url, fallback, identity, timeouts } = settings;
    let transport = Arc::new(Transport::new(environment, timeouts)?);
    let authority = Authority::new(environment, vault_url.cloud())?;
    let sign_in = SignIn { transport, authority };
    let identity = Identity::new(&identity, environment, sign_in.clone(), Arc::clone(&clock));
    let SignIn { transport, authority } = sign_in;
    let way =
        Way { vault_url: vault_url.clone(), transport: Arc::clone(&transport), authority, clock: Arc::clone(&clock) };
    let means = Means { identity: Arc::clone(&identity), transport, arena, clock };
    let open = |url| KeyVault::new(url, means.clone()).map_err(ConnectError::Client);
    let fallback = fallback.into_iter().map(open).collect::<Result<_, _>>()?;
    Ok(Connection { vault: open(vault_url)?, fallback, identity, way })
}
