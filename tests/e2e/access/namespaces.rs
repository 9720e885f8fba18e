//! Callers and agents in namespaces of their own, as in containers: users whom nobody knows, processes without a number.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use keyside_tests::agent::Agent;
use keyside_tests::binaries;
use keyside_tests::estate::Estate;
use keyside_tests::user::User;
use keyside_tests::wait;
use serde_json::Value;

use super::{STRANGER, TRAINER, may_be_others, status};

/// What the kernel shows for a user without a number here.
const OVERFLOW: u32 = 65_534;

/// `keyside get db` as a user, run by `unshare` with these options.
fn get_from(options: &[&str], uid: u32, estate: &Estate) -> Output {
    let program = estate.folder().join("keyside");
    let mut command = Command::new("unshare");
    command.args(options).arg(program).args(["get", "db", "--socket"]).arg(estate.socket());
    binaries::feed(command.uid(uid).gid(uid), "")
}

fn secret(readers: &str) -> String {
    format!("[[secret]]\nname = 'db'\nfile = false\nreaders = [{readers}]\n")
}

#[test]
fn in_a_user_namespace_a_caller_is_who_it_is_outside() {
    if !may_be_others() {
        return;
    }
    let estate = Estate::start(&[("db", "one")]);
    let _agent = estate.agent(&secret(&format!("'uid:0', 'uid:{TRAINER}'")));
    let _copy = binaries::copy_for_all("keyside", estate.folder());
    let rows = [
        ("as itself", &["--user"][..], TRAINER, "one"),
        ("as root there", &["--user", "--map-root-user"], TRAINER, "one"),
        ("in all namespaces that a container has", &["-U", "-r", "-m", "-p", "-f", "-i", "-u", "-n"], TRAINER, "one"),
        ("a stranger as root there", &["--user", "--map-root-user"], STRANGER, ""),
        ("a stranger without a number there", &["--user"], STRANGER, ""),
    ];
    for (row, options, uid, expected) in rows {
        let output = get_from(options, uid, &estate);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{row}: {output:?}");
        assert_eq!(output.status.code(), Some(if expected.is_empty() { 66 } else { 0 }), "{row}: {output:?}");
    }
}

/// An agent that `unshare` starts with these options.
fn agent_in(options: &[&str], estate: &Estate, more: &str) -> Agent {
    let mut command = Command::new("unshare");
    command.args(options).arg(binaries::path("keyside")).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let config = estate.config(more);
    let arguments = [OsStr::new("--config"), config.as_os_str()];
    let log = estate.folder().join("agent.log");
    let mut agent = Agent::start_by(command, &arguments, &estate.socket(), &log, &estate.variables());
    agent.wait_until_ready();
    agent
}

#[test]
fn a_user_who_has_no_number_where_the_agent_lives_is_refused_unless_listed_as_such() {
    if !may_be_others() {
        return;
    }
    let estate = Estate::start(&[("db", "one")]);
    // Root is the only user of this namespace.
    let of_root = ["--user", "--map-root-user"];
    {
        let others = secret(&format!("'uid:0', 'uid:{TRAINER}', 'gid:{OVERFLOW}'"));
        let agent = agent_in(&of_root, &estate, &others);
        assert_eq!(status(User::alone(0), agent.socket(), "db"), 200);
        let trainer = User::alone(TRAINER);
        assert_eq!(status(trainer, agent.socket(), "db"), 404, "its number is another's there");
        let in_groups = User { groups: &[OVERFLOW, 0], ..trainer };
        assert_eq!(status(in_groups, agent.socket(), "db"), 404, "nor does its group count");
        assert!(agent.log().contains(&format!("uid {OVERFLOW}")), "{}", agent.log());
    }
    let agent = agent_in(&of_root, &estate, &secret(&format!("'uid:{OVERFLOW}'")));
    assert_eq!(status(User::alone(TRAINER), agent.socket(), "db"), 200, "whoever listed it meant it");
    assert_eq!(status(User::alone(0), agent.socket(), "db"), 404);
}

fn last_line(audit: &Path, lines: usize) -> Value {
    wait::until("the line", || {
        let text = std::fs::read_to_string(audit).ok()?;
        serde_json::from_str(text.lines().nth(lines - 1)?).ok()
    })
}

#[test]
fn across_process_namespaces_the_user_counts_and_no_number_is_made_up() {
    if !may_be_others() {
        return;
    }
    let estate = Estate::start(&[("db", "one")]);
    let audit = estate.folder().join("audit");
    let more = format!("[audit]\nfile = '{}'\n{}", audit.display(), secret(&format!("'uid:{TRAINER}'")));
    // The agent sees nothing of processes outside.
    let agent = agent_in(&["--pid", "--fork", "--kill-child"], &estate, &more);
    assert_eq!(status(User::alone(TRAINER), agent.socket(), "db"), 200);
    assert_eq!(status(User::alone(STRANGER), agent.socket(), "db"), 404);
    let (given, denied) = (last_line(&audit, 1), last_line(&audit, 2));
    assert_eq!((&given["uid"], &given["pid"], &given["verdict"]), (&TRAINER.into(), &Value::Null, &"given".into()));
    assert_eq!(
        (&denied["uid"], &denied["pid"], &denied["verdict"]),
        (&STRANGER.into(), &Value::Null, &"denied".into())
    );
    assert!(agent.log().contains("pid of another container"), "{}", agent.log());
}

#[test]
fn a_caller_in_a_process_namespace_has_the_number_that_it_has_where_the_agent_lives() {
    if !may_be_others() {
        return;
    }
    let estate = Estate::start(&[("db", "one")]);
    let audit = estate.folder().join("audit");
    let more = format!("[audit]\nfile = '{}'\n{}", audit.display(), secret(&format!("'uid:{TRAINER}'")));
    let _agent = estate.agent(&more);
    let _copy = binaries::copy_for_all("keyside", estate.folder());
    let output = get_from(&["--user", "--pid", "--fork"], TRAINER, &estate);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "one", "{output:?}");
    let line = last_line(&audit, 1);
    // In its own namespace it is the first process.
    assert!(line["pid"].as_u64().expect("a number") > 1, "{line}");
}
