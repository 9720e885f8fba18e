//! Whether a request goes through a proxy, by the variables that curl knows.

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::{Reach, TransportError};
use crate::environment::Environment;

/// What the proxy variables say.
#[derive(Debug)]
pub(super) struct Proxies(Matcher);

/// The way to a host.
pub(super) enum Route {
    /// Straight.
    Direct,
    /// The proxy is sent the whole request: plain http.
    Forward(Intercept),
    /// The proxy is asked for a connection to the host, inside which TLS is spoken: https.
    Tunnel(Intercept),
}

impl Proxies {
    /// Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, or the same in lower case.
    pub(super) fn new(environment: &Environment) -> Result<Self, TransportError> {
        let value = |upper, lower| environment.get(upper).or_else(|| environment.get(lower)).unwrap_or_default();
        let https = value("HTTPS_PROXY", "https_proxy");
        let http = value("HTTP_PROXY", "http_proxy");
        let all = value("ALL_PROXY", "all_proxy");
        for (variable, url) in [("HTTPS_PROXY", https), ("HTTP_PROXY", http), ("ALL_PROXY", all)] {
            if !url.is_empty() && !usable(&Matcher::builder().all(url).build()) {
                return Err(TransportError::ProxyVariable { variable });
            }
        }
        let no = value("NO_PROXY", "no_proxy");
        Ok(Self(Matcher::builder().https(https).http(http).all(all).no(no).build()))
    }

    pub(super) fn route(&self, uri: &Uri, reach: Reach) -> Route {
        match self.0.intercept(uri) {
            Some(proxy) if reach == Reach::ByEnvironment && uri.scheme_str() == Some("https") => Route::Tunnel(proxy),
            Some(proxy) if reach == Reach::ByEnvironment => Route::Forward(proxy),
            _ => Route::Direct,
        }
    }
}

/// Whether the one proxy of `matcher` speaks HTTP; the variables may also name SOCKS proxies, which Keyside cannot use.
fn usable(matcher: &Matcher) -> bool {
    let proxy = matcher.intercept(&Uri::from_static("https://any.example/"));
    proxy.is_some_and(|proxy| matches!(proxy.uri().scheme_str(), Some("http" | "https")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(variables: &[(&str, &str)], url: &'static str, reach: Reach) -> String {
        let environment = variables.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        match Proxies::new(&environment).expect("usable").route(&Uri::from_static(url), reach) {
            Route::Direct => "direct".to_owned(),
            Route::Forward(proxy) => format!("forward {}", proxy.uri()),
            Route::Tunnel(proxy) => format!("tunnel {}", proxy.uri()),
        }
    }

    #[test]
    fn the_variables_decide_who_is_reached_through_a_proxy() {
        type Row<'a> = (&'a [(&'a str, &'a str)], &'static str, Reach, &'a str);
        let by = Reach::ByEnvironment;
        let both: &[_] = &[("HTTPS_PROXY", "http://s:1"), ("HTTP_PROXY", "http://p:2")];
        let lower: &[_] = &[("https_proxy", "http://s:1"), ("no_proxy", "azure.net, 10.0.0.0/8")];
        let all: &[_] = &[("ALL_PROXY", "a:3")];
        let rows: &[Row<'_>] = &[
            (&[], "https://x.vault.azure.net/", by, "direct"),
            (both, "https://x.vault.azure.net/", by, "tunnel http://s:1/"),
            (both, "http://plain.example/", by, "forward http://p:2/"),
            (both, "http://169.254.169.254/", Reach::Direct, "direct"),
            (both, "https://x.vault.azure.net/", Reach::Direct, "direct"),
            (lower, "https://x.vault.azure.net/", by, "direct"),
            (lower, "https://10.1.2.3/", by, "direct"),
            (lower, "https://notazure.net/", by, "tunnel http://s:1/"),
            (lower, "http://plain.example/", by, "direct"),
            (all, "http://plain.example/", by, "forward http://a:3/"),
            (all, "https://x.vault.azure.net/", by, "tunnel http://a:3/"),
        ];
        for (variables, url, reach, expected) in rows {
            assert_eq!(way(variables, url, *reach), *expected, "{variables:?} {url}");
        }
    }

    #[test]
    fn a_variable_without_a_usable_proxy_is_refused_without_showing_it() {
        for value in ["socks5://user:hunter2@p:1080", "ftp://user:hunter2@p:1", "http://[hunter2"] {
            let environment = Environment::from([("HTTPS_PROXY", value)]);
            let error = Proxies::new(&environment).expect_err(value).to_string();
            assert!(error.starts_with("HTTPS_PROXY names no proxy") && !error.contains("hunter2"), "{error}");
        }
    }
}
