//! Arguments, log, exit code.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use keyside::cli::{print_completions, write_manual};
use keyside::environment::Environment;
use keyside::logging;
use keyside_bootstrap::cli::{Cli, Command, EstateCommand, Exit, Output};
use keyside_bootstrap::failure::Failure;
use keyside_bootstrap::run;
use serde_json::json;
use zeroizing_alloc::ZeroAlloc;

/// Every buffer that a secret passes through is wiped when it is freed.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let exit = match Cli::understand(&arguments, &mut io::stdout()) {
        Ok(Cli { command: Command::Estate(command) }) => run(&command).unwrap_or_else(|error| {
            if command.only_looks() && run::reader_is_gone(&error) {
                return Exit::Success;
            }
            tell(&Failure::of(&error), command.common().output)
        }),
        Ok(Cli { command: Command::Completions { shell } }) => {
            finish(print_completions::<Cli>(shell, &mut io::stdout()).map_err(Into::into))
        }
        Ok(Cli { command: Command::Man { directory } }) => finish(write_manual::<Cli>(&directory)),
        Err(exit) => exit,
    };
    exit.into()
}

/// How a command ends that has nothing to do with an estate.
fn finish(outcome: Result<()>) -> Exit {
    outcome.map_or_else(|error| tell(&Failure::of(&error), Output::Text), |()| Exit::Success)
}

/// When an output is closed, nobody is left there to tell.
fn tell(failure: &Failure, output: Output) -> Exit {
    drop(failure.write(&mut io::stderr()));
    if output == Output::Json {
        drop(writeln!(io::stdout(), "{:#}", failure.in_document(json!({}))));
    }
    failure.exit()
}

fn run(command: &EstateCommand) -> Result<Exit> {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
    let environment: Environment = std::env::vars_os().collect();
    let settings = logging::Settings { level: "warn".parse()?, format: logging::Format::Text };
    logging::start(settings, environment.get("RUST_LOG"), io::stderr().is_terminal())?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("could not start a runtime")?;
    let outcome = runtime.block_on(run::run(command, &environment, &mut io::stdout()));
    // A name look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    outcome
}
