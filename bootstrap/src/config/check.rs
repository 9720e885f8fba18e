//! From the file's shape to the estate: what must fit together, with a line for each thing that does not.

use std::ops::Range;

use keyside::config::Problem;
use keyside::config::document::{Document, Parsed};
use toml::Spanned;
use uuid::Uuid;

use super::shape::{
    AccessTable, AgentTable, DiagnosticsTable, IdentityTable, InsightsTable, LogsTable, NetworkTable, OperatorTable,
    SecretTable, StorageTable, Tags, Top, VaultTable, WorkspaceTable,
};
use super::unused::Places;
use super::{
    Access, AgentIdentity, Authorization, Config, Logs, Network, Operator, Place, Principal, ServiceAccount, Vault,
    Workspace, WorkspaceVault, tags,
};
use crate::id::ArmId;
use crate::names::{self, Prefix, Rule};
use crate::roles::Role;

/// Reads and checks the text of a file.
///
/// # Errors
/// Every problem, in the order of the lines.
pub(super) fn check(text: &str, uid: u32) -> Result<Config, Vec<Problem>> {
    let mut check = Check { document: Document::parse(text) };
    if !check.document.is_toml() {
        return Err(check.document.problems);
    }
    let config = check.config(uid);
    let mut problems = check.document.problems;
    problems.sort_by_key(|problem| problem.line);
    problems.dedup();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

pub(super) struct Check<'a> {
    pub(super) document: Document<'a>,
}

/// Where default names come from: the prefix and the subscription, unless there is something wrong with them.
struct Naming(Option<(Prefix, Uuid)>);

impl Naming {
    /// A default name. It is empty where none can be said, and then no configuration comes of the file.
    fn default(&self, name: impl FnOnce(&Prefix, Uuid) -> String) -> String {
        self.0.as_ref().map(|(prefix, subscription)| name(prefix, *subscription)).unwrap_or_default()
    }
}

/// A name and an id, of which a table may give one.
type NameOrId = (Option<Spanned<String>>, Option<Spanned<Parsed<ArmId>>>);

