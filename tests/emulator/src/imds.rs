//! IMDS: the link-local endpoint that hands a virtual machine its identities' tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::clock::Clock;
use crate::directory::{Directory, Principal, SelectionProblem};
use crate::managed_identity::{Endpoint, Parameters, is_resource};

/// The `Server` header of a real answer (github.com/Azure/azure-sdk-for-net/issues/37694).
const SERVER: HeaderValue = HeaderValue::from_static("IMDS/150.870.65.1036");

/// The version that introduced this endpoint; documentation asks for it or a later one
/// (learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token).
const FIRST_VERSION: &str = "2018-02-01";

/// The routes of the instance metadata service. The JavaScript SDK asks with a trailing slash.
pub fn router(directory: Arc<Directory>, clock: Clock) -> Router {
    Router::new()
        .route("/metadata/identity/oauth2/token", get(token))
        .route("/metadata/identity/oauth2/token/", get(token))
        .with_state(Endpoint { directory, clock })
}

async fn token(State(endpoint): State<Endpoint>, headers: HeaderMap, uri: Uri) -> Response {
    let mut response = match answer(&endpoint, &headers, &Parameters::of(&uri)) {
        Ok(body) => Json(body).into_response(),
        Err(refusal) => refusal.into_response(),
    };
    response.headers_mut().insert(header::SERVER, SERVER);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

/// Why there is no token; every refusal is a 400.
struct Refusal {
    error: &'static str,
    description: String,
}

impl Refusal {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            error,
            description: description.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": self.error, "error_description": self.description});
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

fn answer(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<serde_json::Value, Refusal> {
    if headers.get("metadata").is_none_or(|value| value != "true") {
        return Err(Refusal::new(
            "bad_request_102",
            "Required metadata header not specified",
        ));
    }
    check_version(parameters.value("api-version"))?;
    let resource = parameters.value("resource").ok_or_else(|| {
        Refusal::new(
            "invalid_request",
            "Required query variable 'resource' is missing",
        )
    })?;
    let identity = endpoint
        .directory
        .managed_identity(&parameters.selector())
        .map_err(refuse_selection)?;
    if !is_resource(resource) {
        return Err(unknown_resource(endpoint, resource));
    }
    let now = endpoint.now();
    let issued = endpoint
        .directory
        .issue(Principal::ManagedIdentity(identity), resource, now);
    let expires_in = (issued.expires.as_second() - now.as_second()).to_string();
    Ok(json!({
        "access_token": issued.token,
        "client_id": identity.client_id,
        "expires_in": expires_in,
        "expires_on": issued.expires.as_second().to_string(),
        "ext_expires_in": expires_in,
        "not_before": issued.not_before.as_second().to_string(),
        "resource": resource,
        "token_type": "Bearer",
    }))
}

/// The wording of these two refusals is the emulator's: no answer of the real service to them is known.
fn check_version(version: Option<&str>) -> Result<(), Refusal> {
    let Some(version) = version else {
        return Err(Refusal::new(
            "invalid_request",
            "Required query variable 'api-version' is missing",
        ));
    };
    let is_date = version.parse::<jiff::civil::Date>().is_ok();
    if is_date && version >= FIRST_VERSION {
        return Ok(());
    }
    Err(Refusal::new(
        "invalid_request",
        format!("api-version '{version}' is not supported"),
    ))
}

fn refuse_selection(problem: SelectionProblem) -> Refusal {
    match problem {
        SelectionProblem::Unknown => Refusal::new("invalid_request", "Identity not found"),
        SelectionProblem::Ambiguous => Refusal::new(
            "invalid_request",
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in \
             the token request",
        ),
    }
}

fn unknown_resource(endpoint: &Endpoint, resource: &str) -> Refusal {
    let refusal = crate::entra::unknown_resource(resource, endpoint.directory.tenant());
    Refusal::new("invalid_resource", refusal.description(endpoint.now()))
}
