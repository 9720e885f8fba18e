//! What the service manager passes at the start: sockets that it listens on, and memory that it kept, told apart by what they
//! are.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;

use nix::sys::socket::{SockType, getsockopt, sockopt};
use nix::sys::stat::{SFlag, fstat};

use crate::kernel;

/// The name of a socket for credentials, as `FileDescriptorName=` of its socket unit has it. A socket of any other name is the
/// agent's own.
pub const CREDENTIALS: &str = "credentials";

/// What was passed.
#[derive(Debug, Default)]
pub struct Passed {
    /// The sockets of the API.
    pub agent: Vec<UnixListener>,
    /// The sockets that units get credentials from.
    pub credentials: Vec<UnixListener>,
    /// What may be memory that an agent before this one had kept, by name. Nothing is known of it yet.
    pub kept: Vec<(String, OwnedFd)>,
}

impl Passed {
    /// Takes what was passed to this process. Only the first call gets it.
    ///
    /// # Errors
    /// When the service manager's variables make no sense, and when it passes a socket that nothing can be served on.
    pub fn take() -> io::Result<Self> {
        Self::sort(kernel::passed_descriptors()?)
    }

    fn sort(descriptors: Vec<(String, OwnedFd)>) -> io::Result<Self> {
        let mut passed = Self::default();
        for (name, descriptor) in descriptors {
            if !is_socket(&descriptor)? {
                passed.kept.push((name, descriptor));
                continue;
            }
            let listener = listener(&name, descriptor)?;
            if name == CREDENTIALS { &mut passed.credentials } else { &mut passed.agent }.push(listener);
        }
        Ok(passed)
    }
}

fn is_socket(descriptor: &OwnedFd) -> io::Result<bool> {
    let kind = SFlag::from_bits_truncate(fstat(descriptor)?.st_mode) & SFlag::S_IFMT;
    Ok(kind == SFlag::S_IFSOCK)
}

fn listener(name: &str, descriptor: OwnedFd) -> io::Result<UnixListener> {
    let listens = getsockopt(&descriptor.as_fd(), sockopt::AcceptConn)?;
    let is_stream = getsockopt(&descriptor.as_fd(), sockopt::SockType)? == SockType::Stream;
    let listener = UnixListener::from(descriptor);
    // The standard library has no address for anything but a Unix socket.
    if !listens || !is_stream || listener.local_addr().is_err() {
        let message = format!(
            "the service manager passes '{name}', which is no Unix socket that listens for streams: use ListenStream= \
             with a path"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn bound() -> OwnedFd {
        let base = tempfile::tempdir().expect("a directory");
        UnixListener::bind(base.path().join("a")).expect("bound").into()
    }

    #[test]
    fn sockets_go_by_their_names_and_the_rest_is_kept_memory_at_most() {
        let file = OwnedFd::from(tempfile::tempfile().expect("a file"));
        let passed = ["agent", "keyside.socket", CREDENTIALS, "unknown"].map(|name| (name.to_owned(), bound()));
        let passed = passed.into_iter().chain([("keyside-1".to_owned(), file)]).collect();
        let Passed { agent, credentials, kept } = Passed::sort(passed).expect("all are known");
        assert_eq!((agent.len(), credentials.len(), kept.len()), (3, 1, 1));
        assert_eq!(kept[0].0, "keyside-1");
    }

    #[test]
    fn a_socket_that_nothing_can_be_served_on_is_named() {
        let connected = UnixStream::pair().expect("a pair").0;
        let rows = [
            ("tcp", OwnedFd::from(TcpListener::bind("127.0.0.1:0").expect("bound"))),
            ("udp", UdpSocket::bind("127.0.0.1:0").expect("bound").into()),
            ("connected", connected.into()),
        ];
        for (name, descriptor) in rows {
            let error = Passed::sort(vec![(name.to_owned(), descriptor)]).expect_err("refused");
            assert!(error.to_string().starts_with(&format!("the service manager passes '{name}'")), "{error}");
        }
    }
}
