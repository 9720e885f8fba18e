//! What a caller is told when there is no answer: problem documents (RFC 9457), each with a code that stays.

use std::time::Duration;

use hyper::StatusCode;

use super::documents::ProblemDocument;

/// Everything that can keep a request from its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Code {
    /// There is no such route, no such secret, or none that the caller may read.
    NotFound,
    /// The route does not have this method.
    MethodNotAllowed,
    /// A query key is unknown, doubled, or has a value that cannot be read.
    BadQuery,
    /// The request came through a browser or a proxy.
    Forwarded,
    /// The request has a body.
    BodyRefused,
    /// Only operators may ask for this.
    NotOperator,
    /// The secret has not been published yet.
    NotPublished,
    /// The vault has taken the secret away.
    Revoked,
    /// The vault could not confirm the secret for too long.
    TooStale,
    /// A required secret has no value.
    NotReady,
    /// The loop that looks for new versions does not run.
    RefreshStopped,
    /// The look did not end in time. It goes on.
    RefreshTimeout,
    /// This user asks for too many looks.
    TooManyRefreshes,
    /// This user waits for too many changes.
    TooManyWaits,
    /// Too many looks are waiting already.
    Busy,
    /// The vault failed several times in a row and is not asked now.
    HeldBack,
    /// This user has too many connections.
    TooManyConnections,
    /// The agent has too many connections.
    ConnectionsExhausted,
    /// The agent is stopping.
    Stopping,
}

impl Code {
    /// The HTTP status, the word for programs, and the sentence for people that stands unless there is a better one.
    fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "not_found", "there is nothing here, or nothing that you may read")
            }
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the header Allow lists the methods")
            }
            Self::BadQuery => (StatusCode::BAD_REQUEST, "bad_query", "the query cannot be read"),
            Self::Forwarded => {
                (StatusCode::FORBIDDEN, "forwarded", "requests from browsers and through proxies are refused")
            }
            Self::BodyRefused => (StatusCode::PAYLOAD_TOO_LARGE, "body_refused", "no request here has a body"),
            Self::NotOperator => (
                StatusCode::FORBIDDEN,
                "not_operator",
                "only operators may look at every secret: name one that you may read",
            ),
            Self::NotPublished => {
                (StatusCode::SERVICE_UNAVAILABLE, "not_published", "the secret has not been fetched yet")
            }
            Self::Revoked => (StatusCode::GONE, "revoked", "the vault does not give the secret any more"),
            Self::TooStale => {
                (StatusCode::SERVICE_UNAVAILABLE, "too_stale", "the vault has not confirmed the secret for too long")
            }
            Self::NotReady => (StatusCode::SERVICE_UNAVAILABLE, "not_ready", "a required secret has no value"),
            Self::RefreshStopped => {
                (StatusCode::SERVICE_UNAVAILABLE, "refresh_stopped", "nothing looks for new versions any more")
            }
            Self::RefreshTimeout => {
                (StatusCode::GATEWAY_TIMEOUT, "refresh_timeout", "the vault takes long: the look goes on")
            }
            Self::TooManyRefreshes => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many_refreshes", "this user asks for too many looks")
            }
            Self::TooManyWaits => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many_waits", "too many answers to this user wait for a change")
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "too many looks are waiting already"),
            Self::HeldBack => {
                (StatusCode::SERVICE_UNAVAILABLE, "held_back", "the vault fails, and is left alone for a while")
            }
            Self::TooManyConnections => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many_connections", "this user has too many connections")
            }
            Self::ConnectionsExhausted => {
                (StatusCode::SERVICE_UNAVAILABLE, "connections_exhausted", "the agent has too many connections")
            }
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", "the agent is stopping"),
        }
    }

    /// The word for programs.
    #[must_use]
    pub(super) fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status.
    #[must_use]
    pub(super) fn status(self) -> StatusCode {
        self.row().0
    }
}

/// One refusal, on its way to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// What it is.
    pub(super) code: Code,
    /// What a person should know.
    pub(super) detail: String,
    /// After which time a further try makes sense.
    pub(super) retry_after: Option<Duration>,
    /// The methods that the route has.
    pub(super) allow: Option<&'static str>,
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self { code, detail: code.row().2.to_owned(), retry_after: None, allow: None }
    }
}

impl Problem {
    /// A problem with a sentence of its own.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..code.into() }
    }

    /// Adds after which time a further try makes sense.
    #[must_use]
    pub(super) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The document that is sent.
    #[must_use]
    pub(super) fn document(&self) -> ProblemDocument {
        let status = self.code.status();
        ProblemDocument {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: self.code.as_str().to_owned(),
            detail: self.detail.clone(),
        }
    }

    /// The header `Retry-After`, in whole seconds and at least one.
    #[must_use]
    pub(super) fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    pub(in crate::serve) const ALL: [Code; 19] = [
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::BadQuery,
        Code::Forwarded,
        Code::BodyRefused,
        Code::NotOperator,
        Code::NotPublished,
        Code::Revoked,
        Code::TooStale,
        Code::NotReady,
        Code::RefreshStopped,
        Code::RefreshTimeout,
        Code::TooManyRefreshes,
        Code::TooManyWaits,
        Code::Busy,
        Code::HeldBack,
        Code::TooManyConnections,
        Code::ConnectionsExhausted,
        Code::Stopping,
    ];

    #[test]
    fn every_code_is_a_word_of_its_own_with_an_error_status() {
        let words: BTreeSet<_> = ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), ALL.len());
        for code in ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
        }
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let seconds = |wait| Problem::from(Code::Busy).retry_after(wait).retry_after_seconds();
        assert_eq!(seconds(Duration::from_millis(1)), Some(1));
        assert_eq!(seconds(Duration::from_millis(1001)), Some(2));
        assert_eq!(Problem::from(Code::Busy).retry_after_seconds(), None);
    }
}
