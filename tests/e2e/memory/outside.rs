//! What others get of an agent: a core file, by a crash or by root's tools; another process of the same user; whoever looks at
//! the folder of files after an agent was killed.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keyside_tests::agent::{Agent, keyside};
use keyside_tests::binaries;
use keyside_tests::estate::{Estate, open_to_all};
use keyside_tests::memory_scan::{Count, Scanner, has_secret_memory, is_allowed};
use keyside_tests::report::{root_or_skip, say, skipped};
use keyside_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const VALUE: &str = "c1-\"4fQ7\\mZk2Xw9rT1bV8yLc0";
const CONFIG: &str = "[[secret]]\nname = 'db'\n";

/// A user that this machine does not have.
const NOBODY: u32 = 64_124;

fn scanner() -> Scanner {
    Scanner::new([("it", VALUE.as_bytes())])
}

/// Another program that has the value, in its environment.
struct Control(Child);

impl Control {
    fn start(command: &mut Command) -> Self {
        let mut process = Self(command.env("OF_ITS_OWN", VALUE).stdin(Stdio::piped()).spawn().expect("it starts"));
        wait::until("its own program", || (process.name() == "cat").then_some(()));
        assert!(process.0.try_wait().expect("our own child").is_none());
        process
    }

    fn name(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/comm", self.0.id())).unwrap_or_default().trim().to_owned()
    }

