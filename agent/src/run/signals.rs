//! The signals of a run: held back and read as data, so that their dispositions stay those that the command inherits.

use std::io;

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpgrp};
use tokio::io::unix::AsyncFd;

use crate::kernel;

/// The signals that the command is sent when the supervisor gets them.
const FORWARDED: [Signal; 9] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGTSTP,
];

/// Signals that are held back from the start of the run.
#[derive(Debug)]
pub(super) struct Held {
    inherited: SigSet,
}

impl Held {
    /// Holds them back. It must be called before the first thread is started.
    ///
    /// A signal that is held back is queued even where it is ignored, or where this is the first process of its namespace,
    /// which the kernel sends nothing else that has no handler (signal(7), `pid_namespaces(7)`).
    pub(super) fn new() -> Result<Self> {
        let mut held = SigSet::from_iter(FORWARDED);
        held.add(Signal::SIGCHLD);
        // Handing the terminal on from the background would stop this process.
        held.add(Signal::SIGTTOU);
        let inherited = held.thread_swap_mask(SigmaskHow::SIG_BLOCK).context("could not hold signals back")?;
        Ok(Self { inherited })
    }

    /// The signals that were blocked when this process was started.
    pub(super) fn inherited(&self) -> SigSet {
        self.inherited
    }
}

/// The signals of a key or of a terminal's end that this process was started to ignore. It goes on all the same, as the
/// command would; only SIGTERM always ends it.
pub(super) fn ignored() -> SigSet {
    [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT].into_iter().filter(|signal| kernel::is_ignored(*signal)).collect()
}

/// The signals as they come.
#[derive(Debug)]
pub(super) struct Signals(AsyncFd<SignalFd>);

impl Signals {
    /// Reads those that are held back, also from before.
    pub(super) fn read() -> Result<Self> {
        let mut set = SigSet::from_iter(FORWARDED);
        set.add(Signal::SIGCHLD);
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let descriptor = SignalFd::with_flags(&set, flags).context("could not read signals")?;
        kernel::follow_signals(descriptor).map(Self).context("could not read signals")
    }

    /// The next one.
    pub(super) async fn next(&self) -> io::Result<Signal> {
        loop {
            let mut ready = self.0.readable().await?;
            match self.0.get_ref().read_signal()? {
                Some(information) => {
                    let number = i32::try_from(information.ssi_signo).map_err(io::Error::other)?;
                    return Ok(Signal::try_from(number)?);
                }
                None => ready.clear_ready(),
            }
        }
    }
}

/// Stops this process and what shares its process group, as the terminal would have, until it is continued. Where nobody
/// could continue it, the kernel does not stop it (an orphaned process group, setpgid(2)).
pub(super) fn suspend() {
    let stop = SigSet::from_iter([Signal::SIGTSTP]);
    // The default of the signal stops at the moment in which it is let through. Whatever fails, the command is continued.
    let _ = nix::sys::signal::killpg(getpgrp(), Signal::SIGTSTP);
    let _ = stop.thread_unblock().and_then(|()| stop.thread_block());
}

/// Sends a signal to a process group. It may have ended.
pub(super) fn send_to_group(group: Pid, signal: Signal) {
    let _ = nix::sys::signal::killpg(group, signal);
}
