//! Why a vault did not do what it was asked to, and what to do about it. No value is part of it.

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, RETRY_AFTER};
use keyside::azure::error_body::ErrorBody;
use keyside::azure::identity::TokenError;
use keyside::azure::own_host::AnotherHost;
use keyside::azure::transport::TransportError;
use thiserror::Error;

use crate::arm::{bracketed, short, spaced};
use crate::retry::Verdict;

/// A request to a vault that did not succeed.
#[derive(Debug, Error)]
#[error("could not {operation} {name}{}", request_id.as_ref().map(|id| format!(", request {id}")).unwrap_or_default())]
pub struct DataError {
    /// What was to be done.
    pub operation: &'static str,
    /// To which secret or vault.
    pub name: String,
    /// Under which number Azure's support finds it, where the vault answered.
    pub request_id: Option<String>,
    /// Why it was not.
    #[source]
    pub reason: Box<Reason>,
}

/// Why a request to a vault did not succeed.
#[derive(Debug, Error)]
pub enum Reason {
    /// The right is missing, or does not act yet.
    #[error(
        "the vault denies it ({code}): a new right takes up to ten minutes to act; otherwise give yourself the role Key Vault Secrets Officer"
    )]
    Denied {
        /// The vault's inner code.
        code: String,
    },
    /// The firewall does not let this machine in.
    #[error(
        "the vault's firewall does not let this machine in ({code}): set address under [operator] to this machine's public address"
    )]
    Firewalled {
        /// The vault's inner code.
        code: String,
    },
    /// The name belongs to a deleted secret.
    #[error("a deleted secret has this name: run this again with --recover to bring it back, or purge it")]
    InDeletedState,
    /// The vault answered with another error.
    #[error("the vault answers {status}{}{}", spaced(code), bracketed(message))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The vault's code.
        code: String,
        /// The vault's words; empty where they are left out.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Nobody answered.
    #[error("the vault cannot be reached: run this again when it can")]
    Unreachable(#[source] TransportError),
    /// There was no token.
    #[error("no token for the vault: sign in with `az login`, or set the variables of an application")]
    SignIn(#[source] TokenError),
    /// A list went on elsewhere.
    #[error("a list of the vault cannot be followed: look at what stands between this machine and the vault")]
    Elsewhere(#[source] AnotherHost),
    /// The client of the SDK refused, or could not read the answer, which it may quote.
    #[error("the vault's answer cannot be used")]
    Unusable,
}

impl DataError {
    /// An error of `operation` on `name`.
    #[must_use]
    pub fn new(operation: &'static str, name: &str, reason: Reason) -> Self {
        Self { operation, name: name.to_owned(), request_id: None, reason: Box::new(reason) }
    }

    /// What an error of the client means for `operation` on `name`.
    pub(super) fn of(operation: &'static str, name: &str, error: azure_core::Error) -> Self {
        let header = HeaderName::from_static("x-ms-request-id");
        let request_id = match error.kind() {
            ErrorKind::HttpResponse { raw_response: Some(response), .. } => {
                response.headers().get_optional_str(&header).map(short)
            }
            _ => None,
        };
        Self { request_id, ..Self::new(operation, name, error.into()) }
    }

    /// The same without the vault's words.
    pub(super) fn without_words(mut self) -> Self {
        if let Reason::Refused { message, .. } = &mut *self.reason {
            message.clear();
        }
        self
    }

    /// Whether the right is missing, or does not act yet.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        matches!(*self.reason, Reason::Denied { .. })
    }

    /// Whether this operator cannot look: for want of a right, or because of the vault's firewall.
    #[must_use]
    pub fn is_blindness(&self) -> bool {
        matches!(*self.reason, Reason::Denied { .. } | Reason::Firewalled { .. })
    }

    /// Whether it was the connection or the sign-in, rather than what was asked for.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        matches!(*self.reason, Reason::Unreachable(_) | Reason::SignIn(_))
    }
}

