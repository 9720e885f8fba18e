//! Key Vaults: their secrets, who may use them, and from where.

mod access;
mod api_version;
mod backup;
mod body;
mod bundle;
mod contents;
mod control;
mod conversion;
mod data_plane;
mod name;
mod network;
mod operation;
mod page;
mod perform;
mod refusal;
mod secret;
pub mod seed;
mod throttle;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

pub use self::network::{DefaultAction, Network, Range, Switch};
pub use self::operation::Permission;
pub use self::secret::{Attributes, Draft, SecretText};

pub(crate) use self::access::{AccessPolicy, Authorization, milliseconds_after};
pub(crate) use self::contents::{Contents, Lifecycle};
pub(crate) use self::control::{Control, Stamp};
pub(crate) use self::data_plane::{Surroundings, VaultRequest};
pub(crate) use self::name::is_vault_name;

use self::refusal::Refusal;
use self::secret::Change;
use self::throttle::Throttle;
use crate::role::{self, RoleAssignment, RoleAssignments};

/// One vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Vault {
    pub(crate) name: String,
    pub(crate) subscription: Uuid,
    pub(crate) resource_group: String,
    pub(crate) location: String,
    pub(crate) authorization: Authorization,
    pub(crate) network: Network,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) role_changes_take: Duration,
    pub(crate) throttle: Option<Throttle>,
    pub(crate) contents: Contents,
    pub(crate) control: Control,
}

/// Why an administrator's change to a vault was not made.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// No vault has that name.
    #[error("no vault is called \"{0}\"")]
    NoSuchVault(String),
    /// The name breaks Azure's rules.
    #[error("\"{0}\" is no name of a secret: 1 to 127 letters, digits and hyphens")]
    Name(String),
    /// The service itself would refuse it, in these words.
    #[error("{0}")]
    Refused(String),
    /// No built-in role has that name or id.
    #[error("no built-in role is called \"{0}\"")]
    NoSuchRole(String),
    /// The vault decides by access policies, and knows no role assignments.
    #[error("vault \"{0}\" decides by access policies, not by roles")]
    NotByRoles(String),
    /// There is nothing to take away.
    #[error("there is no such role assignment on vault \"{0}\"")]
    NoSuchAssignment(String),
}

impl From<Refusal> for ChangeError {
    fn from(refusal: Refusal) -> ChangeError {
        ChangeError::Refused(refusal.message().to_string())
    }
}

/// A principal's role on a vault, or on one of its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleGrant {
    /// The object id of who has the role.
    pub principal: Uuid,
    /// A built-in role, by name or by id.
    pub role: String,
    /// The only secret that it reaches; the whole vault where none is named.
    #[serde(default)]
    pub secret: Option<String>,
}

impl Vault {
    /// Its resource id.
    pub(crate) fn resource_id(&self) -> String {
        let Vault { name, subscription, resource_group, .. } = self;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/Microsoft.KeyVault/vaults/{name}"
        )
    }

    fn url(&self) -> String {
        format!("https://{}.vault.azure.net", self.name.to_ascii_lowercase())
    }

    fn scope(&self, secret: Option<&str>) -> String {
        match secret {
            None => self.resource_id(),
            Some(secret) => format!("{}/secrets/{secret}", self.resource_id()),
        }
    }

    /// The assignment that `grant` describes; it acts from `acts_from`.
    fn assignment(&self, grant: &RoleGrant, acts_from: i64) -> Result<RoleAssignment, ChangeError> {
        let role = role::find(&grant.role).ok_or_else(|| ChangeError::NoSuchRole(grant.role.clone()))?;
        match self.authorization {
            Authorization::Rbac => {
                Ok(RoleAssignment::given(grant.principal, role, self.scope(grant.secret.as_deref()), acts_from))
            }
            Authorization::AccessPolicies(_) => Err(ChangeError::NotByRoles(self.name.clone())),
        }
    }
}

/// Every vault of the emulator. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Vaults {
    // A std Mutex, because no section that holds it waits for anything.
    by_name: Arc<Mutex<BTreeMap<String, Vault>>>,
    assignments: RoleAssignments,
    /// The vault that answers where an address names none.
    first: Option<String>,
}

