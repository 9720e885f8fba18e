//! Where the socket is: the common place, and a private one for an agent that may not write there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Where an agent listens unless told otherwise.
pub const DEFAULT: &str = "/run/keyside/agent.sock";

/// Memory that every Linux system mounts for all users (POSIX shared memory), and therefore also where containers run
/// without root.
pub const SHARED_MEMORY: &str = "/dev/shm";

/// The socket of this user's private agent below `base`, which is [`SHARED_MEMORY`] outside tests.
#[must_use]
pub fn private(base: &Path, uid: u32) -> PathBuf {
    base.join(format!("keyside-{uid}")).join("agent.sock")
}

/// Where an agent of this user listens unless told otherwise: the common place where it can be had, else the private one.
#[must_use]
pub fn default(uid: u32) -> PathBuf {
    let common = Path::new(DEFAULT);
    let directory = common.parent().unwrap_or(common);
    let nearest = if directory.is_dir() { directory } else { Path::new("/run") };
    let may_write = nix::unistd::access(nearest, nix::unistd::AccessFlags::W_OK).is_ok();
    if may_write { common.to_owned() } else { private(Path::new(SHARED_MEMORY), uid) }
}

/// Makes the directory of a [`private`] socket, or makes sure that the one found there is this user's own.
///
/// # Errors
/// When the directory cannot be made, or is anything that another user could have put there.
pub fn make_private(base: &Path, uid: u32) -> io::Result<PathBuf> {
    let socket = private(base, uid);
    if let Some(directory) = socket.parent()
        && let Err(error) = DirBuilder::new().mode(0o700).create(directory)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    check_private(&socket, uid)?;
    Ok(socket)
}

/// Makes sure that nobody but `uid` can have put a socket at this place: in a directory that all may write to, anyone
/// can take the name first.
///
/// # Errors
/// When the directory does not exist, is a symbolic link, has another owner, or is open to others.
pub fn check_private(socket: &Path, uid: u32) -> io::Result<()> {
    let directory = socket.parent().unwrap_or(socket);
    let found = fs::symlink_metadata(directory)?;
    if found.is_dir() && found.uid() == uid && found.mode() & 0o7777 == 0o700 {
        return Ok(());
    }
    let message = format!(
        "{} is not a directory of uid {uid} with mode 0700, so somebody else may have made it: remove it, or name another \
         socket",
        directory.display()
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::testing::own_uid;

    #[test]
    fn a_private_directory_is_made_once_and_found_again() {
        let base = tempfile::tempdir().expect("a directory");
        let first = make_private(base.path(), own_uid()).expect("made");
        assert_eq!(make_private(base.path(), own_uid()).expect("found"), first);
        assert_eq!(first, private(base.path(), own_uid()));
    }

    #[test]
    fn what_another_user_may_have_prepared_is_not_used() {
        let base = tempfile::tempdir().expect("a directory");
        let elsewhere = tempfile::tempdir().expect("a directory");
        let socket = private(base.path(), own_uid());
        let directory = socket.parent().expect("a parent");
        symlink(elsewhere.path(), directory).expect("a link");
        make_private(base.path(), own_uid()).expect_err("a symbolic link");
        fs::remove_file(directory).expect("removed");
        fs::create_dir(directory).expect("made");
        fs::set_permissions(directory, fs::Permissions::from_mode(0o770)).expect("mode");
        make_private(base.path(), own_uid()).expect_err("open to a group");
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).expect("mode");
        check_private(&socket, own_uid() + 1).expect_err("another owner");
        check_private(&socket, own_uid()).expect("ours");
    }
}
