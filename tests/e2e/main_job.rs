//! The main job on the production configuration: fetch, serve, follow a rotation, refuse strangers, leave nothing.

use std::path::Path;

use keyside_tests::agent::{Agent, keyside, keyside_as};
use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::report::root_or_skip;
use keyside_tests::wait;

const SECRETS: &[(&str, &str)] = &[("db-password", "first-7fKq2m"), ("api-token", "token-x91Lw0")];

const CONFIG: &str = "[[secret]]\nname = 'db-password'\n[[secret]]\nname = 'api-token'\nfile = 'tokens/api'\n";

/// A user id that no reader of these scenarios has.
const STRANGER: u32 = 64_123;

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() { files_below(&path) } else { vec![path] }
        })
        .collect()
}

#[test]
fn secrets_reach_readers_by_socket_and_by_file() {
    let estate = Estate::start(SECRETS);
    let agent = estate.agent(CONFIG);
    assert_eq!(agent.value("db-password"), b"first-7fKq2m");
    let whole = agent.get("/v1/secrets/db-password").json();
    assert_eq!(whole["value"], "first-7fKq2m");
    assert_eq!(whole["name"], "db-password");
    assert_eq!(whole["version"].as_str().map(str::len), Some(32));
    let file = |path: &str| std::fs::read(estate.secrets_folder().join(path)).expect("a published file");
    assert_eq!(file("db-password"), b"first-7fKq2m");
    assert_eq!(file("tokens/api"), b"token-x91Lw0");
}

#[test]
fn a_rotation_is_noticed_by_looking_alone() {
    let estate = Estate::start(SECRETS);
    let agent = estate.agent(&format!("[rotation]\npoll_interval = '1s'\n{CONFIG}"));
    let before = agent.get("/v1/secrets/db-password").json()["version"].clone();
    estate.emulator.set_secret(VAULT, "db-password", "second-Zp04vt");
    wait::until("the new value at the socket", || (agent.value("db-password") == b"second-Zp04vt").then_some(()));
    let path = estate.secrets_folder().join("db-password");
    wait::until("the new value in the file", || {
        (std::fs::read(&path).expect("never missing") == b"second-Zp04vt").then_some(())
    });
    assert_ne!(agent.get("/v1/secrets/db-password").json()["version"], before);
}

#[test]
fn a_waiting_reader_is_answered_when_the_secret_changes() {
    let estate = Estate::start(SECRETS);
    let agent = estate.agent(CONFIG);
    let etag = agent.get("/v1/secrets/db-password/value").headers["etag"].clone();
    let socket = estate.socket();
    let reader = std::thread::spawn(move || {
        let mut connection = keyside_tests::http::Connection::open(&socket);
        connection.request("GET", "/v1/secrets/db-password/value?wait=30s", &[("If-None-Match", &etag)])
    });
    estate.emulator.set_secret(VAULT, "db-password", "second-Zp04vt");
    agent.refresh();
    let answer = reader.join().expect("the reader gets an answer");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"second-Zp04vt"[..]));
}

#[test]
fn an_outage_keeps_the_last_good_value_and_says_so() {
    let estate = Estate::start(SECRETS);
    let agent = estate.agent(CONFIG);
    estate.emulator.run(&["fault", "add", "--host", "*.vault.azure.net", "--status", "503"]);
    agent.refresh();
    let answer = agent.get("/v1/secrets/db-password/value");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"first-7fKq2m"[..]));
    assert_eq!(answer.headers.get("keyside-stale").map(String::as_str), Some("true"));
    assert!(answer.headers.contains_key("age"));
    assert!(agent.log().contains("no fresh value"), "{}", agent.log());
    estate.emulator.run(&["fault", "clear"]);
    agent.refresh();
    assert!(!agent.get("/v1/secrets/db-password/value").headers.contains_key("keyside-stale"));
}

#[test]
fn a_stranger_cannot_tell_a_hidden_secret_from_an_absent_one() {
    if !root_or_skip("another user id can only be taken by root") {
        return;
    }
    let estate = Estate::start(SECRETS);
    let agent = estate.agent(CONFIG);
    let ask = |name: &str| {
        keyside_as(STRANGER, estate.folder(), &["get", name, "--socket", &estate.socket().display().to_string()])
    };
    let (hidden, absent) = (ask("db-password"), ask("no-such-thing"));
    assert_eq!(hidden.status.code(), Some(66));
    assert_eq!(absent.status.code(), Some(66));
    let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text(&hidden).replace("db-password", "X"), text(&absent).replace("no-such-thing", "X"));
    assert!(text(&hidden).contains(&format!("uid {STRANGER}")), "{}", text(&hidden));
    assert!(agent.log().contains(&STRANGER.to_string()), "the agent's log says who was refused");
    let file = estate.secrets_folder().join("db-password");
    let mut cat = std::process::Command::new("cat");
    std::os::unix::process::CommandExt::uid(&mut cat, STRANGER);
    assert!(!cat.arg(file).output().expect("cat runs").status.success(), "the file is as closed as the socket");
}

