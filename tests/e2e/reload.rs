//! Another configuration in the place of the one before, while the real agent runs and is read.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use keyside_tests::agent::Agent;
use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::http::Connection;
use keyside_tests::memory_scan::{self, Count};
use keyside_tests::report::skipped;
use keyside_tests::wait;
use nix::sys::signal::Signal;

const ADA: u32 = 61_001;
const BOB: u32 = 61_002;

/// No round comes between, so that every request is one that a reload made.
const ROTATION: &str = "[rotation]\npoll_interval = '24h'\n";
const DB: &str = "[[secret]]\nname = 'db-password'\n";
const TOKEN: &str = "[[secret]]\nname = 'token'\n";
const SECRETS: &[(&str, &str)] =
    &[("db-password", "first-7fKq2m"), ("token", "token-x91Lw0"), ("pair", r#"{"user":"ada","password":"p-4kLm"}"#)];

fn start(estate: &Estate, more: &str) -> Agent {
    estate.agent(&format!("{ROTATION}{more}"))
}

fn config(agent: &Agent) -> serde_json::Value {
    agent.get("/v1/status").json()["operation"]["config"].clone()
}

/// Waits until the agent has read its configuration again, and answers what is wrong with it.
fn wait_for_attempt(agent: &Agent, before: &serde_json::Value) -> Vec<String> {
    let now = wait::until("the configuration to be read", || {
        let now = config(agent);
        (now["attempted"] != before["attempted"]).then_some(now)
    });
    let problems = now["problems"].as_array().expect("a list").iter();
    problems.map(|problem| problem.as_str().expect("a text").to_owned()).collect()
}

/// Writes another configuration over the file, and answers what is wrong with it.
fn change(estate: &Estate, agent: &Agent, more: &str) -> Vec<String> {
    let before = config(agent);
    drop(estate.config(&format!("{ROTATION}{more}")));
    wait_for_attempt(agent, &before)
}

fn apply(estate: &Estate, agent: &Agent, more: &str) {
    let problems = change(estate, agent, more);
    assert!(problems.is_empty(), "{problems:?}");
}

fn wait_for_value(agent: &Agent, name: &str, value: &str) {
    let path = format!("/v1/secrets/{name}/value");
    wait::until(name, || (agent.get(&path).body == value.as_bytes()).then_some(()));
}

/// The newest generation of files, as one program sees it that opens `..data` once.
fn files(estate: &Estate) -> (String, Vec<String>) {
    let generation = fs::read_link(estate.secrets_folder().join("..data")).expect("a generation");
    let folder = estate.secrets_folder().join(&generation);
    let listed = fs::read_dir(folder).expect("the previous generation stays for a while");
    let mut names: Vec<_> =
        listed.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    (generation.to_string_lossy().into_owned(), names)
}

#[test]
fn secrets_come_and_go_in_one_generation_and_the_rest_is_left_alone() {
    let estate = Estate::start(SECRETS);
    let agent = start(&estate, &format!("{DB}{TOKEN}"));
    let (before, names) = files(&estate);
    assert_eq!(names, ["db-password", "token"]);
    let asked = estate.asked().len();
    let pair = |field: &str| format!("[[secret]]\nname = '{field}'\nvault_name = 'pair'\nfield = '/{field}'\n");
    apply(&estate, &agent, &format!("{DB}{}{}", pair("user"), pair("password")));
    let after = wait::until("the next generation", || Some(files(&estate)).filter(|(name, _)| *name != before));
    assert_eq!(after.1, ["db-password", "password", "user"], "old and new in one step");
    wait_for_value(&agent, "password", "p-4kLm");
    assert_eq!(agent.get("/v1/secrets/token").status, 404);
    assert_eq!(agent.value("db-password"), b"first-7fKq2m");
    assert_eq!(estate.asked()[asked..], ["/secrets/pair/"], "one request, for what is new");
    assert_eq!(agent.get("/readyz").status, 200);

    let renamed = pair("user").replace("name = 'user'", "name = 'login'");
    apply(&estate, &agent, &format!("{DB}{renamed}"));
    wait_for_value(&agent, "login", "ada");
    wait::until("its file", || (files(&estate).1 == ["db-password", "login"]).then_some(()));
    assert_eq!(agent.get("/v1/secrets/user").status, 404);
    assert_eq!(estate.asked()[asked..], ["/secrets/pair/"; 2]);
}

fn can_read(uid: u32, path: &Path) -> bool {
    let read = Command::new("cat").arg(path).uid(uid).gid(uid).output().expect("cat runs");
    read.status.success()
}

#[test]
fn who_is_no_reader_any_more_is_shut_out_of_socket_and_files() {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can be several users");
        return;
    }
    let estate = Estate::start(SECRETS);
    let readers = |uids: &[u32]| {
        let readers: Vec<_> = uids.iter().map(|uid| format!("'uid:{uid}'")).collect();
        format!("{DB}{TOKEN}readers = [{}]\n", readers.join(", "))
    };
    let agent = start(&estate, &readers(&[0, ADA]));
    let mut connection = Connection::open(agent.socket());
    assert_eq!(connection.get("/v1/secrets/token/value").status, 200);
    let file = estate.secrets_folder().join("token");
    assert_eq!((can_read(ADA, &file), can_read(BOB, &file)), (true, false));
    let asked = estate.asked().len();

    apply(&estate, &agent, &readers(&[BOB]));
    assert_eq!(connection.get("/v1/secrets/token/value").status, 404, "on a connection that was open");
    assert_eq!(connection.get("/v1/secrets/db-password/value").status, 200);
    wait::until("the file for Bob alone", || (can_read(BOB, &file) && !can_read(ADA, &file)).then_some(()));
    assert_eq!(estate.asked().len(), asked, "nothing is fetched for that");
    let list = agent.get("/v1/secrets").json();
    assert_eq!(list["secrets"].as_array().map(Vec::len), Some(1), "{list}");
}

#[test]
fn a_configuration_that_is_wrong_or_takes_a_restart_is_refused_whole_and_told_once() {
    let estate = Estate::start(SECRETS);
    let agent = start(&estate, DB);
    let metric = |value: u8| {
        let text = String::from_utf8(agent.get("/metrics").body).expect("text");
        assert!(text.contains(&format!("keyside_config_last_reload_successful {value}\n")), "{text}");
    };
    metric(1);
    let loaded = config(&agent)["loaded"].clone();

    let problems = change(&estate, &agent, &format!("{TOKEN}{DB}colour = 'red'\n"));
    assert!(problems.len() == 1 && problems[0].starts_with("line ") && problems[0].contains("colour"), "{problems:?}");
    metric(0);
    assert_eq!(agent.get("/v1/secrets/token").status, 404);
    assert_eq!(agent.log().matches("the configuration is refused").count(), 1, "{}", agent.log());

    let moved = "[memory]\nbackend = 'mlock'\n[[on_change]]\ncommand = ['/bin/true']\n";
    let problems = change(&estate, &agent, &format!("{moved}{DB}{TOKEN}"));
    let told = ["[memory] backend", "[[on_change]]"]
        .map(|key| format!("{key} has changed, which takes a restart of the agent"));
    assert_eq!(problems, told);
    assert_eq!(agent.get("/v1/secrets/token").status, 404, "not even what could be applied");
    let status = keyside_tests::agent::keyside(
        &["status", "--socket", agent.socket().to_str().expect("text")],
        &estate.variables(),
    );
    assert!(String::from_utf8_lossy(&status.stdout).contains(&told[0]), "{status:?}");

    fs::remove_file(estate.folder().join("agent.toml")).expect("it was there");
    wait::until("the missing file to be told", || {
        agent.log().contains("could not read the configuration").then_some(())
    });
    assert_eq!(config(&agent)["loaded"], loaded);
    assert_eq!(agent.value("db-password"), b"first-7fKq2m");
    wait::until("no problem", || change(&estate, &agent, &format!("{DB}{TOKEN}")).is_empty().then_some(()));
    metric(1);
    wait_for_value(&agent, "token", "token-x91Lw0");
}

#[test]
fn a_signal_has_the_file_read_again_and_ends_nothing() {
    let estate = Estate::start(SECRETS);
    let agent = start(&estate, &format!("[log]\nlevel = 'info'\n{DB}"));
    let before = config(&agent);
    agent.signal(Signal::SIGHUP);
    assert_eq!(wait_for_attempt(&agent, &before), Vec::<String>::new());
    wait::until("a word", || agent.log().contains("was read again, and changes nothing").then_some(()));
    assert_eq!(agent.value("db-password"), b"first-7fKq2m");
    apply(&estate, &agent, &format!("[log]\nlevel = 'debug'\n{DB}"));
    agent.refresh();
    wait::until("a finer log", || agent.log().contains("\"looked\"").then_some(()));
}

#[test]
fn the_service_manager_hears_when_a_reload_begins_and_ends() {
    let estate = Estate::start(SECRETS);
    let path = estate.folder().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(wait::DEADLINE)).expect("a timeout");
    let hear = |wanted: &str| loop {
        let mut word = [0; 1024];
        let length = manager.recv(&mut word).expect("a word in time");
        let word = String::from_utf8_lossy(&word[..length]).into_owned();
        if word.starts_with(wanted) {
            return word;
        }
        assert!(word.starts_with("STATUS="), "{word} comes before {wanted}");
    };
    let variables = [estate.variables(), [("NOTIFY_SOCKET".to_owned(), path.display().to_string())].into()];
    let variables = variables.into_iter().flatten().collect();
    let agent = Agent::start(&estate.config(&format!("{ROTATION}{DB}")), &estate.socket(), &variables);
    hear("READY=1");
    agent.signal(Signal::SIGHUP);
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    hear("READY=1");
}

