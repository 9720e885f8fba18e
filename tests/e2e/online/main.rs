//! `keyside check --online` against the emulator: what is found, what grants it, and how the command ends.

mod confidential;
mod document;
mod grants;
mod identities;
mod way;

use std::collections::BTreeMap;

use keyside_tests::agent::keyside;
use keyside_tests::estate::Estate;

/// Two secrets that readiness waits for.
const CONFIG: &str = "[[secret]]\nname = 'db-password'\n[[secret]]\nname = 'api-token'\n";

const VALUES: [(&str, &str); 2] = [("db-password", "hunter2-Gk3vQ8zL1x"), ("api-token", "t0k3n-Tm7wR2yN5c")];

/// How a check ended, and what it printed.
struct Checked {
    code: Option<i32>,
    out: String,
}

impl Checked {
    /// The document, from a check that prints JSON.
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// The commands that it recommends.
    fn commands(&self) -> Vec<&str> {
        self.out.lines().filter_map(|line| line.strip_prefix("  $ ")).collect()
    }
}

/// Checks `config` as the estate's service principal, with more arguments.
fn check(estate: &Estate, config: &str, more: &[&str]) -> Checked {
    check_as(&estate.variables(), estate, config, more)
}

/// Checks `config` in another environment.
fn check_as(variables: &BTreeMap<String, String>, estate: &Estate, config: &str, more: &[&str]) -> Checked {
    let path = estate.config(config).display().to_string();
    check_with(variables, &[&["--config", &path], more].concat())
}

/// Checks what the arguments and the environment say.
fn check_with(variables: &BTreeMap<String, String>, arguments: &[&str]) -> Checked {
    let output = keyside(&[&["check", "--online"], arguments].concat(), variables);
    let out = String::from_utf8(output.stdout).expect("text");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!(err, "", "nobody watches a test, so nothing is told meanwhile");
    Checked { code: output.status.code(), out }
}
