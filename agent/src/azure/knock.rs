//! Reaches a vault without a token: what the way there is like, and what the vault says before it knows who asks.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{DATE, HeaderMap, HeaderName, WWW_AUTHENTICATE};
use hyper::{Request, StatusCode, Uri};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;
use url::Url;
use uuid::Uuid;

use super::cloud::VaultUrl;
use super::identity::{Authority, SignedIn, Source};
use super::transport::{Reach, Transport, TransportError, Trust};
use crate::clock::Clock;

/// Any stable version does: a vault asks for a token before it looks any further.
const API_VERSION: &str = "7.4";

/// The way to one vault.
#[derive(Clone)]
pub struct Way {
    pub(super) vault_url: VaultUrl,
    pub(super) transport: Arc<Transport>,
    pub(super) authority: Authority,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a vault tells everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    /// How far Azure's clock is ahead of this machine's, to a second or so.
    pub clock_ahead: Option<SignedDuration>,
    /// The address that the request came from, as the vault sees it.
    pub seen_as: Option<IpAddr>,
    /// The directory whose tokens the vault accepts.
    pub tenant_id: Option<Uuid>,
}

/// Why there was no vault to be found.
#[derive(Debug, Error)]
pub enum KnockError {
    /// No answer came.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Whoever answered says that it cannot serve.
    #[error("the vault cannot serve now: it answers {0}")]
    Busy(StatusCode),
    /// Whoever answered asks for no token, as every vault does.
    #[error(
        "something that is no Key Vault answers at the vault's address: it answers {0} to a request without a token"
    )]
    NoKeyVault(StatusCode),
}

impl Way {
    /// The vault that it leads to.
    #[must_use]
    pub fn vault_url(&self) -> &VaultUrl {
        &self.vault_url
    }

    /// Who may vouch for a server.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        self.transport.trust()
    }

    /// Host and port of the proxy through which the vault is reached, if one is.
    #[must_use]
    pub fn proxy(&self) -> Option<String> {
        self.transport.proxy_to(&Uri::try_from(self.vault_url.to_string()).ok()?, Reach::ByEnvironment)
    }

    /// Who was asked for the token, and the proxy on the way there; none for a command, which goes its own ways.
    #[must_use]
    pub fn token_endpoint(&self, signed_in: &SignedIn) -> Option<(String, Option<String>)> {
        let (uri, reach) = match (&signed_in.platform, signed_in.source) {
            (Some(place), _) => place.clone(),
            (None, Source::AzureCli) => return None,
            (None, _) => (self.authority.uri()?, Reach::ByEnvironment),
        };
        Some((uri.authority()?.to_string(), self.transport.proxy_to(&uri, reach)))
    }

    /// The addresses that the vault's name has here. Through a proxy it is the proxy that looks for them.
    ///
    /// # Errors
    /// [`TransportError::Resolve`] where it has none, [`TransportError::TimedOut`].
    pub async fn addresses(&self) -> Result<Vec<IpAddr>, TransportError> {
        let uri = Uri::try_from(self.vault_url.to_string()).map_err(|_| TransportError::Address)?;
        let mut addresses: Vec<_> =
            self.transport.addresses(&uri).await?.iter().map(std::net::SocketAddr::ip).collect();
        addresses.dedup();
        Ok(addresses)
    }

    /// Asks the vault for something without a token, which it refuses with what it tells everybody.
    ///
    /// # Errors
    /// [`KnockError`], where no Key Vault answers.
    pub async fn knock(&self) -> Result<Knock, KnockError> {
        let url = format!("{}/secrets?api-version={API_VERSION}&maxresults=1", self.vault_url);
        let request = Request::get(url).body(Full::<Bytes>::default()).map_err(|_| TransportError::Address)?;
        let asked = self.clock.now();
        let answer = self.transport.send(request, Reach::ByEnvironment, self.transport.timeouts()).await?;
        Knock::read(answer.status, &answer.headers, (asked, self.clock.now()))
    }
}

impl Knock {
    /// What the head of an answer tells, to a request that was under way between two times.
    pub(super) fn read(
        status: StatusCode,
        headers: &HeaderMap,
        (asked, answered): (Timestamp, Timestamp),
    ) -> Result<Self, KnockError> {
        is_vault(status, headers).map(|()| Self {
            clock_ahead: clock_ahead(headers, asked, answered),
            seen_as: seen_as(headers),
            tenant_id: tenant(headers),
        })
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Way").field("vault_url", &self.vault_url).finish_non_exhaustive()
    }
}

/// A vault asks for a token, or refuses under its own name, where it looks at the caller's address first.
fn is_vault(status: StatusCode, headers: &HeaderMap) -> Result<(), KnockError> {
    const VERSION: HeaderName = HeaderName::from_static("x-ms-keyvault-service-version");
    let named = headers.contains_key(VERSION);
    match status {
        StatusCode::UNAUTHORIZED if named || tenant(headers).is_some() => Ok(()),
        StatusCode::FORBIDDEN if named => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(KnockError::Busy(status)),
        _ if status.is_server_error() => Err(KnockError::Busy(status)),
        _ => Err(KnockError::NoKeyVault(status)),
    }
}

