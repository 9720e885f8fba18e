//! The processes below the supervisor: all are reaped, and what becomes of some is told.

use std::cell::RefCell;
use std::collections::BTreeMap;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::sync::Notify;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(Signal),
}

impl End {
    /// The code for it, as a shell has it (POSIX, 2.8.2 "Exit Status for Commands").
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal_code(signal),
        }
    }
}

/// The exit code that stands for an end by a signal.
pub(super) fn signal_code(signal: Signal) -> u8 {
    128 | u8::try_from(signal as i32).unwrap_or(0)
}

/// What happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It has stopped, and can be continued.
    Stopped(Signal),
    /// It is gone.
    Ended(End),
}

/// The processes that somebody wants to know of, and what happened to them since they were last asked about.
#[derive(Debug, Default)]
pub(super) struct Children {
    watched: RefCell<BTreeMap<Pid, Vec<Change>>>,
    reaped: Notify,
}

impl Children {
    /// Keeps what happens to this one. It must be called before anything is waited for after its start.
    pub(super) fn watch(&self, pid: Pid) {
        self.watched.borrow_mut().insert(pid, Vec::new());
    }

    /// Reaps all that have ended. Orphans are among them where this is the first process or a subreaper.
    pub(super) fn reap(&self) {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
        loop {
            let (pid, change) = match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Change::Ended(End::Code(code.to_le_bytes()[0]))),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Change::Ended(End::Signal(signal))),
                Ok(WaitStatus::Stopped(pid, signal)) => (pid, Change::Stopped(signal)),
                Err(Errno::EINTR) => continue,
                Ok(_) | Err(_) => break,
            };
            if let Some(changes) = self.watched.borrow_mut().get_mut(&pid) {
                changes.push(change);
            }
        }
        self.reaped.notify_waiters();
    }

    /// The next thing that happens to a process that is watched.
    pub(super) async fn change(&self, pid: Pid) -> Change {
        loop {
            let reaped = self.reaped.notified();
            if let Some(change) = self.take(pid) {
                return change;
            }
            reaped.await;
        }
    }

    /// How a process that is watched has ended, if it has.
    pub(super) fn end(&self, pid: Pid) -> Option<End> {
        loop {
            if let Change::Ended(end) = self.take(pid)? {
                return Some(end);
            }
        }
    }

    fn take(&self, pid: Pid) -> Option<Change> {
        let mut watched = self.watched.borrow_mut();
        let changes = watched.get_mut(&pid).filter(|changes| !changes.is_empty())?;
        let change = changes.remove(0);
        if matches!(change, Change::Ended(_)) {
            watched.remove(&pid);
        }
        Some(change)
    }

    /// Answers after the next look at who has ended.
    pub(super) async fn reaped(&self) {
        self.reaped.notified().await;
    }
}
