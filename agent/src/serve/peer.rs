//! Who is calling: the process at the other end of a connection, as the kernel saw it when it connected.

use std::fmt;
use std::io;
use std::os::fd::AsFd as _;

use tokio::net::UnixStream;

use crate::kernel::peer_groups;

/// A process of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// The effective user id, in the agent's user namespace.
    pub(super) uid: u32,
    /// The effective group id and the supplementary ones.
    pub(super) gids: Vec<u32>,
    /// The process id; none when the process lives in another pid namespace, as in another container.
    pub(super) pid: Option<i32>,
}

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// From a process, over the Unix socket.
    Process(Peer),
    /// From the network, which vouches for nobody.
    Network,
}

impl Peer {
    /// Asks the kernel, once for each connection: it answers with what held when the peer connected
    /// (`SO_PEERCRED` and `SO_PEERGROUPS` in `unix(7)` and `socket(7)`).
    ///
    /// # Errors
    /// Whatever the kernel answers, which it does only for a socket that is not connected.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let mut gids = peer_groups(stream.as_fd())?;
        gids.push(credentials.gid());
        Ok(Self { uid: credentials.uid(), gids, pid: credentials.pid().filter(|&pid| pid > 0) })
    }
}

impl Caller {
    /// The user id, where there is one.
    #[must_use]
    pub(super) fn uid(&self) -> Option<u32> {
        match self {
            Self::Process(peer) => Some(peer.uid),
            Self::Network => None,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(Peer { uid, pid: Some(pid), .. }) => write!(formatter, "uid {uid}, pid {pid}"),
            Self::Process(Peer { uid, pid: None, .. }) => write!(formatter, "uid {uid}, pid of another container"),
            Self::Network => formatter.write_str("the network"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::own_uid;

    #[tokio::test]
    async fn a_peer_is_this_process_with_its_primary_group() {
        let (left, _right) = UnixStream::pair().expect("a pair");
        let peer = Peer::of(&left).expect("an answer");
        assert_eq!(peer.uid, own_uid());
        assert!(peer.gids.contains(&nix::unistd::getegid().as_raw()), "{peer:?}");
        assert_eq!(peer.pid, i32::try_from(std::process::id()).ok());
    }
}
