//! The token endpoints of an Azure Machine Learning compute: its own identity, and the user's on whose behalf a job runs.

use super::platform::Endpoint;
use crate::environment::Environment;

/// The version of the endpoint, which is that of App Service in 2017; its parameter for the client is `clientid`.
const API_VERSION: &str = "2017-09-01";

/// The compute's own identity. A cluster with several names its default one in `DEFAULT_IDENTITY_CLIENT_ID`; on
/// Kubernetes computes there is none to name.
pub(super) fn endpoint(environment: &Environment, client_id: Option<&str>) -> Result<Endpoint, String> {
    let address = environment.get("MSI_ENDPOINT").ok_or("MSI_ENDPOINT is not set")?;
    let secret = environment.get("MSI_SECRET").ok_or("MSI_SECRET is not set")?;
    let endpoint = Endpoint::new(address)
        .ok_or("MSI_ENDPOINT is no http address")?
        .header("secret", secret)
        .query("api-version", API_VERSION);
    Ok(match client_id.or(environment.get("DEFAULT_IDENTITY_CLIENT_ID")) {
        Some(id) => endpoint.query("clientid", id),
        None => endpoint,
    })
}

/// The user's identity.
pub(super) fn on_behalf_of(environment: &Environment) -> Result<Endpoint, String> {
    let address = environment.get("OBO_ENDPOINT").ok_or("OBO_ENDPOINT is not set")?;
    Endpoint::new(address).ok_or_else(|| "OBO_ENDPOINT is no http address".to_owned())
}
