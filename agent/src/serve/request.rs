//! What a request asks for: method, path, query and headers become one call, or a problem.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{FORWARDED, HeaderName, ORIGIN};
use hyper::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use super::problem::{Code, Problem};
use crate::secret::SecretName;

/// Longest `wait` that is granted. A caller who wants to wait longer asks again, which shows that it still lives.
const WAIT_MAX: Duration = Duration::from_mins(10);

/// Headers that browsers and proxies add. Nothing that speaks for itself sends them.
pub(super) const FORWARDING_HEADERS: [HeaderName; 3] = [ORIGIN, FORWARDED, HeaderName::from_static("x-forwarded-for")];

/// Where the request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The Unix socket, which has every route.
    Socket,
    /// The TCP address, which has health, readiness and metrics only.
    Network,
}

/// How a secret is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In JSON, with what is known about it.
    Document,
    /// The bytes alone.
    Value,
}

/// One request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Which secrets there are for the caller.
    List {
        /// How long the answer may wait for a change.
        wait: Option<Duration>,
        /// The generation that the caller knows.
        after: Option<String>,
    },
    /// One secret.
    Secret {
        /// Which.
        name: SecretName,
        /// How.
        form: Form,
        /// How long the answer may wait.
        wait: Option<Duration>,
    },
    /// Look now, at one secret or at all.
    Refresh {
        /// Which one.
        name: Option<SecretName>,
    },
    /// How the agent fares.
    Status,
    /// Whether it lives.
    Health,
    /// Whether every required secret is there.
    Ready,
    /// The same in numbers, over time.
    Metrics,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Route {
    List,
    Secret(SecretName, Form),
    Refresh,
    Status,
    Health,
    Ready,
    Metrics,
}

/// Understands a request.
///
/// # Errors
/// The [`Problem`] that answers it: where it came through, then the route, then the method, then the query.
pub(super) fn understand(method: &Method, uri: &Uri, headers: &HeaderMap, door: Door) -> Result<Call, Problem> {
    if FORWARDING_HEADERS.iter().any(|name| headers.contains_key(name)) {
        return Err(Code::Forwarded.into());
    }
    let route = route(uri.path(), door).ok_or(Code::NotFound)?;
    let (allowed, allow): (&[Method], _) = match route {
        Route::Refresh => (&[Method::POST], "POST"),
        _ => (&[Method::GET, Method::HEAD], "GET, HEAD"),
    };
    if !allowed.contains(method) {
        return Err(Problem { allow: Some(allow), ..Code::MethodNotAllowed.into() });
    }
    call(route, uri.query().unwrap_or_default())
}

fn route(path: &str, door: Door) -> Option<Route> {
    match (path, door) {
        ("/healthz", _) => Some(Route::Health),
        ("/readyz", _) => Some(Route::Ready),
        ("/metrics", _) => Some(Route::Metrics),
        ("/v1/secrets", Door::Socket) => Some(Route::List),
        ("/v1/refresh", Door::Socket) => Some(Route::Refresh),
        ("/v1/status", Door::Socket) => Some(Route::Status),
        (_, Door::Socket) => secret(path.strip_prefix("/v1/secrets/")?),
        (_, Door::Network) => None,
    }
}

/// The path is taken apart before it is decoded, so an encoded slash never makes a segment.
fn secret(rest: &str) -> Option<Route> {
    let (segment, form) = match rest.strip_suffix("/value") {
        Some(segment) => (segment, Form::Value),
        None => (rest, Form::Document),
    };
    if segment.contains('/') {
        return None;
    }
    let name: Cow<'_, str> = percent_decode_str(segment).decode_utf8().ok()?;
    Some(Route::Secret(name.parse().ok()?, form))
}

