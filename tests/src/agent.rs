//! The agent as a child process.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::http::{self, Answer};
use crate::{binaries, wait};

/// A running `keyside agent`; killed when dropped.
#[derive(Debug)]
pub struct Agent {
    process: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Agent {
    /// Starts one with a configuration file and an environment; its log goes to a file beside the configuration.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(config: &Path, socket: &Path, variables: &BTreeMap<String, String>) -> Self {
        let named = [Path::new("--config"), config].map(Path::as_os_str);
        Self::start_by(binaries::command("keyside"), &named, socket, &config.with_extension("log"), variables)
    }

    /// Starts one by a command that runs `keyside`, with these arguments, which have it listen on this socket.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_by(
        mut command: Command,
        arguments: &[&OsStr],
        socket: &Path,
        log: &Path,
        variables: &BTreeMap<String, String>,
    ) -> Self {
        let errors = std::fs::File::create(log).expect("a log file");
        command.envs(variables).arg("agent").args(arguments).stdin(Stdio::null()).stderr(errors);
        let process = command.spawn().expect("the agent starts");
        Self { process, socket: socket.to_owned(), log: log.to_owned() }
    }

    /// Waits until every required secret is published.
    ///
    /// # Panics
    /// When the agent ends before, or does not get there in time; the message holds its log.
    pub fn wait_until_ready(&mut self) {
        let (socket, log) = (self.socket.clone(), self.log.clone());
        wait::until(&format!("readiness (log: {})", log.display()), || {
            if let Some(status) = self.process.try_wait().expect("the agent can be asked") {
                panic!("the agent ended with {status}: {}", std::fs::read_to_string(&log).unwrap_or_default());
            }
            let listening = std::os::unix::net::UnixStream::connect(&socket).is_ok();
            (listening && http::get(&socket, "/readyz").status == 200).then_some(())
        });
    }

    /// Gets a path from the socket.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        http::get(&self.socket, path)
    }

    /// The bytes of a secret.
    ///
    /// # Panics
    /// When the agent does not give them.
    #[must_use]
    pub fn value(&self, name: &str) -> Vec<u8> {
        let answer = self.get(&format!("/v1/secrets/{name}/value"));
        assert_eq!(answer.status, 200, "{name}: {}", String::from_utf8_lossy(&answer.body));
        answer.body
    }

    /// Has the agent look at every secret, as soon as it asks the vault again.
    ///
    /// # Panics
    /// When it refuses for another reason.
    pub fn refresh(&self) {
        http::refresh(&self.socket);
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Whether the kernel shows that it holds SIGTERM back or listens for it.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn minds_signals(&self) -> bool {
        const SIGTERM: u64 = 1 << 14;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the agent runs");
        let masks = status.lines().filter_map(|line| {
            let mask = line.strip_prefix("SigBlk:").or_else(|| line.strip_prefix("SigCgt:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        });
        masks.fold(0, |all, mask| all | mask) & SIGTERM != 0
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What it has logged so far.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the agent's log")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("the agent runs");
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.end()
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn end(&mut self) -> ExitStatus {
        wait::until("the agent's end", || self.process.try_wait().expect("the agent can be asked"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already, by the test's own doing.
        drop(self.process.kill().and_then(|()| self.process.wait()));
    }
}

/// Runs one of the other commands of `keyside` and collects what it prints.
#[must_use]
pub fn keyside(arguments: &[&str], variables: &BTreeMap<String, String>) -> Output {
    binaries::feed(binaries::command("keyside").envs(variables).args(arguments), "")
}

/// Runs a command of `keyside` as another user, which takes root, from a copy in a folder that everyone may enter.
#[must_use]
pub fn keyside_as(uid: u32, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries::copy_for_all("keyside", folder));
    binaries::feed(command.env_clear().uid(uid).gid(uid).args(arguments), "")
}
