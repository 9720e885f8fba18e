//! What the command inherits: what it would have had without a supervisor, and its secrets nowhere but in its environment.

use std::process::Command;

use keyside_tests::estate::Estate;
use keyside_tests::memory_scan::{self, Count};
use keyside_tests::report::{say, skipped};
use keyside_tests::{binaries, wait};

use super::wrapper::{self, SECRETS, Wrapper, agents, command};

/// What of its status is the same for every process of the same program.
const OWN: [&str; 15] = [
    "Umask:",
    "Uid:",
    "Gid:",
    "Groups:",
    "SigPnd:",
    "SigBlk:",
    "SigIgn:",
    "SigCgt:",
    "ShdPnd:",
    "Cap",
    "NoNewPrivs:",
    "Seccomp",
    "Speculation",
    "Cpus_allowed",
    "Mems",
];

/// A parent with unusual ways: some signals ignored, others blocked, other limits, another umask, a descriptor more.
const UNUSUAL: &str = "trap '' HUP USR1; umask 0137; ulimit -Sn 321; ulimit -c 0; ulimit -Sl 64; exec 7</dev/null
    exec env --block-signal=USR2 --ignore-signal=CHLD \"$@\"";

/// A parent like any other.
const USUAL: &str = "exec \"$@\"";

/// Programs that show what they have.
const SHOW: [&[&str]; 4] = [
    &["cat", "/proc/self/status", "/proc/self/limits", "/proc/self/oom_score_adj", "/proc/self/personality"],
    &["ls", "/proc/self/fd"],
    &["pwd"],
    &["stat", "--format=%u %g", "/proc/self/environ"],
];

fn shown(estate: &Estate, parent: &str, line: &[&str], beside_keyside: bool) -> Vec<String> {
    let mut outer = Command::new("sh");
    outer.args(["-c", parent, "sh"]);
    let inner = command(estate, &["--env", "db-password"], line);
    // The tool's own way to start a program sets the interrupt to its default.
    let inner = inner.get_args().skip(1);
    outer.args(if beside_keyside { inner.collect::<Vec<_>>() } else { line.iter().map(AsRef::as_ref).collect() });
    outer.env_clear().envs(wrapper::variables(estate)).env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let mut wrapper = Wrapper::of(estate, outer);
    assert_eq!(wrapper.end(), Some(0), "{}", wrapper.log());
    let said = wrapper.said();
    let is_own = |line: &&str| !line.contains(":\t") || OWN.iter().any(|start| line.starts_with(start));
    said.lines().filter(is_own).map(str::to_owned).collect()
}

#[test]
fn the_command_has_what_it_would_have_had() {
    let estate = Estate::start(SECRETS);
    for parent in [USUAL, UNUSUAL] {
        for line in SHOW {
            let without = shown(&estate, parent, line, false);
            assert_eq!(shown(&estate, parent, line, true), without, "{line:?}");
            if (parent, line) == (UNUSUAL, SHOW[0]) {
                // SIGUSR2 blocked; SIGHUP, SIGUSR1 and SIGCHLD ignored.
                assert_eq!(mask(&without, "SigBlk:"), 0x800);
                assert_eq!(mask(&without, "SigIgn:") & 0x1_0201, 0x1_0201);
            }
        }
    }
}

fn mask(lines: &[String], name: &str) -> u64 {
    let digits = lines.iter().find_map(|line| line.strip_prefix(name)).expect("a line of the status");
    u64::from_str_radix(digits.trim(), 16).expect("a mask")
}

#[test]
fn no_value_is_on_a_command_line_or_stays_with_the_supervisor() {
    let estate = Estate::start(SECRETS);
    let value = SECRETS[0].1;
    let run = Wrapper::start(&estate, &["--env", "db-password"], "echo has-$DB_PASSWORD.; exec sleep 60");
    run.wait_for("has-");
    assert_eq!(wrapper::processes_with(value), [], "no command line has it");
    let supervisor = u32::try_from(run.pid().as_raw()).expect("a process id");
    if !memory_scan::is_allowed(supervisor) {
        skipped("only root with CAP_SYS_PTRACE may read another process's memory");
        return;
    }
    let socket = estate.socket().display().to_string();
    assert_ne!(memory_scan::count(supervisor, socket.as_bytes()), Count::default(), "the scan finds what is there");
    let found = memory_scan::count(supervisor, value.as_bytes());
    say(&format!("the supervisor after the start: {} in locked memory, {} elsewhere", found.locked, found.elsewhere));
    assert_eq!(found, Count::default());
    let agent = u32::try_from(agents(&estate)[0].as_raw()).expect("a process id");
    assert_eq!(memory_scan::count(agent, value.as_bytes()).elsewhere, 0, "the agent has it in locked memory alone");
}

#[test]
fn another_process_of_the_user_cannot_read_the_supervisor() {
    use std::os::unix::fs::MetadataExt as _;
    if !keyside_tests::report::root_or_skip("only root may run as another user") {
        return;
    }
    let estate = Estate::start(SECRETS);
    let folder = estate.folder().join("other");
    std::fs::create_dir(&folder).expect("made");
    std::os::unix::fs::chown(&folder, Some(64_123), Some(64_123)).expect("given");
    let mut run = Command::new("setpriv");
    run.args(["--reuid=64123", "--regid=64123", "--clear-groups"])
        .arg(binaries::copy_for_all("keyside", estate.folder()));
    run.args(["run", "--socket"]).arg(folder.join("agent.sock")).args(["--env", "db-password", "--", "sh", "-c"]);
    run.arg("echo has-$DB_PASSWORD.; exec sleep 60")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(wrapper::variables(&estate));
    open_certificates(&estate);
    let run = Wrapper::of(&estate, run);
    run.wait_for("has-");
    // The kernel gives the files of a process that is not dumpable to root (proc(5)).
    let owner = |pid: i32| std::fs::metadata(format!("/proc/{pid}/environ")).expect("it runs").uid();
    assert_eq!(owner(run.pid().as_raw()), 0, "the supervisor");
    let sleeps = |pid: &nix::unistd::Pid| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x0060\0".as_slice())
            && std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|found| found.uid() == 64_123)
    };
    let shell = wait::until("the command", || wrapper::processes_with("sleep 60").into_iter().find(sleeps));
    assert_eq!(owner(shell.as_raw()), 64_123, "the command can be looked at as ever");
}

/// The emulator's folder is its user's own.
fn open_certificates(estate: &Estate) {
    use std::os::unix::fs::PermissionsExt as _;
    let certificates = estate.variables()["SSL_CERT_FILE"].clone();
    for path in [std::path::Path::new(&certificates), std::path::Path::new(&certificates).parent().expect("a folder")] {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("our own");
    }
}