impl Check<'_> {
    /// Looks at every table even when another one has problems.
    fn config(&mut self, uid: u32) -> Option<Config> {
        let places = Places::of(&self.document);
        let vault = self.document.table::<VaultTable>("vault");
        let workspace = self.document.optional_table::<WorkspaceTable>("workspace");
        let storage = self.document.table::<StorageTable>("storage");
        let insights = self.document.table::<InsightsTable>("application_insights");
        let logs = self.document.table::<LogsTable>("log_analytics");
        let identity = self.document.optional_table::<IdentityTable>("agent_identity");
        let diagnostics = self.document.optional_table::<DiagnosticsTable>("diagnostics").is_some();
        let operator = self.document.table::<OperatorTable>("operator");
        let agent = self.document.table::<AgentTable>("agent");
        let tags = self.document.table::<Tags>("tags");
        let access = self.document.tables::<AccessTable>("access");
        let secrets = self.document.tables::<SecretTable>("secret");
        let top = self.document.rest::<Top>();

        self.unused(&places);
        let secrets = self.secrets(secrets);
        let agent = agent.map(|table| self.agent(table, uid, (&places, &secrets)));
        let tags = tags.map(|tags| tags::checked(&mut self.document, tags));
        let top = top?;
        let subscription = self.required("subscription", top.subscription);
        let tenant = self.required("tenant", top.tenant);
        let location = self.required("location", top.location);
        let prefix = self.required("prefix", top.prefix);
        let naming = Naming(prefix.clone().zip(subscription));
        let vault = vault.map(|table| self.vault(table, &naming));
        let workspace = workspace.zip(storage.zip(insights)).map(|(table, more)| self.workspace(table, more, &naming));
        let logs_wanted = workspace.is_some() || diagnostics;
        let logs = logs.map(|table| self.logs(table, &naming)).filter(|_| logs_wanted);
        let agent_identity = identity.map(|table| self.identity(table, &naming));
        let authorization = vault.as_ref().map_or(Authorization::Rbac, |vault| vault.authorization);
        let access = self.access(access, &places, authorization);
        Some(Config {
            subscription: subscription?,
            tenant: tenant?,
            location: location?.0,
            group: self.name(top.resource_group, Rule::ResourceGroup, &naming),
            prefix: prefix?,
            tags: tags?,
            vault: vault?,
            workspace,
            logs,
            diagnostics,
            agent_identity,
            access,
            secrets,
            operator: operator.map(operator_settings)?,
            agent: agent?,
        })
    }

    fn required<T>(&mut self, key: &str, value: Option<Parsed<T>>) -> Option<T> {
        let top = 0..0;
        if value.is_none() && !self.document.is_left_out(&top, key) {
            self.document
                .report(&top, format!("`{key}` is missing, which has no default: add it above the first table"));
        }
        value.map(|value| value.0)
    }

    fn name(&mut self, name: Option<Spanned<String>>, rule: Rule, naming: &Naming) -> String {
        let Some(name) = name else { return naming.default(|prefix, subscription| prefix.name(rule, subscription)) };
        if let Err(error) = names::check(rule, name.get_ref()) {
            self.document.report(&name.span(), error.to_string());
        }
        name.into_inner()
    }

    fn place(&mut self, (name, id): NameOrId, (rule, kind): (Rule, &str), naming: &Naming) -> Place {
        let Some(id) = id else { return Place::Named(self.name(name, rule, naming)) };
        if name.is_some() {
            self.document.report(&id.span(), "id and name exclude each other: keep one".to_owned());
        }
        let span = id.span();
        let id = id.into_inner().0;
        if !id.is_a(kind) {
            self.document.report(&span, format!("{id} is no {rule}: its id has the type {kind}"));
        }
        Place::Existing(id)
    }

    fn vault(&mut self, table: VaultTable, naming: &Naming) -> Vault {
        if let Some(days) = &table.soft_delete_days
            && !(7..=90).contains(days.get_ref())
        {
            self.document.report(&days.span(), "soft_delete_days is from 7 to 90".to_owned());
        }
        let network = &table.network;
        let rules = network.ip_rules.is_some() || network.subnets.is_some();
        let keys = [
            ("sku", table.sku.is_some()),
            ("soft_delete_days", table.soft_delete_days.is_some()),
            ("purge_protection", table.purge_protection.is_some()),
            (
                "network",
                rules
                    || network.public_access.is_some()
                    || network.default_action.is_some()
                    || network.bypass.is_some(),
            ),
        ];
        self.only_read("vault", table.id.as_ref(), &keys);
        Vault {
            place: self.place((table.name, table.id), (Rule::Vault, "Microsoft.KeyVault/vaults"), naming),
            sku: table.sku.map(|sku| sku.0.0),
            soft_delete_days: table.soft_delete_days.map(Spanned::into_inner),
            purge_protection: table.purge_protection,
            authorization: table.authorization.map_or(Authorization::Rbac, |name| name.0.0),
            network: self.network(table.network),
        }
    }

    fn network(&mut self, table: NetworkTable) -> Network {
        let mut subnet = |text: Spanned<String>| {
            // A subnet is a child of its network, which no other id here is.
            let network = text.get_ref().rsplit_once("/subnets/").map(|(network, _)| network.parse::<ArmId>());
            if let Some(Ok(network)) = network {
                return Some(network.child("subnets", text.get_ref().rsplit('/').next().unwrap_or_default()));
            }
            let remedy = "write /subscriptions/…/virtualNetworks/NAME/subnets/NAME";
            self.document.report(&text.span(), format!("'{}' is no subnet's id: {remedy}", text.get_ref()));
            None
        };
        Network {
            public_access: table.public_access,
            default_action: table.default_action.map(|action| action.0.0),
            bypass: table.bypass.map(|bypass| bypass.0.0),
            subnets: table.subnets.map(|subnets| subnets.into_iter().filter_map(&mut subnet).collect()),
            ip_rules: table.ip_rules.map(|rules| rules.into_iter().map(|rule| rule.into_inner().0.0).collect()),
        }
    }

    fn workspace(
        &mut self,
        table: WorkspaceTable,
        (storage, insights): (StorageTable, InsightsTable),
        naming: &Naming,
    ) -> Workspace {
        let own = table.vault.map_or(WorkspaceVault::Own, |name| name.0.0) == WorkspaceVault::Own;
        if let (false, Some(name)) = (own, &table.vault_name) {
            self.document
                .report(&name.span(), "vault_name is for a vault of its own: write vault = \"own\"".to_owned());
        }
        let vault_name = match table.vault_name {
            Some(name) => self.name(Some(name), Rule::Vault, naming),
            None => naming.default(Prefix::workspace_vault),
        };
        self.only_read("storage", storage.id.as_ref(), &[("sku", storage.sku.is_some())]);
        let storage_kind = (Rule::StorageAccount, "Microsoft.Storage/storageAccounts");
        let insights_kind = (Rule::ApplicationInsights, "Microsoft.Insights/components");
        Workspace {
            name: self.name(table.name, Rule::Workspace, naming),
            friendly_name: table.friendly_name,
            public_access: table.public_access,
            data_isolation: table.data_isolation,
            own_vault: own.then_some(vault_name),
            storage: self.place((storage.name, storage.id), storage_kind, naming),
            storage_sku: storage.sku.map(|sku| sku.0.0),
            insights: self.place((insights.name, insights.id), insights_kind, naming),
        }
    }

    fn logs(&mut self, table: LogsTable, naming: &Naming) -> Logs {
        if let Some(days) = &table.retention_days
            && !(30..=730).contains(days.get_ref())
        {
            self.document.report(&days.span(), "retention_days is from 30 to 730".to_owned());
        }
        self.only_read("log_analytics", table.id.as_ref(), &[("retention_days", table.retention_days.is_some())]);
        let kind = (Rule::LogAnalytics, "Microsoft.OperationalInsights/workspaces");
        Logs {
            place: self.place((table.name, table.id), kind, naming),
            retention_days: table.retention_days.map(Spanned::into_inner),
        }
    }

    fn identity(&mut self, table: IdentityTable, naming: &Naming) -> AgentIdentity {
        let kind = (Rule::Identity, "Microsoft.ManagedIdentity/userAssignedIdentities");
        let kubernetes = table.kubernetes.map(|account| {
            if !account.issuer.get_ref().starts_with("https://") {
                self.document.report(&account.issuer.span(), "the issuer is an https:// URL".to_owned());
            }
            ServiceAccount {
                issuer: account.issuer.into_inner(),
                subject: format!("system:serviceaccount:{}:{}", account.namespace, account.service_account),
            }
        });
        AgentIdentity { place: self.place((table.name, table.id), kind, naming), kubernetes }
    }

    /// The rights that the file names, after the one that the agent has anyway.
    fn access(
        &mut self,
        tables: Vec<(Range<usize>, AccessTable)>,
        places: &Places,
        authorization: Authorization,
    ) -> Vec<Access> {
        let named: Vec<_> =
            tables.into_iter().filter_map(|(_, table)| self.one_access(table, places, authorization)).collect();
        let unnamed = places.has("agent_identity") && !named.iter().any(|access| access.principal == Principal::Agent);
        let default = Access { principal: Principal::Agent, role: Role::SECRETS_USER, secrets: Vec::new() };
        unnamed.then_some(default).into_iter().chain(named).collect()
    }

    fn one_access(&mut self, table: AccessTable, places: &Places, authorization: Authorization) -> Option<Access> {
        let (role, span) = (table.role.get_ref().0, table.principal.span());
        if authorization == Authorization::AccessPolicies {
            if role.secret_permissions().is_none() {
                let message = format!("the role {role} has no counterpart in access policies: use one for secrets");
                self.document.report(&table.role.span(), message);
            }
            if let Some(secrets) = &table.secrets {
                self.document
                    .report(&secrets.span(), "an access policy is for a whole vault: remove secrets".to_owned());
            }
        }
        let principal = match table.principal.get_ref().as_str() {
            "agent" if places.has("agent_identity") => Principal::Agent,
            "agent" => {
                self.document.report(&span, "there is no agent's identity: add the table [agent_identity]".to_owned());
                return None;
            }
            "workspace" if places.has("workspace") => Principal::Workspace,
            "workspace" => {
                self.document.report(&span, "there is no workspace: add the table [workspace]".to_owned());
                return None;
            }
            "operator" => Principal::Operator,
            text => {
                let Ok(id) = Uuid::parse_str(text) else {
                    let remedy = "write agent, workspace, operator, or an object id";
                    self.document.report(&span, format!("'{text}' is no principal: {remedy}"));
                    return None;
                };
                let Some(kind) = table.principal_type else {
                    let remedy = "add principal_type: service-principal, user or group";
                    self.document.report(&span, format!("what {id} is must be said: {remedy}"));
                    return None;
                };
                Principal::Object(id, kind.0.0)
            }
        };
        let secrets = table.secrets.map(Spanned::into_inner).unwrap_or_default();
        Some(Access { principal, role, secrets: secrets.into_iter().map(|name| name.0).collect() })
    }
}

