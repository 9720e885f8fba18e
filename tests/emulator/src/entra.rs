//! Entra: where clients prove who they are and get their tokens.

mod discovery;
mod grant;
mod refusal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, body::Bytes};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use self::grant::TokenRequest;
use self::refusal::Refusal;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::parameters::Parameters;

pub(crate) use self::refusal::unknown_resource;

/// The host that production clients are configured with.
pub(crate) const AUTHORITY: &str = "login.microsoftonline.com";

#[derive(Debug, Clone)]
struct Entra {
    directory: Arc<Directory>,
    clock: Clock,
}

/// The routes of the identity provider.
pub fn router(directory: Arc<Directory>, clock: Clock) -> Router {
    Router::new()
        .route("/common/discovery/instance", get(instance))
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(configuration))
        .route("/{tenant}/discovery/v2.0/keys", get(keys))
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .with_state(Entra { directory, clock })
}

async fn instance(State(entra): State<Entra>, headers: HeaderMap, uri: Uri) -> Response {
    let parameters = Parameters::of_query(&uri);
    let asked = parameters.value("authorization_endpoint").unwrap_or_default();
    entra.answer(discovery::instance(asked, &host(&headers, &uri)), &headers, &uri)
}

async fn configuration(
    State(entra): State<Entra>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let answer = entra.check_tenant(&tenant, "invalid_tenant");
    let answer = answer.map(|id| discovery::configuration(id, &host(&headers, &uri)));
    entra.answer(answer, &headers, &uri)
}

async fn keys(State(entra): State<Entra>, Path(tenant): Path<String>, headers: HeaderMap, uri: Uri) -> Response {
    let answer = entra.check_tenant(&tenant, "invalid_tenant").map(|_| discovery::keys(&entra.directory));
    entra.answer(answer, &headers, &uri)
}

async fn token(
    State(entra): State<Entra>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let answer = entra.check_tenant(&tenant, "invalid_request").and_then(|_| {
        let request = TokenRequest::read(&headers, &body);
        grant::grant(&entra.directory, &request, &host(&headers, &uri), entra.clock.now())
    });
    entra.answer(answer, &headers, &uri)
}

impl Entra {
    /// The tenant of a path, in any case; `error` is the OAuth code with which this endpoint refuses others.
    fn check_tenant(&self, tenant: &str, error: &'static str) -> Result<Uuid, Refusal> {
        let known = self.directory.tenant();
        match Uuid::try_parse(tenant) {
            Ok(asked) if asked == known => Ok(known),
            _ => Err(refusal::unknown_tenant(tenant, error)),
        }
    }

    /// Answers as the real service does: never to be cached, and with a request id that a refusal repeats.
    fn answer<T: Serialize>(&self, answer: Result<T, Refusal>, headers: &HeaderMap, uri: &Uri) -> Response {
        let trace = Uuid::new_v4();
        let mut response = match answer {
            Ok(body) => Json(body).into_response(),
            Err(refusal) => refusal.respond(self.clock.now(), trace, correlation(headers, uri)),
        };
        let fixed = [
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache")),
            (header::PRAGMA, HeaderValue::from_static("no-cache")),
            (header::EXPIRES, HeaderValue::from_static("-1")),
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")),
            (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains")),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ];
        for (name, value) in fixed {
            response.headers_mut().insert(name, value);
        }
        if let Ok(trace) = HeaderValue::from_str(&trace.to_string()) {
            response.headers_mut().insert("x-ms-request-id", trace);
        }
        response
    }
}

/// The host that the client asked: what the addresses in an answer are built from.
fn host(headers: &HeaderMap, uri: &Uri) -> String {
    let named = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = uri.authority().map(axum::http::uri::Authority::as_str);
    named.or(authority).unwrap_or(AUTHORITY).trim_end_matches(":443").to_owned()
}

/// The client's own id for the request, which MSAL sends as a header and the JavaScript SDK in the address.
fn correlation(headers: &HeaderMap, uri: &Uri) -> Uuid {
    let parameters = Parameters::of_query(uri);
    let sent = headers.get("client-request-id").and_then(|value| value.to_str().ok());
    let sent = sent.or(parameters.value("client-request-id"));
    sent.and_then(|id| Uuid::try_parse(id).ok()).unwrap_or_else(Uuid::new_v4)
}

/// A time as error descriptions write it: `2023-06-02 21:00:26Z`.
fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
