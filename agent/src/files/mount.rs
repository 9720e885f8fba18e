//! Whether the directory of the files is memory that is never written to a disk, and can be swapped a generation at a time.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FsWord, statfs};
use rustix::process::getegid;

use super::finding::{Finding, Findings};
use super::settings::Settings;
use crate::place::{Objection, Place};
use crate::principal::Principal;

/// The file systems that live in memory.
/// Source: the kernel's `include/uapi/linux/magic.h`.
const TMPFS: FsWord = 0x0102_1994;
const RAMFS: FsWord = 0x8584_58f6;

/// Looks at the directory and at the mounts and swap devices that the `/proc` below `root` lists. A directory that does
/// not exist yet is judged by the nearest one above it that does.
#[must_use]
pub fn examine(root: &Path, settings: &Settings) -> Findings {
    let mut findings = Findings::default();
    if let Err(unknown) = look(root, settings, &mut findings) {
        findings.refusals.push(unknown);
    }
    findings
}

fn look(root: &Path, settings: &Settings, findings: &mut Findings) -> Result<(), Finding> {
    let directory = || settings.directory.clone();
    let unknown = |cause| Finding::Unknown { path: settings.directory.clone(), cause };
    let place = Place::look(&settings.directory).map_err(unknown)?;
    let resolved = place.existing().canonicalize().map_err(unknown)?;
    let mounts = Mount::list(&root.join("proc/self/mountinfo"))?;
    let Findings { refusals, warnings } = findings;
    refusals.extend(single_files(&resolved, settings, &mounts));
    let is_refused = !refusals.is_empty();
    for objection in place.objections() {
        match objection {
            Objection::ReplaceableByOthers { .. } => warnings.push(Finding::Place(objection)),
            // A mounted file is none, which is said already.
            Objection::NoDirectory { .. } if is_refused => {}
            _ => refusals.push(Finding::Place(objection)),
        }
    }
    if place.others_can_list() {
        warnings.push(Finding::ListableByOthers { directory: directory() });
    }
    refusals.extend(open_to_group(settings, &place));
    let mount = mounts
        .iter()
        .filter(|mount| resolved.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count());
    if !is_memory(&resolved)? {
        let kind = mount.map_or_else(|| "a disk".to_owned(), |mount| mount.kind.clone());
        let list = if settings.allow_disk { warnings } else { refusals };
        list.push(Finding::Disk { directory: directory(), kind, allowed: settings.allow_disk });
        return Ok(());
    }
    let devices = swap_devices(&root.join("proc/swaps"))?;
    let can_be_swapped = mount.is_none_or(|mount| mount.kind != "ramfs" && !mount.noswap);
    if can_be_swapped && !devices.is_empty() {
        let list = if settings.require_noswap { refusals } else { warnings };
        list.push(Finding::Swap { directory: directory(), devices: devices.join(", ") });
    }
    Ok(())
}

/// The files whose mode lets a group in that is no reader. Which group that is may be up to the directory.
fn open_to_group(settings: &Settings, place: &Place) -> Vec<Finding> {
    let group = settings.group.or(place.group_handed_down()).unwrap_or_else(|| getegid().as_raw());
    let is_open = |mode: super::Mode, readers: &[Principal]| {
        mode.is_group_readable() && !readers.contains(&Principal::Group(group))
    };
    let open = settings.files().filter(|(_, target)| is_open(target.mode, &target.readers));
    open.map(|(file, target)| Finding::Group { file: file.to_owned(), mode: target.mode, group }).collect()
}

fn is_memory(path: &Path) -> Result<bool, Finding> {
    let answer = statfs(path).map_err(|error| Finding::Unknown { path: path.to_owned(), cause: error.into() })?;
    Ok([TMPFS, RAMFS].contains(&answer.f_type))
}

/// The directory itself, or a name that a target needs in it, as a mount point.
fn single_files(resolved: &Path, settings: &Settings, mounts: &[Mount]) -> Vec<Finding> {
    let names = settings.files().flat_map(|(_, target)| target.path.folders().chain([target.path.as_str()]));
    let places = names.map(|name| settings.directory.join(name)).chain([settings.directory.clone()]);
    let is_file = |place: &PathBuf| place.symlink_metadata().is_ok_and(|found| !found.is_dir());
    let is_mounted = |place: &PathBuf| {
        let below = place.strip_prefix(&settings.directory).unwrap_or(Path::new(""));
        let real = if below.as_os_str().is_empty() { resolved.to_owned() } else { resolved.join(below) };
        mounts.iter().any(|mount| mount.point == real)
    };
    let mut found: Vec<_> = places.filter(|place| is_file(place) && is_mounted(place)).collect();
    found.sort();
    found.dedup();
    found.into_iter().map(|path| Finding::SingleFile { path, directory: settings.directory.clone() }).collect()
}

