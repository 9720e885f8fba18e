//! The token endpoints that platforms offer to what runs on them: one GET, one JSON answer.

use std::fmt;
use std::net::IpAddr;

use azure_core::credentials::AccessToken;
use azure_core::time::OffsetDateTime;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Uri};
use jiff::Timestamp;
use jiff::fmt::strtime;
use serde::Deserialize;
use thiserror::Error;
use url::{Host, Url};

use crate::azure::quotation::first_line;
use crate::azure::transport::{Reach, Timeouts, Transport, TransportError};

/// One platform's endpoint, with everything of the request but the resource.
pub(super) struct Endpoint {
    url: Url,
    header: Option<(HeaderName, HeaderValue)>,
    reach: Reach,
    timeouts: Option<Timeouts>,
}

/// Which user-assigned identity a managed one is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Selector<'a> {
    /// The one of this client id.
    Client(&'a str),
    /// The one of this object id.
    Object(&'a str),
}

/// Why an endpoint gave no token.
#[derive(Debug, Error)]
pub(super) enum EndpointError {
    #[error(transparent)]
    Unreachable(#[from] TransportError),
    #[error("{host} answers {status}: {text}")]
    Refused { host: String, status: u16, text: String },
    #[error("the answer of {host} is no token")]
    Unreadable { host: String },
    #[error("the resource makes no address")]
    Resource,
}

impl EndpointError {
    /// Whether an endpoint that is there cannot serve now. Where none answers there may simply be none.
    /// Source: <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling>.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Refused { status: 404 | 410 | 429 | 500..=599, .. })
    }
}

impl Endpoint {
    /// The endpoint at `address`. One on this machine or on its link is reached without a proxy.
    pub(super) fn new(address: &str) -> Option<Self> {
        let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
        let reach = if is_near(&url) { Reach::Direct } else { Reach::ByEnvironment };
        Some(Self { url, header: None, reach, timeouts: None })
    }

    /// Where it is, without the rest of the request, and the way there.
    pub(super) fn place(&self) -> Option<(Uri, Reach)> {
        Some((Uri::try_from(self.url.origin().ascii_serialization()).ok()?, self.reach))
    }

    pub(super) fn direct(self) -> Self {
        Self { reach: Reach::Direct, ..self }
    }

    pub(super) fn within(self, timeouts: Timeouts) -> Self {
        Self { timeouts: Some(timeouts), ..self }
    }

    pub(super) fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Asks for this identity, by the parameter that App Service and virtual machines share.
    pub(super) fn of(self, identity: Option<Selector<'_>>) -> Self {
        match identity {
            Some(Selector::Client(id)) => self.query("client_id", id),
            Some(Selector::Object(id)) => self.query("object_id", id),
            None => self,
        }
    }

    /// Adds the header that proves the request to come from here; a value that can be no header is left out, and the
    /// endpoint will say so.
    pub(super) fn header(self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::try_from(value).ok().map(|mut value| {
            value.set_sensitive(true);
            (HeaderName::from_static(name), value)
        });
        Self { header: value, ..self }
    }

    /// Asks for a token for `resource`.
    pub(super) async fn token(
        &self,
        transport: &Transport,
        resource: &str,
        now: Timestamp,
    ) -> Result<AccessToken, EndpointError> {
        let host = self.url.host_str().unwrap_or_default().to_owned();
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("resource", resource);
        let mut request =
            Request::get(url.as_str()).body(Full::<Bytes>::default()).map_err(|_| EndpointError::Resource)?;
        if let Some((name, value)) = &self.header {
            request.headers_mut().insert(name, value.clone());
        }
        let answer = transport.send(request, self.reach, self.timeouts.unwrap_or(transport.timeouts())).await?;
        if !answer.status.is_success() {
            return Err(EndpointError::Refused { host, status: answer.status.as_u16(), text: refusal(&answer.body) });
        }
        parse_token(&answer.body, now).ok_or(EndpointError::Unreadable { host })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Endpoint").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// Whether `url` points to this machine or to its link, where no proxy can reach on our behalf.
fn is_near(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_link_local(),
        Some(Host::Ipv6(address)) => {
            IpAddr::V6(address).to_canonical().is_loopback() || address.is_unicast_link_local()
        }
        None => false,
    }
}

/// A number, or a text that is one; endpoints differ, and one changed over time.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(i64),
    Text(String),
}

#[derive(Deserialize)]
struct Grant {
    access_token: String,
    expires_on: Option<Loose>,
    expires_in: Option<Loose>,
}

/// Reads a token answer. A parser's error could quote the token, so there is none.
fn parse_token(body: &[u8], now: Timestamp) -> Option<AccessToken> {
    let grant: Grant = serde_json::from_slice(body).ok()?;
    let seconds = match (grant.expires_on, grant.expires_in) {
        (Some(Loose::Number(seconds)), _) => seconds,
        (Some(Loose::Text(text)), _) => text.parse().ok().or_else(|| parse_date(&text))?,
        (None, Some(Loose::Number(seconds))) => now.as_second().checked_add(seconds)?,
        (None, Some(Loose::Text(text))) => now.as_second().checked_add(text.parse().ok()?)?,
        (None, None) => return None,
    };
    let expires_on = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    (!grant.access_token.is_empty()).then(|| AccessToken::new(grant.access_token, expires_on))
}

/// Reads the dates of the 2017 version of the App Service endpoint, `09/14/2017 00:00:00 PM +00:00` for instance:
/// month first, an hour of twelve or of twenty-four, and a half of the day that is there or not.
fn parse_date(text: &str) -> Option<i64> {
    let formats = ["%m/%d/%Y %I:%M:%S %p %:z", "%m/%d/%Y %H:%M:%S %:z"];
    let whole = formats.iter().find_map(|format| strtime::parse(format, text).ok()?.to_timestamp().ok());
    let without_half = || {
        let text = text.replace(" AM", "").replace(" PM", "");
        strtime::parse(formats[1], text).ok()?.to_timestamp().ok()
    };
    whole.or_else(without_half).map(Timestamp::as_second)
}

/// What an endpoint says about its refusal: `error_description` (IMDS) or `message` (App Service), else nothing.
fn refusal(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Refusal {
        error: Option<serde_json::Value>,
        error_description: Option<String>,
        message: Option<String>,
    }
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let code = refusal.error.and_then(|error| error.as_str().map(str::to_owned));
    let text = refusal.error_description.or(refusal.message).or(code).unwrap_or_else(|| "no reason given".to_owned());
    first_line(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_read_in_every_form_that_was_seen() {
        let now = Timestamp::from_second(1_000).expect("in range");
        let rows = [
            (r#"{"access_token":"t","expires_on":"1506484173"}"#, Some(1_506_484_173)),
            (r#"{"access_token":"t","expires_on":1506484173}"#, Some(1_506_484_173)),
            (r#"{"access_token":"t","expires_on":"09/14/2017 12:00:00 PM +00:00"}"#, Some(1_505_390_400)),
            (r#"{"access_token":"t","expires_on":"09/14/2017 00:00:00 PM +00:00"}"#, Some(1_505_347_200)),
            (r#"{"access_token":"t","expires_on":"9/14/2017 15:00:00 +00:00"}"#, Some(1_505_401_200)),
            (r#"{"access_token":"t","expires_in":"60"}"#, Some(1_060)),
            (r#"{"access_token":"t","expires_in":60}"#, Some(1_060)),
            (r#"{"access_token":"t"}"#, None),
            (r#"{"access_token":"","expires_in":60}"#, None),
            (r#"{"access_token":"t","expires_on":"soon"}"#, None),
            ("<html>", None),
        ];
        for (body, expected) in rows {
            let token = parse_token(body.as_bytes(), now);
            assert_eq!(token.map(|token| token.expires_on.unix_timestamp()), expected, "{body}");
        }
    }

    #[test]
    fn only_endpoints_of_this_machine_or_link_are_near() {
        let rows = [
            ("http://169.254.169.254/x", true),
            ("http://127.0.0.1:1/x", true),
            ("http://localhost:42356/msi/token", true),
            ("http://[::1]:1/x", true),
            ("http://[fe80::1]/x", true),
            ("http://10.0.0.1/x", false),
            ("https://identity.example/x", false),
        ];
        for (url, near) in rows {
            assert_eq!(is_near(&Url::parse(url).expect(url)), near, "{url}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_one_line() {
        let rows = [
            (
                r#"{"error":"invalid_request","error_description":"Identity not found\r\nTrace: 1"}"#,
                "Identity not found",
            ),
            (r#"{"statusCode":500,"message":"broken"}"#, "broken"),
            (r#"{"error":"unknown_source"}"#, "unknown_source"),
            ("<html>", "no reason given"),
        ];
        for (body, expected) in rows {
            assert_eq!(refusal(body.as_bytes()), expected);
        }
    }
}
