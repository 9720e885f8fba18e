//! What a seed file says about vaults.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::access::{AccessPolicy, Authorization};
use super::contents::{Contents, Lifecycle};
use super::control::Control;
use super::name::{is_secret_name, is_vault_name};
use super::network::Network;
use super::operation::Permission;
use super::secret::{Attributes, Draft, SecretText};
use super::throttle::Throttle;
use super::{RoleGrant, Vault};
use crate::role::{self, RoleAssignments};
use crate::seed::Delay;

/// What Azure gives a vault that says nothing else.
const DEFAULT_RETENTION_DAYS: u16 = 90;
/// What Azure allows.
const RETENTION_DAYS: std::ops::RangeInclusive<u16> = 7..=90;
/// Recorded traffic shows one to two seconds for a deletion, two to six for a recovery.
pub(crate) const DEFAULT_DELETE_TAKES: Duration = Duration::from_secs(1);
pub(crate) const DEFAULT_RECOVER_TAKES: Duration = Duration::from_secs(2);

/// A vault, as a seed file declares it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultSeed {
    /// The NAME of `https://NAME.vault.azure.net`.
    pub name: String,
    /// Where it is.
    #[serde(default = "default_location")]
    pub location: String,
    /// The subscription that holds it.
    #[serde(default = "default_subscription")]
    pub subscription: Uuid,
    /// The resource group that holds it.
    #[serde(default = "default_resource_group")]
    pub resource_group: String,
    /// Roles or access policies.
    #[serde(default)]
    pub authorization: AuthorizationKind,
    /// Days for which a deleted secret can be recovered: 7 to 90, or 0 for a vault without soft delete.
    #[serde(default = "default_retention_days")]
    pub soft_delete_days: u16,
    /// Whether nobody can purge.
    #[serde(default)]
    pub purge_protection: bool,
    /// How long a deletion takes.
    pub delete_takes: Option<Delay>,
    /// How long a recovery takes.
    pub recover_takes: Option<Delay>,
    /// How long a changed role assignment takes to act.
    pub role_changes_take: Option<Delay>,
    /// From where it answers.
    #[serde(default)]
    pub firewall: Network,
    /// How many calls it answers.
    pub throttle: Option<ThrottleSeed>,
    /// Who has which role. They act at once.
    #[serde(default)]
    pub role_assignments: Vec<RoleGrant>,
    /// Who has which permissions.
    #[serde(default)]
    pub access_policies: Vec<AccessPolicySeed>,
    /// What it holds.
    #[serde(default)]
    pub secrets: Vec<SecretSeed>,
}

/// How a vault decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorizationKind {
    /// By role assignments.
    #[default]
    Rbac,
    /// By access policies.
    AccessPolicies,
}

/// A limit on calls.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottleSeed {
    /// How many are answered within a window.
    pub calls: u32,
    /// The window.
    pub per: Delay,
}

/// What an access policy grants on secrets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessPolicySeed {
    /// The object id of who has the permissions.
    pub principal: Uuid,
    /// The permissions.
    pub secrets: Vec<Permission>,
}

/// A secret with one version.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSeed {
    /// Its name in the vault.
    pub name: String,
    /// Its value.
    pub value: SecretText,
    /// What kind of value it is.
    pub content_type: Option<String>,
    /// Its marks.
    pub tags: Option<BTreeMap<String, String>>,
    /// Whether it can be read.
    pub enabled: Option<bool>,
    /// From when it is meant to be used, in Unix seconds.
    pub nbf: Option<i64>,
    /// Until when it is meant to be used, in Unix seconds.
    pub exp: Option<i64>,
    /// The id of a certificate's key, where the secret belongs to a certificate.
    pub certificate_key: Option<String>,
}

fn default_location() -> String {
    "westeurope".into()
}

fn default_subscription() -> Uuid {
    Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0001)
}

fn default_resource_group() -> String {
    "keyside".into()
}

fn default_retention_days() -> u16 {
    DEFAULT_RETENTION_DAYS
}

impl SecretSeed {
    fn draft(self) -> Draft {
        let SecretSeed { value, content_type, tags, enabled, nbf, exp, certificate_key, name: _ } = self;
        Draft { value, content_type, tags, attributes: Attributes { enabled, nbf, exp }, certificate_key }
    }
}

impl VaultSeed {
    /// What is wrong with it, one sentence per problem.
    pub(crate) fn problems(&self) -> Vec<String> {
        let name = &self.name;
        let mut problems = Vec::new();
        if !is_vault_name(name) {
            problems.push(format!("vault \"{name}\": a name is 3 to 24 letters, digits and hyphens, a letter first"));
        }
        if self.soft_delete_days != 0 && !RETENTION_DAYS.contains(&self.soft_delete_days) {
            problems.push(format!("vault \"{name}\": soft_delete_days is 7 to 90, or 0 for none"));
        }
        let rbac = self.authorization == AuthorizationKind::Rbac;
        if rbac && !self.access_policies.is_empty() {
            problems.push(format!(
                "vault \"{name}\": access_policies mean nothing unless authorization = \"access-policies\""
            ));
        }
        if !rbac && !self.role_assignments.is_empty() {
            problems.push(format!("vault \"{name}\": role_assignments mean nothing unless authorization = \"rbac\""));
        }
        for grant in &self.role_assignments {
            if role::find(&grant.role).is_none() {
                problems.push(format!("vault \"{name}\": no built-in role is called \"{}\"", grant.role));
            }
        }
        let mut seen = BTreeSet::new();
        for secret in &self.secrets {
            if !is_secret_name(&secret.name) {
                problems.push(format!("vault \"{name}\": \"{}\" is no name of a secret", secret.name));
            }
            if !seen.insert(secret.name.to_ascii_lowercase()) {
                problems.push(format!("vault \"{name}\": secret \"{}\" is declared twice", secret.name));
            }
        }
        problems
    }

    /// The vault as it is at `now`, with its role assignments in `assignments`. Only for a seed without problems.
    pub(crate) fn build(self, assignments: &RoleAssignments, now: Timestamp) -> Vault {
        let policy = |policy: AccessPolicySeed| AccessPolicy { principal: policy.principal, secrets: policy.secrets };
        let mut vault = Vault {
            authorization: match self.authorization {
                AuthorizationKind::Rbac => Authorization::Rbac,
                AuthorizationKind::AccessPolicies => {
                    Authorization::AccessPolicies(self.access_policies.into_iter().map(policy).collect())
                }
            },
            lifecycle: Lifecycle {
                retention_days: Some(self.soft_delete_days).filter(|days| *days != 0),
                purge_protection: self.purge_protection,
                delete_takes: self.delete_takes.map_or(DEFAULT_DELETE_TAKES, Duration::from),
                recover_takes: self.recover_takes.map_or(DEFAULT_RECOVER_TAKES, Duration::from),
            },
            name: self.name,
            subscription: self.subscription,
            resource_group: self.resource_group,
            location: self.location,
            network: self.firewall,
            role_changes_take: self.role_changes_take.map_or(Duration::ZERO, Duration::from),
            throttle: self.throttle.map(|throttle| Throttle::new(throttle.calls, throttle.per.into())),
            contents: Contents::default(),
            control: Control::seeded(now),
        };
        for grant in &self.role_assignments {
            assignments.add(vault.assignment(grant, now.as_millisecond()).expect("roles were checked with the seed"));
        }
        for secret in self.secrets {
            let name = secret.name.clone();
            vault.contents.set(&name, secret.draft(), now).expect("names in an empty vault are free");
        }
        vault
    }
}
