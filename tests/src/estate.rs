//! What most scenarios stand on: an emulated Azure with one vault, and an agent beside it in a folder on tmpfs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::agent::Agent;
use crate::emulator::Emulator;

/// The vault's name in every scenario.
pub const VAULT: &str = "ml-vault";

/// A second vault that the same identities may read; empty until a scenario fills it.
pub const SPARE_VAULT: &str = "ml-vault-spare";

/// The tenant of every identity.
pub const TENANT: &str = "11111111-1111-4111-8111-111111111111";

/// The agent's service principal.
pub const CLIENT: &str = "22222222-2222-4222-8222-222222222222";
/// The service principal as an object of the directory, which has the roles.
pub const OBJECT: &str = "33333333-3333-4333-8333-333333333333";

/// The address that the vault's firewall takes every caller's for.
pub const ADDRESS: &str = "203.0.113.7";

/// The user-assigned identity of the machine.
pub const MANAGED_CLIENT: &str = "44444444-4444-4444-8444-444444444444";
const MANAGED_OBJECT: &str = "55555555-5555-4555-8555-555555555555";
const USER: &str = "66666666-6666-4666-8666-666666666666";

/// Who issues the tokens of the service account that the service principal trusts, and its name.
pub const ISSUER: &str = "https://oidc.example.com/cluster/";
/// The service account's name in its tokens.
pub const SUBJECT: &str = "system:serviceaccount:ml:trainer";

/// What the endpoints of App Service and Azure Machine Learning want to see.
pub const PLATFORM_SECRET: &str = "platform-secret-3kP9v";

/// The client secret of the agent's service principal.
pub const CLIENT_SECRET: &str = "Kx8~Qz.3vRm_Wt5yBn7LdT2pHs9";

/// The emulator and a folder for one scenario. Everything is gone when it is dropped.
#[derive(Debug)]
pub struct Estate {
    /// The emulated Azure.
    pub emulator: Emulator,
    folder: TempDir,
}

impl Estate {
    /// Starts an emulator whose vault holds `secrets` and lets the agent's service principal read them.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(secrets: &[(&str, &str)]) -> Self {
        Self::start_with("", secrets)
    }

    /// Starts one whose seed says `more`, about this vault or about others.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_with(more: &str, secrets: &[(&str, &str)]) -> Self {
        let folder = TempDir::new_in("/dev/shm").expect("a folder on tmpfs");
        // Readers under another user id must be able to enter it.
        open_to_all(folder.path());
        let emulator = Emulator::start(&folder.path().join("azure"), &(seed() + more));
        for (name, value) in secrets {
            emulator.set_secret(VAULT, name, value);
        }
        Self { emulator, folder }
    }

    /// The folder on tmpfs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The object id of the agent's service principal.
    #[must_use]
    pub fn principal(&self) -> &'static str {
        OBJECT
    }

    /// Where the agent listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_in(self.folder())
    }

    /// Where the agent puts its files.
    #[must_use]
    pub fn secrets_folder(&self) -> PathBuf {
        secrets_in(self.folder())
    }

    /// The agent's environment: what points any Azure client at the emulator, and a service principal.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let principal =
            [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT), ("AZURE_CLIENT_SECRET", CLIENT_SECRET)];
        self.variables_and(&principal)
    }

    /// What points any Azure client at the emulator, and `more`.
    #[must_use]
    pub fn variables_and(&self, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut variables = self.emulator.variables();
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        variables
    }

    /// Writes a configuration: the vault, the socket and the files of this scenario, then `more`.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn config(&self, more: &str) -> PathBuf {
        self.config_with_vault("", more)
    }

    /// Like [`Self::config`], with `keys` added to the vault's table.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn config_with_vault(&self, keys: &str, more: &str) -> PathBuf {
        write_config(self.folder(), keys, more)
    }

    /// The requests that the vault has answered so far, as `/secrets/NAME/` or `/secrets`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let log = self.emulator.run(&["requests"]);
        let to_vault = |line: &str| {
            let rest = line.strip_prefix(&format!("GET {VAULT}.vault.azure.net "))?;
            let (path, status) = rest.split_once(' ')?;
            (status == "200").then(|| path.to_owned())
        };
        log.lines().filter_map(to_vault).collect()
    }

    /// Has the vault answer about a secret as if this were its value, which stands in the JSON as it is written here.
    pub fn answer_with(&self, name: &str, value: &str) {
        let id = format!("https://{VAULT}.vault.azure.net/secrets/{name}/0123456789abcdef0123456789abcdef");
        let body = format!(r#"{{"value":"{value}","id":"{id}","attributes":{{"enabled":true}}}}"#);
        let (path, json) = (format!("/secrets/{name}*"), "Content-Type: application/json; charset=utf-8");
        let requests = ["fault", "add", "--host", "*.vault.azure.net", "--path", &path];
        let answer = ["--status", "200", "--header", json, "--body", &body];
        self.emulator.run(&[requests, answer].concat());
    }

    /// Starts an agent with `more` configuration and waits until it is ready.
    #[must_use]
    pub fn agent(&self, more: &str) -> Agent {
        let mut agent = Agent::start(&self.config(more), &self.socket(), &self.variables());
        agent.wait_until_ready();
        agent
    }
}

