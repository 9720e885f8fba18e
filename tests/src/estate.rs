//! What most scenarios stand on: an emulated Azure with one vault, and an agent beside it in a folder on tmpfs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::agent::Agent;
use crate::emulator::Emulator;

/// The vault's name in every scenario.
pub const VAULT: &str = "ml-vault";

const TENANT: &str = "11111111-1111-4111-8111-111111111111";
const CLIENT: &str = "22222222-2222-4222-8222-222222222222";

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
        let folder = TempDir::new_in("/dev/shm").expect("a folder on tmpfs");
        // Readers under another user id must be able to enter it.
        open_to_all(folder.path());
        let emulator = Emulator::start(&folder.path().join("azure"), &seed());
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

    /// Where the agent listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder().join("run/agent.sock")
    }

    /// Where the agent puts its files.
    #[must_use]
    pub fn secrets_folder(&self) -> PathBuf {
        self.folder().join("run/secrets")
    }

    /// The agent's environment: what points any Azure client at the emulator, and a service principal.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = self.emulator.variables();
        for (name, value) in
            [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT), ("AZURE_CLIENT_SECRET", "client-secret-7Q~x")]
        {
            variables.insert(name.to_owned(), value.to_owned());
        }
        variables
    }

    /// Writes a configuration: the vault, the socket and the files of this scenario, then `more`.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn config(&self, more: &str) -> PathBuf {
        let text = format!(
            "readers = ['uid:{uid}']\n[vault]\nurl = 'https://{VAULT}.vault.azure.net'\n[api]\nsocket = '{socket}'\n\
             [files]\ndirectory = '{files}'\n{more}\n",
            uid = nix::unistd::geteuid(),
            socket = self.socket().display(),
            files = self.secrets_folder().display(),
        );
        let path = self.folder().join("agent.toml");
        std::fs::write(&path, text).expect("a configuration file");
        path
    }

    /// Starts an agent with `more` configuration and waits until it is ready.
    #[must_use]
    pub fn agent(&self, more: &str) -> Agent {
        let mut agent = Agent::start(&self.config(more), &self.socket(), &self.variables());
        agent.wait_until_ready();
        agent
    }
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("own folder");
}

fn seed() -> String {
    format!(
        "tenant = '{TENANT}'\n\
         [[application]]\nname = 'agent'\nclient_id = '{CLIENT}'\nsecrets = ['client-secret-7Q~x']\n\
         [[vault]]\nname = '{VAULT}'\n\
         [[role_assignment]]\nprincipal = 'agent'\nrole = 'Key Vault Secrets User'\nvault = '{VAULT}'\n"
    )
}
