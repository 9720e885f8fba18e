//! What of a value reaches the disk when memory runs short: none of it from locked memory, and from a tmpfs without swap.
//!
//! It turns on a swap file for the whole machine while it runs, and presses on a control group of its own alone.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keyside_tests::agent::Agent;
use keyside_tests::binaries;
use keyside_tests::estate::{CLIENT_SECRET, Estate};
use keyside_tests::http::Connection;
use keyside_tests::memory_scan::{Count, Scanner, has_secret_memory};
use keyside_tests::report::{root_or_skip, say, skipped};
use keyside_tests::wait;

const OF_CONTROL: &str = "w1-4fQ7mZk2Xw9rT1bV8yLc0Gh5";

/// The protection that is asked for, the one that is got, and a value.
const AGENTS: [(&str, &str, &str); 3] = [
    ("memfd_secret", "memfd_secret", "w2-9hJ3nRs6Pd0gU5eA2oKi7Xe8"),
    ("mlock", "mlock", "w3-5xJ8vQz2Nt6yD0pS3mGb7Wq1"),
    ("mlock", "unprotected", "w4-2Hf6nPs4Jg0uE7aK9oTi3Mc6"),
];

/// Room for all that three small programs have.
const SWAP_BYTES: usize = 48 << 20;

fn run(program: &str, arguments: &[&OsStr]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {told}")) }
}

/// A swap file in use; off and gone when dropped.
struct SwapFile(PathBuf);

impl SwapFile {
    fn on(path: PathBuf) -> Result<Self, String> {
        // A run that was killed may have left it on.
        drop(run("swapoff", &[path.as_os_str()]));
        let file = Self(path);
        // A file with holes is refused.
        std::fs::write(&file.0, vec![0; SWAP_BYTES]).map_err(|error| error.to_string())?;
        run("chmod", &["600".as_ref(), file.0.as_os_str()])?;
        run("mkswap", &[file.0.as_os_str()])?;
        run("swapon", &[file.0.as_os_str()])?;
        Ok(file)
    }

    /// What is on the disk: the kernel writes there past the file's pages in memory.
    fn contents(&self) -> Vec<u8> {
        let mut from = std::ffi::OsString::from("if=");
        from.push(&self.0);
        let dd =
            Command::new("dd").arg(from).args(["bs=1M", "iflag=direct", "status=none"]).output().expect("dd starts");
        assert_eq!(dd.stdout.len(), SWAP_BYTES, "{}", String::from_utf8_lossy(&dd.stderr));
        dd.stdout
    }
}

impl Drop for SwapFile {
    fn drop(&mut self) {
        drop(run("swapoff", &[self.0.as_os_str()]));
        drop(std::fs::remove_file(&self.0));
    }
}

/// A control group of the first version's memory controller; gone when dropped.
struct Group(PathBuf);

impl Group {
    fn new() -> Result<Self, String> {
        let path = PathBuf::from(format!("/sys/fs/cgroup/memory/keyside-swap-{}", std::process::id()));
        let group = std::fs::create_dir(&path).map(|()| Self(path.clone()));
        group.map_err(|error| format!("{}: {error}", path.display()))
    }

    /// A command that is in the group from its first page on.
    fn command(&self, program: &[&OsStr]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\"/cgroup.procs && exec \"$@\""]).arg(&self.0).args(program);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin");
        command
    }

    /// Takes from the group all memory that it can do without.
    fn press(&self) {
        std::fs::write(self.0.join("memory.force_empty"), "0").expect("the group is ours");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have been waited for, but leave it a moment later.
        for _ in 0..1_000 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// A tmpfs that is never swapped; unmounted when dropped.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(folder: &'a Path) -> Result<Self, String> {
        std::fs::create_dir(folder).map_err(|error| error.to_string())?;
        let words = ["-t", "tmpfs", "-o", "size=1m,mode=0755,noswap", "tmpfs"].map(OsStr::new);
        run("mount", &[&words[..], &[folder.as_os_str()]].concat()).map(|()| Self(folder))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        drop(run("umount", &["-l".as_ref(), self.0.as_os_str()]));
    }
}

