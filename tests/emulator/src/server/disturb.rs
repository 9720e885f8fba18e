//! What a fault makes of an answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, to_bytes};
use hyper::body::Frame;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::destination::Destination;
use super::dispatch::Broken;
use crate::fault::Fault;

/// Gives `response` the fault's status, headers and body, and breaks it where the fault says.
pub(super) async fn apply(fault: &Fault, destination: &Destination, mut response: Response<Body>) -> Response<Body> {
    if let Some(status) = fault.status.and_then(|status| StatusCode::from_u16(status).ok()) {
        *response.status_mut() = status;
        if fault.body.is_none() {
            set_body(&mut response, usual_body(status, destination));
        }
    }
    if let Some(body) = &fault.body {
        set_body(&mut response, body.clone());
    }
    for (name, value) in &fault.headers {
        // Headers were checked when the fault was added.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    match fault.cut {
        Some(after) => {
            let end = if fault.hang { End::Hang } else { End::Break };
            cut(response, usize::try_from(after).unwrap_or(usize::MAX), end).await
        }
        None => response,
    }
}

fn set_body(response: &mut Response<Body>, body: String) {
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(body);
}

/// What Azure says with a status that a fault gives without a body.
fn usual_body(status: StatusCode, destination: &Destination) -> String {
    let (code, message) = match status {
        StatusCode::TOO_MANY_REQUESTS if *destination == Destination::ResourceManager => (
            "SubscriptionRequestsThrottled",
            "Number of requests for the subscription exceeded its limit. Please try again after the time that Retry-After \
             names.",
        ),
        StatusCode::TOO_MANY_REQUESTS => (
            "Throttled",
            "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached",
        ),
        StatusCode::SERVICE_UNAVAILABLE => ("ServiceUnavailable", "The service is temporarily unavailable."),
        other => ("Emulated", other.canonical_reason().unwrap_or("A fault of the emulator.")),
    };
    json!({ "error": { "code": code, "message": message } }).to_string()
}

/// What comes after the part of a body that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Break,
    Hang,
}

/// Promises the whole body, sends the first `after` bytes of it, and breaks or hangs.
async fn cut(response: Response<Body>, after: usize, end: End) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let first = whole.slice(..after.min(whole.len()));
    Response::from_parts(parts, Body::new(CutBody { first: Some(first), end, flushed: false }))
}

/// A body that ends in an error, or not at all.
struct CutBody {
    first: Option<Bytes>,
    end: End,
    flushed: bool,
}

impl hyper::body::Body for CutBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if self.end == End::Hang {
            return Poll::Pending;
        }
        if !self.flushed {
            // While a body is pending, hyper sends what it has; an error at once would discard it.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Broken)))
    }
}
