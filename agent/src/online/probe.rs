//! Asks: the vault as a stranger, for a token, for the list, for every secret.

use std::future::Future;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::findings::Findings;
use super::{Audience, fetch};
use crate::azure::Connection;
use crate::azure::key_vault::{KeyVault, Refused};
use crate::memory::Arena;
use crate::refresh::Wanted;
use crate::secret::Metadata;
use crate::vault::FetchError;

/// How many secrets are asked for at once, as many as an agent does.
const CONCURRENT_FETCHES: usize = 4;

/// How long all secrets together may take, so that somebody who waits is not kept by a hundred that hang.
const SECRETS_TIME: Duration = Duration::from_mins(1);

/// Asks everything that can be asked. What needs the vault and a token is left out where one of them cannot be had.
pub(super) async fn probe(
    wanted: &[Wanted],
    connection: &Connection,
    arena: &Arena,
    audience: &mut Audience<'_>,
) -> Findings {
    let Connection { vault, identity, way, .. } = connection;
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
        let deadline = Instant::now() + SECRETS_TIME;
        secrets = futures::stream::iter(wanted)
            .map(async |wanted| (wanted.clone(), Some(before(deadline, read(vault, wanted, arena)).await)))
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

async fn before<T>(deadline: Instant, asking: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    timeout_at(deadline, asking).await.unwrap_or_else(|_| {
        let text = format!("it was not answered for within the {SECRETS_TIME:?} that all secrets have together");
        Err(FetchError::Unavailable(text.into()).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::with_causes;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_not_kept_longer_than_a_minute() {
        let (start, deadline) = (Instant::now(), Instant::now() + SECRETS_TIME);
        before(deadline, async { Ok(()) }).await.expect("in time");
        for _ in 0..2 {
            let refused = before::<()>(deadline, std::future::pending()).await.expect_err("too late");
            assert!(refused.error.is_transient());
            assert!(with_causes(&refused.error).contains("within the 60s"), "{refused:?}");
        }
        assert_eq!(start.elapsed(), SECRETS_TIME);
    }
}
