//! Requests to a vault go to that vault: the client follows the links of its lists to whatever host they name.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use thiserror::Error;

/// A link of the vault's list leads to another host.
#[derive(Debug, Error)]
#[error("the vault links to another host, to which nothing is sent")]
pub struct AnotherHost;

/// Lets through only what goes to this host.
#[derive(Debug)]
pub struct OwnHost(pub String);

#[expect(elided_lifetimes_in_paths, reason = "the trait's method elides it, and the two must agree")]
#[async_trait]
impl Policy for OwnHost {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let url = request.url();
        let own = url.scheme() == "https" && url.host_str() == Some(self.0.as_str()) && url.port().is_none();
        match next.split_first() {
            Some((first, rest)) if own => first.send(context, request, rest).await,
            _ => Err(azure_core::Error::new(ErrorKind::Other, AnotherHost)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use azure_core::http::{AsyncRawResponse, Method, StatusCode, headers::Headers};

    use super::*;

    /// Answers everything and counts it.
    #[derive(Debug, Default)]
    struct Vault(AtomicUsize);

    #[expect(elided_lifetimes_in_paths, reason = "the trait's method elides it, and the two must agree")]
    #[async_trait]
    impl Policy for Vault {
        async fn send(&self, _: &Context, _: &mut Request, _: &[Arc<dyn Policy>]) -> PolicyResult {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, Headers::new(), "{}"))
        }
    }

    #[tokio::test]
    async fn nothing_is_sent_to_another_host() {
        let vault = Arc::new(Vault::default());
        let next: [Arc<dyn Policy>; 1] = [Arc::<Vault>::clone(&vault)];
        let policy = OwnHost("kv.vault.azure.net".to_owned());
        let rows = [
            ("https://kv.vault.azure.net/secrets?$skiptoken=x", true),
            ("https://evil.example/secrets", false),
            ("https://other.vault.azure.net/secrets", false),
            ("http://kv.vault.azure.net/secrets", false),
            ("https://kv.vault.azure.net:8443/secrets", false),
        ];
        for (url, passes) in rows {
            let mut request = Request::new(url.parse().expect("a URL"), Method::Get);
            match policy.send(&Context::new(), &mut request, &next).await {
                Ok(_) => assert!(passes, "{url}"),
                Err(error) => assert!(!passes && error.into_downcast::<AnotherHost>().is_ok(), "{url}"),
            }
        }
        assert_eq!(vault.0.load(Ordering::Relaxed), 1);
    }
}
