//! What follows from an answer of Key Vault that brings no secret.

use std::time::Duration;

use azure_core::error::ErrorKind;
use azure_core::http::RawResponse;
use azure_core::http::headers::{HeaderName, RETRY_AFTER};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use thiserror::Error;

use super::Refused;
use super::evidence::Evidence;
use crate::azure::error_body::ErrorBody;
use crate::azure::identity::TokenError;
use crate::azure::quotation::first_line;
use crate::azure::transport::{TransportError, ValueError};
use crate::clock::between;
use crate::vault::{Cause, FetchError};

/// The vault's answer in its own words.
#[derive(Debug, Error)]
#[error("{meaning}: the vault answers {status}{code}{message}")]
struct Refusal {
    meaning: &'static str,
    status: u16,
    code: String,
    message: String,
}

/// Decides what an error of the client means, and reads what `vault` says about it.
pub(super) fn refusal(error: azure_core::Error, vault: &str, now: Timestamp) -> Refused {
    if let ErrorKind::HttpResponse { status, raw_response, .. } = error.kind() {
        let response = raw_response.as_deref();
        let body = body_of(response);
        let code = Some(body.exact_code()).filter(|code| !code.is_empty()).map(str::to_owned);
        let evidence = Evidence::read(code, &body.message, vault);
        return Refused { error: refused(u16::from(*status), response, now), evidence: Box::new(evidence) };
    }
    unanswered(error).into()
}

fn unanswered(error: azure_core::Error) -> FetchError {
    match error.into_downcast::<TransportError>() {
        Ok(TransportError::Value { cause: ValueError::Truncated, host }) => {
            FetchError::Unavailable(TransportError::Value { host, cause: ValueError::Truncated }.into())
        }
        Ok(error @ TransportError::Value { .. }) => FetchError::Unusable(error.into()),
        Ok(error) => FetchError::Unavailable(error.into()),
        Err(error) => match error.into_downcast::<TokenError>() {
            Ok(error) => FetchError::NoToken(error.into()),
            // What is left is the client's own refusal to go on, a challenge for another domain for instance.
            Err(error) => FetchError::Unavailable(first_line(&error.to_string()).into()),
        },
    }
}

fn body_of(response: Option<&RawResponse>) -> ErrorBody {
    response.map(|response| ErrorBody::read(response.body())).unwrap_or_default()
}

fn refused(status: u16, response: Option<&RawResponse>, now: Timestamp) -> FetchError {
    let body = body_of(response);
    let wish = response.and_then(|response| retry_after(response, now));
    let cause = |meaning| -> Cause { Refusal::new(meaning, status, &body).into() };
    match (status, body.code.as_str(), body.inner_code.as_str()) {
        (401, ..) => FetchError::NoToken(cause("the token is not accepted")),
        (403, _, "SecretDisabled") => FetchError::Disabled,
        (403, _, inner) => match denial(inner) {
            Some(denied) => denied,
            None if matches!(inner, "ForbiddenByFirewall" | "ForbiddenByConnection") => {
                FetchError::Unavailable(cause("the vault's firewall does not let this machine in"))
            }
            // Whoever wrote this, a gateway perhaps, has not said that the right to the secret is gone.
            None => {
                FetchError::Unavailable(cause("the request was forbidden for a reason that Key Vault does not give"))
            }
        },
        (404, "SecretNotFound", _) => FetchError::NotFound,
        (300..=399 | 404, ..) => {
            FetchError::Unavailable(cause("something that is no Key Vault answers at the vault's address"))
        }
        (429 | 503, ..) if status == 429 || wish.is_some() => FetchError::Throttled { retry_after: wish },
        (408 | 409 | 500..=599, ..) => FetchError::Unavailable(cause("the vault cannot serve now")),
        _ => FetchError::Unusable(cause("the vault does not understand the request")),
    }
}

/// The denial that an inner error code stands for.
/// Source: <https://learn.microsoft.com/azure/key-vault/general/rest-error-codes>.
fn denial(inner: &str) -> Option<FetchError> {
    let (code, remedy) = match inner {
        "ForbiddenByRbac" => (
            "ForbiddenByRbac",
            "give the identity the role Key Vault Secrets User on the vault or on the secret; a new role takes minutes to act",
        ),
        "AccessDenied" => ("AccessDenied", "add an access policy to the vault that lets the identity get secrets"),
        "ForbiddenByPolicy" => {
            ("ForbiddenByPolicy", "add an access policy to the vault that lets the identity get secrets")
        }
        _ => return None,
    };
    Some(FetchError::Denied { code, remedy })
}

