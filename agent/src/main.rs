//! Arguments, environment, exit code.

use std::process::ExitCode;

use keyside::cli::{Cli, Exit};
use keyside::command;
use keyside::logging::say_last;
use zeroizing_alloc::ZeroAlloc;

/// Every buffer that a secret passes through is wiped when it is freed.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
    let environment = std::env::vars_os().collect();
    match Cli::understand(std::env::args_os()) {
        Ok(cli) => command::run(cli.command, &environment).unwrap_or_else(|error| {
            say_last(&format!("keyside: {error:#}\n"));
            Exit::Internal.into()
        }),
        Err(exit) => exit.into(),
    }
}