/// A process; killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

/// How much of a process is in swap, in KiB.
fn swapped(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmSwap:")).expect("a kernel with swap");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Presses on the group until `known`, which the process has in ordinary memory, is on the disk; answers what else is there.
fn pressed(swap: &SwapFile, group: &Group, known: &str, value: &str) -> [usize; 2] {
    let texts = [("known", known), ("value", value), ("client secret", CLIENT_SECRET)];
    let scanner = Scanner::new(texts.map(|(name, text)| (name, text.as_bytes())));
    wait::until("ordinary memory on the disk", || {
        group.press();
        let found = scanner.file(&swap.contents());
        (found.count("known") != Count::NONE)
            .then(|| ["value", "client secret"].map(|name| found.count(name).elsewhere))
    })
}

/// How often the value is on the disk after an agent was read under pressure.
fn from_agent(swap: &SwapFile, group: &Group, (asked, got, value): (&str, &str, &str)) -> Result<usize, String> {
    let estate = Estate::start(&[("db", value)]);
    let folder = estate.folder().join("run");
    let _tmpfs = Tmpfs::mount(&folder)?;
    let config = estate.config(&format!("[memory]\nbackend = '{asked}'\n[[secret]]\nname = 'db'\n"));
    let program = binaries::path("keyside");
    // Root has to lose the right to lock memory without a limit.
    let limited = ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock", "prlimit", "--memlock=0:0"];
    let is_plain = got == "unprotected";
    let before: &[&str] = if is_plain { &limited } else { &[] };
    let words: Vec<_> = before.iter().map(OsStr::new).chain([program.as_os_str()]).collect();
    let (arguments, log) = ([OsStr::new("--config"), config.as_os_str()], config.with_extension("log"));
    let mut agent = Agent::start_by(group.command(&words), &arguments, &estate.socket(), &log, &estate.variables());
    agent.wait_until_ready();
    assert_eq!(agent.get("/v1/status").json()["operation"]["memory_protection"], got);
    for _ in 0..5 {
        let mut connection = Connection::open(agent.socket());
        for path in ["/v1/secrets/db/value", "/v1/secrets/db"].into_iter().cycle().take(100) {
            assert_eq!(connection.get(path).status, 200);
        }
        group.press();
    }
    let files = estate.secrets_folder().display().to_string();
    // What is not locked is ordinary memory, too.
    let known = if is_plain { value } else { &files };
    let [of_value, of_credential] = pressed(swap, group, known, value);
    say(&format!(
        "{got}: {} KiB of the agent in swap; on the disk: the value {of_value}, its client secret {of_credential}",
        swapped(agent.pid())
    ));
    Ok(of_value)
}

fn control(swap: &SwapFile, group: &Group) {
    let mut command = group.command(&["cat".as_ref()]);
    let _process = Process(command.env("OF_ITS_OWN", OF_CONTROL).stdin(Stdio::piped()).spawn().expect("it starts"));
    let [count, _] = pressed(swap, group, OF_CONTROL, OF_CONTROL);
    say(&format!("another program that has a value: on the disk {count}"));
}

fn look() -> Result<(), String> {
    let swap = SwapFile::on(Path::new(env!("CARGO_TARGET_TMPDIR")).join("keyside-swap"))?;
    let group = Group::new()?;
    control(&swap, &group);
    for agent in AGENTS.into_iter().filter(|(asked, ..)| *asked != "memfd_secret" || has_secret_memory()) {
        let value = from_agent(&swap, &group, agent)?;
        assert_eq!(value > 0, agent.1 == "unprotected", "{}: {value}", agent.1);
    }
    Ok(())
}

#[test]
fn under_pressure_no_value_of_locked_memory_reaches_the_swap_file() {
    if !root_or_skip("only root may turn on swap, for a control group of its own") {
        return;
    }
    if let Err(why) = look() {
        skipped(&format!("this machine has no swap file, control group or tmpfs without swap for us: {why}"));
    }
}
