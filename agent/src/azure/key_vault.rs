//! One Azure Key Vault, read through its official client, behind [`Vault`].

mod answer;
mod evidence;
mod list;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::{ClientMethodOptions, ClientOptions, Context, RetryOptions};
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_secrets::models::{
    ContentType, SecretAttributes, SecretClientGetSecretOptions, SecretClientListSecretPropertiesOptions,
};
use azure_security_keyvault_secrets::{ResourceExt as _, SecretClient, SecretClientOptions, models};
use futures::StreamExt as _;
use jiff::Timestamp;
use thiserror::Error;

use self::answer::refusal;
pub use self::evidence::{Evidence, VaultResource};
use super::cloud::VaultUrl;
use super::identity::{Identity, RejectionWatch};
use super::own_host::OwnHost;
use super::transport::{SdkTransport, Transport, ValueSink};
use crate::clock::Clock;
use crate::encoding::Encoding;
use crate::memory::Arena;
use crate::secret::{Metadata, Secret, SecretName, SecretValue, Version};
use crate::selection::Selection;
use crate::vault::{Delivery, FetchError, Listed, Source, Vault};

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

/// Why the vault gave nothing, with what else it said.
#[derive(Debug)]
pub struct Refused {
    /// What follows from it.
    pub error: FetchError,
    /// What it said.
    pub evidence: Box<Evidence>,
}

impl From<FetchError> for Refused {
    /// For what the vault itself did not refuse.
    fn from(error: FetchError) -> Self {
        Self { error, evidence: Box::default() }
    }
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

    /// Fetches one secret, as [`Vault::fetch`] does.
    ///
    /// # Errors
    /// [`Refused`], with what the vault says for those who can change it.
    pub async fn examine(&self, source: &Source) -> Result<Secret, Refused> {
        self.in_time(self.ask(source)).await
    }

    /// Asks for the names of secrets, one of them, to see whether that is allowed.
    ///
    /// # Errors
    /// [`Refused`], for instance where the identity has rights to single secrets only.
    pub async fn try_list(&self) -> Result<(), Refused> {
        let options = SecretClientListSecretPropertiesOptions { maxresults: Some(1), ..Default::default() };
        let refused = |error| refusal(error, self.url.name(), self.clock.now());
        let mut pages = self.client.list_secret_properties(Some(options)).map_err(refused)?.into_pages();
        let page = self.in_time(async { pages.next().await.transpose().map_err(refused) }).await?;
        page.map(drop).ok_or_else(|| unusable(UnusableAnswer::NotASecret).into())
    }

    /// Waits for one request, at most as long as one may take.
    async fn in_time<T, E: From<FetchError>>(&self, asking: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        tokio::time::timeout(self.deadline, Box::pin(asking)).await.unwrap_or_else(|_| {
            let text = format!("no answer within {:?}, sign-in included", self.deadline);
            Err(FetchError::Unavailable(text.into()).into())
        })
    }

    async fn ask(&self, source: &Source) -> Result<Secret, Refused> {
        let Source { name, version, delivery } = source;
        let sink = ValueSink::new(self.arena.clone());
        let options = SecretClientGetSecretOptions {
            secret_version: version.as_ref().map(|version| version.as_str().to_owned()),
            out_content_type: match delivery {
                Delivery::AsStored => None,
                Delivery::AsPem => Some(ContentType::Pem),
            },
            method_options: ClientMethodOptions { context: Context::new().with_value(sink.clone()) },
        };
        let answer = self.client.get_secret(name.as_str(), Some(options)).await;
        let answer = answer.map_err(|error| refusal(error, self.url.name(), self.clock.now()))?;
        // The parser's error is dropped, for it may quote what it could not parse.
        let model = answer.into_model().map_err(|_| unusable(UnusableAnswer::NotASecret))?;
        let metadata = metadata(model, &self.url, name, version.as_ref()).map_err(unusable)?;
        let value = sink.take().ok_or_else(|| unusable(UnusableAnswer::NoValue))?;
        let value = SecretValue::new(value);
        Ok(Secret { metadata, selection: Selection::Whole, encoding: Encoding::Text, value })
    }
}

impl Vault for KeyVault {
    async fn fetch(&self, source: &Source) -> Result<Secret, FetchError> {
        self.examine(source).await.map_err(|refused| refused.error)
    }

    async fn list(&self, calls_max: usize) -> Result<Listed, FetchError> {
        Box::pin(self.list_pages(calls_max)).await.map_err(|refused| refused.error)
    }
}

impl std::fmt::Debug for KeyVault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeyVault").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What a bundle says about its secret, which must be the one of `vault` that was asked for.
fn metadata(
    model: models::Secret,
    vault: &VaultUrl,
    name: &SecretName,
    pinned: Option<&Version>,
) -> Result<Metadata, UnusableAnswer> {
    let id = model.resource_id().map_err(|_| UnusableAnswer::NoIdentifier)?;
    let version: Version =
        id.version.as_deref().and_then(|text| text.parse().ok()).ok_or(UnusableAnswer::NoIdentifier)?;
    // Identifiers are case-insensitive, and the vault keeps the case in which the secret was first written.
    let same = id.vault_url.eq_ignore_ascii_case(&vault.to_string())
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

fn unusable(cause: UnusableAnswer) -> FetchError {
    FetchError::Unusable(cause.into())
}

fn timestamp(time: OffsetDateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.unix_timestamp()).ok()
}
