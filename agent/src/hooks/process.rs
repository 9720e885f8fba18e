//! One process that stays the same one: a descriptor of it, so that no signal reaches another that got its number.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use jiff::Timestamp;
use nix::unistd::{SysconfVar, sysconf};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process, running or ended.
#[derive(Debug)]
pub(super) struct Process {
    descriptor: OwnedFd,
    pid: i32,
}

impl Process {
    /// The process that has the number now.
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let number = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { descriptor: pidfd_open(number, PidfdFlags::empty())?, pid })
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.descriptor, signal)?)
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// When it was started, by a wall clock that shows `now`. If it has ended, the answer may be another process's; then
    /// no signal reaches that one, either.
    pub(super) fn started(&self, now: Timestamp) -> io::Result<Timestamp> {
        let unreadable = || io::Error::from(io::ErrorKind::InvalidData);
        let uptime = fs::read_to_string("/proc/uptime")?;
        let uptime: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).ok_or_else(unreadable)?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let ticks = start_ticks(&stat).ok_or_else(unreadable)?;
        let per_second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u32::try_from(ticks).ok());
        let per_second = per_second.filter(|ticks| *ticks > 0).ok_or_else(unreadable)?;
        let after_boot = Duration::from_secs(ticks) / per_second;
        let age = Duration::try_from_secs_f64(uptime).map_err(io::Error::other)?.saturating_sub(after_boot);
        now.checked_sub(age).map_err(io::Error::other)
    }
}

/// When the process started, in ticks after boot.
/// Source: `proc_pid_stat(5)`: the 22nd field; the second is in brackets and may hold anything, brackets included.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock, between};

    #[test]
    fn the_start_is_the_22nd_field_whatever_the_program_is_called() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4221 20";
        assert_eq!(start_ticks(&format!("17 (app) {rest}")), Some(4221));
        assert_eq!(start_ticks(&format!("17 (a) b ) 1 (c) {rest}")), Some(4221));
        assert_eq!(start_ticks("17 (app) S 1 2"), None);
    }

    #[test]
    fn a_process_that_was_just_started_is_young() {
        let before = SystemClock.now();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("started");
        let process = Process::open(i32::try_from(child.id()).expect("a number")).expect("opened");
        let started = process.started(SystemClock.now()).expect("known");
        let between = between(before, started).max(between(started, before));
        assert!(between < Duration::from_secs(2), "{between:?}");
        process.signal(Signal::TERM).expect("sent");
        child.wait().expect("ended");
        let gone = process.signal(Signal::TERM).expect_err("ended and reaped");
        assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
    }
}
