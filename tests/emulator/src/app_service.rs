//! The identity endpoint of App Service, Functions and Container Apps.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::clock::Clock;
use crate::directory::{Directory, Principal};
use crate::managed_identity::{Endpoint, Parameters, is_resource, status_and_message};

/// The only version that answers to `X-IDENTITY-HEADER`
/// (learn.microsoft.com/azure/app-service/overview-managed-identity, "REST endpoint reference").
const VERSION: &str = "2019-08-01";

/// The routes of the App Service identity endpoint.
pub fn router(directory: Arc<Directory>, clock: Clock) -> Router {
    Router::new()
        .route("/msi/token", get(token))
        .with_state(Endpoint { directory, clock })
}

/// Refuses with a status and a message. Only the message about an unknown identity is one that the real service
/// is known to send (github.com/Azure-Samples/azure-search-openai-demo/issues/2148).
async fn token(State(endpoint): State<Endpoint>, headers: HeaderMap, uri: Uri) -> Response {
    let Endpoint { directory, .. } = &endpoint;
    let parameters = Parameters::of(&uri);
    let refuse = |message| status_and_message(StatusCode::BAD_REQUEST, message);
    if headers
        .get("x-identity-header")
        .is_none_or(|value| value != directory.identity_header())
    {
        return status_and_message(
            StatusCode::UNAUTHORIZED,
            "X-IDENTITY-HEADER is missing or wrong.",
        );
    }
    if parameters.value("api-version") != Some(VERSION) {
        return refuse("The api-version is missing or not supported.");
    }
    let Some(resource) = parameters
        .value("resource")
        .filter(|resource| is_resource(resource))
    else {
        return refuse("The resource is missing or not an App ID URI.");
    };
    let Ok(identity) = directory.managed_identity(&parameters.selector()) else {
        return refuse(
            "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.",
        );
    };
    let issued = directory.issue(
        Principal::ManagedIdentity(identity),
        resource,
        endpoint.now(),
    );
    Json(json!({
        "access_token": issued.token,
        "client_id": identity.client_id,
        "expires_on": issued.expires.as_second().to_string(),
        "resource": resource,
        "token_type": "Bearer",
    }))
    .into_response()
}
