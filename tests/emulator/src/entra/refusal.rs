//! Entra's refusals: OAuth code, AADSTS number and wording of each.
//!
//! Wordings are those of the real service, from learn.microsoft.com/entra/identity-platform/reference-error-codes
//! and from traces that people have published, unless a comment says that one is not known.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::written;
use crate::directory::AssertionProblem;

/// Where the descriptions of refused assertions send their reader.
const CERTIFICATE_HELP: &str = "https://learn.microsoft.com/entra/identity-platform/certificate-credentials";

/// One refusal, before it gets its time and ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: &'static str,
    code: u32,
    message: String,
}

/// A refusal as it goes over the wire, member by member in the service's order.
#[derive(Serialize)]
struct Body {
    error: &'static str,
    error_description: String,
    error_codes: [u32; 1],
    timestamp: String,
    trace_id: Uuid,
    correlation_id: Uuid,
    error_uri: String,
}

impl Refusal {
    fn new(error: &'static str, code: u32, message: impl Into<String>) -> Self {
        let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        Self { status, error, code, message: message.into() }
    }

    pub(super) fn respond(self, now: Timestamp, trace: Uuid, correlation: Uuid) -> Response {
        let body = Body {
            error: self.error,
            error_description: self.describe(now, trace, correlation),
            error_codes: [self.code],
            timestamp: written(now),
            trace_id: trace,
            correlation_id: correlation,
            error_uri: format!("https://login.microsoftonline.com/error?code={}", self.code),
        };
        (self.status, Json(body)).into_response()
    }

    /// The description alone, with ids of its own: what IMDS passes on.
    pub(crate) fn description(&self, now: Timestamp) -> String {
        self.describe(now, Uuid::new_v4(), Uuid::new_v4())
    }

    fn describe(&self, now: Timestamp, trace: Uuid, correlation: Uuid) -> String {
        let Self { code, message, .. } = self;
        let time = written(now);
        format!("AADSTS{code}: {message}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {time}")
    }
}

pub(super) fn unknown_tenant(tenant: &str, error: &'static str) -> Refusal {
    Refusal::new(
        error,
        90002,
        format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud. Check with your subscription administrator, this may happen if there are no active \
             subscriptions for the tenant."
        ),
    )
}

pub(super) fn unknown_instance() -> Refusal {
    Refusal::new("invalid_instance", 50049, "Unknown or invalid instance.")
}

pub(super) fn missing_parameter(name: &str) -> Refusal {
    let message = format!("The request body must contain the following parameter: '{name}'.");
    Refusal::new("invalid_request", 900_144, message)
}

pub(super) fn missing_credential() -> Refusal {
    Refusal::new(
        "invalid_client",
        7_000_218,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    )
}

pub(super) fn unsupported_grant(grant_type: &str) -> Refusal {
    let message = format!("The app requested an unsupported grant type '{grant_type}'.");
    Refusal::new("unsupported_grant_type", 70003, message)
}

pub(super) fn unknown_application(client_id: &str, tenant: Uuid) -> Refusal {
    Refusal::new(
        "unauthorized_client",
        700_016,
        format!(
            "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if \
             the application has not been installed by the administrator of the tenant or consented to by any user \
             in the tenant. You may have sent your authentication request to the wrong tenant."
        ),
    )
}

pub(super) fn wrong_secret(app_id: Uuid) -> Refusal {
    Refusal::new(
        "invalid_client",
        7_000_215,
        format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
             not the client secret ID, for a secret added to app '{app_id}'."
        ),
    )
}

pub(super) fn wrong_scope(scope: &str) -> Refusal {
    Refusal::new(
        "invalid_scope",
        1_002_012,
        format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with \
             /.default suffixed to the resource identifier (application ID URI)."
        ),
    )
}

/// A resource that no tenant has a service principal of.
pub(crate) fn unknown_resource(resource: &str, tenant: Uuid) -> Refusal {
    Refusal::new(
        "invalid_resource",
        500_011,
        format!(
            "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if \
             the application has not been installed by the administrator of the tenant or consented to by any user \
             in the tenant. You might have sent your authentication request to the wrong tenant."
        ),
    )
}

pub(super) fn wrong_assertion(problem: AssertionProblem, app_id: Uuid, now: Timestamp) -> Refusal {
    let client = |code, message: String| Refusal::new("invalid_client", code, message);
    match problem {
        AssertionProblem::Malformed => Refusal::new("invalid_request", 50027, "JWT token is invalid or malformed."),
        AssertionProblem::UnknownCertificate { thumbprint } => client(
            700_027,
            format!(
                "The certificate with identifier used to sign the client assertion is not registered on application. \
                 [Reason - The key was not found., Thumbprint of key used by client: '{thumbprint}', Please visit the \
                 Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{app_id}']."
            ),
        ),
        AssertionProblem::Signature { thumbprint: Some(thumbprint) } => client(
            700_027,
            format!(
                "Client assertion contains an invalid signature. [Reason - The provided signature value did not match \
                 the expected signature value., Thumbprint of key used by client: '{thumbprint}']"
            ),
        ),
        // What the real service says to a projected token of a key that its issuer does not publish is not known.
        AssertionProblem::Signature { thumbprint: None } => {
            client(700_027, "Client assertion failed signature validation.".to_owned())
        }
        AssertionProblem::Subject => client(
            700_021,
            format!(
                "Client assertion application identifier doesn't match 'client_id' parameter. Review the \
                 documentation at {CERTIFICATE_HELP} ."
            ),
        ),
        AssertionProblem::Audience => client(
            700_023,
            format!(
                "Client assertion audience claim does not match Realm issuer. Review the documentation at \
                 {CERTIFICATE_HELP} ."
            ),
        ),
        AssertionProblem::Time { not_before, expires } => client(
            700_024,
            format!(
                "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, \
                 expiry time of assertion {}. Review the documentation at {CERTIFICATE_HELP} .",
                precise(now),
                precise(not_before),
                precise(expires)
            ),
        ),
        AssertionProblem::NoTrust { issuer, subject, audience } => Refusal::new(
            "invalid_request",
            70021,
            format!(
                "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. \
                 Assertion Subject: '{subject}'. Assertion Audience: '{audience}'."
            ),
        ),
    }
}

/// A time with seven decimals: `2024-10-02T22:05:03.6755165Z`.
fn precise(time: Timestamp) -> String {
    format!("{}.{:07}Z", time.strftime("%Y-%m-%dT%H:%M:%S"), time.subsec_nanosecond().unsigned_abs() / 100)
}
