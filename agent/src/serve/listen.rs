//! The sockets that the server listens on: made here, or inherited from the service manager.

use std::fmt;
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Settings;
use crate::causes::with_causes;
use crate::lease::is_in_place;
use crate::socket::{lock_file, make_directory};

/// How long another agent may hold the lock of the socket. It does so for a few system calls; one that takes longer hangs.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// How soon a lock that is held is tried again: seldom enough to cost nothing, often enough that nobody notices.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Bound sockets that nothing serves yet. Callers can connect already and will wait.
#[derive(Debug)]
pub struct Listeners {
    pub(super) unix: Vec<UnixListener>,
    pub(super) tcp: Option<TcpListener>,
    pub(super) file: Option<SocketFile>,
}

/// Binds everything that the settings ask for; sockets that the service manager passed replace the one of the path.
///
/// The directory of the socket is made, open to all for reading, when it is missing. A socket that is left over from an
/// agent that died is replaced. The socket itself is open to everyone, because access is decided for each request.
///
/// # Errors
/// `AddrInUse` when another agent answers there, `AlreadyExists` when something else is in the way, and whatever the
/// operating system answers.
pub fn bind(settings: &Settings, passed: Vec<UnixListener>) -> io::Result<Listeners> {
    let tcp = settings.tcp.map(bind_address).transpose()?;
    let (unix, file) = if passed.is_empty() {
        let (listener, file) =
            bind_path(&settings.socket, 0o666).map_err(|error| at(settings.socket.display(), &error))?;
        (vec![listener], Some(file))
    } else {
        for listener in &passed {
            compare(listener, &settings.socket);
        }
        (passed, None)
    };
    for listener in &unix {
        listener.set_nonblocking(true)?;
    }
    if let Some(listener) = &tcp {
        listener.set_nonblocking(true)?;
    }
    Ok(Listeners { unix, tcp, file })
}

/// The same error, with the place that it is about.
fn at(place: impl fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{place}: {error}"))
}

fn bind_address(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| at(address, &error))
}

/// Says so where a socket that was passed is elsewhere than everybody is told.
pub(crate) fn compare(listener: &UnixListener, configured: &Path) {
    let address = listener.local_addr();
    let passed = address.as_ref().ok().and_then(|address| address.as_pathname());
    if passed != Some(configured) {
        tracing::warn!(
            ?passed,
            configured = %configured.display(),
            "the service manager listens elsewhere than the configuration says: clients that go by it find nobody"
        );
    }
}

/// Makes a socket with this mode (`access`), in the place of one that is left over.
pub(crate) fn bind_path(path: &Path, access: u32) -> io::Result<(UnixListener, SocketFile)> {
    make_directory(path, nix::unistd::geteuid().as_raw())?;
    let _lock = lock(path, LOCK_PATIENCE)?;
    remove_left_over(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(access))?;
    let made = fs::symlink_metadata(path)?;
    Ok((listener, SocketFile { path: path.to_owned(), device: made.dev(), inode: made.ino() }))
}

/// Keeps others out until it is dropped: two agents that start at once must not take each other's fresh socket for a
/// left-over one.
fn lock(socket: &Path, patience: Duration) -> io::Result<File> {
    let path = lock_file(socket);
    let start = Instant::now();
    loop {
        let file = File::options().write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(&path)?;
        match file.try_lock() {
            Ok(()) if is_in_place(&file, &path) => return Ok(file),
            // A leased agent that ended removed it.
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if start.elapsed() >= patience => {
                let remedy = "another program holds the lock: stop it, or give the agent another socket";
                return Err(at(path.display(), &io::Error::new(io::ErrorKind::ResourceBusy, remedy)));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_RETRY),
        }
    }
}

