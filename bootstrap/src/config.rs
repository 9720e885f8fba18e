//! The estate as an operator describes it: the file's shape, all its problems with their lines, and the checked [`Config`].

mod agent;
mod check;
mod secrets;
mod shape;
mod tags;
mod unused;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyside::config::{ConfigError, Problem};
use keyside::secret::SecretName;
use uuid::Uuid;

use crate::id::ArmId;
use crate::names::Prefix;
use crate::roles::Role;

pub(crate) use secrets::VALUE_BYTES_MAX;

/// A description that fits together.
#[derive(Debug)]
pub struct Config {
    /// The subscription that everything is in.
    pub subscription: Uuid,
    /// The directory of its identities.
    pub tenant: Uuid,
    /// The region.
    pub location: String,
    /// What default names begin with, and what tells two estates in one group apart.
    pub prefix: Prefix,
    /// The resource group.
    pub group: String,
    /// Tags for everything that can have some.
    pub tags: BTreeMap<String, String>,
    /// The vault that the agent reads from.
    pub vault: Vault,
    /// The machine learning workspace and what it stands on.
    pub workspace: Option<Workspace>,
    /// The logs, where the workspace or the diagnostics need some.
    pub logs: Option<Logs>,
    /// Whether the vault's audit log goes to the logs.
    pub diagnostics: bool,
    /// The identity that the agent has.
    pub agent_identity: Option<AgentIdentity>,
    /// Who gets which right on the application's vault.
    pub access: Vec<Access>,
    /// First secrets.
    pub secrets: Vec<Secret>,
    /// Who runs this program.
    pub operator: Operator,
    /// The agent's configuration to write.
    pub agent: Agent,
}

/// A resource to create under a name, or one that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Created under this name in the resource group unless it is there.
    Named(String),
    /// Somebody else's; it is only read.
    Existing(ArmId),
}

/// A vault.
#[derive(Clone, Debug)]
pub struct Vault {
    /// Where it is.
    pub place: Place,
    /// `standard` or `premium`.
    pub sku: Option<&'static str>,
    /// How long deleted things can be recovered, in days.
    pub soft_delete_days: Option<u32>,
    /// Whether nothing can be purged before that; there is no way back.
    pub purge_protection: Option<bool>,
    /// Who decides on access.
    pub authorization: Authorization,
    /// The firewall.
    pub network: Network,
}

/// Who decides on access to a vault's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// Role assignments.
    #[default]
    Rbac,
    /// The vault's own access policies.
    AccessPolicies,
}

/// A vault's firewall; what is not stated is Azure's default for a new vault, and left alone on one that exists.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Whether it can be reached from the internet at all.
    pub public_access: Option<bool>,
    /// `Allow` or `Deny`.
    pub default_action: Option<&'static str>,
    /// `AzureServices` or `None`.
    pub bypass: Option<&'static str>,
    /// Addresses that are let in.
    pub ip_rules: Option<Vec<String>>,
    /// Subnets that are let in, by id.
    pub subnets: Option<Vec<ArmId>>,
}

/// A machine learning workspace and what only it needs.
#[derive(Debug)]
pub struct Workspace {
    /// Its name.
    pub name: String,
    /// What people see.
    pub friendly_name: Option<String>,
    /// Whether it can be reached from the internet.
    pub public_access: Option<bool>,
    /// Whether its data assets are kept apart; fixed at creation.
    pub data_isolation: Option<bool>,
    /// The vault of its own, or none where it shares the application's.
    pub own_vault: Option<String>,
    /// Its storage account.
    pub storage: Place,
    /// How blobs are replicated.
    pub storage_sku: Option<&'static str>,
    /// Its Application Insights.
    pub insights: Place,
}

/// Where the workspace keeps the credentials of its datastores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkspaceVault {
    /// In a vault that nobody else uses.
    #[default]
    Own,
    /// In the application's, whose readers then read the credentials, too.
    Application,
}

/// A Log Analytics workspace.
#[derive(Debug)]
pub struct Logs {
    /// Where it is.
    pub place: Place,
    /// How long lines are kept.
    pub retention_days: Option<u32>,
}

/// The identity that the agent has.
#[derive(Debug)]
pub struct AgentIdentity {
    /// Where it is.
    pub place: Place,
    /// The Kubernetes service account that may act as it.
    pub kubernetes: Option<ServiceAccount>,
}

/// A Kubernetes service account.
#[derive(Debug)]
pub struct ServiceAccount {
    /// Who signs the cluster's tokens.
    pub issuer: String,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: String,
}

