//! Whether others could decide what a file holds: who owns it and what is above it, and who may write there.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::unistd::geteuid;
use thiserror::Error;

use crate::place::is_trusted;

/// The permission bits that let others than the owner write. An access control list shows in the group's.
const OTHERS_WRITE: u32 = 0o022;

/// The bit that keeps those who may write to a directory from replacing what is not theirs.
const STICKY: u32 = 0o1000;

/// Most links on one way that the kernel follows.
/// Source: `path_resolution(7)`.
const LINKS_MAX: usize = 40;

/// Says how others could decide what a file holds, with the remedy.
#[derive(Debug, Error)]
pub enum Distrust {
    /// Somebody else's file, or a directory of somebody else's above it.
    #[error("{path} belongs to uid {owner}: give it to root or to uid {own}, as whom the agent runs")]
    Owner {
        /// The file, or a directory above it.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it may be, besides root.
        own: u32,
    },
    /// Others may write it, or make and replace what is in it.
    #[error("others than its owner may write {path}: take that right away, or use another place")]
    Writable {
        /// The file, or a directory above it.
        path: PathBuf,
    },
    /// The kernel does not say.
    #[error("could not look at {path}")]
    Unknown {
        /// The file, or what is on the way to it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Refuses a file that others than root and the agent's own user own or may write.
///
/// # Errors
/// What lets them.
pub(super) fn check_file(path: &Path, found: &Metadata) -> Result<(), Distrust> {
    check(path, found, OTHERS_WRITE)
}

/// Refuses a program that others could decide about: what it is, or which one it is. One that is not there is for whoever
/// starts it to tell of.
///
/// # Errors
/// What lets them.
pub(super) fn check_program(path: &Path) -> Result<(), Distrust> {
    match path.metadata() {
        Ok(found) => check_file(path, &found).and_then(|()| check_way(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Distrust::Unknown { path: path.to_owned(), source }),
    }
}

/// Refuses a file that others could put another in the place of: by any directory on the way to it, or by a link there,
/// however many links lead from one to the next. Directories that do not exist yet are made by somebody who may write
/// above them, who is judged.
///
/// # Errors
/// What lets them.
pub(super) fn check_way(path: &Path) -> Result<(), Distrust> {
    let mut here = PathBuf::from("/");
    let mut ahead: Vec<_> = steps(path).collect();
    let mut links = 0;
    while let Some(step) = ahead.pop() {
        if step == ".." {
            here.pop();
            continue;
        }
        // Where the file itself is, a missing one could be made by whoever may write, sticky or not.
        check_directory(&here, ahead.is_empty())?;
        let there = here.join(step);
        let unknown = |source| Distrust::Unknown { path: there.clone(), source };
        let found = match there.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(unknown)?,
        };
        if found.is_symlink() {
            // A link is never written, but whoever owns it can make another: the sticky bit does not keep that one off.
            check(&there, &found, 0)?;
            links += 1;
            if links > LINKS_MAX {
                return Err(unknown(io::ErrorKind::InvalidInput.into()));
            }
            let target = there.read_link().map_err(unknown)?;
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            ahead.extend(steps(&target));
        } else {
            here = there;
        }
    }
    Ok(())
}

/// The names on a way, the first one last.
fn steps(path: &Path) -> impl Iterator<Item = OsString> {
    let is_step = |step: &Component<'_>| matches!(step, Component::Normal(_) | Component::ParentDir);
    path.components().rev().filter(is_step).map(|step| step.as_os_str().to_owned())
}

fn check_directory(directory: &Path, holds_the_file: bool) -> Result<(), Distrust> {
    let unknown = |source| Distrust::Unknown { path: directory.to_owned(), source };
    let found = directory.metadata().map_err(unknown)?;
    let is_shared_safely = !holds_the_file && found.mode() & STICKY != 0;
    check(directory, &found, if is_shared_safely { 0 } else { OTHERS_WRITE })
}

fn check(path: &Path, found: &Metadata, forbidden: u32) -> Result<(), Distrust> {
    let own = geteuid().as_raw();
    if !is_trusted(found.uid(), own) {
        return Err(Distrust::Owner { path: path.to_owned(), owner: found.uid(), own });
    }
    if found.mode() & forbidden != 0 {
        return Err(Distrust::Writable { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("changed");
    }

    #[test]
    fn each_directory_on_the_way_counts() {
        let base = tempfile::tempdir().expect("a directory");
        let (upper, lower) = (base.path().join("upper"), base.path().join("upper/lower"));
        fs::create_dir_all(&lower).expect("made");
        let rows = [
            (0o755, 0o755, None),
            (0o755, 0o775, Some(&lower)),
            (0o755, 0o1777, Some(&lower)),
            (0o1777, 0o755, None),
            (0o777, 0o755, Some(&upper)),
        ];
        for (of_upper, of_lower, expected) in rows {
            set_mode(&upper, of_upper);
            set_mode(&lower, of_lower);
            let refused = check_way(&lower.join("app.pid")).err().map(|refused| match refused {
                Distrust::Writable { path } => path,
                other => panic!("{other}"),
            });
            assert_eq!(refused.as_ref(), expected, "{of_upper:o} {of_lower:o}");
        }
    }

    #[test]
    fn where_a_link_leads_counts_and_so_does_where_it_is() {
        let base = tempfile::tempdir().expect("a directory");
        let (open, closed) = (base.path().join("open"), base.path().join("closed"));
        for (directory, mode) in [(&open, 0o777), (&closed, 0o755)] {
            fs::create_dir(directory).expect("made");
            set_mode(directory, mode);
        }
        let inner = open.join("inner");
        fs::create_dir(&inner).expect("made");
        symlink(&closed, open.join("link")).expect("linked");
        symlink(&inner, closed.join("deep")).expect("linked");
        symlink(&open, closed.join("link")).expect("linked");
        assert!(check_way(&closed.join("app.pid")).is_ok());
        assert!(check_way(&open.join("link/app.pid")).is_err(), "others can lead it elsewhere");
        assert!(check_way(&closed.join("link/app.pid")).is_err(), "it leads to where others write");
        assert!(check_way(&closed.join("deep/app.pid")).is_err(), "it leads below where others write");
    }

    #[test]
    fn a_link_on_the_way_of_a_link_counts_and_so_does_the_file_being_one() {
        let base = tempfile::tempdir().expect("a directory");
        let (open, closed) = (base.path().join("open"), base.path().join("closed"));
        for (directory, mode) in [(&open, 0o777), (&closed, 0o755)] {
            fs::create_dir(directory).expect("made");
            set_mode(directory, mode);
        }
        symlink(&closed, open.join("hop")).expect("linked");
        symlink("../open/hop", closed.join("link")).expect("linked");
        symlink(open.join("program"), closed.join("program")).expect("linked");
        symlink(closed.join("real"), closed.join("other")).expect("linked");
        symlink("loop", closed.join("loop")).expect("linked");
        assert!(check_way(&closed.join("link/app.pid")).is_err(), "others can lead the second link elsewhere");
        assert!(check_way(&closed.join("program")).is_err(), "others can replace what it leads to");
        assert!(check_way(&closed.join("other")).is_ok());
        assert!(check_way(&closed.join("loop")).is_err());
    }

    #[test]
    fn a_link_of_somebody_else_is_refused_where_the_sticky_bit_protects_it() {
        if !geteuid().is_root() {
            // Only root can make what belongs to others.
            return;
        }
        let base = tempfile::tempdir().expect("a directory");
        let (shared, closed) = (base.path().join("shared"), base.path().join("closed"));
        for (directory, mode) in [(&shared, 0o1777), (&closed, 0o755)] {
            fs::create_dir(directory).expect("made");
            set_mode(directory, mode);
        }
        let link = shared.join("link");
        symlink(&closed, &link).expect("linked");
        assert!(check_way(&link.join("app.pid")).is_ok(), "nobody else may remove it");
        std::os::unix::fs::lchown(&link, Some(4221), None).expect("given away");
        let refused = check_way(&link.join("app.pid")).expect_err("its owner can lead it elsewhere");
        assert!(matches!(&refused, Distrust::Owner { path, owner: 4221, .. } if *path == link), "{refused}");
    }

    #[test]
    fn a_directory_that_is_missing_is_as_safe_as_the_one_above_it() {
        let base = tempfile::tempdir().expect("a directory");
        set_mode(base.path(), 0o755);
        assert!(check_way(&base.path().join("a/b/app.pid")).is_ok());
        set_mode(base.path(), 0o777);
        assert!(check_way(&base.path().join("a/b/app.pid")).is_err());
    }
}
