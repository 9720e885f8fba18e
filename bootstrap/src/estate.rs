//! From the configuration to the items of a plan, and which of them must be there before which.

use std::sync::Arc;

use crate::config::{Access, Authorization, Config, Place, Principal, RunsOn, Workspace};
use crate::id::ArmId;
use crate::item::{Item, Node};
use crate::resources::attachment::{Attachment, Machine};
use crate::resources::firewall::Exception;
use crate::resources::group::Group;
use crate::resources::policy::Policy;
use crate::resources::provider::Provider;
use crate::resources::role::Assignment;
use crate::resources::secret::Seed;
use crate::resources::sibling::Sibling;
use crate::resources::vault::{self, Vault};
use crate::resources::{diagnostics, estate, federation, identity, insights, logs, storage, workspace};
use crate::roles::Role;

/// The items of an estate, each after those that it needs.
#[must_use]
pub fn nodes(config: &Config) -> Vec<Node> {
    let mut estate = Estate { config, nodes: Vec::new() };
    let ground = estate.ground();
    let vault = estate.add(Vault::of_application(config), &[ground.group, ground.vaults]);
    let logs = config.logs.as_ref().map(|logs| {
        let provider = estate.provider("Microsoft.OperationalInsights");
        (logs, estate.add(logs::declare(config, logs), &[ground.group, provider]))
    });
    let workspace = config.workspace.as_ref().zip(logs).map(|(workspace, (logs_table, logs))| {
        let insights = estate.provider("Microsoft.Insights");
        let insights = estate.add(insights::declare(config, workspace, logs_table), &[ground.group, insights, logs]);
        estate.workspace(workspace, (ground, vault, insights))
    });
    let identity = estate.identity(ground.group);
    if let Some(identity) = identity {
        let after: Vec<_> = std::iter::once(identity).chain(workspace).collect();
        estate.attachment(&after);
    }
    let mut rights = Vec::new();
    for access in &config.access {
        let holder = match access.principal {
            Principal::Agent => identity,
            Principal::Workspace => workspace,
            Principal::Operator | Principal::Object(..) => None,
        };
        estate.right(access, vault, holder, &mut rights);
    }
    if let Some((logs_table, logs)) = logs.filter(|_| config.diagnostics) {
        estate.add(Sibling(diagnostics::declare(config, logs_table)), &[vault, logs]);
    }
    estate.secrets(vault);
    estate.nodes
}

/// What everything stands on.
#[derive(Clone, Copy)]
struct Ground {
    group: usize,
    vaults: usize,
}

struct Estate<'a> {
    config: &'a Config,
    nodes: Vec<Node>,
}

