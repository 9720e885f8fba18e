//! The commands and their flags, and how the shell and the manual learn about them.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
pub use clap_complete::Shell;

use crate::azure::cloud::VaultUrl;
use crate::azure::identity;
use crate::config::flags::FileFlag;
use crate::run::{EnvFlag, OnChange};
use crate::secret::SecretName;

/// Puts an Azure Key Vault's secrets beside the program that needs them, and keeps them fresh there.
#[derive(Clone, Debug, Parser)]
#[command(name = "keyside", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The configuration file where none is named, as a package or an image installs it.
pub const CONFIG: &str = "/etc/keyside/agent.toml";

const EXIT_CODES: &str = "Exit codes: 0 done; 64 usage; 66 the secret is absent or not readable; 69 no agent \
answers, or no vault; 70 an error that should not be; 73 another agent was faster; 75 not yet, or too stale; 78 the configuration is wrong. run ends \
with its command's own code, 128 and the number of the signal that ended it, 126 when it cannot be started, 127 when there \
is none";

/// Every command.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Fetches the configured secrets, keeps them fresh, and serves them until it is stopped.
    Agent(AgentArgs),
    /// Runs a command with secrets in its environment, beside an agent that it starts or joins.
    Run(RunArgs),
    /// Checks a configuration without starting an agent, and tells everything that is wrong with it.
    Check(CheckArgs),
    /// Removes the files that an agent could not remove itself, because it was killed.
    Wipe(WipeArgs),
    /// A command that asks a running agent.
    #[command(flatten)]
    Client(ClientCommand),
    /// Runs hooks for the agent that starts it.
    #[command(hide = true)]
    HooksHelper,
    /// Prints the completions of a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Writes the manual pages.
    Man {
        /// The directory that they go to.
        directory: PathBuf,
    },
}

/// The flags of `keyside agent`.
#[derive(Clone, Debug, Args)]
pub struct AgentArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
    pub source: SourceArgs,
    /// Where to listen, before what the configuration says.
    #[arg(long, value_name = "PATH", value_parser = from_anywhere())]
    pub socket: Option<PathBuf>,
    /// Look once, write the files, and exit: for an init container.
    #[arg(long)]
    pub once: bool,
    /// End when nobody holds a lock on the file beside the socket whose name ends in .lease: for whoever starts an agent
    /// for himself. Readers are then this user, unless the configuration names others, and the log has warnings only.
    #[arg(long, conflicts_with = "once")]
    pub leased: bool,
}

/// Where a configuration comes from: a file, or these flags in its place.
#[derive(Clone, Debug, Default, Args)]
pub struct SourceArgs {
    /// The configuration file. Default: /etc/keyside/agent.toml, unless a flag below takes its place.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["vault_url", "secret", "file", "identity"])]
    pub config: Option<PathBuf>,
    /// The vault, without a configuration file. Default: that of the variable `KEY_VAULT_URL`.
    #[arg(long, value_name = "URL")]
    pub vault_url: Option<VaultUrl>,
    /// A secret to fetch, without a configuration file. Can be repeated.
    #[arg(long, value_name = "NAME")]
    pub secret: Vec<SecretName>,
    /// A file for a secret, below the directory of the files, without a configuration file. Can be repeated.
    #[arg(long, value_name = "PATH=SECRET")]
    pub file: Vec<FileFlag>,
    /// How to sign in, without a configuration file; whatever else there is to say comes from the platform's variables.
    #[arg(long, value_name = "KIND")]
    pub identity: Option<identity::Kind>,
}

/// The flags of `keyside run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
    pub source: SourceArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
    pub at: Place,
    /// A secret for an environment variable; without VAR= that is the secret's name in upper case, with _ for -. Can be
    /// repeated.
    #[arg(long, value_name = "[VAR=]SECRET")]
    pub env: Vec<EnvFlag>,
    /// What becomes of the command when one of its secrets changes: nothing, signal:SIGNAL, or restart.
    #[arg(long, value_name = "ACTION", default_value = "nothing")]
    pub on_change: OnChange,
    /// How long the command may take to end once it is told to; then it is killed.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub grace: Duration,
    /// How long to wait for the secrets before the command.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// The command and its arguments.
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// The flags of `keyside check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
    pub source: SourceArgs,
    /// Go to Azure, too: sign in, try every secret, and tell what grants what is missing.
    #[arg(long)]
    pub online: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// The flags of `keyside wipe`.
