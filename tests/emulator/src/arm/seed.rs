//! What a seed file says about Resource Manager: the subscription, who may manage it, and how long work takes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use super::provider;
use crate::role;
use crate::seed::Delay;

/// The subscription of a seed that names none.
const DEFAULT_SUBSCRIPTION: Uuid = Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0001);

/// How long an operation is under way where a seed does not say: long enough to be seen, short for who waits.
const SHORT: Duration = Duration::from_millis(200);

/// The only subscription there is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubscriptionSeed {
    /// Its id.
    pub id: Uuid,
    /// Its display name.
    pub name: String,
    /// The namespaces of the providers that are registered; without, every one.
    pub registered_providers: Option<Vec<String>>,
    /// Who has which role on it, and so on everything in it. Nobody has one by default.
    pub role_assignments: Vec<SubscriptionGrant>,
    /// The resource groups that exist, beside those of its vaults and machines.
    pub resource_groups: Vec<GroupSeed>,
    /// The virtual machines that exist.
    pub virtual_machines: Vec<VirtualMachineSeed>,
    /// The computes that exist once their workspace does.
    pub computes: Vec<ComputeSeed>,
}

impl Default for SubscriptionSeed {
    fn default() -> Self {
        Self {
            id: DEFAULT_SUBSCRIPTION,
            name: "Keyside".into(),
            registered_providers: None,
            role_assignments: Vec::new(),
            resource_groups: Vec::new(),
            virtual_machines: Vec::new(),
            computes: Vec::new(),
        }
    }
}

/// A principal's role on the subscription.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionGrant {
    /// The object id of who has the role.
    pub principal: Uuid,
    /// A built-in role, by name or by id.
    pub role: String,
}

/// A resource group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupSeed {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub location: String,
    /// Its marks.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A virtual machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtualMachineSeed {
    /// Its name.
    pub name: String,
    /// The group that it is in.
    pub resource_group: String,
    /// Where it is.
    pub location: String,
}

/// A cluster or an instance of a machine learning workspace.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComputeSeed {
    /// Its name.
    pub name: String,
    /// The workspace that it belongs to.
    pub workspace: String,
    /// The group that the workspace is in.
    pub resource_group: String,
    /// Where it is.
    pub location: String,
    /// A cluster or an instance.
    #[serde(default)]
    pub kind: ComputeKind,
}

/// The two kinds of compute that jobs run on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComputeKind {
    /// Any number of nodes.
    #[default]
    Cluster,
    /// One node, of one person.
    Instance,
}

/// How long work takes, on the emulator's clock.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArmSeed {
    /// A resource group's deletion.
    pub group_deletion_takes: Option<Delay>,
    /// A new vault's name, until it resolves.
    pub vault_takes: Option<Delay>,
    /// A deleted vault's purge.
    pub vault_purge_takes: Option<Delay>,
    /// A new storage account.
    pub storage_takes: Option<Delay>,
    /// A new Log Analytics workspace.
    pub log_analytics_takes: Option<Delay>,
    /// A new or a changed machine learning workspace.
    pub workspace_takes: Option<Delay>,
    /// A machine learning workspace's deletion.
    pub workspace_deletion_takes: Option<Delay>,
    /// A change of a machine's identity.
    pub machine_takes: Option<Delay>,
    /// A provider's registration.
    pub registration_takes: Option<Delay>,
    /// A new identity, until role assignments can name it. Default: none.
    pub principals_take: Option<Delay>,
    /// A role given or taken through Resource Manager, until it acts. Default: none.
    pub role_changes_take: Option<Delay>,
}

/// How long work takes.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    pub(crate) group_deletion: Duration,
    pub(crate) vault: Duration,
    pub(crate) vault_purge: Duration,
    pub(crate) storage: Duration,
    pub(crate) log_analytics: Duration,
    pub(crate) workspace: Duration,
    pub(crate) workspace_deletion: Duration,
    pub(crate) machine: Duration,
    pub(crate) registration: Duration,
    pub(crate) principals: Duration,
    pub(crate) role_changes: Duration,
}

impl From<&ArmSeed> for Times {
    fn from(seed: &ArmSeed) -> Times {
        let short = |delay: Option<Delay>| delay.map_or(SHORT, Duration::from);
        let none = |delay: Option<Delay>| delay.map_or(Duration::ZERO, Duration::from);
        Times {
            group_deletion: short(seed.group_deletion_takes),
            vault: short(seed.vault_takes),
            vault_purge: short(seed.vault_purge_takes),
            storage: short(seed.storage_takes),
            log_analytics: short(seed.log_analytics_takes),
            workspace: short(seed.workspace_takes),
            workspace_deletion: short(seed.workspace_deletion_takes),
            machine: short(seed.machine_takes),
            registration: short(seed.registration_takes),
            principals: none(seed.principals_take),
            role_changes: none(seed.role_changes_take),
        }
    }
}

impl SubscriptionSeed {
    /// What is wrong with it, one sentence per problem.
    pub(crate) fn problems(&self) -> Vec<String> {
        let roles = self.role_assignments.iter().map(|grant| &grant.role).filter(|role| role::find(role).is_none());
        let providers = self.registered_providers.iter().flatten().filter(|namespace| !provider::exists(namespace));
        let roles = roles.map(|role| format!("subscription: no built-in role is called \"{role}\""));
        let providers = providers.map(|namespace| format!("subscription: no provider is called \"{namespace}\""));
        roles.chain(providers).collect()
    }
}
