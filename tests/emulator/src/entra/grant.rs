//! The client credentials grant: who asks, with what proof, for a token to which resource.

use axum::http::{HeaderMap, header};
use base64ct::{Base64, Encoding};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use uuid::Uuid;

use super::AUTHORITY;
use super::refusal::{self, Refusal};
use crate::directory::{Directory, Principal, Registration, is_resource};
use crate::parameters::Parameters;

/// The only form of client assertion there is (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The parameters of a token request, from its form and from an `Authorization: Basic` header.
pub(super) struct TokenRequest(Parameters);

impl TokenRequest {
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let mut parameters = Parameters::of_form(headers, body);
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some((id, secret)) = authorization.and_then(basic) {
            parameters.add("client_id", id);
            parameters.add("client_secret", secret);
        }
        Self(parameters)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.value(name)
    }

    fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.value(name).ok_or_else(|| refusal::missing_parameter(name))
    }
}

/// A token as it goes over the wire, member by member in the service's order. Lifetimes are in seconds.
#[derive(Serialize)]
pub(super) struct TokenAnswer {
    token_type: &'static str,
    expires_in: i64,
    ext_expires_in: i64,
    access_token: String,
}

/// Id and secret of a Basic header, each of which is percent-encoded within (RFC 6749 section 2.3.1).
fn basic(authorization: &str) -> Option<(String, String)> {
    let encoded = authorization.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(Base64::decode_vec(encoded).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let plain = |text: &str| percent_decode_str(text).decode_utf8().ok().map(String::from);
    Some((plain(id)?, plain(secret)?))
}

/// Answers a token request that came to the host `host`.
pub(super) fn grant(
    directory: &Directory,
    request: &TokenRequest,
    host: &str,
    now: Timestamp,
) -> Result<TokenAnswer, Refusal> {
    let grant_type = request.required("grant_type")?;
    let client_id = request.required("client_id")?;
    let scope = request.required("scope")?;
    if grant_type != "client_credentials" {
        return Err(refusal::unsupported_grant(grant_type));
    }
    let application = Uuid::try_parse(client_id)
        .ok()
        .and_then(|id| directory.application(id))
        .ok_or_else(|| refusal::unknown_application(client_id, directory.tenant()))?;
    authenticate(directory, (&application, request), host, now)?;
    let resource = resource_of(scope)?;
    if !is_resource(resource) {
        return Err(refusal::unknown_resource(resource, directory.tenant()));
    }
    let issued = directory.issue(Principal::Application(&application), resource, now);
    let expires_in = issued.expires.as_second() - now.as_second();
    Ok(TokenAnswer { token_type: "Bearer", expires_in, ext_expires_in: expires_in, access_token: issued.token })
}

fn authenticate(
    directory: &Directory,
    (application, request): (&Registration, &TokenRequest),
    host: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let app_id = application.app_id;
    if let Some(assertion) = request.value("client_assertion") {
        if request.required("client_assertion_type")? != ASSERTION_TYPE {
            return Err(refusal::missing_credential());
        }
        let endpoints = endpoints(directory.tenant(), host);
        return directory
            .check_assertion(application, (assertion, &endpoints), now)
            .map_err(|problem| refusal::wrong_assertion(problem, app_id, now));
    }
    match request.value("client_secret") {
        Some(secret) if application.accepts_secret(secret) => Ok(()),
        Some(_) => Err(refusal::wrong_secret(app_id)),
        None => Err(refusal::missing_credential()),
    }
}

/// The audiences that a certificate's assertion may name: either token endpoint or the issuer
/// (learn.microsoft.com/entra/identity-platform/certificate-credentials), on the real host or the one asked.
fn endpoints(tenant: Uuid, host: &str) -> Vec<String> {
    let paths = ["oauth2/v2.0/token", "oauth2/token", "v2.0"];
    [AUTHORITY, host].iter().flat_map(|host| paths.map(|path| format!("https://{host}/{tenant}/{path}"))).collect()
}

/// The resource of a scope such as `https://vault.azure.net/.default`, of which there must be just one.
fn resource_of(scope: &str) -> Result<&str, Refusal> {
    scope
        .trim()
        .strip_suffix("/.default")
        .filter(|resource| !resource.contains(char::is_whitespace))
        .ok_or_else(|| refusal::wrong_scope(scope))
}
