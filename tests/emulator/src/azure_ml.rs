//! The identity endpoint of Azure ML compute.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::directory::{Directory, ExpiresOnForm, Selector};
use crate::managed_identity::{Endpoint, Terms, status_and_message};
use crate::parameters::Parameters;

/// The version that the Azure SDKs and MSAL ask for.
const VERSION: &str = "2017-09-01";

/// The routes of the Azure ML identity endpoint.
pub fn router(directory: Arc<Directory>, clock: Clock) -> Router {
    Router::new().route("/msi/token", get(token)).with_state(Endpoint { directory, clock })
}

/// Answers as the Azure SDKs expect it; no real refusal of this endpoint is known, so their wording is the
/// emulator's.
async fn token(State(endpoint): State<Endpoint>, headers: HeaderMap, uri: Uri) -> Response {
    let Endpoint { directory, .. } = &endpoint;
    let parameters = Parameters::of_query(&uri);
    if headers.get("secret").is_none_or(|value| value != directory.msi_secret()) {
        return status_and_message(StatusCode::UNAUTHORIZED, "The header secret is missing or wrong.");
    }
    let terms = Terms {
        version: VERSION,
        selector: selector(&parameters),
        unknown_identity: "No identity of this compute has the given clientid.",
        expires_on: |directory, expires| expires_on(expires, directory.expires_on()),
    };
    endpoint.grant(&parameters, &terms)
}

/// This endpoint knows no other parameter than `clientid`, without the underscore.
fn selector(parameters: &Parameters) -> Selector {
    parameters.value("clientid").map_or(Selector::Default, |id| Selector::ClientId(id.to_owned()))
}

fn expires_on(expires: Timestamp, form: ExpiresOnForm) -> Value {
    match form {
        ExpiresOnForm::Integer => json!(expires.as_second()),
        ExpiresOnForm::NumericString => json!(expires.as_second().to_string()),
        ExpiresOnForm::DateText => json!(expires.strftime("%m/%d/%Y %H:%M:%S +00:00").to_string()),
        ExpiresOnForm::DateTextTwelveHours => {
            json!(expires.strftime("%-m/%-d/%Y %-I:%M:%S %p +00:00").to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::fixture::{ASSIGNED, SEED, SYSTEM, TENANT, VAULT, directory, get, shared};

    const SECRET: &[(&str, &str)] = &[("secret", "msi-secret")];
    const ADDRESS: &str = "/msi/token?api-version=2017-09-01&resource=https://vault.azure.net";

    #[tokio::test]
    async fn an_identity_is_chosen_by_clientid_and_by_nothing_else() {
        let (directory, clock) = (shared(), Clock::new());
        let router = router(Arc::clone(&directory), clock.clone());
        let rows = [
            (String::new(), SYSTEM),
            (format!("&clientid={ASSIGNED}"), ASSIGNED),
            (format!("&client_id={ASSIGNED}"), SYSTEM),
        ];
        for (choice, client_id) in rows {
            let answer = get(&router, &format!("{ADDRESS}{choice}"), SECRET).await;
            let token = answer.body["access_token"].as_str().unwrap();
            assert_eq!(directory.verify(token, VAULT, clock.now()).unwrap().app_id, client_id, "{choice}");
            assert_eq!(answer.body["token_type"], "Bearer");
        }
    }

    #[test]
    fn the_end_of_a_token_is_written_in_the_form_that_the_seed_names() {
        let rows = [
            ("", json!("1586984735")),
            ("integer", json!(1_586_984_735)),
            ("numeric-string", json!("1586984735")),
            ("date-text", json!("04/15/2020 21:05:35 +00:00")),
            ("date-text-twelve-hours", json!("4/15/2020 9:05:35 PM +00:00")),
        ];
        let expires = Timestamp::from_second(1_586_984_735).unwrap();
        for (form, expected) in rows {
            let setting = if form.is_empty() { String::new() } else { format!("expires_on = \"{form}\"\n") };
            let seed = SEED.replace("[azure_ml]\n", &format!("[azure_ml]\n{setting}"));
            assert_eq!(expires_on(expires, directory(&seed).expires_on()), expected, "{form}");
        }
    }

    #[tokio::test]
    async fn a_request_that_lacks_something_is_refused_with_a_status_and_a_message() {
        let good = Some("msi-secret");
        let rows = [
            (ADDRESS.into(), None, 401, "The header secret is missing or wrong."),
            (ADDRESS.into(), Some("x"), 401, "The header secret is missing or wrong."),
            (ADDRESS.replace("2017-09", "2019-08"), good, 400, "The api-version is missing"),
            (ADDRESS.replace("https://vault.azure.net", ""), good, 400, "The resource is missing"),
            (format!("{ADDRESS}&clientid={TENANT}"), good, 400, "No identity of this compute"),
        ];
        for (address, secret, status, message) in rows {
            let headers: Vec<_> = secret.map(|value| ("secret", value)).into_iter().collect();
            let answer = get(&router(shared(), Clock::new()), &address, &headers).await;
            assert_eq!(answer.status, status, "{address}: {answer:?}");
            assert_eq!(answer.body["statusCode"], status, "{address}");
            let found = answer.body["message"].as_str().unwrap();
            assert!(found.starts_with(message), "{address}: {found}");
        }
    }
}
