//! The client's end of the socket: finding it, and asking over it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, IF_NONE_MATCH};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::socket;

/// How long an agent may take for an answer that waits for nothing. It answers from memory, so this is generous.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// How long a connection is tried while too many wait for the agent to take theirs: it takes thousands in a second.
const QUEUE_TIME: Duration = Duration::from_secs(2);

/// The pause between two such tries.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

/// Why nothing came back.
#[derive(Debug, Error)]
pub(crate) enum Unanswered {
    /// Nobody listens at the socket, or at any of those that were looked for.
    #[error("no agent answers at {0}")]
    Nobody(String, #[source] io::Error),
    /// The connection broke, or what came over it is not HTTP.
    #[error("the agent at {0} broke off")]
    Broken(PathBuf, #[source] hyper::Error),
    /// The answer took too long.
    #[error("the agent at {0} does not answer")]
    Late(PathBuf),
}

/// A connection to an agent.
#[derive(Debug)]
pub(crate) struct Connection {
    path: PathBuf,
    sender: SendRequest<Empty<Bytes>>,
    _driver: JoinSet<()>,
}

/// One question.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    /// `GET` or `HEAD`.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: &'a str,
    /// What is known already, as an entity tag.
    pub(crate) known: Option<&'a str>,
    /// How long the agent was asked to wait.
    pub(crate) wait: Duration,
}

impl<'a> Question<'a> {
    /// A `GET` that waits for nothing.
    #[must_use]
    pub(crate) fn get(target: &'a str) -> Self {
        Self { method: Method::GET, target, known: None, wait: Duration::ZERO }
    }
}

impl Connection {
    /// Connects to the agent at `path`.
    ///
    /// # Errors
    /// [`Unanswered::Nobody`] when nobody listens there, else [`Unanswered::Broken`].
    pub(crate) async fn open(path: &Path) -> Result<Self, Unanswered> {
        let nobody = |error| Unanswered::Nobody(path.display().to_string(), error);
        let stream = connect(path).await.map_err(nobody)?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| Unanswered::Broken(path.to_owned(), error))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Whoever asked is told by the sender.
            drop(connection.await);
        });
        Ok(Self { path: path.to_owned(), sender, _driver: driver })
    }

    /// Asks, and waits for the head of the answer.
    ///
    /// # Errors
    /// [`Unanswered::Broken`] and [`Unanswered::Late`].
    ///
    /// # Panics
    /// When the target is no path or the tag no header value, which is a mistake of the caller.
    pub(crate) async fn ask(&mut self, question: Question<'_>) -> Result<Response<Incoming>, Unanswered> {
        let Question { method, target, known, wait } = question;
        let mut request = Request::builder().method(method).uri(target).header(HOST, "keyside");
        if let Some(tag) = known {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = request.body(Empty::new()).expect("a path and a tag");
        let answer = timeout(wait + ANSWER_TIME, self.sender.send_request(request)).await;
        answer.map_err(|_| self.late())?.map_err(|error| self.broken(error))
    }

    /// The error for an answer that broke off.
    #[must_use]
    pub(crate) fn broken(&self, error: hyper::Error) -> Unanswered {
        Unanswered::Broken(self.path.clone(), error)
    }

    /// The error for an answer that takes too long.
    #[must_use]
    pub(crate) fn late(&self) -> Unanswered {
        Unanswered::Late(self.path.clone())
    }
}