impl Vaults {
    pub(crate) fn new(vaults: Vec<Vault>, assignments: RoleAssignments) -> Vaults {
        let first = vaults.first().map(|vault| vault.name.to_ascii_lowercase());
        let by_name = vaults.into_iter().map(|vault| (vault.name.to_ascii_lowercase(), vault)).collect();
        Vaults { by_name: Arc::new(Mutex::new(by_name)), assignments, first }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vault>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of every vault, for the state file: the first one first.
    pub(crate) fn snapshot(&self) -> Vec<Vault> {
        let mut vaults: Vec<Vault> = self.lock().values().cloned().collect();
        vaults.sort_by_key(|vault| Some(vault.name.to_ascii_lowercase()) != self.first);
        vaults
    }

    /// Whether a vault is called `name`, in any case.
    #[must_use]
    pub fn exists(&self, name: &str) -> bool {
        self.lock().contains_key(&name.to_ascii_lowercase())
    }

    /// Whether the name of a vault resolves at `now`: a new one's takes a while.
    pub(crate) fn resolves(&self, name: &str, now: Timestamp) -> bool {
        let vaults = self.lock();
        let found = vaults.get(&name.to_ascii_lowercase());
        found.is_some_and(|vault| vault.control.resolves_from <= now.as_millisecond())
    }

    /// Looks at a vault, or changes it, on behalf of Resource Manager.
    pub(crate) fn with<T>(&self, name: &str, act: impl FnOnce(&mut Vault) -> T) -> Option<T> {
        self.lock().get_mut(&name.to_ascii_lowercase()).map(act)
    }

    /// Adds a vault, whose name must be free.
    pub(crate) fn insert(&self, vault: Vault) {
        self.lock().insert(vault.name.to_ascii_lowercase(), vault);
    }

    /// Takes a vault away.
    pub(crate) fn take(&self, name: &str) -> Option<Vault> {
        self.lock().remove(&name.to_ascii_lowercase())
    }

    /// The vault that answers where an address names none: the first of the seed.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// Answers a request of the data plane; none where no vault has that name.
    pub(crate) fn answer(
        &self,
        vault: &str,
        request: &VaultRequest<'_>,
        surroundings: &Surroundings<'_>,
    ) -> Option<hyper::Response<Vec<u8>>> {
        let mut vaults = self.lock();
        let vault = vaults.get_mut(&vault.to_ascii_lowercase())?;
        vault.contents.sweep(surroundings.now);
        Some(vault.answer(request, surroundings, &self.assignments))
    }

    /// Changes a vault on an administrator's behalf: no token, no firewall.
    fn change<T>(
        &self,
        vault: &str,
        change: impl FnOnce(&mut Vault) -> Result<T, ChangeError>,
    ) -> Result<T, ChangeError> {
        let mut vaults = self.lock();
        let found = vaults.get_mut(&vault.to_ascii_lowercase());
        change(found.ok_or_else(|| ChangeError::NoSuchVault(vault.to_string()))?)
    }

    /// Writes a new version of a secret and tells its id.
    ///
    /// # Errors
    /// `NoSuchVault`, `Name`, and `Refused` where the service itself would: a deleted name, a certificate's secret.
    pub fn set_secret(&self, vault: &str, name: &str, draft: Draft, now: Timestamp) -> Result<String, ChangeError> {
        self.change(vault, |vault| {
            if !name::is_secret_name(name) {
                return Err(ChangeError::Name(name.to_string()));
            }
            Ok(vault.contents.set(name, draft, now)?.latest().id.clone())
        })
    }

    /// Enables or disables the latest version of a secret.
    ///
    /// # Errors
    /// `NoSuchVault`, and `Refused` where there is no such secret.
    pub fn enable_secret(&self, vault: &str, name: &str, enabled: bool, now: Timestamp) -> Result<(), ChangeError> {
        let attributes = Attributes { enabled: Some(enabled), ..Attributes::default() };
        let change = Change { attributes, ..Change::default() };
        self.change(vault, |vault| Ok(vault.contents.update(name, None, change, now).map(|_| ())?))
    }

    /// Deletes a secret; it stays recoverable as its vault says.
    ///
    /// # Errors
    /// `NoSuchVault`, and `Refused` where there is no such secret.
    pub fn delete_secret(&self, vault: &str, name: &str, now: Timestamp) -> Result<(), ChangeError> {
        self.change(vault, |vault| Ok(vault.contents.delete(name, &vault.lifecycle, now).map(|_| ())?))
    }

    /// Gives a principal a role. It acts after the vault's propagation delay.
    ///
    /// # Errors
    /// `NoSuchVault`, `NoSuchRole`, and `NotByRoles` for a vault with access policies.
    pub fn grant_role(&self, vault: &str, grant: &RoleGrant, now: Timestamp) -> Result<(), ChangeError> {
        self.change(vault, |vault| {
            self.assignments.add(vault.assignment(grant, milliseconds_after(now, vault.role_changes_take))?);
            Ok(())
        })
    }

    /// Takes a role from a principal. It acts on until the vault's propagation delay has passed.
    ///
    /// # Errors
    /// `NoSuchVault`, `NoSuchRole`, `NotByRoles`, and `NoSuchAssignment` where the principal has no such role.
    pub fn revoke_role(&self, vault: &str, grant: &RoleGrant, now: Timestamp) -> Result<(), ChangeError> {
        self.change(vault, |vault| {
            let acts_until = milliseconds_after(now, vault.role_changes_take);
            let RoleAssignment { principal, role, scope, .. } = vault.assignment(grant, acts_until)?;
            let same = |one: &RoleAssignment| {
                one.principal == principal && one.role == role && one.scope.eq_ignore_ascii_case(&scope)
            };
            let removed = self.assignments.remove(same, acts_until);
            removed.map(|_| ()).ok_or_else(|| ChangeError::NoSuchAssignment(vault.name.clone()))
        })
    }

    /// Replaces a vault's firewall.
    ///
    /// # Errors
    /// `NoSuchVault`.
    pub fn set_network(&self, vault: &str, network: Network) -> Result<(), ChangeError> {
        self.change(vault, |vault| {
            vault.network = network;
            Ok(())
        })
    }
}
