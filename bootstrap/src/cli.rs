//! The commands and their flags.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
pub use keyside::cli::{Output, Shell};
use keyside::secret::SecretName;
use serde_json::json;

use crate::failure::Failure;

/// Provisions what Keyside reads from: vault, workspace, identity, rights and first secrets.
#[derive(Clone, Debug, Parser)]
#[command(name = "keyside-bootstrap", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 2 changes, with --detailed-exitcode; 64 usage; 66 there is no estate; 69 Azure cannot be reached, \
or no sign-in; 70 Azure refused, or something is in the way; 75 not confirmed, nothing done; 78 the configuration is wrong";

/// Every command.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// A command about an estate.
    #[command(flatten)]
    Estate(EstateCommand),
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

/// What can be done to the estate of a file.
#[derive(Clone, Debug, Subcommand)]
pub enum EstateCommand {
    /// Shows what apply would create, change and leave. Writes nothing.
    Plan {
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        common: Common,
        /// Plan to bring a vault back that is in its deleted state.
        #[arg(long)]
        recover: bool,
        /// End with 2 when there are changes.
        #[arg(long)]
        detailed_exitcode: bool,
    },
    /// Brings Azure to what the file says, and writes the agent's configuration.
    Apply {
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        common: Common,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Bring a vault, or a secret, back that is in its deleted state.
        #[arg(long)]
        recover: bool,
    },
    /// Removes what apply made, and nothing else.
    Destroy {
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        common: Common,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Leave nothing that could be recovered.
        #[arg(long)]
        purge: bool,
        /// Purge also a vault whose secrets nobody could list before.
        #[arg(long, requires = "purge")]
        even_unseen: bool,
    },
    /// Prints what others need to know of the estate, and the next command.
    Output {
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        common: Common,
    },
    /// Looks whether apply could succeed: rights, names, providers. Writes nothing.
    Preflight {
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        common: Common,
    },
    /// Writes secrets of the vault.
    #[command(subcommand)]
    Secret(SecretCommand),
}

/// What can be done to a secret.
#[derive(Clone, Debug, Subcommand)]
pub enum SecretCommand {
    /// Sets a secret to a value from standard input, which makes a new version.
    Set {
        /// Which one.
        name: SecretName,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        common: Common,
        /// Take the value from this file instead.
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
        /// Take the value from this variable instead.
        #[arg(long, value_name = "NAME", conflicts_with = "from_file")]
        from_env: Option<String>,
    },
    /// Sets a secret to a new generated value, as its recipe in the file says.
    Rotate {
        /// Which one.
        name: SecretName,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        common: Common,
    },
    /// Disables the versions of a secret that were superseded long ago.
    Retire {
        /// Which one.
        name: SecretName,
        #[command(flatten)]
        #[expect(missing_docs, reason = "a doc comment would replace the command's description")]
        common: Common,
        /// Only those that were superseded so long ago, as 30d.
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        older_than: Duration,
    },
}

/// The flags of every command about an estate.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The file that describes the estate.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
    /// How long to go on with a request that fails for reasons that pass.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "5m")]
    pub patience: Duration,
}

/// How a command ends; those that the agent has, too, have its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// There are changes.
    Changes = 2,
    /// The command line is wrong.
    Usage = 64,
    /// There is no estate to tell of.
    Absent = 66,
    /// Azure cannot be reached, or there is no sign-in.
    Unavailable = 69,
    /// Azure refused, or something is in the way.
    Refused = 70,
    /// It was not confirmed.
    NotConfirmed = 75,
    /// The configuration is wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl EstateCommand {
    /// The flags that every command has.
    #[must_use]
    pub fn common(&self) -> &Common {
        match self {
            Self::Plan { common, .. }
            | Self::Apply { common, .. }
            | Self::Destroy { common, .. }
            | Self::Output { common }
            | Self::Preflight { common }
            | Self::Secret(
                SecretCommand::Set { common, .. }
                | SecretCommand::Rotate { common, .. }
                | SecretCommand::Retire { common, .. },
            ) => common,
        }
    }

    /// Whether it changes nothing, in Azure or here.
    #[must_use]
    pub fn only_looks(&self) -> bool {
        matches!(self, Self::Plan { .. } | Self::Output { .. } | Self::Preflight { .. })
    }

    /// Whether what is in a deleted state may be brought back.
    #[must_use]
    pub fn recovers(&self) -> bool {
        matches!(self, Self::Plan { recover: true, .. } | Self::Apply { recover: true, .. })
    }
}

impl Cli {
    /// Understands a command line. What is wrong with it, or the help that it asks for, is printed here; what is wrong
    /// goes to `out` for programs, too, where the line asks for JSON.
    ///
    /// # Errors
    /// [`Exit::Success`] after help or version, [`Exit::Usage`] after a mistake.
    pub fn understand(arguments: &[OsString], out: &mut dyn Write) -> Result<Self, Exit> {
        Self::try_parse_from(arguments).map_err(|error| {
            // When the terminal is gone, nobody is left to tell.
            drop(error.print());
            if error.use_stderr() && asks_for_json(arguments) {
                drop(writeln!(out, "{:#}", Failure::usage(&error.render().to_string()).in_document(json!({}))));
            }
            exit(&error)
        })
    }
}

/// Whether a line that is not understood says all the same how to print.
fn asks_for_json(arguments: &[OsString]) -> bool {
    arguments.iter().any(|word| word == "--output=json")
        || arguments.windows(2).any(|words| words[0] == "--output" && words[1] == "json")
}

fn exit(error: &clap::Error) -> Exit {
    if error.use_stderr() { Exit::Usage } else { Exit::Success }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_of_the_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines_are_understood_or_end_with_the_code_for_it() {
        let rows = [
            ("plan --config e.toml", None),
            ("plan --config e.toml --recover --detailed-exitcode --output json", None),
            ("apply --config e.toml --yes --recover --patience 30s", None),
            ("destroy --config e.toml --yes --purge", None),
            ("destroy --config e.toml --purge --even-unseen", None),
            ("destroy --config e.toml --even-unseen", Some(Exit::Usage)),
            ("output --config e.toml --output json", None),
            ("preflight --config e.toml", None),
            ("secret set db --config e.toml --from-env DB", None),
            ("secret rotate db --config e.toml", None),
            ("secret retire db --config e.toml --older-than 30d", None),
            ("completions bash", None),
            ("man /tmp", None),
            ("--help", Some(Exit::Success)),
            ("apply", Some(Exit::Usage)),
            ("plan --config e.toml --yes", Some(Exit::Usage)),
            ("secret set ../x --config e.toml", Some(Exit::Usage)),
            ("secret set db --config e.toml --from-env A --from-file b", Some(Exit::Usage)),
            ("secret set db hunter2 --config e.toml", Some(Exit::Usage)),
            ("secret retire db --config e.toml", Some(Exit::Usage)),
        ];
        for (line, expected) in rows {
            let words = std::iter::once("keyside-bootstrap").chain(line.split(' '));
            assert_eq!(Cli::try_parse_from(words).err().as_ref().map(exit), expected, "{line}");
        }
    }
}
