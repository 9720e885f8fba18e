//! What each command does: it gathers what the command needs of the process and hands it to the module that does the work.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::agent::{self, Span};
use crate::check::{self, Report};
use crate::cli::{self, AgentArgs, CheckArgs, Command, Exit, Output, WipeArgs};
use crate::client::{self, Search};
use crate::environment::Environment;
use crate::principal::SystemAccounts;
use crate::{files, hooks, logging};

/// Carries a command out.
///
/// # Errors
/// When something failed that should not; what people can mend is told by the command itself, and is an [`Exit`].
pub fn run(command: Command, environment: &Environment) -> Result<Exit> {
    let mut out = io::stdout().lock();
    match command {
        Command::Agent(args) => run_agent(&args, environment),
        Command::Check(args) => Ok(run_check(&args, &mut out)?),
        Command::Wipe(args) => run_wipe(&args),
        Command::Client(command) => Ok(client::run(&command, &Search::of_this_process(), &mut out, &mut io::stderr())),
        Command::HooksHelper => hooks::run_helper().map(|()| Exit::Success),
        Command::Completions { shell } => Ok(cli::print_completions(shell, &mut out).map(|()| Exit::Success)?),
        Command::Man { directory } => cli::write_manual(&directory)
            .map(|()| Exit::Success)
            .with_context(|| format!("could not write manual pages to {}", directory.display())),
    }
}

fn run_agent(args: &AgentArgs, environment: &Environment) -> Result<Exit> {
    let (config, report) = match check::examine(&args.config, &SystemAccounts, Path::new("/")) {
        Ok(found) => found,
        Err(report) => return Ok(refuse(&report)?),
    };
    logging::start(config.log, environment.get("RUST_LOG"), io::stderr().is_terminal())?;
    for warning in report.warnings() {
        tracing::warn!("{warning}");
    }
    agent::run(config, environment, if args.once { Span::OneLook } else { Span::UntilStopped })
}

fn refuse(report: &Report) -> io::Result<Exit> {
    report.write(Output::Text, &mut io::stderr()).map(|()| Exit::Config)
}

fn run_check(args: &CheckArgs, out: &mut impl Write) -> io::Result<Exit> {
    match check::examine(&args.config, &SystemAccounts, Path::new("/")) {
        Ok((_, report)) => report.write(args.output, out).map(|()| Exit::Success),
        Err(report) => report.write(args.output, out).map(|()| Exit::Config),
    }
}

fn run_wipe(args: &WipeArgs) -> Result<Exit> {
    // Root may wipe what another user's agent left, though it could not run an agent there.
    let config = match check::read(&args.config, &SystemAccounts) {
        Ok(config) => config,
        Err(report) => return Ok(refuse(&report)?),
    };
    config.files.map_or(Ok(()), |files| files::wipe_all(&files.directory))?;
    Ok(Exit::Success)
}
