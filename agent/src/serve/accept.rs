//! Takes connections in, asks the kernel who is at the other end, and turns away whom there is no room for.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::answer::Answer;
use super::connection::{Visitor, converse};
use super::listen::Listeners;
use super::peer::{Caller, Peer};
use super::request::Door;
use super::routes::Server;
use super::sending::last_words;
use crate::causes::with_causes;

/// How long to leave a listener alone that cannot accept, which happens when the process has no descriptor left. The
/// connections that wait meanwhile are not lost.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener with a door of its own.
trait Gate: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    const DOOR: Door;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
    /// The user alone, which decides whether there is room, and takes one system call.
    fn uid(stream: &Self::Stream) -> io::Result<Option<u32>>;
    fn caller(stream: &Self::Stream) -> io::Result<Caller>;
    /// Writes as much as goes without waiting.
    fn try_write(stream: &Self::Stream, bytes: &[u8]) -> io::Result<usize>;
}

impl Gate for UnixListener {
    type Stream = UnixStream;
    const DOOR: Door = Door::Socket;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn uid(stream: &UnixStream) -> io::Result<Option<u32>> {
        stream.peer_cred().map(|credentials| Some(credentials.uid()))
    }

    fn caller(stream: &UnixStream) -> io::Result<Caller> {
        Peer::of(stream).map(Caller::Process)
    }

    fn try_write(stream: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
        stream.try_write(bytes)
    }
}

impl Gate for TcpListener {
    type Stream = TcpStream;
    const DOOR: Door = Door::Network;

    async fn accept(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn uid(_: &TcpStream) -> io::Result<Option<u32>> {
        Ok(None)
    }

    fn caller(_: &TcpStream) -> io::Result<Caller> {
        Ok(Caller::Network)
    }

    fn try_write(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        stream.try_write(bytes)
    }
}

/// Serves all listeners until the server is stopped, then lets the connections end within `grace`.
pub(super) async fn everyone(listeners: Listeners, server: Arc<Server>, grace: Duration) -> Result<()> {
    let Listeners { unix, tcp, file } = listeners;
    let mut gates = JoinSet::new();
    for listener in unix {
        let listener = UnixListener::from_std(listener).context("the socket")?;
        gates.spawn(welcome(listener, Arc::clone(&server), grace));
    }
    if let Some(listener) = tcp {
        let listener = TcpListener::from_std(listener).context("the TCP address")?;
        gates.spawn(welcome(listener, Arc::clone(&server), grace));
    }
    gates.spawn(count_changes(Arc::clone(&server)));
    gates.spawn(answer_watchdog(Arc::clone(&server)));
    let early = tokio::select! {
        () = server.stop.cancelled() => None,
        ended = gates.join_next() => ended,
    };
    server.stop.cancel();
    // Without its file, nobody finds the socket any more.
    drop(file);
    let mut outcome = early.unwrap_or(Ok(()));
    while let Some(ended) = gates.join_next().await {
        outcome = outcome.and(ended);
    }
    outcome.context("a listener's task panicked")
}

async fn count_changes(server: Arc<Server>) {
    let mut reader = server.sources.reader.clone();
    loop {
        server.sources.metrics.saw(&reader.snapshot());
        tokio::select! {
            () = server.stop.cancelled() => return,
            true = reader.changed() => {}
            else => return server.stop.cancelled().await,
        }
    }
}

async fn answer_watchdog(server: Arc<Server>) {
    tokio::select! {
        () = server.stop.cancelled() => {}
        () = server.sources.heart.answer() => {}
    }
}
/// How many connections that there is no room for are turned away before others are heard again: a queue that one user has
/// filled is emptied so much sooner, and it takes as long as one answer.
const TURNED_AWAY_AT_ONCE: usize = 8;

async fn welcome<G: Gate>(gate: G, server: Arc<Server>, grace: Duration) {
    let mut connections = JoinSet::new();
    let mut turned_away = 0;
    loop {
        tokio::select! {
            () = server.stop.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = gate.accept() => match accepted {
                Ok(stream) => {
                    let is_in = admit::<G>(stream, &server, &mut connections);
                    turned_away = if is_in { 0 } else { (turned_away + 1) % TURNED_AWAY_AT_ONCE };
                    // Who asks over an open connection waits for one newcomer at most, not for all that one user sends.
                    if turned_away == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = with_causes(&error), "no connection can be accepted for a moment");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(gate);
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!(connections = connections.len(), "answers that nobody took in time are cut off");
    }
}

/// Whether there was room.
fn admit<G: Gate>(stream: G::Stream, server: &Arc<Server>, connections: &mut JoinSet<()>) -> bool {
    let admitted = G::uid(&stream).map(|uid| server.connections.admit(uid));
    let known = match admitted {
        Ok(Ok(admission)) => G::caller(&stream).map(|caller| (caller, admission)),
        Ok(Err(problem)) => {
            tracing::debug!(code = problem.code.as_str(), "turned away");
            // There is no room to wait for who does not read it.
            drop(G::try_write(&stream, &last_words(Answer::refusal(&problem), server.sources.clock.now())));
            return false;
        }
        Err(error) => Err(error),
    };
    match known {
        Ok((caller, admission)) => {
            let visitor = Visitor { caller, door: G::DOOR, admission };
            connections.spawn(converse(stream, visitor, Arc::clone(server)));
            true
        }
        Err(error) => {
            tracing::warn!(error = with_causes(&error), "the kernel does not say who is calling");
            false
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task panicked");
    }
}
