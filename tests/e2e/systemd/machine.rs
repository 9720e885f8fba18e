//! A booted systemd in namespaces of its own, driven from outside; nothing of it is left on the host.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keyside_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Boots a root file system whose changes stay in memory. The mounts are private; /run has to be a tmpfs, or nspawn takes what
/// it mounts there for a disk; and the machine sees control groups of version 2 alone, below one of its own. It is switched off
/// when its input ends: also when this process was killed.
const BOOT: &str = r#"
group=$1 root=$2 target=$3
trap '' INT
exec 3<&0
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd /run/lock
umount -R /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup && mkdir "/sys/fs/cgroup/$group" || exit 1
(
    sh -c 'echo $PPID' > "/sys/fs/cgroup/$group/cgroup.procs"
    SYSTEMD_NSPAWN_LOCK=0 exec systemd-nspawn --quiet --register=no --keep-unit --private-network --volatile=overlay \
        --capability=CAP_IPC_LOCK,CAP_BPF --console=read-only --machine="$group" --bind-ro="$target:/target" -D "$root" \
        --system-call-filter="@memlock memfd_secret bpf pidfd_open landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
        --boot
) </dev/null 3<&- &
machine=$!
(cat <&3 >/dev/null; kill "$machine") &
guard=$!
wait "$machine"
kill "$guard"
find "/sys/fs/cgroup/$group" -depth -type d -exec rmdir {} +
"#;

/// Longest time for one command in a machine.
const COMMAND_SECONDS: &str = "60";

/// Machines of this process so far.
static MACHINES: AtomicU32 = AtomicU32::new(0);

/// A machine; switched off when dropped.
#[derive(Debug)]
pub(crate) struct Machine {
    booting: Child,
    leader: u32,
    log: PathBuf,
    _folder: TempDir,
}

impl Machine {
    /// Boots one and waits until everything of it is started. The folder `target` is seen in it as `/target`.
    pub(crate) fn boot(root: &Path, target: &Path) -> Self {
        let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
        let log = folder.path().join("console");
        let output = File::create(&log).expect("a log file");
        let number = MACHINES.fetch_add(1, Ordering::Relaxed);
        let group = format!("keyside-{}-{number}", std::process::id());
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", BOOT, "sh", &group]).args([root, target]);
        let errors = output.try_clone().expect("a second handle");
        command.stdin(Stdio::piped()).stdout(output).stderr(errors);
        let mut booting = command.spawn().expect("unshare starts");
        let leader = wait::until("the machine's first process", || {
            if let Some(status) = booting.try_wait().expect("it can be asked") {
                panic!("the machine ended with {status}: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            init_below(booting.id())
        });
        let machine = Self { booting, leader, log, _folder: folder };
        wait::until("a machine that has started", || {
            let state = machine.run(&["systemctl", "is-system-running"]);
            (state.status.success() || state.stdout.starts_with(b"degraded")).then_some(())
        });
        machine
    }

    /// A command in the machine, as root.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args([COMMAND_SECONDS, "nsenter", "--all", "--target", &self.leader.to_string(), "env", "-i"]);
        command.args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]);
        command.args(words).stdin(Stdio::null());
        command
    }

    /// A command that sees the host's files, and the machine's processes and network.
    pub(crate) fn outsider(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args([COMMAND_SECONDS, "nsenter", "--pid", "--net", "--ipc", "--target", &self.leader.to_string()]);
        command.args(words).stdin(Stdio::null());
        command
    }

    /// Runs a command in the machine, as root, and collects what it prints.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("nsenter runs")
    }

    /// Runs one that must succeed, and gives what it printed.
    #[track_caller]
    pub(crate) fn succeed(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{words:?} ended with {}: {text}{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.journal()
        );
        text
    }

    /// Runs a script in the machine that must succeed, and gives what it printed.
    #[track_caller]
    pub(crate) fn script(&self, text: &str) -> String {
        self.succeed(&["sh", "-euc", text])
    }

    /// A property of a unit.
    #[track_caller]
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        self.succeed(&["systemctl", "show", "--value", "--property", name, unit]).trim().to_owned()
    }

    /// Waits until a property of a unit has a value.
    #[track_caller]
    pub(crate) fn wait_for(&self, unit: &str, name: &str, value: &str) {
        wait::until(&format!("{name}={value} of {unit}, which is {}", self.property(unit, name)), || {
            (self.property(unit, name) == value).then_some(())
        });
    }

    /// What the machine's units have logged.
    pub(crate) fn journal(&self) -> String {
        let output = self.run(&["journalctl", "--no-pager", "--output=short-precise", "--lines=60"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A path of the machine as the host sees it.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.leader))
    }

    /// Writes a file, with the folders that it takes.
    pub(crate) fn write(&self, inside: &str, text: &str) {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in the machine");
        fs::write(&path, text).expect("a file in the machine");
    }

    /// Gives the machine another address of its own.
    pub(crate) fn add_address(&self, address: &str) {
        let leader = self.leader.to_string();
        let words = ["--net", "--target", &leader, "ip", "address", "add", address, "dev", "lo"];
        assert!(Command::new("nsenter").args(words).status().expect("nsenter runs").success(), "no {address}");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.run(&["systemctl", "--no-block", "poweroff"]));
        let mut switched_off = || self.booting.try_wait().ok().flatten();
        for _ in 0..500 {
            if switched_off().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // With the first process of a namespace all others end.
        if let Ok(leader) = i32::try_from(self.leader) {
            kill(Pid::from_raw(leader), Signal::SIGKILL).ok();
        }
        drop(self.booting.wait());
        let console = fs::read_to_string(&self.log).unwrap_or_default();
        assert!(std::thread::panicking(), "the machine could not be switched off: {console}");
    }
}

/// The process below `ancestor` that is the first one of a namespace of processes.
fn init_below(ancestor: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{ancestor}/task/{ancestor}/children")).ok()?;
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).find_map(|pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let is_first = status.lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"));
        let is_systemd = status.starts_with("Name:\tsystemd\n");
        if is_first && is_systemd { Some(pid) } else { init_below(pid) }
    })
}