impl Reason {
    /// Whether a later try may succeed without anybody doing anything.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Unreachable(_) => Verdict::Again(None),
            Self::Refused { code, .. } if code == "ObjectIsBeingRecovered" => Verdict::Again(None),
            Self::Refused { status, .. } => Verdict::on(*status),
            _ => Verdict::Final,
        }
    }

    /// How long the vault asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    fn refused(status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let body = ErrorBody::read(body);
        let code = body.exact_code().to_owned();
        match code.as_str() {
            "ForbiddenByRbac" | "AccessDenied" | "ForbiddenByPolicy" => Self::Denied { code },
            "ForbiddenByFirewall" | "ForbiddenByConnection" => Self::Firewalled { code },
            "ObjectIsDeletedButRecoverable" => Self::InDeletedState,
            _ => Self::Refused { status, code, message: short(&body.message), retry_after },
        }
    }
}

impl From<azure_core::Error> for Reason {
    fn from(error: azure_core::Error) -> Self {
        if let ErrorKind::HttpResponse { status, raw_response, .. } = error.kind() {
            let response = raw_response.as_deref();
            let body = response.map(|response| response.body().as_ref()).unwrap_or_default();
            let wait = response.and_then(|response| response.headers().get_optional_str(&RETRY_AFTER));
            let wait = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
            return Self::refused(u16::from(*status), body, wait);
        }
        match error.into_downcast::<TransportError>() {
            Ok(error) => Self::Unreachable(error),
            Err(error) => match error.into_downcast::<TokenError>() {
                Ok(error) => Self::SignIn(error),
                Err(error) => error.into_downcast::<AnotherHost>().map_or(Self::Unusable, Self::Elsewhere),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::headers::Headers;
    use azure_core::http::{RawResponse, StatusCode};

    use super::*;

    fn inner(code: &str) -> Vec<u8> {
        format!(r#"{{"error":{{"code":"Forbidden","message":"First.\r\nSecond","innererror":{{"code":"{code}"}}}}}}"#)
            .into()
    }

    #[test]
    fn each_answer_has_its_remedy_and_some_pass() {
        let again = Verdict::Again(None);
        let rows = [
            (403, inner("ForbiddenByRbac"), "Secrets Officer", Verdict::Final),
            (403, inner("AccessDenied"), "Secrets Officer", Verdict::Final),
            (403, inner("ForbiddenByFirewall"), "[operator]", Verdict::Final),
            (409, inner("ObjectIsDeletedButRecoverable"), "--recover", Verdict::Final),
            (409, inner("ObjectIsBeingRecovered"), "First.", again),
            (401, b"{}".to_vec(), "the vault answers 401", Verdict::WithAnotherToken),
            (429, b"{}".to_vec(), "429", again),
            (503, b"<html>".to_vec(), "503", again),
            (505, b"<html>".to_vec(), "505", Verdict::Final),
            (400, br#"{"error":{"code":"BadParameter","message":"m"}}"#.to_vec(), "BadParameter (m)", Verdict::Final),
        ];
        for (status, body, text, verdict) in rows {
            let reason = Reason::refused(status, &body, None);
            assert!(reason.to_string().contains(text), "{status}: {reason}");
            assert_eq!(reason.verdict(), verdict, "{status}: {reason}");
        }
    }

    fn answered(status: u16, body: &'static str) -> DataError {
        let mut headers = Headers::new();
        headers.insert("x-ms-request-id", "1d78");
        let status = StatusCode::from(status);
        let raw_response = Some(Box::new(RawResponse::from_bytes(status, headers, body)));
        let kind = ErrorKind::HttpResponse { status, error_code: None, raw_response };
        DataError::of("set", "db", azure_core::Error::new(kind, "refused"))
    }

    #[test]
    fn an_error_has_the_number_of_its_request_and_of_a_set_no_words_that_may_quote_the_value() {
        let error = answered(400, r#"{"error":{"code":"BadParameter","message":"hunter2 has an invalid value"}}"#);
        assert_eq!(error.to_string(), "could not set db, request 1d78");
        assert!(error.reason.to_string().contains("hunter2"));
        let error = error.without_words();
        assert_eq!(error.reason.to_string(), "the vault answers 400 BadParameter");
        assert!(!format!("{error:?}").contains("hunter2"));
        assert_eq!(answered(403, "{}").without_words().to_string(), "could not set db, request 1d78");
    }
}
