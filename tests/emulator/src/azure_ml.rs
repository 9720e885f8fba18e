//! The identity endpoint of Azure ML compute.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::directory::{Directory, ExpiresOnForm, Principal, Selector};
use crate::managed_identity::{Endpoint, Parameters, is_resource, status_and_message};

/// The version that the Azure SDKs and MSAL ask for.
const VERSION: &str = "2017-09-01";

/// The routes of the Azure ML identity endpoint.
pub fn router(directory: Arc<Directory>, clock: Clock) -> Router {
    Router::new()
        .route("/msi/token", get(token))
        .with_state(Endpoint { directory, clock })
}

/// Answers as the Azure SDKs expect it; no real refusal of this endpoint is known, so their wording is the
/// emulator's.
async fn token(State(endpoint): State<Endpoint>, headers: HeaderMap, uri: Uri) -> Response {
    let Endpoint { directory, .. } = &endpoint;
    let parameters = Parameters::of(&uri);
    let refuse = |message| status_and_message(StatusCode::BAD_REQUEST, message);
    if headers
        .get("secret")
        .is_none_or(|value| value != directory.msi_secret())
    {
        return status_and_message(
            StatusCode::UNAUTHORIZED,
            "The header secret is missing or wrong.",
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
    let Ok(identity) = directory.managed_identity(&selector(&parameters)) else {
        return refuse("No identity of this compute has the given clientid.");
    };
    let issued = directory.issue(
        Principal::ManagedIdentity(identity),
        resource,
        endpoint.now(),
    );
    Json(json!({
        "access_token": issued.token,
        "client_id": identity.client_id,
        "expires_on": expires_on(issued.expires, directory.expires_on()),
        "resource": resource,
        "token_type": "Bearer",
    }))
    .into_response()
}

/// This endpoint knows no other parameter than `clientid`, without the underscore.
fn selector(parameters: &Parameters) -> Selector {
    parameters
        .value("clientid")
        .map_or(Selector::Default, |id| Selector::ClientId(id.to_owned()))
}

fn expires_on(expires: Timestamp, form: ExpiresOnForm) -> Value {
    match form {
        ExpiresOnForm::Integer => json!(expires.as_second()),
        ExpiresOnForm::NumericString => json!(expires.as_second().to_string()),
        ExpiresOnForm::DateText => json!(expires.strftime("%m/%d/%Y %H:%M:%S +00:00").to_string()),
        ExpiresOnForm::DateTextTwelveHours => {
            json!(
                expires
                    .strftime("%-m/%-d/%Y %-I:%M:%S %p +00:00")
                    .to_string()
            )
        }
    }
}
