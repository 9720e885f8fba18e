//! What the machine has against the files' settings, with the remedies.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::settings::Mode;
use crate::place::Objection;

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
        "{} is on {kind}, which keeps what is written there: mount a tmpfs there (Kubernetes: emptyDir with medium \
         Memory), or use a directory that is on one, as /dev/shm is{}",
        .directory.display(), if *.allowed { "" } else { "; or set allow_disk" }
    )]
    Disk {
        /// The directory of the settings.
        directory: PathBuf,
        /// The file system's name as the kernel lists it.
        kind: String,
        /// Whether the settings allow it.
        allowed: bool,
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
        "{path} is mounted as a single file, which can never show a new version: mount the directory {directory} instead"
    )]
    SingleFile {
        /// The mount point.
        path: PathBuf,
        /// The directory of the settings.
        directory: PathBuf,
    },
    /// The directory does not suit.
    #[error(transparent)]
    Place(Objection),
    /// The names of secrets can be learnt.
    #[error(
        "others can list {directory} and learn which secrets there are: set its mode to 0711, or use a directory inside it"
    )]
    ListableByOthers {
        /// The directory of the settings.
        directory: PathBuf,
    },
    /// A mode lets more in than the readers.
    #[error(
        "mode {mode} lets gid {group}, the group of the files, read '{file}', which is no reader: name it among the \
         readers, or use mode 0400, which lets every reader in"
    )]
    Group {
        /// The secret whose file it is, or the file of variables.
        file: String,
        /// The file's mode.
        mode: Mode,
        /// The group that the file would have.
        group: u32,
    },
    /// The kernel does not say what the checks need.
    #[error("could not look at {path}")]
    Unknown {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}
