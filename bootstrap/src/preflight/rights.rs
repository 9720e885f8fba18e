//! The rights that an apply needs, each with the place where it needs it; and whether permissions grant one.

use serde_json::Value;

use crate::config::{Authorization, Config, Place, RunsOn};
use crate::id::ArmId;
use crate::resources::{identity, storage, vault};

/// Where a right is needed. What is made by the apply itself is not there yet: the group stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Group,
    Vault,
    Storage,
    Identity,
    Machine,
}

/// A right that an apply needs under some condition.
struct Need {
    action: &'static str,
    on: On,
    /// The condition in words.
    when: &'static str,
    is_wanted: fn(&Config) -> bool,
}

const fn need(action: &'static str, on: On, when: &'static str, is_wanted: fn(&Config) -> bool) -> Need {
    Need { action, on, when, is_wanted }
}

/// What an apply does, as Azure names the rights to it. The registration of providers is asked for by itself.
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations>.
const NEEDS: [Need; 17] = [
    need("Microsoft.Resources/subscriptions/resourceGroups/write", On::Group, "always", |_| true),
    need(
        "Microsoft.KeyVault/vaults/write",
        On::Group,
        "[vault] has no id, or the workspace a vault of its own",
        |config| is_made(&config.vault.place) || has_own_vault(config),
    ),
    need("Microsoft.KeyVault/vaults/write", On::Vault, "[operator] address is let in for a [[secret]]", |config| {
        config.operator.address.is_some() && !config.secrets.is_empty()
    }),
    need(
        "Microsoft.KeyVault/vaults/accessPolicies/write",
        On::Vault,
        "somebody gets a right, with authorization = \"access-policies\"",
        |config| config.vault.authorization == Authorization::AccessPolicies && somebody_gets_a_right(config),
    ),
    need("Microsoft.Storage/storageAccounts/write", On::Group, "[workspace], and [storage] has no id", |config| {
        config.workspace.as_ref().is_some_and(|workspace| is_made(&workspace.storage))
    }),
    need(
        "Microsoft.OperationalInsights/workspaces/write",
        On::Group,
        "[workspace] or [diagnostics], and [log_analytics] has no id",
        |config| config.logs.as_ref().is_some_and(|logs| is_made(&logs.place)),
    ),
    need(
        "Microsoft.Insights/components/write",
        On::Group,
        "[workspace], and [application_insights] has no id",
        |config| config.workspace.as_ref().is_some_and(|workspace| is_made(&workspace.insights)),
    ),
    need("Microsoft.MachineLearningServices/workspaces/write", On::Group, "[workspace]", |config| {
        config.workspace.is_some()
    }),
    need(
        "Microsoft.MachineLearningServices/workspaces/computes/write",
        On::Group,
        "compute names a cluster or an instance",
        |config| is_attached(config, &[RunsOn::ComputeCluster, RunsOn::ComputeInstance]),
    ),
    need("Microsoft.Compute/virtualMachines/write", On::Machine, "compute names a virtual machine", |config| {
        is_attached(config, &[RunsOn::VirtualMachine])
    }),
    need(
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
        On::Identity,
        "compute names anything",
        |config| is_attached(config, &[RunsOn::VirtualMachine, RunsOn::ComputeCluster, RunsOn::ComputeInstance]),
    ),
    need("Microsoft.ManagedIdentity/userAssignedIdentities/write", On::Group, "[agent_identity] has no id", |config| {
        config.agent_identity.as_ref().is_some_and(|identity| is_made(&identity.place))
    }),
    need(
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
        On::Identity,
        "[agent_identity] has kubernetes",
        |config| config.agent_identity.as_ref().is_some_and(|identity| identity.kubernetes.is_some()),
    ),
    need("Microsoft.Insights/diagnosticSettings/write", On::Vault, "[diagnostics]", |config| config.diagnostics),
    need(
        "Microsoft.Authorization/roleAssignments/write",
        On::Vault,
        "somebody gets a right, or the workspace shares the vault",
        |config| {
            let shared = config.workspace.is_some() && !has_own_vault(config);
            config.vault.authorization == Authorization::Rbac && (somebody_gets_a_right(config) || shared)
        },
    ),
    need(
        "Microsoft.Authorization/roleAssignments/write",
        On::Group,
        "the workspace has a vault of its own",
        has_own_vault,
    ),
    need("Microsoft.Authorization/roleAssignments/write", On::Storage, "[workspace]", |config| {
        config.workspace.is_some()
    }),
];

