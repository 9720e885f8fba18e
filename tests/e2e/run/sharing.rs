//! One agent for all runs of a node: started once, kept while anybody needs it, and gone with the last of them.

use std::path::Path;

use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::wait;
use nix::sys::signal::{Signal, kill};

use super::wrapper::{self, SECRETS, Wrapper, agents, leftovers, processes_with};

const FLAGS: &[&str] = &["--env", "db-password", "--file", "x=db-password"];
const NOTHING: [&Path; 0] = [];

/// Says its value, and ends when its file of this number has come.
fn until_told(estate: &Estate, number: usize) -> String {
    let file = estate.folder().join(format!("end-{number}"));
    format!(
        "echo has-$DB_PASSWORD.; while ! [ -e {} ]; do sleep 0.02; done; cat $KEYSIDE_SECRETS_DIR/x",
        file.display()
    )
}

fn tell(estate: &Estate, number: usize) {
    std::fs::write(estate.folder().join(format!("end-{number}")), "").expect("written");
}

#[test]
fn eight_runs_at_once_start_one_agent_and_the_last_takes_it_down() {
    let estate = Estate::start(SECRETS);
    let mut runs: Vec<_> = (0..8).map(|number| Wrapper::start(&estate, FLAGS, &until_told(&estate, number))).collect();
    for run in &runs {
        run.wait_for("has-first-7fKq2mWz.");
    }
    // The others have ended, or are about to: they lost the race for the socket.
    let agent = wait::until("one agent alone", || <[_; 1]>::try_from(agents(&estate)).ok())[0];
    // The run that started it ends first.
    let starter = std::fs::read_to_string(format!("/proc/{agent}/stat")).expect("it runs");
    let parent: i32 = starter
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split(' ').nth(2))
        .expect("a parent")
        .parse()
        .expect("a number");
    let first = runs.iter().position(|run| run.pid().as_raw() == parent).expect("one of them started it");
    tell(&estate, first);
    assert_eq!(runs[first].end(), Some(0), "{}", runs[first].log());
    // What it logs now, nobody reads.
    estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "503"]);
    keyside_tests::http::Connection::open(&estate.socket()).request("POST", "/v1/refresh", &[]);
    assert!(wrapper::answers(&estate));
    assert_eq!(agents(&estate), [agent], "it goes on for the others");
    for number in (0..8).filter(|number| *number != first) {
        tell(&estate, number);
    }
    for run in &mut runs {
        assert_eq!(run.end(), Some(0), "{}", run.log());
        assert_eq!(run.said(), "has-first-7fKq2mWz.\nfirst-7fKq2mWz");
    }
    assert_eq!(agents(&estate), []);
    assert_eq!(leftovers(&estate), NOTHING);
}

#[test]
fn a_shared_agent_holds_nothing_that_its_starter_was_started_with() {
    let estate = Estate::start(SECRETS);
    let lock = estate.folder().join("lock");
    let starter = wrapper::command(&estate, FLAGS, &["sh", "-c", &until_told(&estate, 0)]);
    let mut outer = std::process::Command::new("sh");
    outer.args(["-c", &format!("exec 7>{}; flock 7; exec \"$@\"", lock.display()), "sh"]);
    outer.arg(keyside_tests::binaries::path("keyside")).args(starter.get_args().skip(2));
    outer.env_clear().env("PATH", "/usr/bin:/bin").envs(wrapper::variables(&estate));
    let mut starter = Wrapper::of(&estate, outer);
    starter.wait_for("has-");
    let second = Wrapper::start(&estate, FLAGS, &until_told(&estate, 1));
    second.wait_for("has-");
    let lock = std::fs::File::open(lock).expect("made");
    assert!(lock.try_lock().is_err(), "the starter has it");
    tell(&estate, 0);
    assert_eq!(starter.end(), Some(0), "{}", starter.log());
    assert_eq!(agents(&estate).len(), 1, "it goes on for the other");
    lock.try_lock().expect("the agent does not have it");
}

