//! Asks: the vault as a stranger, for a token, for the list, for every secret.

use futures::StreamExt as _;

use super::findings::Findings;
use super::{Audience, fetch};
use crate::azure::Connection;
use crate::azure::key_vault::{KeyVault, Refused};
use crate::memory::Arena;
use crate::refresh::Wanted;
use crate::secret::Metadata;

/// How many secrets are asked for at once, as many as an agent does.
const CONCURRENT_FETCHES: usize = 4;

/// Asks everything that can be asked. What needs the vault and a token is left out where one of them cannot be had.
pub(super) async fn probe(
    wanted: &[Wanted],
    connection: &Connection,
    arena: &Arena,
    audience: &mut Audience<'_>,
) -> Findings {
    let Connection { vault, identity, way } = connection;
    let proxy = way.proxy();
    audience.tell(&format!("reaching {}", way.vault_url()));
    let addresses = match proxy {
        // Whoever goes through a proxy may have no name server of its own.
        Some(_) => Vec::new(),
        None => way.addresses().await.unwrap_or_default(),
    };
    let knock = way.knock().await;
    audience.tell("signing in");
    let sign_in = identity.sign_in(&way.vault_url().cloud().vault_scope()).await;
    let token_endpoint = sign_in.as_ref().ok().and_then(|signed_in| way.token_endpoint(signed_in));
    let (mut list, mut secrets) = (None, wanted.iter().map(|wanted| (wanted.clone(), None)).collect());
    if knock.is_ok() && sign_in.is_ok() {
        audience.tell(&format!("asking for {} secret(s)", wanted.len()));
        list = Some(vault.try_list().await);
        secrets = futures::stream::iter(wanted)
            .map(async |wanted| (wanted.clone(), Some(read(vault, wanted, arena).await)))
            .buffered(CONCURRENT_FETCHES)
            .collect()
            .await;
    }
    Findings { proxy, addresses, trust: way.trust().clone(), knock, sign_in, token_endpoint, list, secrets }
}

/// Fetches a secret, and keeps what is known about it; the value is wiped here.
async fn read(vault: &KeyVault, wanted: &Wanted, arena: &Arena) -> Result<Metadata, Refused> {
    fetch(vault, wanted, arena).await.map(|secret| secret.metadata)
}
