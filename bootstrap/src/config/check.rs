//! From the file's shape to the estate: what must fit together, with a line for each thing that does not.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use keyside::config::Problem;
use keyside::config::document::{Document, Parsed};
use toml::Spanned;
use uuid::Uuid;

use super::shape::{
    AccessTable, AgentTable, DiagnosticsTable, GenerateTable, IdentityTable, InsightsTable, LogsTable, NetworkTable,
    OperatorTable, SecretTable, StorageTable, Tags, Top, VaultTable, WorkspaceTable,
};
use super::{
    ALPHANUMERIC, Access, Agent, AgentIdentity, Authorization, Config, Logs, Network, Operator, Place, Principal,
    Recipe, RunsOn, Secret, ServiceAccount, Source, Vault, Workspace, WorkspaceVault, tags,
};
use crate::id::ArmId;
use crate::names::{self, Prefix, Rule};
use crate::roles::Role;

/// Longest value that Key Vault keeps, in bytes.
/// Source: <https://learn.microsoft.com/azure/key-vault/secrets/about-secrets>.
const VALUE_BYTES_MAX: usize = 25 * 1024;

/// Longest life of a version, ten years: a longer one is a slip, and past the end of the calendar there is no expiry.
const EXPIRES_IN_MAX: Duration = Duration::from_hours(10 * 366 * 24);

/// Longest content type, in characters. Source: as above.
const CONTENT_TYPE_MAX: usize = 255;

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

struct Check<'a> {
    document: Document<'a>,
}

/// Where default names come from.
struct Naming {
    prefix: Prefix,
    subscription: Uuid,
}

/// A name and an id, of which a table may give one.
type NameOrId = (Option<Spanned<String>>, Option<Spanned<Parsed<ArmId>>>);

