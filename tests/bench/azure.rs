//! An emulated Azure with a vault for each number and size of secrets that is measured, and agents on one core beside it.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyside_tests::agent::Agent;
use keyside_tests::estate::{Estate, OBJECT};

use crate::process::on;

/// The one secret of most measurements.
pub(crate) const SECRET: &str = "db-password";
/// Its value, of forty bytes.
pub(crate) const VALUE: &str = "correct-horse-battery-staple-7Kq2mX9vRt1";

/// So many secrets of so many bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    /// How many.
    pub(crate) secrets: usize,
    /// The length of each value.
    pub(crate) bytes: usize,
}

impl Holding {
    /// The vault that has them.
    fn vault(self) -> String {
        format!("bench-{}-{}", self.secrets, self.bytes)
    }

    fn names(self) -> impl Iterator<Item = String> {
        (0..self.secrets).map(move |number| if self.secrets == 1 { SECRET.into() } else { format!("secret-{number}") })
    }

    fn seed(self) -> String {
        let mut seed = format!(
            "[[vaults]]\nname = '{}'\n[[vaults.role_assignments]]\nprincipal = '{OBJECT}'\nrole = 'Key Vault Secrets User'\n",
            self.vault()
        );
        let value: String = VALUE.chars().cycle().take(self.bytes).collect();
        for name in self.names() {
            write!(seed, "[[vaults.secrets]]\nname = '{name}'\nvalue = '{value}'\n").expect("a text takes everything");
        }
        seed
    }
}

/// The emulated Azure, and where agents of it put their things.
pub(crate) struct Azure {
    /// The emulator and a folder.
    pub(crate) estate: Estate,
    keyside: PathBuf,
    core: usize,
}

impl Azure {
    /// Starts one with these vaults, for agents of this program on this core.
    pub(crate) fn start(holdings: &[Holding], keyside: &Path, core: usize) -> Self {
        let seed: String = holdings.iter().map(|holding| holding.seed()).collect();
        Self { estate: Estate::start_with(&seed, &[]), keyside: keyside.to_owned(), core }
    }

    /// Where the socket of the agent called `name` is.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.estate.folder().join(name).join("agent.sock")
    }

    /// A configuration for an agent called `name`, which has `more` in it.
    pub(crate) fn config(&self, name: &str, holding: Holding, more: &str) -> PathBuf {
        let mut text = format!(
            "readers = ['uid:{uid}', 'uid:{flooder}']\n[vault]\nurl = 'https://{vault}.vault.azure.net'\n\
             [api]\nsocket = '{socket}'\n{more}\n",
            uid = nix::unistd::geteuid(),
            flooder = crate::flood::FLOODER,
            vault = holding.vault(),
            socket = self.socket(name).display(),
        );
        for secret in holding.names() {
            write!(text, "[[secret]]\nname = '{secret}'\n").expect("a text takes everything");
        }
        let path = self.estate.folder().join(format!("{name}.toml"));
        std::fs::write(&path, text).expect("a configuration file");
        path
    }

    /// A command that runs the measured program with nothing in its environment but Azure.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.keyside);
        command.env_clear().envs(self.estate.variables()).arg0("keyside");
        command
    }

    /// Starts an agent and waits until it has every secret.
    pub(crate) fn agent(&self, name: &str, holding: Holding, more: &str) -> Agent {
        let (config, socket) = (self.config(name, holding, more), self.socket(name));
        let arguments = [Path::new("--config"), &config].map(Path::as_os_str);
        let (command, log) = (self.command(), config.with_extension("log"));
        let start = || Agent::start_by(command, &arguments, &socket, &log, &self.estate.variables());
        let mut agent = on(self.core, start);
        agent.wait_until_ready();
        agent
    }

    /// Makes a new version of a secret.
    pub(crate) fn rotate(&self, holding: Holding, value: &str) {
        self.estate.emulator.set_secret(&holding.vault(), SECRET, value);
    }

    /// How many requests the vault of a holding has answered so far.
    pub(crate) fn asked(&self, holding: Holding) -> usize {
        let host = format!(" {}.vault.azure.net ", holding.vault());
        self.estate
            .emulator
            .run(&["requests"])
            .lines()
            .filter(|line| line.contains(&host) && !line.starts_with("CONNECT"))
            .count()
    }
}
