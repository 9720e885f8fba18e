//! How long threads wait for a processor: what a busy machine adds to every time that is measured on it.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// A thread whose waits are counted by the kernel.
#[derive(Clone, Debug)]
pub struct Thread(PathBuf);

impl Thread {
    /// The one that asks.
    #[must_use]
    pub fn current() -> Self {
        Self(Path::new("/proc/thread-self").canonicalize().expect("proc is mounted").join("schedstat"))
    }

    /// The thread of a process that has this name, if there is one.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn named(process: u32, name: &str) -> Option<Self> {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
        let mut folders = threads.filter_map(|thread| Some(thread.ok()?.path()));
        let is_meant =
            |folder: &PathBuf| std::fs::read_to_string(folder.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
        folders.find(is_meant).map(|folder| Self(folder.join("schedstat")))
    }

    /// How long it has been ready to run without running, since it began.
    /// Source: the second number of `/proc/<pid>/schedstat` in the kernel's documentation, sched-stats.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn starved(&self) -> Duration {
        let numbers = std::fs::read_to_string(&self.0).expect("the thread runs");
        let number = numbers.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        Duration::from_nanos(number.expect("three numbers"))
    }
}

#[test]
fn who_sleeps_is_not_starved() {
    let thread = Thread::current();
    let before = thread.starved();
    std::thread::park_timeout(Duration::from_millis(20));
    assert!(thread.starved() - before < Duration::from_millis(20));
    assert!(Thread::named(std::process::id(), "nobody").is_none());
}
