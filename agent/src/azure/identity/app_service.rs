//! The token endpoint of App Service, Functions and Container Apps.
//!
//! It is asked without `azure_identity`, whose managed identity refuses to work where the variables of another platform
//! are set, too, and reads them from the process.

use super::platform::{Endpoint, Selector};
use crate::environment::Environment;

/// Source: <https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference>.
const API_VERSION: &str = "2019-08-01";

/// The endpoint for the selected identity, or for the system-assigned one.
pub(super) fn endpoint(environment: &Environment, identity: Option<Selector<'_>>) -> Result<Endpoint, String> {
    let address = environment.get("IDENTITY_ENDPOINT").ok_or("IDENTITY_ENDPOINT is not set")?;
    let header = environment.get("IDENTITY_HEADER").ok_or("IDENTITY_HEADER is not set")?;
    let endpoint = Endpoint::new(address)
        .ok_or("IDENTITY_ENDPOINT is no http address")?
        .header("x-identity-header", header)
        .query("api-version", API_VERSION);
    Ok(endpoint.of(identity))
}
