//! An emulated Azure within the test's own process, for scenarios that change it thousands of times, and an agent's folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyside_emulator::request_log::Entry;
use keyside_emulator::seed::Seed;
use keyside_emulator::vault::Draft;
use keyside_emulator::{Emulator, Options};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::agent::Agent;
use crate::estate::{self, CLIENT, CLIENT_SECRET, TENANT, VAULT};

/// How old the secrets are with which a scenario begins: an agent fetches what changed a moment ago once more.
const AGE: Duration = Duration::from_hours(1);

/// The emulator and a folder for one scenario. Everything is gone when it is dropped.
#[derive(Debug)]
pub struct Cloud {
    emulator: Emulator,
    folder: TempDir,
    /// Below the emulator, whose connections end with it.
    _runtime: Runtime,
}

impl Cloud {
    /// Starts an emulator whose vault holds `secrets` since an hour, and lets the agent's identities read them.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(secrets: &[(&str, &str)]) -> Self {
        let folder = TempDir::new_in("/dev/shm").expect("a folder on tmpfs");
        // Readers under another user id must be able to enter it.
        estate::open_to_all(folder.path());
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let options = Options { seed: Seed::parse(&estate::seed()).expect("a seed"), ..Options::default() };
        let emulator = runtime.block_on(Emulator::start(options)).expect("the emulator starts");
        std::fs::write(folder.path().join("ca.pem"), emulator.ca_pem()).expect("a certificate file");
        for (name, value) in secrets {
            let then = emulator.clock().now() - AGE;
            emulator.vaults().set_secret(VAULT, name, Draft::plain(*value), then).expect("a secret");
        }
        Self { emulator, folder, _runtime: runtime }
    }

    /// The emulator.
    #[must_use]
    pub fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// Writes a new version of a secret of the vault.
    ///
    /// # Panics
    /// When the vault refuses it.
    pub fn set_secret(&self, name: &str, value: &str) {
        let (vaults, now) = (self.emulator.vaults(), self.emulator.clock().now());
        vaults.set_secret(VAULT, name, Draft::plain(value), now).expect("the vault takes it");
    }

    /// What was asked of it so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Entry> {
        self.emulator.requests().entries()
    }

    /// The folder on tmpfs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the agent listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        estate::socket_in(self.folder())
    }

    /// Where the agent puts its files.
    #[must_use]
    pub fn secrets_folder(&self) -> PathBuf {
        estate::secrets_in(self.folder())
    }

    /// The agent's environment: what points any Azure client at the emulator, and a service principal.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let principal =
            [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT), ("AZURE_CLIENT_SECRET", CLIENT_SECRET)];
        let way = self.emulator.environment(&self.folder().join("ca.pem"));
        let principal = principal.map(|(name, value)| (name, value.to_owned()));
        way.into_iter().chain(principal).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Writes a configuration: the vault, the socket and the files of this scenario, then `more`.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn config(&self, more: &str) -> PathBuf {
        estate::write_config(self.folder(), "", more)
    }

    /// Starts an agent with `more` configuration and waits until it is ready.
    #[must_use]
    pub fn agent(&self, more: &str) -> Agent {
        let mut agent = Agent::start(&self.config(more), &self.socket(), &self.variables());
        agent.wait_until_ready();
        agent
    }
}
