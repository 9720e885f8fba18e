//! The secrets of the application's vault, through the SDK's client; it never asks for a value.

mod error;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientMethodOptions, ClientOptions, Context, RetryOptions};
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_secrets::models::{
    Secret, SecretAttributes, SecretClientSetSecretOptions, SecretClientUpdateSecretPropertiesOptions,
    SecretProperties, SetSecretParameters, UpdateSecretPropertiesParameters,
};
use azure_security_keyvault_secrets::{ResourceExt as _, SecretClient, SecretClientOptions};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use keyside::azure::cloud::VaultUrl;
use keyside::azure::identity::{Identity, RejectionWatch};
use keyside::azure::own_host::OwnHost;
use keyside::azure::transport::{SdkTransport, Transport, ValueSink};
use keyside::memory::Arena;
use keyside::secret::{SecretName, SecretValue, Version};

pub use self::error::{DataError, Reason};
use crate::arm::Patience;
use crate::retry::{Pause, Tries, Verdict};

/// Pause between two tries: a right that was just given acts after seconds to minutes.
const PAUSE: Duration = Duration::from_secs(2);

/// The data of one vault.
pub struct VaultData {
    url: VaultUrl,
    client: SecretClient,
    arena: Arena,
    patience: Patience,
}

impl fmt::Debug for VaultData {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("VaultData").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What vaults are asked with.
#[derive(Debug)]
pub struct Means {
    /// As whom.
    pub identity: Arc<Identity>,
    /// The way there.
    pub transport: Arc<Transport>,
    /// Where values go.
    pub arena: Arena,
    /// How long to go on.
    pub patience: Patience,
}

/// Whether a right may be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// What is denied stays denied.
    AreWhatTheyAre,
    /// They were given a moment ago, and act within minutes.
    MayBeOnTheirWay,
}

/// What a vault says about a secret, or about a version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name, in the case in which it was first written.
    pub name: String,
    /// Its version, in a list of versions.
    pub version: Option<Version>,
    /// Whether it can be read.
    pub enabled: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What is set.
