//! Access tokens: which claims one carries for whom, how long it lives, and what makes one acceptable.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key::SigningKey;
use super::{Caller, ManagedIdentity, Registration, TokenProblem, User};

/// How far tokens are backdated, so that services whose clocks run late accept them. IMDS answers show it:
/// `expires_on` lies 86,700 s after `not_before`, while `expires_in` is 86,399.
const BACKDATING: SignedDuration = SignedDuration::from_mins(5);

/// Who a token is made for.
#[derive(Clone, Copy)]
pub(crate) enum Principal<'a> {
    Application(&'a Registration),
    ManagedIdentity(&'a ManagedIdentity),
    User(&'a User),
}

/// A token that was just made.
pub(crate) struct Issued {
    pub(crate) token: String,
    pub(crate) not_before: Timestamp,
    pub(crate) expires: Timestamp,
}

/// The claims of a version 1.0 access token, which Key Vault asks for through the version 2.0 endpoint too
/// (learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AccessClaims {
    aud: String,
    iss: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    appid: Uuid,
    idtyp: String,
    oid: Uuid,
    sub: String,
    tid: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xms_mirid: Option<String>,
    uti: String,
    ver: String,
}

/// What an access token says before its signature is believed.
#[derive(Debug, Clone, Deserialize)]
struct Unverified {
    iss: String,
}

/// The issuer of a tenant's version 1.0 tokens.
pub(crate) fn issuer(tenant: Uuid) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

/// Whether Entra could know this resource: an absolute URI, or an application id.
pub(crate) fn is_resource(text: &str) -> bool {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("api://")).unwrap_or_default();
    let host = authority.split('/').next().unwrap_or_default();
    !host.is_empty() || Uuid::try_parse(text).is_ok()
}

/// Makes a token of `tenant` for `principal`, to be shown to `audience` until `lifetime` after `now`.
pub(crate) fn issue(
    key: &SigningKey,
    (tenant, principal): (Uuid, Principal<'_>),
    audience: &str,
    (now, lifetime): (Timestamp, Duration),
) -> Issued {
    let not_before = now.saturating_sub(BACKDATING).unwrap_or(Timestamp::MIN);
    let expires = now.saturating_add(lifetime).unwrap_or(Timestamp::MAX);
    let (appid, oid, idtyp) = match principal {
        Principal::Application(application) => (application.app_id, application.object_id, "app"),
        Principal::ManagedIdentity(identity) => (identity.client_id, identity.object_id, "app"),
        Principal::User(user) => (user.app_id, user.object_id, "user"),
    };
    let claims = AccessClaims {
        aud: audience.to_owned(),
        iss: issuer(tenant),
        iat: not_before.as_second(),
        nbf: not_before.as_second(),
        exp: expires.as_second(),
        appid,
        idtyp: idtyp.to_owned(),
        oid,
        sub: oid.to_string(),
        tid: tenant,
        upn: user_of(principal).map(|user| user.name.clone()),
        scp: user_of(principal).map(|_| "user_impersonation".to_owned()),
        xms_mirid: resource_of(principal),
        uti: Uuid::new_v4().simple().to_string(),
        ver: "1.0".to_owned(),
    };
    Issued { token: key.sign(&claims), not_before, expires }
}

fn user_of(principal: Principal<'_>) -> Option<&User> {
    match principal {
        Principal::User(user) => Some(user),
        Principal::Application(_) | Principal::ManagedIdentity(_) => None,
    }
}

fn resource_of(principal: Principal<'_>) -> Option<String> {
    match principal {
        Principal::ManagedIdentity(identity) => identity.resource_id.clone(),
        Principal::Application(_) | Principal::User(_) => None,
    }
}

/// Checks a token as a service does: issuer (which chooses the key), signature, times, audience.
pub(crate) fn verify(
    key: &SigningKey,
    tenant: Uuid,
    (bearer, expected_audience): (&str, &str),
    now: Timestamp,
) -> Result<Caller, TokenProblem> {
    let unverified: Unverified =
        jsonwebtoken::dangerous::insecure_decode_claims(bearer).map_err(|_| TokenProblem::Malformed)?;
    if unverified.iss != issuer(tenant) {
        return Err(TokenProblem::Issuer { found: unverified.iss });
    }
    let claims: AccessClaims = key.open(bearer).ok_or(TokenProblem::Malformed)?;
    if now.as_second() >= claims.exp || now.as_second() < claims.nbf {
        return Err(TokenProblem::Expired);
    }
    if claims.aud.trim_end_matches('/') != expected_audience.trim_end_matches('/') {
        return Err(TokenProblem::Audience { found: claims.aud });
    }
    Ok(Caller { object_id: claims.oid, app_id: claims.appid, tenant: claims.tid })
}
