//! The control groups that Podman makes, and leaves behind in the hierarchies that limit nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::engine::printed;

/// Those that there are now, of every Podman of this machine.
pub(crate) fn of_podman() -> BTreeSet<PathBuf> {
    let find = ["/sys/fs/cgroup", "-type", "d", "-path", "*/libpod_parent*"];
    printed(Command::new("find").args(find)).lines().map(PathBuf::from).collect()
}

/// Removes those that were not there before, and gives those that are left although no process is in them.
pub(crate) fn remove_new(before: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    // Inner ones first. The kernel refuses to remove one with a process, which another Podman has.
    for group in of_podman().iter().rev().filter(|group| !before.contains(*group)) {
        drop(fs::remove_dir(group));
    }
    let now = of_podman();
    now.difference(before).filter(|group| !is_used(group, &now)).cloned().collect()
}

/// Whether a process is in a group or in one below it.
fn is_used(group: &Path, all: &BTreeSet<PathBuf>) -> bool {
    let within = all.iter().filter(|other| other.starts_with(group));
    within.into_iter().any(|other| fs::read_to_string(other.join("cgroup.procs")).is_ok_and(|text| !text.is_empty()))
}
