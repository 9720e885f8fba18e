//! Where the socket is: the common place, and a private one for an agent that may not write there; and what speaks against it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::place::{Objection, Place};
use crate::principal::Principal;

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

/// What the machine has against a socket, with the remedy.
#[derive(Debug, Error)]
pub enum Finding {
    /// Its directory does not suit.
    #[error(transparent)]
    Place(Objection),
    /// It cannot be made, which matters unless somebody else makes it.
    #[error("the socket {socket} cannot be made, unless the service manager passes one")]
    Unmakeable {
        /// The socket.
        socket: PathBuf,
        /// What speaks against its directory, or what the kernel does not say of it.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There are readers who cannot come near it.
    #[error(
        "only uid {uid} can enter the directory of {socket}, and there are other readers: set [api] socket (and [files] \
         directory, if files are wanted) to a place that they can enter"
    )]
    Private {
        /// The socket.
        socket: PathBuf,
        /// Whose directory it is.
        uid: u32,
    },
}

impl Finding {
    /// Whether the agent must not start.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Place(Objection::Owner { .. }))
    }
}

/// Looks at the directory of the socket of this user's agent. `base` is where private sockets are, [`SHARED_MEMORY`]
/// outside tests.
#[must_use]
pub fn examine<'a>(
    base: &Path,
    socket: &Path,
    uid: u32,
    readers: impl IntoIterator<Item = &'a Principal>,
) -> Vec<Finding> {
    let unmakeable = |cause| Finding::Unmakeable { socket: socket.to_owned(), cause };
    let mut findings = match Place::look(socket.parent().unwrap_or(socket)) {
        Err(error) => vec![unmakeable(error.into())],
        Ok(place) => place
            .objections()
            .into_iter()
            .map(|objection| match objection {
                Objection::NoDirectory { .. } | Objection::Unwritable { .. } => unmakeable(objection.into()),
                Objection::Owner { .. } | Objection::ReplaceableByOthers { .. } => Finding::Place(objection),
            })
            .collect(),
    };
    // Root enters everywhere.
    let come_in = [Principal::User(uid), Principal::User(0)];
    if socket == private(base, uid) && readers.into_iter().any(|reader| !come_in.contains(reader)) {
        findings.push(Finding::Private { socket: socket.to_owned(), uid });
    }
    findings
}

/// The file that an agent locks while it takes the place of `socket`. The name is appended, not put in the place of an
/// extension, so that it is never the socket itself.
#[must_use]
pub fn lock_file(socket: &Path) -> PathBuf {
    beside(socket, ".lock")
}

/// The file on which everybody whom a leased agent is there for holds a shared lock.
#[must_use]
pub fn lease_file(socket: &Path) -> PathBuf {
    beside(socket, ".lease")
}

fn beside(socket: &Path, ending: &str) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Makes the directory of a socket: this user's private one, or any other, open to all for reading, where it is missing.
///
/// # Errors
/// As [`make_private`], and whatever the operating system answers.
pub fn make_directory(socket: &Path, uid: u32) -> io::Result<()> {
    let shared_memory = Path::new(SHARED_MEMORY);
    if socket == private(shared_memory, uid) {
        return make_private(shared_memory, uid).map(drop);
    }
    let directory = socket.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs::metadata(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
            // The umask may have taken from the mode what readers of another user need.
            fs::set_permissions(directory, Permissions::from_mode(0o755))
        }
        outcome => outcome.map(drop),
    }
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
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::own_uid;

    #[test]
    fn the_lock_file_is_never_the_socket() {
        assert_eq!(lock_file(Path::new("/run/x/agent.sock")), Path::new("/run/x/agent.sock.lock"));
        assert_eq!(lock_file(Path::new("/run/x/x.lock")), Path::new("/run/x/x.lock.lock"));
    }

    #[test]
    fn readers_who_cannot_enter_the_private_directory_are_told_of() {
        use Principal::{Group, User};
        let base = tempfile::tempdir().expect("a directory");
        let socket = private(base.path(), own_uid());
        let elsewhere = base.path().join("run/agent.sock");
        let rows = [
            (&socket, User(own_uid()), false),
            (&socket, User(0), false),
            (&socket, User(own_uid() + 1), true),
            (&socket, Group(own_uid()), true),
            (&elsewhere, User(own_uid() + 1), false),
        ];
        for (socket, reader, told) in rows {
            let findings = examine(base.path(), socket, own_uid(), [&reader]);
            let is_private = |found: &Finding| matches!(found, Finding::Private { .. }) && !found.is_refusal();
            assert_eq!(findings.iter().any(is_private), told, "{socket:?} {reader}");
            assert_eq!(findings.len(), usize::from(told), "{findings:?}");
        }
    }

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
        fs::set_permissions(directory, Permissions::from_mode(0o770)).expect("mode");
        make_private(base.path(), own_uid()).expect_err("open to a group");
        fs::set_permissions(directory, Permissions::from_mode(0o700)).expect("mode");
        check_private(&socket, own_uid() + 1).expect_err("another owner");
        check_private(&socket, own_uid()).expect("ours");
    }
}