/// Who is given a right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The identity of the agent.
    Agent,
    /// The identity of the workspace.
    Workspace,
    /// Whoever runs this program.
    Operator,
    /// Somebody by object id; what it is spares Azure a look that fails for new ones.
    Object(Uuid, &'static str),
}

/// A right on the application's vault.
#[derive(Clone, Debug)]
pub struct Access {
    /// Who gets it.
    pub principal: Principal,
    /// Which one.
    pub role: Role,
    /// The secrets that it is for, or none for all of the vault.
    pub secrets: Vec<SecretName>,
}

/// A secret that is set unless it is there.
#[derive(Debug)]
pub struct Secret {
    /// Its name.
    pub name: SecretName,
    /// What kind of value it is.
    pub content_type: Option<String>,
    /// After how long a version expires.
    pub expires_in: Option<Duration>,
    /// Where the first value comes from.
    pub source: Source,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Drawn at random.
    Generated(Recipe),
    /// From a file, without the line break at its end.
    File(PathBuf),
    /// From a variable of the environment.
    Variable(String),
    /// From standard input, without the line break at its end.
    Stdin,
    /// From somebody else, who sets it: this program never does.
    Others,
}

/// How a value is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// How many characters.
    pub length: usize,
    /// From which.
    pub alphabet: String,
}

/// Letters and digits: what every system takes as a password.
pub const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

impl Default for Recipe {
    /// 32 characters of 62 are 190 bits.
    fn default() -> Self {
        Self { length: 32, alphabet: ALPHANUMERIC.to_owned() }
    }
}

/// Who runs this program, as far as it cannot find out itself.
#[derive(Debug, Default)]
pub struct Operator {
    /// The object id; by default what the token says.
    pub principal: Option<Uuid>,
    /// What the principal is; by default what the token says.
    pub kind: Option<&'static str>,
    /// The address that the vault's firewall is to let in.
    pub address: Option<String>,
}

/// The agent's configuration to write.
#[derive(Debug)]
pub struct Agent {
    /// Where it goes.
    pub file: PathBuf,
    /// Who may read; by default who runs this program.
    pub readers: Vec<String>,
    /// Its socket, where it is not the default.
    pub socket: Option<PathBuf>,
    /// The directory of files, where secrets become some.
    pub files: Option<PathBuf>,
    /// Where the agent runs.
    pub runs_on: RunsOn,
    /// The name of the machine or compute; of a virtual machine it may be the id.
    pub compute: Option<String>,
}

/// Where the agent runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunsOn {
    /// On a virtual machine.
    VirtualMachine,
    /// In the jobs of a compute cluster.
    ComputeCluster,
    /// On a compute instance.
    ComputeInstance,
    /// In a pod.
    Kubernetes,
    /// Anywhere else.
    #[default]
    Elsewhere,
}