/// A line of `/proc/self/mountinfo`, as far as it matters here.
struct Mount {
    point: PathBuf,
    kind: String,
    noswap: bool,
}

impl Mount {
    fn list(mountinfo: &Path) -> Result<Vec<Self>, Finding> {
        Ok(read(mountinfo)?.lines().filter_map(Self::parse).collect())
    }

    /// The mount point is the fifth field; behind the separator come the kind, the source and the options.
    /// Source: `proc_pid_mountinfo(5)`.
    fn parse(line: &str) -> Option<Self> {
        let (about_mount, about_file_system) = line.split_once(" - ")?;
        let point = PathBuf::from(unescape(about_mount.split(' ').nth(4)?));
        let mut fields = about_file_system.split(' ');
        let kind = fields.next()?.to_owned();
        let noswap = fields.nth(1)?.split(',').any(|option| option == "noswap");
        Some(Self { point, kind, noswap })
    }
}

/// Undoes the four octal escapes that the kernel uses for white space and the backslash.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The first field of every line but the heading; a kernel without swap has no such file.
fn swap_devices(swaps: &Path) -> Result<Vec<String>, Finding> {
    match read(swaps) {
        Ok(text) => Ok(text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(unescape).collect()),
        Err(Finding::Unknown { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(other) => Err(other),
    }
}

fn read(path: &Path) -> Result<String, Finding> {
    std::fs::read_to_string(path).map_err(|cause| Finding::Unknown { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::super::settings::{Mode, OnStop, Target};
    use super::*;

    /// A directory in memory, and a root whose `/proc` tells of it what the test wants.
    struct Machine {
        root: TempDir,
        memory: TempDir,
        settings: Settings,
    }

    impl Machine {
        fn new(mounts: &str, swaps: &str) -> Self {
            let root = tempfile::tempdir().expect("a folder");
            let memory = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
            let here = memory.path().canonicalize().expect("it is there").display().to_string();
            fs::create_dir_all(root.path().join("proc/self")).expect("made");
            let heading = "Filename\tType\tSize\tUsed\tPriority\n";
            fs::write(root.path().join("proc/swaps"), format!("{heading}{swaps}")).expect("written");
            fs::write(root.path().join("proc/self/mountinfo"), mounts.replace("HERE", &here)).expect("written");
            let target =
                Target { path: "db/password".parse().expect("a path"), mode: Mode::default(), readers: Vec::new() };
            let settings = Settings {
                directory: memory.path().join("secrets"),
                targets: BTreeMap::from([("db".parse().expect("a name"), target)]),
                env_files: Vec::new(),
                allow_disk: false,
                require_noswap: false,
                on_stop: OnStop::Remove,
                group: None,
            };
            Self { root, memory, settings }
        }

        /// The refusals and the warnings, with the changing part of paths left out.
        fn findings(&self) -> [Vec<String>; 2] {
            let Findings { refusals, warnings } = examine(self.root.path(), &self.settings);
            let plain = |finding: &Finding| {
                let memory = self.memory.path().display().to_string();
                finding.to_string().replace(&memory, "HERE")
            };
            [refusals.iter().map(plain).collect(), warnings.iter().map(plain).collect()]
        }
    }

    const PLAIN: &str = "24 1 0:22 / / rw shared:1 - ext4 /dev/vda rw\n\
                         25 24 0:23 / /dev/shm rw,nosuid - tmpfs tmpfs rw,size=1g\n";
    const NOSWAP: &str = "24 1 0:22 / / rw - ext4 /dev/vda rw\n25 24 0:23 / HERE rw - tmpfs tmpfs rw,noswap,size=1g\n";
    const OVERMOUNTED: &str = "25 24 0:23 / HERE rw - tmpfs tmpfs rw,noswap\n26 24 0:24 / HERE rw - tmpfs tmpfs rw\n";
    const RAMFS: &str = "25 24 0:23 / HERE rw - ramfs ramfs rw\n";
    const DEVICE: &str = "/dev/sda2 partition 1048572 0 -2\n";
    const SWAP: &str = "what is in HERE/secrets can be written to swap (/dev/sda2): mount a tmpfs with noswap (Linux 6.4 or \
                        later), encrypt the swap, or turn it off";

    #[test]
    fn swap_matters_where_it_is_on_and_the_file_system_can_be_swapped() {
        let rows = [
            (PLAIN, "", false),
            (PLAIN, DEVICE, true),
            (NOSWAP, DEVICE, false),
            (OVERMOUNTED, DEVICE, true),
            (RAMFS, DEVICE, false),
        ];
        for (mounts, swaps, warned) in rows {
            let mut machine = Machine::new(mounts, swaps);
            let swap = if warned { vec![SWAP.to_owned()] } else { Vec::new() };
            assert_eq!(machine.findings(), [Vec::new(), swap.clone()], "{mounts} {swaps}");
            machine.settings.require_noswap = true;
            assert_eq!(machine.findings(), [swap, Vec::new()], "{mounts} {swaps}");
        }
    }

    #[test]
    fn a_kernel_without_swap_has_none() {
        let machine = Machine::new(PLAIN, DEVICE);
        fs::remove_file(machine.root.path().join("proc/swaps")).expect("removed");
        assert_eq!(machine.findings(), [Vec::<String>::new(), Vec::new()]);
    }

    #[test]
    fn a_disk_is_refused_unless_it_is_allowed() {
        let mut machine = Machine::new(PLAIN, DEVICE);
        // Whatever a machine has, this is no file system for data.
        let disk = Path::new("/proc/no/such/secrets");
        machine.settings.directory = disk.to_owned();
        let expected = format!(
            "{} is on ext4, which keeps what is written there: mount a tmpfs there (Kubernetes: emptyDir with medium Memory), \
             or use a directory that is on one, as /dev/shm is",
            disk.display()
        );
        // Who is not root may not write there either, which is said too.
        let [refusals, warnings] = machine.findings();
        assert_eq!((refusals.last(), warnings), (Some(&format!("{expected}; or set allow_disk")), Vec::new()));
        machine.settings.allow_disk = true;
        assert_eq!(machine.findings()[1], [expected]);
    }

    #[test]
    fn a_single_mounted_file_is_refused_and_a_mounted_directory_is_not() {
        let mounts = "25 24 0:23 / HERE/secrets/db/password rw - tmpfs tmpfs rw\n";
        let machine = Machine::new(mounts, "");
        let file = machine.settings.directory.join("db/password");
        fs::create_dir_all(&file).expect("made");
        fs::set_permissions(&machine.settings.directory, fs::Permissions::from_mode(0o711)).expect("changed");
        assert_eq!(machine.findings(), [Vec::<String>::new(), Vec::new()], "a directory");
        fs::remove_dir(&file).expect("removed");
        fs::write(&file, "").expect("written");
        let expected = "HERE/secrets/db/password is mounted as a single file, which can never show a new version: mount the \
                        directory HERE/secrets instead";
        assert_eq!(machine.findings(), [vec![expected.to_owned()], Vec::new()]);
    }

    #[test]
    fn what_is_no_directory_or_open_to_all_is_named() {
        let machine = Machine::new(PLAIN, "");
        let directory = &machine.settings.directory;
        fs::create_dir(directory).expect("made");
        for (mode, expected) in [(0o777, 2), (0o2777, 2), (0o1777, 1), (0o755, 1), (0o711, 0)] {
            fs::set_permissions(directory, fs::Permissions::from_mode(mode)).expect("changed");
            let [refusals, warnings] = machine.findings();
            assert_eq!((refusals.len(), warnings.len()), (0, expected), "{mode:o}: {warnings:?}");
        }
        fs::remove_dir(directory).expect("removed");
        fs::write(directory, "").expect("written");
        let expected = "HERE/secrets is not a directory: remove it, or configure another";
        assert_eq!(machine.findings(), [vec![expected.to_owned()], Vec::new()]);
    }

    #[test]
    fn a_mode_for_the_group_wants_the_group_that_the_files_get_among_the_readers() {
        let mut machine = Machine::new(PLAIN, "");
        let own = getegid().as_raw();
        for (group, reader, refused) in
            [(None, own, 0), (None, own + 1, 1), (Some(own + 1), own + 1, 0), (Some(7), own, 1)]
        {
            machine.settings.group = group;
            let target = machine.settings.targets.values_mut().next().expect("one");
            (target.mode, target.readers) = ("0440".parse().expect("a mode"), vec![Principal::Group(reader)]);
            assert_eq!(machine.findings()[0].len(), refused, "{group:?} {reader}");
        }
    }

    #[test]
    fn without_a_list_of_mounts_nothing_is_promised() {
        let machine = Machine::new(PLAIN, "");
        fs::remove_file(machine.root.path().join("proc/self/mountinfo")).expect("removed");
        let [refusals, _] = machine.findings();
        assert!(refusals[0].starts_with("could not look at") && refusals[0].ends_with("mountinfo"), "{refusals:?}");
    }

    #[test]
    fn mount_points_are_unescaped() {
        let mount = Mount::parse("25 24 0:23 / /mnt/a\\040b\\134c rw shared:7 master:2 - tmpfs x rw").expect("a line");
        assert_eq!(mount.point, Path::new("/mnt/a b\\c"));
        assert!(Mount::parse("nonsense").is_none());
    }
}