fn operator_settings(table: OperatorTable) -> Operator {
    Operator {
        principal: table.principal.map(|principal| principal.0),
        kind: table.principal_type.map(|kind| kind.0.0),
        address: table.address.map(|address| address.0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_hides_no_other() {
        let text = "subscription = 'x'\nlocation = 'westeurope'\nprefix = 'ml'\n[vault]\nname = 'a--b'\n[vault.network]\n\
                    bypass = 'all'\ndefault_action = 'no'\nsubnets = ['x']\n[workspace]\nname = '!'\ncolour = 'red'\n[storage]\n\
                    name = 'A'\n[agent_identity]\nname = '-'\n[agent_identity.kubernetes]\nissuer = 5\nnamespace = 'a'\n\
                    service_account = 'b'\n[[access]]\nprincipal = 'agent'\nrole = 'Reader'\n[[secret]]\nname = 'a'\n\
                    generate = { length = 'x' }\n[[secret]]\nname = 'b'\nfrom_env = 5\n";
        let starts = [
            "line 1: subscription: ",
            "line 1: `tenant` is missing",
            "line 5: 'a--b' is no name for this key vault",
            "line 7: [vault] network.bypass: 'all' is unknown: use azure-services or none",
            "line 8: [vault] network.default_action: 'no' is unknown",
            "line 9: 'x' is no subnet's id",
            "line 11: '!' is no name for this machine learning workspace",
            "line 12: [workspace] unknown key `colour`",
            "line 14: 'A' is no name for this storage account",
            "line 16: '-' is no name for this identity",
            "line 18: [agent_identity] kubernetes.issuer: invalid type: integer, expected a string",
            "line 26: [secret] generate.length: invalid type: string",
            "line 29: [secret] from_env: invalid type: integer",
        ];
        let found: Vec<_> = check(text, 1000).expect_err("much is wrong").iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (line, start) in found.iter().zip(starts) {
            assert!(line.starts_with(start), "{start}: {found:#?}");
        }
    }
}
