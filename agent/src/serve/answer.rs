//! What an answer consists of: a status, the few fields that ours have, and a body.

use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;

use super::body::Body;
use super::condition::ETag;
use super::problem::{Code, Problem};

/// The media types of answers.
pub(super) const JSON: &str = "application/json";
pub(super) const OCTETS: &str = "application/octet-stream";
const PROBLEM_JSON: &str = "application/problem+json";

/// One answer. Nobody may store it (RFC 9111, section 5.2.2.5), whatever it says.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) media_type: Option<&'static str>,
    pub(super) tag: Option<ETag>,
    /// How long ago a vault last confirmed what is in it; whole seconds are told.
    pub(super) age: Option<Duration>,
    /// Whether the latest look at the secret failed.
    pub(super) is_stale: bool,
    /// After how many seconds to ask again.
    pub(super) retry_after: Option<u64>,
    /// The methods that the route knows.
    pub(super) allow: Option<&'static str>,
    /// Whether the connection ends after it.
    pub(super) is_last: bool,
    pub(super) body: Body,
}

impl Answer {
    /// A document.
    pub(super) fn json(document: &impl Serialize) -> Self {
        Self { media_type: Some(JSON), body: Body::plain(json_text(document)), ..Self::default() }
    }

    /// The answer that a problem makes. A connection on which a body may follow is closed, not read on.
    pub(super) fn refusal(problem: &Problem) -> Self {
        Self {
            status: problem.code.status(),
            media_type: Some(PROBLEM_JSON),
            retry_after: problem.retry_after_seconds(),
            allow: problem.allow,
            is_last: problem.code == Code::BodyRefused,
            ..Self::json(&problem.document())
        }
    }
}

/// A document as text.
///
/// # Panics
/// Never: documents have text keys and plain values.
pub(super) fn json_text(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("documents have text keys and plain values")
}
