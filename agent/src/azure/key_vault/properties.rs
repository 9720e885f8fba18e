//! Whatever answers in a vault's name: nothing panics, nothing but Key Vault's own words takes a secret away, and nothing but
//! the secret that was asked for is taken.

use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{RawResponse, StatusCode};
use azure_security_keyvault_secrets::models::{self, ListSecretPropertiesResult};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use super::answer::refusal;
use super::list::facts_of;
use super::{Refused, metadata};
use crate::azure::cloud::VaultUrl;
use crate::azure::knock::Knock;
use crate::azure::value_stream::ValueStream;
use crate::causes::with_causes;
use crate::clock::between;
use crate::fuzzing::names::is_name;
use crate::fuzzing::split_line;
use crate::memory::Arena;
use crate::schedule::respite;

const VAULT: &str = "https://my-vault.vault.azure.net";

/// Longest sentence about an answer: two of the vault's of 300 characters, in ours.
const SENTENCE_MAX: usize = 1000;

struct Answer<'a> {
    status: u16,
    headers: HeaderMap,
    body: &'a [u8],
}

/// A status in the first line, a header to a line, an empty line, and a body.
pub(crate) fn answers(input: &[u8]) {
    let Some(answer) = read(input) else { return };
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    means_what_it_says(&answer, now);
    tells_everybody(&answer, now);
    lists_names(answer.body);
    is_the_secret(answer.body, now);
}

fn read(input: &[u8]) -> Option<Answer<'_>> {
    let (first, mut rest) = split_line(input);
    let status = std::str::from_utf8(first).ok()?.parse().ok().filter(|status| (100..=599).contains(status))?;
    let mut headers = HeaderMap::new();
    loop {
        let (line, after) = split_line(rest);
        rest = after;
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { break };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        headers.insert(name.ok()?, value.ok()?);
    }
    Some(Answer { status, headers, body: rest })
}

fn means_what_it_says(answer: &Answer<'_>, now: Timestamp) {
    let mut headers = Headers::new();
    for (name, value) in &answer.headers {
        if let Ok(value) = value.to_str() {
            headers.insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    let status = StatusCode::from(answer.status);
    let raw_response = Some(Box::new(RawResponse::from_bytes(status, headers, answer.body.to_vec())));
    let kind = ErrorKind::HttpResponse { status, error_code: None, raw_response };
    let Refused { error, evidence } = refusal(azure_core::Error::with_message(kind, ""), "my-vault", now);
    let told = with_causes(&error);
    assert!(!told.contains(char::is_control), "a terminal obeys {told:?}");
    assert!(told.chars().count() <= SENTENCE_MAX, "{told}");
    assert!(respite(error.retry_after()) <= std::time::Duration::from_mins(5));
    let says = |pointer: &str, word: &str| match serde_json::from_slice::<Value>(answer.body) {
        Ok(body) => {
            let said = body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            said.replace(char::is_control, "").starts_with(word)
        }
        // What is beside the code need not be flawless: a number that is too large, half a character.
        Err(_) => String::from_utf8_lossy(answer.body).contains(word),
    };
    let inner = |word| answer.status == 403 && says("/error/innererror/code", word);
    let is_meant = match error.code() {
        "denied" => inner("ForbiddenByRbac") || inner("AccessDenied") || inner("ForbiddenByPolicy"),
        "disabled" => inner("SecretDisabled"),
        "not_found" => answer.status == 404 && says("/error/code", "SecretNotFound"),
        _ => true,
    };
    assert!(is_meant, "{} {told}", answer.status);
    if let Some(resource) = &evidence.resource {
        let is_harmless = |letter: char| letter.is_alphanumeric() || "/-_.()".contains(letter);
        assert!(resource.id().chars().all(is_harmless), "a shell obeys {}", resource.id());
    }
}

fn tells_everybody(answer: &Answer<'_>, now: Timestamp) {
    let Ok(status) = hyper::StatusCode::from_u16(answer.status) else { return };
    if Knock::read(status, &answer.headers, (now, now)).is_ok() {
        assert!([401, 403].contains(&answer.status), "{} is no vault's", answer.status);
    }
}

fn lists_names(body: &[u8]) {
    let Ok(page) = serde_json::from_slice::<ListSecretPropertiesResult>(body) else { return };
    for entry in &page.value {
        if let Ok((name, _)) = facts_of(entry) {
            assert!(is_name(name.as_str()), "{name:?}");
            assert_eq!(name.as_str(), name.as_str().to_lowercase());
        }
    }
}

fn is_the_secret(body: &[u8], now: Timestamp) {
    let mut stream = ValueStream::new(Arena::unlocked().buffer(16).expect("memory"));
    let Some((_, rest)) = stream.push(body).ok().and_then(|()| stream.finish().ok()) else { return };
    let Ok(model) = serde_json::from_slice::<models::Secret>(&rest) else { return };
    let id = model.id.clone().unwrap_or_default();
    let (vault, name) = (VAULT.parse::<VaultUrl>().expect("a vault"), "db".parse().expect("a name"));
    match metadata(model, &vault, &name, None) {
        Ok(metadata) => {
            let url = Url::parse(&id).expect("it was read as one");
            let host = (url.scheme(), url.host_str(), url.port(), url.username());
            assert_eq!(host, ("https", Some("my-vault.vault.azure.net"), None, ""), "{id}");
            let path = format!("/secrets/{name}/{}", metadata.version);
            assert!(url.path().replace("//", "/").to_lowercase().contains(&path), "{id}");
            // Times are compared and told wherever they are.
            let shown = format!("{:?} {:?} {:?}", metadata.created, metadata.updated, metadata.expires);
            assert!(!shown.contains(char::is_control));
            metadata.expires.map(|expires| between(now, expires));
        }
        Err(error) => {
            let told = error.to_string();
            assert!(!told.contains(char::is_control) && told.chars().count() <= SENTENCE_MAX, "{told:?}");
        }
    }
}
