//! The transport as the last policy of an `azure_core` pipeline, where a call's context can hold a place for a secret.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, Body, Context};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderValue};

use super::{Answer, Reach, Transport, TransportError};
use crate::memory::{Arena, Locked, LockedBuffer, MemoryExhausted};

/// Room for a value when its reading starts; a longer one moves.
const VALUE_BYTES_FIRST: usize = 256;

/// Where the value of one answer goes. Clones are the same place.
#[derive(Clone)]
pub struct ValueSink {
    arena: Arena,
    value: Arc<Mutex<Option<Locked>>>,
}

impl ValueSink {
    /// An empty place in `arena`.
    #[must_use]
    pub fn new(arena: Arena) -> Self {
        Self { arena, value: Arc::default() }
    }

    /// The value that was put here.
    #[must_use]
    pub fn take(&self) -> Option<Locked> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn buffer(&self) -> Result<LockedBuffer, MemoryExhausted> {
        self.arena.buffer(VALUE_BYTES_FIRST)
    }

    pub(super) fn fill(&self, value: Locked) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }
}

impl fmt::Debug for ValueSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ValueSink(redacted)")
    }
}

/// The transport in the shape that the Azure SDK asks for.
#[derive(Clone, Debug)]
pub struct SdkTransport(pub Arc<Transport>);

#[expect(elided_lifetimes_in_paths, reason = "async_trait demands the signature exactly as the SDK writes it")]
#[async_trait]
impl Policy for SdkTransport {
    async fn send(
        &self,
        context: &Context,
        request: &mut azure_core::http::Request,
        _next: &[Arc<dyn Policy>],
    ) -> PolicyResult {
        let sink = context.value::<ValueSink>();
        let outcome = match hyper_request(request) {
            Ok(request) => self.0.exchange(request, Reach::ByEnvironment, self.0.timeouts, sink).await,
            Err(error) => Err(error),
        };
        outcome.map(sdk_response).map_err(|error| azure_core::Error::new(ErrorKind::Io, error))
    }
}

fn hyper_request(request: &azure_core::http::Request) -> Result<hyper::Request<Full<Bytes>>, TransportError> {
    let Body::Bytes(body) = request.body() else { return Err(TransportError::Address) };
    let mut converted = hyper::Request::builder()
        .method(request.method().as_ref())
        .uri(request.url().as_str())
        .body(Full::new(body.clone()))
        .map_err(|_| TransportError::Address)?;
    for (name, value) in request.headers().iter() {
        let name = header::HeaderName::try_from(name.as_str()).map_err(|_| TransportError::Address)?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| TransportError::Address)?;
        value.set_sensitive(name == header::AUTHORIZATION);
        converted.headers_mut().insert(name, value);
    }
    Ok(converted)
}

fn sdk_response(answer: Answer) -> AsyncRawResponse {
    AsyncRawResponse::from_bytes(answer.status.as_u16().into(), sdk_headers(&answer.headers), answer.body)
}

fn sdk_headers(headers: &HeaderMap) -> Headers {
    let mut converted = Headers::new();
    for (name, value) in headers {
        if let Ok(value) = value.to_str() {
            converted.insert(HeaderName::from(name.as_str().to_owned()), value.to_owned());
        }
    }
    converted
}

#[cfg(test)]
mod tests {
    use azure_core::http::{Method, Request};

    use super::*;

    #[test]
    fn the_authorization_is_shown_to_nobody_and_sent_all_the_same() {
        let mut request = Request::new("https://v.vault.azure.net/secrets/db".parse().expect("a URL"), Method::Get);
        request.insert_header("authorization", "Bearer token-1");
        request.insert_header("accept", "application/json");
        let converted = hyper_request(&request).expect("a request");
        assert_eq!(converted.headers()["authorization"], "Bearer token-1");
        let shown = format!("{:?}", converted.headers());
        assert!(!shown.contains("token-1") && shown.contains("application/json"), "{shown}");
    }
}
