//! Where a value is in the agent's memory: once, in locked pages, and nowhere after a rotation.
//!
//! Reading another process's memory takes root and `CAP_SYS_PTRACE`; without them the scenarios say that they are skipped.

use keyside_tests::agent::Agent;
use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::http::Connection;
use keyside_tests::memory_scan::{self, Count};
use keyside_tests::report::{say, skipped};
use keyside_tests::wait;

const FIRST: &str = "first-value-4fQ7mZk2Xw9rT1bV8yLc";
const SECOND: &str = "second-value-9hJ3nRs6Pd0gU5eA2oKi";
const STEADY: &str = "steady-value-1mC8vXz5Bt7yW4qE6rNl";

const CONFIG: &str = "[[secret]]\nname = 'rotates'\n[[secret]]\nname = 'stays'\n";

/// Reads the secret in each way that a pipeline reads it.
fn read_a_lot(agent: &Agent) {
    let mut connection = Connection::open(agent.socket());
    for _ in 0..1_000 {
        assert_eq!(connection.get("/v1/secrets/rotates/value").status, 200);
    }
    for number in 0..300 {
        let path = if number % 2 == 0 { "/v1/secrets/rotates" } else { "/v1/secrets/rotates/value" };
        assert_eq!(agent.get(path).status, 200);
    }
    let concurrent: Vec<_> = (0..64)
        .map(|_| {
            let mut connection = Connection::open(agent.socket());
            std::thread::spawn(move || connection.get("/v1/secrets/rotates/value").status)
        })
        .collect();
    for reader in concurrent {
        assert_eq!(reader.join().expect("a reader"), 200);
    }
}

fn counts(when: &str, pid: u32) -> [Count; 3] {
    let found = [FIRST, SECOND, STEADY].map(|value| memory_scan::count(pid, value.as_bytes()));
    let mut lines = vec![format!("{when}:")];
    for (name, count) in ["first", "second", "steady"].into_iter().zip(found) {
        lines.push(format!("  {name:<7} {} in locked memory, {} elsewhere", count.locked, count.elsewhere));
    }
    say(&lines.join("\n"));
    found
}

/// Runs the whole life of a value and compares with what each copy in readable locked memory counts as.
fn follow(backend: &str, live: Count) {
    let none = Count::default();
    let estate = Estate::start(&[("rotates", FIRST), ("stays", STEADY)]);
    let agent = estate.agent(&format!("[memory]\nbackend = '{backend}'\n{CONFIG}"));
    if !memory_scan::is_allowed(agent.pid()) {
        skipped("only root with CAP_SYS_PTRACE may read another process's memory");
        return;
    }
    let vault = memory_scan::count(agent.pid(), format!("https://{VAULT}.vault.azure.net").as_bytes());
    assert_ne!(vault, none, "the scan finds what is known to be there");
    say(&format!("backend {backend}, status: {}", agent.get("/v1/status").json()["operation"]["memory_protection"]));
    let counts = |when: &str| counts(&format!("{backend}, {when}"), agent.pid());
    assert_eq!(counts("after one fetch"), [live, none, live]);
    read_a_lot(&agent);
    assert_eq!(counts("after 1,000 + 300 + 64 reads"), [live, none, live]);
    estate.emulator.set_secret(VAULT, "rotates", SECOND);
    agent.refresh();
    wait::until("the new value", || (agent.value("rotates") == SECOND.as_bytes()).then_some(()));
    assert_eq!(counts("after the rotation"), [none, live, live]);
    read_a_lot(&agent);
    assert_eq!(counts("after reads of the new value"), [none, live, live]);
}

#[test]
fn with_mlock_each_live_value_is_there_once_and_locked() {
    follow("mlock", Count { locked: 1, elsewhere: 0 });
}

#[test]
fn with_secret_memory_no_value_can_be_read_at_all() {
    follow("memfd_secret", Count::default());
}
