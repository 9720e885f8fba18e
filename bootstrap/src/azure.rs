//! The connection of one run: who runs it, Resource Manager, and the data of the application's vault.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use azure_core::http::Method;
use keyside::azure::cloud::{Cloud, VaultUrl};
use keyside::azure::identity::{self, Authority, Identity, SignIn, TokenError};
use keyside::azure::transport::{Timeouts, Transport};
use keyside::clock::SystemClock;
use keyside::environment::Environment;
use keyside::memory::{self, Arena};
use uuid::Uuid;

use crate::arm::{Arm, Call, Patience};
use crate::config::Config;
use crate::id::ArmId;
use crate::item::Label;
use crate::resources::vault;
use crate::values::{Input, Values};
use crate::vault_data::{Listed, Means, Rights, VaultData};

/// How long the parts of a request may take. Resource Manager answers a write after what it calls a short while, up to a
/// minute.
const TIMEOUTS: Timeouts = Timeouts {
    connect: std::time::Duration::from_secs(10),
    read: std::time::Duration::from_mins(1),
    total: std::time::Duration::from_secs(90),
};

/// Everything that a run asks.
#[derive(Debug)]
pub struct Azure {
    /// Resource Manager.
    pub arm: Arm,
    /// The secrets of the application's vault.
    pub vault: VaultData,
    /// Where the values of new secrets come from.
    pub values: Values,
    /// What the time is.
    pub clock: SystemClock,
    /// Whether what is in a deleted state may be brought back.
    pub recover: bool,
    operator: (Uuid, &'static str),
    means: Means,
}

/// What an operator says about a run.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// How long to go on.
    pub patience: Patience,
    /// Whether what is in a deleted state may be brought back.
    pub recover: bool,
    /// Whose standard input first values come from.
    pub input: Input,
}

/// What can be seen of the secrets of a vault.
#[derive(Debug)]
pub enum Sight {
    /// Every one, by its name in lower case.
    Of(BTreeMap<String, Listed>),
    /// The operator may not look, or the vault's firewall does not let this machine in.
    Denied,
    /// The vault is gone.
    Gone,
}

/// Longest that a list of secrets takes where nothing is wrong.
const LIST_TAKES: std::time::Duration = std::time::Duration::from_secs(3);

impl Azure {
    /// Signs in and finds out who that is.
    ///
    /// # Errors
    /// When no token can be had, it is of another tenant, or the environment rules every connection out.
    pub async fn connect(config: &Config, environment: &Environment, wishes: Wishes) -> Result<Self> {
        let transport = Arc::new(Transport::new(environment, TIMEOUTS).context("no connection to Azure can be made")?);
        let authority = Authority::new(environment, Cloud::Public)?;
        let settings =
            identity::Settings { tenant_id: Some(config.tenant.to_string()), ..identity::Settings::default() };
        let sign_in = SignIn { transport: Arc::clone(&transport), authority };
        let identity = Identity::new(&settings, environment, sign_in, Arc::new(SystemClock));
        let arm = Arm::new(&identity, &transport, wishes.patience);
        let operator = operator(config, &identity).await?;
        let arena = Arena::new(memory::Settings::default());
        let values = Values::new(arena.clone(), environment.clone(), wishes.input);
        let means = Means { identity, transport, arena, patience: wishes.patience };
        let vault = VaultData::new(vault_url(config)?, &means)?;
        Ok(Self { arm, vault, values, clock: SystemClock, recover: wishes.recover, operator, means })
    }

    /// Looks at the secrets of the vault `id`. A vault that goes meanwhile does not answer, which by itself would pass for
    /// a connection that is lost for a while.
    ///
    /// # Errors
    /// [`DataError`](crate::vault_data::DataError) and [`ArmError`](crate::arm::ArmError).
    pub async fn secrets(&self, id: &ArmId) -> Result<Sight> {
        let data = VaultData::new(url_of(id)?, &self.means)?;
        tokio::select! {
            listed = data.list(Rights::AreWhatTheyAre) => match listed {
                Err(error) if error.is_blindness() => Ok(Sight::Denied),
                listed => Ok(Sight::Of(listed?)),
            },
            gone = self.is_gone(id) => gone.map(|()| Sight::Gone),
        }
    }

    /// The names of the keys in the vault `id`, which Resource Manager lists; none where the operator may not look.
    ///
    /// # Errors
    /// [`ArmError`](crate::arm::ArmError).
    pub async fn keys(&self, id: &ArmId) -> Result<Option<Vec<String>>> {
        let label = Label { kind: "key vault", name: id.name().to_owned() };
        let keys = match self.arm.list(&label, &format!("{id}/keys?api-version={}", vault::API)).await {
            Err(error) if error.status() == Some(403) => return Ok(None),
            keys => keys?,
        };
        Ok(Some(keys.iter().filter_map(|key| Some(key.get("name")?.as_str()?.to_owned())).collect()))
    }

    /// Waits until a vault is gone; the first look is at a time at which a list would long be there.
    async fn is_gone(&self, id: &ArmId) -> Result<()> {
        tokio::time::sleep(LIST_TAKES).await;
        let label = Label { kind: "key vault", name: id.name().to_owned() };
        let path = format!("{id}?api-version={}", vault::API);
        Ok(self.arm.gone(&path, &Call::new(&label, "look for", Method::Get, path.clone())).await?)
    }

    /// The object id of whoever runs this, and what it is.
    #[must_use]
    pub fn operator(&self) -> (Uuid, &'static str) {
        self.operator
    }
}

/// The address of the application's vault.
///
/// # Errors
/// Never for a checked configuration, unless the existing vault has a name that no vault can have.
pub fn vault_url(config: &Config) -> Result<VaultUrl> {
    url_of(&config.id_of(vault::KIND, &config.vault.place))
}

fn url_of(id: &ArmId) -> Result<VaultUrl> {
    Ok(format!("https://{}.{}", id.name(), Cloud::Public.vault_suffix()).parse()?)
}

async fn operator(config: &Config, identity: &Identity) -> Result<(Uuid, &'static str)> {
    let scope = "https://management.azure.com/.default";
    let claims = identity.sign_in(scope).await.map_err(|error| unsigned(error, config.tenant))?.claims;
    if let Some(tenant) = claims.tenant_id
        && tenant != config.tenant
    {
        bail!(
            "the sign-in is to the tenant {tenant}, and the file names {}: sign in there, or correct the file",
            config.tenant
        );
    }
    let kind = if claims.is_user { "User" } else { "ServicePrincipal" };
    let id = config
        .operator
        .principal
        .or(claims.object_id)
        .context("the token does not say whose it is: set principal under [operator]")?;
    Ok((id, config.operator.kind.unwrap_or(kind)))
}

fn unsigned(error: TokenError, tenant: Uuid) -> anyhow::Error {
    use crate::arm::{ArmError, Problem};
    let label = Label { kind: "tenant", name: tenant.to_string() };
    ArmError { label, operation: "sign in to", problem: Box::new(Problem::SignIn(error)) }.into()
}
