//! The identity endpoint of App Service, Functions and Container Apps.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::managed_identity::{Endpoint, Terms, selector, status_and_message};
use crate::parameters::Parameters;

/// The only version that answers to `X-IDENTITY-HEADER`
/// (learn.microsoft.com/azure/app-service/overview-managed-identity, "REST endpoint reference").
const VERSION: &str = "2019-08-01";

/// The routes of the App Service identity endpoint.
pub fn router(directory: Arc<Directory>, clock: Clock) -> Router {
    Router::new().route("/msi/token", get(token)).with_state(Endpoint { directory, clock })
}

/// Refuses with a status and a message. Only the message about an unknown identity is one that the real service
/// is known to send (github.com/Azure-Samples/azure-search-openai-demo/issues/2148).
async fn token(State(endpoint): State<Endpoint>, headers: HeaderMap, uri: Uri) -> Response {
    let Endpoint { directory, .. } = &endpoint;
    let parameters = Parameters::of_query(&uri);
    if headers.get("x-identity-header").is_none_or(|value| value != directory.identity_header()) {
        return status_and_message(StatusCode::UNAUTHORIZED, "X-IDENTITY-HEADER is missing or wrong.");
    }
    let terms = Terms {
        version: VERSION,
        selector: selector(&parameters),
        unknown_identity: "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.",
        expires_on: |_, expires| json!(expires.as_second().to_string()),
    };
    endpoint.grant(&parameters, &terms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::fixture::{ASSIGNED, ASSIGNED_OBJECT, ASSIGNED_RESOURCE, SYSTEM, TENANT, VAULT, get, shared};

    const HEADER: &[(&str, &str)] = &[("x-identity-header", "header-value")];
    const ADDRESS: &str = "/msi/token?api-version=2019-08-01&resource=https://vault.azure.net";

    #[tokio::test]
    async fn an_identity_gets_a_token_with_the_members_that_app_service_sends() {
        let (directory, clock) = (shared(), Clock::new());
        let router = router(Arc::clone(&directory), clock.clone());
        let rows = [
            (String::new(), SYSTEM),
            (format!("&client_id={ASSIGNED}"), ASSIGNED),
            (format!("&object_id={ASSIGNED_OBJECT}"), ASSIGNED),
            (format!("&mi_res_id={ASSIGNED_RESOURCE}"), ASSIGNED),
        ];
        for (choice, client_id) in rows {
            let answer = get(&router, &format!("{ADDRESS}{choice}"), HEADER).await;
            let token = answer.body["access_token"].as_str().unwrap();
            assert_eq!(directory.verify(token, VAULT, clock.now()).unwrap().app_id, client_id, "{choice}");
            let members: Vec<_> = answer.body.as_object().unwrap().keys().collect();
            assert_eq!(members, ["access_token", "client_id", "expires_on", "resource", "token_type"]);
            assert!(answer.body["expires_on"].as_str().unwrap().parse::<i64>().is_ok(), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_request_that_lacks_something_is_refused_with_a_status_and_a_message() {
        let good = Some("header-value");
        let rows = [
            (ADDRESS.into(), None, 401, "X-IDENTITY-HEADER is missing"),
            (ADDRESS.into(), Some("x"), 401, "X-IDENTITY-HEADER is missing"),
            (ADDRESS.replace("2019-08", "2017-09"), good, 400, "The api-version is missing"),
            (ADDRESS.replace("resource", "scope"), good, 400, "The resource is missing"),
            (ADDRESS.replace("https://", ""), good, 400, "The resource is missing"),
            (format!("{ADDRESS}&client_id={TENANT}"), good, 400, "No User Assigned or Delegated"),
        ];
        for (address, header, status, message) in rows {
            let headers: Vec<_> = header.map(|value| ("x-identity-header", value)).into_iter().collect();
            let answer = get(&router(shared(), Clock::new()), &address, &headers).await;
            assert_eq!(answer.status, status, "{address}: {answer:?}");
            assert_eq!(answer.body["statusCode"], status, "{address}");
            let found = answer.body["message"].as_str().unwrap();
            assert!(found.starts_with(message), "{address}: {found}");
        }
    }
}
