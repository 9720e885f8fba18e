//! Microsoft Entra ID, the sign-in service: where it is, and what it says when it refuses.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::error::ErrorKind;
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{AsyncRawResponse, ClientOptions, Context, Request, RetryOptions};
use hyper::Uri;
use serde::Deserialize;
use thiserror::Error;
use url::Url;

use crate::azure::cloud::Cloud;
use crate::azure::quotation::first_line;
use crate::azure::transport::{SdkTransport, Transport};
use crate::environment::Environment;

/// Where tokens are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority(Url);

/// `AZURE_AUTHORITY_HOST` holds something else than the address of a sign-in service.
#[derive(Debug, Error)]
#[error(
    "AZURE_AUTHORITY_HOST is no https address of a sign-in service: write for instance https://login.microsoftonline.com"
)]
pub struct InvalidAuthority;

impl Authority {
    /// The one that `AZURE_AUTHORITY_HOST` names, else that of the vault's cloud.
    ///
    /// # Errors
    /// [`InvalidAuthority`] where the variable names no https host.
    pub fn new(environment: &Environment, cloud: Cloud) -> Result<Self, InvalidAuthority> {
        let text = environment.get("AZURE_AUTHORITY_HOST").unwrap_or(cloud.authority());
        // Other SDKs take the bare host, too.
        let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&text).map_err(|_| InvalidAuthority)?;
        if url.scheme() == "https" && url.has_host() { Ok(Self(url)) } else { Err(InvalidAuthority) }
    }

    /// Where an application of `tenant_id` asks for tokens; the audience of its assertions, too.
    pub(super) fn token_endpoint(&self, tenant_id: &str) -> String {
        let path = format!("/{tenant_id}/oauth2/v2.0/token");
        self.0.join(&path).map_or(path, String::from)
    }

    /// The service's own address.
    pub(in crate::azure) fn uri(&self) -> Option<Uri> {
        Uri::try_from(self.0.as_str()).ok()
    }

    /// Options for a credential of `azure_identity`. Naming the cloud keeps it from reading the process's environment.
    pub(super) fn options(&self, transport: &Arc<Transport>) -> ClientOptions {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = self.0.to_string();
        ClientOptions {
            per_try_policies: vec![Arc::new(RefusalReader)],
            retry: RetryOptions::none(),
            transport: Some(azure_core::http::Transport::with_policy(Arc::new(SdkTransport(Arc::clone(transport))))),
            cloud: Some(Arc::new(CloudConfiguration::from(cloud))),
            ..ClientOptions::default()
        }
    }
}

/// The sign-in service answered with an error.
#[derive(Debug, Error)]
#[error("Entra refuses the sign-in ({status} {code}): {description}")]
pub(super) struct EntraRefusal {
    status: u16,
    code: String,
    description: String,
}

impl EntraRefusal {
    /// Whether the service says that it cannot serve now.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 429 | 500..=599)
    }
}

/// Turns an error of the sign-in service into an [`EntraRefusal`] before `azure_identity` sees it, which cannot read a
/// description that holds line breaks, and all of them do.
#[derive(Debug)]
struct RefusalReader;

#[expect(elided_lifetimes_in_paths, reason = "async_trait demands the signature exactly as the SDK writes it")]
#[async_trait]
impl Policy for RefusalReader {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let response = next[0].send(context, request, &next[1..]).await?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await?) }
    }
}

async fn refusal(response: AsyncRawResponse) -> azure_core::Result<azure_core::Error> {
    #[derive(Deserialize)]
    struct Body {
        error: String,
        error_description: String,
    }
    let response = response.try_into_raw_response().await?;
    let (code, description) = match serde_json::from_slice::<Body>(response.body()) {
        Ok(body) => (first_line(&body.error), first_line(&body.error_description)),
        Err(_) => ("without an error code".to_owned(), "the answer is not that of Entra".to_owned()),
    };
    let refusal = EntraRefusal { status: u16::from(response.status()), code, description };
    Ok(azure_core::Error::new(ErrorKind::Credential, refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_comes_before_the_cloud_of_the_vault() {
        let rows = [
            ("", Cloud::Public, Some("https://login.microsoftonline.com/t/oauth2/v2.0/token")),
            ("", Cloud::China, Some("https://login.chinacloudapi.cn/t/oauth2/v2.0/token")),
            ("https://login.example/", Cloud::China, Some("https://login.example/t/oauth2/v2.0/token")),
            ("login.microsoftonline.us", Cloud::Public, Some("https://login.microsoftonline.us/t/oauth2/v2.0/token")),
            ("http://login.example", Cloud::Public, None),
            ("https://", Cloud::Public, None),
        ];
        for (variable, cloud, expected) in rows {
            let authority = Authority::new(&Environment::from([("AZURE_AUTHORITY_HOST", variable)]), cloud);
            assert_eq!(
                authority.ok().map(|authority| authority.token_endpoint("t")).as_deref(),
                expected,
                "{variable}"
            );
        }
    }
}
