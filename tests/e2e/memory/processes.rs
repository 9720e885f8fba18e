//! The processes beside the agent hold no value: the supervisor of `keyside run`, and the one that runs hooks.

use std::process::{Child, Command, Stdio};

use keyside_tests::estate::{CLIENT_SECRET, Estate, VAULT};
use keyside_tests::memory_scan::{Count, Scanner, is_allowed};
use keyside_tests::report::{say, skipped};
use keyside_tests::{binaries, http, wait};

const FIRST: &str = "v1-\"4fQ7\\mZk2Xw9rT1bV8yLc0";
const SECOND: &str = "v2-\"9hJ3\\nRs6Pd0gU5eA2oKi7";
const OTHER: &str = "v3-5xJ8vQz2Nt6yD0pS3mGb7Wq1";

/// What looks for the values, and for something that must be there, so that the search is seen to find.
fn scanner(known: &str) -> Scanner {
    let values =
        [("the first", FIRST), ("the second", SECOND), ("the other", OTHER), ("the client secret", CLIENT_SECRET)];
    Scanner::new(values.into_iter().chain([("known", known)]).map(|(name, text)| (name, text.as_bytes())))
}

fn assert_none(scanner: &Scanner, pid: u32, when: &str, values: &[&str]) {
    let findings = scanner.process(pid);
    assert_ne!(findings.count("known"), Count::NONE, "{when}: the search finds what is there");
    let counts: Vec<_> = values.iter().map(|value| findings.count(value)).collect();
    let told = values.iter().zip(&counts).map(|(value, count)| format!("{value} {}", count.locked + count.elsewhere));
    say(&format!("{when}: {}", told.collect::<Vec<_>>().join(", ")));
    assert!(counts.iter().all(|count| *count == Count::NONE), "{when}:\n{findings}");
}

/// A running `keyside run`; killed when dropped.
struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended already, by the test's own doing.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

#[test]
fn the_supervisor_of_a_run_has_no_value_before_while_and_after_its_command_runs() {
    let estate = Estate::start(&[("db", FIRST), ("other", OTHER)]);
    estate.emulator.run(&[
        "fault",
        "add",
        "--host",
        "*.vault.azure.net",
        "--path",
        "/secrets/other*",
        "--status",
        "503",
    ]);
    let said = estate.folder().join("said");
    let script =
        format!("trap 'exit 0' TERM; printf '%s\\n' \"$DB\" >>{}; while :; do sleep 0.05; done", said.display());
    let mut command = binaries::command("keyside");
    command.envs(estate.variables()).env("KEY_VAULT_URL", format!("https://{VAULT}.vault.azure.net"));
    command.args(["run", "--socket"]).arg(estate.socket()).args(["--env", "db", "--env", "other"]);
    command.args(["--on-change", "restart", "--", "sh", "-c", &script]).stdin(Stdio::null());
    let run = Run(command.spawn().expect("it starts"));
    let pid = run.0.id();
    let socket = estate.socket();
    let is_there = || socket.exists() && http::get(&socket, "/v1/secrets/db/value").status == 200;
    wait::until("the first secret", || is_there().then_some(()));
    if !is_allowed(pid) {
        skipped("only root with CAP_SYS_PTRACE may read another process's memory");
        return;
    }
    let scanner = scanner(socket.to_str().expect("text"));
    let values = ["the first", "the second", "the other"];
    assert_none(&scanner, pid, "the supervisor while it waits for the vault", &values);
    estate.emulator.run(&["fault", "clear"]);
    let has_said = |value: &str| std::fs::read_to_string(&said).is_ok_and(|text| text.ends_with(&format!("{value}\n")));
    wait::until("the command", || has_said(FIRST).then_some(()));
    assert_none(&scanner, pid, "the supervisor while its command runs", &values);
    estate.emulator.set_secret(VAULT, "db", SECOND);
    http::refresh(&socket);
    wait::until("the command's successor", || has_said(SECOND).then_some(()));
    assert_none(&scanner, pid, "the supervisor after its command, while the next one runs", &values);
}

#[test]
fn the_process_that_runs_hooks_has_neither_a_value_nor_a_credential() {
    let estate = Estate::start(&[("db", FIRST), ("other", OTHER)]);
    let touched = estate.folder().join("touched");
    let hook = format!("[[on_change]]\ncommand = ['/usr/bin/touch', '{}']\n", touched.display());
    let agent = estate.agent(&format!("[[secret]]\nname = 'db'\n[[secret]]\nname = 'other'\n{hook}"));
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.pid())).expect("it runs");
    let helper: u32 = children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a helper");
    if !is_allowed(helper) {
        skipped("only root with CAP_SYS_PTRACE may read another process's memory");
        return;
    }
    let scanner = scanner(touched.to_str().expect("text"));
    let values = ["the first", "the second", "the other", "the client secret"];
    assert_none(&scanner, helper, "the hooks' helper before a change", &values);
    estate.emulator.set_secret(VAULT, "db", SECOND);
    agent.refresh();
    wait::until("the hook", || touched.exists().then_some(()));
    assert_none(&scanner, helper, "the hooks' helper after a change", &values);
}

/// The search finds a value in a process that has one, so that what is said above can be wrong.
#[test]
fn a_command_that_has_a_value_is_seen_to_have_it() {
    let mut command = Command::new("sleep");
    let mut process = command.arg("60").env("OF_ITS_OWN", FIRST).spawn().expect("it starts");
    wait::until("its program", || {
        (std::fs::read(format!("/proc/{}/comm", process.id())).ok()? == b"sleep\n").then_some(())
    });
    let allowed = is_allowed(process.id());
    let found = allowed.then(|| scanner("never-there-2Hf6n").process(process.id()).count("the first"));
    process.kill().and_then(|()| process.wait()).expect("our own child");
    assert!(found.is_none_or(|count| count == Count { locked: 0, elsewhere: 1 }), "{found:?}");
}