fn is_made(place: &Place) -> bool {
    matches!(place, Place::Named(_))
}

fn has_own_vault(config: &Config) -> bool {
    config.workspace.as_ref().is_some_and(|workspace| workspace.own_vault.is_some())
}

/// Whoever seeds secrets gets one, too.
fn somebody_gets_a_right(config: &Config) -> bool {
    !config.access.is_empty() || !config.secrets.is_empty()
}

fn is_attached(config: &Config, machines: &[RunsOn]) -> bool {
    config.agent.compute.is_some() && machines.contains(&config.agent.runs_on)
}

impl On {
    fn scope(self, config: &Config) -> ArmId {
        let existing = |kind: &str, place: &Place| match place {
            Place::Named(_) => config.group_id(),
            Place::Existing(_) => config.id_of(kind, place),
        };
        match self {
            Self::Group => config.group_id(),
            Self::Vault => existing(vault::KIND, &config.vault.place),
            Self::Storage => config
                .workspace
                .as_ref()
                .map_or_else(|| config.group_id(), |workspace| existing(storage::KIND, &workspace.storage)),
            Self::Identity => config
                .agent_identity
                .as_ref()
                .map_or_else(|| config.group_id(), |identity| existing(identity::KIND, &identity.place)),
            // A name is that of a machine in the group, an id of one anywhere.
            Self::Machine => {
                config.agent.compute.as_ref().and_then(|name| name.parse().ok()).unwrap_or_else(|| config.group_id())
            }
        }
    }
}

/// A right that an apply needs.
#[derive(Debug)]
pub(super) struct Needed {
    pub(super) action: &'static str,
    pub(super) scope: ArmId,
    pub(super) when: &'static str,
}

/// The rights that an apply of `config` needs, each once for each place.
pub(super) fn needed(config: &Config) -> Vec<Needed> {
    let mut all: Vec<Needed> = Vec::new();
    for need in NEEDS.iter().filter(|need| (need.is_wanted)(config)) {
        let Need { action, on, when, .. } = need;
        let scope = on.scope(config);
        if !all.iter().any(|other| other.action == *action && other.scope == scope) {
            all.push(Needed { action, scope, when });
        }
    }
    all
}

/// Whether one of the permissions grants `action` without taking it back.
/// Source: <https://learn.microsoft.com/azure/role-based-access-control/role-definitions>.
pub(super) fn permits(permissions: &[Value], action: &str) -> bool {
    let lists = |permission: &Value, member: &str| {
        let patterns = permission.get(member).and_then(Value::as_array);
        patterns.into_iter().flatten().filter_map(Value::as_str).any(|pattern| matches(pattern, action))
    };
    permissions.iter().any(|permission| lists(permission, "actions") && !lists(permission, "notActions"))
}

