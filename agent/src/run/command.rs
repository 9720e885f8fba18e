//! The command while it runs: what signals, the terminal and changed secrets mean for it, and its end.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::children::{Change, Children, End};
use super::keeper::View;
use super::plan::{OnChange, Plan};
use super::ready;
use super::signals::{send_to_group, suspend};
use super::terminal::Terminal;

/// The version of each secret that the command depends on.
pub(super) type Versions = BTreeMap<String, Option<String>>;

/// How soon it is looked again whether a process group has members, when none of this process's children ends.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a command stays stopped where this process cannot be, because no shell is there to continue it. One that stops
/// again at once, since another has the terminal that it wants, must not keep the machine busy.
const WITHOUT_SHELL: Duration = Duration::from_secs(1);

/// How long a group may take to be gone once it is killed; a process that the kernel itself keeps is not waited for.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// What comes after the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The run ends with this code.
    Ended(u8),
    /// It is to be started again.
    ToRestart,
}

/// A command that runs.
#[derive(Debug)]
pub(super) struct Running<'a> {
    plan: &'a Plan,
    children: &'a Children,
    terminal: Option<&'a Terminal>,
    /// Its process, which leads its process group.
    leader: Pid,
    /// When it is killed; none unless it was told to end.
    kill_at: Option<Instant>,
    /// When it is continued, unless somebody continues this process before; none while it goes on.
    resume_at: Option<Instant>,
    restart: bool,
}

impl<'a> Running<'a> {
    /// One that has just been started.
    pub(super) fn new(plan: &'a Plan, children: &'a Children, terminal: Option<&'a Terminal>, leader: Pid) -> Self {
        Self { plan, children, terminal, leader, kill_at: None, resume_at: None, restart: false }
    }

    /// Looks after it until it and what it left in its process group have ended.
    pub(super) async fn until_its_end(
        &mut self,
        signals: &mut mpsc::UnboundedReceiver<Signal>,
        view: &mut watch::Receiver<View>,
        mut versions: Versions,
    ) -> Outcome {
        let end = loop {
            tokio::select! {
                change = self.children.change(self.leader) => match change {
                    Change::Ended(end) => break end,
                    Change::Stopped(signal) => self.stopped(signal),
                },
                Some(signal) = signals.recv() => self.forward(signal),
                () = at(self.kill_at) => self.kill(),
                () = at(self.resume_at) => self.resume(),
                Ok(()) = view.changed() => self.compare(&view.borrow_and_update(), &mut versions),
            }
        };
        self.end_group(signals).await;
        if let Some(terminal) = self.terminal {
            terminal.take_back(self.leader);
        }
        self.outcome(end)
    }

    fn outcome(&self, end: End) -> Outcome {
        if self.restart { Outcome::ToRestart } else { Outcome::Ended(end.code()) }
    }

    fn forward(&mut self, signal: Signal) {
        match signal {
            Signal::SIGTERM => {
                // Whoever ends the run does not want the command again.
                self.restart = false;
                self.end();
            }
            Signal::SIGCONT => self.resume(),
            signal => {
                if matches!(signal, Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT) {
                    self.restart = false;
                }
                send_to_group(self.leader, signal);
            }
        }
    }

    /// Tells the group to end, and remembers until when.
    fn end(&mut self) {
        send_to_group(self.leader, Signal::SIGTERM);
        // What is stopped does not end before it is continued.
        send_to_group(self.leader, Signal::SIGCONT);
        self.kill_at.get_or_insert(Instant::now() + self.plan.grace);
    }

    fn kill(&mut self) {
        tracing::warn!(grace = ?self.plan.grace, "the command did not end in time and is killed");
        send_to_group(self.leader, Signal::SIGKILL);
        self.kill_at = None;
    }

    /// A command that stops for want of the terminal gets it; else this process stops with it, for the shell to see, and
    /// continues it when it is continued itself.
    fn stopped(&mut self, signal: Signal) {
        if signal == Signal::SIGSTOP {
            // Somebody stopped the command and not the run.
            return;
        }
        let wants_terminal = matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU);
        if let Some(terminal) = self.terminal {
            if wants_terminal && terminal.is_ours() {
                terminal.grant();
                return self.resume();
            }
            terminal.take_back(self.leader);
        }
        suspend();
        self.resume_at = Some(Instant::now() + WITHOUT_SHELL);
    }

    fn resume(&mut self) {
        self.resume_at = None;
        if let Some(terminal) = self.terminal {
            terminal.lend(self.leader);
        }
        send_to_group(self.leader, Signal::SIGCONT);
    }

    /// Acts on secrets that have other versions than before. One that is away for a time has not changed.
    fn compare(&mut self, view: &View, versions: &mut Versions) {
        let Some(listing) = &view.listing else { return };
        let mut changed = Vec::new();
        for (name, version) in ready::versions(self.plan, listing) {
            if version.is_some() && versions.get(&name) != Some(&version) {
                versions.insert(name.clone(), version);
                changed.push(name);
            }
        }
        if !changed.is_empty() {
            self.on_change(&changed.join(", "));
        }
    }

    fn on_change(&mut self, secrets: &str) {
        match self.plan.on_change {
            OnChange::Nothing => {}
            OnChange::Signal(signal) => {
                tracing::info!(secrets, %signal, "secrets have changed, and the command is told");
                // The command alone: what it started may not expect the signal and end by it.
                let _ = kill(self.leader, signal);
            }
            OnChange::Restart if self.kill_at.is_some() => {}
            OnChange::Restart => {
                tracing::warn!(secrets, "secrets have changed, and the command is started again");
                self.restart = true;
                self.end();
            }
        }
    }

    /// Ends what the command left in its process group, so that nothing of it uses the secrets' files when they go. What has
    /// left the group, as a daemon does, goes on.
    async fn end_group(&mut self, signals: &mut mpsc::UnboundedReceiver<Signal>) {
        if self.is_gone() {
            return;
        }
        self.end();
        let mut give_up_at = None;
        while !self.is_gone() {
            tokio::select! {
                Some(signal) = signals.recv() => self.forward(signal),
                () = self.children.reaped() => {}
                () = sleep(PAUSE) => {}
                () = at(self.kill_at) => {
                    self.kill();
                    give_up_at = Some(Instant::now() + AFTER_KILL);
                }
                () = at(give_up_at) => return,
            }
        }
    }

    fn is_gone(&self) -> bool {
        killpg(self.leader, None) == Err(Errno::ESRCH)
    }
}

/// Waits until then; for ever where there is no then.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
