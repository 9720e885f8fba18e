//! The commands for people and scripts: what they print and how they end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::fd::AsFd as _;

use keyside_tests::agent::{Agent, keyside};
use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::{binaries, wait};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

const CONFIG: &str = "[[secret]]\nname = 'db-password'\n[[secret]]\nname = 'api-token'\nvault_name = 'vendor-token'\n";

fn run(agent: &Agent, arguments: &[&str]) -> (Option<i32>, String, String) {
    let socket = agent.socket().display().to_string();
    let variables = BTreeMap::from([("KEYSIDE_SOCKET".to_owned(), socket)]);
    let output = keyside(arguments, &variables);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn each_command_prints_what_it_is_for() {
    let estate = Estate::start(&[("db-password", "hunter2-k9"), ("vendor-token", "t0k3n")]);
    let agent = estate.agent(CONFIG);
    assert_eq!(run(&agent, &["get", "db-password"]), (Some(0), "hunter2-k9".to_owned(), String::new()));
    assert_eq!(run(&agent, &["get", "api-token"]).1, "t0k3n", "by its local name");
    let (code, table, _) = run(&agent, &["list"]);
    assert_eq!(code, Some(0));
    assert!(table.contains("db-password") && table.contains("api-token") && !table.contains("hunter2"), "{table}");
    let (_, json, _) = run(&agent, &["list", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json.to_string().contains("api-token") && !json.to_string().contains("t0k3n"), "{json}");
    assert_eq!(run(&agent, &["wait", "db-password"]).0, Some(0), "it is there already");
    assert_eq!(run(&agent, &["health"]).0, Some(0));
    assert_eq!(run(&agent, &["health", "--ready"]).0, Some(0));
    let (code, status, _) = run(&agent, &["status"]);
    assert_eq!(code, Some(0));
    assert!(status.contains("client secret") && status.contains(VAULT), "{status}");
    let (_, json, _) = run(&agent, &["status", "--output", "json"]);
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
}

#[test]
fn wait_for_a_change_ends_when_it_comes() {
    let estate = Estate::start(&[("db-password", "one")]);
    let agent = estate.agent("[[secret]]\nname = 'db-password'\n");
    let socket = agent.socket().display().to_string();
    let waiting = std::thread::spawn(move || {
        let arguments = ["wait", "db-password", "--change", "--timeout", "30s", "--socket", &socket];
        keyside(&arguments, &BTreeMap::new()).status.code()
    });
    // The command first learns the version that it waits to see changed; changes are made until it has seen one.
    let mut number = 0;
    while !waiting.is_finished() {
        number += 1;
        estate.emulator.set_secret(VAULT, "db-password", &format!("value-{number}"));
        agent.refresh();
    }
    assert_eq!(waiting.join().expect("it ends"), Some(0));
}

#[test]
fn without_an_agent_every_command_says_so_and_ends_with_69() {
    let variables = BTreeMap::from([("KEYSIDE_SOCKET".to_owned(), "/nonexistent/agent.sock".to_owned())]);
    for arguments in [&["get", "x"][..], &["list"], &["status"], &["health"], &["health", "--ready"]] {
        let output = keyside(arguments, &variables);
        assert_eq!(output.status.code(), Some(69), "{arguments:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("/nonexistent/agent.sock"), "{arguments:?}: {told}");
    }
}

#[test]
fn before_the_first_value_readers_are_told_to_come_back() {
    let estate = Estate::start(&[]);
    let agent = Agent::start(&estate.config("[[secret]]\nname = 'later'\n"), &estate.socket(), &estate.variables());
    wait::until("the agent's socket", || estate.socket().exists().then_some(()));
    assert_eq!(run(&agent, &["get", "later"]).0, Some(75));
    assert_eq!(run(&agent, &["health"]).0, Some(0));
    assert_eq!(run(&agent, &["health", "--ready"]).0, Some(75));
    let answer = agent.get("/v1/secrets/later/value");
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"));
}

#[test]
fn completions_and_manual_pages_are_made() {
    let output = keyside(&["completions", "bash"], &BTreeMap::new());
    assert!(String::from_utf8_lossy(&output.stdout).contains("_keyside"));
    let folder = tempfile::TempDir::new().expect("a folder");
    let output = keyside(&["man", &folder.path().display().to_string()], &BTreeMap::new());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(folder.path().join("keyside.1").exists());
}

/// A pipe that has no room, and its reader, who reads nothing.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    fcntl(writer.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("it is a pipe");
    let error = std::iter::repeat_with(|| writer.write(&[b'.'; 4096])).find_map(Result::err).expect("an end");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    fcntl(writer.as_fd(), FcntlArg::F_SETFL(OFlag::empty())).expect("it is a pipe");
    (reader, writer)
}

#[test]
fn an_error_that_nobody_reads_holds_up_no_end() {
    let (_reader, writer) = full_pipe();
    let full = File::options().write(true).open("/dev/full").expect("a device");
    let mut command = binaries::command("keyside");
    let mut program = command.args(["completions", "bash"]).stdout(full).stderr(writer).spawn().expect("it starts");
    let status = wait::until("the end", || program.try_wait().expect("it can be asked"));
    assert_eq!(status.code(), Some(70), "the completions could not be written");
}
