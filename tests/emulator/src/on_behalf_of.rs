//! The endpoint that gives an Azure ML job a token of the user who submitted it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::clock::Clock;
use crate::directory::{Directory, Principal, is_resource};
use crate::managed_identity::{Endpoint, status_and_message};
use crate::parameters::Parameters;

/// The routes of the on-behalf-of endpoint: `OBO_ENDPOINT` of a job that runs as its user.
pub fn router(directory: Arc<Directory>, clock: Clock) -> Router {
    Router::new().route("/obo/token", get(token)).with_state(Endpoint { directory, clock })
}

/// Asks for nothing but `resource`, as `AzureMLOnBehalfOfCredential` of azure-ai-ml sends it. No real refusal of
/// this endpoint is known, so their wording is the emulator's.
async fn token(State(endpoint): State<Endpoint>, uri: Uri) -> Response {
    let parameters = Parameters::of_query(&uri);
    let Some(resource) = parameters.value("resource").filter(|resource| is_resource(resource)) else {
        return status_and_message(StatusCode::BAD_REQUEST, "The resource is missing or not an App ID URI.");
    };
    let Some(user) = endpoint.directory.user() else {
        return status_and_message(StatusCode::BAD_REQUEST, "This job does not run as a user.");
    };
    let issued = endpoint.directory.issue(Principal::User(user), resource, endpoint.now());
    Json(json!({
        "access_token": issued.token,
        "expires_on": issued.expires.as_second().to_string(),
        "resource": resource,
        "token_type": "Bearer",
    }))
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::fixture::{USER_OBJECT, VAULT, directory, get, shared};

    #[tokio::test]
    async fn a_job_gets_a_token_of_the_user_of_the_seed() {
        let (directory, clock) = (shared(), Clock::new());
        let router = router(Arc::clone(&directory), clock.clone());
        let answer = get(&router, "/obo/token?resource=https%3A%2F%2Fvault.azure.net", &[]).await;
        let token = answer.body["access_token"].as_str().unwrap();
        assert_eq!(directory.verify(token, VAULT, clock.now()).unwrap().object_id, USER_OBJECT);
        assert_eq!(answer.body["resource"], VAULT);
    }

    #[tokio::test]
    async fn no_user_and_no_resource_are_refused() {
        let nobody = Arc::new(directory(""));
        let rows = [
            (shared(), "/obo/token", "The resource is missing or not an App ID URI."),
            (shared(), "/obo/token?resource=vault", "The resource is missing or not an App ID URI."),
            (nobody, "/obo/token?resource=https://vault.azure.net", "This job does not run as a user."),
        ];
        for (directory, address, message) in rows {
            let answer = get(&router(directory, Clock::new()), address, &[]).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{address}");
            assert_eq!(answer.body["message"], message, "{address}");
        }
    }
}
