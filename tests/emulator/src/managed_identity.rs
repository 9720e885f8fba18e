//! What the endpoints of managed identities share: reading a request, choosing the identity, the times of an answer.

use std::sync::Arc;

use axum::Json;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::clock::Clock;
use crate::directory::{Directory, Selector};

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
}

/// The query of a request with keys and values decoded, since some clients encode both.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of `name` that is not empty.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The identity that is asked for, by the parameter names that IMDS and App Service know.
    pub(crate) fn selector(&self) -> Selector {
        let resource_id = self.value("mi_res_id").or_else(|| self.value("msi_res_id"));
        if let Some(id) = self.value("client_id") {
            Selector::ClientId(id.to_owned())
        } else if let Some(id) = self.value("object_id").or_else(|| self.value("principal_id")) {
            Selector::ObjectId(id.to_owned())
        } else if let Some(id) = resource_id {
            Selector::ResourceId(id.to_owned())
        } else {
            Selector::Default
        }
    }
}

/// Whether Entra could know this resource: an absolute URI, or an application id.
pub(crate) fn is_resource(text: &str) -> bool {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("api://")).unwrap_or_default();
    let host = authority.split('/').next().unwrap_or_default();
    !host.is_empty() || uuid::Uuid::try_parse(text).is_ok()
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
            assert_eq!(Parameters::of(&uri.parse().unwrap()).selector(), expected, "{uri}");
        }
    }

    #[test]
    fn a_resource_is_an_absolute_uri_or_an_application_id() {
        let rows = [
            ("https://vault.azure.net", true),
            ("https://management.core.windows.net/", true),
            ("https://127.0.0.1:8443", true),
            ("api://AzureADTokenExchange", true),
            ("cfa8b339-82a2-471a-a3c9-0fc0be7a4093", true),
            ("vault.azure.net", false),
            ("https://", false),
            ("https:///x", false),
            ("", false),
        ];
        for (text, expected) in rows {
            assert_eq!(is_resource(text), expected, "{text:?}");
        }
    }
}