#[test]
fn an_agent_that_was_killed_is_started_again_while_the_command_goes_on() {
    let estate = Estate::start(SECRETS);
    let mut runs: Vec<_> = (0..2).map(|number| Wrapper::start(&estate, FLAGS, &until_told(&estate, number))).collect();
    for run in &runs {
        run.wait_for("has-");
    }
    for _ in 0..2 {
        let first = wait::until("one agent", || <[_; 1]>::try_from(agents(&estate)).ok())[0];
        kill(first, Signal::SIGKILL).expect("it runs");
        wait::until("another agent", || {
            let others = agents(&estate);
            (others.len() == 1 && others[0] != first && wrapper::answers(&estate)).then_some(())
        });
    }
    estate.emulator.set_secret(VAULT, "db-password", "second-Zp04vt");
    // It has just begun, so it may fetch either; asked to look again it has the new one.
    wait::until("the new value in the file", || {
        if wrapper::answers(&estate) {
            keyside_tests::http::Connection::open(&estate.socket()).request("POST", "/v1/refresh", &[]);
        }
        (std::fs::read(estate.secrets_folder().join("x")).ok()? == b"second-Zp04vt").then_some(())
    });
    for (number, run) in runs.iter_mut().enumerate() {
        tell(&estate, number);
        assert_eq!(run.end(), Some(0), "{}", run.log());
        assert!(run.said().ends_with(".\nsecond-Zp04vt"), "{}", run.said());
    }
    assert_eq!(leftovers(&estate), NOTHING);
}

#[test]
fn when_every_run_is_killed_its_command_is_too_and_the_agent_ends_by_itself() {
    let estate = Estate::start(SECRETS);
    let runs: Vec<_> = (0..2).map(|number| Wrapper::start(&estate, FLAGS, &until_told(&estate, number))).collect();
    for run in &runs {
        run.wait_for("has-");
    }
    for run in &runs {
        run.send(Signal::SIGKILL);
    }
    wait::until("the agent's end", || agents(&estate).is_empty().then_some(()));
    assert_eq!(leftovers(&estate), NOTHING);
    assert_eq!(processes_with(&estate.folder().join("end-").display().to_string()), []);
}

#[test]
fn a_run_that_ends_with_a_killed_agent_leaves_nothing_either() {
    let estate = Estate::start(SECRETS);
    let mut run = Wrapper::start(&estate, FLAGS, "kill -STOP $PPID; echo has-$DB_PASSWORD.");
    run.wait_for("has-");
    let agent = agents(&estate)[0];
    kill(agent, Signal::SIGKILL).expect("it runs");
    assert!(!leftovers(&estate).is_empty(), "its files are still there");
    run.send(Signal::SIGCONT);
    assert_eq!(run.end(), Some(0), "{}", run.log());
    assert_eq!(leftovers(&estate), NOTHING);
    assert_eq!(agents(&estate), []);
}

#[test]
fn runs_that_come_and_go_find_an_agent_each_and_leave_nothing() {
    let estate = Estate::start(SECRETS);
    let script = "[ \"$DB_PASSWORD\" = first-7fKq2mWz ] && [ \"$(cat $KEYSIDE_SECRETS_DIR/x)\" = first-7fKq2mWz ]";
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..6 {
                    let mut line = wrapper::command(&estate, FLAGS, &["sh", "-c", script]);
                    let output = line.output().expect("it starts");
                    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
                }
            });
        }
    });
    assert_eq!(leftovers(&estate), NOTHING);
    wait::until("the last agent's end", || agents(&estate).is_empty().then_some(()));
}

#[test]
fn an_agent_of_somebody_else_is_joined_and_stays() {
    let estate = Estate::start(SECRETS);
    let mut agent = estate.agent("[[secret]]\nname = 'db-password'\nfile = 'x'\n");
    let mut run = Wrapper::start(&estate, FLAGS, "echo has-$DB_PASSWORD.; cat $KEYSIDE_SECRETS_DIR/x");
    assert_eq!(run.end(), Some(0), "{}", run.log());
    assert_eq!(run.said(), "has-first-7fKq2mWz.\nfirst-7fKq2mWz");
    assert_eq!(agent.get("/healthz").status, 200);
    let lease = estate.folder().join("run/agent.sock.lease");
    assert!(!lease.exists(), "it has no lease, and gets none");
    assert_eq!(agent.stop().code(), Some(0));
}

#[test]
fn an_agent_that_does_not_serve_what_is_needed_is_told_of() {
    let estate = Estate::start(SECRETS);
    let _agent = estate.agent("[[secret]]\nname = 'db-password'\n");
    let other = ["--vault-url", "https://other-vault.vault.azure.net", "--env", "db-password"];
    let rows: [(&[&str], &str); 3] = [
        (&["--env", "api-token"], "has no secret 'api-token', or not for uid"),
        (&other, "serves https://ml-vault.vault.azure.net and not https://other-vault.vault.azure.net"),
        (FLAGS, "has not written"),
    ];
    for (flags, words) in rows {
        let mut run = Wrapper::start(&estate, flags, "echo started.");
        assert_eq!(run.end(), Some(78), "{flags:?}: {}", run.log());
        assert!(run.log().contains(words) && run.log().contains("--socket"), "{flags:?}: {}", run.log());
        assert_eq!(run.said(), "");
    }
}