    fn abort(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"));
        kill(pid, Signal::SIGABRT).expect("it runs");
        assert_eq!(self.0.wait().expect("our own child").signal(), Some(Signal::SIGABRT as i32));
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // It may have ended already, by the test's own doing.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

/// A program whose crash may write a core file of any size, into `folder` where the kernel has such a pattern.
fn with_cores(folder: &Path, program: &OsStr) -> Command {
    let mut command = Command::new("prlimit");
    command.arg("--core=unlimited").arg(program).current_dir(folder);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}

fn folder(estate: &Estate, name: &str) -> PathBuf {
    let path = estate.folder().join(name);
    std::fs::create_dir(&path).expect("own folder");
    path
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("own folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn an_agent_that_crashes_leaves_no_core_file() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("readable");
    if pattern.starts_with(['|', '/']) {
        skipped(&format!("core files go elsewhere on this machine: {}", pattern.trim()));
        return;
    }
    let estate = Estate::start(&[("db", VALUE)]);
    let (of_control, of_agent) = (folder(&estate, "control"), folder(&estate, "crash"));
    Control::start(&mut with_cores(&of_control, "cat".as_ref())).abort();
    let core = files_in(&of_control).pop().expect("a program without hardening leaves a core file here");
    assert_eq!(scanner().file(&std::fs::read(core).expect("readable")).total().elsewhere, 1, "with the value in it");

    let config = estate.config(CONFIG);
    let command = with_cores(&of_agent, binaries::path("keyside").as_os_str());
    let (arguments, log) = ([OsStr::new("--config"), config.as_os_str()], config.with_extension("log"));
    let mut agent = Agent::start_by(command, &arguments, &estate.socket(), &log, &estate.variables());
    agent.wait_until_ready();
    agent.signal(Signal::SIGABRT);
    assert_eq!(agent.end().signal(), Some(Signal::SIGABRT as i32));
    assert_eq!(files_in(&of_agent), [] as [PathBuf; 0]);
}

/// Has gdb write a core file of a process, as root may, and counts the value in it.
fn count_in_core(pid: u32, folder: &Path, with_excluded: bool) -> usize {
    let core = folder.join(format!("core-{with_excluded}"));
    let set = format!("set dump-excluded-mappings {}", if with_excluded { "on" } else { "off" });
    let generate = format!("gcore {}", core.display());
    let mut gdb = Command::new("gdb");
    gdb.args([
        "-nx",
        "-batch",
        "--readnever",
        "-iex",
        "set auto-load off",
        "-ex",
        &set,
        "-ex",
        &generate,
        "-p",
        &pid.to_string(),
    ]);
    let output = gdb.output().expect("gdb starts");
    let bytes = std::fs::read(&core).unwrap_or_default();
    assert!(bytes.len() > 100_000, "{}", String::from_utf8_lossy(&output.stderr));
    scanner().file(&bytes).total().elsewhere
}

#[test]
fn a_core_file_that_root_has_written_holds_no_value() {
    if Command::new("gdb").arg("--version").output().is_err() {
        skipped("gdb is not installed, which writes core files of running processes: apt-get install gdb");
        return;
    }
    for (backend, of_excluded) in [("memfd_secret", 0), ("mlock", 1)] {
        if backend == "memfd_secret" && !has_secret_memory() {
            continue;
        }
        let estate = Estate::start(&[("db", VALUE)]);
        let agent = estate.agent(&format!("[memory]\nbackend = '{backend}'\n{CONFIG}"));
        if !is_allowed(agent.pid()) {
            skipped("only root with CAP_SYS_PTRACE may read another process's memory");
            return;
        }
        let cores = folder(&estate, "cores");
        let [plain, excluded] = [false, true].map(|excluded| count_in_core(agent.pid(), &cores, excluded));
        say(&format!(
            "{backend}: {plain} in root's core file, {excluded} in one with what the process excludes from core files"
        ));
        assert_eq!((plain, excluded), (0, of_excluded), "{backend}");
        assert_eq!(agent.value("db"), VALUE.as_bytes(), "it goes on");
    }
    let control = Control::start(&mut Command::new("cat"));
    let estate = Estate::start(&[]);
    assert_ne!(count_in_core(control.0.id(), estate.folder(), false), 0, "the search finds what is there");
}

/// What a process that has become one of the same user tries: each line says whether it succeeds.
const TRIES: &str = r"
import ctypes, os, sys
pid, user, start = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3], 16)
os.setgroups([])
os.setresgid(user, user, user)
os.setresuid(user, user, user)
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
def can(name, action):
    try:
        print(name, bool(action()))
    except OSError:
        print(name, False)
class Piece(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
def vm_read():
    here = ctypes.create_string_buffer(16)
    return libc.process_vm_readv(pid, ctypes.byref(Piece(ctypes.addressof(here), 16)), 1, ctypes.byref(Piece(start, 16)), 1, 0) == 16
def read(name):
    return open(f'/proc/{pid}/{name}', 'rb').read(16)
def descriptor():
    return libc.syscall(438, os.pidfd_open(pid), 0, 0) >= 0
can('environ', lambda: read('environ'))
can('maps', lambda: read('maps'))
can('mem', lambda: os.pread(os.open(f'/proc/{pid}/mem', os.O_RDONLY), 16, start))
can('process_vm_readv', vm_read)
can('pidfd_getfd', descriptor)
can('descriptors', lambda: os.listdir(f'/proc/{pid}/fd'))
can('ptrace', lambda: libc.ptrace(16, pid, None, None) == 0 and os.waitpid(pid, 0x40000000))
";

fn tried(pid: u32) -> String {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    let line = maps.lines().find(|line| line.ends_with("[stack]")).expect("a stack");
    let page = u64::from_str_radix(line.split(['-', ' ']).nth(1).expect("its end"), 16).expect("an address") - 4096;
    let mut command = Command::new("python3");
    command.args(["-c", TRIES, &pid.to_string(), &NOBODY.to_string(), &format!("{page:x}")]);
    let output = command.output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn another_process_of_the_same_user_gets_nothing_of_an_agent() {
    if !root_or_skip("only root may run as another user") {
        return;
    }
    let as_nobody = |program: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]).arg(program);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command
    };
    let estate = Estate::start(&[("db", VALUE)]);
    std::os::unix::fs::chown(folder(&estate, "run"), Some(NOBODY), Some(NOBODY)).expect("given");
    let certificates = PathBuf::from(&estate.variables()["SSL_CERT_FILE"]);
    open_to_all(certificates.parent().expect("a folder"));
    open_to_all(&certificates);
    let config = estate.config(CONFIG);
    let (arguments, log) = ([OsStr::new("--config"), config.as_os_str()], config.with_extension("log"));
    let command = as_nobody(&binaries::copy_for_all("keyside", estate.folder()));
    let mut agent = Agent::start_by(command, &arguments, &estate.socket(), &log, &estate.variables());
    agent.wait_until_ready();
    let control = Control::start(&mut as_nobody(Path::new("cat")));
    let of_control = tried(control.0.id());
    say(&format!(
        "another process of the same user, of a program without hardening: {}",
        of_control.replace('\n', "; ")
    ));
    let of_agent = tried(agent.pid());
    say(&format!("and of an agent: {}", of_agent.replace('\n', "; ")));
    assert!(of_control.lines().count() == 7 && !of_control.contains("False"), "{of_control}");
    assert_eq!(of_agent, of_control.replace("True", "False"));
}

#[test]
fn after_a_kill_and_a_wipe_no_value_is_left_on_tmpfs() {
    let estate = Estate::start(&[("db", VALUE)]);
    let mut agent = estate.agent(CONFIG);
    let value = estate.secrets_folder().join("db");
    assert_eq!(std::fs::read(&value).expect("a file"), VALUE.as_bytes());
    // Another name of the same file shows what becomes of its contents once its own name is gone.
    let kept = estate.folder().join("kept");
    std::fs::hard_link(std::fs::canonicalize(&value).expect("a file"), &kept).expect("linked");
    agent.signal(Signal::SIGKILL);
    agent.end();
    assert_eq!(std::fs::read(&value).expect("still a file"), VALUE.as_bytes());
    let config = estate.config(CONFIG).display().to_string();
    let output = keyside(&["wipe", "--config", &config], &estate.variables());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(files_in(&estate.secrets_folder()), [] as [PathBuf; 0]);
    let left = std::fs::read(&kept).expect("the other name");
    assert_eq!(scanner().file(&left).total(), Count::NONE);
}
