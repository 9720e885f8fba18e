//! What there is of a directory that the agent is to use, whose it is, and who else can change what is in it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};
use thiserror::Error;

/// The permission bits of a directory that let others than its owner list it, and make and remove its entries.
const OTHERS_LIST: u32 = 0o044;
const OTHERS_WRITE: u32 = 0o022;

/// The bit that keeps those who may write from removing what is not theirs.
const STICKY: u32 = 0o1000;

/// The bit that makes a directory give its group to what is created in it.
const SETGID: u32 = 0o2000;

/// What speaks against a directory, with the remedy.
#[derive(Debug, Error)]
pub enum Objection {
    /// Its owner can replace everything in it.
    #[error(
        "{} belongs to uid {owner}, who can put something else in the place of what the agent makes there: give it to root \
         or to uid {own}, as whom this runs, or use another",
        .directory.display()
    )]
    Owner {
        /// The directory, or the nearest one above it that exists.
        directory: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it may be, besides root.
        own: u32,
    },
    /// It is something else.
    #[error("{directory} is not a directory: remove it, or configure another")]
    NoDirectory {
        /// What is there of the path.
        directory: PathBuf,
    },
    /// Nothing can be made in it.
    #[error("this user cannot write to {directory}: make that possible, or configure another directory")]
    Unwritable {
        /// The directory, or the nearest one above it that exists.
        directory: PathBuf,
    },
    /// Others can put something of theirs in the place of what is ours.
    #[error(
        "others can replace what is in {directory}: use a directory inside it, or mount it read-only for the readers"
    )]
    ReplaceableByOthers {
        /// The directory.
        directory: PathBuf,
    },
}

/// A directory, or the nearest one above it that exists.
#[derive(Debug)]
pub struct Place {
    existing: PathBuf,
    is_whole: bool,
    is_directory: bool,
    owner: u32,
    group: u32,
    bits: u32,
}

impl Place {
    /// Looks at what exists of `path`.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn look(path: &Path) -> io::Result<Self> {
        let missing = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        let mut ancestors = path.ancestors().map(|ancestor| (ancestor, ancestor.metadata()));
        let found = ancestors
            .find(|(_, metadata)| !metadata.as_ref().is_err_and(|error| missing.contains(&error.kind())))
            .ok_or(io::ErrorKind::NotFound)?;
        let (existing, metadata) = (found.0, found.1?);
        Ok(Self {
            existing: existing.to_owned(),
            is_whole: existing == path,
            is_directory: metadata.is_dir(),
            owner: metadata.uid(),
            group: metadata.gid(),
            bits: metadata.mode(),
        })
    }

    /// What exists of the path.
    #[must_use]
    pub fn existing(&self) -> &Path {
        &self.existing
    }

    /// Whether others than the owner learn the names of what is in it.
    #[must_use]
    pub fn others_can_list(&self) -> bool {
        self.is_whole && self.is_directory && self.bits & OTHERS_LIST != 0
    }

    /// Whether others than the owner can make things in it.
    #[must_use]
    pub fn others_can_write(&self) -> bool {
        self.is_whole && self.is_directory && self.bits & OTHERS_WRITE != 0
    }

    /// The group that it gives to what is made in it.
    #[must_use]
    pub fn group_handed_down(&self) -> Option<u32> {
        (self.is_whole && self.bits & SETGID != 0).then_some(self.group)
    }

    /// Everything that speaks against it, the gravest first.
    #[must_use]
    pub fn objections(&self) -> Vec<Objection> {
        let (directory, own) = (|| self.existing.clone(), geteuid().as_raw());
        if !self.is_directory {
            return vec![Objection::NoDirectory { directory: directory() }];
        }
        let mut objections = Vec::new();
        if !is_trusted(self.owner, own) {
            objections.push(Objection::Owner { directory: directory(), owner: self.owner, own });
        }
        if access(&self.existing, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
            objections.push(Objection::Unwritable { directory: directory() });
        }
        // The agent closes what it makes itself.
        if self.is_whole && self.bits & OTHERS_WRITE != 0 && self.bits & STICKY == 0 {
            objections.push(Objection::ReplaceableByOthers { directory: directory() });
        }
        objections
    }
}

/// Whether the owner of a directory may have the agent's things in it: root can replace them anyway.
#[must_use]
pub fn is_trusted(owner: u32, own: u32) -> bool {
    owner == 0 || owner == own
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_is_as_safe_as_its_bits() {
        let base = tempfile::tempdir().expect("a directory");
        let rows = [
            (0o700, false, false),
            (0o711, false, false),
            (0o755, true, false),
            (0o750, true, false),
            (0o775, true, true),
            (0o777, true, true),
            (0o2777, true, true),
            (0o1777, true, false),
        ];
        for (mode, lists, replaces) in rows {
            fs::set_permissions(base.path(), Permissions::from_mode(mode)).expect("changed");
            let place = Place::look(base.path()).expect("there");
            let replaceable = |found: &Objection| matches!(found, Objection::ReplaceableByOthers { .. });
            assert_eq!(place.others_can_list(), lists, "{mode:o}");
            assert_eq!(place.objections().iter().any(replaceable), replaces, "{mode:o}");
            let missing = Place::look(&base.path().join("a/b")).expect("its parent is there");
            assert_eq!((missing.others_can_list(), missing.objections().len()), (false, 0), "{mode:o} above it");
        }
    }

    #[test]
    fn a_file_on_the_way_is_no_directory() {
        let base = tempfile::tempdir().expect("a directory");
        let file = base.path().join("file");
        fs::write(&file, "").expect("written");
        for path in [file.clone(), file.join("a"), file.join("a/b")] {
            let place = Place::look(&path).expect("there");
            let objections = place.objections();
            let expected = format!("{} is not a directory: remove it, or configure another", file.display());
            assert_eq!(objections.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected], "{path:?}");
        }
    }

    #[test]
    fn only_root_and_the_agent_itself_are_trusted_owners() {
        let trusted = [(0, 0), (0, 990), (990, 990), (1500, 0), (1500, 990)].map(|(owner, own)| is_trusted(owner, own));
        assert_eq!(trusted, [true, true, true, false, false]);
    }
}