#[test]
fn an_agent_without_a_file_says_that_there_is_nothing_to_read() {
    let estate = Estate::start(SECRETS);
    let (vault, socket) = (format!("https://{VAULT}.vault.azure.net"), estate.socket());
    let arguments = ["--vault-url", &vault, "--secret", "token", "--socket"].map(OsStr::new);
    let arguments = [arguments.as_slice(), &[socket.as_os_str()]].concat();
    let mut agent = Agent::start_by(
        keyside_tests::binaries::command("keyside"),
        &arguments,
        &socket,
        &estate.folder().join("log"),
        &estate.variables(),
    );
    agent.wait_until_ready();
    agent.signal(Signal::SIGHUP);
    wait::until("a word", || agent.log().contains("there is no configuration to read again").then_some(()));
    assert_eq!(agent.value("token"), b"token-x91Lw0");
    assert!(agent.stop().success());
}

#[test]
fn what_kubernetes_does_to_a_mounted_configuration_is_noticed() {
    let estate = Estate::start(SECRETS);
    let mount = estate.folder().join("mount");
    fs::create_dir(&mount).expect("a folder");
    let fill = |version: &str, more: &str| {
        fs::create_dir(mount.join(version)).expect("a folder");
        let written = estate.config(&format!("{ROTATION}{more}"));
        fs::rename(written, mount.join(version).join("agent.toml")).expect("moved");
        symlink(version, mount.join("..data_tmp")).expect("linked");
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("renamed");
    };
    fill("..2026_1", DB);
    symlink("..data/agent.toml", mount.join("agent.toml")).expect("linked");
    let mut agent = Agent::start(&mount.join("agent.toml"), &estate.socket(), &estate.variables());
    agent.wait_until_ready();
    let before = config(&agent);
    fill("..2026_2", &format!("{DB}{TOKEN}"));
    assert_eq!(wait_for_attempt(&agent, &before), Vec::<String>::new());
    wait_for_value(&agent, "token", "token-x91Lw0");
}

