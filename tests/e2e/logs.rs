//! The log: at no level does it show a value, a token or a credential, and nothing waits for who reads it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use keyside_tests::agent::Agent;
use keyside_tests::cloud::Cloud;
use keyside_tests::estate::{CLIENT_SECRET, Estate, VAULT};
use keyside_tests::wait;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

#[test]
fn nothing_confidential_is_logged_at_any_level() {
    let values = ["first-Gk3vQ8zL1x", "second-Tm7wR2yN5c", "steady-Hb9dS4pJ6f"];
    let estate = Estate::start(&[("rotates", values[0]), ("stays", values[2])]);
    let config = "[log]\nlevel = 'trace'\n[[secret]]\nname = 'rotates'\n[[secret]]\nname = 'stays'\n";
    let mut variables = estate.variables();
    variables.insert("RUST_LOG".to_owned(), "trace".to_owned());
    let mut agent = Agent::start(&estate.config(config), &estate.socket(), &variables);
    agent.wait_until_ready();
    for path in
        ["/v1/secrets", "/v1/secrets/rotates", "/v1/secrets/rotates/value", "/v1/status", "/metrics", "/nothing"]
    {
        let answer = agent.get(path);
        assert!(answer.status < 500, "{path}: {}", answer.status);
    }
    estate.emulator.set_secret(VAULT, "rotates", values[1]);
    agent.refresh();
    assert_eq!(agent.value("rotates"), values[1].as_bytes());
    estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "401"]);
    agent.refresh();
    assert_eq!(agent.stop().code(), Some(0));

    let log = agent.log();
    assert!(log.contains("TRACE") || log.contains("\"trace\""), "the log is at trace level");
    assert!(log.lines().count() > 100, "libraries log too: {} lines", log.lines().count());
    for value in values {
        assert!(!log.contains(value), "a value is in the log");
        let bytes = value.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
        assert!(!log.contains(&bytes), "a value is in the log as a list of bytes");
    }
    assert!(!log.contains(CLIENT_SECRET), "the client secret is in the log");
    // Every JSON web token begins with this, the base64 of `{"`.
    assert!(!log.contains("eyJ"), "a token is in the log: {}", around(&log, "eyJ"));
}

fn around(log: &str, needle: &str) -> String {
    let at = log.find(needle).unwrap_or_default();
    log.chars().skip(at.saturating_sub(200)).take(220).collect()
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_readers_nor_rotation() {
    let cloud = Cloud::start(&[("db", "first-2Wq8nT")]);
    let config = cloud.config("[rotation]\npoll_interval = '1s'\n[log]\nlevel = 'debug'\n[[secret]]\nname = 'db'\n");
    let pipe = config.with_extension("log");
    nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe");
    let mut end = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(&pipe)
        .expect("the end that nobody reads");
    let mut agent = Agent::start(&config, &cloud.socket(), &cloud.variables());
    agent.wait_until_ready();
    while end.write(&[b'.'; 512]).is_ok() {}
    for _ in 0..100 {
        assert_eq!(agent.value("db"), b"first-2Wq8nT");
    }
    cloud.set_secret("db", "second-5Xr9mU");
    wait::until("the new version", || (agent.value("db") == b"second-5Xr9mU").then_some(()));
    assert_eq!(agent.stop().code(), Some(0));
}
