//! Starts the command: its environment with the secrets in it, its process group, and else what it would have had anyway.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use super::keeper::Verdict;
use super::plan::Plan;
use super::terminal::Terminal;
use crate::causes::with_causes;
use crate::cli::Exit;
use crate::client::Client;
use crate::kernel::{Inheritance, bequeath};
use crate::memory::Locked;
use crate::variable::VariableName;

/// The variable that tells the command, and what it starts, where the agent is.
const SOCKET: &str = "KEYSIDE_SOCKET";

/// The variable that tells where the files are.
const SECRETS_DIR: &str = "KEYSIDE_SECRETS_DIR";

/// Says that the program is not there, as every shell does (POSIX, 2.8.2 "Exit Status for Commands").
const NOT_FOUND: u8 = 127;

/// Says that it is there and cannot be executed.
const NOT_EXECUTABLE: u8 = 126;

/// What the command inherits of this process's beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) blocked: SigSet,
    pub(super) children_ignored: bool,
}

/// The values for the command's environment.
#[derive(Debug)]
pub(super) struct Values(Vec<(VariableName, Locked)>);

/// Why the command was not started.
#[derive(Debug)]
pub(super) struct NotStarted {
    pub(super) code: u8,
    pub(super) message: String,
}

impl Values {
    /// Asks the agent for them. A variable whose secret may be missing is left out when it is.
    ///
    /// # Errors
    /// When a value does not come, or cannot be in a variable; the message names variable and secret.
    pub(super) async fn fetch(plan: &Plan) -> Result<Self, Verdict> {
        let mut values = Vec::new();
        for (variable, secret) in &plan.variables {
            let asked = async { Client::open(&plan.socket, plan.uid).await?.value(secret).await };
            let value = match asked.await {
                Ok(value) => value,
                Err(failure) if failure.exit() == Exit::NotYet && !plan.needed.contains(secret) => continue,
                Err(failure) => {
                    let message = format!("the variable {variable}: {}", with_causes(&failure));
                    return Err(Verdict { exit: failure.exit(), message });
                }
            };
            variable.fits(value.as_ref()).map_err(|unfit| Verdict {
                exit: Exit::Config,
                message: format!("'{secret}' cannot be in the variable {variable}: {unfit}"),
            })?;
            values.push((variable.clone(), value));
        }
        Ok(Self(values))
    }
}

/// Starts the command, as the leader of a process group of its own. Each copy that its environment is made of is wiped when
/// this returns: the allocator does it.
///
/// # Errors
/// [`NotStarted`], with 126 or 127.
pub(super) fn start(
    plan: &Plan,
    values: &Values,
    beginning: Beginning,
    terminal: Option<&Terminal>,
) -> Result<Pid, NotStarted> {
    let program = plan.command.first().map_or(OsStr::new(""), |program| program.as_os_str());
    let refused = |error: &io::Error| {
        let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
        NotStarted { code, message: format!("{} cannot be started: {error}", program.display()) }
    };
    let mut command = Command::new(program);
    command.args(plan.command.iter().skip(1)).process_group(0).env(SOCKET, &plan.socket);
    if let Some(files) = &plan.files {
        command.env(SECRETS_DIR, &files.directory);
    }
    for (variable, value) in &values.0 {
        command.env(variable.as_str(), OsStr::from_bytes(value.as_ref()));
    }
    let terminal = terminal.and_then(Terminal::for_start).map(std::fs::File::try_clone).transpose();
    let terminal = terminal.map_err(|error| refused(&error))?;
    let Beginning { blocked, children_ignored } = beginning;
    bequeath(&mut command, Inheritance { blocked, children_ignored, terminal });
    let started = command.spawn().map_err(|error| refused(&error))?;
    i32::try_from(started.id()).map(Pid::from_raw).map_err(|error| refused(&io::Error::other(error)))
}
