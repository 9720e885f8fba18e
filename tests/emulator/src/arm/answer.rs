//! Resource Manager's answers, with the headers that every one of them carries.

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

/// How many calls of each kind a principal may make at once since the limits of 2024: what the recorded counters show
/// after the first call of a kind.
const REMAINING: [(&str, &str); 3] = [("reads", "249"), ("writes", "199"), ("deletes", "199")];

/// A status, a body, and what else a handler has to say.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    body: Body,
    headers: Vec<(&'static str, String)>,
}

#[derive(Debug, Clone)]
enum Body {
    Empty,
    Json(Value),
    /// JSON whose members have an order.
    Written(String),
    /// Indented, with CRLF between the lines, as Application Insights writes.
    Lines(Value),
}

impl Answer {
    pub(crate) fn json(status: StatusCode, body: Value) -> Answer {
        Answer { status, body: Body::Json(body), headers: Vec::new() }
    }

    pub(crate) fn ok(body: Value) -> Answer {
        Answer::json(StatusCode::OK, body)
    }

    pub(crate) fn lines(status: StatusCode, body: Value) -> Answer {
        Answer { status, body: Body::Lines(body), headers: Vec::new() }
    }

    /// JSON that is written already.
    pub(crate) fn written(status: StatusCode, json: String) -> Answer {
        Answer { status, body: Body::Written(json), headers: Vec::new() }
    }

    pub(crate) fn empty(status: StatusCode) -> Answer {
        Answer { status, body: Body::Empty, headers: Vec::new() }
    }

    /// 200 for what was there, 204 for what was not.
    pub(crate) fn deleted<T>(found: Option<&T>) -> Answer {
        Answer::empty(if found.is_some() { StatusCode::OK } else { StatusCode::NO_CONTENT })
    }

    /// A list in one page.
    pub(crate) fn list(items: Vec<Value>) -> Answer {
        Answer::ok(Value::Object([("value".to_string(), Value::Array(items))].into_iter().collect()))
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer to `method` as it goes over the wire.
    pub(crate) fn respond(self, method: &Method, client_request_id: Option<&str>, now: Timestamp) -> Response<Vec<u8>> {
        let body = match &self.body {
            Body::Empty => None,
            Body::Json(body) => Some(body.to_string()),
            Body::Written(body) => Some(body.clone()),
            Body::Lines(body) => Some(format!("{body:#}").replace('\n', "\r\n")),
        };
        let content_type = body.as_ref().map(|_| ("content-type", "application/json; charset=utf-8".to_string()));
        let mut response = Response::new(body.unwrap_or_default().into_bytes());
        *response.status_mut() = self.status;
        let id = Uuid::new_v4();
        let region_and_time = now.strftime("EASTUS:%Y%m%dT%H%M%SZ");
        let kind = match *method {
            Method::GET | Method::HEAD => 0,
            Method::DELETE => 2,
            _ => 1,
        };
        let (kind, remaining) = REMAINING[kind];
        let always = [
            ("cache-control", "no-cache".to_string()),
            ("pragma", "no-cache".into()),
            ("expires", "-1".into()),
            ("strict-transport-security", "max-age=31536000; includeSubDomains".into()),
            ("x-content-type-options", "nosniff".into()),
            ("x-cache", "CONFIG_NOCACHE".into()),
            ("x-msedge-ref", format!("Ref A: {:X} Ref B: EMU000000000001 Ref C: {now:.0}", id.as_simple())),
            ("x-ms-request-id", id.to_string()),
            ("x-ms-correlation-request-id", id.to_string()),
            ("x-ms-routing-request-id", format!("{region_and_time}:{id}")),
        ];
        let echoed = client_request_id.map(|sent| ("x-ms-client-request-id", sent.to_string()));
        for (name, value) in always.into_iter().chain(content_type).chain(echoed).chain(self.headers) {
            insert(&mut response, HeaderName::from_static(name), &value);
        }
        for scope in ["subscription", "subscription-global"] {
            let name = HeaderName::from_bytes(format!("x-ms-ratelimit-remaining-{scope}-{kind}").as_bytes());
            insert(&mut response, name.expect("three words in lower case"), remaining);
        }
        if response.body().is_empty() && self.status != StatusCode::NO_CONTENT {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        response
    }
}

/// Only what a caller wrote can be no header value, and then it is left out.
fn insert(response: &mut Response<Vec<u8>>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
