//! What the endpoints of managed identities share: their state, the choice of an identity, the shape of a refusal.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::directory::{Directory, Principal, Selector, is_resource};
use crate::parameters::Parameters;

/// What a handler works with.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Clock,
}

impl Endpoint {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Grants a token to a caller who has shown the platform's secret, or says with 400 what is wrong with the request.
    pub(crate) fn grant(&self, parameters: &Parameters, terms: &Terms) -> Response {
        let refuse = |message| status_and_message(StatusCode::BAD_REQUEST, message);
        if parameters.value("api-version") != Some(terms.version) {
            return refuse("The api-version is missing or not supported.");
        }
        let Some(resource) = parameters.value("resource").filter(|resource| is_resource(resource)) else {
            return refuse("The resource is missing or not an App ID URI.");
        };
        let Ok(identity) = self.directory.managed_identity(&terms.selector) else {
            return refuse(terms.unknown_identity);
        };
        let issued = self.directory.issue(Principal::ManagedIdentity(&identity), resource, self.now());
        Json(json!({
            "access_token": issued.token,
            "client_id": identity.client_id,
            "expires_on": (terms.expires_on)(&self.directory, issued.expires),
            "resource": resource,
            "token_type": "Bearer",
        }))
        .into_response()
    }
}

/// In what the platforms differ.
pub(crate) struct Terms {
    /// The one api-version that answers.
    pub(crate) version: &'static str,
    /// Which identity is asked for.
    pub(crate) selector: Selector,
    /// What is said when there is none of that kind.
    pub(crate) unknown_identity: &'static str,
    /// How the end of the token's life is written.
    pub(crate) expires_on: fn(&Directory, Timestamp) -> Value,
}

/// The identity that a request asks for, by the parameter names that IMDS and App Service know.
pub(crate) fn selector(parameters: &Parameters) -> Selector {
    if let Some(id) = parameters.value("client_id") {
        Selector::ClientId(id.to_owned())
    } else if let Some(id) = parameters.value("object_id").or_else(|| parameters.value("principal_id")) {
        Selector::ObjectId(id.to_owned())
    } else if let Some(id) = parameters.value("mi_res_id").or_else(|| parameters.value("msi_res_id")) {
        Selector::ResourceId(id.to_owned())
    } else {
        Selector::Default
    }
}

/// An error of App Service and of Azure ML, whose bodies carry the status once more.
pub(crate) fn status_and_message(status: StatusCode, message: &str) -> Response {
    let body: Value = json!({"statusCode": status.as_u16(), "message": message});
    (status, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_chosen_by_the_first_parameter_that_names_one() {
        let rows = [
            ("/t?resource=r", Selector::Default),
            ("/t?client_id=&object_id=", Selector::Default),
            ("/t?client_id=a", Selector::ClientId("a".into())),
            ("/t?client%5Fid=a", Selector::ClientId("a".into())),
            ("/t?object_id=b", Selector::ObjectId("b".into())),
            ("/t?principal_id=b", Selector::ObjectId("b".into())),
            ("/t?mi_res_id=%2Fsubscriptions%2Fs", Selector::ResourceId("/subscriptions/s".into())),
            ("/t?msi_res_id=%2Fsubscriptions%2Fs", Selector::ResourceId("/subscriptions/s".into())),
        ];
        for (uri, expected) in rows {
            assert_eq!(selector(&Parameters::of_query(&uri.parse().unwrap())), expected, "{uri}");
        }
    }
}