/// Removes a socket that nobody answers on.
fn remove_left_over(path: &Path) -> io::Result<()> {
    let refuse = |kind, what: &str| Err(io::Error::new(kind, what));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return refuse(
                io::ErrorKind::AlreadyExists,
                "there is something that is no socket: remove it, or give the agent another socket",
            );
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => {
            refuse(io::ErrorKind::AddrInUse, "another agent answers there: stop it, or give this one another socket")
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// The socket in the file system, removed on drop, unless another one has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let still_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if still_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(socket = %self.path.display(), error = with_causes(&error), "the socket is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passed::Passed;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("there").mode() & 0o777
    }

    #[test]
    fn the_socket_is_open_to_all_in_a_directory_that_is_not() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("made/agent.sock");
        let (_listener, file) = bind_path(&path, 0o666).expect("bound");
        assert_eq!((mode(&path), mode(path.parent().expect("a parent"))), (0o666, 0o755));
        drop(file);
        assert!(!path.exists(), "removed with its owner");
    }

    #[test]
    fn a_left_over_socket_is_replaced_and_an_answering_one_is_not() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("agent.sock");
        drop(UnixListener::bind(&path).expect("bound"));
        let (_listener, _file) = bind_path(&path, 0o666).expect("the left-over one is replaced");
        assert_eq!(bind_path(&path, 0o666).expect_err("answers").kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_socket_is_not_touched() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("agent.sock");
        fs::write(&path, "precious").expect("written");
        let error = bind_path(&path, 0o666).expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("no socket: remove it"), "{error}");
        assert_eq!(fs::read(&path).expect("still there"), b"precious");
    }

    #[test]
    fn a_socket_that_took_the_place_of_ours_is_left_alone() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("agent.sock");
        let (_listener, file) = bind_path(&path, 0o666).expect("bound");
        fs::rename(&path, base.path().join("moved")).expect("moved away");
        let _other = UnixListener::bind(&path).expect("bound");
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn a_lock_that_is_held_too_long_is_named() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("agent.sock");
        let _held = lock(&path, Duration::ZERO).expect("free");
        let error = lock(&path, Duration::ZERO).expect_err("held");
        let expected = format!("{}.lock: another program holds the lock: stop it", path.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }

    #[test]
    fn a_socket_may_have_the_extension_of_a_lock() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("agent.lock");
        for _ in 0..2 {
            let _bound = bind_path(&path, 0o666).expect("bound");
            UnixStream::connect(&path).expect("a socket, not the lock");
        }
    }

    #[test]
    fn of_two_that_start_at_once_the_second_finds_the_first_and_not_a_left_over_socket() {
        for _ in 0..100 {
            let base = tempfile::tempdir().expect("a directory");
            let path = base.path().join("agent.sock");
            drop(UnixListener::bind(&path).expect("a left-over one for both to find"));
            let first_has_the_lock = lock(&path, Duration::ZERO).expect("locked");
            let (started, start) = std::sync::mpsc::channel();
            let second = || {
                started.send(()).expect("the test listens");
                bind_path(&path, 0o666).map(drop)
            };
            std::thread::scope(|scope| {
                let second = scope.spawn(second);
                start.recv().expect("started");
                remove_left_over(&path).expect("removed");
                let _first = UnixListener::bind(&path).expect("bound");
                drop(first_has_the_lock);
                let outcome = second.join().expect("no panic");
                assert_eq!(outcome.expect_err("the first answers").kind(), io::ErrorKind::AddrInUse);
                UnixStream::connect(&path).expect("the first is still there");
            });
        }
    }

    /// Runs itself again as the service manager would: with the socket as descriptor 3, and variables that say so.
    #[test]
    fn a_socket_of_the_service_manager_is_taken_and_its_file_left_alone() {
        const SELF: &str = "serve::listen::tests::a_socket_of_the_service_manager_is_taken_and_its_file_left_alone";
        const START: &str = "exec 3<&0; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" --exact \"$1\"";
        #[expect(clippy::disallowed_methods, reason = "the test is told what it is by its environment")]
        let is_child = std::env::var_os("LISTEN_FDS").is_some();
        if is_child {
            return take_over();
        }
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("agent.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        let _caller = UnixStream::connect(&path).expect("waits in the queue");
        let own = std::env::current_exe().expect("a path");
        let taken = std::process::Command::new("sh")
            .args(["-c", START])
            .arg(own)
            .arg(SELF)
            .stdin(std::os::fd::OwnedFd::from(listener))
            .output()
            .expect("started");
        assert!(taken.status.success(), "{taken:?}");
        assert!(path.exists());
    }

    fn take_over() {
        let settings = Settings {
            socket: "/nonexistent/agent.sock".into(),
            tcp: None,
            access: std::sync::Arc::default(),
            limits: crate::serve::Limits::default(),
            audit: None,
            grace: Duration::ZERO,
        };
        let listeners = bind(&settings, Passed::take().expect("passed").agent).expect("nothing is made at the path");
        assert_eq!((listeners.unix.len(), listeners.file.is_none()), (1, true));
        listeners.unix[0].accept().expect("the caller in the queue");
        assert!(Passed::take().expect("no more").agent.is_empty(), "only the first call gets them");
    }
}
