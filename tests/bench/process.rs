//! A measured process: on which core it runs, how much of it it used, and how much memory it holds.

use std::fs;
use std::process::{Child, ChildStdout, Command};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The cores that servers and generators run on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// The servers'.
    pub(crate) server: usize,
    /// The generator's; the same where the machine has only one.
    pub(crate) generator: usize,
}

impl Cores {
    /// The first two that this process may use.
    pub(crate) fn choose() -> Self {
        let allowed = sched_getaffinity(Pid::from_raw(0)).expect("the kernel says where this runs");
        let mut cores = (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false));
        let server = cores.next().expect("there is a core");
        Self { server, generator: cores.next().unwrap_or(server) }
    }
}

/// Does something on one core, with all that it starts; the rest of this process stays where it is.
pub(crate) fn on<T: Send>(core: usize, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let pinned = scope.spawn(|| {
            let mut only = CpuSet::new();
            only.set(core).expect("a core of this machine");
            sched_setaffinity(Pid::from_raw(0), &only).expect("a core that this process may use");
            work()
        });
        pinned.join().expect("what is measured does not panic")
    })
}

/// A process that is ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Started(Child);

impl Started {
    /// Starts it on a core.
    pub(crate) fn on(core: usize, command: &mut Command) -> Self {
        Self(on(core, || command.spawn().expect("it can be started")))
    }

    /// What it writes to its standard output, where that is a pipe.
    pub(crate) fn output(&mut self) -> &mut ChildStdout {
        self.0.stdout.as_mut().expect("a piped output")
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

/// How long the threads of a process that still live were on a core, to the nanosecond.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    let time = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(time.sum())
}

/// How much memory a process holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// All that is resident, the program's own file included.
    pub(crate) resident: u64,
    /// What it has written and nobody shares, without locked memory.
    pub(crate) private: u64,
    /// What can never be swapped.
    pub(crate) locked: u64,
}

impl Footprint {
    /// Reads it from the kernel, which takes the right to look into the process.
    pub(crate) fn of(pid: u32) -> Self {
        let read = |file| fs::read_to_string(format!("/proc/{pid}/{file}")).expect("the process may be looked into");
        let mut footprint = Self { locked: kilobytes(&read("status"), "VmLck:"), ..Self::default() };
        let mut written = 0;
        for line in read("smaps").lines() {
            if line.starts_with("Rss:") {
                footprint.resident += kilobytes(line, "Rss:");
            } else if line.starts_with("Private_Dirty:") {
                written = kilobytes(line, "Private_Dirty:");
            } else if let Some(flags) = line.strip_prefix("VmFlags:")
                && !flags.split(' ').any(|flag| flag == "lo")
            {
                footprint.private += written;
            }
        }
        footprint
    }
}

/// The bytes of a line such as `VmLck:   128 kB`, which are units of 1,024.
fn kilobytes(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel has this line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
