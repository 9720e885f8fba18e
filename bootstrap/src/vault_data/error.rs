//! Why a vault did not do what it was asked to, and what to do about it. No value is part of it.

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::headers::RETRY_AFTER;
use keyside::azure::identity::TokenError;
use keyside::azure::own_host::AnotherHost;
use keyside::azure::transport::TransportError;
use serde::Deserialize;
use thiserror::Error;

/// A request to a vault that did not succeed.
#[derive(Debug, Error)]
#[error("could not {operation} {name}")]
pub struct DataError {
    /// What was to be done.
    pub operation: &'static str,
    /// To which secret or vault.
    pub name: String,
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
    #[error("the vault answers {status} {code} ({message})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The vault's code.
        code: String,
        /// The vault's words.
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

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Detail,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    code: Option<String>,
    message: Option<String>,
    innererror: Option<Box<Detail>>,
}

impl DataError {
    /// An error of `operation` on `name`.
    #[must_use]
    pub fn new(operation: &'static str, name: &str, reason: Reason) -> Self {
        Self { operation, name: name.to_owned(), reason: Box::new(reason) }
    }

    /// Whether it was the connection or the sign-in, rather than what was asked for.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        matches!(*self.reason, Reason::Unreachable(_) | Reason::SignIn(_))
    }
}

impl Reason {
    /// Whether a later try may succeed without anybody doing anything.
    #[must_use]
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, code, .. } => {
                matches!(status, 401 | 408 | 429 | 500..=599) || code == "ObjectIsBeingRecovered"
            }
            _ => false,
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
        let detail = serde_json::from_slice::<Body>(body).unwrap_or_default().error;
        let inner = detail.innererror.and_then(|inner| inner.code);
        let code = inner.or(detail.code).unwrap_or_default();
        match code.as_str() {
            "ForbiddenByRbac" | "AccessDenied" | "ForbiddenByPolicy" => Self::Denied { code },
            "ForbiddenByFirewall" | "ForbiddenByConnection" => Self::Firewalled { code },
            "ObjectIsDeletedButRecoverable" => Self::InDeletedState,
            _ => {
                let message = detail.message.unwrap_or_default();
                let message = message.lines().next().unwrap_or_default().chars().take(300).collect();
                Self::Refused { status, code, message, retry_after }
            }
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
    use super::*;

    fn inner(code: &str) -> Vec<u8> {
        format!(r#"{{"error":{{"code":"Forbidden","message":"First.\r\nSecond","innererror":{{"code":"{code}"}}}}}}"#)
            .into()
    }

    #[test]
    fn each_answer_has_its_remedy_and_some_pass() {
        let rows = [
            (403, inner("ForbiddenByRbac"), "Secrets Officer", false),
            (403, inner("AccessDenied"), "Secrets Officer", false),
            (403, inner("ForbiddenByFirewall"), "[operator]", false),
            (409, inner("ObjectIsDeletedButRecoverable"), "--recover", false),
            (409, inner("ObjectIsBeingRecovered"), "First.", true),
            (429, b"{}".to_vec(), "429", true),
            (503, b"<html>".to_vec(), "503", true),
            (400, br#"{"error":{"code":"BadParameter","message":"m"}}"#.to_vec(), "BadParameter", false),
        ];
        for (status, body, text, passes) in rows {
            let reason = Reason::refused(status, &body, None);
            assert!(reason.to_string().contains(text), "{status}: {reason}");
            assert_eq!(reason.passes(), passes, "{status}: {reason}");
        }
    }
}
