//! One Azure Key Vault, read through its official client, behind [`Vault`].

mod answer;
mod list;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{ClientMethodOptions, ClientOptions, Context, RetryOptions};
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_secrets::models::{SecretAttributes, SecretClientGetSecretOptions};
use azure_security_keyvault_secrets::{ResourceExt as _, SecretClient, SecretClientOptions, models};
use jiff::Timestamp;
use thiserror::Error;

use self::answer::fetch_error;
use super::cloud::VaultUrl;
use super::identity::{Identity, RejectionWatch};
use super::own_host::OwnHost;
use super::transport::{SdkTransport, Transport, ValueSink};
use crate::clock::Clock;
use crate::encoding::Encoding;
use crate::memory::Arena;
use crate::secret::{Metadata, Secret, SecretName, SecretValue, Version};
use crate::vault::{FetchError, Listed, Vault};

/// One Key Vault.
pub struct KeyVault {
    url: VaultUrl,
    client: SecretClient,
    arena: Arena,
    deadline: Duration,
    clock: Arc<dyn Clock>,
}

/// What a vault is read with.
#[derive(Clone)]
pub(super) struct Means {
    /// As whom it is read.
    pub(super) identity: Arc<Identity>,
    /// The way there.
    pub(super) transport: Arc<Transport>,
    /// Where values go.
    pub(super) arena: Arena,
    /// Dates what the vault asks to wait for.
    pub(super) clock: Arc<dyn Clock>,
}

/// The vault answered that all is well, with something that Key Vault does not answer.
#[derive(Debug, Error)]
enum UnusableAnswer {
    #[error("it is not the JSON of a secret")]
    NotASecret,
    #[error("it has no value")]
    NoValue,
    #[error("it has no identifier of a secret and its version")]
    NoIdentifier,
    #[error("it is about {0}, which is not the secret that was asked for")]
    AnotherSecret(String),
    #[error("it is not the JSON of a list of secrets")]
    NotAList,
}

impl KeyVault {
    /// The vault at `url`. Sends nothing.
    ///
    /// # Errors
    /// The client's own, for an address that it does not accept.
    pub(super) fn new(url: VaultUrl, means: Means) -> azure_core::Result<Self> {
        let Means { identity, transport, arena, clock } = means;
        let sdk_transport = Arc::new(SdkTransport(Arc::clone(&transport)));
        let options = SecretClientOptions {
            client_options: ClientOptions {
                per_call_policies: vec![Arc::new(OwnHost(url.host()))],
                per_try_policies: vec![Arc::new(RejectionWatch(Arc::clone(&identity)))],
                // When to try again is for the refresh loop to say, which knows of every secret.
                retry: RetryOptions::none(),
                transport: Some(azure_core::http::Transport::with_policy(sdk_transport)),
                ..ClientOptions::default()
            },
            ..SecretClientOptions::default()
        };
        let client = SecretClient::new(&url.to_string(), identity, Some(options))?;
        Ok(Self { url, client, arena, deadline: transport.timeouts().total, clock })
    }

    async fn ask(&self, name: &SecretName, version: Option<&Version>) -> Result<Secret, FetchError> {
        let sink = ValueSink::new(self.arena.clone());
        let options = SecretClientGetSecretOptions {
            secret_version: version.map(|version| version.as_str().to_owned()),
            method_options: ClientMethodOptions { context: Context::new().with_value(sink.clone()) },
            ..SecretClientGetSecretOptions::default()
        };
        let answer = self.client.get_secret(name.as_str(), Some(options)).await;
        let answer = answer.map_err(|error| fetch_error(error, self.clock.now()))?;
        // The parser's error is dropped, for it may quote what it could not parse.
        let model = answer.into_model().map_err(|_| unusable(UnusableAnswer::NotASecret))?;
        let metadata = self.metadata(model, name, version).map_err(unusable)?;
        let value = sink.take().ok_or_else(|| unusable(UnusableAnswer::NoValue))?;
        Ok(Secret { metadata, encoding: Encoding::Text, value: SecretValue::new(value) })
    }

    /// Waits for one request, at most as long as one may take.
    async fn in_time<T>(&self, asking: impl Future<Output = Result<T, FetchError>>) -> Result<T, FetchError> {
        tokio::time::timeout(self.deadline, asking).await.unwrap_or_else(|_| {
            let text = format!("no answer within {:?}, sign-in included", self.deadline);
            Err(FetchError::Unavailable(text.into()))
        })
    }

    fn metadata(
        &self,
        model: models::Secret,
        name: &SecretName,
        pinned: Option<&Version>,
    ) -> Result<Metadata, UnusableAnswer> {
        let id = model.resource_id().map_err(|_| UnusableAnswer::NoIdentifier)?;
        let version: Version =
            id.version.as_deref().and_then(|text| text.parse().ok()).ok_or(UnusableAnswer::NoIdentifier)?;
        // Identifiers are case-insensitive, and the vault keeps the case in which the secret was first written.
        let same = id.vault_url.eq_ignore_ascii_case(&self.url.to_string())
            && id.name.eq_ignore_ascii_case(name.as_str())
            && pinned.is_none_or(|pinned| *pinned == version);
        if !same {
            return Err(UnusableAnswer::AnotherSecret(id.source_id.chars().take(300).collect()));
        }
        let attributes = model.attributes.unwrap_or_default();
        let SecretAttributes { created, updated, expires, .. } = attributes;
        Ok(Metadata {
            version,
            content_type: model.content_type,
            created: created.and_then(timestamp),
            updated: updated.and_then(timestamp),
            expires: expires.and_then(timestamp),
        })
    }
}

impl Vault for KeyVault {
    async fn fetch(&self, name: &SecretName, version: Option<&Version>) -> Result<Secret, FetchError> {
        self.in_time(Box::pin(self.ask(name, version))).await
    }

    async fn list(&self, calls_max: usize) -> Result<Listed, FetchError> {
        Box::pin(self.list_pages(calls_max)).await
    }
}

impl std::fmt::Debug for KeyVault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeyVault").field("url", &self.url).finish_non_exhaustive()
    }
}

fn unusable(cause: UnusableAnswer) -> FetchError {
    FetchError::Unusable(cause.into())
}

fn timestamp(time: OffsetDateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.unix_timestamp()).ok()
}
