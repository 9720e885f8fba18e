//! The lease on an agent that is there only for those who started it: a file beside its socket, on which each of them holds a
//! shared lock as long as it lives. The agent waits for the exclusive one, and ends when it is granted.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::causes::with_causes;
use crate::socket::{lease_file, lock_file};

/// How soon a lock that is held is tried again: seldom enough to cost nothing, often enough that nobody notices.
const RETRY: Duration = Duration::from_millis(20);

/// How long an agent that waits for its lease may take to notice that it can have it.
const NOTICE: Duration = Duration::from_secs(2);

/// What the agent has of it.
#[derive(Debug)]
pub struct Lease {
    file: Arc<File>,
    socket: PathBuf,
}

/// What one of those has of it whom the agent is there for. The kernel gives it back at the process's end, however that comes.
#[derive(Debug)]
pub struct Share {
    file: File,
    socket: PathBuf,
}

/// What became of the agent after a share was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// Others hold shares, or it was started without a lease, so it goes on.
    Goes,
    /// It has ended, and removed what it had made.
    Ended,
    /// It had ended before, without removing anything; whoever is told so is alone with what is left.
    Lost,
    /// It takes longer to end than one wants to wait.
    Late,
}

impl Lease {
    /// Opens the lease of the agent at `socket`, whose directory exists.
    ///
    /// # Errors
    /// Whatever the operating system answers; a symbolic link is not followed.
    pub fn open(socket: &Path) -> io::Result<Self> {
        Ok(Self { file: Arc::new(open(&lease_file(socket))?), socket: socket.to_owned() })
    }

    /// Answers when nobody has a share any more, also because everybody was killed, or when `stop` is cancelled.
    ///
    /// # Errors
    /// When no thread can be started, or the kernel refuses to wait.
    pub async fn lapse(file: Arc<File>, stop: CancellationToken) -> anyhow::Result<()> {
        let (sender, granted) = oneshot::channel();
        // Nobody waits for this thread: what it waits for may never come, and it ends with the process.
        std::thread::Builder::new().name("lease".to_owned()).spawn(move || drop(sender.send(wait_for_all(&file))))?;
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            answer = granted => {
                tracing::info!("nobody needs the agent any more");
                Ok(answer??)
            }
        }
    }

    /// The file, for [`Self::lapse`].
    #[must_use]
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Removes what is only good for the next agent, unless somebody still has a share: he starts that next one. `tidy` is
    /// done before, while no other agent can be started by whoever shares the lease.
    pub fn close(self, tidy: impl FnOnce()) {
        if self.file.try_lock().is_ok() {
            remove(&self.file, &self.socket, tidy);
        }
    }
}

fn wait_for_all(file: &File) -> io::Result<()> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