/// Connects, again and again while the agent's queue of connections is full: the kernel then answers `EAGAIN` at once
/// and does not wait (`connect(2)`).
async fn connect(path: &Path) -> io::Result<UnixStream> {
    let deadline = Instant::now() + QUEUE_TIME;
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                sleep(QUEUE_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// Where to look for a socket.
#[derive(Clone, Debug)]
pub struct Search {
    /// The user who asks.
    pub uid: u32,
    /// Where an agent listens by default; [`socket::DEFAULT`] outside tests.
    pub common: PathBuf,
    /// Where private agents are; [`socket::SHARED_MEMORY`] outside tests.
    pub shared_memory: PathBuf,
}

impl Search {
    /// The places of this machine, for this process's user.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            uid: nix::unistd::geteuid().as_raw(),
            common: socket::DEFAULT.into(),
            shared_memory: socket::SHARED_MEMORY.into(),
        }
    }

    /// The socket that was named, else the common one where it exists, else the user's private one where it is safe.
    ///
    /// # Errors
    /// When a private directory exists that someone else may have made.
    pub fn find(&self, named: Option<&Path>) -> io::Result<PathBuf> {
        if let Some(named) = named {
            return Ok(named.to_owned());
        }
        let private = socket::private(&self.shared_memory, self.uid);
        if self.common.exists() {
            return Ok(self.common.clone());
        }
        match socket::check_private(&private, self.uid) {
            Ok(()) => Ok(private),
            // Neither exists, and the common one is what a message should name.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.common.clone()),
            Err(error) => Err(error),
        }
    }

    /// Connects to the agent that [`Self::find`] finds.
    ///
    /// # Errors
    /// As [`Connection::open`]; where there is no socket at all, every place that was looked at is named.
    pub(crate) async fn connect(&self, named: Option<&Path>, found: &Path) -> Result<Connection, Unanswered> {
        let error = match Connection::open(found).await {
            Err(Unanswered::Nobody(_, error)) if named.is_none() && !found.exists() => error,
            outcome => return outcome,
        };
        let private = socket::private(&self.shared_memory, self.uid);
        Err(Unanswered::Nobody(format!("{} or {}", self.common.display(), private.display()), error))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;
    use crate::testing::own_uid;

    #[test]
    fn the_socket_is_the_named_one_else_the_common_one_else_the_private_one() {
        let base = tempfile::tempdir().expect("a directory");
        let uid = own_uid();
        let search = Search { uid, common: base.path().join("agent.sock"), shared_memory: base.path().to_owned() };
        let named = base.path().join("named");
        assert_eq!(search.find(Some(&named)).expect("as named"), named);
        assert_eq!(search.find(None).expect("for the message"), search.common);
        let private = socket::make_private(base.path(), uid).expect("made");
        assert_eq!(search.find(None).expect("private"), private);
        std::fs::write(&search.common, "").expect("made");
        assert_eq!(search.find(None).expect("common"), search.common);
    }

    #[test]
    fn a_private_directory_of_another_user_is_an_error() {
        let base = tempfile::tempdir().expect("a directory");
        let uid = own_uid();
        std::fs::create_dir(base.path().join(format!("keyside-{uid}"))).expect("made with the usual mode");
        let search = Search { uid, common: base.path().join("no"), shared_memory: base.path().to_owned() };
        assert_eq!(search.find(None).expect_err("refused").kind(), io::ErrorKind::PermissionDenied);
    }

    #[tokio::test]
    async fn where_there_is_no_socket_both_places_are_named_and_of_a_named_one_only_it() {
        let base = tempfile::tempdir().expect("a directory");
        let (common, private) = (base.path().join("no"), socket::private(base.path(), 7));
        let search = Search { uid: 7, common: common.clone(), shared_memory: base.path().to_owned() };
        let error = search.connect(None, &common).await.expect_err("nobody");
        let both = format!("no agent answers at {} or {}", common.display(), private.display());
        assert_eq!(error.to_string(), both);
        let error = search.connect(Some(&common), &common).await.expect_err("nobody");
        assert_eq!(error.to_string(), format!("no agent answers at {}", common.display()));
    }

    /// A socket whose queue is full: whoever connects after `waiting` is told to try again.
    struct FullQueue {
        listener: std::os::unix::net::UnixListener,
        waiting: Vec<std::os::fd::OwnedFd>,
        path: PathBuf,
        _directory: tempfile::TempDir,
    }

    impl FullQueue {
        fn new() -> Self {
            use nix::sys::socket::{
                AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
            };
            let open = || {
                let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
                socket(AddressFamily::Unix, SockType::Stream, flags, None).expect("a socket")
            };
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("agent.sock");
            let address = UnixAddr::new(&path).expect("a short path");
            let listener = open();
            bind(listener.as_raw_fd(), &address).expect("bound");
            listen(&listener, Backlog::new(1).expect("in range")).expect("listens");
            let waiting = std::iter::repeat_with(open).take_while(|one| connect(one.as_raw_fd(), &address).is_ok());
            Self { waiting: waiting.collect(), listener: listener.into(), path, _directory: directory }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_is_waited_for() {
        let queue = FullQueue::new();
        assert!(!queue.waiting.is_empty());
        let make_room = async { queue.listener.accept().map(drop) };
        let (opened, made) = tokio::join!(Connection::open(&queue.path), make_room);
        made.expect("one less");
        opened.expect("tried again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_stays_full_is_given_up() {
        let queue = FullQueue::new();
        let start = Instant::now();
        let error = Connection::open(&queue.path).await.expect_err("no room");
        assert!(matches!(error, Unanswered::Nobody(..)), "{error:?}");
        assert_eq!(start.elapsed(), QUEUE_TIME);
    }
}
