//! Where a value is in the agent's memory: once, in locked pages, and nowhere after a rotation.
//!
//! Reading another process's memory takes root and `CAP_SYS_PTRACE`; without them the scenarios say that they are skipped.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use base64ct::{Base64, Encoding as _};
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

#[test]
fn of_a_value_that_has_many_fields_only_the_wanted_ones_stay() {
    const USER: &str = "field-user-5xJ8vQz2Nt6yD0pS3mGb";
    // Written with an escape, so that it differs from what readers get.
    const WRITTEN: &str = "field-\\u0070assword-8kW1cRh7Lf4uE9aZ0oTi";
    const PASSWORD: &str = "field-password-8kW1cRh7Lf4uE9aZ0oTi";
    const UNWANTED: &str = "field-unwanted-6bY2gXn5Vq3sM8jC1lKd";
    let (none, live) = (Count::default(), Count { locked: 1, elsewhere: 0 });
    let value = format!(r#"{{"user":"{USER}","password":"{WRITTEN}","unwanted":["{UNWANTED}"]}}"#);
    let estate = Estate::start(&[("rotates", &value)]);
    let field = |name: &str| format!("[[secret]]\nname = '{name}'\nvault_name = 'rotates'\nfield = '/{name}'\n");
    let env_file = "[[env_file]]\npath = '.env'\nsecrets = ['user', 'password']\n";
    let agent = estate.agent(&format!("[memory]\nbackend = 'mlock'\n{}{}{env_file}", field("user"), field("password")));
    if !memory_scan::is_allowed(agent.pid()) {
        skipped("only root with CAP_SYS_PTRACE may read another process's memory");
        return;
    }
    let counts =
        || [USER, PASSWORD, &WRITTEN[6..], UNWANTED].map(|value| memory_scan::count(agent.pid(), value.as_bytes()));
    assert_eq!(counts(), [live, live, none, none], "after one fetch");
    for _ in 0..300 {
        assert_eq!(agent.value("password"), PASSWORD.as_bytes());
        assert_eq!(agent.get("/v1/secrets/user").status, 200);
    }
    assert_eq!(counts(), [live, live, none, none], "after reads and a file of variables");
    estate.emulator.set_secret(VAULT, "rotates", &format!(r#"{{"user":"{FIRST}","password":"{SECOND}"}}"#));
    agent.refresh();
    let file = estate.secrets_folder().join(".env");
    wait::until("the new file", || std::fs::read_to_string(&file).ok()?.contains(SECOND).then_some(()));
    assert_eq!(counts(), [none; 4], "after the rotation");
    assert_eq!([FIRST, SECOND].map(|value| memory_scan::count(agent.pid(), value.as_bytes())), [live, live]);
}

/// How many connections ask and take nothing.
const STUCK: usize = 5;

/// Asks 40 times for a path, takes one byte of the first answer, and so has the agent stuck in the middle of one.
fn ask_and_take_nothing(agent: &Agent, path: &str) -> UnixStream {
    let mut stream = UnixStream::connect(agent.socket()).expect("the agent listens");
    let requests = format!("GET {path} HTTP/1.1\r\nHost: keyside\r\n\r\n").repeat(40);
    stream.write_all(requests.as_bytes()).expect("the requests can be sent");
    stream.read_exact(&mut [0]).expect("the first byte");
    // One thread serves everybody, so while it answers these it goes on with the others until they are stuck.
    for _ in 0..20 {
        assert_eq!(agent.get("/healthz").status, 200);
    }
    stream
}

#[test]
fn answers_that_nobody_takes_are_no_copies() {
    // One marker 600 times, so that a part of a copy is found, too.
    let text = "stuck-value-7Wq2mZk9Xw4rT8bV1yLc5nHj3pD;".repeat(600);
    let marker = &text.as_bytes()[..40];
    // In base64 each 384 bytes make the same 512 characters.
    let bytes: Vec<u8> = (0..384_u32).map(|number| 0x80 | (number * 7 % 128).to_le_bytes()[0]).collect();
    let encoded = Base64::encode_string(&bytes);
    let estate = Estate::start(&[("text", &text), ("bytes", &encoded.repeat(48))]);
    let agent = estate.agent(
        "[memory]\nbackend = 'mlock'\n[[secret]]\nname = 'text'\n[[secret]]\nname = 'bytes'\nencoding = 'base64'\n",
    );
    if !memory_scan::is_allowed(agent.pid()) {
        skipped("only root with CAP_SYS_PTRACE may read another process's memory");
        return;
    }
    let once = Count { locked: 600, elsewhere: 0 };
    assert_eq!(memory_scan::count(agent.pid(), marker), once, "before");
    for path in ["/v1/secrets/text/value", "/v1/secrets/text"] {
        let _stuck: Vec<_> = (0..STUCK).map(|_| ask_and_take_nothing(&agent, path)).collect();
        assert_eq!(memory_scan::count(agent.pid(), marker), once, "{path}");
    }
    let _stuck: Vec<_> = (0..STUCK).map(|_| ask_and_take_nothing(&agent, "/v1/secrets/bytes")).collect();
    let pieces = memory_scan::count(agent.pid(), &encoded.as_bytes()[..40]);
    say(&format!("{STUCK} stuck readers of base64: {} encoded pieces in memory", pieces.locked + pieces.elsewhere));
    assert!(pieces.locked == 0 && pieces.elsewhere <= STUCK, "{pieces:?}");
}