/// The directory in a challenge such as `Bearer authorization="https://login.microsoftonline.com/TENANT", resource="…"`.
fn tenant(headers: &HeaderMap) -> Option<Uuid> {
    let challenge = headers.get(WWW_AUTHENTICATE)?.to_str().ok()?;
    let (_, rest) = challenge.split_once("authorization=\"")?;
    let authority = Url::parse(rest.split('"').next()?).ok()?;
    authority.path_segments()?.next()?.parse().ok()
}

/// The address in a header such as `conn_type=Ipv4;addr=203.0.113.7;act_addr_fam=InterNetwork;`.
fn seen_as(headers: &HeaderMap) -> Option<IpAddr> {
    const NETWORK_INFO: HeaderName = HeaderName::from_static("x-ms-keyvault-network-info");
    let info = headers.get(NETWORK_INFO)?.to_str().ok()?;
    info.split(';').find_map(|part| part.strip_prefix("addr="))?.parse().ok()
}

/// Compares the date of an answer with the middle of the time during which it can have been written. A date says no more
/// than the second, so the difference is nothing while the second fits.
fn clock_ahead(headers: &HeaderMap, asked: Timestamp, answered: Timestamp) -> Option<SignedDuration> {
    let date = DateTimeParser::new().parse_timestamp(headers.get(DATE)?.to_str().ok()?).ok()?;
    // Differences, since the last second of the calendar has none after it.
    let (at_least, at_most) =
        (date.duration_since(answered), date.duration_since(asked) + SignedDuration::from_secs(1));
    Some(if at_least.is_positive() {
        at_least
    } else if at_most.is_negative() {
        at_most
    } else {
        SignedDuration::ZERO
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        [(HeaderName::from_static(name), value.parse().expect("a value"))].into_iter().collect()
    }

    #[test]
    fn a_challenge_names_the_directory() {
        let id = "11111111-1111-4111-8111-111111111111";
        let rows = [
            (format!("Bearer authorization=\"https://login.microsoftonline.com/{id}\", resource=\"https://x\""), true),
            (format!("Bearer authorization=\"https://login.windows.net/{id}/\""), true),
            ("Bearer authorization=\"https://login.microsoftonline.com/common\"".to_owned(), false),
            ("Basic realm=\"proxy\"".to_owned(), false),
        ];
        for (challenge, named) in rows {
            assert_eq!(tenant(&headers("www-authenticate", &challenge)).is_some(), named, "{challenge}");
        }
        assert_eq!(tenant(&HeaderMap::new()), None);
    }

    #[test]
    fn a_vault_is_known_by_its_challenge_or_its_name() {
        let none = HeaderMap::new();
        let named = headers("x-ms-keyvault-service-version", "1.9.3347.1");
        let challenge = "Bearer authorization=\"https://login.windows.net/11111111-1111-4111-8111-111111111111\"";
        let challenge = headers("www-authenticate", challenge);
        let rows = [
            (401, &challenge, "a vault"),
            (401, &named, "a vault"),
            (403, &named, "a vault"),
            (401, &none, "no vault"),
            (403, &none, "no vault"),
            (200, &challenge, "no vault"),
            (302, &none, "no vault"),
            (407, &none, "no vault"),
            (408, &none, "busy"),
            (429, &named, "busy"),
            (503, &none, "busy"),
        ];
        for (status, headers, expected) in rows {
            let status = StatusCode::from_u16(status).expect("a status");
            let found = match is_vault(status, headers) {
                Ok(()) => "a vault",
                Err(KnockError::Busy(_)) => "busy",
                Err(_) => "no vault",
            };
            assert_eq!(found, expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn the_vault_says_where_a_request_came_from() {
        let rows = [
            ("conn_type=Ipv4;addr=203.0.113.7;act_addr_fam=InterNetwork;", Some("203.0.113.7")),
            ("conn_type=PrivateLink;private_endpoint=/subscriptions/s;addr=10.10.1.5;", Some("10.10.1.5")),
            ("conn_type=Ipv4;addr=$(reboot);", None),
        ];
        for (info, address) in rows {
            let seen = seen_as(&headers("x-ms-keyvault-network-info", info));
            assert_eq!(seen, address.map(|text| text.parse().expect("an address")), "{info}");
        }
    }

    #[test]
    fn clocks_differ_only_by_what_a_second_and_the_way_cannot_explain() {
        let date = headers("date", "Thu, 01 Jan 2026 00:01:00 GMT");
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let rows = [
            ("2026-01-01T00:01:00.2Z", "2026-01-01T00:01:00.3Z", 0),
            ("2026-01-01T00:00:58Z", "2026-01-01T00:01:00.1Z", 0),
            ("2026-01-01T00:01:00.9Z", "2026-01-01T00:01:03Z", 0),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", 60),
            ("2026-01-01T00:02:01Z", "2026-01-01T00:02:02Z", -60),
        ];
        for (asked, answered, seconds) in rows {
            let ahead = clock_ahead(&date, at(asked), at(answered));
            assert_eq!(ahead, Some(SignedDuration::from_secs(seconds)), "{asked} {answered}");
        }
        let end = clock_ahead(
            &headers("date", "Thu, 30 Dec 9999 22:00:00 GMT"),
            at("2026-01-01T00:00:00Z"),
            at("2026-01-01T00:00:00Z"),
        );
        assert!(end.is_some_and(|ahead| ahead.as_hours() > 24 * 365 * 7_000), "the last second of the calendar");
        assert_eq!(clock_ahead(&headers("date", "soon"), at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z")), None);
    }
}