impl Share {
    /// Takes a share of the agent at `socket`, whose directory exists. While an agent is ending this waits, at most for
    /// `patience`: one that is joined afterwards stays.
    ///
    /// # Errors
    /// `TimedOut` when that agent takes longer, and whatever the operating system answers.
    pub async fn take(socket: &Path, patience: Duration) -> io::Result<Self> {
        let path = lease_file(socket);
        let deadline = Instant::now() + patience;
        loop {
            let file = open(&path)?;
            match file.try_lock_shared() {
                Ok(()) if is_in_place(&file, &path) => return Ok(Self { file, socket: socket.to_owned() }),
                // The agent that has just ended removed it.
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if Instant::now() >= deadline {
                let message = format!("the agent at {} is ending and does not get on with it", socket.display());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            sleep(RETRY).await;
        }
    }

    /// Gives the share back. If it was the last one, this waits for the agent's end, at most for `patience`. `tidy` is done in
    /// the place of an agent that was lost, while nobody can start another.
    ///
    /// The kernel turns a shared lock into an exclusive one by giving the first back (flock(2)), so an agent may be faster.
    pub async fn give_back(self, patience: Duration, tidy: impl FnOnce()) -> Aftermath {
        let deadline = Instant::now() + patience;
        let path = lease_file(&self.socket);
        let mut others_seen = false;
        let mut free_since = None;
        while is_in_place(&self.file, &path) {
            match self.file.try_lock() {
                Ok(()) if UnixStream::connect(&self.socket).is_err() => {
                    remove(&self.file, &self.socket, tidy);
                    return Aftermath::Lost;
                }
                // Two that leave at once see each other, so one look is not enough.
                Err(_) if self.file.try_lock_shared().is_ok() => {
                    if others_seen {
                        return Aftermath::Goes;
                    }
                    others_seen = true;
                }
                // The agent can have it, and does not want it: it was started without one.
                Ok(()) if free_since.get_or_insert_with(Instant::now).elapsed() > NOTICE => return Aftermath::Goes,
                // The agent has it, or can have it in a moment.
                Ok(()) | Err(_) => {}
            }
            if self.file.unlock().is_err() || Instant::now() >= deadline {
                return Aftermath::Late;
            }
            sleep(RETRY + Duration::from_millis(fastrand::u64(0..20))).await;
        }
        Aftermath::Ended
    }
}

/// Whoever opens it for a lock must then see whether it [`is_in_place`].
fn open(path: &Path) -> io::Result<File> {
    let opened =
        File::options().read(true).write(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path);
    opened.map_err(|error| io::Error::new(error.kind(), format!("the lease {}: {error}", path.display())))
}

/// Whether the file is still the one of this name. A lock on one that was removed keeps nobody out.
#[must_use]
pub(crate) fn is_in_place(file: &File, path: &Path) -> bool {
    let (Ok(own), Ok(there)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (own.dev(), own.ino()) == (there.dev(), there.ino())
}

/// Removes the directory of the files where it is empty and beside the socket, which is where an agent makes it itself.
pub(crate) fn remove_beside(socket: &Path, directory: &Path) {
    if directory.parent() == socket.parent() {
        // One that is not empty is still of use to somebody.
        drop(std::fs::remove_dir(directory));
    }
}

/// Removes the lease, on which the caller has an exclusive lock, and the lock for taking the socket.
fn remove(file: &File, socket: &Path, tidy: impl FnOnce()) {
    let path = lease_file(socket);
    if !is_in_place(file, &path) {
        return;
    }
    tidy();
    for path in [lock_file(socket), path] {
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), error = with_causes(&error), "a file is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("agent.sock");
        (directory, socket)
    }

    /// An agent that listens, and tidies up when its lease has lapsed.
    fn agent(socket: &Path) -> std::thread::JoinHandle<()> {
        let listener = std::os::unix::net::UnixListener::bind(socket).expect("bound");
        let lease = Lease::open(socket).expect("opened");
        let socket = socket.to_owned();
        std::thread::spawn(move || {
            wait_for_all(&lease.file).expect("granted");
            drop(listener);
            std::fs::remove_file(socket).expect("removed");
            lease.close(|| {});
        })
    }

    #[tokio::test]
    async fn an_agent_ends_with_the_last_share_and_leaves_nothing() {
        let (directory, socket) = place();
        let first = Share::take(&socket, PATIENCE).await.expect("the first");
        let second = Share::take(&socket, PATIENCE).await.expect("the second");
        let agent = agent(&socket);
        assert_eq!(first.give_back(PATIENCE, || {}).await, Aftermath::Goes);
        assert!(!agent.is_finished());
        assert_eq!(second.give_back(PATIENCE, || {}).await, Aftermath::Ended);
        agent.join().expect("it has ended");
        assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
    }

    #[tokio::test]
    async fn a_share_that_is_dropped_is_given_back_too() {
        let (_directory, socket) = place();
        let share = Share::take(&socket, PATIENCE).await.expect("the only one");
        let lease = Lease::open(&socket).expect("opened");
        let lapse = Lease::lapse(lease.file(), CancellationToken::new());
        drop(share);
        tokio::time::timeout(PATIENCE, lapse).await.expect("in time").expect("granted");
    }

    #[tokio::test]
    async fn an_agent_that_is_stopped_otherwise_waits_for_nobody() {
        let (_directory, socket) = place();
        let _share = Share::take(&socket, PATIENCE).await.expect("held to the end");
        let lease = Lease::open(&socket).expect("opened");
        let stop = CancellationToken::new();
        stop.cancel();
        Lease::lapse(lease.file(), stop).await.expect("stopped");
        lease.close(|| {});
        assert!(lease_file(&socket).exists(), "it belongs to who has the share");
    }

    #[tokio::test]
    async fn whoever_comes_while_an_agent_ends_waits_and_takes_a_new_lease() {
        let (_directory, socket) = place();
        let ending = Lease::open(&socket).expect("opened");
        ending.file.lock().expect("nobody has a share");
        let early = Share::take(&socket, Duration::ZERO).await.expect_err("not yet");
        assert_eq!(early.kind(), io::ErrorKind::TimedOut);
        let (share, ()) = tokio::join!(Share::take(&socket, PATIENCE), async { ending.close(|| {}) });
        let share = share.expect("taken");
        assert!(is_in_place(&share.file, &lease_file(&socket)));
    }

    #[tokio::test]
    async fn what_a_lost_agent_left_is_removed() {
        let (directory, socket) = place();
        let share = Share::take(&socket, PATIENCE).await.expect("taken");
        std::fs::write(lock_file(&socket), "").expect("left over");
        assert_eq!(share.give_back(PATIENCE, || {}).await, Aftermath::Lost);
        assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
    }

    #[tokio::test]
    async fn what_is_no_lease_is_named() {
        let (_directory, socket) = place();
        std::os::unix::fs::symlink("elsewhere", lease_file(&socket)).expect("made");
        let error = Share::take(&socket, PATIENCE).await.expect_err("a symbolic link");
        assert!(error.to_string().contains("agent.sock.lease: Too many levels"), "{error}");
    }

    #[tokio::test]
    async fn an_agent_without_a_lease_is_not_waited_for() {
        let (_directory, socket) = place();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
        let share = Share::take(&socket, PATIENCE).await.expect("taken");
        assert_eq!(share.give_back(PATIENCE, || {}).await, Aftermath::Goes);
    }
}