fn call(route: Route, query: &str) -> Result<Call, Problem> {
    Ok(match route {
        Route::List => {
            let mut fields = fields(query, &["wait", "after"])?;
            let wait = fields.remove("wait").map(|text| wait(&text)).transpose()?;
            let after = fields.remove("after");
            if after.is_some() && wait.is_none() {
                return Err(Problem::new(Code::BadQuery, "'after' needs 'wait'"));
            }
            Call::List { wait, after }
        }
        Route::Secret(name, form) => {
            let wait = fields(query, &["wait"])?.remove("wait").map(|text| wait(&text)).transpose()?;
            Call::Secret { name, form, wait }
        }
        Route::Refresh => {
            let name = fields(query, &["name"])?.remove("name");
            // A name that cannot exist is answered like one that does not.
            Call::Refresh { name: name.map(|name| name.parse().map_err(|_| Code::NotFound)).transpose()? }
        }
        Route::Status => fields(query, &[]).map(|_| Call::Status)?,
        Route::Health => fields(query, &[]).map(|_| Call::Health)?,
        Route::Ready => fields(query, &[]).map(|_| Call::Ready)?,
        Route::Metrics => fields(query, &[]).map(|_| Call::Metrics)?,
    })
}

fn fields(query: &str, known: &[&'static str]) -> Result<BTreeMap<&'static str, String>, Problem> {
    let mut fields = BTreeMap::new();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let Some(&key) = known.iter().find(|&&name| name == key) else {
            return Err(Problem::new(
                Code::BadQuery,
                format!("'{}' is no query key of this route", key.escape_debug()),
            ));
        };
        if fields.insert(key, value.into_owned()).is_some() {
            return Err(Problem::new(Code::BadQuery, format!("'{key}' is there twice")));
        }
    }
    Ok(fields)
}

/// Reads `60s`, `2m`, `1m 30s`, or a bare number of seconds.
fn wait(text: &str) -> Result<Duration, Problem> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    match seconds.or_else(|| humantime::parse_duration(text).ok()) {
        Some(wait) if wait <= WAIT_MAX => Ok(wait),
        Some(_) => Err(Problem::new(Code::BadQuery, format!("'wait' is at most {}s", WAIT_MAX.as_secs()))),
        None => Err(Problem::new(Code::BadQuery, "'wait' is a duration such as 60s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(method: &str, target: &str, door: Door) -> Result<Call, Code> {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let uri = target.parse().expect("a target");
        understand(&method, &uri, &HeaderMap::new(), door).map_err(|problem| problem.code)
    }

    fn secret(name: &str, form: Form, wait: Option<u64>) -> Call {
        Call::Secret { name: name.parse().expect("a name"), form, wait: wait.map(Duration::from_secs) }
    }

    #[test]
    fn every_route_is_understood() {
        let list = |wait: Option<u64>, after: Option<&str>| Call::List {
            wait: wait.map(Duration::from_secs),
            after: after.map(str::to_owned),
        };
        let rows = [
            ("GET", "/v1/secrets", list(None, None)),
            ("HEAD", "/v1/secrets?wait=60s&after=x", list(Some(60), Some("x"))),
            ("GET", "http://localhost/v1/secrets", list(None, None)),
            ("GET", "/v1/secrets/db", secret("db", Form::Document, None)),
            ("GET", "/v1/secrets/%64b", secret("db", Form::Document, None)),
            ("GET", "/v1/secrets/db/value?wait=2m", secret("db", Form::Value, Some(120))),
            ("GET", "/v1/secrets/value", secret("value", Form::Document, None)),
            ("GET", "/v1/secrets/value/value?wait=5", secret("value", Form::Value, Some(5))),
            ("POST", "/v1/refresh", Call::Refresh { name: None }),
            ("POST", "/v1/refresh?name=db", Call::Refresh { name: "db".parse().ok() }),
            ("GET", "/v1/status", Call::Status),
            ("HEAD", "/healthz", Call::Health),
            ("GET", "/readyz?", Call::Ready),
            ("GET", "/metrics", Call::Metrics),
        ];
        for (method, target, expected) in rows {
            assert_eq!(understood(method, target, Door::Socket), Ok(expected), "{method} {target}");
        }
    }

    #[test]
    fn everything_else_is_a_problem() {
        let long = format!("/v1/secrets/{}", "a".repeat(128));
        let rows = [
            ("GET", "/", Code::NotFound),
            ("GET", "/v1", Code::NotFound),
            ("GET", "/v2/secrets", Code::NotFound),
            ("GET", "/v1/secrets/", Code::NotFound),
            ("GET", "/v1/secrets/db/", Code::NotFound),
            ("GET", "/v1/secrets/db/value/", Code::NotFound),
            ("GET", "/v1/secrets//value", Code::NotFound),
            ("GET", "/v1/secrets/..", Code::NotFound),
            ("GET", "/v1/secrets/../../etc/passwd", Code::NotFound),
            ("GET", "/v1/secrets/%2e%2e", Code::NotFound),
            ("GET", "/v1/secrets/a%2fb", Code::NotFound),
            ("GET", "/v1/secrets/db%2fvalue", Code::NotFound),
            ("GET", "/v1/secrets/db%00", Code::NotFound),
            ("GET", "/v1/secrets/db%zz", Code::NotFound),
            ("GET", "/v1/secrets/db%", Code::NotFound),
            ("GET", "/v1/secrets/%ff", Code::NotFound),
            ("GET", &long, Code::NotFound),
            ("GET", "/V1/SECRETS", Code::NotFound),
            ("POST", "/v1/secrets", Code::MethodNotAllowed),
            ("DELETE", "/v1/secrets/db", Code::MethodNotAllowed),
            ("GET", "/v1/refresh", Code::MethodNotAllowed),
            ("get", "/v1/status", Code::MethodNotAllowed),
            ("BREW", "/healthz", Code::MethodNotAllowed),
            ("OPTIONS", "*", Code::NotFound),
            ("GET", "/v1/secrets?after=1", Code::BadQuery),
            ("GET", "/v1/secrets?wait=", Code::BadQuery),
            ("GET", "/v1/secrets?wait=soon", Code::BadQuery),
            ("GET", "/v1/secrets?wait=-1s", Code::BadQuery),
            ("GET", "/v1/secrets?wait=11m", Code::BadQuery),
            ("GET", "/v1/secrets?wait=99999999999999999999999s", Code::BadQuery),
            ("GET", "/v1/secrets?wait=1s&wait=1s", Code::BadQuery),
            ("GET", "/v1/secrets/db?name=x", Code::BadQuery),
            ("GET", "/v1/status?x", Code::BadQuery),
            ("GET", "/healthz?verbose", Code::BadQuery),
            ("POST", "/v1/refresh?name=a%2fb", Code::NotFound),
        ];
        for (method, target, expected) in rows {
            assert_eq!(understood(method, target, Door::Socket), Err(expected), "{method} {target}");
        }
    }

    #[test]
    fn the_network_gets_health_readiness_and_metrics_only() {
        for target in ["/v1/secrets", "/v1/secrets/db", "/v1/secrets/db/value", "/v1/status", "/v1/refresh"] {
            assert_eq!(understood("GET", target, Door::Network), Err(Code::NotFound), "{target}");
        }
        for target in ["/healthz", "/readyz", "/metrics"] {
            assert!(understood("GET", target, Door::Network).is_ok(), "{target}");
        }
    }

    #[test]
    fn what_came_through_a_browser_or_a_proxy_is_refused() {
        for name in ["origin", "Forwarded", "X-Forwarded-For"] {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header");
            let headers = HeaderMap::from_iter([(name, "x".parse().expect("a value"))]);
            let problem = understand(&Method::GET, &Uri::from_static("/healthz"), &headers, Door::Socket);
            assert_eq!(problem.expect_err("refused").code, Code::Forwarded);
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let allow = |target: &'static str| {
            understand(&Method::PUT, &Uri::from_static(target), &HeaderMap::new(), Door::Socket).expect_err("no").allow
        };
        assert_eq!(allow("/v1/secrets/db"), Some("GET, HEAD"));
        assert_eq!(allow("/v1/refresh"), Some("POST"));
    }
}
