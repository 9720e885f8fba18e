//! A relay on the way to Azure that can be taken away: it refuses connections, answers none of them, or drops their packets.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{Backlog, listen};

use crate::wait::until;

/// What becomes of a connection to a [`Gateway`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is led on.
    Pass,
    /// It is refused.
    Refuse,
    /// It is accepted, and nothing ever comes back.
    Silent,
    /// Its packets are dropped, because the listener's queue is full.
    Drop,
}

/// After how long without an answer a connection's packets count as dropped; on this machine an answer takes microseconds.
const DROPPED_AFTER: Duration = Duration::from_millis(150);

/// A relay at an address that stays the same whatever its mode is.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    target: SocketAddr,
    connections: Arc<AtomicUsize>,
    door: Option<Door>,
}

/// A listener and what it has let in.
#[derive(Debug)]
struct Door {
    closed: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
    /// Fill the queue of a listener that nobody accepts from.
    _queue: Option<(TcpListener, Vec<TcpStream>)>,
}

impl Gateway {
    /// A relay that leads from `address`, whose port 0 takes a free one, to `target`.
    ///
    /// # Panics
    /// When nothing can listen there.
    #[must_use]
    pub fn open(address: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("an address to listen on");
        let address = listener.local_addr().expect("its address");
        let connections = Arc::default();
        let door = Some(Door::open(listener, Some(target), &connections));
        Self { address, target, connections, door }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Treats new connections otherwise from now on.
    ///
    /// # Panics
    /// When nothing can listen there any more.
    pub fn turn(&mut self, mode: Mode) {
        self.close();
        // While nobody listened, the kernel may have given the port to a connection from here.
        let bind = || until("a listener at the address", || TcpListener::bind(self.address).ok());
        self.door = match mode {
            Mode::Refuse => None,
            Mode::Pass => Some(Door::open(bind(), Some(self.target), &self.connections)),
            Mode::Silent => Some(Door::open(bind(), None, &self.connections)),
            Mode::Drop => Some(Door::full(bind(), self.address)),
        };
    }

    fn close(&mut self) {
        let Some(door) = self.door.take() else { return };
        door.closed.store(true, Ordering::Relaxed);
        if let Some(acceptor) = door.acceptor {
            // Wakes the acceptor, which then sees that it is closed; it may have ended by itself.
            drop(TcpStream::connect(self.address));
            acceptor.join().expect("the acceptor does not panic");
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.close();
    }
}

impl Door {
    fn open(listener: TcpListener, target: Option<SocketAddr>, connections: &Arc<AtomicUsize>) -> Self {
        let (closed, connections) = (Arc::new(AtomicBool::new(false)), Arc::clone(connections));
        let is_closed = Arc::clone(&closed);
        let acceptor = std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                if is_closed.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                connections.fetch_add(1, Ordering::Relaxed);
                match target.map(TcpStream::connect) {
                    Some(Ok(other)) => lead(&stream, &other),
                    Some(Err(_)) => {}
                    None => held.push(stream),
                }
            }
        });
        Self { closed, acceptor: Some(acceptor), _queue: None }
    }

    fn full(listener: TcpListener, address: SocketAddr) -> Self {
        listen(&listener, Backlog::new(0).expect("a length of a queue")).expect("the queue can be shortened");
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, DROPPED_AFTER) {
            waiting.push(stream);
        }
        Self { closed: Arc::default(), acceptor: None, _queue: Some((listener, waiting)) }
    }
}

/// Leads both ways between two streams until each has ended.
fn lead(left: &TcpStream, right: &TcpStream) {
    for (from, to) in [(left, right), (right, left)] {
        let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
        std::thread::spawn(move || {
            // Either side may end whenever it likes; the other is told by the end of its stream.
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(Shutdown::Write));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};

    use super::*;

    fn ask(address: SocketAddr) -> Result<u8, ErrorKind> {
        let ask = || {
            let mut stream = TcpStream::connect_timeout(&address, DROPPED_AFTER)?;
            stream.set_read_timeout(Some(DROPPED_AFTER))?;
            stream.write_all(b"x")?;
            let mut answer = [0];
            stream.read_exact(&mut answer)?;
            Ok(answer[0])
        };
        ask().map_err(|error: io::Error| error.kind())
    }

    #[test]
    fn a_gateway_passes_refuses_is_silent_and_drops_at_one_address() {
        let echo = TcpListener::bind("127.0.0.1:0").expect("a port");
        let target = echo.local_addr().expect("its address");
        std::thread::spawn(move || {
            for stream in echo.incoming() {
                let mut stream = stream.expect("a connection");
                let mut byte = [0];
                drop(stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte)));
            }
        });
        let mut gateway = Gateway::open("127.0.0.1:0".parse().expect("an address"), target);
        let rows = [
            (Mode::Pass, Ok(b'x')),
            (Mode::Refuse, Err(ErrorKind::ConnectionRefused)),
            (Mode::Silent, Err(ErrorKind::WouldBlock)),
            (Mode::Drop, Err(ErrorKind::TimedOut)),
            (Mode::Pass, Ok(b'x')),
        ];
        for (mode, expected) in rows {
            gateway.turn(mode);
            assert_eq!(ask(gateway.address()), expected, "{mode:?}");
        }
        assert_eq!(gateway.connections(), 3, "twice led on, once held");
    }
}