#[test]
fn open_connections_and_who_waits_hear_nothing_of_it() {
    let estate = Estate::start(SECRETS);
    let agent = start(&estate, DB);
    let mut open = Connection::open(agent.socket());
    let known = open.get("/v1/secrets/db-password/value").headers["etag"].clone();
    let mut waiting = Connection::open(agent.socket());
    let waiter = std::thread::spawn(move || {
        waiting.request("GET", "/v1/secrets/db-password/value?wait=60s", &[("if-none-match", &known)])
    });
    apply(&estate, &agent, &format!("{DB}optional = true\n{TOKEN}"));
    wait_for_value(&agent, "token", "token-x91Lw0");
    assert_eq!(open.get("/v1/secrets/db-password/value").status, 200);
    assert!(!waiter.is_finished(), "nothing has changed for it");
    estate.emulator.set_secret(VAULT, "db-password", "second-Qw82vn");
    agent.refresh();
    assert_eq!(waiter.join().expect("an answer").body, b"second-Qw82vn");
}

#[test]
fn a_hook_runs_where_readers_get_something_else_and_not_for_a_reload() {
    let estate = Estate::start(SECRETS);
    let ran = estate.folder().join("ran");
    let hook = format!(
        "[[on_change]]\nname = 'note'\ncommand = ['/bin/sh', '-c', 'echo \"$KEYSIDE_CHANGED\" >>{}']\n",
        ran.display()
    );
    let pair = |field: &str| format!("[[secret]]\nname = 'pair'\nvault_name = 'pair'\nfield = '/{field}'\n");
    let agent = start(&estate, &format!("{hook}{}", pair("user")));
    apply(&estate, &agent, &format!("{hook}{TOKEN}readers = ['uid:0', 'uid:{ADA}']\n{}", pair("user")));
    wait_for_value(&agent, "token", "token-x91Lw0");
    apply(&estate, &agent, &format!("{hook}{TOKEN}{}", pair("password")));
    wait_for_value(&agent, "pair", "p-4kLm");
    let told = wait::until("the hook", || fs::read_to_string(&ran).ok().filter(|told| told.ends_with('\n')));
    assert_eq!(told, "pair\n", "once, and not for what is new");
}