#[test]
fn a_reader_by_group_needs_the_group_only_as_one_of_many() {
    if !root_or_skip("other groups can only be taken by root") {
        return;
    }
    let estate = Estate::start(SECRETS);
    let agent = estate.agent("[[secret]]\nname = 'db-password'\nreaders = ['gid:64500']\n");
    let program = keyside_tests::binaries::copy_for_all("keyside", estate.folder());
    let ask = |groups: &str| {
        std::process::Command::new("setpriv")
            .args(["--reuid", &STRANGER.to_string(), "--regid", &STRANGER.to_string(), "--groups", groups])
            .arg(&program)
            .args(["get", "db-password", "--socket", &agent.socket().display().to_string()])
            .output()
            .expect("setpriv runs")
    };
    assert_eq!(ask("64499,64500,64501").stdout, b"first-7fKq2m");
    assert_eq!(ask("64499,64501").status.code(), Some(66));
    let file = estate.secrets_folder().join("db-password").display().to_string();
    let read = |group: &str| {
        let identity =
            ["--reuid", &STRANGER.to_string(), "--regid", &STRANGER.to_string(), "--groups", group, "cat", &file];
        std::process::Command::new("setpriv").args(identity).output().expect("setpriv runs").stdout
    };
    assert_eq!(read("64500"), b"first-7fKq2m", "the file's access list says the same");
    assert_eq!(read("64501"), b"");
}

#[test]
fn stopping_leaves_no_file_and_no_socket() {
    let estate = Estate::start(SECRETS);
    let mut agent = estate.agent(CONFIG);
    assert!(!files_below(&estate.secrets_folder()).is_empty());
    assert_eq!(agent.stop().code(), Some(0));
    assert_eq!(files_below(&estate.secrets_folder()), Vec::<std::path::PathBuf>::new());
    assert!(!estate.socket().exists());
    assert!(agent.log().contains(r#""held_bytes":0"#), "every value was wiped: {}", agent.log());
}

#[test]
fn a_signal_during_the_start_ends_the_agent_as_any_other_does() {
    let estate = Estate::start(SECRETS);
    for milliseconds in [1, 3, 6, 10, 20, 40] {
        let mut agent = Agent::start(&estate.config(CONFIG), &estate.socket(), &estate.variables());
        wait::until("the agent's first steps", || agent.minds_signals().then_some(()));
        // Not a wait for anything: the signal is to come at different points of the start.
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        assert_eq!(agent.stop().code(), Some(0), "after {milliseconds} ms");
        assert!(!estate.socket().exists(), "after {milliseconds} ms");
    }
}

#[test]
fn what_a_killed_agent_leaves_can_be_wiped() {
    let estate = Estate::start(SECRETS);
    let config = estate.config(CONFIG).display().to_string();
    let agent = estate.agent(CONFIG);
    let wipe = || keyside(&["wipe", "--config", &config], &std::collections::BTreeMap::new());
    assert_ne!(wipe().status.code(), Some(0), "not under a running agent");
    assert_eq!(std::fs::read(estate.secrets_folder().join("db-password")).expect("a file"), b"first-7fKq2m");
    drop(agent); // SIGKILL
    assert!(!files_below(&estate.secrets_folder()).is_empty());
    assert_eq!(wipe().status.code(), Some(0));
    assert_eq!(files_below(&estate.secrets_folder()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn one_pass_writes_the_files_and_ends() {
    let estate = Estate::start(SECRETS);
    let config = estate.config("on_stop = 'keep'\n[[secret]]\nname = 'db-password'\n").display().to_string();
    let output = keyside(&["agent", "--once", "--config", &config], &estate.variables());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read(estate.secrets_folder().join("db-password")).expect("a file"), b"first-7fKq2m");
    let missing = estate.config("[[secret]]\nname = 'not-there'\n").display().to_string();
    let output = keyside(&["agent", "--once", "--config", &missing], &estate.variables());
    assert_eq!(output.status.code(), Some(69), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_agent_that_finds_the_same_content_rewrites_nothing() {
    use std::os::unix::fs::MetadataExt as _;
    let estate = Estate::start(SECRETS);
    let more = "on_stop = 'keep'\n[[secret]]\nname = 'db-password'\n";
    let path = estate.secrets_folder().join("db-password");
    let inode = || std::fs::metadata(&path).expect("a file").ino();
    drop(estate.agent(more));
    let before = inode();
    let mut again = estate.agent(more);
    assert_eq!(inode(), before);
    assert_eq!(again.stop().code(), Some(0));
    assert_eq!(inode(), before, "kept, as configured");
}
