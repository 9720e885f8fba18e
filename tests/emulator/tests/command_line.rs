//! The binary: it starts, tells clients how to find it, obeys, and ends cleanly.
#![expect(clippy::unwrap_used, reason = "a test may panic, and so may what only tests call")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_keyside-emulator");

/// A running emulator, which does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Running {
    fn start(directory: &Path, arguments: &[&str]) -> Running {
        let mut child = command(directory, &["serve"]).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let running = Running(child);
        assert_eq!(line, "ready\n");
        running
    }

    /// Asks it to end as a service manager does, and tells whether it ended well.
    fn terminate(mut self) -> bool {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.0.wait().unwrap().success()
    }
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).arg("--dir").arg(directory);
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    command(directory, arguments).output().unwrap()
}

fn succeed(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fail(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn it_starts_obeys_and_ends_cleanly() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path();
    assert!(fail(directory, &["env"]).contains("is `keyside-emulator serve` running there?"));
    let running = Running::start(directory, &[]);

    let exports = succeed(directory, &["env"]);
    let ca = directory.join("ca.pem");
    assert!(std::fs::read_to_string(&ca).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(exports.contains(&format!("export SSL_CERT_FILE='{}'\n", ca.display())), "{exports}");
    assert!(
        exports.contains("export HTTPS_PROXY='http://127.0.0.1:") && exports.contains("export NO_PROXY=''\n"),
        "{exports}"
    );

    assert_eq!(succeed(directory, &["secret", "set", "kv-keyside", "db-password", "-----BEGIN"]).trim().len(), 32);
    assert!(fail(directory, &["secret", "set", "no-such", "db", "x"]).contains("no vault is called \"no-such\""));
    assert!(
        fail(directory, &["secret", "delete", "kv-keyside", "no-such"]).contains("was not found in this key vault")
    );
    succeed(directory, &["secret", "disable", "kv-keyside", "db-password"]);
    succeed(directory, &["secret", "delete", "kv-keyside", "db-password"]);

    assert_eq!(succeed(directory, &["fault", "add", "--status", "503", "--count", "2"]), "1\n");
    assert!(fail(directory, &["fault", "add"]).contains("a fault needs one of"));
    assert_eq!(succeed(directory, &["fault", "list"]), "1 host=* path=* status=503 left=2\n");
    succeed(directory, &["fault", "clear"]);
    assert_eq!(succeed(directory, &["fault", "list", "--output", "json"]).trim(), "[]");
    assert_eq!(succeed(directory, &["requests"]), "");
    let before = succeed(directory, &["clock"]);
    assert!(succeed(directory, &["clock", "--advance", "1h"]) > before);

    assert!(running.terminate());
    assert!(
        fail(directory, &["env"]).contains("is `keyside-emulator serve` running there?"),
        "it left no trace of itself"
    );
}

#[test]
fn a_value_from_standard_input_is_stored_byte_by_byte() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state.json");
    let _running = Running::start(home.path(), &["--state", state.to_str().unwrap()]);
    let value = "line\n\"quoted\" \u{1F511}\n";
    let mut child = command(home.path(), &["secret", "set", "kv-keyside", "key"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
    assert_eq!(kept["vaults"][0]["contents"]["secrets"]["key"]["versions"][0]["value"], value);
}

#[test]
fn a_seed_that_cannot_be_is_refused_with_its_line() {
    let home = tempfile::tempdir().unwrap();
    let seed = home.path().join("seed.toml");
    std::fs::write(&seed, "[[vaults]]\nname = \"kv-demo\"\ncolour = \"red\"\n").unwrap();
    let message = fail(home.path(), &["serve", "--seed", seed.to_str().unwrap()]);
    assert!(message.contains("line 3 of the seed: unknown field `colour`"), "{message}");
}

#[test]
fn a_second_emulator_in_the_same_directory_is_refused_and_the_first_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let first = Running::start(directory.path(), &[]);
    let before = succeed(directory.path(), &["env"]);
    assert!(fail(directory.path(), &["serve"]).contains("already"));
    assert_eq!(succeed(directory.path(), &["env"]), before);
    succeed(directory.path(), &["requests"]);
    assert!(first.terminate());
}

#[test]
fn env_waits_for_an_emulator_that_starts_and_stops_a_script_where_there_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let early = command(directory.path(), &["env"]).stdout(Stdio::piped()).spawn().unwrap();
    let _running = Running::start(directory.path(), &[]);
    let output = early.wait_with_output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("export HTTPS_PROXY='http://127.0.0.1:"));
    let none = run(&directory.path().join("none"), &["env"]);
    assert_eq!((none.status.success(), &none.stdout[..]), (false, &b"false\n"[..]));
}
