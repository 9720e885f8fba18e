//! Arguments, log, exit code.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use keyside::environment::Environment;
use keyside::logging;
use keyside_bootstrap::cli::{Cli, Exit};
use keyside_bootstrap::run;
use zeroizing_alloc::ZeroAlloc;

/// Every buffer that a secret passes through is wiped when it is freed.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    let exit = match Cli::understand(std::env::args_os()) {
        Ok(cli) => run(&cli).unwrap_or_else(|error| {
            if cli.command.only_looks() && run::reader_is_gone(&error) {
                return Exit::Success;
            }
            // When standard error is closed, nobody is left to tell.
            drop(writeln!(io::stderr(), "keyside-bootstrap: {error:#}"));
            run::exit_of(&error)
        }),
        Err(exit) => exit,
    };
    exit.into()
}

fn run(cli: &Cli) -> Result<Exit> {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
    let environment: Environment = std::env::vars_os().collect();
    let settings = logging::Settings { level: "warn".parse()?, format: logging::Format::Text };
    logging::start(settings, environment.get("RUST_LOG"), io::stderr().is_terminal())?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("could not start a runtime")?;
    let outcome = runtime.block_on(run::run(&cli.command, &environment, &mut io::stdout()));
    // A name look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    outcome
}
