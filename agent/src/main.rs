//! Arguments, log, exit code.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use keyside::agent::{self, Span};
use keyside::cli::{self, AgentArgs, CheckArgs, Cli, Command, Exit, Output};
use keyside::client::{self, connection::Search};
use keyside::environment::Environment;
use keyside::principal::SystemAccounts;
use keyside::{check, logging};
use zeroizing_alloc::ZeroAlloc;

/// Every buffer that a secret passes through is wiped when it is freed.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let exit = match Cli::understand(std::env::args_os()) {
        Ok(cli) => dispatch(cli).unwrap_or_else(|error| {
            complain(&format!("keyside: {error:#}"));
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
        Command::Client(command) => Ok(client::run(&command, &Search::of_this_process(), &mut out, &mut io::stderr())),
        Command::Completions { shell } => Ok(cli::print_completions(shell, &mut out).map(|()| Exit::Success)?),
        Command::Man { directory } => Ok(cli::write_manual(&directory).map(|()| Exit::Success)?),
    }
}

fn run_agent(args: &AgentArgs) -> Result<Exit> {
    let environment: Environment = std::env::vars_os().collect();
    let (config, report) = match check::examine(&args.config, &SystemAccounts, Path::new("/")) {
        Ok(found) => found,
        Err(report) => {
            report.write(Output::Text, &mut io::stderr())?;
            return Ok(Exit::Config);
        }
    };
    logging::start(config.log, environment.get("RUST_LOG"), io::stderr().is_terminal())?;
    for warning in report.warnings() {
        tracing::warn!("{warning}");
    }
    agent::run(config, &environment, if args.once { Span::OneLook } else { Span::UntilStopped })
}

fn run_check(args: &CheckArgs, out: &mut impl io::Write) -> io::Result<Exit> {
    match check::examine(&args.config, &SystemAccounts, Path::new("/")) {
        Ok((_, report)) => report.write(args.output, out).map(|()| Exit::Success),
        Err(report) => report.write(args.output, out).map(|()| Exit::Config),
    }
}

/// Says what went wrong. When standard error is closed, nobody is left to tell.
fn complain(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}
