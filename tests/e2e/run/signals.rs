//! What signals do to a run and to its command, and what becomes of processes that the command leaves behind.

use std::process::Command;

use keyside_tests::estate::Estate;
use keyside_tests::report::root_or_skip;
use keyside_tests::{binaries, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wrapper::{self, SECRETS, Wrapper, processes_with};

const ENV: &[&str] = &["--env", "db-password"];

/// A shell's line for a program that says each signal that it gets, and ends only when it gets SIGKILL. It has no children,
/// which would get them, too.
const SAYS_ITS_SIGNALS: &str = r#"exec python3 -uc '
import signal
for name in "TERM INT HUP QUIT USR1 USR2 WINCH CONT TSTP".split():
    signal.signal(getattr(signal, "SIG" + name), lambda number, frame, name=name: print("got-" + name + "."))
print("started.")
while True:
    signal.pause()
'"#;

#[test]
fn every_forwarded_signal_reaches_the_command() {
    let estate = Estate::start(SECRETS);
    let wrapper = Wrapper::start(&estate, ENV, SAYS_ITS_SIGNALS);
    wrapper.wait_for("started.");
    let signals = [
        (Signal::SIGINT, "got-INT."),
        (Signal::SIGHUP, "got-HUP."),
        (Signal::SIGQUIT, "got-QUIT."),
        (Signal::SIGUSR1, "got-USR1."),
        (Signal::SIGUSR2, "got-USR2."),
        (Signal::SIGWINCH, "got-WINCH."),
        (Signal::SIGCONT, "got-CONT."),
        (Signal::SIGTSTP, "got-TSTP."),
        (Signal::SIGTERM, "got-TERM."),
    ];
    for (signal, word) in signals {
        wrapper.send(signal);
        wrapper.wait_for(word);
    }
}

#[test]
fn a_command_that_ignores_sigterm_is_killed_after_the_grace() {
    let estate = Estate::start(SECRETS);
    let mut wrapper = Wrapper::start(&estate, &[ENV, &["--grace", "300ms"]].concat(), SAYS_ITS_SIGNALS);
    wrapper.wait_for("started.");
    wrapper.send(Signal::SIGTERM);
    assert_eq!(wrapper.end(), Some(128 + Signal::SIGKILL as i32));
    assert!(wrapper.said().contains("got-TERM."), "it was asked first");
    assert!(wrapper.log().contains("is killed"), "{}", wrapper.log());
    assert_eq!(wrapper::leftovers(&estate), [] as [&std::path::Path; 0]);
}

#[test]
fn a_signal_before_the_command_ends_the_run() {
    let estate = Estate::start(&[]);
    estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "503"]);
    let mut wrapper = Wrapper::start(&estate, ENV, "echo started.");
    wait::until("the reason", || wrapper.log().contains("waiting: ").then_some(()));
    wrapper.send(Signal::SIGTERM);
    assert_eq!(wrapper.end(), Some(128 + Signal::SIGTERM as i32));
    assert_eq!(wrapper.said(), "");
    assert_eq!(wrapper::leftovers(&estate), [] as [&std::path::Path; 0]);
}

#[test]
fn a_signal_that_a_run_was_started_to_ignore_does_not_end_it_before_its_command() {
    let estate = Estate::start(&[]);
    estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "503"]);
    let run = wrapper::command(&estate, ENV, &["true"]);
    let mut outer = Command::new("sh");
    outer.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(binaries::path("keyside")).args(run.get_args().skip(2));
    outer.env_clear().env("PATH", "/usr/bin:/bin").envs(wrapper::variables(&estate));
    let mut wrapper = Wrapper::of(&estate, outer);
    wait::until("the reason", || wrapper.log().contains("waiting: ").then_some(()));
    wrapper.send(Signal::SIGHUP);
    wrapper.send(Signal::SIGTERM);
    assert_eq!(wrapper.end(), Some(128 + Signal::SIGTERM as i32), "not by SIGHUP: {}", wrapper.log());
}

