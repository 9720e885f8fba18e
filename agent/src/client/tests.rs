//! The commands against a real agent.

use clap::Parser as _;

use super::connection::Search;
use super::run;
use crate::cli::{Cli, Command, Exit};
use crate::serve::fixtures::{Agent, Setup};
use crate::testing::own_uid;

/// What a command did: its exit, what it printed, and what it complained about.
#[derive(Debug)]
struct Outcome {
    exit: Exit,
    out: Vec<u8>,
    err: String,
}

impl Outcome {
    fn text(&self) -> String {
        String::from_utf8(self.out.clone()).expect("text")
    }
}

/// Runs a command line against `agent`, on a thread that may block.
async fn keyside(agent: &Agent, line: &str) -> Outcome {
    let socket = agent.socket.to_str().expect("text").to_owned();
    let line = format!("keyside {line} --socket {socket}");
    run_line(line).await
}

async fn run_line(line: String) -> Outcome {
    let run = move || {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}"));
        let Command::Client(command) = cli.command else { panic!("{line} asks no agent") };
        let nowhere = std::path::PathBuf::from("/nonexistent");
        let search = Search { uid: own_uid(), common: nowhere.join("agent.sock"), shared_memory: nowhere };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = run(&command, &search, &mut out, &mut err);
        Outcome { exit, out, err: String::from_utf8(err).expect("text") }
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

#[tokio::test]
async fn get_prints_the_bytes_and_nothing_else() {
    let agent = Agent::with_values(Setup::default()).await;
    let every: Vec<u8> = (0..=255).collect();
    let longest = vec![b'x'; 25_600];
    for (value, digit) in [&b""[..], b"one", &every, &longest].into_iter().zip('b'..) {
        agent.set("db", digit, value);
        agent.look().await;
        let outcome = keyside(&agent, "get db").await;
        assert_eq!((outcome.exit, outcome.err.as_str()), (Exit::Success, ""));
        assert_eq!(outcome.out, value);
    }
}

#[tokio::test]
async fn each_refusal_has_its_exit_code_and_one_line_that_says_why() {
    let agent = Setup::default().start();
    agent.set("db", 'a', b"one");
    agent.look().await;
    let absent =
        |name: &str| format!("no secret '{name}': absent, or not readable by uid {}: see the agent's log", own_uid());
    let rows = [
        ("get hidden", Exit::Absent, absent("hidden")),
        ("get absent", Exit::Absent, absent("absent")),
        ("wait hidden", Exit::Absent, absent("hidden")),
        ("wait absent --change", Exit::Absent, absent("absent")),
        (
            "get token",
            Exit::NotYet,
            "the secret has not been fetched yet: the latest look ended with 'not_found'".to_owned(),
        ),
        ("wait token --timeout 20ms", Exit::NotYet, "'token' did not come or change in time".to_owned()),
        ("wait db --change --timeout 20ms", Exit::NotYet, "'db' did not come or change in time".to_owned()),
        ("health --ready", Exit::NotYet, "required secrets without a value: 1".to_owned()),
    ];
    for (line, exit, message) in rows {
        let outcome = keyside(&agent, line).await;
        assert_eq!(outcome.exit, exit, "{line}: {outcome:?}");
        assert_eq!((outcome.err, outcome.out), (format!("keyside: {message}\n"), vec![]), "{line}");
    }
}

#[tokio::test]
async fn a_revoked_secret_is_absent_with_its_reason_and_may_come_back_for_who_waits() {
    let agent = Agent::with_values(Setup::default()).await;
    agent.revoke("db").await;
    let outcome = keyside(&agent, "get db").await;
    let message = "no secret 'db': it is revoked: the vault has no such secret or version";
    assert_eq!((outcome.exit, outcome.err), (Exit::Absent, format!("keyside: {message}\n")));
    assert_eq!(keyside(&agent, "wait db --timeout 20ms").await.exit, Exit::NotYet);
    let comes_back = async {
        agent.set("db", 'b', b"two");
        agent.look().await;
    };
    let (outcome, ()) = tokio::join!(keyside(&agent, "wait db --timeout 1m"), comes_back);
    assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
}

#[tokio::test]
async fn without_an_agent_every_command_says_so() {
    for line in ["get db", "list", "wait db", "status", "health", "health --ready"] {
        let outcome = run_line(format!("keyside {line}")).await;
        assert_eq!(outcome.exit, Exit::Unavailable, "{line}");
        let private = format!("/nonexistent/keyside-{}/agent.sock", own_uid());
        let start = format!("keyside: no agent answers at /nonexistent/agent.sock or {private}: No such file");
        assert!(outcome.err.starts_with(&start), "{line}: {}", outcome.err);
        for remedy in ["`keyside run`", "`keyside agent`", "KEYSIDE_SOCKET", "`keyside get --direct`"] {
            assert!(outcome.err.contains(remedy), "{line}: {}", outcome.err);
        }
    }
}

#[tokio::test]
async fn an_agent_whose_loop_has_ended_is_not_healthy() {
    let agent = Setup { dead: true, ..Setup::default() }.start();
    assert_eq!(keyside(&agent, "health").await.exit, Exit::Unavailable);
    let agent = Agent::with_values(Setup::default()).await;
    assert_eq!(keyside(&agent, "health").await.exit, Exit::Success);
    assert_eq!(keyside(&agent, "health --ready").await.exit, Exit::Success);
}

#[tokio::test]
async fn lists_and_status_are_for_people_or_for_programs() {
    let agent = Agent::with_values(Setup::default()).await;
    let list = keyside(&agent, "list").await;
    let row = format!("db     fresh  {}  30s  -", "a".repeat(32));
    assert_eq!(list.text().lines().nth(1), Some(row.as_str()), "{list:?}");
    assert!(keyside(&agent, "status").await.text().contains("ready  yes"));
    for line in ["list --output json", "status --output json"] {
        let outcome = keyside(&agent, line).await;
        let document: serde_json::Value = serde_json::from_slice(&outcome.out).expect("JSON");
        assert_eq!(document["secrets"][0]["name"], "db", "{line}");
    }
}

#[tokio::test]
async fn wait_ends_with_the_first_version_and_with_the_next() {
    let agent = Setup::default().start();
    let first = async {
        agent.set("db", 'a', b"one");
        agent.look().await;
    };
    let (outcome, ()) = tokio::join!(keyside(&agent, "wait db --timeout 1m"), first);
    assert_eq!(outcome.exit, Exit::Success, "{outcome:?}");
    let rotations = async {
        // The command may take its first look late, so versions go on changing until it has seen one change.
        for digit in "bcdef0123456789".chars().cycle() {
            agent.set("db", digit, b"two");
            agent.look().await;
        }
    };
    tokio::select! {
        outcome = keyside(&agent, "wait db --change --timeout 1m") => assert_eq!(outcome.exit, Exit::Success, "{outcome:?}"),
        () = rotations => unreachable!("it has no end"),
    }
}
