//! The configuration file: its shape, and the checked configuration that the rest of the agent works with.

mod assemble;
mod audit;
mod credentials;
pub mod difference;
pub mod document;
mod env_files;
pub mod flags;
mod limits;
mod on_change;
mod rotation;
mod selections;
mod shape;
mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::azure::cloud::VaultUrl;
use crate::azure::identity;
use crate::hooks::Hook;
use crate::principal::{Accounts, Principal};
use crate::refresh::{self, Wanted};
use crate::schedule::Pace;
use crate::secret::SecretName;
use crate::variable::VariableName;
use crate::{files, logging, memory, serve};

pub use document::Problem;

/// How fresh secrets are kept where the file does not say. A look every two minutes brings a rotation to a job within
/// minutes, and lets ten thousand agents that list a vault stay below what it allows, 4,000 requests in ten seconds. An
/// hour is what a list may be believed. Role assignments take up to ten minutes to act, so a quarter of an hour tells one
/// that was made anew from one that is gone. A day is time to mend an outage before jobs fail by it.
const ROTATION: refresh::Settings = refresh::Settings {
    pace: Pace { interval: Duration::from_mins(2), full_refresh: Duration::from_hours(1) },
    revoke_after: Duration::from_mins(15),
    max_stale: Some(Duration::from_hours(24)),
};

/// How long answers and tasks may take to end once the agent is told to stop: less than the ten seconds that container
/// runtimes wait before they kill.
const GRACE: Duration = Duration::from_secs(8);

/// A configuration that fits together. Each module is given its own part.
#[derive(Clone, Debug)]
pub struct Config {
    /// The vault that the secrets are in.
    pub vault: VaultUrl,
    /// The vaults that stand in for it while it cannot be reached, in this order.
    pub fallback: Vec<VaultUrl>,
    /// How to sign in.
    pub identity: identity::Settings,
    /// How fresh secrets are kept, and how long without the vault.
    pub rotation: refresh::Settings,
    /// The secrets; who is told of them shares the list.
    pub wanted: Arc<[Wanted]>,
    /// The secret of each environment variable that a command is given.
    pub variables: BTreeMap<VariableName, SecretName>,
    /// The socket and who may use it.
    pub serve: serve::Settings,
    /// The files, if any are wanted.
    pub files: Option<files::Settings>,
    /// Where units get credentials, if any may have some.
    pub credentials: Option<crate::credentials::Settings>,
    /// How values are kept.
    pub memory: memory::Settings,
    /// Whether values outlive a restart in the service manager's keeping; none where that depends on what it offers.
    pub warm_restart: Option<bool>,
    /// What is done when secrets change.
    pub hooks: Vec<Hook>,
    /// The log.
    pub log: logging::Settings,
}

/// Why a file gave no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("could not read the configuration {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        cause: std::io::Error,
    },
    /// The file can be read, and something in it is wrong.
    #[error("the configuration {path} has {} problem(s)", problems.len())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong, in the order of the lines.
        problems: Vec<Problem>,
    },
}

/// The defaults of a configuration that depend on who runs the agent.
#[derive(Clone, Copy, Debug)]
pub struct Defaults<'a> {
    /// The agent's user id, an operator unless the file names others.
    pub operator_uid: u32,
    /// Where the agent listens.
    pub socket: Socket<'a>,
    /// Who may read a secret of which the file does not say it.
    pub readers: &'a [Principal],
    /// The log, where the file does not say it.
    pub log: logging::Settings,
}

impl<'a> Defaults<'a> {
    /// Those of an agent that is there for others: it has no readers but those that are named.
    #[must_use]
    pub fn of_service(operator_uid: u32, socket: &'a Path) -> Self {
        Self { operator_uid, socket: Socket::Default(socket), readers: &[], log: logging::Settings::default() }
    }
}