/// Whether `pattern`, in which `*` stands for anything, covers `action`, whatever the case.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = action.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const VAULT: &str =
        "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/p/providers/Microsoft.KeyVault/vaults/kv";
    const MACHINE: &str = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/p/providers/Microsoft.Compute/virtualMachines/vm";

    fn needed_by(more: &str) -> Vec<String> {
        let text = format!(
            "subscription = '00000000-0000-4000-8000-000000000001'\ntenant = '00000000-0000-4000-8000-000000000002'\n\
             location = 'westeurope'\nprefix = 'ml'\n[vault]\n{more}\n"
        );
        let needed = needed(&Config::parse(&text, 0).expect("it fits"));
        needed.iter().map(|one| format!("{} on {}", one.action, one.scope.name())).collect()
    }

    #[test]
    fn just_what_an_estate_needs_is_asked_for_where_it_needs_it() {
        let named = needed_by("");
        let group = "Microsoft.Resources/subscriptions/resourceGroups/write on ml-rg";
        assert_eq!(named, [group, "Microsoft.KeyVault/vaults/write on ml-rg"]);
        assert_eq!(needed_by(&format!("id = '{VAULT}'")), [group], "a vault that is only read takes no right to write");
        let existing = needed_by(&format!(
            "id = '{VAULT}'\n[agent_identity]\nkubernetes = {{ issuer = 'https://a.b/', namespace = 'a', service_account = 'b' }}\n\
             [diagnostics]\n[agent]\nruns_on = 'virtual-machine'\ncompute = '{MACHINE}'\n[operator]\naddress = '1.2.3.4'\n\
             [[secret]]\nname = 'db'\ngenerate = {{}}"
        ));
        let expected = [
            group,
            "Microsoft.KeyVault/vaults/write on kv",
            "Microsoft.OperationalInsights/workspaces/write on ml-rg",
            "Microsoft.Compute/virtualMachines/write on vm",
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action on ml-rg",
            "Microsoft.ManagedIdentity/userAssignedIdentities/write on ml-rg",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write on ml-rg",
            "Microsoft.Insights/diagnosticSettings/write on kv",
            "Microsoft.Authorization/roleAssignments/write on kv",
        ];
        assert_eq!(existing, expected);
        let policies = needed_by("authorization = 'access-policies'\n[[secret]]\nname = 'db'\ngenerate = {}");
        assert!(
            policies.contains(&"Microsoft.KeyVault/vaults/accessPolicies/write on ml-rg".to_owned()),
            "{policies:?}"
        );
        assert!(!policies.iter().any(|right| right.contains("roleAssignments")), "{policies:?}");
        let cluster = needed_by("[workspace]\n[agent_identity]\n[agent]\nruns_on = 'compute-cluster'\ncompute = 'cpu'");
        assert!(cluster.iter().any(|right| right.contains("workspaces/computes/write")), "{cluster:?}");
        assert_eq!(cluster.iter().filter(|right| right.contains("roleAssignments")).count(), 1, "{cluster:?}");
    }

    #[test]
    fn the_guide_lists_the_same_rights() {
        let words = |on: On| match on {
            On::Group => "the resource group",
            On::Vault => "the vault",
            On::Storage => "the storage account",
            On::Identity => "the identity",
            On::Machine => "the virtual machine",
        };
        let rows = NEEDS.iter().map(|need| format!("| {} | {} | {} |", need.action, words(need.on), need.when));
        let rows: Vec<_> = rows.collect();
        let guide = include_str!("../../../docs/bootstrap.md");
        let listed = guide.lines().filter(|line| line.starts_with("| `Microsoft.")).map(|line| line.replace('`', ""));
        let listed: Vec<_> = listed.collect();
        assert_eq!(listed, rows, "{}", rows.join("\n"));
    }

    #[test]
    fn a_star_stands_for_anything_and_case_does_not_count() {
        let rows = [
            ("*", "Microsoft.KeyVault/vaults/write", true),
            ("*/write", "Microsoft.KeyVault/vaults/write", true),
            ("*/read", "Microsoft.KeyVault/vaults/write", false),
            ("microsoft.keyvault/*", "Microsoft.KeyVault/vaults/write", true),
            ("Microsoft.KeyVault/*/write", "Microsoft.KeyVault/vaults/write", true),
            ("Microsoft.KeyVault/vaults/write", "Microsoft.KeyVault/vaults/write", true),
            ("Microsoft.KeyVault/vaults", "Microsoft.KeyVault/vaults/write", false),
        ];
        for (pattern, action, expected) in rows {
            assert_eq!(matches(pattern, action), expected, "{pattern}");
        }
    }

    #[test]
    fn a_contributor_cannot_assign_roles_and_an_owner_can() {
        let contributor = [json!({"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]})];
        let owner = [json!({"actions": ["*"], "notActions": []})];
        let action = "Microsoft.Authorization/roleAssignments/write";
        assert!(!permits(&contributor, action) && permits(&owner, action));
        assert!(permits(&contributor, "Microsoft.KeyVault/vaults/write"));
        assert!(!permits(&[], action));
    }
}