impl Config {
    /// Reads and checks a file. `uid` is the default reader of the agent's secrets.
    ///
    /// # Errors
    /// [`ConfigError`], with every problem that can be found without asking Azure.
    pub fn load(path: &Path, uid: u32) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(&text, uid).map_err(|problems| ConfigError::Wrong { path: path.to_owned(), problems })
    }

    /// Checks the text of a file.
    ///
    /// # Errors
    /// Every problem, in the order of the lines.
    pub fn parse(text: &str, uid: u32) -> Result<Self, Vec<Problem>> {
        check::check(text, uid)
    }

    /// The resource group's identifier.
    #[must_use]
    pub fn group_id(&self) -> ArmId {
        ArmId::group(self.subscription, &self.group)
    }

    /// The identifier of a resource of type `kind` at `place`.
    #[must_use]
    pub fn id_of(&self, kind: &str, place: &Place) -> ArmId {
        match place {
            Place::Named(name) => self.group_id().resource(kind, name),
            Place::Existing(id) => id.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/bootstrap.example.toml");
    const GUIDE: &str = include_str!("../../docs/bootstrap.md");

    fn problems(text: &str) -> Vec<String> {
        let found = Config::parse(text, 1000).map(|_| Vec::new());
        found.unwrap_or_else(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_examples_in_the_documentation_fit() {
        assert_eq!(problems(EXAMPLE), Vec::<String>::new());
        let worked = GUIDE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        assert_eq!(problems(worked), Vec::<String>::new());
        let id = EXAMPLE.lines().find_map(|line| line.strip_prefix("# id = ")).expect("a key in a comment");
        let top = EXAMPLE.split("\n# The resource group").next().expect("the required keys");
        let config = Config::parse(&format!("{top}\n[vault]\nid = {id}\n"), 1000).expect("the commented key fits, too");
        assert!(matches!(config.vault.place, Place::Existing(_)));
    }

    #[test]
    fn the_smallest_file_has_every_default() {
        let text = "subscription = '00000000-0000-4000-8000-000000000001'\ntenant = '00000000-0000-4000-8000-000000000002'\n\
                    location = 'westeurope'\nprefix = 'ml'\n[vault]\n";
        let config = Config::parse(text, 1000).expect("it fits");
        assert_eq!(config.group, "ml-rg");
        assert!(config.workspace.is_none() && config.logs.is_none() && config.agent_identity.is_none());
        assert_eq!(config.vault.authorization, Authorization::Rbac);
        assert_eq!(config.vault.purge_protection, None, "never without being asked for");
        assert_eq!(config.agent.readers, ["uid:1000"]);
        assert!(config.access.is_empty());
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let base = "subscription = 'x'\ntenant = '00000000-0000-4000-8000-000000000002'\nlocation = 'West Europe'\nprefix = 'ML'\n";
        let found = problems(base);
        for start in ["line 1: subscription", "line 3: location", "line 4: prefix"] {
            assert!(found.iter().any(|line| line.starts_with(start)), "{start}: {found:#?}");
        }
        let base = "subscription = '00000000-0000-4000-8000-000000000001'\ntenant = '00000000-0000-4000-8000-000000000002'\n\
                    location = 'westeurope'\nprefix = 'ml'\n";
        let rows = [
            ("[vault]\nid = 'https://kv.vault.azure.net/'", "it is a URL, and Azure links resources by their id"),
            ("[vault]\nname = 'kv_1'", "single hyphens"),
            ("[vault]\nsoft_delete_days = 100", "from 7 to 90"),
            ("[vault]\nnetwork.ip_rules = ['10.0.0.0/40']", "no public IPv4 address"),
            ("[vault]\nnetwork.subnets = ['subnet']", "no subnet's id"),
            ("[vault]\nauthorization = 'both'", "use rbac or access-policies"),
            ("[workspace]\nvault = 'application'\nvault_name = 'kv1'", "a vault of its own"),
            ("[log_analytics]\nretention_days = 7", "from 30 to 730"),
            ("[agent_identity]\nkubernetes = { issuer = 'x', namespace = 'a', service_account = 'b' }", "https:// URL"),
            ("[[access]]\nprincipal = 'agent'\nrole = 'Reader'", "add the table [agent_identity]"),
            ("[[access]]\nprincipal = 'workspace'\nrole = 'Reader'", "add the table [workspace]"),
            ("[[access]]\nprincipal = '00000000-0000-4000-8000-000000000003'\nrole = 'Reader'", "principal_type"),
            ("[[access]]\nprincipal = 'ada'\nrole = 'Reader'", "or an object id"),
            (
                "[vault]\nauthorization = 'access-policies'\n[[access]]\nprincipal = 'operator'\nrole = 'Contributor'",
                "no counterpart",
            ),
            ("[[secret]]\nname = 'a'", "needs one source"),
            ("[[secret]]\nname = 'a'\ngenerate = {}\nfrom_env = 'A'", "has 2 sources, generate and from_env: keep one"),
            ("[[secret]]\nname = 'a'\ngenerate = { length = 4 }", "from 8 to"),
            ("[[secret]]\nname = 'a'\ngenerate = { alphabet = 'aa' }", "each once"),
            ("[[secret]]\nname = 'a'\ngenerate = {}\n[[secret]]\nname = 'A'\ngenerate = {}", "used twice"),
            ("[[secret]]\nname = 'a'\nfrom_stdin = true\n[[secret]]\nname = 'b'\nfrom_stdin = true", "one value only"),
            ("[[secret]]\nname = 'a'\ngenerate = {}\nexpires_in = '1s'", "at least a minute"),
            ("[[secret]]\nname = 'a'\ngenerate = {}\nexpires_in = '9999999d'", "ten years at most"),
            ("[agent]\nruns_on = 'moon'", "or elsewhere"),
            ("[tags]\nKeyside-Bootstrap = 'x'", "line 6: the tag Keyside-Bootstrap marks what this program made"),
            ("[tags]\n'a/b' = 'x'", "is no tag"),
        ];
        for (text, part) in rows {
            let found = problems(&format!("{base}{text}\n"));
            assert!(found.iter().any(|line| line.contains(part)), "{text}: {found:#?}");
        }
    }
}
