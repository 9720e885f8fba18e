//! What each command does: it gathers what the command needs of the process and hands it to the module that does the work.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::agent::{self, Span};
use crate::check::{self, Report};
use crate::cli::{self, AgentArgs, CheckArgs, ClientCommand, Command, Direct, Exit, Output, WipeArgs};
use crate::client::{self, Search};
use crate::direct::Question;
use crate::environment::Environment;
use crate::online::Audience;
use crate::principal::SystemAccounts;
use crate::secret::SecretName;
use crate::{files, hooks, logging, online};

/// Carries a command out.
///
/// # Errors
/// When something failed that should not; what people can mend is told by the command itself, and is an [`Exit`].
pub fn run(command: Command, environment: &Environment) -> Result<Exit> {
    let mut out = io::stdout().lock();
    match command {
        Command::Agent(args) => run_agent(&args, environment),
        Command::Check(args) => run_check(&args, environment, &mut out),
        Command::Wipe(args) => run_wipe(&args),
        Command::Client(ClientCommand::Get { name, direct, .. }) if direct.direct => {
            get_direct(name, &direct, environment)
        }
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

fn run_check(args: &CheckArgs, environment: &Environment, out: &mut impl Write) -> Result<Exit> {
    match check::examine(&args.config, &SystemAccounts, Path::new("/")) {
        Ok((config, report)) if args.online => {
            log_if_asked(environment)?;
            let mut terminal = io::stderr();
            let progress = terminal.is_terminal().then_some(&mut terminal as &mut dyn Write);
            let audience = Audience { out, progress, output: args.output };
            online::check(&config, &report, environment, audience)
        }
        Ok((_, report)) => Ok(report.write(args.output, out).map(|()| Exit::Success)?),
        Err(report) => Ok(report.write(args.output, out).map(|()| Exit::Config)?),
    }
}

fn get_direct(name: SecretName, direct: &Direct, environment: &Environment) -> Result<Exit> {
    let question = match question(name, direct, environment) {
        Ok(question) => question,
        Err(exit) => return Ok(exit?),
    };
    log_if_asked(environment)?;
    // The buffer of the standard library would keep a copy of the value.
    let mut unbuffered = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    Ok(question.ask(environment, &mut unbuffered, &mut io::stderr()))
}

/// What to ask for: by a file or a vault that is named, else by the vault in the environment, else by the file that is
/// installed.
fn question(name: SecretName, direct: &Direct, environment: &Environment) -> Result<Question, io::Result<Exit>> {
    let usage = |message: String| writeln!(io::stderr(), "keyside: {message}").map(|()| Exit::Usage);
    let vault = match (&direct.vault_url, environment.get("KEY_VAULT_URL")) {
        (Some(url), _) => Some(url.clone()),
        (None, Some(text)) if direct.config.is_none() => {
            Some(text.parse().map_err(|error| usage(format!("KEY_VAULT_URL: {error}")))?)
        }
        (None, _) => None,
    };
    if let Some(vault) = vault {
        return Ok(Question::of_vault(name, vault));
    }
    let path = direct.config.as_deref().unwrap_or(Path::new(cli::CONFIG));
    if direct.config.is_none() && !path.exists() {
        return Err(usage("name the vault by --vault-url or KEY_VAULT_URL, or a file by --config".to_owned()));
    }
    let config = check::read(path, &SystemAccounts).map_err(|report| refuse(&report))?;
    Question::of_config(&name, config).ok_or_else(|| {
        writeln!(io::stderr(), "keyside: {} configures no secret '{name}'", path.display()).map(|()| Exit::Absent)
    })
}

/// Commands that do not stay are silent about what libraries do, unless somebody asks.
fn log_if_asked(environment: &Environment) -> Result<()> {
    match environment.get("RUST_LOG") {
        Some(filter) => logging::start(logging::Settings::default(), Some(filter), io::stderr().is_terminal()),
        None => Ok(()),
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
