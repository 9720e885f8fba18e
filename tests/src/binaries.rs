//! Finds the workspace's programs beside the running test, and gives them an environment with nothing else in it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A command for one of the workspace's programs, with an empty environment but for the search path.
///
/// # Panics
/// When the program has not been built.
#[must_use]
pub fn command(name: &str) -> Command {
    let mut command = Command::new(path(name));
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
