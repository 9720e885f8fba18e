//! The instance metadata service, which gives a virtual machine the tokens of its managed identities.

use std::time::Duration;

use super::platform::{Endpoint, Selector};
use crate::azure::transport::Timeouts;
use crate::environment::Environment;

/// Source: <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>.
const ADDRESS: &str = "http://169.254.169.254";
const PATH: &str = "/metadata/identity/oauth2/token";
const API_VERSION: &str = "2018-02-01";

/// A machine that has the service answers at once, and where there is none the address leads nowhere. Other sources and
/// the caller still have to have their turn within five seconds.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(3);

/// The endpoint for the selected identity, or for the machine's only one. It is never reached through a proxy;
/// `AZURE_POD_IDENTITY_AUTHORITY_HOST` moves it, as it does for the other Azure SDKs.
pub(super) fn endpoint(
    environment: &Environment,
    identity: Option<Selector<'_>>,
    timeouts: Timeouts,
) -> Result<Endpoint, String> {
    let host = environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or(ADDRESS);
    let endpoint = Endpoint::new(&format!("{}{PATH}", host.trim_end_matches('/')))
        .ok_or("AZURE_POD_IDENTITY_AUTHORITY_HOST is no http address")?
        .direct()
        .within(Timeouts {
            connect: timeouts.connect.min(CONNECT),
            read: timeouts.read.min(ANSWER),
            total: timeouts.total.min(CONNECT + ANSWER),
        })
        .header("metadata", "true")
        .query("api-version", API_VERSION);
    Ok(endpoint.of(identity))
}