#[test]
fn a_command_that_stops_where_no_shell_is_is_continued_without_haste() {
    let estate = Estate::start(SECRETS);
    let stops =
        "import os, signal, time\nbegin = time.monotonic()\nfor _ in range(3): os.kill(os.getpid(), signal.SIGTSTP)
print('stopped for %d.' % (time.monotonic() - begin))";
    let run = wrapper::command(&estate, ENV, &["python3", "-c", stops]);
    let mut outer = Command::new("setsid");
    outer.arg(binaries::path("keyside")).args(run.get_args().skip(2));
    outer.env_clear().env("PATH", "/usr/bin:/bin").envs(wrapper::variables(&estate));
    let mut wrapper = Wrapper::of(&estate, outer);
    assert_eq!(wrapper.end(), Some(0), "{}", wrapper.log());
    let seconds = wrapper.said().trim_start_matches("stopped for ").trim_end_matches(".\n").parse::<u32>();
    assert!(seconds.expect("a number") >= 3, "{}", wrapper.said());
}

#[test]
fn what_the_command_leaves_in_its_group_is_ended_and_a_daemon_goes_on() {
    let estate = Estate::start(SECRETS);
    let marker = format!("{}", 86_400 + std::process::id());
    let told = estate.folder().join("told");
    let script = format!(
        "sleep {marker}.1 & setsid sh -c 'echo daemon.; exec sleep {marker}.2' &
         while ! [ -e {} ]; do sleep 0.02; done; exit 3",
        told.display()
    );
    let mut wrapper = Wrapper::start(&estate, ENV, &script);
    wrapper.wait_for("daemon.");
    std::fs::write(told, "").expect("written");
    assert_eq!(wrapper.end(), Some(3), "{}", wrapper.log());
    assert_eq!(processes_with(&format!("sleep {marker}.1")), []);
    // Its shell has become it, or is about to.
    let daemons = processes_with(&format!("sleep {marker}.2"));
    assert_eq!(daemons.len(), 1, "it left the group");
    kill(daemons[0], Signal::SIGKILL).expect("our own");
}

#[test]
fn what_ignores_sigterm_in_the_group_is_killed_when_the_command_has_ended() {
    let estate = Estate::start(SECRETS);
    let marker = format!("{}", 172_800 + std::process::id());
    let script = format!("(trap '' TERM; echo started.; exec sleep {marker}) & while :; do sleep 0.01; done");
    let mut wrapper = Wrapper::start(&estate, &[ENV, &["--grace", "300ms"]].concat(), &script);
    wrapper.wait_for("started.");
    wait::until("the sleep", || processes_with(&format!("sleep {marker}")).first().copied());
    wrapper.send(Signal::SIGTERM);
    assert_eq!(wrapper.end(), Some(128 + Signal::SIGTERM as i32), "the command's own end");
    assert_eq!(processes_with(&format!("sleep {marker}")), []);
}

#[test]
fn orphans_are_reaped() {
    let estate = Estate::start(SECRETS);
    // The middle process ends at once; its child then belongs to the supervisor, and ends, too.
    let script = "(sh -c 'echo orphan $$.; exec sleep 0.2' &) ; echo started.; exec sleep 60";
    let wrapper = Wrapper::start(&estate, ENV, script);
    wrapper.wait_for("orphan ");
    let said = wrapper.said();
    let pid = said.split_once("orphan ").and_then(|(_, rest)| rest.split_once('.')).expect("a number").0.to_owned();
    wait::until("the orphan's end", || (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
}

#[test]
fn as_the_first_process_of_a_namespace_it_does_the_same() {
    if !root_or_skip("only root may make a process namespace") {
        return;
    }
    let estate = Estate::start(SECRETS);
    let script = format!("echo pid $PPID.; (sh -c 'exec sleep 0.1' &); {SAYS_ITS_SIGNALS}");
    let run = wrapper::command(&estate, &[ENV, &["--grace", "300ms"]].concat(), &["sh", "-c", &script]);
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(binaries::path("keyside"))
        .args(run.get_args().skip(2));
    unshare.env_clear().env("PATH", "/usr/bin:/bin").envs(wrapper::variables(&estate));
    let mut wrapper = Wrapper::of(&estate, unshare);
    wrapper.wait_for("started.");
    assert!(wrapper.said().contains("pid 1."), "{}", wrapper.said());
    let first = wait::until("the supervisor", || child_of(wrapper.pid()));
    for (signal, word) in
        [(Signal::SIGUSR1, "got-USR1."), (Signal::SIGTSTP, "got-TSTP."), (Signal::SIGTERM, "got-TERM.")]
    {
        kill(first, signal).expect("it runs");
        wrapper.wait_for(word);
    }
    assert_eq!(wrapper.end(), Some(128 + Signal::SIGKILL as i32));
    assert_eq!(wrapper::leftovers(&estate), [] as [&std::path::Path; 0]);
}

fn child_of(parent: Pid) -> Option<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}
