//! IMDS: the link-local endpoint that hands a virtual machine its identities' tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::clock::Clock;
use crate::directory::{Directory, Principal, SelectionProblem, is_resource};
use crate::managed_identity::{Endpoint, selector};
use crate::parameters::Parameters;

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
    let mut response = match answer(&endpoint, &headers, &Parameters::of_query(&uri)) {
        Ok(body) => Json(body).into_response(),
        Err(refusal) => refusal.into_response(),
    };
    response.headers_mut().insert(header::SERVER, SERVER);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// Why there is no token; every refusal is a 400.
struct Refusal {
    error: &'static str,
    description: String,
}

impl Refusal {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { error, description: description.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": self.error, "error_description": self.description});
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    }
}

fn answer(endpoint: &Endpoint, headers: &HeaderMap, parameters: &Parameters) -> Result<serde_json::Value, Refusal> {
    if headers.get("metadata").is_none_or(|value| value != "true") {
        return Err(Refusal::new("bad_request_102", "Required metadata header not specified"));
    }
    // learn.microsoft.com/azure/virtual-machines/instance-metadata-service, "Security and authentication".
    if headers.contains_key("x-forwarded-for") {
        return Err(Refusal::new("invalid_request", "Requests that were forwarded by a proxy are not answered"));
    }
    check_version(parameters.value("api-version"))?;
    let resource = parameters
        .value("resource")
        .ok_or_else(|| Refusal::new("invalid_request", "Required query variable 'resource' is missing"))?;
    let identity = endpoint.directory.managed_identity(&selector(parameters)).map_err(refuse_selection)?;
    if !is_resource(resource) {
        return Err(unknown_resource(endpoint, resource));
    }
    let now = endpoint.now();
    let issued = endpoint.directory.issue(Principal::ManagedIdentity(&identity), resource, now);
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

/// The wording of these two refusals is the emulator's, as is that about proxies: no answer of the real service to
/// them is known.
fn check_version(version: Option<&str>) -> Result<(), Refusal> {
    let Some(version) = version else {
        return Err(Refusal::new("invalid_request", "Required query variable 'api-version' is missing"));
    };
    let is_date = version.parse::<jiff::civil::Date>().is_ok();
    if is_date && version >= FIRST_VERSION {
        return Ok(());
    }
    Err(Refusal::new("invalid_request", format!("api-version '{version}' is not supported")))
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::directory::fixture::{
        ASSIGNED, ASSIGNED_OBJECT, ASSIGNED_RESOURCE, Answer, SEED, SYSTEM, TENANT, VAULT, directory, get,
    };

    const PATH: &str = "/metadata/identity/oauth2/token";
    const METADATA: &[(&str, &str)] = &[("metadata", "true")];

    fn scene(seed: &str) -> (Arc<Directory>, Clock, Router) {
        let (directory, clock) = (Arc::new(directory(seed)), Clock::new());
        (Arc::clone(&directory), clock.clone(), router(directory, clock))
    }

    #[tokio::test]
    async fn an_identity_gets_a_token_in_strings_only() {
        let (directory, clock, router) = scene(SEED);
        let rows = [
            (String::new(), SYSTEM),
            (format!("&client_id={ASSIGNED}"), ASSIGNED),
            (format!("&object_id={ASSIGNED_OBJECT}"), ASSIGNED),
            (format!("&msi_res_id={ASSIGNED_RESOURCE}"), ASSIGNED),
            (format!("&mi_res_id={ASSIGNED_RESOURCE}"), ASSIGNED),
        ];
        for (path, (choice, client_id)) in [PATH, "/metadata/identity/oauth2/token/"].iter().cycle().zip(rows) {
            let address = format!("{path}?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net{choice}");
            let answer = get(&router, &address, METADATA).await;
            assert_eq!(answer.status, StatusCode::OK, "{address}: {answer:?}");
            assert!(answer.body.as_object().unwrap().values().all(Value::is_string), "{answer:?}");
            assert_eq!(answer.body["client_id"], client_id.to_string(), "{address}");
            assert_eq!(answer.body["expires_in"], "86399");
            assert_eq!(answer.body["resource"], VAULT);
            let number = |name: &str| answer.body[name].as_str().unwrap().parse::<i64>().unwrap();
            assert_eq!(number("expires_on") - number("not_before"), 86_699, "{answer:?}");
            let token = answer.body["access_token"].as_str().unwrap();
            assert_eq!(directory.verify(token, VAULT, clock.now()).unwrap().app_id, client_id);
        }
    }

    #[tokio::test]
    async fn a_request_that_the_real_service_refuses_is_refused() {
        let good = "?api-version=2018-02-01&resource=https://vault.azure.net";
        let unknown = "AADSTS500011: The resource principal named x was not found in the tenant named 11111111-2222";
        let rows = [
            ("?api-version=2018-02-01".into(), "Required query variable 'resource' is missing"),
            ("?resource=x".into(), "Required query variable 'api-version' is missing"),
            (good.replace("2018-02", "2017-12"), "api-version '2017-12-01' is not supported"),
            (good.replace("2018-02-01", "latest"), "api-version 'latest' is not supported"),
            (format!("{good}&client_id={TENANT}"), "Identity not found"),
            (good.replace("https://vault.azure.net", "x"), unknown),
        ];
        let (_, _, router) = scene(SEED);
        for (query, description) in rows {
            let error = if description == unknown { "invalid_resource" } else { "invalid_request" };
            assert_refused(&get(&router, &format!("{PATH}{query}"), METADATA).await, error, description);
        }
        for headers in [&[][..], &[("metadata", "True")]] {
            let answer = get(&router, &format!("{PATH}{good}"), headers).await;
            assert_refused(&answer, "bad_request_102", "Required metadata header not specified");
        }
        let forwarded = [("metadata", "true"), ("x-forwarded-for", "10.0.0.4")];
        let answer = get(&router, &format!("{PATH}{good}"), &forwarded).await;
        assert_refused(&answer, "invalid_request", "Requests that were forwarded by a proxy are not answered");
    }

    #[tokio::test]
    async fn a_machine_without_one_clear_identity_has_none() {
        let several = SEED.replace("kind = \"system-assigned\"", "");
        let rows = [("", "Identity not found"), (&several, "Multiple user assigned identities exist, please")];
        for (seed, description) in rows {
            let (_, _, router) = scene(seed);
            let address = format!("{PATH}?api-version=2018-02-01&resource=https://vault.azure.net");
            assert_refused(&get(&router, &address, METADATA).await, "invalid_request", description);
        }
    }

    fn assert_refused(answer: &Answer, error: &str, description: &str) {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{description}: {answer:?}");
        assert_eq!(answer.body["error"], error, "{description}");
        let found = answer.body["error_description"].as_str().unwrap();
        assert!(found.starts_with(description), "{found}");
    }

    #[tokio::test]
    async fn every_answer_names_its_server() {
        let (_, _, router) = scene(SEED);
        for query in ["", "?api-version=2019-08-01&resource=https://vault.azure.net"] {
            let answer = get(&router, &format!("{PATH}{query}"), METADATA).await;
            assert_eq!(answer.headers["server"], "IMDS/150.870.65.1036");
            assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
        }
    }
}