#[test]
fn of_a_secret_that_is_not_configured_any_more_nothing_is_left_in_memory() {
    const GONE: &str = "gone-value-7Vd3kQm9Zx1rB5tY8wLc";
    const STAYS: &str = "stays-value-2Hf6nPs4Jg0uE7aK9oTi";
    let estate = Estate::start(&[("gone", GONE), ("stays", STAYS)]);
    let secret = |name: &str| format!("[memory]\nbackend = 'mlock'\n[[secret]]\nname = '{name}'\n");
    let agent = start(&estate, &format!("{}[[secret]]\nname = 'gone'\n", secret("stays")));
    if !memory_scan::is_allowed(agent.pid()) {
        skipped("only root with CAP_SYS_PTRACE may read another process's memory");
        return;
    }
    for name in ["gone", "stays"] {
        assert_eq!(agent.get(&format!("/v1/secrets/{name}")).status, 200);
    }
    let counts = || [GONE, STAYS].map(|value| memory_scan::count(agent.pid(), value.as_bytes()));
    let live = Count { locked: 1, elsewhere: 0 };
    assert_eq!(counts(), [live, live]);
    apply(&estate, &agent, &secret("stays"));
    assert_eq!(counts(), [Count::default(), live]);
    wait::until("the file to go", || (files(&estate).1 == ["stays"]).then_some(()));
    wait::until("the files of before to go", || {
        let listed = fs::read_dir(estate.secrets_folder()).expect("a folder").flatten();
        (listed.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).count() == 1).then_some(())
    });
}
