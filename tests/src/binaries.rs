//! Finds the workspace's programs beside the running test, and runs them in an environment with nothing else in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where the tests' programs find others.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command for one of the workspace's programs, with an empty environment but for the search path.
///
/// # Panics
/// When the program has not been built.
#[must_use]
pub fn command(name: &str) -> Command {
    // Tests that run in the background of a shell inherit that an interrupt is ignored; a user's program does not.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(path(name));
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}

/// Where a program of the workspace lies.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
    let program = folder.join(name);
    assert!(
        program.exists(),
        "{} is not built: run `cargo build --workspace --bins` first, or `make test`, which does",
        program.display()
    );
    program
}

/// A copy of a program in `folder`, which other users may enter: they may not be able to reach the build's folder.
///
/// # Panics
/// When the program has not been built or cannot be copied.
#[must_use]
pub fn copy_for_all(name: &str, folder: &Path) -> PathBuf {
    let copy = folder.join(name);
    // By a process of its own: one that another thread starts meanwhile would inherit the file while it is written, and what
    // somebody writes cannot be executed.
    let status = Command::new("cp").arg(path(name)).arg(&copy).status().expect("cp starts");
    assert!(status.success(), "room for a copy of the program");
    copy
}

/// Runs a command with `input` on its standard input and collects what it prints.
///
/// # Panics
/// When it cannot be started or read.
pub fn feed(command: &mut Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the command starts");
    // A command that does not read its input closes it early; that is no error of the test's.
    drop(process.stdin.take().expect("a piped input").write_all(input.as_bytes()));
    process.wait_with_output().expect("the command ends")
}
