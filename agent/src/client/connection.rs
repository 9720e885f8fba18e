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
use tokio::time::timeout;

use crate::socket;

/// How long an agent may take for an answer that waits for nothing. It answers from memory, so this is generous.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Why nothing came back.
#[derive(Debug, Error)]
pub(crate) enum Unanswered {
    /// Nobody listens at the socket.
    #[error("no agent answers at {0}: is it running, and is this its socket?")]
    Nobody(PathBuf, #[source] io::Error),
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
        let nobody = |error| Unanswered::Nobody(path.to_owned(), error);
        let stream = UnixStream::connect(path).await.map_err(nobody)?;
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
}

#[cfg(test)]
mod tests {
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
}
