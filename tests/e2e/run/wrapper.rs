//! `keyside run` as a child process, and what its command says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use keyside_tests::estate::{Estate, VAULT};
use keyside_tests::{binaries, http, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The secret of most scenarios, its variable and its value.
pub(crate) const SECRETS: &[(&str, &str)] = &[("db-password", "first-7fKq2mWz"), ("api-token", "token-x91Lw0Qe")];

/// A running `keyside run`; killed when dropped.
pub(crate) struct Wrapper {
    process: Child,
    said: PathBuf,
    log: PathBuf,
}

/// What of the vault a run is told, besides an identity.
pub(crate) fn variables(estate: &Estate) -> BTreeMap<String, String> {
    let mut variables = estate.variables();
    variables.insert("KEY_VAULT_URL".to_owned(), format!("https://{VAULT}.vault.azure.net"));
    variables
}

/// The command line of a run whose socket is the estate's.
pub(crate) fn command(estate: &Estate, flags: &[&str], command: &[&str]) -> Command {
    let mut process = binaries::command("keyside");
    process.envs(variables(estate)).args(["run", "--socket"]).arg(estate.socket()).args(flags).arg("--").args(command);
    process
}

impl Wrapper {
    /// Starts one whose command is a shell's script.
    pub(crate) fn start(estate: &Estate, flags: &[&str], script: &str) -> Self {
        Self::of(estate, command(estate, flags, &["sh", "-c", script]))
    }

    /// Starts a prepared one; what it says goes to files of the estate.
    pub(crate) fn of(estate: &Estate, mut command: Command) -> Self {
        let file = |kind: &str| {
            let numbers = (0..).map(|number| estate.folder().join(format!("run-{number}.{kind}")));
            numbers.into_iter().find(|path| !path.exists()).expect("a free name")
        };
        let (said, log) = (file("out"), file("log"));
        let create = |path: &Path| std::fs::File::create(path).expect("a file");
        command.stdin(Stdio::null()).stdout(create(&said)).stderr(create(&log));
        Self { process: command.spawn().expect("it starts"), said, log }
    }

    /// What the command has said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).expect("a file")
    }

    /// What the run has told so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a file")
    }

    /// Waits until the command has said something.
    pub(crate) fn wait_for(&self, word: &str) {
        wait::until(&format!("'{word}' from the command; log: {}", self.log()), || {
            self.said().contains(word).then_some(())
        });
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).expect("a process id"))
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
    }

    /// Waits for its end, and gives the code; none when a signal ended it.
    pub(crate) fn end(&mut self) -> Option<i32> {
        wait::until("the run's end", || self.process.try_wait().expect("it can be asked")).code()
    }
}

impl Drop for Wrapper {
    fn drop(&mut self) {
        // It may have ended already, by the test's own doing.
        drop(self.process.kill().and_then(|()| self.process.wait()));
    }
}

/// Processes whose command line has this word.
pub(crate) fn processes_with(word: &str) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").expect("proc is mounted");
    let pids = entries.filter_map(|entry| entry.expect("an entry").file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| command_line(*pid).is_some_and(|line| line.contains(word))).map(Pid::from_raw).collect()
}

fn command_line(pid: i32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
}

/// The agents that serve the estate's socket.
pub(crate) fn agents(estate: &Estate) -> Vec<Pid> {
    processes_with(&format!("agent --leased --socket {} ", estate.socket().display()))
}

/// Whether an agent answers at the estate's socket.
pub(crate) fn answers(estate: &Estate) -> bool {
    std::os::unix::net::UnixStream::connect(estate.socket()).is_ok()
        && http::get(&estate.socket(), "/healthz").status == 200
}

/// What is left beside the socket.
pub(crate) fn leftovers(estate: &Estate) -> Vec<PathBuf> {
    files_below(estate.socket().parent().expect("a directory"))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() && !path.is_symlink() { files_below(&path) } else { vec![path] }).collect()
}
