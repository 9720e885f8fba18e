//! Whether the directory of the files is memory that is never written to a disk, and can be swapped a generation at a time.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FsWord, statfs};
use thiserror::Error;

use super::settings::{RelativePath, Settings};

/// The file systems that live in memory.
/// Source: the kernel's `include/uapi/linux/magic.h`.
const TMPFS: FsWord = 0x0102_1994;
const RAMFS: FsWord = 0x8584_58f6;

/// The permission bits that let everybody replace a directory's entries: others may write, without the sticky bit.
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// What the machine has against the settings.
#[derive(Debug, Default)]
pub struct Findings {
    /// The agent must not start.
    pub refusals: Vec<Finding>,
    /// The agent starts, and says so.
    pub warnings: Vec<Finding>,
}

/// One thing that the machine has against the settings, with the remedy.
#[derive(Debug, Error)]
pub enum Finding {
    /// The files would be on a disk.
    #[error(
        "{} is on {kind}, which keeps what is written there: mount a tmpfs (Kubernetes: emptyDir with medium Memory), \
         use a directory below /run or /dev/shm, or set allow_disk",
        .directory.display()
    )]
    Disk {
        /// The directory of the settings.
        directory: PathBuf,
        /// The file system's name as the kernel lists it.
        kind: String,
    },
    /// Memory can be written to a swap device.
    #[error(
        "what is in {} can be written to swap ({devices}): mount a tmpfs with noswap (Linux 6.4 or later), encrypt \
         the swap, or turn it off",
        .directory.display()
    )]
    Swap {
        /// The directory of the settings.
        directory: PathBuf,
        /// The swap devices in use.
        devices: String,
    },
    /// A file is a mount of its own.
    #[error(
        "{} is mounted as a single file, which can never show a new version: mount the directory {} instead",
        .path.display(), .directory.display()
    )]
    SingleFile {
        /// The mount point.
        path: PathBuf,
        /// The directory of the settings.
        directory: PathBuf,
    },
    /// The directory is something else.
    #[error("{} is not a directory: remove it, or configure another", .directory.display())]
    NoDirectory {
        /// The directory of the settings.
        directory: PathBuf,
    },
    /// Others can put their own files in the place of ours.
    #[error(
        "every user can replace what is in {}: use a directory inside it, or mount it read-only for the readers",
        .directory.display()
    )]
    WritableByOthers {
        /// The directory of the settings.
        directory: PathBuf,
    },
    /// The kernel does not say what the checks need.
    #[error("could not look at {}", .path.display())]
    Unknown {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

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
    let existing = nearest_existing(&settings.directory)?;
    let mounts = Mount::list(&root.join("proc/self/mountinfo"))?;
    let Findings { refusals, warnings } = findings;
    refusals.extend(single_files(&existing.resolved, settings, &mounts));
    if !existing.is_directory && refusals.is_empty() {
        refusals.push(Finding::NoDirectory { directory: directory() });
    }
    if existing.is_writable_by_others {
        warnings.push(Finding::WritableByOthers { directory: directory() });
    }
    let mount = mounts.iter().filter(|mount| existing.resolved.starts_with(&mount.point)).max_by_key(depth);
    if !is_memory(&existing.resolved)? {
        let kind = mount.map_or_else(|| "a disk".to_owned(), |mount| mount.kind.clone());
        let list = if settings.allow_disk { warnings } else { refusals };
        list.push(Finding::Disk { directory: directory(), kind });
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

/// What is there of a path, with links resolved.
struct Existing {
    resolved: PathBuf,
    is_directory: bool,
    is_writable_by_others: bool,
}

fn nearest_existing(path: &Path) -> Result<Existing, Finding> {
    let unknown = |cause| Finding::Unknown { path: path.to_owned(), cause };
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut ancestors = path.ancestors().map(|ancestor| (ancestor, ancestor.metadata()));
    let found = ancestors.find(|(_, metadata)| !metadata.as_ref().is_err_and(missing));
    let (existing, metadata) = found.ok_or_else(|| unknown(io::ErrorKind::NotFound.into()))?;
    let metadata = metadata.map_err(unknown)?;
    let bits = metadata.permissions().mode();
    Ok(Existing {
        resolved: existing.canonicalize().map_err(unknown)?,
        is_directory: metadata.is_dir(),
        is_writable_by_others: existing == path && bits & (OTHERS_WRITE | STICKY) == OTHERS_WRITE,
    })
}

fn is_memory(path: &Path) -> Result<bool, Finding> {
    let answer = statfs(path).map_err(|error| Finding::Unknown { path: path.to_owned(), cause: error.into() })?;
    Ok([TMPFS, RAMFS].contains(&answer.f_type))
}

/// The directory itself, or a name that a target needs in it, as a mount point.
fn single_files(resolved: &Path, settings: &Settings, mounts: &[Mount]) -> Vec<Finding> {
    let names = settings.targets.values().flat_map(|target| prefixes(&target.path));
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

/// The path and each folder on the way to it.
fn prefixes(path: &RelativePath) -> impl Iterator<Item = &str> {
    let whole = path.as_str();
    whole.match_indices('/').map(|(end, _)| &whole[..end]).chain([whole])
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

fn depth(mount: &&Mount) -> usize {
    mount.point.components().count()
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