impl Estate<'_> {
    fn add(&mut self, item: impl Item + 'static, after: &[usize]) -> usize {
        self.nodes.push(Node { item: Arc::new(item), after: after.to_vec() });
        self.nodes.len() - 1
    }

    fn provider(&mut self, namespace: &'static str) -> usize {
        self.add(Provider::new(self.config.subscription, namespace), &[])
    }

    fn ground(&mut self) -> Ground {
        Ground { vaults: self.provider("Microsoft.KeyVault"), group: self.add(Group::new(self.config), &[]) }
    }

    /// The workspace, what it is linked to, and the rights that it needs there.
    fn workspace(&mut self, wanted: &Workspace, (ground, vault, insights): (Ground, usize, usize)) -> usize {
        let storage_provider = self.provider("Microsoft.Storage");
        let storage = self.add(storage::declare(self.config, wanted), &[ground.group, storage_provider]);
        let own_vault = wanted.own_vault.as_ref().map(|name| {
            let own = Vault::of_workspace(self.config, name);
            self.add(own, &[ground.group, ground.vaults])
        });
        let linked = own_vault.unwrap_or(vault);
        let provider = self.provider("Microsoft.MachineLearningServices");
        let declaration = workspace::declare(self.config, wanted);
        let place = self.add(declaration, &[ground.group, provider, linked, storage, insights]);
        // With access policies the service writes one for itself.
        if own_vault.is_some() || self.config.vault.authorization == Authorization::Rbac {
            let id = workspace::vault_id(self.config, wanted);
            self.role(Principal::Workspace, Role::CONTRIBUTOR, &id, &[place]);
            self.role(Principal::Workspace, Role::VAULT_ADMINISTRATOR, &id, &[place]);
        }
        let id = self.config.id_of(storage::KIND, &wanted.storage);
        self.role(Principal::Workspace, Role::CONTRIBUTOR, &id, &[place]);
        self.role(Principal::Workspace, Role::BLOB_CONTRIBUTOR, &id, &[place]);
        place
    }

    fn identity(&mut self, group: usize) -> Option<usize> {
        let wanted = self.config.agent_identity.as_ref()?;
        let after = match wanted.place {
            Place::Named(_) => vec![group, self.provider("Microsoft.ManagedIdentity")],
            Place::Existing(_) => Vec::new(),
        };
        let place = self.add(identity::declare(self.config, wanted), &after);
        if let Some(account) = &wanted.kubernetes {
            self.add(Sibling(federation::declare(self.config, wanted, account)), &[place]);
        }
        Some(place)
    }

    /// The identity on the machine that the agent runs on, where the file names one.
    fn attachment(&mut self, after: &[usize]) {
        let config = self.config;
        let (Some(wanted), Some(name)) = (&config.agent_identity, &config.agent.compute) else { return };
        let workspace =
            config.workspace.as_ref().map(|wanted| config.group_id().resource(workspace::KIND, &wanted.name));
        let found = match (config.agent.runs_on, workspace) {
            (RunsOn::VirtualMachine, _) => {
                let id = name.parse().unwrap_or(config.group_id().resource("Microsoft.Compute/virtualMachines", name));
                Some((Machine::Virtual, id))
            }
            (RunsOn::ComputeCluster, Some(workspace)) => {
                Some((Machine::Compute("amlcompute"), workspace.child("computes", name)))
            }
            (RunsOn::ComputeInstance, Some(workspace)) => {
                Some((Machine::Compute("computeinstance"), workspace.child("computes", name)))
            }
            _ => None,
        };
        if let Some((kind, machine)) = found {
            let identity = config.id_of(identity::KIND, &wanted.place);
            self.add(Attachment { machine, kind, identity, estate: estate(config) }, after);
        }
    }

    fn role(&mut self, principal: Principal, role: Role, scope: &ArmId, after: &[usize]) -> usize {
        let subscription = self.config.subscription;
        self.add(Assignment { principal, role, scope: scope.clone(), subscription, estate: estate(self.config) }, after)
    }

    /// A right on the application's vault. Policies are written one after the other, for Azure keeps them in one list.
    fn right(&mut self, access: &Access, vault: usize, holder: Option<usize>, policies: &mut Vec<usize>) {
        let id = self.config.id_of(vault::KIND, &self.config.vault.place);
        let mut after: Vec<_> = std::iter::once(vault).chain(holder).collect();
        if self.config.vault.authorization == Authorization::AccessPolicies {
            after.extend(policies.last());
            let permissions = access.role.secret_permissions().unwrap_or_default();
            let principal = access.principal.clone();
            let (tenant, estate) = (self.config.tenant, estate(self.config));
            policies.push(self.add(Policy { principal, permissions, vault: id, tenant, estate }, &after));
            return;
        }
        if access.secrets.is_empty() {
            self.role(access.principal.clone(), access.role, &id, &after);
        }
        for name in &access.secrets {
            self.role(access.principal.clone(), access.role, &id.child("secrets", name.as_str()), &after);
        }
    }

    /// First secrets, and what whoever seeds them needs for that.
    fn secrets(&mut self, vault: usize) {
        if self.config.secrets.is_empty() {
            return;
        }
        let mut rights = Vec::new();
        let access = Access { principal: Principal::Operator, role: Role::SECRETS_OFFICER, secrets: Vec::new() };
        let before = self.nodes.len();
        self.right(&access, vault, None, &mut rights);
        let mut after: Vec<_> = std::iter::once(vault).chain(before..self.nodes.len()).collect();
        if let Some(address) = &self.config.operator.address {
            let id = self.config.id_of(vault::KIND, &self.config.vault.place);
            after.push(self.add(Exception { vault: id, address: address.clone() }, &[vault]));
        }
        for secret in &self.config.secrets {
            let seed = Seed {
                vault: self.config.id_of(vault::KIND, &self.config.vault.place),
                name: secret.name.clone(),
                content_type: secret.content_type.clone(),
                expires_in: secret.expires_in,
                source: secret.source.clone(),
                estate: estate(self.config),
            };
            self.add(seed, &after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::config;

    fn labels(more: &str) -> (Vec<String>, Vec<Node>) {
        let nodes = nodes(&config(more));
        (nodes.iter().map(|node| node.item.label().to_string()).collect(), nodes)
    }

    #[test]
    fn nothing_comes_before_what_it_needs() {
        let (labels, nodes) = labels(
            "[workspace]\n[agent_identity]\n[diagnostics]\n[[secret]]\nname = 'db'\ngenerate = {}\n[operator]\naddress = '1.2.3.4'",
        );
        for (place, node) in nodes.iter().enumerate() {
            assert!(node.after.iter().all(|before| *before < place), "{}", labels[place]);
        }
        let needs = |label: &str| -> Vec<&str> {
            let place = labels.iter().position(|other| other.starts_with(label)).expect(label);
            nodes[place].after.iter().map(|before| labels[*before].as_str()).collect()
        };
        assert!(needs("machine learning workspace").contains(&"application insights ml-insights"));
        assert!(needs("application insights").contains(&"log analytics workspace ml-logs"));
        assert!(
            needs("role assignment Key Vault Secrets User for the agent").contains(&"user-assigned identity ml-agent")
        );
        let secret = needs("secret db");
        assert!(secret.contains(&"role assignment Key Vault Secrets Officer for the operator on kv1"), "{secret:?}");
        assert!(secret.contains(&"firewall exception 1.2.3.4 on kv1"), "{secret:?}");
        assert!(needs("diagnostic setting").contains(&"key vault kv1"));
    }

    #[test]
    fn a_vault_alone_needs_only_its_group_and_provider() {
        let (labels, _) = labels("");
        assert_eq!(labels, ["provider registration Microsoft.KeyVault", "resource group ml-rg", "key vault kv1"]);
    }

    #[test]
    fn a_workspace_that_shares_the_vault_has_its_rights_there() {
        let (shared, _) = labels("[workspace]\nvault = 'application'");
        assert!(
            shared.contains(&"role assignment Key Vault Administrator for the workspace on kv1".to_owned()),
            "{shared:#?}"
        );
        assert_eq!(shared.iter().filter(|label| label.starts_with("key vault")).count(), 1);
        let (own, _) = labels("[workspace]");
        assert_eq!(own.iter().filter(|label| label.starts_with("key vault")).count(), 2);
    }

    #[test]
    fn with_access_policies_rights_become_policies_one_after_the_other() {
        let more = "authorization = 'access-policies'\n[agent_identity]\n[[secret]]\nname = 'db'\ngenerate = {}\n[[access]]\n\
                    principal = 'operator'\nrole = 'Key Vault Reader'";
        let (labels, nodes) = labels(more);
        let policies: Vec<_> = (0..labels.len()).filter(|place| labels[*place].starts_with("access policy")).collect();
        assert_eq!(policies.len(), 3, "{labels:#?}");
        assert!(nodes[policies[1]].after.contains(&policies[0]));
        assert!(!labels.iter().any(|label| label.starts_with("role assignment")), "{labels:#?}");
    }
}