#[derive(Debug)]
pub struct NewVersion<'a> {
    /// The value.
    pub value: &'a SecretValue,
    /// What kind of value it is.
    pub content_type: Option<&'a str>,
    /// When it expires.
    pub expires: Option<Timestamp>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl VaultData {
    /// The data of the vault at `url`. Sends nothing.
    ///
    /// # Errors
    /// The client's own, for an address that it does not accept.
    pub fn new(url: VaultUrl, means: &Means) -> Result<Self> {
        let Means { identity, transport, arena, patience } = means;
        let sdk_transport = Arc::new(SdkTransport(Arc::clone(transport)));
        let options = SecretClientOptions {
            client_options: ClientOptions {
                per_call_policies: vec![Arc::new(OwnHost(url.host()))],
                per_try_policies: vec![Arc::new(RejectionWatch(Arc::clone(identity)))],
                retry: RetryOptions::none(),
                transport: Some(azure_core::http::Transport::with_policy(sdk_transport)),
                ..ClientOptions::default()
            },
            ..SecretClientOptions::default()
        };
        let credential: Arc<dyn TokenCredential> = Arc::<Identity>::clone(identity);
        let client = SecretClient::new(&url.to_string(), credential, Some(options))?;
        Ok(Self { url, client, arena: arena.clone(), patience: *patience })
    }

    /// Every secret, by its name in lower case.
    ///
    /// # Errors
    /// [`DataError`].
    pub async fn list(&self, rights: Rights) -> Result<BTreeMap<String, Listed>, DataError> {
        let all = self.persist("list the secrets of", self.url.name(), rights, || async {
            let pager = self.client.list_secret_properties(None)?;
            pager.try_collect::<Vec<_>>().await
        });
        let listed = all.await?.into_iter().filter_map(listed);
        Ok(listed.map(|one| (one.name.to_ascii_lowercase(), one)).collect())
    }

    /// Every version of a secret.
    ///
    /// # Errors
    /// [`DataError`].
    pub async fn versions(&self, name: &SecretName) -> Result<Vec<Listed>, DataError> {
        let all = self.persist("list the versions of", name.as_str(), Rights::AreWhatTheyAre, || async {
            let pager = self.client.list_secret_properties_versions(name.as_str(), None)?;
            pager.try_collect::<Vec<_>>().await
        });
        Ok(all.await?.into_iter().filter_map(listed).collect())
    }

    /// Sets a secret, which makes a new version. The vault's words about a refusal are left out, as they may quote the
    /// value.
    ///
    /// # Errors
    /// [`DataError`], also for a value that is no text.
    pub async fn set(&self, name: &SecretName, new: &NewVersion<'_>) -> Result<Version, DataError> {
        let set = self.persist("set", name.as_str(), Rights::AreWhatTheyAre, || self.put(name, new));
        version_of(name, &set.await.map_err(DataError::without_words)?)
    }

    /// Sets a secret unless the vault has it; none where it does. Key Vault has no request that does both, so each try
    /// looks first: two that look in the same moment both set it, and the later value counts.
    ///
    /// # Errors
    /// [`DataError`], also for a value that is no text.
    pub async fn set_first(
        &self,
        name: &SecretName,
        new: &NewVersion<'_>,
        rights: Rights,
    ) -> Result<Option<Version>, DataError> {
        let set = self.persist("set", name.as_str(), rights, || async {
            let is_it =
                |one: &SecretProperties| one.resource_id().is_ok_and(|id| id.name.eq_ignore_ascii_case(name.as_str()));
            let there = self.client.list_secret_properties(None)?.try_any(async |one| is_it(&one)).await?;
            if there { Ok(None) } else { self.put(name, new).await.map(Some) }
        });
        let set = set.await.map_err(DataError::without_words)?;
        set.map(|secret| version_of(name, &secret)).transpose()
    }

    /// The value that comes back in the answer goes to locked memory and is wiped there.
    async fn put(&self, name: &SecretName, new: &NewVersion<'_>) -> azure_core::Result<Secret> {
        let text = std::str::from_utf8(new.value.as_bytes())?;
        let parameters = SetSecretParameters {
            value: Some(text.to_owned()),
            content_type: new.content_type.map(str::to_owned),
            secret_attributes: Some(SecretAttributes {
                expires: new.expires.and_then(|at| OffsetDateTime::from_unix_timestamp(at.as_second()).ok()),
                ..SecretAttributes::default()
            }),
            tags: Some(HashMap::from_iter(new.tags.clone())),
        };
        let context = Context::new().with_value(ValueSink::new(self.arena.clone()));
        let options = SecretClientSetSecretOptions { method_options: ClientMethodOptions { context } };
        self.client.set_secret(name.as_str(), parameters.try_into()?, Some(options)).await?.into_model()
    }

    /// Disables a version, which nobody can read from then on.
    ///
    /// # Errors
    /// [`DataError`].
    pub async fn disable(&self, name: &SecretName, version: &Version) -> Result<(), DataError> {
        self.persist("disable a version of", name.as_str(), Rights::AreWhatTheyAre, || async {
            let off = SecretAttributes { enabled: Some(false), ..SecretAttributes::default() };
            let parameters = UpdateSecretPropertiesParameters {
                secret_attributes: Some(off),
                ..UpdateSecretPropertiesParameters::default()
            };
            let options = SecretClientUpdateSecretPropertiesOptions {
                secret_version: Some(version.as_str().to_owned()),
                ..SecretClientUpdateSecretPropertiesOptions::default()
            };
            self.client.update_secret_properties(name.as_str(), parameters.try_into()?, Some(options)).await
        })
        .await
        .map(drop)
    }

    /// Deletes a secret, which can be recovered for as long as the vault says.
    ///
    /// # Errors
    /// [`DataError`].
    pub async fn delete(&self, name: &SecretName) -> Result<(), DataError> {
        let rights = Rights::AreWhatTheyAre;
        self.persist("delete", name.as_str(), rights, || self.client.delete_secret(name.as_str(), None)).await.map(drop)
    }

    /// Brings a deleted secret back and waits until it can be written.
    ///
    /// # Errors
    /// [`DataError`].
    pub async fn recover(&self, name: &SecretName) -> Result<(), DataError> {
        let rights = Rights::AreWhatTheyAre;
        self.persist("recover", name.as_str(), rights, || self.client.recover_deleted_secret(name.as_str(), None))
            .await
            .map(drop)
    }

    /// Asks again while the failure may pass.
    async fn persist<T, W>(
        &self,
        operation: &'static str,
        name: &str,
        rights: Rights,
        ask: impl Fn() -> W,
    ) -> Result<T, DataError>
    where
        W: Future<Output = azure_core::Result<T>>,
    {
        let mut tries = Tries::new(self.patience.request, Pause::between(PAUSE, PAUSE));
        loop {
            let error = match Box::pin(ask()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => DataError::of(operation, name, error),
            };
            let verdict = match error.reason.verdict() {
                Verdict::Final if error.is_denial() && rights == Rights::MayBeOnTheirWay => {
                    Verdict::Again(Some(self.patience.propagation))
                }
                verdict => verdict,
            };
            if !tries.goes_on(&error, verdict, error.reason.retry_after()).await {
                return Err(error);
            }
        }
    }
}

fn version_of(name: &SecretName, set: &Secret) -> Result<Version, DataError> {
    let version = set.resource_id().ok().and_then(|id| id.version?.parse().ok());
    version.ok_or_else(|| DataError::new("set", name.as_str(), Reason::Unusable))
}

fn listed(properties: SecretProperties) -> Option<Listed> {
    let id = properties.resource_id().ok()?;
    let attributes = properties.attributes.unwrap_or_default();
    Some(Listed {
        name: id.name,
        version: id.version.and_then(|version| version.parse().ok()),
        enabled: attributes.enabled.unwrap_or(true),
        created: attributes.created.and_then(|at| Timestamp::from_second(at.unix_timestamp()).ok()),
        tags: properties.tags.unwrap_or_default().into_iter().collect(),
    })
}
