//! Whether a process belongs to a unit, by the control group that the service manager put it in.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use super::unit::UnitName;

/// Where hierarchies of control groups are mounted, below `/sys/fs/cgroup`: the unified one alone, or with the old ones beside
/// it, or systemd's own old one.
/// Source: systemd's "Control Group APIs and Delegation".
const HIERARCHIES: [&str; 3] = ["", "unified", "systemd"];

/// Deepest nesting of slices that is looked into. A slice names all those that it is in, so that names allow no more.
const SLICES_MAX: usize = 16;

/// Whether a process is in a unit of the system. `groups` is where control groups are mounted.
///
/// The group is found by the name of the unit and asked for its processes, since a service may be kept from seeing in `/proc`
/// what others are. Only slices are on the way to it: a manager of another user or of a container has units of the same names
/// further down.
///
/// # Errors
/// When the process has ended.
pub(super) fn is_in(groups: &Path, unit: &UnitName, process: &OwnedFd) -> io::Result<bool> {
    let pid = pid_of(process)?;
    let mut found = HIERARCHIES.iter().filter_map(|hierarchy| group_of(&groups.join(hierarchy), unit, SLICES_MAX));
    let is_in = found.any(|group| holds(&group, pid) || subgroups(&group).any(|part| holds(&part, pid)));
    // As long as the process is not gone, nobody else can have its number.
    if pid_of(process)? == pid { Ok(is_in) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The number of the process that a descriptor stands for.
/// Source: `pidfd_open(2)` and `proc_pid_fdinfo(5)`: `Pid` is -1 once it is gone and 0 where this namespace does not know it.
fn pid_of(process: &OwnedFd) -> io::Result<i32> {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd()))?;
    let pid = about.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.filter(|pid| *pid > 0).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn group_of(slice: &Path, unit: &UnitName, depth: usize) -> Option<PathBuf> {
    // An underscore in front keeps names apart from the kernel's own files; one that a name begins with itself is doubled.
    // Source: systemd's "Control Group APIs and Delegation".
    let plain = [unit.as_str().to_owned(), format!("_{}", unit.as_str())];
    let own = plain.iter().filter(|name| !(name.starts_with('_') && *name == unit.as_str()));
    if let Some(group) = own.map(|name| slice.join(name)).find(|group| group.is_dir()) {
        return Some(group);
    }
    let deeper = depth.checked_sub(1)?;
    let is_slice = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "slice");
    subgroups(slice).filter(is_slice).find_map(|slice| group_of(&slice, unit, deeper))
}

fn subgroups(group: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

/// Source: `cgroup.procs` in the kernel's `cgroup-v2.rst`: one number on each line, as the reader's namespace knows it.
fn holds(group: &Path, pid: i32) -> bool {
    let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    processes.lines().any(|line| line.parse() == Ok(pid))
}

#[cfg(test)]
mod tests {
    use rustix::process::{PidfdFlags, getpid, pidfd_open};

    use super::*;

    fn is_this_in(path: &str, unit: &str) -> bool {
        let base = tempfile::tempdir().expect("a directory");
        let group = base.path().join(path);
        fs::create_dir_all(&group).expect("made");
        fs::write(group.join("cgroup.procs"), format!("1\n{}\n", std::process::id())).expect("written");
        let process = pidfd_open(getpid(), PidfdFlags::empty()).expect("a descriptor");
        is_in(base.path(), &unit.parse().expect("a unit"), &process).expect("this process lives")
    }

    #[test]
    fn a_process_is_in_the_unit_of_the_first_group_that_is_no_slice() {
        let rows = [
            ("system.slice/train.service", "train.service", true),
            ("train.service", "train.service", true),
            ("system.slice/system-train.slice/train@gpu0.service", "train@gpu0.service", true),
            ("unified/system.slice/train.service", "train.service", true),
            ("systemd/system.slice/train.service", "train.service", true),
            ("system.slice/train.service/.control", "train.service", true),
            ("system.slice/_cpu.service", "cpu.service", true),
            ("system.slice/__cpu.service", "_cpu.service", true),
            ("system.slice/_cpu.service", "_cpu.service", false),
            ("system.slice/other.service", "train.service", false),
            ("system.slice/other.service/train.service", "train.service", false),
            ("user.slice/user-0.slice/user@0.service/app.slice/train.service", "train.service", false),
            ("system.slice/train.service/a/b", "train.service", false),
            ("memory/system.slice/train.service", "train.service", false),
        ];
        for (path, unit, expected) in rows {
            assert_eq!(is_this_in(path, unit), expected, "{path} {unit}");
        }
    }

    #[test]
    fn a_process_that_has_ended_is_in_no_unit() {
        let mut child = std::process::Command::new("true").spawn().expect("started");
        let pid = rustix::process::Pid::from_child(&child);
        let process = pidfd_open(pid, PidfdFlags::empty()).expect("not waited for yet");
        child.wait().expect("ended");
        let unit = "train.service".parse().expect("a unit");
        assert!(is_in(Path::new("/sys/fs/cgroup"), &unit, &process).is_err());
    }
}
