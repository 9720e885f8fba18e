//! Who is calling: the process at the other end of a connection, as the kernel saw it when it connected.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::net::UnixStream;

use crate::kernel::{peer_groups, peer_process};

/// A process of this machine.
#[derive(Debug)]
pub(super) struct Peer {
    /// The effective user id, in the agent's user namespace.
    pub(super) uid: u32,
    /// The effective group id.
    pub(super) gid: u32,
    /// The supplementary group ids.
    pub(super) groups: Vec<u32>,
    /// Which process it is; none when it lives in another pid namespace, as in another container.
    pub(super) process: Option<Process>,
}

/// The process that connected. It may have ended since, and its number may be another one's by then; whoever it left the
/// connection to asks on in its name.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// Stays the handle of this one process; none on a kernel that gives none.
    pub(super) handle: Option<OwnedFd>,
}

/// A caller in numbers, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) pid: Option<i32>,
    /// Whether the process that connected has ended, so that its number says nothing about any other that has it now.
    pub(super) exited: bool,
}

/// Where a request comes from.
#[derive(Debug)]
pub(super) enum Caller {
    /// From a process, over the Unix socket.
    Process(Peer),
    /// From the network, which vouches for nobody.
    Network,
}

impl Peer {
    /// Asks the kernel, once for each connection: it answers with what held when the peer connected
    /// (`SO_PEERCRED`, `SO_PEERGROUPS` and `SO_PEERPIDFD` in `unix(7)` and `socket(7)`).
    ///
    /// # Errors
    /// Whatever the kernel answers, which it does only for a socket that is not connected.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let groups = peer_groups(stream.as_fd())?;
        let process = credentials.pid().filter(|&pid| pid > 0);
        let process = process.map(|pid| Process { pid, handle: peer_process(stream.as_fd()) });
        Ok(Self { uid: credentials.uid(), gid: credentials.gid(), groups, process })
    }

    /// Whether its group, or one of its supplementary groups, is this one.
    #[must_use]
    pub(super) fn is_in(&self, group: u32) -> bool {
        self.gid == group || self.groups.contains(&group)
    }
}

impl Process {
    /// Whether it has ended, as its handle says (`pidfd_open(2)`).
    fn has_ended(&self) -> bool {
        let Some(handle) = &self.handle else { return false };
        let mut watched = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
        poll(&mut watched, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
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

    /// The process in numbers, where it is one.
    #[must_use]
    pub(super) fn who(&self) -> Option<Who> {
        match self {
            Self::Process(Peer { uid, gid, process, .. }) => Some(Who {
                uid: *uid,
                gid: *gid,
                pid: process.as_ref().map(|process| process.pid),
                exited: process.as_ref().is_some_and(Process::has_ended),
            }),
            Self::Network => None,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who() {
            Some(Who { uid, pid: Some(pid), exited: false, .. }) => write!(formatter, "uid {uid}, pid {pid}"),
            Some(Who { uid, pid: Some(pid), exited: true, .. }) => {
                write!(formatter, "uid {uid}, pid {pid} that has ended")
            }
            Some(Who { uid, pid: None, .. }) => write!(formatter, "uid {uid}, pid of another container"),
            None => formatter.write_str("the network"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::testing::own_uid;

    #[tokio::test]
    async fn a_peer_is_this_process_with_its_primary_group() {
        let (left, _right) = UnixStream::pair().expect("a pair");
        let caller = Caller::Process(Peer::of(&left).expect("an answer"));
        let gid = nix::unistd::getegid().as_raw();
        let pid = i32::try_from(std::process::id()).ok();
        assert_eq!(caller.who(), Some(Who { uid: own_uid(), gid, pid, exited: false }));
        let Caller::Process(peer) = caller else { panic!("a process") };
        assert!(peer.is_in(gid) && !peer.is_in(gid + 1), "{peer:?}");
    }

    /// A process that connects, and ends only when it is told to: the shell keeps the connection of the test's child.
    #[tokio::test]
    async fn a_process_that_has_ended_is_told_from_one_that_got_its_number() {
        const CONNECT: &str = "import os,socket,sys\ns=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1])\n\
                               os.write(1,b'x');os.read(0,1)";
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("bound");
        let mut python = Command::new("python3");
        python.args(["-c", CONNECT]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().expect("python3 starts");
        let (stream, _) = listener.accept().expect("the child connects");
        stream.set_nonblocking(true).expect("set");
        let caller = Caller::Process(Peer::of(&UnixStream::from_std(stream).expect("a stream")).expect("an answer"));
        let pid = child.id();
        assert!(caller.to_string().ends_with(&format!("pid {pid}")), "{caller}");
        drop(child.stdin.take());
        child.wait().expect("the end");
        match &caller {
            Caller::Process(Peer { process: Some(Process { handle: None, .. }), .. }) => {
                eprintln!("SKIPPED: this kernel has no SO_PEERPIDFD (Linux 6.5)");
            }
            _ => {
                assert!(caller.who().expect("a process").exited);
                assert!(caller.to_string().ends_with(&format!("pid {pid} that has ended")), "{caller}");
            }
        }
    }
}