impl Refusal {
    fn new(meaning: &'static str, status: u16, body: &ErrorBody) -> Self {
        let unless_empty = |text: &str, shown: String| if text.is_empty() { String::new() } else { shown };
        let (code, message) = (body.exact_code(), first_line(&body.message));
        let code = unless_empty(code, format!(" {code}"));
        Self { meaning, status, code, message: unless_empty(&message, format!(" ({message})")) }
    }
}

/// How long the service asks to wait: in milliseconds by Azure's own headers, else in seconds or as a date (RFC 9110,
/// section 10.2.3).
fn retry_after(response: &RawResponse, now: Timestamp) -> Option<Duration> {
    let header = |name: &HeaderName| response.headers().get_optional_str(name).map(str::trim);
    for name in ["x-ms-retry-after-ms", "retry-after-ms"] {
        if let Some(wait) = header(&HeaderName::from_static(name)).and_then(|text| text.parse().ok()) {
            return Some(Duration::from_millis(wait));
        }
    }
    let text = header(&RETRY_AFTER)?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(between(now, date)).filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use azure_core::http::StatusCode;
    use azure_core::http::headers::Headers;

    use super::*;

    fn decision(status: u16, body: &str, headers: &[(&'static str, &'static str)]) -> FetchError {
        let mut all = Headers::new();
        for &(name, value) in headers {
            all.insert(name, value);
        }
        let response = RawResponse::from_bytes(StatusCode::from(status), all, body.to_owned());
        let now = "2026-01-01T00:00:00Z".parse().expect("a time");
        refused(status, Some(&response), now)
    }

    fn inner(code: &str) -> String {
        format!(r#"{{"error":{{"code":"Forbidden","message":"First.\r\nSecond","innererror":{{"code":"{code}"}}}}}}"#)
    }

    #[test]
    fn every_answer_has_its_meaning() {
        let not_found = r#"{"error":{"code":"SecretNotFound","message":"A secret with (name/id) n was not found"}}"#;
        let unauthorized =
            r#"{"error":{"code":"Unauthorized","message":"AKV10032: Invalid issuer. Expected one of x"}}"#;
        let rows = [
            (401, unauthorized.to_owned(), "no_token", "AKV10032"),
            (403, inner("ForbiddenByRbac"), "denied", "Key Vault Secrets User"),
            (403, inner("AccessDenied"), "denied", "access policy"),
            (403, inner("ForbiddenByPolicy"), "denied", "access policy"),
            (403, inner("ForbiddenByFirewall"), "unavailable", "firewall"),
            (403, inner("ForbiddenByConnection"), "unavailable", "firewall"),
            (403, inner("SecretDisabled"), "disabled", ""),
            (403, inner("SomethingNew"), "unavailable", "SomethingNew (First.)"),
            (403, inner("\\u001b]0;x\\u0007New"), "unavailable", " ]0;xNew (First.)"),
            (403, "<html>denied by proxy</html>".to_owned(), "unavailable", "answers 403"),
            (404, not_found.to_owned(), "not_found", ""),
            (404, "<html>".to_owned(), "unavailable", "no Key Vault"),
            (302, String::new(), "unavailable", "no Key Vault"),
            (429, String::new(), "throttled", ""),
            (408, String::new(), "unavailable", "408"),
            (500, String::new(), "unavailable", "500"),
            (503, "x".to_owned(), "unavailable", "503"),
            (400, r#"{"error":{"code":"BadParameter"}}"#.to_owned(), "unusable", "BadParameter"),
        ];
        for (status, body, code, text) in rows {
            let error = decision(status, &body, &[]);
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            assert_eq!(error.code(), code, "{status} {body}");
            assert!(format!("{error} {cause}").contains(text), "{status} {body}: {error}: {cause}");
        }
    }

    #[test]
    fn the_wait_that_a_service_asks_for_is_read_in_every_form() {
        type Row<'a> = (&'a [(&'static str, &'static str)], Option<u64>);
        let rows: &[Row<'_>] = &[
            (&[], None),
            (&[("retry-after", "7")], Some(7_000)),
            (&[("retry-after", "Thu, 01 Jan 2026 00:01:00 GMT")], Some(60_000)),
            (&[("retry-after", "Wed, 31 Dec 2025 00:00:00 GMT")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after-ms", "250"), ("retry-after", "7")], Some(250)),
            (&[("x-ms-retry-after-ms", "300")], Some(300)),
        ];
        for (headers, expected) in rows {
            let FetchError::Throttled { retry_after } = decision(429, "", headers) else { panic!("throttled") };
            assert_eq!(retry_after, expected.map(Duration::from_millis), "{headers:?}");
        }
    }
}