impl Check<'_> {
    /// Looks at every table even when an earlier one has problems.
    fn config(&mut self, uid: u32) -> Option<Config> {
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

        let secrets = self.secrets(secrets);
        let agent = agent.map(|table| self.agent(table, uid));
        let tags = tags.map(|tags| tags::checked(&mut self.document, tags));
        let top = top?;
        let naming = Naming { prefix: top.prefix.0, subscription: top.subscription.0 };
        let vault = self.vault(vault?, &naming);
        let workspace = workspace.zip(storage.zip(insights)).map(|(table, more)| self.workspace(table, more, &naming));
        let logs_wanted = workspace.is_some() || diagnostics;
        let logs = logs.map(|table| self.logs(table, &naming)).filter(|_| logs_wanted);
        let agent_identity = identity.map(|table| self.identity(table, &naming));
        let access = self.access(access, (agent_identity.is_some(), workspace.is_some()), vault.authorization);
        Some(Config {
            subscription: top.subscription.0,
            tenant: top.tenant.0,
            location: top.location.0.0,
            group: self.name(top.resource_group, Rule::ResourceGroup, &naming),
            prefix: naming.prefix,
            tags: tags?,
            vault,
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

    fn name(&mut self, name: Option<Spanned<String>>, rule: Rule, naming: &Naming) -> String {
        let Some(name) = name else { return naming.prefix.name(rule, naming.subscription) };
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
            None => naming.prefix.workspace_vault(naming.subscription),
        };
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
        (agent, workspace): (bool, bool),
        authorization: Authorization,
    ) -> Vec<Access> {
        let named: Vec<_> = tables
            .into_iter()
            .filter_map(|(_, table)| self.one_access(table, (agent, workspace), authorization))
            .collect();
        let unnamed = agent && !named.iter().any(|access| access.principal == Principal::Agent);
        let default = Access { principal: Principal::Agent, role: Role::SECRETS_USER, secrets: Vec::new() };
        unnamed.then_some(default).into_iter().chain(named).collect()
    }

    fn one_access(
        &mut self,
        table: AccessTable,
        (agent, workspace): (bool, bool),
        authorization: Authorization,
    ) -> Option<Access> {
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
            "agent" if agent => Principal::Agent,
            "agent" => {
                self.document.report(&span, "there is no agent's identity: add the table [agent_identity]".to_owned());
                return None;
            }
            "workspace" if workspace => Principal::Workspace,
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

    fn secrets(&mut self, tables: Vec<(Range<usize>, SecretTable)>) -> Vec<Secret> {
        let mut secrets: Vec<Secret> = Vec::new();
        for (span, table) in tables {
            let name = table.name.get_ref().0.clone();
            if secrets.iter().any(|other| other.name.as_str().eq_ignore_ascii_case(name.as_str())) {
                self.document.report(&table.name.span(), format!("the name '{name}' is used twice"));
                continue;
            }
            if let Some(text) = &table.content_type
                && text.get_ref().chars().count() > CONTENT_TYPE_MAX
            {
                self.document.report(&text.span(), format!("content_type has {CONTENT_TYPE_MAX} characters at most"));
            }
            if let Some(span) = &table.expires_in
                && span.get_ref().0.0 > EXPIRES_IN_MAX
            {
                self.document.report(&span.span(), "expires_in is ten years at most".to_owned());
            }
            let from_stdin = |secret: &Secret| secret.source == Source::Stdin;
            if table.from_stdin && secrets.iter().any(from_stdin) {
                self.document.report(&span, "standard input can give one value only".to_owned());
            }
            let source = self.source(&span, &table);
            secrets.push(Secret {
                name,
                content_type: table.content_type.map(Spanned::into_inner),
                expires_in: table.expires_in.map(|span| span.into_inner().0.0),
                source,
            });
        }
        secrets
    }

    fn source(&mut self, span: &Range<usize>, table: &SecretTable) -> Source {
        let generated = table.generate.as_ref().map(|recipe| Source::Generated(self.recipe(recipe)));
        let file = table.from_file.clone().map(Source::File);
        let variable = table.from_env.clone().map(Source::Variable);
        let stdin = table.from_stdin.then_some(Source::Stdin);
        let mut sources = [generated, file, variable, stdin].into_iter().flatten();
        match (sources.next(), sources.next()) {
            (Some(source), None) => source,
            (first, _) => {
                let name = &table.name.get_ref().0;
                let keys = "generate = {}, from_file, from_env or from_stdin = true";
                self.document.report(span, format!("the value of '{name}' needs one source: {keys}"));
                first.unwrap_or(Source::Stdin)
            }
        }
    }

    fn recipe(&mut self, table: &GenerateTable) -> Recipe {
        let default = Recipe::default();
        if let Some(length) = &table.length
            && !(8..=VALUE_BYTES_MAX).contains(length.get_ref())
        {
            self.document.report(&length.span(), format!("length is from 8 to {VALUE_BYTES_MAX}"));
        }
        let alphabet = table.alphabet.as_ref().map(|text| match text.get_ref().as_str() {
            "alphanumeric" => ALPHANUMERIC.to_owned(),
            "hex" => "0123456789abcdef".to_owned(),
            other => other.to_owned(),
        });
        if let (Some(text), Some(alphabet)) = (&table.alphabet, &alphabet) {
            let distinct: std::collections::BTreeSet<_> = alphabet.bytes().collect();
            let visible = alphabet.bytes().all(|byte| byte.is_ascii_graphic());
            if !visible || distinct.len() != alphabet.len() || distinct.len() < 2 {
                let message = "alphabet is alphanumeric, hex, or at least two visible ASCII characters, each once";
                self.document.report(&text.span(), message.to_owned());
            }
        }
        Recipe {
            length: table.length.as_ref().map_or(default.length, |length| *length.get_ref()),
            alphabet: alphabet.unwrap_or(default.alphabet),
        }
    }

    fn agent(&mut self, table: AgentTable, uid: u32) -> Agent {
        let runs_on = table.runs_on.map_or(RunsOn::Elsewhere, |name| name.0.0);
        if let Some(name) = &table.compute {
            let is_id = runs_on == RunsOn::VirtualMachine && name.get_ref().starts_with('/');
            let checked = if is_id {
                name.get_ref().parse::<ArmId>().map(drop).map_err(|error| error.to_string())
            } else {
                names::check(Rule::Compute, name.get_ref()).map_err(|error| error.to_string())
            };
            if let Err(error) = checked {
                self.document.report(&name.span(), error);
            }
        }
        Agent {
            file: table.file.unwrap_or_else(|| PathBuf::from("agent.toml")),
            readers: table.readers.unwrap_or_else(|| vec![format!("uid:{uid}")]),
            socket: table.socket,
            files: table.files,
            runs_on,
            compute: table.compute.map(Spanned::into_inner),
        }
    }
}

fn operator_settings(table: OperatorTable) -> Operator {
    Operator {
        principal: table.principal.map(|principal| principal.0),
        kind: table.principal_type.map(|kind| kind.0.0),
        address: table.address.map(|address| address.0.0),
    }
}
