//! What a scenario tells the person who runs it, also when it passes, since the test harness hides what is merely printed;
//! and what that person wishes of it.

use std::io::Write as _;

/// Writes a line to standard error, past the harness.
///
/// # Panics
/// When standard error is closed.
pub fn say(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").expect("standard error is open");
}

/// What the person who runs a scenario wishes of it, by a variable.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a test has no main function that could hand it on")]
pub fn wish(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Says loudly that a scenario is skipped, and why.
pub fn skipped(why: &str) {
    say(&format!("SKIPPED: {why}"));
}

/// Whether this is root; if not, says loudly that a scenario is skipped, and why only root could run it.
#[must_use]
pub fn root_or_skip(why: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skipped(why);
    }
    root
}
