//! Arguments, log, exit code.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use keyside::agent::{self, Span};
use keyside::check::{self, Report};
use keyside::cli::{self, AgentArgs, CheckArgs, Cli, Command, Exit, Output, WipeArgs};
use keyside::client::{self, Search};
use keyside::config::Config;
use keyside::environment::Environment;
use keyside::principal::SystemAccounts;
use keyside::{files, logging};
use zeroizing_alloc::ZeroAlloc;

/// Every buffer that a secret passes through is wiped when it is freed.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let exit = match Cli::understand(std::env::args_os()) {
        Ok(cli) => dispatch(cli).unwrap_or_else(|error| {
            // When standard error is closed, nobody is left to tell.
            drop(writeln!(io::stderr(), "keyside: {error:#}"));
            Exit::Internal
        }),
        Err(exit) => exit,
    };
    exit.into()
}

fn dispatch(cli: Cli) -> Result<Exit> {
    let mut out = io::stdout().lock();
    match cli.command {
        Command::Agent(args) => {
            drop(out);
            run_agent(&args)
        }
        Command::Check(args) => Ok(run_check(&args, &mut out)?),
        Command::Wipe(args) => run_wipe(&args),
        Command::Client(command) => Ok(client::run(&command, &Search::of_this_process(), &mut out, &mut io::stderr())),
        Command::Completions { shell } => Ok(cli::print_completions(shell, &mut out).map(|()| Exit::Success)?),
        Command::Man { directory } => cli::write_manual(&directory)
            .map(|()| Exit::Success)
            .with_context(|| format!("could not write manual pages to {}", directory.display())),
    }
}

fn run_agent(args: &AgentArgs) -> Result<Exit> {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
    let environment: Environment = std::env::vars_os().collect();
    let Some((config, report)) = load(&args.config)? else { return Ok(Exit::Config) };
    logging::start(config.log, environment.get("RUST_LOG"), io::stderr().is_terminal())?;
    for warning in report.warnings() {
        tracing::warn!("{warning}");
    }
    agent::run(config, &environment, if args.once { Span::OneLook } else { Span::UntilStopped })
}

/// Reads a configuration that fits. What is wrong with any other is said here.
fn load(path: &Path) -> io::Result<Option<(Config, Report)>> {
    match check::examine(path, &SystemAccounts, Path::new("/")) {
        Ok(found) => Ok(Some(found)),
        Err(report) => report.write(Output::Text, &mut io::stderr()).map(|()| None),
    }
}

fn run_check(args: &CheckArgs, out: &mut impl io::Write) -> io::Result<Exit> {
    match check::examine(&args.config, &SystemAccounts, Path::new("/")) {
        Ok((_, report)) => report.write(args.output, out).map(|()| Exit::Success),
        Err(report) => report.write(args.output, out).map(|()| Exit::Config),
    }
}

fn run_wipe(args: &WipeArgs) -> Result<Exit> {
    let Some(config) = load(&args.config)? else { return Ok(Exit::Config) };
    config.0.files.map_or(Ok(()), |files| files::wipe_all(&files.directory))?;
    Ok(Exit::Success)
}
