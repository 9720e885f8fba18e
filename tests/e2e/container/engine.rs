//! Podman with everything that it keeps in one folder, in namespaces of its own: what a scenario leaves ends with them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use keyside_tests::{binaries, wait};

use crate::control_groups;
use crate::folder::Folder;

/// What Podman needs on machines that may raise no limit, have version 1 of control groups, and no service manager.
const CONTAINERS: &str = r#"
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
log_driver = "k8s-file"
http_proxy = false
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "FOLDER/temporary"
[network]
network_config_dir = "FOLDER/networks"
"#;

const STORAGE: &str = r#"
[storage]
driver = "overlay"
graphroot = "FOLDER/images"
runroot = "FOLDER/running"
"#;

/// The first process in namespaces that nothing of the machine is in: no network, and memory in the place of /run and /dev/shm. It
/// lives as long as its input is open, and reaps what is handed to it, without which Podman starts no container again.
const FIRST_PROCESS: &str = "ip link set lo up && mount -t tmpfs tmpfs /dev/shm && mount -t tmpfs tmpfs /run && mkdir \"$0\" && mount --bind \"$1\" \"$0\" && echo up\n\
                             exec 3<&0; cat <&3 >/dev/null & wait $!";

/// Where the folder is in the namespaces. Of a longer path conmon does not tell Podman that a container has ended, and each end is
/// then waited for 20 s in vain.
const WITHIN: &str = "/run/engine";

/// A Podman of this test's own. When it is dropped, its processes, mounts and networks are gone with its namespaces.
#[derive(Debug)]
pub(crate) struct Engine {
    holder: Child,
    first_process: u32,
    folder: Folder,
    /// The machine's own, before.
    interfaces: Vec<String>,
    control_groups: BTreeSet<PathBuf>,
}

impl Engine {
    /// Makes the namespaces and the folder, below `parent`.
    pub(crate) fn start(parent: &Path) -> Self {
        let control_groups = control_groups::of_podman();
        let folder = Folder::make(parent);
        for (name, text) in [("containers.conf", CONTAINERS), ("storage.conf", STORAGE)] {
            fs::write(folder.path().join(name), text.replace("FOLDER", WITHIN)).expect("own folder");
        }
        let namespaces = ["--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"];
        let mut holder = Command::new("unshare")
            .args(namespaces)
            .args(["--propagation", "private", "sh", "-c", FIRST_PROCESS, WITHIN])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is there");
        let mut line = String::new();
        let mut output = BufReader::new(holder.stdout.take().expect("a piped output"));
        output.read_line(&mut line).expect("its output can be read");
        assert_eq!(line, "up\n", "the namespaces can be made");
        let first_process = only_child(holder.id());
        Self { holder, first_process, folder, interfaces: bridges(), control_groups }
    }

    /// Where everything is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The words that run a command in the namespaces.
    pub(crate) fn enter(&self) -> Vec<OsString> {
        let target = self.first_process.to_string();
        let namespaces = ["nsenter", "--net", "--mount", "--pid", "--ipc", "--uts", "--target", &target, "--"];
        namespaces.map(OsString::from).to_vec()
    }

    /// The words that run a command in the network of a pod, and in the other namespaces of the engine.
    pub(crate) fn enter_network_of(&self, pod: &str) -> Vec<OsString> {
        let infra = self.podman(&["pod", "inspect", pod, "--format", "{{.InfraContainerID}}"]);
        let pid = self.pid(infra.trim());
        let network = format!("--net=/proc/{pid}/ns/net");
        let words = ["nsenter", &network, "--"].map(OsString::from);
        [self.enter(), words.to_vec()].concat()
    }

    /// A command in the namespaces, with an environment that points Podman at the folder.
    pub(crate) fn command(&self, program: &str) -> Command {
        let words = self.enter();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program).env_clear().env("PATH", binaries::SEARCH_PATH);
        command.env("CONTAINERS_CONF", self.folder().join("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.folder().join("storage.conf"));
        command.env("HOME", self.folder()).stdin(Stdio::null());
        command
    }

    /// Runs Podman, and gives what it prints.
    pub(crate) fn podman<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        printed(self.command("podman").args(arguments))
    }

    /// Runs Podman, however it ends.
    pub(crate) fn try_podman<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        self.command("podman").args(arguments).output().expect("podman starts")
    }

    /// The process of a container as it is numbered in the namespaces; never 0.
    pub(crate) fn pid(&self, container: &str) -> u32 {
        let text = self.podman(&["inspect", container, "--format", "{{.State.Pid}}"]);
        let pid = text.trim().parse().expect("a process id");
        assert_ne!(pid, 0, "{container} runs");
        pid
    }

    /// Kills a container's process, as the kernel does when memory is short: a wish of Podman's own would count as a stop.
    pub(crate) fn kill(&self, container: &str) {
        let pid = self.pid(container).to_string();
        printed(self.command("kill").args(["-KILL", &pid]));
    }

    /// What a container printed, on both streams.
    pub(crate) fn log(&self, container: &str) -> String {
        let output = self.try_podman(&["logs", container]);
        [output.stdout, output.stderr].map(|stream| String::from_utf8_lossy(&stream).into_owned()).concat()
    }

    /// Waits until a container has printed a line with these words.
    pub(crate) fn wait_for_line(&self, container: &str, words: &str) {
        wait::until(&format!("{words:?} of {container}, which says:\n{}", self.log(container)), || {
            self.log(container).contains(words).then_some(())
        });
    }

    /// Ends everything in the namespaces, removes the folder, and makes sure that nothing is left of either.
    pub(crate) fn end(mut self) {
        self.podman(&["pod", "rm", "--all", "--force", "--time", "0"]);
        self.podman(&["rm", "--all", "--force", "--time", "0", "--volumes"]);
        self.podman(&["volume", "rm", "--all", "--force"]);
        let namespace = fs::read_link(format!("/proc/{}/ns/mnt", self.first_process)).expect("it runs");
        drop(self.holder.stdin.take());
        let status = wait::until("the end of the namespaces", || self.holder.try_wait().expect("it can be asked"));
        assert!(status.success(), "{status}");
        assert_eq!(processes_in(&namespace), Vec::<PathBuf>::new(), "processes are left");
        let groups = control_groups::remove_new(&self.control_groups);
        assert_eq!(groups, Vec::<PathBuf>::new(), "control groups are left");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
        let folder = self.folder().display().to_string();
        assert!(!mounts.contains(&folder), "mounts are left: {mounts}");
        assert_eq!(bridges(), self.interfaces, "a network is left");
        // Images and volumes are in it.
        fs::remove_dir_all(&folder).expect("nothing holds the folder");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Both have ended already, unless a scenario failed.
        drop(self.holder.kill().and_then(|()| self.holder.wait()));
    }
}

/// What a command prints that must succeed.
pub(crate) fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn only_child(parent: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).expect("the process runs");
    children.trim().parse().expect("one child")
}

/// The processes that are in a mount namespace.
fn processes_in(namespace: &Path) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").expect("the processes").map_while(Result::ok);
    let links = processes.map(|process| process.path().join("ns/mnt"));
    links.filter(|link| fs::read_link(link).is_ok_and(|found| found == namespace)).collect()
}

/// The bridges of Podman's networks in the machine's own network.
fn bridges() -> Vec<String> {
    let interfaces = fs::read_to_string("/proc/net/dev").expect("the interfaces");
    let names = interfaces.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned());
    names.filter(|name| name.starts_with("podman")).collect()
}