/// Where an agent listens.
#[derive(Clone, Copy, Debug)]
pub enum Socket<'a> {
    /// Here, whatever the file says.
    Named(&'a Path),
    /// Here, unless the file says another place.
    Default(&'a Path),
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`], with every problem that can be found without looking at the machine beyond its accounts.
    pub fn load(path: &Path, accounts: &dyn Accounts, defaults: Defaults<'_>) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(&text, accounts, defaults)
            .map_err(|problems| ConfigError::Wrong { path: path.to_owned(), problems })
    }

    /// Checks the text of a file.
    ///
    /// # Errors
    /// Every problem, in the order of the lines.
    pub fn parse(text: &str, accounts: &dyn Accounts, defaults: Defaults<'_>) -> Result<Self, Vec<Problem>> {
        assemble::assemble(text, accounts, defaults)
    }
}

/// A configuration from its text, on a machine with one account.
#[cfg(test)]
mod testing {
    use super::*;

    struct Trainer;

    impl Accounts for Trainer {
        fn user(&self, name: &str) -> Option<u32> {
            (name == "trainer").then_some(1001)
        }

        fn group(&self, _: &str) -> Option<u32> {
            None
        }
    }

    pub(super) fn parse(text: &str) -> Result<Config, Vec<String>> {
        let defaults = Defaults::of_service(990, Path::new("/run/keyside/agent.sock"));
        Config::parse(text, &Trainer, defaults).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::parse;
    use super::*;
    use crate::testing::name;

    const SMALLEST: &str =
        "readers = ['user:trainer']\n[vault]\nurl = 'https://my-vault.vault.azure.net'\n[[secret]]\nname = 'db'\n";

    #[test]
    fn the_smallest_file_has_every_default() {
        let config = parse(SMALLEST).expect("it fits");
        assert_eq!(config.rotation, ROTATION);
        assert!(config.fallback.is_empty());
        assert_eq!(config.serve.socket, Path::new("/run/keyside/agent.sock"));
        assert_eq!(config.serve.access.readers[&name("db")], [Principal::User(1001)]);
        assert_eq!(config.serve.access.operators, [Principal::User(0), Principal::User(990)]);
        assert!(config.files.is_none(), "no file unless asked for");
        assert_eq!(config.wanted[0].vault_name, name("db"));
        assert!(!config.wanted[0].optional);
    }

    #[test]
    fn files_are_beside_the_socket_and_named_like_their_secrets() {
        let config = parse(&format!("{SMALLEST}[api]\nsocket = '/run/x/agent.sock'\n[files]\n")).expect("it fits");
        let files = config.files.expect("asked for");
        assert_eq!(files.directory, Path::new("/run/x/secrets"));
        assert_eq!(files.targets[&name("db")].path.as_str(), "db");
        assert_eq!(files.targets[&name("db")].readers, [Principal::User(1001)]);
    }

    #[test]
    fn a_secret_may_have_its_own_readers_and_no_file() {
        let more = "file = false\nreaders = ['gid:5']\n[files]\ndirectory = '/run/x'\n";
        let config = parse(&format!("{SMALLEST}{more}")).expect("it fits");
        assert_eq!(config.serve.access.readers[&name("db")], [Principal::Group(5)]);
        assert!(config.files.expect("the table is there").targets.is_empty());
    }

    #[test]
    fn a_mode_for_the_group_wants_that_group_among_the_readers() {
        let rows = [
            ("uid:5", "0400", "", true),
            ("uid:5", "0440", "", false),
            ("gid:5", "0440", "", true),
            ("gid:5", "0440", "group = 'gid:5'\n", true),
            ("gid:5", "0640", "group = 'gid:6'\n", false),
            ("uid:5", "0444", "world_readable = true\n", true),
        ];
        for (reader, mode, more, fits) in rows {
            for place in [format!("[files]\nmode = '{mode}'\n{more}"), format!("mode = '{mode}'\n[files]\n{more}")] {
                let outcome = parse(&format!("{SMALLEST}readers = ['{reader}']\n{place}"));
                let told = outcome.map(drop).err();
                assert_eq!(told.is_none(), fits, "{reader} {mode} {more}: {told:?}");
                let named =
                    |problem: &String| problem.contains("lets the group of the files read 'db', which is no reader");
                assert!(told.iter().flatten().all(named), "{told:?}");
            }
        }
    }

    #[test]
    fn files_do_not_take_the_place_of_the_socket() {
        let rows = [
            ("/run/x", "file = 'db'", true),
            ("/run/x", "file = 'agent.sock'", false),
            ("/run/x", "file = 'agent.sock/db'", false),
            ("/run/x", "file = 'agent.sock.lock'", false),
            ("/run", "file = 'x/db'", false),
            ("/run/x/agent.sock", "", false),
            ("/run/x/agent.sock/secrets", "", false),
            ("/run/x/agent.sock.d", "", true),
        ];
        for (directory, file, fits) in rows {
            let more = format!("{file}\n[api]\nsocket = '/run/x/agent.sock'\n[files]\ndirectory = '{directory}'\n");
            let told = parse(&format!("{SMALLEST}{more}")).map(drop).err();
            assert_eq!(told.is_none(), fits, "{directory} {file}: {told:?}");
            assert!(told.iter().flatten().all(|problem| problem.contains("or another socket")), "{told:?}");
        }
    }

    #[test]
    fn the_example_in_the_documentation_fits() {
        let example = include_str!("../../docs/agent.example.toml");
        let config = parse(example).expect("the example is true");
        assert_eq!(config.wanted.len(), 3);
    }

    #[test]
    fn the_commented_keys_of_the_example_fit_too() {
        let example = include_str!("../../docs/agent.example.toml");
        let is_commented = |rest: &&str| rest.contains(" = ") || rest.starts_with('[');
        let lines = example.lines().map(|line| line.strip_prefix("# ").filter(is_commented).unwrap_or(line));
        let whole = lines.collect::<Vec<_>>().join("\n");
        assert!(whole.contains("\nversion = ") && whole.contains("\ngroup = "), "{whole}");
        let config = parse(&whole).expect("every key of the example exists");
        assert_eq!(config.hooks.len(), 3);
    }

    #[test]
    fn the_documented_table_has_exactly_the_keys_of_the_example() {
        let keys_of = |text: &str, pattern: fn(&str) -> Option<&str>| -> std::collections::BTreeSet<String> {
            text.lines().filter_map(pattern).map(str::to_owned).collect()
        };
        let example = keys_of(include_str!("../../docs/agent.example.toml"), |line| {
            let (key, _) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?;
            key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_').then_some(key)
        });
        let table = keys_of(include_str!("../../docs/configuration.md"), |line| {
            let (_, rest) = line.strip_prefix("| ")?.split_once("| `")?;
            let (key, _) = rest.split_once('`')?;
            key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_').then_some(key)
        });
        assert_eq!(table, example);
    }
}