/// Where the agent of a scenario in `folder` listens.
pub(crate) fn socket_in(folder: &Path) -> PathBuf {
    folder.join("run/agent.sock")
}

/// Where it puts its files.
pub(crate) fn secrets_in(folder: &Path) -> PathBuf {
    folder.join("run/secrets")
}

/// Writes its configuration, with `keys` added to the vault's table and `more` at the end.
pub(crate) fn write_config(folder: &Path, keys: &str, more: &str) -> PathBuf {
    let text = format!(
        "readers = ['uid:{uid}']\n[vault]\nurl = 'https://{VAULT}.vault.azure.net'\n{keys}\
         [api]\nsocket = '{socket}'\n[files]\ndirectory = '{files}'\n{more}\n",
        uid = nix::unistd::geteuid(),
        socket = socket_in(folder).display(),
        files = secrets_in(folder).display(),
    );
    let path = folder.join("agent.toml");
    std::fs::write(&path, text).expect("a configuration file");
    path
}

/// Lets every user read a file, or enter a folder.
///
/// # Panics
/// When it is not our own.
pub fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("our own");
}

/// One vault, and each way of signing in that Azure has; all of them may read.
#[must_use]
pub fn seed() -> String {
    format!(
        r#"
        client_address = "{ADDRESS}"
        [directory]
        tenant = "{TENANT}"
        [[directory.applications]]
        app_id = "{CLIENT}"
        object_id = "{OBJECT}"
        secrets = ["{CLIENT_SECRET}"]
        certificate = "generate"
        [[directory.applications.federated_credentials]]
        issuer = "{ISSUER}"
        subject = "{SUBJECT}"
        [[directory.managed_identities]]
        client_id = "{MANAGED_CLIENT}"
        object_id = "{MANAGED_OBJECT}"
        resource_id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
        [directory.user]
        object_id = "{USER}"
        name = "ada@example.com"
        [directory.app_service]
        identity_header = "{PLATFORM_SECRET}"
        [directory.azure_ml]
        secret = "{PLATFORM_SECRET}"
        [[vaults]]
        name = "{SPARE_VAULT}"
        {assignments}
        [[vaults]]
        name = "{VAULT}"
        {assignments}
        "#,
        assignments = [OBJECT, MANAGED_OBJECT, USER].map(assignment).concat(),
    )
}

fn assignment(principal: &str) -> String {
    format!("[[vaults.role_assignments]]\nprincipal = '{principal}'\nrole = 'Key Vault Secrets User'\n")
}