#[derive(Clone, Debug, Args)]
pub struct WipeArgs {
    /// The configuration file, which says where the files are.
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    pub config: PathBuf,
}

/// The commands that ask a running agent.
#[derive(Clone, Debug, Subcommand)]
pub enum ClientCommand {
    /// Prints a secret's bytes, without a newline at the end.
    Get {
        /// Which secret.
        name: SecretName,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        direct: Direct,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        at: Place,
    },
    /// Lists the secrets that you may read.
    List {
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        at: Place,
    },
    /// Waits until a secret is there, or until it changes.
    Wait {
        /// Which secret.
        name: SecretName,
        /// Wait for another version than the present one.
        #[arg(long)]
        change: bool,
        /// How long to wait at most, such as 90s or 5m; without it there is no end.
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        timeout: Option<Duration>,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        at: Place,
    },
    /// Shows how the agent and the secrets that you may see fare.
    Status {
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        at: Place,
    },
    /// Tells by its exit code whether the agent lives: 0, or 69.
    Health {
        /// Whether every required secret is there, too: 0, or 75.
        #[arg(long)]
        ready: bool,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        at: Place,
    },
}

/// Whether to do without an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Direct {
    /// Fetch it from the vault, without an agent: for a laptop.
    #[arg(long)]
    pub direct: bool,
    /// The vault that --direct asks, by the vault's own name of the secret. Default: the variable `KEY_VAULT_URL`.
    #[arg(long, value_name = "URL", requires = "direct")]
    pub vault_url: Option<VaultUrl>,
    /// The configuration file that says where --direct finds the secret, and as whom.
    #[arg(long, value_name = "FILE", requires = "direct", conflicts_with = "vault_url")]
    pub config: Option<PathBuf>,
}

/// Where the agent is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Place {
    /// The agent's socket. Default: /run/keyside/agent.sock, else /dev/shm/keyside-UID/agent.sock.
    #[arg(long, env = "KEYSIDE_SOCKET", value_name = "PATH", value_parser = from_anywhere())]
    pub socket: Option<PathBuf>,
}

/// A path that stays the same for the command of a run and for the agent, wherever these are.
fn from_anywhere() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// How a command ends; the numbers are those of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// The command line is wrong.
    Usage = 64,
    /// The secret is absent, or not readable by this user.
    Absent = 66,
    /// No agent answers, or no vault.
    Unavailable = 69,
    /// Something failed that should not.
    Internal = 70,
    /// Another agent was faster: it has the socket that a leased one was to have.
    Taken = 73,
    /// Not yet: a later try may succeed.
    NotYet = 75,
    /// The configuration is wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Cli {
    /// Understands a command line. What is wrong with it, or the help that it asks for, is printed here.
    ///
    /// # Errors
    /// [`Exit::Success`] after help or version, [`Exit::Usage`] after a mistake.
    pub fn understand(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Exit> {
        Self::try_parse_from(arguments).map_err(|error| {
            // When the terminal is gone, nobody is left to tell.
            drop(error.print());
            exit(&error)
        })
    }
}

fn exit(error: &clap::Error) -> Exit {
    if error.use_stderr() { Exit::Usage } else { Exit::Success }
}

/// Prints the completions of a shell for a program's commands.
///
/// # Errors
/// When `out` cannot be written.
pub fn print_completions<Program: CommandFactory>(shell: Shell, out: &mut dyn io::Write) -> io::Result<()> {
    let mut command = Program::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    out.write_all(&script)
}

/// Writes the manual page of each command of a program into `directory`, which is made where it is missing.
///
/// # Errors
/// When the directory or a page cannot be written.
pub fn write_manual<Program: CommandFactory>(directory: &Path) -> anyhow::Result<()> {
    let name = || format!("could not write manual pages to {}", directory.display());
    fs::create_dir_all(directory).with_context(name)?;
    clap_mangen::generate_to(Program::command(), directory).with_context(name)
}
