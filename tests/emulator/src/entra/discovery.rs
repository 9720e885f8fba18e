//! What Entra says about itself: its endpoints, its keys, and the hosts that it goes by.

use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::AUTHORITY;
use super::refusal::{Refusal, unknown_instance};
use crate::directory::Directory;

/// The names of the public cloud's authority, the first of which is preferred
/// (github.com/AzureAD/microsoft-authentication-library-for-python, `WELL_KNOWN_AUTHORITY_HOSTS`).
const ALIASES: [&str; 4] = [AUTHORITY, "login.windows.net", "login.microsoft.com", "sts.windows.net"];

/// The `OpenID` configuration of a tenant, with addresses on the host that was asked
/// (openid.net/specs/openid-connect-discovery-1_0.html section 3).
pub(super) fn configuration(tenant: Uuid, host: &str) -> Value {
    let base = format!("https://{host}/{tenant}");
    json!({
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": format!("{base}/v2.0"),
        "request_uri_parameter_supported": false,
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "name", "tid", "ver"],
        "tenant_region_scope": "NA",
        "cloud_instance_name": "microsoftonline.com",
    })
}

/// The key set with which tokens are checked.
pub(super) fn keys(directory: &Directory) -> Value {
    json!(directory.key_set())
}

/// Tells a client whether the host of `authorization_endpoint` belongs to Microsoft, and what else it goes by.
///
/// The host that was asked counts as well: that is where this emulator lives when it is not behind its proxy.
pub(super) fn instance(authorization_endpoint: &str, host: &str) -> Result<Value, Refusal> {
    let asked = Url::parse(authorization_endpoint).ok();
    let Some((asked, tenant)) = asked.as_ref().and_then(|url| Some((url, url.path_segments()?.next()?))) else {
        return Err(unknown_instance());
    };
    let authority = asked.authority();
    if authority != host && !ALIASES.contains(&authority) {
        return Err(unknown_instance());
    }
    Ok(json!({
        "tenant_discovery_endpoint": format!("https://{authority}/{tenant}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{"preferred_network": AUTHORITY, "preferred_cache": "login.windows.net", "aliases": ALIASES}],
    }))
}
