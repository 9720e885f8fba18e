//! Why Azure did not do what it was asked to, in its own words, and what to do about it.

use std::time::Duration;

use keyside::azure::error_body::ErrorBody;
use keyside::azure::identity::TokenError;
use keyside::azure::transport::TransportError;
use serde_json::Value;
use thiserror::Error;

use crate::item::Label;

/// A request that did not succeed.
#[derive(Debug, Error)]
#[error("could not {operation} {label}")]
pub struct ArmError {
    /// Whom it was about.
    pub label: Label,
    /// What was to be done.
    pub operation: &'static str,
    /// Why it was not.
    #[source]
    pub problem: Box<Problem>,
}

/// Why a request did not succeed.
#[derive(Debug, Error)]
pub enum Problem {
    /// Azure answered with an error.
    #[error(transparent)]
    Refused(Refusal),
    /// Azure began, and gave up later.
    #[error("Azure ended the operation with {code} ({message})")]
    Abandoned {
        /// Azure's code.
        code: String,
        /// Azure's words.
        message: String,
    },
    /// The resource is in a state that Azure does not leave by itself; the word is Azure's.
    #[error("Azure left it {0}: look at the activity log of its resource group, then run this again")]
    Ended(String),
    /// Somebody removed it meanwhile.
    #[error("it is not there any more: run this again to see what is")]
    Gone,
    /// It took too long.
    #[error("Azure was not done with it within {0:?}: run this again, which goes on waiting")]
    Late(Duration),
    /// Nobody answered.
    #[error("Azure cannot be reached: run this again when it can, which goes on where this ended")]
    Unreachable(#[source] TransportError),
    /// There was no token.
    #[error("no token for Azure: sign in with `az login`, or set the variables of an application")]
    SignIn(#[source] TokenError),
    /// The client of the SDK refused.
    #[error("the request could not be sent: {0}")]
    Client(String),
    /// The answer is not what Azure promises.
    #[error("{0}")]
    Unusable(&'static str),
}

/// An answer with an error in it.
#[derive(Debug, Error)]
#[error("Azure answers {status}{code}{message}{request}{remedy}", code = spaced(code), message = bracketed(message),
    request = request_id.as_ref().map(|id| format!(", request {id}")).unwrap_or_default(), remedy = remedy(code))]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Azure's code, empty where there is none.
    pub code: String,
    /// Azure's words.
    pub message: String,
    /// Under which number Azure's support finds it.
    pub request_id: Option<String>,
    /// How long Azure asks to wait.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Reads the body of an error.
    #[must_use]
    pub fn read(status: u16, body: &[u8], (request_id, retry_after): (Option<String>, Option<Duration>)) -> Self {
        let body = ErrorBody::read(body);
        Self { status, message: short(&body.message), code: body.code, request_id, retry_after }
    }
}

/// What Azure says, on one line, of bounded length and without what a terminal would obey.
pub(crate) fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|character| !character.is_control()).take(500).collect()
}

pub(crate) fn spaced(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(" {code}") }
}

pub(crate) fn bracketed(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}

/// What to do about an error, by Azure's code.
fn remedy(code: &str) -> String {
    let step = match code {
        "AuthorizationFailed" | "LinkedAuthorizationFailed" => {
            "ask an owner of the scope for the right; `keyside-bootstrap preflight` lists all that are needed"
        }
        "VaultAlreadyExists" => "the name is taken, maybe by somebody else's vault: set another name under [vault]",
        "ConflictError" => "run this again with --recover to bring the deleted vault back, or purge it",
        "SoftDeletedVaultDoesNotExist" => "there is no deleted vault to recover: leave --recover out",
        "StorageAccountAlreadyTaken" => "the name is taken: set another name under [storage]",
        "RoleAssignmentUpdateNotPermitted" => "remove the role assignment of that name, then run this again",
        "PrincipalNotFound" => "run this again in a few minutes, when the new principal is known everywhere",
        "InvalidResourceGroupLocation" => "set location to that of the resource group, or name another resource group",
        "SubscriptionNotFound" => "correct subscription in the file, or sign in as somebody who sees it",
        "MissingSubscriptionRegistration" => "register the resource provider, or let this program do it",
        "SubscriptionRequestsThrottled" | "TooManyRequests" => "run this again later, which goes on where this ended",
        _ => return String::new(),
    };
    format!(": {step}")
}

impl ArmError {
    /// The HTTP status, where there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.refusal().map(|refusal| refusal.status)
    }

    /// Azure's code, empty where there is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.refusal().map_or("", |refusal| &refusal.code)
    }

    /// Whether it says that what was asked for is not there, rather than the whole subscription.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        let gone = matches!(*self.problem, Problem::Gone);
        gone || (self.status() == Some(404) && self.code() != "SubscriptionNotFound")
    }

    /// How long Azure asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal().and_then(|refusal| refusal.retry_after)
    }

    /// Whether it was the connection or the sign-in, rather than what was asked for.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        matches!(*self.problem, Problem::Unreachable(_) | Problem::SignIn(_))
    }

    /// What Azure answered, where it did.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match &*self.problem {
            Problem::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl From<azure_core::Error> for Problem {
    fn from(error: azure_core::Error) -> Self {
        match error.into_downcast::<TransportError>() {
            Ok(error) => Self::Unreachable(error),
            Err(error) => match error.into_downcast::<TokenError>() {
                Ok(error) => Self::SignIn(error),
                Err(error) => Self::Client(error.to_string()),
            },
        }
    }
}

/// Whether the operation that `status` speaks of has ended well; an error when it has ended otherwise.
pub(super) fn ended(status: &Value) -> Result<bool, Problem> {
    let word = status.get("status").and_then(Value::as_str).unwrap_or_default();
    match word {
        "Succeeded" => Ok(true),
        "Failed" | "Canceled" | "Cancelled" => {
            let text = |member| status.pointer(&format!("/error/{member}")).and_then(Value::as_str).unwrap_or(word);
            Err(Problem::Abandoned { code: text("code").to_owned(), message: short(text("message")) })
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_says_everything_that_azure_says_and_what_to_do() {
        let body =
            br#"{"error":{"code":"VaultAlreadyExists","message":"The vault name 'kv'\r\nis already\u001b in use."}}"#;
        let refusal = Refusal::read(409, body, (Some("1d78".to_owned()), None));
        assert_eq!(
            refusal.to_string(),
            "Azure answers 409 VaultAlreadyExists (The vault name 'kv' is already in use.), request 1d78: the name is \
             taken, maybe by somebody else's vault: set another name under [vault]"
        );
        let page = Refusal::read(502, b"<html>", (None, None));
        assert_eq!(page.to_string(), "Azure answers 502");
    }

    #[test]
    fn an_operation_ends_well_or_with_its_reason() {
        assert!(!ended(&json!({"status": "InProgress"})).expect("under way"));
        assert!(!ended(&json!({})).expect("no word is no end"));
        assert!(ended(&json!({"status": "Succeeded", "percentComplete": 100.0})).expect("done"));
        let failed = ended(&json!({"status": "Failed", "error": {"code": "ValidationError", "message": "no vault"}}));
        assert!(failed.expect_err("failed").to_string().contains("ValidationError (no vault)"));
    }
}
