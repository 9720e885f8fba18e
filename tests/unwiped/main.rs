//! Keyside as it is, but with memory that is freed as it is: the scans of memory are shown to find what that leaves behind.

use std::io::{self, Write as _};
use std::process::ExitCode;

use keyside::cli::{Cli, Exit};
use keyside::command;

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
    let environment = std::env::vars_os().collect();
    match Cli::understand(std::env::args_os()) {
        Ok(cli) => command::run(cli.command, &environment).unwrap_or_else(|error| {
            // When standard error is closed, nobody is left to tell.
            drop(writeln!(io::stderr(), "keyside: {error:#}"));
            Exit::Internal.into()
        }),
        Err(exit) => exit.into(),
    }
}
